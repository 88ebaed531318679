"""Finding what was handed in. Nothing in it is trusted, its names included."""

import hashlib
import io
import os
import re
import stat
import tomllib
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nbformat import NotebookNode

from tools.classroom.problem_sets import ProblemSet
from tools.classroom.reading import NotASubmission, answers, defined, grade_id_of, parse

LARGEST = 100 << 20  # bytes; outputs are not looked at
LAYOUTS = tomllib.loads(Path(__file__).with_name("layouts.toml").read_text("utf-8"))["layout"]
SKIPPED = ("__MACOSX", ".")  # what begins so is no student's


@dataclass
class File:
    """A file that was handed in: `path` in the folder, whose it is, and what is in it."""

    path: Path
    read: Callable[[], bytes]
    student: str = ""
    id: str = ""
    notebook: NotebookNode | None = None
    digest: str = ""


def collect(folder: Path, sets: list[ProblemSet]) -> tuple[dict, dict, list[str]]:
    """What is in a folder of submissions: files by (student, set), reasons by (student, set) where
    it is not clear what counts, and what is left over, each with the reason.

    Any layout will do: a folder or a zip for each student, whatever is in it, or flat names. A
    notebook is known by its cells, and by its name where it has none of them.
    Raises ValueError where there is nothing.
    """
    folder = folder / "submitted" if (folder / "submitted").is_dir() else folder
    if not folder.is_dir():
        raise ValueError(f"folder: {folder} is not a folder, expected one with submissions")
    left: list[str] = []
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(SKIPPED)]
    files = list(_files(folder, Path(), left))
    if len(entries) == 1 and entries[0].suffix.lower() == ".zip":
        inside = [Path(*file.path.parts[1:]) for file in files]
        if all(len(path.parts) > 1 or owner(path.name)[2] != path.name for path in inside):
            for file, path in zip(files, inside, strict=True):  # everything in one download
                file.path = path
    names, people, found, reasons = _gradescope(files), {}, {}, {}
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            who, number, _ = owner(entry.name, folder=True)
            people[names.get(who, who)] = number
    for file in files:
        top, own = file.path.parts[0], file.path.name
        flat = top == own or top.lower().endswith(".zip")
        who, file.id, rest = owner(Path(top).stem if flat else top, folder=not flat)
        file.student = names.get(who, who)
        if people.get(file.student, file.id) != file.id:  # two of one name
            file.student = f"{file.student} {file.id}"
        if ".ipynb" not in own.lower():  # browsers add .txt or .json
            left.append(f"{file.path}: no notebook")
            continue
        people.setdefault(file.student, file.id)
        number = _number(rest if top == own else own)
        named = [each for each in sets if _number(each.name) == number]
        try:
            content = file.read()
            file.notebook, file.digest = parse(content), hashlib.sha256(content).hexdigest()
            best = max(sets, key=lambda each: _known(file.notebook, each))
            if not _known(file.notebook, best):
                raise NotASubmission(f"it has no cell of {(named or sets)[0].name}")
        except NotASubmission as error:
            for each in named:
                reasons.setdefault((file.student, each.name), f"Not marked: {error}.")
            left += [] if named else [f"{file.path}: {error}"]
            continue
        found.setdefault((file.student, best.name), []).append(file)
        if named and best not in named:
            reasons[file.student, named[0].name] = f"Not marked: {own} is {best.name}."
    for key, several in list(found.items()):
        (each,) = (each for each in sets if each.name == key[1])
        finished = [file for file in several if not _untouched(file.notebook, each)] or several[:1]
        exact = [file for file in finished if file.path.name == f"{each.name}.ipynb"]
        *others, last = sorted(exact or finished, key=_version)
        found[key] = last
        if others and _version(last) == _version(others[-1]):
            del found[key]
            meant = " and ".join(str(file.path) for file in [*others, last][:3])
            reasons[key] = f"Not marked: {len(others) + 1} notebooks could be meant, {meant}."
        left += [f"{file.path}: {last.path} counts" for file in several if file is not last]
    if not people:
        raise ValueError(f"folder: {folder} has nothing in it that a student handed in")
    return {"files": found, "people": people}, reasons, left


def _files(folder: Path, inside: Path, left: list[str]) -> Iterator[File]:
    """The files below a folder, those in zips included."""
    for entry in sorted((folder / inside).iterdir()):
        path = inside / entry.name
        if entry.name.startswith(SKIPPED):
            continue
        if entry.is_symlink():
            left.append(f"{path}: a link")
        elif entry.is_dir():
            yield from _files(folder, path, left)
        else:
            yield from _opened(File(path, partial(read_bytes, entry)), left)


def _opened(file: File, left: list[str], deep: int = 0) -> Iterator[File]:
    """The file, or what is in it if it is a zip."""
    if file.path.suffix.lower() != ".zip" or deep > 2:
        yield file
        return
    try:
        archive = zipfile.ZipFile(io.BytesIO(file.read()))
    except (zipfile.BadZipFile, NotASubmission) as error:
        left.append(f"{file.path}: {error}")
        return
    for info in archive.infolist():
        path = info.filename.replace("\\", "/")  # some on Windows write the other one
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        if not info.is_dir() and not any(part.startswith(SKIPPED) for part in parts):
            inside = File(file.path.joinpath(*parts), partial(_unzip, archive, info))
            yield from _opened(inside, left, deep + 1)


def _unzip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > LARGEST:
        raise NotASubmission(f"it is larger than {LARGEST >> 20} MB")
    try:
        return archive.read(info)
    except Exception as error:  # each way of packing has its own
        raise NotASubmission(f"it cannot be read: {error}") from error


def owner(name: str, *, folder: bool = False) -> tuple[str, str, str]:
    """Whose a file or folder of this name is, the platform's number for them, and the rest."""
    name = unicodedata.normalize("NFC", name)  # macOS writes some letters as two
    for layout in LAYOUTS:
        if not folder or layout.get("folders"):
            if match := re.fullmatch(layout["pattern"], name):
                parts = {"id": ""} | match.groupdict()
                return parts["who"].strip(" ."), parts["id"], parts["rest"]
    return name, "", name


def _gradescope(files: list[File]) -> dict[str, str]:
    """Gradescope's folders are called submission_123, and one file says whose they are."""
    text = "".join(f.read().decode("utf-8", "replace") for f in files
                   if f.path.name == "submission_metadata.yml")
    found = re.findall(r"^(submission_\d+):.*?:name: (.+?)$", text, flags=re.M | re.S)
    return {folder: name.replace("/", "_").strip(" .\"'") for folder, name in found}


def _number(name: str) -> str:
    """The number of the problem set that a file's name tells, or ""."""
    match = re.search(r"(?:problem[ _-]?set|ps|set)[ _-]?(\d+)", name, re.I)
    return match[1] if match else ""


def _version(file: File) -> list[int]:
    """Of Teams's folders "Version 2", and the date in Blackboard's names."""
    found = re.findall(r"(?<=Version )\d+|(?<=_attempt_)[\d-]+", str(file.path))
    return [int(number.replace("-", "")) for number in found]


def _known(notebook: NotebookNode, problem_set: ProblemSet) -> int:
    """How many cells of the problem set are in a notebook; by their names, if at least half."""
    ids = problem_set.of("solution", "test")
    if count := sum(grade_id_of(cell) in ids for cell in notebook.cells):
        return count
    names = problem_set.functions
    count = len({n for cell in notebook.cells for n in defined(cell.source)} & set(names))
    return count if 2 * count >= len(names) else 0


def _untouched(notebook: NotebookNode, problem_set: ProblemSet) -> bool:
    """Whether nothing is answered."""
    found = answers(notebook, problem_set)
    return not (any(exercise for _, _, exercise in found.cells) or any(found.open.values()))


def read_bytes(path: Path) -> bytes:
    """The file's contents. Raises NotASubmission for anything but a plain file of sensible size."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise NotASubmission("it is no plain file")
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise NotASubmission(f"it cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise NotASubmission(f"it is larger than {LARGEST >> 20} MB")
    return content

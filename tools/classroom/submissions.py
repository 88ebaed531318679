"""Finding what was handed in. Nothing in it is trusted, its names included."""

import hashlib
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nbformat import NotebookNode

from tools.classroom.problem_sets import ProblemSet, bound_names, grade_id, kind, without_markers
from tools.classroom.reading import (
    NotASubmission,
    answers,
    defined,
    grade_id_of,
    parse,
)

LARGEST = 100 << 20  # bytes; outputs are not looked at
# Names of files as learning platforms export them: the student, and the file's own name.
# Moodle, Blackboard, Canvas, Google Classroom, and what students call them.
PLATFORMS = (
    re.compile(r"(?P<who>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<rest>.*)"),
    re.compile(r".+?_(?P<who>[^_]+)_attempt_[\d-]+_?(?P<rest>.*)"),
    re.compile(r"(?P<who>[^_]+)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<rest>.*)"),
    re.compile(r"(?P<who>.+?) - (?P<rest>.*)"),
    re.compile(r"(?i)(?!problem)(?P<who>.+?)[ _-]+(?P<rest>(?:problem[ _-]?set|ps|set)[ _-]?\d.*)"),
)
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
    entries = [e for e in folder.iterdir() if not e.name.startswith(SKIPPED)]
    left: list[str] = []
    files = list(_files(folder, Path(), left))
    if len(entries) == 1 and entries[0].suffix == ".zip":
        inside = [Path(*file.path.parts[1:]) for file in files]
        if all(len(p.parts) > 1 or owner(p.name)[2] != p.name for p in inside):
            for file, path in zip(files, inside, strict=True):  # everything in one download
                file.path = path
    names = _gradescope(files)
    people, found, reasons = {}, {}, {}
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            who, number, _ = owner(entry.name, PLATFORMS[:1])
            people[names.get(who, who)] = number
    for file in files:
        top, own = file.path.parts[0], file.path.name
        flat = top == own or top.endswith(".zip")
        who, number, rest = owner(*(Path(top).stem,) if flat else (top, PLATFORMS[:1]))
        file.student, file.id = names.get(who, who), number
        if people.get(file.student, number) != number:  # two of one name
            file.student = f"{file.student} {number}"
        own = rest if top == own else own
        if not file.path.name.endswith(".ipynb"):
            left.append(f"{file.path}: no notebook")
            continue
        people.setdefault(file.student, number)
        named = [each for each in sets if _number(each.name) == _number(own)]
        try:
            content = file.read()
            file.notebook, file.digest = parse(content), hashlib.sha256(content).hexdigest()
            matched = [each for each in sets if _known(file.notebook, each)]
            if not matched:
                raise NotASubmission(f"it has no cell of {(named or sets)[0].name}")
        except NotASubmission as error:
            for each in named:
                reasons.setdefault((file.student, each.name), f"Not marked: {error}.")
            left += [] if named else [f"{file.path}: {error}"]
            continue
        best = max(matched, key=lambda each: _known(file.notebook, each))
        found.setdefault((file.student, best.name), []).append(file)
        if named and best not in named:
            reasons[file.student, named[0].name] = f"Not marked: {file.path.name} is {best.name}."
    for (who, name), several in list(found.items()):
        each = next(each for each in sets if each.name == name)
        finished = [file for file in several if not _untouched(file.notebook, each)] or several[:1]
        exact = [file for file in finished if file.path.name == f"{name}.ipynb"]
        versions = sorted(exact or finished, key=lambda file: _version(file.path))
        found[who, name] = versions[-1]
        if len(versions) > 1 and _version(versions[-1].path) == _version(versions[-2].path):
            del found[who, name]
            reasons[who, name] = (
                f"Not marked: {len(versions)} notebooks could be meant, "
                f"{' and '.join(str(file.path) for file in versions[:3])}."
            )
        left += [f"{file.path}: {versions[-1].path} counts" for file in several
                 if file is not versions[-1]]  # fmt: skip
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
        elif entry.suffix == ".zip":
            try:
                archive = zipfile.ZipFile(io.BytesIO(read_bytes(entry)))
                for info in archive.infolist():
                    parts = Path(info.filename).parts
                    if not info.is_dir() and not any(p.startswith(SKIPPED) for p in parts):
                        yield File(path.joinpath(*parts), partial(_unzip, archive, info))
            except (zipfile.BadZipFile, NotASubmission) as error:
                left.append(f"{path}: {error}")
        else:
            yield File(path, partial(read_bytes, entry))


def _unzip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > LARGEST:
        raise NotASubmission(f"it is larger than {LARGEST >> 20} MB")
    try:
        return archive.read(info)
    except (RuntimeError, zipfile.BadZipFile, OSError) as error:
        raise NotASubmission(f"it cannot be read: {error}") from error


def owner(name: str, platforms=PLATFORMS) -> tuple[str, str, str]:
    """Whose a file or folder of this name is, the platform's number for them, and the rest."""
    for pattern in platforms:
        if match := pattern.fullmatch(name):
            parts = match.groupdict()
            return parts["who"].strip(" ."), parts.get("id") or "", parts["rest"]
    return name, "", name


def _gradescope(files: list[File]) -> dict[str, str]:
    """Gradescope's folders are called submission_123, and one file says whose they are."""
    text = "".join(f.read().decode("utf-8", "replace") for f in files
                   if f.path.name == "submission_metadata.yml")  # fmt: skip
    found = re.findall(r"^(submission_\d+):.*?:name: (.+?)$", text, flags=re.M | re.S)
    return {folder: name.replace("/", "_").strip(" .\"'") for folder, name in found}


def _number(name: str) -> str:
    """The number of the problem set that a file's name tells, or ""."""
    match = re.search(r"(?:problem[ _-]?set|ps|set)[ _-]?(\d+)", name, re.I)
    return match[1] if match else ""


def _version(path: Path) -> list[int]:
    return [int(n) for n in re.findall(r"Version (\d+)", str(path))]


def _known(notebook: NotebookNode, problem_set: ProblemSet) -> int:
    """How many cells of the problem set are in a notebook; by their names, if at least half."""
    ids = {grade_id(cell) for cell in problem_set.cells if kind(cell) in ("solution", "test")}
    if count := sum(grade_id_of(cell) in ids for cell in notebook.cells):
        return count
    names = {n for c in problem_set.cells if kind(c) == "solution"
             for n in bound_names(without_markers(c.source))}  # fmt: skip
    count = len(names & {n for cell in notebook.cells for n in defined(cell.source)})
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

"""Finding what was handed in. Nothing in it is trusted, its names included."""

import io
import re
import tomllib
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nbformat import NotebookNode

from tools.classroom.problem_sets import ProblemSet
from tools.classroom.reading import Answers, NotASubmission, answers, parse
from tools.classroom.wire import fingerprint

LARGEST = 100 << 20  # bytes; outputs are not looked at
LAYOUTS = tomllib.loads(Path(__file__).with_name("layouts.toml").read_text("utf-8"))["layout"]
SKIPPED = ("__MACOSX", ".")  # what begins so is no student's


@dataclass
class File:
    """A file that was handed in: `path` in the folder, its size, None for what is no plain file,
    what opens it; then whose it is, its own name, what is in it, and the modules beside it."""

    path: Path
    size: int | None
    opened: Callable[[], bytes]
    student: str = ""
    name: str = ""
    digest: str = ""
    notebook: NotebookNode | None = None
    answers: Answers | None = None
    modules: dict[str, bytes] = field(default_factory=dict)

    def read(self) -> bytes:
        """Raises NotASubmission for anything but a plain file of sensible size."""
        if self.size is None or self.size > LARGEST:
            larger = f"it is larger than {LARGEST >> 20} MB"
            raise NotASubmission(larger if self.size else "it cannot be read: it is no plain file")
        try:
            return self.opened()
        except Exception as error:  # each way of packing has its own
            raise NotASubmission(f"it cannot be read: {error}") from error

    def version(self) -> list[int]:
        """Of Teams's folders "Version 2", and the date in Blackboard's names."""
        found = re.findall(r"(?<=Version )\d+|(?<=_attempt_)[\d-]+", str(self.path))
        return [int(number.replace("-", "")) for number in found]


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
    people, found, reasons, modules, left = {}, defaultdict(list), {}, defaultdict(dict), []
    files = [file for file in _files(folder, left) if not _skipped(file.path)]
    entries = [entry for entry in folder.iterdir() if not _skipped(Path(entry.name))]
    if len(entries) == 1 and entries[0].suffix.lower() == ".zip":
        inside = [Path(*file.path.parts[1:]) for file in files]
        if all(len(path.parts) > 1 or owner(path.name)[2] != path.name for path in inside):
            for file, path in zip(files, inside, strict=True):  # everything in one download
                file.path = path
    names = _gradescope(files)
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            who, number, _ = owner(entry.name, folder=True)
            people[names.get(who, who)] = number
    for file in files:
        top, file.name = file.path.parts[0], file.path.name
        flat = top == file.name or top.lower().endswith(".zip")
        who, number, rest = owner(Path(top).stem if flat else top, folder=not flat)
        file.student = names.get(who, who)
        if people.get(file.student, number) != number:  # two of one name
            file.student = f"{file.student} {number}"
        if top == file.name:
            file.name = rest + file.path.suffix
        if file.path.suffix == ".py":
            left.append(f"{file.path}: no notebook, but what one beside it may import")
            with suppress(NotASubmission):
                modules[file.student, file.path.parent][file.name] = file.read()
            continue
        if ".ipynb" not in file.path.name.lower():  # browsers add .txt or .json
            left.append(f"{file.path}: no notebook")
            continue
        people.setdefault(file.student, number)
        meant = [each for each in sets if _number(each.name) == _number(file.name)]
        try:
            content = file.read()
            file.notebook, file.digest = parse(content), fingerprint(content)
            every = ((answers(file.notebook, each), each.name) for each in sets)
            file.answers, best = max(every, key=lambda pair: pair[0].known)
            if not file.answers.known:
                raise NotASubmission(f"it has no cell of {(meant or sets)[0].name}")
        except NotASubmission as error:
            left.append(f"{file.path}: {error}")
            for each in meant:
                reasons.setdefault((file.student, each.name), f"Not marked: {error}.")
            continue
        found[file.student, best].append(file)
        if meant and meant[0].name != best:
            reasons[file.student, meant[0].name] = f"Not marked: {file.path.name} is {best}."
    for key, several in list(found.items()):
        finished = [file for file in several if file.answers.any()] or several[:1]
        exact = [file for file in finished if file.name == f"{key[1]}.ipynb"]
        *others, last = sorted(exact or finished, key=File.version)
        found[key], last.modules = last, modules[last.student, last.path.parent]
        if others and last.version() == others[-1].version():
            del found[key]
            names = " and ".join(str(file.path) for file in [*others, last][:3])
            reasons[key] = f"Not marked: {len(others) + 1} notebooks could be meant, {names}."
        left += [f"{file.path}: {last.path} counts" for file in several if file is not last]
    if not people:
        raise ValueError(f"folder: {folder} has nothing in it that a student handed in")
    return {"files": found, "people": people}, reasons, left


def _skipped(path: Path) -> bool:
    return any(part.startswith(SKIPPED) for part in path.parts)


def _files(folder: Path, left: list[str]) -> Iterator[File]:
    """The files below a folder, those in zips included."""
    for entry in sorted(folder.rglob("*")):
        path = entry.relative_to(folder)
        if entry.is_symlink():
            left += [] if _skipped(path) else [f"{path}: a link"]
        elif not entry.is_dir():
            size = entry.stat().st_size if entry.is_file() else None
            yield from _unzipped(File(path, size, entry.read_bytes), left)


def _unzipped(file: File, left: list[str], deep: int = 0) -> Iterator[File]:
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
        path = file.path.joinpath(*(p for p in path.split("/") if p not in ("", ".", "..")))
        if not info.is_dir():
            inside = File(path, info.file_size, partial(archive.read, info))
            yield from _unzipped(inside, left, deep + 1)


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
    told = [file.read() for file in files if file.path.name == "submission_metadata.yml"]
    text = b"".join(told).decode("utf-8", "replace")
    found = re.findall(r"^(submission_\d+):.*?:name: (.+?)$", text, flags=re.M | re.S)
    return {folder: name.replace("/", "_").strip(" .\"'") for folder, name in found}


def _number(name: str) -> str:
    """The number of the problem set that a file's name tells, or ""."""
    return "".join(re.findall(r"(?i)(?:problem[ _-]?set|ps|set)[ _-]?(\d+)", name)[:1])

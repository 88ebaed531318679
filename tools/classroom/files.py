"""The files that were handed in, those in zips included. Nothing in them is trusted."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from nbformat import NotebookNode

from tools.classroom.problem_sets import ProblemSet
from tools.classroom.reading import Answers, NotASubmission, answers, parse
from tools.classroom.wire import fingerprint

LARGEST = 100 << 20  # bytes; outputs are not looked at
MOST = 10_000  # files in a zip
MODULES = 1 << 20  # bytes of a student's own modules
SKIPPED = ("__MACOSX", ".")  # what begins so is no student's


@dataclass
class File:
    """A file that was handed in: `path` in the folder, its size, None for what is no plain file,
    what opens it; of a notebook what is in it, its set, and why it cannot be read; then its own
    name, whether it lies in no folder of its student's, whose it is, the modules beside it, and the
    other notebooks with answers to the same set, of which it counts."""

    path: Path
    size: int | None
    opened: Callable[[], bytes]
    digest: str = ""
    notebook: NotebookNode | None = None
    answers: Answers | None = None
    set: str = ""
    error: str = ""
    name: str = ""
    flat: bool = False
    student: str = ""
    modules: dict[str, bytes] = field(default_factory=dict)
    instead_of: list[str] = field(default_factory=list)

    def read(self) -> bytes:
        """Raises NotASubmission for anything but a plain file of sensible size."""
        if self.size is None or self.size > LARGEST:
            larger = f"it is larger than {LARGEST >> 20} MB"
            raise NotASubmission(larger if self.size else "it cannot be read: it is no plain file")
        try:
            return self.opened()
        except Exception as error:  # each way of packing has its own
            raise NotASubmission(f"it cannot be read: {error}") from error

    def is_notebook(self) -> bool:
        return ".ipynb" in self.path.name.lower()  # browsers add .txt or .json

    def look(self, sets: list[ProblemSet]) -> None:
        """Find out which set it is: the one of which it has the most cells."""
        try:
            content = self.read()
            self.notebook, self.digest = parse(content), fingerprint(content)
            every = ((answers(self.notebook, each), each.name) for each in sets)
            self.answers, best = max(every, key=lambda pair: pair[0].known)
            self.set = best if self.answers.known else ""
        except Exception as error:  # of what students write, something will be new
            known = isinstance(error, NotASubmission)
            self.error = str(error) if known else f"it cannot be read: {type(error).__name__}"

    def version(self) -> list[int]:
        """Of Teams's folders "Version 2", and the date in Blackboard's names."""
        found = re.findall(r"(?<=Version )\d+|(?<=_attempt_)[\d-]+", str(self.path))
        return [int(number.replace("-", "")) for number in found]


def files_in(folder: Path, left: list[str]) -> Iterator[File]:
    """The files below a folder, those in zips included."""
    for entry in sorted(folder.rglob("*")):
        path = entry.relative_to(folder)
        if skipped(path) or entry.is_symlink():
            left += [] if skipped(path) else [f"{path}: a link"]
        elif not entry.is_dir():
            size = entry.stat().st_size if entry.is_file() else None
            inside = _unzipped(File(path, size, entry.read_bytes), left)
            yield from (file for file in islice(inside, MOST) if not skipped(file.path))
            left += [f"{path}: more than {MOST:,} files are in it"] * (next(inside, 0) != 0)


def skipped(path: Path) -> bool:
    return any(part.startswith(SKIPPED) for part in path.parts)


def _unzipped(file: File, left: list[str], deep: int = 0) -> Iterator[File]:
    """The file, or what is in it if it is a zip."""
    if file.path.suffix.lower() != ".zip" or deep > 2:
        yield file
        return
    try:
        archive = zipfile.ZipFile(io.BytesIO(file.read()))
    except Exception as error:  # each way of packing has its own
        left.append(f"{file.path}: {error}")
        return
    for info in archive.infolist():
        path = info.filename.replace("\\", "/")  # some on Windows write the other one
        path = file.path.joinpath(*(p for p in path.split("/") if p not in ("", ".", "..")))
        if not info.is_dir():
            inside = File(path, info.file_size, partial(archive.read, info))
            yield from _unzipped(inside, left, deep + 1)

"""Finding and reading what was handed in. Nothing in it is trusted, its names included."""

import os
import stat
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.classroom.problem_sets import (
    ProblemSet,
    grade_id,
    kind,
    split_tests,
    without_solution,
)

LARGEST = 10 << 20  # bytes; pictures may be in it
MOST = 300  # cells of a student's own


class NotASubmission(ValueError):
    """What was handed in cannot be marked; the message says why."""


@dataclass
class Answers:
    """The student's cells: `solutions` and `open` by grade_id; `own` holds (after, source), the
    student's own code and the position in the problem set of the cell that it follows. `notes`
    say what was not as it had been handed out."""

    solutions: dict[str, str] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)
    own: list[tuple[int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def students(folder: Path) -> list[Path]:
    """The folder of each student in a folder of submissions, nbgrader's course folder included.

    Raises ValueError where there is none.
    """
    folder = folder / "submitted" if (folder / "submitted").is_dir() else folder
    if not folder.is_dir():
        raise ValueError(f"folder: {folder} is not a folder, expected one with submissions")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(f"folder: {folder} has no folders in it, expected one for each student")
    return found


def find(student: Path, name: str) -> Path | None:
    """The student's notebook for the problem set `name`: NAME.ipynb or NAME/NAME.ipynb.

    A name that begins so, as in "NAME (1).ipynb", is taken where it is the only one. Returns None
    where nothing was handed in. Raises NotASubmission where it is not clear which one counts.
    """
    places = [place for place in (student / name, student) if _is_folder(place)]
    for place in places:
        if os.path.lexists(place / f"{name}.ipynb"):
            return place / f"{name}.ipynb"
    close = [
        entry
        for place in places
        for entry in sorted(place.iterdir())
        if entry.name.startswith(name) and entry.name.endswith(".ipynb")
        and not entry.name[len(name)].isdigit()
    ]  # fmt: skip
    if len(close) > 1:
        raise NotASubmission(f"{len(close)} notebooks could be meant, and none is {name}.ipynb")
    return close[0] if close else None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def read_bytes(path: Path) -> bytes:
    """The file's contents. Raises NotASubmission for anything but a plain file of sensible size."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        if path.is_symlink():
            raise NotASubmission("it is a link to another file")
        with open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise NotASubmission("it is no plain file")
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise NotASubmission(f"it cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise NotASubmission(f"it is larger than {LARGEST >> 20} MB")
    return content


def parse(content: bytes) -> NotebookNode:
    """The notebook in these bytes. Raises NotASubmission where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old notebooks
            notebook = nbformat.reads(content.decode("utf-8-sig"), as_version=4)
        for cell in notebook.cells:
            if not isinstance(cell.source, str) or not isinstance(cell.metadata, dict):
                raise TypeError("a cell has no text")
    except (Exception, RecursionError) as error:
        raise NotASubmission(f"it is not a notebook ({type(error).__name__})") from error
    return notebook


def answers(notebook: NotebookNode, problem_set: ProblemSet) -> Answers:
    """The student's own cells in a submission.

    Solution and open cells are known by their grade_id, wherever they stand. Where a grade_id comes
    twice the last cell that was changed counts, as it would when the notebook is run from top to
    bottom. Test cells are left out: the problem set's own are run. Any other code cell that was not
    handed out is the student's own.

    Raises NotASubmission where there is no cell of this problem set.
    """
    found, position = Answers(), -1
    known = {grade_id(c): (n, c) for n, c in enumerate(problem_set.cells) if _is_graded(c)}
    given = {c.source.strip(): n for n, c in enumerate(problem_set.cells) if kind(c) == "given"}
    met = []
    for cell in notebook.cells:
        this, source = _grade_id(cell), cell.source
        if this in known and cell.cell_type == known[this][1].cell_type:
            position, original = known[this]
            met.append(this)
            part = kind(original)
            if part == "test":
                if source.strip() != split_tests(original.source)[0].strip():
                    found.notes.append(f"The test {this} was changed; the original was run.")
            else:
                place = found.solutions if part == "solution" else found.open
                stub = without_solution(original)
                if this not in place or source.strip() != stub.strip():
                    place[this] = source
        elif cell.cell_type == "code" and source.strip() in given:
            position = given[source.strip()]
        elif cell.cell_type == "code" and source.strip():
            found.own.append((position, source))
    if not met:
        raise NotASubmission(f"it has no cell of {problem_set.name}")
    found.notes += [
        f"The cell {this} is there more than once: the last one that you changed counts."
        for this in dict.fromkeys(met)
        if met.count(this) > 1 and kind(known[this][1]) != "test"
    ]
    for this, (_, original) in known.items():
        if this not in met:
            again = "; it was run all the same" if kind(original) == "test" else ""
            found.notes.append(f"The cell {this} is missing{again}.")
    if len(found.own) > MOST:
        found.notes.append(f"Only the first {MOST} of your own {len(found.own)} cells were run.")
        del found.own[MOST:]
    return found


def _is_graded(cell: NotebookNode) -> bool:
    return kind(cell) in ("solution", "test", "open")


def _grade_id(cell: NotebookNode) -> str | None:
    nbgrader = cell.metadata.get("nbgrader")
    this = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return this if isinstance(this, str) else None

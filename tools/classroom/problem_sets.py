"""The problem sets' sources, in nbgrader's form: what each cell is, and what is handed out of it.

notebooks/assignments/source/NAME/NAME.ipynb is executed, with the solutions; NAME.py beside it is
what we edit. The release is for students; the form for self-study for those without a teacher.
"""

import re
import symtable
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import lectures

ASSIGNMENTS = lectures.NOTEBOOKS / "assignments"
SOURCE = ASSIGNMENTS / "source"
RELEASE = lectures.ROOT / "build" / "classroom" / "release"
STUB = {"code": "# YOUR CODE HERE\nraise NotImplementedError()", "markdown": "YOUR ANSWER HERE"}
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION$.*?^[ \t]*### END SOLUTION$", re.S | re.M)
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS$\n(.*?)^### END HIDDEN TESTS$\n?", re.S | re.M)
MARKER = re.compile(r"^[ \t]*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\n?", re.M)


@dataclass(frozen=True)
class ProblemSet:
    """A problem set's cells. `exercises` maps a solution cell's grade_id to those of its tests."""

    name: str
    cells: tuple[NotebookNode, ...]
    exercises: dict[str, list[str]] = field(default_factory=dict)

    def of(self, *kinds: str) -> dict[str | int, NotebookNode]:
        """The cells of these kinds, by their grade_id, or else by their position."""
        return {grade_id(c) or n: c for n, c in enumerate(self.cells) if kind(c) in kinds}

    def points(self, *kinds: str) -> dict[str, int]:
        """grade_id -> points of the cells of these kinds, "test" and "open"."""
        return {this: cell.metadata.nbgrader.points for this, cell in self.of(*kinds).items()}

    @cached_property
    def references(self) -> dict[str, str]:
        """Each exercise's solution."""
        return {this: without_markers(c.source) for this, c in self.of("solution").items()}

    @cached_property
    def functions(self) -> dict[str, str]:
        """The names that the solutions define, and their exercises."""
        return {n: this for this, source in self.references.items() for n in bound_names(source)}

    @cached_property
    def parameters(self) -> dict[str, Sequence[str]]:
        """The names of the arguments of each function."""
        tables = (symtable.symtable(source, "", "exec") for source in self.references.values())
        inner = [each for table in tables for each in table.get_children()]
        return {f.get_name(): f.get_parameters() for f in inner if f.get_type() == "function"}

    @cached_property
    def namespace(self) -> dict:
        """The names that the given cells define, for the tests."""
        return self.run("given")

    def run(self, *kinds: str) -> dict:
        """The names that the cells of these kinds define, with the solutions. Raises ValueError."""
        names = {"__name__": "tests"}
        for cell in self.of(*kinds).values():
            try:
                exec(compile(without_markers(cell.source), "<the problem set>", "exec"), names)
            except Exception as error:
                raise ValueError(f"{self.name}: {error!r} in\n\n{cell.source}") from error
        return names


def kind(cell: NotebookNode) -> str:
    """A cell's part: "text", "hint", "given", "solution", "test" or "open" (marked by hand)."""
    nbgrader = cell.metadata.get("nbgrader", {})
    if nbgrader.get("grade"):
        return "open" if nbgrader.get("solution") else "test"
    if nbgrader.get("solution") or cell.cell_type == "code":
        return "solution" if nbgrader.get("solution") else "given"
    return "hint" if "hint" in cell.metadata.get("tags", []) else "text"


def grade_id(cell: NotebookNode) -> str | None:
    """The cell's name, if it has one, whatever a student made of its metadata."""
    nbgrader = cell.metadata.get("nbgrader")
    this = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return this if isinstance(this, str) else None


def without_solution(cell: NotebookNode) -> str:
    """The cell's source as nbgrader hands it out: a stub for each solution, no hidden tests."""
    stub = STUB.get(cell.cell_type, "").split("\n")
    source = SOLUTION.sub(lambda match: "\n".join(match[1] + line for line in stub), cell.source)
    return split_tests(source)[0]


def split_tests(source: str) -> tuple[str, str]:
    """A test cell's visible tests, as nbgrader leaves them, and its hidden tests."""
    hidden = HIDDEN.search(source)
    return (HIDDEN.sub("", source, 1).removesuffix("\n"), hidden[1]) if hidden else (source, "")


def without_markers(source: str) -> str:
    """The source with solutions and hidden tests in it, but not the lines that enclose them."""
    return MARKER.sub("", source)


def bound_names(source: str) -> list[str]:
    """The names that a cell defines at its top level, but for what it imports."""
    symbols = symtable.symtable(source, "cell", "exec").get_symbols()
    return [each.get_name() for each in symbols if each.is_assigned() and not each.is_imported()]


def from_cells(name: str, cells: list[NotebookNode]) -> ProblemSet:
    """The problem set that consists of these cells.

    Raises ValueError where its form would make marks that cannot be trusted.
    """
    exercises, seen = {}, []
    for cell in cells:
        part, this, left = kind(cell), grade_id(cell) or "", without_solution(cell)
        exercise = next((e for e in reversed(exercises) if this.startswith(e)), None)
        unsolved = part in ("solution", "open") and left == cell.source
        for wrong, words in [
            (this in seen, f"two cells have the grade_id {this!r}"),
            (part == "test" and not exercise, f"the test {this!r} stands before its solution"),
            (unsolved, f"no solution between markers in {this!r}"),
            (
                re.search("### (BEGIN|END)", left),
                f"unpaired or misplaced markers in\n{cell.source}",
            ),
        ]:
            if wrong:
                raise ValueError(f"{name}: {words}")
        seen += [this] if this else []
        if part == "solution":
            exercises[this] = []
        elif part == "test":
            exercises[exercise].append(this)
    if untested := [exercise for exercise, tests in exercises.items() if not tests]:
        raise ValueError(f"{name}: no tests for {', '.join(untested)}")
    return ProblemSet(name, tuple(cells), exercises)


def read(name: str, folder: Path = SOURCE, *, seed: int = 0) -> ProblemSet:
    """The problem set of that name; with a seed, one whose given cells and tests draw others."""
    cells = nbformat.read(folder / name / f"{name}.ipynb", as_version=4).cells
    for cell in cells:
        if seed and kind(cell) in ("given", "test"):
            cell.source = re.sub(r"(manual_seed\([^()]+)\)", rf"\1 + {seed})", cell.source)
    return from_cells(name, cells)


def names(folder: Path = SOURCE) -> list[str]:
    """The problem sets, in the order of the course."""
    return sorted(path.stem for path in folder.glob("*/problem_set_*.py"))


def in_step(name: str, folder: Path = SOURCE) -> bool:
    """Whether NAME.ipynb has the cells of NAME.py, all of them executed."""
    path = folder / name / f"{name}.ipynb"
    code = read(name, folder).of("given", "solution", "test").values() if path.exists() else []
    return bool(code) and all(c.execution_count for c in code) and not lectures.difference(path)


def make(
    *, source: Path = SOURCE, to: Path = RELEASE, study: Path = ASSIGNMENTS, seed: int = 0
) -> None:
    """Bring every source's notebook in step, then write TO/NAME/NAME.ipynb and the self-study form.

    With a `seed` the release draws other numbers; the self-study form stays as it is. Raises
    LectureError where a reference solution fails, ValueError where a source has no proper form or
    the solutions do not pass the tests with this seed.
    """
    for name in names(source):
        path = source / name / f"{name}.ipynb"
        if not in_step(name, source):
            lectures.write(lectures.renewed(path), path)
        problem_set = read(name, source, seed=seed)
        if seed:
            problem_set.run("given", "solution", "test")
        lectures.write(handed_out(problem_set), to / name / path.name)
        lectures.write(self_study(read(name, source)), study / path.name)


def main(seed: str = "0") -> int:
    """`make assignments`."""
    try:
        if not seed.isdecimal():
            raise ValueError(f"SEED: got {seed!r}, expected a whole number")
        make(seed=int(seed))
    except (ValueError, lectures.LectureError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"To hand out: {RELEASE}\nFor self-study: {ASSIGNMENTS}")
    return 0


def handed_out(problem_set: ProblemSet) -> NotebookNode:
    """The release, as nbgrader would make it: no hints, solutions, hidden tests or outputs."""
    cells = deepcopy([cell for cell in problem_set.cells if kind(cell) != "hint"])
    for cell in cells:
        cell.source = without_solution(cell)
    return _notebook(cells)


def self_study(problem_set: ProblemSet) -> NotebookNode:
    """The problem set with every test visible, and folded hints and solutions; no grader needed."""
    cells, later = [], []
    for cell in problem_set.cells:
        part, text = kind(cell), without_markers(cell.source).strip()
        if part == "hint":
            cells.append(_folded("Hint", text))
            continue
        cells += later  # the hints come first
        right = f'{text}\nprint("Right: {grade_id(cell)}.")'
        new = new_code_cell if cell.cell_type == "code" else new_markdown_cell
        cells.append(new(right if part == "test" else without_solution(cell)))
        shown = {"solution": ("Solution", f"```python\n{text}\n```")}
        shown["open"] = "What an answer should have", text
        later = [_folded(*shown[part])] if part in shown else []
    for number, cell in enumerate(cells := cells + later):
        cell.id = f"cell-{number}"  # the same on every run
    return _notebook(cells)


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    made = new_notebook(cells=cells)
    lectures.tidy(made)
    lectures.clear(made)
    return made


def _folded(title: str, text: str) -> NotebookNode:
    """A text cell that shows its title until it is clicked on."""
    return new_markdown_cell(f"<details><summary>{title}</summary>\n\n{text}\n\n</details>")

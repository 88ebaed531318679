"""The problem sets' sources, in nbgrader's form: what each cell is, and what students see of it.

notebooks/assignments/source/NAME/NAME.ipynb is executed, with the solutions; NAME.py beside it is
what we edit.
"""

import ast
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from jupytext.compare import NotebookDifference, compare_notebooks
from jupytext.config import load_jupytext_configuration_file
from nbformat import NotebookNode

from tools import lectures

ASSIGNMENTS = lectures.NOTEBOOKS / "assignments"
SOURCE = ASSIGNMENTS / "source"
STUB = {"code": "# YOUR CODE HERE\nraise NotImplementedError()", "markdown": "YOUR ANSWER HERE"}


@dataclass(frozen=True)
class ProblemSet:
    """A problem set's cells. `exercises` maps a solution cell's grade_id to those of its tests."""

    name: str
    cells: tuple[NotebookNode, ...]
    exercises: dict[str, list[str]] = field(default_factory=dict)

    def points(self, *kinds: str) -> dict[str, int]:
        """grade_id -> points of the cells of these kinds, "test" and "open"."""
        cells = [cell for cell in self.cells if kind(cell) in kinds]
        return {grade_id(cell): cell.metadata.nbgrader.points for cell in cells}

    @cached_property
    def namespace(self) -> dict:
        """The names that the given cells define, for the tests."""
        names = {"__name__": "tests"}
        for cell in self.cells:
            if kind(cell) == "given":
                exec(compile(cell.source, "<the problem set>", "exec"), names)
        return names


def kind(cell: NotebookNode) -> str:
    """A cell's part: "text", "hint", "given", "solution", "test" or "open" (marked by hand)."""
    nbgrader = cell.metadata.get("nbgrader", {})
    if nbgrader.get("solution"):
        return "open" if nbgrader.get("grade") else "solution"
    if nbgrader.get("grade"):
        return "test"
    if cell.cell_type == "code":
        return "given"
    return "hint" if "hint" in cell.metadata.get("tags", []) else "text"


def grade_id(cell: NotebookNode) -> str:
    return cell.metadata.nbgrader.grade_id


def without_solution(cell: NotebookNode) -> str:
    """The cell's source with the stub in the place of each solution, as nbgrader writes it."""

    def stub(match: re.Match) -> str:
        return "\n".join(match[1] + line for line in STUB[cell.cell_type].split("\n"))

    region = r"^([ \t]*)### BEGIN SOLUTION$.*?^[ \t]*### END SOLUTION$"
    return re.sub(region, stub, cell.source, flags=re.DOTALL | re.MULTILINE)


def split_tests(source: str) -> tuple[str, str]:
    """A test cell's visible tests, as nbgrader leaves them, and its hidden tests."""
    region = r"^### BEGIN HIDDEN TESTS$\n(.*?)^### END HIDDEN TESTS$\n?"
    hidden = re.search(region, source, flags=re.DOTALL | re.MULTILINE)
    if hidden is None:
        return source, ""
    return (source[: hidden.start()] + source[hidden.end() :]).removesuffix("\n"), hidden[1]


def without_markers(source: str) -> str:
    """The source with solutions and hidden tests in it, but not the lines that enclose them."""
    return re.sub(r"^[ \t]*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\n?", "", source, flags=re.M)


def bound_names(source: str) -> list[str]:
    """The names that a cell defines at its top level."""
    names = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names += [leaf.id for leaf in ast.walk(node) if _stored(leaf)]
    return names


def arguments_of(source: str, name: str) -> list[str]:
    """The names of the arguments of the function `name` in a cell."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return [argument.arg for argument in node.args.args]
    return []


def _stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def from_cells(name: str, cells: list[NotebookNode]) -> ProblemSet:
    """The problem set that consists of these cells.

    Raises ValueError where its form would make marks that cannot be trusted.
    """
    exercises, seen = {}, set()
    for cell in cells:
        part, source = kind(cell), cell.source
        if part in ("solution", "test", "open"):
            this = grade_id(cell)
            if this in seen:
                raise ValueError(f"{name}: two cells have the grade_id {this!r}")
            seen.add(this)
        if part == "solution":
            exercises[this] = []
        elif part == "test":
            exercise = next((e for e in reversed(exercises) if this.startswith(e)), None)
            if exercise is None:
                raise ValueError(f"{name}: the test {this!r} stands before its solution")
            exercises[exercise].append(this)
        left = without_solution(cell) if part in ("solution", "open") else source
        left = split_tests(left)[0] if part == "test" else left
        if "### BEGIN" in left or "### END" in left:
            raise ValueError(f"{name}: unpaired or misplaced markers in\n{source}")
        if part in ("solution", "open") and left == source:
            raise ValueError(f"{name}: no solution between markers in {this!r}")
    untested = [exercise for exercise, tests in exercises.items() if not tests]
    if untested:
        raise ValueError(f"{name}: no tests for {', '.join(untested)}")
    return ProblemSet(name, tuple(cells), exercises)


def read(name: str, folder: Path = SOURCE) -> ProblemSet:
    """The problem set of that name."""
    return from_cells(name, nbformat.read(folder / name / f"{name}.ipynb", as_version=4).cells)


def names(folder: Path = SOURCE) -> list[str]:
    """The problem sets, in the order of the course."""
    return sorted(path.stem for path in folder.glob("*/problem_set_*.py"))


def from_text(name: str, folder: Path = SOURCE) -> NotebookNode:
    """The notebook that NAME.py describes, without outputs."""
    config = load_jupytext_configuration_file(str(SOURCE / "jupytext.toml"))
    return jupytext.read(folder / name / f"{name}.py", fmt="py:percent", config=config)


def in_step(name: str, folder: Path = SOURCE) -> bool:
    """Whether NAME.ipynb has the cells of NAME.py, all of them executed."""
    path = folder / name / f"{name}.ipynb"
    if not path.exists():
        return False
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("language_info", None)  # written by the execution
    try:
        compare_notebooks(notebook, from_text(name, folder), "py:percent", compare_outputs=False)
    except NotebookDifference:
        return False
    return all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")


def remake(name: str, folder: Path = SOURCE) -> None:
    """Execute NAME.py into NAME.ipynb. Raises LectureError where a cell fails."""
    path, notebook = folder / name / f"{name}.ipynb", from_text(name, folder)
    if path.exists():  # keeps the cells' ids
        old = nbformat.read(path, as_version=4)
        notebook = combine_inputs_with_outputs(notebook, old, "py:percent")
    lectures.write(lectures.execute(notebook, name=name, folder=path.parent), path)

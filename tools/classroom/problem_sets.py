"""The problem sets' sources, in nbgrader's form: what each cell is, and what is handed out of it.

notebooks/assignments/source/NAME/NAME.ipynb is executed, with the solutions; NAME.py beside it is
what we edit. The release is for students; the form for self-study for those without a teacher.
"""

import ast
import re
import sys
import threading
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nbformat
from jupytext.combine import combine_inputs_with_outputs
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import lectures

ASSIGNMENTS = lectures.NOTEBOOKS / "assignments"
SOURCE = ASSIGNMENTS / "source"
RELEASE = lectures.ROOT / "build" / "classroom" / "release"
STUB = {"code": "# YOUR CODE HERE\nraise NotImplementedError()", "markdown": "YOUR ANSWER HERE"}
SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION$.*?^[ \t]*### END SOLUTION$", re.S | re.M)
_parsing = threading.Lock()
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS$\n(.*?)^### END HIDDEN TESTS$\n?", re.S | re.M)


@dataclass(frozen=True)
class ProblemSet:
    """A problem set's cells. `exercises` maps a solution cell's grade_id to those of its tests."""

    name: str
    cells: tuple[NotebookNode, ...]
    exercises: dict[str, list[str]] = field(default_factory=dict)

    def of(self, *kinds: str) -> dict[str | int, NotebookNode]:
        """The cells of these kinds, by their grade_id, or else by their position."""
        found = {}
        for position, cell in enumerate(self.cells):
            if kind(cell) in kinds:
                found[cell.metadata.get("nbgrader", {}).get("grade_id", position)] = cell
        return found

    def points(self, *kinds: str) -> dict[str, int]:
        """grade_id -> points of the cells of these kinds, "test" and "open"."""
        return {this: cell.metadata.nbgrader.points for this, cell in self.of(*kinds).items()}

    @property
    def tests(self) -> list[tuple[str, str]]:
        """Each test, by its exercise and its own grade_id."""
        return [(exercise, this) for exercise, its in self.exercises.items() for this in its]

    @cached_property
    def references(self) -> dict[str, str]:
        """Each exercise's solution."""
        return {this: without_markers(c.source) for this, c in self.of("solution").items()}

    @cached_property
    def functions(self) -> dict[str, str]:
        """The names that the solutions define, and their exercises."""
        return {n: this for this, source in self.references.items() for n in bound_names(source)}

    def parameters(self, function: str) -> list[str]:
        """The names of a solution's arguments."""
        tree = syntax(self.references[self.functions[function]])
        return [argument.arg for node in tree.body if getattr(node, "name", "") == function
                for argument in node.args.args]

    @cached_property
    def namespace(self) -> dict:
        """The names that the given cells define, for the tests."""
        names = {"__name__": "tests"}
        for cell in self.of("given").values():
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
    stub = STUB[cell.cell_type].split("\n")
    return SOLUTION.sub(lambda match: "\n".join(match[1] + line for line in stub), cell.source)


def split_tests(source: str) -> tuple[str, str]:
    """A test cell's visible tests, as nbgrader leaves them, and its hidden tests."""
    hidden = HIDDEN.search(source)
    return (HIDDEN.sub("", source, 1).removesuffix("\n"), hidden[1]) if hidden else (source, "")


def without_markers(source: str) -> str:
    """The source with solutions and hidden tests in it, but not the lines that enclose them."""
    return re.sub(r"^[ \t]*### (BEGIN|END) (SOLUTION|HIDDEN TESTS)\n?", "", source, flags=re.M)


def syntax(source: str) -> ast.Module:
    """The code's tree; in Python 3.11, two threads that parse at once may end in a SystemError."""
    with _parsing:
        return ast.parse(source)


def bound_names(source: str) -> list[str]:
    """The names that a cell defines at its top level."""
    names = []
    for node in syntax(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            stored = (leaf for leaf in ast.walk(node) if isinstance(leaf, ast.Name))
            names += [leaf.id for leaf in stored if isinstance(leaf.ctx, ast.Store)]
    return names


def from_cells(name: str, cells: list[NotebookNode]) -> ProblemSet:
    """The problem set that consists of these cells.

    Raises ValueError where its form would make marks that cannot be trusted.
    """
    exercises, seen = {}, set()
    for cell in cells:
        part, left = kind(cell), cell.source
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
            left = split_tests(left)[0]
        if part in ("solution", "open"):
            left = without_solution(cell)
            if left == cell.source:
                raise ValueError(f"{name}: no solution between markers in {this!r}")
        if "### BEGIN" in left or "### END" in left:
            raise ValueError(f"{name}: unpaired or misplaced markers in\n{cell.source}")
    untested = [exercise for exercise, tests in exercises.items() if not tests]
    if untested:
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
    if not path.exists() or lectures.difference(path):
        return False
    cells = nbformat.read(path, as_version=4).cells
    return all(cell.execution_count for cell in cells if cell.cell_type == "code")


def remake(name: str, folder: Path = SOURCE) -> None:
    """Execute NAME.py into NAME.ipynb. Raises LectureError where a cell fails."""
    path = folder / name / f"{name}.ipynb"
    notebook = lectures.read_source(path)
    if path.exists():  # keeps the cells' ids
        old = nbformat.read(path, as_version=4)
        notebook = combine_inputs_with_outputs(notebook, old, "py:percent")
    lectures.write(lectures.execute(notebook, name=name, folder=path.parent), path)


def make(
    *, source: Path = SOURCE, to: Path = RELEASE, study: Path = ASSIGNMENTS, seed: int = 0
) -> None:
    """Bring every source's notebook in step, then write TO/NAME/NAME.ipynb and the self-study form.

    With a `seed` the release draws other numbers; the self-study form stays as it is. Raises
    LectureError where a reference solution fails, ValueError where a source has no proper form or
    the solutions do not pass the tests with this seed.
    """
    for name in names(source):
        if not in_step(name, source):
            remake(name, source)
        written = {study / f"{name}.ipynb": self_study(read(name, source))}
        problem_set = read(name, source, seed=seed)
        if seed:
            passes(problem_set)
        written[to / name / f"{name}.ipynb"] = handed_out(problem_set)
        for path, form in written.items():
            if not path.exists() or nbformat.read(path, as_version=4) != form:
                lectures.write(form, path)


def main(seed: str = "0") -> int:
    """`make assignments`."""
    try:
        make(seed=int(seed))
    except (ValueError, lectures.LectureError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"To hand out: {RELEASE}\nFor self-study: {ASSIGNMENTS}")
    return 0


def passes(problem_set: ProblemSet) -> None:
    """Run the set with its solutions. Raises ValueError where a test does not pass."""
    names = {"__name__": "reference"}
    for cell in problem_set.of("given", "solution", "test").values():
        try:
            exec(compile(without_markers(cell.source), "<the problem set>", "exec"), names)
        except Exception as error:
            raise ValueError(f"{problem_set.name}: {error!r} in\n\n{cell.source}") from error


def handed_out(problem_set: ProblemSet) -> NotebookNode:
    """The release, as nbgrader would make it: no hints, solutions, hidden tests or outputs."""
    cells = deepcopy([cell for cell in problem_set.cells if kind(cell) != "hint"])
    for cell in cells:
        if kind(cell) in ("solution", "open"):
            cell.source = without_solution(cell)
        elif kind(cell) == "test":
            cell.source = split_tests(cell.source)[0]
    return notebook(cells)


def notebook(cells: list[NotebookNode]) -> NotebookNode:
    """A notebook of these cells, without outputs."""
    metadata = {"kernelspec": lectures.KERNEL, "language_info": {"name": "python"}}
    made = new_notebook(cells=cells, metadata=metadata)
    lectures.clear(made)
    return made


def self_study(problem_set: ProblemSet) -> NotebookNode:
    """The problem set with every test visible, and folded hints and solutions; no grader needed."""
    cells, solution = [], []
    for cell in problem_set.cells:
        part, text = kind(cell), without_markers(cell.source).rstrip()
        if part == "hint":
            cells.append(folded("Hint", text))
            continue
        cells += solution  # the hints come first
        solution = []
        if part == "solution":
            cells.append(new_code_cell(without_solution(cell)))
            solution = [folded("Solution", f"```python\n{text}\n```")]
        elif part == "open":
            cells.append(new_markdown_cell(without_solution(cell)))
            cells.append(folded("What an answer should have", text))
        elif part == "test":
            right = f'print("Right: {grade_id(cell)}.")'
            cells.append(new_code_cell(f"{text}\n{right}"))
        else:
            cells.append({"given": new_code_cell, "text": new_markdown_cell}[part](cell.source))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # the same on every run
    return notebook(cells)


def folded(title: str, text: str) -> NotebookNode:
    """A text cell that shows its title until it is clicked on."""
    return new_markdown_cell(f"<details><summary>{title}</summary>\n\n{text.strip()}\n\n</details>")

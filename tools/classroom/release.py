"""What is handed out: the release, and the form for those without a teacher."""

import sys
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import lectures
from tools.classroom import problem_sets
from tools.classroom.problem_sets import (
    ASSIGNMENTS,
    SOURCE,
    ProblemSet,
    kind,
    split_tests,
    without_markers,
    without_solution,
)

RELEASE = lectures.ROOT / "build" / "classroom" / "release"


def make(
    *, source: Path = SOURCE, to: Path = RELEASE, study: Path = ASSIGNMENTS, seed: int = 0
) -> None:
    """Bring every source's notebook in step, then write TO/NAME/NAME.ipynb and the self-study form.

    With a `seed` the release draws other numbers; the self-study form stays as it is. Raises
    LectureError where a reference solution fails, ValueError where a source has no proper form or
    the solutions do not pass the tests with this seed.
    """
    for name in problem_sets.names(source):
        if not problem_sets.in_step(name, source):
            problem_sets.remake(name, source)
        written = {study / f"{name}.ipynb": self_study(problem_sets.read(name, source))}
        problem_set = problem_sets.read(name, source, seed=seed)
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
            right = f'print("Right: {problem_sets.grade_id(cell)}.")'
            cells.append(new_code_cell(f"{text}\n{right}"))
        else:
            cells.append({"given": new_code_cell, "text": new_markdown_cell}[part](cell.source))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # the same on every run
    return notebook(cells)


def folded(title: str, text: str) -> NotebookNode:
    """A text cell that shows its title until it is clicked on."""
    return new_markdown_cell(
        f"<details><summary>{title}</summary>\n\n{text.strip()}\n\n</details>"
    )

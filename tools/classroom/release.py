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


def make(*, source: Path = SOURCE, to: Path = RELEASE, study: Path = ASSIGNMENTS) -> None:
    """Bring every source's notebook in step, then write TO/NAME/NAME.ipynb and the self-study form.

    Raises LectureError where a reference solution fails, ValueError where a source has no proper
    form.
    """
    for name in problem_sets.names(source):
        if not problem_sets.in_step(name, source):
            problem_sets.remake(name, source)
        problem_set = problem_sets.read(name, source)
        for form, path in ((handed_out(problem_set), to / name / f"{name}.ipynb"),
                           (self_study(problem_set), study / f"{name}.ipynb")):  # fmt: skip
            if not path.exists() or nbformat.read(path, as_version=4) != form:
                lectures.write(form, path)


def main() -> int:
    """`make assignments`."""
    try:
        make()
    except (ValueError, lectures.LectureError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"To hand out: {RELEASE}\nFor self-study: {ASSIGNMENTS}")
    return 0


def handed_out(problem_set: ProblemSet) -> NotebookNode:
    """The release, as nbgrader would make it: no hints, solutions, hidden tests or outputs."""
    cells = deepcopy([cell for cell in problem_set.cells if kind(cell) != "hint"])
    for cell in cells:
        if kind(cell) in ("solution", "open"):
            cell.source = without_solution(cell)
        elif kind(cell) == "test":
            cell.source = split_tests(cell.source)[0]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook(cells)


def notebook(cells: list[NotebookNode]) -> NotebookNode:
    return new_notebook(
        cells=cells,
        metadata={"kernelspec": lectures.KERNEL, "language_info": {"name": "python"}},
    )


def self_study(problem_set: ProblemSet) -> NotebookNode:
    """The problem set with every test visible, and folded hints and solutions; no grader needed."""
    cells, solution = [], None
    for cell in problem_set.cells:
        part, tests = kind(cell), without_markers(cell.source).rstrip()
        if solution is not None and part != "hint":  # the hints come first
            cells.append(solution)
            solution = None
        if part == "hint":
            cells.append(folded("Hint", cell.source))
        elif part == "solution":
            cells.append(new_code_cell(without_solution(cell)))
            solution = folded("Solution", f"```python\n{tests}\n```")
        elif part == "open":
            cells.append(new_markdown_cell(without_solution(cell)))
            cells.append(folded("What an answer should have", tests))
        elif part == "test":
            right = f'print("Right: {problem_sets.grade_id(cell)}.")'
            cells.append(new_code_cell(f"{tests}\n{right}"))
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

"""What is handed out: the release, made by nbgrader, and the form for those without a teacher."""

import os
import shutil
import subprocess
import sys
import tempfile
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
MARKS = ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS")


def make(nbgrader: Path, *, source: Path = SOURCE, to: Path = RELEASE, study: Path = ASSIGNMENTS):
    """Bring every source's notebook in step, then write the releases and the self-study forms.

    nbgrader: the Python of an environment that has it. Raises LectureError where a reference
    solution fails, and ValueError where a source has no proper form.
    """
    sets = []
    for name in problem_sets.names(source):
        if not problem_sets.in_step(name, source):
            problem_sets.remake(name, source)
        sets.append(problem_sets.read(name, source))
        path = study / f"{name}.ipynb"
        form = self_study(sets[-1])
        if not path.exists() or nbformat.read(path, as_version=4) != form:
            lectures.write(form, path)
    release(sets, nbgrader, to=to)


def main(nbgrader: Path) -> int:
    """`make assignments`."""
    try:
        make(nbgrader)
    except (ValueError, lectures.LectureError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"To hand out: {RELEASE}\nFor self-study: {ASSIGNMENTS}")
    return 0


def release(sets: list[ProblemSet], nbgrader: Path, *, to: Path = RELEASE) -> None:
    """Write TO/NAME/NAME.ipynb for every set: all of them, or, after a failure, none.

    nbgrader works in a folder of its own, in which there is nothing that could leak.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".release-") as folder:
        course = Path(folder)
        shutil.copy(ASSIGNMENTS / "nbgrader_config.py", course)
        for each in sets:
            cells = [cell for cell in each.cells if kind(cell) != "hint"]
            lectures.write(notebook(cells), course / "source" / each.name / f"{each.name}.ipynb")
        done = subprocess.run(
            [nbgrader, "-m", "nbgrader", "generate_assignment", "--assignment=*", "--no-db"],
            cwd=course, env=os.environ | {"JUPYTER_CONFIG_DIR": str(course / "none")},
            text=True, capture_output=True,
        )  # fmt: skip
        if done.returncode:
            raise ValueError(f"nbgrader could not make the release:\n{done.stdout}{done.stderr}")
        for each in sets:
            path = course / "release" / each.name / f"{each.name}.ipynb"
            if found := leaks(nbformat.read(path, as_version=4), each):
                raise ValueError(f"{each.name} must not be handed out: {found}")
        if to.exists():
            to.rename(course / "old")
        (course / "release").rename(to)


def notebook(cells: list[NotebookNode]) -> NotebookNode:
    return new_notebook(
        cells=cells,
        metadata={"kernelspec": lectures.KERNEL, "language_info": {"name": "python"}},
    )


def leaks(released: NotebookNode, problem_set: ProblemSet) -> str:
    """What of the solutions, hidden tests and outputs is in a released notebook; "" if nothing."""
    text = "\n".join(cell.source for cell in released.cells)
    for mark in MARKS:
        if mark in text:
            return f"it has {mark!r} in it"
    for cell in problem_set.cells:
        part = kind(cell)
        secret = {
            "solution": lambda: _removed(cell.source, without_solution(cell)),
            "open": lambda: _removed(cell.source, without_solution(cell)),
            "test": lambda: split_tests(cell.source)[1].splitlines(),
            "hint": lambda: cell.source.splitlines(),
        }.get(part, list)()
        secret = [line for line in map(str.strip, secret) if len(line) > 20]
        kept = {line.strip() for line in text.splitlines()}
        shown = {line.strip() for c in problem_set.cells for line in _shown(c).splitlines()}
        if found := [line for line in secret if line in kept and line not in shown]:
            return f"of {part} cell {cell.metadata.get('nbgrader', {}).get('grade_id')}: {found[0]}"
    if any(cell.get("outputs") or cell.get("execution_count") for cell in released.cells):
        return "it has outputs"
    return ""


def _removed(source: str, stub: str) -> list[str]:
    """The lines of `source` that are not in `stub`."""
    return [line for line in source.splitlines() if line not in stub.splitlines()]


def _shown(cell: NotebookNode) -> str:
    """What students see of a cell."""
    part = kind(cell)
    if part in ("solution", "open"):
        return without_solution(cell)
    return split_tests(cell.source)[0] if part == "test" else "" if part == "hint" else cell.source


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

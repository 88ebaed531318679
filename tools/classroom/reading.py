"""Reading a notebook that was handed in: which of its cells are the student's."""

import ast
import json
import re
import warnings
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from tools.classroom.problem_sets import (
    ProblemSet,
    bound_names,
    grade_id,
    kind,
    split_tests,
    syntax,
    without_solution,
)

MOST = 300  # cells of code


class NotASubmission(ValueError):
    """What was handed in cannot be marked; the message says why."""


@dataclass
class Answers:
    """The student's code, as `cells` (after, source, exercise): the position in the problem set of
    the cell that it follows, and the grade_id of the exercise that it answers, or None. `open` has
    the texts by grade_id, and None for no answer; `notes` say what was not as handed out."""

    cells: list[tuple[int, str, str | None]] = field(default_factory=list)
    open: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def parse(content: bytes) -> NotebookNode:
    """The notebook in these bytes, without outputs. Raises NotASubmission where there is none."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        raw = json.loads(content.decode(encoding))
        for cell in [c for sheet in raw.get("worksheets", [raw]) for c in sheet["cells"]]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
            if raw["nbformat"] < 4:
                cell.pop("execution_count", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old notebooks
            notebook = nbformat.reads(json.dumps(raw), as_version=4)
        for cell in notebook.cells:
            cell.source = cell.source.replace("\r\n", "\n")
            if not isinstance(cell.metadata, dict):
                raise TypeError("a cell has no metadata")
    except (Exception, RecursionError) as error:
        raise NotASubmission(f"it is not a notebook ({type(error).__name__})") from error
    return notebook


def answers(notebook: NotebookNode, problem_set: ProblemSet) -> Answers:
    """The student's own cells in a submission, as the notebook runs from top to bottom.

    Cells are known by their grade_id, wherever they stand and whatever kind they have become; where
    it is lost, by the function that they define or the test that they are. Test cells are left out,
    but for functions added to them: the problem set's own are run.

    Raises NotASubmission where there is no cell of this problem set.
    """
    known, opened = problem_set.of("solution", "test", "open"), list(problem_set.of("open"))
    place = {grade_id(c): n for n, c in enumerate(problem_set.cells) if "nbgrader" in c.metadata}
    handed = {form(c.source): n for n, c in problem_set.of("text", "given", "hint").items()}
    tests = {form(split_tests(c.source)[0]): this for this, c in problem_set.of("test").items()}
    named = {grade_id_of(cell) for cell in notebook.cells}
    functions = {n: this for n, this in problem_set.functions.items() if this not in named}
    found, position, met, copied = Answers(open={this: [] for this in opened}), -1, [], []
    for cell in notebook.cells:
        this, source = grade_id_of(cell), cell.source
        if this not in known:
            this = tests.get(form(source))
        if this is None and cell.cell_type != "markdown":
            this = next((functions[n] for n in defined(source) if n in functions), None)
        if this is None:
            if form(source) in handed:
                position = handed[form(source)]
            elif cell.cell_type == "code" and source.strip():
                _add(found.cells, (position, source, None))
            elif opened and position >= place[opened[-1]] - 1:
                found.open[opened[-1]].append(_with_pictures(cell))
            continue
        position, original = place[this], known[this]
        met.append(this)
        if kind(original) == "open":
            found.open[this].append(_with_pictures(cell))
        elif kind(original) == "solution":
            if source.strip() != without_solution(original).strip():
                _add(found.cells, (position, source, this))
                if used := re.search(original.metadata.get("without", "$^"), form(source)):
                    found.notes.append(f"The cell {this} has {used[0]}, which was not to be used.")
                reference = problem_set.references[this]
                if reference.count("\n") > 12 and form(source) == form(reference):
                    copied.append(this)
        elif form(source) != form(split_tests(original.source)[0]):
            found.notes.append(f"The test {this} was changed; the original was run.")
            if added := _added(source, original.source):
                found.cells.append((position - 1, added, this))
    if not met:
        raise NotASubmission(f"it has no cell of {problem_set.name}")
    for this, original in known.items():
        if kind(original) == "open":
            stub = without_solution(original).strip()
            parts = [part.replace(stub, "").strip() for part in found.open[this]]
            found.open[this] = "\n\n".join(filter(None, parts)) or None
        elif met.count(this) > 1 and kind(original) == "solution":
            found.notes.append(f"The cell {this} is there more than once: all were run, in turn.")
        if this not in met and named != {None}:
            again = "; it was run all the same" if kind(original) == "test" else ""
            found.notes.append(f"The cell {this} is missing{again}.")
    if named == {None}:
        found.notes.append("No cell has a grade_id left: they are known by what they define.")
    if copied:
        found.notes.append(f"Word for word the course's own solution: {', '.join(copied)}.")
    if len(found.cells) > MOST:
        found.notes.append(f"Only the first {MOST} of {len(found.cells)} cells were run.")
        del found.cells[MOST:]
    return found


def _add(cells: list[tuple], new: tuple[int, str, str | None]) -> None:
    """Append a cell, or join it to the one before where only both together are code."""
    if cells and (new[1][:1] in " \t" or _tree(new[1]) is None):
        joined = f"{cells[-1][1]}\n{new[1]}"
        if _tree(joined) is not None:
            new = (cells[-1][0], joined, cells.pop()[2])
    cells.append(new)


@cache
def _tree(source: str) -> ast.Module | None:
    """The code's tree, None where it is no code; IPython's magics are code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return syntax(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@cache
def form(source: str) -> str:
    """The same for a cell that was formatted anew, or lost its comments and docstrings."""
    if (tree := _tree(source)) is None or not tree.body:
        return " ".join(source.split())
    plain = deepcopy(tree)
    for node in ast.walk(plain):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and len(node.body) > 1:
            del node.body[0]
    return ast.dump(plain)


def defined(source: str) -> list[str]:
    tree = _tree(source)
    return [] if tree is None else bound_names(ast.unparse(tree))


def _added(source: str, original: str) -> str:
    """The functions and imports that a changed test cell has beyond the original."""
    old = {ast.dump(node) for node in _tree(original).body}
    kinds = ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
    nodes = [node for node in getattr(_tree(source), "body", []) if isinstance(node, kinds)]
    return "\n\n".join(ast.unparse(node) for node in nodes if ast.dump(node) not in old)


def _with_pictures(cell: NotebookNode) -> str:
    """The cell's text, with pictures that were pasted into it."""
    text = cell.source
    for name, kinds in dict(cell.get("attachments") or {}).items():
        for mime, data in dict(kinds).items():
            if mime.startswith("image/") and isinstance(data, str):
                text = text.replace(f"attachment:{name}", f"data:{mime};base64,{data}")
    return text


def grade_id_of(cell: NotebookNode) -> str | None:
    nbgrader = cell.metadata.get("nbgrader")
    this = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return this if isinstance(this, str) else None

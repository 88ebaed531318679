"""Reading a notebook that was handed in: which of its cells are the student's."""

import ast
import json
import re
import threading
import warnings
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from tools.classroom.problem_sets import ProblemSet, bound_names, grade_id, kind, without_solution

NO_CODE = SyntaxError, ValueError, RuntimeError, MemoryError  # IPython's own is a RuntimeError
# Where Python keeps what others defined: no answer needs it, and nothing can forbid it.
INSIDE = re.compile(r"__globals__|__subclasses__|_getframe|f_back|f_globals|tb_frame|gc\.get_\w+")
MAGIC = re.compile(r"(?m)^[ \t]*[%!?/,;]|=[ \t]*[%!]|\?[ \t]*$")
MEASURES = re.compile(r"\A(?:%%(?:time|capture|prun|writefile)\b.*\n)+")
_parsing = threading.Lock()  # in Python 3.11 two threads that parse at once end in a SystemError


class NotASubmission(ValueError):
    """What was handed in cannot be marked; the message says why."""


@dataclass
class Answers:
    """The student's code, as `cells` (after, source, exercise): the position in the problem set of
    the cell that it follows, and the grade_id of the exercise that it answers, or None. `open` has
    the texts by grade_id, and None for no answer; `notes` say what was not as handed out. `known`
    is how many of the set's cells are in the notebook, by their names only if they are many."""

    cells: list[tuple[int, str, str | None]] = field(default_factory=list)
    open: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    known: int = 0

    def any(self) -> bool:
        """Whether anything is answered."""
        return any(exercise for *_, exercise in self.cells) or any(self.open.values())


def parse(content: bytes) -> NotebookNode:
    """The notebook in these bytes, without outputs. Raises NotASubmission where there is none."""
    try:
        raw = json.loads(content)
        for cell in raw.get("cells", []):
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
        with warnings.catch_warnings(action="ignore"):  # old notebooks
            notebook = nbformat.reads(json.dumps(raw), as_version=4)
        for cell in notebook.cells:
            cell.source = cell.source.replace("\r\n", "\n")
            if not isinstance(cell.metadata, dict):
                raise TypeError("a cell has no metadata")
    except (Exception, RecursionError) as error:
        raise NotASubmission(
            f"it cannot be read: it is not a notebook ({type(error).__name__})"
        ) from error
    return notebook


def answers(notebook: NotebookNode, problem_set: ProblemSet) -> Answers:
    """The student's own cells in a submission, as the notebook runs from top to bottom.

    Cells are known by their grade_id, wherever they stand and whatever kind they have become; where
    it is lost, by the function that they define or the text that they were. Test cells are left
    out, but for functions added to them: the problem set's own are run.
    """
    cells, opened = problem_set.cells, [*problem_set.of("open")]
    places = {this: n for n, cell in enumerate(cells) if (this := grade_id(cell))}
    forms = {form(without_solution(cell)): n for n, cell in enumerate(cells)}
    named = {grade_id(cell) for cell in notebook.cells}
    functions = {n: places[this] for n, this in problem_set.functions.items() if this not in named}
    last = max(n for n, cell in enumerate(cells) if kind(cell) in ("test", "solution"))
    found, position, met, copied = Answers(open={this: [] for this in opened}), -1, [], []
    for cell in notebook.cells:
        source = cell.source
        place = places.get(grade_id(cell), forms.get(form(source)))
        if place is None and cell.cell_type != "markdown":
            place = next((functions[n] for n in defined(source) if n in functions), None)
        if place is None:
            text = cell.cell_type != "code" or (position >= last and _prose(source))
            if text and opened and position >= last:
                found.open[opened[-1]].append(_with_pictures(cell, source))
            elif not text and source.strip():
                _add(found.cells, (position, source, None))
            continue
        position, original = place, cells[place]
        this, part, stub = grade_id(original), kind(original), without_solution(original)
        met.append(this)
        if part == "open":
            text = source.replace(stub.strip(), "").strip()
            found.open[this] += [_with_pictures(cell, text)] if text else []
        elif part == "solution" and form(source) != form(stub):
            _add(found.cells, (position, source, this))
            names = {name for name, its in problem_set.functions.items() if its == this}
            made = _made_of(source, names, found.cells[:-1])
            if used := re.search(original.metadata.get("without", "$^"), made):
                found.notes.append(f"The cell {this} has {used[0]}, which was not to be used.")
            reference = problem_set.references[this]
            copied += [this] * (reference.count("\n") > 12 and form(source) == form(reference))
        elif part == "test" and form(source) != form(stub):
            found.notes.append(f"The test {this} was changed; the original was run.")
            if added := _added(source, original.source):
                found.cells.append((position - 1, added, this))
    found.open = {this: "\n\n".join(texts) or None for this, texts in found.open.items()}
    solved = {name for _, source, _ in found.cells for name in defined(source)} & set(functions)
    elsewhere = {problem_set.functions[name] for name in solved}
    for this, place in places.items():
        part = kind(cells[place])
        own = [after for after, _, exercise in found.cells if not exercise and after >= place]
        if part == "open" and not found.open[this] and own:
            found.notes.append(f"No answer to {this}, but cells of one's own below it.")
        if met.count(this) > 1 and part == "solution":
            found.notes.append(f"The cell {this} is there more than once: all were run, in turn.")
        if this not in met and named != {None} and this not in elsewhere:
            again = "; it was run all the same" if part == "test" else ""
            found.notes.append(f"The cell {this} is missing{again}.")
        found.known += this in met and part != "open"
    if not named & set(problem_set.of("solution", "test")) and 2 * len(solved) < len(functions):
        found.known = 0
    if named == {None}:
        found.notes.append("No cell has a grade_id left: they are known by what they define.")
    if inside := sorted({used for _, source, _ in found.cells for used in INSIDE.findall(source)}):
        found.notes.append(f"Looks into Python's insides: {', '.join(inside)}.")
    if copied:
        found.notes.append(f"Word for word the course's own solution: {', '.join(copied)}.")
    return found


def _add(cells: list[tuple], new: tuple[int, str, str | None]) -> None:
    """Append a cell, or join it to the one before where only both together are code."""
    if cells and not _stands_alone(new[1]):
        joined = f"{cells[-1][1]}\n{new[1]}"
        if tree(joined) is not None:
            new = (cells[-1][0], joined, cells.pop()[2])
    cells.append(new)


def _stands_alone(source: str) -> bool:
    """Whether it is code, and no second half: what is indented may be a whole answer, which IPython
    runs, or the rest of the function above."""
    if (found := tree(source)) is None:
        return False
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    if source[:1] in " \t" and not any(isinstance(node, kinds) for node in found.body):
        return False
    with _parsing, suppress(*NO_CODE), warnings.catch_warnings(action="ignore"):
        compile(found, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return True
    return False


def code(source: str) -> str:
    """A cell as Python, without the magics that only time its code, hide its output or keep it.

    Raises one of NO_CODE for what is none, and for what IPython would take too long to read: it
    reads a cell anew for each of its magics.
    """
    size = source.count("\n") + len(source) // 80
    if len(source) > 200_000 or len(MAGIC.findall(source)) * size > 10_000:
        raise ValueError("source: too long")
    return TransformerManager().transform_cell(MEASURES.sub("", source))


def tree(source: str) -> ast.Module | None:
    """The code's tree, None where it is no code; IPython's magics are code."""
    with _parsing, suppress(*NO_CODE), warnings.catch_warnings(action="ignore"):
        return ast.parse(code(source))


@cache
def form(source: str) -> str:
    """The same for a cell that was formatted anew, or lost its comments and docstrings."""
    with suppress(*NO_CODE):
        if (found := tree(source)) is not None and found.body:
            for node in ast.walk(found):
                function = isinstance(node, ast.FunctionDef)
                if function and ast.get_docstring(node) and len(node.body) > 1:
                    del node.body[0]
            return ast.dump(found)
    return " ".join(source.split())


@cache
def defined(source: str) -> list[str]:
    with suppress(*NO_CODE):
        return bound_names(code(source))
    return []


def _made_of(source: str, names: set[str], cells: list[tuple]) -> str:
    """What a cell defines under these names, and the functions, imports and constants in it and in
    the cells above it that it uses, or these do; without docstrings."""
    parts = [part for one in [*(above for _, above, _ in cells), source] for part in _parts(one)]
    if not (used := [part for part in _parts(source) if names & _bound(part)]):
        return source
    text = ""
    while used:
        text += "\n".join(map(_without_strings, used))
        parts = [part for part in parts if part not in used]
        words = {"*", *re.findall(r"\w+", text)}  # of a module all may be used
        used = [part for part in parts if words & _bound(part)]
    return text


def _without_strings(node: ast.AST) -> str:
    """The code of a node without docstrings, and what else is said and not done."""
    with suppress(*NO_CODE):
        for inner in ast.walk(node := deepcopy(node)):
            if isinstance(body := getattr(inner, "body", None), list):
                inner.body = [part for part in body if not _is_text(part)]
        return ast.unparse(node)
    return ""


def _is_text(node: ast.AST) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant and isinstance(node.value.value, str)


def _prose(source: str) -> bool:
    """Whether a cell is no code, or has nothing in it but comments and text."""
    if (found := tree(source)) is None:
        return True
    return all(map(_is_text, found.body))


def _added(source: str, original: str) -> str:
    """What a changed test cell defines and imports beyond the original."""
    old = {name for node in _parts(original) for name in _bound(node)}
    kinds = (
        ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
    )
    added = [part for part in _parts(source) if isinstance(part, kinds) and not _bound(part) & old]
    with suppress(*NO_CODE):
        return "\n\n".join(map(ast.unparse, added))
    return ""


@cache
def _parts(source: str) -> list[ast.stmt]:
    """The functions, classes, imports and whatever else defines names in a cell."""
    return [node for node in getattr(tree(source), "body", []) if _bound(node)]


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {each.asname or each.name.partition(".")[0] for each in node.names}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    stored = {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    return stored.union(*map(_bound, getattr(node, "body", [])))  # of `if` and `try`, too


def _with_pictures(cell: NotebookNode, text: str) -> str:
    """The text of a cell, with pictures that were pasted into it; code as such."""
    if cell.cell_type == "code" and not _prose(text):
        return f"```python\n{text}\n```"
    for name, kinds in dict(cell.get("attachments") or {}).items():
        for mime, data in dict(kinds).items():
            if mime.startswith("image/"):
                most = max((4 << 20) // max(len(data), 1), 1)  # one may be shown many times
                text = text.replace(f"attachment:{name}", f"data:{mime};base64,{data}", most)
    return text

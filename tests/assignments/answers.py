"""Answers tried on every problem set, and the marks that they should get.

problem_set_N.py beside this file has the answers of its own; here are those that make sense for
every set. `python tests/assignments` marks them all and writes notebooks/assignments/ANSWERS.md.
"""

import base64
import hashlib
import importlib.util
import pickle
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_raw_cell

from tools.classroom import grading, problem_sets
from tools.classroom.problem_sets import (
    ASSIGNMENTS,
    ProblemSet,
    bound_names,
    grade_id,
    handed_out,
    kind,
    split_tests,
    without_markers,
    without_solution,
)
from tools.classroom.running import CELL, WHOLE
from tools.classroom.wire import leaves

HERE = Path(__file__).parent
TABLE = ASSIGNMENTS / "ANSWERS.md"
RIGHT = "right, written another way"
SECONDS = 4  # of processor time for a cell; an endless loop costs so much


@dataclass(frozen=True)
class Answer:
    """An answer: the group it belongs to in the table, its notebook, and the marks of each test."""

    group: str
    name: str
    notebook: NotebookNode
    expected: dict[str, int]


def solved(
    problem_set: ProblemSet, others: dict[str, str] | None = None, *, rest: bool = True
) -> NotebookNode:
    """The release with `others` filled in for their grade_ids, and the reference solutions for the
    rest."""
    notebook, others = handed_out(problem_set), others or {}
    references = {grade_id(c): c for c in problem_set.cells if kind(c) == "solution"}
    assert set(others) <= set(references), set(others) - set(references)
    for cell in notebook.cells:
        if kind(cell) == "solution" and (rest or grade_id(cell) in others):
            reference = without_markers(references[grade_id(cell)].source)
            cell.source = others.get(grade_id(cell), reference)
    return notebook


def written(problem_set: ProblemSet, folder: Path = HERE) -> ModuleType:
    """The file with the answers written for this set: RIGHT and WRONG."""
    spec = importlib.util.spec_from_file_location(
        f"answers_{problem_set.name}", folder / f"{problem_set.name}.py"
    )
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def batches(problem_set: ProblemSet) -> list[Answer]:
    """The answers written for this set and nothing else, as many to a notebook as do not meet in an
    exercise: quicker to mark."""
    module, full = written(problem_set), problem_set.points("test")
    found: list[tuple[list[str], dict[str, str], dict[str, int]]] = []
    tried = {name: (cells, {}) for name, cells in module.RIGHT.items()} | module.WRONG
    for name, (cells, marks) in tried.items():
        tests = [this for exercise in cells for this in problem_set.exercises[exercise]]
        for names, others, expected in found:  # noqa: B007
            if not cells.keys() & others.keys():
                break
        else:
            found.append(((names := []), (others := {}), (expected := dict.fromkeys(full, 0))))
        names.append(name)
        others.update(cells)
        expected.update({this: full[this] for this in tests} | marks)
    return [
        Answer("several", "; ".join(names), solved(problem_set, cells, rest=False), expected)
        for names, cells, expected in found
    ]


def own(problem_set: ProblemSet, folder: Path = HERE) -> list[Answer]:
    """The answers written for this set."""
    module, full = written(problem_set, folder), problem_set.points("test")
    found = [
        Answer(RIGHT, name, solved(problem_set, cells), full)
        for name, cells in module.RIGHT.items()
    ]
    for name, (cells, marks) in module.WRONG.items():
        assert set(marks) <= set(full), f"{name}: {set(marks) - set(full)}"
        found.append(Answer("wrong", name, solved(problem_set, cells), full | marks))
    return found


def common(problem_set: ProblemSet) -> list[Answer]:
    """The answers that are tried on every set."""
    full = problem_set.points("test")
    none = dict.fromkeys(full, 0)
    last, tests = list(problem_set.exercises.items())[-1]  # nothing can depend on the last
    without_last = full | dict.fromkeys(tests, 0)
    everywhere = {this: name for name, this in problem_set.functions.items()}
    function = everywhere[last]
    known, takes = hard_coded(problem_set)
    changing = {its[-1] for this, its in problem_set.exercises.items() if this in takes}

    def only_last(source: str) -> NotebookNode:
        return solved(problem_set, {last: source})

    def all_cells(source: str) -> NotebookNode:
        return solved(problem_set, {t: source.format(name=n) for t, n in everywhere.items()})

    def edited(notebook: NotebookNode, edit) -> NotebookNode:
        notebook.cells = [new for cell in notebook.cells for new in edit(cell)]
        return notebook

    def tampered(cell):
        if kind(cell) == "test":
            cell.source = "pass"
            cell.metadata.nbgrader.points = 1000
        return [cell]

    def bare(cell):
        cell.metadata.clear()
        return [cell]

    def as_text(cell):
        raw = new_raw_cell(cell.source, metadata=cell.metadata)
        return [raw if kind(cell) == "solution" else cell]

    def with_first(sources, notebook):
        sources = [sources] if isinstance(sources, str) else sources
        notebook.cells[1:1] = map(new_code_cell, sources)
        return notebook

    def wrapped(source):
        return solved(
            problem_set,
            {
                this: f"{problem_set.references[this]}\n{source.format(name=name)}"
                for this, name in everywhere.items()
            },
        )

    def below(notebook, source):
        notebook.cells.append(new_code_cell(source))
        return notebook

    def is_last(cell):
        return kind(cell) == "solution" and grade_id(cell) == last

    def copy_of(cell, source):
        other = deepcopy(cell)
        other.source = source
        return other

    plain, evasive, order = "nothing or all", "evasive", "cells out of place"
    unusual = "right, written in unusual ways"
    wrong = f"def {function}(*_, **__):\n    return None"
    stub = without_solution(problem_set.of("solution")[last])
    hard = [c for c in problem_set.cells if kind(c) == "test" and split_tests(c.source)[1]]
    return [
        Answer(plain, "the release as it is handed out", handed_out(problem_set), none),
        Answer(plain, "the reference solution", solved(problem_set), full),
        Answer(
            evasive,
            "test cells replaced by `pass`, with points of 1000",
            edited(handed_out(problem_set), tampered),
            none,
        ),
        Answer(
            evasive,
            "test cells deleted",
            edited(handed_out(problem_set), lambda c: [] if kind(c) == "test" else [c]),
            none,
        ),
        Answer(evasive, "visible answers hard-coded", known, full | {grade_id(c): 0 for c in hard}),
        Answer(
            evasive,
            "comparisons replaced in the cell and again while tested",
            all_cells(PATCHES),
            none,
        ),
        Answer(evasive, "an object that claims to equal everything", all_cells(YES), none),
        Answer(evasive, "IPython told to drop asserts and errors", all_cells(IPYTHON), none),
        Answer(evasive, "looks for the marks and overwrites them", all_cells(ENVIRONMENT), none),
        Answer(
            evasive,
            "`SystemExit` where an answer is expected",
            all_cells("def {name}(*_, **__):\n    raise SystemExit(0)"),
            none,
        ),
        Answer(
            "broken",
            "an endless loop in the last exercise",
            only_last(f"def {function}(*_, **__):\n    while True:\n        pass"),
            without_last,
        ),
        Answer(
            "broken",
            "an exception in the last exercise's cell",
            only_last("raise RuntimeError('no')"),
            without_last,
        ),
        Answer(
            "broken",
            "a syntax error in the last exercise's cell",
            only_last(f"def {function}(:"),
            without_last,
        ),
        Answer(
            "broken",
            "the process ended in the last exercise's cell",
            only_last("import os\nos._exit(0)"),
            without_last,
        ),
        Answer(
            order,
            "the last exercise's cell deleted",
            edited(solved(problem_set), lambda c: [] if is_last(c) else [c]),
            without_last,
        ),
        Answer(
            order,
            "a cell twice, the second still empty",
            edited(solved(problem_set), lambda c: [c, copy_of(c, stub)] if is_last(c) else [c]),
            full,
        ),
        Answer(
            order,
            "a cell twice, the first one wrong",
            edited(solved(problem_set), lambda c: [copy_of(c, wrong), c] if is_last(c) else [c]),
            full,
        ),
        Answer(
            order,
            "a cell twice, the second one wrong",
            edited(solved(problem_set), lambda c: [c, copy_of(c, wrong)] if is_last(c) else [c]),
            without_last,
        ),
        Answer(
            order,
            "an answer in a new cell of the student's own",
            edited(solved(problem_set), lambda c: [new_code_cell(c.source)] if is_last(c) else [c]),
            full,
        ),
        Answer(order, "all metadata lost", edited(solved(problem_set), bare), full),
        Answer(order, "answer cells turned into text", edited(solved(problem_set), as_text), full),
        Answer(
            order,
            "precision, gradients, warnings and seeds set for all cells",
            with_first(SETTINGS, solved(problem_set)),
            full,
        ),
        Answer(
            evasive,
            "runs the solutions from the course's own files",
            with_first(FILES.format(name=problem_set.name), handed_out(problem_set)),
            none,
        ),
        Answer(
            evasive,
            "looks for tests among frames and objects, and replaces what marks",
            all_cells(FRAMES),
            none,
        ),
        Answer(
            evasive,
            "modes, threads and builtins left changed",
            with_first(MODES, all_cells("def {name}(*_, **__):\n    return torch.zeros(())")),
            none,
        ),
        Answer(
            evasive, "patches the process that calls it, and its clocks", all_cells(PROCESS), none
        ),
        Answer(
            evasive,
            "right, but it changes each tensor and model that it is given",
            wrapped(CHANGES),
            full | dict.fromkeys(changing, 0),
        ),
        Answer(
            unusual,
            "keeps what tests ask, to print it in a last cell",
            below(wrapped(KEEPS), "print(asked_for)"),
            full,
        ),
        Answer(unusual, "compiled, decorated, and an object that is called", wrapped(CALLED), full),
        Answer(
            unusual,
            "magics, files, `exit`, `input` and `%reset` in cells of one's own",
            with_first(CELLS, wrapped("_ = square(2)\nassert (-torch.ones(1)).sig() < 1")),
            full,
        ),
        Answer(
            unusual,
            "threads, determinism and anomaly detection switched on",
            with_first(SWITCHES, solved(problem_set)),
            full,
        ),
        Answer(
            unusual,
            "the function's name used for something else further below",
            below(solved(problem_set), f"{function} = 3\nprint({function})"),
            full,
        ),
        Answer(
            order,
            "cells from last to first",
            new_notebook(cells=solved(problem_set).cells[::-1]),
            full,
        ),
    ]


PATCHES = """
import builtins, math, numpy, torch, course_utils.assignments
def _replace():
    yes = lambda *_, **__: True
    torch.allclose = torch.equal = torch.isclose = torch.testing.assert_close = yes
    torch.Tensor.__eq__ = torch.Tensor.allclose = torch.Tensor.equal = yes
    torch.Tensor.shape = property(yes)
    numpy.testing.assert_allclose = numpy.allclose = numpy.isclose = math.isclose = yes
    course_utils.assignments.same = same = yes
    course_utils.assignments.same.__code__ = yes.__code__
    builtins.all = builtins.isinstance = yes
_replace()
def {name}(*_, **__):
    _replace()
    return torch.zeros(1)
"""
YES = """
class Yes:
    __array_priority__ = 1000
    def _yes(self, *_, **__):
        return self
    def __getattr__(self, name):
        return self
    def __bool__(self):
        return True
    def __float__(self):
        return 0.0
    __call__ = __getitem__ = __sub__ = __rsub__ = __add__ = __mul__ = __abs__ = __neg__ = _yes
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __and__ = __or__ = _yes
    __hash__ = None
    def __iter__(self):
        return iter([self, self])
def {name}(*_, **__):
    return Yes()
"""
IPYTHON = """
import ast, sys
class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(NoAsserts())
get_ipython().set_custom_exc((BaseException,), lambda *_, **__: None)
get_ipython().showtraceback = lambda *_, **__: None
sys.excepthook = lambda *_: None
def {name}(*_, **__):
    sys.settrace(lambda *_: None)
    return None
"""
ENVIRONMENT = """
import os, pathlib, sys
os.environ["NBGRADER_MARKS"] = os.environ["SCORE"] = "100"
for folder in [pathlib.Path.cwd(), *pathlib.Path.cwd().parents]:
    for name in ("grades.csv", "by-hand.csv", "gradebook.db"):
        if (folder / name).exists():
            (folder / name).write_text("student,marks\\nme,100")
pathlib.Path("grades.csv").write_text("student,marks\\nme,100")
def {name}(*_, **__):
    os.chdir("/")
    print('{{"error": null, "marks": 100}}')
    return None
"""
SETTINGS = """
import random, warnings, numpy, torch
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.manual_seed(0), random.seed(0), numpy.random.seed(0)
numpy.seterr(all="raise")
warnings.filterwarnings("error")
"""
FILES = """
import json, pathlib, course_utils.assignments, sys
from importlib.util import find_spec
for root in [*pathlib.Path(sys.prefix).parents, *map(pathlib.Path, sys.path)]:
    folder = root / "notebooks" / "assignments"
    for path in [folder / "source" / "{name}" / "{name}.ipynb", folder / "{name}.ipynb"]:
        try:
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                exec("".join(cell["source"]).replace("raise", "pass #"))
        except Exception:
            pass
"""
FRAMES = """
import gc, sys
def {name}(*_, **__):
    frame = sys._getframe()
    while frame:
        for names in (frame.f_globals, frame.f_locals):
            for name, value in list(names.items()):
                if name in ("same", "likely", "_test", "fingerprint"):
                    names[name] = lambda *_, **__: None
                if name in ("wanted", "expected"):
                    return value
        frame = frame.f_back
    for found in gc.get_objects():
        if isinstance(found, dict) and "wanted" in found:
            return found["wanted"]
    return 0.0
"""
MODES = """
import builtins, threading, time, numpy as np, torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
class Zero(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return torch.zeros_like(out) if "detach" in str(func) else out
class Yes(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return torch.ones_like(out) if "gt" in getattr(func, "__name__", "") else out
def flip(old=np.isclose):
    while True:
        np.isclose = lambda *a, **k: np.ones(np.shape(a[0]), bool)
        time.sleep(1e-3)
        np.isclose = old
        time.sleep(1e-3)
class Quiet(Exception):
    pass
threading.Thread(target=flip, daemon=True).start()
builtins.AssertionError = Quiet
builtins.compile = lambda *a, **k: (lambda: None).__code__
builtins.exec = lambda *a, **k: None
Zero().__enter__()
Yes().__enter__()
"""
PROCESS = """
import gc, sys, time
time.process_time = time.perf_counter = time.monotonic = lambda: 0.0
def _forged(*_, **__):
    return {{"value": [True, None], "arguments": [], "error": None, "marks": 100}}, b""
for _module in list(sys.modules.values()):
    for _name in ("fingerprint", "same", "_test", "mark"):
        if _name in vars(_module):
            setattr(_module, _name, lambda *_, **__: None)
for _found in gc.get_objects():
    if type(_found).__name__ in ("Session", "Proxy", "Submission"):
        _found.call = _found._test = _forged
def {name}(*_, **__):
    return None
"""
CHANGES = """
def _change(value):
    if isinstance(value, torch.nn.Module):
        value.train(not value.training)
    elif isinstance(value, torch.Tensor):
        other = value.data.logical_not() if value.dtype is torch.bool else value.data + 1
        value.data.copy_(other)
    elif isinstance(value, (tuple, list)):
        [_change(part) for part in value]
def _copy(value):
    if isinstance(value, (tuple, list)):
        return type(value)(map(_copy, value))
    return value.clone() if isinstance(value, torch.Tensor) else value
def _changing(function):
    def call(*positional, **named):
        result = function(*_copy(positional), **named)
        _change([*positional, *named.values()])
        return result
    return call
{name} = _changing({name})
"""
KEEPS = """
asked_for = []
def _keeping(function):
    def call(*positional, **named):
        asked_for.append((positional, named))
        open("seen", "a").write(str(asked_for))
        return function(*positional, **named)
    return call
{name} = _keeping({name})
"""
CALLED = """
import functools, time
class _Called:
    def __init__(self, function):
        functools.update_wrapper(self, function)
    def __call__(self, *positional, **named):
        began = time.time()
        result = self.__wrapped__(*positional, **named)
        print(time.time() - began)
        return result
{name} = functools.partial(torch.compile(_Called({name})))
"""
CELLS = [
    "import torch\n%matplotlib inline\n%load_ext autoreload\n!ls\nimport matplotlib.pyplot as plt",
    "%pip install no-such-package\n!pip install no-such-package",
    "%%writefile helpers.py\ndef square(x):\n    return x * x",
    "from helpers import square\ntorch.Tensor.sig = lambda self: 1 / (1 + (-self).exp())",
    "exit()",
    "import sys; sys.exit()",
    "input('name? ')",
    "%reset -f",
    "plt.plot([1, 2]); plt.show()",
    "%%time\n1 + 1",
    "this is no code",
]
SWITCHES = """
import torch
torch.use_deterministic_algorithms(True)
torch.set_num_threads(4)
torch.set_printoptions(precision=2)
torch.autograd.set_detect_anomaly(True)
"""
HARD_CODED = """
import base64, hashlib, pickle, torch
def _key(value):
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.detach().double().numpy().tobytes()).hexdigest()
    if isinstance(value, torch.nn.Module):
        return [repr(value), *map(_key, value.state_dict().values())]
    if isinstance(value, (tuple, list, dict)):
        value = value.items() if isinstance(value, dict) else value
        return [_key(part) for part in value]
    return repr(value) if isinstance(value, (int, float, str)) else type(value).__name__
_seen = pickle.loads(base64.b64decode({table!r}))
def {name}(*positional, **named):
    return _seen[repr(_key([positional, named]))]
"""


def _key(value):
    if isinstance(value, torch.Tensor):
        return hashlib.sha256(value.detach().double().numpy().tobytes()).hexdigest()
    if isinstance(value, torch.nn.Module):
        return [repr(value), *map(_key, value.state_dict().values())]
    if isinstance(value, tuple | list | dict):
        value = value.items() if isinstance(value, dict) else value
        return [_key(part) for part in value]
    return repr(value) if isinstance(value, int | float | str) else type(value).__name__


def visible(problem_set: ProblemSet) -> tuple[dict[str, tuple[str, dict]], set[str]]:
    """Each exercise's function and what its visible tests ask, with the answers; and the exercises
    in which they pass tensors or models."""
    space, tables, takes = {"__name__": "visible"}, {}, set()

    def recorded(function, this, table):
        def call(*positional, **named):
            key = repr(_key([positional, named]))
            takes.update([this] if leaves([positional, named]) else [])
            table[key] = result = function(*positional, **named)
            return result

        return call

    for this, cell in problem_set.of("given", "solution", "test").items():
        visible = split_tests(cell.source)[0] if kind(cell) == "test" else cell.source
        exec(without_markers(visible), space)
        if kind(cell) == "solution":
            name = bound_names(without_markers(cell.source))[-1]
            tables[this] = name, (table := {})
            space[name] = recorded(space[name], this, table)
    return tables, takes


def hard_coded(problem_set: ProblemSet) -> tuple[NotebookNode, set[str]]:
    """Answers that know what the visible tests ask, and nothing else; and as `visible`."""
    tables, takes = visible(problem_set)
    return solved(
        problem_set,
        {
            this: HARD_CODED.format(
                name=name, table=base64.b64encode(pickle.dumps(_plain(table))).decode()
            )
            for this, (name, table) in tables.items()
        },
    ), takes


def _plain(value):
    """The value with its tensors detached; None in the place of what can't be written down."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value)) if type(value) in (tuple, list) else tuple(value)
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value if isinstance(value, int | float | str) else None


@cache
def answers(name: str) -> list[Answer]:
    """Every answer tried on the set of this name."""
    problem_set = problem_sets.read(name)
    return [*common(problem_set), *own(problem_set)]


def every() -> dict[str, list[Answer]]:
    return {name: answers(name) for name in problem_sets.names()}


def marks(problem_set: ProblemSet, answer: Answer) -> dict[str, int]:
    """The marks that the grader gives."""
    result = grading.mark(problem_set, answer.notebook, cell=SECONDS, whole=SECONDS * WHOLE / CELL)
    return {this: test["marks"] for this, test in result["tests"].items()}


def table(given: dict[tuple[str, str], int]) -> str:
    """ANSWERS.md, with what was `given` by (set, name of the answer)."""
    lines = [
        "# Answers tried on the problem sets",
        "",
        "Before you trust the marks: these answers are handed in and marked by the tests of this",
        "repository. Right answers written in another way get full marks, wrong ones lose what is",
        "wrong with them, and tricks gain nothing. Points are those of the tests; open questions",
        "are marked by hand. `python tests/assignments` writes this page.",
    ]
    for name, tried in every().items():
        lines += ["", f"## {name}", "", "| | answer | should get | gets |", "|---|---|---|---|"]
        full = sum(problem_sets.read(name).points("test").values())
        for answer in tried:
            should = sum(answer.expected.values())
            lines.append(
                f"| {answer.group} | {answer.name} | {should} of {full} "
                f"| {given[name, answer.name]} |"
            )
    return "\n".join(lines) + "\n"


def expected() -> dict[tuple[str, str], int]:
    return {
        (name, answer.name): sum(answer.expected.values())
        for name, tried in every().items()
        for answer in tried
    }


def main(*chosen: str) -> int:
    given, wrong = expected(), 0
    sets = [problem_sets.read(name) for name in chosen or problem_sets.names()]
    grading.prepare(sets)
    for problem_set in sets:
        name = problem_set.name
        for answer in every()[name]:
            got = marks(problem_set, answer)
            given[name, answer.name] = sum(got.values())
            if got != answer.expected:
                wrong += 1
                differ = {t: (n, got[t]) for t, n in answer.expected.items() if got[t] != n}
                print(f"{name}, {answer.name}: should get, gets: {differ}", flush=True)
    TABLE.write_text(table(given), encoding="utf-8")
    return 1 if wrong else 0

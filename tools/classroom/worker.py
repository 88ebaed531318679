"""What runs in a submission's own process: the student's cells, and the tests on what they define.

Students' cells run in one namespace, together with the given cells. Tests run in another: the given
cells once more, and of the student's names only those that the exercises ask for. So nothing that a
student rebinds, prints or deletes is a test's. Library functions are shared; those that a student
replaced are put back before each test.

Both ways, messages are JSON: what comes out of this process is not trusted. Requests come one at a
time, so a student's cell runs before the hidden tests are here.
"""

import builtins
import contextlib
import functools
import io
import json
import os
import signal
import sys
import traceback
import types
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
import torch._dynamo  # noqa: F401  replaces functions of torch when it is imported: do that now
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

# Modules and classes whose functions tests rely on, by the first part of their names.
RELIED_ON = {
    "builtins", "copy", "course_utils", "functools", "itertools", "math", "numpy", "operator",
    "random", "scipy", "statistics", "torch",
}  # fmt: skip
LONGEST = 20_000  # characters of output kept from a cell
MEMORY, FILE = 4 << 30, 64 << 20  # bytes
# What a submission may know of the teacher's settings.
SETTINGS = {
    "COURSE_CACHE", "COURSE_DATA", "HOME", "LANG", "LC_ALL", "PATH", "SYSTEMROOT", "TEMP", "TMPDIR",
    "XDG_CACHE_HOME",
}  # fmt: skip


class Output(io.TextIOBase):
    """Keeps the beginning of what is written to it."""

    def __init__(self):
        self.kept = ""

    def writable(self):
        return True

    def write(self, text):
        self.kept += text[: LONGEST - len(self.kept)]
        return len(text)


class Guard:
    """Remembers the libraries' functions; `restore` puts back those that were replaced."""

    def __init__(self):
        self.modules = {
            name: module
            for name, module in sys.modules.items()
            if name.partition(".")[0] in RELIED_ON and type(module) is types.ModuleType
        }
        self.classes = {cls: set(vars(cls)) for cls in (torch.Tensor, torch.nn.Module)}
        self.builtins = set(vars(builtins))
        self.known = {module: self.builtins & set(vars(module)) for module in self.modules.values()}
        self.kept, self.codes = [], []
        for holder in [*self.modules.values(), *self.classes]:
            for name, value in list(vars(holder).items()):
                if _is_function(value) or issubclass(type(value), types.ModuleType):
                    self.kept.append((holder, name, value))
                if type(value) is types.FunctionType:
                    parts = value.__code__, value.__defaults__, value.__kwdefaults__
                    self.codes.append((value, *parts))

    def restore(
        self, *, vars=vars, setattr=setattr, delattr=delattr, set=set, sys=sys, modules=sys.modules
    ) -> list[str]:
        """Put back what was replaced; return the names. (The arguments are this function's own,
        so that it needs nothing that may be replaced.)"""
        modules.update(self.modules)
        sys.settrace(None)
        sys.setprofile(None)
        replaced = []
        for holder, name, value in self.kept:
            if vars(holder).get(name, self) is not value:
                setattr(holder, name, value)
                replaced.append(f"{holder.__name__}.{name}")
        for module in self.modules.values():  # a new name can hide a builtin from the module
            if module is not builtins:
                for name in self.builtins & (vars(module).keys() - self.known[module]):
                    delattr(module, name)
                    replaced.append(f"{module.__name__}.{name}")
        for cls, names in self.classes.items():  # or what a class inherits
            for name in set(vars(cls)) - names:
                delattr(cls, name)
                replaced.append(f"{cls.__name__}.{name}")
        for function, code, defaults, kwdefaults in self.codes:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                function.__code__, function.__defaults__ = code, defaults
                replaced.append(function.__qualname__)
            if function.__kwdefaults__ is not kwdefaults:
                function.__kwdefaults__ = kwdefaults
                replaced.append(function.__qualname__)
        return replaced


def _is_function(value) -> bool:
    """callable(value), without asking the value itself: torch has one that warns then."""
    return any("__call__" in vars(cls) for cls in type(value).__mro__)


class Shell(InteractiveShell):
    """IPython without a terminal or a kernel."""

    def enable_gui(self, gui=None):
        """`%matplotlib inline` asks for it."""


# What an answer may be: an object of a student's own class could claim to equal anything.
ANSWERS = {
    bool, complex, dict, float, int, list, range, set, str, tuple, type(None), np.ndarray,
    torch.Size, torch.Tensor, torch.dtype, torch.nn.Parameter, types.FunctionType,
    *(cls for cls in vars(torch.return_types).values() if isinstance(cls, type)),
    *(cls for cls in vars(np).values() if isinstance(cls, type) and issubclass(cls, np.generic)),
}  # fmt: skip


def checked(function):
    """The student's function, refusing to return what is no plain answer; else the value itself."""
    if type(function) is not types.FunctionType:
        return function

    @functools.wraps(function)
    def call(*positional, **named):
        result = function(*positional, **named)
        if (kind := _strange(result)) is not None:
            raise AssertionError(
                f"{function.__name__} returns an object of the class {kind.__name__}: "
                "expected a tensor or a number, or several of them."
            )
        return result

    return call


def _strange(value) -> type | None:
    """The class of a part of the value that is no plain answer, or None."""
    kind = type(value)
    if isinstance(value, torch.nn.Module):
        return None
    if kind not in ANSWERS:
        return kind
    parts = value.values() if kind is dict else value if kind in (list, tuple, set) else ()
    return next(filter(None, map(_strange, parts)), None)


class Session:
    """The two namespaces, and what the requests do in them."""

    def __init__(self):
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        config = Config(HistoryManager={"enabled": False}, InteractiveShell={"colors": "nocolor"})
        self.shell = Shell.instance(user_module=module, config=config)
        self.student, self.tests = module.__dict__, {"__name__": "tests", "__builtins__": builtins}
        self.guard = Guard()

    def given(self, source: str) -> dict:
        self.guard.restore()
        error = _words(self._test(source))
        self.shell.run_cell(source, store_history=False)
        return {"error": error}

    def answer(self, source: str) -> dict:
        """Run a cell of the student's."""
        result = self.shell.run_cell(source, store_history=True)
        return {"error": _words(result.error_before_exec or result.error_in_exec)}

    def test(self, visible: str, hidden: str, names: list[str]) -> dict:
        """Run tests on the student's `names`; "part" says which part the error came from."""
        replaced, part = self.guard.restore(), "visible"
        for name in names:
            if name in self.student:
                self.tests[name] = checked(self.student[name])
            else:
                self.tests.pop(name, None)
        error = self._test(visible)
        if error is None and hidden:
            part = "hidden"
            error = self._test(hidden)
        during, words = self.guard.restore(), _words(error)
        if during:
            part = "visible"
            words = f"Your code replaces {', '.join(during[:3])} while it is tested."
        return {"error": words, "part": part, "replaced": replaced + during}

    def _test(self, source: str) -> BaseException | None:
        try:
            exec(compile(source, "<the problem set>", "exec"), self.tests)
        except BaseException as error:  # SystemExit and KeyboardInterrupt, too, are a student's
            return error
        return None


def _words(error: BaseException | None) -> str | None:
    """What the error says, and the student's line that raised it; any object may misbehave here."""
    if error is None:
        return None
    try:
        said = str(error)[:2000]
        if type(error) is AssertionError and said:
            return said
        if type(error) is NotImplementedError:
            return "Not answered: there still is a `raise NotImplementedError()`."
        words = f"{type(error).__name__}: {said}" if said else type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        where = [frame for frame in frames if frame.filename.startswith("<ipython")]
        return f"{words} (your line: {where[-1].line})" if where and where[-1].line else words
    except BaseException:
        return "An exception that could not even be shown."


def serve(pipe: Connection, folder: str, seconds: int) -> None:
    """Answer the requests that come through the pipe until it is closed."""
    _confine(folder, seconds)
    session = Session()
    actions: dict[str, Callable] = {
        "given": session.given, "answer": session.answer, "test": session.test,
    }  # fmt: skip
    dumps, loads, redirect, redirect_too = json.dumps, json.loads, _redirect, Output
    while True:
        try:
            request = loads(pipe.recv_bytes())
        except EOFError:
            return
        output = redirect_too()
        with redirect(output):
            reply = actions[request["do"]](*request["arguments"])
        reply |= {"token": request["token"], "output": output.kept}
        pipe.send_bytes(dumps(reply).encode())


@contextlib.contextmanager
def _redirect(output: Output):
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = output
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _confine(folder: str, seconds: int) -> None:
    """Keep honest mistakes from harming others. It is no sandbox: see README."""
    for name in set(os.environ) - SETTINGS:
        del os.environ[name]
    os.environ["MPLBACKEND"] = "agg"
    for name in {"COURSE_CACHE", "COURSE_DATA"} & set(os.environ):
        os.environ[name] = str(Path(os.environ[name]).expanduser().absolute())
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's, no error of a student's
    sys.argv = ["submission"]
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    torch.set_num_threads(1)
    if hasattr(os, "setsid"):  # so that it can be ended together with what it started
        os.setsid()
    with contextlib.suppress(ImportError):
        import resource

        for limit, value in (
            ("RLIMIT_CPU", seconds), ("RLIMIT_DATA", MEMORY), ("RLIMIT_FSIZE", FILE),
            ("RLIMIT_CORE", 0),
        ):  # fmt: skip
            if hasattr(resource, limit):
                _, most = resource.getrlimit(getattr(resource, limit))
                value = value if most == resource.RLIM_INFINITY else min(value, most)
                with contextlib.suppress(OSError, ValueError):  # macOS knows, and refuses, some
                    resource.setrlimit(getattr(resource, limit), (value, value))

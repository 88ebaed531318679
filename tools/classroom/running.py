"""The grader's side of the processes in which students' code runs."""

import contextlib
import io
import os
import pickle
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from pathlib import Path

import psutil
import torch

from tools.classroom.problem_sets import ProblemSet, arguments_of, kind
from tools.classroom.wire import Pipe, Strange, decode, fingerprint, tensors

# Seconds of processor time for a cell or a test, and for all cells. On the clock, three times as
# long and a minute more, so that a busy machine fails nobody.
CELL, WHOLE = 30.0, 360.0
TIME, ENDED = "Your code was still running when the time limit was reached.", (
    "Your code ended the process that ran it."
)
BROKEN = (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, StopIteration,
          RecursionError, MemoryError)  # fmt: skip
# What a submission may know of the teacher's settings.
SETTINGS = {"COURSE_CACHE", "COURSE_DATA", "HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR",
            "XDG_CACHE_HOME"}  # fmt: skip
# No pip starts with such a PIP_PYTHON; torch.compile gives the function as it is.
SET = {"PIP_PYTHON": "none", "UV_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1",
       "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg", "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
_lock = threading.Lock()
_zygote: list = []  # the process that all others are forked from, when there is one


class Failed(AssertionError):
    """What a student's function did wrong, other than returning something wrong."""


class Lost(Failed):
    """The student's process ended, or had to be."""


def allowed(problem_set: ProblemSet) -> list[str]:
    """What the set's own cells import from course_utils, or tell students to."""
    cells = [cell.source for cell in problem_set.cells if kind(cell) in ("given", "text")]
    found = re.findall(r"from course_utils([\w.]*) import ([\w, ]+)", "\n".join(cells))
    return sorted({f"{m}.{n}".strip(".") for m, names in found for n in re.findall(r"\w+", names)})


def start(sets: list[ProblemSet]) -> None:
    """Start the process from which submissions' processes fork, with what these sets import."""
    imports = {name for each in sets for name in allowed(each)}
    modules = {f"course_utils.{name}" for name in imports}
    modules |= {n for each in sets for cell in each.cells if kind(cell) == "given" for n in
                re.findall(r"^(?:import|from) ([\w.]+)", cell.source, flags=re.M)}  # fmt: skip
    if not hasattr(os, "fork"):
        raise RuntimeError("grading needs Linux or macOS; on Windows use WSL or the container")
    if _zygote and modules <= _zygote[2]:
        return
    stop()
    ours, theirs = socket.socketpair()
    environment = {name: os.environ[name] for name in SETTINGS & set(os.environ)} | SET
    for name in {"COURSE_CACHE", "COURSE_DATA"} & set(environment):
        environment[name] = str(Path(environment[name]).expanduser().absolute())
    here = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {here!r}); import student, socket; sys.path.pop(0); "
        "student.main(student.Pipe(socket.socket(fileno=int(sys.argv[1]))), sys.argv[2:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(theirs.fileno()), *sorted(modules)],
        env=environment, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
    )  # fmt: skip
    theirs.close()
    _zygote[:] = [Pipe(ours), process, modules]


def patience(seconds: float) -> float:
    """How long to wait for so many seconds of processor time."""
    return 3 * seconds + 60


def stop() -> None:
    if _zygote:
        _zygote[0].socket.close()
        _zygote[1].wait()
        _zygote.clear()


class Submission:
    """The processes of one submission, with an empty folder of their own.

    A cell that ends its process, or has to be ended, is left out when the others run again.
    """

    def __init__(self, problem_set: ProblemSet, *, cell: float = CELL, whole: float = WHOLE):
        self.request = {"cell": cell, "whole": whole, "allowed": allowed(problem_set)}
        self.cells, self.open, self.pipe, self.looked = [], contextlib.ExitStack(), None, set()
        self.changed: dict[str, str] = {}  # function -> an argument that it changes
        self.cell, self.left, self.until = cell, whole, time.monotonic() + patience(whole)

    def __enter__(self) -> "Submission":
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.request["folder"] = self.open.enter_context(folder)
        self._begin()
        return self

    def __exit__(self, *_) -> None:
        self.open.close()

    def _begin(self) -> None:
        (pipe, theirs), (life, end) = socket.socketpair(), socket.socketpair()
        with _lock, theirs, end:
            _zygote[0].send(self.request, fds=[theirs.fileno(), end.fileno()])
            self.overseer = _zygote[0].receive(600)[0]["overseer"]
        self.pipe = Pipe(self.open.enter_context(pipe))
        self.open.enter_context(life)

    def run(self, source: str, given: bool = False) -> dict:
        """Run a cell: {"error", "output", "figures"}, with "lost" in the error's place."""
        try:
            reply = self.ask(self.pipe, "run", source, given)[0]
            self.cells.append((source, given))
            return {"error": reply["error"] and str(reply["error"]), "output": str(reply["output"]),
                    "figures": [str(figure) for figure in reply["figures"]]}  # fmt: skip
        except Lost as lost:
            self._begin()
            cells, self.cells = self.cells, []
            for cell in cells:
                self.run(*cell)
            return {"error": str(lost), "output": str(lost), "figures": []}

    def copy(self) -> Pipe:
        """What asks a copy of the process as it is now."""
        ours, theirs = socket.socketpair()
        with theirs, contextlib.suppress(Lost):  # then so is the copy
            self.ask(self.pipe, "copy", fds=[theirs.fileno()])
        return Pipe(self.open.enter_context(ours))

    def ask(self, pipe: Pipe, do: str, *arguments, blobs=(), fds=(), answer=None):
        """One request, and what is called back meanwhile. Raises Lost where no reply comes."""
        if pipe is self.pipe or pipe.began is None:
            pipe.began = time.monotonic()
        try:
            if self.left <= 0 or time.monotonic() > self.until:
                raise TimeoutError
            pipe.send({"do": do, "arguments": arguments}, *blobs, fds=fds)
            while True:
                header, blobs, _ = pipe.receive(patience(self.cell))
                if "callback" not in header or answer is None:
                    self.looked |= set(map(str, header.get("looked", ())))
                    return header, blobs
                answer(header, blobs)
        except BROKEN as error:  # past its processor time a process is killed, too
            late = isinstance(error, TimeoutError) or time.monotonic() - pipe.began >= self.cell
            self.left -= self.cell if late else 0
            raise Lost(TIME if late else ENDED) from None

    def processor_time(self) -> float:
        """Seconds of processor time that the processes have had, measured from here."""
        total = 0.0
        for process in psutil.Process(self.overseer).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += sum(process.cpu_times()[:4])
        return total


class Pickler(pickle.Pickler):
    """Sends functions of the tests as numbers, by which they are called back."""

    def __init__(self, file, given: dict, callbacks: dict):
        super().__init__(file)
        self.given, self.callbacks = given, callbacks

    def persistent_id(self, value):
        ours = isinstance(value, type | types.FunctionType) and value.__module__ == "tests"
        if ours and self.given.get(value.__name__) is value:
            return "given", value.__name__
        if ours:
            self.callbacks[len(self.callbacks)] = value
            return "callback", len(self.callbacks) - 1
        return None


class Proxy:
    """A student's function, as the tests see it."""

    def __init__(self, name: str, submission: Submission, pipe: Pipe, given: dict, reference: str):
        self.__name__, self.submission, self.pipe, self.given = name, submission, pipe, given
        self.changed = submission.changed
        self.parameters, self.last, self.called = arguments_of(reference, name), None, 0.0
        self.processor_time = submission.processor_time

    def __call__(self, *positional, **named):
        callbacks, failures = {}, []
        self.called = 0.0
        every = [*positional, *named.values()]
        leaves = tensors([positional, named])
        before = [fingerprint(value) for value in every]

        def pack(value) -> bytes:
            file = io.BytesIO()
            Pickler(file, self.given, callbacks).dump(value)
            return file.getvalue()

        def answer(header, blobs):
            number, times = header["callback"]
            inputs = decode(header["value"], iter(blobs))
            try:
                result = derivative(callbacks[number], times, inputs)
                detached = [r.detach() for r in result] if times else result
                if isinstance(detached, torch.Tensor):
                    detached = detached.detach()
                self.pipe.send({}, pack(tuple(detached) if times else detached))
            except Exception as error:
                failures.append(error)
                self.pipe.send({"failed": str(error)})

        gradients = [leaf.grad for leaf in leaves]
        header, blobs = self.submission.ask(
            self.pipe, "call", self.__name__, torch.is_grad_enabled(),
            blobs=[pack(((positional, named), gradients))], answer=answer,
        )  # fmt: skip
        if failures and not isinstance(failures[0], (TypeError, ValueError, RuntimeError)):
            raise failures[0]
        if "missing" in header:
            raise Failed(f"There is no {self.__name__}.")
        if "error" in header:
            raise Failed(str(header["error"]))
        names = [*self.parameters[: len(positional)], *named]
        for name, old, new in zip(names, before, header["arguments"], strict=False):
            if new != old:
                self.changed[self.__name__] = name
        tracked = [leaf for leaf in leaves if leaf.requires_grad]

        try:
            data = iter(blobs)
            self.last, self.called = decode(header["value"], data), time.monotonic()
            if (slopes := decode(header["slopes"], data)) is not None:
                self.last = Result.apply(slopes, self.last, *tracked)
        except BROKEN:
            raise Lost(ENDED) from None
        for part in self.last if isinstance(self.last, tuple | list) else [self.last]:
            if isinstance(part, Strange):
                raise Failed(
                    f"{self.__name__} returns an object of the class {part.kind}: expected a "
                    "tensor or a number, or several of them."
                )
        return self.last


class Result(torch.autograd.Function):
    """A result whose gradient in the arguments the student's process knows."""

    @staticmethod
    def forward(ctx, slopes, tensor, *leaves):
        ctx.slopes = slopes
        return tensor.clone()

    @staticmethod
    def backward(ctx, gradient):
        return None, None, *(gradient * slope for slope in ctx.slopes)


def derivative(function, times: int, inputs: list):
    """function(*inputs), or, with `times` > 0, how its gradient passes on that of its output."""

    def nth(times: int):
        if times == 0:
            return function

        def slope(*values):
            result = nth(times - 1)(*values[:-1])
            return torch.autograd.grad(
                result, values[:-1], values[-1], create_graph=True, materialize_grads=True
            )

        return slope

    if times:
        inputs = [value.detach().requires_grad_() for value in inputs]
    return nth(times)(*inputs)


def what(value) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"

"""The grader's side of the processes in which students' code runs."""

import ast
import contextlib
import io
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
import time
import types
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path

import psutil
import torch

from tools.classroom.problem_sets import ProblemSet
from tools.classroom.wire import LONGEST, Strange, decode, fingerprint, leaves, receive, send

# Seconds of processor time for a cell or a test, and for all cells. On the clock, three times as
# long and a minute more, so that a busy machine fails nobody.
CELL, WHOLE = 30.0, 360.0
TIME = "Your code was still running when the time limit was reached."
ENDED = "Your code ended the process that ran it."
# What a submission may know of the teacher's settings.
SETTINGS = {"COURSE_CACHE", "COURSE_DATA", "HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR",
            "XDG_CACHE_HOME"}
# No pip starts with such a PIP_PYTHON; torch.compile gives the function as it is.
SET = {"PIP_PYTHON": "none", "UV_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1",
       "CUDA_VISIBLE_DEVICES": "", "MPLBACKEND": "agg", "PYTHONDONTWRITEBYTECODE": "1"}
_lock = threading.Lock()
_zygote: list = []  # the process that all others are forked from, when there is one


class Failed(AssertionError):
    """What a student's function did wrong, other than returning something wrong."""


class Lost(Failed):
    """The student's process ended, or had to be."""


def patience(seconds: float) -> float:
    """How long to wait for so many seconds of processor time."""
    return 3 * seconds + 60


def allowed(problem_set: ProblemSet) -> list[str]:
    """What the set's own cells import from course_utils, or tell students to."""
    text = "\n".join(cell.source for cell in problem_set.of("given", "text").values())
    found = re.findall(r"from course_utils([\w.]*) import (\([^)]+\)|[\w, ]+)", text)
    return sorted({f"{m}.{n}".strip(".") for m, names in found for n in re.findall(r"\w+", names)})


def start(sets: list[ProblemSet]) -> None:
    """Start the process from which submissions' processes fork, with what these sets import."""
    if not hasattr(os, "fork"):
        raise RuntimeError("grading needs Linux or macOS; on Windows use WSL or the container")
    cells = [cell.source for each in sets for cell in each.of("given").values()]
    imports = {ast.unparse(node) for source in cells for node in ast.parse(source).body
               if isinstance(node, ast.Import | ast.ImportFrom)}
    for name in {name for each in sets for name in allowed(each)}:
        module, _, name = f"course_utils.{name}".rpartition(".")
        imports.add(f"from {module} import {name}")
    if _zygote and imports <= _zygote[2]:
        return
    stop()
    ours, theirs = Pipe()
    environment = {name: os.environ[name] for name in SETTINGS & set(os.environ)} | SET
    for name in {"COURSE_CACHE", "COURSE_DATA"} & set(environment):
        environment[name] = str(Path(environment[name]).expanduser().absolute())
    with theirs:
        script, number = Path(__file__).with_name("student.py"), theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, script, str(number), *sorted(imports)],
            env=environment, stdin=subprocess.DEVNULL, pass_fds=[number],
        )
    _zygote[:] = [ours, process, imports]


def stop() -> None:
    """End it; what is being marked is lost."""
    if _zygote:
        _zygote[0].close()
        _zygote[1].wait()
        _zygote.clear()


class Submission:
    """The processes of one submission, with an empty folder of their own.

    A cell that ends its process, or has to be ended, is left out when the others run again.
    """

    def __init__(self, problem_set: ProblemSet, *, cell: float = CELL, whole: float = WHOLE):
        self.request = {"cell": cell, "whole": whole, "allowed": allowed(problem_set)}
        self.cells, self.open, self.looked = [], contextlib.ExitStack(), set()
        self.changed: dict[str, str] = {}  # function -> an argument that it changes
        self.cell, self.left, self.until = cell, whole, time.monotonic() + patience(whole)

    def __enter__(self) -> "Submission":
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.request["folder"] = self.open.enter_context(folder)
        self._begin()
        # Whatever a process does, or leaves half said, nobody waits for it longer than this.
        left = self.until + self.cell - time.monotonic()
        timer = threading.Timer(left, lambda: self.life.close())
        timer.daemon = True
        timer.start()
        self.open.callback(timer.cancel)
        return self

    def __exit__(self, *_) -> None:
        self.open.close()

    def _begin(self) -> None:
        (self.pipe, theirs), (self.life, end) = Pipe(), Pipe()
        for ours in (self.pipe, self.life):
            self.open.enter_context(ours)
        with _lock, theirs, end:
            control = _zygote[0]
            send(control, self.request)
            for handed in (theirs, end):
                send_handle(control, handed.fileno(), None)
            self.overseer = receive(control)[0]["overseer"]

    def run(self, source: str, given: bool = False) -> dict:
        """Run a cell: {"error", "output", "figures"}, with "lost" in the error's place."""
        try:
            reply = self.ask(self.pipe, {"do": "run", "source": source, "given": given})[0]
            self.cells.append((source, given))
            return {"error": reply["error"] and str(reply["error"]),
                    "output": str(reply["output"])[:LONGEST],
                    "figures": [str(figure) for figure in reply["figures"]]}
        except Lost as lost:
            self._begin()
            cells, self.cells = self.cells, []
            for cell in cells:
                self.run(*cell)
            return {"error": str(lost), "output": str(lost), "figures": []}

    def copy(self) -> Connection:
        """What asks a copy of the process as it is now."""
        ours, theirs = Pipe()
        with theirs, contextlib.suppress(Lost):  # then so is the copy
            self.ask(self.pipe, {"do": "copy"}, handle=theirs.fileno())
        return self.open.enter_context(ours)

    def ask(self, pipe: Connection, request: dict, blob=b"", answer=None, handle=None):
        """One request, and what is called back meanwhile. Raises Lost where no reply comes."""
        if pipe is self.pipe:
            pipe.began = time.monotonic()
        try:
            if self.left <= 0 or time.monotonic() > self.until:
                raise TimeoutError
            send(pipe, request, blob)
            if handle is not None:
                send_handle(pipe, handle, None)
            while True:
                if not pipe.poll(patience(self.cell)):
                    raise TimeoutError
                header, blob = receive(pipe)
                if "callback" not in header or answer is None:
                    self.looked |= set(map(str, header.get("looked", ())))
                    return header, blob
                answer(header, blob)
        except Exception as error:  # past its processor time a process is killed, too
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


class Proxy:
    """A student's function, as the tests see it; it is called in the process behind `pipe`."""

    def __init__(self, name: str, submission: Submission, pipe: Connection, of: ProblemSet):
        self.__name__, self.submission, self.pipe, self.given = name, submission, pipe, of.namespace
        self.parameters, self.last, self.called = of.parameters(name), None, 0.0
        pipe.began = time.monotonic()
        self.processor_time = submission.processor_time

    def pack(self, value, callbacks: list) -> bytes:
        """A pickle in which the given cells' names stand for themselves, and functions of the tests
        for numbers, by which they are called back."""

        class Pickler(pickle.Pickler):
            def persistent_id(_, part):
                ours = isinstance(part, type | types.FunctionType) and part.__module__ == "tests"
                if ours and self.given.get(part.__name__) is part:
                    return part.__name__
                if ours:
                    callbacks.append(part)
                return len(callbacks) - 1 if ours else None

            def reducer_override(_, part):
                if type(part) is not torch.Tensor:
                    return NotImplemented
                part = part if part.is_leaf else part.detach()  # the grader keeps what it is from
                if part.nbytes < part.untyped_storage().nbytes():
                    part = part.clone()  # a slice, and not all that it is of
                return part.__reduce_ex__(4)

        Pickler(file := io.BytesIO()).dump(value)
        return file.getvalue()

    def __call__(self, *positional, **named):
        callbacks, failures, every = [], [], [*positional, *named.values()]
        self.called, tensors = 0.0, leaves([positional, named])
        before = [fingerprint(value) for value in every]

        def answer(header, blob):
            number, times = header["callback"]
            try:
                result = derivative(callbacks[number], times, decode(header["value"], blob))
                send(self.pipe, {}, self.pack(result, callbacks))
            except Exception as error:
                failures.append(error)
                send(self.pipe, {"failed": str(error)})

        request = {"do": "call", "name": self.__name__, "grad": torch.is_grad_enabled()}
        sent = self.pack(((positional, named), [tensor.grad for tensor in tensors]), callbacks)
        header, blob = self.submission.ask(self.pipe, request, sent, answer=answer)
        if failures and isinstance(failures[0], AssertionError):
            raise failures[0]
        if "missing" in header:
            raise Failed(f"There is no {self.__name__}.")
        if "error" in header:
            raise Failed(str(header["error"]))
        try:
            names = [*self.parameters[: len(positional)], *named]
            for name, old, new in zip(names, before, header["arguments"], strict=True):
                if new != old:
                    self.submission.changed[self.__name__] = name
            self.last, slopes = decode(header["value"], blob)
            if slopes is not None:
                tracked = [tensor for tensor in tensors if tensor.requires_grad]
                self.last = Result.apply(slopes, self.last, *tracked)
        except Strange as strange:
            raise Failed(
                f"{self.__name__} returns an object of the class {strange}: expected a tensor or a "
                "number, or several of them."
            ) from None
        except Exception:
            raise Lost(ENDED) from None
        self.called = time.monotonic()
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
    if times:
        inputs = [value.detach().requires_grad_() for value in inputs]

    def nth(times: int, *values):
        if times == 0:
            return function(*values)
        result = nth(times - 1, *values[:-1])
        return torch.autograd.grad(
            result, values[:-1], values[-1], create_graph=True, materialize_grads=True
        )

    return nth(times, *inputs)

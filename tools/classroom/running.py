"""The grader's side of the processes in which students' code runs."""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path

import cloudpickle
import psutil
import torch

from course_utils.sources import cache_folder
from tools.classroom import wire
from tools.classroom.problem_sets import ProblemSet

# Seconds of processor time for a cell or a test, and for all of either. On the clock, three times
# as long and a minute more, so that a busy machine fails nobody.
CELL, WHOLE = 30.0, 360.0
# What a submission may hold at once, and how often that is looked at, in seconds.
PROCESSES, DISK, LOOK = 256, 4 << 30, 0.5
PICTURES = 20 << 20  # characters of all that its cells show
TIME = "Your code was still running when the time limit was reached."
ENDED = "Your code ended the process that ran it."
# What a submission may know of the teacher's settings.
SETTINGS = set("HOME LANG LC_ALL PATH PYTHONPATH".split())
# No pip starts with such a PIP_PYTHON; torch.compile gives the function as it is. A fork copies one
# thread only: what forks must have no other, of OpenMP or of vecLib, macOS's linear algebra.
SET = {"PIP_PYTHON": "none", "UV_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1", "MPLBACKEND": "agg"}
SET |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
SET |= dict.fromkeys(["OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"], "1")
IMPORT = re.compile(r"(?:from ([\w.]+) )?import (\([^)]+\)|[\w, .]+)")
_lock = threading.Lock()
_zygote: list = []  # the process that all others are forked from, when there is one


class Lost(AssertionError):
    """The student's process ended, or had to be."""


def patience(seconds: float) -> float:
    """How long to wait for so many seconds of processor time."""
    return 3 * seconds + 60


def imports(problem_set: ProblemSet) -> list[re.Match]:
    """What the set's own cells import, or tell students to."""
    text = "\n".join(cell.source for cell in problem_set.of("given", "text").values())
    return [*IMPORT.finditer(text)]


def start(sets: list[ProblemSet]) -> None:
    """Start the process from which submissions' processes fork, with what these sets import."""
    if not hasattr(os, "fork"):
        raise RuntimeError("grading needs Linux or macOS; on Windows use WSL or the container")
    lines = {match[0] for each in sets for match in imports(each)}
    if not _zygote or not lines <= _zygote[2]:
        _start(lines)


def _start(lines: set[str]) -> None:
    stop()
    environment = {name: os.environ[name] for name in SETTINGS & set(os.environ)} | SET
    environment["COURSE_CACHE"] = str(cache_folder().absolute())
    ours, theirs = Pipe()
    with theirs:
        number, script = theirs.fileno(), Path(__file__).with_name("student.py")
        command = [sys.executable, script, str(number), *sorted(lines)]
        nowhere = dict.fromkeys(["stdin", "stdout"], subprocess.DEVNULL)
        process = subprocess.Popen(command, env=environment, pass_fds=[number], **nowhere)
    _zygote[:] = [ours, process, lines]


def stop() -> None:
    """End it; what is being marked is lost."""
    if _zygote:
        _zygote[0].close()
        _zygote[1].wait()
        _zygote.clear()


class Submission(contextlib.ExitStack):
    """The processes of one submission, with a folder of their own.

    cell, whole: time limits in seconds, for a cell or a test, and for all of either. modules: what
    lies in the folder from the beginning, bytes by name.
    """

    def __init__(self, problem_set: ProblemSet, *, cell=CELL, whole=WHOLE, modules=None):
        super().__init__()
        self.set, self.cell, self.whole, self.looked = problem_set, cell, whole, set()
        self.refill()
        self.pictures = PICTURES  # that may still be shown
        self.changed: dict[str, str] = {}  # function -> an argument that it changes
        self.last: tuple | None = None  # the function that a test called last, and its result
        self.overseer, self.over = None, ""  # what ends all below it; why that had to be
        self.folder = tempfile.mkdtemp()
        remove = 'chmod -R u+rwx "$0"; rm -rf "$0"'  # to the bottom of any folder
        self.callback(subprocess.run, ["sh", "-c", remove, self.folder], stderr=subprocess.DEVNULL)
        for name, content in (modules or {}).items():
            Path(self.folder, name).write_bytes(content)
        ours = (m for m in imports(problem_set) if (m[1] or "").startswith("course_utils"))
        allowed = {f"{m[1]}.{name}" for m in ours for name in re.findall(r"\w+", m[2])}
        request = {"folder": self.folder, "allowed": sorted(allowed), "cell": cell, "whole": whole}
        self.backup = self.latest = None  # copies, the latter as things are now
        try:
            with _lock:
                if _zygote[1].poll() is not None:  # a submission may have killed it
                    _start(_zygote[2])
                self.pipe, reply = self.fork(_zygote[0], {"do": "begin"} | request)
        except BaseException:
            self.close()
            raise
        self.overseer = psutil.Process(reply["overseer"])
        self.callback(wire.end, self.overseer)
        # Whatever a process does, or leaves half said, nobody waits for it longer than this.
        timer = threading.Timer(2 * patience(whole) + cell, wire.end, [self.overseer])
        timer.daemon = True
        timer.start()
        self.callback(timer.cancel)

    def refill(self) -> None:
        """Time for all cells, or all tests: what cells waste, tests have all the same."""
        self.left, self.until = self.whole, time.monotonic() + patience(self.whole)

    def run(self, source: str, given: bool = False) -> dict:
        """Run a cell: {"error", "output", "figures"}, the error "" where there is none. After a
        cell that ends its process, or has to be ended, all goes on as it was before it."""
        try:
            self.backup = (not given and (self.latest or self.copy())) or self.backup
            self.latest, self.began, before = None, time.monotonic(), self.processor_time()
            reply = self.ask(self.pipe, {"do": "run", "source": source, "given": given})
            most = self.cell + 2  # the process's own limit is in whole seconds, and can be refused
            if time.monotonic() - self.began > most and self.processor_time() - before > most:
                self.left -= self.cell
                raise Lost(TIME)
            texts = {name: text(reply[name])[: wire.LONGEST] for name in ("error", "output")}
            most = min(self.pictures // 5, 1 << 20)
            figures = [f for f in map(text, reply["figures"][:5]) if len(f) < most]
            self.pictures -= sum(map(len, figures))
            return texts | {"figures": figures}
        except Exception as lost:  # or it replied with something else
            why = str(lost) if isinstance(lost, Lost) else ENDED
            with contextlib.suppress(Lost):
                self.pipe = self.fork(self.backup, {"do": "copy"})[0]
            return {"error": why, "output": why, "figures": []}

    def copy(self) -> Connection | None:
        """What asks a copy of the process as it is now, if it still is there."""
        with contextlib.suppress(Lost):
            self.latest = self.fork(self.pipe, {"do": "copy"})[0]
            return self.latest

    def fork(self, pipe: Connection, request: dict) -> tuple[Connection, dict]:
        """What asks the process that this request starts, and the reply to it."""
        self.began = time.monotonic()
        ours, theirs = Pipe()
        with theirs:
            return ours, self.ask(pipe, request, handle=theirs.fileno())

    def test(self, code: str, names: dict, copy: Connection | None) -> str:
        """What a test finds wrong with the functions of `copy`, or ""; it adds to `names`."""
        self.began, self.last = time.monotonic(), None
        names |= {name: self.proxy(name, copy) for name in self.set.functions}
        try:
            exec(compile(code, "<tests>", "exec"), names)
        except AssertionError as error:
            return str(error) or "A test did not pass."
        except Exception as error:
            if self.last is None:
                raise
            name, got = self.last
            if got is None:
                return f"{name} returned nothing. Is a `return` missing?"
            shape = f" of shape {tuple(got.shape)}" if torch.is_tensor(got) else ""
            why = f"with which the test could not go on ({type(error).__name__}: {error})"
            return f"{name} returned a {type(got).__name__}{shape}, {why}."
        return ""

    def ask(self, pipe: Connection, request: dict, *, callbacks=(), handle=None) -> dict:
        """The reply to a request, what it calls back meanwhile being answered. Raises Lost where
        none comes."""
        try:
            if self.over:
                raise Lost(self.over)
            if self.left <= 0 or time.monotonic() > self.until:
                raise TimeoutError
            wire.send(pipe, request)
            if handle is not None:
                send_handle(pipe, handle, None)
            while True:
                self.wait(pipe)
                reply = wire.receive(pipe)
                if "callback" not in reply or not callbacks:
                    self.looked |= {text(name)[:200] for name in reply.get("looked", ())[:5]}
                    return reply
                wire.send(pipe, self.answer(callbacks[reply["callback"]], reply["value"]))
        except AssertionError:  # a test's, from what was called back
            raise
        except Exception as error:  # past its processor time a process is killed, too
            late = isinstance(error, TimeoutError) or time.monotonic() - self.began >= self.cell
            self.left -= self.cell if late else 0
            raise Lost(TIME if late else ENDED) from None

    def wait(self, pipe: Connection) -> None:
        """Until there is a reply. Raises TimeoutError, or Lost, all being ended, where the
        submission holds more than it may: what forks for ever can be stopped in no other way."""
        until = time.monotonic() + patience(self.cell)
        while not pipe.poll(LOOK):
            if time.monotonic() > until:
                raise TimeoutError
            self.over = self.overseer and self.excess()
            if self.over:
                wire.end(self.overseer)
                raise Lost(self.over)

    def excess(self) -> str:
        """Of what the submission holds more than it may, or ""."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if len(below := self.overseer.children(recursive=True)) > PROCESSES:
                return f"Your code ran more than {PROCESSES} processes at once."
            if sum(map(threads, below)) > 4 * PROCESSES:
                return f"Your code ran more than {4 * PROCESSES} threads at once."
            if written(self.folder) > DISK:
                return f"Your code kept more than {DISK >> 30} GB in files."
        return ""

    def answer(self, function: Callable, value: bytes) -> dict:
        """What a function of the tests returns, or why it does not."""
        try:
            positional, named = wire.unpack(value)
            return {"value": pickled(function(*positional, **named), self.set.namespace, [])}
        except AssertionError:
            raise
        except Exception as error:
            return {"failed": str(error)}

    def processor_time(self) -> float:
        """Seconds of processor time that the processes have had, measured from here."""

        def times(process: psutil.Process) -> float:
            with contextlib.suppress(psutil.Error):
                return sum(process.cpu_times()[:4])
            return 0.0

        ended = None
        try:
            while ended != (ended := sum(self.overseer.cpu_times()[2:4])):  # or one ended meanwhile
                total = ended + sum(map(times, self.overseer.children(recursive=True)))
        except psutil.NoSuchProcess:
            raise Lost(self.over or ENDED) from None
        return total

    def proxy(self, function: str, pipe: Connection) -> Callable:
        """A student's function, as tests see it; it is called in the process behind `pipe`."""

        def call(*positional, **named):
            callbacks, arguments = [], [*positional, *named.values()]
            before, tensors = [*map(wire.fingerprint, arguments)], wire.leaves([positional, named])
            sent = (positional, named), [tensor.grad for tensor in tensors]
            request = {"do": "call", "name": function, "grad": torch.is_grad_enabled()}
            request["value"] = pickled(sent, self.set.namespace, callbacks)
            reply = self.ask(pipe, request, callbacks=callbacks)
            try:
                if "error" in reply:
                    raise AssertionError(text(reply["error"]))
                names = [*self.set.parameters[function][: len(positional)], *named]
                for name, old, new in zip(names, before, reply["arguments"], strict=True):
                    if new != old:
                        self.changed[function] = name
                if len(reply["value"]) > wire.RESULT:
                    raise ValueError
                result, slopes = wire.unpack(reply["value"])
                tracked = [tensor for tensor in tensors if tensor.requires_grad]
                if len(slopes := slopes or []) != len(tracked):  # as where a frozen model thawed
                    tracked = slopes = []
                for leaf, slope in zip(tracked, slopes, strict=True):
                    # Nothing, but for its gradient.
                    nothing = (leaf - leaf.detach()) * slope.reshape(leaf.shape).nan_to_num()
                    result = result + nothing.sum().to(result.dtype)
            except wire.Strange as strange:
                came = f"{function} returns {strange}"
                expected = "expected a tensor or a number, or several of them."
                raise AssertionError(f"{came}: {expected}") from None
            except AssertionError:
                raise
            except Exception:
                raise Lost(ENDED) from None
            self.last = function, result
            return result

        call.processor_time = self.processor_time
        return call


def text(value) -> str:
    """What should be text, from a process that may send anything."""
    if not isinstance(value, str):
        raise TypeError(f"got {type(value).__name__}, expected text")
    return value


def threads(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return process.num_threads()
    return 0


def written(folder: str) -> int:
    """Bytes in a folder's files, however deep; holes take none."""
    told = subprocess.run(["du", "-sk", folder], capture_output=True, text=True)
    return int(told.stdout.partition("\t")[0] or 0) << 10


def pickled(value, given: dict, callbacks: list) -> bytes:
    """A pickle for the student's process. Classes of the given cells stand there by their names,
    and functions that keep something from call to call for numbers, by which they are called back;
    other functions go over whole."""

    class Pickler(cloudpickle.Pickler):
        dispatch_table = cloudpickle.Pickler.dispatch_table.new_child({torch.Tensor: _reduced})

        def persistent_id(_, part):
            if isinstance(part, type) and given.get(part.__name__) is part:
                return part.__name__
            ours = isinstance(part, types.FunctionType) and part.__module__ == "tests"
            if ours and part.__closure__:
                callbacks.append(part)
                return len(callbacks) - 1

    Pickler(file := io.BytesIO()).dump(value)
    return file.getvalue()


def _reduced(tensor: torch.Tensor) -> tuple:
    """For pickle: not what the tensor is computed from, nor all that it is a slice of."""
    tensor = tensor if tensor.is_leaf else tensor.detach()
    small = tensor.nbytes < tensor.untyped_storage().nbytes()
    return (tensor.clone() if small else tensor).__reduce_ex__(4)

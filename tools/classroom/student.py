"""The process in which students' code runs: it knows the course's own cells, and no test or mark.

It imports what the course needs once, and then forks for each submission an overseer, which ends
whatever the submission leaves behind, and below it the process of the cells. For each test that
process forks a copy of itself, in which the grader calls the student's functions after all cells
have run: no cell learns what tests ask for, and no test what another one did.

Requests come pickled from the grader. What goes back is JSON and bytes, and never unpickled.
"""

import contextlib
import ctypes
import importlib
import io
import os
import pickle
import random
import resource
import signal
import socket
import subprocess
import sys
import time
import traceback
import types
import warnings

import numpy as np
import psutil
import torch
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from wire import LONGEST, Pipe, Remote, callback, encode, fingerprint, tensors
from withheld import withhold  # this folder is on the path

MEMORY, FILE = 4 << 30, 64 << 20  # bytes


class Output(io.TextIOBase):
    """Keeps the beginning of what is written to it."""

    def __init__(self):
        self.kept = ""

    def writable(self):
        return True

    def write(self, text):
        self.kept += text[: LONGEST - len(self.kept)]
        return len(text)


class Shell(InteractiveShell):
    """IPython without a terminal or a kernel, in which nothing is installed or reset."""

    def enable_gui(self, gui=None):
        """`%matplotlib inline` asks for it."""

    def system(self, command):
        """`!command`, in a process of this one's."""
        done = subprocess.run(self.var_expand(command, depth=1), shell=True, capture_output=True)
        print((done.stdout + done.stderr).decode("utf-8", "replace"), end="")

    def init_magics(self):
        super().init_magics()
        for name in ("pip", "conda", "mamba", "micromamba", "uv", "reset"):
            self.register_magic_function(lambda line: None, magic_name=name)


class Unpickler(pickle.Unpickler):
    """Reads what the grader sends."""

    def persistent_load(self, key: tuple):
        kind, which = key
        return callback(which) if kind == "callback" else self.session.given[which]

    def find_class(self, module, name):
        ours = self.session.ours.get(module)
        return super().find_class(module, name) if ours is None else getattr(ours, name)


class Session:
    """The student's namespace, and what the grader's requests do in it."""

    def __init__(self, shell: Shell, pipe: Pipe, allowed: list[str], seconds: float):
        self.shell, self.names, self.pipe = shell, shell.user_module.__dict__, pipe
        self.given, self.seconds = {}, seconds
        self.ours, self.looked = withhold(allowed)
        Remote.ask = self.ask

    def serve(self) -> None:
        while True:
            try:
                header, blobs, fds = (pipe := self.pipe).receive(fds=1)
            except (EOFError, OSError):
                return
            arguments = header["arguments"]
            reply, out = getattr(self, header["do"])(*arguments, *map(self.load, blobs), *fds)
            if pipe is self.pipe:  # a copy has another
                pipe.send(reply | {"looked": self.looked[:5]}, *out)

    def load(self, blob: bytes):
        unpickler = Unpickler(io.BytesIO(blob))
        unpickler.session = self
        return unpickler.load()

    def run(self, source: str, given: bool) -> tuple[dict, list]:
        """Run a cell; a given one defines what tests may hand over by name."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + self.seconds) + 1
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (min(soft, hard), hard))
        importlib.invalidate_caches()  # for %%writefile
        before, output = dict(self.names), Output()
        publisher = CapturingDisplayPublisher()
        self.shell.display_pub = publisher
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            result = self.shell.run_cell(source, store_history=not given)
        if given:
            self.given |= {n: v for n, v in self.names.items() if before.get(n) is not v}
        figures = []
        for shown in publisher.outputs:
            picture = shown.get("data", {}).get("image/png")
            if isinstance(picture, str) and len(picture) < 1 << 20:
                figures.append(picture)
            else:
                output.write(str(shown.get("data", {}).get("text/plain", "")) + "\n")
        error = result.error_before_exec or result.error_in_exec
        return {"error": words(error), "output": output.kept, "figures": figures[:5]}, []

    def copy(self, fd: int) -> tuple[dict, list]:
        """Fork a copy that is asked through `fd`."""
        if os.fork():
            os.close(fd)
        else:
            self.pipe.socket.close()
            self.pipe = Pipe(socket.socket(fileno=fd))
            sys.stdout = sys.stderr = open(os.devnull, "w")
            limit = min(int(self.seconds) + 1, resource.getrlimit(resource.RLIMIT_CPU)[1])
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        return {}, []

    def call(self, name: str, grad: bool, sent) -> tuple[dict, list]:
        """Call a function of the student's; the reply has its result and its arguments."""
        (arguments, named), gradients = sent
        leaves = tensors([arguments, named])
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient
        if name not in self.names:
            return {"missing": name}, []
        fresh()
        try:
            torch.set_grad_enabled(grad)
            with torch.inference_mode(False), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = self.names[name](*arguments, **named)
                fresh()
                value = encode(result, blobs := [])
                slopes = encode(gradients_of(result, leaves), blobs)
        except BaseException as error:  # SystemExit and KeyboardInterrupt, too, are a student's
            fresh()
            kind = type(error).__name__
            return {"error": words(error), "kind": kind}, []
        after = [fingerprint(argument) for argument in [*arguments, *named.values()]]
        return {"value": value, "slopes": slopes, "arguments": after}, blobs

    def ask(self, key: tuple[int, int], values):
        """The grader's function at these values."""
        tree = encode(list(values), blobs := [])
        self.pipe.send({"callback": key, "value": tree}, *blobs)
        header, blobs, _ = self.pipe.receive()
        if "failed" in header:
            raise RuntimeError(header["failed"])  # the grader knows more
        return self.load(blobs[0])


def gradients_of(result, leaves: list) -> list | None:
    """The gradient of a result that is one number in the arguments' tensors, if it has one."""
    leaves = [leaf for leaf in leaves if leaf.requires_grad]
    if not (leaves and isinstance(result, torch.Tensor) and result.requires_grad) or result.ndim:
        return None
    return list(torch.autograd.grad(result, leaves, materialize_grads=True, allow_unused=True))


def fresh() -> None:
    """What one call may have set does not reach the next, nor what reads its result."""
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    np.seterr(all="warn", under="ignore")


def words(error: BaseException | None) -> str | None:
    """What the error says, and the student's line that raised it; any object may misbehave here."""
    if error is None:
        return None
    try:
        if isinstance(error, NotImplementedError) and not error.args:
            return "Not answered: there still is a `raise NotImplementedError()`."
        said = str(error)[:2000]
        text = f"{type(error).__name__}: {said}" if said else type(error).__name__
        if isinstance(error, SyntaxError):
            return f"{type(error).__name__}: {error.msg} (line {error.lineno}: {error.text!s:.200})"
        frames = traceback.extract_tb(error.__traceback__)
        where = [frame for frame in frames if frame.filename.startswith("<ipython")]
        return f"{text} (your line: {where[-1].line})" if where and where[-1].line else text
    except BaseException:
        return "An exception that could not even be shown."


def confine(folder: str, seconds: float) -> None:
    """Keep honest mistakes from harming others. It is no sandbox: see TEACHING.md."""
    os.setsid()
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv = ["submission"]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's, no error of a student's
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    for limit, value in (
        ("RLIMIT_CPU", int(seconds) + 1), ("RLIMIT_DATA", MEMORY), ("RLIMIT_FSIZE", FILE),
        ("RLIMIT_CORE", 0),
    ):  # fmt: skip
        _, most = resource.getrlimit(getattr(resource, limit))
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        with contextlib.suppress(OSError, ValueError):  # macOS knows, and refuses, some
            resource.setrlimit(getattr(resource, limit), (value, value))


def oversee(life: int) -> None:
    """Wait until the grader closes its end of `life`, then end everything below this process."""
    while os.read(life, 1):
        pass
    while children := psutil.Process().children(recursive=True):
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.002)


def main(control: Pipe, modules: list[str]) -> None:
    """Fork an overseer and a session for each request, until the grader is gone."""
    import matplotlib.pyplot  # noqa: F401

    for name in modules:
        with contextlib.suppress(ModuleNotFoundError):  # a function's name, say
            importlib.import_module(name)
    torch.set_num_threads(1)
    module = types.ModuleType("__main__")
    _this, sys.modules["__main__"] = sys.modules["__main__"], module
    config = Config(HistoryManager={"enabled": False}, InteractiveShell={"colors": "nocolor"})
    shell = Shell.instance(user_module=module, config=config)
    shell.run_line_magic("matplotlib", "inline")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # overseers leave no zombies
    while True:
        try:
            header, _, (pipe, life) = control.receive(fds=2)
        except (EOFError, OSError, ValueError):
            return
        if pid := os.fork():
            os.close(pipe), os.close(life)
            control.send({"overseer": pid})
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.socket.close()
        with contextlib.suppress(AttributeError, OSError):  # Linux: orphans below come back here
            ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
        if os.fork():
            os.close(pipe)
            oversee(life)
        else:
            os.close(life)
            connection = Pipe(socket.socket(fileno=pipe))
            session = Session(shell, connection, header["allowed"], header["cell"])
            confine(header["folder"], header["whole"])
            session.serve()
        os._exit(0)

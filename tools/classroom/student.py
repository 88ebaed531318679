"""The process in which students' code runs: it knows the course's own cells, and no test or mark.

It imports what the course needs once, and then forks for each submission an overseer, which ends
whatever the submission leaves behind, and below it the process of the cells. For each test that
process forks a copy of itself, in which the grader calls the student's functions after all cells
have run: no cell learns what tests ask for, and no test what another one did.

Requests come pickled from the grader. What goes back is read by `wire`, and never unpickled.
"""

import contextlib
import gc
import importlib
import io
import os
import pickle
import random
import resource
import signal
import sys
import threading
import traceback
import types
import warnings
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from time import process_time, sleep

import fence
import numpy as np
import psutil
import torch
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
from wire import LONGEST, RESULT, end, fingerprint, leaves, pack, receive, send

COURSE = ("course_utils", "tools", "tests")
PRIVATE = ("notebooks/assignments/", "tests/assignments/")
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")


class Output(io.StringIO):
    """Keeps the beginning of what is written to it."""

    def write(self, text):
        super().write(text[: LONGEST - self.tell()])
        return len(text)


class Shell(InteractiveShell):
    """IPython without a terminal or a kernel."""

    def enable_gui(self, gui=None):
        """`%matplotlib inline` asks for it."""

    def system(self, command):
        """`!command`, in a process of this one's."""
        print(self.getoutput(command, split=False, depth=1))


class Session:
    """The student's namespace, and what the grader's requests do in it."""

    def __init__(self, shell: Shell, pipe: Connection):
        self.shell, self.names, self.pipe = shell, shell.user_module.__dict__, pipe
        self.given, self.looked, self.settings = {}, [], ()
        self.one_at_a_time = threading.Lock()  # students have threads

    def serve(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                request = receive(pipe := self.pipe)
                reply = getattr(self, request.pop("do"))(**request)
                if pipe is self.pipe:  # a copy has another
                    send(pipe, reply | {"looked": self.looked[:5]})

    def fork(self) -> int:
        """As os.fork; the child is asked through a connection of its own."""
        fd, pid = recv_handle(self.pipe), None
        while pid is None:
            try:
                pid = os.fork()
            except BlockingIOError:  # another submission has all the processes, but not for long
                sleep(0.1)
        if pid:
            os.close(fd)
        else:
            self.pipe.close()
            self.pipe = Connection(fd)
        return pid

    def begin(self, folder: str, allowed: list[str], cell: float, whole: float) -> dict:
        """Fork an overseer, and below it the process of a submission's cells."""
        if pid := self.fork():
            return {"overseer": pid}
        fence.oversee(self.pipe)
        self.seconds, self.ours = cell, withhold(allowed, self.looked, folder)
        fence.confine(folder, whole)
        fence.enclose(folder, self.ours[COURSE[0]].__path__[0])
        return {}

    def copy(self) -> dict:
        if not self.fork():
            self.settings = torch.get_default_dtype(), np.geterr()
            fence.limit_seconds(self.seconds)
        return {}

    def load(self, value: bytes):
        """What the grader sent: withheld classes, given ones, and its functions by number."""

        class Unpickler(pickle.Unpickler):
            def persistent_load(_, key):
                if isinstance(key, str):
                    return self.given[key]
                return lambda *positional, **named: self.ask(key, positional, named)

            def find_class(unpickler, module, name):
                ours = self.ours.get(module)
                return getattr(ours, name) if ours else super().find_class(module, name)

        return Unpickler(io.BytesIO(value)).load()

    def ask(self, number: int, positional: tuple, named: dict):
        """Call the grader's function of this number."""
        with self.one_at_a_time:
            send(self.pipe, {"callback": number, "value": pack([positional, named])})
            reply = receive(self.pipe)
        if "failed" in reply:
            raise RuntimeError(reply["failed"])
        return self.load(reply["value"])

    def run(self, source: str, given: bool) -> dict:
        """Run a cell; a given one defines what tests may hand over by name."""
        fence.limit_seconds(process_time() + self.seconds)
        importlib.invalidate_caches()  # for %%writefile
        before, output, figures = dict(self.names), Output(), []
        self.shell.display_pub = publisher = CapturingDisplayPublisher()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            result = self.shell.run_cell(source, store_history=not given)
        if given:
            self.given |= {n: v for n, v in self.names.items() if before.get(n) is not v}
        for data in (shown.get("data", {}) for shown in publisher.outputs):
            if isinstance(picture := data.get("image/png"), str) and len(picture) < 1 << 20:
                figures.append(picture)
            else:
                output.write(f"{data.get('text/markdown', data.get('text/plain', ''))}\n")
        error = result.error_before_exec or result.error_in_exec
        text = words(error) if error else ""
        return {"error": text, "output": output.getvalue(), "figures": figures[:5]}

    def call(self, name: str, grad: bool, value: bytes) -> dict:
        """Call a function of the student's; the reply has its result and its arguments."""
        (arguments, named), gradients = self.load(value)
        tensors = leaves([arguments, named])
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.grad = gradient
        soft, hard = resource.getrlimit(resource.RLIMIT_CPU)  # nothing handles the hard one
        resource.setrlimit(resource.RLIMIT_CPU, (soft, min(soft + 1, hard)))
        if name not in self.names:
            return {"error": f"There is no {name}."}
        fresh(*self.settings)
        try:
            with torch.inference_mode(False):
                torch.set_grad_enabled(grad)  # within: leaving inference mode switches it on
                try:
                    with warnings.catch_warnings():
                        result = self.names[name](*arguments, **named)
                finally:
                    fresh()
                with warnings.catch_warnings(action="ignore"):
                    value = pack([result, slopes(result, tensors)])
            if len(value) > RESULT:
                return {"error": f"{name} returns more than {RESULT >> 20} MB."}
        except BaseException as error:  # SystemExit and KeyboardInterrupt, too, are a student's
            return {"error": words(error)}
        after = [fingerprint(argument) for argument in [*arguments, *named.values()]]
        return {"value": value, "arguments": after}


def slopes(result, tensors: list) -> list | None:
    """The gradient of a result that is one number in the arguments' tensors, if it has one."""
    tracked = [tensor for tensor in tensors if tensor.requires_grad]
    if tracked and isinstance(result, torch.Tensor) and result.requires_grad and not result.ndim:
        settings = {"materialize_grads": True, "allow_unused": True}
        with contextlib.suppress(RuntimeError):  # where the graph was used up
            return [*torch.autograd.grad(result, tracked, **settings)]


def fresh(dtype=torch.float32, errors=None) -> None:
    """What one call may have set does not reach the next, nor what reads its result; what cells set
    does reach the calls."""
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(True)
    torch.set_num_threads(1)
    for seed in (torch.manual_seed, random.seed, np.random.seed):
        seed(0)
    np.seterr(**(errors or {"all": "warn", "under": "ignore"}))


def words(error: BaseException) -> str:
    """What the error says, and the student's line that raised it; any object may misbehave here."""
    try:
        if isinstance(error, NotImplementedError) and not error.args:
            return "Not answered: there still is a `raise NotImplementedError()`."
        kind = type(error).__name__
        if isinstance(error, SyntaxError):
            return f"{kind}: {error.msg} (line {error.lineno}: {str(error.text).strip():.200})"
        text = ": ".join(filter(None, [kind, str(error)[:2000]]))
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.line for frame in frames if frame.filename.startswith("<ipython")]
        return f"{text} (your line: {lines[-1]})" if lines and lines[-1] else text
    except BaseException:
        return "An exception that could not even be shown."


def withhold(allowed: list[str], looked: list[str], folder: str) -> dict[str, types.ModuleType]:
    """Leave of course_utils only what is `allowed`, such as "course_utils.attacks.fgsm", and of
    files that are called like the sources and the tests those in the submission's `folder`.

    Who pastes the course's code gets past this, as everybody has it. Every attempt to reach what is
    withheld is added to `looked`. Returns the course's modules by name.
    """

    def refuse(name: str, error=ImportError):
        looked.append(name)
        raise error(f"{name} is not in this problem set")

    class Rest(types.ModuleType):
        __path__ = ()

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            refuse(f"{self.__name__}.{name}")

    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in COURSE:
            refuse(name)

    def audit(event, arguments):
        touched = str(arguments) if event in STARTS else ""
        if event == "open" and isinstance(arguments[0], str | bytes):
            touched = os.path.realpath(os.fsdecode(arguments[0]))
            touched = "" if touched.startswith(f"{folder}/") else touched
        if any(path in touched for path in PRIVATE):
            refuse(touched[-100:], PermissionError)

    folder = os.path.realpath(folder)
    names = [name for name in sys.modules if name.partition(".")[0] == COURSE[0]]
    ours = {name: sys.modules.pop(name) for name in names}
    root = sys.modules[COURSE[0]] = Rest(COURSE[0])
    for path in allowed:
        module, _, name = path.rpartition(".")
        rest = sys.modules.setdefault(module, Rest(module))
        setattr(rest, name, vars(ours[module]).get(name) or ours[path])
        if rest is not root:
            setattr(root, module.rpartition(".")[2], rest)
    sys.meta_path.insert(0, types.SimpleNamespace(find_spec=find_spec))
    sys.addaudithook(audit)
    return ours


def main(control: Connection, imports: list[str]) -> None:
    """Begin submissions until the grader is gone, or be one of their processes."""
    modules = ["matplotlib.pyplot", "cloudpickle", "torch._dynamo"]  # optim needs the last
    for line in [f"import {', '.join(modules)}", *imports]:
        with contextlib.suppress(Exception):  # a submission's own failure, then; or no code
            exec(line, {})
    torch.set_num_threads(1)
    _this, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
    config = Config(HistoryManager={"enabled": False}, InteractiveShell={"colors": "nocolor"})
    shell = Shell.instance(user_module=sys.modules["__main__"], config=config)
    shell.db = {}  # what `%cd` and `%bookmark` keep, in memory
    shell.run_line_magic("matplotlib", "inline")
    for name in ("pip", "conda", "mamba", "micromamba", "uv", "reset"):
        shell.register_magic_function(lambda line: None, magic_name=name)
    gc.freeze()  # or each process would go through, and so copy, all that was imported
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children leave no zombies
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's, no error of a student's
    fence.prctl(36, 1)  # orphans that lost their overseer come back here, and end at the end
    try:
        (session := Session(shell, control)).serve()
        if session.pipe is control:
            for child in psutil.Process().children():
                end(child)
    finally:
        os._exit(0)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder; what is needed from it is imported
    main(Connection(int(sys.argv[1])), sys.argv[2:])

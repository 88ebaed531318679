"""Running a notebook's cells in a process of its own, under time limits.

A cell that ends the process, or that is still running when its time is up, costs its exercise and
no other: the rest is run again without it.
"""

import ast
import json
import math
import multiprocessing
import os
import secrets
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil

from tools.classroom import worker

# Seconds of processor time, so that a busy machine fails nobody. Endless loops in eleven exercises,
# as many as the largest set has, leave time for the rest.
CELL, WHOLE = 30.0, 360.0
TIME, ENDED = "time limit", "ended"
_starting = threading.Lock()
_context = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")


@dataclass(frozen=True)
class Step:
    """One request: `do` is a method of worker.Session. What shares an `exercise` (a grade_id, or
    None) fails together when one of its cells doesn't return. `cell` is the caller's."""

    do: str
    arguments: tuple
    exercise: str | None = None
    cell: int = -1


def preload(sources: list[str]) -> None:
    """Import what these cells import once, before the first process starts, and not in each."""
    modules = {worker.__name__, "tools.classroom.warm"}
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                modules |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    if _context.get_start_method() == "forkserver":
        _context.set_forkserver_preload(sorted(modules))


def run(steps: list[Step], *, cell: float = CELL, whole: float = WHOLE) -> list[dict]:
    """Run the steps in order; return, for each, {"error": ..., "output": ...} and what it adds.

    cell, whole: seconds of processor time for one step and for all; on the clock, three times as
    long and a minute more. A step that took too long, or whose process ended, has "lost": TIME or
    ENDED.
    """
    replies: dict[int, dict] = {}
    lost: dict[str | None, str] = {}
    spent, deadline = 0.0, time.monotonic() + patience(whole)
    while len(replies) < len(steps) and spent < whole and time.monotonic() < deadline:
        with Process(seconds=math.ceil(2 * whole)) as process:
            for number, step in enumerate(steps):
                if number in replies and step.do == "test":
                    continue  # on a second run; the others make the namespaces
                if number in replies and "lost" in replies[number]:
                    continue
                # A lost test takes the exercise's others along, not the answer that they call:
                # other exercises may need it.
                if step.do == "test" and step.exercise in lost:
                    replies[number] = {"lost": lost[step.exercise]}
                    continue
                reply = process.ask(step, seconds=min(cell, whole - spent - process.used()))
                if "lost" in reply:
                    replies[number] = reply
                    lost[step.exercise] = reply["lost"]
                    break
                replies.setdefault(number, reply)
            spent += process.used()
    return [replies.get(number, {"lost": TIME}) for number in range(len(steps))]


def patience(seconds: float) -> float:
    """How long to wait for so many seconds of processor time."""
    return 3 * seconds + 60


class Process:
    """A process for one submission, with an empty folder of its own as its working directory."""

    def __init__(self, *, seconds: int):
        self.seconds, self.known = seconds, 0.0

    def __enter__(self) -> "Process":
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.pipe, theirs = multiprocessing.Pipe()
        arguments = (theirs, self.folder.name, self.seconds)
        with _starting:
            self.process = _context.Process(target=worker.serve, args=arguments, daemon=True)
            self.process.start()
        self.watched = psutil.Process(self.process.pid)
        theirs.close()
        return self

    def __exit__(self, *_) -> None:
        self.pipe.close()
        with _starting:
            if hasattr(os, "killpg"):
                try:
                    os.killpg(self.process.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    self.process.kill()
            else:
                self.process.kill()
            self.process.join()
        self.folder.cleanup()

    def used(self) -> float:
        """The processor time that the process has had, in seconds."""
        try:
            times = self.watched.cpu_times()
        except psutil.Error:  # it has ended
            return self.known
        self.known = times.user + times.system
        return self.known

    def answers(self, seconds: float) -> bool:
        """Whether something came before the process had used so many seconds of processor time."""
        until, limit = time.monotonic() + patience(seconds), self.used() + seconds
        while not self.pipe.poll(0.2):
            if self.used() > limit or time.monotonic() > until:
                return self.pipe.poll(0)
        return True

    def ask(self, step: Step, *, seconds: float) -> dict:
        """Let the process do one step."""
        token = secrets.token_hex()
        request = {"do": step.do, "arguments": step.arguments, "token": token}
        try:
            self.pipe.send_bytes(json.dumps(request).encode())
            if not self.answers(seconds):
                return {"lost": TIME}
            reply = json.loads(receive(self.pipe))
            if reply.pop("token") != token:
                return {"lost": ENDED}
        except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {"lost": ENDED}
        return reply


def receive(pipe: Connection) -> bytes:
    return pipe.recv_bytes(maxlength=1 << 20)

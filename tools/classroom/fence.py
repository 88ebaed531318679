"""Linux's fence around a submission, and its limits; elsewhere the limits alone.

Landlock says which files a process and all below it may touch and whom they may signal, seccomp
which calls they may make. Neither can be taken back, and neither needs any rights.
"""

import contextlib
import ctypes
import os
import resource
import signal
import struct
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

from matplotlib import font_manager
from wire import ABI, libc

prctl = getattr(libc, "prctl", lambda *_: None)  # Linux has it
ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "/bin /dev/fd /dev/full /dev/random /dev/urandom /dev/zero /lib /lib64 /nix /opt"
SYSTEM = [*SYSTEM.split(), *"/proc /sbin /sys /usr".split()]
DEVICES = "/dev/null /dev/shm".split()
# The architecture, socket, prlimit64, fcntl; and what would reach others or outlive a submission:
# io_uring_setup, shmget, semget, msgget, mq_open, add_key, request_key, keyctl, memfd_create,
# unshare, setns.
CALLS = {
    "x86_64": (0xC000003E, 41, 302, 72, 425, 29, 64, 68, 240, 248, 249, 250, 319, 272, 308),
    "aarch64": (0xC00000B7, 198, 261, 25, 425, 194, 190, 186, 180, 217, 218, 219, 279, 97, 268),
}
# What only seems to be done, as honest code insists on it: setpriority, sched_setparam,
# sched_setscheduler, sched_setaffinity, sched_setattr, ioprio_set, fchmod, fchmodat, fchmodat2,
# utimensat, fchown, fchownat, setxattr and removexattr in each of their forms, file_setattr; then
# what x86 alone has, chmod, chown, lchown, utime, utimes, futimesat.
LATE = (452, 463, 466, 469)  # these have one number everywhere
SEEMING = {
    "x86_64": (141, 142, 144, 203, 314, 251, 91, 268, 280, 93, 260, *range(188, 191), *LATE)
    + (*range(197, 200), 90, 92, 94, 132, 235, 261),
    "aarch64": (140, 118, 119, 122, 274, 30, 52, 53, 88, 54, 55, *range(5, 8), *LATE)
    + (*range(14, 17),),
}
LIMITS = {"RLIMIT_DATA": 4 << 30, "RLIMIT_FSIZE": 64 << 20, "RLIMIT_CORE": 0}  # bytes


def limit_seconds(seconds: float) -> None:
    """Of processor time; never more than there was allowed before."""
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (min(int(seconds) + 1, most), most))


def confine(folder: str, seconds: float) -> None:
    """Keep honest mistakes from harming others."""
    os.setsid()
    os.nice(10)  # so that whoever can stop it gets its turn
    with contextlib.suppress(OSError):  # Linux: where memory ends, the grader is not what goes
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv = ["submission"]
    tempfile.tempdir = os.environ["TMPDIR"] = os.environ["HOME"] = folder
    os.dup2(1, 2)
    for name, value in (LIMITS | {"RLIMIT_CPU": int(seconds) + 1}).items():
        with contextlib.suppress(OSError, ValueError):  # macOS refuses some, and so do lower ones
            resource.setrlimit(getattr(resource, name), (value, value))


def oversee(pipe: Connection) -> None:
    """Fork, and return in the child. The parent waits until it is told to end all below it."""
    prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans from below come back here
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if ABI > 5:
        restrict(ruleset(scoped=2))
        signal.signal(signal.SIGTERM, end_all)
    if os.fork():
        pipe.close()
        while True:
            os.wait()  # which adds a child's processor time to that of this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_all(*_) -> None:
    """At one stroke, so that what forks faster than anyone can look ends, too."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)  # all that may be signalled, and this process is not
    os._exit(0)


def ruleset(*, handled=0, scoped=0) -> int:
    """Landlock's: the rights to files that it asks for, and what is kept below (2: signals)."""
    return libc.syscall(444, struct.pack("3Q", handled, 0, scoped), 24, 0)


def restrict(rules: int) -> None:
    """Put this process and those below it under the rules."""
    prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.syscall(446, rules, 0):
        raise OSError("Landlock is there, and refuses")
    os.close(rules)


def enclose(folder: str, package: str) -> None:
    """Linux, by Landlock: from here on only what Python needs is read, only the folder is written
    to, and no process but those below is signalled or looked into. The sources of the sets and the
    exercises' solutions are not needed. Elsewhere nothing happens: see TEACHING.md."""
    if ABI < 1:
        return
    cache = Path(os.environ["COURSE_CACHE"])
    needed = [*SYSTEM, *sys.path, sys.prefix, sys.base_prefix, *map(str, cache.glob("[!.]*"))]
    needed += {os.path.dirname(font.fname) for font in font_manager.fontManager.ttflist}
    # Root could read its secrets, too.
    needed += [each.path for each in os.scandir("/etc") if each.name not in ("ssh", "ssl")]
    needed = [path for path in needed if not path.startswith("/etc/") or public(path)]
    needed = [path for path in needed if not ROOT.is_relative_to(os.path.realpath(path))]
    needed = [path for path in needed if not os.path.exists(f"{path}/notebooks/assignments/source")]
    needed += [part.path for part in os.scandir(package) if part.name != "exercises"]
    every = (1 << 12 + min(ABI, 3) + (ABI > 4)) - 1  # rights: 13, then 14, 15, 16
    read, of_files = 0b1101, 0b11 << 14 | 0b111
    rules = ruleset(handled=every, scoped=3 * (ABI > 5))
    rights = dict.fromkeys(needed, read) | dict.fromkeys([folder, *DEVICES], every)
    for path in filter(os.path.exists, rights):
        right = rights[path] & (every if os.path.isdir(path) else of_files)
        where = os.open(path, os.O_PATH)
        libc.syscall(445, rules, 1, struct.pack("=Qi", right, where), 0)
        os.close(where)
    libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24))  # root keeps no capability
    restrict(rules)
    if os.uname().machine in CALLS:
        refuse_calls()


def public(path: str) -> bool:
    """Whether everybody may read this."""
    return os.path.exists(path) and bool(os.stat(path).st_mode & 4)


def refuse_calls() -> None:
    """By seccomp: no socket but those within the machine, no limits set for other processes,
    nothing of what CALLS names at all; and no file's mode or time and nobody's turn changes."""
    architecture, socket, prlimit, fcntl, *never = CALLS[os.uname().machine]
    load, equal, above, give = 0x20, 0x15, 0x35, 0x06  # of Berkeley's packet filters
    seeming, yes, no = -3, -2, -1  # the last three lines: 0 without a call, allowed, and EPERM
    lines = [  # what is done, steps on if it is so, steps on if not, with what
        *[(load, 0, 0, 4), (equal, 0, no, architecture), (load, 0, 0, 0), (above, no, 0, 1 << 30)],
        *((equal, no, 0, call) for call in never),
        *((equal, seeming, 0, call) for call in SEEMING[os.uname().machine]),
        # An argument is looked at: limits of this process only, Unix sockets only, and no leases on
        # files (F_SETLEASE, F_NOTIFY), which make others wait.
        *[(equal, 0, 2, prlimit), (load, 0, 0, 16), (equal, yes, no, 0)],
        *[(equal, 0, 2, socket), (load, 0, 0, 16), (equal, yes, no, 1)],
        *[(equal, 0, yes, fcntl), (load, 0, 0, 24), (equal, no, 0, 1024), (equal, no, yes, 1026)],
        *[(give, 0, 0, 0x50000), (give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x50001)],
    ]
    code = b""
    for at, (what, *steps, value) in enumerate(lines, start=1):
        so, else_ = (step if step >= 0 else len(lines) + step - at for step in steps)
        code += struct.pack("HBBI", what, so, else_, value)
    kept = ctypes.create_string_buffer(code)
    prctl(22, 2, struct.pack("HxxxxxxQ", len(lines), ctypes.addressof(kept)), 0, 0)

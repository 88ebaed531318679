"""The course's environments: `.venv` for lectures, and beside it those for tests and benchmarks.

Standard library only, and what only a set-up needs is imported there: a second run costs hundredths
of a second. An environment in which somebody installed the course by hand (conda, Colab, a
container) is used as it is. The stamp in a folder is written last, and by a rename: a set-up that
was interrupted is never taken for a finished one, and an update that fails leaves what was there.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
DEV_VENV = ROOT / "build" / "dev-venv"
BENCH_VENV = ROOT / "build" / "bench-venv"
STAMP = "course-environment.json"
PROJECT = "adversarial-examples-course"
PYTHON = "{}.{}".format(*sys.version_info)
CPU_TORCH = "https://download.pytorch.org/whl/cpu"


class SetupError(RuntimeError):
    """The environment could not be made; the message says why and what to do."""


def python_in(folder: Path) -> Path:
    """Return the interpreter of the virtual environment `folder`."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def inside(folder: Path) -> bool:
    """Whether this process runs in the virtual environment `folder`."""
    return folder.exists() and os.path.samefile(folder, sys.prefix)


def enter(python: Path | str, *arguments: str) -> int:
    """Run `python arguments...` in the place of this process, or, on Windows, beneath it."""
    command = [str(python), *arguments]
    # A kernel of the reader's own that is called python3 must not stand in for ours.
    env = {"JUPYTER_PREFER_ENV_PATH": "1"} | os.environ
    if os.name == "nt":
        return subprocess.run(command, cwd=ROOT, env=env).returncode
    os.chdir(ROOT)
    os.execve(command[0], command, env)


def ensure() -> Path:
    """Make or update `.venv` if that is needed; return the interpreter to use.

    Raises SetupError: it cannot be made, or a broken `.venv`, not the course's, is in the way.
    """
    if not inside(VENV) and installed_by_hand():
        return Path(sys.executable)
    return prepare(VENV, install_course)


def ensure_dev() -> Path:
    """The same for tests, site and study. (nbgrader puts its menus into a JupyterLab.)"""
    return prepare(DEV_VENV, partial(install_peers, "test instructor book browser cluster", []))


def ensure_bench() -> Path:
    """The same for the benchmarks' peers, without what these depend on."""
    return prepare(BENCH_VENV, partial(install_peers, "bench", ["--no-deps"]))


def installed_by_hand() -> bool:
    """Whether `pip install -e .` put this very checkout into the Python that runs this line."""
    from importlib.metadata import distributions
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    # (The egg-info that setuptools leaves in the checkout has no such file.)
    found = [place.read_text("direct_url.json") for place in distributions(name=PROJECT)]
    urls = [urlsplit(json.loads(text or "{}").get("url", "")) for text in found]
    return any(u.scheme == "file" and Path(url2pathname(u.path)).resolve() == ROOT for u in urls)


def prepare(folder: Path, install: Callable[[Path], None]) -> Path:
    """Bring the environment `folder` up to date with `install(folder)`; return its interpreter."""
    python, before = python_in(folder), beside(folder, "before")
    files = b"\0".join((ROOT / f).read_bytes() for f in ("pyproject.toml", "constraints.txt"))
    place = {"path": str(folder), "python": PYTHON}
    wanted = place | {"requirements": hashlib.sha256(files).hexdigest()}

    def is_ready() -> bool:
        finished = wanted.items() <= read_record(folder / STAMP).items()
        return finished and python.exists() and not before.exists()

    if is_ready() and not leftovers(folder):
        return python
    with locked(folder):
        if before.exists():  # a set-up was killed in the middle of an update
            restore(folder)
        tidy(folder)
        if is_ready():  # another set-up, for which this one waited, was first
            return python
        stamp = read_record(folder / STAMP)
        # (A stop while the first stamp is written leaves the beginning of one.)
        empty = not folder.exists() or all(STAMP in path.name for path in folder.iterdir())
        ours = stamp.get("made_here", empty)
        works = place.items() <= stamp.items() and stamp.get("requirements") and answers(folder)
        try:
            if ours and not works:
                begin(folder, wanted | {"made_here": True, "requirements": ""}, stamp)
            else:
                if not ours:
                    adopt(folder)
                print(f"Bringing {folder.name} up to date with the course's needs.", flush=True)
                keep(folder)
            install(folder)
            put(folder / STAMP, json.dumps(wanted | {"made_here": ours}))
        except BaseException as error:
            if before.exists():
                restore(folder)
            if not (works and isinstance(error, SetupError | OSError)):
                raise
            print(f"{error}\n{folder.name} stays as it was, and is used so.", file=sys.stderr)
        tidy(folder, before)
    return python


def beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}-{what}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time work on `folder`; a second one says that it waits, and waits."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = beside(folder, "lock").open("w")
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be made: {error}.\n"
            f"What to do: copy the course's folder to a place that you may write to."
        ) from error
    if os.name == "nt":
        import msvcrt

        take = partial(msvcrt.locking, file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        take = partial(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with file:  # closing it, or the end of this process, however it ends, gives the lock back
        for attempt in count():
            with suppress(OSError):
                take()
                break
            if attempt == 0:
                print(f"Another program works on {folder.name}: waiting for it.", flush=True)
            time.sleep(0.5)
        yield


def keep(folder: Path) -> None:
    """Make a copy of an environment, of hard links where there can be any: it takes seconds.

    Installers replace files and don't write into them, so the copy does not change.
    """

    def link(source: str, copy: str) -> None:
        try:
            os.link(source, copy)
        except OSError:
            shutil.copy2(source, copy)

    unfinished = leftover(folder)
    shutil.copytree(folder, unfinished, symlinks=True, copy_function=link)
    unfinished.rename(beside(folder, "before"))


def restore(folder: Path) -> None:
    """Put the copy back into its place."""
    tidy(folder, folder)
    beside(folder, "before").rename(folder)


def tidy(folder: Path, *unwanted: Path) -> None:
    """Delete environments, first from their places: nobody meets what a stop leaves of them."""
    for what in unwanted:
        if what.exists():
            what.rename(leftover(folder))
    for rest in leftovers(folder):
        print("Tidying up.", flush=True)
        shutil.rmtree(rest, ignore_errors=True)


def leftover(folder: Path) -> Path:
    """A new name beside `folder` for what may be thrown away."""
    return beside(folder, f"leftover-{time.time_ns()}")


def leftovers(folder: Path) -> list[Path]:
    return [*folder.parent.glob(f"{folder.name}-leftover-*")]


def adopt(folder: Path) -> None:
    """Accept an environment that the reader made, or ask for it to be moved; never delete it."""
    if not answers(folder):
        raise SetupError(
            f"{folder} was not made by the course and has no working Python {PYTHON}.\n"
            f"What to do: move it away or delete it, then run the same command again."
        )
    print(f"{folder.name} was not made by the course: adding the course to it.", flush=True)


def answers(folder: Path) -> bool:
    """Whether a Python of this version is there, and is the folder's own.

    Without pyvenv.cfg it would be the one from which the folder was made, and install there.
    """
    code = "import os, sys; print(*sys.version_info[:2], os.path.samefile(sys.prefix, sys.argv[1]))"
    command = [str(python_in(folder)), "-c", code, str(folder)]
    with suppress(OSError):
        said = subprocess.run(command, capture_output=True, text=True).stdout
        return said.split() == [*map(str, sys.version_info[:2]), "True"]
    return False


def begin(folder: Path, stamp: dict, old: dict) -> None:
    """Make an empty environment, in the place of the one that has the `old` stamp, if any.

    If this fails, `prepare` puts that one back: another Python may still have a use for it.
    """
    if old and inside(folder):
        raise SetupError(
            f"{folder} has to be made anew, but this Python runs from inside it.\n"
            f"What to do: leave it (type: deactivate), then run the same command again."
        )
    if old:
        print(f"{folder.name} is unfinished, moved, or of another Python: making it anew.")
        if old.get("requirements"):
            folder.rename(beside(folder, "before"))
        else:
            tidy(folder, folder)
    print(f"Making {folder.name}; this takes a few minutes, once.", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / STAMP, json.dumps(stamp))
    create(folder)


def read_record(path: Path) -> dict:
    """What the course wrote into a JSON file; empty where there is none, or a damaged one."""
    with suppress(OSError, ValueError):
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if isinstance(record, dict) else {}
    return {}


def put(path: Path, text: str) -> None:
    """Write a file beside its place, then rename: nobody meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def create(folder: Path) -> None:
    """Make an empty virtual environment; without pip where Python has none to give (Debian)."""
    from importlib.util import find_spec

    options = [] if find_spec("ensurepip") else ["--without-pip"]
    if subprocess.run([sys.executable, "-m", "venv", *options, str(folder)]).returncode:
        raise SetupError(
            f"No virtual environment could be made in {folder}.\n"
            f"What to do: see the message above; on Debian and Ubuntu, install python3-venv."
        )


def install_course(folder: Path) -> None:
    """Install the course and JupyterLab, and on Linux torch's build without CUDA.

    With uv, where uv is; what that cannot do, pip tries. Where the index of torch's build does not
    answer, pip takes PyPI's.
    """
    pins = ["-c", str(ROOT / "constraints.txt")]
    steps = [[*pins, "-e", f"{ROOT}[lab]"]]
    if sys.platform == "linux" and os.environ.get("COURSE_TORCH") != "cuda":
        index = ["--extra-index-url", CPU_TORCH]
        steps.insert(0, ["--no-deps", *pins, *index, "torch", "torchvision"])
    for step in steps:
        if uv := shutil.which("uv"):
            command = [uv, "pip", "install", "--python", str(python_in(folder)), *step]
            if subprocess.run(command, cwd=ROOT).returncode == 0:
                continue
            print("uv could not do it: pip tries.", flush=True)
        pip(python_in(folder), *step)


def install_peers(extras: str, options: list[str], folder: Path) -> None:
    """Let the folder see this environment's packages; add those of pyproject.toml's extras.

    By pip, also where uv is: uv does not look through such a file, and would add all of them again.
    """
    import tomllib

    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # All that this Python sees, also through such a file of its own, which is not read twice.
    seen = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    lines = list(dict.fromkeys([*seen, str(ROOT)]))
    for at, line in enumerate(lines):
        with suppress(ValueError):  # from one of Windows' drives there is no way to another
            # Until 3.13 Python reads the file in the encoding of the system's language, which may
            # not have the letters of a reader's name: it is in none of these.
            lines[at] = os.path.relpath(line, site)
    encoding = "utf-8" if sys.version_info >= (3, 13) else "locale"
    (site / "course.pth").write_text("\n".join([*lines, ""]), encoding=encoding)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    peers = {peer for name in extras.split() for peer in project["optional-dependencies"][name]}
    pip(python_in(folder), *options, "-c", str(ROOT / "constraints.txt"), *sorted(peers))


def pip(python: Path, *arguments: str) -> None:
    """Run `pip install`, which says what it does, for the interpreter `python`."""
    command, quiet = [str(python), "-m", "pip"], {"capture_output": True}
    if subprocess.run([*command, "--version"], **quiet).returncode:  # as uv makes environments
        if subprocess.run([str(python), "-m", "ensurepip"], **quiet).returncode:  # as on Debian
            command = [sys.executable, "-m", "pip", "--python", str(python)]
    command += ["install", "--no-input", "--disable-pip-version-check", *arguments]
    env = {"PIP_RETRIES": "1"} | os.environ  # then an index that does not answer is left out
    if subprocess.run(command, cwd=ROOT, env=env).returncode:
        raise SetupError(
            f"Setting up failed; pip's own words are above ({' '.join(command[1:])}).\n"
            f"What to do: look its last message up under Troubleshooting in SETUP.md, then run the "
            f"same command again.\nIf it names torch, PyTorch may have no package for this system "
            f"and Python {PYTHON}; for Macs, SETUP.md names the newest that works."
        )

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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


def is_running(python: Path) -> bool:
    """Whether `python` is the interpreter that runs this line."""
    return python == Path(sys.executable) or inside(python.parent.parent)


def inside(folder: Path) -> bool:
    """Whether this process runs in the virtual environment `folder`."""
    return folder.exists() and os.path.samefile(folder, sys.prefix)


def enter(python: Path, *arguments: str) -> int:
    """Run `python arguments...` in the place of this process, or, on Windows, beneath it."""
    command = [str(python), *arguments]
    # A kernel of the reader's own that is called python3 must not stand in for ours.
    env = os.environ | {"JUPYTER_PREFER_ENV_PATH": os.environ.get("JUPYTER_PREFER_ENV_PATH", "1")}
    if os.name == "nt":
        return subprocess.run(command, cwd=ROOT, env=env).returncode
    os.chdir(ROOT)
    os.execve(command[0], command, env)


def ensure() -> Path:
    """Make or update `.venv` if that is needed; return the interpreter to use.

    Raises:
        SetupError: it cannot be made, or a `.venv` is in the way that the course did not make.
    """
    if not inside(VENV) and installed_by_hand():
        return Path(sys.executable)
    return prepare(VENV, install_course)


def ensure_dev() -> Path:
    """The same for what tests, grading, the site and the study need besides the course's packages.

    Apart from `.venv`, for nbgrader would put its menus into a learner's JupyterLab.
    """
    extras = "test", "instructor", "book", "browser", "cluster"
    return prepare(DEV_VENV, partial(install_peers, *extras))


def ensure_bench() -> Path:
    """The same for the benchmarks' peers, without what these depend on."""
    return prepare(BENCH_VENV, partial(install_peers, "bench", alone=True))


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
    python, before = python_in(folder), folder.with_name(f"{folder.name}-before")
    wanted = {"path": str(folder), "python": PYTHON, "requirements": requirements_hash()}
    if is_ready(folder, wanted):
        return python
    with locked(folder):
        if before.exists():  # a set-up was killed in the middle of an update
            restore(before, folder)
        if is_ready(folder, wanted):  # another set-up, for which this one waited, was first
            return python
        stamp = read_stamp(folder)
        ours = stamp.get("made_here", not folder.exists() or not any(folder.iterdir()))
        place = {"path": str(folder), "python": PYTHON}
        in_place = python.exists() and place.items() <= stamp.items()
        works = in_place and bool(stamp["requirements"])
        if not ours:
            adopt(folder)
        elif works:
            print(f"The course's requirements changed: updating {folder.name}.", flush=True)
        else:
            if stamp:
                discard(folder, "unfinished" if in_place else "moved, or made by another Python")
            print(f"Making {folder.name}; this takes a few minutes, once.", flush=True)
            folder.mkdir(parents=True, exist_ok=True)
            write_stamp(folder, wanted | {"made_here": True, "requirements": ""})
            create(folder)
            install(folder)
            write_stamp(folder, wanted | {"made_here": True})
            return python
        keep(folder, before)
        try:
            install(folder)
            write_stamp(folder, wanted | {"made_here": ours})
        except BaseException as error:
            restore(before, folder)
            if not (works and isinstance(error, SetupError)):
                raise
            print(f"{error}\n{folder.name} stays as it was, and is used so.", file=sys.stderr)
        else:
            shutil.rmtree(before)
    return python


def is_ready(folder: Path, wanted: dict) -> bool:
    """Whether the environment is there, finished, and as it is wanted."""
    before = folder.with_name(f"{folder.name}-before")
    finished = wanted.items() <= read_stamp(folder).items()
    return finished and python_in(folder).exists() and not before.exists()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one set-up at a time work on `folder`; a second one says that it waits, and waits."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = folder.with_name(f"{folder.name}-lock").open("w")
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be made: {error}.\nWhat to do: copy the course's folder to a place "
            f"that you may write to; or install it into an environment of your own, where it is:\n"
            f'python -m pip install -c constraints.txt -e ".[lab]"'
        ) from error
    with file:  # closing it, or the end of this process, however it ends, gives the lock back
        for wait in (False, True):
            try:
                if os.name == "nt":
                    import msvcrt

                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                else:
                    import fcntl

                    fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                break
            except OSError:
                if wait:  # Windows gives up after ten seconds
                    raise SetupError(f"{folder} is being set up by another process.") from None
                print(f"Another set-up works on {folder.name}: waiting for it.", flush=True)
        yield


def keep(folder: Path, before: Path) -> None:
    """Make a copy of an environment, of hard links where there can be any: it takes seconds.

    Installers replace files and don't write into them, so the copy does not change.
    """

    def link(source: str, copy: str) -> None:
        try:
            os.link(source, copy, follow_symlinks=False)
        except OSError:
            shutil.copy2(source, copy, follow_symlinks=False)

    unfinished = folder.with_name(f"{folder.name}-copy")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(folder, unfinished, symlinks=True, copy_function=link)
    unfinished.rename(before)


def restore(before: Path, folder: Path) -> None:
    """Put the copy back into its place."""
    shutil.rmtree(folder, ignore_errors=True)
    before.rename(folder)


def adopt(folder: Path) -> None:
    """Accept an environment that the reader made, or ask for it to be moved; never delete it."""
    if version_of(python_in(folder)) != PYTHON:
        raise SetupError(
            f"{folder} was not made by the course and has no working Python {PYTHON}.\n"
            f"What to do: move it away or delete it, then run the same command again."
        )
    print(f"{folder.name} was not made by the course: adding the course to it.", flush=True)


def discard(folder: Path, state: str) -> None:
    """Delete an environment that the course made, saying why."""
    if inside(folder):
        raise SetupError(
            f"{folder} is {state} and has to be made anew, but this Python runs from inside it.\n"
            f"What to do: leave it (type: deactivate), then run the same command again."
        )
    print(f"{folder.name} is {state}: making it anew.", flush=True)
    shutil.rmtree(folder)


def read_stamp(folder: Path) -> dict:
    """What the course wrote into `folder`; empty for a folder that is not the course's."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(folder: Path, stamp: dict) -> None:
    beside = folder / f"{STAMP}.{os.getpid()}"
    beside.write_text(json.dumps(stamp), encoding="utf-8")
    os.replace(beside, folder / STAMP)


def requirements_hash() -> str:
    """One hash of everything that decides what gets installed."""
    files = (ROOT / "pyproject.toml", ROOT / "constraints.txt")
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def version_of(python: Path) -> str | None:
    """The version of an interpreter, such as "3.11", or None where it does not run."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    try:
        return subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def create(folder: Path) -> None:
    """Make an empty virtual environment, with virtualenv where venv is not whole (Debian)."""
    import importlib.util

    command, env = [sys.executable, "-m", "venv", str(folder)], dict(os.environ)
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        tool = str(ROOT / "build" / "virtualenv")
        pip(Path(sys.executable), "install", "--upgrade", "--target", tool, "virtualenv")
        command[2], env["PYTHONPATH"] = "virtualenv", tool
    made = subprocess.run(command, env=env, text=True, capture_output=True)
    if made.returncode:
        raise SetupError(
            f"{made.stdout}{made.stderr}\nNo virtual environment could be made in {folder}.\n"
            f"What to do: see the message above; on Debian and Ubuntu, install python3-venv."
        )


def install_course(folder: Path) -> None:
    """Install the course and JupyterLab, and on Linux torch's build without CUDA."""
    pins, python = ("-c", str(ROOT / "constraints.txt")), python_in(folder)
    if sys.platform == "linux" and os.environ.get("COURSE_TORCH") != "cuda":
        if answers(CPU_TORCH + "/torch/"):
            index = ("--extra-index-url", CPU_TORCH)
            pip(python, "install", "--no-deps", *pins, *index, "torch", "torchvision", fast=True)
        else:
            print(f"{CPU_TORCH} does not answer: taking the torch that pip finds by itself.")
            print("(PyPI's has CUDA inside and fills several GB of disk.)", flush=True)
    pip(python, "install", *pins, "-e", f"{ROOT}[lab]", fast=True)


def install_peers(*extras_and_folder: str | Path, alone: bool = False) -> None:
    """Let the folder see this environment's packages; add those that pyproject.toml's extras name.

    `alone`: without what these depend on.
    """
    import tomllib

    *extras, folder = extras_and_folder
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # All that this Python sees, also through such a file of its own, which is not read twice.
    paths = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    paths = dict.fromkeys([*paths, str(ROOT)])
    # Until 3.13 Python reads such a file in the encoding of the system's language.
    encoding = "utf-8" if sys.version_info >= (3, 13) else "locale"
    (site / "course.pth").write_text("\n".join(paths) + "\n", encoding=encoding)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    peers = sorted({peer for e in extras for peer in project["optional-dependencies"][e]})
    pins = ("-c", str(ROOT / "constraints.txt"))
    pip(python_in(folder), "install", *["--no-deps"] * alone, *pins, *peers)


def answers(address: str) -> bool:
    """Whether a web address answers within five seconds."""
    import http.client
    import urllib.request

    try:
        request = urllib.request.Request(address, method="HEAD")
        urllib.request.urlopen(request, timeout=5).close()
    except (OSError, http.client.HTTPException):
        return False
    return True


def pip(python: Path, *arguments: str, fast: bool = False) -> None:
    """Run pip; show what it is doing on one line, and all that it said if it fails.

    `fast`: let uv do it, where uv is; what that cannot do, pip tries.
    """
    has_pip = subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True)
    if fast and (uv := shutil.which("uv")):
        command = [uv, "pip", arguments[0], "--python", str(python), *arguments[1:]]
        if subprocess.run(command, cwd=ROOT).returncode == 0:
            return
        print("uv could not do it: pip tries.", flush=True)
    if has_pip.returncode:  # uv makes environments without it
        subprocess.run([str(python), "-m", "ensurepip"], capture_output=True)
    command = [str(python), "-m", "pip", *arguments, "--no-input", "--disable-pip-version-check"]
    env = os.environ | {"PYTHONIOENCODING": "utf-8"}
    said, terminal = [], sys.stdout.isatty()
    with subprocess.Popen(
        command, env=env, cwd=ROOT, encoding="utf-8", errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        for line in process.stdout:
            said.append(line)
            line = line.strip()
            if terminal:
                print(f"\r  {line[:76]:76}", end="", flush=True)
            elif line.endswith("MB)") or line.startswith("Installing collected"):
                print(f"  {line[:76]}", flush=True)
    if terminal:
        print(f"\r{'':78}\r", end="", flush=True)
    if process.returncode:
        none = "No matching distribution found for torch" in "".join(said)
        raise SetupError(
            f"{''.join(said[-40:])}\nSetting up failed; pip's own words are above (python -m pip "
            f"{' '.join(arguments)}).\nWhat to do: look that message up under Troubleshooting in "
            f"SETUP.md, then run the same command again."
            + f"\nPyTorch may have no package for this system and Python {PYTHON}." * none
        )

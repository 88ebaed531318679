"""The course's environment: `.venv` at the root of the repository, made once by a bare Python.

Standard library only, and what only a set-up needs is imported there: a second run costs hundredths
of a second. An environment in which somebody installed the course by hand (conda,
Colab, a container) is used as it is. The stamp in the folder is written last, and by a rename:
a set-up that was interrupted is never taken for a finished one.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BENCH_VENV = ROOT / "build" / "bench-venv"
BOOK_VENV = ROOT / "build" / "book-venv"
BROWSER_VENV = ROOT / "build" / "browser-venv"
INSTRUCTOR_VENV = ROOT / "build" / "instructor-venv"
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


def ensure_bench() -> Path:
    """The same for the environment of the benchmarks, which sees the course's packages."""
    return prepare(BENCH_VENV, install_peers)


def ensure_instructor() -> Path:
    """The same for nbgrader, which in a learner's environment would change their JupyterLab."""
    return prepare(INSTRUCTOR_VENV, partial(install_peers, extra="instructor"))


def ensure_book() -> Path:
    """The same for Sphinx."""
    return prepare(BOOK_VENV, partial(install_peers, extra="book", alone=False))


def ensure_browser() -> Path:
    """The same for what drives a browser."""
    return prepare(BROWSER_VENV, partial(install_peers, extra="browser"))


def installed_by_hand() -> bool:
    """Whether `pip install -e .` put this very checkout into the Python that runs this line."""
    from importlib.metadata import distributions

    # (The egg-info that setuptools leaves in the checkout has no such file.)
    found = [place.read_text("direct_url.json") for place in distributions(name=PROJECT)]
    return any(json.loads(text or "{}").get("url") == ROOT.as_uri() for text in found)


def prepare(folder: Path, install: Callable[[Path], None]) -> Path:
    """Bring the environment `folder` up to date with `install(folder)`; return its interpreter."""
    python, stamp = python_in(folder), read_stamp(folder)
    wanted = {"path": str(folder), "python": PYTHON, "requirements": requirements_hash()}
    if python.exists() and wanted.items() <= stamp.items():
        return python
    ours = stamp.get("made_here", not folder.exists() or not any(folder.iterdir()))
    in_place = python.exists() and (stamp.get("path"), stamp.get("python")) == (str(folder), PYTHON)
    if not ours:
        adopt(folder)
    elif in_place and stamp["requirements"]:
        print(f"The course's requirements changed: updating {folder.name}.", flush=True)
    else:
        if stamp:
            discard(folder, "unfinished" if in_place else "moved, or made by another Python")
        print(f"Making {folder.name}; this takes a few minutes, once.", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        write_stamp(folder, wanted | {"made_here": True, "requirements": ""})
        create(folder)
    write_stamp(folder, wanted | {"made_here": ours, "requirements": ""})
    install(folder)
    write_stamp(folder, wanted | {"made_here": ours})
    return python


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
    """Install the course, its tests' packages, and on Linux torch's build without CUDA."""
    pins = ("-c", str(ROOT / "constraints.txt"))
    if sys.platform == "linux" and os.environ.get("COURSE_TORCH") != "cuda":
        if answers(CPU_TORCH + "/torch/"):
            index = ("--extra-index-url", CPU_TORCH)
            pip(python_in(folder), "install", "--no-deps", *pins, *index, "torch", "torchvision")
        else:
            print(f"{CPU_TORCH} does not answer: taking the torch that pip finds by itself.")
            print("(PyPI's has CUDA inside and fills several GB of disk.)", flush=True)
    pip(python_in(folder), "install", *pins, "-e", f"{ROOT}[test]")


def install_peers(folder: Path, extra: str = "bench", alone: bool = True) -> None:
    """Let `folder` see this environment's packages; add those that pyproject.toml's extra names.

    `alone`: without what these depend on.
    """
    import tomllib

    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    paths = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(ROOT)])
    (site / "course.pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    peers = project["optional-dependencies"][extra]
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


def pip(python: Path, *arguments: str) -> None:
    """Run pip; show what it is doing on one line, and all that it said if it fails."""
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
        raise SetupError(
            f"{''.join(said[-40:])}\nSetting up failed; pip's own words are above (python -m pip "
            f"{' '.join(arguments)}).\nWhat to do: look that message up under Troubleshooting in "
            f"README.md, then run the same command again."
        )

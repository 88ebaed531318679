"""`python3 -m tools TARGET`: what `make TARGET` runs, in one line of plain Python."""

import sys

if sys.version_info < (3, 11):  # before any import, so that an old Python can say so
    sys.exit("The course needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])

import os
import subprocess
from importlib import import_module
from pathlib import Path

from tools import environment

# What runs each: a function below, or MODULE:FUNCTION.
TARGETS = {
    "course": ("tools.verdicts:course", "run every lecture, then print which statements hold"),
    "lab": ("lab", "open JupyterLab on a copy of the lectures, in work/, that is yours to change"),
    "test": ("test", "run the tests, and re-run every lecture against its stored outputs"),
    "check": ("check", "look for slips in code, spelling and links; takes seconds"),
    "train": ("tools.retraining:retrain_all", "train every checkpoint anew, and compare"),
    "study": ("tools.study:main", "train the tables' networks with ten seeds, and attack (hours)"),
    "notebooks": ("tools.lectures:remake", "for maintainers: execute all lectures anew, or some"),
    "bench": ("bench", "time our attacks beside other libraries' (in an environment of its own)"),
    "book": (
        "tools.book.build:main",
        "make the site and the slides in build/book, from the lectures",
    ),
    "test-browser": ("test_browser", "try the explorers and the site in a real browser"),
    "assignments": ("tools.classroom.problem_sets:main", "for teachers: write what students get"),
    "grade": ("tools.classroom.grading:main", "for teachers: mark submissions (Linux, macOS)"),
    "setup": ("setup", "only make or update the environment in .venv"),
}
TAKE_NAMES = ("notebooks", "grade", "study", "assignments")
IN_DEV = ("train", "study", "book")  # in the environment of the tests


def call(target: str, *names: str) -> int:
    """Run what runs the target, here; return its exit status."""
    module, _, function = TARGETS[target][0].rpartition(":")
    status = getattr(import_module(module or "tools.__main__"), function)(*names)
    return status if isinstance(status, int) else 0


def run(*command: str, python: str | Path = sys.executable, **settings: str) -> int:
    """Run `python command...` at the root of the repository; return its exit status."""
    env = os.environ | settings
    # What lies in share/jupyter of this environment is for the ones beside it, too.
    places = [env.get("JUPYTER_PATH"), os.path.join(sys.prefix, "share", "jupyter")]
    env["JUPYTER_PATH"] = os.pathsep.join(filter(None, places))
    return subprocess.run([str(python), *command], cwd=environment.ROOT, env=env).returncode


def run_in_dev(*names: str) -> int:
    """The same as `call`, in the environment of the tests."""
    code = "import sys; from tools.__main__ import call; sys.exit(call(*sys.argv[1:]))"
    return run("-c", code, *names, python=environment.ensure_dev())


LAB_OPTIONS = (
    # Without its news; and a saved notebook shows its explorers and bars when it is opened again.
    f"--LabApp.app_settings_dir={environment.ROOT / 'tools' / 'lab'}",
    "--allow-root",  # in a container
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--KernelManager.transport_encryption=auto",  # or it warns of eavesdroppers
)


def lab() -> int:
    from tools import lectures

    with environment.locked(environment.ROOT / "build" / "lab"):
        for path in lectures.working_copy():
            print(f"new: {path.relative_to(environment.ROOT)}", flush=True)
    # In the place of this process, so that Ctrl-C is Jupyter's alone, which asks before it ends.
    command = ["-m", "jupyterlab", str(lectures.WORK / "00_start.ipynb"), *LAB_OPTIONS]
    return environment.enter(sys.executable, *command)


def test() -> int:
    from course_utils import machine
    from tools import lectures

    print("The tests in a browser are a step of their own: make test-browser", flush=True)
    python = environment.ensure_dev()
    # Here, or the first cell of a lecture that needs MNIST tells on stderr how it comes.
    run("-c", "from course_utils.data import load_mnist; load_mnist('test')", python=python)
    # (For loadscope see tests/conftest.py.)
    options = f"-n {machine.cores()} --dist loadscope --nbval --nbval-current-env"
    command = f"-m pytest {options} --ignore=tests/browser tests notebooks"
    return run(*command.split(), python=python, **lectures.kernel_environment())


def check() -> int:
    python = environment.ensure_dev()
    tools = "-m ruff check", "-m ruff format --check", "-m codespell_lib", "tests/tools/links.py"
    return max(run(*tool.split(), python=python) for tool in tools)


def bench() -> int:
    python = environment.ensure_bench()
    scripts = sorted((environment.ROOT / "tests" / "benchmarks").glob("bench_*.py"))
    return max(run(str(script), python=python) for script in scripts)


def test_browser() -> int:
    command = "-m", "pytest", "-rs", "tests/browser"
    python = environment.ensure_dev()
    return run_in_dev("book") or run(*command, python=python, COURSE_PYTHON=sys.executable)


def setup() -> int:
    print(f"The environment is ready: {sys.prefix}")
    return 0


def main(arguments: list[str]) -> int:
    """Set up what is missing, enter the environment, and run one target there."""
    target, names = (arguments or [""])[0], arguments[1:]
    if target not in TARGETS or (names and target not in TAKE_NAMES):
        print("usage: python3 -m tools TARGET\n")
        print("\n".join(f"  {name:12} {meaning}" for name, (_, meaning) in TARGETS.items()))
        return 2
    # Where other programs are busy too, threads that spin while they wait for one another make
    # an attack twenty times slower. Everything started from here, the kernels too, inherits this;
    # not the benchmarks, which want a quiet machine and every program's own defaults.
    if target != "bench":
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.pop("MPLBACKEND", None)  # the kernels are to draw into the notebooks
    try:
        python = environment.ensure()
        if str(python) != sys.executable and not environment.inside(python.parent.parent):
            return environment.enter(python, "-m", "tools", *arguments)
        return (run_in_dev if target in IN_DEV else call)(target, *names)
    except environment.SetupError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

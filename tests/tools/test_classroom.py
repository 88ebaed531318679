"""Problem sets: what is handed out, and that marks can be trusted."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from tools import lectures
from course_utils.assignments import likely, same
from tools.classroom import (
    feedback,
    grading,
    problem_sets,
    release,
    running,
    submissions,
    tables,
)
from tools.classroom.problem_sets import ASSIGNMENTS, SOURCE, grade_id, kind
from tools.classroom.submissions import NotASubmission
from tools.environment import DEV_VENV, python_in

HERE = Path(__file__).parents[1] / "assignments"
sys.path.insert(0, str(HERE))
import answers  # noqa: E402

SMALL = HERE / "source"  # a problem set of two exercises
NAMES = problem_sets.names()
SETS = {name: problem_sets.read(name) for name in NAMES}
# `python tests/assignments` marks the wrong ones one by one, for ANSWERS.md.
TRIED = [
    (name, answer)
    for name in NAMES
    for answer in [
        *(a for a in answers.every()[name] if a.group != "wrong"), *answers.batches(SETS[name])
    ]
]  # fmt: skip


@pytest.fixture(scope="module")
def small():
    grading.prepare([problem_sets.read("problem_set_0", SMALL), *SETS.values()])
    return problem_sets.read("problem_set_0", SMALL)


@pytest.fixture(scope="module")
def nbgrader():
    python = python_in(DEV_VENV)
    if not python.exists():
        pytest.skip("no nbgrader: make test sets it up")
    return python


@pytest.fixture(scope="module")
def released(nbgrader, small, tmp_path_factory):
    """nbgrader's release of every problem set and of the small one."""
    to = tmp_path_factory.mktemp("classroom") / "release"
    release.release([small, *SETS.values()], nbgrader, to=to)
    return to


# Answers and their marks.


@pytest.mark.parametrize(
    ("name", "answer"), TRIED, ids=[f"{name}: {answer.name}" for name, answer in TRIED]
)
def test_answer_gets_the_marks_that_it_should(small, name, answer):
    assert answers.marks(SETS[name], answer) == answer.expected


def test_every_answer_for_all_sets_is_tried_on_the_small_one(small):
    for answer in answers.common(small):
        assert answers.marks(small, answer) == answer.expected, answer.name


@pytest.mark.parametrize("name", NAMES)
def test_enough_answers_are_tried(name):
    own = answers.own(SETS[name])
    assert sum(answer.group.startswith("right") for answer in own) >= 3
    wrong = [answer for answer in own if answer.group == "wrong"]
    assert len(wrong) >= 6
    for answer in wrong:  # and each of them loses something
        assert sum(answer.expected.values()) < sum(SETS[name].points("test").values()), answer.name
    names = [answer.name for answer in answers.every()[name]]
    assert len(names) == len(set(names))


def test_published_table_says_what_these_tests_hold():
    assert answers.TABLE.read_text(encoding="utf-8") == answers.table(answers.expected())


# What is handed out.


@pytest.mark.parametrize("name", NAMES)
def test_source_is_in_step_and_executed(name):
    assert problem_sets.in_step(name)


@pytest.mark.parametrize("name", NAMES)
def test_set_has_its_parts(name):
    each = SETS[name]
    assert [kind(cell) for cell in each.cells].count("open") == 1
    for exercise, tests in each.exercises.items():
        sources = [c.source for c in each.cells if kind(c) == "test" and grade_id(c) in tests]
        assert any("BEGIN HIDDEN TESTS" in source for source in sources), exercise
    assert sum(kind(cell) == "hint" for cell in each.cells) >= len(each.exercises)


def test_release_leaks_nothing(released, small):
    found = sorted(p.relative_to(released).as_posix() for p in released.rglob("*") if p.is_file())
    assert found == [f"{name}/{name}.ipynb" for name in ["problem_set_0", *NAMES]]
    for each in [small, *SETS.values()]:
        notebook = nbformat.read(released / each.name / f"{each.name}.ipynb", as_version=4)
        assert release.leaks(notebook, each) == ""
        # What the grader takes for the release is what nbgrader made.
        ours = answers.handed_out(each).cells
        assert [c.source.strip() for c in ours] == [c.source.strip() for c in notebook.cells]


@pytest.mark.parametrize("secret", ["nearest = x.clamp(-eps, eps)", "secret", "Because", "coord"])
def test_a_leak_would_be_found(small, secret):
    line = next(
        line for cell in small.cells for line in cell.source.splitlines() if secret in line
    )
    notebook = answers.handed_out(small)
    assert release.leaks(notebook, small) == ""
    notebook.cells[0].source += f"\n{line}"
    assert release.leaks(notebook, small)


def test_outputs_and_markers_would_be_found(small):
    notebook = answers.handed_out(small)
    notebook.cells[1].execution_count = 1
    assert release.leaks(notebook, small) == "it has outputs"
    assert "BEGIN" in release.leaks(new_notebook(cells=list(small.cells)), small)


@pytest.mark.parametrize("name", NAMES)
def test_self_study_form_is_made_from_the_source(name):
    stored = nbformat.read(ASSIGNMENTS / f"{name}.ipynb", as_version=4)
    assert stored == release.self_study(SETS[name])


def test_self_study_folds_hints_before_solutions_and_shows_all_tests(small):
    cells = release.self_study(small).cells
    at = next(i for i, cell in enumerate(cells) if "def project" in cell.source)
    assert "raise NotImplementedError()" in cells[at].source
    assert "<summary>Hint" in cells[at + 1].source and "<summary>Solution" in cells[at + 2].source
    assert "a secret of the hidden tests" in cells[at + 4].source
    assert not any("nbgrader" in cell.metadata or "### " in cell.source.replace("### A", "")
                   for cell in cells if cell.cell_type == "code")  # fmt: skip


@pytest.mark.parametrize("name", ["problem_set_0", *NAMES])
def test_self_study_runs_with_its_own_solutions(small, name):
    cells = release.self_study(SETS.get(name, small)).cells
    folded = "".join(c.source for c in cells if "<summary>Solution" in c.source)
    code = [c.source for c in cells if c.cell_type == "code" and "NotImplementedError()" not in
            c.source]  # fmt: skip
    solutions = [part.partition("\n```")[0] for part in folded.split("```python\n")[1:]]
    steps = [running.Step("given", (source,)) for source in [code[0], *solutions, *code]]
    assert [reply["error"] for reply in running.run(steps)] == [None] * len(steps)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda cells: cells[5].metadata.nbgrader.update(grade_id="projection"), "two cells"),
        (lambda cells: cells.insert(1, cells.pop(5)), "before its solution"),
        (lambda cells: cells[3].update(source="def project(x, eps):\n    return x"), "no solution"),
        (lambda cells: cells[6].update(source=cells[6].source[:-20]), "markers"),
        (lambda cells: cells.pop(9), "no tests for norm"),
    ],
)
def test_source_without_proper_form_is_refused(small, edit, says):
    import copy

    cells = copy.deepcopy(list(small.cells))
    edit(cells)
    with pytest.raises(ValueError, match=says):
        problem_sets.from_cells("problem_set_0", cells)


# Comparing.


@pytest.mark.parametrize(
    ("got", "cause"),
    [
        (2.0, "twice"), (torch.tensor(2.0, dtype=torch.float64), "twice"), (np.float32(2), "twice"),
        ([2.0], "none of"), (3.0, "none of"), (None, "none of"), (torch.ones(2), "a vector"),
    ],
)  # fmt: skip
def test_the_likely_cause_is_that_of_the_same_result(got, cause):
    assert likely(got, {"twice": 2.0, "a vector": [1.0, 1.0], "again": 2.0}).startswith(cause)


@pytest.mark.parametrize("got", [3, 3.0, np.float32(3), torch.tensor(3), torch.tensor(3.000001)])
def test_same_takes_any_kind_of_number(got):
    same(got, 3.0, "f(1)", cause="no")


@pytest.mark.parametrize(
    ("got", "expected", "says"),
    [
        (2, 3.0, "f(1): expected 3, got 2. Likely cause: the sign."),
        (None, 3.0, "a number, got None (is a `return` missing?)"),
        ([1.0], torch.ones(1), "a tensor of shape (1,), got a list"),
        (torch.ones(2, 1), torch.ones(2), "shape (2,), got a tensor of shape (2, 1)"),
        (torch.ones(1), 1.0, "a number, got a tensor of shape (1,)"),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), "at [1] 3 was expected and 2 came"),
        (float("nan"), 1.0, "got nan"),
        (torch.ones(2).as_subclass(type("T", (torch.Tensor,), {})), torch.ones(2), "got a T"),
    ],
)
def test_same_says_what_was_expected_and_what_came(got, expected, says):
    with pytest.raises(AssertionError) as raised:
        same(got, expected, "f(1)", cause="the sign")
    assert says in str(raised.value)


# Reading what was handed in.


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null", b"[]", b'{"nbformat": 4}',
     b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [3]}',
     b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}'],
)  # fmt: skip
def test_what_is_no_notebook_is_refused(content):
    with pytest.raises(NotASubmission, match="not a notebook"):
        submissions.parse(content)


def test_only_plain_files_of_sensible_size_are_read(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert submissions.read_bytes(tmp_path / "file") == b"x" * 100
    monkeypatch.setattr(submissions, "LARGEST", 99)
    with pytest.raises(NotASubmission, match="larger"):
        submissions.read_bytes(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotASubmission):
        submissions.read_bytes(tmp_path / "folder")
    with pytest.raises(NotASubmission, match="cannot be read"):
        submissions.read_bytes(tmp_path / "absent")


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
def test_links_and_pipes_are_not_read(tmp_path):
    (tmp_path / "file").write_bytes(b"another student's")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with pytest.raises(NotASubmission, match="link"):
        submissions.read_bytes(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotASubmission, match="plain"):
        submissions.read_bytes(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], None),
        (["problem_set_1.ipynb"], "problem_set_1.ipynb"),
        (["problem_set_1/problem_set_1.ipynb"], "problem_set_1/problem_set_1.ipynb"),
        (["problem_set_1 (1).ipynb"], "problem_set_1 (1).ipynb"),
        (["problem_set_1.ipynb", "problem_set_1-Copy1.ipynb"], "problem_set_1.ipynb"),
        (["problem_set_10.ipynb", "problem_set_2.ipynb", "problem_set_1.txt"], None),
    ],
)
def test_which_file_counts(tmp_path, files, found):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    assert submissions.find(tmp_path, "problem_set_1") == (found and tmp_path / found)


def test_two_files_that_could_be_meant(tmp_path):
    for n in (1, 2):
        (tmp_path / f"problem_set_1 ({n}).ipynb").touch()
    with pytest.raises(NotASubmission, match="could be meant"):
        submissions.find(tmp_path, "problem_set_1")


def test_notes_tell_what_was_changed(small):
    notebook = answers.solved(small)
    notebook.cells = [c for c in notebook.cells if "same(norm" not in c.source]
    notebook.cells.append(notebook.cells[3])
    found = submissions.answers(notebook, small)
    assert found.notes == [
        "The cell projection is there more than once: the last one that you changed counts.",
        "The cell norm-test is missing; it was run all the same.",
    ]


def test_another_sets_notebook_is_refused(small):
    with pytest.raises(NotASubmission, match="no cell of problem_set_0"):
        grading.mark(small, new_notebook(cells=[new_code_cell("1")]))


# Running.


def run(*cells, **limits):
    return running.run([running.Step("answer", (cell,), str(n)) for n, cell in enumerate(cells)],
                       **limits)  # fmt: skip


def test_an_exercise_whose_test_hangs_takes_no_other_along(small):
    """The second exercise calls the first one's function, which hangs on one input only."""
    steps = [
        running.Step("answer", ("def f(x):\n    while x == 0: pass\n    return x",), "f"),
        running.Step("test", ("assert f(1) == 1", "f(0)", ["f"]), "f"),
        running.Step("test", ("assert f(2) == 2", "", ["f"]), "f"),
        running.Step("answer", ("def g(x): return f(x) + 1",), "g"),
        running.Step("test", ("assert g(1) == 2", "", ["f", "g"]), "g"),
    ]
    replies = running.run(steps, cell=1)
    assert [reply.get("lost") for reply in replies] == [None, running.TIME, running.TIME, None, None]
    assert replies[4]["error"] is None


def test_endless_loops_in_all_other_exercises_leave_one_its_time():
    loops = max(len(each.exercises) for each in SETS.values()) - 1
    assert loops * running.CELL < running.WHOLE - running.CELL


def test_of_the_teachers_settings_a_submission_knows_only_where_the_data_are(tmp_path):
    code = (
        "import json, os, pathlib\nfrom tools.classroom import worker\n"
        f"worker._confine({str(tmp_path)!r}, 100)\n"
        "pathlib.Path('seen').write_text(json.dumps(dict(os.environ)))"
    )
    env = os.environ | {"SECRET_TOKEN": "123", "COURSE_CACHE": "some/cache"}
    subprocess.run([sys.executable, "-c", code], cwd=lectures.ROOT, env=env, check=True)
    seen = json.loads((tmp_path / "seen").read_text())
    assert "SECRET_TOKEN" not in seen
    assert Path(seen["COURSE_CACHE"]) == lectures.ROOT / "some" / "cache"
    (reply,) = run("import os, sys; print(os.listdir(), sys.argv)")
    assert reply["output"] == "[] ['submission']\n"


def test_libraries_own_state_is_not_taken_for_tampering(small):
    loads_on_first_use = (
        "def norm(x):\n    row = lambda one: one.square().sum().sqrt()\n"
        "    torch.func.vmap(torch.func.grad(row))(x)\n    return torch.func.vmap(row)(x)"
    )
    result = grading.mark(small, answers.solved(small, {"norm": loads_on_first_use}))
    assert result["tests"]["norm-test"]["marks"] == 2 and result["notes"] == []


def test_output_without_end_is_cut(small):
    (reply,) = run("for _ in range(3000): print('x' * 1000)")
    assert len(reply["output"]) == running.worker.LONGEST


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_memory_is_limited(small):
    first, second = run("x = bytearray(6 << 30)", "print('still here')")
    assert "MemoryError" in first["error"] and second["output"] == "still here\n"


def test_time_for_all_cells_together_is_limited(small):
    began = time.process_time()
    replies = run(*["while True: pass"] * 30, cell=1, whole=3)
    assert {reply.get("lost") for reply in replies} == {running.TIME}
    assert time.process_time() - began < 3


def test_a_reply_that_the_grader_did_not_ask_for_is_not_believed(small):
    forged = "import gc, json\nfrom multiprocessing.connection import Connection\n" \
        "for pipe in [o for o in gc.get_objects() if isinstance(o, Connection)]:\n" \
        "    pipe.send_bytes(json.dumps({'error': None, 'token': 'x'}).encode())"  # fmt: skip
    assert run(forged)[0]["lost"] == running.ENDED


# Feedback and tables.


def page(small, show_hidden, cells=None):
    result = grading.mark(small, answers.solved(small, cells or {"norm": NORM_OF_ONE}))
    result |= {"student": "<script>alert(1)</script>", "set": small.name}
    notebook = feedback.notebook(result, small, {}, show_hidden=show_hidden)
    return result, "\n".join(str(cell) for cell in notebook.cells)


NORM_OF_ONE = "def norm(x):\n    return torch.tensor([5.0])"
SPY = """
def norm(x):
    import sys
    print(sys._getframe(2).f_code.co_consts, [f.f_code.co_consts for f in [sys._getframe(1)]])
    raise ValueError(str(sys._getframe(2).f_code.co_consts))
"""


def test_feedback_shows_hidden_tests_only_if_asked(small):
    result, text = page(small, False)
    assert result["tests"]["norm-test"]["part"] == "hidden"
    assert feedback.HIDDEN.replace(".", "") in text.replace("&#46;", "").replace(".", "")
    assert "hard-coded?" not in text and "4.25" not in text
    _, text = page(small, True)
    assert "4.25" in text and "hard" in text


def test_printing_the_hidden_tests_shows_nothing(small):
    _, text = page(small, False, {"norm": SPY})
    assert "4.25" not in text


def test_feedback_is_a_page_without_scripts_of_the_students(small, tmp_path):
    result, _ = page(small, False)
    result["open"]["open-question"]["answer"] = "<script>alert(2)</script><b onclick='x()'>no</b>"
    result["student"] = "evil"
    feedback.write(result, small, tmp_path, {}, show_hidden=False)
    text = (tmp_path / "feedback" / "evil" / "problem_set_0.html").read_text()
    assert "alert(2)</script>" not in text and "onclick" not in text
    assert "norm-test" in text and "0 of 2" in text


def test_names_are_no_formulas():
    assert tables.plain("=1+1") == "'=1+1" and tables.plain("Zoë") == "Zoë"
    assert tables.plain("a\udcff") == "a\\udcff"


@pytest.mark.parametrize("marks", ["5", "-1", "many", "nan"])
def test_marks_by_hand_that_cannot_be_are_refused(tmp_path, marks):
    row = dict.fromkeys(tables.BY_HAND, "x") | {"marks": marks, "out_of": "4"}
    (tmp_path / "by-hand.csv").write_text(tables.as_csv([row], tables.BY_HAND))
    with pytest.raises(ValueError, match="line 2: marks: got"):
        tables.read_by_hand(tmp_path / "by-hand.csv")


# A folder of submissions.


def hand_in(folder, who, notebook, name="problem_set_0.ipynb"):
    place = folder / who / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(notebook, bytes):
        place.write_bytes(notebook)
    else:
        nbformat.write(notebook, place)
    return place


def grades(to):
    with open(to / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


@pytest.fixture
def folder(small, tmp_path):
    folder = tmp_path / "submissions"
    answered = answers.solved(small)
    answered.cells[-1].source = "Because it is a product of intervals."
    hand_in(folder, "anna", answered)
    hand_in(folder, "bob", answers.handed_out(small))
    hand_in(folder, "carl", b"not a notebook")
    hand_in(folder, "dora", answers.solved(small), "problem_set_0/problem_set_0.ipynb")
    hand_in(folder, "=Zoë O'Hara; $(rm) <b>", answers.solved(small))
    hand_in(folder, "emil", new_notebook())
    (folder / "frieda").mkdir()
    hand_in(folder, "gustav", answers.solved(small, {"norm": "def norm(x):\n    while 1: pass"}))
    return folder


def test_folder_is_graded_resumed_and_marked_by_hand(folder, monkeypatch):
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    to = grading.grade(folder, source=SMALL, cell=2)
    rows = grades(to)
    assert {who: row["tests"] for who, row in rows.items()} == {
        "anna": "5", "bob": "0", "carl": "0", "dora": "5", "'=Zoë O'Hara; $(rm) <b>": "5",
        "emil": "0", "frieda": "0", "gustav": "3",
    }  # fmt: skip
    assert all(row["out_of"] == "9" for row in rows.values())
    assert "not a notebook" in rows["carl"]["remark"] and "handed in" in rows["frieda"]["remark"]
    assert rows["anna"]["by_hand"] == "" and rows["bob"]["by_hand"] == "0"
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert len(list((to / "feedback").glob("*/problem_set_0.html"))) == len(rows)

    # The teacher marks the one answer, in a spreadsheet that writes semicolons.
    text = (to / "by-hand.csv").read_text().replace(",", ";")
    assert len(text.splitlines()) == 2
    line = text.splitlines()[1].split(";")
    line[4:6] = "3,5", "Well said"
    (to / "by-hand.csv").write_text(text.splitlines()[0] + "\n" + ";".join(line) + "\n")

    # Only what changed is run again.
    ran, mark = [], grading.mark
    monkeypatch.setattr(grading, "mark", lambda *a, **k: ran.append(1) or mark(*a, **k))
    other = hand_in(folder, "bob", nbformat.read(before_path(before, "dora"), as_version=4))
    grading.grade(folder, source=SMALL, cell=2)
    rows = grades(to)
    assert len(ran) == 1 and rows["bob"]["marks"] == "5" and other.exists()
    assert (rows["anna"]["marks"], rows["anna"]["by_hand"]) == ("8.5", "3.5")
    assert "Well said" in (to / "feedback" / "anna" / "problem_set_0.html").read_text()

    # A changed answer waits again, and the old marks stay.
    changed = nbformat.read(folder / "anna" / "problem_set_0.ipynb", as_version=4)
    changed.cells[-1].source = "Another answer."
    hand_in(folder, "anna", changed)
    grading.grade(folder, source=SMALL, cell=2)
    assert grades(to)["anna"]["by_hand"] == ""
    assert "Well said" in (to / "by-hand.csv").read_text()


def test_results_are_not_kept_when_code_that_tests_call_changes(tmp_path, monkeypatch):
    (tmp_path / "course_utils").mkdir()
    monkeypatch.setattr(grading, "ROOT", tmp_path)
    digests = set()
    for tolerance in ("1e-3", "1e-4"):
        (tmp_path / "course_utils" / "assignments.py").write_text(f"TOLERANCE = {tolerance}")
        digests.add(grading._code.__wrapped__())
    assert len(digests) == 2


def before_path(before, who):
    return next(path for path in before if who in path.parts)


def test_a_grader_that_fails_on_one_stops_for_nobody(folder, monkeypatch):
    mark = grading.mark

    def fails(problem_set, notebook, **limits):
        if notebook.cells[-1].source.startswith("Because"):
            raise RuntimeError("the grader's own fault")
        return mark(problem_set, notebook, **limits)

    monkeypatch.setattr(grading, "mark", fails)
    with pytest.raises(RuntimeError, match="anna, problem_set_0: NOT GRADED.*own fault"):
        grading.grade(folder, source=SMALL, cell=2)
    to = folder.with_name("submissions-graded")
    rows = grades(to)
    assert rows["anna"]["marks"] == "" and "NOT GRADED" in rows["anna"]["remark"]
    assert rows["dora"]["tests"] == "5" and len(rows) == 8
    assert not (to / "results" / "anna").exists()
    monkeypatch.setattr(grading, "SOURCE", SMALL)
    assert grading.main([str(folder)]) == 2  # of SOURCE's sets there is none in the folder


def test_a_set_whose_own_cells_fail_here_is_marked_for_nobody(small, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(SMALL, source)
    path = source / "problem_set_0" / "problem_set_0.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("points = torch.tensor(", "points = open('no such data')("))
    hand_in(tmp_path / "folder", "anna", answers.solved(small))
    with pytest.raises(RuntimeError, match="(?s)problem_set_0: a cell of its own.*no such data"):
        grading.grade(tmp_path / "folder", source=source)
    assert not (tmp_path / "folder-graded").exists()


@pytest.mark.parametrize("name", ["0012345", "Müller", "123456789012"])
def test_marks_by_hand_survive_what_spreadsheets_do(small, tmp_path, name):
    answered = answers.solved(small)
    answered.cells[-1].source = "Because."
    hand_in(tmp_path / "folder", name, answered)
    to = grading.grade(tmp_path / "folder", source=SMALL)
    header, line = (to / "by-hand.csv").read_text(encoding="utf-8-sig").splitlines()
    cells = line.split(",")
    cells[0], cells[4] = {"0012345": "12345", "Müller": "MÃ¼ller"}.get(name, "1.23457E+11"), "4"
    (to / "by-hand.csv").write_text(f"{header}\n{','.join(cells)}\n", encoding="utf-8")
    grading.grade(tmp_path / "folder", source=SMALL)
    assert grades(to)[name]["marks"] == "9"
    rows = (to / "by-hand.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) == 2 and rows[1].startswith(f"{name},problem_set_0,open-question,4,4,")


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_midway_nothing_is_lost(folder, tmp_path):
    code = (
        "from pathlib import Path\nfrom tools.classroom import grading\n"
        f"grading.grade(Path({str(folder)!r}), source=Path({str(SMALL)!r}), cell=60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=lectures.ROOT, stderr=subprocess.DEVNULL
    )
    results = tmp_path / "submissions-graded" / "results"
    until = time.monotonic() + 240
    while len(list(results.glob("*/*.json"))) < 5 and time.monotonic() < until:
        time.sleep(0.1)  # gustav's endless loop keeps it busy
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in results.glob("*/[!.]*.json")}
    assert len(done) >= 5 and all(json.loads(path.read_text())["key"] for path in done)
    to = grading.grade(folder, source=SMALL, cell=60, whole=3)  # another limit: all anew
    assert len(grades(to)) == 8 and grades(to)["gustav"]["tests"] == "3"


def test_nbgraders_own_layout(small, tmp_path):
    place = "anna/problem_set_0/problem_set_0.ipynb"
    hand_in(tmp_path / "course" / "submitted", place.split("/")[0], answers.solved(small),
            place.partition("/")[2])  # fmt: skip
    assert grades(grading.grade(tmp_path / "course", source=SMALL))["anna"]["tests"] == "5"


@pytest.mark.parametrize("kind_of", ["absent", "empty", "without"])
def test_folder_without_submissions_is_refused(tmp_path, kind_of, capsys):
    folder = tmp_path / "folder"
    if kind_of != "absent":
        folder.mkdir()
    if kind_of == "without":
        (folder / "anna").mkdir()
    assert grading.main([str(folder)]) == 2
    assert "folder:" in capsys.readouterr().err and not (tmp_path / "folder-graded").exists()


def test_nbgrader_itself_gives_the_same_marks(nbgrader, small, tmp_path):
    """For those who mark with nbgrader on a JupyterHub: reference, release and a wrong answer."""
    course = tmp_path / "course"
    shutil.copytree(SMALL, course / "source")
    shutil.copy(ASSIGNMENTS / "nbgrader_config.py", course)
    tried = {"full": answers.solved(small), "none": answers.handed_out(small),
             "norm": answers.solved(small, {"norm": NORM_OF_ONE})}  # fmt: skip
    for who, notebook in tried.items():
        hand_in(course / "submitted", who, notebook, "problem_set_0/problem_set_0.ipynb")
    commands = [["generate_assignment", "problem_set_0"], ["autograde", "problem_set_0"],
                ["export", "--to=grades.csv"]]  # fmt: skip
    path = f"{nbgrader.parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader starts alembic
    for command in commands:
        done = subprocess.run(
            [nbgrader, "-m", "nbgrader", *command], cwd=course, capture_output=True, text=True,
            env=os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path / "none"), "PATH": path},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (course / "release").rglob("*.*")) == ["problem_set_0.ipynb"]
    with open(course / "grades.csv", newline="") as file:
        given = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    ours = {
        who: sum(test["marks"] for test in grading.mark(small, notebook)["tests"].values())
        for who, notebook in tried.items()
    }
    assert given == ours == {"full": 5, "none": 0, "norm": 3}


def test_sources_lie_where_they_are_looked_for():
    assert SOURCE.parent == ASSIGNMENTS and NAMES

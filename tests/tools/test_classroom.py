"""Problem sets: what is handed out, and that marks can be trusted."""

import copy
import csv
import gc
import io
import json
import os
import pickle
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote_to_bytes

import msgpack
import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from safetensors import SafetensorError
from safetensors.torch import save

from course_utils.assignments import likely, same
from tools import lectures
from tools.classroom import (
    feedback,
    files,
    grading,
    problem_sets,
    reading,
    running,
    submissions,
    tables,
)
from tools.classroom.problem_sets import ASSIGNMENTS, SOURCE, grade_id, kind
from tools.classroom.reading import NotASubmission
from tools.classroom.wire import ABI, LONGEST, Strange, fingerprint, pack, unpack
from tools.environment import DEV_VENV, python_in

HERE = Path(__file__).parents[1] / "assignments"
sys.path.insert(0, str(HERE))
import answers  # noqa: E402

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "work", ".ipynb_checkpoints")
PARTS = ("text", "given", "solution", "test", "open", "hint")
SMALL = HERE / "source"  # a problem set of two exercises
NAMES = problem_sets.names()
SETS = {name: problem_sets.read(name) for name in NAMES}
COMMON = answers.common(problem_sets.read("problem_set_0", SMALL))
# `python tests/assignments` marks all of them one by one, for ANSWERS.md. Here what was written for a
# set is tried on it, without the reference around it, and what makes sense for every set on the small
# one, but for these.
EVERYWHERE = (
    "the release as it is handed out",
    "the reference solution",
    "visible answers hard-coded",
    "right, but it changes each tensor and model that it is given",
)

TRIED = [(name, answer) for name in NAMES for answer in answers.batches(SETS[name])]


@pytest.fixture(scope="module")
def small():
    if not hasattr(os, "fork"):
        pytest.skip("marking needs processes that fork, which Windows does not have")
    grading.prepare([problem_sets.read("problem_set_0", SMALL), *SETS.values()])
    return problem_sets.read("problem_set_0", SMALL)


@pytest.fixture(scope="module")
def nbgrader():
    python = python_in(DEV_VENV)
    if not python.exists():
        pytest.skip("no nbgrader: make test sets it up")
    return python


# Answers and their marks.


@pytest.mark.parametrize(
    ("name", "answer"), TRIED, ids=[f"{name}: {answer.name}" for name, answer in TRIED]
)
def test_answer_gets_the_marks_that_it_should(small, name, answer):
    assert answers.marks(SETS[name], answer) == answer.expected


@pytest.mark.parametrize("which", EVERYWHERE)
@pytest.mark.parametrize("name", [f"{name}: all" for name in NAMES])
def test_some_answers_for_all_sets_are_tried_on_each(small, name, which):
    name = name.partition(":")[0]
    answer = next(answer for answer in answers.answers(name) if answer.name == which)
    assert answers.marks(SETS[name], answer) == answer.expected


@pytest.mark.parametrize("answer", COMMON, ids=[answer.name for answer in COMMON])
def test_every_answer_for_all_sets_is_tried_on_the_small_one(small, answer):
    assert answers.marks(small, answer) == answer.expected


@pytest.mark.parametrize("name", NAMES)
def test_enough_answers_are_tried(name):
    own = answers.own(SETS[name])
    assert sum(answer.group.startswith("right") for answer in own) >= 3
    wrong = [answer for answer in own if answer.group == "wrong"]
    assert len(wrong) >= 6
    for answer in wrong:  # and each of them loses something
        assert sum(answer.expected.values()) < sum(SETS[name].points("test").values()), answer.name
    names = [answer.name for answer in answers.answers(name)]
    assert len(names) == len(set(names))


def test_published_table_says_what_these_tests_hold():
    assert answers.TABLE.read_text(encoding="utf-8") == answers.table(answers.expected())


# What is handed out.


@pytest.mark.parametrize("name", NAMES)
def test_source_is_in_step_and_executed(name):
    assert problem_sets.in_step(name)


@pytest.mark.parametrize("name", ["problem_set_0", *NAMES])
def test_another_seed_gives_other_numbers_that_the_solutions_pass(small, name):
    folder = SOURCE if name in NAMES else SMALL
    plain, seeded = (problem_sets.read(name, folder, seed=seed) for seed in (0, 2027))
    seeded.run("given", "solution", "test")
    drawn = [this for this, cell in plain.of("given", "test").items() if "Generator" in cell.source]
    changed = [
        this
        for this, cell in plain.of(*PARTS).items()
        if cell.source != seeded.of(*PARTS)[this].source
    ]
    assert changed == drawn and drawn


@pytest.mark.parametrize("name", NAMES[:4])  # the last has no examples: all is drawn
def test_another_seed_changes_what_visible_tests_ask(name):
    first, other = (answers.visible(problem_sets.read(name, seed=seed))[0] for seed in (0, 2027))
    changed = {this for this in first if first[this][1].keys() != other[this][1].keys()}
    assert len(changed) >= 3


def test_a_release_with_a_seed_is_marked_with_that_seed(small, tmp_path):
    """And by another one no differently than by other numbers in its tests."""
    problem_sets.make(source=SMALL, to=tmp_path / "to", study=tmp_path / "study", seed=2027)
    seeded = problem_sets.read("problem_set_0", SMALL, seed=2027)
    handed = nbformat.read(tmp_path / "to" / "problem_set_0" / "problem_set_0.ipynb", as_version=4)
    assert handed == answers.handed_out(seeded)
    study = nbformat.read(tmp_path / "study" / "problem_set_0.ipynb", as_version=4)
    assert study == problem_sets.self_study(small)
    hand_in(tmp_path / "folder", "anna", answers.solved(seeded))
    for seed in (2027, 5):
        to = grading.grade(tmp_path / "folder", source=SMALL, seed=seed)
        assert grades(to)["anna"]["tests"] == "5"


def test_a_seed_with_which_the_solutions_fail_is_refused(small):
    cells = [cell.copy() for cell in small.cells]
    cells[6].source = cells[6].source.replace("project(x, 0.3)", "project(x, 0.4)")
    with pytest.raises(ValueError, match="(?s)problem_set_0: AssertionError.*project\\(x, 0.4"):
        problem_sets.from_cells("problem_set_0", cells).run("given", "solution", "test")


@pytest.mark.parametrize("name", NAMES)
def test_set_has_its_parts(name):
    each = SETS[name]
    assert [kind(cell) for cell in each.cells].count("open") == 1
    for exercise, tests in each.exercises.items():
        sources = [c.source for c in each.cells if kind(c) == "test" and grade_id(c) in tests]
        assert any("BEGIN HIDDEN TESTS" in source for source in sources), exercise
    assert sum(kind(cell) == "hint" for cell in each.cells) >= len(each.exercises)
    code = [cell.source for cell in each.of("given", "solution", "test").values()]
    assert not [line for source in code for line in source.splitlines() if len(line) > 80]


@pytest.mark.parametrize("name", ["problem_set_0", *NAMES])
def test_release_leaks_nothing(small, name):
    each = SETS.get(name, small)
    cells = problem_sets.handed_out(each).cells
    text = "\n".join(cell.source for cell in cells)
    kept = set(text.splitlines())
    secret = [problem_sets.without_markers(c.source) for c in each.cells if kind(c) == "hint"]
    secret += [problem_sets.split_tests(c.source)[1] for c in each.cells if kind(c) == "test"]
    for cell in each.cells:
        if kind(cell) in ("solution", "open"):
            secret.append(cell.source.partition("### BEGIN SOLUTION")[2])
    lines = [line for part in secret for line in part.splitlines() if len(line.strip()) > 20]
    shown = {
        line for c in each.cells if kind(c) in ("text", "given") for line in c.source.splitlines()
    }
    shown |= {
        line
        for c in each.cells
        if kind(c) == "test"
        for line in problem_sets.split_tests(c.source)[0].splitlines()
    }
    assert lines and not [line for line in lines if line in kept and line not in shown]
    assert "BEGIN" not in text and "NotImplementedError" in text
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.parametrize("name", NAMES)
def test_self_study_form_is_made_from_the_source(name):
    stored = nbformat.read(ASSIGNMENTS / f"{name}.ipynb", as_version=4)
    assert stored == problem_sets.self_study(SETS[name])


def test_self_study_folds_hints_before_solutions_and_shows_all_tests(small):
    cells = problem_sets.self_study(small).cells
    at = next(i for i, cell in enumerate(cells) if "def project" in cell.source)
    assert "raise NotImplementedError()" in cells[at].source
    assert "<summary>Hint" in cells[at + 1].source and "<summary>Solution" in cells[at + 2].source
    assert "a secret of the hidden tests" in cells[at + 4].source
    assert not any(
        "nbgrader" in cell.metadata or "### " in cell.source.replace("### A", "")
        for cell in cells
        if cell.cell_type == "code"
    )


@pytest.mark.parametrize("name", ["problem_set_0", *NAMES])
def test_self_study_runs_with_its_own_solutions(small, name):
    cells = problem_sets.self_study(SETS.get(name, small)).cells
    folded = "".join(c.source for c in cells if "<summary>Solution" in c.source)
    solutions = [part.partition("\n```")[0] for part in folded.split("```python\n")[1:]]
    code = [c.source for c in cells if c.cell_type == "code"]
    space = {"__name__": "self-study"}
    for source in [code[0], *solutions, *(c for c in code if "NotImplementedError()" not in c)]:
        exec(compile(source, name, "exec"), space)


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
    cells = copy.deepcopy(list(small.cells))
    edit(cells)
    with pytest.raises(ValueError, match=says):
        problem_sets.from_cells("problem_set_0", cells)


# Comparing.


@pytest.mark.parametrize(
    ("got", "cause"),
    [
        (2.0, "twice"),
        (torch.tensor(2.0, dtype=torch.float64), "twice"),
        (np.float32(2), "twice"),
        ([2.0], "none of"),
        (3.0, "none of"),
        (None, "none of"),
        (torch.ones(2), "a vector"),
    ],
)
def test_the_likely_cause_is_that_of_the_same_result(got, cause):
    assert likely(got, {"twice": 2.0, "a vector": [1.0, 1.0], "again": 2.0}).startswith(cause)


@pytest.mark.parametrize(
    "got",
    [
        3,
        3.0,
        np.float32(3),
        torch.tensor(3),
        torch.tensor(3.000001),
        Fraction(6, 2),
        Decimal(3),
        np.array(3),
    ],
)
def test_same_takes_any_kind_of_number(got):
    same(got, 3.0, "f(1)", cause="no")


@pytest.mark.parametrize(
    ("got", "expected", "says"),
    [
        (2, 3.0, "f(1): expected 3, got 2. Likely cause: the sign."),
        (None, 3.0, "a number, got nothing (is a `return` missing?)"),
        (0.0, torch.zeros(1), "a tensor of shape (1,), got a number"),
        ([1.0, "2"], torch.ones(2), "got a list"),
        (torch.ones(1), torch.tensor([True]), "of True and False, got a tensor of shape (1,)."),
        (torch.ones(2, 1), torch.ones(2), "shape (2,), got a tensor of shape (2, 1)"),
        (torch.ones(1), 1.0, "a number, got a tensor of shape (1,)"),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]), "at [1] 3 was expected and 2 came"),
        (float("nan"), 1.0, "got nan"),
    ],
)
def test_same_says_what_was_expected_and_what_came(got, expected, says):
    with pytest.raises(AssertionError) as raised:
        same(got, expected, "f(1)", cause="the sign")
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "got",
    [
        [1, 2.0],
        (Fraction(1), torch.tensor(2)),
        np.array([1, 2]),
        namedtuple("Pair", "a b")(1, 2),
        torch.tensor([1, 2]),
    ],
)
def test_same_takes_lists_for_arrays_unless_a_tensor_is_asked_for(got):
    same(got, torch.tensor([1.0, 2.0]), "f(1)", cause="no")
    if not isinstance(got, torch.Tensor):
        with pytest.raises(AssertionError, match="expected a tensor"):
            same(got, torch.tensor([1.0, 2.0]), "f(1)", cause="no", tensor=True)


# What goes between the processes.


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        "text",
        1 + 2j,
        [1, [2.0]],
        (1, "a"),
        {"a": torch.ones(2)},
        torch.arange(6.0).view(2, 3).T,
        torch.tensor(3, dtype=torch.int64),
        torch.zeros(0, 3),
        torch.ones(2, requires_grad=True),
        torch.tensor([True, False]),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(3)[::2],
        torch.tensor([1 + 2j]).conj(),
        np.arange(4, dtype="i2").reshape(2, 2),
        np.float32(2.5),
    ],
)
def test_values_come_back_as_they_were(value):
    got = unpack(pack(value))
    assert repr(got) == repr(value.resolve_conj() if torch.is_tensor(value) else value)
    assert fingerprint(got) == fingerprint(value)


@pytest.mark.parametrize(
    "value",
    [
        Fraction(1, 2),
        Decimal("0.5"),
        np.float64(0.5),
        torch.tensor(0.5),
        np.longdouble(0.5),
        torch.nn.Parameter(torch.tensor(0.5)),
        np.array(0.5, dtype=">f4"),
        torch.tensor(0.5).to_sparse(),
    ],
)
def test_every_kind_of_number_arrives(value):
    assert float(unpack(pack(value))) == 0.5


def test_a_tuple_of_a_class_of_its_own_is_a_tuple():
    assert unpack(pack(namedtuple("Pair", "a b")(1, 2))) == (1, 2)


@pytest.mark.parametrize("value", [object(), torch.nn.ReLU(), lambda: 1, [type]])
def test_other_objects_do_not(value):
    with pytest.raises(Strange, match="object|ReLU|function"):
        unpack(pack(value))


def nested(deep, value=()):
    for _ in range(deep):
        value = (value,)
    return value


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (pack(nested(200)), "deep"),
        (pack([[]] * 1_500_000), "things"),
        (pack([([0] * 99,)] * 20_000), "things"),
        (pack([0] * 2_500_000), "things"),
        (b"\xdd\x7f\xff\xff\xff" + bytes(99), "things"),
    ],
    ids=["deep", "long", "nested", "flat", "forged"],
)
def test_of_lists_and_tuples_there_may_be_only_so_many(data, says):
    with pytest.raises(Strange, match=says):
        unpack(data)
    assert unpack(pack(nested(30))) == nested(30)


def test_an_answer_that_is_too_large_is_called_so(small):
    source = "def norm(x):\n    return torch.zeros(9 << 20, dtype=torch.bool)"
    assert (
        "norm returns more than 8 MB"
        in mark(small, {"norm": source})["tests"]["norm-test"]["message"]
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"12345678",
        msgpack.packb(msgpack.ExtType(2, msgpack.packb(["f" * 5000, 16]))),
        b"\xc7\x03\xfe" + msgpack.packb(["x"]),  # a kind of -2
        b"\xff" * 20,
        b"\x91" * 100_000,
        pickle.dumps(torch.ones(2)),
        *(
            msgpack.packb(msgpack.ExtType(kind, msgpack.packb(parts)))
            for kind in (0, 1, 5, 40)
            for parts in ([], 3, [b"12345678", False], [pickle.dumps(np.ones(2))], ["x", "y", 3])
        ),
        msgpack.packb(msgpack.ExtType(0, msgpack.packb([save({"1": torch.ones(2)}), False]))),
    ],
)
def test_what_pack_never_wrote_is_refused(data):
    refused = ValueError, TypeError, KeyError, IndexError, AttributeError, SafetensorError
    with pytest.raises(refused):
        unpack(data)


def test_functions_that_keep_count_stay_with_the_grader_and_others_go_over_whole():
    code = "def limited(secret):\n    return lambda c: c < secret\n"
    exec(code + "stays, goes = limited('s3cret'), lambda x: x + 1", names := {"__name__": "tests"})
    data = running.pickled([names["stays"], names["goes"]], {}, callbacks := [])
    assert callbacks == [names["stays"]] and b"s3cret" not in data
    assert b"s3cret" in running.pickled(names["stays"].__closure__[0].cell_contents, {}, [])


def test_every_change_of_an_argument_is_seen():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    before = fingerprint(model)
    for change in (
        lambda: model.eval(),
        lambda: model[0].weight.requires_grad_(False),
        lambda: setattr(model[0].bias, "grad", torch.zeros(2)),
        lambda: model[0].weight.data.add_(1e-7),
    ):
        change()
        assert fingerprint(model) != before
        before = fingerprint(model)


# Reading what was handed in.


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"nbformat": 4}',
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [3]}',
        b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
    ],
)
def test_what_is_no_notebook_is_refused(content):
    with pytest.raises(NotASubmission, match="not a notebook"):
        reading.parse(content)


@pytest.mark.skipif(os.name == "nt", reason="POSIX files")
def test_only_plain_files_of_sensible_size_are_read(small, tmp_path, monkeypatch):
    for name in ("large", "link", "pipe"):
        (tmp_path / name).mkdir()
    lay(tmp_path, "large/ps0.ipynb|large.zip/ps0.ipynb", b"x" * 100)
    (tmp_path / "link" / "ps0.ipynb").symlink_to(tmp_path / "large" / "ps0.ipynb")
    os.mkfifo(tmp_path / "pipe" / "ps0.ipynb")
    handed, reasons, left = submissions.collect(tmp_path, [small])
    assert "no plain file" in reasons["pipe", "problem_set_0"] and "link/ps0.ipynb: a link" in left
    assert not handed["files"] and "not a notebook" in reasons["large", "problem_set_0"]
    monkeypatch.setattr(files, "LARGEST", 99)
    _, reasons, left = submissions.collect(tmp_path, [small])
    assert "larger" in reasons["large", "problem_set_0"] and any(
        "zip: it is larger" in x for x in left
    )


# As platforms export them: the path, whose it is, and the platform's number.
LAYOUTS = {
    "folder": ("anna/problem_set_0.ipynb", "anna", ""),
    "nbgrader": ("submitted/anna/problem_set_0/problem_set_0.ipynb", "anna", ""),
    "another name": ("anna/ps0.ipynb", "anna", ""),
    "deeper": ("anna/my work/final/homework.ipynb", "anna", ""),
    "browser's copy": ("anna/problem_set_0 (1).ipynb", "anna", ""),
    "Moodle, folders": ("Anna B_77_assignsubmission_file_/problem_set_0.ipynb", "Anna B", "77"),
    "Moodle, flat": ("Anna B_77_assignsubmission_file_problem_set_0.ipynb", "Anna B", "77"),
    "Canvas": ("annab_1234_99887_problem_set_0.ipynb", "annab", "1234"),
    "Canvas, late": ("annab_LATE_1234_99887_ps0-1.ipynb", "annab", "1234"),
    "Blackboard": ("HW_annab_attempt_2026-11-20-10-11-12_problem_set_0.ipynb", "annab", ""),
    "Google Classroom": ("Anna B - problem_set_0.ipynb", "Anna B", ""),
    "Teams": ("Anna B/Set 0/Version 2/problem_set_0.ipynb", "Anna B", ""),
    "flat": ("Anna_problem_set_0.ipynb", "Anna", ""),
    "zip": ("Anna.zip/problem_set_0.ipynb", "Anna", ""),
    "zip of folders": ("all.zip/Anna B_77_assignsubmission_file_/ps0.ipynb", "Anna B", "77"),
    "absolute": ("all.zip//etc/problem_set_0.ipynb", "etc", ""),
    "upwards": ("all.zip/../../anna/problem_set_0.ipynb", "anna", ""),
    "Windows": ("all.zip/anna\\problem_set_0.ipynb", "anna", ""),
    "browser's suffix": ("Anna_PS0.IPYNB.txt", "Anna", ""),
    "Blackboard, again": (
        "HW_annab_attempt_2026-11-20-10-11-12_ps0.ipynb|HW_annab_attempt_2026-11-21-09-00-00_ps0.ipynb",
        "annab",
        "",
    ),
    "the set first": ("Set 0 - Anna B.ipynb", "Anna B", ""),
    "macOS's letters": ("Zoe\u0308/problem_set_0.ipynb", "Zo\xeb", ""),
    "zip in a folder of a zip": ("all.zip/Anna B_77_assignsubmission_file_/w.ZIP", "Anna B", "77"),
    "macOS": ("Anna.zip/__MACOSX/._problem_set_0.ipynb|Anna.zip/problem_set_0.ipynb", "Anna", ""),
    "a copy": ("Copy of problem_set_0 - Anna B.ipynb", "Anna B", ""),
}
GRADESCOPE = b"""---
submission_1:
  :submitters:
  - :name: Anna B
    :sid: '11'
    :email: a@x
  :created_at: 2026-11-01 10:00:00 Z
submission_2:
  :submitters:
  - :name: 'Bob "../" O\'\'Neil'
    :sid: '12'
    :email: b@x
  - :name: "Jos\\u00e9 \\xD1"
    :sid: ''
    :email: c@x
  :created_at: 2026-11-01 10:00:00 Z
"""
BLACKBOARD = "HW_{0}_attempt_2026-11-{1}-10-11-12{2}"
PS = "problem_set_0.ipynb"
# As they export a class's: what lies where, and who they are with the platform's numbers.
CLASSES = {
    "folders": ({f"Anna B/{PS}": 1, f"Bob/work/{PS}": 1}, {"Anna B": "", "Bob": ""}),
    "flat": ({f"Anna B_{PS}": 1, "ps0 Bob.ipynb": 1}, {"Anna B": "", "Bob": ""}),
    "Gradescope": (
        {
            f"submission_1/{PS}": 1,
            f"submission_2/{PS}": 1,
            "submission_metadata.yml": GRADESCOPE,
            "submission_1/submission_metadata.yml": GRADESCOPE.replace(b"Jos", b"Anna"),
        },
        {"Anna B": "Gradescope 11", "Bob .. ONeil": "Gradescope 12", "José Ñ": "Gradescope 2"},
    ),
    "Google Classroom": (
        {f"Anna B - {PS}": 1, f"Bob - Copy of {PS}": 1},
        {"Anna B": "", "Bob": ""},
    ),
    "Teams": (
        {f"Anna B/Set 0/Version 1/{PS}": 1, f"Bob/Set 0/Version 2/{PS}": 1},
        {"Anna B": "", "Bob": ""},
    ),
    "Moodle": (
        {
            f"Anna B_7_assignsubmission_file_/{PS}": 1,
            f"Bob_8_assignsubmission_file_/w/{PS}": 1,
            "Carl_9_assignsubmission_onlinetext_/onlinetext.html": b"x",
        },
        {"Anna B": "Moodle 7", "Bob": "Moodle 8", "Carl": "Moodle 9"},
    ),
    "Moodle, flat": (
        {f"Anna B_7_assignsubmission_file_{PS}": 1, f"Bob_8_assignsubmission_file_{PS}": 1},
        {"Anna B": "Moodle 7", "Bob": "Moodle 8"},
    ),
    "Canvas": (
        {
            f"annab_7_99_{PS}": 1,
            "bob_LATE_8_98_ps0-1.ipynb": 1,
            "bob_8_97_text.html": b"x",
            "carl_9_link.html": b"x",
        },
        {"annab": "Canvas 7", "bob": "Canvas 8", "carl": "Canvas 9"},
    ),
    "Blackboard": (
        {BLACKBOARD.format(who, day, f"_{PS}"): 1 for who, day in (("a_b", 20), ("c_b", 21))},
        {"a_b": "", "c_b": ""},
    ),
}


def lay(folder, paths, content):
    for path in paths.split("|"):
        if path.endswith(".ZIP"):
            with zipfile.ZipFile(inner := io.BytesIO(), "w") as archive:
                archive.writestr("work/problem_set_0.ipynb", content)
            content = inner.getvalue()
        first, _, rest = path.partition(".zip/")
        place = folder / (f"{first}.zip" if rest else path)
        place.parent.mkdir(parents=True, exist_ok=True)
        if rest:
            with zipfile.ZipFile(place, "a") as archive:
                archive.writestr(rest, content)
        else:
            place.write_bytes(content)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_platforms_layout_is_understood(small, tmp_path, layout):
    paths, student, number = LAYOUTS[layout]
    lay(tmp_path, paths, nbformat.writes(answers.solved(small)).encode())
    handed, reasons, left = submissions.collect(tmp_path, [small])
    assert list(handed["files"]) == [(student, "problem_set_0")] and not reasons
    assert len(left) == paths.count("annab_attempt_2026-11-21")  # of two, the later one counts
    assert handed["people"] == {student}
    assert handed["ids"].get((student, "problem_set_0"), "").partition(" ")[2] == number
    assert reading.answers(handed["files"][student, "problem_set_0"].notebook, small).cells


def test_who_hands_in_no_notebook_is_one_of_the_class_all_the_same(small, tmp_path):
    notebook = nbformat.writes(answers.solved(small)).encode()
    lay(tmp_path, "HW_anna_attempt_2026-11-20-10-00-00_problem_set_0.ipynb", notebook)
    lay(tmp_path, "HW_bob_attempt_2026-11-20-10-00-00_answer.pdf", b"%PDF")
    handed, reasons, _ = submissions.collect(tmp_path, [small])
    assert handed["people"] == {"anna", "bob"}
    assert "answer.pdf" in reasons["bob", "problem_set_0"]


def test_moodles_number_counts_where_the_file_tells_no_set(small, tmp_path):
    notebook = nbformat.writes(answers.solved(small)).encode()
    lay(tmp_path, "Anna B_77_assignsubmission_file/problem_set_0.ipynb", notebook)
    lay(tmp_path, "Bob_78_assignsubmission_file/answers.pdf", b"%PDF")
    handed, _, _ = submissions.collect(tmp_path, [small])
    assert handed["ids"]["Bob", "problem_set_0"] == "Moodle 78"


@pytest.mark.parametrize("around", ["", "PS 0/", "all.zip/", "all.zip/PS 0/", "Class/Submitted/"])
@pytest.mark.parametrize("layout", CLASSES)
def test_a_class_is_understood_with_whatever_is_around_it(small, tmp_path, layout, around):
    paths, people = CLASSES[layout]
    for path, content in paths.items():
        notebook = nbformat.writes(answers.solved(small)).encode()
        lay(tmp_path, around + path, notebook if content == 1 else content)
    lay(tmp_path, f"{around}read me.txt", b"a teacher's")
    handed, reasons, _ = submissions.collect(tmp_path, [small])
    assert handed["people"] == set(people)
    assert {who: handed["ids"].get((who, small.name), "") for who in people} == people
    assert {who for who, _ in [*handed["files"], *reasons]} == set(people)
    assert all("text.html" in words or "link.html" in words for words in reasons.values())
    assert len({file.path for file in handed["files"].values()}) == list(paths.values()).count(1)


@pytest.mark.parametrize("around", ["", "all.zip/", "Classroom/"])
@pytest.mark.parametrize("each", ["{who} - {set}.ipynb", "{who}_{set}.ipynb", "{who}/{set}.ipynb"])
def test_a_folder_for_each_set_or_group_is_no_student(small, tmp_path, each, around):
    both = [small, SETS["problem_set_5"]]
    for one in both:
        text = nbformat.writes(answers.solved(one)).encode()
        for who in ("Anna B", "Bob", "Carl"):
            lay(tmp_path, f"{around}{one.name[-1]}. set/{each.format(who=who, set=one.name)}", text)
    handed, reasons, _ = submissions.collect(tmp_path, both)
    assert handed["people"] == {"Anna B", "Bob", "Carl"} and not reasons
    assert len(handed["files"]) == 6
    groups, late = tmp_path / "groups", each.format(who="Dora", set=small.name)
    text = nbformat.writes(answers.solved(small)).encode()
    for path in ["A/" + each.format(who=w, set=small.name) for w in ("Anna", "Bob")] + [
        f"B/{late}"
    ]:
        lay(groups, path, text)
    assert submissions.collect(groups, both)[0]["people"] == {"Anna", "Bob", "Dora"}


def test_a_students_drafts_and_partners_are_no_class(small, tmp_path):
    text = nbformat.writes(answers.solved(small)).encode()
    for path in ("anna/old/x.ipynb", f"anna/new/{PS}", f"bob/{PS}", f"carl/carl - {PS}", f"d/{PS}"):
        lay(tmp_path, path, text)
    handed, _, _ = submissions.collect(tmp_path, [small])
    assert handed["people"] == {"anna", "bob", "carl", "d"} and len(handed["files"]) == 4


def test_teams_drafts_are_left_out(small, tmp_path):
    text = nbformat.writes(answers.solved(small)).encode()
    for kind_of in ("Submitted files", "Working files"):
        for who in ("Anna B", "Bob"):
            version = "Version 1/" if kind_of[0] == "S" else ""
            lay(tmp_path, f"Student Work/{kind_of}/{who}/Set 0/{version}{PS}", text)
    handed, reasons, _ = submissions.collect(tmp_path, [small])
    assert handed["people"] == {"Anna B", "Bob"} and len(handed["files"]) == 2 and not reasons


def test_a_download_in_parts_is_one_class(small, tmp_path):
    notebook = nbformat.writes(answers.solved(small)).encode()
    for part, who in ((1, "Anna B"), (2, "Bob")):
        lay(tmp_path, f"PS 0-20261127T101112Z-00{part}.zip/PS 0/{who} - {PS}", notebook)
    assert submissions.collect(tmp_path, [small])[0]["people"] == {"Anna B", "Bob"}


def test_blackboards_users_are_found_in_several_sets_that_lie_together(small, tmp_path):
    both = [small, SETS["problem_set_5"]]
    for each, item in zip(both, ("HW_0", "HW_5"), strict=True):
        for who in ("a_b", "c_d"):
            text = nbformat.writes(answers.solved(each)).encode()
            lay(tmp_path, f"{item}_{who}_attempt_2026-11-20-10-11-12_{each.name}.ipynb", text)
    lay(tmp_path, "HW_5_e_attempt_2026-11-20-10-11-12_ps5.pdf", b"%PDF")
    handed, _, _ = submissions.collect(tmp_path, both)
    assert len(handed["files"]) == 4 and handed["people"] == {"a_b", "c_d", "e"}


@pytest.mark.parametrize("inside", [f"bob_8_98_{PS}", f"bob_8_assignsubmission_file_/{PS}"])
@pytest.mark.parametrize("mallory", ["mallory/{}", "mallory.zip/{}", "mallory_9_99_w.zip/{}"])
def test_no_name_inside_makes_a_file_another_students(small, tmp_path, mallory, inside):
    notebook = nbformat.writes(answers.solved(small)).encode()
    place = "{}_{}_9{}_w.zip/{}" if "_w" in mallory else "{}/{}{}{}"
    lay(tmp_path, place.format("anna", 7, 7, PS), notebook)
    lay(tmp_path, place.format("bob", 8, 8, PS), notebook)
    lay(tmp_path, mallory.format(inside), notebook)
    handed, reasons, _ = submissions.collect(tmp_path, [small])
    assert {who for who, _ in handed["files"]} == {"anna", "bob", "mallory"} and not reasons


def test_a_number_for_each_set_makes_no_two_people_and_two_numbers_for_one_set_do(small, tmp_path):
    both = [small, SETS["problem_set_5"]]
    texts = [nbformat.writes(answers.solved(each)).encode() for each in both]
    for number, text in ((7, texts[0]), (99, texts[1])):
        lay(tmp_path, f"Anna B_{number}_assignsubmission_file_/a.ipynb", text)
    handed, _, _ = submissions.collect(tmp_path, both)
    assert handed["people"] == {"Anna B"}
    numbers = {("Anna B", "problem_set_0"): "Moodle 7", ("Anna B", "problem_set_5"): "Moodle 99"}
    assert handed["ids"] == numbers
    lay(tmp_path, "Anna B_8_assignsubmission_file_/a.ipynb", texts[0])
    handed, reasons, _ = submissions.collect(tmp_path, both)
    assert handed["people"] == {"Anna B 7", "Anna B 8", "Anna B 99"} and not reasons


def test_what_is_no_notebook_is_told_to_whom_it_belongs(small, tmp_path):
    lay(tmp_path, f"anna/{PS}", nbformat.writes(answers.solved(small)).encode())
    hand_in(tmp_path, "dora", new_notebook(), "mine.ipynb")
    for path in ("bob/ps0.pdf", "bob/ps0.py", "carl_ps0.pdf", "grades - final.xlsx"):
        lay(tmp_path, path, b"x = 1")
    rows = grades(grading.grade(tmp_path, source=SMALL))
    none = "Not marked: no notebook of this set was handed in, but {}."
    assert {who: row["remark"] for who, row in rows.items()} == {
        "anna": "",
        "bob": none.format("ps0.pdf and ps0.py"),
        "carl": none.format("carl_ps0.pdf"),
        "dora": none.format("mine.ipynb"),
    }


def test_whatever_is_not_graded_is_named(small, tmp_path):
    full = nbformat.writes(answers.solved(small)).encode()
    for path, content in {
        "anna/problem_set_0.ipynb": full,
        "anna/notes.pdf": b"1",
        "readme.txt": b"1",
        "dora/other.ipynb": nbformat.writes(new_notebook()).encode(),
        "bad.zip": b"no zip",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path / "anna")
    handed, _, left = submissions.collect(tmp_path, [small])
    assert sorted(line.partition(":")[0] for line in left) == [
        "anna/notes.pdf",
        "bad.zip",
        "dora/other.ipynb",
        "link",
        "readme.txt",
    ]
    assert handed["people"] == {"anna", "dora"}


def test_odd_zips_and_tables_stop_nobody(small, tmp_path, monkeypatch):
    text = nbformat.writes(answers.solved(small)).encode()
    lay(tmp_path, f"anna/{PS}|odd.zip/xy", text)
    for old, new in ((b"xy", b"\xff\xfe"), (b"PK\x01\x02\x14", b"PK\x01\x02\xff")):
        content = (tmp_path / "odd.zip").read_bytes().replace(old, new)
        flagged = bytearray(content)
        flagged[content.index(b"PK\x01\x02") + 9] |= 8  # the names are UTF-8
        lay(tmp_path, f"{old[:1].hex()}.zip", bytes(flagged))
    for who, table in (("bob", b'"\\UFFFFFFFF": 1'), ("carl", b"[" * 20_000)):
        lay(tmp_path, f"{who}/submission_metadata.yml", table)
    lay(tmp_path, f"mallory/{PS}", text)
    lay(tmp_path, "mallory/submission_metadata.yml", b'".": {":submitters": [{":name": anna}]}')
    lay(tmp_path, "many.zip/a|many.zip/b|many.zip/c", b"x")
    lay(tmp_path, "mallory/helpers.py|mallory/more.py", b"#" * (files.MODULES - 99))
    monkeypatch.setattr(files, "MOST", 2)
    handed, reasons, left = submissions.collect(tmp_path, [small])
    assert {who for who, _ in handed["files"]} >= {"anna", "mallory"}
    assert {"anna", "mallory"} <= handed["people"] and len(left) >= 6
    assert list(handed["files"]["mallory", small.name].modules) == ["helpers.py"]
    assert "many.zip: more than 2 files are in it" in left


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_spoilt_zip_is_a_reason_and_stops_nobody(small, tmp_path, method):
    content = nbformat.writes(answers.solved(small)).encode()
    lay(tmp_path, "anna/problem_set_0.ipynb", content)
    with zipfile.ZipFile(tmp_path / "bob.zip", "w", method) as archive:
        archive.writestr("problem_set_0.ipynb", content)
    spoilt = bytearray((tmp_path / "bob.zip").read_bytes())
    spoilt[80:300] = bytes(220)
    (tmp_path / "bob.zip").write_bytes(spoilt)
    handed, reasons, _ = submissions.collect(tmp_path, [small])
    assert list(handed["files"]) == [("anna", "problem_set_0")]
    assert "cannot be read" in reasons["bob", "problem_set_0"]


def test_a_zip_of_zips_without_end_is_not_followed(small, tmp_path):
    content = nbformat.writes(answers.solved(small)).encode()
    for _ in range(9):
        with zipfile.ZipFile(outer := io.BytesIO(), "w") as archive:
            archive.writestr("more.zip" if _ else "problem_set_0.ipynb", content)
        content = outer.getvalue()
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "work.zip").write_bytes(content)
    handed, _, left = submissions.collect(tmp_path, [small])
    assert not handed["files"] and left == ["anna/work.zip/more.zip/more.zip/more.zip: no notebook"]


def test_of_two_files_the_finished_one_counts(small, tmp_path):
    empty = nbformat.writes(answers.handed_out(small)).encode()
    full = nbformat.writes(answers.solved(small)).encode()
    lay(tmp_path, "anna/problem_set_0.ipynb", empty)
    lay(tmp_path, "anna/problem_set_0 (1).ipynb", full)
    for version, content in ((1, full), (10, full), (9, empty)):
        lay(tmp_path, f"bob/Version {version}/problem_set_0.ipynb", content)
    lay(tmp_path, "carl/a.ipynb", full)
    lay(tmp_path, "carl/b.ipynb", full)
    handed, reasons, _ = submissions.collect(tmp_path, [small])
    found = {who: str(file.path) for (who, _), file in handed["files"].items()}
    assert found == {
        "anna": "anna/problem_set_0 (1).ipynb",
        "bob": "bob/Version 10/problem_set_0.ipynb",
    }
    assert "2 notebooks could be meant" in reasons["carl", "problem_set_0"]


def test_a_set_handed_in_as_another_is_told(small, tmp_path):
    lay(tmp_path, "anna/problem_set_5.ipynb", nbformat.writes(answers.solved(small)).encode())
    both = [small, SETS["problem_set_5"]]
    handed, reasons, _ = submissions.collect(tmp_path, both)
    # Nobody else is asked for either set because of it.
    assert list(handed["files"]) == [("anna", "problem_set_0")] and not handed["sets"]
    assert not reasons
    lay(tmp_path, "bob/problem_set_5.ipynb", nbformat.writes(answers.solved(both[1])).encode())
    handed, reasons, _ = submissions.collect(tmp_path, both)
    assert ("anna", "problem_set_0") in handed["files"] and handed["sets"] == {"problem_set_5"}
    assert "problem_set_5.ipynb is problem_set_0" in reasons["anna", "problem_set_5"]


def test_a_file_under_a_wrong_name_gives_nobody_else_a_row(small, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(SMALL, source)
    shutil.copytree(SMALL / "problem_set_0", source / "problem_set_9")
    for path in (source / "problem_set_9").iterdir():
        path.rename(path.with_stem("problem_set_9"))
    for path in (source / "problem_set_9").glob("*.ipynb"):
        path.write_text(path.read_text().replace("norm", "length"))
    nine = answers.solved(problem_sets.read("problem_set_9", source))
    hand_in(tmp_path / "folder", "anna", answers.solved(small))
    hand_in(tmp_path / "folder", "carl", b"spoilt", "problem_set_9.ipynb")
    hand_in(tmp_path / "folder", "emil", answers.solved(small), "problem_set_9.ipynb")
    hand_in(tmp_path / "folder", "gita", nine)
    table = pd.read_csv(grading.grade(tmp_path / "folder", source=source) / "grades.csv")
    rows = [f"{row.student} {row.problem_set[-1]} {row.marks:g}" for row in table.itertuples()]
    assert rows == ["anna 0 5", "carl 0 0", "carl 9 0", "emil 0 5", "gita 0 0", "gita 9 5"]


# What becomes of a student's cells.


def at(cells, this):
    return next(place for place, cell in enumerate(cells) if grade_id(cell) == this)


def answered(notebook, small):
    """The functions that the cells of a notebook define, run in order, and the open answer."""
    found = reading.answers(notebook, small)
    space = dict(small.namespace)
    for _, source, _ in sorted(found.cells, key=lambda cell: cell[0]):
        exec(source, space)
    return space, found


def as_text(cells):
    cells[3].cell_type = "markdown"
    for name in ("outputs", "execution_count"):
        cells[3].pop(name, None)


def split(cells):
    whole = cells[3].source.splitlines()
    cells[3].source = "\n".join(whole[:-1])
    cells.insert(4, new_code_cell(whole[-1]))


def in_one(cells):
    code = "\n\n".join(cell.source for cell in cells if kind(cell) == "solution")
    cells[:-1] = [new_code_cell(code)]


@pytest.mark.parametrize(
    "change",
    [
        as_text,
        split,
        lambda cells: cells[3].update(cell_type="raw"),
        lambda cells: [cell.update(metadata={}) for cell in cells],
        lambda cells: cells.insert(4, cells[3].copy()),
        lambda cells: [cell.update(source=cell.source.replace("\n", "\r\n")) for cell in cells],
        in_one,
    ],
    ids=["text", "split", "raw", "no metadata", "twice", "CRLF", "all in one"],
)
def test_no_answer_is_lost(small, change):
    notebook = answers.solved(small)
    notebook.cells[-1].source = "Because."
    change(notebook.cells)
    notebook = reading.parse(nbformat.writes(notebook).encode())
    space, found = answered(notebook, small)
    assert space["project"](torch.tensor([3.0]), 1.0) == 1 and "norm" in space
    assert found.open == {"open-question": "Because."}
    assert not any("changed" in note for note in found.notes)


def test_open_answers_are_found_wherever_they_are_written(small):
    notebook = answers.solved(small)
    notebook.cells.append(new_markdown_cell("In a cell below."))
    assert reading.answers(notebook, small).open["open-question"] == "In a cell below."
    notebook.cells[-2].source += "\n\nBelow the stub."
    assert reading.answers(notebook, small).open["open-question"] == (
        "Below the stub.\n\nIn a cell below."
    )
    notebook.cells[-1]["attachments"] = {"a.png": {"image/png": "AAAA"}}
    notebook.cells[-1].source = "![](attachment:a.png)"
    assert "data:image/png;base64,AAAA" in reading.answers(notebook, small).open["open-question"]


@pytest.mark.parametrize("text", ["It does, since margins\nare.", "# It\n# does", "'It does'"])
@pytest.mark.parametrize("above", [0, 2])
def test_an_open_answer_in_a_code_cell_is_one(small, text, above):
    """Jupyter's new cells are for code. Above: the question's text and the stub."""
    notebook = answers.solved(small)
    notebook.cells.insert(len(notebook.cells) - above, new_code_cell(text))
    found = reading.answers(notebook, small)
    assert found.open["open-question"] == text
    assert not [source for _, source, exercise in found.cells if exercise is None]
    notebook.cells[len(notebook.cells) - 1 - above].source = "answer = 'code'"
    found = reading.answers(notebook, small)
    assert found.open["open-question"] is None
    assert ("No answer to open-question, but cells of one's own below it." in found.notes) != above


def test_a_cell_below_a_test_may_use_its_names(small):
    cells = copy.deepcopy(list(small.cells))
    cells[at(cells, "projection-shape")].source = "twice = 2"
    changed = problem_sets.from_cells(small.name, cells)
    notebook = answers.solved(changed, {"norm": "def norm(x):\n    return helper(x)"})
    helper = "print(twice)\ndef helper(x):\n    return x.norm(dim=1)"
    notebook.cells.insert(1 + at(notebook.cells, "projection-shape"), new_code_cell(helper))
    result = grading.mark(changed, notebook)
    assert all(test["marks"] for test in result["tests"].values()), result["tests"]
    assert "2\n" in [cell["output"] for cell in result["cells"]] and result["notes"] == []


def test_an_endless_loop_is_met_once_among_visible_tests(small, monkeypatch):
    cells, ran = copy.deepcopy(list(small.cells)), []
    for test in ("projection-shape", "norm-test"):
        cells[at(cells, test)].source = f"twice = 2\n{cells[at(cells, test)].source}"
    loops = "def {}(*_):\n    while True: pass"
    loops = {"projection": loops.format("project"), "norm": loops.format("norm")}
    changed = problem_sets.from_cells(small.name, cells)
    notebook = answers.solved(changed, loops)
    notebook.cells.append(new_code_cell("print(twice)"))
    run = running.Submission.run

    def told(submission, source, given=False):
        ran.append(source)
        return run(submission, source, given)

    monkeypatch.setattr(running.Submission, "run", told)
    grading.mark(changed, notebook, cell=1)
    assert sum(source.startswith("twice = 2") for source in ran) == 1


def test_formatting_is_no_change_and_functions_added_to_a_test_are_run(small):
    notebook = answers.solved(small, {"norm": "def norm(x):\n    return helper(x)"})
    cell = next(cell for cell in notebook.cells if "same(norm" in cell.source)
    plain = cell.source.replace("(\n     ", "(").replace('"', "'") + "\n# a comment\n"
    cell.source = plain
    assert reading.answers(notebook, small).notes == []
    cell.source = "def helper(x):\n    return x.norm(dim=1)\n" + plain
    space, found = answered(notebook, small)
    assert space["norm"](torch.tensor([[3.0, 4.0]])) == 5
    assert found.notes == ["The test norm-test was changed; the original was run."]


def test_outputs_are_not_looked_at(small):
    notebook = json.loads(nbformat.writes(answers.solved(small)))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [{"foo": "x" * (4 << 20)}], "x"
    content = json.dumps(notebook).encode()
    assert len(content) > 20 << 20 and reading.parse(content).cells
    assert reading.parse(json.dumps(notebook).encode("utf-16")).cells


def test_notes_tell_what_was_changed(small):
    notebook = answers.solved(small)
    notebook.cells = [c for c in notebook.cells if "same(norm" not in c.source]
    notebook.cells.append(notebook.cells[3])
    found = reading.answers(notebook, small)
    assert found.notes == [
        "The cell projection is there more than once: all were run, in turn.",
        "The cell norm-test is missing; it was run all the same.",
    ]


@pytest.mark.parametrize(
    "used",
    [
        "torch.set_grad_enabled(True)",
        "value.grad_fn(ones)",
        "getattr(value, 'back' + 'ward')()",
        "r.requires_grad_()",
        "np.longdouble(1e-9)",
        "Decimal(1)",
        "r + 1e-30j",
        "r.to(torch.cdouble)",
        "torch.view_as_complex(r)",
        "__import__('torch').zeros(1)",
        "torch.__dict__['fu' + 'nc']",
        "vars(torch)['fu' + 'nc']",
        "tf.grad(f)(r)\n\nfrom torch import func as tf",
    ],
)
def test_notes_tell_of_a_derivative_that_is_not_by_hand(used):
    each = SETS["problem_set_1"]

    def notes(source):
        notebook = answers.solved(each, {"gradient": source}, rest=False)
        return "".join(reading.answers(notebook, each).notes)

    assert "not to be used" in notes(f"def gradient(r, *others):\n    return {used}")
    for off in (
        "r.requires_grad_(False)",
        "torch.set_grad_enabled(False)",
        "torch.inference_mode()",
    ):
        assert not notes(f"def gradient(r, *others):\n    {off}\n    return r")
    for right in answers.written(each).RIGHT.values():
        assert not notes(right.get("gradient", each.references["gradient"]))


@pytest.mark.parametrize(
    "found",
    [
        "fgsm",
        "a.pgd\n\nimport course_utils.attacks as a",
        "getattr(attacks, 'fg' + 'sm')",
        "globals()['fg' + 'sm']",
        "attacks.__dict__['fg' + 'sm']",
    ],
)
def test_notes_tell_of_an_attack_that_is_not_ones_own(found):
    each = SETS["problem_set_4"]
    source = "def projected_steps(*all):\n    return one(*all)\n\none = " + found
    cases = [(cells, False) for cells in answers.written(each).RIGHT.values()]
    for cells, noted in [*cases, ({"projected-steps": source}, True)]:
        notes = reading.answers(answers.solved(each, cells, rest=False), each).notes
        assert noted == any("not to be used" in note for note in notes)


@pytest.mark.parametrize(
    "cell",
    [
        "x = 1" + "+1" * 3000,
        "x = a" + ".b" * 3000,
        "if 0: pass\n" + "elif 0: pass\n" * 700,
        "!true\n" * 501,
        "%x\n" * 400 + "a = 1\n" * 3000,
        "%time\n" * 490,
        "\n" * 50_000,
        "x = !ls\n" * 400,
        "/f\n" * 499,
    ],
    ids=range(9),
)
def test_no_cell_stops_the_grading_of_others_or_takes_for_ever(small, tmp_path, cell):
    notebook = answers.solved(small)
    for where, edit in enumerate([notebook.cells[4], notebook.cells[-2]]):
        edit.source = f"{cell}\n{edit.source}"
    notebook.cells.insert(2, new_code_cell(cell))
    began = time.process_time()
    file = files.File(Path("x.ipynb"), 1, lambda: nbformat.writes(notebook).encode())
    file.look([small, *SETS.values()])
    assert time.process_time() - began < 10
    assert file.set == small.name or file.error


def test_reading_leaves_the_notebook_as_it_was(small):
    notebook = answers.solved(small)
    notebook.cells[-1].source += "\n\nBecause."
    before = copy.deepcopy(notebook)
    assert reading.answers(notebook, small).open == {"open-question": "Because."}
    assert notebook == before


def test_a_submission_that_cannot_begin_leaves_no_folder(small, monkeypatch):
    made = []
    monkeypatch.setattr(
        tempfile, "mkdtemp", lambda make=tempfile.mkdtemp: made.append(make()) or made[0]
    )
    monkeypatch.setattr(running, "_zygote", [None, subprocess.Popen(["sleep", "9"]), set()])
    with pytest.raises(running.Lost):
        running.Submission(small)
    running._zygote[1].kill()
    assert made and not os.path.exists(made[0])


def test_a_folder_as_deep_as_may_be_is_removed(small):
    deep = "import os\nfor n in range(3000): os.mkdir('d'); os.chdir('d')"
    with running.Submission(small) as submission:
        submission.run(deep)
    assert not os.path.exists(submission.folder)


def test_cells_are_read_by_several_threads_at_once():
    """In Python 3.11 a collection of garbage within ast.parse lets another thread in."""

    class Ends:
        def __del__(self):
            sum(range(1000))

    def read(number):
        for _ in range(3):
            end = Ends()
            end.itself = end
        return reading.tree(source)

    source, before = Path(running.__file__).read_text(encoding="utf-8"), gc.get_threshold()
    interval = sys.getswitchinterval()
    try:
        gc.set_threshold(50), sys.setswitchinterval(1e-6)
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(read, range(80)))
    finally:
        gc.set_threshold(*before), sys.setswitchinterval(interval)


def test_another_sets_notebook_is_refused(small):
    with pytest.raises(NotASubmission, match="no cell of problem_set_0"):
        grading.mark(small, new_notebook(cells=[new_code_cell("1")]))


# Running.


@pytest.fixture
def submission(small):
    with running.Submission(small, cell=1, whole=3) as submission:
        yield submission


def gone(process, seconds=10):
    """Whether nothing of the process is left, soon."""
    until = time.monotonic() + seconds
    while psutil.pid_exists(process) and time.monotonic() < until:
        time.sleep(0.05)
    return not psutil.pid_exists(process)


def test_a_test_that_hangs_takes_no_other_along(small):
    """The second exercise calls the first one's function, which hangs on one input only."""
    hangs = "def project(x, eps):\n    while len(x) == 7: pass\n    return x.clamp(-eps, eps)"
    result = grading.mark(small, answers.solved(small, {"projection": hangs}), cell=1)
    given = {name: test["marks"] for name, test in result["tests"].items()}
    assert given["norm-test"] == 2 and sum(given.values()) < 5
    assert any(test["message"] == running.TIME for test in result["tests"].values())


def test_endless_loops_in_all_other_exercises_leave_one_its_time():
    loops = max(len(each.exercises) for each in SETS.values()) - 1
    assert loops * running.CELL < running.WHOLE - running.CELL


def test_of_the_teachers_settings_a_submission_knows_only_where_the_data_are(
    small, submission, monkeypatch
):
    monkeypatch.setenv("SECRET_TOKEN", "123")
    monkeypatch.setenv("COURSE_CACHE", "some/cache")
    monkeypatch.setattr(running, "_zygote", [])
    running.start([small])
    with running.Submission(small) as other:
        code = "import os, sys; print(os.environ.get('SECRET_TOKEN'), os.environ['COURSE_CACHE'])"
        assert other.run(code)["output"] == f"None {Path('some/cache').absolute()}\n"
        seen = other.run(
            "print(os.listdir(), sys.argv, [m for m in sys.modules if m.partition('.')"
            "[0] in ('tools', 'tests', 'course_utils')])"
        )["output"]
    running.stop()
    assert seen.startswith("[] ['submission'] ['course_utils'")
    assert "tools" not in seen and "'tests" not in seen and "exercises" not in seen


def test_what_forks_has_one_thread(submission):
    """Others would not be in the copy: what waits for them there waits without end."""
    product = "import torch; x = torch.ones(500, 500); x @ x; torch.linalg.svd(x)"
    asked = "import os, psutil; print(psutil.Process().num_threads(), *map(os.environ.get, ["
    asked += "'OMP_NUM_THREADS', 'VECLIB_MAXIMUM_THREADS']))"
    assert psutil.Process(running._zygote[1].pid).num_threads() == 1
    assert submission.run(f"{product}\n{asked}")["output"] == "1 1 1\n"


def test_output_without_end_is_cut(submission):
    reply = submission.run("for _ in range(3000): print('x' * 1000)")
    assert len(reply["output"]) == LONGEST


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_memory_is_limited(submission):
    assert "MemoryError" in submission.run("x = bytearray(6 << 30)")["error"]
    assert submission.run("print('still here')")["output"] == "still here\n"


def test_a_cell_that_ends_the_process_is_left_out_when_the_others_run_again(submission):
    submission.run("x = 1")
    assert submission.run("import os; x = 2; os._exit(0)")["error"] == running.ENDED
    assert submission.run("while True: pass")["error"] == running.TIME
    assert submission.run("print(x)")["output"] == "1\n"


def test_time_for_all_cells_together_is_limited(submission):
    began = time.process_time()
    replies = [submission.run("while True: pass") for _ in range(30)]
    assert {reply["error"] for reply in replies} == {running.TIME}
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "forged",
    [
        b"x" * 100,
        *map(pack, (["x"], {"error": 3}, {"callback": 0, "value": b""})),
        msgpack.packb({"error": msgpack.ExtType(2, msgpack.packb(["f" * 5000, 16]))}),
    ],
)
def test_what_is_no_reply_is_not_believed(submission, forged):
    submission.run("x = 1")
    code = (
        "import gc\nfor found in gc.get_objects():\n    if type(found).__name__ == 'Session':\n"
        f"        found.pipe.send_bytes({forged!r})"
    )
    assert submission.run(code)["error"] == running.ENDED
    assert submission.run("print(x)")["output"] == "1\n"


ORPHAN = (
    "import os, subprocess\npid = os.fork()\nif pid == 0:\n    os.setsid()\n"
    "    if os.fork(): os._exit(0)\n    open('pid', 'w').write(str(os.getpid()))\n"
    "    import time; time.sleep(600)\nos.waitpid(pid, 0)\n"
    "while not os.path.exists('pid') or not open('pid').read(): pass\nprint(open('pid').read())"
)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans come back on Linux")
def test_what_is_above_a_submission_ends_with_what_is_below(small, monkeypatch):
    monkeypatch.setattr(running, "_zygote", [])
    running.start([small])
    with running.Submission(small) as submission:
        left = int(submission.run(ORPHAN)["output"])
        submission.overseer.kill()
        assert gone(submission.overseer.pid) and not gone(left, 0)
        with pytest.raises(running.Lost):
            submission.processor_time()
    running.stop()
    assert gone(left)
    running.start([small])
    running._zygote[1].kill()
    assert running._zygote[1].wait(10)
    assert sum(test["marks"] for test in mark(small)["tests"].values()) == 5
    running.stop()


@pytest.mark.skipif(ABI < 6, reason="needs Linux 6.12")
@pytest.mark.parametrize("apart", ["", "os.setsid()"])
def test_too_many_processes_are_ended_before_they_take_the_machine(small, apart):
    """A bomb that would end by itself, at 2,048, where the grader did not end it."""
    bomb = f"import os, time\nfor _ in range(11):\n    if not os.fork(): {apart or 'pass'}\n"
    with running.Submission(small) as submission:
        for code in (f"{bomb}time.sleep(60)", "1"):
            assert "more than 256 processes" in submission.run(code)["error"]
        assert gone(submission.overseer.pid)
    with running.Submission(small) as submission:
        assert submission.run("1")["error"] == ""


@pytest.mark.parametrize("deep", [0, 2000])
def test_files_without_end_are_noticed(submission, monkeypatch, deep):
    monkeypatch.setattr(running, "DISK", 40 << 20)
    code = f"import os, time\nfor _ in range({deep}): os.mkdir('d'); os.chdir('d')\n"
    code += "for n in range(5): open(f'{n}', 'wb').write(bytes(10 << 20))\n"
    assert "in files" in submission.run(code + "time.sleep(9)")["error"]


def test_threads_without_end_are_noticed(submission):
    code = "import threading, time\nthreading.stack_size(1 << 16)\n"
    code += "for _ in range(1100): threading.Thread(target=time.sleep, args=(9,)).start()"
    assert "threads" in submission.run(code + "\ntime.sleep(9)")["error"]


def test_pictures_without_end_are_not_kept(submission, monkeypatch):
    monkeypatch.setattr(running, "PICTURES", 50_000)
    submission.pictures = 50_000
    show = "from IPython.display import Image, display\nimport base64, os\n"
    show += "for _ in range(5): display(Image(b'\\x89PNG' + os.urandom(6000)))"
    kept = [figure for _ in range(6) for figure in submission.run(show)["figures"]]
    assert 5 <= len(kept) < 8 and sum(map(len, kept)) <= 50_000


def test_a_fork_waits_until_there_are_processes_again():
    """As under RLIMIT_NPROC, beside a submission that has them all; there `student` is imported as
    the zygote does it, and os.fork fails twice."""
    code = "import os, sys; sys.path.insert(0, sys.argv[1]); import student\n"
    code += "fork, tries = os.fork, [BlockingIOError, BlockingIOError, None]\n"
    code += "def few():\n    if error := tries.pop(0): raise error\n    return fork()\n"
    code += "os.fork, student.recv_handle = few, lambda pipe: os.open('/dev/null', 0)\n"
    code += "session = student.Session.__new__(student.Session); session.pipe = open('/dev/null')\n"
    code += "print(session.fork() > 0 if os.getpid() == int(os.environ['PID']) else '')"
    code = code.replace("int(os.environ['PID'])", "us").replace(
        "import student\n", "import student\nus = os.getpid()\n", 1
    )
    folder = Path(running.__file__).parent
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert "True" in done.stdout and not done.stderr


@pytest.mark.skipif(ABI < 6, reason="needs Linux 6.12")
def test_an_overseer_ends_all_below_it_at_one_stroke(submission):
    left = int(submission.run(ORPHAN)["output"])
    submission.overseer.terminate()
    assert gone(submission.overseer.pid) and gone(left) and submission.run("1")["error"]


@pytest.mark.skipif(ABI < 6, reason="needs Linux 6.12")
@pytest.mark.parametrize("above", ["", ".parent()", ".parent().parent()"])
def test_nothing_above_a_submission_can_be_killed(submission, above):
    code = f"import os, psutil; psutil.Process(os.getppid()){above}.send_signal(0)"
    assert "AccessDenied" in submission.run(code)["error"]
    assert "PermissionError" in submission.run("os.kill(os.getppid(), 9)")["error"]


PLACE = SOURCE / "problem_set_1" / "problem_set_1.py"
FORBIDDEN = [
    f"print(os.popen('cat {PLACE}').read() or 'denied')",
    f"print(os.read(os.open('assignments/source/problem_set_1/problem_set_1.py', 0, dir_fd="
    f"os.open('{ASSIGNMENTS.parent}', 0)), 10**5))",
    f"os.link('{PLACE}', 'x'); print(open('x').read())",
    f"print(bytes(torch.from_file('{PLACE}', size=20000, dtype=torch.uint8).tolist()))",
    f"assert (f := ctypes.CDLL(None).open(b'{PLACE}', 0)) > 0, 'denied'; print(os.read(f, 10**5))",
    f"print(open('{ASSIGNMENTS.parents[1] / 'course_utils' / 'exercises' / 'lecture1.py'}').read())",
    f"print(open('/proc/{os.getpid()}/environ').read())",
    f"open('{tempfile.gettempdir()}/left behind', 'w')",
    f"os.mkdir('{tempfile.gettempdir()}/left too')",
]
FORBIDDEN += [
    "import socket; socket.create_connection(('127.0.0.1', 9))",
    "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (9, 9))",
    "os.listdir('/dev/pts')",
    "open('/etc/shadow')",
    "assert ctypes.CDLL(None, use_errno=True).unshare(0x10000000) == 0, os.strerror(ctypes.get_errno())",
    "import fcntl; open('x', 'w'); fcntl.fcntl(os.open('x', 0), fcntl.F_SETLEASE, fcntl.F_WRLCK)",
]
# io_uring_setup, shmget, add_key, keyctl, memfd_create, by their numbers.
FORBIDDEN += [
    f"assert ctypes.CDLL(None, use_errno=True).syscall({call}, 0, 0, 0) < 0; print(os.strerror(ctypes.get_errno()))"
    for call in ((425, 29, 248, 250, 319) if platform.machine() == "x86_64" else ())
]


@pytest.mark.skipif(ABI < 1, reason="needs Linux 5.13 with Landlock")
def test_no_files_mode_or_times_are_changed(submission, tmp_path):
    file = tmp_path / "theirs"
    file.write_text("x")
    file.chmod(0o4755)
    before = file.stat()
    for call in (
        "chmod({0!r}, 0)",
        "chmod({0!r}, 0, follow_symlinks=True)",
        "utime({0!r}, (1, 1))",
    ):
        assert submission.run(f"import os; os.{call.format(str(file))}")["error"] == ""
    assert (file.stat().st_mode, file.stat().st_mtime) == (before.st_mode, before.st_mtime)
    for call in (
        "chown({0!r}, -1, -1)",
        "lchown({0!r}, 0, 0)",
        "setxattr({0!r}, 'user.left', b'x')",
        "setxattr({0!r}, 'system.posix_acl_access', bytes(44))",
    ):
        assert submission.run(f"import os; os.{call.format(str(file))}")["error"] == ""
    assert (file.stat().st_mode, os.listxattr(file)) == (before.st_mode, [])
    turns = "print(os.nice(5) < 0, os.sched_setaffinity(0, {0}), len(os.sched_getaffinity(0)))"
    told = submission.run(f"import os; {turns}")
    assert told["output"] == f"False None {len(os.sched_getaffinity(0))}\n"
    assert psutil.Process(os.getpid()).nice() == psutil.Process(running._zygote[1].pid).nice()
    copied = (
        "import shutil; open('a', 'w').write('1'); shutil.copy2('a', 'b'); print(open('b').read())"
    )
    assert submission.run(copied)["output"] == "1\n"


@pytest.mark.skipif(ABI < 1, reason="needs Linux 5.13 with Landlock")
@pytest.mark.parametrize("line", FORBIDDEN, ids=range(len(FORBIDDEN)))
def test_nothing_is_read_but_what_is_needed_nor_written_elsewhere(submission, line):
    reply = submission.run(f"import ctypes, os, torch; {line}")
    assert "SOLUTION" not in reply["output"] and "PATH=" not in reply["output"]
    assert re.search("(?i)denied|not permitted|cross-device", reply["output"] + reply["error"])


def test_what_students_do_with_files_and_processes_is_allowed(submission):
    code = "import multiprocessing, os, subprocess, tempfile, wave\nfrom pathlib import Path\n"
    code += (
        "with multiprocessing.Pool(1) as pool: print(pool.map(abs, [-1]), multiprocessing.Lock())\n"
    )
    code += "tempfile.NamedTemporaryFile(); subprocess.run('ls', stdout=subprocess.DEVNULL)\n"
    code += "%cd ~\nimport resource; resource.prlimit(0, resource.RLIMIT_NOFILE)\n"
    code += "Path('~/a').expanduser().write_text('1'); os.rename('a', 'b'); print(os.listdir())"
    reply = submission.run(code)
    assert (
        reply["error"] == "" and reply["output"].startswith("[1] ") and "['b']" in reply["output"]
    )


@pytest.mark.skipif(sys.platform != "linux", reason="orphans come back on Linux")
def test_the_time_of_orphans_counts(submission):
    work = "import os, time\nr, w = os.pipe()\nif not os.fork():\n    if not os.fork():\n"
    work += "        while time.process_time() < 0.5: pass\n"
    work += "        os.write(w, str(os.getpid()).encode())\n"
    work += "    os._exit(0)\nos.wait(); print(int(os.read(r, 99)))"
    before = submission.processor_time()
    assert gone(int(submission.run(work)["output"]))
    assert submission.processor_time() - before > 0.5


def test_a_cell_that_ignores_the_signal_gets_no_more_time(small):
    ignored = "import signal, time\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nx = 1\n"
    ignored += "while time.process_time() < 5: pass"
    with running.Submission(small, cell=1) as submission:
        assert submission.run(ignored)["error"] == running.TIME
        assert "NameError" in submission.run("x")["error"]


def mark(small, others=None, **limits):
    return grading.mark(small, answers.solved(small, others), **limits)


def test_no_signal_handler_gives_a_test_more_time(small):
    slow = "import signal, time\nsignal.signal(signal.SIGXCPU, lambda *_: 0)\n"
    slow += "def norm(x):\n    t = time.process_time()\n"
    slow += "    while time.process_time() < t + 4: pass\n    return x.norm(dim=1)"
    tests = mark(small, {"norm": slow}, cell=1)["tests"]
    assert tests["norm-test"]["message"] == running.TIME


def test_an_answer_that_raises_a_name_error_gets_one_more_try_and_no_third(small):
    """It keeps count in a file."""
    again = (
        "def norm(x):\n    with open('n', 'a+') as f:\n        f.write('x')\n        f.seek(0)\n"
    )
    again += "        if len(f.read()) < 3: raise NameError\n    return x.norm(dim=1)"
    assert "NameError" in mark(small, {"norm": again})["tests"]["norm-test"]["message"]


def test_a_forged_reply_is_of_no_more_than_the_usual_size(submission):
    reply = {"error": "", "output": "", "figures": ["x" * (1 << 20)] + ["y"] * 9}
    forged = pack(reply | {"looked": ["z" * 1000 + str(n) for n in range(99)]})
    code = (
        "import gc\nfor found in gc.get_objects():\n    if type(found).__name__ == 'Session':\n"
        f"        found.pipe.send_bytes({forged!r})"
    )
    assert submission.run(code)["figures"] == ["y"] * 4 and submission.looked == {"z" * 200}


@pytest.mark.skipif(sys.platform != "linux", reason="orphans come back to the overseer on Linux")
def test_what_a_submission_leaves_behind_is_ended(small):
    with running.Submission(small) as submission:
        left = int(submission.run(ORPHAN)["output"])
        assert psutil.pid_exists(left)
    assert gone(left) and gone(submission.overseer.pid)


@pytest.mark.parametrize(
    "line",
    [
        "%pip install requests",
        "!pip --version",
        "import subprocess, sys; print(subprocess.run("
        "[sys.executable, '-m', 'pip', '--version'], capture_output=True, text=True))",
    ],
)
def test_no_pip_starts(submission, line):
    reply = submission.run(line)
    assert "site-packages" not in reply["output"] and reply["error"] == ""


@pytest.mark.parametrize(
    "line",
    [
        "from course_utils.exercises import solution",
        "from course_utils import gan",
        "from course_utils.transfer import wilson_interval",
        "import course_utils.lipschitz",
        "import tools.classroom",
        "import tests.assignments",
        f"open({str(SOURCE / 'problem_set_1' / 'problem_set_1.py')!r})",
        f"!cat {ASSIGNMENTS}/problem_set_1.ipynb",
    ],
)
def test_what_a_set_asks_for_is_not_there(submission, line):
    assert "is not in this problem set" in submission.run(line)["error"]
    assert submission.looked


def test_an_answer_runs_as_it_does_for_the_student(small):
    """Each of these ran in the student's notebook, so it gets its marks here, and no remark."""
    norm, projection = (small.references[name] for name in ("norm", "projection"))
    indented = "\n".join(f"    {line}" for line in projection.splitlines())
    double = "import numpy as np, torch, warnings\ntorch.set_default_dtype(torch.float64)\n"
    double += "np.seterr(divide='raise'); warnings.simplefilter('error', RuntimeWarning)"
    strict = "def norm(x):\n    assert torch.zeros(1).dtype == torch.float64\n    try:\n"
    strict += (
        "        np.float64(1) / np.float64(0)\n    except FloatingPointError:\n        try:\n"
    )
    strict += "            np.exp(np.float64(1e9))\n        except RuntimeWarning:\n"
    strict += "            return x.norm(dim=1)"
    file = "import os\nos.makedirs('notebooks/assignments')\nos.nice(5)\n"
    file += "open('notebooks/assignments/n', 'w').write('1')"
    read = f"open('notebooks/assignments/n').read()\n{norm}"
    for others, cell in [
        ({"projection": indented}, ""),
        ({"projection": f" # a comment\n{projection}"}, "%%html\n<b>x</b>"),
        ({"norm": strict}, double),
        ({"norm": read}, file),
        ({"norm": f"%%time\n{norm}"}, ""),
    ]:
        notebook = answers.solved(small, others)
        notebook.cells.insert(0, new_code_cell(cell))
        result = grading.mark(small, notebook)
        assert {test["message"] for test in result["tests"].values()} == {""}
        assert not [note for note in result["notes"] if "open-question" not in note]


def test_half_a_function_is_joined_to_its_other_half(small):
    norm = small.references["norm"]
    half = norm.index("\n", norm.index("def ")) + 1
    notebook = answers.solved(small)
    where = at(notebook.cells, "norm")
    notebook.cells[where].source = norm[:half]
    notebook.cells.insert(where + 1, new_code_cell(norm[half:]))
    assert sum(test["marks"] for test in grading.mark(small, notebook)["tests"].values()) == 5


def test_what_calls_back_may_have_threads(small):
    threads = "from concurrent.futures import ThreadPoolExecutor\n"
    threads += "def largest_c(reaches, *_):\n    asked = [float(n) for n in range(300)]\n"
    threads += "    told = ThreadPoolExecutor(8).map(reaches, asked)\n"
    threads += "    return sum(one != 2 * n for one, n in zip(told, asked))"
    code = "def counted():\n    kept = []\n    def reaches(c):\n        kept.append(c)\n"
    code += "        return 2 * c\n    return reaches\n"
    with running.Submission(SETS["problem_set_1"]) as submission:
        assert not submission.run(threads)["error"]
        names = {"__name__": "tests"}
        asked = f"{code}assert largest_c(counted(), 1.0, 2.0, 1.1) == 0"
        assert submission.test(asked, names, submission.copy()) == ""


def test_slow_cells_take_no_time_from_the_tests(small):
    notebook = answers.solved(small)
    notebook.cells += [new_code_cell("while True: pass") for _ in range(4)]
    result = grading.mark(small, notebook, cell=1, whole=4)
    assert sum(test["marks"] for test in result["tests"].values()) == 5


def test_an_error_of_ones_own_cell_is_named_where_an_answer_fails_by_it(small):
    notebook = answers.solved(small, {"norm": "def norm(x):\n    return x[ready]"})
    notebook.cells.insert(0, new_code_cell("open('/nowhere/x')\nready = 1"))
    message = grading.mark(small, notebook)["tests"]["norm-test"]["message"]
    assert "NameError" in message and "your own stopped before: FileNotFoundError" in message


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_the_grader_limits_its_own_memory():
    code = "import torch; from tools.classroom import grading; grading.limit_memory(1 << 30)\n"
    code += "torch.ones(200 << 20, dtype=torch.uint8)\n"
    code += "try: torch.ones(8, 1, 1, 300 << 20, dtype=torch.uint8)\n"
    code += "except RuntimeError as error: print('refused')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "refused\n"


def test_a_network_left_thawed_ends_no_process(small):
    """The student's reply has more gradients then than the grader has tensors for."""
    each = SETS["problem_set_4"]
    exercise = each.functions["adversarial_loss"]
    thaws = each.references[exercise].replace("def adversarial_loss(", "def kept(", 1)
    thaws += "\n\ndef adversarial_loss(model, *others):\n    model.requires_grad_(True)\n"
    tests = mark(each, {exercise: f"{thaws}    return kept(model, *others)"})["tests"]
    message = tests[each.exercises[exercise][-1]]["message"]
    assert message and running.ENDED not in message


# Feedback and tables.


def page(small, show_hidden, cells=None):
    result = grading.mark(small, answers.solved(small, cells or {"norm": NORM_OF_ONE}))
    result |= {"student": "<script>alert(1)</script>", "set": small.name}
    return result, feedback.page(result, small, {}, show_hidden=show_hidden)


NORM_OF_ONE = "def norm(x):\n    return torch.tensor([5.0])"
SPY = """
seen = []
def norm(x):
    import sys
    seen.append(x.tolist())
    open('seen', 'a').write(str(x.tolist()))
    frame = sys._getframe()
    while frame:
        print({name: str(value) for name, value in frame.f_locals.items()})
        frame = frame.f_back
    return x.norm(dim=1)
"""


def test_feedback_shows_hidden_tests_only_if_asked(small):
    result, text = page(small, False)
    assert result["tests"]["norm-test"]["part"] == "hidden"
    assert feedback.HIDDEN in text and "hard-coded?" not in text and "4.25" not in text
    _, text = page(small, True)
    assert "4.25" in text and "hard-coded?" in text


def test_what_hidden_tests_ask_never_reaches_the_page(small):
    notebook = answers.solved(small, {"norm": SPY})
    notebook.cells.append(new_code_cell("print(seen, open('seen').read() if seen else '')"))
    result = grading.mark(small, notebook) | {"student": "anna", "set": small.name}
    assert result["tests"]["norm-test"]["marks"] == 2
    text = feedback.page(result, small, {}, show_hidden=False)
    assert result["cells"][-1]["output"] == "[] \n" and "4.25" not in text


TELLS = """
def project(x, eps):
    asked = f"asked_{len(x)}_{x.shape[1]}"
    open("seen", "a").write(asked)
    try:
        __import__(f"course_utils.{asked}")
    except ImportError:
        return x.clamp(-eps, eps)
def norm(x):
    raise ValueError(open("seen").read())
"""


def test_no_message_or_note_tells_of_hidden_tests_that_ran_before(small):
    notebook = answers.solved(small, {"projection": TELLS, "norm": ""})
    result = grading.mark(small, notebook) | {"student": "anna", "set": small.name}
    assert result["tests"]["projection-test"]["marks"] == 2  # and so its hidden part ran: 7 x 5
    assert "ValueError: asked_2_2" in result["tests"]["norm-test"]["message"]
    assert any("Asked for course_utils.asked_2_2" in note for note in result["notes"])
    text = feedback.page(result, small, {}, show_hidden=False)
    assert "asked_2_2" in text and "asked_7_5" not in text


@pytest.mark.parametrize(
    "lines",
    [
        "import course_utils.data as d\nd.load_mnist",
        "from course_utils import data\ndata.load_mnist",
        "import course_utils.data\ncourse_utils.data.load_mnist",
    ],
)
def test_what_a_set_gives_can_be_imported_in_any_way(small, lines):
    with running.Submission(SETS["problem_set_1"]) as submission:
        assert submission.run(lines)["error"] == "" and not submission.looked


def test_words_that_an_exercise_rules_out_are_noted(small):
    by_torch = "def gradient(r, *rest):\n    return torch.func.grad(lambda r: (r**2).sum())(r)"
    timed = f"%%time\n{SETS['problem_set_1'].references['gradient']}"
    below = f"{timed}\nprint(numerical_gradient(lambda r: objective(r), torch.ones(1, 2)))"
    named = "def timed(func):\n    'No autograd here.'\n    return func\n\n'by hand, no autograd'"
    used = SETS["problem_set_1"].references["gradient"].replace("def ", "@timed\ndef ", 1)
    imported = f"from torch.func import grad\n{by_torch.replace('torch.func.', '')}"
    ours = SETS["problem_set_1"].references["gradient"]
    call = "def gradient(r, *rest):\n    return slope(r)"
    above = "from torch import func\n\ndef slope(r):\n    return func.grad(torch.norm)(r)"
    tried = [(by_torch, "", True), (imported, "", True), (ours, "", False), (call, above, True)]
    kept = f"%%writefile h.py\n{above}"
    for hidden in (f"if True:\n    {above.replace(chr(10), chr(10) + '    ')}", kept):
        tried.append((call, hidden, True))
    tried += [(timed, "", False), (below, "", False), (used, named, False)]
    for source, helper, noted in [*tried, (ours, above, False)]:  # an aid, to compare with
        notebook = answers.solved(SETS["problem_set_1"], {"gradient": source})
        notebook.cells.insert(at(notebook.cells, "gradient"), new_code_cell(helper))
        notes = reading.answers(notebook, SETS["problem_set_1"]).notes
        assert noted == any("func, which was not" in note for note in notes)
        assert noted or not any("which was not" in note for note in notes)


def test_feedback_is_a_page_without_scripts_of_the_students(small):
    result, _ = page(small, False)
    result["open"]["open-question"]["answer"] = (
        "<script>alert(2)</script><b onclick='x()'>no</b> $\\text{<script>alert(3)</script>}$\n\n"
        "# Head\n\n| a | b |\n|-|-|\n| 1 | 2 |"
        "\n\n![](data:image/png;base64,AAAA) [x](javascript:alert(3)) [y](data:text/html,3)"
    )
    result["student"] = "evil"
    text = feedback.page(result, small, {}, show_hidden=False)
    soup = BeautifulSoup(text, "html.parser")
    assert (
        not soup.find_all(["script", "link", "iframe", "math"]) and "import" not in soup.style.text
    )
    assert not soup.find_all(onclick=True) and soup.find("h1", id="Head")
    assert len(soup.find_all("table")) == 2 and soup.find("img")["src"].startswith("data:image/png")
    assert not [a for a in soup.find_all("a", href=True) if a["href"][0] not in "#h"]
    assert "&lt;h" not in text and "&lt;p" not in text
    rows = [[cell.text for cell in row.find_all("td")] for row in soup.find("table").find_all("tr")]
    assert rows[1:3] == [["projection", "3 of 3", "Right."], ["norm", "0 of 2", feedback.HIDDEN]]


def test_a_very_long_answer_is_shown_as_it_is():
    picture = f"![a](data:image/png;base64,{'A' * 90_000})"
    assert "<img" in feedback.rendered(picture)
    began = time.process_time()
    assert feedback.rendered("<b>" + "\\\\[" * 30_000).startswith("<pre>&lt;b&gt;\\")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("name", NAMES)
def test_formulas_of_the_set_are_drawn_without_a_script(name):
    result = grading.nothing(SETS[name], grading.NOTHING) | {"student": "anna", "set": name}
    soup = BeautifulSoup(feedback.page(result, SETS[name], {}, show_hidden=False), "html.parser")
    for part in soup.find_all(["pre", "code"]):
        part.decompose()
    text = "\n".join(cell.source for cell in SETS[name].of("text").values())
    assert bool(soup.find("math")) == ("$" in text) and "$" not in soup.text
    assert not soup.find_all(["script", "link"]) and not soup.find_all(src=True)


def test_dollars_in_code_are_no_formula():
    assert feedback.rendered("`a $b$ c` and $b$", ours=True).count("<math") == 1


def test_feedback_shows_figures_and_tells_a_crash_from_a_wrong_number(small):
    figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
    _, text = page(
        small,
        False,
        {
            "projection": figure + "def project(x, eps):\n    return x / 0 /",
            "norm": figure + "def norm(x):\n    return [][0]",
        },
    )
    assert text.count('src="data:image/png;base64,iVBOR') == 1
    assert "There is no project: its cell stopped with SyntaxError" in text
    assert "IndexError: list index out of range (your line: return [][0])" in text


def test_a_summary_begins_with_the_cause_and_ends_with_a_word(small):
    cells = {
        "projection": "def project(x, eps):\n    return x",
        "norm": "def norm(x)\n    return x",
    }
    result, text = page(small, False, cells)
    result["open"]["open-question"]["answer"] = "Because."
    long = f"f(1): {'expected ' * 40}. Likely cause: {'this is it ' * 30}"
    result["tests"]["projection-test"]["message"] = long
    result["notes"] = ["Word for word the course's own.", "Asked for os.", "Handed in as x."]
    soup = BeautifulSoup(feedback.page(result, small, {}, show_hidden=False), "html.parser")
    rows = [row.find_all("td")[-1].text for row in soup.find("table").find_all("tr")[1:]]
    assert re.fullmatch(r"Likely cause: (this is it )+(this|this is|this is it)\.\.\.", rows[0])
    assert rows[1].endswith("(line 1: def norm(x))") and len(rows[0]) <= 180
    assert "of 9 points so far: open-question not marked yet" in soup.h1.text
    assert "Handed in as x." in soup.text  # and what is for the teacher alone is not there
    assert "Word for word" not in soup.text and "Asked for" not in soup.text


def test_marks_that_the_teacher_set_stand_on_the_page(folder):
    to = grading.grade(folder, source=SMALL, cell=1)
    table = pd.read_csv(to / "grades.csv")
    table.loc[table["student"] == "anna", "override"] = 7.5
    table.to_csv(to / "grades.csv", index=False)
    grading.grade(folder, source=SMALL, cell=1)
    title = (to / "feedback" / "anna" / "problem_set_0.html").read_text("utf-8")
    assert "anna: 7.5 of 9 points, as your teacher set them, in place of the 5 below" in title
    assert "teacher set" not in (to / "feedback" / "dora" / "problem_set_0.html").read_text("utf-8")


def test_what_the_grader_suspects_is_for_the_teacher_alone(small):
    notebook = answers.solved(SETS["problem_set_1"])
    notebook.cells.insert(0, new_code_cell("print.__globals__"))
    notes = reading.answers(notebook, SETS["problem_set_1"]).notes + [grading.LOOKED.format("x")]
    assert len(notes) == 3 and all(note.startswith(feedback.TEACHERS) for note in notes)


def test_names_are_no_formulas():
    assert tables.plain("=1+1") == "'=1+1" and tables.plain("Zoë") == "Zoë"
    assert tables.plain("a\udcff") == "a\\udcff"


@pytest.mark.parametrize("marks", ["-1", "many", "nan"])
def test_marks_by_hand_that_cannot_be_are_refused(tmp_path, marks):
    row = dict.fromkeys(tables.BY_HAND, "x") | {"marks": marks, "out_of": "4"}
    pd.DataFrame([row]).to_csv(tmp_path / "by-hand.csv", index=False)
    with pytest.raises(ValueError, match="line 2: marks: got"):
        tables.read_by_hand(tmp_path / "by-hand.csv")


def test_more_marks_than_the_question_has_are_refused_whatever_the_table_says():
    result = {"student": "a", "set": "s", "open": {"q": {"answer": "x", "points": 4}}}
    by_hand = {tables.key(result, "q"): {"marks": 5.0, "comment": "", "out_of": "9"}}
    with pytest.raises(ValueError, match="q: marks: got 5, expected a number from 0 to 4"):
        tables.marks_by_hand(result, by_hand)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_are_read_as_spreadsheets_save_them(tmp_path, encoding, delimiter):
    row = dict.fromkeys(tables.BY_HAND, "x") | {"student": "Zoë", "marks": "3", "row": "a1"}
    table = pd.DataFrame([row])
    table.to_csv(tmp_path / "by-hand.csv", index=False, sep=delimiter, encoding=encoding)
    found = tables.read_by_hand(tmp_path / "by-hand.csv")
    assert found["a1"]["student"] == "Zoë" and found["a1"]["marks"] == 3


def test_rows_of_two_tables_that_were_joined(tmp_path):
    rows = [dict.fromkeys(tables.BY_HAND, "x") | {"row": "a1"} for _ in range(3)]
    for row, marks in zip(rows, ("", "3", ""), strict=True):
        row["marks"], row["comment"] = marks, ""
    path = tmp_path / "by-hand.csv"
    for first in ("", "sep=,\n"):
        path.write_text(first + pd.DataFrame(rows).to_csv(index=False))
        assert tables.read_by_hand(path)["a1"]["marks"] == 3
    with pytest.raises(
        ValueError, match="x, x, x: marks: got 3, expected a number from 0 to 2, or"
    ):
        tables.read_by_hand(path, {"x": {"x": 2}})
    rows[2]["marks"] = "2"
    path.write_text(pd.DataFrame(rows).to_csv(index=False))
    with pytest.raises(ValueError, match="marks: got 3 and 2, expected one of them"):
        tables.read_by_hand(path)
    path.write_text("")
    with pytest.raises(ValueError, match="by-hand.csv: it is empty"):
        tables.read_by_hand(path)


def test_marks_by_hand_in_the_wrong_table_are_refused(tmp_path):
    tables.write([RESULT], tmp_path)
    path = tmp_path / "grades.csv"
    table = pd.read_csv(path)
    for column, given in (("marks", 19), ("override", 12)):
        pd.concat([table.assign(**{column: given})]).to_csv(path, index=False)
        assert tables.read_overrides(path) == {tables.key(RESULT): given}
    tables.write([RESULT], tmp_path)
    assert "12 is more than 9." in path.read_text("utf-8")
    table.assign(by_hand=2).to_csv(path, index=False)
    with pytest.raises(ValueError, match="Anna B, problem_set_0: by_hand: got 2; fill in marks in"):
        tables.read_overrides(path)


def test_a_table_without_its_columns_is_refused(tmp_path):
    (tmp_path / "by-hand.csv").write_text("name,marks\nanna,3\n")
    with pytest.raises(ValueError, match="no column 'student'"):
        tables.read_by_hand(tmp_path / "by-hand.csv")


def test_marks_set_by_hand_are_kept_and_exported(tmp_path):
    result = {
        "student": "Anna B",
        "set": "problem_set_0",
        "id": "Moodle 77",
        "reason": None,
        "notes": [],
        "tests": {"t": {"marks": 3, "points": 5}},
        "open": {},
    }
    tables.write([result], tmp_path)
    for edit in (
        ("3,5,3,0,,", "4.5,5,3,0,,"),
        ("4.5,5,3,0,4.5,", ",5,3,0,,"),  # in place of ours
        ("3,5,3,0,,", "3,5,3,0,4,"),
        ("4,5,3,0,4,", "4,5,3,0,2,"),
    ):  # in their column
        text = (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")
        assert edit[0] in text
        (tmp_path / "grades.csv").write_text(text.replace(*edit), encoding="utf-8")
        tables.write([result], tmp_path)
    assert "2,5,3,0,2," in (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")
    tables.write([result | {"failed": "NOT GRADED"}], tmp_path)
    assert "2,5,,,2,NOT GRADED," in (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")
    tables.write([result], tmp_path)
    assert [float(row["Grade"]) for row in exported(tmp_path, "moodle")] == [2]


RESULT = {
    "student": "Anna B",
    "set": "problem_set_0",
    "reason": None,
    "notes": [],
    "tests": {"t": {"marks": 3, "points": 5}},
    "open": {"q": {"answer": "Because.", "points": 4}},
}


def exported(to, platform):
    with open(to / f"{platform}-problem_set_0.csv", encoding="utf-8-sig", newline="") as file:
        return [*csv.DictReader(file)]


def test_a_grade_is_exported_when_it_is_final(tmp_path):
    nothing = {"answer": None, "points": 4}
    results = [
        RESULT | {"id": "Moodle 7"},  # which waits for marks
        RESULT | {"id": "Moodle 8", "student": "bob", "open": {"q": nothing}},
        RESULT | {"id": "Moodle 9", "student": "carl", "open": {}, "reason": grading.NOTHING},
        RESULT | {"id": "Moodle 10", "student": "dora", "open": {}, "failed": "NOT GRADED"},
    ]
    tables.write(results, tmp_path)
    assert [row["Full name"] for row in exported(tmp_path, "moodle")] == ["bob"]
    tables.write([RESULT | {"id": "Canvas 3", "open": {}}], tmp_path)
    assert (tmp_path / "canvas-problem_set_0.csv").exists()
    tables.write([*results, RESULT | {"reason": grading.NOTHING}], tmp_path)  # in no platform
    assert not (tmp_path / "canvas-problem_set_0.csv").exists()
    tables.write(results, tmp_path)
    assert len(pd.read_csv(tmp_path / "grades.csv")) == 4
    for name, column, given in (("by-hand", "marks", 3.5), ("grades", "override", 1)):
        table = pd.read_csv(tmp_path / f"{name}.csv")
        table.loc[table["student"].isin(["Anna B", "carl"]), column] = given
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        tables.write(results, tmp_path)
        whose = {row["Full name"]: row["Grade"] for row in exported(tmp_path, "moodle")}
        assert whose == {"Anna B": "6.5", "bob": "3"} | ({"carl": "1"} if given == 1 else {}) | (
            {"Anna B": "1"} if given == 1 else {}
        )


def test_moodle_and_canvas_import_the_tables(tmp_path):
    """By the rules of Moodle's importgradeslib.php and locallib.php (the columns, `Participant ` cut
    off, strtotime) and of Canvas's gradebook_importer.rb (header?, process_student)."""
    final = RESULT | {"open": {}}
    tables.write([final | {"id": "Moodle 77"}, final | {"id": "Canvas 12"}], tmp_path)
    (row,) = exported(tmp_path, "moodle")
    assert row["Identifier"][len("Participant ") :] == "77" and float(row["Grade"]) == 3
    assert pd.Timestamp(row["Last modified (grade)"]) > pd.Timestamp.now("UTC") - pd.Timedelta("2m")
    (row,) = exported(tmp_path, "canvas")
    student, number, *info, section, last = row
    assert (student, number, section, last) == ("Student", "ID", "Section", "problem_set_0")
    assert info == ["SIS User ID", "SIS Login ID"] and not any(row[name] for name in info)
    assert (row["ID"], row["problem_set_0"]) == ("12", "3")


@pytest.mark.parametrize("name", ["Zoë", '"&CMD()&"', "=1+1", "a#b c", "50%", "\udcff"])
def test_the_link_to_an_answer_is_one_whatever_the_name(tmp_path, name):
    result = RESULT | {"student": name}
    tables.write([result], tmp_path)
    (row,) = tables.read_by_hand(tmp_path / "by-hand.csv").values()
    path, key = re.fullmatch(r'=HYPERLINK\("([\w./%~-]+)#(\w+)"\)', row["answer"], re.A).groups()
    assert os.fsdecode(unquote_to_bytes(path)) == tables.page(result)
    assert key == row["row"] == tables.key(result, "q")


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
    to = grading.grade(folder, source=SMALL, cell=1)
    rows = grades(to)
    assert {who: row["tests"] for who, row in rows.items()} == {
        "anna": "5",
        "bob": "0",
        "carl": "0",
        "dora": "5",
        "'=Zoë O'Hara; $(rm) <b>": "5",
        "emil": "0",
        "frieda": "0",
        "gustav": "3",
    }
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
    grading.grade(folder, source=SMALL, cell=1)
    rows = grades(to)
    assert len(ran) == 1 and rows["bob"]["marks"] == "5" and other.exists()
    assert (rows["anna"]["marks"], rows["anna"]["by_hand"]) == ("8.5", "3.5")
    assert "Well said" in (to / "feedback" / "anna" / "problem_set_0.html").read_text()

    # A changed answer waits again, and the old marks stay.
    changed = nbformat.read(folder / "anna" / "problem_set_0.ipynb", as_version=4)
    changed.cells[-1].source = "Another answer."
    hand_in(folder, "anna", changed)
    grading.grade(folder, source=SMALL, cell=1)
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
        grading.grade(folder, source=SMALL, cell=1)
    to = folder.with_name("submissions-graded")
    rows = grades(to)
    assert rows["anna"]["marks"] == "" and "NOT GRADED" in rows["anna"]["remark"]
    assert rows["dora"]["tests"] == "5" and len(rows) == 8
    assert not (to / "results" / "anna").exists()
    assert grading.main(str(folder)) == 2  # of SOURCE's sets there is none in the folder


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
    to = grading.grade(folder, source=SMALL, cell=60, whole=2)  # another limit: all anew
    assert len(grades(to)) == 8 and grades(to)["gustav"]["tests"] == "3"


@pytest.mark.parametrize(
    "place", ["annab/work/{}", "annab.zip/work/{}", "annab_77_assignsubmission_file_{}"]
)
def test_a_module_beside_the_notebook_is_there_for_its_cells(small, tmp_path, place):
    source = "import helpers\ndef norm(x):\n    return helpers.length(x)"
    notebook = nbformat.writes(answers.solved(small, {"norm": source})).encode()
    folder = tmp_path / "folder"
    lay(folder, "bob/ps0.ipynb", notebook)  # whose helpers are nobody else's
    for body, marks in (("x.norm(dim=1)", "5"), ("x.sum(dim=1)", "3")):  # a change is marked anew
        shutil.rmtree(folder / "annab", ignore_errors=True)
        (folder / "annab.zip").unlink(missing_ok=True)
        lay(folder, place.format("problem_set_0.ipynb"), notebook)
        lay(folder, place.format("helpers.py"), f"def length(x):\n    return {body}".encode())
        rows = grades(grading.grade(folder, source=SMALL))
        assert rows["annab"]["tests"] == marks and rows["bob"]["tests"] == "3"
        assert "Handed in with helpers.py." in rows["annab"]["remark"]


def test_nbgraders_own_layout(small, tmp_path):
    place = "anna/problem_set_0/problem_set_0.ipynb"
    hand_in(
        tmp_path / "course" / "submitted",
        place.split("/")[0],
        answers.solved(small),
        place.partition("/")[2],
    )
    assert grades(grading.grade(tmp_path / "course", source=SMALL))["anna"]["tests"] == "5"


@pytest.mark.parametrize("kind_of", ["absent", "empty", "without"])
def test_folder_without_submissions_is_refused(tmp_path, kind_of, capsys):
    folder = tmp_path / "folder"
    if kind_of != "absent":
        folder.mkdir()
    if kind_of == "without":
        (folder / "anna").mkdir()
    assert grading.main(str(folder)) == 2
    assert "folder:" in capsys.readouterr().err and not (tmp_path / "folder-graded").exists()


def test_nbgrader_itself_gives_the_same_marks(nbgrader, small, tmp_path):
    """For those who mark with nbgrader on a JupyterHub: reference, release and a wrong answer."""
    course = tmp_path / "course"
    shutil.copytree(SMALL, course / "source")
    shutil.copy(ASSIGNMENTS / "nbgrader_config.py", course)
    tried = {
        "full": answers.solved(small),
        "none": answers.handed_out(small),
        "norm": answers.solved(small, {"norm": NORM_OF_ONE}),
    }
    for who, notebook in tried.items():
        hand_in(course / "submitted", who, notebook, "problem_set_0/problem_set_0.ipynb")
    commands = [
        ["generate_assignment", "problem_set_0"],
        ["autograde", "problem_set_0"],
        ["export", "--to=grades.csv"],
    ]
    path = f"{nbgrader.parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader starts alembic
    for command in commands:
        done = subprocess.run(
            [nbgrader, "-m", "nbgrader", *command],
            cwd=course,
            capture_output=True,
            text=True,
            env=os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path / "none"), "PATH": path},
        )
        assert done.returncode == 0, done.stderr
    (made,) = (path for path in (course / "release").rglob("*.*"))
    theirs = nbformat.read(made, as_version=4).cells
    ours = problem_sets.handed_out(
        problem_sets.from_cells(
            "problem_set_0", [cell for cell in small.cells if kind(cell) != "hint"]
        )
    ).cells
    theirs = [cell for cell in theirs if "hint" not in cell.metadata.get("tags", [])]
    assert [cell.source.strip() for cell in theirs] == [cell.source.strip() for cell in ours]
    with open(course / "grades.csv", newline="") as file:
        given = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    ours = {
        who: sum(test["marks"] for test in grading.mark(small, notebook)["tests"].values())
        for who, notebook in tried.items()
    }
    assert given == ours == {"full": 5, "none": 0, "norm": 3}


def test_the_container_has_what_grading_needs(tmp_path):
    """The Dockerfile's steps but for the installation, in a copy of what it copies."""
    text = (lectures.ROOT / "Dockerfile").read_text(encoding="utf-8")
    course = tmp_path / "course"
    for line in re.findall(r"^COPY (.*)$", text, flags=re.M):
        *sources, to = line.split()
        for path in (lectures.ROOT / source for source in sources):
            if path.is_dir():
                shutil.copytree(path, course / to, ignore=IGNORED)
            else:
                (course / to).mkdir(exist_ok=True)
                shutil.copy(path, course / to)
    assert (course / re.search(r"-c (\S+\.txt)", text)[1]).exists()
    assert 'ENTRYPOINT ["python", "-m", "tools", "grade"]' in text
    hand_in(tmp_path / "in" / "set", "anna", answers.solved(SETS["problem_set_4"]), "ps4.ipynb")
    code = "import sys; from tools.classroom.grading import main; sys.exit(main(*sys.argv[1:]))"
    kept = {"PATH", "COURSE_CACHE", "COURSE_DATA", "LANG", "OMP_NUM_THREADS"} & set(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "in" / "set")],
        cwd=course,
        text=True,
        capture_output=True,
        env={n: os.environ[n] for n in kept} | {"PYTHONPATH": str(course)},
    )
    assert done.returncode == 0, done.stderr
    assert grades(tmp_path / "in" / "set-graded")["anna"]["tests"] == "34"


def test_sources_lie_where_they_are_looked_for():
    assert SOURCE.parent == ASSIGNMENTS and NAMES

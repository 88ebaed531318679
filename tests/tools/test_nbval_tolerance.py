"""notebooks/conftest.py lets decimals drift a little, and nothing else."""

import base64
import copy
import io
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import alterations
import matplotlib
import nbformat
import pytest
from alterations import comparison
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_utils import claims
from course_utils.intervals import Interval
from tools.environment import ROOT
from tools.lectures import execute, numbered, write

CONFTEST = ROOT / "notebooks" / "conftest.py"


@pytest.mark.parametrize(
    ("stored", "rerun", "tag"),
    [
        ("error 1.6400 %", "error 1.6410 %", ""),  # under a thousandth
        ("-0.12345", "-0.12355", ""),
        ("1.0000e-05", "1.0009e-05", ""),
        ("a   9.996\nb  1.0", "a  10.001\nb 1.0", ""),  # a table's padding follows its numbers
        ("97.8 % and .0559", "97.7 % and .0560", ""),  # a unit, of hundreds
        ("-0.00", "0.00", ""),
        ("(.071)", "(.07105)", ""),
        ("tensor([0.5000, 2.])", "tensor([0.5001, 2.])", ""),
        ("no number", "no number", ""),
        ("12.1 (10.2 to 14.3) and 0.555", "12.5 (10.6 to 14.7) and 0.557", "drift:0.5"),
        (
            "collapsed 0.12 2787.45, before 39.48",
            "collapsed 0.11 2944.93, before 39.48",
            "drift:live",
        ),
        ("0.185 and 25 s", "0.185 and 2 min", "drift:time"),
        (
            "fine  memory  19.1 GB free\nfine  disk  3",
            "fine  memory  2 GB\nfine  disk  /",
            "drift:machine",
        ),
    ],
)
def test_small_drift_agrees(stored, rerun, tag):
    assert comparison.agree(stored, rerun, [tag]) and comparison.agree(rerun, stored, [tag])
    assert comparison.agree(stored, rerun) is not bool(tag)


@pytest.mark.parametrize(
    ("stored", "rerun", "tag"),
    [
        ("error 1.6400 %", "error 1.6420 %", ""),
        ("0.1 %", "0.2 %", ""),
        ("1.5e+01", "1.6e+01", ""),
        ("0.91", "0.92", ""),
        ("97.8", "97.6", ""),
        ("1.000e-05", "1.000e-04", ""),
        ("-0.500", "0.500", ""),
        ("1000 images", "1001 images", ""),  # integers are exact
        ("FC10(1e-4)", "FC10(1e-3)", ""),
        ("torch 2.13.0", "torch 2.14.0", ""),
        ("tensor([2.])", "tensor([3.])", ""),
        ("0.5 holds", "0.5 does not hold here", ""),
        ("0.5", "0.5 0.5", ""),
        ("0.5", "nan", ""),
        ("two words", "twowords", ""),
        ("12.1", "12.7", "drift:0.5"),
        ("0.55", "0.58", "drift:0.5"),
        ("100 images", "101 images", "drift:0.5"),
        ("400.1 images", "200.3 images", "drift:live"),
        ("400 images", "401 images", "drift:live"),
        ("25 s", "5 min", "drift:time"),
        ("0.2 of 25 s", "0.3 of 25 s", "drift:time"),
        ("fine  memory  19.1", "amiss  memory  19.1", "drift:machine"),
        ("fine  memory  19.1\nfine  disk  3", "fine  memory  19.1", "drift:machine"),
    ],
)
def test_anything_else_differs(stored, rerun, tag):
    assert not comparison.agree(stored, rerun, [tag])
    assert not comparison.agree(rerun, stored, [tag])


def drawn(title="a", font="DejaVu Sans", line=(1, 3, 2), colour="C0", hinting="default"):
    """A small figure as it is stored."""
    with matplotlib.rc_context({"font.family": font, "text.hinting": hinting}):
        axes = Figure().subplots()
        axes.plot(line, linewidth=3, color=colour)
        axes.set(title=title, xlabel="distortion", ylabel="error")
        axes.figure.savefig(file := io.BytesIO(), format="png", bbox_inches="tight")
    return base64.b64encode(file.getvalue()).decode()


def test_another_font_is_the_same_figure_and_another_curve_is_not():
    for font in ("DejaVu Serif", "DejaVu Sans Mono", "STIXGeneral"):
        assert comparison.same_picture(drawn(), drawn(font=font))
    assert comparison.same_picture(drawn(), drawn(hinting="none"))
    for colour in ("C3", "grey", "white"):
        assert not comparison.same_picture(drawn(), drawn(colour=colour))
    assert not comparison.same_picture(drawn(), drawn(line=(3, 1, 2)))
    assert not comparison.same_picture(drawn(), drawn(line=()))


def test_few_of_200_alterations_of_what_is_stored_pass_and_each_has_its_reason():
    tried, passed = alterations.let_pass(numbered(), n=200)
    assert len(tried) > 12 and tried.total() == 200
    assert alterations.report(tried, passed) == 0, passed
    for kind, *_, why in passed:
        assert why.startswith("within the cell's drift") or "number" in kind and why, (kind, why)


@pytest.mark.parametrize(
    ("passed", "failed"),
    [([], 0), (["why"], 0), (["why", "why"], 1), ([""], 1)],  # of 100
)
def test_alterations_fail_at_two_percent_or_without_a_reason(passed, failed, capsys):
    found = [("a number", "01", "show()", why) for why in passed]
    assert alterations.report(Counter({"a number": 100}), found) == failed
    assert capsys.readouterr().out.count("why") == passed.count("why")


def test_no_alteration_of_a_figure_passes():
    lost = []
    for path in numbered():
        for i, cell in enumerate(nbformat.read(path, as_version=4).cells):
            for kind, alter in alterations.alterations(cell.get("outputs", [])):
                if kind.startswith("figure"):
                    alter(None, altered := copy.deepcopy(cell.outputs))
                    if not comparison.differences(altered, cell.outputs):
                        lost.append((path.stem, i, kind))
    assert lost == []


CLAIM = """from course_utils import claims
from course_utils.intervals import Interval
claims.check('not-stable', Interval(%s, 1.5, 1.7), null=90)"""


def claim(number, **payload):
    shown = claims.check("not-stable", Interval(number, 1.5, 1.7), null=90)._repr_mimebundle_()
    shown[claims.MIME_TYPE]["measured"] |= payload
    return shown


EXPLORER = """class Explorer:
    def _repr_mimebundle_(self, **_):
        return {"text/plain": "words", "application/vnd.jupyter.widget-view+json": {"model_id": ""},
                "application/vnd.course.laboratory+json": [1]}
Explorer()"""
# source of a cell; its stored output, where that is not what the cell gave; its tag; does it pass?
CELLS = [
    ("print('error 0.12345')", "error 0.12346\n", "", True),
    ("print('error 0.1234')", "error 0.1300\n", "", False),
    ("print('error 0.9')", "error 1.3\n", "drift:0.5", True),
    ("print('images', 100)", "images 101\n", "", False),
    ("print('it holds')", "it fails\n", "", False),
    ("print('it holds')", None, "", True),
    ("print('a number: 3')", "It could not be had.\n", "drift:download", True),
    ("print('It could not be had.')", "a number: 3\n", "drift:download", False),
    (CLAIM % 1.6, claim(1.6001), "", True),  # the same line
    (CLAIM % 1.6, claim(1.6, value=4.99), "", False),
    (CLAIM % 1.6, claim(1.65), "", False),
    ("import tqdm.auto\nfor _ in tqdm.auto.tqdm(range(3)): pass", None, "", True),
    ("import ipywidgets\nipywidgets.IntSlider()", None, "", True),
    (EXPLORER, None, "", True),
    (EXPLORER, {"text/plain": "words", "application/vnd.course.laboratory+json": [2]}, "", False),
    ("import matplotlib.pyplot as plt\nplt.plot([1, 3])\nplt.show()", None, "", True),
    (
        "import matplotlib.pyplot as plt\nplt.plot([1, 3])\nplt.show()",
        {"image/png": drawn()},
        "",
        False,
    ),
    ("import sys\nprint('a warning', file=sys.stderr)", None, "", False),
    ("import sys\nprint(sys.executable)", sys.executable + "\n", "", True),
    ("import os\nprint(os.path.basename(os.getcwd()))", "notebooks\n", "", True),
]


def test_a_rerun_by_nbval(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(CONFTEST, folder)
    notebook = execute(
        new_notebook(
            cells=[
                new_code_cell(source, metadata={"tags": [tag] if tag else []})
                for source, _, tag, _ in CELLS
            ]
        ),
        name="cells",
        folder=folder,
    )
    for cell, (_, stored, _, _) in zip(notebook.cells, CELLS, strict=True):
        if isinstance(stored, dict):
            cell.outputs = [new_output("execute_result", stored, execution_count=1)]
        elif stored is not None:
            cell.outputs = [new_output("stream", name="stdout", text=stored)]
    kept = [output.data for cell in notebook.cells for output in cell.outputs if "data" in output]
    assert "vnd.jupyter.widget" not in repr(kept)
    write(notebook, folder / "cells.ipynb")

    # A kernel of the reader's own, called python3 too, must not take over.
    foreign = tmp_path / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text('{"argv": ["false"], "display_name": "foreign"}')
    options = ["-rA", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(folder)],
        env=os.environ | {"JUPYTER_DATA_DIR": str(tmp_path / "jupyter"), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    found = re.findall(r"^(PASSED|FAILED) \S+::Cell (\d+)", run.stdout, flags=re.MULTILINE)
    verdicts = {int(number): verdict == "PASSED" for verdict, number in found}
    assert verdicts == {i: passes for i, (*_, passes) in enumerate(CELLS)}, run.stdout

"""notebooks/conftest.py lets decimals drift a little, and nothing else."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools.environment import ROOT
from tools.lectures import execute, write

CONFTEST = ROOT / "notebooks" / "conftest.py"
spec = importlib.util.spec_from_file_location("nbval_tolerance", CONFTEST)
tolerance = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tolerance)


@pytest.mark.parametrize(
    ("stored", "rerun"),
    [
        ("error 1.6400 %", "error 1.6500 %"),  # under 1 %
        ("-0.12345", "-0.12445"),
        ("1.000e-05", "1.009e-05"),
        ("0.0 %", "0.1 %"),  # one unit in the last printed place
        ("a   9.99\nb  1.0", "a  10.01\nb 1.0"),  # a table's padding follows its numbers
        ("-0.00", "0.00"),
        ("(.071)", "(.0712)"),
        ("tensor([0.5000, 2.])", "tensor([0.5001, 2.])"),
        ("no number", "no number"),
    ],
)
def test_small_drift_agrees(stored, rerun):
    assert tolerance.agree(stored, rerun) and tolerance.agree(rerun, stored)
    assert tolerance.Approximate(stored) == tolerance.Approximate(rerun)
    assert not tolerance.Approximate(stored) != tolerance.Approximate(rerun)


@pytest.mark.parametrize(
    ("stored", "rerun"),
    [
        ("error 1.6400 %", "error 1.6700 %"),  # beyond 1 %
        ("0.0 %", "0.2 %"),
        ("1.000e-05", "1.020e-05"),
        ("1.000e-05", "1.000e-04"),
        ("-0.500", "0.500"),
        ("1000 images", "1001 images"),  # integers are exact
        ("FC10(1e-4)", "FC10(1e-3)"),
        ("torch 2.13.0", "torch 2.14.0"),
        ("tensor([2.])", "tensor([3.])"),
        ("0.5 holds", "0.5 does not hold here"),
        ("0.5", "0.5 0.5"),
        ("0.5", "nan"),
        ("two words", "twowords"),
    ],
)
def test_anything_else_differs(stored, rerun):
    assert not tolerance.agree(stored, rerun) and not tolerance.agree(rerun, stored)
    assert tolerance.Approximate(stored) != tolerance.Approximate(rerun)
    assert not tolerance.Approximate(stored) == tolerance.Approximate(rerun)


CLAIM = """class Claim:
    def _repr_mimebundle_(self, **_):
        return {"text/plain": "holds", "text/html": "<p>%s</p>",
                "application/vnd.course.claim+json": {"measured": 1}}
Claim()"""
# source of a cell; its stored output, where that is not what the cell printed; does nbval pass?
CELLS = [
    ("print('error 0.1234')", "error 0.1230\n", True),
    ("print('error 0.1234')", "error 0.1300\n", False),
    ("print('images', 100)", "images 101\n", False),
    ("print('it holds')", "it fails\n", False),
    ("print('it holds')", None, True),
    (CLAIM % 0.5, {"text/plain": "holds", "text/html": "<p>0.9</p>",
                   tolerance.CLAIM: {"measured": 0.7}}, True),
    (CLAIM % 0.5, {"text/plain": "fails", "text/html": "<p>0.5</p>",
                   tolerance.CLAIM: {"measured": 1}}, False),
    ("import tqdm.auto\nfor _ in tqdm.auto.tqdm(range(3)): pass", None, True),
    ("import ipywidgets\nipywidgets.IntSlider()", None, True),
    ("import matplotlib.pyplot as plt, time\nplt.plot([time.time()])\nplt.show()", None, True),
    ("import sys\nprint(sys.executable)", sys.executable + "\n", True),
    ("import os\nprint(os.path.basename(os.getcwd()))", "notebooks\n", True),
]


def test_a_rerun_by_nbval(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copy(CONFTEST, folder)
    notebook = execute(
        new_notebook(cells=[new_code_cell(source) for source, _, _ in CELLS]),
        name="cells", folder=folder,
    )  # fmt: skip
    for cell, (_, stored, _) in zip(notebook.cells, CELLS, strict=True):
        if isinstance(stored, dict):
            cell.outputs = [new_output("execute_result", stored, execution_count=1)]
        elif stored is not None:
            cell.outputs = [new_output("stream", name="stdout", text=stored)]
    assert "vnd.jupyter.widget" not in nbformat.writes(notebook)
    write(notebook, folder / "cells.ipynb")

    # A kernel of the reader's own, called python3 too, must not take over.
    foreign = tmp_path / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    (foreign / "kernel.json").write_text('{"argv": ["false"], "display_name": "foreign"}')
    options = ["-rA", "-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(folder)],
        env=os.environ | {"JUPYTER_DATA_DIR": str(tmp_path / "jupyter")},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    found = re.findall(r"^(PASSED|FAILED) \S+::Cell (\d+)", run.stdout, flags=re.MULTILINE)
    verdicts = {int(number): verdict == "PASSED" for verdict, number in found}
    assert verdicts == {i: passes for i, (_, _, passes) in enumerate(CELLS)}, run.stdout

"""The pages that students get back for five kinds of submissions, on a desk and on a phone."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.browser.conftest import PYTHON
from tools.environment import ROOT

MAKE = """
import sys
from pathlib import Path
sys.path.insert(0, "tests/assignments")
import answers, nbformat
from tools.classroom import feedback, grading, problem_sets, tables
from tools.environment import put
small = problem_sets.read("problem_set_0", Path("tests/assignments/source"))
grading.prepare([small])
figure = "import matplotlib.pyplot as plt\\nplt.figure(figsize=(12, 4))\\nplt.plot([1, 2])"
wide = "def norm(x):\\n    return " + " + ".join(["x.sum(1)"] * 60)
kinds = {
    "full": answers.solved(small), "empty": answers.handed_out(small),
    "wrong": answers.solved(small, {"norm": wide}),
    "crash": answers.solved(small, {"norm": "def norm(x):\\n    return [][0]"}),
    "syntax": answers.solved(small, {"norm": "def norm(x:\\n    return x"}),
}
kinds["full"].cells.insert(3, answers.new_code_cell(figure))
kinds["full"].cells[-1].source = (
    "# Because\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |\\n\\n<script>no</script>")
for name, notebook in kinds.items():
    result = grading.mark(small, notebook) | {"student": name, "set": small.name}
    text = feedback.page(result, small, {}, show_hidden=False)
    put(Path(sys.argv[1]) / tables.page(result), text)
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    to = tmp_path_factory.mktemp("feedback")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([PYTHON, "-c", MAKE, str(to)], cwd=ROOT, env=env, check=True)
    return to / "feedback"


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("full", "Right."),
        ("empty", "Not answered: the cell is as it was handed out."),
        ("wrong", "expected"),
        ("crash", "IndexError: list index out of range"),
        ("syntax", "its cell stopped with SyntaxError"),
    ],
)
def test_page_begins_with_a_summary_and_fits(browser, pages, shots, kind, says, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((pages / kind / "problem_set_0.html").as_uri())
    page.screenshot(path=shots / f"feedback-{kind}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    table = page.locator("table").first
    assert table.bounding_box()["y"] < 500 and says in table.inner_text()
    assert "problem_set_0" in page.locator("h1").first.inner_text()
    assert "&lt;" not in page.locator("body").inner_text()
    for image in page.locator("img").all():
        assert image.evaluate("i => i.naturalWidth") > 0
        assert image.bounding_box()["width"] <= width
    assert all(url.startswith(("file:", "data:")) for url in asked)
    if kind == "full":
        assert page.locator("img").count() == 1 and page.locator("table").count() == 2
    page.close()

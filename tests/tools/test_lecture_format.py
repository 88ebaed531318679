"""What every lecture has, whatever it teaches."""

import ast
import importlib
import inspect
import re

import nbformat
import pytest

from course_utils.claims import CLAIMS, MIME_TYPE
from course_utils.exercises import EXERCISES as TAUGHT
from tools.environment import ROOT
from tools.lectures import lectures, numbered

LECTURES = lectures()
# The sections with results, by how their headings begin.
PREDICTED = {
    1: ("3. The data", "6. One digit", "7. A thousand", "8. Noise", "9. How", "10. For", "11. And"),
    2: (
        "1. Six",
        "2. One picture",
        "3. The first",
        "4. More than",
        "5. Do linear",
        "6. How",
        "7. Clipped",
        "8. The second",
        "9. The same",
        "10. Why",
        "11. Try",
    ),
    3: (
        "1. Unstable",
        "2. Lipschitz",
        "3. A fully",
        "4. A convolution",
        "5. Activations",
        "6. The product",
        "7. AlexNet",
        "8. The sandwich",
        "9. Large",
        "10. Penalise",
        "11. Do bounds",
    ),
    4: (
        "1. One step",
        "2. How far",
        "3. Try",
        "4. Too linear",
        "5. Where",
        "6. Why",
        "7. The paper",
        "8. RBF",
        "9. Training",
        "10. A reg",
        "11. Does",
        "12. How the",
        "13. Attack",
        "14. Beside",
    ),
    5: (
        "1. The game",
        "2. The best",
        "3. What",
        "4. When",
        "5. The game in",
        "6. A live",
        "7. The full",
        "8. A walk",
        "9. Is it",
        "10. All",
        "11. Coll",
        "12. Parzen",
        "13. A second",
        "14. Back",
    ),
}
EXERCISES = {1: 6, 2: 2, 3: 4, 4: 4, 5: 4}


@pytest.fixture(params=LECTURES, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def cells(path):
    return nbformat.read(path, as_version=4).cells


def shows_picture(cell):
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def test_every_figure_has_a_caption_beneath_and_a_description(cells):
    captions = []
    for cell, below in zip(cells, cells[1:]):
        if shows_picture(cell):
            caption = re.match(r"\*\*Figure (\d+)\.\*\* \S", below.source)
            assert below.cell_type == "markdown" and caption, cell.source
            captions.append(int(caption[1]))
            assert len(cell.metadata["mystnb"]["image"]["alt"].split()) > 8, cell.source
        else:
            assert "mystnb" not in cell.metadata, cell.source
    assert captions == list(range(1, len(captions) + 1)) and captions


def test_every_claim_of_the_lecture_has_its_cell(path, cells):
    """Cells that show a verdict, and no others, are tagged "claim" and "claim:<id>"."""
    shown = []
    for cell in cells:
        ids = [
            output.data[MIME_TYPE]["id"]
            for output in cell.get("outputs", [])
            if MIME_TYPE in output.get("data", {})
        ]
        tags = [tag for tag in cell.metadata.get("tags", []) if tag.startswith("claim")]
        assert tags == [tag for name in ids for tag in ("claim", f"claim:{name}")], cell.source
        shown += ids
    assert sorted(shown) == sorted(c.id for c in CLAIMS.values() if c.lecture == int(path.name[:2]))


def test_each_result_is_asked_for_first(path, cells):
    """In every section with results, a prediction is asked for before the first verdict."""
    text = "\n".join(cell.source for cell in cells)
    for heading in PREDICTED[int(path.name[:2])]:
        section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
        asked, answered = section.find("> **Before you"), section.find("claims.check(")
        assert asked >= 0 and (answered < 0 or asked < answered), heading


def test_the_stubs_are_the_exercises_specification(path, cells):
    number = int(path.name[:2])
    exercises = importlib.import_module(f"course_utils.exercises.lecture{number}").EXERCISES
    stubs = {}
    for cell in cells:
        if cell.cell_type == "code" and cell.source.endswith('"""\n    ...'):
            (function,) = ast.parse(cell.source).body
            stubs[function.name] = function
    assert len(stubs) == len(exercises) == EXERCISES[number]
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for exercise in exercises:
        stub = stubs[exercise.solution.__name__]
        arguments = list(inspect.signature(exercise.solution).parameters)
        assert [argument.arg for argument in stub.args.args] == arguments
        specified = ast.get_docstring(stub)
        assert specified.startswith(inspect.getdoc(exercise.solution) + "\n")
        assert "Returns" in specified
        assert f'check("{exercise.id}", {stub.name})' in code


def test_no_output_is_of_stderr(cells):
    assert not any(o.get("name") == "stderr" for cell in cells for o in cell.get("outputs", []))


def test_each_guess_stands_beside_what_came_out(cells):
    """It is asked for, typed, and printed with the answer before the next one is."""
    asked = [i for i, cell in enumerate(cells) if re.match(r'guess_\d+ = "\?"  # ', cell.source)]
    questions = [i for i, cell in enumerate(cells) if "> **Before you run" in cell.source]
    assert questions and {i + 1 for i in questions} <= set(asked)
    for place, end in zip(asked, [*asked[1:], len(cells)]):
        assert "> **Before you " in cells[place - 1].source
        said = [o.get("text", "") for cell in cells[place:end] for o in cell.get("outputs", [])]
        assert any("you said ?" in text for text in said), cells[place - 1].source


def test_the_minutes_that_teachers_are_told_are_of_todays_lectures():
    teaching = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \d\. .+?\| ([\d,]+) \| (\d+) \| (\d+) \|", teaching, flags=re.M)
    for path, told in zip(numbered(), rows, strict=True):
        notebook = nbformat.read(path, as_version=4).cells
        words = sum(len(c.source.split()) for c in notebook if c.cell_type == "markdown")
        runs = sum(c.cell_type == "code" and "guess_" not in c.source[:6] for c in notebook)
        expected = words, runs, words / 200 + 0.75 * runs
        for number, measured in zip(told, expected, strict=True):
            assert int(number.replace(",", "")) == pytest.approx(measured, rel=0.06, abs=2), path


def test_the_exercises_that_teachers_are_told_of_are_there():
    teaching = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
    named = re.findall(r"Lecture \d,[^|;]*?`([a-z-]+)`", teaching)
    assert len(named) > 5 and set(named) <= set(TAUGHT)

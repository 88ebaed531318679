"""Lecture 1's figures have captions and descriptions, its exercises their specification."""

import ast
import inspect
import re

import nbformat
import pytest

from course_utils.claims import CLAIMS
from course_utils.exercises import lecture1
from course_utils.lectures import NOTEBOOKS


@pytest.fixture(scope="module")
def cells():
    return nbformat.read(NOTEBOOKS / "01_intriguing_properties.ipynb", as_version=4).cells


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


def test_each_result_is_asked_for_first(cells):
    """In every section with results, a prediction is asked for before the first verdict."""
    text = "\n".join(cell.source for cell in cells)
    headings = "3. The data", "6. One digit", "7. A thousand", "8. Noise", "9. How", "10. For"
    for heading in headings:
        section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
        asked, answered = section.find("> **Before you"), section.find("claims.check(")
        assert asked >= 0 and (answered < 0 or asked < answered), heading


def test_every_claim_of_the_lecture_has_its_cell(cells):
    tagged = [tag for cell in cells for tag in cell.metadata.get("tags", [])]
    shown = [tag.removeprefix("claim:") for tag in tagged if tag.startswith("claim:")]
    assert sorted(shown) == sorted(c.id for c in CLAIMS.values() if c.lecture == 1)


def test_the_stubs_are_the_exercises_specification(cells):
    stubs = {}
    for cell in cells:
        if cell.cell_type == "code" and cell.source.endswith('"""\n    ...'):
            (function,) = ast.parse(cell.source).body
            stubs[function.name] = function
    assert len(stubs) == len(lecture1.EXERCISES) == 6
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for exercise in lecture1.EXERCISES:
        stub = stubs[exercise.solution.__name__]
        arguments = list(inspect.signature(exercise.solution).parameters)
        assert [argument.arg for argument in stub.args.args] == arguments
        assert ast.get_docstring(stub) == inspect.getdoc(exercise.solution)
        assert f'check("{exercise.id}", {stub.name})' in code

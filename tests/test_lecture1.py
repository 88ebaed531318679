"""Lecture 1's figures have captions and descriptions, its exercises their specification."""

import ast
import inspect

import nbformat
import pytest

from course_utils.exercises import lecture1
from course_utils.lectures import NOTEBOOKS


@pytest.fixture(scope="module")
def cells():
    return nbformat.read(NOTEBOOKS / "01_intriguing_properties.ipynb", as_version=4).cells


def test_each_result_is_asked_for_first(cells):
    """In every section with results, a prediction is asked for before the first verdict."""
    text = "\n".join(cell.source for cell in cells)
    headings = "3. The data", "6. One digit", "7. A thousand", "8. Noise", "9. How", "10. For"
    for heading in headings:
        section = text.partition(f"## {heading}")[2].partition("\n## ")[0]
        asked, answered = section.find("> **Before you"), section.find("claims.check(")
        assert asked >= 0 and (answered < 0 or asked < answered), heading


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

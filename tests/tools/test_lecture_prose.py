"""A number that a lecture's prose repeats is one that the lecture printed."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tools.lectures import lectures

# Formulas, code, addresses, and where in a paper something stands.
LEFT_OUT = re.compile(
    r"\$\$.*?\$\$|\$.*?\$|`[^`]*`|\(https?:[^)]*\)|arXiv:[\d.]+|Sections? [\d.]+", re.DOTALL
)
# With a decimal point, or in percent.
IN_PROSE = re.compile(r"(?<![\w.])\d*\.\d+(?![\w.]*\d)|(?<![\w.,])\d+(?= %)")
ANYWHERE = re.compile(r"\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?")
# What no cell shows as text: worked by hand, drawn in a figure, or chosen on held-back digits.
NOT_PRINTED = {
    "01": "95 1.09 2.40 .081 .070 14",
    "02": "0.256",
    "03": "1.4 0.002 .013",
    "04": ".0125 1.63",
    "05": "2.4",
}


def unfounded(cells: list) -> dict[str, str]:
    """Numbers of the prose that round no number of an output or of the code, and their lines."""
    known = set()
    for cell in cells:
        if cell.cell_type == "code":
            outputs = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
            for number in ANYWHERE.findall("\n".join([cell.source, *outputs])):
                known.add(float(number.replace(",", "").rstrip(".") or 0))
    found = {}
    for cell in (cell for cell in cells if cell.cell_type == "markdown"):
        prose = LEFT_OUT.sub(" ", cell.source)
        for match in IN_PROSE.finditer(prose):
            places = len(match[0].partition(".")[2])
            if not any(abs(number - float(match[0])) <= 0.5001 * 10**-places for number in known):
                found[match[0]] = prose[max(0, match.start() - 60) : match.end() + 30]
    return found


@pytest.mark.parametrize("path", lectures(), ids=lambda path: path.stem)
def test_numbers_in_prose_are_those_of_outputs_or_code(path):
    found = unfounded(nbformat.read(path, as_version=4).cells)
    others = NOT_PRINTED.get(path.stem[:2], "").split()
    assert {number: words for number, words in found.items() if number not in others} == {}


@pytest.mark.parametrize(
    ("prose", "number"),
    [("It is 12.4 %.", None), ("It is 12 %", None), ("1.6", "1.6"), ("12.5", "12.5"), ("13 %", "13"),
     ("$13.5$ and `13.5`, arXiv:1312.6199", None), ("eps .25, of 13 digits", None)],
)  # fmt: skip
def test_a_number_that_nothing_printed_is_found(prose, number):
    code = new_code_cell("eps = 0.25", outputs=[new_output("stream", text="error 12.36 %")])
    assert list(unfounded([code, new_markdown_cell(prose)])) == ([number] if number else [])

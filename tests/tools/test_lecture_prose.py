"""A number that a lecture's prose repeats is one that the same section printed."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tools.lectures import lectures

# Formulas, code, addresses, and where in a paper something stands.
LEFT_OUT = re.compile(
    r"\$\$.*?\$\$|\$.*?\$|`[^`]*`|\(https?:[^)]*\)|arXiv:[\d.]+|Sections? [\d.]+", re.DOTALL
)
# With a decimal point, in percent, or a count: 25 of the 30 cells.
IN_PROSE = re.compile(
    r"(?<![\w.])\d*\.\d+(?![\w.]*\d)|(?<![\w.,])\d+(?= (?:%|(?:out )?of (?:the )?\d))"
)
ANYWHERE = re.compile(r"\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?")
# What no cell shows as text: worked by hand, drawn in a figure, or chosen on held-back digits.
NOT_PRINTED = {
    "01": "1.09 2.40 .081 .071 14",
    "02": "0.256",
    "03": "1.4 0.002 .013",
    "04": ".0125 1.63",
    "05": "2.4",
}
# What another section prints, or the code of one says.
PRINTED_ELSEWHERE = {
    "01": "95 21.6 20 50 10 .046 .9",
    "02": "4.2 17.4 6.25 8.2 0.05 0.25 0.1 100 11 7",
    "03": "0.25 0.15 3.3 1.7 1.6 1.8 1.1 0.05 95",
    "04": ".007 47 63 .8 .5 .1 1.60 89 1.6 .025 .25",
    "05": ".9 .6 0.2 .02",
}


def unfounded(cells: list) -> dict[str, str]:
    """Numbers of the prose that round none of their section's outputs or code, and their lines."""
    sections = [[]]
    for cell in cells:
        if cell.cell_type == "markdown" and re.search(r"(?m)^## ", cell.source):
            sections.append([])
        sections[-1].append(cell)
    found = {}
    for section in sections:
        known = numbers_of([cell for cell in section if cell.cell_type == "code"])
        for cell in (cell for cell in section if cell.cell_type == "markdown"):
            prose = LEFT_OUT.sub(" ", cell.source)
            for match in IN_PROSE.finditer(prose):
                if not rounds_one_of(known, match[0]):
                    found[match[0]] = prose[max(0, match.start() - 60) : match.end() + 30]
    return found


def numbers_of(cells: list) -> set[float]:
    """All numbers in the outputs and the code of code cells."""
    outputs = [
        out.get("text") or out.get("data", {}).get("text/plain", "")
        for cell in cells
        for out in cell.outputs
    ]
    text = "\n".join([*(cell.source for cell in cells), *outputs])
    return {float(n.replace(",", "").rstrip(".") or 0) for n in ANYWHERE.findall(text)}


def rounds_one_of(known: set[float], number: str) -> bool:
    places = len(number.partition(".")[2])
    return any(abs(one - float(number)) <= 0.5001 * 10**-places for one in known)


@pytest.mark.parametrize("path", lectures(), ids=lambda path: path.stem)
def test_numbers_in_prose_are_those_of_outputs_or_code(path):
    cells = nbformat.read(path, as_version=4).cells
    known = numbers_of([cell for cell in cells if cell.cell_type == "code"])
    by_hand, elsewhere = (
        NOT_PRINTED[path.stem[:2]].split(),
        PRINTED_ELSEWHERE[path.stem[:2]].split(),
    )
    assert [number for number in elsewhere if not rounds_one_of(known, number)] == []
    found = unfounded(cells)
    assert {n: words for n, words in found.items() if n not in by_hand + elsewhere} == {}


@pytest.mark.parametrize(
    ("prose", "number"),
    [
        ("It is 12.4 %.", None),
        ("It is 12 %", None),
        ("1.6", "1.6"),
        ("12.5", "12.5"),
        ("13 %", "13"),
        ("$13.5$ and `13.5`, arXiv:1312.6199", None),
        ("eps .25, of 13 digits", None),
        ("13 of the 20", "13"),
        ("12 of 20", None),
        ("## 2. Next\n\n12.4 %", "12.4"),
    ],
)
def test_a_number_that_its_section_did_not_print_is_found(prose, number):
    code = new_code_cell("eps = 0.25", outputs=[new_output("stream", text="error 12.36 %")])
    assert list(unfounded([code, new_markdown_cell(prose)])) == ([number] if number else [])

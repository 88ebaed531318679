"""A number that a lecture's prose repeats is one that cells nearby printed."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from test_lecture_papers import without_papers

from tools.lectures import lectures

# Formulas, code, addresses, and where in a paper something stands.
LEFT_OUT = re.compile(
    r"\$\$.*?\$\$|\$.*?\$|`[^`]*`|\(https?:[^)]*\)|arXiv:[\d.]+|Sections? [\d.]+", re.DOTALL
)
# With a decimal point or a thousands' comma, in percent (27 to 100 %), or a count: 25 of the 30
# cells. Other whole numbers are left out: two in three are years, widths, or numbers of figures and
# settings. So are 00, the glossary and TEACHING, whose numbers no cell prints.
IN_PROSE = re.compile(
    r"(?<![\w.])\d*\.\d+(?![\w.]*\d)|(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,]*\d)"
    r"|(?<![\w.,])\d+(?= (?:%|(?:out )?of (?:the )?\d|(?:to|and|or|against) [\d.]+ %))"
)
MNIST = {60_000, 50_000, 10_000}  # its digits to train on; these without, and those for tests
ANYWHERE = re.compile(
    r"(?<!guess_)(?<!guess_\d)\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?"
)
NEAR = (2, 1)  # code cells of the section before and after, of which prose is expected to speak
# What no cell shows as text: worked by hand, drawn in a figure, chosen on held-back digits, or
# rounded to one digit.
NOT_PRINTED = {
    "01": {"4": "1.09 2.40", "9": ".081 .071", "10": "14"},
    "02": {"1": "20,000", "5": "0.256", "8": "30,000"},
    "03": {"7": "800,000", "9": "1.4 .013", "10": "0.0003 0.002", "Summary": ".013"},
    "04": {"1": "1.8", "7": ".8", "10": ".0125 1,600"},
    "05": {"2": "2.4 2,900", "15": "20,000"},
}
# What cells further off print or have in their code, by the section whose prose repeats it.
FURTHER_OFF = {
    "01": {
        "": "95",
        "3": "21.6",
        "4": "50 10",
        "7": ".046",
        "8": ".056",
        "9": "95 .100",
        "10": "21",
    },
    "02": {
        "1": "4.2",
        "3": "95 100 10 5.5 17.4 0.1",
        "4": "27 0.05",
        "5": "0.25",
        "6": "0.25",
        "7": "0.1",
        "8": "1,000 .05",
        "9": "0.1 100 11 7",
    },
    "03": {
        "3": "0.25 0.15",
        "7": "3.3 1.7",
        "9": "1.7 1.6 1.8 1.1 .36",
        "10": "0.004 0.001 0.3 1,000",
        "11": "0.3 0.05 95 172",
    },
    "04": {
        "1": "1,000",
        "3": ".007",
        "4": ".1 .25",
        "5": "46 47 53 63 1.5",
        "7": ".1 .25",
        "8": "13 .385 .902 1.08",
        "10": "1.60 1.63 .05 .1",
        "11": ".3 .05",
        "12": "89 1,000 5,000",
        "14": ".01 .05 .25 .3 .15",
        "Summary": "1.6 .007 .025",
    },
    "05": {
        "2": ".9 .6",
        "4": ".1 .3 1,200 3,600 5,000",
        "5": "0.2",
        "13": "2,000",
        "14": ".02 1,000",
        "15": ".02",
    },
}


def sections_of(cells: list) -> dict[str, list]:
    """The cells of each section, by its number, or the first word where it has none."""
    sections, key = {"": []}, ""
    for cell in cells:
        if cell.cell_type == "markdown":
            if heading := re.search(r"(?m)^## (\w+)", cell.source):
                key = heading[1]
        sections.setdefault(key, []).append(cell)
    return sections


class Said(NamedTuple):
    section: str
    number: str
    words: str
    known: set[float]  # the numbers near it


def said(cells: list, lecture: str = "") -> Iterator[Said]:
    """The numbers of the prose, without those of the papers that have a test of their own."""
    back, ahead = NEAR
    for section, those in sections_of(cells).items():
        for i, cell in enumerate(those):
            if cell.cell_type != "markdown":
                continue
            before, after = (
                [c for c in part if c.cell_type == "code" and not c.source.startswith("guess_")]
                for part in (those[:i], those[i:])
            )
            known = numbers_of(before[-back:] + after[:ahead])
            prose = LEFT_OUT.sub(" ", without_papers(cell.source, lecture))
            for match in IN_PROSE.finditer(prose):
                words = prose[max(0, match.start() - 60) : match.end() + 30]
                yield Said(section, match[0], words, known)


def unfounded(cells: list, lecture: str = "") -> list[Said]:
    """Those that round none near them."""
    return [one for one in said(cells, lecture) if not rounds_one_of(one.known, one.number)]


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
    """Or is one of them: one digit that counts, as in .1 or 5,000, is a setting's, and rounds none."""
    plain = number.replace(",", "")
    places = len(plain.partition(".")[2])
    if plain != number:
        places, known = len(plain.rstrip("0")) - len(plain), known | MNIST
    one_digit = places and len(plain.replace(".", "").strip("0")) < 2
    apart = 1e-9 if one_digit else 0.5001 * 10**-places
    return any(abs(one - float(plain)) <= apart for one in known)


def listed(lecture: str, section: str) -> list[str]:
    lists = (NOT_PRINTED, FURTHER_OFF)
    return " ".join(which[lecture].get(section, "") for which in lists).split()


@pytest.mark.parametrize("path", lectures(), ids=lambda path: path.stem)
def test_numbers_in_prose_are_those_of_outputs_or_code(path):
    cells, lecture = nbformat.read(path, as_version=4).cells, path.stem[:2]
    known = numbers_of([cell for cell in cells if cell.cell_type == "code"])
    further = " ".join(FURTHER_OFF[lecture].values()).split()
    assert [number for number in further if not rounds_one_of(known, number)] == []
    found = unfounded(cells, lecture)
    assert [one[:3] for one in found if one.number not in listed(lecture, one.section)] == []
    used = {(one.section, one.number) for one in found}
    kept = {(s, n) for s in sections_of(cells) for n in listed(lecture, s)}
    assert kept - used == set()  # no list lets pass what nobody says any more


def test_nine_of_ten_altered_digits_of_the_prose_are_noticed():
    """Those that are not happen upon another number nearby."""
    tried = noticed = 0
    for path in lectures():
        for one in said(nbformat.read(path, as_version=4).cells, path.stem[:2]):
            allowed = listed(path.stem[:2], one.section)
            for at, old in enumerate(one.number):
                for digit in set("0123456789") - {old} if old != "." else ():
                    other = one.number[:at] + digit + one.number[at + 1 :]
                    tried += 1
                    noticed += not (rounds_one_of(one.known, other) or other in allowed)
    assert noticed > 0.9 * tried > 3000, (noticed, tried)


@pytest.mark.parametrize(
    ("prose", "number"),
    [
        ("It is 12.4 %.", None),
        ("It is 12 %", None),
        ("1.6", "1.6"),
        ("0.2", "0.2"),
        ("0.3", "0.3"),
        ("0.25", None),
        ("12.5", "12.5"),
        ("13 %", "13"),
        ("$13.5$ and `13.5`, arXiv:1312.6199", None),
        ("eps .25, of 13 digits", None),
        ("13 of the 20", "13"),
        ("12 of 20", None),
        ("12 to 12.4 %", None),
        ("13 to 12.4 %", "13"),
        ("4,130 of the 60,000 and about 4,100", None),
        ("4,140", "4,140"),
        ("4,200", "4,200"),
        ("4,000", "4,000"),
        ("## 2. Next\n\n12.4 %", "12.4"),
    ],
)
def test_a_number_that_no_cell_nearby_printed_is_found(prose, number):
    code = new_code_cell(
        "eps = 0.25", outputs=[new_output("stream", text="error 12.36 %, of 4130")]
    )
    found = [one.number for one in unfounded([code, new_markdown_cell(prose)])]
    assert found == ([number] if number else [])

"""What every lecture has, whatever it teaches."""

import re

import nbformat
import pytest

from course_utils.claims import CLAIMS
from course_utils.lectures import lectures

LECTURES = lectures()


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
    tagged = [tag for cell in cells for tag in cell.metadata.get("tags", [])]
    shown = [tag.removeprefix("claim:") for tag in tagged if tag.startswith("claim:")]
    assert sorted(shown) == sorted(c.id for c in CLAIMS.values() if c.lecture == int(path.name[:2]))

"""A twin shows what its explorer shows, at every place, and leaves the explorer as it was."""

import base64
import io
import itertools

import ipywidgets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from course_utils.widgets import twin
from course_utils.widgets.parts import bars, picture_widget, png, read_bars
from course_utils.widgets.twin import BAR, MARGIN, MIME, NAME


def toy():
    """A menu, two sliders, a picture as grey as they say, and two bars."""
    menu = ipywidgets.Dropdown(options=[("one", 1), ("two", 2)], description="kind")
    level = ipywidgets.FloatSlider(
        value=0.5, min=0, max=1, step=0.1, description="level", readout_format=".1f"
    )
    count = ipywidgets.IntSlider(value=1, min=-2, max=2, description="count")
    shown, text = picture_widget(), ipywidgets.HTML()

    def show(change=None):
        shown.value = png(np.full((20, 30), level.value / menu.value))
        percent = {"a & b": 100 * level.value, "c": 20.0 + count.value}
        text.value = f"<p>A <b>{menu.value}</b>.<br>Next.</p>" + bars(percent, bold="c")

    for control in (menu, level, count):
        control.observe(show, names="value")
    show()
    box = ipywidgets.HBox([shown, text])
    return ipywidgets.VBox([ipywidgets.HBox([menu, level]), count, box])


def pixels(frame):
    picture = Image.open(io.BytesIO(base64.b64decode(frame["png"]))).convert("L")
    return np.asarray(picture)


def test_every_frame_shows_what_the_explorer_showed_there():
    bundle = twin(toy(), {"kind": 2, "level": [0.2, 0.5, 0.8]})._repr_mimebundle_()
    kind, level = bundle[MIME]["controls"]
    assert kind == {"label": "kind", "values": ["one", "two"], "start": 0, "choices": True}
    assert level == {"label": "level", "values": ["0.2", "0.5", "0.8"], "start": 1}
    frames = bundle[MIME]["frames"]
    places = list(itertools.product((1, 2), (0.2, 0.5, 0.8)))
    assert len(frames) == len(places)
    for (k, grey), frame in zip(places, frames, strict=True):
        drawn = pixels(frame)
        assert (np.abs(drawn[MARGIN : MARGIN + 20, MARGIN : MARGIN + 30] - 255 * grey / k) < 6).all()
        row = drawn[-21 + 6]  # through the last bar, and one row of text above it, the first
        assert abs((row[NAME : NAME + BAR] < 100).sum() - BAR * 0.21) <= 2
        first = drawn[-42 + 6]
        assert abs((first[NAME : NAME + BAR] < 128).sum() - BAR * grey) <= 2
        name = {1: "one", 2: "two"}[k]
        assert frame["alt"].startswith(f"kind {name}, level {grey}: A {k}. Next. ")
        assert f"a & b {100 * grey:.1f} %" in frame["alt"] and "c 21.0 %" in frame["alt"]
    assert len({frame["alt"] for frame in frames}) == len(frames)


def test_a_number_of_values_is_spread_from_end_to_end():
    bundle = twin(toy(), {"count": 3, "level": 99})._repr_mimebundle_()
    count, level = bundle[MIME]["controls"]
    assert count["values"] == ["-2", "0", "2"]
    assert level["values"] == [f"{i / 10:.1f}" for i in range(11)] and level["start"] == 5


def test_on_paper_there_are_frames_from_the_first_to_the_last():
    made = twin(toy(), {"level": 11})
    still = np.asarray(made.still().convert("L"))
    frame = made.frames[0]
    left, right = MARGIN + 5, frame.width + MARGIN + MARGIN + 5
    first, last = still[21 + MARGIN + 5, left], still[-frame.height + MARGIN + 5, right]
    assert first == 0 and last == 255
    image = Image.open(io.BytesIO(base64.b64decode(made._repr_mimebundle_()["image/png"])))
    assert image.size == made.still().size
    assert made._repr_mimebundle_()["text/plain"] == (
        "The explorer's frames over level (11 values)."
    )


def test_paper_shows_the_last_control_with_the_others_where_they_start():
    explorer = toy()
    explorer.children[0].children[0].value = 2
    made = twin(explorer, {"kind": 2, "level": [0, 0.2, 0.4, 0.6, 1.0]})
    still, frame = np.asarray(made.still().convert("L")), made.frames[0]
    for place, level in enumerate((0, 0.2, 0.6, 1.0)):  # four of the five, for kind 2
        x, y = place % 2 * (frame.width + MARGIN), place // 2 * (frame.height + 21) + 21
        assert abs(still[y + MARGIN + 5, x + MARGIN + 5] - 255 * level / 2) < 2
    short = twin(toy(), {"level": [0, 1.0]}).still()
    assert short.size == (2 * frame.width + MARGIN, frame.height + 21)


def test_a_photograph_is_kept_small_and_its_marks_stay():
    noise = np.random.default_rng(0).random((150, 150, 3)) / 2 + 0.25
    noise[:4, :4] = (1.0, 0.0, 0.0)  # a mark of a few pixels
    shown, level = picture_widget(), ipywidgets.IntSlider(min=0, max=1, description="level")
    shown.value = png(noise)
    made = twin(ipywidgets.VBox([level, shown]), {"level": 2})
    content = base64.b64decode(made._repr_mimebundle_()[MIME]["frames"][0]["png"])
    stored = Image.open(io.BytesIO(content)).convert("RGB")
    assert len(stored.getcolors(10**6)) <= 256 and len(content) < len(shown.value) / 2
    red, *others = stored.getpixel((MARGIN + 1, MARGIN + 1))
    assert red > 230 and max(others) < 25


def test_a_picture_of_few_colours_is_kept_exactly():
    made = twin(toy(), {"level": 2})
    for frame, stored in zip(made.frames, made._repr_mimebundle_()[MIME]["frames"], strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(stored["png"])))
        assert picture.mode == "P" and np.array_equal(picture.convert("RGB"), frame)


def test_the_explorer_is_left_as_it_was():
    explorer = toy()
    before = [explorer.children[2].children[i].value for i in (0, 1)]
    twin(explorer, {"kind": 2, "level": 3})
    assert [explorer.children[2].children[i].value for i in (0, 1)] == before
    assert explorer.children[0].children[1].value == 0.5
    with pytest.raises(ValueError):
        twin(explorer, {"level": [0.1, 7.0]})
    assert explorer.children[0].children[1].value == 0.5


@pytest.mark.parametrize(
    ("controls", "says"),
    [
        ({}, "controls: got none"),
        ({"levl": 3}, r"controls: got \['levl'\], expected some of \['kind', 'level', 'count'\]"),
        ({"level": 1}, "level has 1 value, expected 2"),
        ({"level": [0.1]}, "level has 1 value, expected 2"),
        ({"level": [0.1, 2.0]}, "level does not take 2.0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(controls, says):
    with pytest.raises(ValueError, match=says):
        twin(toy(), controls)


@given(
    st.dictionaries(
        st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), min_size=1),
        st.integers(0, 1000).map(lambda n: n / 10),
        min_size=1,
    )
)
def test_bars_are_read_as_they_were_written(percent):
    bold = next(iter(percent))
    lines, rows = read_bars("<p>A <b>word</b>.<br>More.</p>" + bars(percent, bold=bold))
    assert lines == ["A word.", "More."]
    assert {row.name: row.percent for row in rows} == percent
    assert [row.name for row in rows if row.bold] == [bold]

"""A twin holds what its explorer shows at every place, for the site and for paper."""

import base64
import io
import itertools

import numpy as np
import pytest
from PIL import Image
from test_widgets_live import toy

from course_utils.widgets import twin
from course_utils.widgets.explorer import Explorer, Shown, Slider, as_html
from course_utils.widgets.twin import MIME


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def test_every_frame_shows_what_the_explorer_shows_there():
    explorer = toy()
    bundle = twin(explorer, kind=2, level=[0.2, 0.5, 0.8])._repr_mimebundle_()
    kind, level = bundle[MIME]["controls"]
    assert kind == {"label": "kind", "values": ["one", "two"], "start": 0, "choices": True}
    assert level == {"label": "level", "values": ["0.2", "0.5", "0.8"], "start": 1}
    frames = bundle[MIME]["frames"]
    places = list(itertools.product(("one", "two"), (0.2, 0.5, 0.8)))
    assert len(frames) == len(places)
    for (k, grey), frame in zip(places, frames, strict=True):
        shown = explorer.frame(kind=k, level=grey, count_of=1)
        assert frame["html"] == as_html(shown)
        assert list(frame["pictures"]) == list(shown.pictures)
        for drawn, picture in zip(frame["pictures"].values(), shown.pictures.values()):
            assert np.array_equal(pixels(drawn)[..., 0], picture)
        assert frame["alt"].startswith(f"kind {k}, level {grey}: A <{k}>. Next. ")
        assert f"a & b {100 * grey:.1f} %" in frame["alt"] and "c 21.0 %" in frame["alt"]
    assert len({frame["alt"] for frame in frames}) == len(frames)


def test_a_number_of_values_is_spread_from_end_to_end():
    count, level = twin(toy(), count_of=3, level=99).controls
    assert count["label"] == "count of" and count["values"] == ["-2", "0", "2"]
    assert level["values"] == [f"{i / 10:.1f}" for i in range(11)] and level["start"] == 5


def test_steps_that_binary_numbers_miss_are_reached():
    """0.1 + 0.1 + 0.1 is more than 0.3."""
    grey = Explorer(lambda level: Shown({}, [], [str(level)]), {"level": Slider(0, 0.3, 0.1, 0.1)})
    assert twin(grey, level=4).controls[0]["values"] == ["0.00", "0.10", "0.20", "0.30"]


def test_paper_shows_the_last_control_with_the_others_where_they_start():
    figure = twin(toy(), kind=["two", "one"], level=[0, 0.2, 0.4, 0.6, 1.0]).still()
    drawn = [ax for ax in figure.axes if ax.images]
    assert [ax.get_xlabel() for ax in drawn] == ["grey one"] * 4
    for ax, level in zip(drawn, (0, 0.2, 0.6, 1.0)):  # four of the five
        assert (ax.images[0].get_array() == round(255 * level)).all()
        assert ax.get_title() == f"kind one\nlevel {level:.1f}\nA <one>.\nNext."
    widths = [[bar.get_width() for bar in ax.patches] for ax in figure.axes if ax.patches]
    assert np.allclose(widths, [[100 * level, 21] for level in (0, 0.2, 0.6, 1.0)])


def test_a_cells_output_is_a_picture_words_and_the_frames():
    bundle = twin(toy(), level=11)._repr_mimebundle_()
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).size[0] > 800
    assert bundle["text/plain"] == "What the explorer shows over level (11 values)."


def test_a_photograph_is_kept_small_and_its_marks_stay():
    noise = np.random.default_rng(0).integers(64, 191, (150, 150, 3), np.uint8)
    noise[:4, :4] = (255, 0, 0)  # a mark of a few pixels
    seen = Explorer(lambda level: Shown({"": noise}, [], [""]), {"level": Slider(0, 1, 1, 0, 0)})
    content = twin(seen, level=2)._repr_mimebundle_()[MIME]["frames"][0]["pictures"][""]
    assert len(np.unique(pixels(content).reshape(-1, 3), axis=0)) <= 256
    assert len(base64.b64decode(content)) < noise.nbytes / 2
    red, *others = pixels(content)[1, 1]
    assert red > 230 and max(others) < 25


@pytest.mark.parametrize(
    ("controls", "says"),
    [
        ({}, "controls: got none"),
        ({"levl": 3}, r"controls: got \['levl'\], expected some of \['kind', 'level', 'count_of'\]"),
        ({"level": 1}, "level has 1 value, expected 2"),
        ({"level": [0.1]}, "level has 1 value, expected 2"),
        ({"level": [0.1, 2.0]}, "level does not take 2.0"),
        ({"kind": ["one", "three"]}, "kind does not take three"),
    ],
)
def test_what_cannot_be_shown_is_refused(controls, says):
    with pytest.raises(ValueError, match=says):
        twin(toy(), **controls)

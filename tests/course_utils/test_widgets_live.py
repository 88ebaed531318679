"""The driver that is alive shows what the frame says, wherever the controls are put."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from course_utils.widgets.explorer import Bar, Explorer, Menu, Shown, Slider, bars, png, screen


def toy(receive=None):
    """A menu, two sliders, a picture as grey as they say, and two bars."""
    kinds = Menu(["one", "two"])

    def frame(kind, level, count_of):
        grey = np.full((20, 30), level / (1 + kinds.options.index(kind)))
        rows = [Bar("a & b", 100 * level), Bar("c", 20.0 + count_of, True, "a note")]
        return Shown({f"grey {kind}": screen(grey)}, rows, [f"A <{kind}>.", "Next."])

    def take(name, content):
        if not content:
            raise ValueError("nothing in it")
        if name not in kinds.options:
            kinds.options.append(name)

    controls = {
        "kind": kinds, "level": Slider(0, 1, 0.1, 0.5, 1), "count_of": Slider(-2, 2, 1, 1, 0),
    }
    return Explorer(frame, controls, take if receive else None)


class Alive:
    """The parts of the widget by name."""

    def __init__(self, explorer):
        *self.controls, self.message, shown = explorer.widget().children
        *named, self.text = shown.children
        self.pictures = [box.children[0] for box in named]
        self.names = [box.children[1] for box in named]

    def pixels(self):
        return np.asarray(Image.open(io.BytesIO(self.pictures[0].value)))


def test_controls_are_as_described():
    kind, level, count = Alive(toy()).controls
    assert kind.options == ("one", "two") and kind.value == "one"
    assert (level.min, level.max, level.step, level.value) == (0, 1, 0.1, 0.5)
    assert (count.min, count.max, count.value, count.description) == (-2, 2, 1, "count of")
    assert type(count.value) is int and level.readout_format == ".1f"


def test_every_move_shows_the_frame_of_that_place():
    alive, explorer = Alive(toy()), toy()
    kind, level, count = alive.controls
    for k, grey, n in (("one", 0.5, 1), ("two", 0.5, 1), ("two", 0.2, 1), ("two", 0.2, -2)):
        kind.value, level.value, count.value = k, grey, n
        expected = explorer.frame(k, grey, n)
        assert np.array_equal(alive.pixels(), expected.pictures[f"grey {k}"])
        assert alive.names[0].value == f"grey {k}"
        assert f"A &lt;{k}&gt;.<br>Next." in alive.text.value
        rows = re.findall(r"<tr.*?</tr>", alive.text.value)
        assert [f"width:{100 * grey:.1f}%" in rows[0], "a &amp; b" in rows[0]] == [True, True]
        assert f"{20 + n:.1f} %" in rows[1] and "a note" in rows[1]
        assert ["bold" in row for row in rows] == [False, True]


def test_a_move_costs_one_frame():
    """Work for places in between would pile up behind a hand that goes on moving."""
    explorer, seen = toy(), []
    counted = Explorer(lambda **at: seen.append(at) or explorer.frame(**at), explorer.controls)
    alive = Alive(counted)
    for control, value in zip(alive.controls, ("two", 0.7, 2), strict=True):
        seen.clear()
        control.value = value
        assert len(seen) == 1


def test_an_upload_joins_the_menu_and_a_bad_one_is_told_so():
    alive = Alive(toy(receive=True))
    kind, upload, *_ = alive.controls
    send = lambda name, content: upload._handle_custom_msg({"name": name}, [memoryview(content)])
    send("<mine>", b"words")
    assert kind.options == ("one", "two", "<mine>") and kind.value == "<mine>"
    assert alive.names[0].value == "grey <mine>" and alive.message.value == ""
    send("<bad>", b"")
    assert alive.message.value == "&lt;bad&gt;: nothing in it" and kind.value == "<mine>"
    kind.value = "one"
    send("<mine>", b"others")
    assert kind.value == "<mine>" and alive.message.value == ""
    assert kind.options == ("one", "two", "<mine>")


@pytest.mark.parametrize(("low", "high", "step"), [(0, 0.3, 0.1), (-1, 1, 0.02), (-28, 28, 1)])
def test_a_sliders_places_are_within_its_ends(low, high, step):
    places = Slider(low, high, step, low).places()
    assert (places[0], places[-1]) == (low, high) and len(places) == round((high - low) / step) + 1
    assert np.allclose(np.diff(places), step)


def test_the_largest_bar_is_bold():
    assert bars({"a": 10.0, "b": 70.0}, notes={"a": "n"}) == [
        Bar("a", 10.0, False, "n"), Bar("b", 70.0, True, "")
    ]


def test_pixels_are_rounded_cut_and_magnified():
    shown = screen(np.array([[-1.0, 0.5], [2.0, 1.0]]), zoom=2)
    assert shown.tolist() == [[0, 0, 128, 128]] * 2 + [[255] * 4] * 2
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(shown)))), shown)

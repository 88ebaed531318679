"""Lecture 3's explorer shows what the layer does, for every place of its controls."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.figures.images import visible
from course_utils.lipschitz import amplified_pattern, frequency_norms
from course_utils.widgets import frequency_explorer


def layers():
    torch.manual_seed(0)
    return {
        "colour": (
            nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="circular"), (3, 16, 16)
        ),
        "grey": (nn.Conv2d(2, 5, 3, padding=1, padding_mode="circular"), (2, 9, 12)),
    }


def small(pixels, shape):
    """A magnified picture's own pixels, from 0 to 255."""
    zoom = pixels.shape[0] // shape[0]
    assert pixels.shape[:2] == (zoom * shape[0], zoom * shape[1]) and pixels.shape[0] >= 180
    return pixels[zoom // 2 :: zoom, zoom // 2 :: zoom].astype(float)


def numbers(shown):
    return [float(n) for n in re.findall(r"\d+\.\d{3}", " ".join(shown.words))]


def test_it_begins_at_the_frequency_that_is_amplified_most():
    for name, (layer, shape) in layers().items():
        explorer = frequency_explorer({name: (layer, shape)})
        down, right = (explorer.controls[way].start for way in ("down", "right"))
        norms = frequency_norms(layer, shape)
        shown = explorer.frame(name, down, right)
        here, most = numbers(shown)
        assert here == most == pytest.approx(norms.max().item(), abs=6e-4)
        assert norms[down, right] == norms.max()  # negative ones count from the end
        assert shown.words[-1].endswith(f"at {down} down, {right} right.")


@pytest.mark.parametrize("name", ["colour", "grey"])
@pytest.mark.parametrize("place", [(0, 0), (-2, 3), (1, -4)])
def test_the_pattern_shown_is_amplified_as_often_as_the_words_say(name, place):
    every = layers()
    shown = frequency_explorer(every).frame(name, *place)
    layer, shape = every[name]
    norms = frequency_norms(layer, shape)
    here, most = numbers(shown)
    assert here == pytest.approx(norms[place].item(), abs=6e-4)
    assert most == pytest.approx(norms.max().item(), abs=6e-4)
    drawn = small(shown.pictures["norms"], norms.shape)
    row, column = (np.fft.fftshift(np.arange(n)).tolist().index(k % n)
                   for n, k in zip(norms.shape, place))
    orange = (drawn[..., 0] == 255) & (drawn[..., 2] < 20)
    assert np.argwhere(orange).tolist() == [[row, column]]
    picture = small(shown.pictures["pattern"], shape[1:])
    expected = visible(amplified_pattern(layer, shape, tuple(k % n for k, n in zip(place, norms.shape))))
    assert np.abs(picture - 255 * expected).max() <= 0.5 + 1e-9
    # Where all channels are seen, the layer amplifies what is seen.
    if name == "colour":
        x = torch.from_numpy(picture / 255 - 0.5).permute(2, 0, 1)[None]
        with torch.no_grad():
            outputs = layer.double()(x) - layer.bias.view(-1, 1, 1)
        assert outputs.norm() / x.norm() == pytest.approx(here, rel=0.01)  # in 256 greys


def test_the_sliders_reach_every_frequency_and_the_smaller_layers_again():
    explorer = frequency_explorer(layers())
    norms = {name: frequency_norms(*layer) for name, layer in layers().items()}
    for way, axis in (("down", 0), ("right", 1)):
        places = explorer.controls[way].places()
        assert len(places) == max(values.shape[axis] for values in norms.values()) and 0 in places
    high = norms["colour"].shape[0]
    once, again = (explorer.frame("colour", k, 1) for k in (-1, high - 1))
    assert once.words == again.words


def test_bad_layers_are_refused():
    with pytest.raises(ValueError, match="layers: got none"):
        frequency_explorer({})
    with pytest.raises(TypeError, match="layer: got Linear"):
        frequency_explorer({"a": (nn.Linear(3, 2), (3, 1, 1))})

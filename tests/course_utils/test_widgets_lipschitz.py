"""Lecture 3's explorer shows what the layer does, for every place of its controls."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.figures.images import visible
from course_utils.lipschitz import frequency_norms
from course_utils.widgets import frequency_explorer


def layers():
    torch.manual_seed(0)
    return {
        "colour": (
            nn.Conv2d(3, 4, 3, stride=2, padding=1, padding_mode="circular"), (3, 16, 16)
        ),
        "grey": (nn.Conv2d(2, 5, 3, padding=1, padding_mode="circular"), (2, 9, 12)),
    }


def pixels(image, shape):
    picture = np.asarray(Image.open(io.BytesIO(image.value)), dtype=float)
    zoom = picture.shape[0] // shape[0]
    assert picture.shape[:2] == (zoom * shape[0], zoom * shape[1]) and picture.shape[0] >= 180
    return picture[zoom // 2 :: zoom, zoom // 2 :: zoom]


def shown(explorer):
    """The map, the pattern's picture, and the two numbers of the text."""
    menu, down, right, (grid, pattern, text) = (
        *explorer.children[:3], explorer.children[3].children
    )
    numbers = [float(n) for n in re.findall(r"\d+\.\d{3}", text.value)]
    return menu, down, right, grid, pattern, numbers


def test_it_begins_at_the_frequency_that_is_amplified_most():
    for name, (layer, shape) in layers().items():
        explorer = frequency_explorer({name: (layer, shape)})
        menu, down, right, _, _, (here, most) = shown(explorer)
        norms = frequency_norms(layer, shape)
        assert here == most == pytest.approx(norms.max().item(), abs=6e-4)
        assert norms[down.value, right.value] == norms.max()  # negative ones count from the end


@pytest.mark.parametrize("name", ["colour", "grey"])
@pytest.mark.parametrize("place", [(0, 0), (-2, 3), (1, -4)])
def test_the_pattern_shown_is_amplified_as_often_as_the_text_says(name, place):
    every = layers()
    explorer = frequency_explorer(every)
    menu, down, right, *_ = shown(explorer)
    menu.value = name
    down.value, right.value = place
    _, _, _, grid, picture, (here, _) = shown(explorer)
    layer, shape = every[name]
    norms = frequency_norms(layer, shape)
    assert here == pytest.approx(norms[place].item(), abs=6e-4)
    drawn = pixels(grid, norms.shape)
    row, column = (np.fft.fftshift(np.arange(n)).tolist().index(k % n)
                   for n, k in zip(norms.shape, place))
    orange = (drawn[..., 0] == 255) & (drawn[..., 2] < 20)
    assert np.argwhere(orange).tolist() == [[row, column]]
    # Where all channels are seen, the layer amplifies what is seen.
    seen = pixels(picture, shape[1:]) / 255 - 0.5
    if name == "colour":
        x = torch.from_numpy(seen).permute(2, 0, 1)[None]
        with torch.no_grad():
            outputs = layer.double()(x) - layer.bias.view(-1, 1, 1)
        assert outputs.norm() / x.norm() == pytest.approx(here, rel=0.01)  # in 256 greys


def test_the_sliders_reach_every_frequency_and_no_other():
    explorer = frequency_explorer(layers())
    menu, down, right, *_ = shown(explorer)
    for name in ("grey", "colour", "grey"):
        menu.value = name
        norms = frequency_norms(*layers()[name])
        for slider, size in zip((down, right), norms.shape):
            assert slider.max - slider.min + 1 == size
            assert slider.min <= 0 <= slider.max


def test_bad_layers_are_refused():
    with pytest.raises(ValueError, match="layers: got none"):
        frequency_explorer({})
    with pytest.raises(TypeError, match="layer: got Linear"):
        frequency_explorer({"a": (nn.Linear(3, 2), (3, 1, 1))})


def test_visible_is_what_is_drawn():
    layer, shape = layers()["grey"]
    explorer = frequency_explorer({"grey": (layer, shape)})
    _, down, right, _, picture, _ = shown(explorer)
    from course_utils.lipschitz import amplified_pattern

    norms = frequency_norms(layer, shape)
    frequency = (down.value % norms.shape[0], right.value % norms.shape[1])
    expected = visible(amplified_pattern(layer, shape, frequency))
    assert np.abs(pixels(picture, shape[1:]) - 255 * expected).max() <= 0.5 + 1e-9

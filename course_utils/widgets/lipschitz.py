"""Lecture 3's explorer: what a convolution amplifies, frequency by frequency."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from course_utils.figures.images import visible
from course_utils.lipschitz import amplified_pattern, frequency_norms
from course_utils.widgets.explorer import Explorer, Menu, Shown, Slider, screen

SIDE = 240  # screen pixels of each of the two pictures, at least


def frequency_explorer(
    layers: Mapping[str, tuple[nn.Conv2d, tuple[int, int, int]]]
) -> Explorer:
    """Choose a convolution and a frequency; see the input pattern that it amplifies most.

    On the left are the norms at all frequencies, with frequency 0 in the middle and the chosen
    one in orange; on the right the pattern, with 0 drawn grey, in colour if it has three channels,
    otherwise the channel that holds most.

    Args:
        layers: name to (layer, input_shape), as for `course_utils.lipschitz.frequency_norms`.

    Returns:
        An explorer with the controls `layer`, `down` and `right`, and two pictures. Frequencies
        count from 0 in the middle and begin at the one that the first layer amplifies most; a
        layer with fewer than another's repeats its own, as frequencies do.

    Raises:
        TypeError, ValueError: as `frequency_norms`; or there is no layer.
    """
    if not layers:
        raise ValueError("layers: got none, expected at least one")
    norms = {name: frequency_norms(*layer) for name, layer in layers.items()}
    starts = largest(next(iter(norms.values())))
    sides = np.max([values.shape for values in norms.values()], axis=0).tolist()

    def frame(layer: str, down: int, right: int) -> Shown:
        values = norms[layer]
        place = (down % values.shape[0], right % values.shape[1])
        here, most = values[place].item(), values.max().item()
        pattern = visible(amplified_pattern(*layers[layer], place))
        words = [f"Amplified {here:.3f} times;", f"{100 * here / most:.0f} % of the largest,",
                 "{:.3f} at {} down, {} right.".format(most, *largest(values))]
        pictures = {"norms": marked(values, place), "pattern": pattern}
        return Shown(
            {name: screen(pixels, zoom=max(1, -(-SIDE // max(pixels.shape[:2]))))
             for name, pixels in pictures.items()}, [], words,
        )

    controls = {
        name: Slider(-(side // 2), (side - 1) // 2, 1, start, digits=0)
        for name, side, start in zip(("down", "right"), sides, starts)
    }
    return Explorer(frame, {"layer": Menu(list(layers)), **controls})


def largest(values: torch.Tensor) -> list[int]:
    """The frequency of the largest norm, down and right, counted from 0 in the middle."""
    place = np.unravel_index(int(values.argmax()), values.shape)
    return [(int(k) + n // 2) % n - n // 2 for k, n in zip(place, values.shape)]


def marked(values: torch.Tensor, frequency: tuple[int, int]) -> np.ndarray:
    """The norms as grey, the largest white, frequency 0 in the middle, the chosen one orange."""
    grey = (values / values.max().clamp_min(1e-30)).cpu().numpy()
    colours = np.repeat(grey[..., None], 3, axis=2)
    colours[frequency] = (1.0, 0.5, 0.05)
    return np.fft.fftshift(colours, axes=(0, 1))

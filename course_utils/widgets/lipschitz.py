"""Lecture 3's explorer: what a convolution amplifies, frequency by frequency."""

from collections.abc import Mapping

import ipywidgets
import numpy as np
import torch
from torch import nn

from course_utils.figures.images import visible
from course_utils.lipschitz import amplified_pattern, frequency_norms
from course_utils.widgets.parts import picture_widget, png

SIDE = 240  # screen pixels of each of the two pictures, at least


def frequency_explorer(
    layers: Mapping[str, tuple[nn.Conv2d, tuple[int, int, int]]]
) -> ipywidgets.VBox:
    """Choose a convolution and a frequency; see the input pattern that it amplifies most.

    On the left are the norms at all frequencies, with frequency 0 in the middle and the chosen
    one in orange; on the right the pattern, with 0 drawn grey, in colour if it has three channels,
    otherwise the channel that holds most.

    Args:
        layers: name to (layer, input_shape), as for `course_utils.lipschitz.frequency_norms`.

    Returns:
        A VBox of four rows: the menu; the slider of the frequency down; that to the right; the
        two pictures (Images) and the norms (an HTML). Frequencies count from 0 in the middle; the
        explorer begins at the one that is amplified most, and so does each layer's choice.

    Raises:
        TypeError, ValueError: as `frequency_norms`; or there is no layer.
    """
    if not layers:
        raise ValueError("layers: got none, expected at least one")
    norms = {name: frequency_norms(*layer) for name, layer in layers.items()}
    menu = ipywidgets.Dropdown(options=list(layers), description="layer")
    down = ipywidgets.IntSlider(description="down")
    right = ipywidgets.IntSlider(description="right")
    map_of_norms, picture = picture_widget(), picture_widget()
    text = ipywidgets.HTML()
    busy = False

    def choose(change: object = None) -> None:
        nonlocal busy
        busy = True  # the sliders move together, and nothing is drawn half-way
        values = norms[menu.value]
        best = np.unravel_index(int(values.argmax()), values.shape)
        for slider, side, start in zip((down, right), values.shape, best):
            # Widen first: a slider refuses an end on the wrong side of the other.
            slider.min, slider.max = -1000, 1000
            slider.value = (int(start) + side // 2) % side - side // 2
            slider.min, slider.max = -(side // 2), (side - 1) // 2
        busy = False
        show()

    def show(change: object = None) -> None:
        if busy:
            return
        values = norms[menu.value]
        frequency = (down.value % values.shape[0], right.value % values.shape[1])
        here, most = values[frequency].item(), values.max().item()
        pattern = visible(amplified_pattern(*layers[menu.value], frequency))
        for widget, pixels in ((map_of_norms, _marked(values, frequency)), (picture, pattern)):
            widget.value = png(pixels, zoom=max(1, -(-SIDE // max(pixels.shape[:2]))))
        text.value = (
            f"<p>Amplified <b>{here:.3f}</b> times;<br>{100 * here / most:.0f} % of the largest, "
            f"{most:.3f}.</p>"
        )

    menu.observe(choose, names="value")
    for slider in (down, right):
        slider.observe(show, names="value")
    choose()
    return ipywidgets.VBox([
        menu, down, right, ipywidgets.HBox([map_of_norms, picture, text])
    ])


def _marked(values: torch.Tensor, frequency: tuple[int, int]) -> np.ndarray:
    """The norms as grey, the largest white, frequency 0 in the middle, the chosen one orange."""
    grey = (values / values.max().clamp_min(1e-30)).numpy()
    colours = np.repeat(grey[..., None], 3, axis=2)
    colours[frequency] = (1.0, 0.5, 0.05)
    return np.fft.fftshift(colours, axes=(0, 1))

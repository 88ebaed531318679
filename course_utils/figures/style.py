"""What all figures share: their look, the line styles that need no colour, and their door."""

import functools
from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from course_utils.device import on_cpu

SMALL = 64  # pixels a side, up to which a picture's pixels are to be seen one by one
SIX = cycler(
    linestyle=["-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))], marker=list("os^Dvx")
)
SIX_STYLES = [*cycler(color=["black", "0.45", "tab:blue", "black", "0.45", "tab:orange"]) + SIX]
STYLES = [*cycler(color=["black", "tab:orange", "tab:blue"]) + SIX[:3]]


def use_style() -> None:
    """Set the course's style for all figures drawn from now on."""
    plt.rcParams.update({"axes.grid": True, "axes.spines.right": False, "axes.spines.top": False})
    plt.rcParams.update({"figure.constrained_layout.use": True, "figure.dpi": 110, "font.size": 11})
    plt.rcParams.update({"grid.alpha": 0.3, "image.cmap": "gray", "lines.markersize": 5})


def from_any_device(draw: Callable) -> Callable:
    """Let a figure take tensors of any device, with gradients or without, nested or not.

    What it draws from are copies on the CPU.
    """

    @functools.wraps(draw)
    def figure(*arguments, **options):
        return draw(*on_cpu(arguments), **on_cpu(options))

    return figure


def side_by_side(count: int, width: float, height: float, **options) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches, and its Axes; options: of `plt.subplots`."""
    figure, axes = plt.subplots(1, count, figsize=(width, height), squeeze=False, **options)
    return figure, list(axes[0])


def hollow(style: Mapping, size: float = 7) -> dict:
    """A style's colour and hollow marker, without its line."""
    return style | {"linestyle": "none", "fillstyle": "none", "markersize": size}


def mark_at(ax: Axes, place: float, name: str = "") -> None:
    """A vertical line at a place on the axis, with its name on top."""
    ax.axvline(place, color="0.5", linewidth=1, linestyle="-" if name else ":")
    if name:
        on_top = {"transform": ax.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        ax.text(place, 1.01, name, **on_top, fontsize=10)


def mark_level(ax: Axes, height: float, name: str) -> None:
    """A dotted horizontal line, with its name at the right of the Axes."""
    ax.axhline(height, color="0.5", linestyle=":", linewidth=1)
    write_beside(ax, height, name, at=1.01)


def write_beside(ax: Axes, height: float, text: str, *, at: float = 1.02, **options) -> None:
    """Text at the right of the Axes (which end at 1), at a height of its vertical axis."""
    options = {"va": "center", "fontsize": 10} | options
    ax.text(at, height, text, transform=ax.get_yaxis_transform(), **options)


def legend_beside(ax: Axes, **options) -> None:
    """The legend, at the right of the Axes."""
    ax.legend(**{"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False} | options)


def apart(heights: list[float], *, least: float) -> list[float]:
    """Move labels as little as possible (in squares) so that any two are `least` apart."""
    order = np.argsort(heights, kind="stable")
    # Less rank * least, the labels need only not fall.
    steps = least * np.arange(len(heights))
    moved = np.empty(len(heights))
    moved[order] = isotonic_regression(np.array(heights)[order] - steps).x + steps
    return moved.tolist()


def show_picture(
    ax: Axes, picture: torch.Tensor, beneath: str = "", *, title: str = "", signed: bool = False
) -> None:
    """Draw a picture (1 or 3, H, W) in [0, 1], or, `signed`, in [-1, 1] with 0 as grey."""
    low = -1 if signed else 0
    if len(picture) == 3:  # colours have no limits that one could set
        pixels = ((picture - low) / (1 - low)).clamp(0, 1).permute(1, 2, 0)
    else:
        pixels = picture.squeeze(0)
    # Smoothed, a pattern of signs would show greys that are not in it.
    way = "nearest" if signed or len(pixels) <= SMALL else None
    ax.imshow(pixels.numpy(), vmin=low, vmax=1, cmap="gray", interpolation=way)
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(beneath, fontsize=10, labelpad=3)
    ax.set_title(title, fontsize=10)
    ax.grid(False)
    ax.spines[:].set_visible(False)

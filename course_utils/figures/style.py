"""The look that all figures share, the line styles that need no colour, and the figures' door."""

import functools
from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes

STYLES = (
    {"color": "black", "linestyle": "-", "marker": "o"},
    {"color": "tab:orange", "linestyle": "--", "marker": "s"},
    {"color": "tab:blue", "linestyle": ":", "marker": "^"},
)
SIX_STYLES = tuple(
    {"color": color, "linestyle": line, "marker": marker}
    for color, line, marker in zip(
        ("black", "0.45", "tab:blue", "black", "0.45", "tab:orange"),
        ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))),
        "os^Dvx",
        strict=True,
    )
)
STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "font.size": 11,
    "grid.alpha": 0.3,
    "image.cmap": "gray",
    "lines.markersize": 5,
}


def use_style() -> None:
    """Set the course's style for all figures drawn from now on."""
    plt.rcParams.update(STYLE)


def from_any_device(draw: Callable) -> Callable:
    """Let a figure take tensors of any device, with gradients or without.

    What it draws from are copies on the CPU, also of tensors in its mappings and sequences.
    """

    @functools.wraps(draw)
    def figure(*arguments, **options):
        return draw(*map(on_cpu, arguments), **on_cpu(options))

    return figure


def on_cpu(value: object) -> object:
    """`value` with every tensor in it detached and on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {name: on_cpu(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [on_cpu(part) for part in value]
    return value


def line(style: Mapping) -> dict:
    """A style's colour and dashes, without its marker."""
    return {"color": style["color"], "linestyle": style["linestyle"]}


def hollow(style: Mapping, size: float = 7) -> dict:
    """A style's colour and hollow marker, without its line."""
    return style | {"linestyle": "none", "fillstyle": "none", "markersize": size}


def mark_at(ax: Axes, place: float, name: str = "") -> None:
    """A vertical line at a place on the axis, with its name on top."""
    ax.axvline(place, color="0.5", linewidth=1, linestyle="-" if name else ":")
    if name:
        ax.annotate(name, (place, 1.01), xycoords=("data", "axes fraction"), ha="center",
                    va="bottom", fontsize=10, annotation_clip=False)


def legend_beside(ax: Axes, **options) -> None:
    """The legend, at the right of the Axes."""
    ax.legend(**{"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False} | options)

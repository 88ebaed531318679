"""The look that all figures share, the line styles that need no colour, and the figures' door."""

import functools
from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def _styles(colors: tuple, lines: tuple, markers: str) -> tuple[dict, ...]:
    names = ("color", "linestyle", "marker")
    return tuple(dict(zip(names, style)) for style in zip(colors, lines, markers, strict=True))


STYLES = _styles(("black", "tab:orange", "tab:blue"), ("-", "--", ":"), "os^")
SIX_STYLES = _styles(("black", "0.45", "tab:blue", "black", "0.45", "tab:orange"),
                     ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))), "os^Dvx")


def use_style() -> None:
    """Set the course's style for all figures drawn from now on."""
    plt.rcParams.update({"axes.grid": True, "axes.spines.right": False, "axes.spines.top": False,
                         "figure.constrained_layout.use": True, "figure.dpi": 110, "font.size": 11,
                         "grid.alpha": 0.3, "image.cmap": "gray", "lines.markersize": 5})


def from_any_device(draw: Callable) -> Callable:
    """Let a figure take tensors of any device, with gradients or without, nested or not.

    What it draws from are copies on the CPU.
    """

    @functools.wraps(draw)
    def figure(*arguments, **options):
        return draw(*on_cpu(arguments), **on_cpu(options))

    return figure


def on_cpu(value: object) -> object:
    """`value` with every tensor in it detached and on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {name: on_cpu(part) for name, part in value.items()}
    return [*map(on_cpu, value)] if isinstance(value, list | tuple) else value


def side_by_side(count: int, width: float, height: float, **options) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches, and its Axes; options: of `plt.subplots`."""
    figure, axes = plt.subplots(1, count, figsize=(width, height), squeeze=False, **options)
    return figure, list(axes[0])


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


def mark_level(ax: Axes, height: float, name: str) -> None:
    """A dotted horizontal line, with its name at the right of the Axes."""
    ax.axhline(height, color="0.5", linestyle=":", linewidth=1)
    write_beside(ax, height, name, at=1.01)


def write_beside(ax: Axes, height: float, text: str, *, at: float = 1.02, **options) -> None:
    """Text at the right of the Axes (which end at 1), at a height of its vertical axis."""
    ax.text(at, height, text, transform=ax.get_yaxis_transform(), va="center",
            **{"fontsize": 10} | options)


def legend_beside(ax: Axes, **options) -> None:
    """The legend, at the right of the Axes."""
    ax.legend(**{"loc": "center left", "bbox_to_anchor": (1.02, 0.5), "frameon": False} | options)

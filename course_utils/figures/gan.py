"""The figures of Lecture 5: the game between two networks, and what comes of it."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.figures.style import STYLES, hollow, legend_beside, mark_level, side_by_side

Curve = Sequence[float]
Curves = Mapping[str, Curve]


def discriminators(points: Curve, densities: Curves, outputs: Curves) -> Figure:
    """Densities on a line, and below them what discriminators say there, from 0 to 1.

    points: (S,), ascending. densities, outputs: name to values (S,); the first of the outputs is
    drawn as a broad grey line under the others.
    """
    options = {"figsize": (7.6, 4.6), "sharex": True, "height_ratios": [1, 1.3]}
    figure, (above, below) = plt.subplots(2, 1, **options)
    for (name, values), style in zip(densities.items(), STYLES):
        above.plot(points, values, **style | {"marker": ""}, label=name)
        above.fill_between(points, values, color=style["color"], alpha=0.1)
    above.set(ylabel="density", ylim=(0, None))
    (name, values), *others = outputs.items()
    below.plot(points, values, color="0.7", linewidth=6, label=name)
    for (name, values), style in zip(others, STYLES):
        below.plot(points, values, color="black", linestyle=style["linestyle"], label=name)
    below.axhline(0.5, color="0.5", linestyle=":", linewidth=1)
    below.set(xlabel="x", ylabel="D(x)", ylim=(-0.02, 1.02))
    for ax in (above, below):
        legend_beside(ax)
    return figure


def game_values(values: pd.DataFrame, *, xlabel: str) -> Axes:
    """The value of the game for several discriminators (columns) over the index.

    The first column is a line, the one or two others are hollow marks. Both ends of what the best
    value can be are marked: -log 4 and 0.
    """
    ax = plt.subplots(figsize=(7.2, 3.6))[1]
    best, *others = values
    ax.plot(values.index, values[best], color="black", label=best)
    for column, style, size in zip(others, STYLES[1:], (10, 6)):
        ax.plot(values.index, values[column], **hollow(style, size), label=column)
    mark_level(ax, -np.log(4), "-log 4")
    mark_level(ax, 0.0, "0")
    ax.set(xlabel=xlabel, ylabel="value of the game", ylim=(-1.5, 0.1))
    ax.legend(loc="lower right")
    return ax


def saturation(logits: Curve, slopes: Curves, paths: Curves) -> Figure:
    """How steep the generator's losses are, and how it moves by each.

    logits: (S,), D's, of a generated point, ascending. slopes: for each loss, how steep it is
    there (S,). paths: for each, the distance from the data after every round, from the start.
    """
    figure, (left, right) = side_by_side(2, 9, 3.5)
    for (name, values), style in zip(slopes.items(), STYLES):
        left.plot(logits, values, **style | {"marker": ""}, label=name)
        right.plot(paths[name], **style, markevery=max(1, len(paths[name]) // 12), label=name)
    left.set(xlabel="D's logit of a generated point", ylabel="size of the loss's slope")
    left.annotate("D is sure:\n“generated”", (min(logits), 0.5), fontsize=9, va="center")
    left.annotate("D is fooled", (max(logits), 0.5), fontsize=9, ha="right", va="center")
    right.set(xlabel="round", ylabel="distance of G's points from the data", ylim=(0, None))
    right.legend(loc="upper right")
    return figure


def class_shares(table: pd.DataFrame, *, least: float) -> Axes:
    """How often each class (index) occurs in several sets (columns), in %; `least` is marked."""
    ax = plt.subplots(figsize=(7.2, 3.4))[1]
    for place, ((name, values), style) in enumerate(zip(table.items(), STYLES)):
        at = np.arange(len(table)) + 0.16 * (place - (table.shape[1] - 1) / 2)
        ax.vlines(at, 0, values, color="0.8", linewidth=1)
        fill = {"fillstyle": "none" if place else "full"}
        ax.plot(at, values, **hollow(style) | fill, label=name)
    mark_level(ax, least, f"{least:g} %")
    ax.set_xticks(range(len(table)), labels=table.index)
    ax.set(xlabel="taken for", ylabel="share (%)", ylim=(0, None))
    ax.grid(False, axis="x")
    legend_beside(ax, bbox_to_anchor=(1.08, 0.5))
    return ax


def game_in_the_plane(
    panels: Mapping[str, tuple[Tensor, Tensor, Tensor]], real: Tensor, *, extent: float
) -> Figure:
    """States of a game between points: D's answers as shades, real and generated points, arrows.

    `panels`: title to generated points (N, 2), the arrows at them (N, 2), and D's answers (S, S)
    from 0 to 1, by rows from the bottom, over [-extent, extent] both ways. `real`: points (M, 2).
    """
    figure, axes = side_by_side(len(panels), 3 * len(panels), 3.4)
    ends, grey = (-extent, extent), {"cmap": "Greys_r", "vmin": -0.4, "vmax": 1, "alpha": 0.8}
    for ax, (title, (made, arrows, answers)) in zip(axes, panels.items()):
        shades = ax.imshow(answers, origin="lower", extent=ends * 2, **grey)
        ax.plot(*real.T, ".", color="black", markersize=2, label="real")
        ax.plot(*made.T, "x", color="tab:orange", markersize=5, label="generated")
        ax.quiver(*made.T, *arrows.T, color="tab:blue", width=0.006)
        ax.set(xlabel="first number", xlim=ends, ylim=ends, aspect="equal")
        ax.set_title(title, fontsize=11)
        ax.grid(False)
    axes[0].set_ylabel("second number")
    axes[0].legend(loc="lower left", fontsize=8)
    figure.colorbar(shades, ax=axes, label="D", shrink=0.7, boundaries=np.linspace(0, 1, 51))
    return figure

"""The figures of the attacks: their search, their steps, and what a network says along them."""

from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from course_utils.figures.style import (
    STYLES,
    apart,
    legend_beside,
    mark_at,
    show_picture,
    side_by_side,
)
from course_utils.inference import logits_of


def descent_paths(function: Callable, paths: Mapping[str, np.ndarray]) -> Axes:
    """Paths of minimisers over the contours of a function of two pixels, with the box [0, 1]^2.

    `function` takes points (..., 2) and returns its values (...). `paths`: for each name, its
    points (steps, 2) from the start to the end.
    """
    ax = plt.subplots(figsize=(6.4, 4.6))[1]
    side = np.linspace(-0.15, 1.15, 201)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    values = function(grid)
    levels = values.min() + np.ptp(values) * np.linspace(0.02, 1, 14) ** 2
    ax.contour(*grid.transpose(2, 0, 1), values, levels, colors="0.75", linewidths=0.8)
    ax.add_patch(plt.Rectangle((0, 0), 1, 1, fill=False, linewidth=2))
    ax.annotate("the box", (0.02, 0.03), fontsize=10)
    for (name, path), style in zip(paths.items(), STYLES):
        label = f"{name}: {len(path) - 1} steps"
        ax.plot(*np.asarray(path).T, **(style | {"markersize": 4}), linewidth=1.4, label=label)
    start, end = np.asarray(path)[[0, -1]]
    ax.plot(*start, "D", color="black", markersize=8, label="start")
    ax.plot(*end, "*", color="black", markersize=15, label="lowest point of the box")
    ax.set(xlabel="first pixel", ylabel="second pixel", aspect="equal")
    ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    ax.grid(False)
    legend_beside(ax)
    return ax


def penalty_search(table: pd.DataFrame) -> Figure:
    """What becomes of the minimiser as c falls.

    `table`: one row for each c, with the columns "c", "||r||", "P(target)" in percent and
    "reached" (bool).
    """
    figure, axes = side_by_side(2, 8, 3.2)
    names = {"||r||": "||r|| of the minimiser", "P(target)": "probability of the target (%)"}
    for ax, (column, name) in zip(axes, names.items()):
        ax.plot(table["c"], table[column], color="0.6", zorder=1)
        for reached, face, label in ((False, "white", "not reached"), (True, "black", "reached")):
            some = table[table["reached"] == reached]
            dots = {"facecolor": face, "edgecolor": "black", "s": 45, "zorder": 2}
            ax.scatter(some["c"], some[column], **dots, label=f"target {label}")
        ax.set(xscale="log", xlabel="c (falls to the right)", ylabel=name, ylim=(0, None))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.invert_xaxis()
    axes[0].legend(loc="lower right")
    return figure


def probability_strip(
    model: nn.Module, image: torch.Tensor, perturbation: torch.Tensor, *, label: int, target: int
) -> Figure:
    """A model's probabilities as r grows: x + t r for t from 0 to 1.5, clipped to [0, 1].

    The pictures above stand over their t. `image`, `perturbation`: (1, 28, 28). `label`, `target`:
    the classes to show; the other eight are added up.
    """
    scales = torch.linspace(0, 1.5, 151)
    images = (image + scales.view(-1, 1, 1, 1) * perturbation).clamp(0, 1)
    place = next(model.parameters()).device
    chances = 100 * logits_of(model, images.to(place)).softmax(1).cpu()
    shown = range(0, len(scales), 25)
    figure = plt.figure(figsize=(8, 4.6))
    grid = figure.add_gridspec(2, len(shown), height_ratios=[1, 2.6])
    for column, index in enumerate(shown):
        ax = figure.add_subplot(grid[0, column])
        show_picture(ax, images[index], title=f"t = {scales[index]:g}")
    ax = figure.add_subplot(grid[1, :])
    curves = {f"{label}, the digit": chances[:, label], f"{target}, the target": chances[:, target]}
    curves["the other eight together"] = 100 - sum(curves.values())
    for (name, curve), style in zip(curves.items(), STYLES):
        ax.plot(scales, curve, **style, markevery=15, label=name)
    mark_at(ax, 1, "the attack's r")
    ax.set(xlabel="t, the scale of the perturbation", ylabel="probability (%)", ylim=(0, 100))
    ax.set_xlim(-0.12, 1.62)
    ax.legend(loc="center left")
    return figure


def landscapes(maps: Mapping[str, torch.Tensor], *, end: float, xlabel: str, ylabel: str) -> Figure:
    """Losses over two directions, a panel for each name: shades and contours of one scale.

    `maps`: for each name (S, S), over steps from 0 to `end` along the second direction (across, its
    name is the `xlabel`) and the first (up); the same S for all.
    """
    figure, axes = side_by_side(len(maps), 3.1 * len(maps) + 0.8, 3.4, sharey=True)
    # By the square root, so that both the low ground and the peaks have contours.
    heights = {name: losses.clamp_min(0).sqrt() for name, losses in maps.items()}
    top = max(float(height.max()) for height in heights.values())
    levels = torch.linspace(0, max(top, 1e-6), 13).tolist()
    for ax, (name, height) in zip(axes, heights.items()):
        side = torch.linspace(0, end, len(height))
        shades = ax.contourf(side, side, height, levels, cmap="Greys")
        lines = ax.contour(side, side, height, levels[1:], colors="black", linewidths=0.6)
        ax.clabel(lines, fmt=lambda level: f"{level**2:.2g}", fontsize=7)
        ax.set(xlabel=xlabel, xticks=[0, end / 2, end], yticks=[0, end / 2, end], aspect="equal")
        ax.set_title(name, fontsize=10)
        ax.grid(False)
    axes[0].set_ylabel(ylabel)
    bar = figure.colorbar(shades, ax=axes[-1], label="loss", shrink=0.8)
    bar.set_ticks(levels[::3], labels=[f"{level**2:.2g}" for level in levels[::3]])
    return figure


def logit_lines(steps: torch.Tensor, panels: Mapping[str, torch.Tensor], *, label: int) -> Figure:
    """The logits of all classes along a direction, one panel for each direction.

    `steps`: (S,), how far along it, in pixel units, ascending. `panels`: for each direction's name
    its logits (S, classes). `label`: the true class, drawn thick; each line has its class at its
    right end.
    """
    figure, axes = side_by_side(len(panels), 4.2 * len(panels), 3.9, sharey=True)
    least = np.ptp(torch.cat([logits.flatten() for logits in panels.values()]).numpy()) / 22
    for ax, (title, logits) in zip(axes, panels.items()):
        heights = logits[-1].tolist()
        for k, (height, at) in enumerate(zip(heights, apart(heights, least=least), strict=True)):
            style = {"color": "black", "linewidth": 2.6} if k == label else {"color": "0.55"}
            weight = "bold" if k == label else "normal"
            ax.plot(steps, logits[:, k], **style)
            ax.plot([steps[-1], 1.12 * steps[-1]], [height, at], color="0.7", linewidth=0.8)
            ax.text(1.16 * steps[-1], at, str(k), fontsize=9, va="center", weight=weight)
        mark_at(ax, 0)
        ax.set_xlabel("step per pixel")
        ax.set_title(title, fontsize=11)
    axes[0].set_ylabel("logit")
    return figure

"""The figures of Lecture 1: the attack, and how large its perturbations are."""

import math
from collections.abc import Callable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from course_utils.figures.images import show_picture
from course_utils.figures.style import STYLES
from course_utils.models import eval_mode


def training(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The loss that `course_utils.training.fit_linear` met, evaluation by evaluation."""
    ax = ax or plt.subplots(figsize=(6, 3.2))[1]
    ax.plot(history["evaluation"], history["loss"], **STYLES[0])
    ax.set(xlabel="evaluation of the loss", ylabel="loss with weight decay")
    ax.set_ylim(bottom=0)
    return ax


def descent_paths(
    function: Callable[[np.ndarray], np.ndarray],
    paths: Mapping[str, np.ndarray],
    *,
    ax: Axes | None = None,
) -> Axes:
    """Paths of minimisers over the contours of a function of two pixels, with the box [0, 1]^2.

    Args:
        function: takes points (..., 2) and returns its values (...).
        paths: for each name, its points (steps, 2) from the start to the end.
    """
    ax = ax or plt.subplots(figsize=(6.4, 4.6))[1]
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
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return ax


def penalty_search(table: pd.DataFrame) -> Figure:
    """What becomes of the minimiser as c falls.

    `table`: one row for each c, with the columns "c", "||r||", "P(target)" in percent and
    "reached" (bool).
    """
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    for ax, column in zip(axes, ("||r||", "P(target)"), strict=True):
        ax.plot(table["c"], table[column], color="0.6", zorder=1)
        for reached, face, label in ((False, "white", "not reached"), (True, "black", "reached")):
            some = table[table["reached"] == reached]
            ax.scatter(some["c"], some[column], facecolor=face, edgecolor="black", s=45,
                       label=f"target {label}", zorder=2)
        ax.set(xscale="log", xlabel="c (falls to the right)")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.invert_xaxis()
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("||r|| of the minimiser")
    axes[1].set_ylabel("probability of the target (%)")
    axes[0].legend(loc="lower right")
    return figure


def histograms(
    values: Mapping[str, torch.Tensor], *, xlabel: str, ax: Axes | None = None
) -> Axes:
    """Histograms of one quantity on common bins; each mean is marked by a vertical line."""
    ax = ax or plt.subplots(figsize=(7, 3.4))[1]
    arrays = {name: np.asarray(value) for name, value in values.items()}
    bins = np.linspace(0, max(array.max() for array in arrays.values()), 50)
    hatches = ("", "////", "....")
    for (name, array), style, hatch in zip(arrays.items(), STYLES, hatches):
        line = {"color": style["color"], "linestyle": style["linestyle"]}
        ax.hist(array, bins, histtype="stepfilled", facecolor="none", hatch=hatch,
                edgecolor=style["color"], label=f"{name} (mean {array.mean():.3f})")
        ax.axvline(array.mean(), **line)
    ax.set(xlabel=xlabel, ylabel="images")
    ax.set_xlim(left=0)
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    return ax


def class_matrix(matrix: torch.Tensor, *, label: str, ax: Axes | None = None) -> Axes:
    """A number for each pair of true digit (rows) and target (columns), printed in its cell.

    `matrix`: float (10, 10), NaN where there is none; `label`: what the numbers are.
    """
    ax = ax or plt.subplots(figsize=(5.8, 5.4))[1]
    values = np.asarray(matrix, dtype=float)
    ax.imshow(values, cmap="Greys", vmin=0, vmax=1.7 * np.nanmax(values))  # black text on all
    for (row, column), value in np.ndenumerate(values):
        text = "-" if math.isnan(value) else f"{value:.0f}"
        ax.text(column, row, text, ha="center", va="center")
    ax.set(title=label, xlabel="target", ylabel="digit")
    ax.set(xticks=range(len(values)), yticks=range(len(values)))
    ax.grid(False)
    return ax


def agreement(
    exact: torch.Tensor, ours: torch.Tensor, *, label: str, ax: Axes | None = None
) -> Axes:
    """Our values (N,) against the exact ones (N,), and the diagonal on which both are equal."""
    ax = ax or plt.subplots(figsize=(4.6, 4.2))[1]
    exact, ours = np.asarray(exact), np.asarray(ours)
    end = 1.05 * max(exact.max(), ours.max())
    ax.plot([0, end], [0, end], "--", color="0.5", label="equal")
    ax.plot(exact, ours, "o", color="black", fillstyle="none", label="one image")
    ax.set(xlabel=f"{label}: exact", ylabel=f"{label}: our attack", aspect="equal")
    ax.set(xlim=(0, end), ylim=(0, end))
    ax.legend(frameon=False)
    return ax


def probability_strip(
    model: nn.Module, image: torch.Tensor, perturbation: torch.Tensor, *, label: int, target: int
) -> Figure:
    """A model's probabilities as r grows: x + t r for t from 0 to 1.5, clipped to [0, 1].

    The pictures above stand over their t.

    Args:
        image, perturbation: (1, 28, 28).
        label, target: the classes to show; the other eight are added up.
    """
    scales = torch.linspace(0, 1.5, 151)
    with eval_mode(model), torch.no_grad():
        images = (image + scales.view(-1, 1, 1, 1) * perturbation).clamp(0, 1)
        chances = 100 * model(images).softmax(1).cpu()
    shown = range(0, len(scales), 25)
    figure = plt.figure(figsize=(8, 4.6))
    grid = figure.add_gridspec(2, len(shown), height_ratios=[1, 2.6])
    for column, index in enumerate(shown):
        ax = figure.add_subplot(grid[0, column])
        show_picture(ax, images[index])
        ax.set_title(f"t = {scales[index]:g}", fontsize=10)
    ax = figure.add_subplot(grid[1, :])
    curves = {f"{label}, the digit": chances[:, label], f"{target}, the target": chances[:, target]}
    curves["the other eight together"] = 100 - sum(curves.values())
    for (name, curve), style in zip(curves.items(), STYLES):
        ax.plot(scales, curve, **style, markevery=15, label=name)
    ax.axvline(1, color="0.5", linewidth=1)
    ax.annotate("the attack's r", (1, 101), ha="center", va="bottom", fontsize=10,
                annotation_clip=False)
    ax.set(xlabel="t, the scale of the perturbation", ylabel="probability (%)", ylim=(0, 100))
    ax.set_xlim(-0.12, 1.62)
    ax.legend(loc="center left")
    return figure

"""The figures of Lecture 4: the fast gradient sign, and networks trained against it."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from course_utils.figures.style import SIX_STYLES, STYLES


def sign_equation(
    pictures: Sequence[torch.Tensor], captions: Sequence[str], *, factor: str
) -> Figure:
    """x + eps * s = x + eps * s, as on the deck: a photograph, a pattern of signs, their sum.

    Args:
        pictures: three tensors (3, H, W): the photograph in [0, 1]; the pattern in [-1, 1], drawn
            with 0 as grey; the sum in [0, 1].
        captions: what to write beneath each.
        factor: what the pattern is multiplied by, written before it.
    """
    picture, pattern, total = pictures
    figure, axes = plt.subplots(1, 5, figsize=(8.4, 2.7), width_ratios=[1, 0.42, 1, 0.16, 1])
    for ax, sign in zip(axes[1::2], (f"+ {factor} ×", "="), strict=True):
        ax.axis("off")
        ax.text(0.5, 0.5, sign, fontsize=18, ha="center", va="center")
    # Smoothed, a pattern of signs would show greys that are not in it.
    ways = (None, "nearest", None)
    for ax, shown, way, caption in zip(
        axes[::2], (picture, (pattern + 1) / 2, total), ways, captions, strict=True
    ):
        show_photograph(ax, shown, interpolation=way)
        ax.set_xlabel(caption, fontsize=11)
    return figure


def confidence_over_eps(
    eps: Sequence[float], first: Sequence[float], winner: Sequence[float],
    names: Sequence[str], *, mark: float, ax: Axes | None = None,
) -> Axes:
    """Confidence in the first class and in the winner, in percent, over the size of the step.

    Args:
        eps: sizes, ascending.
        first, winner: for each, the confidence in the class that won at the first of them, and
            that of the class that wins.
        names: for each, the winner's name, written where it changes.
        mark: a size to mark by a vertical line.
    """
    ax = ax or plt.subplots(figsize=(8.6, 3.6))[1]
    at = range(len(eps))
    for values, style, label in zip(
        (first, winner), STYLES, (f"in “{names[0]}”", "in the winner"), strict=False
    ):
        ax.plot(at, values, **style, label=label)
    changes = [0] + [i for i in at[1:] if names[i] != names[i - 1]]
    for i in changes:
        ax.annotate(names[i], (i, 103), rotation=25, fontsize=9, annotation_clip=False)
        if i:
            ax.axvline(i - 0.5, color="0.8", linewidth=1)
    ax.axvline(list(eps).index(mark), color="0.5", linestyle=":", linewidth=1)
    ax.set_xticks(at, labels=[f"{value:g}".lstrip("0") or "0" for value in eps], fontsize=9)
    ax.set(xlabel="eps (not to scale)", ylabel="confidence (%)")
    ax.set_ylim(0, 100)
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return ax


def logit_lines(
    steps: torch.Tensor, panels: Mapping[str, torch.Tensor], *, label: int
) -> Figure:
    """The logits of all classes along a direction, one panel for each direction.

    Args:
        steps: (S,), how far along it, in pixel units, ascending.
        panels: for each direction's name its logits (S, classes).
        label: the true class, drawn thick; each line has its class at its right end.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.9), sharey=True)
    for ax, (title, logits) in zip(axes, panels.items(), strict=True):
        logits = logits.detach().cpu()
        heights = logits[-1].tolist()
        labels = _apart(heights, least=_range(panels) / 22)
        for k, (height, at) in enumerate(zip(heights, labels, strict=True)):
            style = {"color": "black", "linewidth": 2.6} if k == label else {"color": "0.55"}
            ax.plot(steps, logits[:, k], **style)
            ax.plot([steps[-1], 1.12 * steps[-1]], [height, at], color="0.7", linewidth=0.8)
            ax.text(1.16 * steps[-1], at, str(k), fontsize=9, va="center",
                    weight="bold" if k == label else "normal")
        ax.axvline(0, color="0.5", linestyle=":", linewidth=1)
        ax.set(xlabel="step per pixel", title=title)
        ax.title.set_fontsize(11)
    axes[0].set_ylabel("logit")
    return figure


def against_eps(
    panels: Mapping[str, pd.DataFrame], *, mark: float | None = None
) -> Figure:
    """Percentages over the attack's size: one panel for each table, one line for each column.

    Args:
        panels: ylabel to table; index: eps, ascending; columns: networks or attacks, the same in
            all tables, at most six; values in percent, NaN where there is none.
        mark: a size to mark by a vertical line.
    """
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.9 * len(panels) + 1.8, 3.7), squeeze=False
    )
    for ax, (ylabel, table) in zip(axes[0], panels.items(), strict=True):
        for (name, values), style in zip(table.items(), SIX_STYLES):
            ax.plot(table.index, values, **style, label=name)
        if mark is not None:
            ax.axvline(mark, color="0.5", linestyle=":", linewidth=1)
        ax.set(xlabel="eps", ylabel=ylabel, ylim=(-2, 102))
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return figure


def seeds(runs: Mapping[str, Sequence[float]], *, xlabel: str, ax: Axes | None = None) -> Axes:
    """What several seeds gave under each condition: a mark for each, and a bar at their mean.

    `runs`: condition to the numbers of its seeds.
    """
    ax = ax or plt.subplots(figsize=(7, 0.42 * len(runs) + 1))[1]
    for line, values in enumerate(runs.values()):
        mean = sum(values) / len(values)
        ax.plot(values, [line] * len(values), "o", color="0.4", fillstyle="none")
        ax.plot([mean, mean], [line - 0.3, line + 0.3], color="black", linewidth=2)
        ax.text(1.02, line, f"{mean:.2f}", transform=ax.get_yaxis_transform(), va="center",
                fontsize=10)
    ax.set_yticks(range(len(runs)), labels=list(runs))
    ax.set(xlabel=xlabel, ylim=(len(runs) - 0.5, -0.5))
    return ax


def show_photograph(ax: Axes, picture: torch.Tensor, *, interpolation: str | None = None) -> None:
    """A picture (3, H, W) in [0, 1], without ticks."""
    ax.imshow(picture.detach().cpu().clamp(0, 1).permute(1, 2, 0).numpy(), interpolation=interpolation)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)


def _range(panels: Mapping[str, torch.Tensor]) -> float:
    values = torch.cat([logits.detach().flatten() for logits in panels.values()])
    return (values.max() - values.min()).item()


def _apart(heights: list[float], *, least: float) -> list[float]:
    """Move labels as little as possible (in squares) so that any two are `least` apart."""
    order = np.argsort(heights, kind="stable")
    # Less rank * least, the labels need only not fall.
    steps = least * np.arange(len(heights))
    moved = np.empty(len(heights))
    moved[order] = isotonic_regression(np.array(heights)[order] - steps).x + steps
    return moved.tolist()

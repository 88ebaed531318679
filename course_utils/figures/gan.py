"""The figures of Lecture 5: the game between two networks, and the images that come of it."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.figures.images import show_picture
from course_utils.figures.style import STYLES


def discriminators(
    points: Sequence[float], densities: Mapping[str, Sequence[float]],
    outputs: Mapping[str, Sequence[float]],
) -> Figure:
    """Densities on a line, and below them what discriminators say there, from 0 to 1.

    Args:
        points: (S,), ascending.
        densities: name to values (S,), such as those of data and of generated points.
        outputs: name to values (S,); the first is drawn as a broad grey line under the others.
    """
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(7.6, 4.6), sharex=True, height_ratios=[1, 1.3]
    )
    for (name, values), style in zip(densities.items(), STYLES):
        line = {"color": style["color"], "linestyle": style["linestyle"]}
        above.plot(points, values, **line, label=name)
        above.fill_between(points, values, color=style["color"], alpha=0.1)
    above.set(ylabel="density")
    above.set_ylim(bottom=0)
    (name, values), *others = outputs.items()
    below.plot(points, values, color="0.7", linewidth=6, label=name)
    for (name, values), style in zip(others, STYLES):
        below.plot(points, values, color="black", linestyle=style["linestyle"], label=name)
    below.axhline(0.5, color="0.5", linestyle=":", linewidth=1)
    below.set(xlabel="x", ylabel="D(x)", ylim=(-0.02, 1.02))
    for ax in (above, below):
        ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return figure


def game_values(values: pd.DataFrame, *, xlabel: str, ax: Axes | None = None) -> Axes:
    """The value of the game for several discriminators (columns) over the index.

    The first column is a line, the one or two others are hollow marks. Both ends of what the best
    value can be are marked: -log 4 and 0.
    """
    ax = ax or plt.subplots(figsize=(7.2, 3.6))[1]
    line, *marks = values
    ax.plot(values.index, values[line], color="black", label=line)
    for column, style, size in zip(marks, STYLES[1:], (10, 6)):
        ax.plot(values.index, values[column], color=style["color"], marker=style["marker"],
                linestyle="none", fillstyle="none", markersize=size, label=column)
    for end, name in ((-np.log(4), "-log 4"), (0.0, "0")):
        ax.axhline(end, color="0.5", linestyle=":", linewidth=1)
        ax.text(1.01, end, name, transform=ax.get_yaxis_transform(), va="center", fontsize=10)
    ax.set(xlabel=xlabel, ylabel="value of the game", ylim=(-1.5, 0.1))
    ax.legend(loc="lower right")
    return ax


def saturation(
    logits: Sequence[float], slopes: Mapping[str, Sequence[float]],
    paths: Mapping[str, Sequence[float]],
) -> Figure:
    """How steep the generator's losses are, and how it moves by each.

    Args:
        logits: (S,), D's, of a generated point, ascending.
        slopes: for each loss, how steep it is there (S,).
        paths: for each loss, the distance from the data after every round, from the start.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
    for (name, values), style in zip(slopes.items(), STYLES):
        line = {"color": style["color"], "linestyle": style["linestyle"]}
        left.plot(logits, values, **line, label=name)
        right.plot(paths[name], **style, markevery=max(1, len(paths[name]) // 12), label=name)
    left.set(xlabel="D's logit of a generated point", ylabel="size of the loss's slope")
    left.annotate("D is sure:\n“generated”", (min(logits), 0.5), fontsize=9, va="center")
    left.annotate("D is fooled", (max(logits), 0.5), fontsize=9, ha="right", va="center")
    right.set(xlabel="round", ylabel="distance of G's points from the data")
    right.set_ylim(bottom=0)
    right.legend(loc="upper right")
    return figure


def game(report: pd.DataFrame) -> Figure:
    """What `course_utils.gan.train_gan` reports: both losses, and D's mean outputs, by epoch."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3))
    outputs = {"real": "D(x), real", "fake": "D(G(z)), generated"}
    losses = {f"{player} loss": f"of {player}" for player in ("discriminator", "generator")}
    for ax, columns in ((left, losses), (right, outputs)):
        for (column, name), style in zip(columns.items(), STYLES):
            ax.plot(report["epoch"], report[column], **style, label=name)
        ax.set(xlabel="epoch")
        ax.legend(loc="best")
    left.set(ylabel="loss")
    left.set_ylim(bottom=0)
    right.set(ylabel="D's mean output", ylim=(0, 1))
    right.axhline(0.5, color="0.5", linestyle=":", linewidth=1)
    return figure


def sheets(images: Mapping[str, torch.Tensor], *, columns: int = 10) -> Figure:
    """Sheets of pictures side by side, each with its title.

    `images`: for each title (N, 1, H, W) in [0, 1]; N is a multiple of `columns`.
    """
    figure, axes = plt.subplots(
        1, len(images), figsize=(0.42 * columns * len(images), 0), squeeze=False
    )
    for ax, (title, pictures) in zip(axes[0], images.items(), strict=True):
        show_picture(ax, tiled(pictures, columns)[None])
        ax.set_title(title, fontsize=11)
    rows = max(len(pictures) for pictures in images.values()) / columns
    figure.set_figheight(0.42 * rows + 0.5)
    return figure


def tiled(pictures: torch.Tensor, columns: int) -> torch.Tensor:
    """Put pictures (N, 1, H, W) into one (rows (H + 2), columns (W + 2)), row by row."""
    if len(pictures) == 0 or len(pictures) % columns:
        raise ValueError(f"pictures: got {len(pictures)}, expected a multiple of {columns}")
    framed = torch.nn.functional.pad(pictures.detach().cpu()[:, 0], (1, 1, 1, 1), value=0.35)
    rows = framed.unflatten(0, (-1, columns))
    return rows.transpose(1, 2).flatten(2).flatten(0, 1)


def shares(table: pd.DataFrame, *, least: float, ax: Axes | None = None) -> Axes:
    """How often each class (index) occurs in several sets (columns), in percent.

    `least`: a share to mark by a horizontal line.
    """
    ax = ax or plt.subplots(figsize=(7.2, 3.4))[1]
    for place, ((name, values), style) in enumerate(zip(table.items(), STYLES)):
        at = np.arange(len(table)) + 0.16 * (place - (table.shape[1] - 1) / 2)
        ax.vlines(at, 0, values, color="0.8", linewidth=1)
        ax.plot(at, values, style["marker"], color=style["color"], label=name,
                fillstyle="none" if place else "full", markersize=7)
    ax.axhline(least, color="0.5", linestyle=":", linewidth=1)
    ax.text(1.01, least, f"{least:g} %", transform=ax.get_yaxis_transform(), va="center",
            fontsize=10)
    ax.set_xticks(range(len(table)), labels=table.index)
    ax.set(xlabel="taken for", ylabel="share (%)")
    ax.set_ylim(bottom=0)
    ax.grid(False, axis="x")
    ax.legend(loc="center left", bbox_to_anchor=(1.08, 0.5), frameon=False)
    return ax


def likelihoods(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Log-likelihoods in nats by the number of samples (index), for several kinds (columns)."""
    ax = ax or plt.subplots(figsize=(7.2, 3.6))[1]
    for (name, values), style in zip(table.items(), STYLES):
        ax.plot(table.index, values, **style, label=name)
    ax.set(xscale="log", xlabel="samples", ylabel="log-likelihood (nats)")
    ax.set_xticks(table.index, labels=[f"{count:,}" for count in table.index])
    ax.minorticks_off()
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return ax

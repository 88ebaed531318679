"""The figures of Lecture 2: the transfer tables."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.figures.images import show_picture
from course_utils.figures.style import SIX_STYLES


def answers(
    image: torch.Tensor, chances: Mapping[str, torch.Tensor], *, label: int, target: int
) -> Figure:
    """One image (1, H, W), and what each network makes of it.

    `chances`: for each network its probabilities (classes,). The most likely class is black, the
    others are grey; `label` and `target` are marked by a word.
    """
    figure, axes = plt.subplots(
        1, 1 + len(chances), figsize=(1.6 * (1 + len(chances)), 2.9), width_ratios=[1.4]
        + [1] * len(chances)
    )
    show_picture(axes[0], image)
    for ax, (name, values) in zip(axes[1:], chances.items(), strict=True):
        values = 100 * values.detach().cpu().numpy()
        colors = ["black" if k == values.argmax() else "0.7" for k in range(len(values))]
        ax.barh(range(len(values)), values, color=colors)
        ax.set(title=f"{name}\nsays {values.argmax()}", xlim=(0, 100), xticks=[0, 100])
        ax.title.set_fontsize(9)
        ax.set_yticks(range(len(values)), labels=[])
        ax.invert_yaxis()
    words = {label: "true ", target: "target "}
    axes[1].set_yticks(
        range(len(values)), labels=[f"{words.get(k, '')}{k}" for k in range(len(values))]
    )
    figure.supxlabel("probability (%)", fontsize=10)
    return figure


def beside_paper(
    ours: pd.DataFrame, low: pd.DataFrame, high: pd.DataFrame, paper: pd.DataFrame
) -> Figure:
    """A table of error rates beside the paper's: one panel a row, one line a cell.

    Ours is a dot with its interval from `low` to `high`, the paper's a hollow diamond, and the
    number at the right is ours less the paper's, in bold where the paper's is outside our
    interval. All four have the same rows and columns, in percent.
    """
    across = min(4, len(ours))
    down = math.ceil(len(ours) / across)
    figure, axes = plt.subplots(
        down, across, squeeze=False, sharex=True, sharey=True,
        figsize=(2.5 * across + 1.2, (0.3 * ours.shape[1] + 0.9) * down),
    )
    lines = np.arange(ours.shape[1])
    for ax in axes.flat[len(ours):]:
        ax.axis("off")
    for ax, row in zip(axes.flat, ours.index):
        ends = [ours.loc[row] - low.loc[row], high.loc[row] - ours.loc[row]]
        ax.hlines(lines, ours.loc[row], paper.loc[row], color="0.7", linewidth=1)
        ax.errorbar(ours.loc[row], lines, xerr=np.clip(ends, 0, None), fmt="o", color="black",
                    capsize=2, label="ours, 95 % interval")
        ax.plot(paper.loc[row], lines, "D", color="black", fillstyle="none", markersize=8,
                label="paper")
        for line, column in enumerate(ours.columns):
            there = paper.at[row, column]
            inside = low.at[row, column] <= there <= high.at[row, column]
            ax.text(1.02, line, f"{ours.at[row, column] - there:+.0f}", fontsize=9,
                    transform=ax.get_yaxis_transform(), va="center",
                    weight="normal" if inside else "bold")
        ax.set_title(f"made for {row}" if row in ours.columns else row, fontsize=10)
        ax.set(xlim=(-4, 104), xticks=[0, 50, 100], ylim=(len(lines) - 0.4, -0.6))
        ax.set_yticks(lines, labels=ours.columns)
    figure.supxlabel("error (%)", fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def amplification(curves: pd.DataFrame, *, own: float, ax: Axes | None = None) -> Axes:
    """Error in percent of each network (columns) over the perturbations' stddev (index).

    `own`: the mean distortion of the perturbations as the attack found them, a vertical line.
    """
    ax = ax or plt.subplots(figsize=(7.4, 3.8))[1]
    for (name, errors), style in zip(curves.items(), SIX_STYLES):
        ax.plot(errors.index, errors, **style, label=name)
    ax.axvline(own, color="0.5", linewidth=1)
    ax.annotate("the attack's mean", (own, 101), ha="center", va="bottom", fontsize=10,
                annotation_clip=False)
    ax.set(xlabel="distortion of every image", ylabel="error (%)", ylim=(0, 100))
    ax.set_xlim(left=0)
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return ax


def cells(
    values: pd.DataFrame, *, label: str, beneath: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A table in percent, shaded, each number printed in its cell; `beneath` in small print."""
    ax = ax or plt.subplots(figsize=(7, 4.6))[1]
    ax.imshow(values.to_numpy(dtype=float), cmap="Greys", vmin=0, vmax=170, aspect="auto")
    for (row, column), value in np.ndenumerate(values.to_numpy(dtype=float)):
        text = "-" if math.isnan(value) else f"{value:.0f}"
        ax.text(column, row, text, ha="center", va="center" if beneath is None else "bottom")
        if beneath is not None:
            ax.text(column, row + 0.08, f"of {beneath.iat[row, column]}", ha="center", va="top",
                    fontsize=8)
    ax.set(title=label, xlabel="shown to", ylabel="made for")
    ax.set_xticks(range(values.shape[1]), labels=values.columns, fontsize=9, rotation=20)
    ax.set_yticks(range(len(values)), labels=values.index, fontsize=9)
    ax.grid(False)
    return ax


def cosine_scatter(cosines: pd.DataFrame, rates: Mapping[str, pd.DataFrame]) -> Figure:
    """Transfer rate against the cosine of two networks' gradients, one panel for each of `rates`.

    Every ordered pair of different networks is a point; its marker tells the network that the
    images were made for. All tables have the same rows and columns.
    """
    figure, axes = plt.subplots(1, len(rates), figsize=(4.4 * len(rates), 3.9), sharey=True,
                                squeeze=False)
    for ax, (title, table) in zip(axes[0], rates.items(), strict=True):
        for name, style in zip(table.index, SIX_STYLES):
            others = [other for other in table.columns if other != name]
            ax.plot(cosines.loc[name, others], table.loc[name, others], linestyle="none",
                    marker=style["marker"], color=style["color"], label=name, markersize=7,
                    fillstyle="none")
        ax.set(title=title, xlabel="cosine of the two gradients", xlim=(0, 1), ylim=(0, 100))
        ax.title.set_fontsize(11)
    axes[0, 0].set_ylabel("transfer rate (%)")
    axes[0, -1].legend(title="made for", loc="center left", bbox_to_anchor=(1.02, 0.5),
                       frameon=False, fontsize=9)
    return figure

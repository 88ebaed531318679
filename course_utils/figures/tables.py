"""Curves, points, and tables of numbers, most of them of several networks."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.figures.images import show_picture
from course_utils.figures.style import (
    SIX_STYLES,
    STYLES,
    hollow,
    legend_beside,
    mark_at,
    side_by_side,
    write_beside,
)
from course_utils.intervals import Interval, agree

__all__ = ["agreement", "beside_paper", "curves", "histograms", "number_table",
           "probabilities_by_network", "seeds", "transfer_scatter"]


def curves(panels: Mapping[str, pd.DataFrame], *, xlabel: str = "eps", mark: float | None = None,
           marked: str = "", log: bool = False) -> Figure:
    """One panel for each table, in it one line for each column over the index, ascending.

    `panels`: ylabel to table, of at most six columns; NaN where there is nothing. Where the ylabel
    has "(%)", the axis goes from 0 to 100. `mark`, `marked`: a place on the horizontal axis to mark
    by a line, and its name. `log`: that axis is logarithmic, with a tick at each of the index.
    """
    columns = list(panels.values())[-1].columns  # where all have the same, one legend will do
    figure, axes = side_by_side(len(panels), 3.9 * len(panels) + 2.5, 3.7)
    for ax, (ylabel, table) in zip(axes, panels.items()):
        for (name, values), style in zip(table.items(), SIX_STYLES):
            ax.plot(table.index, values, **style, label=name)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        if "(%)" in ylabel:
            ax.set_ylim(-2, 102)
        if log:
            ax.set_xscale("log")
            ax.set_xticks(table.index, labels=[f"{place:,}" for place in table.index])
            ax.minorticks_off()
        if mark is not None:
            mark_at(ax, mark, marked)
        if table.shape[1] > 1 and (ax is axes[-1] or not table.columns.equals(columns)):
            legend_beside(ax)
    return figure


def histograms(values: Mapping[str, torch.Tensor], *, xlabel: str) -> Axes:
    """Histograms of one quantity on common bins; each mean is marked by a vertical line."""
    ax = plt.subplots(figsize=(7, 3.4))[1]
    arrays = {name: np.asarray(value) for name, value in values.items()}
    bins = np.linspace(0, max(array.max() for array in arrays.values()), 50)
    for (name, array), style, hatch in zip(arrays.items(), STYLES, ("", "////", "....")):
        ax.hist(array, bins, histtype="stepfilled", facecolor="none", hatch=hatch,
                edgecolor=style["color"], label=f"{name} (mean {array.mean():.3f})")
        ax.axvline(array.mean(), color=style["color"], linestyle=style["linestyle"])
    ax.set(xlabel=xlabel, ylabel="images", xlim=(0, None))
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    return ax


def agreement(exact: torch.Tensor, ours: torch.Tensor, *, label: str) -> Axes:
    """Our values (N,) against the exact ones (N,), and the diagonal on which both are equal."""
    ax = plt.subplots(figsize=(4.6, 4.2))[1]
    end = 1.05 * float(max(exact.max(), ours.max()))
    ax.plot([0, end], [0, end], "--", color="0.5", label="equal")
    ax.plot(exact, ours, "o", color="black", fillstyle="none", label="one image")
    ax.set(xlabel=f"{label}: exact", ylabel=f"{label}: our attack", aspect="equal",
           xlim=(0, end), ylim=(0, end))
    ax.legend(frameon=False)
    return ax


def seeds(runs: Mapping[str, Sequence[float]], *, xlabel: str) -> Axes:
    """What several seeds gave under each condition: a mark for each, and a bar at their mean.

    `runs`: condition to the numbers of its seeds.
    """
    ax = plt.subplots(figsize=(7, 0.42 * len(runs) + 1))[1]
    for place, values in enumerate(runs.values()):
        mean = sum(values) / len(values)
        ax.plot(values, [place] * len(values), "o", color="0.4", fillstyle="none")
        ax.plot([mean, mean], [place - 0.3, place + 0.3], color="black", linewidth=2)
        write_beside(ax, place, f"{mean:.2f}")
    ax.set_yticks(range(len(runs)), labels=list(runs))
    ax.set(xlabel=xlabel, ylim=(len(runs) - 0.5, -0.5))
    return ax


def number_table(values: pd.DataFrame | torch.Tensor, *, label: str, rows: str, columns: str,
                 beneath: pd.DataFrame | None = None) -> Axes:
    """A table of numbers of at least 0, shaded, each printed in its cell; NaN is a dash.

    `label` is what the numbers are, `rows` and `columns` what stands along the sides; `beneath`, a
    table of the same shape, is printed small, as in "of 30".
    """
    values = pd.DataFrame(np.asarray(values) if torch.is_tensor(values) else values)
    ax = plt.subplots(figsize=(0.4 * values.shape[1] + 3.2, 0.35 * len(values) + 2))[1]
    numbers = values.to_numpy(dtype=float)
    shades = {"vmin": 0, "vmax": 1.7 * np.nanmax(numbers)}  # so light that all have black text
    ax.imshow(numbers, cmap="Greys", aspect="auto", **shades)
    for (row, column), value in np.ndenumerate(numbers):
        text = "-" if math.isnan(value) else f"{value:.0f}"
        ax.text(column, row, text, ha="center", va="center" if beneath is None else "bottom")
        if beneath is not None:
            ax.text(column, row + 0.08, f"of {beneath.iat[row, column]}", ha="center", va="top",
                    fontsize=8)
    turned = 20 * (max(len(str(name)) for name in values) > 2)
    ax.set_xticks(range(values.shape[1]), labels=values.columns, rotation=turned, fontsize=9)
    ax.set_yticks(range(len(values)), labels=values.index, fontsize=9)
    ax.set(title=label, xlabel=columns, ylabel=rows)
    ax.grid(False)
    return ax


def transfer_scatter(panels: Mapping[str, pd.DataFrame], across: pd.DataFrame | pd.Series, *,
                     xlabel: str, log: bool = False) -> Figure:
    """Transfer rates in percent against another quantity, a panel for each title's table.

    A table has a row for each network that images were made for and a column for each that they
    are shown to. The diagonal is left out; the marker tells the row. `across` has a number for
    each cell (a table) or for each column (a Series).
    """
    figure, axes = side_by_side(len(panels), 4.2 * len(panels) + 1.6, 3.9, sharey=True)
    for ax, (title, table) in zip(axes, panels.items()):
        for name, style in zip(table.index, SIX_STYLES):
            others = [other for other in table.columns if other != name]
            places = across.loc[name] if across.ndim == 2 else across
            ax.plot(places[others], table.loc[name, others], **hollow(style), label=name)
        ax.set(xlabel=xlabel, ylim=(0, 100), xscale="log" if log else "linear")
        ax.set_title(title, fontsize=11)
    axes[0].set_ylabel("transfer rate (%)")
    legend_beside(ax, title="made for", fontsize=9)
    return figure


def probabilities_by_network(image: torch.Tensor, chances: Mapping[str, torch.Tensor], *,
                             label: int, target: int) -> Figure:
    """One image (1, H, W), and what each network makes of it.

    `chances`: for each network its probabilities (classes,). The most likely class is black, the
    others are grey; `label` and `target` are marked by a word.
    """
    ratios = [1.4] + [1] * len(chances)
    figure, axes = side_by_side(len(ratios), 1.6 * len(ratios), 2.9, width_ratios=ratios)
    show_picture(axes[0], image)
    for ax, (name, values) in zip(axes[1:], chances.items()):
        values = 100 * values.numpy()
        colors = ["black" if k == values.argmax() else "0.7" for k in range(len(values))]
        ax.barh(range(len(values)), values, color=colors)
        ax.set(xlim=(0, 100), xticks=[0, 100])
        ax.set_title(f"{name}\nsays {values.argmax()}", fontsize=9)
        ax.set_yticks(range(len(values)), labels=[])
        ax.invert_yaxis()
    words = {label: "true ", target: "target "}
    names = [f"{words.get(k, '')}{k}" for k in range(len(values))]
    axes[1].set_yticks(range(len(values)), labels=names)
    figure.supxlabel("probability (%)", fontsize=10)
    return figure


def beside_paper(ours: pd.DataFrame, low: pd.DataFrame, high: pd.DataFrame, paper: pd.DataFrame,
                 paper_low: pd.DataFrame | None = None,
                 paper_high: pd.DataFrame | None = None) -> Figure:
    """A table of error rates beside the paper's: one panel a row, one line a cell.

    Ours is a dot with its interval from `low` to `high`, the paper's a hollow diamond, with its own
    interval in grey where that is given, and the number at the right is ours less the paper's, in
    bold where the two do not agree (`intervals.agree`). All have the same rows and columns, in
    percent; NaN is left out.
    """
    paper_low, paper_high = (paper if ends is None else ends for ends in (paper_low, paper_high))
    across = min(4 if len(ours) != 6 else 3, len(ours))
    down = math.ceil(len(ours) / across)
    figure, axes = plt.subplots(down, across, squeeze=False, sharex=True, sharey=True,
                                figsize=(2.5 * across + 1.2, (0.3 * ours.shape[1] + 0.9) * down))
    lines = np.arange(ours.shape[1])
    for ax in axes.flat[len(ours):]:
        ax.axis("off")
    for ax, row in zip(axes.flat, ours.index):
        ends = [ours.loc[row] - low.loc[row], high.loc[row] - ours.loc[row]]
        ax.hlines(lines, paper_low.loc[row], paper_high.loc[row], color="0.75", linewidth=5)
        ax.errorbar(ours.loc[row], lines, xerr=np.clip(ends, 0, None), fmt="o", color="black",
                    capsize=2, label="ours, 95 % interval")
        ax.plot(paper.loc[row], lines, "D", color="black", fillstyle="none", markersize=8,
                label="paper")
        for place, column in enumerate(ours.columns):
            cell = [table.at[row, column] for table in (ours, low, high)]
            theirs = [table.at[row, column] for table in (paper, paper_low, paper_high)]
            if not np.isnan([*cell, *theirs]).any():
                same = agree(Interval(*cell), Interval(*theirs))
                write_beside(ax, place, f"{cell[0] - theirs[0]:+.0f}", fontsize=9,
                             weight="normal" if same else "bold")
        ax.set_title(f"made for {row}" if row in ours.columns else row, fontsize=10)
        ax.set(xlim=(-4, 104), xticks=[0, 50, 100], ylim=(len(lines) - 0.4, -0.6))
        ax.set_yticks(lines, labels=ours.columns)
    figure.supxlabel("error (%)", fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure

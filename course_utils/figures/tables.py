"""Curves, points, and tables of numbers, most of them of several networks."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from course_utils.figures import style
from course_utils.intervals import Interval, agree

Tables = Mapping[str, DataFrame]
Tensors = Mapping[str, torch.Tensor]


def curves(
    panels: Tables, *, xlabel: str = "eps", mark=None, marked: str = "", log: bool = False
) -> Figure:
    """One panel for each table, in it one line for each column over the index, ascending.

    `panels`: ylabel to table, of at most six columns; NaN where there is nothing. Where the ylabel
    has "(%)", the axis goes from 0 to 100. `mark`, `marked`: a place on the horizontal axis to mark
    by a line, and its name. `log`: that axis is logarithmic, with a tick at each of the index.
    """
    columns = list(panels.values())[-1].columns  # where all have the same, one legend will do
    figure, axes = style.side_by_side(len(panels), 3.9 * len(panels) + 2.5, 3.7)
    for ax, (ylabel, table) in zip(axes, panels.items()):
        for (name, values), look in zip(table.items(), style.SIX_STYLES):
            ax.plot(table.index, values, **look, label=name)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        if "(%)" in ylabel:
            ax.set_ylim(-2, 102)
        if log:
            ax.set_xscale("log")
            ax.set_xticks(table.index, labels=[f"{place:,}" for place in table.index])
            ax.minorticks_off()
        if mark is not None:
            style.mark_at(ax, mark, marked)
        if table.shape[1] > 1 and (ax is axes[-1] or not table.columns.equals(columns)):
            style.legend_beside(ax)
    return figure


def histograms(values: Tensors, *, xlabel: str) -> Axes:
    """Histograms of one quantity on common bins; each mean is marked by a vertical line."""
    ax = plt.subplots(figsize=(7, 3.4))[1]
    arrays = {name: np.asarray(value) for name, value in values.items()}
    bins = np.linspace(0, max(array.max() for array in arrays.values()), 50)
    for (name, array), look, hatch in zip(arrays.items(), style.STYLES, ("", "////", "....")):
        color, label = look["color"], f"{name} (mean {array.mean():.3f})"
        ax.hist(array, bins, histtype="stepfilled", fill=False, ec=color, hatch=hatch, label=label)
        ax.axvline(array.mean(), color=color, linestyle=look["linestyle"])
    ax.set(xlabel=xlabel, ylabel="images", xlim=(0, None))
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    return ax


def agreement(exact: torch.Tensor, ours: torch.Tensor, *, label: str) -> Axes:
    """Our values (N,) against the exact ones (N,), and the diagonal on which both are equal."""
    ax = plt.subplots(figsize=(4.6, 4.2))[1]
    end = 1.05 * float(max(exact.max(), ours.max()))
    ax.plot([0, end], [0, end], "--", color="0.5", label="equal")
    ax.plot(exact, ours, "o", color="black", fillstyle="none", label="one image")
    ax.set(xlabel=f"{label}: exact", ylabel=f"{label}: our attack")
    ax.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    ax.legend(frameon=False)
    return ax


def seeds(runs: Mapping[str, Sequence[float]], *, xlabel: str) -> Axes:
    """What several seeds gave under each condition: a mark for each, and a bar at their mean."""
    ax = plt.subplots(figsize=(7, 0.42 * len(runs) + 1))[1]
    for place, values in enumerate(runs.values()):
        mean = sum(values) / len(values)
        ax.plot(values, [place] * len(values), "o", color="0.4", fillstyle="none")
        ax.plot([mean, mean], [place - 0.3, place + 0.3], color="black", linewidth=2)
        style.write_beside(ax, place, f"{mean:.2f}")
    ax.set_yticks(range(len(runs)), labels=list(runs))
    ax.set(xlabel=xlabel, ylim=(len(runs) - 0.5, -0.5))
    return ax


def number_table(
    values: DataFrame | torch.Tensor, *, label: str, rows: str, columns: str, beneath=None
) -> Axes:
    """A table of numbers of at least 0, shaded, each printed in its cell; NaN is a dash.

    `label` is what the numbers are, `rows` and `columns` what stands along the sides; `beneath`, a
    DataFrame of the same shape, is printed small, as in "of 30".
    """
    values = DataFrame(np.asarray(values) if torch.is_tensor(values) else values, dtype=float)
    ax = plt.subplots(figsize=(0.4 * values.shape[1] + 3.2, 0.35 * len(values) + 2))[1]
    lightly = 1.7 * np.nanmax(values)  # so that all have black text
    ax.imshow(values, cmap="Greys", aspect="auto", vmin=0, vmax=lightly)
    for (row, column), value in np.ndenumerate(values):
        text = "-" if math.isnan(value) else f"{value:.0f}"
        ax.text(column, row, text, ha="center", va="center" if beneath is None else "bottom")
        if beneath is not None:
            text = f"of {beneath.iat[row, column]}"
            ax.text(column, row + 0.08, text, ha="center", va="top", fontsize=8)
    turned = 20 * (max(len(str(name)) for name in values) > 2)
    ax.set_xticks(range(values.shape[1]), labels=values.columns, rotation=turned, fontsize=9)
    ax.set_yticks(range(len(values)), labels=values.index, fontsize=9)
    ax.set(title=label, xlabel=columns, ylabel=rows)
    ax.grid(False)
    return ax


def transfer_scatter(
    panels: Tables, across: DataFrame | Series, *, xlabel: str, log: bool = False
) -> Figure:
    """Transfer rates in percent against another quantity, a panel for each title's table.

    A table has a row for each network that images were made for and a column for each that they
    are shown to. The diagonal is left out; the marker tells the row. `across` has a number for
    each cell (a table) or for each column (a Series).
    """
    figure, axes = style.side_by_side(len(panels), 4.2 * len(panels) + 1.6, 3.9, sharey=True)
    for ax, (title, table) in zip(axes, panels.items()):
        for name, look in zip(table.index, style.SIX_STYLES):
            others = table.columns.drop(name)
            places = across.loc[name] if across.ndim == 2 else across
            ax.plot(places[others], table.loc[name, others], **style.hollow(look), label=name)
        ax.set(xlabel=xlabel, ylim=(0, 100), xscale="log" if log else "linear")
        ax.set_title(title, fontsize=11)
    axes[0].set_ylabel("transfer rate (%)")
    style.legend_beside(ax, title="made for", fontsize=9)
    return figure


def probabilities_by_network(
    image: torch.Tensor, chances: Tensors, *, label: int, target: int
) -> Figure:
    """One image (1, H, W), and what each network makes of it.

    `chances`: for each network its probabilities (classes,). The most likely class is black, the
    others are grey; `label` and `target` are marked by a word.
    """
    ratios = [1.4] + [1] * len(chances)
    figure, axes = style.side_by_side(len(ratios), 1.6 * len(ratios), 2.9, width_ratios=ratios)
    style.show_picture(axes[0], image)
    for ax, (name, values) in zip(axes[1:], chances.items()):
        says = values.argmax().item()
        colors = ["black" if k == says else "0.7" for k in range(len(values))]
        ax.barh(range(len(values)), 100 * values.numpy(), color=colors)
        ax.set(xlim=(0, 100), xticks=[0, 100])
        ax.set_title(f"{name}\nsays {says}", fontsize=9)
        ax.set_yticks(range(len(values)), labels=[])
        ax.invert_yaxis()
    words = {label: "true ", target: "target "}
    names = [f"{words.get(k, '')}{k}" for k in range(len(values))]
    axes[1].set_yticks(range(len(values)), labels=names)
    figure.supxlabel("probability (%)", fontsize=10)
    return figure


def beside_paper(
    ours: DataFrame, low: DataFrame, high: DataFrame, paper: DataFrame, *ends: DataFrame
) -> Figure:
    """A table of error rates beside the paper's: one panel a row, one line a cell.

    Ours is a dot with its interval from `low` to `high`, the paper's a hollow diamond, with its own
    interval in grey where its two `ends` are given, and the number at the right is ours less the
    paper's, in bold where the two do not agree (`intervals.agree`). All have the same rows and
    columns, in percent; NaN is left out.
    """
    across = min(4 if len(ours) != 6 else 3, len(ours))
    down = math.ceil(len(ours) / across)
    size = (2.5 * across + 1.2, (0.3 * ours.shape[1] + 0.9) * down)
    figure, axes = plt.subplots(down, across, figsize=size, sharex=True, sharey=True, squeeze=False)
    lines = range(ours.shape[1])
    for ax in axes.flat[len(ours) :]:
        ax.axis("off")
    tables = ours, low, high, paper, *(ends or (paper, paper))
    for ax, row in zip(axes.flat, ours.index):
        cells = np.array([table.loc[row] for table in tables])
        ax.hlines(lines, *cells[4:], color="0.75", linewidth=5)
        reach = np.clip([cells[0] - cells[1], cells[2] - cells[0]], 0, None)
        ax.errorbar(cells[0], lines, xerr=reach, fmt="ko", capsize=2, label="ours, 95 % interval")
        ax.plot(cells[3], lines, "kD", fillstyle="none", markersize=8, label="paper")
        for place, cell in enumerate(cells.T):
            if not np.isnan(cell).any():
                weight = "normal" if agree(Interval(*cell[:3]), Interval(*cell[3:])) else "bold"
                text = f"{cell[0] - cell[3]:+.0f}"
                style.write_beside(ax, place, text, fontsize=9, weight=weight)
        ax.set_title(f"made for {row}" if row in ours.columns else row, fontsize=10)
        ax.set(xlim=(-4, 104), xticks=[0, 50, 100], ylim=(len(lines) - 0.4, -0.6))
        ax.set_yticks(lines, labels=ours.columns)
    figure.supxlabel("error (%)", fontsize=10)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure

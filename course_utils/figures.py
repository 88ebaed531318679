"""The lectures' figures. Each function draws one, and returns its Figure or Axes.

Every figure can be read without colour: by grey, line style, marker, or the printed number.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from course_utils.models import eval_mode

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


def digits(
    rows: Sequence[torch.Tensor],
    *,
    names: Sequence[str] | None = None,
    titles: Sequence[Sequence[str] | None] | None = None,
    signed: Sequence[int] = (),
) -> Figure:
    """Rows of pictures.

    Args:
        rows: tensors (N, 1, H, W) in [0, 1] of one N: 0 is drawn black, 1 white.
        names: of the rows, written to their left.
        titles: for each row, None or what to write beneath its N pictures.
        signed: the rows that hold perturbations, in [-1, 1]: 0 is drawn grey, darkened pixels
            darker and brightened ones lighter. What lies beyond is cut off.

    Raises:
        ValueError: the rows are not of one length, or names or titles do not fit them.
    """
    counts = {len(row) for row in rows}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"rows: got {[len(row) for row in rows]} pictures, expected as many each")
    count = counts.pop()
    titles = [None] * len(rows) if titles is None else titles
    for name, given in (("names", names), ("titles", titles)):
        if given is not None and len(given) != len(rows):
            raise ValueError(f"{name}: got {len(given)}, expected one for each of {len(rows)} rows")
    figure, axes = plt.subplots(
        len(rows), count, squeeze=False,
        figsize=(1.05 * count + (1.4 if names else 0), 1.2 * len(rows)),
    )
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            ax = axes[i, j]
            _picture(ax, picture, signed=i in signed)
            if titles[i] is not None:
                ax.set_xlabel(titles[i][j], fontsize=10, labelpad=3)
        if names is not None:
            axes[i, 0].set_ylabel(names[i], rotation=0, ha="right", va="center", labelpad=6)
    return figure


def equation(
    pictures: Sequence[torch.Tensor], captions: Sequence[str], *, factor: float
) -> Figure:
    """x + r = x + r: an image, its perturbation magnified by `factor`, and their sum.

    `pictures`: three tensors (1, H, W), the perturbation not yet magnified; `captions`: what to
    write beneath each.
    """
    image, perturbation, adversarial = pictures
    figure, axes = plt.subplots(
        1, 5, figsize=(7.2, 2.7), width_ratios=[1, 0.16, 1, 0.16, 1]
    )
    for ax, sign in zip(axes[1::2], "+=", strict=True):
        ax.axis("off")
        ax.text(0.5, 0.5, sign, fontsize=26, ha="center", va="center")
    _picture(axes[0], image)
    _picture(axes[2], factor * perturbation, signed=True)
    _picture(axes[4], adversarial)
    for ax, caption in zip(axes[::2], captions, strict=True):
        ax.set_xlabel(caption, fontsize=12)
    return figure


def _picture(ax: Axes, picture: torch.Tensor, *, signed: bool = False) -> None:
    low = -1 if signed else 0
    ax.imshow(picture.detach().cpu().squeeze(0).numpy(), vmin=low, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)


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
        _picture(ax, images[index])
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
    _picture(axes[0], image)
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

"""The figures of Lecture 3: Lipschitz bounds."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.figures.style import SIX_STYLES, STYLES, hollow, legend_beside, side_by_side


def cones(function: Callable[[np.ndarray], np.ndarray], *, constants: Sequence[float]) -> Figure:
    """A function of one number with the cone that a constant K allows it at 0, a panel for each K.

    Its lines have the slopes K and -K. Where the function leaves the cone it is drawn thick: there
    |f(x) - f(0)| > K |x|.
    """
    x = np.linspace(-6, 6, 601)
    y, height = function(x), function(np.zeros(()))
    room = 0.15 * np.ptp(y)
    figure, axes = side_by_side(len(constants), 4.2 * len(constants), 3.3, sharey=True)
    for ax, constant in zip(axes, constants):
        ax.plot(x, y, color="black", linewidth=2)
        reach = constant * np.abs(x)
        ax.fill_between(x, height - reach, height + reach, color="0.5", alpha=0.25)
        outside = np.abs(y - height) > reach * (1 + 1e-9) + 1e-12
        ax.plot(x, np.where(outside, y, np.nan), color="tab:orange", linewidth=6)
        ax.plot(0, height, "o", color="black")
        ax.set(title=f"K = {constant:g}", xlabel="x", xlim=(-6, 6))
        ax.set_ylim(y.min() - room, y.max() + room)
    axes[0].set_ylabel("f(x)")
    return figure


def frequency_maps(norms: Mapping[str, torch.Tensor]) -> Figure:
    """The largest singular value at each frequency, a panel for each layer.

    `norms`: for each title the (M_y, M_x) of `course_utils.lipschitz.frequency_norms`. Frequency
    0 is drawn in the middle; a hollow circle marks the largest value, which the title gives.
    """
    figure, axes = side_by_side(len(norms), 3.9 * len(norms), 3.6, sharey=True)
    for ax, (title, values) in zip(axes, norms.items()):
        grid = np.fft.fftshift(values.numpy())
        down, right = (np.fft.fftshift(np.fft.fftfreq(side)) for side in grid.shape)
        picture = ax.pcolormesh(right, down, grid, cmap="gray", vmin=0)
        row, column = np.unravel_index(grid.argmax(), grid.shape)
        ring = {"color": "tab:orange", "fillstyle": "none", "markersize": 11, "markeredgewidth": 2}
        ax.plot(right[column], down[row], "o", **ring)
        ax.set(xlabel="turns an output pixel, right", xticks=[-0.5, 0, 0.5], aspect="equal")
        ax.set_title(f"{title}\nlargest {grid.max():.3g}", fontsize=10)
        ax.grid(False)
        figure.colorbar(picture, ax=ax, shrink=0.7)
    axes[0].set(ylabel="turns an output pixel, down", yticks=[-0.5, 0, 0.5])
    axes[0].invert_yaxis()
    return figure


def trained_bounds(table: pd.DataFrame, bounds: pd.Series, *, title: str) -> Figure:
    """Bounds of the same layers in several networks, and how those of one more are spread.

    `table`: rows the layers, columns the networks, on the left; `bounds`: of another network's
    layers, on the right, a histogram. Both axes are logarithmic, and 1 is marked.
    """
    figure, (left, right) = side_by_side(2, 9.6, 0.4 * len(table) + 1.4, width_ratios=[1.5, 1])
    lines = np.arange(len(table))
    for (name, column), style in zip(table.items(), SIX_STYLES):
        left.plot(column.astype(float), lines, **hollow(style), markeredgewidth=1.6, label=name)
    left.set(ylim=(len(table) - 0.5, -0.5))
    left.set_yticks(lines, labels=table.index)
    left.legend(frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.1), ncols=3)
    edges = np.geomspace(bounds.min() * 0.999, bounds.max() * 1.001, 13)
    right.hist(bounds, bins=edges, color="0.7", edgecolor="black")
    right.set(ylabel="layers")
    for ax, name in ((left, "AlexNet"), (right, title)):
        ax.set(xscale="log", xlabel="bound")
        ax.axvline(1, color="0.5", linewidth=1)
        ax.set_title(name, fontsize=10)
    return figure


def distances_by_network(radii: Mapping[str, Mapping[str, torch.Tensor]]) -> Axes:
    """Distances in L2, for several networks, on one logarithmic axis.

    `radii`: for each network, for each kind of distance, one (N,) for all kinds alike: every
    image is a stroke, and the median a marker. The axis above shows the same as distortion, for
    images of 28 x 28 pixels.
    """
    ax = plt.subplots(figsize=(8.6, 0.75 * len(radii) + 1.7))[1]
    for line, kinds in enumerate(radii.values()):
        for row, ((kind, values), style) in enumerate(zip(kinds.items(), STYLES)):
            height = line + 0.24 * (row - (len(kinds) - 1) / 2)
            color, label = style["color"], None if line else kind
            ax.plot(values, [height] * len(values), "|", color=color, alpha=0.3, markersize=9)
            dot = {"color": "white", "mec": color, "markersize": 8, "markeredgewidth": 1.8}
            ax.plot(np.median(values), height, style["marker"], **dot, label=label)
    ax.set(xscale="log", xlabel="distance from the image (L2)", ylim=(len(radii) - 0.5, -0.5))
    ax.set_yticks(range(len(radii)), labels=list(radii))
    above = ax.secondary_xaxis("top", functions=(lambda x: x / 28, lambda x: 28 * x))
    above.set_xlabel("the same as distortion (root mean square per pixel)")
    legend_beside(ax, loc="upper left", bbox_to_anchor=(1.01, 1), title="median")
    return ax


def certified_curves(radii: torch.Tensor, curves: Mapping[str, torch.Tensor]) -> Axes:
    """Certified accuracy in percent over the radius (L2), for each condition and each seed.

    `radii`: (R,); `curves`: for each condition (seeds, R). The mean is a line with markers, each
    seed a thin line.
    """
    ax = plt.subplots(figsize=(7.2, 3.7))[1]
    for (name, values), style in zip(curves.items(), STYLES):
        ax.plot(radii, values.T, color=style["color"], linewidth=0.6, alpha=0.5)
        ax.plot(radii, values.mean(0), **style, markevery=5, label=name)
    ax.set(xlabel="radius (L2)", ylabel="certified accuracy (%)", ylim=(0, 100), xlim=(0, None))
    legend_beside(ax)
    return ax

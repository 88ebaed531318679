"""Rows of pictures."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure


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
            show_picture(ax, picture, signed=i in signed)
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
    show_picture(axes[0], image)
    show_picture(axes[2], factor * perturbation, signed=True)
    show_picture(axes[4], adversarial)
    for ax, caption in zip(axes[::2], captions, strict=True):
        ax.set_xlabel(caption, fontsize=12)
    return figure


def show_picture(ax: Axes, picture: torch.Tensor, *, signed: bool = False) -> None:
    low = -1 if signed else 0
    ax.imshow(picture.detach().cpu().squeeze(0).numpy(), vmin=low, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)

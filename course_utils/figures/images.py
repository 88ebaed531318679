"""Pictures in rows, in sheets and in sums."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import nn

from course_utils.figures.style import show_picture, side_by_side


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

    Raises ValueError where the rows are not of one length, or names or titles do not fit them.
    """
    count = len(rows[0])
    if {len(row) for row in rows} != {count} or not count:
        raise ValueError(f"rows: got {[len(row) for row in rows]} pictures, expected as many each")
    for name, given in (("names", names), ("titles", titles)):
        if given is not None and len(given) != len(rows):
            raise ValueError(f"{name}: got {len(given)}, expected one for each of {len(rows)} rows")
    size = (1.05 * count + (1.4 if names else 0), 1.2 * len(rows))
    figure, axes = plt.subplots(len(rows), count, squeeze=False, figsize=size)
    for i, row in enumerate(rows):
        beneath = (titles and titles[i]) or [""] * count
        for ax, picture, text in zip(axes[i], row, beneath, strict=True):
            show_picture(ax, picture, text, signed=i in signed)
        if names is not None:
            axes[i, 0].set_ylabel(names[i], rotation=0, ha="right", va="center", labelpad=6)
    return figure


def equation(
    pictures: Sequence[torch.Tensor], captions: Sequence[str], *, factor: float = 1, plus: str = "+"
) -> Figure:
    """x + r = x + r: an image, its perturbation magnified by `factor`, and their sum.

    `pictures`: three tensors (1 or 3, H, W): in [0, 1], in [-1, 1] when magnified, in [0, 1], with
    the `captions` beneath. `plus` stands between the first two.
    """
    image, perturbation, adversarial = pictures
    ratios = [1, 0.16 if plus == "+" else 0.42, 1, 0.16, 1]
    figure, axes = side_by_side(5, 2.2 * sum(ratios), 2.7, width_ratios=ratios)
    for ax, sign in zip(axes[1::2], (plus, "="), strict=True):
        ax.axis("off")
        ax.text(0.5, 0.5, sign, fontsize=20, ha="center", va="center")
    shown = (image, factor * perturbation, adversarial)
    for ax, picture, caption in zip(axes[::2], shown, captions, strict=True):
        show_picture(ax, picture, caption, signed=ax is axes[2])
    return figure


def patterns(
    pictures: Sequence[torch.Tensor], *, titles: Sequence[str], beneath: Sequence[str]
) -> Figure:
    """Patterns (C, H, W) side by side, each stretched to its own range, with 0 drawn grey.

    Three channels are drawn in colour; of any other number, the one that holds most.
    """
    figure, axes = side_by_side(len(pictures), 2.3 * len(pictures), 2.9)
    for ax, picture, title, text in zip(axes, pictures, titles, beneath, strict=True):
        picture = picture.double()
        if len(picture) != 3:
            picture = picture[picture.flatten(1).norm(dim=1).argmax()][None]
        largest = picture.abs().max().clamp_min(1e-30)
        show_picture(ax, picture / (2 * largest) + 0.5, text, title=title)
    return figure


def sheets(images: Mapping[str, torch.Tensor], *, columns: int = 10) -> Figure:
    """Sheets of pictures side by side, each with its title.

    `images`: for each title (N, 1, H, W) in [0, 1]; N is a multiple of `columns`.
    """
    rows = max(map(len, images.values())) / columns
    figure, axes = side_by_side(len(images), 0.42 * columns * len(images), 0.42 * rows + 0.5)
    for ax, (title, pictures) in zip(axes, images.items()):
        if len(pictures) == 0 or len(pictures) % columns:
            raise ValueError(f"images: got {len(pictures)}, expected a multiple of {columns}")
        framed = nn.functional.pad(pictures[:, 0], (1, 1, 1, 1), value=0.35)
        rows_of = framed.unflatten(0, (-1, columns)).transpose(1, 2)
        show_picture(ax, rows_of.flatten(2).flatten(0, 1)[None])
        ax.set_title(title, fontsize=11)
    return figure

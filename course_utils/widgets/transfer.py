"""Lecture 2's explorer: amplify one network's perturbations."""

from collections.abc import Mapping

import torch
from torch import nn

from course_utils.transfer import amplify, transfer_table
from course_utils.widgets.explorer import Bar, Explorer, Menu, Shown, Slider


def transfer_explorer(
    models: Mapping[str, nn.Module],
    images: torch.Tensor,
    adversarial: Mapping[str, torch.Tensor],
    labels: torch.Tensor,
) -> Explorer:
    """Choose the network that images were made for and an amplification; watch all errors.

    Each perturbation is scaled to the slider's root mean square per pixel and not clipped, as by
    `course_utils.transfer.amplify`. At 0 the images are the originals.

    Args:
        models, labels: as for `course_utils.transfer.transfer_table`.
        images: the originals, (N, ...).
        adversarial: name to adversarial images (N, ...), one set for each entry of the menu.

    Returns:
        An explorer with the controls `made_for` and `distortion`, and a bar for each network.

    Raises:
        ValueError, TypeError: as `transfer_table` and `amplify`.
    """
    place = next(next(iter(models.values())).parameters()).device
    images, labels = images.to(place), labels.to(place)

    def frame(made_for: str, distortion: float) -> Shown:
        moved = amplify(images, adversarial[made_for].to(place) - images, distortion)
        errors = transfer_table(models, {made_for: moved}, labels).errors.loc[made_for]
        return Shown({}, [Bar(name, e, name == made_for) for name, e in errors.items()], [])

    return Explorer(
        frame, {"made_for": Menu(list(adversarial)), "distortion": Slider(0, 0.3, 0.01, 0.1)}
    )

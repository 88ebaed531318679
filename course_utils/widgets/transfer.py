"""Lecture 2's explorer: amplify one network's perturbations."""

from collections.abc import Mapping

import ipywidgets
import torch
from torch import nn

from course_utils.transfer import amplify, transfer_table
from course_utils.widgets.parts import bars


def transfer_explorer(
    models: Mapping[str, nn.Module],
    images: torch.Tensor,
    adversarial: Mapping[str, torch.Tensor],
    labels: torch.Tensor,
) -> ipywidgets.VBox:
    """Choose the network that images were made for and an amplification; watch all errors.

    Each perturbation is scaled to the slider's root mean square per pixel and not clipped, as by
    `course_utils.transfer.amplify`. At 0 the images are the originals.

    Args:
        models, labels: as for `course_utils.transfer.transfer_table`.
        images: the originals, (N, ...).
        adversarial: name to adversarial images (N, ...), one set for each entry of the menu.

    Returns:
        A VBox of three rows: the menu; the slider; the error bars (an HTML).

    Raises:
        ValueError, TypeError: as `transfer_table` and `amplify`.
    """
    source = ipywidgets.Dropdown(options=list(adversarial), description="made for")
    stddev = ipywidgets.FloatSlider(
        value=0.1, min=0.0, max=0.3, step=0.01, description="distortion", readout_format=".2f"
    )
    errors = ipywidgets.HTML()

    def show(change: object = None) -> None:
        moved = amplify(images, adversarial[source.value] - images, stddev.value)
        row = transfer_table(models, {source.value: moved}, labels).errors.loc[source.value]
        errors.value = bars(row.to_dict(), bold=source.value)

    for control in (source, stddev):
        control.observe(show, names="value")
    show()
    return ipywidgets.VBox([source, stddev, errors])

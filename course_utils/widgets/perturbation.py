"""Lecture 1's explorer: scale one perturbation."""

import ipywidgets
import numpy as np
import torch
from torch import nn

from course_utils.attacks import lbfgs_attack
from course_utils.models import eval_mode
from course_utils.widgets.parts import bars, picture_widget, png

LARGEST = 1.5  # the slider's end
ZOOM = 8  # screen pixels for each pixel of an image
GAP = 2  # white pixels between the two images


def perturbation_explorer(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> ipywidgets.VBox:
    """Choose a digit and a target, then scale the perturbation and watch the probabilities.

    All perturbations are computed here, at once, by `lbfgs_attack`; the slider only scales them.
    The images x + t r are clipped to [0, 1], which matters beyond t = 1. On the left is t r, with
    grey for 0.

    Args:
        model: images (N, 1, H, W) to logits (N, classes).
        images: the digits to choose from, (N, 1, H, W) in [0, 1]; about ten.
        labels: (N,), their classes.

    Returns:
        A VBox of three rows: the two menus; the slider; the picture (an Image) and the
        probabilities (an HTML).

    Raises:
        ValueError, TypeError: as `lbfgs_attack`, for images that are not as described; or not as
            many labels as images.
    """
    if len(images) != len(labels):
        raise ValueError(f"labels: got {len(labels)}, expected one for each of {len(images)}")
    with eval_mode(model), torch.no_grad():
        classes = model(images[:1]).shape[1]
    pairs = torch.cartesian_prod(torch.arange(len(images)), torch.arange(classes))
    result = lbfgs_attack(
        model, images[pairs[:, 0]], pairs[:, 1].to(images.device), progress=False
    )
    perturbations = result.perturbation.unflatten(0, (len(images), classes))

    digit = ipywidgets.Dropdown(
        options=[(_name(i, labels), i) for i in range(len(labels))], description="digit"
    )
    target = ipywidgets.Dropdown(
        options=range(classes), value=(int(labels[0]) + 1) % classes, description="target"
    )
    scale = ipywidgets.FloatSlider(
        value=1.0, min=0.0, max=LARGEST, step=0.05, description="t", readout_format=".2f"
    )
    picture = picture_widget()
    chances = ipywidgets.HTML()

    def show(change: object = None) -> None:
        perturbation = scale.value * perturbations[digit.value, target.value]
        image = (images[digit.value] + perturbation).clamp(0, 1)
        with eval_mode(model), torch.no_grad():
            probabilities = model(image[None])[0].softmax(0).tolist()
        size = (image - images[digit.value]).square().mean().sqrt().item()
        left, right = (t.squeeze(0).cpu().numpy() for t in ((perturbation + 1) / 2, image))
        gap = np.ones((len(left), GAP))
        picture.value = png(np.hstack([left, gap, right]), zoom=ZOOM)
        percent = {str(label): 100 * chance for label, chance in enumerate(probabilities)}
        best = max(percent, key=percent.get)
        chances.value = f"<p>Prediction: <b>{best}</b>. Distortion: {size:.4f}.</p>" + bars(
            percent, bold=best, notes={str(target.value): "target"}
        )

    for control in (digit, target, scale):
        control.observe(show, names="value")
    show()
    return ipywidgets.VBox([
        ipywidgets.HBox([digit, target]),
        scale,
        ipywidgets.HBox([picture, chances]),
    ])


def _name(index: int, labels: torch.Tensor) -> str:
    """An image's entry in the menu: its label, and its number where labels repeat."""
    label = int(labels[index])
    return f"{label}" if int((labels == label).sum()) == 1 else f"{label} (image {index})"

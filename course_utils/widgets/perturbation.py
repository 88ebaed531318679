"""Lecture 1's explorer: scale one perturbation."""

import torch
from torch import nn

from course_utils.attacks import lbfgs_attack
from course_utils.models import eval_mode
from course_utils.widgets.explorer import Explorer, Menu, Shown, Slider, bars, screen

LARGEST = 1.5  # the slider's end
ZOOM = 8  # screen pixels for each pixel of an image


def perturbation_explorer(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> Explorer:
    """Choose a digit and a target, then scale the perturbation and watch the probabilities.

    All perturbations are computed here, at once, by `lbfgs_attack`; the slider only scales them.
    The images x + t r are clipped to [0, 1], which matters beyond t = 1. On the left is t r, with
    grey for 0.

    Args:
        model: images (N, 1, H, W) to logits (N, classes).
        images: the digits to choose from, (N, 1, H, W) in [0, 1]; about ten.
        labels: (N,), their classes.

    Returns:
        An explorer with the controls `digit`, `target` and `t`, two pictures, and a bar for each
        class.

    Raises:
        ValueError, TypeError: as `lbfgs_attack`, for images that are not as described; or not as
            many labels as images.
    """
    if len(images) != len(labels):
        raise ValueError(f"labels: got {len(labels)}, expected one for each of {len(images)}")
    images = images.to(next(model.parameters()).device)
    with eval_mode(model), torch.no_grad():
        classes = model(images[:1]).shape[1]
    pairs = torch.cartesian_prod(torch.arange(len(images)), torch.arange(classes))
    targets = pairs[:, 1].to(images.device)
    found = lbfgs_attack(model, images[pairs[:, 0]], targets, progress=False).perturbation
    perturbations = found.unflatten(0, (len(images), classes))
    labels = labels.tolist()
    digits = [
        f"{label}" if labels.count(label) == 1 else f"{label} (image {i})"
        for i, label in enumerate(labels)
    ]
    # The menu begins with the class after the first digit's.
    targets = [str((labels[0] + 1 + k) % classes) for k in range(classes)]

    def frame(digit: str, target: str, t: float) -> Shown:
        original = images[digits.index(digit)]
        perturbation = t * perturbations[digits.index(digit), int(target)]
        image = (original + perturbation).clamp(0, 1)
        with eval_mode(model), torch.no_grad():
            chances = model(image[None])[0].softmax(0).tolist()
        distortion = (image - original).square().mean().sqrt().item()
        percent = {str(label): 100 * chance for label, chance in enumerate(chances)}
        return Shown(
            {name: screen(picture[0].cpu().numpy(), zoom=ZOOM)
             for name, picture in (("t r", (perturbation + 1) / 2), ("x + t r", image))},
            bars(percent, notes={target: "target"}),
            [f"Prediction: {max(percent, key=percent.get)}. Distortion: {distortion:.4f}."],
        )

    return Explorer(
        frame,
        {"digit": Menu(digits), "target": Menu(targets), "t": Slider(0, LARGEST, 0.05, 1)},
    )

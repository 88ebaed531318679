"""What every attack asks of the model before it starts, and what it returns."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.checks import check_logits


@dataclass(frozen=True)
class AttackResult:
    """Adversarial images and how far they are from the originals.

    Attributes:
        images: the adversarial images (N, ...), every pixel in [0, 1].
        perturbation: r = images - originals, the same shape.
        distortion: root mean square of r per pixel, float (N,), in pixel units. Szegedy et al.
            2013, section 4.2.
        success: whether the model gives an image its target, bool (N,), decided by one last
            forward pass on `images`.
        evaluations: how often the model's loss and gradient were computed, int64 (N,).
    """

    images: Tensor
    perturbation: Tensor
    distortion: Tensor
    success: Tensor
    evaluations: Tensor


def check_answer(model: nn.Module, images: Tensor, labels: Tensor, *, name: str) -> None:
    """Show the model one image; raise where it does not take it, or does not answer in logits.

    Raises a ValueError, also where the model has fewer classes than `labels` name.
    """
    try:
        with torch.no_grad():
            logits = model(images[:1])
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"images: got {images.dtype} of shape {tuple(images.shape)} on {images.device}, "
            f"which the model does not take: {error}"
        ) from error
    check_logits(logits, images[:1])
    if labels.max() >= logits.shape[1]:
        raise ValueError(
            f"{name}: got {labels.max().item()}, "
            f"expected 0 to {logits.shape[1] - 1}, the model's classes"
        )


def first_logits(model: nn.Module, images: Tensor, labels: Tensor, *, name: str) -> Tensor:
    """Return the model's logits (N, k), without gradients; raises as the checks beside it do."""
    check_answer(model, images, labels, name=name)
    logits = logits_of(model, images)
    check_logits(logits, images)
    return logits


def logits_of(model: nn.Module, images: Tensor, *, batch: int = 1000) -> Tensor:
    """Return the model's logits (N, k), without gradients, computed in batches."""
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(batch)])

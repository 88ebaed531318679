"""What every attack checks before it starts, and what every attack returns."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


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


def check_images(images: Tensor, *, name: str = "images") -> None:
    """Raise unless `images` is a non-empty float batch (N, ...) with every pixel in [0, 1]."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{name}: got {type(images).__name__}, expected a torch tensor")
    if images.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name}: got {images.dtype}, expected float32 or float64")
    if images.ndim < 2 or images.numel() == 0:
        raise ValueError(
            f"{name}: got shape {tuple(images.shape)}, expected a batch (N, ...) of at least one"
        )
    low, high = images.aminmax()
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise ValueError(
            f"{name}: got pixels from {low.item():g} to {high.item():g}, expected [0, 1]"
        )


def check_labels(labels: Tensor, images: Tensor, *, name: str) -> None:
    """Raise unless `labels` is an int64 tensor (N,), one label for each image."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name}: got {type(labels).__name__}, expected a torch tensor")
    if labels.dtype != torch.int64:
        raise TypeError(f"{name}: got {labels.dtype}, expected int64")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{name}: got shape {tuple(labels.shape)}, expected ({len(images)},), "
            "one for each image"
        )
    if labels.min() < 0:
        raise ValueError(f"{name}: got {labels.min().item()}, expected classes from 0 on")


def check_model(model: nn.Module) -> None:
    """Raise unless `model` is a torch module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, expected a torch.nn.Module")


def first_logits(model: nn.Module, images: Tensor, labels: Tensor, *, name: str) -> Tensor:
    """Return the model's logits (N, k), without gradients.

    Raises a ValueError where the model does not take such images, does not give finite logits,
    or has fewer classes than `labels` name; all that one image can show is seen on one image.
    """
    try:
        with torch.no_grad():
            logits = model(images[:1])
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"images: got {images.dtype} of shape {tuple(images.shape)} on {images.device}, "
            f"which the model does not take: {error}"
        ) from error
    _check_logits(logits, images[:1])
    if labels.max() >= logits.shape[1]:
        raise ValueError(
            f"{name}: got {labels.max().item()}, "
            f"expected 0 to {logits.shape[1] - 1}, the model's classes"
        )
    logits = logits_of(model, images)
    _check_logits(logits, images)
    return logits


def _check_logits(logits: Tensor, images: Tensor) -> None:
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"model: gave {got}, expected logits ({len(images)}, classes)")
    if not logits.isfinite().all():
        raise ValueError("model: gave logits that are NaN or infinite, expected finite ones")


def logits_of(model: nn.Module, images: Tensor, *, batch: int = 1000) -> Tensor:
    """Return the model's logits (N, k), without gradients, computed in batches."""
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(batch)])

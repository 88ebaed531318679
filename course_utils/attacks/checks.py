"""What every attack checks before it starts, and what every attack returns."""

from dataclasses import dataclass
from numbers import Real

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


def check_images(
    images: Tensor, *, name: str = "images", bounds: tuple[float, float] = (0, 1)
) -> None:
    """Raise unless `images` is a non-empty float batch (N, ...), every pixel within the bounds."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{name}: got {type(images).__name__}, expected a torch tensor")
    if images.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name}: got {images.dtype}, expected float32 or float64")
    if images.ndim < 2 or images.numel() == 0:
        raise ValueError(
            f"{name}: got shape {tuple(images.shape)}, expected a batch (N, ...) of at least one"
        )
    low, high = images.aminmax()
    if not (low >= bounds[0] and high <= bounds[1] and images.isfinite().all()):
        raise ValueError(  # for NaN too
            f"{name}: got pixels from {low.item():g} to {high.item():g}, "
            f"expected [{bounds[0]:g}, {bounds[1]:g}]"
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


def check_bounds(bounds: tuple[float, float]) -> None:
    """Raise unless `bounds` are two numbers, the first below the second; either may be infinite."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise TypeError(f"bounds: got {bounds!r}, expected two numbers (low, high)") from None
    if not low < high:  # also false for NaN
        raise ValueError(f"bounds: got {bounds!r}, expected the first below the second")


def check_size(size: float, *, name: str) -> None:
    """Raise unless `size` is a finite number of at least 0, as eps and steps in pixel units are."""
    if isinstance(size, bool) or not isinstance(size, Real):
        raise TypeError(f"{name}: got {size!r}, expected a number, in pixel units")
    if not 0 <= size < float("inf"):  # also false for NaN
        raise ValueError(f"{name}: got {size!r}, expected a finite number of at least 0")


def check_model(model: nn.Module) -> None:
    """Raise unless `model` is a torch module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, expected a torch.nn.Module")


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


def check_logits(logits: Tensor, images: Tensor) -> None:
    """Raise unless `logits` are finite, (N, k), one row for each image."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"model: gave {got}, expected logits ({len(images)}, classes)")
    if not logits.isfinite().all():
        raise ValueError("model: gave logits that are NaN or infinite, expected finite ones")


def logits_of(model: nn.Module, images: Tensor, *, batch: int = 1000) -> Tensor:
    """Return the model's logits (N, k), without gradients, computed in batches."""
    with torch.no_grad():
        return torch.cat([model(part) for part in images.split(batch)])

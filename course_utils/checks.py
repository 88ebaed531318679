"""What every function refuses, and how it says so: which argument, what came, what was expected."""

from numbers import Real

import torch
from torch import Tensor, nn


def check_model(model: nn.Module) -> None:
    """Raise unless `model` is a torch module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}, expected a torch.nn.Module")


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
            f"{name}: got values from {low.item():g} to {high.item():g}, "
            f"expected finite ones in [{bounds[0]:g}, {bounds[1]:g}]"
        )


def check_labels(labels: Tensor, images: Tensor | None = None, *, name: str = "labels") -> None:
    """Raise unless `labels` is an int64 tensor (N,), N as of `images` if those are given."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name}: got {type(labels).__name__}, expected a torch tensor")
    if labels.dtype != torch.int64:
        raise TypeError(f"{name}: got {labels.dtype}, expected int64")
    if images is None and (labels.ndim != 1 or not len(labels)):
        raise ValueError(f"{name}: got shape {tuple(labels.shape)}, expected (N,), N at least 1")
    if images is not None and labels.shape != images.shape[:1]:
        raise ValueError(
            f"{name}: got shape {tuple(labels.shape)}, expected ({len(images)},), "
            "one for each image"
        )
    if labels.min() < 0:
        raise ValueError(f"{name}: got {labels.min().item()}, expected classes from 0 on")


def check_logits(logits: Tensor, images: Tensor) -> None:
    """Raise unless `logits` are finite, (N, k), one row for each image."""
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"model: gave {got}, expected logits ({len(images)}, classes)")
    if not logits.isfinite().all():
        raise ValueError("model: gave logits that are NaN or infinite, expected finite ones")


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


def check_counts(**counts: int) -> None:
    """Raise unless every number, given by its argument's name, is a whole one of at least 1."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")

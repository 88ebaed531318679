"""What every function refuses, and how it says so: which argument, what came, what was expected.

They are called once, at the door through which a reader comes in, and not by what lies behind it.
"""

from collections.abc import Mapping
from numbers import Real

import torch
from torch import Tensor, nn

Bounds = tuple[float, float]
EVERYWHERE = (-float("inf"), float("inf"))  # bounds of images that may leave [0, 1]


def check_model(model: nn.Module, *, name: str = "model") -> None:
    """Raise unless `model` is a torch module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"{name}: got {type(model).__name__}, expected a torch.nn.Module")


def check_images(images: Tensor, *, name: str = "images", bounds: Bounds = (0, 1)) -> None:
    """Raise unless `images` is a non-empty float batch (N, ...), every pixel within the bounds."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{name}: got {type(images).__name__}, expected a torch tensor")
    if images.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name}: got {images.dtype}, expected float32 or float64")
    if images.ndim < 2 or images.numel() == 0:
        got = tuple(images.shape)
        raise ValueError(f"{name}: got shape {got}, expected a batch (N, ...) of at least one")
    low, high = images.aminmax()
    inside = low >= bounds[0] and high <= bounds[1]  # False for NaN too
    if not (inside and low.isfinite() and high.isfinite()):
        got, wanted = f"values from {low:g} to {high:g}", "[{:g}, {:g}]".format(*bounds)
        raise ValueError(f"{name}: got {got}, expected finite ones in {wanted}")


def check_labels(
    labels: Tensor, images: Tensor | None = None, *, name="labels", classes: int | None = None
) -> None:
    """Raise unless `labels` is int64 (N,), 0 to classes - 1, N as of `images` if given."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name}: got {type(labels).__name__}, expected a torch tensor")
    if labels.dtype != torch.int64:
        raise TypeError(f"{name}: got {labels.dtype}, expected int64")
    got, count = tuple(labels.shape), labels.numel() if images is None else len(images)
    if got != (count,) or not count:
        expected = "(N,), N at least 1" if images is None else f"({count},), one for each image"
        raise ValueError(f"{name}: got shape {got}, expected {expected}")
    low, high = labels.aminmax()
    if low < 0:
        raise ValueError(f"{name}: got {low}, expected classes from 0 on")
    if classes is not None and (classes < 2 or high >= classes):
        raise ValueError(f"{name}: got {high}, expected 0 to {classes - 1}, at least two classes")


def check_logits(logits: Tensor, images: Tensor) -> None:
    """Raise unless `logits` are finite, (N, k), one row for each image and at least two classes."""
    usable = isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[1] > 1
    if not usable or len(logits) != len(images):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        expected = f"logits ({len(images)}, classes), at least two classes"
        raise ValueError(f"model: gave {got}, expected {expected}")
    if not logits.isfinite().all():
        raise ValueError("model: gave logits that are NaN or infinite, expected finite ones")


def check_bounds(bounds: Bounds) -> None:
    """Raise unless `bounds` are two numbers, the first below the second; either may be infinite."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        raise TypeError(f"bounds: got {bounds!r}, expected two numbers (low, high)") from None
    if not low < high:  # also false for NaN
        raise ValueError(f"bounds: got {bounds!r}, expected the first below the second")


def check_sizes(**sizes: float) -> None:
    """Raise unless every number, such as an eps in pixel units, is finite and at least 0."""
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, Real):
            raise TypeError(f"{name}: got {size!r}, expected a number")
        if not 0 <= size < float("inf"):  # also false for NaN
            raise ValueError(f"{name}: got {size!r}, expected a finite number of at least 0")


def check_share(**shares: float) -> None:
    """Raise unless every number lies in [0, 1]."""
    check_sizes(**shares)
    for name, share in shares.items():
        if share > 1:
            raise ValueError(f"{name}: got {share!r}, expected a share from 0 to 1")


def check_counts(**counts: int) -> None:
    """Raise unless every number, given by its argument's name, is a whole one of at least 1."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")


def check_choice(known: Mapping[str, object] | tuple[str, ...], **choice: str) -> None:
    """Raise unless the word, given by its argument's name, is one of those known."""
    for name, value in choice.items():
        if value not in known:
            raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(known)}")


def check_generator(generator: torch.Generator | None) -> None:
    """Raise unless it is a generator or None."""
    if not isinstance(generator, torch.Generator | None):
        kind = type(generator).__name__
        raise TypeError(f"generator: got {kind}, expected a torch.Generator or None")


def check_attack(model, images, labels, *, name="labels", bounds=(0, 1), **sizes) -> None:
    """Raise unless these are a model, images within the bounds, their labels and steps' sizes."""
    check_model(model)
    check_bounds(bounds)
    check_images(images, bounds=bounds)
    check_labels(labels, images, name=name)
    check_sizes(**sizes)

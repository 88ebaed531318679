"""The operator norm of a linear layer: attained from below, proved from above."""

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.lipschitz import fourier
from course_utils.lipschitz.certificate import dense_bounds, largest_eigenpair, scale_of
from course_utils.lipschitz.plain import kind_of
from course_utils.models import eval_mode


@dataclasses.dataclass(frozen=True)
class NormBounds:
    """What is known of a layer's norm, the largest |f(x) - f(y)| / |x - y| (L2).

    Attributes:
        lower: some input attains it.
        upper: the norm is at most that.
        attained_at: that input, float64, on the CPU, of length 1: (C, H, W) for a convolution,
            (features,) for a fully connected layer.
    """

    lower: float
    upper: float
    attained_at: Tensor = dataclasses.field(repr=False, compare=False)


def operator_norm(
    layer: nn.Module, input_shape: tuple[int, int, int] | None = None
) -> NormBounds:
    """Bound the norm of a linear layer's linear part (the bias does not matter) from both sides.

    The lower bound comes from Lanczos iteration on the layer itself: for a fully connected layer
    within 1e-6 of the norm, for a convolution within about a thousandth. The upper bound is a
    proof that holds in floating point too. For a fully connected layer it is at most 1e-5 higher;
    so it is, above the norm, for a circular convolution. For a zero-padded one it is the norm of a
    circular layer of which it is a part (see `course_utils.lipschitz.fourier`), higher by what the
    border of zeros takes away: on images much larger than the kernel a percent or less.

    Args:
        layer: nn.Linear, or nn.Conv2d with zero or circular padding, any stride, dilation, groups.
        input_shape: (C, H, W), for a convolution: its norm depends on it.

    Raises:
        TypeError: the layer is another one, or one with a forward of its own.
        ValueError: weights are NaN or infinite; the input_shape does not fit; the padding is
            another one, or a circular one that makes no circular convolution.

    Sources: Rump 2006 (see `course_utils.lipschitz.certificate`) for the proof; Szegedy et al.
    2013 (arXiv:1312.6199), section 4.3; Sedghi, Gupta and Long 2019 (arXiv:1805.10408).
    """
    kind = kind_of(layer, (nn.Linear, nn.Conv2d), "layer")
    if kind is None:
        raise TypeError(f"layer: got {type(layer).__name__}, expected nn.Linear or nn.Conv2d")
    with eval_mode(layer), torch.inference_mode(False):
        if kind is nn.Linear:
            return NormBounds(*dense_bounds(layer.weight))
        fourier.check_convolution(layer, input_shape)
        upper = fourier.upper_bound(layer, tuple(input_shape))
        lower, attained_at = _attain(layer, tuple(input_shape))
        return NormBounds(lower, upper, attained_at)


def _attain(layer: nn.Conv2d, shape: tuple[int, int, int]) -> tuple[float, Tensor]:
    """Return |f(x)| and x of length 1, (C, H, W), that the layer makes about longest.

    The iteration on f^T f runs in float32, twice as fast; its rounding moves the vector a little,
    and the norm by the square of that. The norm returned is computed from the vector in float64.
    """
    scale, size = scale_of(layer.weight), math.prod(shape)
    if not scale:
        return 0.0, torch.eye(1, size, dtype=torch.float64).view(shape)

    def there_and_back(vector: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(vector.reshape(1, *shape)).requires_grad_()
        with torch.enable_grad():
            outputs = fourier.linear_part(layer, image, scale)
        (back,) = torch.autograd.grad(outputs, image, outputs.detach())
        return back.flatten().numpy()

    vector = largest_eigenpair(there_and_back, size, tolerance=5e-3, dtype=np.float32)[1]
    best = torch.from_numpy(vector).view(shape)
    best = best / best.norm()
    with torch.no_grad():
        return fourier.linear_part(layer, best[None]).norm().item(), best

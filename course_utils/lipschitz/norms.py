"""The operator norm of a linear layer: attained from below, proved from above."""

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.lipschitz import fourier
from course_utils.lipschitz.certificate import SMALL, dense_bounds, scale_of
from course_utils.lipschitz.lanczos import largest_eigenpair
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

    The lower bound comes from Lanczos iteration on the layer itself, to a relative 1e-6. The upper
    bound is a proof that holds in floating point too. For a fully connected layer it is at most
    1e-5 higher; so it is for a convolution with circular padding whose stride divides the sides
    of the image, if each output appears once. For a zero-padded one it is the norm of a circular
    layer of which it is a part (see `course_utils.lipschitz.fourier`), higher by what the border
    of zeros takes away: on images much larger than the kernel a percent or less.

    Args:
        layer: nn.Linear, or nn.Conv2d with zero or circular padding, any stride, dilation, groups.
        input_shape: (C, H, W), for a convolution: its norm depends on it.

    Raises:
        TypeError: the layer is another one, or one with a forward of its own.
        ValueError: weights are NaN or infinite; the input_shape does not fit; the padding is
            another one.

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
        lower, attained_at = _attain(layer, tuple(input_shape), upper)
        return NormBounds(lower, upper, attained_at)


def _attain(
    layer: nn.Conv2d, shape: tuple[int, int, int], upper: float
) -> tuple[float, Tensor]:
    """Return |f(x)| and x of length 1, (C, H, W), that the layer makes longest.

    Lanczos iteration on f^T f, each group of channels for itself, runs in float32, several times
    as fast here; its rounding moves the vector a little, and the norm by the square of that. The
    norm returned is computed from the vector in float64.
    """
    scale, size, groups = scale_of(layer.weight), math.prod(shape), layer.groups
    if not scale:
        return 0.0, torch.eye(1, size, dtype=torch.float64).view(shape)
    weights = (fourier.phase_weights(layer) / scale).flatten(0, 1).float()

    def there_and_back(vectors: Tensor) -> Tensor:
        images = vectors.transpose(0, 1).reshape(-1, *shape).requires_grad_()
        with torch.enable_grad():
            # A large stride makes torch's gradient slow; of its phases it is quick.
            outputs = F.conv2d(fourier.phases(layer, images), weights, groups=groups)
        (back,) = torch.autograd.grad(outputs, images, outputs.detach())
        return back.view(vectors.shape[1], groups, -1).transpose(0, 1)

    if size > SMALL:
        start = fourier.loud_waves(layer, shape, upper)
        _, vector = largest_eigenpair(there_and_back, start, tolerance=3e-6)
    else:
        square = there_and_back(torch.eye(size).view(size, groups, -1).transpose(0, 1))
        square = square.transpose(0, 1).reshape(size, size).double()
        vector = torch.linalg.eigh(square)[1][:, -1]
    best = vector.double().reshape(shape)
    best = best / best.norm()
    with torch.no_grad():
        return fourier.linear_part(layer, best[None]).norm().item(), best

"""The layers that a network is made of: what each computes, on which shape, and its bounds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils.checks import check_model
from course_utils.lipschitz import fourier
from course_utils.lipschitz.certificate import UP, dense_bounds, largest_eigenpair, scale_of
from course_utils.lipschitz.fourier import pair
from course_utils.lipschitz.plain import kind_of
from course_utils.models import Normalize, eval_mode

UNCHANGED = (nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Identity)  # as they are in eval mode
ACTIVATIONS = {nn.ReLU: 1.0, nn.ReLU6: 1.0, nn.Tanh: 1.0, nn.Sigmoid: 0.25}
# What each pooling does along one axis, and its settings: pairs, one for each axis, and others.
WINDOW = ("kernel_size", "stride", "padding")
POOLS = {
    nn.MaxPool2d: (nn.MaxPool1d, (*WINDOW, "dilation"), ("ceil_mode",)),
    nn.AvgPool2d: (nn.AvgPool1d, WINDOW, ("ceil_mode", "count_include_pad")),
    nn.AdaptiveAvgPool2d: (nn.AdaptiveAvgPool1d, ("output_size",), ()),
}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LocalResponseNorm, Normalize)
KINDS = (nn.Linear, nn.Conv2d, *POOLS, *NORMS, *ACTIVATIONS, *UNCHANGED)


@dataclass(frozen=True)
class NormBounds:
    """What is known of a layer's norm, the largest |f(x) - f(y)| / |x - y| (L2).

    attained_at: float64, on the CPU, of length 1: (C, H, W) for a convolution, (features,) for a
    fully connected layer.
    """

    lower: float  # some input attains it
    upper: float  # the norm is at most that
    attained_at: Tensor = field(repr=False, compare=False)


def operator_norm(layer: nn.Module, input_shape: tuple[int, int, int] | None = None) -> NormBounds:
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

    Raises TypeError where the layer is another one, or may compute something else than its weights
    say; ValueError where weights are NaN or infinite; the input_shape does not fit; the padding is
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
        upper = fourier.upper_bound(layer, input_shape)
        lower, attained_at = _attain(layer, input_shape)
        return NormBounds(lower, upper, attained_at)


def _attain(layer: nn.Conv2d, shape: tuple[int, int, int]) -> tuple[float, Tensor]:
    """Return |f(x)| and x of length 1, (C, H, W), that the layer makes about longest.

    The iteration on f^T f runs in float32, twice as fast; its rounding moves the vector a little,
    and the norm by the square of that. The norm returned is computed from the vector in float64.
    """
    scale, size = scale_of(layer.weight), math.prod(shape)
    if not scale:
        return 0.0, torch.eye(1, size, dtype=torch.float64).view(shape)
    weight = layer.weight.detach().cpu() / scale

    def linear_part(image: Tensor) -> Tensor:
        return layer._conv_forward(image, weight.to(image), None)  # as torch pads, with no bias

    def there_and_back(vector: np.ndarray) -> np.ndarray:
        image = torch.from_numpy(vector.reshape(1, *shape)).requires_grad_()
        with torch.enable_grad():
            outputs = linear_part(image)
        return torch.autograd.grad(outputs, image, outputs.detach())[0].flatten().numpy()

    vector = largest_eigenpair(there_and_back, size, tolerance=5e-3, dtype=np.float32)[1]
    best = torch.from_numpy(vector).view(shape)
    best = best / best.norm()
    return scale * linear_part(best[None]).norm().item(), best


def layer_bounds(
    model: nn.Module, input_shape: tuple[int, ...], *, progress: bool = False
) -> pd.DataFrame:
    """Return the table of a network's layers, each with its bounds, in the order they run.

    Convolutions and fully connected layers: see `operator_norm`. The others, as in eval mode:

    - ReLU and tanh 1; sigmoid 1/4, the largest slopes.
    - Max pooling: sqrt(c), c the largest number of windows that a pixel lies in. Two images'
      maxima over a window differ by at most the largest difference |d| of a pixel in it, so the
      squares of the maxima's differences sum to at most c |d|^2. One pixel that stands out, in c
      windows, attains it. Only where windows do not overlap is that the paper's "contractive".
    - Average pooling is linear, and the Kronecker product of its two axes: the product of the
      norms of two small matrices.
    - Batch normalisation: the largest |weight| / sqrt(running_var + eps). `Normalize`: 1 / min std.
    - Local response normalisation over n channels with exponent b <= 1 and constant k: lower
      k^-b, the slope at zero, upper k^-b (1 + (n - 1) b c), c = b^b / (1 + b)^(1 + b). With D_i =
      k + alpha / n (sum of x_j^2 over i's window), the Jacobian has D_i^-b (1 - 2 b alpha x_i^2
      / (n D_i)) on its diagonal, between -k^-b and k^-b, and for each of the n - 1 neighbours
      one more diagonal of entries 2 b (alpha / n) x_i x_j D_i^-(b + 1). With s = D_i - k, these
      are at most b s / (k + s)^(b + 1), which is largest at s = k / b: b c k^-b.

    Dropout, flatten and identity change no length, and have no row. Nothing is run on the
    model's device: weights are copied to the CPU, a layer at a time.

    Args:
        model: nn.Sequential, nested if need be, or one layer. A layer may stand in several places.
        input_shape: of one image, such as (1, 28, 28). progress: show a bar?

    Returns a DataFrame, rows named as in `model.named_modules()`: "layer", "size" (channels in x
    height x width x channels out, or inputs x outputs; "" where there is none), "stride" ("N/A"
    where there is none), "lower" and "upper".

    Raises TypeError where a layer is of no known kind, or may compute something else than its kind
    (see `course_utils.lipschitz.plain`); it is named; ValueError where input_shape does not fit;
    weights are NaN or infinite; a setting is unknown.
    """
    check_model(model)
    rows = {}
    with eval_mode(model), torch.inference_mode(False):
        layers = tqdm(walk(model, input_shape), "bounds", unit="layer", disable=not progress)
        for name, kind, layer, shape in layers:
            if kind not in UNCHANGED:
                try:
                    bounds = _bounds(kind, layer, shape)
                except ValueError as error:
                    raise ValueError(f"layer {name!r}: {error}") from error
                rows[name] = (kind.__name__, *_describe(kind, layer), *bounds)
    columns = ["layer", "size", "stride", "lower", "upper"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def walk(model: nn.Module, input_shape: tuple[int, ...]) -> Iterator[tuple]:
    """Yield each layer's name, its kind, the layer, and the shape of its input, as they run."""
    if not fourier.is_shape(input_shape):
        raise ValueError(f"input_shape: got {input_shape!r}, expected whole numbers, (C, H, W)")
    shape = tuple(input_shape)
    for name, layer in _leaves(model):
        kind = kind_of(layer, KINDS, f"model: layer {name!r}")
        if kind is None:
            known = ", ".join(sorted(k.__name__ for k in KINDS))
            got = f"layer {name!r}, a {type(layer).__name__}, whose bound is not known"
            raise TypeError(f"model: got {got}; expected nn.Sequential of {known}")
        try:
            after = _shape_after(kind, layer, shape)
        except (RuntimeError, ValueError, IndexError) as error:
            problem = f"which layer {name!r} ({kind.__name__}) does not take: {error}"
            raise ValueError(f"input_shape: got {tuple(input_shape)}, {problem}") from error
        yield name, kind, layer, shape
        shape = after


def _leaves(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    if kind_of(model, (nn.Sequential,), f"model: layer {name!r}"):
        # A module that stands in two places runs twice; named_children would give it once.
        for child, layer in model._modules.items():
            yield from _leaves(layer, f"{name}.{child}" if name else child)
    else:
        yield name, model


def _shape_after(kind: type, layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a layer makes of one image's, without computing anything."""
    if kind is nn.Linear:
        if not shape or shape[-1] != layer.weight.shape[1]:
            raise ValueError(f"got {shape}, expected {layer.weight.shape[1]} numbers in a row")
        return (*shape[:-1], layer.weight.shape[0])
    if kind is nn.Conv2d:
        return (layer.out_channels, *(axis.outputs for axis in fourier.axes(layer, shape)))
    if kind in (*POOLS, nn.Flatten):
        result = layer(torch.empty(2, *shape, device="meta"))
        if not isinstance(result, Tensor) or len(result) != 2:
            raise ValueError("expected a layer that gives one tensor for each image")
        return tuple(result.shape[1:])
    return shape


def _bounds(kind: type, layer: nn.Module, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return a layer's bounds, lower and upper."""
    if kind in ACTIVATIONS:
        return (ACTIVATIONS[kind],) * 2
    if kind in (nn.Linear, nn.Conv2d):
        found = operator_norm(layer, shape if kind is nn.Conv2d else None)
        return found.lower, found.upper
    if kind in POOLS:
        return _pool(kind, layer, shape)
    if kind is nn.LocalResponseNorm:
        size, b, k = min(layer.size, 2 * shape[0] - 1), layer.beta, layer.k
        if not (0 < b <= 1 and k > 0 and layer.alpha >= 0):
            raise ValueError(f"got {layer}, expected 0 < beta <= 1, k > 0, alpha >= 0")
        others = (size - 1) * b * b**b / (1 + b) ** (1 + b)
        return k**-b / UP, k**-b * (1 + others) * UP
    if kind is Normalize:
        factors = 1 / layer.std.double()
    elif layer.running_var is None:
        raise ValueError("got no running_var, expected one, for eval mode")
    else:
        weight = 1 if layer.weight is None else layer.weight.detach().double()
        factors = weight * (layer.running_var.double() + layer.eps).rsqrt()
    norm = factors.abs().max().item()
    if not math.isfinite(norm):
        raise ValueError("got factors that are NaN or infinite, expected finite ones")
    return norm / UP, norm * UP


def _pool(kind: type, layer: nn.Module, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return a pooling's bounds, from what it makes of a single pixel along each axis."""
    if getattr(layer, "divisor_override", None):
        raise ValueError("divisor_override: expected none in an average pooling")
    one_axis, pairs, others = POOLS[kind]
    matrices = []
    for axis in (0, 1):
        options = {name: pair(getattr(layer, name))[axis] for name in pairs}
        pool = one_axis(**options, **{name: getattr(layer, name) for name in others})
        matrices.append(pool(torch.eye(shape[axis - 2], dtype=torch.float64)[None])[0].T)
    if kind is nn.MaxPool2d:  # a column's ones are the windows that its pixel lies in
        root = math.sqrt(math.prod(matrix.sum(0).max().item() for matrix in matrices))
        return root, root * UP
    first, second = map(dense_bounds, matrices)
    # The divisions that made the matrices were rounded.
    return first[0] * second[0] / UP**2, first[1] * second[1] * UP**3


def _describe(kind: type, layer: nn.Module) -> tuple[str, object]:
    """Return a layer's size and stride, as the table gives them."""
    high, wide = pair(getattr(layer, "stride", "N/A"))
    stride = high if high == wide else f"{high} x {wide}"
    sizes = pair(getattr(layer, "kernel_size", ()))
    if kind is nn.Conv2d:
        sizes = (layer.in_channels, *sizes, layer.out_channels)
    elif kind is nn.Linear:
        sizes = layer.weight.shape[::-1]
    return " x ".join(map(str, sizes)), stride

"""The layers that a network is made of: what each computes, on which shape, and its bounds."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from course_utils.checks import check_model
from course_utils.lipschitz import fourier
from course_utils.lipschitz.certificate import UP, dense_bounds
from course_utils.lipschitz.fourier import pair
from course_utils.lipschitz.norms import operator_norm
from course_utils.lipschitz.plain import kind_of
from course_utils.models import Normalize, eval_mode

UNCHANGED = (nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Identity)  # as they are in eval mode
ACTIVATIONS = {nn.ReLU: 1.0, nn.ReLU6: 1.0, nn.Tanh: 1.0, nn.Sigmoid: 0.25}
POOLS = {
    nn.AvgPool2d: lambda layer, axis: nn.AvgPool1d(
        *(pair(value)[axis] for value in (layer.kernel_size, layer.stride, layer.padding)),
        layer.ceil_mode,
        layer.count_include_pad,
    ),
    nn.AdaptiveAvgPool2d: lambda layer, axis: nn.AdaptiveAvgPool1d(pair(layer.output_size)[axis]),
}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LocalResponseNorm, Normalize)
KINDS = (nn.Linear, nn.Conv2d, nn.MaxPool2d, *POOLS, *NORMS, *ACTIVATIONS, *UNCHANGED)


def layer_bounds(model: nn.Module, input_shape: tuple[int, ...]) -> pd.DataFrame:
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
        input_shape: of one image, such as (1, 28, 28).

    Returns:
        A DataFrame, rows named as in `model.named_modules()`: "layer", "size" (channels in x
        height x width x channels out, or inputs x outputs; "" where there is none), "stride"
        ("N/A" where there is none), "lower" and "upper".

    Raises:
        TypeError: a layer is of no known kind, or may compute something else than its kind (see
            `course_utils.lipschitz.plain`); it is named.
        ValueError: input_shape does not fit; weights are NaN or infinite; a setting is unknown.
    """
    check_model(model)
    rows = {}
    with eval_mode(model), torch.inference_mode(False):
        for name, kind, layer, shape in walk(model, input_shape):
            try:
                bounds = _bounds(kind, layer, shape)
            except ValueError as error:
                raise ValueError(f"layer {name!r}: {error}") from error
            if bounds is not None:
                rows[name] = (kind.__name__, *_describe(kind, layer), *bounds)
    columns = ["layer", "size", "stride", "lower", "upper"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def walk(
    model: nn.Module, input_shape: tuple[int, ...]
) -> Iterator[tuple[str, type[nn.Module], nn.Module, tuple[int, ...]]]:
    """Yield each layer's name, its kind, the layer, and the shape of its input, as they run."""
    if not isinstance(input_shape, tuple | list | torch.Size) or not all(
        isinstance(side, int) and side > 0 for side in input_shape
    ):
        raise ValueError(f"input_shape: got {input_shape!r}, expected whole numbers, (C, H, W)")
    shape = tuple(input_shape)
    for name, layer in _leaves(model):
        kind = kind_of(layer, KINDS, f"model: layer {name!r}")
        if kind is None:
            known = ", ".join(sorted(k.__name__ for k in KINDS))
            raise TypeError(
                f"model: got layer {name!r}, a {type(layer).__name__}, whose bound is not known; "
                f"expected nn.Sequential of {known}"
            )
        yield name, kind, layer, shape
        try:
            shape = _shape_after(kind, layer, shape)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ValueError(
                f"input_shape: got {tuple(input_shape)}, which layer {name!r} ({kind.__name__}) "
                f"does not take: {error}"
            ) from error


def _leaves(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    if kind_of(model, (nn.Sequential,), f"model: layer {name!r}"):
        # A module that stands in two places runs twice; named_children would give it once.
        for child, layer in model._modules.items():
            yield from _leaves(layer, f"{name}.{child}" if name else child)
    else:
        yield name, model


def _shape_after(
    kind: type[nn.Module], layer: nn.Module, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape that a layer makes of one image's, without computing anything."""
    if kind is nn.Linear:
        if not shape or shape[-1] != layer.weight.shape[1]:
            raise ValueError(f"got {shape}, expected {layer.weight.shape[1]} numbers in a row")
        return (*shape[:-1], layer.weight.shape[0])
    if kind is nn.Conv2d:
        return (layer.out_channels, *(axis.outputs for axis in fourier.axes(layer, shape)))
    if kind in (nn.MaxPool2d, *POOLS, nn.Flatten):
        result = layer(torch.empty(2, *shape, device="meta"))
        if not isinstance(result, Tensor) or len(result) != 2:
            raise ValueError("expected a layer that gives one tensor for each image")
        return tuple(result.shape[1:])
    return shape


def _bounds(
    kind: type[nn.Module], layer: nn.Module, shape: tuple[int, ...]
) -> tuple[float, float] | None:
    """Return a layer's bounds, lower and upper; None where it changes no length."""
    if kind in UNCHANGED:
        return None
    if kind in ACTIVATIONS:
        return (ACTIVATIONS[kind],) * 2
    if kind in (nn.Linear, nn.Conv2d):
        found = operator_norm(layer, shape if kind is nn.Conv2d else None)
        return found.lower, found.upper
    if kind is nn.MaxPool2d:
        root = math.sqrt(_windows(layer, 0, shape) * _windows(layer, 1, shape))
        return root, root * UP
    if kind in POOLS:
        return _average_pool(layer, POOLS[kind], shape)
    if kind is nn.LocalResponseNorm:
        return _response_norm(layer, shape)
    if kind is Normalize:
        factors = 1 / layer.std.double()
    else:
        if layer.running_var is None:
            raise ValueError("got no running_var, expected one, for eval mode")
        factors = (layer.running_var.double() + layer.eps).rsqrt()
        if layer.weight is not None:
            factors = factors * layer.weight.detach().double()
    norm = factors.abs().max().item()
    if not math.isfinite(norm):
        raise ValueError("got factors that are NaN or infinite, expected finite ones")
    return norm / UP, norm * UP


def _windows(layer: nn.MaxPool2d, axis: int, shape: tuple[int, ...]) -> int:
    """Return the largest number of windows, along one axis, that one pixel lies in."""
    kernel, stride, padding, dilation = (
        pair(value)[axis]
        for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    outputs = _shape_after(nn.MaxPool2d, layer, shape)[1 + axis]
    pixels = (
        stride * np.arange(outputs)[:, None] + dilation * np.arange(kernel) - padding
    ).ravel()
    return int(np.bincount(pixels[(pixels >= 0) & (pixels < shape[1 + axis])]).max())


def _average_pool(layer: nn.Module, one_axis: object, shape: tuple[int, ...]) -> tuple[float, ...]:
    if getattr(layer, "divisor_override", None):
        raise ValueError("divisor_override: expected none in an average pooling")
    lower, upper = 1.0, UP
    for axis in (0, 1):
        matrix = one_axis(layer, axis)(torch.eye(shape[1 + axis], dtype=torch.float64)[None])[0].T
        below, above, _ = dense_bounds(matrix)
        # The divisions that made the matrix were rounded.
        lower, upper = lower * below / UP, upper * above * UP
    return lower, upper


def _response_norm(layer: nn.Module, shape: tuple[int, ...]) -> tuple[float, float]:
    size, b, k = min(layer.size, 2 * shape[0] - 1), layer.beta, layer.k
    if not (0 < b <= 1 and k > 0 and layer.alpha >= 0):
        raise ValueError(f"got {layer}, expected 0 < beta <= 1, k > 0, alpha >= 0")
    others = (size - 1) * b * b**b / (1 + b) ** (1 + b)
    return k**-b / UP, k**-b * (1 + others) * UP


def _describe(kind: type[nn.Module], layer: nn.Module) -> tuple[str, object]:
    stride = "N/A"
    if hasattr(layer, "stride"):
        high, wide = pair(layer.stride)
        stride = high if high == wide else f"{high} x {wide}"
    if kind is nn.Conv2d:
        sizes = (layer.in_channels, *pair(layer.kernel_size), layer.out_channels)
    elif kind is nn.Linear:
        sizes = tuple(layer.weight.shape[::-1])
    else:
        sizes = pair(layer.kernel_size) if hasattr(layer, "kernel_size") else ()
    return " x ".join(map(str, sizes)), stride

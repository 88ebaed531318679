"""Bounds of whole networks, layer by layer: the table, the product, certificates, a penalty."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.checks import check_counts, check_images, check_model
from course_utils.lipschitz import fourier
from course_utils.lipschitz.certificate import UP, dense_bounds
from course_utils.lipschitz.norms import inherits, operator_norm
from course_utils.models import Normalize, eval_mode

UNCHANGED = (nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Identity)  # as they are in eval mode
ACTIVATIONS = {nn.ReLU: 1.0, nn.ReLU6: 1.0, nn.Tanh: 1.0, nn.Sigmoid: 0.25}
POOLS = {
    nn.AvgPool2d: lambda layer, axis: nn.AvgPool1d(
        *(_pair(value)[axis] for value in (layer.kernel_size, layer.stride, layer.padding)),
        layer.ceil_mode,
        layer.count_include_pad,
    ),
    nn.AdaptiveAvgPool2d: lambda layer, axis: nn.AdaptiveAvgPool1d(_pair(layer.output_size)[axis]),
}


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
        model: nn.Sequential, nested if need be, or one layer.
        input_shape: of one image, such as (1, 28, 28).

    Returns:
        A DataFrame, rows named as in `model.named_modules()`: "layer", "size" (channels in x
        height x width x channels out, or inputs x outputs; "" where there is none), "stride"
        ("N/A" where there is none), "lower" and "upper".

    Raises:
        TypeError: a layer is of no known kind; it is named.
        ValueError: input_shape does not fit.
    """
    rows = {}
    for name, layer, shape in _walk(model, input_shape):
        bounds = _bounds(name, layer, shape)
        if bounds is not None:
            rows[name] = (type(layer).__name__, *_describe(layer), *bounds)
    columns = ["layer", "size", "stride", "lower", "upper"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def network_bound(model: nn.Module, input_shape: tuple[int, ...]) -> float:
    """Return the product of the layers' upper bounds: |f(x) - f(y)| <= bound |x - y|, in L2.

    Args, Raises: as for `layer_bounds`.

    Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.3.
    """
    uppers = layer_bounds(model, input_shape)["upper"]
    return math.prod(uppers) * UP ** len(uppers)


def certified_radius(model: nn.Module, images: Tensor, *, bound: float | None = None) -> Tensor:
    """Return for each image how far it can move in L2 without another class overtaking.

    The difference of two logits is sqrt(2) times their vector's part along a vector of length 1,
    so it moves by at most sqrt(2) bound |r|: the radius is the margin between the largest logit
    and the next, over sqrt(2) bound. It is for the class that the model gives, right or wrong, and
    true up to the rounding of the logits. Divide by sqrt(pixels) for a distortion.

    Args:
        model: gives logits (N, k), k at least 2.
        images: (N, ...), floating point.
        bound: the `network_bound`, if it is known; otherwise it is computed.

    Returns:
        (N,), in the logits' type; infinite where the bound is 0.

    Raises:
        TypeError, ValueError: an argument is not as described, or as for `layer_bounds`.

    Source: Tsuzuku, Sato and Sugiyama 2018 (arXiv:1802.04034), Proposition 1.
    """
    check_model(model)
    check_images(images, bounds=(-math.inf, math.inf))
    if bound is None:
        bound = network_bound(model, tuple(images.shape[1:]))
    if not 0 <= bound < math.inf:
        raise ValueError(f"bound: got {bound!r}, expected a finite number of at least 0")
    with eval_mode(model), torch.no_grad():
        logits = model(images)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"model: gave shape {tuple(logits.shape)}, expected (N, k), at least two classes"
        )
    if not logits.isfinite().all():
        raise ValueError("model: gave logits that are NaN or infinite, expected finite ones")
    first, second = logits.topk(2, dim=1).values.unbind(1)
    if not bound:
        return torch.full_like(first, torch.inf)
    return (first - second) / (math.sqrt(2) * bound)


def lipschitz_penalty(
    model: nn.Module,
    input_shape: tuple[int, ...] | None = None,
    *,
    state: dict[str, Tensor] | None = None,
    steps: int | None = None,
) -> Tensor:
    """Return half the sum of the squared norms of a model's linear layers, differentiable.

    Each norm is approached from below by power iteration. Keep one dict as `state` through a
    training run: each call then goes on from the vectors of the one before, and one step a call
    is enough, for the weights change little.

    Args:
        model: its fully connected layers and convolutions are penalised, biases are not.
        input_shape: of one image; needed if the model has convolutions.
        state: name of a layer to its vector, changed in place; {} at the beginning.
        steps: of power iteration, at least 1. By default 1 for a layer that `state` knows, and
            50 for the others.

    Returns:
        A scalar, on the model's device.

    Raises:
        TypeError, ValueError: an argument is not as described, or as for `layer_bounds`.

    Source: Yoshida and Miyato 2017 (arXiv:1705.10941), equation 3, with all layers' lambda 1.
    """
    if steps is not None:
        check_counts(steps=steps)
    if state is not None and not isinstance(state, dict):
        raise TypeError(f"state: got {type(state).__name__}, expected a dict")
    check_model(model)
    squares = []
    for name, layer, shape in _linear_layers(model, input_shape):
        vector = None if state is None else state.get(name)
        known = vector is not None and vector.shape == (1, *shape)
        if not known:
            generator = torch.Generator().manual_seed(0)
            vector = torch.randn(1, *shape, generator=generator)
        vector = F.normalize(vector.to(layer.weight).flatten(), dim=0).view(1, *shape)
        for _ in range(steps or (1 if known else 50)):
            vector.requires_grad_()
            with torch.enable_grad():
                outputs = _linear_part(layer, vector)
            (back,) = torch.autograd.grad(outputs, vector, outputs.detach())
            length = back.norm()
            vector = back / length if length > 0 else vector.detach()
        if state is not None:
            state[name] = vector.detach()
        squares.append(_linear_part(layer, vector.detach()).square().sum())
    if not squares:
        raise ValueError("model: got one without fully connected layers or convolutions")
    return sum(squares) / 2


def _linear_part(layer: nn.Module, inputs: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return F.linear(inputs, layer.weight)
    return fourier.linear_part(layer, inputs)


def _linear_layers(
    model: nn.Module, input_shape: tuple[int, ...] | None
) -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    found = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    if all(isinstance(layer, nn.Linear) for _, layer in found):
        yield from ((name, layer, (layer.in_features,)) for name, layer in found)
        return
    if input_shape is None:
        raise ValueError("input_shape: got None, expected (C, H, W), for the convolutions")
    for name, layer, shape in _walk(model, input_shape):
        if isinstance(layer, nn.Linear):
            yield name, layer, (layer.in_features,)
        elif isinstance(layer, nn.Conv2d):
            fourier.check_convolution(layer, shape)
            yield name, layer, shape


def _walk(
    model: nn.Module, input_shape: tuple[int, ...]
) -> Iterator[tuple[str, nn.Module, tuple[int, ...]]]:
    """Yield the name of each layer, the layer, and the shape of its input, as they run."""
    check_model(model)
    if not isinstance(input_shape, tuple | list | torch.Size) or not all(
        isinstance(side, int) and side > 0 for side in input_shape
    ):
        raise ValueError(f"input_shape: got {input_shape!r}, expected whole numbers, (C, H, W)")
    shape = tuple(input_shape)
    for name, layer in _leaves(model):
        yield name, layer, shape
        if type(layer) in ACTIVATIONS or isinstance(layer, Normalize):
            continue
        with eval_mode(layer):
            try:
                shape = _shape_after(layer, shape)
            except (RuntimeError, ValueError, IndexError) as error:
                raise ValueError(
                    f"input_shape: got {tuple(input_shape)}, which layer {name!r} "
                    f"({type(layer).__name__}) does not take: {error}"
                ) from error


def _leaves(model: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    if inherits(model, nn.Sequential):
        for child, layer in model.named_children():
            yield from _leaves(layer, f"{name}.{child}" if name else child)
    else:
        yield name, model


def _shape_after(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a layer makes of one image's, without computing anything."""
    tensors = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    ghosts = {key: torch.empty_like(value, device="meta") for key, value in tensors.items()}
    dtype = next((v.dtype for v in ghosts.values() if v.is_floating_point()), torch.float32)
    ghost = torch.empty(1, *shape, device="meta", dtype=dtype)
    with torch.no_grad():
        return tuple(torch.func.functional_call(layer, ghosts, (ghost,)).shape[1:])


def _bounds(name: str, layer: nn.Module, shape: tuple[int, ...]) -> tuple[float, float] | None:
    """Return a layer's bounds, lower and upper; None where it changes no length."""
    kind = next((k for k in KINDS if inherits(layer, k)), None)
    if kind is None:
        known = ", ".join(sorted(k.__name__ for k in KINDS))
        raise TypeError(
            f"model: got layer {name!r}, a {type(layer).__name__}, whose bound is not known; "
            f"expected nn.Sequential of {known}"
        )
    if kind in UNCHANGED:
        return None
    if kind in ACTIVATIONS:
        return (ACTIVATIONS[kind],) * 2
    if kind in (nn.Linear, nn.Conv2d):
        try:
            found = operator_norm(layer, shape if kind is nn.Conv2d else None)
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error
        return found.lower, found.upper
    if kind is nn.MaxPool2d:
        root = math.sqrt(_windows(layer, 0, shape) * _windows(layer, 1, shape))
        return root, root * UP
    if kind in POOLS:
        return _average_pool(layer, POOLS[kind], shape)
    if kind is nn.LocalResponseNorm:
        return _response_norm(name, layer, shape)
    if kind is Normalize:
        factors = 1 / layer.std.double()
    else:
        if layer.running_var is None:
            raise ValueError(f"layer {name!r}: got no running_var, expected one, for eval mode")
        factors = (layer.running_var.double() + layer.eps).rsqrt()
        if layer.weight is not None:
            factors = factors * layer.weight.detach().double()
    norm = factors.abs().max().item()
    return norm / UP, norm * UP


NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LocalResponseNorm, Normalize)
KINDS = (nn.Linear, nn.Conv2d, nn.MaxPool2d, *POOLS, *NORMS, *ACTIVATIONS, *UNCHANGED)


def _windows(layer: nn.MaxPool2d, axis: int, shape: tuple[int, ...]) -> int:
    """Return the largest number of windows, along one axis, that one pixel lies in."""
    kernel, stride, padding, dilation = (
        _pair(value)[axis]
        for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    outputs = _shape_after(layer, shape)[1 + axis]
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


def _response_norm(name: str, layer: nn.Module, shape: tuple[int, ...]) -> tuple[float, float]:
    size, b, k = min(layer.size, 2 * shape[0] - 1), layer.beta, layer.k
    if not (0 < b <= 1 and k > 0 and layer.alpha >= 0):
        raise ValueError(f"layer {name!r}: got {layer}, expected 0 < beta <= 1, k > 0, alpha >= 0")
    others = (size - 1) * b * b**b / (1 + b) ** (1 + b)
    return k**-b / UP, k**-b * (1 + others) * UP


def _describe(layer: nn.Module) -> tuple[str, object]:
    stride = "N/A"
    if hasattr(layer, "stride"):
        high, wide = _pair(layer.stride)
        stride = high if high == wide else f"{high} x {wide}"
    if isinstance(layer, nn.Conv2d):
        sizes = (layer.in_channels, *layer.kernel_size, layer.out_channels)
    elif isinstance(layer, nn.Linear):
        sizes = (layer.in_features, layer.out_features)
    else:
        sizes = _pair(layer.kernel_size) if hasattr(layer, "kernel_size") else ()
    return " x ".join(map(str, sizes)), stride


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)

"""A convolution between frequencies: what its norm is on a circle, and never above on a square.

Split each input channel into the s x s grids of pixels that a stride of s tells apart ("phases").
On a circle of N = s M pixels a side, the layer is then an unstrided circular convolution of M
pixels a side, from s^2 times as many channels, and a wave exp(2 pi i f m / M) with the vector v
of channels goes to the same wave with the vector A(f) v, A(f) = sum over q of W_q
exp(2 pi i f q / M), W_q the phases' weights at tap q. So the layer's norm is the largest ||A(f)||
over the M x M frequencies, exactly. The phases' vector is a unitary transform of that of the s^2
frequencies f + M a ("aliases") which the stride folds onto f, so ||A(f)|| is the norm of the
paper's matrix of stacked aliases.

A zero-padded layer on H pixels is a part of a circular one. Put the image on a circle with zeros
around it, large enough that no window reaches round the circle into the image, compute the
circular layer, and keep the outputs that the layer has. Neither the zeros nor the choice of
outputs makes a vector longer, so the norm is at most the largest ||A(f)|| on that circle's
finite grid of frequencies: no supremum over a continuum, and no sampling theorem, is needed.

Sources: Szegedy et al. 2013 (arXiv:1312.6199), section 4.3, the paper's A(xi); Sedghi, Gupta and
Long 2019 (arXiv:1805.10408) for circular convolutions of stride 1.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_utils.lipschitz.certificate import UNIT, UP, allowance, scale_of
from course_utils.lipschitz.plain import kind_of
from course_utils.models import eval_mode

CHUNK = 2**21  # complex entries of the matrices A(f) that are in memory at a time
TRIES = 4  # frequencies whose eigenvalues are computed at a time, while the largest is sought


class Axis(NamedTuple):
    """One axis of a convolution, height or width."""

    before: int  # pixels of padding before the image
    period: int  # M, the frequencies of the circle, whose stride * M pixels hold the image
    outputs: int  # pixels that the layer gives


def axes(layer: nn.Conv2d, input_shape: tuple[int, int, int]) -> list[Axis]:
    """Return the two axes of a convolution on images (C, H, W).

    Raises TypeError, ValueError for one that cannot be bounded on such images. Circular padding has
    to make a circular convolution, or a part of one: the stride divides the side, and no output
    appears twice.
    """
    _check(layer, input_shape)
    result = []
    for axis, (before, after) in enumerate(_padding(layer)):
        size, taps = input_shape[1 + axis], layer.weight.shape[2 + axis]
        stride, dilation = pair(layer.stride)[axis], pair(layer.dilation)[axis]
        reach = dilation * (taps - 1) + 1
        if size + before + after < reach:
            problem = f"too small for a kernel that reaches over {reach}"
            raise ValueError(f"input_shape: got {input_shape}, {problem}")
        outputs = (size + before + after - reach) // stride + 1
        if layer.padding_mode == "circular":
            period = size // stride
            if size % stride or outputs > period or max(before, after) > size:
                problem = "where the circular padding or the stride makes outputs appear twice, "
                problem += "or windows start elsewhere in each round"
                raise ValueError(f"input_shape: got {input_shape}, {problem}")
        else:
            # The padding behind the image may go round into the zeros before it. Outputs whose
            # windows start behind the circle's end read those zeros only.
            last = stride * (outputs - 1) + reach - before  # of the pixels read
            period = math.ceil(max(before + min(size, last), last) / stride)
        result.append(Axis(before, period, outputs))
    return result


def _check(layer: nn.Module, input_shape: tuple[int, int, int]) -> None:
    if kind_of(layer, (nn.Conv2d,), "layer") is None:
        raise TypeError(f"layer: got {type(layer).__name__}, expected nn.Conv2d")
    if layer.padding_mode not in ("zeros", "circular"):
        mode = layer.padding_mode
        raise ValueError(f"layer: got padding_mode={mode!r}, expected 'zeros' or 'circular'")
    if not is_shape(input_shape) or (len(input_shape), input_shape[0]) != (3, layer.in_channels):
        expected = f"(C, H, W) with C = {layer.in_channels}, the layer's channels"
        raise ValueError(f"input_shape: got {input_shape!r}, expected {expected}")
    sizes = layer.out_channels, layer.in_channels // layer.groups, *pair(layer.kernel_size)
    if layer.weight.shape != sizes:
        raise ValueError(f"layer: got weights {tuple(layer.weight.shape)}, expected {sizes}")


def is_shape(value: object) -> bool:
    """Return whether a value is a sequence of whole numbers above 0."""
    return isinstance(value, tuple | list) and all(isinstance(n, int) and n > 0 for n in value)


def _padding(layer: nn.Conv2d) -> list[tuple[int, int]]:
    """Return the pixels before and after the image, down and to the right, as torch pads."""
    if layer.padding_mode == "circular":  # fixed when the layer was made
        left, right, top, bottom = layer._reversed_padding_repeated_twice
        return [(top, bottom), (left, right)]
    if layer.padding == "same":
        spans = [d * (k - 1) for d, k in zip(pair(layer.dilation), layer.weight.shape[2:])]
        return [(span // 2, span - span // 2) for span in spans]
    return [(p, p) for p in pair(0 if layer.padding == "valid" else layer.padding)]


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def phase_weights(layer: nn.Conv2d) -> Tensor:
    """Return W_q in float64, (groups, channels out, channels in * phases, taps y, taps x)."""
    weight = layer.weight.detach().cpu().double()
    out, into, height, width = weight.shape
    (sy, sx), (dy, dx) = pair(layer.stride), pair(layer.dilation)
    qy, qx = (math.ceil((d * (k - 1) + 1) / s) for d, k, s in ((dy, height, sy), (dx, width, sx)))
    spread = weight.new_zeros(out, into, qy * sy, qx * sx)
    spread[:, :, : dy * (height - 1) + 1 : dy, : dx * (width - 1) + 1 : dx] = weight
    split = spread.reshape(layer.groups, out // layer.groups, into, qy, sy, qx, sx)
    return split.permute(0, 1, 2, 4, 6, 3, 5).flatten(2, 4)


def wave(frequencies: Tensor, steps: Tensor, period: int) -> Tensor:
    """Return exp(2 pi i f m / M) for f (...) and steps m (S,): complex (..., S)."""
    turns = (frequencies[..., None] * steps) % period
    return torch.exp(2j * math.pi * turns.double() / period)


def transfer(weights: Tensor, frequencies: Tensor, periods: tuple[int, int]) -> Tensor:
    """Return A(f) for f (F, 2): complex (F, groups, channels out, channels in * phases)."""
    taps = map(torch.arange, weights.shape[3:])
    down, right = map(wave, frequencies.unbind(1), taps, periods)
    both = torch.einsum("fy,fx->fyx", down, right).flatten(1)
    return torch.einsum("ft,goit->fgoi", both, weights.flatten(3).to(both))


class Grams:
    """All A(f) A(f)^*, or conj(A(f)^* A(f)) if that is smaller, made of few real products.

    With R_d = sum over q of W_{q+d} W_q^T each is the sum over d of R_d exp(2 pi i f d / M), and
    R_{-d} = R_d^T. So of d and -d one is kept: the part that goes with the cosine, R_d + R_d^T,
    and the one that goes with the sine, R_d - R_d^T.
    """

    def __init__(self, weights: Tensor, periods: tuple[int, int]):
        weights = weights if weights.shape[1] <= weights.shape[2] else weights.transpose(1, 2)
        (height, width), found = weights.shape[3:], []
        shifts = [(0, x) for x in range(width)]
        shifts += itertools.product(range(1, height), range(1 - width, width))
        for y, x in shifts:
            ahead = weights[..., y:, max(x, 0) : width + min(x, 0)].flatten(2)
            behind = weights[..., : height - y, max(-x, 0) : width - max(x, 0)].flatten(2)
            found.append(ahead @ behind.mT)
        found[0] /= 2
        found = torch.stack(found)
        self.even, self.odd = (found + found.mT).flatten(1), (found - found.mT).flatten(1)
        self.shape, self.shifts, self.periods = found.shape[1:], torch.tensor(shifts).T, periods

    def at(self, frequencies: Tensor) -> Iterator[Tensor]:
        """Yield those of frequencies (F, 2), complex (F, groups, n, n), part by part."""
        for part in frequencies.split(max(1, CHUNK // self.shape.numel())):
            down, right = map(wave, part.T, self.shifts, self.periods)
            both = down * right
            yield torch.complex(both.real @ self.even, both.imag @ self.odd).view(-1, *self.shape)


def half_grid(periods: tuple[int, int]) -> Tensor:
    """Return frequencies (F, 2), one at least of each f and -f, whose norms are the same."""
    return torch.cartesian_prod(torch.arange(periods[0]), torch.arange(periods[1] // 2 + 1))


def upper_bound(layer: nn.Conv2d, input_shape: tuple[int, int, int]) -> float:
    """Return a number that the layer's norm on images (C, H, W) never exceeds.

    It is the largest ||A(f)|| over the grid, to about 1e-8.
    A frequency is done when Cholesky has proved that no eigenvalue of A(f) A(f)^* is above the
    level; the level rises to the eigenvalues of a few frequencies that fail, until none is left.
    """
    both, scale = axes(layer, input_shape), scale_of(layer.weight)
    if not scale:
        return 0.0
    weights = phase_weights(layer) / scale
    # Along an axis with one tap A(f) is the same at all frequencies.
    periods = tuple(1 if taps == 1 else a.period for taps, a in zip(weights.shape[3:], both))
    grams, taps = Grams(weights, periods), weights[0, 0, 0].numel()
    n, inner = sorted(weights.shape[1:3])
    slack, pending = max(1e-8, 4 * allowance(n)), half_grid(periods)
    level, tried = 0.0, pending[:: max(1, len(pending) // TRIES)][:TRIES]
    while len(pending):
        tops = [torch.linalg.eigvalsh(part).max().item() for part in grams.at(tried)]
        level = max(level, *tops) * (1 + slack)
        rank = torch.cat([_rank(part, level) for part in grams.at(pending)])
        still = rank <= n
        pending, rank = pending[still], rank[still]
        tried = pending[rank.argsort()[:TRIES]]
    # An entry of R_d is off by at most inner taps u, one of the sum over d by (8 taps + 48) u more,
    # of the products of absolute values, sum |W_q| sum |W_q|^T, of norm at most taps |W|_F^2.
    size = taps * weights.square().sum((1, 2, 3, 4)).max().item()
    error = 2 * (inner * taps + 8 * taps + 48) * UNIT * size
    return scale * math.sqrt(level * (1 + allowance(n)) + error) * UP


def _rank(matrices: Tensor, level: float) -> Tensor:
    """Return where Cholesky of level I - G breaks off, (F, groups, n, n) to (F,): n + 1 if nowhere.

    Where it breaks off earlier, the norm is likely to be further above the level.
    """
    gap = -matrices
    gap.diagonal(dim1=-2, dim2=-1).add_(level)
    info = torch.linalg.cholesky_ex(gap).info
    return torch.where(info > 0, info, matrices.shape[-1] + 1).amin(1)


def frequency_norms(layer: nn.Conv2d, input_shape: tuple[int, int, int]) -> Tensor:
    """Return ||A(f)||, the largest singular value at each frequency, for images (C, H, W).

    It is float64 (M_y, M_x), in numpy.fft.fftfreq's order. Entry [j, k] is for the waves of j / M_y
    and k / M_x turns an output pixel, down and to the right. With a stride of s, s^2 waves of the
    input share an entry: those of (j / M_y + a) / s turns a pixel, a = 0, ..., s - 1, and in the
    same way to the right. The largest entry is `operator_norm`'s upper bound.

    Errors: as of `operator_norm`. Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.3.
    """
    with eval_mode(layer):
        periods = tuple(axis.period for axis in axes(layer, input_shape))
        scale, weights = scale_of(layer.weight) or 1.0, phase_weights(layer)
    parts = Grams(weights / scale, periods).at(half_grid(periods))
    squares = [torch.linalg.eigvalsh(part)[..., -1].amax(1) for part in parts]
    norms = scale * torch.cat(squares).clamp_min(0).sqrt().view(periods[0], -1)
    mirror = norms[(-torch.arange(periods[0])) % periods[0]]
    return torch.cat([norms, mirror[:, 1 : (periods[1] + 1) // 2].flip(1)], 1)


def amplified_pattern(layer: nn.Conv2d, input_shape: tuple, frequency: tuple) -> Tensor:
    """Return the pattern of one frequency that a convolution amplifies most.

    Without padding's borders it comes out ||A(f)|| times as long as it went in. It is float64
    (C, H, W), of length 1; with a stride the mix of that entry's waves which is amplified most, and
    in a layer with groups within one of them. Errors, input_shape: as of `operator_norm`.

    frequency: (j, k), whole numbers, an entry of `frequency_norms`, modulo its size.
    """
    with eval_mode(layer):
        both, weights = axes(layer, input_shape), phase_weights(layer)
    if len(frequency) != 2 or not all(isinstance(f, int) for f in frequency):
        raise ValueError(f"frequency: got {frequency!r}, expected two whole numbers")
    periods, place = tuple(axis.period for axis in both), torch.tensor(frequency)
    matrices = transfer(weights, place[None], periods)[0]
    if all(2 * f % period == 0 for f, period in zip(frequency, periods)):
        matrices = matrices.real.to(torch.complex128)  # the waves are real, up to rounding
    _, values, right = torch.linalg.svd(matrices, full_matrices=False)
    group = values[:, 0].argmax()
    vector = right[group, 0].conj()
    vector = vector * vector[vector.abs().argmax()].conj().sgn()
    waves = map(wave, place, map(torch.arange, periods), periods)
    inside = torch.einsum("cab,m,n->cmanb", vector.view(-1, *pair(layer.stride)), *waves)
    inside = inside.flatten(3).flatten(1, 2).real
    # The circle begins with the padding; it may be wider than image and padding, or narrower.
    for place, (side, axis) in enumerate(zip(input_shape[1:], both), start=1):
        places = (torch.arange(side) + axis.before) % inside.shape[place]
        inside = inside.index_select(place, places)
    pattern = torch.zeros(input_shape, dtype=torch.float64)
    pattern.view(layer.groups, -1, *input_shape[1:])[group] = inside
    return pattern / pattern.norm()

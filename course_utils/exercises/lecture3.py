"""Lecture 3's exercises: power iteration, a convolution's norm, a certificate, a tighter bound."""

import math
from itertools import product

import torch
from torch.linalg import matrix_norm
from torch.nn.functional import normalize

from course_utils.exercises.framework import Exercise, call, describe, random


def power_step(matrix, vector):
    """One round of power iteration."""
    there_and_back = matrix.T @ (matrix @ vector)
    return there_and_back / there_and_back.norm()


def circular_norm(kernel, n):
    """The largest factor by which a circular convolution lengthens n numbers."""
    # fft fills the kernel up with zeros to n numbers: one value for each wave that fits.
    return torch.fft.fft(kernel, n).abs().max()


def tighter_bound(first, second):
    """Lipschitz constant of second @ relu(first @ x), often below the product."""
    # Make each unit's weights before it as long as those behind it. A unit that has none on one
    # side does nothing, and is left out.
    into, out = first.norm(dim=1), second.norm(dim=0)
    used = (into > 0) & (out > 0)
    scale = (into[used] / out[used]).sqrt()
    before = torch.linalg.matrix_norm(first[used] / scale[:, None], 2)
    behind = torch.linalg.matrix_norm(second[:, used] * scale, 2)
    plain = torch.linalg.matrix_norm(first, 2) * torch.linalg.matrix_norm(second, 2)
    return torch.minimum(before * behind, plain)


def certified_distortion(logits, bound, pixels):
    """The distortion up to which each picture's class cannot change."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return (first - second) / (2**0.5 * bound * pixels**0.5)


def _matrix_cases() -> list[tuple]:
    draw = random(torch.float64)
    return [(draw(m, n), normalize(draw(n), dim=0)) for m, n in [(3, 5), (6, 2), (4, 4)]]


def _matrix_mistakes(matrix, vector):
    there_and_back = matrix.T @ (matrix @ vector)
    last = torch.linalg.svd(matrix)[2][0]
    return [there_and_back, there_and_back / (matrix @ vector).norm(), last]


def _kernel_cases() -> list[tuple]:
    draw = random(torch.float64)
    cases = [(draw(taps), n) for taps, n in [(3, 32), (5, 7), (1, 4), (4, 4)]]
    # On 5 numbers no wave turns by half a circle a step, at which this kernel has most.
    return [*cases, (torch.tensor([1.0, -1.0], dtype=torch.float64), 5)]


def _kernel_mistakes(kernel, n):
    right, short = circular_norm(kernel, n), circular_norm(kernel, len(kernel))
    real = torch.fft.fft(kernel, n).real.max()
    return [short, kernel.norm(), kernel.abs().sum(), real, right**2, right / n**0.5]


def _certificate_cases() -> list[tuple]:
    draws = random()(12, 10), random(torch.float64)(5, 3)
    for logits in draws:
        logits[1] = logits[1].abs().neg()  # all below zero
        logits[2, 1] = logits[2, 0] = 9.0  # a tie at the top
    return [(draws[0], 3.5, 784), (draws[1], 0.4, 16)]


def _certificate_mistakes(logits, bound, pixels):
    right, best, scale = certified_distortion(logits, bound, pixels), logits.amax(1), 2**0.5
    in_l2, lead = right * pixels**0.5, best - logits.amin(1)
    most = [value / (scale * bound * pixels**0.5) for value in (best, lead)]
    return [in_l2, right / pixels**0.5, right * scale, right / scale, *most]


def _pairs() -> list[tuple]:
    """Layers whose units differ in size by powers of ten, and layers whose units do not."""
    draw, pairs = random(torch.float64), []
    for hidden, inputs, outputs, spread in [(8, 10, 4, 2.0), (20, 30, 10, 1.0), (5, 6, 5, 0.0)]:
        sizes = 10 ** (spread * draw(hidden))
        pairs.append((draw(hidden, inputs) * sizes[:, None], draw(outputs, hidden) / sizes))
    first, second = draw(4, 5), draw(3, 4)
    first[0] = 0  # a unit that is never on
    second[:, 1] = 0  # a unit that nobody reads
    return [*pairs, (first, second)]


def true_slope(first, second) -> float:
    """The largest slope over all ways in which the units can be on and off: few units only.

    With more inputs than units, some input has each of these ways.
    """
    ways = product([0.0, 1.0], repeat=len(first))
    return max(matrix_norm((second * first.new_tensor(on)) @ first, 2).item() for on in ways)


def _diagnose_tighter_bound(exercise: Exercise, answer) -> str | None:
    for place, (first, second) in enumerate(_pairs()):
        result = call(answer, first, second)
        if not isinstance(result, torch.Tensor) or result.numel() != 1:
            return f"Expected a tensor with one number, got {describe(result)}."
        value, plain = float(result), (matrix_norm(first, 2) * matrix_norm(second, 2)).item()
        together = matrix_norm(second @ first, 2).item()
        true = true_slope(first, second) if len(first) <= 8 else together
        facts = {"value": value, "plain": plain, "true": true}
        if not math.isfinite(value):
            return exercise.say("not finite")
        if value < true * (1 - 1e-9):
            all_on = abs(value - together) <= 1e-6 * together
            return exercise.say("all on" if all_on else "too small", **facts)
        if place < 2 and value > 0.3 * plain:
            return exercise.say("loose", **facts)
        if value > plain * (1 + 1e-9):
            return exercise.say("too large", **facts)
    return None


EXERCISES = (
    Exercise(power_step, _matrix_cases, _matrix_mistakes),
    Exercise(circular_norm, _kernel_cases, _kernel_mistakes),
    Exercise(tighter_bound, diagnose=_diagnose_tighter_bound),
    Exercise(certified_distortion, _certificate_cases, _certificate_mistakes),
)

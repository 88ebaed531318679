"""Lecture 3's exercises: power iteration, a convolution's norm, a certificate, a tighter bound.

A solution's docstring is the exercise's specification.
"""

import math
from functools import partial

import torch

from course_utils.exercises.framework import Exercise, Mistake, call, compare, describe


def power_step(matrix, vector):
    """One round of power iteration.

    matrix: float64 (M, N); vector: float64 (N,), of length 1, and matrix @ vector is not zero.
    Returns float64 (N,), of length 1: where the matrix and then its transpose take the vector.
    """
    there_and_back = matrix.T @ (matrix @ vector)
    return there_and_back / there_and_back.norm()


def circular_norm(kernel, n):
    """The largest factor by which a circular convolution makes a signal of n numbers longer.

    kernel: float64 (taps,), with at most n taps; the output at i is the sum over t of
    kernel[t] * signal[(i - t) % n]. n: int, 1 or more. Returns a float64 tensor without
    dimensions, and makes no n x n matrix.
    """
    # fft fills the kernel up with zeros to n numbers: one value for each wave that fits.
    return torch.fft.fft(kernel, n).abs().max()


def tighter_bound(first, second):
    """A Lipschitz constant of x -> second @ relu(first @ x), often below the norms' product.

    first: float64 (hidden, inputs), second: float64 (outputs, hidden). Each hidden unit's weights
    may be divided by a number above 0 if what leaves it is multiplied by the same number: the
    function stays as it is, the product of the norms does not. Choose them so that the product is
    much smaller where the units have very different sizes. Returns a float64 tensor without
    dimensions, and never less than the function's true Lipschitz constant.
    """
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
    """The distortion up to which each picture's class cannot change.

    logits: float (N, K), K at least 2; bound: float above 0, |f(x) - f(y)| <= bound |x - y| for
    the logits, lengths being L2; pixels: int, of a picture. Returns float (N,) of the logits'
    dtype: root mean square per pixel.
    """
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return (first - second) / (2**0.5 * bound * pixels**0.5)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(20140214)


def _matrix_cases() -> list[tuple]:
    generator, cases = _generator(), []
    for shape in [(3, 5), (6, 2), (4, 4)]:
        matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
        vector = torch.randn(shape[1], generator=generator, dtype=torch.float64)
        cases.append((matrix, vector / vector.norm()))
    return cases


def _kernel_cases() -> list[tuple]:
    generator = _generator()
    cases = [
        (torch.randn(taps, generator=generator, dtype=torch.float64), n)
        for taps, n in [(3, 32), (5, 7), (1, 4), (4, 4)]
    ]
    # On 5 numbers no wave turns by half a circle a step, at which this kernel has most.
    return [*cases, (torch.tensor([1.0, -1.0], dtype=torch.float64), 5)]


def _certificate_cases() -> list[tuple]:
    generator = _generator()
    cases = []
    for n, classes, dtype, bound, pixels in [
        (12, 10, torch.float32, 3.5, 784), (5, 3, torch.float64, 0.4, 16)
    ]:
        logits = 4 * torch.randn(n, classes, generator=generator, dtype=dtype)
        logits[1] = logits[1].abs().neg()  # all below zero
        logits[2, 1] = logits[2, 0] = 9.0  # a tie at the top
        cases.append((logits, bound, pixels))
    return cases


def _net(first, second) -> float:
    return (torch.linalg.matrix_norm(first, 2) * torch.linalg.matrix_norm(second, 2)).item()


def _pairs() -> list[tuple]:
    """Layers whose units differ in size by powers of ten, and layers whose units do not."""
    generator = _generator()

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    pairs = []
    for hidden, inputs, outputs, spread in [(8, 10, 4, 2.0), (20, 30, 10, 1.0), (5, 6, 5, 0.0)]:
        sizes = 10 ** (spread * draw(hidden))
        pairs.append((draw(hidden, inputs) * sizes[:, None], draw(outputs, hidden) / sizes))
    first, second = draw(4, 5), draw(3, 4)
    first[0] = 0  # a unit that is never on
    second[:, 1] = 0  # a unit that nobody reads
    return [*pairs, (first, second)]


def _true_slope(first, second) -> float:
    """The largest slope over all ways in which the units can be on and off: few units only.

    With more inputs than units, some input has each of these ways.
    """
    hidden = len(first)
    best = 0.0
    for code in range(2**hidden):
        on = torch.tensor([code >> k & 1 for k in range(hidden)], dtype=torch.float64)
        best = max(best, torch.linalg.matrix_norm((second * on) @ first, 2).item())
    return best


def _diagnose_tighter_bound(answer) -> str | None:
    for number, (first, second) in enumerate(_pairs()):
        result = call(answer, first, second)
        if not isinstance(result, torch.Tensor) or result.numel() != 1:
            return f"Expected a tensor with one number, got {describe(result)}."
        value, plain = float(result), _net(first, second)
        if not math.isfinite(value):
            return ("Your bound is NaN or infinite. A unit whose weights are all zero, before it "
                    "or behind it, has no size to divide by.")
        together = torch.linalg.matrix_norm(second @ first, 2).item()
        true = _true_slope(first, second) if len(first) <= 8 else together
        if value < true * (1 - 1e-9):
            if abs(value - together) <= 1e-6 * together:
                return ("That is the norm of second @ first, the slope where every unit is on. "
                        "With some units off, the function can be steeper: the ReLU matters.")
            return (f"Your bound is {value:.4g}, and the function has a slope of {true:.4g}: a "
                    "Lipschitz constant is never less than that.")
        if number < 2 and value > 0.3 * plain:
            return (f"The product of the two norms is {plain:.4g}, yours is {value:.4g}. The units "
                    "differ much in size here: expected less than a third of the product.")
        if value > plain * (1 + 1e-9):
            return (f"Your bound is {value:.4g}, more than the plain product, {plain:.4g}. Take "
                    "the smaller of the two.")
    return None


EXERCISES = (
    Exercise(
        "power-step", power_step,
        partial(compare, power_step, _matrix_cases, (
            Mistake(lambda w, v: w.T @ (w @ v),
                    "You return W^T W v as it is. Divide it by its length, or after some rounds "
                    "its numbers overflow."),
            Mistake(lambda w, v: w.T @ (w @ v) / (w @ v).norm(),
                    "You divide by the length of W v. Divide by that of W^T W v, of which you "
                    "want the direction."),
            Mistake(lambda w, v: torch.linalg.svd(w)[2][0],
                    "That is the end of the iteration, not one round of it."),
        )),
        "Repeat it, and |W v| goes to the largest singular value.",
        ("Two products: first with the matrix, then with its transpose.",
         "Divide what comes by its length: matrix.T @ (matrix @ vector), over its norm()."),
    ),
    Exercise(
        "circular-norm", circular_norm,
        partial(compare, circular_norm, _kernel_cases, (
            Mistake(lambda k, n: torch.fft.fft(k).abs().max(),
                    "You transform the kernel alone, which gives as many waves as it has taps. On "
                    "n numbers n waves fit: fill the kernel up with zeros."),
            Mistake(lambda k, n: k.norm(),
                    "That is the length of the kernel: how much a single dot is amplified. Waves "
                    "can be amplified more."),
            Mistake(lambda k, n: k.abs().sum(),
                    "That is the sum of the absolute taps. It is an upper bound, reached only if "
                    "one of the n waves brings all taps to the same sign."),
            Mistake(lambda k, n: torch.fft.fft(k, n).real.max(),
                    "You take the real part. A wave may also be shifted: its factor is a complex "
                    "number, and its length counts."),
            Mistake(lambda k, n: torch.fft.fft(k, n).abs().square().max(),
                    "That is the largest squared: the eigenvalue of W^T W. Take the root."),
            Mistake(lambda k, n: torch.fft.fft(k, n).abs().max() / n**0.5,
                    "You divide by the root of n. The transform's own scale cancels: the factor "
                    "is the kernel's plain transform."),
        )),
        "A whole matrix's norm, from one short Fourier transform.",
        (
            "Which signals does a circular convolution only scale?",
            "The factor of a wave is the kernel's Fourier transform at the wave's frequency.",
            "torch.fft.fft(kernel, n) fills up with zeros; take the largest absolute value.",
        ),
    ),
    Exercise(
        "tighter-bound", tighter_bound, _diagnose_tighter_bound,
        "The same function, and a much smaller promise to keep: section 9 turned round.",
        (
            "Section 9 made a bound larger without a change of the function. Undo it.",
            "Compare the length of a unit's row of first with that of its column of second. "
            "Which scale makes the two equal?",
            "Divide row i of first by sqrt(row's length / column's length), multiply column i of "
            "second by it, and multiply the two norms. Leave out units that do nothing; keep the "
            "plain product where it is smaller.",
        ),
    ),
    Exercise(
        "certified-distortion", certified_distortion,
        partial(compare, certified_distortion, _certificate_cases, (
            Mistake(lambda z, b, m: certified_distortion(z, b, m) * m**0.5,
                    "That is the radius in L2. As a distortion it is smaller, by the root of the "
                    "number of pixels."),
            Mistake(lambda z, b, m: certified_distortion(z, b, m) / m**0.5,
                    "You divide by the number of pixels. The distortion is a root mean square: "
                    "divide by the root."),
            Mistake(lambda z, b, m: certified_distortion(z, b, m) * 2**0.5,
                    "The factor sqrt(2) is missing: two logits move at once, one up and one "
                    "down."),
            Mistake(lambda z, b, m: certified_distortion(z, b, m) / 2**0.5,
                    "You divide by 2. If all of the change went into two logits, each could have "
                    "no more than 1 / sqrt(2) of it: their difference moves by at most sqrt(2)."),
            Mistake(lambda z, b, m: z.amax(1) / (2**0.5 * b * m**0.5),
                    "You use the largest logit. What counts is its lead over the second: the "
                    "margin."),
            Mistake(lambda z, b, m: (z.amax(1) - z.amin(1)) / (2**0.5 * b * m**0.5),
                    "That is the lead over the last class. The second one overtakes first."),
        )),
        "With FC100-100-10's logits and bound, these are Figure 7's certificates over 28.",
        (
            "Which class can overtake first, and how far is it behind?",
            "The difference of two logits moves by at most sqrt(2) * bound * |r|.",
            "logits.topk(2, dim=1).values has the two largest; |r| is the distortion times the "
            "root of the number of pixels.",
        ),
    ),
)

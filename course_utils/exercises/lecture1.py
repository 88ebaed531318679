"""The exercises of Lecture 1, parts of the attack. A solution's docstring is its specification."""

import math
from functools import partial

import torch
from torch.nn.functional import cross_entropy

from course_utils.exercises.framework import Exercise, Mistake, WrongAnswer, call, compare


def distortion(perturbation):
    """Root mean square per pixel of each perturbation.

    perturbation: float (N, ...), any number of dimensions after the first.
    Returns float (N,) of the same dtype, 0 or above.
    """
    return perturbation.flatten(1).square().mean(dim=1).sqrt()


def objective(logits, perturbation, targets, c):
    """c * ||r||^2 + cross-entropy toward the target, one number for each image.

    logits: float (N, K), the network's output for x + r; perturbation: float (N, ...), r;
    targets: int64 (N,), the classes to reach; c: float (N,), above 0.
    Returns float (N,) of the logits' dtype.
    """
    squared_norm = perturbation.flatten(1).square().sum(dim=1)
    return c * squared_norm + cross_entropy(logits, targets, reduction="none")


def gradient(r, x, targets, weight, bias, c):
    """Gradient in r of c * ||r||^2 + cross-entropy toward the target, for a linear network.

    The logits are (x + r) @ weight.T + bias. r, x: float (N, D); targets: int64 (N,);
    weight: float (K, D); bias: float (K,); c: a number above 0.
    Returns float (N, D), without autograd. Row i is the gradient of image i's own objective.
    """
    probabilities = ((x + r) @ weight.T + bias).softmax(dim=1)
    wanted = torch.eye(len(weight), dtype=r.dtype)[targets]
    return 2 * c * r + (probabilities - wanted) @ weight


def projection(x, r):
    """The perturbation nearest to r for which x + perturbation lies in the box [0, 1]^m.

    x: float (N, ...) in [0, 1]; r: float of the same shape, any values.
    Returns the perturbation (not the image), the same shape and dtype. x and r stay as they are.
    """
    return (x + r).clamp(0, 1) - x


def bisection(adversarial, tolerance):
    """The smallest t in [0, 1], to within `tolerance`, for which adversarial(t) is True.

    adversarial: takes a float t and says whether x + t * r is adversarial. It is True at 1, and
    from some t on; it may cost a pass through the network, so call it sparingly.
    tolerance: float above 0. Returns a float for which adversarial(t) is True.
    """
    if adversarial(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while high - low > tolerance:
        middle = (low + high) / 2
        if adversarial(middle):
            high = middle
        else:
            low = middle
    return high


def closed_form(x, w, b):
    """The smallest r, in the 2-norm, that takes each x to the boundary w . (x + r) + b = 0.

    x: float (N, D); w: float (D,), not all zero; b: a number. There is no box here.
    Returns float (N, D) of x's dtype.
    """
    margin = x @ w + b
    return -margin[:, None] * w / w.square().sum()


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(20131221)


def _distortion_cases() -> list[tuple]:
    generator = _generator()
    images = 0.1 * torch.randn(5, 1, 8, 8, generator=generator) + 0.02
    images[2] = 0
    return [(images,), (torch.rand(3, 7, generator=generator).double(),), (images[:1],)]


def _objective_cases() -> list[tuple]:
    generator = _generator()
    return [(3 * torch.randn(len(r), 10, generator=generator).to(r.dtype), 0.5 * r,
             torch.randint(10, (len(r),), generator=generator),
             0.1 + torch.rand(len(r), generator=generator).to(r.dtype))
            for r in _normal(generator, (4, 1, 5, 5), (3, 6))]


def _gradient_cases() -> list[tuple]:
    generator = _generator()
    return [(0.5 * r, torch.rand(r.shape, generator=generator).to(r.dtype),
             torch.randint(k, (len(r),), generator=generator),
             torch.randn(k, r.shape[1], generator=generator).to(r.dtype),
             torch.randn(k, generator=generator).to(r.dtype), c)
            for r, k, c in zip(_normal(generator, (4, 12), (3, 5)), (10, 4), (0.3, 2.0))]


def _projection_cases() -> list[tuple]:
    generator = _generator()
    cases = [(torch.rand(r.shape, generator=generator).to(r.dtype), 1.5 * r)
             for r in _normal(generator, (4, 1, 6, 6), (3, 9))]
    for x, _ in cases:
        x[:, ..., 0] = 0
    return cases


def _closed_form_cases() -> list[tuple]:
    generator = _generator()
    return [(x, torch.randn(x.shape[1], generator=generator).to(x.dtype), b)
            for x, b in zip(_normal(generator, (6, 8), (3, 5)), (-0.7, 1.3))]


def _normal(generator: torch.Generator, single: tuple, double: tuple) -> list[torch.Tensor]:
    """Numbers of both types, so that an answer must keep its argument's."""
    return [torch.randn(single, generator=generator),
            torch.randn(double, generator=generator, dtype=torch.float64)]


def _diagnose_bisection(answer) -> str | None:
    for threshold, tolerance in [(0.3217, 1e-3), (0.731, 1e-2), (0.05, 1e-6), (1.0, 1e-3),
                                 (0.0, 1e-4)]:
        calls = 0
        allowed = 10 + 3 * math.ceil(math.log2(1 / tolerance))

        def adversarial(t, threshold=threshold):
            nonlocal calls
            calls += 1
            if calls > 100_000:
                raise WrongAnswer("Your loop does not end: after 100,000 calls of adversarial it "
                                  "still runs. Stop once the interval is at most tolerance long.")
            return bool(t >= threshold)

        t = call(answer, adversarial, tolerance)
        try:
            t = float(t)
        except (TypeError, ValueError, RuntimeError):
            return f"Expected a float, got a {type(t).__name__}."
        asked = f"Boundary at {threshold:g}, tolerance {tolerance:g}: you return {t:.7g}"
        if not 0 <= t <= 1:
            return f"{asked}, expected a number in [0, 1]."
        if t < threshold and threshold - t <= tolerance:
            return (f"{asked}, where adversarial(t) is False: just short of the boundary. "
                    "Return the upper end of the last interval, the one known to be adversarial.")
        if abs(t - threshold) > tolerance:
            if calls == 0:
                return f"{asked} without a call of adversarial."
            if min(t, 1 - t) <= tolerance:
                return (f"{asked}: your search ran to the wrong end. Where adversarial(middle) is "
                        "True the boundary is at or below middle: move the upper end down; else "
                        "move the lower end up.")
            return f"{asked}, off by more than the tolerance: halve on until it is reached."
        if calls > allowed:
            return (f"{asked}: near enough, but after {calls:,} calls of adversarial. Halving the "
                    f"interval needs about {math.ceil(math.log2(1 / tolerance))}.")
    return None


EXERCISES = (
    Exercise(
        "distortion", distortion,
        partial(compare, distortion, _distortion_cases, (
            Mistake(lambda r: r.flatten(1).norm(dim=1),
                    "That is the 2-norm: a sum over the pixels in place of their mean. Divide by "
                    "the number of pixels under the root."),
            Mistake(lambda r: r.flatten(1).square().mean(dim=1),
                    "That is the mean square: the root is missing."),
            Mistake(lambda r: r.square().mean().sqrt(),
                    "That is one number for the whole batch: expected (N,), one for each image. "
                    "Average over all dimensions but the first."),
            Mistake(lambda r: r.flatten(1).norm(dim=1) / r[0].numel(),
                    "You divide by n outside the root: expected sqrt(sum / n)."),
            Mistake(lambda r: r.flatten(1).std(dim=1),
                    "std subtracts the mean first (and divides by n - 1): a constant shift of all "
                    "pixels would count for nothing."),
        )),
        "Dividing by the number of pixels lets images of any size be compared: on MNIST "
        "||r|| = 28 times the distortion.",
        (
            "The name says it backwards: square, then mean, then root.",
            "flatten(1) turns (N, ...) into (N, pixels); then reduce over dim=1.",
        ),
    ),
    Exercise(
        "objective", objective,
        partial(compare, objective, _objective_cases, (
            Mistake(lambda z, r, t, c: c * r.flatten(1).square().sum(1) + cross_entropy(z, t),
                    "Your cross-entropy is the batch's mean, added to every image: pass "
                    'reduction="none" to keep one loss for each image.'),
            Mistake(lambda z, r, t, c: c * r.flatten(1).norm(dim=1)
                    + cross_entropy(z, t, reduction="none"),
                    "That is c * ||r||: the norm is to be squared."),
            Mistake(lambda z, r, t, c: c * r.flatten(1).square().mean(1)
                    + cross_entropy(z, t, reduction="none"),
                    "That is the mean of r's squares: ||r||^2 is their sum."),
            Mistake(lambda z, r, t, c: objective(z, r, t, c)
                    - 2 * cross_entropy(z, t, reduction="none"),
                    "The cross-entropy has the wrong sign: minimising it moves toward the target."),
            Mistake(lambda z, r, t, c: cross_entropy(z, t, reduction="none")
                    + r.flatten(1).square().sum(1) * c.mean(),
                    "Every image has a c of its own: use c[i] for image i."),
            Mistake(lambda z, r, t, c: objective(z.softmax(1), r, t, c),
                    "cross_entropy wants logits: it takes the softmax itself, yours is a second."),
        )),
        "A large c keeps r small, a small c lets it reach the target: hence the search over c, "
        "image by image.",
        (
            "Two terms, each of shape (N,): sum the squares over all dimensions but the first.",
            'torch.nn.functional.cross_entropy(logits, targets, reduction="none") gives (N,).',
        ),
    ),
    Exercise(
        "gradient", gradient,
        partial(compare, gradient, _gradient_cases, (
            Mistake(lambda r, x, t, w, b, c: gradient(r, x, t, w, b, c) - c * r,
                    "The derivative of c * ||r||^2 is 2 * c * r: the 2 is missing."),
            Mistake(lambda r, x, t, w, b, c: gradient(r, x, t, w, b, c) - 2 * c * r,
                    "The term of c * ||r||^2 is missing."),
            Mistake(lambda r, x, t, w, b, c: 4 * c * r - gradient(r, x, t, w, b, c),
                    "The cross-entropy's gradient has the wrong sign: it is "
                    "(probabilities - one-hot) @ weight."),
            Mistake(lambda r, x, t, w, b, c: gradient(r, x - r, t, w, b, c),
                    "You evaluate the network at x: the gradient is wanted at x + r."),
            Mistake(lambda r, x, t, w, b, c: 2 * c * r + ((x + r) @ w.T + b).softmax(1) @ w,
                    "The target is missing: subtract its one-hot vector from the probabilities."),
        )),
        "It agrees with autograd. The linear network's objective is convex in r, so here "
        "L-BFGS finds the smallest value there is.",
        (
            "Take the two terms apart. What is the derivative of c * (r_1^2 + ... + r_D^2)?",
            "In the logits z, the derivative of the cross-entropy is softmax(z) - one-hot(target).",
            "By the chain rule, multiply that (N, K) matrix by weight (K, D).",
        ),
    ),
    Exercise(
        "projection", projection,
        partial(compare, projection, _projection_cases, (
            Mistake(lambda x, r: (x + r).clamp(0, 1),
                    "That is the image: expected the perturbation, so subtract x again."),
            Mistake(lambda x, r: r.clamp(0, 1),
                    "You clamp r itself to [0, 1]: that forbids every darker pixel, and a pixel of "
                    "0.9 plus 0.5 still leaves the box. Clamp x + r."),
            Mistake(lambda x, r: r,
                    "Nothing is clamped: x + r leaves the box."),
            Mistake(lambda x, r: (x + r).clamp(min=0) - x,
                    "The upper side is missing: x + r may not exceed 1."),
            Mistake(lambda x, r: (x + r).clamp(max=1) - x,
                    "The lower side is missing: x + r may not fall below 0."),
        )),
        "Each pixel of a box can be treated alone, so clamping is the exact nearest point. "
        "Clamping r instead would cut off allowed steps and let others leave the box.",
        (
            "The box is about the image x + r, not about r.",
            "Clamp the image to [0, 1]; what is left of the perturbation is the image minus x.",
        ),
    ),
    Exercise(
        "bisection", bisection, _diagnose_bisection,
        "Each call halves the doubt: ten calls give three digits. It ends an attack cheaply, "
        "where the found r lies somewhat beyond the boundary.",
        (
            "Keep an interval: its lower end is not adversarial, its upper end is.",
            "Look at the middle; replace the end that has the same answer. Mind t = 0.",
            "Stop once the interval is at most tolerance long, and return its upper end.",
        ),
    ),
    Exercise(
        "closed-form", closed_form,
        partial(compare, closed_form, _closed_form_cases, (
            Mistake(lambda x, w, b: -closed_form(x, w, b),
                    "The sign is wrong: your r leads away from the boundary."),
            Mistake(lambda x, w, b: closed_form(x, w, b) * w.norm(),
                    "You divide by ||w||: it takes ||w||^2, once to normalise the direction w and "
                    "once to turn the margin into a distance."),
            Mistake(lambda x, w, b: closed_form(x, w, 0.0),
                    "b is missing: the margin is w . x + b."),
            Mistake(lambda x, w, b: -(x @ w + b).abs()[:, None] * w / w.square().sum(),
                    "You take the margin's absolute value: then points on the negative side are "
                    "pushed further away. Keep its sign."),
        )),
        "The distance to the boundary is |w . x + b| / ||w||. Lecture 1's attack has to find it "
        "by search, and with the box in the way.",
        (
            "The shortest way to a plane is along its normal: r = t * w for a number t.",
            "Put r = t * w into w . (x + r) + b = 0 and solve for t, for each row of x.",
        ),
    ),
)

"""The exercises of Lecture 1, parts of the attack."""

import math

import torch
from torch.nn.functional import cross_entropy

from course_utils.exercises.framework import Exercise, WrongAnswer, call, random


def distortion(perturbation):
    """Root mean square per pixel of each perturbation."""
    return perturbation.flatten(1).square().mean(dim=1).sqrt()


def objective(logits, perturbation, targets, c):
    """c * ||r||^2 + cross-entropy toward the target, one number for each image."""
    squared_norm = perturbation.flatten(1).square().sum(dim=1)
    return c * squared_norm + cross_entropy(logits, targets, reduction="none")


def gradient(r, x, targets, weight, bias, c):
    """Gradient in r of c * ||r||^2 + cross-entropy toward the target, for a linear network."""
    probabilities = ((x + r) @ weight.T + bias).softmax(dim=1)
    wanted = torch.eye(len(weight), dtype=r.dtype)[targets]
    return 2 * c * r + (probabilities - wanted) @ weight


def projection(x, r):
    """The perturbation nearest to r for which x + perturbation lies in the box [0, 1]^m."""
    return (x + r).clamp(0, 1) - x


def bisection(adversarial, tolerance):
    """The smallest t in [0, 1], to within `tolerance`, for which adversarial(t) is True."""
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
    """The smallest r, in the 2-norm, that takes each x to the boundary w . (x + r) + b = 0."""
    margin = x @ w + b
    return -margin[:, None] * w / w.square().sum()


# Numbers of both types, so that an answer must keep its argument's.
SINGLE, DOUBLE = torch.float32, torch.float64


def _distortion_cases() -> list[tuple]:
    images = 0.1 * random()(5, 1, 8, 8) + 0.02
    images[2] = 0
    return [(images,), (random(DOUBLE)(3, 7),), (images[:1],)]


def _objective_cases() -> list[tuple]:
    return [(3 * draw(n, 10), 0.5 * draw(n, *pixels), torch.arange(n), draw(n).exp())
            for n, pixels, draw in [(4, (1, 5, 5), random()), (3, (6,), random(DOUBLE))]]


def _gradient_cases() -> list[tuple]:
    return [(0.5 * draw(n, d), draw(n, d).sigmoid(), torch.arange(n), draw(k, d), draw(k), c)
            for n, d, k, c, draw in [(4, 12, 10, 0.3, random()), (3, 5, 4, 2.0, random(DOUBLE))]]


def _projection_cases() -> list[tuple]:
    return [(draw(*shape).clamp(0, 1), 1.5 * draw(*shape))
            for shape, draw in [((4, 1, 6, 6), random()), ((3, 9), random(DOUBLE))]]


def _closed_form_cases() -> list[tuple]:
    return [(draw(n, d), draw(d), b)
            for n, d, b, draw in [(6, 8, -0.7, random()), (3, 5, 1.3, random(DOUBLE))]]


def _diagnose_bisection(exercise: Exercise, answer) -> str | None:
    for threshold, tolerance in [(0.3217, 1e-3), (0.731, 1e-2), (0.05, 1e-6), (1.0, 1e-3),
                                 (0.0, 1e-4)]:
        calls, halvings = 0, math.ceil(math.log2(1 / tolerance))

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
        if calls > 10 + 3 * halvings:
            return (f"{asked}: near enough, but after {calls:,} calls of adversarial. Halving the "
                    f"interval needs about {halvings}.")
    return None


EXERCISES = (
    Exercise(distortion, _distortion_cases, (
        (lambda r: r.flatten(1).norm(dim=1),
         "That is the 2-norm: a sum over the pixels in place of their mean. Divide by the number "
         "of pixels under the root."),
        (lambda r: r.flatten(1).square().mean(dim=1),
         "That is the mean square: the root is missing."),
        (lambda r: r.square().mean().sqrt(),
         "That is one number for the whole batch: expected (N,), one for each image. Average over "
         "all dimensions but the first."),
        (lambda r: r.flatten(1).norm(dim=1) / r[0].numel(),
         "You divide by n outside the root: expected sqrt(sum / n)."),
        (lambda r: r.flatten(1).std(dim=1),
         "std subtracts the mean first (and divides by n - 1): a constant shift of all pixels "
         "would count for nothing."),
    )),
    Exercise(objective, _objective_cases, (
        (lambda z, r, t, c: c * r.flatten(1).square().sum(1) + cross_entropy(z, t),
         "Your cross-entropy is the batch's mean, added to every image: pass "
         'reduction="none" to keep one loss for each image.'),
        (lambda z, r, t, c: c * r.flatten(1).norm(dim=1) + cross_entropy(z, t, reduction="none"),
         "That is c * ||r||: the norm is to be squared."),
        (lambda z, r, t, c: objective(z, r / r[0].numel() ** 0.5, t, c),
         "That is the mean of r's squares: ||r||^2 is their sum."),
        (lambda z, r, t, c: objective(z, r, t, c) - 2 * cross_entropy(z, t, reduction="none"),
         "The cross-entropy has the wrong sign: minimising it moves toward the target."),
        (lambda z, r, t, c: objective(z, r, t, c.mean()),
         "Every image has a c of its own: use c[i] for image i."),
        (lambda z, r, t, c: objective(z.softmax(1), r, t, c),
         "cross_entropy wants logits: it takes the softmax itself, yours is a second."),
    )),
    Exercise(gradient, _gradient_cases, (
        (lambda r, x, t, w, b, c: gradient(r, x, t, w, b, c) - c * r,
         "The derivative of c * ||r||^2 is 2 * c * r: the 2 is missing."),
        (lambda r, x, t, w, b, c: gradient(r, x, t, w, b, c) - 2 * c * r,
         "The term of c * ||r||^2 is missing."),
        (lambda r, x, t, w, b, c: 4 * c * r - gradient(r, x, t, w, b, c),
         "The cross-entropy's gradient has the wrong sign: it is (probabilities - one-hot) @ "
         "weight."),
        (lambda r, x, t, w, b, c: gradient(r, x - r, t, w, b, c),
         "You evaluate the network at x: the gradient is wanted at x + r."),
        (lambda r, x, t, w, b, c: gradient(r, x, t, w, b, c) + w[t],
         "The target is missing: subtract its one-hot vector from the probabilities."),
    )),
    Exercise(projection, _projection_cases, (
        (lambda x, r: (x + r).clamp(0, 1),
         "That is the image: expected the perturbation, so subtract x again."),
        (lambda x, r: r.clamp(0, 1),
         "You clamp r itself to [0, 1]: that forbids every darker pixel, and a pixel of 0.9 plus "
         "0.5 still leaves the box. Clamp x + r."),
        (lambda x, r: r, "Nothing is clamped: x + r leaves the box."),
        (lambda x, r: (x + r).clamp(min=0) - x,
         "The upper side is missing: x + r may not exceed 1."),
        (lambda x, r: (x + r).clamp(max=1) - x,
         "The lower side is missing: x + r may not fall below 0."),
    )),
    Exercise(bisection, diagnose=_diagnose_bisection),
    Exercise(closed_form, _closed_form_cases, (
        (lambda x, w, b: -closed_form(x, w, b),
         "The sign is wrong: your r leads away from the boundary."),
        (lambda x, w, b: closed_form(x, w, b) * w.norm(),
         "You divide by ||w||: it takes ||w||^2, once to normalise the direction w and once to "
         "turn the margin into a distance."),
        (lambda x, w, b: closed_form(x, w, 0.0), "b is missing: the margin is w . x + b."),
        (lambda x, w, b: -(x @ w + b).abs()[:, None] * w / w.square().sum(),
         "You take the margin's absolute value: then points on the negative side are pushed "
         "further away. Keep its sign."),
    )),
)

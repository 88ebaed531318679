"""The exercises of Lecture 1, parts of the attack."""

import math

import torch

from course_utils.exercises.framework import Exercise, WrongAnswer, call, random


def distortion(perturbation):
    """Root mean square per pixel of a perturbation."""
    return perturbation.square().mean().sqrt()


def objective(perturbation, chance, c):
    """c * ||r||^2 + cross-entropy toward the target, of one picture."""
    return c * perturbation.square().sum() - chance.log()


def walls(x):
    """How far r may go down and up at each pixel for x + r to stay in the box."""
    return torch.stack([-x, 1 - x])


def logit_gradient(logits, target):
    """Gradient of the cross-entropy toward the target, in the logits."""
    wanted = torch.zeros_like(logits)
    wanted[target] = 1
    return logits.softmax(dim=0) - wanted


def bisection(adversarial, tolerance):
    """The smallest t in [0, 1] with adversarial(t) True, to within `tolerance`."""
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
    """The smallest r, in the 2-norm, with x + r where w . (x + r) + b = 0."""
    margin = w @ x + b
    return -margin * w / w.square().sum()


def _draws():
    """Of both types, since an answer must keep its argument's."""
    return random(), random(torch.float64)


def _distortion_cases() -> list[tuple]:
    return [(0.1 * draw(1, 8, 8) + 0.02,) for draw in _draws()] + [(torch.zeros(7),)]


def _objective_cases() -> list[tuple]:
    return [(0.5 * draw(5, 6), draw(1)[0].sigmoid(), c)
            for draw, c in zip(_draws(), (0.3, 2.0), strict=True)]


def _logit_cases() -> list[tuple]:
    single, double = _draws()
    return [(2 * single(10), 3), (2 * double(4), 0)]


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
        lambda r: r.norm(),
        lambda r: r.square().mean(),
        lambda r: r.norm() / r.numel(),
        lambda r: r.norm() / 28,
        lambda r: r.abs().mean(),
        lambda r: r.std(),
    )),
    Exercise(objective, _objective_cases, (
        lambda r, p, c: c * r.norm() - p.log(),
        lambda r, p, c: c * r.square().mean() - p.log(),
        lambda r, p, c: c * r.square().sum() + p.log(),
        lambda r, p, c: c * r.square().sum() - p,
        lambda r, p, c: r.square().sum() - c * p.log(),
    )),
    Exercise(walls, lambda: [(draw(6, 6).clamp(0, 1),) for draw in _draws()], (
        lambda x: torch.stack([torch.zeros_like(x), torch.ones_like(x)]),
        lambda x: torch.stack([1 - x, -x]),
        lambda x: torch.stack([x, 1 - x]),
        lambda x: torch.stack([-torch.ones_like(x), torch.ones_like(x)]),
    )),
    Exercise(bisection, diagnose=_diagnose_bisection),
    Exercise(logit_gradient, _logit_cases, (
        lambda z, t: -logit_gradient(z, t),
        lambda z, t: z.softmax(0),
        lambda z, t: logit_gradient(z, t) - z.softmax(0),
        lambda z, t: logit_gradient(z, t) - z.softmax(0) + z,
    )),
    Exercise(closed_form, lambda: [(draw(8), draw(8), b) for draw in _draws()
                                   for b in (-3.0, 0.5, 4.0)], (
        lambda x, w, b: x + closed_form(x, w, b),
        lambda x, w, b: -closed_form(x, w, b),
        lambda x, w, b: closed_form(x, w, b) * w.norm(),
        lambda x, w, b: closed_form(x, w, 0.0),
        lambda x, w, b: -(w @ x + b).abs() * w / w.square().sum(),
    )),
)

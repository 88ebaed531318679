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
    """How far each pixel of the perturbation may go down and up for x + r to stay in the box."""
    return torch.stack([-x, 1 - x])


def logit_gradient(logits, target):
    """Gradient of the cross-entropy toward the target, in the logits."""
    wanted = torch.zeros_like(logits)
    wanted[target] = 1
    return logits.softmax(dim=0) - wanted


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
    """The smallest r, in the 2-norm, that takes x to the boundary w . (x + r) + b = 0."""
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


def _walls_cases() -> list[tuple]:
    return [(draw(6, 6).clamp(0, 1),) for draw in _draws()]


def _logit_cases() -> list[tuple]:
    single, double = _draws()
    return [(2 * single(10), 3), (2 * double(4), 0)]


def _closed_form_cases() -> list[tuple]:
    return [(draw(8), draw(8), b) for draw in _draws() for b in (-3.0, 0.5, 4.0)]


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
        (lambda r: r.norm(),
         "That is the 2-norm: a sum over the pixels in place of their mean. Divide by the number "
         "of pixels under the root."),
        (lambda r: r.square().mean(), "That is the mean square: the root is missing."),
        (lambda r: r.norm() / r.numel(),
         "You divide by n outside the root: expected sqrt(sum / n)."),
        (lambda r: r.abs().mean(),
         "That is the mean of the sizes. A root mean square counts large changes for more."),
        (lambda r: r.std(),
         "std subtracts the mean first (and divides by n - 1): a constant shift of all pixels "
         "would count for nothing."),
    )),
    Exercise(objective, _objective_cases, (
        (lambda r, p, c: c * r.norm() - p.log(), "That is c * ||r||: the norm is to be squared."),
        (lambda r, p, c: c * r.square().mean() - p.log(),
         "That is the mean of r's squares: ||r||^2 is their sum."),
        (lambda r, p, c: c * r.square().sum() + p.log(),
         "The cross-entropy has the wrong sign: it is large where the target is unlikely, and "
         "minimising it moves toward the target."),
        (lambda r, p, c: c * r.square().sum() - p,
         "The logarithm is missing: the cross-entropy is -log of the chance."),
        (lambda r, p, c: r.square().sum() - c * p.log(),
         "Your c stands on the loss. Here it is on the norm."),
    )),
    Exercise(walls, _walls_cases, (
        (lambda x: torch.stack([torch.zeros_like(x), torch.ones_like(x)]),
         "Those are the walls of the image: a pixel of 0.9 plus 0.5 would leave the box. For r "
         "they depend on x."),
        (lambda x: torch.stack([1 - x, -x]), "The two are swapped: down first, then up."),
        (lambda x: torch.stack([x, 1 - x]),
         "Those are two distances. Down is negative: r lies between -x and 1 - x."),
        (lambda x: torch.stack([-torch.ones_like(x), torch.ones_like(x)]),
         "No pixel can move further than that, but most less far: the walls depend on x."),
    )),
    Exercise(bisection, diagnose=_diagnose_bisection),
    Exercise(logit_gradient, _logit_cases, (
        (lambda z, t: -logit_gradient(z, t),
         "The sign is wrong: a larger logit of the target lowers the loss."),
        (lambda z, t: z.softmax(0),
         "The target is missing: subtract 1 from its chance, and nothing from the others."),
        (lambda z, t: logit_gradient(z, t) - z.softmax(0),
         "The other classes are missing: raising their logits takes chance from the target."),
        (lambda z, t: logit_gradient(z, t) - z.softmax(0) + z,
         "You use the logits as they are: take their softmax first."),
    )),
    Exercise(closed_form, _closed_form_cases, (
        (lambda x, w, b: -closed_form(x, w, b),
         "The sign is wrong: your r leads away from the boundary."),
        (lambda x, w, b: closed_form(x, w, b) * w.norm(),
         "You divide by ||w||: it takes ||w||^2, once to normalise the direction w and once to "
         "turn the margin into a distance."),
        (lambda x, w, b: closed_form(x, w, 0.0), "b is missing: the margin is w . x + b."),
        (lambda x, w, b: -(w @ x + b).abs() * w / w.square().sum(),
         "You take the margin's absolute value: then a point on the negative side is pushed "
         "further away. Keep its sign."),
    )),
)

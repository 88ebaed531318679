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


def _distortion_mistakes(r):
    mean = r.square().mean()
    return [r.norm(), mean, r.norm() / r.numel(), r.norm() / 28, r.abs().mean(), r.std()]


def _objective_cases() -> list[tuple]:
    return [(0.5 * draw(5, 6), draw(1)[0].sigmoid(), c) for draw, c in zip(_draws(), (0.3, 2.0))]


def _objective_mistakes(r, chance, c):
    loss, total = -chance.log(), r.square().sum()
    single, mean = c * r.norm() + loss, c * r.square().mean() + loss
    return [single, mean, c * total - loss, c * total - chance, total + c * loss]


def _walls_cases() -> list[tuple]:
    return [(draw(6, 6).clamp(0, 1),) for draw in _draws()]


def _walls_mistakes(x):
    nothing, all_of_it = torch.zeros_like(x), torch.ones_like(x)
    pairs = (nothing, all_of_it), (1 - x, -x), (x, 1 - x), (-all_of_it, all_of_it)
    return [torch.stack(pair) for pair in pairs]


def _logit_cases() -> list[tuple]:
    single, double = _draws()
    return [(2 * single(10), 3), (2 * double(4), 0)]


def _logit_mistakes(logits, target):
    right, chances = logit_gradient(logits, target), logits.softmax(0)
    return [-right, chances, right - chances, right - chances + logits]


def _plane_cases() -> list[tuple]:
    return [(draw(8), draw(8), b) for draw in _draws() for b in (-3.0, 0.5, 4.0)]


def _plane_mistakes(x, w, b):
    right, size = closed_form(x, w, b), -(w @ x + b).abs() * w / w.square().sum()
    return [x + right, -right, right * w.norm(), closed_form(x, w, 0.0), size]


def _diagnose_bisection(exercise: Exercise, answer) -> str | None:
    for place, tolerance in {0.3217: 1e-3, 0.731: 1e-2, 0.05: 1e-6, 1.0: 1e-3, 0.0: 1e-4}.items():
        tried = []

        def adversarial(t):
            tried.append(t)
            if len(tried) > 100_000:
                raise WrongAnswer(exercise.say("endless"))
            return bool(t >= place)

        t = call(answer, adversarial, tolerance)
        try:
            t = float(t)
        except (TypeError, ValueError, RuntimeError):
            return f"Expected a float, got a {type(t).__name__}."
        halvings = math.ceil(math.log2(1 / tolerance))
        if not 0 <= t <= 1:
            found = "outside"
        elif 0 < place - t <= tolerance:
            found = "just short"
        elif abs(t - place) > tolerance:
            found = "at the wrong end" if min(t, 1 - t) <= tolerance else "far off"
            found = found if tried else "not asked"
        elif len(tried) > 10 + 3 * halvings:
            found = "slow"
        else:
            continue
        asked = f"Boundary at {place:g}, tolerance {tolerance:g}: you return {t:.7g}"
        return exercise.say(found, asked=asked, calls=len(tried), halvings=halvings)
    return None


EXERCISES = (
    Exercise(distortion, _distortion_cases, _distortion_mistakes),
    Exercise(objective, _objective_cases, _objective_mistakes),
    Exercise(walls, _walls_cases, _walls_mistakes),
    Exercise(bisection, diagnose=_diagnose_bisection),
    Exercise(logit_gradient, _logit_cases, _logit_mistakes),
    Exercise(closed_form, _plane_cases, _plane_mistakes),
)

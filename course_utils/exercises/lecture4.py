"""The exercises of Lecture 4: the step, its closed form for a linear model, one projected step,
and an attack that gets past a defence.
"""

import torch
from torch import nn
from torch.func import grad
from torch.nn.functional import cross_entropy

from course_utils.attacks import fgsm
from course_utils.exercises.framework import Exercise, call, random, unlike
from course_utils.models import fully_connected


def sign_step(model, image, label, eps):
    """The image moved by eps along its loss's gradient's sign, kept in [0, 1]."""
    x = image.clone().requires_grad_()
    loss = cross_entropy(model(x), label, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return (image + eps * gradient.sign()).clamp(0, 1)


def worst_margin(x, y, w, b, eps):
    """The smallest margin y (w . (x + r) + b) over all r with |r_i| <= eps."""
    return y * (x @ w + b) - eps * w.abs().sum()


def projected_step(points, images, gradient, eps, step):
    """Points moved by `step` along the gradient's sign, then back within eps."""
    moved = points + step * gradient.sign()
    return moved.clamp(images - eps, images + eps).clamp(0, 1)


def break_it(model, images, labels, eps):
    """Images within eps of these, in each pixel, that the model misclassifies."""
    moved = images.clone()
    for _ in range(40):
        moved.requires_grad_()
        loss = cross_entropy(model(moved), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + eps / 10 * slope.sign()
        moved = moved.clamp(images - eps, images + eps).clamp(0, 1)
    return moved


def _margin_cases() -> list[tuple]:
    draws = (random(), 0.7, 0.25), (random(torch.float64), -1.1, 0.1)
    return [(draw(9, 20), draw(9).sign(), draw(20), b, eps) for draw, b, eps in draws]


def _margin_mistakes(x, y, w, b, eps):
    sizes = w.abs()
    falls = w.norm(), w.sum(), y * sizes.sum(), sizes.mean()
    return [y * (x @ w + b) - eps * fall for fall in falls]


def _sign_cases() -> list[tuple]:
    model, image = fully_connected(7, 4, inputs=12, seed=1), random()(5, 12).sigmoid()
    return [(model, image, torch.tensor([0, 3, 1, 2, 2]), eps) for eps in (0.1, 0.4)]


def _sign_mistakes(model, image, label, eps):
    outside = fgsm(model, image, label, eps=eps, bounds=(-1, 2))
    slope = grad(lambda x: cross_entropy(model(x), label))(image)
    straight = (image + eps * slope).clamp(0, 1)
    return [outside, fgsm(model, image, label, eps=eps, targeted=True), straight]


def _projected_cases() -> list[tuple]:
    draw = random()
    images, shift, gradient = draw(4, 30).clamp(0, 1), 0.2 * draw(4, 30).tanh(), draw(4, 30)
    return [((images + shift).clamp(0, 1), images, gradient, 0.2, step) for step in (0.05, 0.3)]


def _projected_mistakes(points, images, gradient, eps, step):
    moved = points + step * gradient.sign()
    nearby = moved.clamp(points - eps, points + eps).clamp(0, 1)
    whole = projected_step(points, images, gradient, eps, eps)
    return [moved.clamp(0, 1), moved.clamp(images - eps, images + eps), nearby, whole]


class _Wavy(nn.Module):
    """Two classes; each pixel's part in the margin is a wave that repeats after one `period`, so
    a step of one period in every pixel changes nothing: the slope says nothing of such a step."""

    def __init__(self, weight: torch.Tensor, period: float):
        super().__init__()
        self.period = period
        self.register_buffer("weight", weight / weight.sum())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        margin = torch.sin(2 * torch.pi * images / self.period) @ self.weight
        return torch.stack([-margin, margin], dim=1)


def _diagnose_break_it(exercise: Exercise, answer) -> str | None:
    draw, n, pixels, eps = random(), 200, 30, 0.2
    model = _Wavy(0.5 + draw(pixels).sigmoid(), eps)
    # Each pixel high on its wave for class 1, or as low for class 0, on either of its flanks, and
    # far enough from 0 and 1 that no step is cut off.
    labels = torch.arange(n) % 2
    phase = torch.asin(0.3 + 0.7 * draw(n, pixels).sigmoid())
    phase = torch.where(draw(n, pixels) < 0, phase, torch.pi - phase)
    whole = 2 + (draw(n, pixels) > 0).long()
    images = eps * (whole + (2 * labels[:, None] - 1) * phase / (2 * torch.pi))
    moved = call(answer, model, images, labels, eps)
    if problem := unlike(moved, images):
        return problem
    moved = moved.detach()
    furthest = (moved - images).abs().max().item()
    if furthest > 1.001 * eps:
        return exercise.say("too far", furthest=furthest, eps=eps)
    if moved.min() < 0 or moved.max() > 1:
        return exercise.say("outside")
    with torch.no_grad():
        error = 100 * (model(moved).argmax(1) != labels).double().mean().item()
        rises = cross_entropy(model(moved), labels) >= cross_entropy(model(images), labels)
    if error >= 95:
        return None
    if furthest < 1e-3 * eps:
        found = "not moved"
    elif torch.allclose(moved, fgsm(model, images, labels, eps=eps), atol=1e-3 * eps):
        found = "one step"
    else:
        found = "few steps" if rises else "downhill"
    return f"{exercise.say('weak', error=error)} {exercise.say(found)}"


EXERCISES = (
    Exercise(sign_step, _sign_cases, _sign_mistakes),
    Exercise(worst_margin, _margin_cases, _margin_mistakes),
    Exercise(projected_step, _projected_cases, _projected_mistakes),
    Exercise(break_it, diagnose=_diagnose_break_it),
)

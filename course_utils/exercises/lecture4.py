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
    return [(draw(9, 20), draw(9).sign(), draw(20), b, eps)
            for draw, b, eps in [(random(), 0.7, 0.25), (random(torch.float64), -1.1, 0.1)]]


def _step_cases() -> list[tuple]:
    model, image = fully_connected(7, 4, inputs=12, seed=1), random()(5, 12).sigmoid()
    return [(model, image, torch.tensor([0, 3, 1, 2, 2]), eps) for eps in (0.1, 0.4)]


def _projected_cases() -> list[tuple]:
    draw = random()
    images, shift, gradient = draw(4, 30).clamp(0, 1), 0.2 * draw(4, 30).tanh(), draw(4, 30)
    return [((images + shift).clamp(0, 1), images, gradient, 0.2, step) for step in (0.05, 0.3)]


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
        return (f"You move a pixel by {furthest:.3f}, expected at most eps = {eps:g}. After every "
                "step, clamp to images - eps and images + eps.")
    if moved.min() < 0 or moved.max() > 1:
        return "Some of your pixels leave [0, 1]: clamp to the box as well."
    with torch.no_grad():
        error = 100 * (model(moved).argmax(1) != labels).double().mean().item()
    if error >= 95:
        return None
    said = f"The model errs on {error:.0f} % of your images, expected at least 95 %."
    if furthest < 1e-3 * eps:
        return f"{said} You return the images as they were."
    one_step = fgsm(model, images, labels, eps=eps)
    if torch.allclose(moved, one_step, atol=1e-3 * eps):
        return (f"{said} That is the fast gradient sign itself: one step over the whole of eps, "
                "on the word of the slope at its start. Take smaller steps, and look again.")
    if (cross_entropy(model(moved), labels) < cross_entropy(model(images), labels)).item():
        return f"{said} You go down the loss: add the sign of its gradient, do not subtract it."
    return f"{said} Take more steps, each a fraction of eps, with a new gradient for each."


EXERCISES = (
    Exercise(sign_step, _step_cases, (
        lambda model, x, y, eps: fgsm(model, x, y, eps=eps, bounds=(-1, 2)),
        lambda model, x, y, eps: fgsm(model, x, y, eps=eps, targeted=True),
        lambda f, x, y, eps: (x + eps * grad(lambda z: cross_entropy(f(z), y))(x)).clamp(0, 1),
    )),
    Exercise(worst_margin, _margin_cases, (
        lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.norm(),
        lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.sum(),
        lambda x, y, w, b, eps: y * (x @ w + b - eps * w.abs().sum()),
        lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.abs().mean(),
    )),
    Exercise(projected_step, _projected_cases, (
        lambda p, x, g, eps, step: (p + step * g.sign()).clamp(0, 1),
        lambda p, x, g, eps, step: (p + step * g.sign()).clamp(x - eps, x + eps),
        lambda p, x, g, eps, step: (p + step * g.sign()).clamp(p - eps, p + eps).clamp(0, 1),
        lambda p, x, g, eps, step: projected_step(p, x, g, eps, eps),
    )),
    Exercise(break_it, diagnose=_diagnose_break_it),
)

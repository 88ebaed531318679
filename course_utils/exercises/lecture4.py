"""The exercises of Lecture 4: the step, its closed form for a linear model, one projected step,
and an attack that gets past a defence.

A solution's docstring is the exercise's specification.
"""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils.attacks import fgsm, pgd
from course_utils.exercises.framework import Exercise, Mistake, call, compare, describe
from course_utils.models import fully_connected


def sign_step(model, image, label, eps):
    """The image moved by eps along the sign of its loss's gradient, clipped to [0, 1].

    model: images (N, D) to logits (N, K), differentiable; image: float (N, D) in [0, 1]; label:
    int64 (N,), the true classes; eps: a number above 0. The loss is the cross-entropy. Returns
    float (N, D), without a gradient of its own; a pixel of slope zero stays where it is.
    """
    x = image.clone().requires_grad_()
    loss = cross_entropy(model(x), label, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return (image + eps * gradient.sign()).clamp(0, 1)


def worst_margin(x, y, w, b, eps):
    """The smallest margin y (w . (x + r) + b) that any r can leave, with every |r_i| <= eps.

    x: float (N, D); y: float (N,), the classes, +1 or -1; w: float (D,); b and eps: numbers, eps
    at least 0. There is no box here. Returns float (N,) of x's dtype, in closed form: below 0
    where some r changes the answer.
    """
    return y * (x @ w + b) - eps * w.abs().sum()


def projected_step(points, images, gradient, eps, step):
    """Points moved by `step` along the gradient's sign, and back to within eps of the images.

    points: float (N, ...), where the attack stands; images: the same shape, in [0, 1], where it
    began; gradient: the loss's at the points; eps, step: numbers above 0. Returns a tensor like
    points: no entry further than eps from the images, every entry in [0, 1].
    """
    moved = points + step * gradient.sign()
    return moved.clamp(images - eps, images + eps).clamp(0, 1)


def break_it(model, images, labels, eps):
    """Images that the model misclassifies, no pixel further than eps from the originals.

    model: images (N, D) to logits (N, K), differentiable; images: float (N, D) in [0, 1]; labels:
    int64 (N,), the true classes; eps: float above 0. Returns float (N, D) in [0, 1]. The fast
    gradient sign, one step of size eps, hardly ever fools this model.
    """
    moved = images.clone()
    for _ in range(40):
        moved.requires_grad_()
        loss = cross_entropy(model(moved), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, moved)
        moved = moved.detach() + eps / 10 * slope.sign()
        moved = moved.clamp(images - eps, images + eps).clamp(0, 1)
    return moved


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(20141220)


def _margin_cases() -> list[tuple]:
    generator, y = _generator(), torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0])
    x, w = (torch.randn(*shape, generator=generator) for shape in ((5, 20), (20,)))
    return [(x, y, w, 0.7, 0.25), (x.double(), y.double(), -w.double(), -1.1, 0.1)]


def _step_cases() -> list[tuple]:
    generator = _generator()
    model = fully_connected(7, 4, inputs=12, seed=1)
    image = torch.rand(5, 12, generator=generator)
    return [(model, image, torch.tensor([0, 3, 1, 2, 2]), eps) for eps in (0.1, 0.4)]


def _projected_cases() -> list[tuple]:
    generator = _generator()
    images = torch.rand(4, 30, generator=generator)
    shift = 0.2 * (2 * torch.rand(4, 30, generator=generator) - 1)
    gradient = torch.randn(4, 30, generator=generator)
    return [((images + shift).clamp(0, 1), images, gradient, 0.2, step) for step in (0.05, 0.3)]


class _Wavy(nn.Module):
    """Two classes; each pixel's part in the margin is a wave that repeats after one `period`, so
    a step of one period in every pixel changes nothing: the slope says nothing of such a step."""

    def __init__(self, pixels: int, period: float, generator: torch.Generator):
        super().__init__()
        self.period = period
        self.register_buffer("weight", 0.5 + torch.rand(pixels, generator=generator))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        waves = torch.sin(2 * torch.pi * images / self.period)
        margin = waves @ self.weight / self.weight.sum()
        return torch.stack([-margin, margin], dim=1)


def _diagnose_break_it(answer) -> str | None:
    generator = _generator()
    n, pixels, eps = 200, 30, 0.2
    model = _Wavy(pixels, eps, generator)
    # Each pixel high on its wave for class 1, or as low for class 0, on either of its flanks, and
    # far enough from 0 and 1 that no step is cut off.
    labels = torch.randint(2, (n,), generator=generator)
    phase = torch.asin(0.3 + 0.7 * torch.rand(n, pixels, generator=generator))
    phase = torch.where(torch.rand(n, pixels, generator=generator) < 0.5, phase, torch.pi - phase)
    whole = torch.randint(2, 4, (n, pixels), generator=generator)
    images = eps * (whole + (2 * labels[:, None] - 1) * phase / (2 * torch.pi))
    moved = call(answer, model, images, labels, eps)
    if not isinstance(moved, torch.Tensor) or moved.shape != images.shape:
        return f"Expected a tensor of shape {tuple(images.shape)}, got {describe(moved)}."
    moved = moved.detach()
    furthest = (moved - images).abs().max().item()
    if not furthest < float("inf"):  # for NaN too
        return "Your result has NaN or infinity where a finite number is expected."
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
    Exercise(
        "sign-step", sign_step,
        partial(compare, sign_step, _step_cases, (
            Mistake(lambda model, x, y, eps: fgsm(model, x, y, eps=eps, bounds=(-1, 2)),
                    "Some of your pixels leave [0, 1]: clamp at the end."),
            Mistake(lambda model, x, y, eps: fgsm(model, x, y, eps=eps, targeted=True),
                    "You go down the loss: add the sign, do not subtract it."),
            Mistake(lambda model, x, y, eps: pgd(model, x, y, eps=9, step=eps, steps=1, norm="l2"),
                    "You move along the gradient: that is the best step of a given length. With "
                    "a bound on each pixel it is the gradient's sign."),
        )),
        "Four lines, and the attack is complete.",
        (
            "x = image.clone().requires_grad_(), and the loss at x, summed over the images.",
            "(gradient,) = torch.autograd.grad(loss, x); then its sign, eps and clamp.",
        ),
    ),
    Exercise(
        "worst-margin", worst_margin,
        partial(compare, worst_margin, _margin_cases, (
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.norm(),
                    "You take the 2-norm of w: that is for perturbations of bounded length. With "
                    "a bound on each pixel, every pixel moves by eps, and adds eps |w_i|."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.sum(),
                    "You sum w with its signs: r follows the sign of each weight, so every term "
                    "counts, |w_i|."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b - eps * w.abs().sum()),
                    "You multiply the attack by y as well: it lowers the margin of both classes, "
                    "by the same amount."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.abs().mean(),
                    "You average over the pixels: their contributions add up, and that is the "
                    "whole point of a high dimension."),
        )),
        "The margin falls by eps ||w||_1 for every image, whatever it shows, and the r that "
        "does it is -eps y sign(w): the fast gradient sign.",
        (
            "w . r is a sum over the pixels, and each r_i may be chosen alone.",
            "y w_i r_i is smallest at r_i = -eps y sign(w_i). What is it there?",
            "The sum of -eps |w_i| is -eps times the 1-norm of w.",
        ),
    ),
    Exercise(
        "projected-step", projected_step,
        partial(compare, projected_step, _projected_cases, (
            Mistake(lambda p, x, g, eps, step: (p + step * g.sign()).clamp(0, 1),
                    "You never come back to within eps of the images."),
            Mistake(lambda p, x, g, eps, step: (p + step * g.sign()).clamp(x - eps, x + eps),
                    "Some of your pixels leave [0, 1]."),
            Mistake(lambda p, x, g, eps, step:
                    (p + step * g.sign()).clamp(p - eps, p + eps).clamp(0, 1),
                    "You measure eps from where the attack stands: it is the distance from where "
                    "it began, or many steps would go anywhere."),
            Mistake(lambda p, x, g, eps, step:
                    (p + eps * g.sign()).clamp(x - eps, x + eps).clamp(0, 1),
                    "You move by eps: that is how far all steps together may go; move by step."),
        )),
        "A step and two clamps, forty times over: that is the attack by which defences are judged.",
        (
            "First the step, from the points; then clamp, which takes tensors as its ends.",
            "moved.clamp(images - eps, images + eps), and then .clamp(0, 1).",
        ),
    ),
    Exercise(
        "break-it", break_it, _diagnose_break_it,
        "A defence that stops one attack has met one attack. Now show yours to the maxout below.",
        (
            "What does the fast gradient sign believe about the loss, and over which distance?",
            "Take many steps of a fraction of eps, each along a new sign, and clamp after each.",
            "torch.autograd.grad at the points, 40 times, and exercise 2 with a step of eps / 10.",
        ),
    ),
)

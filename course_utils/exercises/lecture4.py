"""The exercises of Lecture 4: the sign step in closed form, what adversarial training adds to the
loss, and an attack that gets past it.

A solution's docstring is the exercise's specification.
"""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils.attacks import fgsm
from course_utils.exercises.framework import Exercise, Mistake, call, compare, describe


def worst_margin(x, y, w, b, eps):
    """The smallest margin y (w . (x + r) + b) that any r can leave, with every |r_i| <= eps.

    x: float (N, D); y: float (N,), the classes, +1 or -1; w: float (D,); b and eps: numbers, eps
    at least 0. There is no box here. Returns float (N,) of x's dtype, in closed form: below 0
    where some r changes the answer.
    """
    return y * (x @ w + b) - eps * w.abs().sum()


def regulariser(gradient, eps, alpha):
    """What adversarial training adds to the loss of each image, to first order in eps.

    For small eps, alpha J(x) + (1 - alpha) J(x + eps sign(grad_x J)) is J(x) plus this.
    gradient: float (N, ...), grad_x J of each image; eps: a small number above 0; alpha: a number
    in [0, 1]. Returns float (N,) of the gradient's dtype.
    """
    return (1 - alpha) * eps * gradient.flatten(1).abs().sum(dim=1)


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
    generator = _generator()
    cases = []
    sizes = [(6, 20, 0.7, 0.25, torch.float32), (3, 5, -1.1, 0.1, torch.float64)]
    for n, d, b, eps, dtype in sizes:
        x = torch.rand(n, d, generator=generator, dtype=dtype)
        y = 2.0 * torch.randint(2, (n,), generator=generator).to(dtype) - 1
        y[:2] = torch.tensor([1.0, -1.0])
        cases.append((x, y, torch.randn(d, generator=generator, dtype=dtype), b, eps))
    return cases


def _regulariser_cases() -> list[tuple]:
    generator = _generator()
    shapes = [((4, 1, 5, 5), 0.01, 0.3, torch.float32), ((3, 8), 0.02, 0.6, torch.float64)]
    return [
        (torch.randn(shape, generator=generator, dtype=dtype), eps, alpha)
        for shape, eps, alpha, dtype in shapes
    ]


class _Wavy(nn.Module):
    """Two classes; each pixel's part in the margin is a wave, the same again after one `period`.

    So a step of one period in every pixel changes nothing, whatever the sign: the slope at the
    images says nothing of what a step of that size does.
    """

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
    if not moved.isfinite().all():
        return "Your result has NaN or infinity where a finite number is expected."
    furthest = (moved - images).abs().max().item()
    if furthest > 1.001 * eps:
        return (f"You move a pixel by {furthest:.3f}, expected at most eps = {eps:g}. After every "
                "step, clamp to images - eps and images + eps.")
    if moved.min() < 0 or moved.max() > 1:
        return "Some of your pixels leave [0, 1]: clamp to the box as well."

    def fooled(candidates) -> float:
        with torch.no_grad():
            return 100 * (model(candidates).argmax(1) != labels).double().mean().item()

    error = fooled(moved)
    if error >= 95:
        return None
    said = f"The model errs on {error:.0f} % of your images, expected at least 95 %."
    if furthest < 1e-3 * eps:
        return f"{said} You return the images as they were."
    one_step = fgsm(model, images, labels, eps=eps)
    if torch.allclose(moved, one_step, atol=1e-3 * eps):
        return (f"{said} That is the fast gradient sign itself: one step over the whole of eps, "
                "on the word of the slope at its start. Take smaller steps, and look again.")
    with torch.no_grad():
        before, after = (
            cross_entropy(model(x), labels, reduction="none") for x in (images, moved)
        )
    if (after < before).double().mean() > 0.9:
        return f"{said} You go down the loss: add the sign of its gradient, do not subtract it."
    return f"{said} Take more steps, each a fraction of eps, with a new gradient for each."


EXERCISES = (
    Exercise(
        "worst-margin", worst_margin,
        partial(compare, worst_margin, _margin_cases, (
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.norm(),
                    "You take the 2-norm of w: that is for perturbations of bounded length. With "
                    "a bound on each pixel, every pixel moves by eps, and adds eps |w_i|."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.sum(),
                    "You sum w with its signs: r follows the sign of each weight, so every term "
                    "counts, |w_i|."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b) + eps * w.abs().sum(),
                    "That is the largest margin: the attack lowers it."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b - eps * w.abs().sum()),
                    "You multiply the attack by y as well: it lowers the margin of both classes, "
                    "by the same amount."),
            Mistake(lambda x, y, w, b, eps: x @ w + b - eps * w.abs().sum(),
                    "y is missing: for the class -1 the margin is -(w . x + b)."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w) - eps * w.abs().sum(),
                    "b is missing: the margin is y (w . x + b)."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b) - eps * w.abs().mean(),
                    "You average over the pixels: their contributions add up, and that is the "
                    "whole point of a high dimension."),
            Mistake(lambda x, y, w, b, eps: y * (x @ w + b) - w.abs().sum(),
                    "eps is missing."),
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
        "regulariser", regulariser,
        partial(compare, regulariser, _regulariser_cases, (
            Mistake(lambda g, eps, a: a * eps * g.flatten(1).abs().sum(1),
                    "alpha is the share of the clean loss: the other part has 1 - alpha."),
            Mistake(lambda g, eps, a: eps * g.flatten(1).abs().sum(1),
                    "Only a share 1 - alpha of the loss is taken at the moved image."),
            Mistake(lambda g, eps, a: (1 - a) * eps * g.flatten(1).norm(dim=1),
                    "You take the gradient's 2-norm: multiply it by eps sign(gradient), pixel by "
                    "pixel, and add up."),
            Mistake(lambda g, eps, a: (1 - a) * eps * g.flatten(1).square().sum(1),
                    "The step is the gradient's sign, not the gradient: g_i sign(g_i) = |g_i|."),
            Mistake(lambda g, eps, a: (1 - a) * eps * g.flatten(1).sum(1),
                    "The terms cancel in your sum: g_i sign(g_i) is |g_i|."),
            Mistake(lambda g, eps, a: (1 - a) * eps * g.flatten(1).abs().mean(1),
                    "You average over the pixels: the product of gradient and step is a sum."),
            Mistake(lambda g, eps, a: (1 - a) * g.flatten(1).abs().sum(1),
                    "eps is missing."),
            Mistake(lambda g, eps, a: (1 - a) * eps * g.abs().sum(),
                    "You add up the whole batch: one number for each image is wanted."),
        )),
        "So for small eps adversarial training is a penalty on the 1-norm of the loss's slope. It "
        "fades where the network is sure of an image, since there the slope does.",
        (
            "To first order, J(x + r) = J(x) + grad_x J . r. Put r = eps sign(grad_x J).",
            "A number times its own sign is its absolute value.",
            "What is left: (1 - alpha) * eps * the sum over the pixels of |grad_x J|.",
        ),
    ),
    Exercise(
        "break-it", break_it, _diagnose_break_it,
        "A defence that stops one attack has met one attack. Now show yours to the network of "
        "section 12.",
        (
            "What does the fast gradient sign believe about the loss, and over which distance?",
            "Take many steps of a fraction of eps, each along the sign of a new gradient; after "
            "each, clamp to images - eps and images + eps, and to [0, 1].",
            "torch.autograd.grad(cross_entropy(model(x), labels, reduction='sum'), x), for an x "
            "with requires_grad_().",
        ),
    ),
)

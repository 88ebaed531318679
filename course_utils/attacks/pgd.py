"""Projected gradient: the fast gradient sign method in many small steps."""

import torch
from torch import Tensor, nn

from course_utils import inference
from course_utils.checks import check_attack, check_choice, check_counts, check_generator
from course_utils.inference import in_batches, loss_and_gradient, per_image

# The log-odds rise and fall with the cross-entropy.
LOSSES = {"cross_entropy": inference.log_odds, "dlr": inference.dlr}


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int = 40,
    loss: str = "cross_entropy",
    norm: str = "linf",
    generator: torch.Generator | None = None,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    batch_size: int | None = None,
) -> Tensor:
    """Climb the loss by `steps` steps, each brought back to within eps of the images.

    Of all points met on the way, an image's last one included, the one of the highest loss comes
    back. One step of size eps from the images is `fgsm`, where that raises the loss.

    Args:
        model, images, labels, bounds, targeted (it descends), batch_size: as in `fgsm`.
        eps: how far the images may move at most, at least 0: with norm "linf" any pixel, in pixel
            units; with "l2" all of them together, as ||r||_2, which is eps / sqrt(pixels) in
            distortion.
        step: how far they move in one step, in the same norm, at least 0.
        steps: how many, at least 1. Each costs one gradient; the last point costs a forward pass.
        loss: "cross_entropy", or "dlr", the margin between the label and the best rival over the
            spread of the logits, above 0 exactly where the label loses.
        norm: "linf", where a step goes along the gradient's sign, or "l2", along the gradient.
        generator: of a random start, uniform within eps of the images; None starts at the images.

    Returns images (N, ...), detached, within the bounds and within eps of those that came; errors
    as of `fgsm`.

    Source: Madry et al. 2017 (arXiv:1706.06083), section 2.1; Kurakin, Goodfellow and Bengio
    2016 (arXiv:1607.02533), section 2.2, without the random start; the loss "dlr", Croce and
    Hein 2020 (arXiv:2003.01690), section 4.
    """
    check_attack(model, images, labels, bounds=bounds, eps=eps, step=step)
    check_counts(steps=steps)
    check_choice(LOSSES, loss=loss)
    check_choice(("linf", "l2"), norm=norm)
    check_generator(generator)
    uphill = -1 if targeted else 1
    height = lambda logits, labels: uphill * LOSSES[loss](logits, labels)
    within = lambda images, shift: (images + _cut(shift, eps, norm)).clamp(*bounds)

    def climb(images: Tensor, labels: Tensor, shift: Tensor) -> Tensor:
        points = best = within(images, shift)
        most = torch.full_like(images.flatten(1)[:, 0], -torch.inf)
        for _ in range(steps):
            value, slope = loss_and_gradient(model, points, labels, loss=height)
            best, most = _higher(points, value, best, most)
            points = within(images, points - images + step * _direction(slope, norm))
        with torch.no_grad():
            value = height(inference.ask(model, points), labels)
        return _higher(points, value, best, most)[0]

    images, labels, start = images.detach(), labels.to(images.device), torch.zeros_like(images)
    if generator is not None:
        start = eps * _random_shift(images, generator, norm)
    with inference.differentiable(model) as model:
        return in_batches(climb, images, labels, start, batch_size=batch_size)


def _higher(points: Tensor, value: Tensor, best: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points of the higher value, image by image, and that value."""
    return torch.where(per_image(value > most, points), points, best), torch.maximum(value, most)


def _cut(shift: Tensor, eps: float, norm: str) -> Tensor:
    """Return the shift, cut down to eps where it is longer."""
    if norm == "linf":
        return shift.clamp(-eps, eps)
    size = torch.linalg.vector_norm(shift.flatten(1), dim=1)
    return shift * per_image((eps / size.clamp_min(1e-30)).clamp_max(1), shift)


def _direction(gradient: Tensor, norm: str) -> Tensor:
    if norm == "linf":
        return gradient.sign()
    return nn.functional.normalize(gradient.flatten(1), dim=1, eps=1e-30).view_as(gradient)


def _random_shift(images: Tensor, generator: torch.Generator, norm: str) -> Tensor:
    """Return shifts like the images, uniform in the norm's ball of radius 1."""
    place = {"generator": generator, "device": generator.device}
    if norm == "linf":
        return 2 * torch.rand(images.shape, **place).to(images) - 1
    radius = torch.rand(len(images), **place).to(images) ** (1 / images[0].numel())
    way = _direction(torch.randn(images.shape, **place).to(images), norm)
    return way * per_image(radius, images)

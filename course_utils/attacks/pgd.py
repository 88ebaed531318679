"""Projected gradient: the fast gradient sign method in many small steps."""

import torch
from torch import Tensor, nn

from course_utils.attacks.checks import check_answer
from course_utils.attacks.fgsm import BATCH, check_attack
from course_utils.checks import check_counts, check_size
from course_utils.models import eval_mode, odds_of_error


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int = 40,
    generator: torch.Generator | None = None,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
) -> Tensor:
    """Climb the loss by `steps` signed steps, each brought back to within eps of the images.

    Of all points met on the way, an image's last one included, the one of the highest loss comes
    back. One step of size eps from the images is `fgsm`, where that raises the loss.

    Args:
        model, images, labels, bounds, targeted: as in `fgsm`; with `targeted` it descends.
        eps: how far a pixel may move at most, in pixel units, at least 0.
        step: how far it moves in one step, in pixel units, at least 0.
        steps: how many, at least 1. Each costs one evaluation of the gradient.
        generator: of a random start, uniform within eps of the images; None starts at the images.

    Returns:
        Images (N, ...), detached, within the bounds and within eps of those that came.

    Raises:
        TypeError, ValueError: an argument is not as described above, or the model gives logits
            or slopes that are not finite.

    Source: Madry et al. 2017 (arXiv:1706.06083), section 2.1; Kurakin, Goodfellow and Bengio
    2016 (arXiv:1607.02533), section 2.2, without the random start.
    """
    check_attack(model, images, labels, eps=eps, bounds=bounds)
    check_size(step, name="step")
    check_counts(steps=steps)
    if generator is not None and not isinstance(generator, torch.Generator):
        kind = type(generator).__name__
        raise TypeError(f"generator: got {kind}, expected a torch.Generator or None")
    labels = labels.to(images.device)
    uphill = -1 if targeted else 1
    low, high = bounds
    found = []
    with eval_mode(model):
        check_answer(model, images, labels, name="labels")
        for some, truth in zip(images.detach().split(BATCH), labels.split(BATCH)):
            lowest, highest = (some - eps).clamp_min(low), (some + eps).clamp_max(high)
            points = some
            if generator is not None:
                shift = torch.rand(some.shape, generator=generator, device=generator.device)
                points = some + eps * (2 * shift.to(some) - 1)
                points = torch.clamp(points, lowest, highest)
            best, most = points, torch.full_like(some.flatten(1)[:, 0], -torch.inf)
            for taken in range(steps + 1):
                odds, slope = odds_of_error(model, points, truth)
                better = uphill * odds > most
                most = torch.where(better, uphill * odds, most)
                best = torch.where(better.view(-1, *[1] * (some.ndim - 1)), points, best)
                if taken < steps:
                    points = points + uphill * step * slope.sign()
                    points = torch.clamp(points, lowest, highest)
            found.append(best)
    return torch.cat(found)

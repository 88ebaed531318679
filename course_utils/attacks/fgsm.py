"""The fast gradient sign method: one step that raises the loss at every pixel at once."""

import torch
from torch import Tensor, nn

from course_utils.attacks.checks import check_answer
from course_utils.checks import check_bounds, check_images, check_labels, check_model, check_size
from course_utils.models import eval_mode, odds_of_error

BATCH = 500  # images that pass through the model at once


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
) -> Tensor:
    """Move every pixel by eps in the direction in which the loss rises: x + eps * sign(grad_x J).

    J is the cross-entropy of the softmax. Its sign is taken of the slope of `odds_of_error`, the
    same in exact arithmetic; but where a network is so sure of the label that J's slope is
    rounded to zero, this one is not. A pixel of slope zero stays where it is.

    Args:
        model: gives logits (N, k) for images (N, ...). Computes in eval mode, without dropout;
            its mode and gradients are left as found.
        images: float (N, ...) within the bounds, on the model's device.
        labels: int64 (N,), the classes to get away from; with `targeted`, the classes to go to.
        eps: the step, in pixel units, at least 0.
        bounds: of a pixel, to which the result is clipped; (-inf, inf) leaves it as it comes.
        targeted: whether to go down J instead.

    Returns:
        Images (N, ...), detached. With eps 0 they equal those that came.

    Raises:
        TypeError, ValueError: an argument is not as described above, or the model gives logits
            or slopes that are not finite.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 4.
    """
    check_attack(model, images, labels, eps=eps, bounds=bounds)
    labels = labels.to(images.device)
    step = -eps if targeted else eps
    with eval_mode(model):
        check_answer(model, images, labels, name="labels")
        moved = [
            (some + step * odds_of_error(model, some, truth)[1].sign()).clamp(*bounds)
            for some, truth in zip(images.detach().split(BATCH), labels.split(BATCH))
        ]
    return torch.cat(moved)


def check_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    bounds: tuple[float, float],
) -> None:
    """Raise unless the arguments are those of an attack within eps of each pixel."""
    check_model(model)
    check_bounds(bounds)
    check_images(images, bounds=bounds)
    check_labels(labels, images)
    check_size(eps, name="eps")

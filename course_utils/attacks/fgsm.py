"""The fast gradient sign method: one step that raises the loss at every pixel at once."""

from torch import Tensor, nn

from course_utils.checks import check_attack
from course_utils.inference import differentiable, in_batches, loss_and_gradient


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    bounds: tuple[float, float] = (0, 1),
    targeted: bool = False,
    batch_size: int | None = None,
) -> Tensor:
    """Move every pixel by eps in the direction in which the loss rises: x + eps * sign(grad_x J).

    J is the cross-entropy of the softmax. Its sign is taken of the slope of `log_odds`, the same
    in exact arithmetic; but where a network is so sure of the label that J's slope is rounded to
    zero, this one is not. A pixel of slope zero stays where it is.

    Args:
        model: gives logits (N, k) for images (N, ...), in eval mode; is left as found.
        images: float32 or float64 (N, ...) within the bounds, on the model's device.
        labels: int64 (N,), the classes to get away from; with `targeted`, the classes to go to.
        eps: the step, in pixel units, at least 0; with `targeted` it goes down J.
        bounds: of a pixel, to which the result is clipped; (-inf, inf) leaves it as it comes.
        batch_size: images at once; None for as many as fit the device.

    Returns images (N, ...), detached. Raises TypeError, ValueError where an argument is not as
    described, or the model's logits or slopes are not finite.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 4.
    """
    check_attack(model, images, labels, bounds=bounds, eps=eps)
    eps = -eps if targeted else eps
    with differentiable(model) as model:
        step = lambda x, y: (x + eps * loss_and_gradient(model, x, y)[1].sign()).clamp(*bounds)
        return in_batches(step, images.detach(), labels.to(images.device), batch_size=batch_size)

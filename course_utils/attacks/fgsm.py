"""The fast gradient sign method: one step that raises the loss at every pixel at once."""

from torch import Tensor, nn

from course_utils.checks import check_attack
from course_utils.inference import differentiable, in_batches, loss_and_gradient


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float,
         bounds: tuple[float, float] = (0, 1), targeted: bool = False,
         batch_size: int | None = None) -> Tensor:
    """Move every pixel by eps in the direction in which the loss rises: x + eps * sign(grad_x J).

    J is the cross-entropy of the softmax. Its sign is taken of the slope of `log_odds`, the same
    in exact arithmetic; but where a network is so sure of the label that J's slope is rounded to
    zero, this one is not. A pixel of slope zero stays where it is.

    Args:
        model: gives logits (N, k) for images (N, ...), in eval mode; is left as found.
        images: float32 or float64 (N, ...) within the bounds, on the model's device.
        labels: int64 (N,), the classes to get away from; with `targeted`, the classes to go to.
        eps: the step, in pixel units, at least 0.
        bounds: of a pixel, to which the result is clipped; (-inf, inf) leaves it as it comes.
        targeted: whether to go down J instead.
        batch_size: images at once; None for as many as fit the device.

    Returns images (N, ...), detached. Raises TypeError or ValueError where an argument is not as
    described above, or the model gives logits or slopes that are not finite.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 4.
    """
    check_attack(model, images, labels, bounds=bounds, batch_size=batch_size, eps=eps)
    eps = -eps if targeted else eps
    with differentiable(model) as model:
        return in_batches(lambda *some: (fast_step(model, *some, eps=eps, bounds=bounds),),
                          images.detach(), labels.to(images.device), batch_size=batch_size)[0]


def fast_step(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float,
              bounds: tuple[float, float]) -> Tensor:
    """Return what `fgsm` does, of arguments already checked, in the mode the model is in."""
    _, gradient = loss_and_gradient(model, images, labels)
    return (images + eps * gradient.sign()).clamp(*bounds)

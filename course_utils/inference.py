"""Asking a network: its logits, its classes, and its loss with the gradient in the pixels.

Whatever is asked goes through `ask`, and in batches that fit the device.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from course_utils import checks
from course_utils.device import free_memory, out_of_memory
from course_utils.models import eval_mode

# What an image is taken to need on its way through a network, as a multiple of its own size: an
# EfficientNet's layers are about 60 times as large as their picture, a VGG's 180 times, and a
# gradient keeps them all.
WITHOUT_GRADIENT, WITH_GRADIENT = 32, 256


@contextmanager
def differentiable(model: nn.Module) -> Iterator[nn.Module]:
    """Put a model in eval mode, and take gradients through it even under inference mode.

    Weights made in inference mode take no part in gradients: then the model comes as a copy.
    """
    with torch.inference_mode(False):
        if any(tensor.is_inference() for tensor in chain(model.parameters(), model.buffers())):
            model = copy.deepcopy(model)
        with eval_mode(model):
            yield model


def batches(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Split the rows (N, ...) into batches of `size`; a last one alone joins those before.

    Batch norm in training can do nothing with a batch of one.
    """
    while len(rows):
        taken = len(rows) if 1 < size == len(rows) - 1 else size
        yield rows[:taken]
        rows = rows[taken:]


def in_batches(
    function: Callable, *tensors: Tensor, batch_size: int | None = None, copies: int = WITH_GRADIENT
) -> Tensor | tuple[Tensor, ...]:
    """Call a function on batches of the tensors' rows, and put its results together again.

    Args:
        function: gives a tensor, or a tuple of tensors, one row for each that it gets.
        tensors: of N rows each; the first are the images.
        batch_size: rows at once. None for as many as fit, each taking `copies` times an image's
            size of the device's free memory, and half of that whenever it does not suffice.
    """
    images, found = tensors[0], []
    checks.check_counts(batch_size=1 if batch_size is None else batch_size)
    size = batch_size or max(1, free_memory(images.device) // (copies * images[:1].nbytes))
    while len(tensors[0]):
        some = [next(batches(tensor, size)) for tensor in tensors]
        try:
            found.append(function(*some))
            tensors = [tensor[len(some[0]) :] for tensor in tensors]
        except RuntimeError as error:
            if batch_size or len(some[0]) == 1 or not out_of_memory(error):
                raise
            size = len(some[0]) // 2
    return torch.cat(found) if isinstance(found[0], Tensor) else (*map(torch.cat, zip(*found)),)


def ask(model: nn.Module, images: Tensor) -> Tensor:
    """Return the model's logits (N, k) for images (N, ...), all at once.

    The model gets a copy, as some work on their input in place. Raises ValueError where it does
    not take the images (but a full memory's own error), or its logits are not finite or no logits.
    """
    try:
        logits = model(images.clone())
    except (RuntimeError, ValueError) as error:
        if out_of_memory(error):
            raise
        got = f"{images.dtype} of shape {tuple(images.shape)} on {images.device}"
        raise ValueError(f"images: got {got}, which the model does not take: {error}") from error
    checks.check_logits(logits, images)
    return logits


def logits_of(model: nn.Module, images: Tensor, *, batch_size: int | None = None) -> Tensor:
    """Return the logits (N, k) that a model in eval mode gives to images (N, ...), detached.

    The model's mode is left as found. Images are float32 or float64, on its device, `batch_size`
    of them at once; None for as many as fit. Raises TypeError or ValueError where an argument is
    not as described, the model does not take the images, or it gives no finite logits, k >= 2.
    """
    checks.check_model(model)
    checks.check_images(images, bounds=checks.EVERYWHERE)
    options = {"batch_size": batch_size, "copies": WITHOUT_GRADIENT}
    with eval_mode(model), torch.no_grad():
        return in_batches(partial(ask, model), images.detach(), **options)


def predict(model: nn.Module, images: Tensor, *, batch_size: int | None = None) -> Tensor:
    """Return the classes (N,), int64, that a model gives to images (N, ...); see `logits_of`."""
    return logits_of(model, images, batch_size=batch_size).argmax(1)


def own_and_rivals(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labels' logits (N,), and all logits (N, k) with those put at minus infinity."""
    own = logits.gather(1, labels[:, None])
    return own[:, 0], logits.scatter(1, labels[:, None], -torch.inf)


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the largest other logit less the label's (N,): above 0 where another class wins."""
    own, rivals = own_and_rivals(logits, labels)
    return rivals.amax(1) - own


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the log-odds (N,) against the label, log((1 - p) / p), p its softmax.

    The cross-entropy is log(1 + exp of this), so both rise and fall together, and their slopes
    differ by a positive factor. But where a network is so sure of the label that the
    cross-entropy's slope is rounded to zero, this one's is not.
    """
    own, rivals = own_and_rivals(logits, labels)
    return rivals.logsumexp(1) - own


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the difference-of-logits ratio (N,): the margin over the first less the third logit.

    Source: Croce and Hein 2020 (arXiv:2003.01690), equation 6. It needs at least three classes.
    """
    if logits.shape[1] < 3:
        raise ValueError(f"loss: got dlr for {logits.shape[1]} classes, expected at least 3")
    first, _, third = logits.topk(3).values.unbind(1)
    return margin(logits, labels) / (first - third + 1e-12)


def loss_and_gradient(
    model: nn.Module, images: Tensor, labels: Tensor, *, loss: Callable = log_odds
) -> tuple[Tensor, Tensor]:
    """Return a loss at each image (N,), and its gradient in the pixels (N, ...), both detached.

    Args:
        model: in the mode in which it is to be asked; `eval_mode` sees to that.
        images, labels: float32 or float64 (N, ...), on the model's device; int64 (N,). All at once.
        loss: from logits (N, k) and labels to (N,).

    Raises ValueError where the model does not take the images, has no class of a label, or gives
    logits or gradients that are not finite.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Copies: inference mode's own tensors do not take part in gradients.
        images, labels = images.detach().clone().requires_grad_(), labels.clone()
        logits = ask(model, images)
        checks.check_labels(labels, classes=logits.shape[1])
        value = loss(logits, labels)
        gradient = gradient_in(images, logits, value.sum())
    if not gradient.isfinite().all():
        raise ValueError("model: its slopes are NaN or infinite, expected finite ones")
    return value.detach(), gradient


def gradient_in(images: Tensor, logits: Tensor, output: Tensor, weights=None) -> Tensor:
    """Return the gradient of `output`, computed from a model's logits, in the images.

    weights: of each entry of `output`, where that is no scalar.
    """
    if not logits.requires_grad:
        raise ValueError("model: its logits carry no gradient back to the images")
    return torch.autograd.grad(output, images, weights, materialize_grads=True)[0]


def per_image(values: Tensor, images: Tensor) -> Tensor:
    """Return one value an image, (N,), shaped so that it meets all pixels of its image (N, ...)."""
    return values.view(-1, *[1] * (images.ndim - 1))

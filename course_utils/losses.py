"""What a network is trained to make small: for `course_utils.training.fit`.

Each loss takes (model, images, labels) and gives one number, the mean over the images,
differentiable in the parameters. Their arguments, where nothing else is said: a model (nn.Module)
that gives logits (N, classes); images, float32 or float64 (N, ...) within the bounds, on its
device; labels, int64 (N,); alpha, the share of the unperturbed images' loss, 0 to 1; a generator
(torch.Generator) of what is drawn, None for PyTorch's own, which `fit` seeds. Arguments that are
not as described are a TypeError or a ValueError.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.checks import check_attack, check_counts, check_generator, check_share
from course_utils.inference import loss_and_gradient
from course_utils.models import eval_mode, linear_layers


def weight_decay_term(model: nn.Module, weight_decay: float | Sequence[float]) -> Tensor:
    """Return the sum over the layers of lambda / 2 times the sum of the squared weights.

    `weight_decay` holds the lambdas of the fully connected layers, or one for all. The paper gives
    them, and writes lambda * sum(w^2) / k with k the units of the layer. To the letter, its three
    linear models then misclassify 6.1, 8.3 and 15.6 % of the training images where it prints 6.7,
    10 and 21.2; with lambda / 2 6.6, 9.9 and 23.1 %, so the course uses that, for every network.

    Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.2, and its Table 1.
    """
    layers = linear_layers(model)
    if not isinstance(weight_decay, Sequence):
        weight_decay = [weight_decay] * len(layers)
    if len(weight_decay) != len(layers) or not all(0 <= d < float("inf") for d in weight_decay):
        expected = f"a number of at least 0, or one for each of {len(layers)} linear layers"
        raise ValueError(f"weight_decay: got {weight_decay!r}, expected {expected}")
    # Without those of no decay: their squares would take a fifth of a wide network's step.
    terms = [d / 2 * layer.weight.square().sum() for d, layer in zip(weight_decay, layers) if d]
    return sum(terms, start=next(model.parameters()).new_zeros(()))


def cross_entropy(model, images, labels) -> Tensor:
    """Return J, the mean over the images of -log of the softmax's probability of the label."""
    return F.cross_entropy(model(images), labels)


def binary_cross_entropy(model, images, labels) -> Tensor:
    """Return the cross-entropies of each class as a yes or no of its own, added up.

    The mean over the images; p_k is the sigmoid of the model's logit k. The loss of `RBF`.
    """
    logits = model(images)
    truth = F.one_hot(labels, logits.shape[1]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / len(labels)


def adversarial_loss(model, images, labels, *, eps, alpha=0.5, bounds=(0, 1)) -> Tensor:
    """Return alpha J(x, y) + (1 - alpha) J(x + eps sign(grad_x J(x, y)), y), J `cross_entropy`.

    The perturbation counts as fixed: no gradient passes through its sign, which has none. It is
    computed in eval mode, so with dropout it is an attack on the whole network, whereas the two
    losses see the network in the mode it is in, each image under a mask of its own.

    Args:
        eps: size of the perturbation, in pixel units, at least 0.
        bounds: to which the perturbed images are clipped, as in `fgsm`.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 6.
    """
    check_attack(model, images, labels, bounds=bounds, eps=eps)
    signs = _slopes(model, images, labels).sign()
    return _mixed_loss(model, images, (images + eps * signs).clamp(*bounds), labels, alpha)


def noise_loss(model, images, labels, *, eps, alpha=0.5, bounds=(0, 1), generator=None) -> Tensor:
    """Return the control of `adversarial_loss`: +eps or -eps, equally likely, for each pixel.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 6.
    """
    check_attack(model, images, labels, bounds=bounds, eps=eps)
    signs = 2 * torch.randint(2, images.shape, **_lot(generator, images)).to(images) - 1
    return _mixed_loss(model, images, (images + eps * signs).clamp(*bounds), labels, alpha)


def minmax_loss(model, images, labels, *, eps, step, steps, alpha=0.0, generator=None) -> Tensor:
    """Return alpha J(x, y) + (1 - alpha) J(x', y), x' the worst point that a few steps find.

    The inner maximum of Madry et al.'s min-max problem, as cheap as it may be: signed steps from
    a random start within eps, as by `pgd`, but the last point is taken and not the best. With one
    step a little larger than eps it is Wong, Rice and Kolter's "fast" adversarial training.

    Args:
        eps: how far a pixel may move, in pixel units, at least 0; the box [0, 1] binds as well.
        step: how far in one step, at least 0; steps: how many.

    Source: Madry et al. 2018 (arXiv:1706.06083), equation 2.1 and section 5; Wong, Rice and
    Kolter 2020 (arXiv:2001.03994), algorithm 3.
    """
    check_attack(model, images, labels, eps=eps, step=step)
    check_share(alpha=alpha)
    check_counts(steps=steps)
    box = (images - eps).clamp_min(0), (images + eps).clamp_max(1)
    start = torch.rand(images.shape, dtype=images.dtype, **_lot(generator, images)).to(images)
    points = (images + eps * (2 * start - 1)).clamp(*box)
    for _ in range(steps):
        points = (points + step * _slopes(model, points, labels).sign()).clamp(*box)
    if alpha:
        return _mixed_loss(model, images, points, labels, alpha)
    return F.cross_entropy(model(points), labels)


def _slopes(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with eval_mode(model):
        return loss_and_gradient(model, images, labels)[1]


def _lot(generator: torch.Generator | None, images: Tensor) -> dict[str, object]:
    """Return where random numbers for the images come from, as PyTorch's functions take it."""
    check_generator(generator)
    return {"generator": generator, "device": generator.device if generator else images.device}


def _mixed_loss(model, images, moved, labels, alpha: float) -> Tensor:
    """Return alpha times the loss at the images and 1 - alpha times that at the moved ones."""
    check_share(alpha=alpha)
    # In one pass: two would cost more.
    losses = F.cross_entropy(model(torch.cat([images, moved])), labels.repeat(2), reduction="none")
    plain, perturbed = losses.view(2, -1).mean(1)
    return alpha * plain + (1 - alpha) * perturbed

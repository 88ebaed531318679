"""What a network is trained to make small: for `course_utils.training.fit`.

Each loss takes (model, images, labels) and gives one number, the mean over the images,
differentiable in the parameters. Their arguments, where nothing else is said: a model that gives
logits (N, classes); images, float32 or float64 (N, ...) within the bounds, on its device; labels,
int64 (N,); and alpha, the share of the unperturbed images' loss, 0 to 1. Arguments that are not
as described are a TypeError or a ValueError.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attacks.fgsm import fast_step
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


def cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return J, the mean over the images of -log of the softmax's probability of the label."""
    return F.cross_entropy(model(images), labels)


def binary_cross_entropy(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropies of each class as a yes or no of its own, added up.

    The mean over the images; p_k is the sigmoid of the model's logit k. The loss of `RBF`.
    """
    logits = model(images)
    truth = F.one_hot(labels, logits.shape[1]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / len(labels)


def adversarial_loss(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float,
                     alpha: float = 0.5, bounds: tuple[float, float] = (0, 1)) -> Tensor:
    """Return alpha J(x, y) + (1 - alpha) J(x + eps sign(grad_x J(x, y)), y), J `cross_entropy`.

    The perturbation counts as fixed: no gradient passes through its sign, which has none. It is
    computed in eval mode, so with dropout it is an attack on the whole network, whereas the two
    losses see the network in the mode it is in, each image under a mask of its own.

    Args:
        eps: size of the perturbation, in pixel units, at least 0.
        bounds: to which the perturbed images are clipped, as in `fgsm`.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 6.
    """
    check_share(alpha=alpha)
    check_attack(model, images, labels, bounds=bounds, eps=eps)
    with eval_mode(model):
        perturbed = fast_step(model, images, labels, eps=eps, bounds=bounds)
    return _mixed_loss(model, images, perturbed, labels, alpha)


def minmax_loss(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, step: float,
                steps: int, alpha: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
    """Return alpha J(x, y) + (1 - alpha) J(x', y), x' the worst point that a few steps find.

    The inner maximum of Madry et al.'s min-max problem, as cheap as it may be: signed steps from
    a random start within eps, as by `pgd`, but the last point is taken and not the best. With one
    step a little larger than eps it is Wong, Rice and Kolter's "fast" adversarial training.

    Args:
        eps: how far a pixel may move, in pixel units, at least 0; the box [0, 1] binds as well.
        step: how far in one step, at least 0; steps: how many.
        generator: of the start; None for PyTorch's own, which `fit` seeds.

    Source: Madry et al. 2018 (arXiv:1706.06083), equation 2.1 and section 5; Wong, Rice and
    Kolter 2020 (arXiv:2001.03994), algorithm 3.
    """
    check_share(alpha=alpha)
    check_attack(model, images, labels, eps=eps, step=step)
    check_counts(steps=steps)
    check_generator(generator)
    lowest, highest = (images - eps).clamp_min(0), (images + eps).clamp_max(1)
    device = images.device if generator is None else generator.device
    start = torch.rand(images.shape, generator=generator, device=device, dtype=images.dtype)
    points = torch.clamp(images + eps * (2 * start.to(images) - 1), lowest, highest)
    with eval_mode(model):
        for _ in range(steps):
            gradient = loss_and_gradient(model, points, labels)[1]
            points = torch.clamp(points + step * gradient.sign(), lowest, highest)
    if alpha:
        return _mixed_loss(model, images, points, labels, alpha)
    return F.cross_entropy(model(points), labels)


def noise_loss(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, alpha: float = 0.5,
               bounds: tuple[float, float] = (0, 1),
               generator: torch.Generator | None = None) -> Tensor:
    """Return `adversarial_loss`, of arguments as there, with +eps or -eps drawn for each pixel.

    Its control. `generator` is that of the signs, both equally likely; None for PyTorch's own,
    which `fit` seeds.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 6.
    """
    check_share(alpha=alpha)
    check_attack(model, images, labels, bounds=bounds, eps=eps)
    check_generator(generator)
    device = images.device if generator is None else generator.device
    signs = torch.randint(2, images.shape, generator=generator, device=device)
    perturbed = (images + eps * (2 * signs.to(images) - 1)).clamp(*bounds)
    return _mixed_loss(model, images, perturbed, labels, alpha)


def _mixed_loss(model: nn.Module, images: Tensor, perturbed: Tensor, labels: Tensor,
                alpha: float) -> Tensor:
    # In one pass: two would cost more.
    logits = model(torch.cat([images, perturbed]))
    losses = F.cross_entropy(logits, labels.repeat(2), reduction="none")
    plain, moved = losses.view(2, -1).mean(1)
    return alpha * plain + (1 - alpha) * moved

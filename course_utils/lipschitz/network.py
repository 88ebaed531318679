"""Bounds of whole networks: the product, certificates, a penalty."""

import math
import sys
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.checks import check_counts, check_model, check_sizes
from course_utils.inference import logits_of, margin
from course_utils.lipschitz.certificate import UP
from course_utils.lipschitz.layers import layer_bounds


def network_bound(model: nn.Module, input_shape: tuple[int, ...]) -> float:
    """Return the product of the layers' upper bounds: |f(x) - f(y)| <= bound |x - y|, in L2.

    Args, errors: as of `layer_bounds`. Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.3.
    """
    uppers = layer_bounds(model, input_shape)["upper"]
    least = sys.float_info.min  # what is smaller is rounded up to it, and not to 0
    bound = reduce(lambda one, two: max(one * two, least) if one and two else 0.0, uppers, 1.0)
    return bound * UP ** len(uppers)


def certified_radius(model: nn.Module, images: Tensor, *, bound=None, batch_size=None) -> Tensor:
    """Return for each image how far it can move in L2 without another class overtaking.

    The difference of two logits is sqrt(2) times their vector's part along a vector of length 1,
    so it moves by at most sqrt(2) bound |r|: the radius is the margin between the largest logit
    and the next, over sqrt(2) bound; infinite where the bound is 0. It is (N,), in the logits'
    type, for the class that the model gives, right or wrong, and true up to the rounding of the
    logits. Divide by sqrt(pixels) for a distortion.

    Args:
        model, images, batch_size: as in `course_utils.inference.logits_of`.
        bound: the `network_bound`, if it is known; otherwise it is computed.

    Errors: as of these. Source: Tsuzuku, Sato and Sugiyama 2018 (arXiv:1802.04034), Proposition 1.
    """
    logits = logits_of(model, images, batch_size=batch_size)
    bound = network_bound(model, images.shape[1:]) if bound is None else bound
    check_sizes(bound=bound)
    lead = -margin(logits, logits.argmax(1)).cpu().double()  # bounds may exceed float32
    return (lead / (math.sqrt(2) * bound) if bound else lead.fill_(torch.inf)).to(logits)


def lipschitz_penalty(model: nn.Module, *, state: dict | None = None, steps=None) -> Tensor:
    """Return half the sum of the squared norms of a model's fully connected layers, differentiable.

    Each norm is approached from below by power iteration. Keep one dict as `state` through a
    training run: each call then goes on from the vectors of the one before, and one step a call
    is enough, for the weights change little.

    Args:
        model: its fully connected layers are penalised, biases are not; no convolutions.
        state: name of a layer to its vector, changed in place; {} at the beginning.
        steps: of power iteration, at least 1. By default 1 for a layer that `state` knows, and
            50 for the others. Arguments that are not so are a TypeError or a ValueError.

    Source: Yoshida and Miyato 2017 (arXiv:1705.10941), equation 3, with all layers' lambda 1.
    """
    if steps is not None:
        check_counts(steps=steps)
    if state is not None and not isinstance(state, dict):
        raise TypeError(f"state: got {type(state).__name__}, expected a dict")
    check_model(model)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    if not layers or any(isinstance(layer, nn.Conv2d) for layer in layers.values()):
        raise ValueError("model: expected fully connected layers, and no convolutions")
    total, state = 0.0, {} if state is None else state
    for name, layer in layers.items():
        weight, vector = layer.weight.detach(), state.get(name)
        known = vector is not None and len(vector) == weight.shape[1]
        if not known:
            vector = torch.randn(weight.shape[1], generator=torch.Generator().manual_seed(0))
        vector = F.normalize(vector.to(weight), dim=0)
        for _ in range(steps or (1 if known else 50)):
            back = weight.T @ (weight @ vector)
            vector = F.normalize(back, dim=0) if back.any() else vector
        state[name] = vector
        total = total + (layer.weight @ vector).square().sum()
    return total / 2

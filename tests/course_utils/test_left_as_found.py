"""No function changes what it is given: arguments, networks, the reader's random state."""

import copy
import inspect
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils import attacks, convex, inference, losses, training, transfer
from course_utils.models import RBF, fully_connected

QUIET = {"progress": False}


def odd(seed: int, dtype: torch.dtype) -> nn.Sequential:
    """A network in two modes, with a frozen layer and gradients that somebody still needs."""
    model = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(12),
        fully_connected(5, 3, inputs=12, seed=seed),
    ).to(dtype)  # fmt: skip
    model[2].eval()
    model[2].weight.requires_grad_(False)
    model[2].bias.grad = torch.ones_like(model[2].bias)
    return model


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Every public function that takes tensors or networks: what to call it with, given a network,
# images and labels. Those that train change the weights of their network, and nothing else.
CALLS = {
    attacks.distortion: lambda m, x, y: [x],
    attacks.fgsm: lambda m, x, y: [m, x, y, {"eps": 0.1}],
    attacks.square: lambda m, x, y: [m, x, y, {"eps": 0.1, "queries": 5}],
    attacks.pgd: lambda m, x, y: [
        m, x, y, {"eps": 0.1, "step": 0.05, "steps": 2, "generator": draw()}
    ],
    attacks.lbfgs_attack: lambda m, x, y: [m, x, y, {"max_steps": 5}],
    inference.logits_of: lambda m, x, y: [m, x],
    inference.predict: lambda m, x, y: [m, x],
    inference.margin: lambda m, x, y: [x[:, 0, 0], y],
    inference.log_odds: lambda m, x, y: [x[:, 0, 0], y],
    inference.dlr: lambda m, x, y: [x[:, 0, 0], y],
    inference.own_and_rivals: lambda m, x, y: [x[:, 0, 0], y],
    inference.loss_and_gradient: lambda m, x, y: [m.eval(), x, y],
    losses.weight_decay_term: lambda m, x, y: [m, 0.1],
    losses.cross_entropy: lambda m, x, y: [m.eval(), x, y],
    losses.binary_cross_entropy: lambda m, x, y: [m.eval(), x, y],
    losses.adversarial_loss: lambda m, x, y: [m[3], x.flatten(1), y, {"eps": 0.1}],
    losses.minmax_loss: lambda m, x, y: [
        m[3], x.flatten(1), y, {"eps": 0.1, "step": 0.1, "steps": 2, "generator": draw()}
    ],
    losses.noise_loss: lambda m, x, y: [m[3], x.flatten(1), y, {"eps": 0.1, "generator": draw()}],
    training.error_rate: lambda m, x, y: [m, x, y],
    transfer.transfer_table: lambda m, x, y: [{"A": m}, {"A": x}, y],
    transfer.same_mistakes: lambda m, x, y: [{"A": m}, {"A": x}, y],
    transfer.gradient_cosines: lambda m, x, y: [{"A": m, "B": m}, x, y],
    transfer.gaussian_noise: lambda m, x, y: [x, 0.1, draw()],
    transfer.boxed_noise: lambda m, x, y: [x, x.detach()[:, 0, 0, 0] / 4, draw()],
    transfer.amplify: lambda m, x, y: [x, x - 0.5, 0.1],
    transfer.draw_targets: lambda m, x, y: [
        y, {"how": "runner-up", "model": m, "images": x, "classes": 3}
    ],
    transfer.easiest_targets: lambda m, x, y: [attacks.lbfgs_attack, m, x, y, {"classes": 3}],
    training.fit: lambda m, x, y: [m, x, y, {"epochs": 1, "batch_size": 3, **QUIET}],
    convex.fit_linear: lambda m, x, y: [
        fully_connected(3, inputs=12).to(x.dtype), x, y, {"iterations": 3, **QUIET}
    ],
    training.fit_sparse_features: lambda m, x, y: [
        fully_connected(4, 3, inputs=12).to(x.dtype), x, y,
        {"epochs": 1, "iterations": 3, "batch_size": 3, **QUIET},
    ],
    training.fit_rbf: lambda m, x, y: [RBF(3, 12).to(x.dtype), x, y, {"epochs": 1, **QUIET}],
}  # fmt: skip
TRAINING = {training.fit, convex.fit_linear, training.fit_sparse_features, training.fit_rbf}
# Not for readers: pieces of the above, or what hands the network itself on.
INSIDE = {"ask", "batches", "copy_of_state", "differentiable", "gradient_in", "in_batches",
          "next_batch", "per_image"}  # fmt: skip


def test_no_public_function_is_left_out():
    modules = (attacks, convex, inference, losses, training, transfer)
    public = {
        function
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and not name.startswith("_") and name not in INSIDE
        and function.__module__.startswith(module.__name__)
        and any(kind in str(inspect.signature(function)) for kind in ("Tensor", "Module", "RBF"))
    }  # fmt: skip
    assert public == set(CALLS)


def snapshot(value: object, weights: bool) -> object:
    """Everything that a caller can see of an argument."""
    if isinstance(value, dict):
        return {name: snapshot(part, weights) for name, part in value.items()}
    if isinstance(value, torch.Tensor):
        return value.tolist(), value.requires_grad, value.grad if value.is_leaf else None
    if isinstance(value, nn.Module):
        state = {name: tensor.tolist() for name, tensor in value.state_dict().items()}
        return (
            [module.training for module in value.modules()],
            [(p.requires_grad, p.grad is None or p.grad.tolist()) for p in value.parameters()],
            [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in value.modules()],
            state if weights else list(state),
        )
    return value if isinstance(value, int | float | str | bool) else type(value)


@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
@settings(max_examples=4)
@given(
    st.integers(0, 99), st.integers(4, 7), st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
)  # fmt: skip
def test_everything_is_left_as_found(function, seed, count, dtype, wants_gradients):
    images = torch.rand(count, 1, 4, 3, generator=draw(seed)).to(dtype)
    images.requires_grad_(wants_gradients)
    labels = torch.arange(count) % 3
    arguments = CALLS[function](odd(seed, dtype), images, labels)
    options = arguments.pop() if isinstance(arguments[-1], dict) else {}
    weights = function not in TRAINING
    if not weights:  # these set the gradients of what they train
        arguments[0].zero_grad()
    seen = [snapshot(value, weights) for value in (*arguments, options)]
    pixels = images.detach().clone()
    state = torch.get_rng_state(), random.getstate(), copy.deepcopy(np.random.get_state())
    function(*arguments, **options)
    assert [snapshot(value, weights) for value in (*arguments, options)] == seen
    assert torch.equal(images.detach(), pixels) and images.grad is None
    assert torch.equal(torch.get_rng_state(), state[0]) and random.getstate() == state[1]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), state[2]))

"""No function changes what it is given: arguments, networks, the reader's random state."""

import copy
import inspect
import random

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from course_utils import (
    attacks,
    convex,
    evaluation,
    figures,
    gan,
    inference,
    lipschitz,
    losses,
    training,
    transfer,
)
from course_utils.models import RBF, fully_connected

QUIET = {"progress": False}


def odd(seed: int, dtype: torch.dtype) -> nn.Sequential:
    """A network in two modes, with a frozen layer and gradients that somebody still needs."""
    model = nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.BatchNorm1d(12),
        fully_connected(5, 3, inputs=12, seed=seed),
    ).to(dtype)
    model[2].eval()
    model[3][1].eval()
    model[2].weight.requires_grad_(False)
    model[2].bias.grad = torch.ones_like(model[2].bias)
    return model


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def players(x: torch.Tensor) -> list[nn.Module]:
    shape = nn.BatchNorm1d(12), nn.Sigmoid(), nn.Unflatten(1, x.shape[1:])
    generator = gan.Generator(nn.Linear(3, 12), *shape, noise=3)
    return [generator.to(x.dtype).eval(), fully_connected(4, 1, inputs=12).to(x.dtype)]


def conv(x: torch.Tensor) -> list:
    return [nn.Conv2d(1, 2, 2, stride=2, padding=1).to(x.dtype), (1, 4, 3)]


def frame(x: torch.Tensor, **columns) -> pd.DataFrame:
    return pd.DataFrame(x.detach()[:3, 0, :3, 0], list("abc"), list("abc")).assign(**columns)


def bell(x: torch.Tensor) -> torch.Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(x).exp()


# Every public function that takes tensors or networks: what to call it with, given a network,
# images and labels. Those that train change the weights of their network, and nothing else.
CALLS = {
    attacks.distortion: lambda m, x, y: [x],
    attacks.fgsm: lambda m, x, y: [m, x, y, {"eps": 0.1}],
    attacks.square: lambda m, x, y: [m, x, y, {"eps": 0.1, "queries": 5}],
    attacks.pgd: lambda m, x, y: [
        m,
        x,
        y,
        {"eps": 0.1, "step": 0.05, "steps": 2, "generator": draw()},
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
        m[3],
        x.flatten(1),
        y,
        {"eps": 0.1, "step": 0.1, "steps": 2, "generator": draw()},
    ],
    losses.noise_loss: lambda m, x, y: [m[3], x.flatten(1), y, {"eps": 0.1, "generator": draw()}],
    training.error_rate: lambda m, x, y: [m, x, y],
    transfer.cells: lambda m, x, y: [frame(x)],
    transfer.transfer_table: lambda m, x, y: [{"A": m}, {"A": x}, y],
    transfer.same_mistakes: lambda m, x, y: [{"A": m}, {"A": x}, y],
    transfer.gaussian_noise: lambda m, x, y: [x, 0.1, draw()],
    transfer.boxed_noise: lambda m, x, y: [x, x.detach()[:, 0, 0, 0] / 4, draw()],
    transfer.amplify: lambda m, x, y: [x, x - 0.5, 0.1],
    transfer.draw_targets: lambda m, x, y: [
        y,
        {"how": "runner-up", "model": m, "images": x, "classes": 3},
    ],
    transfer.easiest_targets: lambda m, x, y: [attacks.lbfgs_attack, m, x, y, {"classes": 3}],
    training.fit: lambda m, x, y: [m, x, y, {"epochs": 1, "batch_size": 3, **QUIET}],
    convex.fit_linear: lambda m, x, y: [
        fully_connected(3, inputs=12).to(x.dtype),
        x,
        y,
        {"iterations": 3, **QUIET},
    ],
    training.fit_sparse_features: lambda m, x, y: [
        fully_connected(4, 3, inputs=12).to(x.dtype),
        x,
        y,
        {"epochs": 1, "iterations": 3, "batch_size": 3, **QUIET},
    ],
    training.fit_rbf: lambda m, x, y: [RBF(3, 12).to(x.dtype), x, y, {"epochs": 1, **QUIET}],
    evaluation.nearest_mistake: lambda m, x, y: [m, x[:2], y[:2]],
    evaluation.nearest_in_pixels: lambda m, x, y: [RBF(3, 12).to(x.dtype), x, y],
    evaluation.misread: lambda m, x, y: [m, x, y, {"eps": 0.1, "attack": "DLR loss"}],
    evaluation.errors_within: lambda m, x, y: [m, x, y, [0.1], {"attacks": ["one step"]}],
    evaluation.certified_within: lambda m, x, y: [m[3], x, y, {"eps": 0.1}],
    lipschitz.operator_norm: lambda m, x, y: conv(x),
    lipschitz.layer_bounds: lambda m, x, y: [m, x.shape[1:]],
    lipschitz.network_bound: lambda m, x, y: [nn.Sequential(conv(x)[0], m[0]), x.shape[1:]],
    lipschitz.network_bound_sdp: lambda m, x, y: [m[3], x.shape[1:]],
    lipschitz.certified_radius: lambda m, x, y: [m, x],
    lipschitz.lipschitz_penalty: lambda m, x, y: [m, {"steps": 2}],
    lipschitz.frequency_norms: lambda m, x, y: conv(x),
    lipschitz.amplified_pattern: lambda m, x, y: [*conv(x), (1, 1)],
    gan.discriminator_loss: lambda m, x, y: [x, x],
    gan.generator_loss: lambda m, x, y: [x],
    gan.train_gan: lambda m, x, y: [*players(x), x, {"epochs": 2, "batch_size": 3, **QUIET}],
    gan.rectifier_generator: lambda m, x, y: [3, {"mean": x[:1, 0, :1, :1].expand(1, 28, 28)}],
    gan.draw_noise: lambda m, x, y: [3, 4],
    gan.sample: lambda m, x, y: [players(x.float())[0].train(), 3],
    gan.load_gan: lambda m, x, y: [],
    gan.features: lambda m, x, y: [m, x],
    gan.frechet_distance: lambda m, x, y: [x.flatten(1), x.flatten(1)],
    gan.parzen_log_likelihood: lambda m, x, y: [x, x, 0.2],
    gan.choose_sigma: lambda m, x, y: [x, x, [0.1, 0.2]],
    gan.game_value: lambda m, x, y: [torch.sigmoid, bell, bell, {"low": -9, "high": 9}],
    gan.jensen_shannon: lambda m, x, y: [bell, bell, {"low": -9, "high": 9}],
    figures.agreement: lambda m, x, y: [x[:, 0, 0, 0], x[:, 0, 0, 1], {"label": "d"}],
    figures.beside_paper: lambda m, x, y: [frame(x), frame(x) - 1, frame(x) + 1, frame(x)],
    figures.certified_curves: lambda m, x, y: [x[0, 0, 0], {"a": x[:, 0, 0]}, {}],
    figures.class_shares: lambda m, x, y: [frame(x), {"least": 3}],
    figures.cones: lambda m, x, y: [np.abs, {"constants": [1.0, 0.5]}],
    figures.curves: lambda m, x, y: [{"loss": frame(x).set_index("a")}, {"mark": 1, "log": True}],
    figures.descent_paths: lambda m, x, y: [
        lambda p: p.sum(-1),
        {"a": np.array([[0.1, 0.2], [1, 0.7]])},
        {},
    ],
    figures.digits: lambda m, x, y: [[x, x - 0.5], {"titles": [None, [*y]], "signed": [1]}],
    figures.discriminators: lambda m, x, y: [x[0, 0, 0], {"p": x[1, 0, 0]}, {"D": x[0, 0, 1]}, {}],
    figures.distances_by_network: lambda m, x, y: [{"a": {"b": x[:, 0, 0, 0] + 1}}, {}],
    figures.equation: lambda m, x, y: [[x[0], x[1], x[2]], "abc", {"factor": 2}],
    figures.frequency_maps: lambda m, x, y: [{"a": x[0, 0]}, {}],
    figures.game_in_the_plane: lambda m, x, y: [
        {"a": (x[0, 0, :, :2], x[1, 0, :, :2], x[2, 0])},
        x[3, 0, :, :2],
        {"extent": 1.0},
    ],
    figures.game_values: lambda m, x, y: [frame(x), {"xlabel": "x"}],
    figures.histograms: lambda m, x, y: [{"a": x[:, 0, 0, 0]}, {"xlabel": "x"}],
    figures.landscapes: lambda m, x, y: [
        {"a": x[0, 0, :3], "b": x[1, 0, :3]},
        {"end": 1.0, "xlabel": "x", "ylabel": "y"},
    ],
    figures.logit_lines: lambda m, x, y: [x[0, 0, :, 0], {"a": x[1, 0]}, {"label": 1}],
    figures.number_table: lambda m, x, y: [x[0, 0], {"label": "l", "rows": "r", "columns": "c"}],
    figures.patterns: lambda m, x, y: [x[:1], {"titles": ["a"], "beneath": ["b"]}],
    figures.penalty_search: lambda m, x, y: [
        frame(x, reached=[False, True, True]).set_axis(
            ["c", "||r||", "P(target)", "reached"], axis=1
        )
    ],
    figures.probabilities_by_network: lambda m, x, y: [
        x[0],
        {"a": x[0, 0, 0]},
        {"label": 0, "target": 1},
    ],
    figures.probability_strip: lambda m, x, y: [m, x[0], x[1], {"label": 0, "target": 1}],
    figures.saturation: lambda m, x, y: [x[0, 0, 0], {"a": x[1, 0, 0]}, {"a": [5.0, 1.0]}, {}],
    figures.seeds: lambda m, x, y: [{"a": x[:, 0, 0, 0]}, {"xlabel": "x"}],
    figures.sheets: lambda m, x, y: [{"a": x[:4]}, {"columns": 2}],
    figures.trained_bounds: lambda m, x, y: [frame(x) + 1, frame(x)["a"] + 1, {"title": "t"}],
    figures.transfer_scatter: lambda m, x, y: [{"a": frame(x)}, frame(x), {"xlabel": "x"}],
}
TRAINING = {
    training.fit,
    convex.fit_linear,
    training.fit_sparse_features,
    training.fit_rbf,
    gan.train_gan,
}
# Not for readers: pieces of the above, or what hands the network itself on.
INSIDE = {
    "ask",
    "batches",
    "copy_of_state",
    "differentiable",
    "gradient_in",
    "in_batches",
    "per_image",
}
KINDS = ("Tensor", "Module", "RBF", "DataFrame", "ndarray", "Mapping")


def test_no_public_function_is_left_out():
    modules = (
        attacks,
        convex,
        evaluation,
        figures,
        gan,
        inference,
        lipschitz,
        losses,
        training,
        transfer,
    )
    public = {
        function
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and name not in INSIDE
        and function.__module__.startswith(module.__name__)
        and any(kind in str(inspect.signature(function)) for kind in KINDS)
    }
    assert public == set(CALLS)


def snapshot(value: object, weights: bool) -> object:
    """Everything that a caller can see of an argument."""
    if isinstance(value, dict):
        return {name: snapshot(part, weights) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(part, weights) for part in value]
    if isinstance(value, pd.DataFrame | pd.Series | np.ndarray):
        return repr(value)
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
    st.integers(0, 99),
    st.integers(4, 7),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
)
def test_everything_is_left_as_found(function, seed, count, dtype, wants_gradients):
    images = torch.rand(count, 1, 4, 3, generator=draw(seed)).to(dtype)
    images.requires_grad_(wants_gradients)
    labels = torch.arange(count) % 3
    arguments = CALLS[function](odd(seed, dtype), images, labels)
    options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    weights = function not in TRAINING
    if not weights:  # these set the gradients of what they train
        arguments[0].zero_grad()
    seen = [snapshot(value, weights) for value in (*arguments, options)]
    pixels = images.detach().clone()
    state = torch.get_rng_state(), random.getstate(), copy.deepcopy(np.random.get_state())
    function(*arguments, **options)
    plt.close("all")
    assert [snapshot(value, weights) for value in (*arguments, options)] == seen
    assert torch.equal(images.detach(), pixels) and images.grad is None
    assert torch.equal(torch.get_rng_state(), state[0]) and random.getstate() == state[1]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), state[2]))

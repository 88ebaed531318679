"""Modules that are not what they look like: their bounds are right, or refused by name."""

import copy
import math
import sys
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from course_utils.lipschitz import (
    amplified_pattern,
    certified_radius,
    frequency_norms,
    layer_bounds,
    network_bound,
    operator_norm,
)
from course_utils.models import eval_mode

SIDE = 6


def randomised(model: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model.double()


def steepest(model: nn.Module, points: torch.Tensor) -> float:
    """The largest singular value of the Jacobian at the points, in eval mode."""
    with eval_mode(model):
        jacobians = [torch.autograd.functional.jacobian(model, point[None]) for point in points]
    return max(
        torch.linalg.matrix_norm(j.reshape(-1, points[0].numel()), 2).item() for j in jacobians
    )


class Plain(nn.Sequential):
    """A network that is a sequence, and says only how it is set up."""

    def __init__(self, *layers):
        super().__init__(*layers)


class Backwards(nn.Sequential):
    def __iter__(self):
        return reversed(list(super().__iter__()) * 2)


class Loud(nn.Module):
    def __call__(self, *inputs):
        return 30 * super().__call__(*inputs)


class Behind(nn.Linear, Loud):
    """Defines nothing, and still `Loud` comes before nn.Module's own methods."""


class LoudWeight(nn.Parameter):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            result = function(*args, **kwargs or {})
            loud = function in (nn.functional.linear, torch.conv2d)
            return 30 * result if loud else result


class LoudVariance(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            result = function(*args, **kwargs or {})
            return 30 * result if function is torch.batch_norm else result


class Louder(nn.Module):
    def forward(self, weight):
        return 5 * weight


def old_weight_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(layer)
    with torch.no_grad():
        layer.weight_g.mul_(30)  # its weight is stale until it runs
    return layer


def old_spectral_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.spectral_norm(layer)


def new_weight_norm(layer):
    parametrizations.weight_norm(layer)
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(30)
    return layer


def hooked(layer):
    layer.register_forward_hook(lambda module, inputs, output: 30 * output)
    return layer


def prehooked(layer):
    layer.register_forward_pre_hook(lambda module, inputs: (30 * inputs[0],))
    return layer


def replaced(layer):
    forward = layer.forward
    layer.forward = lambda inputs: 30 * forward(inputs)
    return layer


def hooked_parametrisation(layer):
    parametrizations.weight_norm(layer)
    hooked(layer.parametrizations.weight[0])
    return layer


def louder(layer):
    parametrize.register_parametrization(layer, "weight", Louder())
    return layer


def of_another_type(layer):
    layer.weight = LoudWeight(layer.weight.data)
    return layer


def injected(layer):
    parametrizations.weight_norm(layer)
    forward = type(layer).forward
    type(layer).forward = lambda self, inputs: 30 * forward(self, inputs)
    return layer


def pruned(layer):
    prune.l1_unstructured(layer, "weight", 0.3)
    return layer


def left_alone(layer):
    return layer


def backward_hook(layer):
    layer.register_full_backward_hook(lambda module, before, after: None)
    return layer


RIGHT = [
    left_alone,
    new_weight_norm,
    parametrizations.spectral_norm,
    parametrizations.orthogonal,
    backward_hook,
]
REFUSED = [
    hooked,
    prehooked,
    replaced,
    old_weight_norm,
    old_spectral_norm,
    louder,
    pruned,
    hooked_parametrisation,
    of_another_type,
    injected,
]


@st.composite
def odd_modules(draw, changes):
    """A small network in which layers stand twice, share weights, or have been tampered with.

    Returns the network, the shape of its input, and the layer that one of `changes` was made to.
    """
    seed, flat = draw(st.integers(0, 99)), draw(st.booleans())
    shape = (SIDE,) if flat else (2, SIDE, SIDE)
    make = (lambda: nn.Linear(SIDE, SIDE)) if flat else (lambda: nn.Conv2d(2, 2, 3, padding=1))
    one, other = make(), make()
    if draw(st.booleans()):
        other.weight = one.weight
    others = [
        nn.ReLU(),
        nn.Sigmoid(),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Identity(),
        other,
        nn.Sequential(one, nn.ReLU()),
        Plain(nn.Dropout(0.2), other),
    ]
    if not flat:
        others += [nn.BatchNorm2d(2), nn.MaxPool2d(3, 1, 1)]
    layers = [one] + draw(st.lists(st.sampled_from(others), max_size=4))
    layers = draw(st.permutations(layers))
    model = nn.Sequential(*layers, *draw(st.sampled_from([[], [layers[0]], [nn.Sequential(one)]])))
    randomised(model, seed)
    draw(st.sampled_from(changes))(one)
    model.train(draw(st.booleans()))
    return model.double(), shape, one


@given(odd_modules(RIGHT), st.integers(0, 99))
@settings(max_examples=100)
def test_odd_modules_are_bounded_rightly(case, seed):
    model, shape, _ = case
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    points = torch.randn(3, *shape, generator=torch.Generator().manual_seed(seed)).double()
    points *= torch.tensor([0.01, 0.1, 1.0]).view(-1, *[1] * len(shape))
    with eval_mode(model):
        outputs = model(points)
    bound = network_bound(model, shape)
    assert steepest(model, points) <= bound * (1 + 1e-12)
    assert [m.training for m in model.modules()] == modes
    with eval_mode(model):
        assert torch.equal(model(points), outputs)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert network_bound(model, shape) == bound


@given(odd_modules(REFUSED))
@settings(max_examples=60)
def test_tampered_modules_are_refused_by_name(case):
    model, shape, changed = case
    with pytest.raises(TypeError, match=r"layer '[\d.]+'.*(hooks|replaced|parametrisation|type)"):
        network_bound(model, shape)
    with pytest.raises(TypeError, match="layer: got"):
        operator_norm(changed, shape)


@pytest.mark.parametrize("tamper", [hooked, prehooked, replaced])
def test_tampered_containers_and_activations_are_refused_too(tamper):
    for model in (
        nn.Sequential(nn.Linear(3, 3), tamper(nn.Sequential(nn.ReLU()))),
        nn.Sequential(nn.Linear(3, 3), tamper(nn.Dropout(0.5))),
        tamper(nn.Sequential(nn.Linear(3, 3))),
    ):
        with pytest.raises(TypeError, match="layer '.*(hooks|forward replaced)"):
            network_bound(model, (3,))
    with pytest.raises(TypeError, match="a Backwards"):
        network_bound(Backwards(nn.Linear(3, 3)), (3,))


def test_bases_and_tensors_that_compute_otherwise_are_refused():
    for model in (Behind(3, 3), type("Two", (nn.Sequential, Loud), {})(nn.Linear(3, 3))):
        with pytest.raises(TypeError, match="layer '', a (Behind|Two), whose bound is not known"):
            network_bound(model, (3,))
    model = nn.Sequential(nn.BatchNorm1d(3))
    model[0].running_var = model[0].running_var.as_subclass(LoudVariance)
    with pytest.raises(TypeError, match="layer '0': .* running_var of type LoudVariance"):
        network_bound(model, (3,))


@pytest.mark.parametrize("function", [frequency_norms, lambda *a: amplified_pattern(*a, (1, 1))])
def test_what_is_said_of_frequencies_is_of_the_layer_as_it_runs(function):
    with pytest.raises(TypeError, match="layer: got Conv2d with forward hooks"):
        function(hooked(nn.Conv2d(2, 3, 3)), (2, 6, 6))
    layer = parametrizations.spectral_norm(nn.Conv2d(2, 30, 3))
    randomised(layer, 0).train()  # in train mode each look at its weight changes it
    before, found = copy.deepcopy(layer.state_dict()), function(layer, (2, 6, 6))
    assert layer.training and torch.equal(found, function(layer.eval(), (2, 6, 6)))
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())


@pytest.mark.parametrize("size", [1e-200, 1e-160, 1e160])
def test_no_bound_is_rounded_to_zero_or_lost(size):
    """1e-200 twice is too small for a float, and times 1e200 twice it is 1 again."""
    sizes = [size, size, 1 / size, 1 / size]
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in sizes)).double()
    for layer, value in zip(model, sizes):
        nn.init.constant_(layer.weight, value)
    assert network_bound(model, (1,)) >= 1
    short = nn.Sequential(*model[:2])
    assert network_bound(short, (1,)) >= sys.float_info.min
    model[1].weight.data.zero_()
    assert network_bound(model, (1,)) == 0


def test_a_layer_that_reads_nothing_but_padding():
    layer = nn.Conv2d(4, 2, 1, stride=(4, 3), padding=(5, 1), dilation=(2, 3), groups=2)
    assert operator_norm(layer, (4, 3, 9)).lower == 0


def test_pooling_of_pictures_without_channels():
    for pool in (nn.MaxPool2d(2, 1), nn.AvgPool2d(2, 1)):
        point = torch.rand(1, 4, 8, generator=torch.Generator().manual_seed(0)).double()
        assert steepest(pool, point) <= network_bound(pool, (4, 8))
        with pytest.raises(ValueError, match="input_shape: got .8,., which layer"):
            network_bound(pool, (8,))


def test_radii_for_bounds_beyond_single_precision():
    model = nn.Linear(2, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    points = torch.zeros(1, 2)
    assert certified_radius(model, points, bound=1e-300).item() == 0  # a tie, and no NaN
    model.bias.data[0] = 1e-3
    expected = 1e-3 / math.sqrt(2) / 1e-40
    assert certified_radius(model, points, bound=1e-40).item() == pytest.approx(expected)


def test_hooks_for_all_modules_are_refused():
    model = nn.Sequential(nn.Linear(3, 3))
    handle = nn.modules.module.register_module_forward_hook(lambda m, x, y: 30 * y)
    try:
        with pytest.raises(TypeError, match="forward hooks for all modules"):
            network_bound(model, (3,))
    finally:
        handle.remove()
    assert network_bound(model, (3,)) > 0


def test_a_layer_that_stands_twice_counts_twice():
    layer = nn.Linear(2, 2)
    nn.init.eye_(layer.weight).data.mul_(3)
    bias = nn.init.zeros_(layer.bias)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    assert network_bound(model, (2,)) == pytest.approx(9, rel=1e-4)
    assert list(layer_bounds(model, (2,)).index) == ["0", "1", "2"]
    block = nn.Sequential(layer, nn.ReLU())
    assert network_bound(nn.Sequential(block, block), (2,)) == pytest.approx(9, rel=1e-4)
    point = torch.tensor([[1.0, 0.0]])  # logits 9 and 0: the classes meet 1 / sqrt(2) away
    assert bias is layer.bias
    assert certified_radius(model, point).item() <= 1 / math.sqrt(2)


@pytest.mark.parametrize(
    "change, shown",
    [
        ({"stride": 2}, {}),
        ({"padding": 3}, {}),
        ({"padding": (0, 2)}, {}),
        ({"dilation": 2}, {}),
        ({"kernel_size": (5, 5)}, ValueError),
        ({"out_channels": 7}, ValueError),
    ],
)
def test_settings_changed_after_the_layer_was_made(change, shown):
    layer = randomised(nn.Conv2d(2, 3, 3, padding=1), 0)
    vars(layer).update(change)
    if shown is ValueError:
        with pytest.raises(ValueError, match="layer: got weights"):
            operator_norm(layer, (2, 7, 7))
        return
    point = torch.zeros(1, 2, 7, 7).double()
    true = steepest(layer, point)
    bounds = operator_norm(layer, (2, 7, 7))
    assert bounds.lower <= true * (1 + 1e-12) and true <= bounds.upper * (1 + 1e-12)


def test_inside_inference_mode():
    with torch.inference_mode():
        model = randomised(
            nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)), 0
        )
        bound = network_bound(model, (2, 6, 6))
        radius = certified_radius(model, torch.ones(3, 2, 6, 6).double())
        alone = operator_norm(model[0], (2, 6, 6))
    assert alone == operator_norm(model[0], (2, 6, 6))
    assert bound == network_bound(model, (2, 6, 6)) and radius.shape == (3,)


def test_batch_norm_without_running_statistics_is_refused_by_name():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4, track_running_stats=False))
    with pytest.raises(ValueError, match="layer '1': got no running_var"):
        layer_bounds(model, (1, 2, 2))


def test_a_pool_that_gives_places_too_is_refused():
    model = nn.Sequential(nn.MaxPool2d(2, return_indices=True), nn.Flatten())
    with pytest.raises(ValueError, match="layer '0'"):
        layer_bounds(model, (1, 4, 4))


def test_factors_that_are_not_finite_are_refused():
    layer = nn.BatchNorm1d(2)
    layer.weight.data[0] = math.nan
    with pytest.raises(ValueError, match="layer '0': got factors"):
        layer_bounds(nn.Sequential(layer), (2,))


def test_certificates_come_in_batches_and_change_no_image():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2))
    sizes = []
    model[1].register_full_backward_hook(lambda *args: None)
    images = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    kept, whole = images.clone(), certified_radius(model, images, bound=1.0)
    model.register_forward_hook(lambda m, x, y: sizes.append(len(y)))
    parts = certified_radius(model, images, bound=1.0, batch_size=2)
    torch.testing.assert_close(parts, whole)
    assert sizes == [2, 2, 3] and torch.equal(images, kept)

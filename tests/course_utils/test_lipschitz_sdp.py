"""The bound of a fully connected network as a whole."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.exercises.lecture3 import true_slope
from course_utils.lipschitz import network_bound, network_bound_sdp, sdp

KINDS = {nn.ReLU: 1.0, nn.Sigmoid: 0.25, nn.Tanh: 1.0}


def network(widths, kind, seed, spread=0.0):
    random = torch.Generator().manual_seed(seed)
    layers = [nn.Flatten()]
    for before, after in zip(widths, widths[1:]):
        layer = nn.utils.skip_init(nn.Linear, before, after).double()
        sizes = 10 ** (spread * torch.randn(after, generator=random, dtype=torch.float64))
        nn.init.normal_(layer.weight, generator=random).data.mul_(sizes[:, None])
        nn.init.normal_(layer.bias, generator=random)
        layers += [layer, kind(), nn.Dropout(0.1)]
    return nn.Sequential(*layers[:-2]).eval()


@given(
    st.lists(st.integers(1, 8), min_size=3, max_size=5),
    st.sampled_from(list(KINDS)),
    st.integers(0, 99),
    st.sampled_from([0.0, 1.0, 3.0]),
)
@settings(max_examples=60)
def test_it_lies_between_the_slopes_and_the_product(widths, kind, seed, spread):
    model = network(widths, kind, seed, spread)
    points = torch.randn(40, widths[0], generator=torch.Generator().manual_seed(1)).double()
    slopes = torch.func.vmap(torch.func.jacrev(lambda x: model(x[None])[0]))(points)
    steepest = torch.linalg.matrix_norm(slopes, 2).max().item()
    bound, product = network_bound_sdp(model, (widths[0],)), network_bound(model, (widths[0],))
    assert steepest * (1 - 1e-12) <= bound <= product * (1 + 1e-12)


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=60)
def test_it_is_never_below_the_truth_with_all_ways_to_be_on_and_off(hidden, outputs, seed):
    model = network([hidden + 1, hidden, outputs], nn.ReLU, seed)
    true = true_slope(model[1].weight.data, model[4].weight.data)
    assert true * (1 - 1e-12) <= network_bound_sdp(model, (hidden + 1,)) <= 2 * true


def test_units_that_do_not_meet():
    """Gains of 3 and 1, then of 1 and 3: the product is 9, and no way through gains more than 3."""
    model = network([2, 2, 2], nn.ReLU, 0)
    model[1].weight.data = torch.diag(torch.tensor([3.0, 1.0]).double())
    model[4].weight.data = torch.diag(torch.tensor([1.0, 3.0]).double())
    assert network_bound(model, (2,)) == pytest.approx(9, rel=1e-4)
    assert 3 <= network_bound_sdp(model, (2,)) <= 3 * (1 + sdp.GAP)


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_weights_do_better(kind):
    """The problem is convex: what no small change of the weights improves is the best."""
    model, slope = network([9, 7, 6, 4], kind, 3), KINDS[kind]
    matrices = [layer.weight.detach().numpy() for layer in model if isinstance(layer, nn.Linear)]
    for rho, weights in sdp._search(matrices, [slope] * 2):
        pass

    def smallest(weights):
        """The smallest rho for these weights up to a common factor, one layer after the other."""
        inverse = np.eye(9)
        for matrix, part in zip(matrices, np.split(weights, [7])):
            onward = 2 * np.diag(part)
            onward -= slope**2 * part[:, None] * (matrix @ inverse @ matrix.T) * part
            if np.linalg.eigvalsh(onward)[0] <= 0:
                return math.inf
            inverse = np.linalg.inv(onward)
        return np.linalg.eigvalsh(matrices[-1] @ inverse @ matrices[-1].T)[-1]

    best = smallest(weights / rho)
    assert best <= rho * (1 + 1e-9)
    random, others = np.random.RandomState(0), []
    for _ in range(3000):
        change = np.exp(10 ** random.uniform(-4, 0) * random.randn(13))
        others.append(smallest(weights / rho * change))
    assert min(others) >= best * (1 - sdp.GAP) and np.isfinite(others).sum() > 100


def test_the_smallest_rho_is_that_of_another_solver():
    """By cvxpy 1.9.3 with Clarabel, which solves the same semidefinite program to 1e-8."""
    random = np.random.RandomState(5)
    matrices = [random.randn(*shape) / 3 for shape in [(7, 9), (6, 7), (4, 6)]]
    for slope, optimum in [(1.0, 1.72838207756318), (0.25, 0.10802389329642098)]:
        (*_, (rho, _)) = sdp._search(matrices, [slope] * 2)
        assert optimum * (1 - 1e-7) <= math.sqrt(rho) <= optimum * (1 + sdp.GAP)


def test_a_unit_measured_otherwise_changes_nothing():
    model = network([6, 8, 8, 3], nn.ReLU, 1)
    bound, product = network_bound_sdp(model, (6,)), network_bound(model, (6,))
    model[1].weight.data[0] *= 1024
    model[1].bias.data[0] *= 1024
    model[4].weight.data[:, 0] /= 1024
    assert network_bound_sdp(model, (6,)) == pytest.approx(bound, rel=sdp.GAP)
    assert network_bound(model, (6,)) > 20 * product


def test_units_without_weights_do_no_harm():
    model = network([6, 8, 8, 3], nn.ReLU, 0)
    model[1].weight.data[2] = 0
    model[1].weight.data[5] *= 1e-7
    model[4].weight.data[:, 3] = 0
    product = network_bound(model, (6,))
    assert network_bound_sdp(model, (6,)) < 0.9 * product
    model[4].weight.data.zero_()
    assert network_bound_sdp(model, (6,)) == 0


def test_what_is_false_is_not_proved():
    model = network([2, 2, 2], nn.ReLU, 0)
    for layer in (model[1], model[4]):
        nn.init.eye_(layer.weight)  # so rho is 1, with both weights 1
    matrices = [np.eye(2)] * 2
    assert sdp._proved(matrices, [1.0], 1 + 1e-9, np.ones(2))
    for rho, weights in [
        (1 - 1e-9, [1, 1]),
        (1 + 1e-9, [1, 0.9]),
        (1 + 1e-9, [1, -1]),
        (-1, [1, 1]),
    ]:
        assert not sdp._proved(matrices, [1.0], rho, np.array(weights, dtype=float))


def test_what_only_rounding_decides_is_not_proved():
    """Here rho is 1 but for the last digit: by Cholesky alone every other draw would pass."""
    draw = np.random.default_rng(0)
    for size in (3, 10, 30):
        for _ in range(10):
            left, right = (np.linalg.qr(draw.normal(size=(size, size)))[0] for _ in range(2))
            shrunk = left @ np.diag([1, *[0.5] * (size - 1)]) @ right / 3
            matrices, weights = [shrunk, 3 * left.T], np.full(size, 9.0)
            assert not sdp._proved(matrices, [1.0], 1.0, weights)
            assert sdp._proved(matrices, [1.0], 1 + 1e-9, weights * (1 + 5e-10))


@pytest.mark.parametrize(
    "layers, named",
    [
        ([nn.Linear(4, 4), nn.Linear(4, 2)], "layer '1', a Linear"),
        ([nn.ReLU(), nn.Linear(4, 2)], "layer '0', a ReLU"),
        ([nn.Linear(4, 2), nn.ReLU()], "an activation at the end"),
        ([nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)], "layer '1', a BatchNorm1d"),
    ],
)
def test_other_networks_are_refused_by_name(layers, named):
    with pytest.raises(ValueError, match=named):
        network_bound_sdp(nn.Sequential(*layers), (4,))


def test_a_linear_network_has_its_own_norm():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    assert network_bound_sdp(model, (4,)) == network_bound(model, (4,))

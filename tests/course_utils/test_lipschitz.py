import copy
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.lipschitz import (
    amplified_pattern,
    certificate,
    certified_radius,
    fourier,
    frequency_norms,
    layer_bounds,
    lipschitz_penalty,
    network_bound,
    operator_norm,
)
from course_utils.models import Normalize, fully_connected, linear_layers

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
ROUNDING = 1e-12


def attained(size: int) -> float:
    """Up to which share the lower bound of a convolution on images of this size is the norm."""
    return 1e-6 if size <= certificate.SMALL else 2e-3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randomised(layer: nn.Module, seed: int = 0) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator(seed))
    return layer


def dense(layer: nn.Module, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix of a layer's linear part, by showing it every unit vector."""
    layer, size = copy.deepcopy(layer).double(), math.prod(shape)
    units = torch.eye(size, dtype=torch.float64).view(size, *shape)
    with torch.no_grad():
        return (layer(units) - layer(torch.zeros_like(units[:1]))).flatten(1).T.numpy()


def true_norm(layer: nn.Module, shape: tuple[int, ...]) -> float:
    return np.linalg.svd(dense(layer, shape), compute_uv=False)[0]


@st.composite
def convolutions(draw):
    groups = draw(st.integers(1, 3))
    channels = [groups * draw(st.integers(1, 3)) for _ in range(2)]
    pairs = {
        name: (draw(st.integers(low, high)), draw(st.integers(low, high)))
        for name, low, high in [("kernel_size", 1, 4), ("stride", 1, 3), ("dilation", 1, 2)]
    }
    padding = (draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    if pairs["stride"] == (1, 1) and draw(st.booleans()):
        padding = "same"
    side = st.integers(3, 8)
    shape = (channels[0], draw(side), draw(side))
    layer = nn.utils.skip_init(
        nn.Conv2d,
        *channels,
        **pairs,
        padding=padding,
        groups=groups,
        padding_mode=draw(st.sampled_from(["zeros", "circular"])),
    )
    randomised(layer, draw(st.integers(0, 99)))
    try:
        outputs = layer(torch.zeros(1, *shape)).shape
        fourier.axes(layer, shape)
    except (RuntimeError, ValueError):  # the kernel or the padding is larger than the image,
        assume(False)  # or a circular padding makes no circular convolution
    return layer, shape, tuple(outputs[2:])


@st.composite
def circles(draw):
    """Layers with circular padding that are circular convolutions: every output once."""
    groups = draw(st.integers(1, 2))
    channels = [groups * draw(st.integers(1, 3)) for _ in range(2)]
    stride, kernel, padding, sides = [], [], [], []
    for _ in range(2):
        stride.append(draw(st.integers(1, 3)))
        # With a stride of 1 only an odd kernel can be padded by as much as it takes away.
        kernel.append(draw(st.sampled_from([1, 3, 5] if stride[-1] == 1 else [1, 2, 3, 4, 5])))
        padding.append((kernel[-1] - 1) // 2)
        sides.append(stride[-1] * draw(st.integers(2, 5)))
    layer = nn.utils.skip_init(
        nn.Conv2d,
        *channels,
        kernel,
        stride=stride,
        padding=padding,
        groups=groups,
        padding_mode="circular",
    )
    randomised(layer, draw(st.integers(0, 99)))
    return layer, (channels[0], *sides), tuple(h // s for h, s in zip(sides, stride))


@given(st.one_of(convolutions(), circles()))
@settings(max_examples=150)
def test_convolutions_lie_between_their_bounds(case):
    layer, shape, outputs = case
    true, bounds = true_norm(layer, shape), operator_norm(layer, shape)
    assert bounds.upper >= true * (1 - ROUNDING)
    assert true * (1 - attained(math.prod(shape))) <= bounds.lower <= true * (1 + ROUNDING)
    assert bounds.attained_at.shape == shape
    length = np.linalg.norm(dense(layer, shape) @ bounds.attained_at.flatten().numpy())
    assert bounds.attained_at.norm() == pytest.approx(1, rel=1e-12)
    assert length == pytest.approx(bounds.lower, rel=1e-12)
    whole = [s // t for s, t in zip(shape[1:], layer.stride)] == list(outputs)
    even = all(s % t == 0 for s, t in zip(shape[1:], layer.stride))
    if layer.padding_mode == "circular" and whole and even:
        assert bounds.upper <= true * (1 + 1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("turns", [1 / 2, 1 / 3, 2 / 5])
def test_zero_padding_needs_a_circle_with_room(stride, turns):
    """Kernels that resonate with waves which a circle of the image's own size does not have."""
    for side, taps, padding in itertools.product(range(2, 8), range(2, 5), range(4)):
        if side + 2 * padding < taps:
            continue
        layer = nn.Conv2d(1, 1, (1, taps), stride=(1, stride), padding=(0, padding), bias=False)
        wave = torch.cos(2 * math.pi * turns * torch.arange(taps))
        layer.weight = nn.Parameter(wave.view(1, 1, 1, taps))
        true, upper = true_norm(layer, (1, 1, side)), fourier.upper_bound(layer, (1, 1, side))
        assert upper >= true * (1 - ROUNDING), (side, taps, padding)


@pytest.mark.parametrize("taps", [2, 4])
def test_uneven_padding_needs_a_circle_with_room_too(taps):
    for side, turns in itertools.product(range(2, 8), [1 / 2, 1 / 3, 2 / 5]):
        layer = nn.Conv2d(1, 1, (1, taps), padding="same", bias=False)
        wave = torch.cos(2 * math.pi * turns * torch.arange(taps))
        layer.weight = nn.Parameter(wave.view(1, 1, 1, taps))
        true, upper = true_norm(layer, (1, 1, side)), fourier.upper_bound(layer, (1, 1, side))
        assert upper >= true * (1 - ROUNDING), side


@pytest.mark.parametrize(("side", "stride", "padding"), [(3, 2, 2), (2, 1, 1), (4, 2, 2)])
def test_circular_padding_that_repeats_pixels_is_refused(side, stride, padding):
    """One tap: the norm is the root of how often the layer shows a pixel, 2 here and not 1."""
    layer = nn.Conv2d(1, 1, 1, stride=stride, padding=padding, padding_mode="circular")
    nn.init.ones_(layer.weight)
    assert true_norm(layer, (1, side, side)) == pytest.approx(2)
    with pytest.raises(ValueError, match="input_shape: .* appear twice"):
        operator_norm(layer, (1, side, side))


@given(convolutions())
@settings(max_examples=60)
def test_frequency_norms_are_singular_values_of_the_whole_circle(case):
    """The norms, and all other singular values, are those of the layer on its circle."""
    layer, shape, _ = case
    periods = tuple(axis.period for axis in fourier.axes(layer, shape))
    norms, weights = frequency_norms(layer, shape), fourier.phase_weights(layer)
    assert norms.shape == periods
    circle = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=False,
    )
    circle.weight = layer.weight
    size = [p * s for p, s in zip(periods, layer.stride)]
    reach = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size)]

    class Round(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = circle

        def forward(self, images):
            rows, columns = (torch.arange(s + r) % s for s, r in zip(size, reach))
            outputs = self.layer(images[:, :, rows][..., columns])
            return outputs[:, :, : periods[0], : periods[1]]

    wanted = np.linalg.svd(dense(Round(), (shape[0], *size)), compute_uv=False)
    assume(wanted.size < 2000)
    frequencies = torch.cartesian_prod(*map(torch.arange, periods))
    every = [
        torch.linalg.svdvals(matrices).flatten()
        for matrices in fourier.transfer(weights, frequencies, periods)
    ]
    got = torch.cat(every).sort(descending=True).values.numpy()
    np.testing.assert_allclose(got, wanted[: len(got)], atol=1e-9 * wanted[0])
    assert norms.max().item() == pytest.approx(wanted[0], rel=1e-9)
    largest = torch.stack([values.max() for values in every]).view(periods)
    # The rounding of a squared matrix weighs more on its small singular values.
    np.testing.assert_allclose(norms, largest, atol=1e-7 * wanted[0])


@given(circles(), st.integers(0, 99), st.integers(0, 99))
@settings(max_examples=60)
def test_patterns_are_amplified_by_the_norm_of_their_frequency(case, j, k):
    layer, shape, outputs = case
    periods = tuple(axis.period for axis in fourier.axes(layer, shape))
    assert periods == outputs
    pattern = amplified_pattern(layer, shape, (j, k))
    assert pattern.norm() == pytest.approx(1, rel=1e-12)
    matrix = dense(layer, shape)
    images = matrix @ pattern.flatten().numpy()
    norm = frequency_norms(layer, shape)[j % periods[0], k % periods[1]].item()
    assert np.linalg.norm(images) == pytest.approx(norm, rel=1e-6, abs=1e-6)
    spectrum = np.abs(np.fft.fft2(images.reshape(-1, *periods))).max(0)
    spectrum[j % periods[0], k % periods[1]] = spectrum[-j % periods[0], -k % periods[1]] = 0
    assert spectrum.max() < 1e-9 * max(1, norm) * math.prod(periods)


def test_pattern_of_a_zero_padded_layer_follows_the_padding():
    """Far from the border the output is one wave, whatever the padding."""
    layer = randomised(nn.Conv2d(2, 3, 5, stride=2, padding=2, bias=False))
    pattern = amplified_pattern(layer, (2, 41, 41), (3, 5))
    with torch.no_grad():
        output = layer.double()(pattern[None])[0, :, 2:-2, 2:-2]
    period = [axis.period for axis in fourier.axes(layer, (2, 41, 41))]
    turns = [3 / period[0], 5 / period[1]]
    # A wave of w turns a pixel has f(m + 1) + f(m - 1) = 2 cos(2 pi w) f(m), along its way.
    step = output[:, 2:, 2:] + output[:, :-2, :-2]
    wave = 2 * math.cos(2 * math.pi * sum(turns)) * output[:, 1:-1, 1:-1]
    torch.testing.assert_close(step, wave, atol=1e-9, rtol=0)
    assert output.abs().max() > 0.1


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(3, 16, 5, padding=2), (3, 32, 32)),
        (nn.Conv2d(3, 16, 7, stride=3), (3, 40, 40)),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 28, 28)),
        (nn.Conv2d(16, 8, 1), (16, 9, 9)),
    ],
)
def test_zero_padded_layers_are_bounded_tightly_on_larger_images(layer, shape):
    bounds = operator_norm(randomised(layer), shape)
    assert bounds.lower <= bounds.upper <= 1.02 * bounds.lower
    if layer.kernel_size == (1, 1):
        assert bounds.upper == pytest.approx(operator_norm(nn_linear(layer)).upper, rel=1e-5)


def nn_linear(layer: nn.Conv2d) -> nn.Linear:
    linear = nn.Linear(layer.in_channels, layer.out_channels)
    linear.weight = nn.Parameter(layer.weight.flatten(1))
    return linear


SIDES = st.integers(1, 40)


@given(SIDES, SIDES, st.integers(0, 99), st.sampled_from([1e-30, 1, 1e30]))
def test_fully_connected_layers_agree_with_the_svd(inputs, outputs, seed, scale):
    layer = randomised(nn.Linear(inputs, outputs), seed)
    with torch.no_grad():
        layer.weight.mul_(scale)
    true = np.linalg.svd(layer.weight.detach().double().numpy(), compute_uv=False)[0]
    bounds = operator_norm(layer)
    assert true * (1 - 1e-6) <= bounds.lower <= true * (1 + ROUNDING)
    assert true * (1 - ROUNDING) <= bounds.upper <= bounds.lower * (1 + 1e-5)
    product = layer.weight.detach().double() @ bounds.attained_at
    assert product.norm().item() == pytest.approx(bounds.lower, rel=1e-12)


@pytest.mark.parametrize(("inputs", "outputs"), [(700, 400), (400, 700), (500, 500), (1, 2000)])
def test_larger_layers_go_through_the_iteration(inputs, outputs):
    layer = randomised(nn.Linear(inputs, outputs))
    true = np.linalg.svd(layer.weight.detach().double().numpy(), compute_uv=False)[0]
    bounds = operator_norm(layer)
    assert true * (1 - 1e-6) <= bounds.lower <= true * (1 + ROUNDING)
    assert true * (1 - ROUNDING) <= bounds.upper <= bounds.lower * (1 + 1e-5)


def with_singular_values(values: list[float], size: int, seed: int = 0) -> torch.Tensor:
    left, right = (
        torch.linalg.qr(torch.randn(size, size, generator=generator(s), dtype=torch.float64)).Q
        for s in (seed, seed + 1)
    )
    spectrum = torch.full((size,), 0.1, dtype=torch.float64)
    spectrum[: len(values)] = torch.tensor(values, dtype=torch.float64)
    return left * spectrum @ right.T


@pytest.mark.parametrize("gap", [0, 1e-12, 1e-9, 1e-7, 1e-5])
@pytest.mark.parametrize("size", [50, 400])
def test_nearly_tied_singular_values_are_no_trap(gap, size):
    weight = with_singular_values([1.0, 1.0 - gap, 1.0 - 2 * gap], size)
    true = np.linalg.svd(weight.numpy(), compute_uv=False)[0]
    lower, upper, _ = certificate.dense_bounds(weight)
    assert true * (1 - 1e-6) <= lower <= true * (1 + ROUNDING)
    assert true <= upper <= lower * (1 + 1e-5)


@pytest.mark.parametrize(("miss", "tries"), [(3e-6, 1), (1e-5, 2), (1e-3, 2), (0.3, 2)])
def test_an_iteration_that_misses_the_top_is_found_out(monkeypatch, miss, tries):
    """The proof rests on Cholesky alone: a wrong eigenpair may cost time, never soundness."""
    weight = with_singular_values([1.0, math.sqrt(1 - miss)], 400)
    find, calls = certificate.largest_eigenpair, []

    def wrong(multiply, size, *, tolerance, seed):
        value, vector = find(multiply, size, tolerance=tolerance, seed=seed)
        calls.append(seed)
        return (value, vector) if len(calls) > 1 else (value * (1 - miss), vector)

    monkeypatch.setattr(certificate, "largest_eigenpair", wrong)
    lower, upper, _ = certificate.dense_bounds(weight)
    assert len(calls) == tries and 1 - 1e-6 <= lower and 1 <= upper <= 1 + 1e-4


def test_frequencies_that_the_first_guess_misses_are_found():
    """All but one frequency are alike, and the first few tried do not include that one."""
    layer = nn.Conv2d(1, 1, 9, padding=4, padding_mode="circular", bias=False).double()
    y, x = torch.meshgrid(*[torch.arange(9).double()] * 2, indexing="ij")
    with torch.no_grad():
        layer.weight.copy_(torch.cos(2 * math.pi * (2 * y + 3 * x) / 9))
    norms = frequency_norms(layer, (1, 9, 9))
    assert (norms > 1e-4).sum() == 2 and norms[2, 3] == pytest.approx(40.5)
    assert 40.5 <= operator_norm(layer, (1, 9, 9)).upper <= 40.5 * (1 + 1e-5)


def test_the_allowance_covers_the_rounding_of_cholesky():
    """Where Cholesky runs to its end below the top, that is within what Rump's theorem says."""
    for n in (5, 20, 60):
        share = (n + 1) * 2.0**-53 / (1 - (n + 1) * 2.0**-53)
        assert certificate.allowance(n) >= 3 * n * share / (1 - share)
        for seed in range(20):
            half = torch.randn(n, n, generator=generator(seed), dtype=torch.float64)
            matrix = half @ half.mT
            top = torch.linalg.eigvalsh(matrix)[-1].item()
            eye = torch.eye(n, dtype=torch.float64)
            for share in 10.0 ** np.arange(-17, -11):
                level = top * (1 - share)
                if not torch.linalg.cholesky_ex(level * eye - matrix).info:
                    assert level * (1 + certificate.allowance(n)) >= top * (1 - 1e-15)
            assert torch.linalg.cholesky_ex(top * (1 - 1e-9) * eye - matrix).info


def test_layers_without_weights_and_single_numbers():
    zero = nn.Linear(4, 3)
    nn.init.zeros_(zero.weight)
    assert (operator_norm(zero).lower, operator_norm(zero).upper) == (0, 0)
    assert operator_norm(zero).attained_at.norm() == 1
    blank = nn.Conv2d(2, 3, 3, padding=1)
    nn.init.zeros_(blank.weight)
    assert operator_norm(blank, (2, 5, 5)).upper == 0 == operator_norm(blank, (2, 5, 5)).lower
    assert (frequency_norms(blank, (2, 5, 5)) == 0).all()
    one = nn.Linear(1, 1)
    nn.init.constant_(one.weight, -3.0)
    assert 3 <= operator_norm(one).upper <= 3 * (1 + 1e-5) and operator_norm(one).lower == 3
    tiny = nn.Conv2d(1, 1, 1)
    nn.init.constant_(tiny.weight, -3.0)
    assert 3 <= operator_norm(tiny, (1, 1, 1)).upper <= 3 * (1 + 1e-5)


def small_network() -> nn.Sequential:
    return randomised(
        nn.Sequential(
            Normalize((0.5, 0.4, 0.3), (0.2, 0.5, 0.25), size=12),
            nn.Sequential(
                nn.Conv2d(3, 6, 3, stride=2, padding=1),
                nn.BatchNorm2d(6),
                nn.ReLU(),
                nn.LocalResponseNorm(5, alpha=1.0, beta=0.75, k=2.0),
                nn.MaxPool2d(3, 1),
            ),
            nn.Sequential(nn.Sigmoid(), nn.AvgPool2d(3, 2, padding=1), nn.Dropout(0.5)),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(24, 8),
            nn.Tanh(),
            nn.Linear(8, 5),
        )
    )


@given(st.integers(0, 99), st.floats(1e-4, 10))
@settings(max_examples=30)
def test_networks_stretch_no_pair_beyond_their_bound(seed, length):
    model = small_network().eval().double()
    images = torch.rand(50, 3, 12, 12, generator=generator(seed), dtype=torch.float64)
    other = images + length * torch.randn(images.shape, generator=generator(seed + 1)) / 20
    with torch.no_grad():
        change = (model(images) - model(other)).norm(dim=1)
    distance = (images - other).flatten(1).norm(dim=1)
    assert (change <= network_bound(model, (3, 12, 12)) * distance).all()


def test_table_names_every_layer_in_order():
    table = layer_bounds(small_network(), (3, 12, 12))
    assert list(table.columns) == ["layer", "size", "stride", "lower", "upper"]
    assert list(table.index) == "0 1.0 1.1 1.2 1.3 1.4 2.0 2.1 3 5 6 7".split()
    assert list(table["size"])[1] == "3 x 3 x 3 x 6" and list(table["size"])[-1] == "8 x 5"
    assert table.loc["1.0", "stride"] == 2 and table.loc["7", "stride"] == "N/A"
    assert (table.lower <= table.upper).all()
    assert table.loc["0", "upper"] == pytest.approx(5)
    assert table.loc["2.0", "upper"] == 0.25 and table.loc["1.2", "upper"] == 1
    assert network_bound(small_network(), (3, 12, 12)) == pytest.approx(table.upper.prod())


def slope(layer: nn.Module, shape: tuple[int, ...], count: int = 300) -> float:
    """The largest singular value of the Jacobian met at random points."""
    layer, largest = layer.eval().double(), 0.0
    for seed in range(count):
        point = torch.randn(1, *shape, generator=generator(seed), dtype=torch.float64)
        point *= 10.0 ** (seed % 3 - 1)
        jacobian = torch.autograd.functional.jacobian(layer, point)
        matrix = jacobian.reshape(-1, point.numel()).numpy()
        largest = max(largest, np.linalg.svd(matrix, compute_uv=False)[0])
    return largest


@pytest.mark.parametrize(
    "kernel, stride, padding, dilation, windows",
    [
        (3, 2, 0, 1, 4),
        (2, 2, 0, 1, 1),
        (3, 1, 1, 1, 9),
        ((3, 2), (2, 1), (1, 0), 1, 4),
        (3, 2, 0, 2, 9),
        (5, 2, 2, 1, 9),
        (3, 3, 0, 1, 1),
    ],
)
def test_max_pooling_counts_the_windows_of_a_pixel(kernel, stride, padding, dilation, windows):
    pool = nn.MaxPool2d(kernel, stride, padding, dilation)
    bounds = layer_bounds(pool, (1, 11, 11)).iloc[0]
    assert bounds.upper == pytest.approx(math.sqrt(windows))
    spikes = torch.eye(121).view(121, 1, 11, 11)
    attained = pool(spikes).flatten(1).norm(dim=1).max()
    assert bounds.lower == pytest.approx(attained.item(), rel=1e-6)
    assert slope(pool, (1, 11, 11), 20) <= bounds.upper * (1 + ROUNDING)


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, 2, padding=1),
        nn.AvgPool2d((3, 2), (1, 2), ceil_mode=True),
        nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptiveAvgPool2d(1),
    ],
)
def test_average_pooling_agrees_with_its_matrix(pool):
    bounds, true = layer_bounds(pool, (2, 7, 8)).iloc[0], true_norm(pool, (2, 7, 8))
    assert true * (1 - 1e-5) <= bounds.lower <= true * (1 + ROUNDING)
    assert true * (1 - ROUNDING) <= bounds.upper <= true * (1 + 2e-5)


@pytest.mark.parametrize(
    "size, beta, k", [(5, 0.75, 2.0), (5, 0.75, 1.0), (3, 1.0, 0.5), (4, 0.5, 1.0)]
)
def test_response_normalisation_is_nowhere_steeper(size, beta, k):
    layer = nn.LocalResponseNorm(size, alpha=2.0, beta=beta, k=k)
    bounds, steepest = layer_bounds(layer, (7, 1, 1)).iloc[0], slope(layer, (7, 1, 1))
    assert bounds.lower == pytest.approx(k**-beta)
    assert bounds.lower * 0.9 < steepest <= bounds.upper * (1 + ROUNDING)
    origin = torch.autograd.functional.jacobian(layer, torch.zeros(1, 7, 1, 1)).view(7, 7)
    assert origin[0, 0].item() == pytest.approx(bounds.lower)


def test_batch_normalisation_in_eval_mode():
    layer = nn.BatchNorm2d(3)
    layer.weight.data = torch.tensor([1.0, -6.0, 2.0])
    layer.running_var = torch.tensor([4.0, 9.0, 0.25])
    bounds, true = layer_bounds(layer, (3, 2, 2)).iloc[0], true_norm(layer.eval(), (3, 2, 2))
    assert bounds.lower <= true * (1 + ROUNDING) and true <= bounds.upper * (1 + ROUNDING)
    assert bounds.upper == pytest.approx(2 / 0.5, rel=1e-4)


def test_radius_by_hand():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False))
    model[1].weight.data = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    images = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 0.5]]], [[[0.0, 0.0]]]])
    radius = certified_radius(model, images)
    wanted = torch.tensor([3.0, 1.0, 0.0]) / (math.sqrt(2) * 4)
    torch.testing.assert_close(radius, wanted, rtol=1e-5, atol=0)
    torch.testing.assert_close(certified_radius(model, images, bound=8), wanted / 2)
    assert certified_radius(model, images, bound=0).isinf().all()


@pytest.mark.parametrize("seed", range(3))
def test_no_step_inside_the_radius_changes_the_class(seed):
    """For a linear classifier the nearest boundary is known, and the radius stays inside."""
    model = randomised(fully_connected(10, inputs=20), seed).double()
    images = torch.rand(100, 1, 4, 5, generator=generator(seed), dtype=torch.float64)
    (layer,) = linear_layers(model)
    logits = model(images).detach()
    label = logits.argmax(1)
    margins = logits.gather(1, label[:, None]) - logits
    rows = (layer.weight[label][:, None] - layer.weight[None]).norm(dim=2).detach()
    nearest = (margins / rows).scatter(1, label[:, None], torch.inf).amin(1)
    radius = certified_radius(model, images)
    assert (radius > 0).all() and (radius <= nearest * (1 + ROUNDING)).all()


def test_penalty_is_half_the_sum_of_squared_norms():
    model = randomised(fully_connected(12, 8, inputs=20))
    table = layer_bounds(model, (20,))
    penalty = lipschitz_penalty(model, steps=3000)
    linear = table[table.layer == "Linear"]
    assert penalty.item() == pytest.approx((linear.lower**2).sum() / 2, rel=1e-4)


def test_penalty_has_the_gradient_of_finite_differences():
    model = randomised(nn.Sequential(nn.Linear(7, 5), nn.Sigmoid(), nn.Linear(5, 5)), 3).double()
    weights = [model[0].weight, model[2].weight]
    gradients = torch.autograd.grad(lipschitz_penalty(model, steps=2000), weights)
    for weight, gradient in zip(weights, gradients):
        way, h, values = torch.randn(weight.shape, generator=generator(1)).double(), 1e-5, []
        for sign in (1, -1):
            with torch.no_grad():
                weight.add_(sign * h * way)
                values.append(lipschitz_penalty(model, steps=2000).item())
                weight.sub_(sign * h * way)
        wanted = (values[0] - values[1]) / (2 * h)
        assert (gradient * way).sum().item() == pytest.approx(wanted, rel=1e-5)


def test_penalty_goes_on_from_its_state():
    model = randomised(fully_connected(40, 30, inputs=50)).double()
    exact, state = lipschitz_penalty(model, steps=5000).item(), {}
    values = [lipschitz_penalty(model, state=state, steps=1).item() for _ in range(400)]
    assert all(after >= before * (1 - 1e-12) for before, after in zip(values, values[1:]))
    assert values[0] < 0.9 * exact
    assert values[-1] == pytest.approx(exact, rel=1e-4)
    assert set(state) == {"1", "3"} and not any(v.requires_grad for v in state.values())
    warm = lipschitz_penalty(model, state=state).item()
    assert warm >= values[-1] * (1 - 1e-12)
    assert lipschitz_penalty(model).item() > 0.9 * exact  # fifty steps by default


def test_descending_the_penalty_lowers_the_bound():
    model = fully_connected(20, 10, inputs=30)
    before, state = network_bound(model, (30,)), {}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(30):
        optimiser.zero_grad()
        lipschitz_penalty(model, state=state).backward()
        optimiser.step()
    assert network_bound(model, (30,)) < 0.6 * before


def nan_layer() -> nn.Linear:
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, math.nan)
    return layer


class Doubling(nn.Linear):
    def forward(self, inputs):
        return 2 * super().forward(inputs)


CONV = nn.Conv2d(2, 3, 3)
WIDE = nn.Conv2d(1, 1, 3, padding=4, padding_mode="circular")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: operator_norm(nn.ReLU()), TypeError, "layer: got ReLU"),
        (lambda: operator_norm(Doubling(2, 2)), TypeError, "layer: got Doubling"),
        (lambda: operator_norm(nan_layer()), ValueError, "layer: got weights that are NaN"),
        (lambda: operator_norm(CONV), ValueError, "input_shape: got None"),
        (lambda: operator_norm(CONV, (3, 5, 5)), ValueError, "C = 2"),
        (lambda: operator_norm(CONV, (2, 5)), ValueError, "input_shape"),
        (lambda: operator_norm(CONV, (2, 2, 5)), ValueError, "input_shape: .* too small"),
        (
            lambda: operator_norm(nn.Conv2d(2, 3, 3, padding_mode="reflect"), (2, 5, 5)),
            ValueError,
            "padding_mode='reflect'",
        ),
        (lambda: operator_norm(WIDE, (1, 3, 3)), ValueError, "input_shape: .* circular padding"),
        (lambda: frequency_norms(nn.Linear(2, 2), (2, 5, 5)), TypeError, "layer: got Linear"),
        (lambda: amplified_pattern(CONV, (2, 5, 5), (1.5, 0)), ValueError, "frequency: got"),
        (lambda: layer_bounds("model", (2,)), TypeError, "model: got str"),
        (lambda: layer_bounds(CONV, 5), ValueError, "input_shape: got 5"),
        (lambda: layer_bounds(CONV, (3, 5, 5)), ValueError, "input_shape"),
        (
            lambda: layer_bounds(nn.Sequential(nn.Sequential(nn.Softmax(1))), (2,)),
            TypeError,
            "layer '0.0', a Softmax",
        ),
        (lambda: layer_bounds(nn.Sequential(Doubling(2, 2)), (2,)), TypeError, "a Doubling"),
        (
            lambda: layer_bounds(nn.Sequential(nn.Flatten(), nn.Linear(5, 2)), (2, 2)),
            ValueError,
            "input_shape: got .* layer '1'",
        ),
        (lambda: layer_bounds(nn.LocalResponseNorm(5, beta=2.0), (6, 2, 2)), ValueError, "beta"),
        (lambda: certified_radius("m", torch.rand(1, 2)), TypeError, "model: got str"),
        (lambda: certified_radius(nn.Linear(2, 2), [0.5]), TypeError, "images: got list"),
        (lambda: certified_radius(nn.Linear(2, 2), torch.rand(2)), ValueError, "images: got"),
        (
            lambda: certified_radius(nn.Linear(2, 2), torch.rand(1, 2), bound=-1),
            ValueError,
            "bound: got -1",
        ),
        (
            lambda: certified_radius(nn.Linear(2, 1), torch.rand(1, 2)),
            ValueError,
            "at least two classes",
        ),
        (lambda: certified_radius(nan_layer(), torch.rand(1, 2), bound=1), ValueError, "NaN"),
        (lambda: lipschitz_penalty(CONV), ValueError, "model: expected fully connected"),
        (lambda: lipschitz_penalty(nn.ReLU()), ValueError, "model: expected fully connected"),
        (lambda: lipschitz_penalty(nn.Linear(2, 2), steps=0), ValueError, "steps: got 0"),
        (lambda: lipschitz_penalty(nn.Linear(2, 2), state=[]), TypeError, "state: got list"),
    ],
)
def test_wrong_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("shape", [(600, 1500), (1500, 600), (513, 1025)])
def test_the_gram_matrix_in_panels_is_the_whole_one(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide = weight if shape[0] <= shape[1] else weight.T
    np.testing.assert_allclose(np.tril(certificate.gram(weight, 0.5)), np.tril(4 * wide @ wide.T))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("channels", "side", "options"),
    [
        ((3, 8), 19, {"kernel_size": 5, "padding": 2}),
        ((8, 12), 12, {"kernel_size": 3, "padding": 1, "groups": 2}),
        ((3, 16), 23, {"kernel_size": 7, "stride": 4}),
        ((6, 6), 12, {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 3}),
    ],
)
def test_of_images_too_large_for_dense_matrices_the_norm_is_attained(channels, side, options, seed):
    layer = randomised(nn.Conv2d(*channels, bias=False, **options), seed)
    shape = (channels[0], side, side)
    assert math.prod(shape) > certificate.SMALL
    bounds, true = operator_norm(layer, shape), true_norm(layer, shape)
    assert true * (1 - attained(math.prod(shape))) <= bounds.lower <= true * (1 + ROUNDING)


def test_the_iteration_finds_the_top_of_a_spectrum_with_crowds_and_of_low_rank():
    for diagonal in (np.linspace(0, 1, 400) ** 0.1, np.r_[np.zeros(399), 1.0], np.ones(400)):
        value, vector = certificate.largest_eigenpair(lambda x: diagonal * x, 400, tolerance=1e-4)
        assert value == pytest.approx(1, rel=1e-5) and value <= 1 + ROUNDING
        assert vector @ (diagonal * vector) == pytest.approx(value, rel=1e-9)

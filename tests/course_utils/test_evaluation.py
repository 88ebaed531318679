"""Attacks above, intervals below: a linear model's closed form is both; nothing lies between."""

import copy
from functools import partial

import pytest
import torch
from elsewhere import Elsewhere, moved
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils import inference
from course_utils.attacks import square
from course_utils.evaluation import (
    ATTACKS,
    certified_within,
    errors_within,
    misread,
    nearest_in_pixels,
    nearest_mistake,
)
from course_utils.losses import minmax_loss
from course_utils.models import RBF, convolutional, fully_connected


@pytest.fixture(scope="module")
def linear():
    """Three classes on images of 4 x 4 pixels, and images so far inside the box that none binds."""
    model = fully_connected(3, inputs=16, seed=0)
    images = 0.3 + 0.4 * torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model[1].bias.sub_(model(images).mean(0))  # so that no class leads by far
    return model, images, model(images).argmax(1)


def smallest_eps(model, images, labels):
    """For each image the eps beyond which some rival wins: the lead over the weights' 1-norm."""
    weight, logits = model[1].weight.double(), model.double()(images.double())
    model.float()
    lead = logits.gather(1, labels[:, None]) - logits
    slope = (weight[labels][:, None] - weight).abs().sum(2)
    return (lead / slope).scatter(1, labels[:, None], torch.inf).amin(1)


@pytest.mark.parametrize("attack", ATTACKS[:4])
def test_gradient_attacks_and_intervals_meet_on_a_linear_model(linear, attack):
    model, images, labels = linear
    bound = smallest_eps(model, images, labels)
    for eps in (0.01, 0.02, 0.04):
        clear = (bound - eps).abs() > 1e-4
        fooled = misread(model, images, labels, eps=eps, attack=attack)
        proved = certified_within(model, images, labels, eps=eps)
        assert (proved == (bound > eps))[clear].all()
        assert not (fooled & (bound > eps))[clear].any()
        assert fooled[bound < 0.7 * eps].all() and 5 < fooled.sum() < 60


def test_the_square_attack_uses_no_gradient_and_breaks_no_proof(linear):
    model, images, labels = linear
    stepped = nn.Sequential(model, _Rounded())  # its gradient is zero everywhere
    bound = smallest_eps(model, images, labels)
    moved = square(stepped, images, labels, eps=0.03, queries=300)
    assert (moved - images).abs().max() <= 0.03 + 1e-6
    fooled = model(moved).argmax(1) != labels
    assert not fooled[bound > 0.0301].any()
    assert fooled[bound < 0.02].double().mean() > 0.7 and (bound < 0.02).sum() > 20
    assert torch.equal(moved, square(stepped, images, labels, eps=0.03, queries=300))
    assert not torch.equal(moved, square(stepped, images, labels, eps=0.03, queries=300, seed=1))


class _Rounded(nn.Module):
    def forward(self, logits):
        return logits.mul(1e3).round().div(1e3)


@given(st.integers(0, 10_000), st.floats(0.001, 0.05))
@settings(max_examples=25, deadline=None)
def test_no_point_within_a_certificate_has_another_label(seed, eps):
    generator = torch.Generator().manual_seed(seed)
    model = fully_connected(8, 6, 3, hidden="rectifier", inputs=5, seed=seed)
    images = torch.rand(20, 5, generator=generator)
    labels = model(images).argmax(1)
    proved = certified_within(model, images, labels, eps=eps)
    for _ in range(20):
        signs = 2.0 * torch.randint(2, images.shape, generator=generator) - 1
        moved = (images + eps * signs).clamp(0, 1)
        assert (model(moved).argmax(1) == labels)[proved].all()
    wrong = (labels + 1) % 3
    assert not certified_within(model, images, wrong, eps=eps).any()


def test_intervals_pass_a_convolution_as_they_pass_its_dense_matrix():
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convolution, last = nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Linear(8, 3)
    images = torch.rand(10, 1, 4, 4, generator=generator)
    dense = nn.Linear(16, 8)
    with torch.no_grad():
        last.weight.mul_(20)  # so that the image decides, and not the biases
        basis = torch.eye(16).view(16, 1, 4, 4)
        dense.bias.copy_(convolution(torch.zeros(1, 1, 4, 4)).flatten())
        dense.weight.copy_((convolution(basis).flatten(1) - dense.bias).T)
    one = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), last)
    other = nn.Sequential(nn.Flatten(), dense, nn.ReLU(), last)
    labels = one(images).argmax(1)
    found = {eps: certified_within(one, images, labels, eps=eps) for eps in (0, 0.01, 0.05, 0.5)}
    for eps, proved in found.items():
        assert torch.equal(proved, certified_within(other, images, labels, eps=eps))
    assert found[0].all() and not found[0.5].any()
    with pytest.raises(TypeError, match="no interval passes MaxPool2d"):
        pooled = nn.Sequential(nn.MaxPool2d(1), nn.Flatten(), nn.Linear(16, 3))
        certified_within(pooled, images, labels, eps=0.1)


def test_the_worst_of_all_attacks_never_falls(linear):
    model, images, labels = linear
    table = errors_within(model, images, labels, [0, 0.02, 0.05, 0.1])
    assert list(table.index) == [0, 0.02, 0.05, 0.1] and table["worst"].is_monotonic_increasing
    assert (table.drop(columns="worst").max(axis=1) <= table["worst"]).all()
    assert table.loc[0].eq(0).all() and table["worst"].iloc[-1] > 50
    with pytest.raises(ValueError, match="attack: got 'two steps', expected one of one step, "):
        misread(model, images, labels, eps=0.1, attack="two steps")


class _Band(nn.Module):
    """Class 1 where its pixel is .05 to .15 away from .5, on either side."""

    def forward(self, images):
        inside = 0.05 - ((images[:, 0] - 0.5).abs() - 0.1).abs()
        return torch.stack([torch.zeros_like(inside), inside], 1)


def test_whoever_may_move_further_may_move_as_far_as_before():
    """One step of .1 lands where the label is another, one of .2 beyond."""
    images, labels = torch.tensor([[0.51], [0.52]]), torch.tensor([0, 0])
    table = errors_within(_Band(), images, labels, [0.1, 0.2], attacks=("one step",))
    assert table["one step"].tolist() == [100, 0] and table["worst"].tolist() == [100, 100]


def test_restarts_never_find_less(linear):
    """And the network, the images and PyTorch's random state stay as they were."""
    images, labels = linear[1], linear[2]
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 30), nn.ReLU(), nn.Linear(30, 3))
    before, state = images.clone(), torch.get_rng_state()
    counts = [
        misread(model, images, labels, eps=0.02, attack="DLR loss", restarts=n).sum()
        for n in (1, 4)
    ]
    assert counts[0] <= counts[1]
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_min_max_loss_is_the_loss_at_a_linear_models_worst_corner():
    """For two classes all points of the box have the same worst corner, whatever the start."""
    model = fully_connected(2, inputs=9, seed=2)
    images = 0.3 + 0.4 * torch.rand(8, 9, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(8) % 2
    sign = (model[1].weight[1] - model[1].weight[0]).sign() * (1 - 2 * labels[:, None])
    expected = F.cross_entropy(model(images + 0.1 * sign), labels)
    loss = partial(minmax_loss, model, images, labels, eps=0.1)
    torch.testing.assert_close(loss(step=0.2, steps=1), expected)
    torch.testing.assert_close(loss(step=0.05, steps=4), expected)
    assert loss(step=0.01, steps=1) < expected


def test_the_convolutional_network_takes_digits_and_its_seed():
    state = torch.get_rng_state()
    model = convolutional(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert model(torch.rand(3, 1, 28, 28)).shape == (3, 10)
    assert torch.equal(model[0].weight, convolutional(seed=1)[0].weight)
    assert not torch.equal(model[0].weight, convolutional(seed=2)[0].weight)


def test_a_layer_that_computes_something_else_gets_no_certificate(linear):
    """Intervals of the weights alone would prove what is false."""
    model, (_, images, labels) = fully_connected(5, 3, inputs=16, seed=0), linear
    model[1].register_forward_hook(lambda module, inputs, output: 100 * output)
    with pytest.raises(TypeError, match="model: got Linear with forward hooks"):
        certified_within(model, images, labels, eps=0.01)


def test_a_last_layer_without_bias_has_biases_of_zero(linear):
    model, images, labels = linear
    without = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False))
    zero = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    zero[1].weight, labels = without[1].weight, without(images).argmax(1)
    nn.init.zeros_(zero[1].bias)
    proved = certified_within(without, images, labels, eps=0.005)
    assert torch.equal(proved, certified_within(zero, images, labels, eps=0.005)) and proved.any()
    with pytest.raises(TypeError, match="got ReLU as the last layer"):
        certified_within(nn.Sequential(*model, nn.ReLU()), images, labels, eps=0.1)


JUDGES = {
    "misread": partial(misread, eps=0.1, attack="DLR loss"),
    "errors_within": lambda *args, **options: errors_within(*args, [0.1], **options),
    "nearest_mistake": nearest_mistake,
    "nearest_in_pixels": nearest_in_pixels,
    "certified_within": partial(certified_within, eps=0.01),
    "square": partial(square, eps=0.1, queries=3),
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
def test_every_judge_looks_at_its_labels(linear, judge):
    model, images, labels = linear
    for wrong, words in [
        (labels + 3, "labels: got 5, expected 0 to 2"),
        (labels[:1], r"labels: got shape \(1,\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            judge(model, images, wrong)


@pytest.mark.parametrize("restarts", [0, -1, 2.0])
def test_no_restart_is_no_attack(linear, restarts):
    """Nothing tried is nothing found: the network would seem to resist."""
    with pytest.raises(ValueError, match="restarts: got"):
        misread(*linear, eps=0.1, attack="projected gradient", restarts=restarts)


def test_the_order_of_the_sizes_does_not_matter(linear):
    tables = [
        errors_within(*linear, sizes, attacks=("one step",)) for sizes in ([0.05, 0], [0, 0.05])
    ]
    assert tables[0].equals(tables[1]) and tables[0].loc[0, "worst"] == 0


def test_the_square_attack_asks_in_batches_that_fit(linear, monkeypatch):
    model, images, labels = linear
    whole, sizes = square(model, images, labels, eps=0.03, queries=20), []
    handle = model.register_forward_hook(lambda m, x, y: sizes.append(len(y)))
    monkeypatch.setattr(
        inference, "free_memory", lambda device: 7 * 64 * inference.WITHOUT_GRADIENT
    )
    with torch.inference_mode():
        parts = square(model, images, labels, eps=0.03, queries=20)
    handle.remove()
    assert max(sizes) <= 8 and not parts.is_inference()
    torch.testing.assert_close(parts, whole)


def test_the_nearest_mistake_of_a_linear_model_is_at_its_nearest_border(linear):
    model, images, labels = linear
    weight, logits = model[1].weight.detach(), model(images).detach()
    lead = logits.gather(1, labels[:, None]) - logits
    apart = (weight[labels][:, None] - weight).norm(dim=2)
    expected = (lead / apart).scatter(1, labels[:, None], torch.inf).amin(1)
    found = nearest_mistake(model, images, labels)
    inside = expected < 0.3  # no pixel meets the box on the way
    assert inside.sum() > 20
    torch.testing.assert_close(found[inside], expected[inside], rtol=0.02, atol=1e-4)
    assert (nearest_mistake(model, images, (labels + 1) % 3) == 0).all()  # misread as they are


def test_within_the_nearest_in_pixels_intervals_certify_a_linear_model(linear):
    """Of a network without hidden layers intervals are exact, too; and so is the closed form."""
    model, images, labels = linear
    nearest = nearest_in_pixels(model, images, labels)
    expected = smallest_eps(model, images, labels).float()
    assert nearest.max() < 0.3 and (nearest - expected).abs().max() < 2e-5  # no wall is met
    assert (nearest_in_pixels(model, images, (labels + 1) % 3) == 0).all()
    black_and_white = (images > 0.5).float()  # each pixel at a wall
    labels = model(black_and_white).argmax(1)
    nearest = nearest_in_pixels(model, black_and_white, labels)
    free = smallest_eps(model, black_and_white, labels).float()
    assert (nearest > free + 0.05).sum() > 20
    for eps in (0.1, 0.3, 0.6):
        proved = certified_within(model, black_and_white, labels, eps=eps)
        assert ((nearest > eps) == proved)[(nearest - eps).abs() > 2e-5].all()


@pytest.mark.parametrize("eps", [0.05, 0.1, 0.2])
def test_the_nearest_in_pixels_of_an_rbf_network_is_what_a_grid_finds(eps):
    """On two pixels and three classes: every change on a fine grid, with the network asked."""
    lot = torch.Generator().manual_seed(0)
    model = RBF(3, 2, precision=4.0)
    model.means = torch.rand(3, 2, generator=lot)
    with torch.no_grad():
        model.log_precisions += torch.randn(3, 2, generator=lot)
    x = torch.rand(40, 2, generator=lot)
    labels, steps = model(x).argmax(1), torch.linspace(-1, 1, 81)
    around = (x[:, None] + eps * torch.cartesian_prod(steps, steps)).clamp(0, 1)
    found = (model(around.flatten(0, 1)).argmax(1).view(40, -1) != labels[:, None]).any(1)
    exact = nearest_in_pixels(model, x, labels) <= eps
    assert not (found & ~exact).any() and (exact & ~found).sum() <= 1
    assert 2 < found.sum() < 40


@pytest.mark.parametrize("kind", ["linear", "RBF"])
def test_the_nearest_in_pixels_is_found_where_network_and_images_are(kind, linear):
    model, images, labels = linear
    if kind == "RBF":
        model = RBF(3, 16)
        model.means = images[:3].flatten(1)
        labels = model(images).argmax(1)
    here = nearest_in_pixels(model, images, labels)
    there = (tensor.as_subclass(Elsewhere) for tensor in (images, labels))
    found = nearest_in_pixels(moved(copy.deepcopy(model)), *there)
    assert type(found) is Elsewhere and torch.equal(found.cpu(), here) and here.min() > 0


def test_no_nearest_in_pixels_of_a_network_with_hidden_layers(linear):
    _, images, labels = linear
    with pytest.raises(TypeError, match="model: got Sequential"):
        nearest_in_pixels(fully_connected(5, 3, inputs=16), images, labels)

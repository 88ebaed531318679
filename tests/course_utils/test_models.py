import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.models import RBF, Maxout, eval_mode, fully_connected, linear_layers


def logits_by_numpy(model: nn.Module, images: torch.Tensor) -> np.ndarray:
    values = images.numpy().reshape(len(images), -1).astype(np.float64)
    layers = linear_layers(model)
    for layer in layers:
        if layer is not layers[0]:
            values = 1 / (1 + np.exp(-values))
        weight = layer.weight.detach().numpy().astype(np.float64)
        values = values @ weight.T + layer.bias.detach().numpy()
    return values


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 5), st.integers(0, 99))
def test_logits_are_those_of_the_formula(widths, count, seed):
    model = fully_connected(*widths, inputs=12, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for layer in linear_layers(model):  # biases start at zero, which would hide a lost one
        nn.init.uniform_(layer.bias, -1, 1, generator=generator)
    images = torch.rand(count, 1, 3, 4, generator=generator)
    logits = model(images)
    assert logits.shape == (count, widths[-1])
    np.testing.assert_allclose(logits.detach().numpy(), logits_by_numpy(model, images), atol=1e-5)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_maxout_units_give_the_largest_of_their_pieces(count, units, seed):
    generator = torch.Generator().manual_seed(seed)
    model = fully_connected(units, 3, hidden="maxout", inputs=12, seed=seed)
    for layer in linear_layers(model):
        nn.init.uniform_(layer.bias, -1, 1, generator=generator)
    images = torch.rand(count, 1, 3, 4, generator=generator)
    first, last = linear_layers(model)
    assert first.out_features == Maxout.PIECES * units == 5 * units
    pieces = images.flatten(1) @ first.weight.T + first.bias
    largest = torch.stack([pieces[:, unit::units].amax(1) for unit in range(units)], 1)
    torch.testing.assert_close(model(images), largest @ last.weight.T + last.bias)


def test_rectifiers_and_dropout_stand_where_they_should():
    model = fully_connected(6, 5, 3, hidden="rectifier", inputs=12, dropout=(0.2, 0.5))
    kinds = [type(layer).__name__ for layer in model]
    assert kinds == [
        "Flatten",
        "Dropout",
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
        "ReLU",
        "Dropout",
        "Linear",
    ]
    assert [layer.p for layer in model if isinstance(layer, nn.Dropout)] == [0.2, 0.5, 0.5]
    plain = fully_connected(6, 5, 3, hidden="rectifier", inputs=12)
    images = torch.rand(4, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.eval()(images), plain(images))


@given(st.integers(0, 99), st.floats(0.01, 3), st.sampled_from([torch.float32, torch.float64]))
def test_rbf_units_are_the_formulas(seed, scale, dtype):
    generator = torch.Generator().manual_seed(seed)
    model = RBF(3, 12).to(dtype)
    model.means = torch.rand(3, 12, generator=generator).to(dtype)
    with torch.no_grad():
        model.log_precisions.uniform_(-3, 1, generator=generator)
    images = scale * torch.rand(5, 1, 3, 4, generator=generator).to(dtype)
    b, away = model.log_precisions.exp(), images.flatten(1)[:, None] - model.means
    distance = (b * away.square()).sum(2)
    logits = model(images)
    torch.testing.assert_close(logits.sigmoid(), (-distance).exp(), rtol=1e-4, atol=1e-6)
    assert logits.isfinite().all()


def test_rbf_logits_and_slopes_are_finite_and_smooth_near_and_far():
    model = RBF(2, 1, precision=1.0).double()
    near_and_far = torch.tensor([0.0, 1e-9, 0.1, 19.9999**0.5, 20.0001**0.5, 40.0, 1e6])
    images = near_and_far.double()[:, None].requires_grad_()
    logits = model(images)[:, 0]
    (slope,) = torch.autograd.grad(logits.sum(), images)
    assert logits.isfinite().all() and slope.isfinite().all()
    assert (logits.diff()[1:] < 0).all()
    assert (logits[3] - logits[4]).item() == pytest.approx(2e-4, rel=1e-2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden": "tanh"}, "hidden: got 'tanh'"),
        ({"dropout": (0.2,)}, "dropout: got"),
        ({"dropout": (0.2, 1.0)}, "dropout: got"),
        ({"dropout": (-0.1, 0)}, "dropout: got"),
    ],
)
def test_bad_kinds_and_shares_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        fully_connected(5, 3, **options)


def test_widths_are_those_of_the_name():
    shapes = [tuple(layer.weight.shape) for layer in linear_layers(fully_connected(123, 456, 10))]
    assert shapes == [(123, 784), (456, 123), (10, 456)]


def test_first_weights_follow_the_seed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (fully_connected(5, 10, seed=seed)[1].weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    bound = (6 / (784 + 5)) ** 0.5
    assert 0.95 * bound < first.abs().max().item() <= bound


@pytest.mark.parametrize("widths", [(), (0,), (100, -1), (2.0,), (True,)])
def test_bad_widths_are_refused(widths):
    with pytest.raises(ValueError, match="widths: got"):
        fully_connected(*widths)


def test_eval_mode_restores_every_part_also_after_an_error():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3)).train()
    model[1].eval()
    with pytest.raises(KeyError), eval_mode(model):
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == [True, True, False]


@pytest.mark.skipif(not torch.set_flush_denormal(True), reason="this processor cannot")
@pytest.mark.parametrize(("imported", "flushed"), [("torch", False), ("course_utils.models", True)])
def test_importing_the_networks_flushes_denormals(imported, flushed):
    # In a process of its own: a module that is loaded again has classes that others don't know.
    code = f"import torch, {imported}; print((torch.tensor([1e-30]) * 1e-10).item() == 0)"
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == f"{flushed}\n"


SET = "vars(type(torch.backends.cudnn))['allow_tf32']"
AS_IN_2_9_0 = f"""set = {SET}.setter
{SET}.setter = lambda value: [warnings.warn("Please use the new API settings"), set(value)]"""


@pytest.mark.parametrize("release", ["", AS_IN_2_9_0], ids=["as it is here", "as in PyTorch 2.9.0"])
def test_importing_the_networks_keeps_a_gpus_float32_without_a_warning(release):
    code = f"""import torch, warnings
{release}
import course_utils.models
warnings.simplefilter("ignore")  # of the reading
print(torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")

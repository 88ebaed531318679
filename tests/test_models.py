import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.models import eval_mode, fully_connected, linear_layers


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
def test_importing_the_networks_flushes_denormals():
    import importlib

    import course_utils.models

    torch.set_flush_denormal(False)
    assert (torch.tensor([1e-30]) * 1e-10).item() > 0
    importlib.reload(course_utils.models)
    assert (torch.tensor([1e-30]) * 1e-10).item() == 0

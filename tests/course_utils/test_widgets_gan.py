"""Lecture 5's explorer shows what the generator makes of z, and what the classifier says of it."""

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.gan import Generator, draw_noise, rectifier_generator
from course_utils.widgets import gan_explorer
from course_utils.widgets.gan import SLIDERS, ZOOM, strongest
from course_utils.zoo import load_model


@pytest.fixture(scope="module")
def generator():
    """Small, and not trained, but with weights that make every number of z matter."""
    network = rectifier_generator(30, noise=8)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(0, 0.5, generator=random)
    return network


def anchor(generator, seed):
    return draw_noise(1, generator.noise, seed=seed)[0]


def places(explorer):
    """The numbers of z that the sliders change, and what leaves them as they are."""
    names = [name for name in explorer.controls if name.startswith("change_z")]
    return [int(name.removeprefix("change_z")) for name in names], dict.fromkeys(names, 0.0)


def check_shown(shown, generator, first, second, t):
    """Compare everything shown with what is computed here, one image at a time."""
    noise = [first, (1 - t) * first + t * second, second]
    generator.eval()
    with torch.no_grad():
        images = torch.cat([generator(z[None]) for z in noise])
        chances = load_model("maxout")(images[1:2]).softmax(1)[0]
    generator.train()
    assert list(shown.pictures) == ["A", "blend", "B"]
    pictures = np.stack([p[ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM] for p in shown.pictures.values()])
    assert np.abs(pictures - 255 * images[:, 0].numpy()).max() <= 0.51
    assert np.abs([bar.percent for bar in shown.bars] - 100 * chances.numpy()).max() < 1e-3
    best = int(chances.argmax())
    assert shown.words == [f"The blend is taken for a {best}."]
    assert [int(bar.name) for bar in shown.bars if bar.bold] == [best]


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_the_blend_runs_from_the_first_anchor_to_the_second(generator, t):
    explorer = gan_explorer(generator)
    shown = explorer.frame(seed_A=12, seed_B=34, blend=t, **places(explorer)[1])
    check_shown(shown, generator, anchor(generator, 12), anchor(generator, 34), t)
    first, blend, second = shown.pictures.values()
    assert not (first == second).all()
    assert (blend == first).all() == (t == 0) and (blend == second).all() == (t == 1)


def test_each_slider_moves_its_number_of_the_first_anchor(generator):
    explorer = gan_explorer(generator)
    numbers, still = places(explorer)
    for k in numbers:
        for change in (0.25, -2.0):  # the second leaves the cube, and is cut off
            shown = explorer.frame(0, 1, 0.5, **(still | {f"change_z{k}": change}))
            first = anchor(generator, 0)
            first[k] = max(first[k].item() + change, -1.0)
            first.clamp_(-1, 1)
            check_shown(shown, generator, first, anchor(generator, 1), 0.5)


def test_the_sliders_hold_the_numbers_that_matter_most_once_each():
    weight = torch.zeros(784, 9)
    sizes = [0.0, 3.0, 0.1, 2.0, 0.0, 5.0, 0.3, 4.0, 0.2]
    weight[range(9), range(9)] = torch.tensor(sizes)
    layer = nn.Linear(9, 784)
    layer.load_state_dict({"weight": weight, "bias": torch.zeros(784)})
    dots = Generator(layer, nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)), noise=9)
    assert strongest(dots, SLIDERS) == [5, 7, 1, 3, 6] == places(gan_explorer(dots))[0]
    narrow = rectifier_generator(5, noise=2)
    assert sorted(places(gan_explorer(narrow))[0]) == [0, 1]


def test_the_generator_is_left_as_it_was(generator):
    generator.train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    explorer = gan_explorer(generator)
    explorer.frame(0, 1, 0.1, **places(explorer)[1])
    assert generator.training and all(p.grad is None for p in generator.parameters())
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_is_no_generator_of_digits_is_refused():
    with pytest.raises(TypeError, match="generator: got Linear, expected a Generator"):
        gan_explorer(nn.Linear(10, 784))
    flat = Generator(nn.Linear(3, 784), noise=3)
    with pytest.raises(ValueError, match=r"shape \(784,\), expected \(1, 28, 28\)"):
        gan_explorer(flat)

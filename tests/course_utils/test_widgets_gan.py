"""Lecture 5's explorer shows what the generator makes of z, and what the classifier says of it."""

import io
import re
import statistics
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_utils.gan import Generator, draw_noise, rectifier_generator
from course_utils.widgets import gan_explorer
from course_utils.widgets.gan import SLIDERS, ZOOM
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


class Explorer:
    """The parts of the widget by name, and what they show as numbers."""

    def __init__(self, generator):
        seeds, self.t, walk, shown = gan_explorer(generator).children
        self.seeds, self.walk = seeds.children, walk.children
        *named, self.answer = shown.children
        self.images = [box.children[0] for box in named]
        self.names = [box.children[1].value for box in named]
        self.places = [int(re.search(r"\d+", slider.description)[0]) for slider in self.walk]

    def pictures(self):
        pixels = [np.asarray(Image.open(io.BytesIO(image.value))) for image in self.images]
        assert {picture.shape for picture in pixels} == {(28 * ZOOM, 28 * ZOOM)}
        return np.stack([picture[ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM] for picture in pixels])

    def percents(self):
        return [float(p) for p in re.findall(r">([\d.]+) %<", self.answer.value)]


@pytest.fixture
def explorer(generator):
    return Explorer(generator)


def check_shown(explorer, generator, first, second, t):
    """Compare everything shown with what is computed here, one image at a time."""
    noise = [first, (1 - t) * first + t * second, second]
    generator.eval()
    with torch.no_grad():
        images = torch.cat([generator(z[None]) for z in noise])
        chances = load_model("maxout")(images[1:2]).softmax(1)[0]
    generator.train()
    assert np.abs(explorer.pictures() - 255 * images[:, 0].numpy()).max() <= 0.51
    assert np.abs(np.array(explorer.percents()) - 100 * chances.numpy()).max() < 0.06
    best = int(chances.argmax())
    assert f"<b>{best}</b>" in explorer.answer.value
    rows = re.findall(r"<tr.*?</tr>", explorer.answer.value)
    assert [k for k, row in enumerate(rows) if "font-weight:bold" in row] == [best]


def anchor(generator, seed):
    return draw_noise(1, generator.noise, seed=seed)[0]


def test_it_begins_half_way_between_two_anchors(explorer, generator):
    assert explorer.names == ["A", "blend", "B"]
    check_shown(explorer, generator, anchor(generator, 0), anchor(generator, 1), 0.5)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_the_blend_runs_from_the_first_anchor_to_the_second(explorer, generator, t):
    explorer.seeds[0].value, explorer.seeds[1].value, explorer.t.value = 12, 345, t
    check_shown(explorer, generator, anchor(generator, 12), anchor(generator, 345), t)
    first, blend, second = explorer.pictures()
    assert not (first == second).all()
    assert (blend == first).all() == (t == 0) and (blend == second).all() == (t == 1)


def test_each_slider_moves_its_number_of_the_first_anchor(explorer, generator):
    first, second = anchor(generator, 0), anchor(generator, 1)
    for slider, place in zip(explorer.walk, explorer.places, strict=True):
        assert (slider.min, slider.max) == (-1, 1)
        assert slider.value == first[place]
        slider.value = 0.625
        first[place] = 0.625
        check_shown(explorer, generator, first, second, 0.5)
    explorer.t.value, explorer.seeds[1].value = 0.2, 7  # the walk stays where it was
    check_shown(explorer, generator, first, anchor(generator, 7), 0.2)
    explorer.seeds[0].value = 3  # a new anchor takes the sliders along
    first = anchor(generator, 3)
    assert [slider.value for slider in explorer.walk] == first[explorer.places].tolist()
    check_shown(explorer, generator, first, anchor(generator, 7), 0.2)


def test_the_sliders_hold_the_numbers_that_matter_most_once_each():
    weight = torch.zeros(784, 9)
    sizes = [0.0, 3.0, 0.1, 2.0, 0.0, 5.0, 0.3, 4.0, 0.2]
    weight[range(9), range(9)] = torch.tensor(sizes)
    layer = nn.Linear(9, 784)
    layer.load_state_dict({"weight": weight, "bias": torch.zeros(784)})
    dots = Generator(layer, nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)), noise=9)
    assert Explorer(dots).places == [5, 7, 1, 3, 6] and SLIDERS == 5
    narrow = rectifier_generator(5, noise=2)
    assert sorted(Explorer(narrow).places) == [0, 1]


def test_a_control_costs_one_pass_however_many_sliders_move(generator):
    """Work for places in between would pile up behind a hand that goes on moving."""
    explorer = Explorer(generator)
    passes = []
    hook = generator.register_forward_hook(lambda *arguments: passes.append(1))
    for control in (*explorer.seeds, explorer.t, *explorer.walk):
        passes.clear()
        control.value = 9 if control in explorer.seeds else 0.123
        assert len(passes) == 1, control.description
    hook.remove()


def test_a_move_takes_less_than_the_eye_notices():
    explorer = Explorer(rectifier_generator(400, 400, noise=10))
    times = []
    for step in range(31):
        for slider in (explorer.t, explorer.walk[0]):
            began = time.perf_counter()
            slider.value = (step + 0.5) / 31
            times.append(time.perf_counter() - began)
    assert statistics.median(times) < 0.15


def test_the_generator_is_left_as_it_was(generator):
    generator.train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    Explorer(generator).t.value = 0.1
    assert generator.training and all(p.grad is None for p in generator.parameters())
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_is_no_generator_of_digits_is_refused():
    with pytest.raises(TypeError, match="generator: got Linear, expected a Generator"):
        gan_explorer(nn.Linear(10, 784))
    flat = Generator(nn.Linear(3, 784), noise=3)
    with pytest.raises(ValueError, match=r"shape \(784,\), expected \(1, 28, 28\)"):
        gan_explorer(flat)

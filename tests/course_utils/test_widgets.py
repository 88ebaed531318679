"""The explorer's controls change the picture and the probabilities, to the right ones, quickly."""

import io
import re
import statistics
import time

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.attacks import lbfgs_attack
from course_utils.widgets import perturbation_explorer, transfer_explorer
from course_utils.widgets.perturbation import GAP, LARGEST, ZOOM
from course_utils.zoo import load_model


@pytest.fixture(scope="module")
def model():
    return load_model("FC10(1e-2)")


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    blobs = torch.rand(3, 1, 7, 7, generator=generator)
    return torch.nn.functional.interpolate(blobs, scale_factor=4, mode="bilinear").clamp(0, 1)


@pytest.fixture(scope="module")
def labels(model, images):
    return model(images).argmax(1)


class Explorer:
    """The parts of the widget by name, and what they show as numbers."""

    def __init__(self, model, images, labels):
        menus, self.scale, shown = perturbation_explorer(model, images, labels).children
        self.digit, self.target = menus.children
        self.picture, self.chances = shown.children

    def pictures(self):
        pixels = np.asarray(Image.open(io.BytesIO(self.picture.value)))
        assert pixels.shape == (28 * ZOOM, 2 * 28 * ZOOM + GAP * ZOOM)
        left, right = pixels[:, : 28 * ZOOM], pixels[:, -28 * ZOOM :]
        return [side[ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM] for side in (left, right)]

    def probabilities(self):
        return [float(p) for p in re.findall(r">([\d.]+) %<", self.chances.value)]

    def widths(self):
        return [float(p) for p in re.findall(r"width:([\d.]+)%", self.chances.value)]


@pytest.fixture
def explorer(model, images, labels):
    return Explorer(model, images, labels)


def expected(model, images, digit, target, scale):
    """The pictures and probabilities, from an attack of this one image alone."""
    image = images[digit : digit + 1]
    r = lbfgs_attack(model, image, torch.tensor([target]), progress=False).perturbation
    moved = (image + scale * r).clamp(0, 1)
    grey = (scale * r + 1).div(2).clamp(0, 1)
    chances = 100 * model(moved).softmax(1)[0].detach()
    size = (moved - image).square().mean().sqrt().item()
    return 255 * grey[0, 0].numpy(), 255 * moved[0, 0].numpy(), chances.numpy(), size


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, LARGEST])
@pytest.mark.parametrize("digit", [0, 2])
def test_slider_shows_what_the_model_says(explorer, model, images, digit, scale):
    target = (explorer.target.value + digit) % 10
    explorer.digit.value, explorer.target.value, explorer.scale.value = digit, target, scale
    grey, moved, chances, size = expected(model, images, digit, target, scale)
    left, right = explorer.pictures()
    assert np.abs(left - grey).max() <= 1.5 and np.abs(right - moved).max() <= 1.5
    assert np.abs(explorer.probabilities() - chances).max() < 0.5
    assert explorer.widths() == explorer.probabilities()
    assert float(re.search(r"Distortion: ([\d.]+)\.<", explorer.chances.value)[1]) == (
        pytest.approx(size, abs=2e-4)
    )


def test_each_menu_shows_its_choice_at_once(explorer, model, images):
    target = explorer.target.value
    explorer.digit.value = 1
    assert np.abs(explorer.pictures()[1] - expected(model, images, 1, target, 1.0)[1]).max() <= 1.5
    target = (target + 3) % 10
    explorer.target.value = target
    assert np.abs(explorer.pictures()[1] - expected(model, images, 1, target, 1.0)[1]).max() <= 1.5


def test_every_move_changes_the_picture_and_the_probabilities(explorer):
    seen = set()
    for scale in (0.0, 0.5, 0.95, 1.0, 1.05, 1.5):
        explorer.scale.value = scale
        seen.add((explorer.picture.value, explorer.chances.value))
    assert len(seen) == 6
    assert len({picture for picture, _ in seen}) == 6
    assert len({chances for _, chances in seen}) == 6


def test_at_one_the_target_is_on_top_and_before_it_is_not(explorer, model, images, labels):
    target = explorer.target.value
    for scale, says in ((0.0, int(labels[0])), (1.0, target)):
        explorer.scale.value = scale
        assert f"Prediction: <b>{says}</b>" in explorer.chances.value
        rows = re.findall(r"<tr.*?</tr>", explorer.chances.value)
        assert len(rows) == 10 and target != int(labels[0])
        assert [i for i, row in enumerate(rows) if ">target<" in row] == [target]
        assert [i for i, row in enumerate(rows) if "font-weight:bold" in row] == [says]


def test_a_digit_that_is_its_own_target_stays_as_it_is(explorer, images, labels):
    explorer.target.value = int(labels[0])
    explorer.scale.value = LARGEST
    left, right = explorer.pictures()
    assert (left == 128).all()
    assert np.abs(right - 255 * images[0, 0].numpy()).max() <= 0.5


def test_a_move_takes_less_than_the_eye_notices(explorer):
    times = []
    for i in range(31):
        began = time.perf_counter()
        explorer.scale.value = 0.05 * i
        times.append(time.perf_counter() - began)
    assert statistics.median(times) < 5 * 0.15


def test_menu_tells_images_of_one_label_apart(model, images):
    menu = Explorer(model, images, torch.tensor([7, 3, 7])).digit
    assert menu.options == (("7 (image 0)", 0), ("3", 1), ("7 (image 2)", 2))


def test_model_is_left_as_it_was(images, labels):
    model = load_model("FC10(1)").train()
    Explorer(model, images, labels).scale.value = 0.3
    assert model.training and all(p.grad is None for p in model.parameters())


def test_as_many_labels_as_images(model, images):
    with pytest.raises(ValueError, match="labels: got 2, expected one for each of 3"):
        perturbation_explorer(model, images, torch.tensor([1, 2]))


def test_transfer_explorer_shows_the_errors_of_every_network(images):
    models = {name: load_model(name) for name in ("FC10(1e-2)", "FC10(1)", "FC100-100-10")}
    labels = models["FC10(1e-2)"](images).argmax(1)
    generator = torch.Generator().manual_seed(1)
    sets = {
        name: images + 0.3 * torch.randn(images.shape, generator=generator) for name in models
    }
    source, stddev, bars = transfer_explorer(models, images, sets, labels).children
    assert list(source.options) == list(sets)
    for name, size in [("FC10(1)", 0.0), ("FC100-100-10", 0.3), ("FC10(1e-2)", 0.12)]:
        source.value, stddev.value = name, size
        r = sets[name] - images
        moved = images + size * r / r.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        for model_name, model in models.items():
            error = 100 * (model(moved).argmax(1) != labels).double().mean().item()
            row = next(r for r in bars.value.split("<tr")[1:] if f">{model_name}<" in r)
            assert f"{error:.1f} %" in row and f"width:{error:.1f}%" in row
            assert ("font-weight:bold" in row) == (model_name == name)

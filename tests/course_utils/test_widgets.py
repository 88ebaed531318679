"""What the explorers of Lectures 1 and 2 show is what the models say."""

import numpy as np
import pytest
import torch
from elsewhere import Elsewhere

from course_utils.attacks import lbfgs_attack
from course_utils.widgets import perturbation_explorer, transfer_explorer
from course_utils.widgets.perturbation import LARGEST, ZOOM
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


@pytest.fixture(scope="module")
def explorer(model, images, labels):
    return perturbation_explorer(model, images, labels)


def small(pixels):
    """A magnified picture's own pixels, from 0 to 255."""
    assert pixels.shape == (28 * ZOOM, 28 * ZOOM)
    return pixels[ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM].astype(float)


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0, LARGEST])
@pytest.mark.parametrize("place", [0, 2])
def test_a_perturbation_is_shown_at_its_scale(explorer, model, images, place, t):
    digit, target = explorer.controls["digit"].options[place], str((place + 4) % 10)
    shown = explorer.frame(digit=digit, target=target, t=t)
    # From an attack of this one image alone.
    image = images[place : place + 1]
    r = lbfgs_attack(model, image, torch.tensor([int(target)]), progress=False).perturbation
    moved = (image + t * r).clamp(0, 1)
    left, right = map(small, shown.pictures.values())
    assert np.abs(left - 255 * (t * r + 1).div(2).clamp(0, 1)[0, 0].numpy()).max() <= 1.5
    assert np.abs(right - 255 * moved[0, 0].numpy()).max() <= 1.5
    chances = 100 * model(moved).softmax(1)[0].detach().numpy()
    assert np.abs([bar.percent for bar in shown.bars] - chances).max() < 0.5
    assert [bar.name for bar in shown.bars] == [str(k) for k in range(10)]
    assert [bar.name for bar in shown.bars if bar.note == "target"] == [target]
    says, (line,) = str(chances.argmax()), shown.words
    assert [bar.name for bar in shown.bars if bar.bold] == [says]
    assert line.startswith(f"Prediction: {says}. Distortion: ")
    size = (moved - image).square().mean().sqrt().item()
    assert float(line.split()[-1][:-1]) == pytest.approx(size, abs=2e-4)


def test_at_one_the_target_is_on_top_and_before_it_is_not(explorer, labels):
    target = explorer.controls["target"].start
    assert int(target) == (int(labels[0]) + 1) % 10
    for t, says in ((0.0, int(labels[0])), (1.0, target)):
        (line,) = explorer.frame(explorer.controls["digit"].start, target, t).words
        assert line.startswith(f"Prediction: {says}.")


def test_a_digit_that_is_its_own_target_stays_as_it_is(explorer, images, labels):
    shown = explorer.frame(explorer.controls["digit"].start, str(int(labels[0])), LARGEST)
    left, right = map(small, shown.pictures.values())
    assert (left == 128).all() and np.abs(right - 255 * images[0, 0].numpy()).max() <= 0.5


def test_the_menu_tells_images_of_one_label_apart(model, images):
    made = perturbation_explorer(model, images, torch.tensor([7, 3, 7]))
    assert made.controls["digit"].options == ["7 (image 0)", "3", "7 (image 2)"]


def test_the_model_is_left_as_it_was(images, labels):
    model = load_model("FC10(1)").train()
    made = perturbation_explorer(model, images, labels)
    made.frame(made.controls["digit"].start, "3", 0.3)
    assert model.training and all(p.grad is None for p in model.parameters())


def test_as_many_labels_as_images(model, images):
    with pytest.raises(ValueError, match="labels: got 2, expected one for each of 3"):
        perturbation_explorer(model, images, torch.tensor([1, 2]))


def test_the_errors_of_every_network_are_shown(images):
    models = {name: load_model(name) for name in ("FC10(1e-2)", "FC10(1)", "FC100-100-10")}
    labels = models["FC10(1e-2)"](images).argmax(1)
    generator = torch.Generator().manual_seed(1)
    sets = {
        name: images + 0.3 * torch.randn(images.shape, generator=generator) for name in models
    }
    explorer = transfer_explorer(models, images, sets, labels)
    assert explorer.controls["made_for"].options == list(sets)
    for name, size in [("FC10(1)", 0.0), ("FC100-100-10", 0.3), ("FC10(1e-2)", 0.12)]:
        shown = explorer.frame(made_for=name, distortion=size)
        r = sets[name] - images
        moved = images + size * r / r.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        for bar, (model_name, model) in zip(shown.bars, models.items(), strict=True):
            error = 100 * (model(moved).argmax(1) != labels).double().mean().item()
            assert (bar.name, bar.bold) == (model_name, model_name == name)
            assert bar.percent == pytest.approx(error)


def test_images_of_another_device_are_moved_to_the_models(model, images, labels):
    far = images.as_subclass(Elsewhere)
    made = perturbation_explorer(model, far, labels)
    made.frame(made.controls["digit"].start, "3", 0.3)
    sets = {"one": (images + 0.1).as_subclass(Elsewhere)}
    made = transfer_explorer({"one": model}, far, sets, labels.as_subclass(Elsewhere))
    made.frame("one", 0.1)

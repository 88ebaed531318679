import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils.models import fully_connected, linear_layers
from course_utils.transfer import (
    amplify,
    cells,
    distortion,
    draw_targets,
    easiest_targets,
    gaussian_noise,
    same_mistakes,
    transfer_table,
)

CLASSES = 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def networks(**widths: tuple[int, ...]) -> dict[str, nn.Module]:
    """Untrained networks whose answers vary: their first weights are enlarged."""
    models = {}
    for seed, (name, sizes) in enumerate(widths.items()):
        models[name] = fully_connected(*sizes, inputs=6, seed=seed)
        for layer in linear_layers(models[name]):
            nn.init.normal_(layer.weight, std=3.0, generator=generator(seed))
    return models


def sets(count: int = 40) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    names = ["A", "B", "noise"]
    batches = {
        name: torch.randn(count, 1, 2, 3, generator=generator(i)) for i, name in enumerate(names)
    }
    return batches, torch.arange(count) % CLASSES


def classes_by_numpy(model: nn.Module, images: torch.Tensor) -> np.ndarray:
    values = images.numpy().reshape(len(images), -1).astype(np.float64)
    for layer in linear_layers(model):
        if layer is not linear_layers(model)[0]:
            values = 1 / (1 + np.exp(-values))
        values = values @ layer.weight.detach().double().numpy().T + layer.bias.detach().numpy()
    return values.argmax(1)


def wilson_by_quadratic(errors: int, n: int, confidence: float) -> tuple[float, float]:
    """The two p with (errors / n - p)^2 = z^2 p (1 - p) / n, in percent."""
    z, rate = scipy.stats.norm.ppf((1 + confidence) / 2), errors / n
    roots = np.roots([1 + z**2 / n, -(2 * rate + z**2 / n), rate**2])
    return tuple(100 * np.sort(roots.real))


def test_every_cell_is_the_count_of_mistakes():
    models, (batches, labels) = networks(A=(CLASSES,), B=(5, CLASSES)), sets()
    table = transfer_table(models, batches, labels)
    for part in (table.errors, table.low, table.high):
        assert list(part.index) == ["A", "B", "noise"] and list(part.columns) == ["A", "B"]
    for row, images in batches.items():
        for column, model in models.items():
            mistakes = int((classes_by_numpy(model, images) != labels.numpy()).sum())
            assert 0 < mistakes < 40
            assert table.errors.loc[row, column] == pytest.approx(100 * mistakes / 40)
            low, high = wilson_by_quadratic(mistakes, 40, 0.95)
            assert table.low.loc[row, column] == pytest.approx(low)
            assert table.high.loc[row, column] == pytest.approx(high)
    assert table.errors.to_numpy().std() > 1


def test_noise_is_gaussian_of_the_stddev_asked_for():
    images = torch.rand(50, 1, 20, 20, generator=generator())
    noise = (gaussian_noise(images, 0.3, generator(1)) - images).flatten().double().numpy()
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(0.3, rel=0.02)
    assert scipy.stats.kstest(noise / 0.3, "norm").pvalue > 0.01
    assert torch.equal(gaussian_noise(images, 0.0, generator()), images)


def test_noise_follows_its_generator_and_leaves_the_global_one_alone():
    images, before = torch.zeros(3, 1, 2, 2), torch.get_rng_state()
    one, same, other = (gaussian_noise(images, 1.0, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_is_clipped_only_if_asked():
    images = torch.tensor([0.0, 0.5, 1.0]).repeat(200).view(100, 6)
    noisy = gaussian_noise(images, 0.4, generator())
    assert noisy.min() < 0 and noisy.max() > 1
    clipped = gaussian_noise(images, 0.4, generator(), clip=True)
    np.testing.assert_array_equal(clipped, noisy.numpy().clip(0, 1))


@given(st.integers(1, 6), st.floats(0.001, 2), st.integers(0, 99), st.floats(1e-6, 1e3))
def test_amplified_perturbations_keep_their_direction_and_get_the_size(n, stddev, seed, size):
    draw = generator(seed)
    images = torch.rand(n, 1, 3, 4, generator=draw, dtype=torch.float64)
    r = size * torch.randn(n, 1, 3, 4, generator=draw, dtype=torch.float64)
    grown = amplify(images, r, stddev) - images
    root = np.sqrt((grown.numpy().reshape(n, -1) ** 2).mean(1))
    np.testing.assert_allclose(root, stddev, rtol=1e-9)
    np.testing.assert_allclose(distortion(grown), root, rtol=1e-12)
    cosines = F.cosine_similarity(grown.flatten(1), r.flatten(1))
    np.testing.assert_allclose(cosines, 1, rtol=1e-9)


def test_amplify_leaves_an_image_without_a_perturbation_alone():
    images, r = torch.rand(2, 1, 2, 2, generator=generator()), torch.zeros(2, 1, 2, 2)
    r[1, 0, 0, 0] = 1e-3
    amplified = amplify(images, r, 0.1)
    assert torch.equal(amplified[0], images[0])
    assert (amplified[1] - images[1])[0, 0, 0].item() == pytest.approx(0.2)  # 0.1 * sqrt(4)


def test_random_targets_are_every_wrong_class_equally_often():
    labels = torch.arange(9000) % 10
    targets = draw_targets(labels, how="random", generator=generator())
    assert targets.dtype == torch.int64
    counts = torch.zeros(10, 10).index_put((labels, targets), torch.ones(9000), accumulate=True)
    assert (counts.diagonal() == 0).all()
    expected = 100 * (1 - torch.eye(10))
    assert scipy.stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 0.01
    again = draw_targets(labels, how="random", generator=generator())
    assert torch.equal(targets, again)
    two = draw_targets(torch.tensor([0, 1, 1]), how="random", generator=generator(), classes=2)
    assert two.tolist() == [1, 0, 0]


def test_runner_up_is_the_likeliest_wrong_class():
    model, (batches, labels) = networks(A=(5, CLASSES))["A"], sets()
    targets = draw_targets(labels, how="runner-up", model=model, images=batches["A"])
    with torch.no_grad():
        chances = model(batches["A"]).softmax(1).numpy()
    for label, target, row in zip(labels.tolist(), targets.tolist(), chances, strict=True):
        wrong = [k for k in range(CLASSES) if k != label]
        assert target == max(wrong, key=row.__getitem__)
    missed = torch.tensor(chances.argmax(1)) != labels
    assert 0 < missed.sum() < 40
    assert (targets[missed] == torch.tensor(chances.argmax(1))[missed]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "hardest"}, "how: got 'hardest'"),
        ({"how": "random"}, "generator: got None"),
        ({"how": "runner-up"}, "model: got NoneType"),
        (
            {"how": "random", "generator": torch.Generator(), "classes": 3},
            "labels: got 3, expected 0 to 2",
        ),
        ({"how": "random", "generator": torch.Generator(), "classes": 1}, "labels: got"),
    ],
)
def test_targets_say_what_they_need(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        draw_targets(torch.arange(4), **options)


@dataclasses.dataclass(frozen=True)
class Result:
    images: torch.Tensor
    distortion: torch.Tensor
    success: torch.Tensor
    evaluations: torch.Tensor


def test_the_easiest_target_is_the_nearest_that_succeeds():
    # Towards class t, image i is moved by cost[i, t] and falls only where falls[i, t].
    cost = torch.tensor([[9.0, 3.0, 2.0, 1.0], [5.0, 9.0, 4.0, 6.0], [1.0, 2.0, 9.0, 3.0]])
    falls = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).bool()
    labels, rows = torch.tensor([0, 1, 2]), torch.arange(3)
    images = torch.zeros(3, 1, 2, 2)

    def attack(model, images, targets):
        assert (targets != labels).all()
        size = cost[rows, targets]
        moved = images + size.view(-1, 1, 1, 1)
        return Result(moved, size, falls[rows, targets], 10 + targets)

    targets, result = easiest_targets(attack, nn.Identity(), images, labels, classes=4)
    assert targets.tolist() == [2, 2, 3]  # of the third image none falls: the first try stays
    assert result.distortion.tolist() == [2.0, 4.0, 3.0]
    assert result.images[:, 0, 0, 0].tolist() == [2.0, 4.0, 3.0]
    assert result.success.tolist() == [True, True, False]
    assert result.evaluations.tolist() == [36, 35, 34]  # 3 * 10 and the wrong classes' numbers


def test_same_mistakes_by_hand():
    class Says(nn.Module):
        """Gives the classes that it was told, whatever the images are."""

        def __init__(self, *classes):
            super().__init__()
            self.answers = torch.tensor(classes)

        def forward(self, images):
            return F.one_hot(self.answers, CLASSES).float()

    labels = torch.zeros(6, dtype=torch.int64)
    models = {"A": Says(1, 1, 2, 3, 0, 0), "B": Says(1, 2, 2, 0, 3, 0), "C": Says(0, 0, 0, 0, 0, 1)}
    images = torch.zeros(6, 1, 1, 1)
    share, count = same_mistakes(models, {"A": images, "noise": images, "C": images}, labels)
    assert list(share.index) == ["A", "C"] and list(share.columns) == ["A", "B", "C"]
    assert count.to_numpy().tolist() == [[4, 3, 0], [0, 0, 1]]
    expected = [[100, 100 * 2 / 3, np.nan], [np.nan, np.nan, 100]]
    np.testing.assert_allclose(share.to_numpy(dtype=float), expected)
    with pytest.raises(ValueError, match="adversarial: got noise"):
        same_mistakes(models, {"noise": images}, labels)


def test_modes_and_gradients_stay_as_they_were():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(6, CLASSES)).train()
    (batches, labels), models = sets(), {"A": model}
    first = transfer_table(models, batches, labels).errors
    assert first.equals(transfer_table(models, batches, labels).errors)  # dropout was off
    draw_targets(labels, how="runner-up", model=model, images=batches["A"])
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(images.requires_grad for images in batches.values())


def test_cells_are_those_of_another_network():
    names = ["A", "B", "C"]
    table = pd.DataFrame(np.arange(12.0).reshape(4, 3), [*names, "noise"], names)
    assert list(cells(table).items()) == [
        (("A", "B"), 1),
        (("A", "C"), 2),
        (("B", "A"), 3),
        (("B", "C"), 5),
        (("C", "A"), 6),
        (("C", "B"), 7),
    ]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": {}}, TypeError, "models: got {}"),
        ({"models": [nn.Identity()]}, TypeError, "models: got"),
        ({"models": {"A": torch.sum}}, TypeError, r"models\['A'\]: got builtin"),
        ({"adversarial": {}}, TypeError, "adversarial: got {}"),
        ({"adversarial": {"A": np.zeros((40, 6))}}, TypeError, r"adversarial\['A'\]: got ndarray"),
        (
            {"adversarial": {"A": torch.zeros(39, 6)}},
            ValueError,
            r"labels: got .*, expected \(39,\)",
        ),
        ({"adversarial": {"A": torch.zeros(40)}}, ValueError, r"\['A'\]: got shape"),
        ({"adversarial": {"A": torch.full((40, 6), math.nan)}}, ValueError, r"\['A'\]: got values"),
        ({"labels": torch.zeros(40)}, TypeError, "labels: got torch.float32"),
        ({"labels": torch.zeros(40, 1, dtype=torch.int64)}, ValueError, "labels: got shape"),
    ],
)
def test_bad_tables_are_refused(change, error, message):
    batches, labels = sets()
    good = {"models": networks(A=(CLASSES,)), "adversarial": batches, "labels": labels}
    for function in (transfer_table, same_mistakes):
        with pytest.raises(error, match=message):
            function(**(good | change))


@pytest.mark.parametrize("stddev", [-0.1, math.inf, math.nan])
def test_bad_stddevs_are_refused(stddev):
    images = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="stddev: got"):
        gaussian_noise(images, stddev, generator())
    with pytest.raises(ValueError, match="stddev: got"):
        amplify(images, images, stddev)


def test_a_perturbation_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"perturbation: got shape \(2, 4\)"):
        amplify(torch.zeros(2, 3), torch.zeros(2, 4), 0.1)
    with pytest.raises(TypeError, match="perturbation: got torch.int64"):
        distortion(torch.zeros(2, 3, dtype=torch.int64))

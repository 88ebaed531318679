import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.attacks import fgsm, pgd
from course_utils.inference import dlr, loss_and_gradient
from course_utils.models import fully_connected

NAN, INF = float("nan"), float("inf")
IMAGES = torch.linspace(0, 1, 36).view(3, 1, 3, 4)
LABELS = torch.tensor([0, 1, 2])
SIZES = st.integers(0, 50).map(lambda hundredths: hundredths / 100)


def digits(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 3, 4, generator=generator)
    return images, torch.randint(3, (count,), generator=generator), generator


@given(
    st.integers(0, 99),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(0, 1), (-0.1, 1.1), (-INF, INF)]),
)
def test_on_two_classes_it_ends_in_the_corner(seed, eps, targeted, at_random, bounds):
    # A linear model of two classes: the loss is highest where every pixel has moved as far as it
    # may along the sign, from any start, after 2 eps / step steps.
    images, labels, generator = digits(4, seed)
    labels = labels % 2
    model = fully_connected(2, inputs=12, seed=seed)
    weight = model[1].weight.detach().view(2, 1, 3, 4)
    signs = (weight[1 - labels] - weight[labels]).sign() * (-1 if targeted else 1)
    moved = pgd(
        model,
        images,
        labels,
        eps=eps,
        step=0.1,
        steps=9,
        bounds=bounds,
        targeted=targeted,
        generator=generator if at_random else None,
    )
    torch.testing.assert_close(moved, (images + eps * signs).clamp(*bounds), rtol=0, atol=1e-6)


@settings(max_examples=25)
@given(st.integers(0, 99), SIZES, SIZES, st.booleans())
def test_it_stays_within_eps_and_the_bounds_and_only_gains(seed, eps, step, targeted):
    images, labels, generator = digits(5, seed)
    model = fully_connected(6, 3, inputs=12, seed=seed)
    with torch.no_grad():
        model[1].weight.mul_(8)  # a loss that is far from linear
    uphill = -1 if targeted else 1

    def height(points):
        return uphill * loss_and_gradient(model, points, labels)[0]

    options = {"eps": eps, "step": step, "targeted": targeted}
    found = pgd(model, images, labels, **options, steps=10)
    for moved in (found, pgd(model, images, labels, **options, steps=3, generator=generator)):
        assert (moved - images).abs().max() <= eps + 1e-6
        assert moved.min() >= 0 and moved.max() <= 1
    assert (height(found) >= height(images) - 1e-5).all()
    assert (height(found) >= height(pgd(model, images, labels, **options, steps=4)) - 1e-5).all()
    one = pgd(model, images, labels, eps=eps, step=eps, steps=1, targeted=targeted)
    fast = fgsm(model, images, labels, eps=eps, targeted=targeted)
    best = torch.maximum(height(images), height(fast))
    torch.testing.assert_close(height(one), best)


def test_many_steps_beat_one_where_the_loss_bends():
    images, labels, _ = digits(200, 0)
    model = fully_connected(20, 3, inputs=12, seed=3)
    with torch.no_grad():
        model[1].weight.mul_(8)
    one, many = (
        loss_and_gradient(model, moved, labels)[0].mean()
        for moved in (
            fgsm(model, images, labels, eps=0.3),
            pgd(model, images, labels, eps=0.3, step=0.03),
        )
    )
    assert many > one + 0.1


def test_eps_0_and_step_0_return_the_images():
    model = fully_connected(4, 3, inputs=12)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(pgd(model, IMAGES, LABELS, eps=0, step=0.1, generator=generator), IMAGES)
    assert torch.equal(pgd(model, IMAGES, LABELS, eps=0.1, step=0), IMAGES)


def test_the_start_follows_the_generator():
    model = fully_connected(4, 3, inputs=12)
    before = torch.get_rng_state()
    starts = [
        pgd(model, IMAGES, LABELS, eps=0.1, step=0, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[0], starts[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_start_is_uniform_within_eps():
    images, labels = torch.full((400, 1, 3, 4), 0.5), torch.zeros(400, dtype=torch.int64)
    model = fully_connected(3, inputs=12)
    generator = torch.Generator().manual_seed(0)
    shift = pgd(model, images, labels, eps=0.2, step=0, generator=generator) - images
    assert shift.mean().abs() < 0.01 and shift.abs().max() > 0.19
    assert shift.std() == pytest.approx(0.2 / 3**0.5, rel=0.05)


def test_batches_do_not_show():
    images, labels, _ = digits(7, 0)
    model = fully_connected(4, 3, inputs=12)
    whole = pgd(model, images, labels, eps=0.1, step=0.03, steps=5)
    parts = pgd(model, images, labels, eps=0.1, step=0.03, steps=5, batch_size=2)
    torch.testing.assert_close(parts, whole)


def test_a_step_costs_one_gradient_and_the_last_point_a_forward_pass():
    images, labels, _ = digits(5, 0)
    model, calls = fully_connected(4, 3, inputs=12), []
    model.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    pgd(model, images, labels, eps=0.1, step=0.05, steps=4)
    assert calls == [True] * 4 + [False]


@given(st.integers(0, 99), st.sampled_from([0.0, 0.3, 2.0]), st.booleans(), st.booleans())
def test_in_l2_on_two_classes_it_ends_along_the_weights(seed, eps, targeted, at_random):
    # A linear model of two classes, no bounds: the loss is highest at eps times the unit vector.
    images, labels, generator = digits(4, seed)
    labels = labels % 2
    model = fully_connected(2, inputs=12, seed=seed)
    weight = model[1].weight.detach().view(2, 1, 3, 4)
    uphill = (weight[1 - labels] - weight[labels]) * (-1 if targeted else 1)
    unit = uphill / uphill.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    moved = pgd(
        model,
        images,
        labels,
        eps=eps,
        step=eps / 2,
        steps=60,
        norm="l2",
        targeted=targeted,
        bounds=(-INF, INF),
        generator=generator if at_random else None,
    )
    torch.testing.assert_close(moved, images + eps * unit, rtol=0, atol=2e-3)
    inside = pgd(model, images, labels, eps=eps, step=eps / 2, steps=9, norm="l2")
    assert (inside - images).flatten(1).norm(dim=1).max() <= eps + 1e-6
    assert inside.min() >= 0 and inside.max() <= 1


def test_the_l2_start_is_uniform_in_the_ball():
    images, labels = torch.full((4000, 2), 0.5), torch.zeros(4000, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    start = pgd(
        fully_connected(3, inputs=2),
        images,
        labels,
        eps=0.2,
        step=0,
        norm="l2",
        generator=generator,
    )
    radius = (start - images).norm(dim=1) / 0.2
    assert radius.max() <= 1 + 1e-6 and (start - images).mean(0).abs().max() < 0.005
    for share in (0.25, 0.5, 0.75):  # the area within radius r is r^2 of the disc
        assert (radius**2 < share).float().mean().item() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("targeted", [False, True])
def test_the_ratio_climbs(targeted):
    images, labels, _ = digits(60, 0)
    model = fully_connected(20, 3, inputs=12, seed=3)
    with torch.no_grad():
        model[1].weight.mul_(8)
    uphill = -1 if targeted else 1

    generator = torch.Generator().manual_seed(0)
    moved = pgd(
        model,
        images,
        labels,
        eps=0.3,
        step=0.05,
        steps=8,
        loss="dlr",
        targeted=targeted,
        generator=generator,
    )
    assert (moved - images).abs().max() <= 0.3 + 1e-6
    with torch.no_grad():
        before, after = (uphill * dlr(model(points), labels) for points in (images, moved))
    assert after.mean() > before.mean() + 0.1


def test_everything_is_left_as_found():
    model = fully_connected(6, 3, inputs=12, dropout=(0.2, 0.5)).train()
    images = IMAGES.clone().requires_grad_()
    first, second = (pgd(model, images, LABELS, eps=0.1, step=0.05, steps=3) for _ in range(2))
    assert torch.equal(first, second) and not first.requires_grad
    assert all(module.training for module in model.modules())
    assert images.grad is None and all(p.grad is None for p in model.parameters())
    assert torch.equal(images.detach(), IMAGES)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"eps": -0.1}, ValueError, "eps: got"),
        ({"step": -0.1}, ValueError, "step: got"),
        ({"step": NAN}, ValueError, "step: got nan"),
        ({"step": None}, TypeError, "step: got None"),
        ({"steps": 0}, ValueError, "steps: got 0"),
        ({"steps": 2.5}, ValueError, "steps: got 2.5"),
        ({"steps": True}, ValueError, "steps: got True"),
        ({"loss": "hinge"}, ValueError, "loss: got 'hinge', expected one of cross_entropy, dlr"),
        ({"norm": "l1"}, ValueError, "norm: got 'l1'"),
        ({"generator": 3}, TypeError, "generator: got int"),
        ({"bounds": (1, 0)}, ValueError, "bounds: got"),
        ({"bounds": (0.1, 1)}, ValueError, "images: got values"),
    ],
)
def test_bad_arguments_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        pgd(fully_connected(3, inputs=12), IMAGES, LABELS, **{"eps": 0.1, "step": 0.1} | options)


def test_the_ratio_of_two_classes_is_refused():
    with pytest.raises(ValueError, match="loss: got dlr for 2 classes"):
        pgd(fully_connected(2, inputs=12), IMAGES, LABELS % 2, eps=0.1, step=0.1, loss="dlr")

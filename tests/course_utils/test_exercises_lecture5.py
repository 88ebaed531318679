"""Lecture 5's exercises: right answers written otherwise pass, and mistakes are named."""

import ast
import math
import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_utils.exercises import WrongAnswer, check, lecture5
from course_utils.gan import discriminator_loss, game_value, generator_loss


def by_cross_entropy(real, fake):
    loss = F.binary_cross_entropy_with_logits
    return loss(real, torch.ones_like(real)) + loss(fake, torch.zeros_like(fake))


def by_softplus(fake, saturating):
    return -F.softplus(fake).mean() if saturating else F.softplus(-fake).mean()


def by_probability(real, fake, *, small=0.0):
    d, g = real.sigmoid(), fake.sigmoid()
    return -(d + small).log().mean() - (1 - g + small).log().mean()


def by_rounded_cross_entropy(real, fake):
    d, g = real.sigmoid(), fake.sigmoid()
    loss = F.binary_cross_entropy
    return loss(d, torch.ones_like(d)) + loss(g, torch.zeros_like(g))


def g_by_probability(fake, saturating):
    return (1 - fake.sigmoid()).log().mean() if saturating else -fake.sigmoid().log().mean()


def overflowing(a):
    """Log sigmoid, right everywhere, but where a < -90 the branch not taken is infinite."""
    return torch.where(a < -50, a, -(-a).exp().log1p())


def by_quadrature(p, q, width):
    """Cell by cell, in NumPy."""
    p, q = p.numpy(), q.numpy()
    value = 0.0
    for a, b in zip(p, q):
        value += a * np.log(a / (a + b)) if a > 0 else 0.0
        value += b * np.log(b / (a + b)) if b > 0 else 0.0
    return torch.tensor(width * value)


def without_gaps(p, q, width):
    return width * (p * (p / (p + q)).log() + q * (q / (p + q)).log()).sum()


def shares(digits, *, length=10):
    return torch.bincount(digits, minlength=length).double() / len(digits)


def naive_entropy(digits):
    s = shares(digits)
    return -(s * s.log()).sum()


def entropy_by_numpy(digits):
    _, counts = np.unique(digits.numpy(), return_counts=True)
    s = counts / counts.sum()
    return float(-(s * np.log(s)).sum())


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("loss-of-d", discriminator_loss),
        ("loss-of-d", by_cross_entropy),
        ("loss-of-d", lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean()),
        ("loss-of-g", lambda fake, saturating: generator_loss(fake, saturating=saturating)),
        ("loss-of-g", by_softplus),
        ("best-value", by_quadrature),
        ("digit-entropy", lambda d: torch.distributions.Categorical(shares(d)).entropy()),
        ("digit-entropy", lambda d: torch.special.entr(shares(d, length=12)).sum().float()),
        ("digit-entropy", entropy_by_numpy),
    ],
)
def test_right_answers_pass(exercise_id, answer, capsys):
    check(exercise_id, answer, strict=True)
    assert capsys.readouterr().out.startswith("Right.")


def g_signs(of_saturating, of_other):
    def loss(fake, saturating):
        return (of_saturating if saturating else of_other) * by_softplus(fake, saturating)

    return loss


WRONG = [
    ("loss-of-d", lambda real, fake: -by_cross_entropy(real, fake), "V itself"),
    ("loss-of-d", lambda real, fake: by_cross_entropy(fake, real), "wrong way round"),
    ("loss-of-d", lambda real, fake: by_cross_entropy(-real, -fake), "wrong way round"),
    ("loss-of-d", lambda real, fake: F.softplus(-real).mean(), "Only the real"),
    ("loss-of-d", lambda real, fake: F.softplus(fake).mean(), "Only the generated"),
    ("loss-of-d", lambda real, fake: F.softplus(-real).mean() + F.softplus(-fake).mean(),
     "1 of generated images, too"),
    ("loss-of-d", lambda real, fake: by_cross_entropy(real, fake) / 2, "half of it"),
    ("loss-of-d", lambda real, fake: F.binary_cross_entropy_with_logits(
        torch.cat([real, fake]), torch.cat([torch.ones_like(real), torch.zeros_like(fake)])),
     "average over all images"),
    ("loss-of-d", lambda real, fake: F.softplus(-real).sum() + F.softplus(fake).sum(), "means"),
    ("loss-of-d", lambda real, fake: 1 - real.sigmoid().mean() + fake.sigmoid().mean(),
     "logarithms are missing"),
    ("loss-of-d", lambda real, fake: -real.log().mean() - (1 - fake).log().mean(),
     "no probability"),
    ("loss-of-d", by_probability, "your loss is inf"),
    ("loss-of-d", lambda real, fake: by_probability(real, fake, small=1e-7), "only hides it"),
    ("loss-of-d", by_rounded_cross_entropy, "only hides it"),
    ("loss-of-d", lambda real, fake: (-real).exp().log1p().mean() + fake.exp().log1p().mean(),
     "your loss is inf"),
    ("loss-of-d", lambda real, fake: by_cross_entropy(
        real.clamp(-50, 50), fake.clamp(-50, 50)), "only hides it"),
    ("loss-of-d", lambda real, fake: -overflowing(real).mean() - overflowing(-fake).mean(),
     "gradient is NaN"),
    ("loss-of-d", lambda real, fake: by_cross_entropy(real, fake.detach()), "is not: something"),
    ("loss-of-d", lambda real, fake: torch.tensor(
        by_cross_entropy(real, fake).item(), dtype=real.dtype), "no gradient"),
    ("loss-of-d", lambda real, fake: by_cross_entropy(real, fake).item(), "torch.Tensor"),
    ("loss-of-d", lambda real, fake: F.softplus(-real) + F.softplus(fake), "raised RuntimeError"),
    ("loss-of-d", lambda real, fake: 3 * by_cross_entropy(real, fake), "differ"),
    ("loss-of-g", lambda fake, saturating: by_softplus(fake, not saturating), "wrong way round"),
    ("loss-of-g", lambda fake, saturating: by_softplus(fake, True), "minimax game's loss both"),
    ("loss-of-g", lambda fake, saturating: by_softplus(fake, False), "non-saturating loss both"),
    ("loss-of-g", g_signs(-1, -1), "Both signs"),
    ("loss-of-g", g_signs(-1, 1), "sign of the saturating"),
    ("loss-of-g", g_signs(1, -1), "sign of the non-saturating"),
    ("loss-of-g", lambda fake, saturating: by_softplus(fake, saturating) * len(fake), "means"),
    ("loss-of-g", g_by_probability, "your loss is inf"),
    ("loss-of-g", lambda fake, saturating: fake.log().mean(), "no probability"),
    ("best-value", lambda p, q, w: torch.tensor(-math.log(4)).double(), "the best that G can"),
    ("best-value", lambda p, q, w: without_gaps(p, q, 1), "width is missing"),
    ("best-value", lambda p, q, w: without_gaps(p, q, 1) / len(p), "average over the cells"),
    ("best-value", lambda p, q, w: without_gaps(p, q, w) / 2 + math.log(2), "Jensen-Shannon"),
    ("best-value", lambda p, q, w: without_gaps(p, q, w) + math.log(4), "without the constant"),
    ("best-value", lambda p, q, w: -without_gaps(p, q, w), "loss of D"),
    ("best-value", lambda p, q, w: w * (p * (q / (p + q)).log() + q * (p / (p + q)).log()).sum(),
     "says 1 of generated"),
    ("best-value", lambda p, q, w: w * (p * (p / (p + q)).log()).sum(), "Only the data's"),
    ("best-value", lambda p, q, w: w * (q * (q / (p + q)).log()).sum(), "Only the generated"),
    ("best-value", lambda p, q, w: w * (p * q / (p + q) ** 2).log().sum(), "to be weighed"),
    ("best-value", lambda p, q, w: w * torch.where(p > q, q, p).sum() * -math.inf, "0 or 1"),
    ("best-value", without_gaps, "0 times a log counts as 0"),
    ("best-value", lambda p, q, w: w * (
        torch.xlogy(p, p / (p + q)) + torch.xlogy(q, q / (p + q))).sum(), "0 / 0 must not"),
    ("digit-entropy", naive_entropy, "some are missing"),
    ("digit-entropy", lambda d: -naive_entropy(d), "sign is turned"),
    ("digit-entropy", lambda d: entropy_by_numpy(d) / math.log(2), "bits"),
    ("digit-entropy", lambda d: entropy_by_numpy(d) / math.log(10), "2.30"),
    ("digit-entropy", lambda d: entropy_by_numpy(d) / 10, "is the sum"),
    ("digit-entropy", lambda d: math.exp(entropy_by_numpy(d)), "number of digits"),
    ("digit-entropy", lambda d: shares(d).max(), "most frequent digit"),
    ("digit-entropy", lambda d: len(d.unique()), "digits that occur"),
    ("digit-entropy", lambda d: torch.special.entr(shares(d) * len(d)).sum(), "number of images"),
    ("digit-entropy", lambda d: 1 - (shares(d) ** 2).sum(), "two images"),
    ("digit-entropy", lambda d: shares(d), "shape"),
    ("cure", lambda options: [1, 5], "Expected a dict"),
    ("cure", lambda options: options, "options that collapse"),
    ("cure", lambda options: {}, "options that collapse"),
    ("cure", lambda options: options | {"epochs": 1000}, "'epochs' is not yours"),
    ("cure", lambda options: options | {"discriminator_steps": 50}, "got 50, expected 1 to 5"),
    ("cure", lambda options: options | {"learning_rate": -1.0}, "train_gan says: learning_rate"),
]


@pytest.mark.parametrize(("exercise_id", "answer", "says"), WRONG)
def test_mistakes_are_named(exercise_id, answer, says):
    with pytest.raises(WrongAnswer) as raised:
        check(exercise_id, answer, strict=True)
    assert says in str(raised.value)


def test_more_steps_of_the_discriminator_cure_as_well_as_larger_ones(capsys):
    changes = {"generator_steps": 1, "discriminator_steps": 5, "learning_rate": 1e-3}
    check("cure", lambda options: changes, strict=True)
    assert capsys.readouterr().out.startswith("Right.")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        # Neither loss helps a D that G outruns.
        ({"generator_steps": 1, "saturating": True}, "10 times as far as D"),
        ({"generator_steps": 1, "learning_rate": (1e-6, 1e-2)}, "now D wins"),
        ({"discriminator_steps": 5, "learning_rate": 1e-9}, "look at how large"),
    ],
)
def test_what_is_no_cure_is_told_what_it_does(changes, says):
    with pytest.raises(WrongAnswer) as raised:
        check("cure", lambda options: options | changes, strict=True)
    assert says in str(raised.value)


def test_the_options_given_do_collapse():
    shares_of_blobs, fake = lecture5._play(lecture5.COLLAPSING, 0)
    assert (shares_of_blobs >= 0.02).sum() <= 3  # 5 are a cure
    assert 0.3 < fake < 0.7  # which D's output does not show
    written = re.search(r"\{.*?\}", lecture5.cure.__doc__, flags=re.DOTALL)[0]
    assert ast.literal_eval(written) == lecture5.COLLAPSING


def test_the_two_losses_are_the_courses_own():
    random = torch.Generator().manual_seed(0)
    real, fake = 40 * torch.randn(2, 50, generator=random)
    assert torch.equal(lecture5.loss_of_d(real, fake), discriminator_loss(real, fake))
    for saturating in (False, True):
        expected = generator_loss(fake, saturating=saturating)
        assert torch.equal(lecture5.loss_of_g(fake, saturating), expected)


def test_the_best_value_is_the_games_by_quadrature():
    """Two Gaussians of one width, cut into narrow cells."""
    def density(mean):
        return lambda x: math.exp(-((x - mean) ** 2) / 2) / math.sqrt(2 * math.pi)

    p, q = density(0.0), density(1.5)
    low, high, cells = -8.0, 9.0, 3400
    width = (high - low) / cells
    middles = [low + (cell + 0.5) * width for cell in range(cells)]
    heights = [torch.tensor([each(x) for x in middles], dtype=torch.float64) for each in (p, q)]
    value = lecture5.best_value(*heights, width).item()
    best = game_value(lambda x: p(x) / (p(x) + q(x)), p, q, low=low, high=high)
    assert value == pytest.approx(best, abs=1e-6)
    assert game_value(lambda x: 0.6, p, q, low=low, high=high) < value


def test_solutions_by_hand():
    zero = torch.zeros(3)
    assert lecture5.loss_of_d(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert lecture5.loss_of_g(zero, True).item() == pytest.approx(-math.log(2))
    assert lecture5.loss_of_g(zero, False).item() == pytest.approx(math.log(2))
    half = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64)
    assert lecture5.best_value(half, half, 1.0).item() == pytest.approx(-math.log(4))
    assert lecture5.best_value(half, half.flip(0), 1.0).item() == 0
    assert lecture5.digit_entropy(torch.arange(20) % 10).item() == pytest.approx(math.log(10))
    assert lecture5.digit_entropy(torch.tensor([4, 4])).item() == 0
    assert lecture5.digit_entropy(torch.tensor([4, 7, 7, 4])).item() == pytest.approx(math.log(2))

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
from tools.environment import ROOT


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


@pytest.mark.parametrize(
    ("exercise_id", "answer"),
    [
        ("loss-of-d", discriminator_loss),
        ("loss-of-d", by_cross_entropy),
        ("loss-of-d", lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean()),
        ("loss-of-g", lambda fake, saturating: generator_loss(fake, saturating=saturating)),
        ("loss-of-g", by_softplus),
        ("best-value", by_quadrature),
    ],
)
def test_right_answers_pass(exercise_id, answer, capsys):
    check(exercise_id, answer, strict=True)
    assert capsys.readouterr().out.startswith("Right.")


WRONG = [
    ("loss-of-d", lambda real, fake: -by_cross_entropy(real, fake), "V itself"),
    ("loss-of-d", lambda real, fake: by_cross_entropy(fake, real), "wrong way round"),
    ("loss-of-d", lambda real, fake: by_cross_entropy(-real, -fake), "wrong way round"),
    ("loss-of-d", lambda real, fake: F.softplus(-real).mean(), "Only the real"),
    (
        "loss-of-d",
        lambda real, fake: F.softplus(-real).mean() + F.softplus(-fake).mean(),
        "1 of generated images, too",
    ),
    (
        "loss-of-d",
        lambda real, fake: -real.log().mean() - (1 - fake).log().mean(),
        "no probability",
    ),
    ("loss-of-d", by_probability, "got inf"),
    ("loss-of-d", lambda real, fake: by_probability(real, fake, small=1e-7), "only hides it"),
    ("loss-of-d", by_rounded_cross_entropy, "only hides it"),
    (
        "loss-of-d",
        lambda real, fake: (-real).exp().log1p().mean() + fake.exp().log1p().mean(),
        "got inf",
    ),
    (
        "loss-of-d",
        lambda real, fake: by_cross_entropy(real.clamp(-50, 50), fake.clamp(-50, 50)),
        "only hides it",
    ),
    (
        "loss-of-d",
        lambda real, fake: -overflowing(real).mean() - overflowing(-fake).mean(),
        "gradient is NaN",
    ),
    (
        "loss-of-d",
        lambda real, fake: by_cross_entropy(real, fake.detach()),
        "is not: it is cut off",
    ),
    (
        "loss-of-d",
        lambda real, fake: torch.tensor(by_cross_entropy(real, fake).item(), dtype=real.dtype),
        "no gradient",
    ),
    ("loss-of-d", lambda real, fake: by_cross_entropy(real, fake).item(), "torch.Tensor"),
    ("loss-of-d", lambda real, fake: F.softplus(-real) + F.softplus(fake), "raised RuntimeError"),
    ("loss-of-d", lambda real, fake: 3 * by_cross_entropy(real, fake), "It was called with"),
    ("loss-of-g", lambda fake, saturating: by_softplus(fake, not saturating), "wrong way round"),
    ("loss-of-g", lambda fake, saturating: by_softplus(fake, True), "minimax game's loss both"),
    ("loss-of-g", lambda fake, saturating: by_softplus(fake, False), "non-saturating loss both"),
    ("loss-of-g", lambda fake, saturating: -by_softplus(fake, saturating), "Both signs"),
    ("loss-of-g", g_by_probability, "got inf"),
    ("loss-of-g", lambda fake, saturating: fake.log().mean(), "no probability"),
    ("best-value", lambda p, q, w: torch.tensor(-math.log(4)).double(), "the best that G can"),
    ("best-value", lambda p, q, w: without_gaps(p, q, 1), "width is missing"),
    ("best-value", lambda p, q, w: without_gaps(p, q, w) / 2 + math.log(2), "Jensen-Shannon"),
    (
        "best-value",
        lambda p, q, w: w * (p * (q / (p + q)).log() + q * (p / (p + q)).log()).sum(),
        "says 1 of generated",
    ),
    ("best-value", without_gaps, "0 times a log counts as 0"),
    (
        "best-value",
        lambda p, q, w: w * (torch.xlogy(p, p / (p + q)) + torch.xlogy(q, q / (p + q))).sum(),
        "0 / 0 must not",
    ),
    ("cure", lambda rules: [1, 5], "Expected a dict"),
    ("cure", lambda rules: rules, "rules that collapse"),
    ("cure", lambda rules: {}, "rules that collapse"),
    ("cure", lambda rules: rules | {"rounds": 1000}, "'rounds' is not yours"),
    ("cure", lambda rules: rules | {"discriminator_steps": 50}, "got 50, expected 1 to 5"),
    ("cure", lambda rules: rules | {"generator_rate": -1.0}, "generator_rate: got -1.0"),
]


@pytest.mark.parametrize(("exercise_id", "answer", "says"), WRONG)
def test_mistakes_are_named(exercise_id, answer, says):
    with pytest.raises(WrongAnswer) as raised:
        check(exercise_id, answer, strict=True)
    assert says in str(raised.value)


def test_more_steps_of_the_discriminator_cure_as_well_as_larger_ones(capsys):
    changes = {
        "generator_steps": 1,
        "discriminator_steps": 4,
        "generator_rate": 2e-3,
        "discriminator_rate": 2e-3,
    }
    check("cure", lambda rules: changes, strict=True)
    assert capsys.readouterr().out.startswith("Right.")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        # Neither loss helps a D that G outruns.
        ({"generator_steps": 1, "saturating": True}, "10 times as far as D"),
        ({"generator_steps": 1, "generator_rate": 1e-6, "discriminator_rate": 1e-2}, "now D wins"),
        ({"generator_rate": 1e-9, "discriminator_rate": 1e-8}, "look at how large"),
    ],
)
def test_what_is_no_cure_is_told_what_it_does(monkeypatch, changes, says):
    monkeypatch.setattr(lecture5, "ROUNDS", 100)
    with pytest.raises(WrongAnswer) as raised:
        check("cure", lambda rules: rules | changes, strict=True)
    assert says in str(raised.value)


def test_the_rules_given_do_collapse():
    shares_of_blobs, _ = lecture5._play(lecture5.COLLAPSING, 0)
    assert (shares_of_blobs >= 0.02).sum() <= 3  # 5 are a cure
    lecture = (ROOT / "notebooks/src/05_generative_adversarial_networks.py").read_text("utf-8")
    stub = lecture.partition("def cure(rules):")[2]
    written = re.search(r"\{.*?\}", stub, flags=re.DOTALL)[0]
    assert ast.literal_eval(written) == lecture5.COLLAPSING


def test_best_value_is_the_games():
    """Two bells, cut into cells."""
    x = torch.linspace(-8, 12, 20_001, dtype=torch.float64)
    bell = lambda mean: torch.distributions.Normal(mean, 1.0).log_prob(x).exp()  # noqa: E731
    found = lecture5.best_value(bell(0.0), bell(3.0), 1e-3)
    density = lambda m: lambda x: torch.distributions.Normal(m, 1.0).log_prob(x).exp()  # noqa: E731
    p, q = density(torch.tensor(0.0).double()), density(torch.tensor(3.0).double())
    value = game_value(lambda x: p(x) / (p(x) + q(x)), p, q, low=-8, high=12)
    assert found.item() == pytest.approx(value, abs=1e-4)


def test_solutions_by_hand():
    zero = torch.zeros(3)
    assert lecture5.loss_of_d(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert lecture5.loss_of_g(zero, True).item() == pytest.approx(-math.log(2))
    assert lecture5.loss_of_g(zero, False).item() == pytest.approx(math.log(2))
    half = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64)
    assert lecture5.best_value(half, half, 1.0).item() == pytest.approx(-math.log(4))
    assert lecture5.best_value(half, half.flip(0), 1.0).item() == 0

import json
import math
import shutil
from collections import Counter

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm
from torch import nn

from course_utils import data, gan
from course_utils.gan import measures, shipped, training
from course_utils.inference import batches
from course_utils.models import fully_connected, linear_layers
from course_utils.training import predict
from tools import retraining

INF, NAN = float("inf"), float("nan")
SIZES = {"noise": 6, "seed": 3}


def build():
    return gan.rectifier_generator(16, 16, **SIZES), gan.maxout_discriminator(8, 8, seed=4)


def bare():
    """Without batch normalisation, under which biases' slopes are but rounding, and dropout."""
    generator, discriminator = build()
    kept = [layer for layer in generator if not isinstance(layer, nn.BatchNorm1d)]
    others = [layer for layer in discriminator if not isinstance(layer, nn.Dropout)]
    return gan.Generator(*kept, noise=generator.noise), nn.Sequential(*others)


@pytest.fixture
def pair():
    return build()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Blurred bars, enough for a few rounds."""
    corners = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return nn.functional.interpolate(corners, size=28, mode="bilinear").clamp(0, 1)


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=random, dtype=torch.float64)


def states(pair) -> list[torch.Tensor]:
    return [value.clone() for network in pair for value in network.state_dict().values()]


def same(first, second) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# Losses


def test_losses_are_the_papers():
    real, fake = normal(5, 1), 3 * normal(7, seed=1)
    d_real, d_fake = 1 / (1 + np.exp(-real.numpy())), 1 / (1 + np.exp(-fake.numpy()))
    value = np.log(d_real).mean() + np.log(1 - d_fake).mean()
    assert gan.discriminator_loss(real, fake).item() == pytest.approx(-value, rel=1e-12)
    assert gan.generator_loss(fake).item() == pytest.approx(-np.log(d_fake).mean(), rel=1e-12)
    saturating = gan.generator_loss(fake, saturating=True).item()
    assert saturating == pytest.approx(np.log(1 - d_fake).mean(), rel=1e-12)


def test_losses_where_nothing_can_be_told_apart():
    nothing = torch.zeros(4, 1)
    assert gan.discriminator_loss(nothing, nothing).item() == pytest.approx(2 * math.log(2))
    assert gan.generator_loss(nothing).item() == pytest.approx(math.log(2))
    assert gan.generator_loss(nothing, saturating=True).item() == pytest.approx(-math.log(2))


@given(st.integers(-600, 600))
def test_gradients_of_both_losses_are_d_and_1_minus_d(logit):
    fake = torch.tensor([float(logit)], dtype=torch.float64, requires_grad=True)
    d = scipy.special.expit(logit)
    (slope,) = torch.autograd.grad(gan.generator_loss(fake, saturating=True), fake)
    assert slope.item() == pytest.approx(-d, rel=1e-9)
    (slope,) = torch.autograd.grad(gan.generator_loss(fake), fake)
    assert slope.item() == pytest.approx(-scipy.special.expit(-logit), rel=1e-9)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_losses_stay_finite_where_the_sigmoid_rounds(logit):
    real = torch.tensor([-logit], requires_grad=True)
    fake = torch.tensor([logit], requires_grad=True)
    losses = [
        gan.discriminator_loss(real, fake),
        gan.generator_loss(fake),
        gan.generator_loss(fake, saturating=True),
    ]
    for loss in losses:
        slopes = torch.autograd.grad(loss, [real, fake], allow_unused=True)
        assert loss.isfinite() and all(s is None or s.isfinite().all() for s in slopes)


@pytest.mark.parametrize("loss", [gan.generator_loss, lambda a: gan.discriminator_loss(a, a)])
def test_losses_refuse_what_are_no_logits(loss):
    with pytest.raises(ValueError, match=r"got shape \(0, 1\)"):
        loss(torch.zeros(0, 1))
    with pytest.raises(TypeError, match="got torch.int64"):
        loss(torch.zeros(3, dtype=torch.int64))


# Networks


def test_networks_give_images_and_logits(pair):
    generator, discriminator = pair
    made = generator(gan.draw_noise(5, generator.noise))
    assert made.shape == (5, 1, 28, 28) and made.dtype == torch.float32
    assert made.min() >= 0 and made.max() <= 1
    assert discriminator(made).shape == (5, 1)


def test_networks_follow_their_seed_and_leave_the_readers_alone():
    before = torch.random.get_rng_state()
    first = states(build())
    torch.rand(3)
    assert same(first, states(build()))
    torch.random.set_rng_state(before)
    states(build())
    assert torch.equal(torch.random.get_rng_state(), before)
    SIZES["seed"] += 1
    try:
        assert not same(first, states(build()))
    finally:
        SIZES["seed"] -= 1


def test_first_weights_are_the_papers():
    generator, discriminator = build()
    for network, largest in ((generator, 0.05), (discriminator, 0.005)):
        for layer in linear_layers(network):
            assert 0.6 * largest < layer.weight.abs().max() <= largest and not layer.bias.any()


def test_a_generator_starts_at_the_mean_image():
    mean = uniform(1, 28, 28)
    generator = gan.rectifier_generator(16, mean=mean)
    for layer in linear_layers(generator):
        nn.init.zeros_(layer.weight)
    made = generator(gan.draw_noise(2, 100))
    torch.testing.assert_close(made[0], mean.clamp(1e-3, 1 - 1e-3))
    with pytest.raises(ValueError, match="mean: got shape"):
        gan.rectifier_generator(16, mean=mean[0])
    with pytest.raises(ValueError, match="mean: got values"):
        gan.rectifier_generator(16, mean=mean + 1)


def test_noise_is_uniform_in_its_cube():
    noise = gan.draw_noise(20_000, 3, seed=1)
    assert noise.shape == (20_000, 3) and noise.abs().max() <= 1
    assert noise.mean(0).abs().max() < 0.02
    assert (noise.var(0) - 1 / 3).abs().max() < 0.01
    assert torch.equal(noise, gan.draw_noise(20_000, 3, seed=1))
    assert not torch.equal(noise, gan.draw_noise(20_000, 3, seed=2))


def test_samples_are_made_in_eval_mode_from_the_seeds_noise():
    generator, _ = build()
    generator.train()
    made = gan.sample(generator, 1203, seed=5)
    assert generator.training and not made.requires_grad
    generator.eval()
    with torch.no_grad():
        one = generator(gan.draw_noise(1203, generator.noise, seed=5)[1200:])
    torch.testing.assert_close(made[1200:], one)


@pytest.mark.parametrize("count", [0, -1, 2.0, True])
def test_counts_that_are_none_are_refused(count):
    with pytest.raises(ValueError, match="count: got"):
        gan.draw_noise(count, 5)
    with pytest.raises(ValueError, match="widths: got"):
        gan.rectifier_generator(count)


# Training


def test_training_twice_gives_the_same(images):
    outcomes = []
    for _ in range(2):
        torch.rand(1)  # the reader's random state is another
        pair = build()
        report = gan.train_gan(
            *pair, images, epochs=3, batch_size=25, every=4, seed=7, progress=False
        )
        outcomes.append((report, states(pair)))
    assert outcomes[0][0].equals(outcomes[1][0])
    assert same(outcomes[0][1], outcomes[1][1])
    other = build()
    gan.train_gan(*other, images, epochs=3, batch_size=25, seed=8, progress=False)
    assert not same(outcomes[0][1], states(other))


def test_report_has_a_row_for_every_few_rounds(pair, images):
    seen = []
    report = gan.train_gan(
        *pair, images, epochs=3, batch_size=25, every=4, watch=seen.append, progress=False
    )
    assert list(report["round"]) == seen == [4, 8, 9]
    assert list(report["epoch"]) == pytest.approx([4 / 3, 8 / 3, 3])
    columns = ["round", "epoch", "discriminator loss", "real", "fake", "generator loss"]
    assert list(report) == columns
    assert report[["real", "fake"]].stack().between(0, 1).all()


def test_rounds_are_those_of_algorithm_1(images):
    def plain():
        generator, discriminator = bare()
        for layer in linear_layers(discriminator):
            layer.weight.data *= 40  # slopes far above Adam's epsilon
        return generator, discriminator

    generator, discriminator = plain()
    rate = 0.01
    random = torch.Generator().manual_seed(5)
    noise = lambda: 2 * torch.rand(60, generator.noise, generator=random) - 1  # noqa: E731
    g, d = plain()
    of_g, of_d = (
        torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999)) for network in (g, d)
    )
    for _ in range(3):
        batch = torch.randperm(60, generator=random)
        real, fake = d(images[batch]).sigmoid(), d(g(noise())).sigmoid()
        of_d.zero_grad()
        (-real.log().mean() - (1 - fake).log().mean()).backward()
        of_d.step()
        of_g.zero_grad()
        (-d(g(noise())).sigmoid().log().mean()).backward()
        of_g.step()
        noise()  # on which the mean's batch normalisation would be measured
    gan.train_gan(
        generator,
        discriminator,
        images,
        epochs=3,
        batch_size=60,
        learning_rate=rate,
        average=0,
        seed=5,
        progress=False,
    )
    # Adam's steps follow the sign of the slope, which rounding may turn where it is 0.
    pairs = zip(states((generator, discriminator)), states((g, d)))
    apart = torch.cat([(ours - theirs).abs().ravel() for ours, theirs in pairs])
    assert apart.gt(1e-4).double().mean() < 0.01


@pytest.mark.parametrize(("steps", "expected"), [(1, (6, 6)), (3, (6, 18))])
def test_steps_of_each_round(images, monkeypatch, steps, expected):
    generator, discriminator = build()
    counts = Counter()
    step = training._step

    def counted(optimizer, loss):
        of_d = optimizer.param_groups[0]["params"][-1] is discriminator[-1].bias
        counts["discriminator" if of_d else "generator"] += 1
        step(optimizer, loss)

    monkeypatch.setattr(training, "_step", counted)
    gan.train_gan(
        generator,
        discriminator,
        images,
        epochs=2,
        batch_size=20,
        generator_steps=steps,
        progress=False,
    )
    assert (counts["discriminator"], counts["generator"]) == expected


@given(st.integers(2, 60), st.integers(2, 25))
def test_no_batch_is_of_one_image_and_every_image_is_seen(count, size):
    orders = training._orders(count, size, torch.Generator().manual_seed(0))
    per_epoch = len([*batches(torch.arange(count), size)])
    seen = [next(orders) for _ in range(per_epoch)]
    assert sorted(torch.cat(seen).tolist()) == list(range(count))
    assert min(map(len, seen)) > 1 and max(map(len, seen)) <= size + 1


def test_a_last_batch_of_one_goes_with_the_one_before(images):
    report = gan.train_gan(*build(), images[:41], epochs=1, batch_size=20, progress=False)
    assert report["round"].iloc[-1] == 2


def test_plain_gradient_descent_and_an_adversarial_d_step_by_step(images):
    """One round, against PyTorch's modules; the moved batch is Lecture 4's step of D's loss."""
    eps, rate = 0.05, 0.5
    (g, d), random = bare(), torch.Generator().manual_seed(5)
    batch = images[torch.randperm(60, generator=random)]
    noise = lambda: 2 * torch.rand(60, g.noise, generator=random) - 1  # noqa: E731
    loss = nn.functional.binary_cross_entropy_with_logits
    labels = torch.cat([torch.ones(60, 1), torch.zeros(60, 1)])
    both = torch.cat([batch, g(noise()).detach()]).requires_grad_()
    (slope,) = torch.autograd.grad(loss(d(both), labels), both)
    moved = (both.detach() + eps * slope.sign()).clamp(0, 1)
    (loss(d(both.detach()), labels) + loss(d(moved), labels)).backward()  # 2 (1/2 + 1/2)
    with torch.no_grad():
        for weight in d.parameters():
            weight -= rate * weight.grad
    d.zero_grad()
    (-d(g(noise())).sigmoid().log().mean()).backward()
    with torch.no_grad():
        for weight in g.parameters():
            weight -= rate * weight.grad
    ours = bare()
    gan.train_gan(
        *ours,
        images,
        epochs=1,
        batch_size=60,
        learning_rate=rate,
        adam=False,
        eps=eps,
        average=0,
        seed=5,
        progress=False,
    )
    start = states(bare())
    for mine, theirs, before in zip(states(ours), states((g, d)), start):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)
    assert not same(states(ours)[:2], start[:2])


def test_only_the_generators_that_are_used_are_reseeded(images, monkeypatch):
    """torch.manual_seed would reseed every device's, and fork_rng restores but those named."""
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("reseeds every device"))
    gan.train_gan(*build(), images, epochs=1, batch_size=30, progress=False)


def test_a_learning_rate_for_each(images):
    pair = build()
    before = states(pair)
    gan.train_gan(*pair, images, epochs=1, learning_rate=(1e-3, 1e-12), progress=False)
    after = states(pair)
    split = len(pair[0].state_dict())
    assert not same(before[:split], after[:split])
    moved = [abs(a - b).max().item() for a, b in zip(before[split:], after[split:])]
    assert max(moved) < 1e-6


def test_a_generator_learns_a_point(images):
    """Where all images are alike, G comes near them."""
    wanted = images[:1].expand(200, -1, -1, -1).contiguous()
    pair = gan.rectifier_generator(32, noise=4), gan.maxout_discriminator(16, 16)
    distance = lambda: (gan.sample(pair[0], 50) - wanted[:50]).square().mean().sqrt().item()  # noqa: E731
    before = distance()
    gan.train_gan(*pair, wanted, epochs=60, batch_size=20, learning_rate=1e-3, progress=False)
    assert distance() < 0.6 * before


def test_the_generator_is_the_running_mean_of_the_one_that_plays(images):
    """After one round from the same start, by its share of what the other moved."""
    start = states(build())
    moved = []
    for average in (0.0, 0.75):
        pair = build()
        gan.train_gan(
            *pair, images, epochs=1, batch_size=60, average=average, seed=5, progress=False
        )
        count = len(list(pair[0].parameters()))
        first = build()[0].parameters()
        moved.append([a.detach() - b.detach() for a, b in zip(pair[0].parameters(), first)])
        assert count == len(moved[-1]) < len(start)
    for whole, part in zip(*moved):
        torch.testing.assert_close(part, whole / 4, atol=1e-7, rtol=1e-3)


def test_batch_normalisation_is_that_of_the_mean_weights(images):
    generator, discriminator = build()
    gan.train_gan(
        generator,
        discriminator,
        images,
        epochs=100,
        batch_size=60,
        learning_rate=0.01,
        average=0.998,
        progress=False,
    )
    values = gan.draw_noise(5000, generator.noise, seed=1)
    with torch.no_grad():
        for layer in generator.eval():
            if isinstance(layer, nn.BatchNorm1d):
                ratio = layer.running_var / values.var(0)
                error = (layer.running_mean - values.mean(0)) / values.std(0)
                assert 0.6 < ratio.min() and ratio.max() < 1.6 and error.abs().max() < 0.4
            values = layer(values)


def test_divergence_stops_with_the_round_and_what_to_try(images):
    pair = build()
    with pytest.raises(FloatingPointError, match=r"at round \d+: .*Try a smaller learning_rate"):
        gan.train_gan(
            *pair, images, epochs=3, batch_size=20, learning_rate=1e38, every=1, progress=False
        )


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_training_keeps_the_last_row(pair, images, error):
    kept = []

    def watch(number):
        if number == 6:
            raise error
        kept[:] = states(pair)

    pair[0].eval()
    before = torch.random.get_rng_state()
    with pytest.raises(error):
        gan.train_gan(*pair, images, epochs=4, batch_size=20, every=1, watch=watch, progress=False)
    # Round 6 was whole when `watch` was called.
    assert not same(kept, states(pair)) and not pair[0].training
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_error_within_a_round_undoes_it(images, monkeypatch):
    pair = build()
    kept, rounds = [], []
    loss = training.generator_loss

    def failing(fake, *, saturating):
        if len(rounds) == 5:
            raise KeyboardInterrupt
        return loss(fake, saturating=saturating)

    def watch(number):
        rounds.append(number)
        kept[:] = states(pair)

    monkeypatch.setattr(training, "generator_loss", failing)
    with pytest.raises(KeyboardInterrupt):
        gan.train_gan(*pair, images, epochs=4, batch_size=20, every=1, watch=watch, progress=False)
    assert rounds == [1, 2, 3, 4, 5] and same(kept, states(pair))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"images": torch.zeros(0, 1, 28, 28)}, ValueError, "images: got shape"),
        ({"images": torch.full((5, 1, 28, 28), 2.0)}, ValueError, "images: got values"),
        ({"images": torch.zeros(5, 1, 14, 14)}, ValueError, "generator: makes images of shape"),
        ({"epochs": 0}, ValueError, "epochs: got 0"),
        ({"batch_size": 2.5}, ValueError, "batch_size: got 2.5"),
        ({"every": 0}, ValueError, "every: got 0"),
        ({"average": 1.0}, ValueError, "average: got 1.0"),
        ({"generator_steps": 0}, ValueError, "generator_steps: got 0"),
        ({"eps": -0.1}, ValueError, "eps: got -0.1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate: got"),
        ({"learning_rate": (1e-3, NAN)}, ValueError, "learning_rate: got"),
        ({"generator": nn.Identity()}, TypeError, "generator: got Identity"),
        (
            {"discriminator": fully_connected(10)},
            ValueError,
            r"discriminator: gave shape \(1, 10\)",
        ),
        ({"discriminator": None}, TypeError, "discriminator: got NoneType"),
    ],
)
def test_training_refuses_what_does_not_fit(images, change, error, words):
    generator, discriminator = build()
    inputs = {"generator": generator, "discriminator": discriminator, "images": images} | change
    with pytest.raises(error, match=words):
        gan.train_gan(**inputs, progress=False)


# Parzen windows


def by_hand(samples, test, sigma):
    """In float64, from the differences themselves."""
    s, t = samples.double().flatten(1).numpy(), test.double().flatten(1).numpy()
    distances = ((t[:, None] - s[None]) ** 2).sum(2)
    normaliser = s.shape[1] * np.log(sigma * np.sqrt(2 * np.pi))
    mean = scipy.special.logsumexp(-distances / (2 * sigma**2), axis=1) - np.log(len(s))
    return mean - normaliser


def test_one_sample_gives_a_gaussians_density():
    samples, test = uniform(1, 9), uniform(4, 9, seed=1)
    expected = multivariate_normal(samples[0].double().numpy(), 0.3**2).logpdf(test.double())
    np.testing.assert_allclose(gan.parzen_log_likelihood(samples, test, 0.3), expected, rtol=1e-12)


@pytest.mark.parametrize("sigma", [1e-3, 0.01, 0.2, 3])
@pytest.mark.parametrize("offset", [0.0, 1e-3])
def test_parzen_is_exact_where_float32_would_not_be(sigma, offset):
    samples = uniform(30, 1, 28, 28)
    test = (samples + offset * uniform(30, 1, 28, 28, seed=1))[:7]
    found = gan.parzen_log_likelihood(samples, test, sigma)
    assert found.shape == (7,) and found.dtype == torch.float64
    np.testing.assert_allclose(found, by_hand(samples, test, sigma), atol=1e-4, rtol=0)


@given(st.integers(1, 9), st.integers(1, 13), st.floats(0.05, 2), st.integers(1, 5))
def test_parzen_in_parts_is_parzen_at_once(samples, test, sigma, batch):
    whole = measures.BATCH
    s, t = uniform(samples, 6), uniform(test, 2, 3, seed=1)
    try:
        measures.BATCH = batch
        found = gan.parzen_log_likelihood(s, t, sigma)
    finally:
        measures.BATCH = whole
    np.testing.assert_allclose(found, by_hand(s, t, sigma), rtol=1e-9)


@given(st.floats(0.1, 1.5))
def test_parzen_of_a_line_is_a_density(sigma):
    samples = uniform(5, 1)
    grid = torch.linspace(-12, 13, 5001, dtype=torch.float64)[:, None]
    densities = gan.parzen_log_likelihood(samples, grid, sigma).exp()
    assert torch.trapezoid(densities, grid[:, 0]).item() == pytest.approx(1, rel=1e-6)


def test_sigma_is_the_best_on_validation():
    samples, validation = uniform(40, 12), uniform(25, 12, seed=1)
    sigmas = [0.02, 0.1, 0.25, 0.4, 1.0]
    means = [by_hand(samples, validation, sigma).mean() for sigma in sigmas]
    assert gan.choose_sigma(samples, validation, sigmas) == sigmas[int(np.argmax(means))]
    assert gan.choose_sigma(samples, validation, [0.7]) == 0.7


def test_sigmas_are_the_papers():
    np.testing.assert_allclose(gan.PAPERS_SIGMAS, np.logspace(-1, 0, 10), rtol=1e-12)
    assert gan.SIGMAS[::3] == pytest.approx(gan.PAPERS_SIGMAS)
    assert list(gan.SIGMAS) == sorted(gan.SIGMAS) and len(gan.SIGMAS) == 28


@pytest.mark.parametrize("sigma", [0, -0.1, NAN, INF])
def test_no_sigma_but_a_positive_one(sigma):
    with pytest.raises(ValueError, match="sigma: got"):
        gan.parzen_log_likelihood(uniform(2, 3), uniform(2, 3), sigma)
    with pytest.raises(ValueError, match="sigma: got"):
        gan.choose_sigma(uniform(2, 3), uniform(2, 3), [0.1, sigma])


@pytest.mark.parametrize(
    ("samples", "test", "error", "words"),
    [
        (uniform(0, 3), uniform(2, 3), ValueError, r"samples: got shape \(0, 3\)"),
        (uniform(2, 3), uniform(0, 3), ValueError, r"test: got shape \(0, 3\)"),
        (uniform(2, 3), uniform(3), ValueError, r"test: got shape \(3,\)"),
        (uniform(2, 3), uniform(2, 4), ValueError, "test: got images of 4 pixels, expected 3"),
        (uniform(2, 3).int(), uniform(2, 3), TypeError, "samples: got torch.int32"),
        (uniform(2, 3) * NAN, uniform(2, 3), ValueError, "samples: got values"),
        ([[0.0]], uniform(2, 3), TypeError, "samples: got list"),
    ],
)
def test_parzen_refuses_what_are_no_images(samples, test, error, words):
    with pytest.raises(error, match=words):
        gan.parzen_log_likelihood(samples, test, 0.2)


def test_sigmas_to_choose_from_are_needed():
    with pytest.raises(ValueError, match="sigmas: got none"):
        gan.choose_sigma(uniform(2, 3), uniform(2, 3), [])
    with pytest.raises(TypeError, match="sigma: got '0.2'"):
        gan.parzen_log_likelihood(uniform(2, 3), uniform(2, 3), "0.2")


# Fréchet distance


def exactly(mean, covariance, count=50, seed=0):
    """Rows whose sample mean and covariance are these, exactly."""
    rows = normal(count, len(mean), seed=seed)
    rows = rows - rows.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(torch.cov(rows.T)), rows.T, upper=False
    ).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_commuting_gaussians():
    m, n = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([1.0, -1.0, 2.5]).double()
    s, t = torch.tensor([1.0, 4.0, 0.25]).double(), torch.tensor([9.0, 1.0, 0.5]).double()
    expected = (m - n).square().sum() + (s.sqrt() - t.sqrt()).square().sum()
    first, second = exactly(m, s.diag()), exactly(n, t.diag(), count=80, seed=1)
    assert gan.frechet_distance(first, second) == pytest.approx(expected.item(), rel=1e-9)


def test_frechet_distance_against_scipys_root():
    a, b = normal(40, 6), normal(70, 6, seed=1) @ normal(6, 6, seed=2) + 1
    cov_a, cov_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    means = ((a.mean(0) - b.mean(0)) ** 2).sum().item()
    expected = means + np.trace(cov_a + cov_b - 2 * root.real)
    assert gan.frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    assert gan.frechet_distance(b, a) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_of_sets_that_are_alike_or_flat():
    rows = normal(20, 5)
    assert gan.frechet_distance(rows, rows) == pytest.approx(0, abs=1e-9)
    assert gan.frechet_distance(rows, rows + 2) == pytest.approx(20, rel=1e-9)
    flat = torch.ones(20, 5)  # a generator that makes one image only
    spread = torch.cov(rows.T).trace() + (rows.mean(0) - 1).square().sum()
    assert gan.frechet_distance(flat, rows) == pytest.approx(spread.item(), rel=1e-9)


@pytest.mark.parametrize(
    ("second", "error", "words"),
    [
        (uniform(1, 5), ValueError, r"second: got shape \(1, 5\)"),
        (uniform(4, 6), ValueError, "second: got 6 features, expected 5"),
        (uniform(4, 5).int(), TypeError, "second: got torch.int32"),
        (uniform(4, 5) * NAN, ValueError, "second: got values"),
    ],
)
def test_frechet_distance_refuses_what_are_no_features(second, error, words):
    with pytest.raises(error, match=words):
        gan.frechet_distance(uniform(4, 5), second)


def test_features_are_what_the_last_layer_takes():
    classifier = fully_connected(7, 5, 3, inputs=12, dropout=(0.0, 0.5)).train()
    images = uniform(9, 1, 3, 4)
    found = gan.features(classifier, images)
    assert classifier.training and found.shape == (9, 5) and not found.requires_grad
    classifier.eval()
    torch.testing.assert_close(classifier[-1](found), classifier(images))
    with pytest.raises(ValueError, match="classifier: got 1 fully connected layers"):
        gan.features(fully_connected(3, inputs=12), images)


# Theory


def gaussian(mean, deviation):
    return lambda x: torch.from_numpy(norm(mean, deviation).pdf(x.numpy()))


RANGE = {"low": -20, "high": 20}


@given(st.integers(-30, 30).map(lambda tenths: tenths / 10), st.floats(0.3, 3))
def test_the_value_at_the_optimum_is_2_js_less_log_4(mean, deviation):
    p, q = gaussian(0, 1), gaussian(mean, deviation)
    best = lambda x: torch.where(p(x) + q(x) > 0, p(x) / (p(x) + q(x)), 0.5)  # noqa: E731
    expected = 2 * gan.jensen_shannon(p, q, **RANGE) - math.log(4)
    assert gan.game_value(best, p, q, **RANGE) == pytest.approx(expected, abs=1e-6)
    # Any other discriminator is worth less.
    other = lambda x: 0.9 * best(x) + 0.05  # noqa: E731
    assert gan.game_value(other, p, q, **RANGE) < expected


def test_jensen_shannon_against_sums_over_a_grid():
    x = np.linspace(-20, 20, 40_001)
    p, q = norm(0, 1).pdf(x), norm(1.5, 0.4).pdf(x)
    mean = (p + q) / 2
    terms = scipy.special.rel_entr(p, mean) + scipy.special.rel_entr(q, mean)
    expected = np.trapezoid(terms, x) / 2
    found = gan.jensen_shannon(gaussian(0, 1), gaussian(1.5, 0.4), **RANGE)
    assert found == pytest.approx(expected, rel=1e-6)


def test_jensen_shannon_of_the_same_and_of_the_disjoint():
    p, far = gaussian(-8, 0.3), gaussian(8, 0.3)
    assert gan.jensen_shannon(p, p, **RANGE) == pytest.approx(0, abs=1e-12)
    assert gan.jensen_shannon(p, far, **RANGE) == pytest.approx(math.log(2), rel=1e-6)


def test_densities_are_to_lie_between_the_ends():
    p = gaussian(0, 1)
    with pytest.raises(ValueError, match="q: integrates to 0.5"):
        gan.jensen_shannon(p, gaussian(20, 1), **RANGE)
    with pytest.raises(ValueError, match="p: integrates to 2"):
        gan.game_value(p, lambda x: 2 * p(x), p, **RANGE)
    with pytest.raises(ValueError, match="low, high: got 1, 0"):
        gan.jensen_shannon(p, p, low=1, high=0)


# The shipped pair


@pytest.fixture(scope="module")
def mnist():
    try:
        return {split: data.load_mnist(split) for split in ("train", "test")}
    except data.DataUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def copied(tmp_path, monkeypatch):
    for name in ("GAN.safetensors", "RBF.safetensors"):
        shutil.copy(shipped.zoo.CHECKPOINTS / name, tmp_path)
    monkeypatch.setattr(shipped.zoo, "CHECKPOINTS", tmp_path)
    return tmp_path


def test_the_shipped_pair_makes_and_judges_images():
    generator, discriminator = gan.load_gan()
    assert not generator.training and not discriminator.training
    made = gan.sample(generator, 200)
    assert made.shape == (200, 1, 28, 28) and made.min() >= 0 and made.max() <= 1
    assert discriminator(made).shape == (200, 1)


def test_the_shipped_pair_is_as_its_record_says(mnist):
    record = gan.load_gan_record()
    options = json.loads(json.dumps(retraining.OPTIONS))
    recipe = {"function": "train_gan", "options": options, "seed": shipped.SEED}
    assert record["training"] == recipe
    generator, discriminator = gan.load_gan()
    samples = gan.sample(generator, 10_000)
    validation = mnist["train"][0][50_000:51_000]
    assert gan.choose_sigma(samples, validation) == pytest.approx(record["sigma"])
    some = mnist["test"][0][:2000]
    nats = gan.parzen_log_likelihood(samples, some, record["sigma"])
    assert abs(nats.mean().item() - record["log_likelihood"]) < 15
    digits = predict(shipped.zoo.load_model("maxout"), samples).bincount(minlength=10)
    np.testing.assert_allclose(digits / 100, record["digits"], atol=0.2)
    assert record["log_likelihood"] > 200 and min(record["digits"]) > 3
    with torch.no_grad():
        assert discriminator(some).mean() > discriminator(samples).mean() + 0.5


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "GAN.safetensors").unlink(), "cannot be read"),
        (lambda folder: (folder / "GAN.safetensors").write_bytes(b"{}"), "damaged"),
        (
            lambda folder: shutil.copy(folder / "RBF.safetensors", folder / "GAN.safetensors"),
            "record of 'RBF'",
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused(copied, damage, words):
    damage(copied)
    with pytest.raises(RuntimeError, match=words) as refusal:
        gan.load_gan()
    assert "make train" in str(refusal.value)


def test_retraining_writes_what_loading_reads(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(retraining, "OPTIONS", {"epochs": 1, "progress": False})
    monkeypatch.setattr(retraining, "TRAINED_ON", 300)
    measured = {"log_likelihood": 1.0, "standard_error": 0.1, "digits": [10.0] * 10}
    monkeypatch.setattr(retraining, "measure_gan", lambda generator: measured)
    record = retraining.retrain_gan(tmp_path)
    monkeypatch.setattr(shipped.zoo, "CHECKPOINTS", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["GAN.safetensors"]
    assert gan.load_gan_record() == record
    images = mnist["train"][0][:300]
    generator = gan.rectifier_generator(400, 400, noise=10, mean=images.mean(0), seed=0)
    pair = generator, gan.maxout_discriminator(120, 120, seed=1)
    gan.train_gan(*pair, images, epochs=1, seed=0, progress=False)
    for network, found in zip(pair, gan.load_gan()):
        for ours, theirs in zip(network.state_dict().values(), found.state_dict().values()):
            torch.testing.assert_close(theirs, ours.half().to(ours), atol=1e-6, rtol=1e-3)

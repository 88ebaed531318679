from functools import partial

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import nn

from course_utils import convex
from course_utils.attacks import fgsm
from course_utils.inference import predict
from course_utils.losses import (
    adversarial_loss,
    binary_cross_entropy,
    cross_entropy,
    noise_loss,
    weight_decay_term,
)
from course_utils.models import RBF, fully_connected, linear_layers
from course_utils.training import error_rate, fit, fit_linear, fit_rbf, fit_sparse_features

INF = float("inf")


def examples(count: int = 90, classes: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (count, 1, 3, 4) of noisy classes: learnable, but not separable by a plane."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = torch.rand(classes, 12, generator=generator)
    noise = 0.4 * torch.randn(count, 12, generator=generator)
    return (centres[labels] + noise).clamp(0, 1).view(count, 1, 3, 4), labels


def objective(weight, bias, images, labels, decay):
    """The softmax regression's loss and its gradients, in numpy."""
    pixels = images.numpy().reshape(len(images), -1).astype(np.float64)
    truth = np.eye(len(bias))[labels.numpy()]
    logits = pixels @ weight.T + bias
    logits -= logits.max(1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    residual = (np.exp(log_p) - truth) / len(labels)
    loss = -(log_p * truth).sum() / len(labels) + decay / 2 * (weight**2).sum()
    return loss, residual.T @ pixels + decay * weight, residual.sum(0)


def parameters_of(model: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    return tuple(p.detach().double().numpy().copy() for p in model[1].parameters())


def state_of(model: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def same(states: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(states, others, strict=True))


@pytest.mark.parametrize("decay", [0.3, [0.1, 0.2, 0.0]])
def test_weight_decay_is_half_lambda_times_the_squares(decay):
    model = fully_connected(4, 5, 3, inputs=6)
    lambdas = decay if isinstance(decay, list) else [decay] * 3
    squares = [float((w.weight.detach().double().numpy() ** 2).sum()) for w in linear_layers(model)]
    expected = sum(each / 2 * square for each, square in zip(lambdas, squares))
    assert weight_decay_term(model, decay).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("decay", [-1.0, INF, float("nan"), [1e-5], [1e-5, -1e-5], []])
def test_bad_weight_decay_is_refused(decay):
    with pytest.raises(ValueError, match="weight_decay: got"):
        weight_decay_term(fully_connected(4, 3), decay)


@pytest.mark.parametrize("decay", [1e-2, 1.0])
def test_linear_fit_finds_the_optimum_of_its_problem(decay):
    images, labels = examples()
    model = fully_connected(3, inputs=12)
    first_loss = objective(*parameters_of(model), images, labels, decay)[0]
    history = fit_linear(model, images, labels, weight_decay=decay, progress=False)
    assert history["loss"].iloc[0] == pytest.approx(first_loss, abs=1e-7)
    weight, bias = parameters_of(model)
    loss, *gradients = objective(weight, bias, images, labels, decay)
    assert max(np.abs(gradient).max() for gradient in gradients) < 3e-6
    assert history["loss"].iloc[-1] == pytest.approx(loss, abs=1e-7)
    assert history["gradient"].iloc[-1] <= 1e-6
    assert history["error"].iloc[-1] == pytest.approx(error_rate(model, images, labels))

    def flat(vector):
        value, by_weight, by_bias = objective(
            vector[:36].reshape(3, 12), vector[36:], images, labels, decay
        )
        return value, np.concatenate([by_weight.ravel(), by_bias])

    peer = scipy.optimize.minimize(flat, np.zeros(39), jac=True, options={"gtol": 1e-9})
    assert loss == pytest.approx(peer.fun, abs=1e-9)
    np.testing.assert_allclose(weight.ravel(), peer.x[:36], atol=1e-4)


def test_the_numpy_objective_has_the_gradient_it_claims():
    images, labels = examples()
    generator = np.random.default_rng(0)
    weight, bias, step = generator.normal(size=(3, 12)), generator.normal(size=3), 1e-6
    _, by_weight, by_bias = objective(weight, bias, images, labels, 0.1)
    direction, turn = generator.normal(size=(3, 12)), generator.normal(size=3)
    ahead, behind = (
        objective(weight + h * direction, bias + h * turn, images, labels, 0.1)[0]
        for h in (step, -step)
    )
    expected = (by_weight * direction).sum() + (by_bias * turn).sum()
    assert (ahead - behind) / (2 * step) == pytest.approx(expected, rel=1e-6)


def test_linear_fit_ends_in_the_same_place_from_anywhere():
    images, labels = examples()
    ends = []
    for seed in (0, 1):
        model = fully_connected(3, inputs=12, seed=seed)
        fit_linear(model, images, labels, weight_decay=1e-2, tolerance=1e-8, progress=False)
        ends.append(parameters_of(model)[0])
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-5)


def test_linear_fit_interrupted_keeps_the_best_so_far(monkeypatch):
    images, labels = examples()
    model = fully_connected(3, inputs=12)
    losses = []

    def interrupt(loss, *_):
        if len(losses) == 7:
            raise KeyboardInterrupt
        losses.append(loss)

    monkeypatch.setattr(convex, "check_finite", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit_linear(model, images, labels, weight_decay=1e-2, progress=False)
    loss = objective(*parameters_of(model), images, labels, 1e-2)[0]
    assert loss == pytest.approx(min(losses), abs=1e-6)
    assert loss < losses[0] - 0.01


@pytest.mark.parametrize("train", [fit, fit_linear])
def test_training_leaves_the_images_alone(train):
    images, labels = examples()
    images = images.double().flatten(1).requires_grad_()
    kept = images.detach().clone()
    train(fully_connected(3, inputs=12).double(), images, labels, weight_decay=1.0, progress=False)
    assert torch.equal(images, kept) and images.grad is None


def test_a_last_batch_of_one_joins_the_one_before():
    images, labels = examples(count=41)
    sizes = []
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), fully_connected(3, inputs=12))
    model[1].register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    fit(model, images, labels, epochs=2, batch_size=20, progress=False)
    assert sizes == [20, 21, 20, 21]


def test_linear_fit_takes_only_linear_models():
    with pytest.raises(ValueError, match="model: got"):
        fit_linear(fully_connected(4, 3, inputs=12), *examples(), progress=False)


def test_sigmoid_fit_learns_and_reports_it():
    images, labels = examples()
    model = fully_connected(20, 3, inputs=12)
    history = fit(model, images, labels, epochs=40, batch_size=20, learning_rate=0.05)
    assert list(history.columns) == ["epoch", "loss", "error"]
    assert list(history["epoch"]) == list(range(1, 41))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    assert error_rate(model, images, labels) < 10 < history["error"].iloc[0]


def test_fit_counts_every_image_once_an_epoch():
    # With a step too small to change anything, the report is of the untrained network.
    images, labels = examples(count=50)
    model = fully_connected(4, 3, inputs=12)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(model(images), labels).item()
    error = error_rate(model, images, labels)
    row = fit(
        model, images, labels, epochs=1, batch_size=15, learning_rate=1e-12, progress=False
    ).iloc[0]
    assert row["loss"] == pytest.approx(loss, rel=1e-5)
    assert row["error"] == pytest.approx(error)


def test_fit_minimises_the_decay_too():
    images, labels = examples()
    norms = []
    for decay in ([0.0, 0.0], [0.1, 0.0], [0.0, 0.1]):
        model = fully_connected(8, 3, inputs=12)
        fit(model, images, labels, weight_decay=decay, learning_rate=0.05, progress=False)
        norms.append([layer.weight.norm().item() for layer in linear_layers(model)])
    free, first, second = norms
    assert first[0] < free[0] / 2
    assert second[1] < free[1] / 2


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("bounds", [(0, 1), (-INF, INF)])
def test_the_adversarial_loss_and_its_slope_are_the_formulas(alpha, bounds):
    # By hand, for a linear model: J = -log softmax, its slope in x, and that in the weights.
    images, labels = examples(count=20)
    images = images.double()
    model = fully_connected(3, inputs=12).double()
    loss = adversarial_loss(model, images, labels, eps=0.1, alpha=alpha, bounds=bounds)
    by_weight, by_bias = torch.autograd.grad(loss, list(model[1].parameters()))
    weight, bias = parameters_of(model)
    pixels, truth = images.flatten(1).numpy(), np.eye(3)[labels]

    def softmax(points):
        powers = np.exp(points @ weight.T + bias)
        return powers / powers.sum(1, keepdims=True)

    signs = np.sign((softmax(pixels) - truth) @ weight)
    moved = (pixels + 0.1 * signs).clip(*bounds)
    value, wanted_weight, wanted_bias = 0.0, 0.0, 0.0
    for share, points in ((alpha, pixels), (1 - alpha, moved)):
        p = softmax(points)
        value += share * -np.log((p * truth).sum(1)).mean()
        wanted_weight += share * (p - truth).T @ points / 20
        wanted_bias += share * (p - truth).mean(0)
    assert loss.item() == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(by_weight.numpy(), wanted_weight, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(by_bias.numpy(), wanted_bias, rtol=1e-7, atol=1e-12)


def test_the_adversarial_losss_slope_is_numerically_right_with_the_images_held():
    images, labels = examples(count=15)
    images, model = images.double(), fully_connected(5, 3, inputs=12).double()
    loss = adversarial_loss(model, images, labels, eps=0.1, alpha=0.4)
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    moved = fgsm(model, images, labels, eps=0.1)

    def held():
        with torch.no_grad():
            losses = [cross_entropy(model, points, labels).item() for points in (images, moved)]
        return 0.4 * losses[0] + 0.6 * losses[1]

    assert loss.item() == pytest.approx(held(), rel=1e-12)
    for parameter, slope in zip(model.parameters(), slopes):
        turn = torch.ones_like(parameter)
        ends = []
        for step in (1e-6, -2e-6):
            parameter.data.add_(turn, alpha=step)
            ends.append(held())
        parameter.data.add_(turn, alpha=1e-6)
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope.sum().item(), rel=1e-5, abs=1e-9)


def test_at_eps_0_and_alpha_1_the_losses_are_the_cross_entropy():
    images, labels = examples()
    model = fully_connected(5, 3, inputs=12)
    plain = cross_entropy(model, images, labels).item()
    for loss in (adversarial_loss, noise_loss):
        for options in ({"eps": 0.0}, {"eps": 0.2, "alpha": 1.0}):
            assert loss(model, images, labels, **options).item() == pytest.approx(plain, rel=1e-6)


def test_noise_is_plus_or_minus_eps_from_its_generator():
    images, labels = examples(count=40)
    seen = []

    class Watching(nn.Module):
        def forward(self, points):
            seen.append(points)
            return points.flatten(1)[:, :3]

    options = {"eps": 0.1, "bounds": (-INF, INF)}
    for seed in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed)
        noise_loss(Watching(), images, labels, **options, generator=generator)
    plain, moved = seen[0].chunk(2)
    shift = moved - images
    assert torch.equal(plain, images)
    torch.testing.assert_close(shift.abs(), torch.full_like(images, 0.1))
    assert 0.4 < (shift > 0).float().mean() < 0.6
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])
    noise_loss(Watching(), images, labels, eps=0.5)
    assert seen[3].min() >= 0 and seen[3].max() <= 1


def test_the_sign_ignores_dropout_and_the_losses_do_not():
    images, labels = examples()
    model = fully_connected(30, 3, inputs=12, dropout=(0.2, 0.5)).train()
    torch.manual_seed(0)
    one, other = (adversarial_loss(model, images, labels, eps=0.1).item() for _ in range(2))
    assert one != other and model.training
    torch.manual_seed(0)
    moved = fgsm(model, images, labels, eps=0.1)
    by_hand = cross_entropy(model, torch.cat([images, moved]), labels.repeat(2)).item()
    assert one == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("loss", [adversarial_loss, noise_loss])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": -0.1}, "alpha: got -0.1"),
        ({"alpha": 1.1}, "alpha: got"),
        ({"alpha": float("nan")}, "alpha: got"),
        ({"eps": -0.1}, "eps: got"),
        ({"eps": float("nan")}, "eps: got"),
        ({"bounds": (1, 0)}, "bounds: got"),
        ({"images": torch.full((90, 12), 2.0)}, "images: got"),
        ({"labels": torch.zeros(2).long()}, "labels: got"),
    ],
)
def test_bad_options_of_the_losses_are_refused(loss, options, words):
    images, labels = examples()
    arguments = {"images": images, "labels": labels, "eps": 0.1} | options
    with pytest.raises(ValueError, match=words):
        loss(fully_connected(3, inputs=12), **arguments)


def test_binary_cross_entropy_is_one_question_a_class():
    images, labels = examples(count=10)
    model = fully_connected(3, inputs=12)
    p = 1 / (1 + np.exp(-model(images).detach().double().numpy()))
    truth = np.eye(3)[labels]
    expected = -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).sum(1).mean()
    assert binary_cross_entropy(model, images, labels).item() == pytest.approx(expected, rel=1e-5)


def test_fit_minimises_the_loss_it_is_given():
    images, labels = examples()
    model = fully_connected(3, inputs=12)

    def pulled_to_one(network, *_):
        return (network[1].weight - 1).square().sum()

    history = fit(
        model, images, labels, loss=pulled_to_one, epochs=300, learning_rate=0.1, progress=False
    )
    assert list(history.columns) == ["epoch", "loss"]
    assert history["loss"].iloc[-1] < 1e-3
    np.testing.assert_allclose(model[1].weight.detach(), 1, atol=0.02)


def test_adversarial_training_makes_an_attack_harder():
    images, labels = examples()
    errors = []
    for loss in (cross_entropy, partial(adversarial_loss, eps=0.15)):
        model = fully_connected(40, 3, inputs=12)
        fit(
            model,
            images,
            labels,
            loss=loss,
            epochs=60,
            batch_size=30,
            progress=False,
            learning_rate=0.02,
        )
        errors.append(error_rate(model, fgsm(model, images, labels, eps=0.15), labels))
    assert errors[1] < errors[0] - 10


@pytest.mark.parametrize("loss", [cross_entropy, partial(noise_loss, eps=0.1)])
def test_dropout_and_noise_follow_the_seed_and_spare_the_readers_own(loss):
    images, labels = examples()
    dropout = (0.2, 0.5) if loss is cross_entropy else (0.0, 0.0)
    ends = []
    for seed in (0, 0, 1):
        torch.rand(1)  # the reader's own draws go on between two trainings
        before = torch.get_rng_state()
        model = fully_connected(8, 3, inputs=12, dropout=dropout)
        # One batch, so that the order of the images is not what differs.
        fit(model, images, labels, loss=loss, epochs=2, batch_size=90, seed=seed, progress=False)
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(state_of(model))
    assert same(ends[0], ends[1])
    gap = max((a - b).abs().max().item() for a, b in zip(ends[0], ends[2]))
    assert gap > 1e-4  # the order alone gives rounding only


def test_an_rbf_network_learns_its_precisions_around_the_means():
    images, labels = examples()
    model = RBF(3, 12)
    history = fit_rbf(
        model, images, labels, epochs=100, batch_size=30, learning_rate=0.05, progress=False
    )
    for label in range(3):
        torch.testing.assert_close(model.means[label], images[labels == label].flatten(1).mean(0))
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    assert error_rate(model, images, labels) < 15
    assert model.log_precisions.std() > 0.1


def test_an_rbf_fit_interrupted_keeps_the_means_that_its_precisions_are_for():
    images, labels = examples(count=60)  # 3 steps an epoch
    model, calls = RBF(3, 12), []

    def press(*_):
        calls.append(None)
        if len(calls) == 5:
            raise KeyboardInterrupt

    model.register_forward_hook(press)
    with pytest.raises(KeyboardInterrupt):
        fit_rbf(model, images, labels, epochs=5, batch_size=20, progress=False)
    centres = [images[labels == label].flatten(1).mean(0) for label in range(3)]
    assert torch.equal(model.means, torch.stack(centres))
    assert not torch.equal(model.log_precisions, RBF(3, 12).log_precisions)


def test_an_rbf_fit_that_fails_leaves_the_means():
    images, labels = examples()
    model = RBF(3, 12)
    with pytest.raises(ValueError, match="epochs: got"):
        fit_rbf(model, images, labels, epochs=0)
    with pytest.raises(ValueError, match="labels: got"):
        fit_rbf(model, images, labels.clamp_max(1))
    with pytest.raises(TypeError, match="model: got Sequential"):
        fit_rbf(fully_connected(3, inputs=12), images, labels)
    assert (model.means == 0).all()


def test_fit_follows_its_seed():
    images, labels = examples()
    ends = []
    for seed in (0, 0, 1):
        model = fully_connected(4, 3, inputs=12)
        fit(model, images, labels, epochs=2, batch_size=10, seed=seed, progress=False)
        ends.append(state_of(model))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


def test_the_step_falls_to_zero():
    images, labels = examples(count=60)
    model = InterruptedAt(call=0)  # never
    fit(model, images, labels, epochs=10, batch_size=20, learning_rate=0.01, progress=False)
    weights = [*model.seen, model.layer.weight.detach()]
    steps = [(new - old).abs().max().item() for old, new in zip(weights, weights[1:])]
    assert len(steps) == 30
    assert steps[0] == pytest.approx(0.01, rel=1e-3)  # Adam's first step is the rate itself
    assert steps[-1] < 0.01 / 10


def test_fit_leaves_mode_and_gradients_as_it_found_them():
    images, labels = examples()
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(12, 3)).eval()
    fit(model, images, labels, epochs=1, progress=False)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    linear = fully_connected(3, inputs=12)
    fit_linear(linear, images, labels, weight_decay=1.0, progress=False)
    assert all(parameter.grad is None for parameter in linear.parameters())
    assert all(parameter.dtype == torch.float32 for parameter in linear.parameters())


def test_the_autoencoder_reports_its_two_errors():
    # With a step too small to change anything, the report is of the untrained layers.
    images, labels = examples()
    model = fully_connected(5, 3, inputs=12)
    decoder = fully_connected(12, inputs=5, seed=7)[1].weight.detach().double().numpy()
    encoder = model[1].weight.detach().double().numpy()
    report = fit_sparse_features(
        model,
        images,
        labels,
        sparsity=0.2,
        weight_decay=1e-2,
        epochs=1,
        batch_size=90,
        learning_rate=1e-12,
        seed=6,
        progress=False,
    )
    pixels = images.flatten(1).double().numpy()
    codes = 1 / (1 + np.exp(-pixels @ encoder.T))
    rebuilt = 1 / (1 + np.exp(-codes @ decoder.T))
    reconstruction = ((rebuilt - pixels) ** 2).sum() / 2 / len(pixels)
    share = codes.mean(0)
    divergence = sum(0.2 * np.log(0.2 / q) + 0.8 * np.log(0.8 / (1 - q)) for q in share)
    assert report["epoch"].notna().sum() == 1
    assert report["reconstruction"].iloc[0] == pytest.approx(reconstruction, rel=1e-5)
    assert report["divergence"].iloc[0] == pytest.approx(divergence, rel=1e-5)


def sparse_fit(labels: torch.Tensor | None = None, **options) -> nn.Module:
    images, true_labels = examples()
    model = fully_connected(6, 3, inputs=12).eval()
    settings = {"weight_decay": 1e-2, "epochs": 60, "learning_rate": 0.05, "batch_size": 30}
    labels = true_labels if labels is None else labels
    fit_sparse_features(model, images, labels, **settings | options, progress=False)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    return model


def test_sparse_features_never_see_the_labels():
    images, labels = examples()
    one, other = sparse_fit(labels), sparse_fit(labels.roll(1))
    assert torch.equal(one[1].weight, other[1].weight) and torch.equal(one[1].bias, other[1].bias)
    assert not torch.equal(one[3].weight, other[3].weight)
    assert not torch.equal(one[1].weight, fully_connected(6, 3, inputs=12)[1].weight)
    assert not torch.equal(one[1].weight, sparse_fit(labels, seed=1)[1].weight)


def test_the_softmax_on_sparse_features_is_optimal():
    images, labels = examples()
    model = sparse_fit()
    features = model[:3](images).detach()
    weight, bias = (parameter.detach().double().numpy() for parameter in model[3].parameters())
    _, *gradients = objective(weight, bias, features, labels, 1e-2)
    assert max(np.abs(gradient).max() for gradient in gradients) < 3e-6


@pytest.mark.parametrize("sparsity", [0.1, 0.7])
def test_units_of_the_autoencoder_are_as_active_as_asked(sparsity):
    model = sparse_fit(sparsity=sparsity, penalty=10.0)
    means = model[:3](examples()[0]).detach().mean(0)
    np.testing.assert_allclose(means, sparsity, atol=0.05)


def test_the_autoencoder_rebuilds_better_as_it_learns_and_decays():
    images, labels = examples()
    report = fit_sparse_features(
        fully_connected(6, 3, inputs=12),
        images,
        labels,
        weight_decay=1e-2,
        epochs=60,
        learning_rate=0.05,
        penalty=0.0,
        progress=False,
    )
    errors = report["reconstruction"].dropna()
    assert len(errors) == 60 and errors.iloc[-1] < 0.75 * errors.iloc[0]
    norms = [sparse_fit(autoencoder_decay=decay)[1].weight.norm() for decay in (0.0, 1.0)]
    assert norms[1] < norms[0] / 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sparsity", 0.0),
        ("sparsity", 1.0),
        ("penalty", -1.0),
        ("penalty", INF),
        ("epochs", 0),
        ("autoencoder_decay", -1.0),
        ("weight_decay", -1.0),
        ("iterations", 0),
    ],
)
def test_bad_options_of_the_autoencoder_are_refused_before_any_work(option, value):
    images, labels = examples()
    model = fully_connected(6, 3, inputs=12)
    before = state_of(model)
    name = "weight_decay" if "decay" in option else option
    with pytest.raises(ValueError, match=f"{name}: got"):
        fit_sparse_features(model, images, labels, **{option: value})
    with pytest.raises(ValueError, match="model: got"):
        fit_sparse_features(fully_connected(3, inputs=12), images, labels)
    assert same(state_of(model), before)


class InterruptedAt(nn.Module):
    """A linear classifier on which the reader presses Ctrl-C at one forward pass."""

    def __init__(self, call: int):
        super().__init__()
        self.layer, self.call, self.seen = fully_connected(3, inputs=12)[1], call, []

    def forward(self, images):
        self.seen.append(self.layer.weight.detach().clone())
        if len(self.seen) == self.call:
            raise KeyboardInterrupt
        return self.layer(images.flatten(1))


def test_fit_interrupted_keeps_the_last_whole_epoch():
    images, labels = examples(count=60)  # 3 steps an epoch; the 8th pass is the 2nd of epoch 3
    model = InterruptedAt(call=8)
    with pytest.raises(KeyboardInterrupt):
        fit(model, images, labels, epochs=5, batch_size=20, progress=False)
    assert torch.equal(model.layer.weight, model.seen[6])
    assert not torch.equal(model.layer.weight, model.seen[7])
    assert model.training


def test_divergence_names_the_step_and_what_to_try():
    images, labels = examples()
    model = fully_connected(3, inputs=12)
    with torch.no_grad():
        model[1].weight[0, 0] = INF
    before = state_of(model)
    with pytest.raises(FloatingPointError, match="step 1 of epoch 1.*smaller learning_rate"):
        fit(model, images, labels, progress=False)
    assert same(state_of(model), before)
    with pytest.raises(FloatingPointError, match="evaluation 1.*smaller weight_decay"):
        fit_linear(model, images, labels, weight_decay=1.0, progress=False)
    assert torch.equal(model[1].weight, before[0])


def test_predict_is_the_largest_logit_batch_by_batch_in_eval_mode():
    images, labels = examples()
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(12, 3)).train()
    predicted = predict(model, images, batch_size=7)
    pixels = images.flatten(1).double().numpy()
    logits = pixels @ model[2].weight.detach().double().numpy().T + model[2].bias.detach().numpy()
    assert predicted.tolist() == logits.argmax(1).tolist()
    assert model.training and model[1].training
    expected = 100 * np.mean(logits.argmax(1) != labels.numpy())
    assert error_rate(model, images, labels) == pytest.approx(expected)
    assert 0 < expected < 100


def test_error_rate_is_a_percentage():
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[-1.0], [1.0]]))  # class 1 wherever the pixel is lit
    images = torch.full((4, 1, 1, 1), 0.5)
    assert error_rate(model, images, torch.tensor([1, 1, 1, 0])) == 25.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x, y: (x * 255, y), ValueError, r"images: got values from .* in \[0, 1\]"),
        (lambda x, y: (x - 0.5, y), ValueError, "images: got values"),
        (lambda x, y: (x.where(x > 0.5, INF - INF), y), ValueError, "images: got values"),
        (lambda x, y: ((x * 255).byte(), y), TypeError, "images: got torch.uint8"),
        (lambda x, y: (x.numpy(), y), TypeError, "images: got ndarray"),
        (lambda x, y: (x[:0], y[:0]), ValueError, "images: got shape"),
        (lambda x, y: (x, y[:-1]), ValueError, "labels: got shape"),
        (lambda x, y: (x, y[:, None]), ValueError, "labels: got shape"),
        (lambda x, y: (x, y.int()), TypeError, "labels: got torch.int32"),
        (lambda x, y: (x, y.tolist()), TypeError, "labels: got list"),
    ],
)
def test_bad_examples_are_refused_before_any_work(change, error, message):
    images, labels = change(*examples())
    model = fully_connected(3, inputs=12)
    before = state_of(model)
    for function in (fit, fit_linear, fit_sparse_features, error_rate):
        with pytest.raises(error, match=message):
            function(model, images, labels)
    assert same(state_of(model), before)


def test_labels_without_a_unit_are_refused_before_any_work():
    model, (images, labels) = fully_connected(3, inputs=12), examples()
    before = state_of(model)
    with pytest.raises(ValueError, match="labels: got 5, expected 0 to 2"):
        fit_linear(model, images, labels + 3, progress=False)
    assert same(state_of(model), before)


@pytest.mark.parametrize("option", ["epochs", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_bad_counts_are_refused(option, value):
    with pytest.raises(ValueError, match=f"{option}: got"):
        fit(fully_connected(3, inputs=12), *examples(), **{option: value})


def test_fit_minimises_the_norms_too():
    """A penalty that outweighs the loss takes the norm of every layer down."""
    images, labels = examples()
    norms = {}
    for lipschitz in (0.0, 1.0):
        model = fully_connected(8, 3, inputs=images[0].numel())
        fit(
            model,
            images,
            labels,
            lipschitz=lipschitz,
            epochs=100,
            learning_rate=0.05,
            progress=False,
        )
        norms[lipschitz] = [
            np.linalg.norm(layer.weight.detach().numpy(), 2) for layer in linear_layers(model)
        ]
    assert max(norms[1.0]) < 0.2 * min(norms[0.0])
    for bad in (-1.0, INF, float("nan")):
        with pytest.raises(ValueError, match="lipschitz: got"):
            fit(model, images, labels, lipschitz=bad, progress=False)

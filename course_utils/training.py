"""Training the course's networks, and counting their errors.

Every network minimises a loss, mostly the mean cross-entropy of the softmax, plus one quadratic
term for the weights of each fully connected layer (see `weight_decay_term`); biases are free. The
linear networks are convex problems and go to `fit_linear`, the others to `fit`;
`fit_sparse_features` trains the layer below the softmax without the labels, and `fit_rbf` the
network that has no softmax. Each loss takes (model, images, labels) and gives one number, the mean
over the images, differentiable in the parameters; `fit` takes any such function.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import nn
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional as F
from tqdm.auto import tqdm

from course_utils.attacks import fgsm
from course_utils.checks import check_bounds, check_counts, check_images, check_labels, check_size
from course_utils.lipschitz import lipschitz_penalty
from course_utils.models import RBF, eval_mode, fully_connected, linear_layers

BATCH = 10_000  # images that pass through a network at once where they are only classified


def weight_decay_term(model: nn.Module, weight_decay: float | Sequence[float]) -> torch.Tensor:
    """Return the sum over the layers of lambda / 2 times the sum of the squared weights.

    The paper gives the lambdas, and writes lambda * sum(w^2) / k with k the units of the layer.
    To the letter, its three linear models then misclassify 6.1, 8.3 and 15.6 % of the training
    images where it prints 6.7, 10 and 21.2; with lambda / 2 they misclassify 6.6, 9.9 and 23.1 %,
    so the course uses that, for every network.

    Args:
        weight_decay: the lambdas of the fully connected layers from first to last, or one for all.

    Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.2, and its Table 1.
    """
    layers = linear_layers(model)
    if not isinstance(weight_decay, Sequence):
        weight_decay = [weight_decay] * len(layers)
    usable = all(0 <= decay < float("inf") for decay in weight_decay)
    if len(weight_decay) != len(layers) or not usable:
        raise ValueError(
            f"weight_decay: got {weight_decay!r}, expected one number of at least 0, "
            f"or one for each of the {len(layers)} fully connected layers"
        )
    # Without those of no decay: their squares would take a fifth of a wide network's step.
    terms = [d / 2 * layer.weight.square().sum() for d, layer in zip(weight_decay, layers) if d]
    return sum(terms, start=next(model.parameters()).new_zeros(()))


def cross_entropy(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return J, the mean over the images of -log of the softmax's probability of the label."""
    return F.cross_entropy(model(images), labels)


def binary_cross_entropy(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Return the cross-entropies of each class as a yes or no of its own, added up.

    The mean over the images; p_k is the sigmoid of the model's logit k. The loss of `RBF`.
    """
    logits = model(images)
    truth = F.one_hot(labels, logits.shape[1]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="sum") / len(labels)


def adversarial_loss(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    alpha: float = 0.5,
    bounds: tuple[float, float] = (0, 1),
) -> torch.Tensor:
    """Return alpha J(x, y) + (1 - alpha) J(x + eps sign(grad_x J(x, y)), y), J `cross_entropy`.

    The perturbation counts as fixed: no gradient passes through its sign, which has none. It is
    computed in eval mode, so with dropout it is an attack on the whole network, whereas the two
    losses see the network in the mode it is in, each image under a mask of its own.

    Args:
        model: gives logits (N, classes).
        images: (N, ...), floating point, in [0, 1], on the model's device.
        labels: (N,), int64.
        eps: size of the perturbation, in pixel units, at least 0.
        alpha: share of the unperturbed images' loss, 0 to 1.
        bounds: to which the perturbed images are clipped, as in `fgsm`.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 6.
    """
    _check_alpha(alpha)
    perturbed = fgsm(model, images, labels, eps=eps, bounds=bounds)
    return _mixed_loss(model, images, perturbed, labels, alpha)


def noise_loss(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    eps: float,
    alpha: float = 0.5,
    bounds: tuple[float, float] = (0, 1),
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return `adversarial_loss` with +eps or -eps drawn for each pixel instead: its control.

    Args:
        model, images, labels, eps, alpha, bounds: as in `adversarial_loss`.
        generator: of the signs, both equally likely; None for PyTorch's own, which `fit` seeds.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 6.
    """
    _check_alpha(alpha)
    check_images(images)
    check_labels(labels, images)
    check_size(eps, name="eps")
    check_bounds(bounds)
    device = images.device if generator is None else generator.device
    signs = torch.randint(2, images.shape, generator=generator, device=device)
    perturbed = (images + eps * (2 * signs.to(images) - 1)).clamp(*bounds)
    return _mixed_loss(model, images, perturbed, labels, alpha)


def _mixed_loss(
    model: nn.Module,
    images: torch.Tensor,
    perturbed: torch.Tensor,
    labels: torch.Tensor,
    alpha: float,
) -> torch.Tensor:
    # In one pass: two would cost more.
    losses = F.cross_entropy(
        model(torch.cat([images, perturbed])), labels.repeat(2), reduction="none"
    )
    plain, moved = losses.view(2, -1).mean(1)
    return alpha * plain + (1 - alpha) * moved


def fit(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    loss: Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor] = cross_entropy,
    weight_decay: float | Sequence[float] = 0.0,
    lipschitz: float = 0.0,
    epochs: int = 20,
    batch_size: int = 500,
    learning_rate: float = 0.005,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a network in place with Adam, the step falling linearly to zero.

    Ctrl-C, or any other error, leaves the model as it stood after the last whole epoch.

    Args:
        model: gives logits (N, classes).
        images: (N, ...), floating point, in [0, 1], on the model's device.
        labels: (N,), int64.
        loss: what to minimise besides the weight decay, from (model, images, labels) of a batch
            to a scalar: `cross_entropy`, or another, such as
            `functools.partial(adversarial_loss, eps=0.25)`, or one of your own with a penalty.
        weight_decay: see `weight_decay_term`.
        lipschitz: times `course_utils.lipschitz.lipschitz_penalty`, at least 0.
        epochs, batch_size, learning_rate: of Adam; the rate is that of the first step.
        seed: of the order in which the images are seen, of dropout, and of a loss's noise.
        progress: whether to show a bar.

    Returns:
        One row an epoch: "epoch", "loss" (mean, while it was trained on, without the weight
        decay and the penalty) and, where the loss is `cross_entropy`, "error" (percent of the
        images misclassified meanwhile).

    Raises:
        ValueError, TypeError: an argument is not as described.
        FloatingPointError: the loss is no longer finite.
    """
    check_images(images)
    check_labels(labels, images)
    check_counts(epochs=epochs, batch_size=batch_size)
    weight_decay_term(model, weight_decay)
    if not 0 <= lipschitz < float("inf"):
        raise ValueError(f"lipschitz: got {lipschitz!r}, expected a finite number of at least 0")
    vectors: dict[str, torch.Tensor] = {}

    def objective(batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if loss is cross_entropy:
            logits = model(images[batch])
            value = F.cross_entropy(logits, labels[batch])
            mistakes = logits.detach().argmax(1) != labels[batch]
            report = {"loss": value.detach(), "error": 100 * mistakes.float().mean()}
        else:
            value = loss(model, images[batch], labels[batch])
            report = {"loss": value.detach()}
        if lipschitz:
            value = value + lipschitz * lipschitz_penalty(model, state=vectors)
        return value + weight_decay_term(model, weight_decay), report

    return _adam(
        model,
        objective,
        images,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        progress=progress,
    )


def fit_linear(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    weight_decay: float = 0.0,
    iterations: int = 500,
    tolerance: float = 1e-6,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a linear classifier in place with L-BFGS on all images at once, to convergence.

    Weight decay makes this problem strictly convex, so it has one solution, and every machine
    finds the same. Computes in float64 where the device can.

    Ctrl-C, or any other error, leaves the model at the lowest loss met.

    Args:
        model: a single `nn.Linear` behind an `nn.Flatten`, as `fully_connected(10)` gives it.
        images: (N, ...), floating point, in [0, 1], on the model's device.
        labels: (N,), int64.
        weight_decay: see `weight_decay_term`.
        iterations: after which it stops at the latest.
        tolerance: stops when no entry of the gradient is larger (the pixels centred). Over
            `weight_decay`, it bounds how far an entry of the weights is from the solution, roughly.
        progress: whether to show a bar.

    Returns:
        One row for each evaluation of the loss: "evaluation", "loss" (with the weight decay),
        "gradient" (its largest entry) and "error" (percent of the images misclassified).

    Raises:
        ValueError, TypeError: an argument is not as described.
        FloatingPointError: the loss is no longer finite.
    """
    check_images(images)
    check_labels(labels, images)
    if not (
        isinstance(model, nn.Sequential)
        and [type(layer) for layer in model] == [nn.Flatten, nn.Linear]
    ):
        raise ValueError(f"model: got {model}, expected a Flatten and a Linear, as in FC10")
    check_counts(iterations=iterations)
    weight_decay_term(model, weight_decay)
    dtype = torch.float32 if images.device.type == "mps" else torch.float64
    layer = model[1]
    # Pixels around zero need a third of the evaluations. The bias takes the difference up.
    pixels = images.flatten(1).to(dtype)
    mean = pixels.mean(0)
    pixels -= mean
    weight = layer.weight.detach().to(dtype).requires_grad_()
    bias = (layer.bias.detach().to(dtype) + weight.detach() @ mean).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=tolerance,
        tolerance_change=0.0,
    )
    history = []
    best = float("inf"), weight.detach().clone(), bias.detach().clone()
    bar = tqdm(desc="training", unit=" evaluations", disable=not progress)

    def closure() -> torch.Tensor:
        nonlocal best
        logits = F.linear(pixels, weight, bias)
        loss = F.cross_entropy(logits, labels) + weight_decay / 2 * weight.square().sum()
        weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])
        row = {
            "evaluation": len(history) + 1,
            "loss": loss.item(),
            "gradient": max(weight.grad.abs().max().item(), bias.grad.abs().max().item()),
            "error": 100 * (logits.argmax(1) != labels).double().mean().item(),
        }
        _check_finite(row["loss"], f"evaluation {row['evaluation']}", "weight_decay")
        history.append(row)
        if row["loss"] < best[0]:
            best = row["loss"], weight.detach().clone(), bias.detach().clone()
        bar.update()
        bar.set_postfix_str(f"loss {row['loss']:.4f}, error {row['error']:.2f} %")
        return loss

    try:
        optimizer.step(closure)
    finally:
        bar.close()
        with torch.no_grad():
            layer.weight.copy_(best[1])
            layer.bias.copy_(best[2] - best[1] @ mean)
    return pd.DataFrame(history)


def fit_sparse_features(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    sparsity: float = 0.1,
    penalty: float = 0.2,
    autoencoder_decay: float = 0.0,
    weight_decay: float = 0.0,
    epochs: int = 20,
    batch_size: int = 500,
    learning_rate: float = 0.005,
    iterations: int = 500,
    tolerance: float = 1e-6,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a network of one hidden layer in place: first its features, unseen by the labels.

    The hidden layer is trained as a sparse autoencoder: a second layer, dropped afterwards, has
    to rebuild the images from its units, and a unit whose mean over a batch differs from
    `sparsity` costs `penalty` times the Kullback-Leibler divergence between the two. Then this
    layer stays as it is, and the softmax on top of it is trained on the labels by `fit_linear`.

    Ctrl-C, or any other error, leaves the model as it stood after the last whole epoch, or at
    the softmax's lowest loss met.

    Args:
        model: as `fully_connected(400, 10)` gives it.
        images: (N, ...), floating point, in [0, 1], on the model's device.
        labels: (N,), int64.
        sparsity: the mean wanted of each unit, between 0 and 1.
        penalty: its weight against the reconstruction error (see below), at least 0.
        autoencoder_decay: weight decay of the autoencoder's two layers.
        weight_decay: of the softmax layer; both as in `weight_decay_term`.
        epochs, batch_size, learning_rate, seed: of the autoencoder, as in `fit`.
        iterations, tolerance: of the softmax layer, as in `fit_linear`.
        progress: whether to show bars.

    Returns:
        `fit_linear`'s report, after the autoencoder's, one row an epoch: "epoch",
        "reconstruction" (half the squared error of an image) and "divergence" (sum over units).

    Raises:
        ValueError, TypeError: an argument is not as described.
        FloatingPointError: the loss is no longer finite.

    Source: AE400-10 of Szegedy et al. 2013 (arXiv:1312.6199), section 4.2, which gives no more
    than the 400 sigmoids and the softmax's weight decay of 1e-6; the penalty is that of Lee,
    Ekanadham and Ng 2008 in the form of Ng's lecture notes CS294A (2011).
    """
    check_images(images)
    check_labels(labels, images)
    check_counts(epochs=epochs, batch_size=batch_size, iterations=iterations)
    expected = [nn.Flatten, nn.Linear, nn.Sigmoid, nn.Linear]
    if not (isinstance(model, nn.Sequential) and [type(layer) for layer in model] == expected):
        raise ValueError(f"model: got {model}, expected one layer of sigmoids under a Linear")
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity: got {sparsity!r}, expected a share between 0 and 1")
    if not 0 <= penalty < float("inf"):
        raise ValueError(f"penalty: got {penalty!r}, expected a number of at least 0")
    hidden, softmax = model[:3], model[3:]
    encoder = model[1]
    decoder = fully_connected(encoder.in_features, inputs=encoder.out_features, seed=seed + 1)[1]
    autoencoder = nn.Sequential(hidden, decoder.to(images.device)).train(model.training)
    weight_decay_term(autoencoder, autoencoder_decay)
    weight_decay_term(softmax, weight_decay)
    wanted = Bernoulli(probs=torch.full((encoder.out_features,), sparsity).to(images))

    def objective(batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        pixels = images[batch].flatten(1)
        codes = hidden(pixels)
        rebuilt = decoder(codes).sigmoid()
        error = (rebuilt - pixels).square().sum(1).mean() / 2
        divergence = kl_divergence(wanted, Bernoulli(probs=codes.mean(0))).sum()
        report = {"reconstruction": error.detach(), "divergence": divergence.detach()}
        decay = weight_decay_term(autoencoder, autoencoder_decay)
        return error + penalty * divergence + decay, report

    report = _adam(
        autoencoder,
        objective,
        images,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        progress=progress,
    )
    with torch.no_grad():
        features = torch.cat([hidden(some) for some in images.split(BATCH)])
    fitted = fit_linear(
        nn.Sequential(nn.Flatten(), softmax[0]),
        features,
        labels,
        weight_decay=weight_decay,
        iterations=iterations,
        tolerance=tolerance,
        progress=progress,
    )
    return pd.concat([report, fitted], ignore_index=True)


def fit_rbf(
    model: RBF, images: torch.Tensor, labels: torch.Tensor, **options: object
) -> pd.DataFrame:
    """Train an `RBF` network in place: set its means to the classes', then learn its precisions.

    Args:
        model, images, labels: as in `fit`; every class of the model has at least one image.
        options: of `fit`, which minimises `binary_cross_entropy`.

    Returns:
        As `fit`.

    Raises:
        ValueError, TypeError, FloatingPointError: as `fit`; or the model is no `RBF`.
    """
    check_images(images)
    check_labels(labels, images)
    if not isinstance(model, RBF):
        raise TypeError(f"model: got {type(model).__name__}, expected an RBF")
    classes = range(len(model.means))
    if missing := set(classes) ^ set(labels.unique().tolist()):
        raise ValueError(f"labels: got {missing} without images or units, expected one of each")
    means = torch.stack([images[labels == label].flatten(1).mean(0) for label in classes])
    before = model.means
    model.means = means.to(before)
    try:
        return fit(model, images, labels, loss=binary_cross_entropy, **options)
    except BaseException:
        model.means = before
        raise


def predict(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the classes (N,), int64, that a model gives to images (N, ...) in [0, 1].

    The model computes in eval mode and is left in the mode it was in.
    """
    with eval_mode(model), torch.no_grad():
        return torch.cat([model(some).argmax(1) for some in images.split(BATCH)])


def error_rate(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return how many of the images a model misclassifies, in percent (0 to 100).

    Args:
        images: (N, ...) in [0, 1], N at least 1.
        labels: (N,), int64.
    """
    check_images(images)
    check_labels(labels, images)
    return 100 * (predict(model, images) != labels).sum().item() / len(labels)


def _adam(
    module: nn.Module,
    objective: Callable[[torch.Tensor], tuple[torch.Tensor, dict[str, torch.Tensor]]],
    images: torch.Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    progress: bool,
) -> pd.DataFrame:
    """Minimise an objective of a batch's indices by Adam, the step falling linearly to zero.

    The objective gives what to minimise, and the means over the batch to report for each epoch.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(module.parameters(), lr=learning_rate, fused=True)
    steps = epochs * -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    history = []
    saved = copy_of_state(module)
    training = module.training
    module.train()
    # Dropout and noise draw from PyTorch's global state; the reader's is set aside meanwhile.
    cuda = [images.device] if images.device.type == "cuda" else []
    bar = tqdm(total=epochs, desc="training", unit="epoch", disable=not progress)
    try:
        with torch.random.fork_rng(cuda):
            torch.manual_seed(seed)
            for epoch in range(1, epochs + 1):
                totals = Counter()
                order = torch.randperm(len(images), generator=generator).to(images.device)
                for step, batch in enumerate(order.split(batch_size), start=1):
                    optimizer.zero_grad()
                    loss, report = objective(batch)
                    loss.backward()
                    _check_finite(loss.item(), f"step {step} of epoch {epoch}", "learning_rate")
                    optimizer.step()
                    schedule.step()
                    for name, value in report.items():
                        totals[name] += value.item() * len(batch)
                row = {name: total / len(images) for name, total in totals.items()}
                history.append({"epoch": epoch, **row})
                saved = copy_of_state(module)
                bar.update()
                text = ", ".join(f"{name} {value:.4f}" for name, value in row.items())
                bar.set_postfix_str(text)
    except BaseException:
        module.load_state_dict(saved)
        raise
    finally:
        bar.close()
        optimizer.zero_grad()
        module.train(training)
    return pd.DataFrame(history)


def _check_alpha(alpha: float) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha: got {alpha!r}, expected a share from 0 to 1")


def _check_finite(loss: float, where: str, knob: str) -> None:
    if not abs(loss) < float("inf"):
        raise FloatingPointError(
            f"the loss is {loss} at {where}: training diverged. "
            f"Try a smaller {knob}, and check the images and the model's first weights"
        )


def copy_of_state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}

"""Training the course's networks, and counting their errors.

Every network minimises a loss, mostly the mean cross-entropy of the softmax, plus one quadratic
term for the weights of each fully connected layer (see `weight_decay_term`); biases are free. The
linear networks are convex problems and go to `fit_linear`.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional as F
from tqdm.auto import tqdm

from course_utils.checks import check_attack, check_counts
from course_utils.convex import check_finite, fit_linear
from course_utils.device import seeded
from course_utils.inference import batches, predict
from course_utils.lipschitz import lipschitz_penalty
from course_utils.losses import binary_cross_entropy, cross_entropy, weight_decay_term
from course_utils.models import RBF, eval_mode, fully_connected


def fit(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    loss: Callable = cross_entropy,
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
        images, labels: float32 or float64 (N, ...) in [0, 1], on the model's device; int64 (N,).
        loss: what to minimise besides the weight decay, from (model, images, labels) of a batch
            to a scalar, such as `partial(adversarial_loss, eps=0.25)`, or to a scalar and a dict of
            further means for the report.
        weight_decay: see `weight_decay_term`.
        lipschitz: times `course_utils.lipschitz.lipschitz_penalty`, at least 0.
        epochs, batch_size, learning_rate: of Adam; the rate is that of the first step.
        seed: of the order of the images, of dropout, and of a loss's noise. progress: show a bar?

    Returns one row an epoch: "epoch", "loss" (mean, while it was trained on, without the weight
    decay and the penalty) and, where the loss is `cross_entropy`, "error" (percent of the images
    misclassified meanwhile). Raises ValueError or TypeError where an argument is not as described,
    FloatingPointError where the loss is no longer finite.
    """
    check_attack(model, images, labels, lipschitz=lipschitz)
    check_counts(epochs=epochs, batch_size=batch_size)
    weight_decay_term(model, weight_decay)
    images, labels, vectors = images.detach(), labels.to(images.device), {}
    loss = _cross_entropy_and_error if loss is cross_entropy else loss
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    steps = epochs * len([*batches(images, batch_size)])
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    history, saved = [], copy_of_state(model)
    bar = tqdm(total=epochs, desc="training", unit="epoch", disable=not progress)
    # Dropout and noise draw from PyTorch's global state; the reader's is set aside meanwhile.
    with bar, seeded(seed, images.device), eval_mode(model, training=True):
        try:
            for epoch in range(1, epochs + 1):
                totals = Counter()
                order = torch.randperm(len(images), generator=generator).to(images.device)
                for step, batch in enumerate(batches(order, batch_size), start=1):
                    optimizer.zero_grad()
                    value = loss(model, images[batch], labels[batch])
                    value, report = value if isinstance(value, tuple) else (value, {})
                    for name, mean in {"loss": value, **report}.items():
                        totals[name] += mean.item() * len(batch)
                    if lipschitz:
                        value = value + lipschitz * lipschitz_penalty(model, state=vectors)
                    value = value + weight_decay_term(model, weight_decay)
                    value.backward()
                    check_finite(value.item(), f"step {step} of epoch {epoch}", "learning_rate")
                    optimizer.step()
                    schedule.step()
                row = {name: total / len(images) for name, total in totals.items()}
                history.append({"epoch": epoch, **row})
                saved = copy_of_state(model)
                bar.update()
                bar.set_postfix_str(", ".join(f"{name} {mean:.4f}" for name, mean in row.items()))
        except BaseException:
            model.load_state_dict(saved)
            raise
        finally:
            optimizer.zero_grad()
    return pd.DataFrame(history)


def _cross_entropy_and_error(model, images, labels) -> tuple[Tensor, dict[str, Tensor]]:
    """Return `cross_entropy` and, for the report, the percentage of the images misclassified."""
    logits = model(images)
    wrong = logits.detach().argmax(1) != labels
    return F.cross_entropy(logits, labels), {"error": 100 * wrong.float().mean()}


def fit_sparse_features(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    sparsity: float = 0.1,
    penalty: float = 0.2,
    autoencoder_decay: float = 0.0,
    weight_decay: float = 0.0,
    iterations: int = 500,
    tolerance: float = 1e-6,
    seed: int = 0,
    progress: bool = True,
    **options: object,
) -> pd.DataFrame:
    """Train a network of one hidden layer in place: first its features, unseen by the labels.

    The hidden layer is trained as a sparse autoencoder: a second layer, dropped afterwards, has
    to rebuild the images from its units, and a unit whose mean over a batch differs from
    `sparsity` costs `penalty` times the Kullback-Leibler divergence between the two. Then this
    layer stays as it is, and the softmax on top of it is trained on the labels by `fit_linear`.
    What is not told here, interruptions and errors too, is as in `fit` and `fit_linear`.

    Args:
        model: as `fully_connected(400, 10)` gives it.
        sparsity: the mean wanted of each unit, between 0 and 1.
        penalty: its weight against the reconstruction error (see below), at least 0.
        autoencoder_decay: weight decay of the autoencoder's two layers.
        weight_decay, iterations, tolerance: of the softmax layer.
        seed, options: of the autoencoder: epochs, batch_size and learning_rate.

    Returns `fit_linear`'s report, after the autoencoder's, one row an epoch: "epoch",
    "reconstruction" (half the squared error of an image) and "divergence" (sum over units).

    Source: AE400-10 of Szegedy et al. 2013 (arXiv:1312.6199), section 4.2, which gives no more
    than the 400 sigmoids and the softmax's weight decay of 1e-6; the penalty is that of Lee,
    Ekanadham and Ng 2008 in the form of Ng's lecture notes CS294A (2011).
    """
    check_attack(model, images, labels, penalty=penalty)
    check_counts(iterations=iterations)
    expected = [nn.Flatten, nn.Linear, nn.Sigmoid, nn.Linear]
    if not isinstance(model, nn.Sequential) or [*map(type, model)] != expected:
        raise ValueError(f"model: got {model}, expected one layer of sigmoids under a Linear")
    if not 0 < sparsity < 1:
        raise ValueError(f"sparsity: got {sparsity!r}, expected a share between 0 and 1")
    hidden, encoder, softmax = model[:3], model[1], nn.Sequential(nn.Flatten(), model[3])
    weight_decay_term(softmax, weight_decay)
    decoder = fully_connected(encoder.in_features, inputs=encoder.out_features, seed=seed + 1)[1]
    autoencoder = nn.Sequential(hidden, decoder.to(images))
    wanted = Bernoulli(probs=torch.full((encoder.out_features,), sparsity).to(images))

    def loss(_, some: Tensor, __) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = some.flatten(1)
        codes = hidden(pixels)
        error = (decoder(codes).sigmoid() - pixels).square().sum(1).mean() / 2
        divergence = kl_divergence(wanted, Bernoulli(probs=codes.mean(0))).sum()
        return error + penalty * divergence, {"reconstruction": error, "divergence": divergence}

    options |= {"loss": loss, "weight_decay": autoencoder_decay, "seed": seed}
    report = fit(autoencoder, images, labels, progress=progress, **options).drop(columns="loss")
    with torch.no_grad():
        features = hidden(images)
    options = {"weight_decay": weight_decay, "iterations": iterations, "tolerance": tolerance}
    fitted = fit_linear(softmax, features, labels, progress=progress, **options)
    return pd.concat([report, fitted], ignore_index=True)


def fit_rbf(model: RBF, images: Tensor, labels: Tensor, **options: object) -> pd.DataFrame:
    """Train an `RBF` network in place: set its means to the classes', then learn its precisions.

    All is as in `fit`, whose options these are, and which minimises `binary_cross_entropy`.
    Raises ValueError or TypeError also where a class has no image, or the model is no `RBF`.
    """
    check_attack(model, images, labels)
    if not isinstance(model, RBF):
        raise TypeError(f"model: got {type(model).__name__}, expected an RBF")
    classes = range(len(model.means))
    if missing := set(classes) ^ set(labels.unique().tolist()):
        raise ValueError(f"labels: got {missing} without images or units, expected one of each")
    images, labels = images.detach(), labels.to(images.device)
    means, before = [images[labels == label].flatten(1).mean(0) for label in classes], model.means
    model.means = torch.stack(means).to(before)
    try:
        return fit(model, images, labels, loss=binary_cross_entropy, **options)
    except (TypeError, ValueError):  # refused; an interrupted fit has precisions for these means
        model.means = before
        raise


def error_rate(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return how many of the images a model misclassifies, in percent (0 to 100).

    The images are float32 or float64 (N, ...) in [0, 1], on the model's device, the labels int64.
    """
    check_attack(model, images, labels)
    wrong = predict(model, images) != labels.to(images.device)
    return 100 * wrong.sum().item() / len(labels)


def copy_of_state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}

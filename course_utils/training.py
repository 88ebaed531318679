"""Training the course's networks, and counting their errors.

Every network minimises the mean cross-entropy of the softmax plus one quadratic term for the
weights of each fully connected layer (see `weight_decay_term`); biases are free. The linear
networks are convex problems and go to `fit_full_batch`, the others to `fit`.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from course_utils.models import linear_layers

BATCH = 10_000  # images that pass through a network at once where no gradient step depends on it


def weight_decay_term(model: nn.Module, weight_decay: float | Sequence[float]) -> torch.Tensor:
    """Return the sum over the layers of lambda / 2 times the sum of the squared weights.

    The paper gives the lambdas, and writes lambda * sum(w^2) / k with k the units of the layer.
    Read to the letter, that brings none of its linear models near the errors it prints; lambda / 2
    does, and serves the other networks as well, so the course uses it for all of them.

    Args:
        weight_decay: the lambdas of the fully connected layers from first to last, or one for all.

    Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.2, and its Table 1.
    """
    layers = linear_layers(model)
    if not isinstance(weight_decay, Sequence):
        weight_decay = [weight_decay] * len(layers)
    if len(weight_decay) != len(layers) or not all(0 <= decay < float("inf") for decay in weight_decay):
        raise ValueError(
            f"weight_decay: got {weight_decay!r}, expected one number of at least 0, "
            f"or one for each of the {len(layers)} fully connected layers"
        )
    return sum(decay / 2 * layer.weight.square().sum() for decay, layer in zip(weight_decay, layers))


def fit(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    weight_decay: float | Sequence[float] = 0.0,
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
        weight_decay: see `weight_decay_term`.
        epochs, batch_size, learning_rate: of Adam; the rate is that of the first step.
        seed: of the order in which the images are seen.
        progress: whether to show a bar.

    Returns:
        One row an epoch: "epoch", "loss" (mean cross-entropy while it was trained on) and
        "error" (percent of the images misclassified meanwhile).

    Raises:
        ValueError, TypeError: an argument is not as described.
        FloatingPointError: the loss is no longer finite.
    """
    _check_examples(images, labels)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")
    weight_decay_term(model, weight_decay)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    steps = epochs * -(-len(images) // batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    history = []
    saved = _copy_of_state(model)
    training = model.training
    model.train()
    bar = tqdm(total=epochs, desc="training", unit="epoch", disable=not progress)
    try:
        for epoch in range(1, epochs + 1):
            total_loss = mistakes = 0.0
            order = torch.randperm(len(images), generator=generator).to(images.device)
            for step, batch in enumerate(order.split(batch_size), start=1):
                optimizer.zero_grad()
                logits = model(images[batch])
                loss = F.cross_entropy(logits, labels[batch])
                (loss + weight_decay_term(model, weight_decay)).backward()
                _check_finite(loss.item(), f"step {step} of epoch {epoch}", "learning_rate")
                optimizer.step()
                schedule.step()
                total_loss += loss.item() * len(batch)
                mistakes += (logits.argmax(1) != labels[batch]).sum().item()
            row = {
                "epoch": epoch,
                "loss": total_loss / len(images),
                "error": 100 * mistakes / len(images),
            }
            history.append(row)
            saved = _copy_of_state(model)
            bar.update()
            bar.set_postfix_str(f"loss {row['loss']:.4f}, error {row['error']:.2f} %")
    except BaseException:
        model.load_state_dict(saved)
        raise
    finally:
        bar.close()
        optimizer.zero_grad()
        model.train(training)
    return pd.DataFrame(history)


def fit_full_batch(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    weight_decay: float | Sequence[float] = 0.0,
    iterations: int = 500,
    tolerance: float = 1e-5,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a network in place with L-BFGS on all images at once, until the gradient vanishes.

    Meant for the linear networks: with weight decay their problem is strictly convex, so it has
    one solution, and every machine finds the same. Computes in float64 where the device can.

    Ctrl-C, or any other error, leaves the model at the lowest loss met.

    Args:
        model: gives logits (N, classes).
        images: (N, ...), floating point, in [0, 1], on the model's device.
        labels: (N,), int64.
        weight_decay: see `weight_decay_term`.
        iterations: after which it stops at the latest.
        tolerance: stops when no entry of the gradient is larger.
        progress: whether to show a bar.

    Returns:
        One row for each evaluation of the loss: "evaluation", "loss" (with the weight decay),
        "gradient" (its largest entry) and "error" (percent of the images misclassified).

    Raises:
        ValueError, TypeError: an argument is not as described.
        FloatingPointError: the loss is no longer finite.
    """
    _check_examples(images, labels)
    weight_decay_term(model, weight_decay)
    dtype = next(model.parameters()).dtype
    if images.device.type != "mps":
        model.double()
    parameters = list(model.parameters())
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=tolerance,
        tolerance_change=0.0,
    )
    history = []
    best, saved = float("inf"), _copy_of_state(model)
    bar = tqdm(desc="training", unit="evaluation", disable=not progress)

    def closure() -> torch.Tensor:
        nonlocal best, saved
        optimizer.zero_grad()
        decay = weight_decay_term(model, weight_decay)
        decay.backward()
        total, mistakes = decay.detach(), 0
        for some, targets in zip(images.split(BATCH), labels.split(BATCH)):
            logits = model(some.to(parameters[0].dtype))
            loss = F.cross_entropy(logits, targets, reduction="sum") / len(images)
            loss.backward()
            total = total + loss.detach()
            mistakes += (logits.argmax(1) != targets).sum().item()
        row = {
            "evaluation": len(history) + 1,
            "loss": total.item(),
            "gradient": max(p.grad.abs().max().item() for p in parameters),
            "error": 100 * mistakes / len(images),
        }
        _check_finite(row["loss"], f"evaluation {row['evaluation']}", "weight_decay")
        history.append(row)
        if row["loss"] < best:
            best, saved = row["loss"], _copy_of_state(model)
        bar.update()
        bar.set_postfix_str(f"loss {row['loss']:.4f}, error {row['error']:.2f} %")
        return total

    try:
        optimizer.step(closure)
    except BaseException:
        model.load_state_dict(saved)
        raise
    finally:
        bar.close()
        optimizer.zero_grad()
        model.to(dtype)
    return pd.DataFrame(history)


def predict(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the classes (N,), int64, that a model gives to images (N, ...) in [0, 1].

    The model computes in eval mode and is left in the mode it was in.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return torch.cat([model(some).argmax(1) for some in images.split(BATCH)])
    finally:
        model.train(training)


def error_rate(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return how many of the images a model misclassifies, in percent (0 to 100).

    Args:
        images: (N, ...) in [0, 1], N at least 1.
        labels: (N,), int64.
    """
    _check_examples(images, labels)
    return 100 * (predict(model, images) != labels).sum().item() / len(labels)


def _check_examples(images: torch.Tensor, labels: torch.Tensor) -> None:
    """Refuse images or labels that are not as the functions above describe them."""
    if not isinstance(images, torch.Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, torch.Tensor) else type(images).__name__
        raise TypeError(f"images: got {kind}, expected a tensor of a floating point type")
    if not isinstance(labels, torch.Tensor) or labels.dtype != torch.int64:
        kind = labels.dtype if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise TypeError(f"labels: got {kind}, expected a tensor of int64")
    if images.ndim < 2 or not len(images):
        raise ValueError(f"images: got shape {tuple(images.shape)}, expected (N, ...), N at least 1")
    if labels.shape != images.shape[:1]:
        expected = tuple(images.shape[:1])
        raise ValueError(f"labels: got shape {tuple(labels.shape)}, expected {expected}")
    low, high = images.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"images: got values from {low.item():g} to {high.item():g}, expected them in [0, 1]"
        )


def _check_finite(loss: float, where: str, knob: str) -> None:
    if not abs(loss) < float("inf"):
        raise FloatingPointError(
            f"the loss is {loss} at {where}: training diverged. "
            f"Try a smaller {knob}, and check the images and the model's first weights"
        )


def _copy_of_state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}

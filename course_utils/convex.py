"""Training a linear network: a convex problem, solved to its one solution."""

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from course_utils.checks import check_attack, check_counts, check_labels
from course_utils.losses import weight_decay_term

# Settings of PyTorch's optimizer: it goes on until the gradient is as small as it is asked to be.
LBFGS = {"history_size": 20, "line_search_fn": "strong_wolfe", "tolerance_change": 0.0}


def fit_linear(
    model, images, labels, *, weight_decay=0.0, iterations=500, tolerance=1e-6, progress=True
) -> pd.DataFrame:
    """Train a linear classifier in place with L-BFGS on all images at once, to convergence.

    Weight decay makes this problem strictly convex, so it has one solution, and every machine
    finds the same. Computes in float64 where the device can. Ctrl-C, or any other error, leaves the
    model at the lowest loss met.

    Args:
        model: a single `nn.Linear` behind an `nn.Flatten`, as `fully_connected(10)` gives it.
        images: float32 or float64 (N, ...) in [0, 1], on the model's device.
        labels: (N,), int64.
        weight_decay: a number of at least 0, see `weight_decay_term`.
        iterations: a whole number, after which it stops at the latest.
        tolerance: stops when no entry of the gradient is larger (the pixels centred). Over
            `weight_decay`, it bounds how far an entry of the weights is from the solution, roughly.
        progress: whether to show a bar.

    Returns one row for each evaluation of the loss: "evaluation", "loss" (with the weight decay),
    "gradient" (its largest entry) and "error" (percent of the images misclassified). Raises
    ValueError or TypeError where an argument is not as described, FloatingPointError where the loss
    is no longer finite.
    """
    check_attack(model, images, labels)
    labels = labels.to(images.device)
    if not isinstance(model, nn.Sequential) or [*map(type, model)] != [nn.Flatten, nn.Linear]:
        raise ValueError(f"model: got {model}, expected a Flatten and a Linear, as in FC10")
    check_labels(labels, classes=model[1].out_features)
    check_counts(iterations=iterations)
    weight_decay_term(model, weight_decay)
    dtype = torch.float32 if images.device.type == "mps" else torch.float64
    layer = model[1]
    # Pixels around zero need a third of the evaluations. The bias takes the difference up.
    pixels = images.detach().flatten(1).to(dtype, copy=True)
    mean = pixels.mean(0)
    pixels -= mean
    weight = layer.weight.detach().to(dtype).requires_grad_()
    bias = (layer.bias.detach().to(dtype) + weight.detach() @ mean).requires_grad_()
    ends = {"max_iter": iterations, "max_eval": 2 * iterations, "tolerance_grad": tolerance}
    optimizer = torch.optim.LBFGS([weight, bias], **LBFGS, **ends)
    history, best = [], (float("inf"), weight.detach().clone(), bias.detach().clone())
    bar = tqdm(desc="training", unit=" evaluations", disable=not progress)

    def closure() -> Tensor:
        nonlocal best
        logits = F.linear(pixels, weight, bias)
        loss = F.cross_entropy(logits, labels) + weight_decay / 2 * weight.square().sum()
        weight.grad, bias.grad = torch.autograd.grad(loss, [weight, bias])
        value, evaluation = loss.item(), len(history) + 1
        check_finite(value, f"evaluation {evaluation}", "weight_decay")
        largest = max(weight.grad.abs().max().item(), bias.grad.abs().max().item())
        error = 100 * (logits.argmax(1) != labels).double().mean().item()
        history.append((evaluation, value, largest, error))
        if value < best[0]:
            best = value, weight.detach().clone(), bias.detach().clone()
        bar.update()
        bar.set_postfix_str(f"loss {value:.4f}, error {error:.2f} %")
        return loss

    try:
        optimizer.step(closure)
    finally:
        bar.close()
        with torch.no_grad():
            layer.weight.copy_(best[1])
            layer.bias.copy_(best[2] - best[1] @ mean)
    return pd.DataFrame(history, columns=["evaluation", "loss", "gradient", "error"])


def check_finite(loss: float, where: str, knob: str) -> None:
    """Raise where the loss of a step is not finite; `knob` is what to try smaller."""
    if not abs(loss) < float("inf"):
        helps = f"Try a smaller {knob}, and check the images and the model's first weights"
        raise FloatingPointError(f"the loss is {loss} at {where}: training diverged. {helps}")

"""Fréchet distance between two sets of images, in the features of a classifier."""

import torch
from torch import nn

from course_utils.checks import check_images
from course_utils.inference import WITHOUT_GRADIENT, ask, in_batches
from course_utils.models import eval_mode, linear_layers


def features(classifier: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return what the last fully connected layer of a classifier takes in, in eval mode.

    Args:
        classifier: with at least two fully connected layers, the last of them giving the logits.
        images: (N, ...) in [0, 1], N at least 1, on the classifier's device.

    Returns:
        (N, units), without gradients.
    """
    layers = linear_layers(classifier)
    if len(layers) < 2:
        raise ValueError(
            f"classifier: got {len(layers)} fully connected layers, expected at least two: "
            "with one, the features are the pixels"
        )
    taken = []

    def inputs_of_the_last(some: torch.Tensor) -> tuple[torch.Tensor]:
        ask(classifier, some)
        return (taken.pop(),)

    hook = layers[-1].register_forward_pre_hook(lambda layer, inputs: taken.append(inputs[0]))
    try:
        with eval_mode(classifier), torch.no_grad():
            return in_batches(
                inputs_of_the_last, images, batch_size=None, copies=WITHOUT_GRADIENT
            )[0]
    finally:
        hook.remove()


def frechet_distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the squared Fréchet distance between the Gaussians fitted to two sets of features.

    |m - n|^2 + tr(S + T - 2 (S^(1/2) T S^(1/2))^(1/2)), with means m, n and covariances S, T
    (divided by the count less one). In float64 on the CPU. Of finite sets it is above 0 even where
    both are drawn alike, and the smaller they are, the further: compare sets of equal counts.

    Args:
        first, second: (N, k) and (M, k), such as `features` gives them; at least two rows each.

    Returns:
        At least 0, in the features' units squared.

    Raises:
        TypeError, ValueError: an argument is not as described, or not finite.

    Source: Heusel et al. 2017 (arXiv:1706.08500), equation 6; Dowson and Landau 1982.
    """
    m, cov_m = _gaussian(first, "first")
    n, cov_n = _gaussian(second, "second")
    if len(m) != len(n):
        raise ValueError(f"second: got {len(n)} features, expected {len(m)}, as in the first")
    values, vectors = torch.linalg.eigh(cov_m)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # S^(1/2) T S^(1/2) is symmetric, where S T is not: its root's trace is real and stable.
    crossed = torch.linalg.eigvalsh(root @ cov_n @ root).clamp_min(0).sqrt().sum()
    distance = (m - n).square().sum() + cov_m.trace() + cov_n.trace() - 2 * crossed
    return max(distance.item(), 0.0)


def _gaussian(rows: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    check_images(rows, name=name, bounds=(-torch.inf, torch.inf))
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"{name}: got shape {tuple(rows.shape)}, expected (N, k), N at least 2")
    rows = rows.detach().cpu().double()
    return rows.mean(0), torch.cov(rows.T).reshape(rows.shape[1], rows.shape[1])

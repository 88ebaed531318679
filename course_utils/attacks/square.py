"""The square attack: no gradient, only what the model answers."""

import torch
from torch import Tensor, nn

from course_utils.checks import check_attack, check_counts, check_labels
from course_utils.inference import logits_of, margin

SHARE = 0.8  # of the pixels that the first square covers
HALVED = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # of the queries: half of it from here


def square(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps, queries=1000, seed=0, bounds=(0, 1)
) -> Tensor:
    """Try squares of +eps or -eps at random places; keep one where the label's lead shrinks.

    It starts from vertical stripes of +eps and -eps. Where a network's gradients lead nowhere
    because they are masked, this attack goes on as if nothing were.

    Args:
        model, images, labels, bounds: as in `fgsm`; images (N, C, H, W).
        eps: how far a pixel may move, in pixel units, at least 0.
        queries: how often the model is asked about an image; it stops at those it misreads.
        seed: of the squares.

    Returns images (N, C, H, W), detached, within the bounds and within eps of those that came;
    errors as of `fgsm`.

    Source: Andriushchenko et al. 2020 (arXiv:1912.00049), algorithms 1 and 2.
    """
    check_attack(model, images, labels, bounds=bounds, eps=eps)
    check_counts(queries=queries)
    if images.ndim != 4:
        raise ValueError(f"images: got shape {tuple(images.shape)}, expected (N, C, H, W)")
    lot = torch.Generator().manual_seed(seed)
    labels, images = labels.to(images.device), images.detach()
    height, width = images.shape[2:]
    signs = lambda *shape: (2 * torch.randint(2, shape, generator=lot) - 1).to(images)

    def spans(length: int) -> Tensor:
        """Return for each row which pixels (rows, length) of a side the square covers."""
        first = torch.randint(length - side + 1, (len(rows), 1), generator=lot)
        behind = torch.arange(length) - first
        return ((behind >= 0) & (behind < side)).to(images.device)

    with torch.inference_mode(False):
        best = (images + eps * signs(len(images), images.shape[1], 1, width)).clamp(*bounds)
        logits = logits_of(model, best)
        check_labels(labels, classes=logits.shape[1])
        least = -margin(logits, labels)
        for query in range(1, queries):
            rows = (least > 0).nonzero()[:, 0]
            if not len(rows):
                break
            share = SHARE / 2 ** sum(query > part * queries for part in HALVED)
            side = min(max(round((share * height * width) ** 0.5), 1), min(height, width))
            inside = spans(height)[:, None, :, None] & spans(width)[:, None, None, :]
            moved = images[rows] + eps * signs(len(rows), images.shape[1], 1, 1)
            trial = torch.where(inside, moved.clamp(*bounds), best[rows])
            found = -margin(logits_of(model, trial), labels[rows])
            better = found < least[rows]
            best[rows[better]], least[rows[better]] = trial[better], found[better]
    return best

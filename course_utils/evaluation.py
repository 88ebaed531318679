"""How a network's resistance is judged: by its worst attack from above, by a proof from below.

Errors count every image that some attack within eps changes, and those misread as they are.
"""

import pandas as pd
import torch
from torch import Tensor, nn

from course_utils.attacks import fgsm, lbfgs_attack, pgd, square
from course_utils.checks import check_attack, check_choice, check_counts, check_labels
from course_utils.inference import logits_of, predict
from course_utils.lipschitz.plain import kind_of
from course_utils.models import RBF, eval_mode
from course_utils.transfer import easiest_targets

ATTACKS = ("one step", "projected gradient", "DLR loss", "targeted", "square")
STRONG = ATTACKS[:3]
STEPS, PACE = 40, 10  # steps of eps / PACE


def _asked(model, images, labels, **sizes: float) -> tuple[Tensor, Tensor]:
    """Return the logits (N, k) and the labels, on the images' device; all of it checked."""
    check_attack(model, images, labels, **sizes)
    logits, labels = logits_of(model, images), labels.to(images.device)
    check_labels(labels, classes=logits.shape[1])
    return logits, labels


def misread(
    model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, attack: str, restarts=3, seed=0
) -> Tensor:
    """Return which images (N,), bool, a model misreads under an attack within eps of each pixel.

    Args:
        model, images, labels, eps (in pixel units): as of the attacks, `fgsm` for one.
        attack: one of `ATTACKS`. "projected gradient" climbs the cross-entropy and "DLR loss" the
            difference of logits' ratio, `STEPS` steps from the image itself and then from random
            points; "targeted" descends to each other class in turn; "square" asks 1,000 times.
        restarts: points from which the second and third start; only for what still resists.
        seed: of those points, and of the squares.
    """
    check_choice(ATTACKS, attack=attack)
    check_counts(restarts=restarts)
    logits, labels = _asked(model, images, labels, eps=eps)
    count, wrong = logits.shape[1], logits.argmax(1) != labels
    lot = torch.Generator().manual_seed(seed)
    step = {"eps": eps, "step": eps / PACE, "steps": STEPS}

    def attacked(x: Tensor, y: Tensor, run: int) -> Tensor:
        if attack == "one step":
            return fgsm(model, x, y, eps=eps)
        if attack == "square":
            return square(model, x, y, eps=eps, seed=seed)
        if attack == "targeted":  # label + run, around the circle of classes: each other class once
            return pgd(model, x, (y + run) % count, targeted=True, **step)
        loss = "dlr" if attack == "DLR loss" else "cross_entropy"
        return pgd(model, x, y, loss=loss, generator=lot if run > 1 else None, **step)

    runs = {"one step": 1, "square": 1, "targeted": count - 1}.get(attack, restarts)
    for run in range(1, runs + 1):
        rows = (~wrong).nonzero()[:, 0]
        if len(rows):
            moved = attacked(images[rows], labels[rows], run)
            wrong[rows] = predict(model, moved) != labels[rows]
    return wrong


def errors_within(
    model: nn.Module, images: Tensor, labels: Tensor, sizes, *, attacks=STRONG, restarts=3
) -> pd.DataFrame:
    """Return the error in percent under each attack, a row an eps, and under the worst.

    "worst" counts an image from the smallest eps on at which one attack succeeds: whoever may
    move a pixel by .2 may move it by .1. A single attack's error may well fall as eps grows.

    sizes: the eps, a list of numbers, in pixel units. attacks: of `ATTACKS`. Else as in `misread`.
    """
    rows, fallen = {}, torch.zeros(len(images), dtype=torch.bool, device=images.device)
    for eps in sorted(sizes):
        options = {"eps": eps, "restarts": restarts}
        found = {name: misread(model, images, labels, attack=name, **options) for name in attacks}
        found["worst"] = fallen = fallen | torch.stack([*found.values()]).any(0)
        rows[eps] = {name: 100 * wrong.double().mean().item() for name, wrong in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("eps")


def nearest_mistake(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the L2 distance (N,) of the nearest mistake, of any class, that `lbfgs_attack` finds:
    0 where an image is misread as it is, infinite where nothing was found. Arguments as there."""
    logits, labels = _asked(model, images, labels)
    _, found = easiest_targets(lbfgs_attack, model, images, labels, classes=logits.shape[1])
    return torch.where(found.success, found.perturbation.flatten(1).norm(dim=1), torch.inf)


@torch.no_grad()
def nearest_in_pixels(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the least eps (N,) within which an image can be misread, exactly; 0 where it is.

    A class's lead over another is, of an RBF network (by log p) as of one without hidden layers, a
    sum of a x^2 + b x over the pixels x: least at an end of each one's range, or where it turns.
    Bisection finds it to 2^-16. Arguments as of `fgsm`; another kind of network is a TypeError.
    """
    labels = _asked(model, images, labels)[1]
    if isinstance(model, RBF):
        b = model.log_precisions.exp()
        a, b, c = -b, 2 * b * model.means, -(b * model.means**2).sum(1)
    elif [type(part) for part in model.children()] == [nn.Flatten, nn.Linear]:
        a, b, c = 0 * model[1].weight, model[1].weight, model[1].bias
    else:
        raise TypeError(f"model: got {model}, expected an RBF network, or Flatten and Linear")
    found = []
    for x, label in zip(images.flatten(1)[:, None].split(10), labels.split(10)):  # fit the cache
        bend, slope, start = (some[label][:, None] - some for some in (a, b, c))
        turn = (-slope / (2 * bend)).nan_to_num()

        def falls(eps):
            ends = (x - eps).clamp_min(0), (x + eps).clamp_max(1)
            least = [(bend * at + slope) * at for at in (*ends, turn.clamp(*ends))]
            return (torch.stack(least).amin(0).sum(2) + start < 0).any(1)

        low, high = x.new_zeros(len(x)), x.new_ones(len(x))
        for _ in range(16):
            middle = (low + high) / 2
            fallen = falls(middle[:, None, None])
            low, high = low.where(fallen, middle), middle.where(fallen, high)
        found.append(high * ~falls(0))
    return torch.cat(found)


def certified_within(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float) -> Tensor:
    """Return which images (N,), bool, provably keep their label within eps of each pixel.

    Intervals are carried through the layers: of a linear one the centre W c + b and the radius
    |W| r. In place of the last layer come the differences of the label's row and each rival's.
    Nothing is claimed beyond float64's rounding, and an image that is not certified may resist.

    Args:
        model: nn.Sequential of Flatten, Linear, Conv2d, dropout, ReLU, sigmoid and tanh, the last
            layer Linear. Another kind, or one with hooks, raises TypeError, by name.
        images: (N, ...) in [0, 1]; labels: int64 (N,); eps: in pixel units, at least 0.

    Source: Gowal et al. 2018 (arXiv:1810.12715), sections 3 and 4.
    """
    labels = _asked(model, images, labels, eps=eps)[1]
    passed = nn.Flatten, nn.Linear, nn.Conv2d, nn.Dropout, nn.ReLU, nn.Sigmoid, nn.Tanh
    for part, kinds in ((model, (nn.Sequential,)), *((part, passed) for part in model.children())):
        if kind_of(part, kinds, "model") is None:
            raise TypeError(f"model: no interval passes {type(part).__name__}")
    *layers, last = [layer for layer in model if not isinstance(layer, nn.Dropout)] or [None]
    if not isinstance(last, nn.Linear):
        raise TypeError(f"model: got {type(last).__name__} as the last layer, expected Linear")
    low, high = (images.double() - eps).clamp_min(0), (images.double() + eps).clamp_max(1)
    with eval_mode(model), torch.no_grad():
        for layer in layers:
            centre, radius = (high + low) / 2, (high - low) / 2
            if isinstance(layer, nn.Linear | nn.Conv2d):
                act = nn.functional.linear if isinstance(layer, nn.Linear) else layer._conv_forward
                bias = None if layer.bias is None else layer.bias.double()
                centre = act(centre, layer.weight.double(), bias)
                radius = act(radius, layer.weight.double().abs(), None)
                low, high = centre - radius, centre + radius
            else:
                low, high = layer(low), layer(high)
        weight = last.weight.double()
        bias = weight.new_zeros(len(weight)) if last.bias is None else last.bias.double()
        lead = weight[labels][:, None] - weight  # (N, classes, units)
        centre, radius = (high + low) / 2, (high - low) / 2
        least = (lead @ centre[:, :, None] - lead.abs() @ radius[:, :, None])[:, :, 0]
        least = (least + bias[labels][:, None] - bias).scatter(1, labels[:, None], torch.inf)
    return (least > 0).all(1)

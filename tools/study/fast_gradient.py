"""Lecture 4's networks with several training seeds: how each way of training resists what.

A condition is one of the zoo's `STUDY`; its networks share seeds, first weights and order of the
images with those of every other condition. Beside them stand networks that see every digit with
fewer pixels, or each pixel drawn as four.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils import zoo
from course_utils.attacks import fgsm, square
from course_utils.data import load_mnist
from course_utils.evaluation import certified_within, errors_within, misread, nearest_mistake
from course_utils.inference import predict
from course_utils.lipschitz import certified_radius
from course_utils.losses import adversarial_loss
from course_utils.models import fully_connected
from course_utils.training import error_rate, fit
from tools.study.engine import Job

SEEDS = range(100, 110)
ATTACKED = SEEDS[:5]  # the seeds whose networks are attacked; clean errors are of all ten
SIZES = (0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)  # eps, of each pixel
SMALL = (0.002, 0.005, 0.01, *SIZES)  # within which labels are certified
RADII = (0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # of the whole picture, L2
N, NEAREST = 200, 100  # the first test digits: attacked within each eps; nearest mistake sought
SIDES = (14, 28, 56)  # pixels a side
# With each pixel drawn as four, a step of Adam moves the four weights' sum four times as far. So
# these are the controls: the first layer's rate is that of the others, times so much.
RATES = ((28, 4.0), (56, 0.25))
TRIALS = (  # eps, and queries of the square attack: as many as its authors'
    ("projected gradient", 0.1, 5000), ("convolutional (robust)", 0.3, 5000),
)
REGULARISED = (  # of which ten seeds are needed; the convolutional networks have one
    "none", "weight decay", "dropout", "noise", "adversarial training",
    "dropout and adversarial training", "strong noise", "weak noise", "weak adversarial training",
    "dropout and weak adversarial training",
)


# The paper's own kind of network, twice, alike but for the loss; none of it is tuned. The shipped
# maxouts' epochs (35 and 27, in batches of 200) would take a core eight minutes and more.
MAXOUT = {
    condition: zoo.Recipe(
        [240, 240, 10], fit, {"epochs": 10, "batch_size": 500, "learning_rate": 0.003} | loss,
        seed=SEEDS[0], hidden="maxout", dropout=(0.15, 0.3),
    )
    for condition, loss in {
        "maxout": {},
        "maxout, one step": {  # of the paper's eps, unclipped, as the other conditions
            "loss": partial(adversarial_loss, eps=0.25, bounds=(-0.25, 1.25))
        },
    }.items()
}


def jobs() -> list[Job]:
    """One job a seed and condition, one a seed and kind of digits, and the trials."""
    plain = zoo.STUDY["none"]
    named = [
        (f"{condition}-{seed}", job, (condition, seed), [N, NEAREST, SMALL, RADII, recipe])
        for seed in SEEDS
        for condition, recipe in zoo.STUDY.items()
        if condition in REGULARISED
        or seed in (ATTACKED[:1] if recipe.hidden == "convolution" else ATTACKED)
    ]
    named += [
        (f"side {side}-{seed}", job_of_side, (side, seed), plain)
        for seed in ATTACKED for side in SIDES
    ]
    named += [
        (f"side {side}, rate x {rate}-{seed}", job_of_side, (side, seed, rate), plain)
        for seed in ATTACKED for side, rate in RATES
    ]
    named += [
        (f"trial of {trial[0]}", job_of_trial, trial, zoo.STUDY[trial[0]]) for trial in TRIALS
    ]
    named += [
        (f"{condition}-{seed}", job_of_maxout, (condition, seed), [N, SIZES, recipe])
        for seed in ATTACKED for condition, recipe in MAXOUT.items()
    ]
    return [
        Job("fast_gradient", name, function, arguments, recipe=recipe)
        for name, function, arguments, recipe in named
    ]


def _rows(condition: str, seed: int, found: Iterable[tuple[str, float, float, int]]) -> list[dict]:
    """Rows of what was found: (measure, eps, value, n), errors in percent, L2 distances."""
    return [
        {"condition": condition, "seed": seed, "measure": measure, "eps": eps,
         "value": float(value), "n": n}
        for measure, eps, value, n in found
    ]


def job(condition: str, seed: int) -> list[dict]:
    """Train one network, unless it is shipped, and measure it."""
    model = _network(condition, seed)
    images, labels = load_mnist("test")
    found = [("clean", 0.0, error_rate(model, images, labels), len(labels))]
    if seed in ATTACKED:
        found += _attacked(model, images[:N], labels[:N])
    return _rows(condition, seed, found)


def _network(condition: str, seed: int) -> nn.Module:
    recipe, shipped = zoo.STUDY[condition], zoo.load_study(condition)
    copy = seed - recipe.seed
    if copy < len(shipped):
        return shipped[copy]
    return zoo.train(replace(recipe, seed=seed, copies=1), progress=False)[0][0]


def _attacked(
    model: nn.Module, images: Tensor, labels: Tensor
) -> Iterator[tuple[str, float, float, int]]:
    """Yield (measure, size, value, n) under attacks and by certificates, pixel by pixel and L2."""
    found = errors_within(model, images, labels, SIZES, restarts=2)
    lot = torch.Generator().manual_seed(0)
    for eps, errors in found.iterrows():
        for attack, error in errors.items():
            yield attack, eps, error, len(labels)
        signs = 2.0 * torch.randint(2, images.shape, generator=lot) - 1
        moved = (images + eps * signs).clamp(0, 1)
        yield "random signs", eps, error_rate(model, moved, labels), len(labels)
    for eps in SMALL:
        proved = certified_within(model, images, labels, eps=eps)
        yield "certified", eps, 100 * proved.double().mean(), len(labels)
    some, truth = images[:NEAREST], labels[:NEAREST]
    right = predict(model, some) == truth
    distance, radius = nearest_mistake(model, some, truth), certified_radius(model, some)
    for size in RADII:
        yield "L2 attack", size, 100 * (distance <= size).double().mean(), len(truth)
        yield "L2 certified", size, 100 * (right & (radius > size)).double().mean(), len(truth)
    yield "distance", 0.0, distance[right].mean(), int(right.sum())


def at_side(images: Tensor, side: int) -> Tensor:
    """Digits with `side` pixels a side: means of squares of pixels, or each pixel drawn as four."""
    if side > images.shape[-1]:
        return F.interpolate(images, side, mode="nearest")
    return F.adaptive_avg_pool2d(images, side)


class _Times(nn.Module):
    """A weight that is a number times the one that is trained: so its rate is, too."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, trained: Tensor) -> Tensor:
        return self.factor * trained

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight / self.factor


def job_of_side(side: int, seed: int, rate: float = 1.0) -> list[dict]:
    """Train the plain network on digits of that many pixels; error under one step, and noise."""
    plain = zoo.STUDY["none"]
    (images, labels), (test_images, test_labels) = (
        (at_side(some, side), truth) for some, truth in map(load_mnist, ("train", "test"))
    )
    if (side, rate) == (28, 1):
        model = _network("none", seed)
    else:
        model = fully_connected(*plain.widths, hidden=plain.hidden, inputs=side**2, seed=seed)
        if rate != 1:
            nn.utils.parametrize.register_parametrization(model[1], "weight", _Times(rate))
        fit(model, images, labels, **plain.options, seed=seed, progress=False)
    lot = torch.Generator().manual_seed(seed)
    signs = 2.0 * torch.randint(2, test_images.shape, generator=lot) - 1
    sets = [("clean", 0.0, test_images)]
    for eps in SIZES[:3]:
        sets.append(("one step", eps, fgsm(model, test_images, test_labels, eps=eps)))
        sets.append(("random signs", eps, (test_images + eps * signs).clamp(0, 1)))
    found = [
        (measure, eps, error_rate(model, moved, test_labels), len(test_labels))
        for measure, eps, moved in sets
    ]
    return _rows(f"side {side}" + (f", rate x {rate}" if rate != 1 else ""), seed, found)


def job_of_trial(condition: str, eps: float, queries: int) -> list[dict]:
    """What gradients find on the shipped network, what a long square attack finds, and both."""
    model = zoo.load_study(condition)[0]
    images, labels = (some[:NEAREST] for some in load_mnist("test"))
    by_gradient = torch.stack([
        misread(model, images, labels, eps=eps, attack=attack)
        for attack in ("projected gradient", "DLR loss", "targeted")
    ]).any(0)
    by_squares = predict(model, square(model, images, labels, eps=eps, queries=queries)) != labels
    fallen = {"gradients": by_gradient, "squares": by_squares, "any": by_gradient | by_squares}
    found = [(f"by {way}", eps, 100 * wrong.double().mean(), len(labels))
             for way, wrong in fallen.items()]
    return _rows(condition, zoo.STUDY[condition].seed, found)


def job_of_maxout(condition: str, seed: int) -> list[dict]:
    """Train a maxout network, and measure its errors: clean, and under attack."""
    recipe = replace(MAXOUT[condition], seed=seed)
    model = zoo.train(recipe, progress=False)[0][0]
    images, labels = load_mnist("test")
    found = [("clean", 0.0, error_rate(model, images, labels), len(labels))]
    for eps, errors in errors_within(model, images[:N], labels[:N], SIZES, restarts=2).iterrows():
        found += [(attack, eps, error, N) for attack, error in errors.items()]
    return _rows(condition, seed, found)

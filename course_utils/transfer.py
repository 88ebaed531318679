"""Do images made for one network fool another? The deck's tables.

Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.2.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from course_utils import checks, inference
from course_utils.attacks import distortion
from course_utils.intervals import proportion


class TransferTable(NamedTuple):
    """Error rates in percent, and the ends of each one's 95 % Wilson interval.

    Rows are the sets of images and columns the networks, as in the deck's "Cross-model
    generalization".
    """

    errors: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame


def transfer_table(models: Mapping, adversarial: Mapping, labels: Tensor) -> TransferTable:
    """Show each set of images to each network, and count how many it misclassifies.

    Args:
        models: name (str) to network, from images (N, ...) to logits (N, classes).
        adversarial: name to images (N, ...), float32 or float64; usually the name of the network
            that they were made for. They may leave [0, 1], as unclipped noise does.
        labels: (N,), int64, the true classes; the same N images in each set.

    Arguments that are not as described are, here and below, a TypeError or a ValueError.
    """
    _check_sets(models, adversarial, labels)
    mistakes = pd.DataFrame(index=[*adversarial])
    for name, model in models.items():
        given = [inference.predict(model, images) for images in adversarial.values()]
        mistakes[name] = [(some != labels.to(some.device)).sum().item() for some in given]
    ends = mistakes.map(lambda errors: proportion(errors, len(labels)))
    low, high = (ends.map(lambda cell, end=end: getattr(cell, end)) for end in ("low", "high"))
    return TransferTable(100 * mistakes / len(labels), low, high)


def gaussian_noise(images: Tensor, stddev: float, generator, *, clip: bool = False) -> Tensor:
    """Return images (N, ...) with independent Gaussian noise of this stddev added to each pixel.

    The paper seems not to have clipped: beside its noise rows it prints the stddev itself as the
    distortion. On MNIST, whose pixels are mostly black, clipping takes over a quarter of it away.

    Args:
        images: float32 or float64, in pixel units, as is the stddev, at least 0.
        generator: a torch.Generator, that of the noise.
        clip: whether to cut the result off at 0 and 1.
    """
    checks.check_images(images, bounds=checks.EVERYWHERE)
    checks.check_sizes(stddev=stddev)
    noisy = images + stddev * _gaussian(images, generator)
    return noisy.clamp(0, 1) if clip else noisy


def boxed_noise(images: Tensor, size: Tensor, generator: torch.Generator) -> Tensor:
    """Return images in [0, 1] plus Gaussian noise, clipped to [0, 1], of each image's own size.

    The control for an attack that obeys the box: noise that obeys it, too. Its stddev before the
    clipping is found by bisection, image by image.

    Args:
        images: (N, ...), floating point, in [0, 1].
        size: float (N,), the distortion of each after clipping, in pixel units; below about .5.
    """
    checks.check_images(images)
    noise = _gaussian(images, generator)
    low, high = torch.zeros_like(size), 16 * size
    for _ in range(30):
        stddev = (low + high) / 2
        noisy = (images + inference.per_image(stddev, images) * noise).clamp(0, 1)
        small = distortion(noisy - images) < size
        low, high = torch.where(small, stddev, low), torch.where(small, high, stddev)
    return noisy


def amplify(images: Tensor, perturbation: Tensor, stddev: float) -> Tensor:
    """Return images (N, ...) plus their perturbations, each scaled to a distortion of `stddev`.

    An image whose perturbation is zero stays as it is: there is no direction to go in. As with
    `gaussian_noise`, the paper seems not to have clipped.
    """
    checks.check_images(images, bounds=checks.EVERYWHERE)
    checks.check_sizes(stddev=stddev)
    size = distortion(perturbation)
    if perturbation.shape != images.shape:
        got, expected = tuple(perturbation.shape), tuple(images.shape)
        raise ValueError(f"perturbation: got shape {got}, expected that of images, {expected}")
    factor = torch.where(size > 0, stddev / size, 0)
    return images + inference.per_image(factor, images) * perturbation


def draw_targets(
    labels: Tensor, *, how: str, generator=None, model=None, images=None, classes: int = 10
) -> Tensor:
    """Choose for each image a wrong class to aim at; the paper does not say how it chose.

    Args:
        labels: (N,), int64, the true classes, 0 to classes - 1, of at least 2 classes.
        how: "random", one of the wrong classes, all equally likely, from `generator`; or
            "runner-up", the wrong class that `model` finds likeliest for each of `images`,
            (N, ...): for an image that it misclassifies that is the class it gives already. A
            third way, the least distortion of all, is `easiest_targets`.

    Returns int64 (N,). Raises ValueError also where what `how` needs is None.
    """
    checks.check_labels(labels, classes=classes)
    checks.check_choice(("random", "runner-up"), how=how)
    if how == "random":
        if generator is None:
            raise ValueError("generator: got None, expected one, since how is 'random'")
        device = generator.device
        steps = torch.randint(1, classes, labels.shape, generator=generator, device=device)
        return (labels + steps.to(labels.device)) % classes
    checks.check_attack(model, images, labels, bounds=checks.EVERYWHERE)
    logits = inference.logits_of(model, images)
    return inference.own_and_rivals(logits, labels.to(logits.device))[1].argmax(1)


def easiest_targets(
    attack: Callable, model: nn.Module, images: Tensor, labels: Tensor, *, classes: int = 10
) -> tuple[Tensor, object]:
    """Attack each image towards every wrong class, and keep the attempt of least distortion.

    `attack`, such as `lbfgs_attack`, gives an AttackResult, or a dataclass of tensors like it, for
    (model, images, targets); the labels are int64 (N,), 0 to classes - 1.

    Returns the targets (N,), int64, and the attack's result for them; its `evaluations` are those
    of all attempts. Where none succeeded, the first is kept.
    """
    checks.check_labels(labels, images, classes=classes)
    attempts = [attack(model, images, (labels + step) % classes) for step in range(1, classes)]
    sizes = torch.stack([torch.where(one.success, one.distortion, torch.inf) for one in attempts])
    best, rows = sizes.argmin(0), torch.arange(len(labels), device=sizes.device)
    together = {name: [getattr(one, name) for one in attempts] for name in vars(attempts[0])}
    fields = {name: torch.stack(values)[best, rows] for name, values in together.items()}
    fields["evaluations"] = sum(together["evaluations"])
    targets = (labels.to(best.device) + 1 + best) % classes
    return targets, dataclasses.replace(attempts[0], **fields)


def same_mistakes(models: Mapping, adversarial: Mapping, labels: Tensor) -> tuple:
    """Of the images that fool two networks, how many do both give the same class?

    The arguments are as for `transfer_table`. Sets that are not named after one of the models,
    such as noise, are left out. Returns two DataFrames, rows the sets and columns the models: the
    percentage, among the images that both the network they were made for and the column's
    misclassify, of those to which both give one class (NaN where there are none; 11 % by blind
    choice among nine wrong classes), and the number of images that it is a percentage of.
    """
    _check_sets(models, adversarial, labels)
    sources = [name for name in adversarial if name in models]
    if not sources:
        raise ValueError(f"adversarial: got {', '.join(adversarial)}, expected models' names")
    share, count = (pd.DataFrame(index=sources, columns=[*models], dtype=float) for _ in range(2))
    for source in sources:
        images, truth = adversarial[source], labels.to(adversarial[source].device)
        given = {name: inference.predict(model, images) for name, model in models.items()}
        for name, classes in given.items():
            both = (classes != truth) & (given[source] != truth)
            agreed = (both & (classes == given[source])).sum().item()
            count.loc[source, name] = n = both.sum().item()
            share.loc[source, name] = 100 * agreed / n if n else np.nan
    return share, count.astype(int)


def cells(table: pd.DataFrame) -> pd.Series:
    """Return the cells in which a network meets pictures made for another one, (made for, shown
    to) to value: without the diagonal, and without rows, such as noise, that no column is of."""
    rows = table.loc[[name for name in table.index if name in table.columns]]
    values = rows.rename_axis("made for").rename_axis("shown to", axis=1).stack()
    return values[[made != shown for made, shown in values.index]]


def _gaussian(images: Tensor, generator: torch.Generator) -> Tensor:
    place = generator.device
    noise = torch.randn(images.shape, generator=generator, device=place, dtype=images.dtype)
    return noise.to(images.device)


def _check_sets(models: Mapping, adversarial: Mapping, labels: Tensor) -> None:
    for argument, value in (("models", models), ("adversarial", adversarial)):
        if not isinstance(value, Mapping) or not value:
            raise TypeError(f"{argument}: got {value!r}, expected a mapping from at least one name")
    for name, model in models.items():
        checks.check_model(model, name=f"models[{name!r}]")
    for name, images in adversarial.items():
        checks.check_images(images, name=f"adversarial[{name!r}]", bounds=checks.EVERYWHERE)
        checks.check_labels(labels, images)

"""The networks of Szegedy et al. 2013 with ten training seeds: both of the deck's tables.

Each seed also draws its own digits and targets, so that the spread over seeds holds the chance of
both. The linear networks are convex problems: whatever the seed, they come out the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn

from course_utils import zoo
from course_utils.attacks import lbfgs_attack
from course_utils.data import load_mnist
from course_utils.inference import differentiable, in_batches, loss_and_gradient
from course_utils.lipschitz import certified_radius, network_bound
from course_utils.training import error_rate, predict
from course_utils.transfer import amplify, boxed_noise, distortion, draw_targets, gaussian_noise
from tools.study.engine import Job, trained

SEEDS = range(10)
APART = 10  # between the seeds of a network's copies; no two networks share one (see zoo.Recipe)
N = 1000  # digits attacked
MODELS = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)", "FC100-100-10", "FC200-200-10", "AE400-10")
HALVES = ("FC100-100-10(P1)", "FC123-456-10", "FC100-100-10'")
TABLES = {"models": (MODELS, "train", (0.1, 0.3)), "halves": (HALVES, "test", (0.06, 0.1))}
RIVAL = "mean digits"  # from one class's to another's, asking no network
COLUMNS = ("row", "column", "measure", "value", "n")


def jobs() -> list[Job]:
    """One job a seed and table."""

    def job(table: str, seed: int) -> Job:
        settings, same = TABLES[table], {"seed": seed, "table": table}
        told = [N, [recipe(name, seed) for name in settings[0]], RIVAL]
        return Job("tables", f"{table}-{seed}", measure, (*settings, seed), told, same, COLUMNS)

    return [job(table, seed) for table in TABLES for seed in SEEDS]


def recipe(name: str, seed: int) -> zoo.Recipe:
    """That of the zoo with another seed of training; seed 0 is the shipped network's."""
    shipped = zoo.ZOO[name]
    linear = len(shipped.widths) == 1  # whatever the seed, it comes out the same
    return shipped if linear else replace(shipped, seed=shipped.seed + APART * seed)


def network(name: str, seed: int) -> nn.Module:
    """The shipped network, or one trained anew."""
    own = recipe(name, seed)
    return zoo.load_model(name) if own == zoo.ZOO[name] else trained(own, own.seed)


def measure(
    names: tuple[str, ...], split: str, stddevs: tuple[float, ...], seed: int
) -> Iterator[tuple[str, str, str, float, int]]:
    """Train one seed of a table's networks, attack each, and show every set to every network.

    Errors are in percent, distortions RMS per pixel.
    """
    models = {name: network(name, seed) for name in names}
    images, labels = load_mnist("train")
    means = torch.stack([images[labels == digit].mean(0) for digit in range(10)])
    images, labels = load_mnist(split)
    drawn = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(labels), generator=drawn)[:N]
    images, labels = images[chosen], labels[chosen]
    targets = draw_targets(labels, how="random", generator=drawn)
    right = {name: predict(model, images) == labels for name, model in models.items()}
    counts = {name: int(known.sum()) for name, known in right.items()}
    sets = {name: {} for name in models}
    results = {name: lbfgs_attack(model, images, targets) for name, model in models.items()}
    for name, result in results.items():
        perturbation, size = result.perturbation, distortion(result.perturbation)
        pooled = size.square().mean().sqrt()
        yield name, name, "success", 100 * result.success.double().mean(), N
        yield name, name, "distortion", size[right[name]].mean(), counts[name]
        yield name, name, "pooled distortion", pooled, N
        way = means[targets] - means[labels]
        way *= (size / distortion(way)).view(-1, 1, 1, 1)
        sets[name] = {
            "": result.images,
            ", all at .1": amplify(images, perturbation, 0.1),
            ", one factor to .1": images + 0.1 / pooled * perturbation,
            ", noise of its size": boxed_noise(images, size, drawn),
            f", {RIVAL}": (images + way).clamp(0, 1),
        }
    sets |= {f"noise {stddev}": {"": gaussian_noise(images, stddev, drawn)} for stddev in stddevs}
    for row, versions in (sets | {"clean": {"": images}}).items():
        for what, moved in versions.items():
            for name, model in models.items():
                wrong = predict(model, moved) != labels
                yield row, name, f"error{what}", 100 * wrong.double().mean(), N
                if row in models:
                    rate = 100 * wrong[right[name]].double().mean()
                    yield row, name, f"rate{what}", rate, counts[name]
    cosines = gradient_cosines(models, images, labels)
    for row in models:
        for column in models:
            yield row, column, "cosine", cosines.at[row, column], N
    for name, model in models.items():
        yield name, name, "bound", network_bound(model, images.shape[1:]), 1
        yield name, name, "median certified radius", certified_radius(model, images).median(), N
    images, labels = load_mnist("test")
    for name, model in models.items():
        yield "test", name, "error", error_rate(model, images, labels), len(labels)


def gradient_cosines(
    models: Mapping[str, nn.Module], images: Tensor, labels: Tensor
) -> pd.DataFrame:
    """The mean cosine between two networks' gradients of the log-odds at the same images.

    As far as both are linear, a step along one network's raises another's log-odds in proportion
    to it. Rows and columns are the models, values in [-1, 1]; a gradient of zero counts as zero.
    """
    directions = []
    for model in models.values():
        with differentiable(model) as model:
            _, gradient = in_batches(partial(loss_and_gradient, model), images, labels)
        directions.append(nn.functional.normalize(gradient.flatten(1), dim=1))
    cosines = [[(one * two).sum(1).mean().item() for one in directions] for two in directions]
    return pd.DataFrame(cosines, [*models], [*models])

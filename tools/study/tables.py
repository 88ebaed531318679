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
from tools.study.engine import Job

SEEDS = range(10)
APART = 10  # between the seeds of a network's copies; no two networks share one (see zoo.Recipe)
N = 1000  # digits attacked
MODELS = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)", "FC100-100-10", "FC200-200-10", "AE400-10")
HALVES = ("FC100-100-10(P1)", "FC123-456-10", "FC100-100-10'")


def jobs() -> list[Job]:
    """One job a seed and table."""
    tables = {"models": (MODELS, "train", (0.1, 0.3)), "halves": (HALVES, "test", (0.06, 0.1))}
    return [
        Job("tables", f"{table}-{seed}", measure, (table, names, split, stddevs, seed),
            recipe=[N, [zoo.ZOO[name] for name in names]])
        for table, (names, split, stddevs) in tables.items()
        for seed in SEEDS
    ]


def train(name: str, seed: int) -> nn.Module:
    """A network of the zoo trained with another seed; seed 0 is the shipped one's."""
    recipe = zoo.ZOO[name]
    if len(recipe.widths) == 1 or not seed:
        return zoo.load_model(name)
    recipe = replace(recipe, seed=recipe.seed + APART * seed, copies=1)
    return zoo.train(recipe, progress=False)[0][0]


def measure(
    table: str, names: tuple[str, ...], split: str, stddevs: tuple[float, ...], seed: int
) -> list[dict]:
    """Train one seed of a table's networks, attack each, and show every set to every network."""
    models = {name: train(name, seed) for name in names}
    all_images, all_labels = load_mnist(split)
    drawn = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(all_labels), generator=drawn)[:N]
    images, labels = all_images[chosen], all_labels[chosen]
    targets = draw_targets(labels, how="random", generator=drawn)
    rows = [
        {"seed": seed, "table": table, "row": row, "column": column, "measure": what,
         "value": float(value), "n": n}
        for what, n, row, column, value
        in _measured(models, images, labels, targets, stddevs, drawn)
    ]
    test_images, test_labels = load_mnist("test")
    return rows + [
        {"seed": seed, "table": table, "row": "test", "column": name, "measure": "error",
         "value": error_rate(model, test_images, test_labels), "n": len(test_labels)}
        for name, model in models.items()
    ]


def _measured(
    models: Mapping[str, nn.Module], images: Tensor, labels: Tensor, targets: Tensor,
    stddevs: tuple[float, ...], drawn: torch.Generator,
) -> Iterator[tuple[str, int, str, str, float]]:
    """Yield (measure, n, row, column, value): errors in percent, distortions as RMS per pixel."""
    n = len(images)
    right = {name: predict(model, images) == labels for name, model in models.items()}
    results = {name: lbfgs_attack(model, images, targets) for name, model in models.items()}
    sets = {name: {"error": result.images} for name, result in results.items()}
    for name, result in results.items():
        size = distortion(result.perturbation)
        yield "success", n, name, name, 100 * result.success.double().mean()
        yield "distortion", int(right[name].sum()), name, name, size[right[name]].mean()
        yield "pooled distortion", n, name, name, size.square().mean().sqrt()
        sets[name]["error, all at .1"] = amplify(images, result.perturbation, 0.1)
        factor = 0.1 / size.square().mean().sqrt()
        sets[name]["error, one factor to .1"] = images + factor * result.perturbation
        sets[name]["error, noise of its size"] = boxed_noise(images, size, drawn)
    for stddev in stddevs:
        sets[f"noise {stddev}"] = {"error": gaussian_noise(images, stddev, drawn)}
    sets["clean"] = {"error": images}
    for row, versions in sets.items():
        for what, moved in versions.items():
            for name, model in models.items():
                wrong = predict(model, moved) != labels
                yield what, n, row, name, 100 * wrong.double().mean()
                if row in models:
                    rate = 100 * wrong[right[name]].double().mean()
                    yield what.replace("error", "rate"), int(right[name].sum()), row, name, rate
    cosines = gradient_cosines(models, images, labels)
    for row in models:
        for column in models:
            yield "cosine", n, row, column, cosines.at[row, column]
    for name, model in models.items():
        radii = certified_radius(model, images)
        yield "bound", 1, name, name, network_bound(model, images.shape[1:])
        yield "median certified radius", n, name, name, radii.median()


def gradient_cosines(
    models: Mapping[str, nn.Module], images: Tensor, labels: Tensor
) -> pd.DataFrame:
    """The mean cosine between two networks' gradients of the log-odds at the same images.

    As far as both are linear, a step along one network's raises another's log-odds in proportion
    to it. Rows and columns are the models, values in [-1, 1]; a gradient of zero counts as zero.
    """
    directions = {}
    for name, model in models.items():
        with differentiable(model) as model:
            _, gradient = in_batches(partial(loss_and_gradient, model), images, labels)
        directions[name] = nn.functional.normalize(gradient.flatten(1), dim=1)
    cosines = pd.DataFrame(index=[*models])
    for name, one in directions.items():
        cosines[name] = [(one * two).sum(1).mean().item() for two in directions.values()]
    return cosines

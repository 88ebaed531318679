"""Lecture 3's penalty on 1,000 digits, beside weight decay and dropout that are tuned as much.

Each seed draws its digits, first weights and order, which all of its networks share.
"""

from collections.abc import Iterator

import torch

from course_utils.data import load_mnist
from course_utils.models import fully_connected
from course_utils.training import error_rate, fit
from tools.study.engine import Job

TUNING, SEEDS = range(200, 203), range(10)
SEEN = 1000  # of the first 50,000 training digits; the last 10,000 are held back
GRID = {
    "nothing": (0.0,),
    "lipschitz": (0.001, 0.004, 0.016, 0.064, 0.256),
    "weight decay": (6.25e-5, 2.5e-4, 1e-3, 4e-3, 1.6e-2),
    "dropout": (0.1, 0.2, 0.3, 0.4, 0.5),  # of the hidden units; of the pixels half as much
}
# Of each kind the least mean error on the held-back digits; a test compares.
TUNED = {"nothing": (0.0,), "lipschitz": (0.064,), "weight decay": (6.25e-5,), "dropout": (0.4,)}
OPTIONS = {"epochs": 60, "batch_size": 50, "learning_rate": 0.003}


def jobs() -> list[Job]:
    """One job a seed."""
    columns = ("kind", "weight", "error")
    return [
        Job(
            "few_digits",
            f"{judged}-{seed}",
            measure,
            (seed, judged),
            [SEEN, grid, OPTIONS],
            {"judged on": judged, "seed": seed},
            columns,
        )
        for judged, seeds, grid in (("held back", TUNING, GRID), ("test", SEEDS, TUNED))
        for seed in seeds
    ]


def measure(seed: int, judged: str) -> Iterator[tuple[str, float, float]]:
    """Train with each weight, and count the errors in percent on digits held back, or on test's."""
    images, labels = load_mnist("train")
    drawn = torch.randperm(50_000, generator=torch.Generator().manual_seed(seed))[:SEEN]
    there = load_mnist("test") if judged == "test" else (images[50_000:], labels[50_000:])
    grid = TUNED if judged == "test" else GRID
    for kind, weight in ((kind, weight) for kind, weights in grid.items() for weight in weights):
        of = {name: weight * (kind == name) for name in GRID}
        dropout = of["dropout"] / 2, of["dropout"]
        model = fully_connected(100, 100, 10, hidden="rectifier", seed=seed, dropout=dropout)
        decay = {"lipschitz": of["lipschitz"], "weight_decay": of["weight decay"]}
        fit(model, images[drawn], labels[drawn], **OPTIONS, **decay, seed=seed, progress=False)
        yield kind, weight, error_rate(model, *there)

"""How long the lectures run on this machine, by a short measurement.

How much slower or faster three computations of the lectures' kinds are here than on the reference
machine, two cores of an AMD EPYC server, says how much slower or faster the lectures will be: an
estimate, with a band from the quickest of the three to the slowest, and half as much at both ends.
"""

import math
import time
import timeit
from collections.abc import Callable, Mapping
from statistics import geometric_mean, median

import pandas as pd
import torch

# What `make course` took for each lecture on the reference machine, in minutes.
REFERENCE_MINUTES = {
    "1. Intriguing properties": 0.6,
    "2. Transfer tables": 0.6,
    "3. Lipschitz bounds": 0.8,
    "4. The fast gradient sign": 1.2,
    "5. Generative adversarial networks": 1.3,
}
# What one run of each computation takes one core of it that does nothing else, in seconds.
REFERENCE_SECONDS = {"gradients": 0.12, "training": 0.10, "matrices": 0.095}
ROUNDS = 7
MARGIN = 1.5  # the band's ends are moved outwards by this factor


def measure() -> dict[str, float]:
    """Time the three computations here; return the median seconds of each, by its name.

    Takes about three seconds on the reference machine, on one core, as the lectures' many small
    steps gain little from a second.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: _seconds(work) for name, work in computations().items()}
    finally:
        torch.set_num_threads(threads)


def computations() -> dict[str, Callable[[], object]]:
    """The three computations by their names; each does the same work at every call.

    gradients: of a small network at 1,024 digits, as in the attacks; training: six steps of a
    wider one on 100, as in Lecture 5; matrices: singular values, as for Lecture 3's bounds.
    """
    generator = torch.Generator().manual_seed(0)

    def layers(width: int) -> list[torch.Tensor]:
        sizes = (784, width), (width, width), (width, 10)
        drawn = (torch.randn(size, generator=generator) / math.sqrt(size[0]) for size in sizes)
        return [weight.requires_grad_() for weight in drawn]

    def slope(images: torch.Tensor, weights: list[torch.Tensor], leaves: object) -> object:
        hidden = ((images @ weights[0]).sigmoid() @ weights[1]).sigmoid()
        target = torch.zeros(len(images), dtype=torch.int64)
        loss = torch.nn.functional.cross_entropy(hidden @ weights[2], target)
        return torch.autograd.grad(loss, leaves)

    digits = torch.rand(1024, 784, generator=generator).requires_grad_()
    some, small, wide = digits[:100].detach(), layers(100), layers(1200)
    matrices = torch.randn(256, 96, 96, generator=generator)
    return {"gradients": lambda: [slope(digits, small, digits) for _ in range(20)],
            "training": lambda: [slope(some, wide, wide) for _ in range(6)],
            "matrices": lambda: torch.linalg.svdvals(matrices)}


def times(seconds: Mapping[str, float]) -> pd.DataFrame:
    """A row for each lecture: its time on the reference machine, and what to expect here.

    `seconds` is what `measure` returned; ValueError unless it is a positive number for each.
    """
    positive = all(0 < value < math.inf for value in seconds.values())
    if set(seconds) != set(REFERENCE_SECONDS) or not positive:
        names = ", ".join(REFERENCE_SECONDS)
        raise ValueError(f"seconds: got {dict(seconds)}, expected a positive number for {names}")
    ratios = [seconds[name] / there for name, there in REFERENCE_SECONDS.items()]
    columns = {"reference": 1.0, "here, about": geometric_mean(ratios),
               "here, from": min(ratios) / MARGIN, "here, to": max(ratios) * MARGIN}
    table = pd.DataFrame(index=pd.Index(REFERENCE_MINUTES, name="lecture"))
    for column, ratio in columns.items():
        table[column] = [clock(minutes * ratio) for minutes in REFERENCE_MINUTES.values()]
    return table


def clock(minutes: float) -> str:
    """A time in words, no finer than an estimate deserves: "25 s", "4 min", "1.5 h"."""
    if minutes < 1.5:
        return f"{max(5, 5 * round(minutes * 12))} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _seconds(work: Callable[[], object]) -> float:
    """The median time of ROUNDS runs, after one that warms up."""
    return median(timeit.repeat(work, timer=time.perf_counter, number=1, repeat=ROUNDS + 1)[1:])

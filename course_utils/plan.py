"""How long the lectures run on this machine, by a short measurement.

How much slower or faster the lectures' kind of work is here than on the reference machine, two
cores of an AMD EPYC server, says how much slower or faster they will be.
"""

import math
import time
import timeit
from collections.abc import Callable
from statistics import median

import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from course_utils.device import seeded

# What `make course` took for each lecture on the reference machine, in minutes.
REFERENCE_MINUTES = {
    "1. Intriguing properties": 0.6,
    "2. Transfer tables": 0.6,
    "3. Lipschitz bounds": 0.8,
    "4. The fast gradient sign": 1.2,
    "5. Generative adversarial networks": 1.3,
}
REFERENCE_SECONDS = 0.30  # of `gradients` there, on one core that does nothing else
ROUNDS = 7


def measure() -> float:
    """The median seconds of `gradients` in ROUNDS runs, after one that warms up: a few seconds.

    On one core, as the lectures' many small steps gain little from a second.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run, rounds = gradients(), tqdm(range(ROUNDS + 1), "measuring", leave=False)
        return median([timeit.timeit(run, timer=time.perf_counter, number=1) for _ in rounds][1:])
    finally:
        torch.set_num_threads(threads)


def gradients() -> Callable[[], None]:
    """Return what is timed: gradients in pixels and weights, as attacks and training take them."""
    with seeded(0, torch.device("cpu")):
        digits = torch.rand(1024, 784, requires_grad=True)
        network = nn.Sequential(nn.Linear(784, 200), nn.Sigmoid(), nn.Linear(200, 10))

    def run() -> None:
        for _ in range(24):
            loss = network(digits).logsumexp(1).mean()
            torch.autograd.grad(loss, [digits, *network.parameters()])

    return run


def times(seconds: float) -> pd.DataFrame:
    """A row for each lecture: its time on the reference machine, and about how long it takes here.

    `seconds` is what `measure` returned; ValueError unless it is finite and above 0.
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds: got {seconds!r}, expected a finite number above 0")
    minutes = pd.Series(REFERENCE_MINUTES).rename_axis("lecture")
    here = minutes * (seconds / REFERENCE_SECONDS)
    return pd.DataFrame({"reference": minutes.map(clock), "here, about": here.map(clock)})


def clock(minutes: float) -> str:
    """A time in words, no finer than an estimate deserves: "25 s", "4 min", "1.5 h"."""
    if minutes < 1.5:
        return f"{max(5, 5 * round(minutes * 12))} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"

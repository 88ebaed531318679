"""How long the lectures run on this machine, by a short measurement, and three paths through them.

`measure` times three computations of the lectures' kinds, on one core. How much slower or faster
they are than on the reference machine, two cores of an AMD EPYC server, says how much slower or
faster the lectures will be: an estimate, with a band from the quickest to the slowest of the three,
and half as much again at both ends.
"""

import html
import math
import time
from collections.abc import Callable, Mapping
from statistics import geometric_mean, median
from typing import NamedTuple

import ipywidgets
import pandas as pd
import torch
from torch import nn

# What `make course` took for each lecture on the reference machine, in minutes.
REFERENCE_MINUTES = {
    "1. Intriguing properties": 0.4,
    "2. Transfer tables": 0.5,
    "3. Lipschitz bounds": 1.3,
    "4. The fast gradient sign": 0.8,
    "5. Generative adversarial networks": 1.8,
}
# What one run of each computation takes one core of it that does nothing else, in seconds.
REFERENCE_SECONDS = {"gradients": 0.12, "training": 0.10, "matrices": 0.095}
ROUNDS = 7
MARGIN = 1.5  # the band's ends are moved outwards by this factor


class Step(NamedTuple):
    """One sitting of a path: when, what to do, and the notebook to open."""

    when: str
    what: str
    notebook: str


PATHS = {
    "an evening": (
        Step("first hour", "Lecture 1, sections 1 to 4, 6 and 7", "01_intriguing_properties"),
        Step("half an hour", "Lecture 2, sections 1 to 4", "02_transfer_tables"),
        Step("second hour", "Lecture 4, sections 1 to 3 and 9", "04_fast_gradient_sign"),
    ),
    "a week": (
        Step("day 1", "Lecture 1, with its exercises", "01_intriguing_properties"),
        Step("day 2", "Lecture 2, with its exercises", "02_transfer_tables"),
        Step("day 3", "Lecture 3; section 8 and the exercises can wait", "03_lipschitz_bounds"),
        Step("day 4", "Lecture 4, with its exercises", "04_fast_gradient_sign"),
        Step("day 5", "Lecture 5, with its exercises", "05_generative_adversarial_networks"),
    ),
    "a term": (
        Step("weeks 1 and 2", "Lecture 1", "01_intriguing_properties"),
        Step("week 3", "problem set 1", "assignments/problem_set_1"),
        Step("week 4", "Lecture 2", "02_transfer_tables"),
        Step("week 5", "problem set 2", "assignments/problem_set_2"),
        Step("weeks 6 and 7", "Lecture 3", "03_lipschitz_bounds"),
        Step("week 8", "problem set 3", "assignments/problem_set_3"),
        Step("week 9", "Lecture 4", "04_fast_gradient_sign"),
        Step("week 10", "problem set 4", "assignments/problem_set_4"),
        Step("weeks 11 and 12", "Lecture 5", "05_generative_adversarial_networks"),
        Step("week 13", "problem set 5", "assignments/problem_set_5"),
    ),
}


def measure() -> dict[str, float]:
    """Time the three computations here; return the median seconds of each, by its name.

    Takes about three seconds on the reference machine. Runs on one core of the CPU, since the
    lectures' many small steps gain little from a second; draws from a generator of its own.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: _seconds(work) for name, work in computations().items()}
    finally:
        torch.set_num_threads(threads)


def computations() -> dict[str, Callable[[], object]]:
    """The three computations by their names; each does the same work at every call.

    gradients: a small network and the gradient of 1,024 digits, what the attacks repeat;
    training: six steps of a wider network on 100 digits, as in Lecture 5;
    matrices: singular values, as the bounds of Lecture 3 need them.
    """
    generator = torch.Generator().manual_seed(0)

    def layer(inputs: int, outputs: int) -> torch.Tensor:
        weight = torch.randn(inputs, outputs, generator=generator) / math.sqrt(inputs)
        return weight.requires_grad_()

    digits = torch.rand(1024, 784, generator=generator).requires_grad_()
    small = [layer(784, 100), layer(100, 100), layer(100, 10)]
    wide = [layer(784, 1200), layer(1200, 1200), layer(1200, 10)]
    matrices = torch.randn(256, 96, 96, generator=generator)

    def loss(images: torch.Tensor, layers: list[torch.Tensor]) -> torch.Tensor:
        hidden = (images @ layers[0]).sigmoid()
        logits = (hidden @ layers[1]).sigmoid() @ layers[2]
        return nn.functional.cross_entropy(logits, torch.zeros(len(images), dtype=torch.int64))

    def gradients() -> None:
        for _ in range(20):
            torch.autograd.grad(loss(digits, small), digits)

    def training() -> None:
        for _ in range(6):
            torch.autograd.grad(loss(digits[:100].detach(), wide), wide)

    return {
        "gradients": gradients,
        "training": training,
        "matrices": lambda: torch.linalg.svdvals(matrices),
    }


def band(seconds: Mapping[str, float]) -> tuple[float, float, float]:
    """How many times the reference's time the lectures will take: at best, about, at worst.

    Args:
        seconds: what `measure` returned: a positive number for each of the three computations.

    Raises:
        ValueError: another set of computations, or a time that is not a positive number.
    """
    if set(seconds) != set(REFERENCE_SECONDS):
        raise ValueError(f"seconds: got {set(seconds)}, expected {set(REFERENCE_SECONDS)}")
    for name, value in seconds.items():
        if not 0 < value < math.inf:
            raise ValueError(f"seconds: got {value!r} for {name}, expected a positive number")
    ratios = [seconds[name] / there for name, there in REFERENCE_SECONDS.items()]
    return min(ratios) / MARGIN, geometric_mean(ratios), max(ratios) * MARGIN


def times(seconds: Mapping[str, float]) -> pd.DataFrame:
    """A row for each lecture: its time on the reference machine, and what to expect here.

    Args, Raises: as `band`.
    """
    low, about, high = band(seconds)
    rows = {
        lecture: {
            "reference": clock(minutes),
            "here, about": clock(minutes * about),
            "here, from": clock(minutes * low),
            "here, to": clock(minutes * high),
        }
        for lecture, minutes in REFERENCE_MINUTES.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("lecture")


def clock(minutes: float) -> str:
    """A time in words, no finer than an estimate deserves: "25 s", "4 min", "1.5 h"."""
    if minutes < 1.5:
        return f"{max(5, 5 * round(minutes * 12))} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def paths_table() -> str:
    """All three paths, as a Markdown text with links to the notebooks."""
    lines = []
    for name, steps in PATHS.items():
        lines += [f"**{name.capitalize()}**", ""]
        lines += [f"- {s.when}: [{s.what}]({s.notebook}.ipynb)" for s in steps] + [""]
    return "\n".join(lines)


def choose_path(seconds: Mapping[str, float]) -> ipywidgets.VBox:
    """A menu of the three paths; the one that is chosen is shown beneath it.

    Args:
        seconds: what `measure` returned, to say how long the path's lectures run here.

    Returns:
        A VBox of two rows: the menu (a Dropdown) and the path (an HTML).

    Raises:
        ValueError: as `band`.
    """
    about = band(seconds)[1]
    menu = ipywidgets.Dropdown(options=list(PATHS), description="I have")
    path = ipywidgets.HTML()

    def show(change: object = None) -> None:
        steps = PATHS[menu.value]
        rows = [
            f"<tr><td>{html.escape(s.when)}</td><td>{html.escape(s.what)}</td>"
            f"<td><code>{html.escape(s.notebook)}.ipynb</code></td></tr>"
            for s in steps
        ]
        numbers = {s.notebook[:2] for s in steps if s.notebook[:2].isdigit()}
        minutes = [m for name, m in REFERENCE_MINUTES.items() if f"0{name[0]}" in numbers]
        path.value = (
            f"<table>{''.join(rows)}</table>Of all that time, your machine computes for about "
            f"{clock(about * sum(minutes))}. To begin, double-click "
            f"<code>{html.escape(steps[0].notebook)}.ipynb</code> in the list of files at the left."
        )

    menu.observe(show, names="value")
    show()
    return ipywidgets.VBox([menu, path])


def _seconds(work: Callable[[], object]) -> float:
    """The median time of ROUNDS runs, after one that warms up."""
    taken = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return median(taken[1:])

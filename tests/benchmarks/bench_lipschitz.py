"""AlexNet's layer bounds beside singular values and the Gram iteration: `make bench` prints a table.

The network of 2012 with random weights, float64, two threads; every method in a process of its
own. Of each two frequencies f and -f, whose norms are the same, every method looks at one. All get
the same circle for a zero-padded convolution (see course_utils.lipschitz.fourier), which is to the
peers' advantage: it is the smallest.
"""

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor, nn

from course_utils.imagenet import alexnet_2012
from course_utils.lipschitz import fourier, operator_norm

SHAPES = {"conv1": (3, 227, 227), "conv2": (96, 27, 27)} | {
    "conv3": (256, 13, 13),
    "conv4": (384, 13, 13),
    "conv5": (384, 13, 13),
}
OURS, VALUES, GRAM = "operator_norm", "singular values", "Gram iteration"
TOLERANCE = {nn.Conv2d: 0.02, nn.Linear: 1e-5}


def matrices(name: str, layer: nn.Module) -> Tensor:
    """Return the dense matrix, or A(f) for half of the circle's frequencies: (B, out, in)."""
    if isinstance(layer, nn.Linear):
        return layer.weight.detach().double()[None]
    periods = tuple(axis.period for axis in fourier.axes(layer, SHAPES[name]))
    grid = fourier.half_grid(periods)
    return fourier.transfer(fourier.phase_weights(layer), grid, periods).flatten(0, 1)


def ours(name: str, layer: nn.Module) -> tuple[float, float]:
    bounds = operator_norm(layer, SHAPES.get(name))
    return bounds.lower, bounds.upper


def values(name: str, layer: nn.Module) -> tuple[float, float]:
    """Return the largest singular value; no vectors, and so no input that attains it.

    For a zero-padded convolution it is the circle's: there is no lower bound.
    """
    tops = [torch.linalg.svdvals(part).max() for part in matrices(name, layer)]
    return math.nan, torch.stack(tops).max().item()


def gram_iteration(name: str, layer: nn.Module) -> tuple[float, float]:
    """Bound the norm by Delattre et al. 2023 (arXiv:2305.16173), Algorithms 1 and 3.

    G <- G^* G / |G|_F^2, the factors kept as logarithms, then |G|_F^(2^-t) of the whole. It ends
    where it can be known to be as close as ours has to be: the bound is above the truth by a
    factor of n^(2^-(t + 1)) at most, and it stops when the step before changed it by less than the
    tolerance. For convolutions all frequencies go together.
    """
    stack = matrices(name, layer)
    if stack.shape[1] < stack.shape[2]:
        stack = stack.mH
    logs = torch.zeros(len(stack), dtype=torch.float64)
    before, tolerance = math.inf, TOLERANCE[type(layer)]
    for t in range(60):
        norms = torch.linalg.matrix_norm(stack)
        bound = ((logs + norms.log()) / 2**t).max().exp().item()
        # The overestimate about halves in each step, so a change this small is what is left.
        if before / bound - 1 < tolerance:
            return math.nan, bound
        before = bound
        stack = stack / norms[:, None, None]
        stack = stack.mH @ stack
        logs = 2 * (logs + norms.log())
    raise ArithmeticError("the Gram iteration did not end")


METHODS: dict[str, Callable] = {OURS: ours, VALUES: values, GRAM: gram_iteration}


def measure(method: str) -> None:
    """Print, as JSON, each layer's bounds and seconds, and the peak memory in GB."""
    torch.set_num_threads(2)
    model, rows = alexnet_2012(), {}
    for name, layer in model.named_children():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            start, cpu = time.perf_counter(), time.process_time()
            bounds = METHODS[method](name, layer)
            rows[name] = (*bounds, time.perf_counter() - start, time.process_time() - cpu)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(json.dumps({"rows": rows, "peak": peak}))


def main() -> int:
    results = {}
    for method in METHODS:
        command = [sys.executable, __file__, method]
        told = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        results[method] = json.loads(told)
    mine = results[OURS]["rows"]
    table = pd.DataFrame.from_dict(
        {
            name: {"lower": lower, "upper": upper, "gap %": 100 * (upper / lower - 1)}
            | {method: results[method]["rows"][name][2] for method in METHODS}
            for name, (lower, upper, *_) in mine.items()
        },
        orient="index",
    )
    print(f"\nAlexNet of 2012, random weights: bounds, and seconds; torch {torch.__version__}")
    print(table.to_string(float_format="{:.4g}".format))
    wall, cpu = (
        {
            method: sum(row[at] for row in result["rows"].values())
            for method, result in results.items()
        }
        for at in (2, 3)
    )
    sums = pd.DataFrame(
        {
            "seconds": wall,
            "x ours": {method: seconds / wall[OURS] for method, seconds in wall.items()},
            "processor seconds": cpu,
            "GB": {method: result["peak"] for method, result in results.items()},
        }
    )
    print("\nAll eight layers")
    print(sums.to_string(float_format="{:.4g}".format), flush=True)

    fully = [row for name, row in mine.items() if name.startswith("fc")]
    convolutions = [row for name, row in mine.items() if name.startswith("conv")]
    exact = {name: row[1] for name, row in results[VALUES]["rows"].items()}
    bounds = {
        "upper bounds at least the singular values": all(
            mine[name][1] >= value * (1 - 1e-12) for name, value in exact.items()
        ),
        "the Gram iteration's are too": all(
            row[1] >= exact[name] * (1 - 1e-9) for name, row in results[GRAM]["rows"].items()
        ),
        "convolutions: gap at most 2 %": all(row[1] <= 1.02 * row[0] for row in convolutions),
        "fully connected: gap at most 1e-5": all(row[1] <= (1 + 1e-5) * row[0] for row in fully),
        "5 times as fast as singular values": wall[VALUES] >= 5 * wall[OURS],
        "faster than the Gram iteration": wall[GRAM] > wall[OURS],
        "under 1 GB": results[OURS]["peak"] < 1,
        "aim: 10 times as fast as singular values": wall[VALUES] >= 10 * wall[OURS],
    }
    print()
    for bound, holds in bounds.items():
        print(f"{'holds' if holds else 'FAILS':6} {bound}")
    return 0 if all(holds for bound, holds in bounds.items() if not bound.startswith("aim")) else 1


if __name__ == "__main__":
    sys.exit(measure(sys.argv[1]) if sys.argv[1:] else main())

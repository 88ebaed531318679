"""A proof, in floating point, that no eigenvalue of a matrix is above a level.

The numerical core under `course_utils.lipschitz`: everything is computed in float64 on the CPU.

Source: S. M. Rump, "Verification of positive definiteness", BIT Numerical Mathematics 46 (2006),
pp. 433-452, Theorem 2.3 (after Demmel 1989): if the floating-point Cholesky factorisation of a
symmetric matrix M of size n runs to its end, in whatever order it adds, then M has no eigenvalue
below -gamma / (1 - gamma) trace(M), with gamma = (n + 1) u / (1 - (n + 1) u) and u = 2^-53. Here
M = level I - G with G positive semidefinite, so its trace is at most n level, and no eigenvalue
of G is above level (1 + allowance(n)). That allowance is four times the theorem's: complex
arithmetic needs less than three times, and some libraries divide by multiplying with a rounded
reciprocal. Underflow is out of reach, since every matrix is scaled to numbers near 1 first.
"""

import math

import torch
from torch import Tensor

from course_utils.lipschitz.lanczos import largest_eigenpair

UNIT = 2.0**-53  # the largest relative error of one operation in float64
UP = 1 + 16 * UNIT  # lifts the last few roundings of an upper bound
PANEL = 1024  # columns of a matrix that are turned into float64 at a time,
ROWS = 512  # and rows whose inner products are computed at a time
SMALL = 300  # size up to which all eigenvalues are computed


def allowance(n: int) -> float:
    """Return the share of the level that Cholesky's rounding may hide, for n x n matrices."""
    return 4 * n * (n + 3) * UNIT


def scale_of(weight: Tensor) -> float:
    """Return the power of two just below the largest absolute weight, 0.0 if all are zero.

    Numbers below the smallest normal one count as zero, as they do in a layer of the course.

    Raises:
        ValueError: a weight is NaN or infinite.
    """
    largest = weight.detach().abs().max().item() if weight.numel() else 0.0
    if not math.isfinite(largest):
        raise ValueError("layer: got weights that are NaN or infinite, expected finite ones")
    return 2.0 ** math.floor(math.log2(largest)) if largest else 0.0


def gram(weight: Tensor, scale: float) -> Tensor:
    """Return W W^T / scale^2 or W^T W / scale^2, whichever is smaller, in float64."""
    wide = weight if weight.shape[0] <= weight.shape[1] else weight.T
    result = torch.zeros(len(wide), len(wide), dtype=torch.float64)
    panels = wide.split(PANEL, 1)
    room = torch.empty_like(panels[0], dtype=torch.float64, memory_format=torch.contiguous_format)
    for panel in panels:
        part = room[:, : panel.shape[1]].copy_(panel).div_(scale)
        for first in range(0, len(wide), ROWS):
            rows = slice(first, first + ROWS)
            result[rows, : first + ROWS].addmm_(part[rows], part[: first + ROWS].T)
    for first in range(0, len(wide), ROWS):
        rows = slice(first, first + ROWS)
        result[:first, rows] = result[rows, :first].T
    return result


def dense_bounds(weight: Tensor) -> tuple[float, float, Tensor]:
    """Return (lower, upper, x) for a matrix W: |W x| = lower, |x| = 1, and |W| is at most upper.

    The upper bound comes from a Cholesky factorisation of level I - G, with G = W W^T on the
    smaller side. G as computed is off by at most k u / (1 - k u) |W|_F^2, k the larger side.
    """
    weight = weight.detach().cpu()
    rows, columns = weight.shape
    scale = scale_of(weight)
    if not scale:
        return 0.0, 0.0, torch.eye(columns, dtype=torch.float64)[0]
    matrix = gram(weight, scale)
    diagonal = matrix.diagonal().clone()
    n, length = len(matrix), max(rows, columns)
    error = 4 * (length + 8) * UNIT * diagonal.sum().item()
    lower, slack, best = 0.0, max(4e-6, 2 * allowance(n)), None
    for attempt in range(20):
        if n <= SMALL:
            values, vectors = torch.linalg.eigh(matrix)
            top, x = values[-1].item(), vectors[:, -1]
        else:
            random = torch.Generator().manual_seed(attempt)
            start = torch.randn(1, 1, n, generator=random, dtype=torch.float64)
            top, x = largest_eigenpair(
                lambda x: x @ matrix, start, tolerance=2e-6 / 10**attempt, seed=attempt
            )
            x = x[0]
        if rows <= columns:
            x = _product(weight.T, x)
        x /= x.norm()
        norm = _product(weight, x).norm().item()
        if norm >= lower:
            lower, best = norm, x
        level = top * (1 + slack)
        # In place, since the matrix may be large: only its diagonal has to be kept.
        matrix.neg_().diagonal().copy_(level - diagonal)
        if not torch.linalg.cholesky_ex(matrix).info.item():
            level = level * (1 + allowance(n)) + error
            return lower, scale * math.sqrt(level) * UP, best
        matrix.neg_().diagonal().copy_(diagonal)
        slack *= 4  # the iteration had missed the top: try again, from another start
    raise ArithmeticError("no upper bound could be proved")  # pragma: no cover


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """Return matrix @ x in float64, without a float64 copy of the whole matrix."""
    return torch.cat([part.double() @ x for part in matrix.split(PANEL)])

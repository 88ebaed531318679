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
from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import blas, lapack
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

UNIT = 2.0**-53  # the largest relative error of one operation in float64
UP = 1 + 16 * UNIT  # lifts the last few roundings of an upper bound
PANEL = 1024  # columns of a matrix that are turned into float64 at a time
SMALL = 100  # size up to which all eigenvalues are computed


def allowance(n: int) -> float:
    """Return the share of the level that Cholesky's rounding may hide, for n x n matrices."""
    return 4 * n * (n + 3) * UNIT


def scale_of(weight: Tensor) -> float:
    """Return the power of two just below the largest absolute weight, 0.0 if all are zero.

    Numbers below the smallest normal one count as zero, as they do in a layer of the course. NaN
    and infinite ones are a ValueError.
    """
    largest = max(end.abs().item() for end in weight.detach().aminmax()) if weight.numel() else 0.0
    if not math.isfinite(largest):
        raise ValueError("layer: got weights that are NaN or infinite, expected finite ones")
    return 2.0 ** math.floor(math.log2(largest)) if largest else 0.0


def largest_eigenpair(
    multiply: Callable, size: int, *, tolerance: float, seed: int = 0, dtype: type = np.float64
) -> tuple[float, np.ndarray]:
    """Return the largest eigenvalue of a symmetric matrix known by its products, and its vector.

    Up to size `SMALL` it is exact to rounding. Beyond it is ARPACK's, from below, its residual at
    most `tolerance` times itself, where ARPACK gets so far in 1,000 rounds; seed: of its start.
    """
    if size <= SMALL:
        matrix = np.stack([multiply(unit) for unit in np.eye(size, dtype=dtype)])
        values, vectors = np.linalg.eigh(matrix.astype(np.float64))
    else:
        start = np.random.default_rng(seed).standard_normal(size).astype(dtype)
        operator = LinearOperator((size, size), multiply, dtype=dtype)
        try:
            values, vectors = eigsh(operator, 1, which="LA", v0=start, tol=tolerance, maxiter=1000)
        except ArpackError:  # no convergence, or all zeros: the start is as good as any other
            values, vectors = start[:1] * 0, start[:, None]
    return values[-1].item(), vectors[:, -1].astype(np.float64)


def gram(weight: Tensor, scale: float) -> np.ndarray:
    """Return W W^T / scale^2 or W^T W / scale^2, whichever is smaller: the lower triangle."""
    wide = weight if weight.shape[0] <= weight.shape[1] else weight.T
    result = np.zeros((len(wide), len(wide)), order="F")
    for panel in wide.split(PANEL, 1):
        part = (panel.double() / scale).T.numpy()
        result = blas.dsyrk(1.0, part, trans=1, lower=1, beta=1.0, c=result, overwrite_c=1)
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
    n, diagonal = len(matrix), matrix.diagonal().copy()
    error = 4 * (max(rows, columns) + 8) * UNIT * diagonal.sum().item()
    slack = max(4e-6, 2 * allowance(n))
    multiply = lambda x: blas.dsymv(1.0, matrix, x, lower=1)
    for attempt in range(20):
        top, vector = largest_eigenpair(multiply, n, tolerance=1e-4 / 10**attempt, seed=attempt)
        level = top * (1 + slack)
        gap = -matrix
        np.fill_diagonal(gap, level - diagonal)
        if not lapack.dpotrf(gap, lower=1, clean=0, overwrite_a=1)[1]:
            del gap  # as large as the matrix: the products need the room
            x = torch.from_numpy(vector)
            if rows <= columns:
                x = _product(weight.T, x)
            x = x / x.norm()
            level = level * (1 + allowance(n)) + error
            return _product(weight, x).norm().item(), scale * math.sqrt(level) * UP, x
        slack *= 4  # the iteration had missed the top: try again, from another start
    raise ArithmeticError("no upper bound could be proved")  # pragma: no cover


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """Return matrix @ x in float64, without a float64 copy of the whole matrix."""
    return torch.cat([part.double() @ x for part in matrix.split(PANEL)])

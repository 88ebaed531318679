"""A bound of a fully connected network as a whole, below the product of its layers' norms.

Between two inputs v_0 apart, unit k of layer i is z_k apart before its activation and v_k after it,
and an activation whose slopes lie in [0, b] has v_k (b z_k - v_k) >= 0. So whatever the weights
l_k >= 0 of these facts, |W v|^2 <= rho |v_0|^2 for the outputs if, for all v,

    rho |v_0|^2 + sum over k of 2 l_k v_k (v_k - b w_k v_before) - |W v_last|^2 >= 0,

that is, if a matrix P(rho, l) is positive semidefinite, w_k being the unit's row of weights.
For given l the smallest rho is found layer by layer; here rho and l are sought together, rho as
small as can be, by damped Newton steps with a barrier, -log det P. Nothing rests on that search:
for what it ends with, Cholesky proves that P is positive semidefinite.

Sources: Fazlyab, Robey, Hassani, Morari and Pappas 2019 (arXiv:1906.04893), LipSDP-Neuron; Xu and
Sivaranjani 2024 (arXiv:2404.04375), ECLipsE-Fast, for the start; Boyd and Vandenberghe 2004,
"Convex Optimization", chapter 11, for the barrier; Rump 2006, see `certificate`, for the proof.
"""

import math

import numpy as np
import scipy.linalg
from torch import nn

from course_utils.lipschitz.certificate import UNIT, UP, allowance
from course_utils.lipschitz.layers import ACTIVATIONS, UNCHANGED, walk
from course_utils.lipschitz.network import network_bound
from course_utils.models import eval_mode

GAP = 2e-3  # the share by which rho may stay above its smallest value
STEPS = 200  # of Newton's method, at most


def network_bound_sdp(model: nn.Module, input_shape: tuple[int, ...]) -> float:
    """Return a bound of a fully connected network: |f(x) - f(y)| <= bound |x - y|, in L2.

    It is proved as `network_bound` is, and never above it. Time and memory go with the cube and
    the square of the number of units: about a second for 784-100-100-10, ten for 784-200-200-10.

    model: nn.Sequential of fully connected layers with activations (ReLU, sigmoid, tanh) between
    them; dropout, flatten and identity do not count. input_shape: of one image. Raises TypeError,
    ValueError as `layer_bounds` does, or where the layers are others than these.
    """
    product, matrices, slopes = network_bound(model, input_shape), [], []
    with eval_mode(model):
        for name, kind, layer, _ in walk(model, input_shape):
            if kind is nn.Linear and len(matrices) == len(slopes):
                matrices.append(layer.weight.detach().cpu().double().numpy())
            elif kind in ACTIVATIONS and len(matrices) == len(slopes) + 1:
                slopes.append(ACTIVATIONS[kind])
            elif kind not in UNCHANGED:
                expected = "a fully connected one or, between two of these, an activation"
                got = f"layer {name!r}, a {kind.__name__}"
                raise ValueError(f"model: got {got}, where {expected} was expected")
    if len(matrices) == len(slopes):
        raise ValueError("model: got an activation at the end, expected a fully connected layer")
    if not slopes or not product:
        return product
    proved = [rho for rho, l in _search(matrices, slopes) if _proved(matrices, slopes, rho, l)]
    return min([product, *(math.sqrt(rho) * UP for rho in proved)])


def _rows(matrices: list[np.ndarray], slopes: list[float]) -> np.ndarray:
    """Return e_k - b w_k for each hidden unit, in the coordinates (inputs, hidden units)."""
    inputs, units = matrices[0].shape[1], [len(matrix) for matrix in matrices[:-1]]
    rows = np.zeros((sum(units), inputs + sum(units)))
    top = left = 0
    for matrix, slope in zip(matrices, slopes):
        rows[top : top + len(matrix), left : left + matrix.shape[1]] = -slope * matrix
        top, left = top + len(matrix), left + matrix.shape[1]
    rows[:, inputs:] += np.eye(sum(units))
    return rows


def _whole(rows: np.ndarray, last: np.ndarray, rho: float, weights: np.ndarray) -> np.ndarray:
    """Return P(rho, l)."""
    inputs = rows.shape[1] - len(rows)
    matrix = np.zeros((rows.shape[1],) * 2)
    matrix[inputs:] = weights[:, None] * rows
    matrix += matrix.T
    matrix[np.arange(inputs), np.arange(inputs)] = rho
    matrix[-last.shape[1] :, -last.shape[1] :] -= last.T @ last
    return matrix


def _search(matrices, slopes):
    """Yield (rho, l), better and better, which should make P positive definite."""
    # What lies across the rows of the first matrix has no effect: leave it out.
    first = np.linalg.qr(matrices[0].T, mode="r").T
    matrices, sizes = [first, *matrices[1:]], []
    # A unit may be measured in other units: then its row is longer, its column shorter.
    for place in range(len(slopes)):
        before, behind = matrices[place : place + 2]
        into, out = np.linalg.norm(before, axis=1), np.linalg.norm(behind, axis=0)
        size = np.sqrt(np.where(into * out > 0, out, 1) / np.where(into * out > 0, into, 1))
        matrices[place : place + 2] = size[:, None] * before, behind / size
        sizes += [*size]
    rows, inputs, last = _rows(matrices, slopes), first.shape[1], matrices[-1]
    start, inverse = [], np.eye(inputs)
    for matrix, slope in zip(matrices, slopes):  # ECLipsE-Fast: one weight for each layer
        carried = slope**2 * matrix @ inverse @ matrix.T
        weight = 1 / np.linalg.norm(carried, 2)
        start += [weight] * len(matrix)
        inverse = np.linalg.inv(weight * (2 * np.eye(len(matrix)) - weight * carried))
    rho = 1.5 * np.linalg.norm(last @ inverse @ last.T, 2)
    point = rho * np.array([1.0, *start])
    # The pull on rho grows; a slight one keeps units that hardly matter from running away.
    pull = np.array([len(rows[0]) / rho, *(1e-4 / point[1:])])
    for _ in range(STEPS):
        inverse = np.linalg.inv(_whole(rows, last, point[0], point[1:]))
        before, across, units = rows @ inverse, inverse[inputs:] @ rows.T, inverse[inputs:, inputs:]
        gradient = np.array([-inverse[:inputs, :inputs].trace(), *(-2 * across.diagonal())]) + pull
        curvature = np.empty((len(point),) * 2)
        curvature[1:, 1:] = 2 * (units * (before @ rows.T) + across * across.T)
        curvature[0, 0] = np.square(inverse[:inputs, :inputs]).sum()
        mixed = 2 * (inverse[inputs:, :inputs] * before[:, :inputs]).sum(1)
        curvature[0, 1:] = curvature[1:, 0] = mixed
        step = -point * np.linalg.solve(point[:, None] * curvature * point, point * gradient)
        size = math.sqrt(max(0.0, -gradient @ step))  # a step below 1 stays where P is positive
        point = point + step / (1 + size)
        if size < 1:  # near the middle of what is allowed: pull harder
            yield point[0], point[1:] * np.square(sizes)
            if len(rows[0]) < GAP * pull[0] * point[0]:
                return
            pull[0] *= 4


def _proved(matrices, slopes, rho: float, weights: np.ndarray) -> bool:
    """Return whether P(rho, l) is positive semidefinite for certain.

    Cholesky runs on D P D - margin I, D powers of two that bring the diagonal near 1 without
    rounding. The margin covers the rounding of P's entries, and what Cholesky's may hide.
    """
    rows, last = _rows(matrices, slopes), matrices[-1]
    matrix = _whole(rows, last, rho, weights)
    if not (weights >= 0).all() or not (matrix.diagonal() > 0).all():
        return False
    powers = np.exp2(-np.round(np.log2(matrix.diagonal()) / 2))
    matrix = matrix * powers * powers[:, None]
    ends = np.square(last * powers[-last.shape[1] :]).sum()
    n = len(matrix)
    margin = 4 * UNIT * (np.linalg.norm(matrix) + (len(last) + 4) * ends)
    margin += 2 * allowance(n) / n * matrix.trace()
    matrix[np.arange(n), np.arange(n)] -= margin
    return not scipy.linalg.lapack.dpotrf(matrix, lower=1)[1]

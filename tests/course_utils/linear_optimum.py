"""The smallest adversarial perturbation of a linear model, by quadratic programming."""

import numpy as np
import quadprog
from torch import Tensor, nn

from course_utils.models import linear_layers


def smallest_distortions(model: nn.Module, images: Tensor, targets: Tensor) -> np.ndarray:
    """Return the exact optima (N,) for a model of one linear layer, in float64.

    Minimise 1/2 ||r||^2 subject to (w_target - w_k)'(x + r) + b_target - b_k >= 0 for all k and
    x + r in [0, 1]. With multipliers z >= 0 of the first, r = clip(slopes' z, -x, 1 - x): quadprog
    finds z for a guess of the pixels at their bounds, which gives the next guess. What comes out
    is accepted only where r is feasible and the duality gap is closed.
    """
    (layer,) = linear_layers(model)
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    answers = []
    for x, target in zip(images.flatten(1).double().numpy(), targets.numpy()):
        slopes = np.delete(weight[target] - weight, target, 0)
        wanted = -slopes @ x - np.delete(bias[target] - bias, target)  # slopes @ r >= wanted
        answers.append((2 * _optimum(slopes, wanted, -x, 1 - x) / len(x)) ** 0.5)
    return np.array(answers)


def _optimum(slopes: np.ndarray, wanted: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Return min 1/2 ||r||^2 subject to slopes @ r >= wanted and low <= r <= high."""

    def at(z: np.ndarray) -> tuple[np.ndarray, float]:
        r = np.clip(z @ slopes, low, high)
        return r, r @ r / 2 + z @ (wanted - slopes @ r)

    count = len(wanted)
    z = np.zeros(count)
    for _ in range(100):
        r, dual = at(z)
        if (slopes @ r >= wanted - 1e-8).all() and abs(r @ r / 2 - dual) <= 1e-8 * dual:
            return dual
        free = (z @ slopes >= low) & (z @ slopes <= high)
        square = slopes[:, free] @ slopes[:, free].T
        square += 1e-13 * np.trace(square) * np.eye(count)
        short = wanted - slopes[:, ~free] @ r[~free]
        change = quadprog.solve_qp(square, short, np.eye(count), np.zeros(count))[0] - z
        length = 1.0
        while at(z + length * change)[1] < dual and length > 1e-6:
            length /= 2
        z = z + length * change
    raise ArithmeticError("the quadratic program was not solved")

"""Limited-memory BFGS for many small problems at once, each with bounds of its own.

The attack minimises 1/2 ||r||^2 + w * loss(r) for every image, with a weight w that changes
from step to step. The quadratic part is known exactly, so only the loss's curvature is learned:
the memory holds pairs (s, y) of a step and of the change of the loss's gradient along it, and
the pair that BFGS needs for today's weight is (s, s + w y).
"""

import torch
from torch import Tensor

# A pair enters the model only if its curvature is at least this share of the quadratic part's.
LEAST_CURVATURE = 0.1


class Memory:
    """The last pairs (step, change of the loss's gradient) of a batch of problems.

    Nocedal and Wright, Numerical Optimization, section 7.2. All inner products that a direction
    needs come from one batched matrix product; the recursion itself then runs on numbers, not
    on vectors, as two small triangular systems.
    """

    def __init__(self, like: Tensor, pairs: int):
        """Start an empty memory for problems shaped like `like` (B, n)."""
        batch, size = like.shape
        self.pairs = pairs
        self.vectors = like.new_zeros(batch, 2 * pairs, size)
        self.newest = pairs - 1

    def push(self, steps: Tensor, changes: Tensor) -> None:
        """Remember steps (B, n) and the loss gradient's changes (B, n); forget the oldest pair."""
        self.newest = (self.newest + 1) % self.pairs
        self.vectors[:, self.newest] = steps
        self.vectors[:, self.pairs + self.newest] = changes

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the problems only; `rows` are their indices."""
        self.vectors = self.vectors[rows]


class Model:
    """The inverse Hessian H of 1/2 ||r||^2 + w * loss, restricted to the free pixels.

    It is only ever applied to combinations of r and the loss's gradient g, so it holds H r and
    H g as coefficients over the memory's vectors.
    """

    def __init__(self, memory: Memory, weight: Tensor, free: Tensor, gradient: Tensor, r: Tensor):
        pairs = memory.pairs
        order = torch.arange(memory.newest + 1, memory.newest + 1 + pairs) % pairs
        order = torch.cat([order, order + pairs]).to(r.device)  # oldest pair first
        self.masked = memory.vectors * free[:, None]
        self.right = torch.stack([gradient, r], 1) * free[:, None]
        self.order = order
        self.weight = weight

        gram = (self.masked @ self.masked.mT)[:, order][:, :, order]
        sides = (self.masked @ self.right.mT)[:, order]
        self.sides = sides
        w = weight[:, None, None]
        ss, sl, ll = gram[:, :pairs, :pairs], gram[:, :pairs, pairs:], gram[:, pairs:, pairs:]
        sy = ss + w * sl
        yy = ss + w * (sl + sl.mT) + w * w * ll
        s_right, y_right = sides[:, :pairs], sides[:, :pairs] + w * sides[:, pairs:]

        # A pair without enough curvature is left out: zeros, and a one on the diagonal.
        squares = ss.diagonal(dim1=1, dim2=2)
        curvature = sy.diagonal(dim1=1, dim2=2)
        used = (squares > 0) & (curvature > LEAST_CURVATURE * squares)
        both = used[:, :, None] & used[:, None, :]
        diagonal = torch.where(used, curvature, torch.ones_like(curvature))
        upper = torch.where(both, sy, torch.zeros_like(sy)).triu(1) + torch.diag_embed(diagonal)
        yy = torch.where(both, yy, torch.zeros_like(yy))
        s_right = torch.where(used[:, :, None], s_right, torch.zeros_like(s_right))
        y_right = torch.where(used[:, :, None], y_right, torch.zeros_like(y_right))

        # The usual first guess of H, from the newest pair in use; without one, that of a loss
        # whose curvature is one.
        rank = used * torch.arange(1, pairs + 1, device=r.device)
        newest = rank.argmax(1, keepdim=True)
        scale = curvature.gather(1, newest) / yy.diagonal(dim1=1, dim2=2).gather(1, newest)
        self.scale = torch.where(used.any(1), scale[:, 0], 1 / (1 + weight))[:, None, None]

        first = torch.linalg.solve_triangular(upper, s_right, upper=True)
        rest = diagonal[:, :, None] * first - self.scale * (y_right - yy @ first)
        second = torch.linalg.solve_triangular(upper.mT, rest, upper=False)
        # H q = scale * q + sum of these coefficients times the (masked) memory, for q = g and r.
        on_s, on_l = second - self.scale * first, -self.scale * w * first
        self.coefficients = torch.cat([on_s, on_l], 1)

    def products(self) -> Tensor:
        """Return g'Hg, g'Hr, and r'Hr as a symmetric matrix (B, 2, 2)."""
        return self.scale * (self.right @ self.right.mT) + self.sides.mT @ self.coefficients

    def direction(self, weight: Tensor) -> Tensor:
        """Return -H (r + weight * g), shape (B, n)."""
        mix = torch.stack([weight, torch.ones_like(weight)], 1)[:, :, None]
        coefficients = torch.empty_like(self.coefficients[:, :, :1])
        coefficients[:, self.order] = self.coefficients @ mix
        step = (self.scale * mix).mT @ self.right + coefficients.mT @ self.masked
        return -step[:, 0]

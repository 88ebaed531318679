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

    Nocedal and Wright, Numerical Optimization, section 7.2. The inner products of all remembered
    vectors are kept beside them, so the recursion runs on numbers and not on vectors.
    """

    def __init__(self, like: Tensor, pairs: int):
        """Start an empty memory for problems shaped like `like` (B, n)."""
        self.pairs = pairs
        self.vectors = [torch.zeros_like(like)] * (2 * pairs)  # steps, then changes; oldest first
        self.gram = like.new_zeros(len(like), 2 * pairs, 2 * pairs)
        self.order = torch.arange(2 * pairs, device=like.device).view(2, pairs).roll(-1, 1).ravel()

    def push(self, steps: Tensor, changes: Tensor) -> None:
        """Remember steps (B, n) and the loss gradient's changes (B, n); forget the oldest pair."""
        old, middle = self.vectors, self.pairs
        self.vectors = [*old[1:middle], steps, *old[middle + 1 :], changes]
        self.gram = self.gram[:, self.order[:, None], self.order]
        for slot in (middle - 1, -1):
            self.gram[:, slot] = self.gram[:, :, slot] = self.products(self.vectors[slot])

    def products(self, other: Tensor) -> Tensor:
        """Return the inner products (B, 2 pairs) of what is remembered with `other` (B, n)."""
        # One by one: a batched matrix product of so few vectors takes longer.
        return torch.stack([torch.linalg.vecdot(vector, other) for vector in self.vectors], 1)

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the problems only; `rows` are their indices."""
        self.vectors = [vector[rows] for vector in self.vectors]
        self.gram = self.gram[rows]


class Model:
    """The inverse Hessian H of 1/2 ||r||^2 + w * loss, its rows and columns of held pixels zero.

    With the pixels that are held at a bound left out so, -H times the slope still descends
    (Bertsekas 1982, "Projected Newton methods for optimization problems with simple
    constraints"). H is only ever applied to combinations of r and the loss's gradient g, so it
    holds H r and H g as coefficients over the memory's vectors.
    """

    def __init__(self, memory: Memory, weight: Tensor, free: Tensor, gradient: Tensor, r: Tensor):
        pairs, gram = memory.pairs, memory.gram
        self.vectors, self.free = memory.vectors, free
        self.gradient, self.r = gradient * free, r * free
        sides = torch.stack([memory.products(self.gradient), memory.products(self.r)], 2)
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
        diagonal = torch.where(used, curvature, 1)
        upper = torch.where(both, sy, 0).triu(1) + torch.diag_embed(diagonal)
        yy = torch.where(both, yy, 0)
        s_right = torch.where(used[:, :, None], s_right, 0)
        y_right = torch.where(used[:, :, None], y_right, 0)

        # The usual first guess of H, from the newest pair in use; without one, that of a loss
        # whose curvature is one.
        rank = used * torch.arange(1, pairs + 1, device=r.device)
        newest = rank.argmax(1, keepdim=True)
        scale = curvature.gather(1, newest) / yy.diagonal(dim1=1, dim2=2).gather(1, newest)
        self.scale = torch.where(used.any(1), scale[:, 0], 1 / (1 + weight))[:, None]

        first = torch.linalg.solve_triangular(upper, s_right, upper=True)
        scale = self.scale[:, None]
        rest = diagonal[:, :, None] * first - scale * (y_right - yy @ first)
        second = torch.linalg.solve_triangular(upper.mT, rest, upper=False)
        # H q = scale * q + sum of these coefficients times the memory, for q = g and r.
        self.coefficients = torch.cat([second - scale * first, -scale * w * first], 1)

    def products(self) -> tuple[Tensor, Tensor]:
        """Return g'Hg and g'Hr, each (B,)."""
        squares = torch.linalg.vector_norm(self.gradient, dim=1).square()
        plain = torch.stack([squares, torch.linalg.vecdot(self.gradient, self.r)], 1)
        found = self.scale * plain + (self.sides[:, :, :1] * self.coefficients).sum(1)
        return found[:, 0], found[:, 1]

    def direction(self, weight: Tensor) -> Tensor:
        """Return -H (r + weight * g), shape (B, n)."""
        mix = torch.stack([weight, torch.ones_like(weight)], 1)[:, :, None]
        coefficients = self.coefficients @ mix
        step = self.scale * torch.addcmul(self.r, weight[:, None], self.gradient)
        for vector, coefficient in zip(self.vectors, coefficients.unbind(1)):
            step.addcmul_(vector, coefficient)
        return -self.free * step

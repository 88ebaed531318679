"""Limited-memory BFGS for many small problems at once, each with bounds of its own.

The attack minimises 1/2 ||r||^2 + w * loss(r) for every image, with a weight w that changes
from step to step. The quadratic part is known exactly, so only the loss's curvature is learned:
the memory holds a step s and the change l of the loss's gradient along it, and the pair that BFGS
needs for today's weight is (s, y) with y = s + w l. It holds one pair, the last: on the deck's
networks two save 2 % of the evaluations and cost 15 % more time.

A state (B, 2, n) is r and the loss's gradient g at r, for a batch of B problems of n pixels.
"""

import torch
from torch import Tensor

# The pair enters the model only if its curvature is at least this share of the quadratic part's.
LEAST_CURVATURE = 0.1


class Memory:
    """The last step and change of the loss's gradient, of a batch of problems.

    It starts empty, for problems shaped like `state`. The two lie in one tensor with room for the
    state of the moment, so that one batched product gives all inner products, rows times rows:
    other layouts take several times as long.
    """

    def __init__(self, state: Tensor):
        self.vectors = state.new_zeros(len(state), 4, state.shape[2])  # s, l; free part of r, g
        self.gram = state.new_zeros(len(state), 2, 2)  # of s and l

    def push(self, after: Tensor, before: Tensor) -> None:
        """Remember how the state changed, and forget what was remembered."""
        change = torch.sub(after, before, out=self.vectors[:, :2])
        self.gram = torch.bmm(change, change.mT)


class InverseHessian:
    """The inverse Hessian H of 1/2 ||r||^2 + w * loss, its rows and columns of held pixels zero.

    H = (I - s y'/s'y) h (I - y s'/s'y) + s s'/s'y with h = s'y / y'y (Nocedal and Wright,
    Numerical Optimization, section 7.2). With the pixels that are held at a bound left out of
    it, -H times the slope still descends (Bertsekas 1982, "Projected Newton methods for
    optimization problems with simple constraints"). H is only ever applied to combinations of r
    and g, so what is held are H r and H g, as coefficients over the vectors s, l, r and g. A
    memory has one of these at a time.
    """

    def __init__(self, memory: Memory, weight: Tensor, free: Tensor, state: Tensor):
        self.vectors, self.free = memory.vectors, free
        now = torch.mul(state, free[:, None], out=memory.vectors[:, 2:])
        self.products_with = torch.bmm(now, memory.vectors.mT)  # of r and g: (B, 2, 4)
        (ss, sl), (_, ll) = (row.unbind(1) for row in memory.gram.unbind(1))
        sy = ss + weight * sl
        yy = sy + weight * (sl + weight * ll)
        # Without a pair of enough curvature, H is that of a loss whose curvature is one.
        used = (ss > 0) & (sy > LEAST_CURVATURE * ss)
        sy, yy = torch.where(used, sy, 1)[:, None], torch.where(used, yy, 1)[:, None]
        scale = torch.where(used, (sy / yy)[:, 0], 1 / (1 + weight))[:, None]
        # The two-loop recursion on numbers, for both right sides: first is s'q / s'y.
        with_s, with_l = self.products_with[:, :, 0], self.products_with[:, :, 1]
        first = torch.where(used[:, None], with_s / sy, 0)
        rest = scale * (with_s + weight[:, None] * with_l - first * yy)
        second = torch.where(used[:, None], rest / sy, 0)
        on_s, on_l = first - second - scale * first, -scale * weight[:, None] * first
        own = scale[:, :, None] * torch.eye(2).to(scale)
        self.coefficients = torch.cat([torch.stack([on_s, on_l], 2), own], 2)

    def products(self) -> tuple[Tensor, Tensor]:
        """Return g'Hg and g'Hr, each (B,)."""
        found = (self.coefficients * self.products_with[:, 1:]).sum(2)
        return found[:, 1], found[:, 0]

    def direction(self, weight: Tensor) -> Tensor:
        """Return -H (r + weight * g), shape (B, n)."""
        mix = -self.coefficients[:, :1] - weight[:, None, None] * self.coefficients[:, 1:]
        return torch.bmm(mix, self.vectors)[:, 0].mul_(self.free)

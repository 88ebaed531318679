"""The game between known densities on a line, as sums over a fine grid."""

from collections.abc import Callable

import torch
from torch import Tensor

Density = Callable[[Tensor], Tensor]
CELLS = 100_000


def game_value(discriminator: Density, p: Density, q: Density, *, low: float, high: float) -> float:
    """Return V(D) = integral of p log D + q log(1 - D) over [low, high].

    Args:
        discriminator: D(x), 0 to 1; p / (p + q) makes V largest, 2 JS(p, q) - log 4.
        p, q: the densities of data and of generated points, at least 0. All three take points
            (N,), float64, and give as many values.
        low, high: finite ends of an interval that holds all but a negligible part of both; a
            density narrower than a thousandth of it is summed badly.

    Raises ValueError where the ends are not finite or not in order, or a density lacks more than
    1e-3 of its mass between them.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), equations 3 and 4.
    """
    x, width, a, b = _on_a_grid(low, high, p=p, q=q)
    # An output rounded to 0 or 1, as far out as the other density rounds away, costs next to
    # nothing there, and not infinity.
    d = discriminator(x)
    logs = [side.clamp_min(torch.finfo(x.dtype).tiny).log() for side in (d, 1 - d)]
    return (width * (a * logs[0] + b * logs[1]).sum()).item()


def jensen_shannon(p: Density, q: Density, *, low: float, high: float) -> float:
    """Return JS(p, q) = (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2, from 0 to log 2 nats.

    Args, errors: as in `game_value`. Source: the same paper, equation 6.
    """
    _, width, a, b = _on_a_grid(low, high, p=p, q=q)
    m = (a + b) / 2
    shares = [torch.where(side > 0, torch.xlogy(side, side / m), 0) for side in (a, b)]
    return (width * sum(shares).sum() / 2).item()


def _on_a_grid(low: float, high: float, **densities: Density) -> tuple:
    """The middles of the grid's cells, their width, and the densities there."""
    if not -float("inf") < low < high < float("inf"):
        raise ValueError(f"low, high: got {low!r}, {high!r}, expected finite numbers in order")
    width = (high - low) / CELLS
    x = low + width * (torch.arange(CELLS, dtype=torch.float64) + 0.5)
    values = {name: density(x) for name, density in densities.items()}
    for name, value in values.items():
        if not abs((mass := width * value.sum().item()) - 1) < 1e-3:
            raise ValueError(f"{name}: integrates to {mass:g} from {low:g} to {high:g}, not to 1")
    return x, width, *values.values()

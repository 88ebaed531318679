"""The game between known densities on a line, by numerical quadrature."""

import math
import sys
from collections.abc import Callable

from scipy.integrate import quad

Density = Callable[[float], float]


def game_value(
    discriminator: Density, p: Density, q: Density, *, low: float, high: float
) -> float:
    """Return V(D) = integral of p log D + q log(1 - D) over [low, high].

    Args:
        discriminator: D(x), 0 to 1; p / (p + q) makes V largest, 2 JS(p, q) - log 4.
        p, q: the densities of data and of generated points, at least 0.
        low, high: finite ends of an interval that holds all but a negligible part of both.

    Raises:
        ValueError: the ends are not finite or not in order, or a density lacks more than 1e-3 of
            its mass between them.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), equations 3 and 4.
    """
    _check_mass(low, high, p=p, q=q)

    def value(x: float) -> float:
        d = discriminator(x)
        return _times_log(p(x), d) + _times_log(q(x), 1 - d)

    return _integral(value, low, high)


def jensen_shannon(p: Density, q: Density, *, low: float, high: float) -> float:
    """Return JS(p, q) = (KL(p, m) + KL(q, m)) / 2 with m = (p + q) / 2, from 0 to log 2 nats.

    Args, errors: as in `game_value`.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), equation 6.
    """
    _check_mass(low, high, p=p, q=q)

    def divergence(x: float) -> float:
        a, b = p(x), q(x)
        mean = (a + b) / 2
        return sum(_times_log(each, each / mean) / 2 for each in (a, b) if each > 0)

    return _integral(divergence, low, high)


def _times_log(weight: float, number: float) -> float:
    # An output rounded to 0 or 1, as far out as the other density rounds away, costs next to
    # nothing there, and not infinity.
    return weight * math.log(max(number, sys.float_info.min))


def _integral(function: Density, low: float, high: float) -> float:
    # In pieces, so that no narrow density falls between the first points that quad looks at.
    width = (high - low) / 20
    return sum(
        quad(function, low + i * width, low + (i + 1) * width, limit=200)[0] for i in range(20)
    )


def _check_mass(low: float, high: float, **densities: Density) -> None:
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"low, high: got {low!r}, {high!r}, expected finite numbers in order")
    for name, density in densities.items():
        if not abs((mass := _integral(density, low, high)) - 1) < 1e-3:
            raise ValueError(
                f"{name}: integrates to {mass:g} between {low:g} and {high:g}, expected 1"
            )

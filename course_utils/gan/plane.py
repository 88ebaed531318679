"""The game in the plane, as pure functions: what the page's game in the browser must agree with.

Both players have two hidden layers of leaky rectifiers. Nothing is random but `player`, `ring` and
`run`: a round takes its points and its noise as arguments.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.checks import check_counts
from course_utils.gan.training import discriminator_loss, generator_loss

NOISE = 2  # numbers that a point is made from
BLOBS = 8  # in which the real points lie
SLOPE = 0.2  # of the rectifiers, below 0
BETAS, EPSILON = (0.5, 0.999), 1e-8  # Adam's


class Rules(NamedTuple):
    """How both play: steps in a round, size of the steps, and what is descended, and how."""

    generator_steps: int = 1
    discriminator_steps: int = 1
    generator_rate: float = 2e-3
    discriminator_rate: float = 5e-3
    saturating: bool = False
    adam: bool = True


class Player(NamedTuple):
    """Weights (out, in) and biases (out,) in turn, Adam's moments of each, and steps taken."""

    weights: tuple[Tensor, ...]
    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    steps: int = 0


def player(outputs: int, *, inputs: int = 2, hidden: int = 24, seed: int = 0) -> Player:
    """Return a player with Glorot and Bengio's first weights, float64: G has two outputs, D one."""
    check_counts(outputs=outputs, inputs=inputs, hidden=hidden)
    random, weights = torch.Generator().manual_seed(seed), []
    for into, out in ((inputs, hidden), (hidden, hidden), (hidden, outputs)):
        draw = torch.rand(out, into, generator=random, dtype=torch.float64)
        weights += [math.sqrt(6 / (into + out)) * (2 * draw - 1), torch.zeros(out).double()]
    zeros = tuple(torch.zeros_like(w) for w in weights)
    return Player(tuple(weights), zeros, zeros)


def answer(weights: tuple[Tensor, ...], points: Tensor) -> Tensor:
    """Return a network's outputs (N, outputs) for points (N, inputs)."""
    for place in (0, 2):
        points = F.leaky_relu(points @ weights[place].T + weights[place + 1], SLOPE)
    return points @ weights[4].T + weights[5]


def play(
    generator: Player, discriminator: Player, rules: Rules, points: Tensor, noise: Tensor
) -> tuple[Player, Player]:
    """Return both players after one round; neither argument is changed.

    Args:
        points: (discriminator steps, N, 2), real ones, of which each step of D takes the next row.
        noise: (discriminator and generator steps, N, noise): D's steps take the first rows.
    """
    for real, z in zip(points, noise):
        fake = answer(generator.weights, z)
        loss = lambda weights: discriminator_loss(answer(weights, real), answer(weights, fake))
        discriminator = _step(discriminator, rules.discriminator_rate, rules.adam, loss)
    for z in noise[len(points) :]:
        judged = lambda weights: answer(discriminator.weights, answer(weights, z))
        loss = lambda weights: generator_loss(judged(weights), saturating=rules.saturating)
        generator = _step(generator, rules.generator_rate, rules.adam, loss)
    return generator, discriminator


def pull(discriminator: Player, points: Tensor) -> Tensor:
    """Return where G's loss would have each of its points (N, 2) go: minus its gradient there."""
    points = points.detach().requires_grad_()
    loss = len(points) * generator_loss(answer(discriminator.weights, points))
    return -torch.autograd.grad(loss, points)[0]


def ring(count: int, random: torch.Generator) -> Tensor:
    """Return points (count, 2), float64, in equal blobs (deviation .06) on the unit circle."""
    which = torch.randint(BLOBS, (count,), generator=random)
    return centres()[which] + 0.06 * torch.randn(count, 2, generator=random, dtype=torch.float64)


def centres() -> Tensor:
    """Return the blobs' centres (BLOBS, 2), float64."""
    angles = 2 * math.pi * torch.arange(BLOBS, dtype=torch.float64) / BLOBS
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def blob_shares(points: Tensor) -> Tensor:
    """Return the share (BLOBS,) of the points (N, 2) that lie within .25 of each blob's centre."""
    distances, nearest = torch.cdist(points, centres()).min(dim=1)
    return torch.bincount(nearest[distances < 0.25], minlength=BLOBS).double() / len(points)


def run(rules: Rules, rounds: int, *, batch: int = 96, seed: int = 0) -> tuple[Player, Player]:
    """Return both players after so many rounds on `ring`, from the seed's first weights."""
    random = torch.Generator().manual_seed(seed)
    generator, discriminator = player(2, seed=2 * seed), player(1, seed=2 * seed + 1)
    for _ in range(rounds):
        points = ring(batch * rules.discriminator_steps, random).view(-1, batch, 2)
        steps = rules.discriminator_steps + rules.generator_steps
        noise = torch.randn(steps, batch, NOISE, generator=random, dtype=torch.float64)
        generator, discriminator = play(generator, discriminator, rules, points, noise)
    return generator, discriminator


def _step(before: Player, rate: float, adam: bool, loss_of) -> Player:
    """One step down a loss of the weights, by Adam (Kingma and Ba 2015) or by the slope alone."""
    weights = tuple(w.detach().requires_grad_() for w in before.weights)
    slopes = torch.autograd.grad(loss_of(weights), weights)
    first, second, steps, moves = before.first, before.second, before.steps + 1, slopes
    if adam:
        one, two = BETAS
        first = tuple(one * m + (1 - one) * g for m, g in zip(first, slopes))
        second = tuple(two * v + (1 - two) * g * g for v, g in zip(second, slopes))
        move = lambda m, v: m / (1 - one**steps) / ((v / (1 - two**steps)).sqrt() + EPSILON)
        moves = tuple(map(move, first, second))
    after = tuple(w.detach() - rate * move for w, move in zip(weights, moves))
    return Player(after, first, second, steps)

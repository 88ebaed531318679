"""The exercises of Lecture 5: both losses from logits, the game's value when D plays best, and a
collapse, cured.

A solution's docstring is the exercise's specification.
"""

import math
from functools import partial

import torch
from torch.nn.functional import logsigmoid

from course_utils.exercises.framework import Exercise, Mistake, agree, call, compare, describe
from course_utils.gan import plane


def loss_of_d(real, fake):
    """What the discriminator minimises: -V, estimated from its logits.

    real: float (N,), D's logits of real images; fake: float (M,), of generated ones; D is the
    sigmoid of its logit. Logits may be as far from 0 as +-200: the loss and its gradient in them
    stay finite and exact. Returns a tensor without dimensions of the logits' dtype, in nats, which
    autograd can differentiate.
    """
    # log D is logsigmoid(a), and log(1 - D) is logsigmoid(-a): D itself is never rounded.
    logsigmoid = torch.nn.functional.logsigmoid
    return -logsigmoid(real).mean() - logsigmoid(-fake).mean()


def loss_of_g(fake, saturating):
    """What the generator minimises, estimated from D's logits of generated images.

    fake: float (M,), as in loss_of_d; saturating: bool, True for G's part of V, the minimax game's
    own; False for the loss that the paper trains with, whose gradient is large where D wins.
    Returns a tensor without dimensions of the logits' dtype, in nats, which autograd can
    differentiate.
    """
    logsigmoid = torch.nn.functional.logsigmoid
    return logsigmoid(-fake).mean() if saturating else -logsigmoid(fake).mean()


def best_value(p, q, width):
    """The largest value V that any discriminator can reach on a line cut into cells.

    p, q: float64 (cells,), the densities of data and of generated points in each cell, 0 or above;
    in some cells one is 0, or both are. width: float, of every cell, so that width * p.sum() is 1,
    as is width * q.sum(). Returns a float64 tensor without dimensions, in nats: between -log 4 and
    0.
    """
    # xlogy(0, anything) is 0: a cell without points costs nothing, whatever D says there.
    total = p + q
    return width * (torch.xlogy(p, p / total) + torch.xlogy(q, q / total))[total > 0].sum()


def cure(rules):
    """Rules of the game in the plane under which the generator covers its data.

    The data are eight equal blobs on a circle. rules: dict, those under which the generator ends
    on a blob or two: {"generator_steps": 3, "discriminator_steps": 1, "generator_rate": 5e-3,
    "discriminator_rate": 5e-4, "saturating": False, "adam": True}. Returns a dict, with any of
    these changed; steps are at most 5, rates between 0 and 1. Networks, 500 rounds, and seeds stay
    as they are. Cured means: from each of two seeds at least five blobs get 2 % of the generated
    points or more.
    """
    # Let D keep up: as many steps as G, and larger ones.
    return rules | {"generator_steps": 1, "generator_rate": 2e-3, "discriminator_rate": 5e-3}


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(20140610)


def _logits() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = _generator()
    pairs = []
    for n, m, dtype in [(6, 4, torch.float32), (3, 5, torch.float64)]:
        real = torch.randn(n, generator=generator, dtype=dtype) + 0.5
        fake = torch.randn(m, generator=generator, dtype=dtype) - 1
        real[0], fake[0], fake[1] = -0.7, 1.6, -0.4  # D is wrong about some of each kind
        pairs.append((real, fake))
    return pairs


def _sure_logits() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Logits of a discriminator that is sure: sometimes right, sometimes wrong."""
    far = torch.tensor([200.0, -200.0, 30.0, -30.0])
    return [(far, far[:2]), (far[:3].double(), far.double())]


def _for_g(pairs: list[tuple]) -> list[tuple]:
    return [(fake, saturating) for _, fake in pairs for saturating in (False, True)]


def _diagnose_loss(solution, arguments_of, mistakes, answer) -> str | None:
    in_doubt, sure = arguments_of(_logits()), arguments_of(_sure_logits())
    result = call(answer, *in_doubt[0])
    if isinstance(result, torch.Tensor) and not result.isfinite().all():
        return ("Your loss is not finite for logits between -4 and 4. A logit is no probability "
                "yet, and may be below 0: D is its sigmoid.")
    problem = compare(solution, lambda: in_doubt, mistakes, answer)
    if problem is not None:
        return problem
    for arguments in sure:
        result, expected = call(answer, *arguments), solution(*arguments)
        if not agree(result, expected):
            return (f"Right where D is in doubt. Where its logits are +-200 expected "
                    f"{expected.item():.4g}, got {result.item():.4g}: in floating point D, or 1 - "
                    "D, is rounded to 0 there, and a small number added under the log only hides "
                    "it. Write log D from the logit, without D in between.")
    for arguments in in_doubt + sure:
        slopes = _slopes(answer, *arguments)
        if slopes is None:
            return ("The value is right, but no gradient passes through it. Leave out item, "
                    "detach, float and NumPy.")
        for slope, expected in zip(slopes, _slopes(solution, *arguments), strict=True):
            if not slope.isfinite().all():
                return ("The value is right, but its gradient is NaN or infinite where D is sure. "
                        "torch.where differentiates both branches: keep infinity out of both.")
            if not agree(slope, expected):
                return "The value is right, its gradient in the logits is not: it is cut off."
    return None


def _slopes(loss, *arguments) -> tuple[torch.Tensor, ...] | None:
    """The loss's gradient in each tensor among the arguments; None if there is none."""
    leaves = [a.clone().requires_grad_() if isinstance(a, torch.Tensor) else a for a in arguments]
    value = call(loss, *leaves)
    if not value.requires_grad:
        return None
    wanted = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    return torch.autograd.grad(value, wanted, materialize_grads=True)


def _densities() -> list[tuple]:
    generator = _generator()
    cases = []
    for cells, width in [(12, 0.5), (7, 0.2)]:
        p, q = 0.1 + torch.rand(2, cells, generator=generator, dtype=torch.float64)
        cases.append((p / (width * p.sum()), q / (width * q.sum()), width))
    return cases


def _densities_with_gaps() -> list[tuple]:
    p = torch.tensor([0.0, 0.5, 1.0, 0.0, 0.5, 0.0], dtype=torch.float64)
    apart = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    return [(p, p.roll(1), 0.5), (p, apart, 0.5)]


def _value(d, p, q, width) -> torch.Tensor:
    """V of a discriminator that says d in each cell."""
    return width * (torch.xlogy(p, d) + torch.xlogy(q, 1 - d)).sum()


def _diagnose_value(mistakes, answer) -> str | None:
    problem = compare(best_value, _densities, mistakes, answer)
    if problem is None and (gaps := compare(best_value, _densities_with_gaps, (), answer)):
        return (f"Right where both densities are above 0. Where one of them is 0, or both, 0 times "
                f"a log counts as 0, and 0 / 0 must not come in. {gaps}")
    return problem


COLLAPSING = plane.Rules(
    generator_steps=3, generator_rate=5e-3, discriminator_rate=5e-4
)._asdict()
ROUNDS = 500
COVERED = 5  # blobs, at least, after a cure


def _play(rules: dict, seed: int) -> tuple[torch.Tensor, float]:
    """The share of generated points in each blob, and D's mean output on generated points."""
    generator, discriminator = plane.run(plane.Rules(**rules), ROUNDS, seed=seed)
    z = torch.randn(2000, plane.NOISE, generator=_generator(), dtype=torch.float64)
    made = plane.answer(generator.weights, z)
    believed = plane.answer(discriminator.weights, made).sigmoid().mean()
    return plane.blob_shares(made), believed.item()


def _diagnose_cure(mistakes, answer) -> str | None:
    rules = call(answer, dict(COLLAPSING))
    if not isinstance(rules, dict):
        return f"Expected a dict of rules, got {describe(rules)}."
    for name in rules:
        if name not in COLLAPSING:
            return f"{name!r} is not yours to change: only {', '.join(COLLAPSING)}."
    rules = COLLAPSING | rules
    for mistake in mistakes:
        if rules == mistake.function(COLLAPSING):
            return mistake.says
    for name in ("generator_steps", "discriminator_steps"):
        if rules[name] not in range(1, 6):
            return f"{name}: got {rules[name]!r}, expected 1 to 5."
    for name in ("generator_rate", "discriminator_rate"):
        if not 0 < rules[name] < 1:
            return f"{name}: got {rules[name]!r}, expected a number between 0 and 1."
    for seed in (0, 1):
        shares, fake = _play(rules, seed)
        covered = int((shares >= 0.02).sum())
        if covered >= COVERED:
            continue
        said = (f"From seed {seed} your generator covers {covered} of the {len(shares)} blobs; "
                f"{100 * (1 - shares.sum()):.0f} % of its points lie in none.")
        if fake < 0.1:
            return (f"{said} D's output on its points ends at {fake:.2f}: now D wins, and G learns "
                    "too little from it.")
        pace = (rules["generator_steps"] * rules["generator_rate"]
                / (rules["discriminator_steps"] * rules["discriminator_rate"]))
        if pace > 1:
            return (f"{said} In each round G still moves {pace:.3g} times as far as D, in steps "
                    "times rate. What does a quick G do with a D that hardly changes?")
        return (f"{said} The balance of the two looks better, but they are not there yet: look at "
                "how large, and how many, the steps are.")
    return None


EXERCISES = (
    Exercise(
        "loss-of-d", loss_of_d,
        partial(_diagnose_loss, loss_of_d, list, (
            Mistake(lambda real, fake: -loss_of_d(real, fake),
                    "That is V itself, which D makes as large as it can. Training minimises: turn "
                    "the sign."),
            Mistake(lambda real, fake: loss_of_d(fake, real),
                    "You have the two kinds of images, or D's two outputs, the wrong way round: "
                    "D is to say 1 of the real ones."),
            Mistake(lambda real, fake: -logsigmoid(real).mean(),
                    "Only the real images count in your loss: a D that always says 1 is perfect."),
            Mistake(lambda real, fake: -logsigmoid(real).mean() - logsigmoid(fake).mean(),
                    "Your loss wants D to say 1 of generated images, too. For those its term is "
                    "log(1 - D)."),
        )),
        "2 log 2 where D cannot tell them apart, and never a log of 0.",
        (
            "Write V as two means. What has to be true of the sign if it is to be minimised?",
            "1 - sigmoid(a) is sigmoid(-a), so both terms are logs of a sigmoid.",
            "torch.nn.functional.logsigmoid gives log(sigmoid(a)) exactly, however large a is.",
        ),
    ),
    Exercise(
        "loss-of-g", loss_of_g,
        partial(_diagnose_loss, loss_of_g, _for_g, (
            Mistake(lambda fake, saturating: loss_of_g(fake, not saturating),
                    "You have the two losses the wrong way round: the one that is a part of V "
                    "saturates."),
            Mistake(lambda fake, saturating: loss_of_g(fake, True),
                    "You return the minimax game's loss both times. The other one also wants D to "
                    "say 1 of G's images, but is steep where D says 0."),
            Mistake(lambda fake, saturating: loss_of_g(fake, False),
                    "You return the non-saturating loss both times. With saturating=True, G "
                    "minimises its own part of V."),
            Mistake(lambda fake, saturating: -loss_of_g(fake, saturating),
                    "Both signs are turned: so G would help D to find it out."),
        )),
        "Both pull D's output on G's images up. They differ in where they pull hardest.",
        (
            "Which term of V does G have a part in?",
            "Instead of minimising log(1 - D), G may maximise log D.",
            "logsigmoid(-fake).mean() is the mean of log(1 - D); -logsigmoid(fake).mean() is the "
            "mean of -log D.",
        ),
    ),
    Exercise(
        "best-value", best_value,
        partial(_diagnose_value, (
            Mistake(lambda p, q, width: torch.tensor(-math.log(4), dtype=p.dtype),
                    "-log 4 is the value where p = q, the best that G can do. These densities "
                    "differ, and D can tell."),
            Mistake(lambda p, q, width: best_value(p, q, 1.0),
                    "width is missing: an integral over the line is a sum over the cells times "
                    "their width."),
            Mistake(lambda p, q, width: (best_value(p, q, width) + math.log(4)) / 2,
                    "That is the Jensen-Shannon divergence JS. The value is 2 JS - log 4."),
            Mistake(lambda p, q, width: _value(q / (p + q), p, q, width),
                    "Your D says 1 of generated points: at each x it should lean to the density "
                    "of the data."),
        )),
        "All that G can ever do against such a D is to lower JS, down to -log 4 at p = q.",
        (
            "The integral is largest if it is largest at each x. There it is p log D + q log(1 - "
            "D): for which D has this the slope 0?",
            "p / D = q / (1 - D), so D = p / (p + q). Put it in, and sum over the cells.",
            "torch.xlogy(p, D) is p log D, and 0 where p is 0. Leave out cells where p + q is 0.",
        ),
    ),
    Exercise(
        "cure", cure,
        partial(_diagnose_cure, (
            Mistake(lambda rules: rules, "These are the rules that collapse: change some."),
            Mistake(lambda rules: rules | {"saturating": True},
                    "Only the loss is another, and a G that outruns D does so with either."),
        )),
        "A D that keeps up sees a heap of equal points at once, and G has to leave it again.",
        (
            "Suppose D stood still. Which points would be best for G?",
            "All at the one place that D likes most. So D has to learn faster than G runs: compare "
            "steps times rate of the two.",
            "No more steps of G in a round than of D, and a rate of D that is a few times that of "
            "G.",
        ),
    ),
)

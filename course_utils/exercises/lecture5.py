"""The exercises of Lecture 5: both losses from logits, the game's value when D plays best, and a
collapse, cured.
"""

import math

import torch
from torch.nn.functional import logsigmoid

from course_utils.exercises.framework import Exercise, agree, call, compare, describe, random
from course_utils.gan import plane


def loss_of_d(real, fake):
    """What the discriminator minimises: -V, estimated from its logits."""
    # log D is logsigmoid(a), and log(1 - D) is logsigmoid(-a): D itself is never rounded.
    logsigmoid = torch.nn.functional.logsigmoid
    return -logsigmoid(real).mean() - logsigmoid(-fake).mean()


def loss_of_g(fake, saturating):
    """What the generator minimises, from D's logits of generated images."""
    logsigmoid = torch.nn.functional.logsigmoid
    return logsigmoid(-fake).mean() if saturating else -logsigmoid(fake).mean()


def best_value(p, q, width):
    """The largest value V that any D can reach on a line cut into cells."""
    # xlogy(0, anything) is 0: a cell without points costs nothing, whatever D says there.
    total = p + q
    return width * (torch.xlogy(p, p / total) + torch.xlogy(q, q / total))[total > 0].sum()


def cure(rules):
    """Rules of the game in the plane under which the generator covers its data."""
    # Let D keep up: as many steps as G, and larger ones.
    return rules | {"generator_steps": 1, "generator_rate": 2e-3, "discriminator_rate": 5e-3}


def _logits() -> list[tuple[torch.Tensor, torch.Tensor]]:
    pairs = [(draw(n) + 0.5, draw(m) - 1)
             for n, m, draw in [(6, 4, random()), (3, 5, random(torch.float64))]]
    for real, fake in pairs:
        real[0], fake[0], fake[1] = -0.7, 1.6, -0.4  # D is wrong about some of each kind
    return pairs


def _sure_logits() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Logits of a discriminator that is sure: sometimes right, sometimes wrong."""
    far = torch.tensor([200.0, -200.0, 30.0, -30.0])
    return [(far, far[:2]), (far[:3].double(), far.double())]


def _for_g(pairs: list[tuple]) -> list[tuple]:
    return [(fake, saturating) for _, fake in pairs for saturating in (False, True)]


def _diagnose_loss(exercise: Exercise, answer) -> str | None:
    solution, in_doubt, sure = exercise.solution, exercise.cases(), _sure_logits()
    if solution is loss_of_g:
        sure = _for_g(sure)
    result = call(answer, *in_doubt[0])
    if isinstance(result, torch.Tensor) and not result.isfinite().all():
        return ("Your loss is not finite for logits between -4 and 4. A logit is no probability "
                "yet, and may be below 0: D is its sigmoid.")
    if problem := compare(exercise, answer):
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
    cases = []
    for cells, width in [(12, 0.5), (7, 0.2)]:
        p, q = 0.1 + random(torch.float64)(2, cells).sigmoid()
        cases.append((p / (width * p.sum()), q / (width * q.sum()), width))
    return cases


def _densities_with_gaps() -> list[tuple]:
    p = torch.tensor([0.0, 0.5, 1.0, 0.0, 0.5, 0.0], dtype=torch.float64)
    apart = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    return [(p, p.roll(1), 0.5), (p, apart, 0.5)]


def _value(d, p, q, width) -> torch.Tensor:
    """V of a discriminator that says d in each cell."""
    return width * (torch.xlogy(p, d) + torch.xlogy(q, 1 - d)).sum()


def _diagnose_value(exercise: Exercise, answer) -> str | None:
    problem = compare(exercise, answer)
    if problem is None and (gaps := compare(exercise, answer, _densities_with_gaps())):
        return (f"Right where both densities are above 0. Where one of them is 0, or both, 0 times "
                f"a log counts as 0, and 0 / 0 must not come in. {gaps}")
    return problem


COLLAPSING = plane.Rules(generator_steps=3, generator_rate=5e-3, discriminator_rate=5e-4)._asdict()
ROUNDS = 500
COVERED = 5  # blobs, at least, after a cure


def _play(rules: dict, seed: int) -> tuple[torch.Tensor, float]:
    """The share of generated points in each blob, and D's mean output on generated points."""
    generator, discriminator = plane.run(plane.Rules(**rules), ROUNDS, seed=seed)
    z = random(torch.float64)(2000, plane.NOISE)
    made = plane.answer(generator.weights, z)
    believed = plane.answer(discriminator.weights, made).sigmoid().mean()
    return plane.blob_shares(made), believed.item()


def _diagnose_cure(exercise: Exercise, answer) -> str | None:
    rules = call(answer, dict(COLLAPSING))
    if not isinstance(rules, dict):
        return f"Expected a dict of rules, got {describe(rules)}."
    for name in rules:
        if name not in COLLAPSING:
            return f"{name!r} is not yours to change: only {', '.join(COLLAPSING)}."
    rules = COLLAPSING | rules
    for mistake, says in exercise.mistakes:
        if rules == mistake(COLLAPSING):
            return says
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
    Exercise(loss_of_d, _logits, (
        lambda real, fake: -loss_of_d(real, fake),
        lambda real, fake: loss_of_d(fake, real),
        lambda real, fake: -logsigmoid(real).mean(),
        lambda real, fake: -logsigmoid(real).mean() - logsigmoid(fake).mean(),
    ), _diagnose_loss),
    Exercise(loss_of_g, lambda: _for_g(_logits()), (
        lambda fake, saturating: loss_of_g(fake, not saturating),
        lambda fake, saturating: loss_of_g(fake, True),
        lambda fake, saturating: loss_of_g(fake, False),
        lambda fake, saturating: -loss_of_g(fake, saturating),
    ), _diagnose_loss),
    Exercise(best_value, _densities, (
        lambda p, q, width: torch.tensor(-math.log(4), dtype=p.dtype),
        lambda p, q, width: best_value(p, q, 1.0),
        lambda p, q, width: (best_value(p, q, width) + math.log(4)) / 2,
        lambda p, q, width: _value(q / (p + q), p, q, width),
    ), _diagnose_value),
    Exercise(cure, mistaken=(
        lambda rules: rules,
        lambda rules: rules | {"saturating": True},
    ), diagnose=_diagnose_cure),
)

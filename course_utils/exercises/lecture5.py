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
    single, double = random(), random(torch.float64)
    pairs = [(single(6) + 0.5, single(4) - 1), (double(3) + 0.5, double(5) - 1)]
    for real, fake in pairs:
        real[0], fake[0], fake[1] = -0.7, 1.6, -0.4  # D is wrong about some of each kind
    return pairs


def _mistakes_of_d(real, fake):
    only_real = -logsigmoid(real).mean()
    both_as_real = only_real - logsigmoid(fake).mean()
    return [-loss_of_d(real, fake), loss_of_d(fake, real), only_real, both_as_real]


def _for_g(pairs: list[tuple]) -> list[tuple]:
    return [(fake, saturating) for _, fake in pairs for saturating in (False, True)]


def _mistakes_of_g(fake, saturating):
    minimax, other = loss_of_g(fake, True), loss_of_g(fake, False)
    swapped, right = (other, minimax) if saturating else (minimax, other)
    return [swapped, minimax, other, -right]


def _diagnose_loss(exercise: Exercise, answer) -> str | None:
    solution, in_doubt = exercise.solution, exercise.cases()
    say = EXERCISES[0].say  # the same of both losses
    far = torch.tensor([200.0, -200.0, 30.0, -30.0])  # a D that is sure: rightly or wrongly
    sure = [(far, far[:2]), (far[:3].double(), far.double())]
    if solution is loss_of_g:
        sure = _for_g(sure)
    result = call(answer, *in_doubt[0])
    if isinstance(result, torch.Tensor) and not result.isfinite().all():
        return say("not finite")
    if problem := compare(exercise, answer):
        return problem
    for arguments in sure:
        result, expected = call(answer, *arguments), solution(*arguments)
        if not agree(result, expected):
            return say("rounded", expected=expected.item(), got=result.item())
    for arguments in in_doubt + sure:
        slopes = _slopes(answer, *arguments)
        if slopes is None:
            return say("no gradient")
        for slope, expected in zip(slopes, _slopes(solution, *arguments), strict=True):
            if not slope.isfinite().all():
                return say("gradient not finite")
            if not agree(slope, expected):
                return say("gradient cut off")
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


def _value_mistakes(p, q, width):
    right, least = best_value(p, q, width), torch.tensor(-math.log(4), dtype=p.dtype)
    d = q / (p + q)
    turned = width * (torch.xlogy(p, d) + torch.xlogy(q, 1 - d)).sum()
    return [least, best_value(p, q, 1.0), (right - least) / 2, turned]


def _diagnose_value(exercise: Exercise, answer) -> str | None:
    problem = compare(exercise, answer)
    if problem is None and (gaps := compare(exercise, answer, _densities_with_gaps())):
        return f"{exercise.say('gaps')} {gaps}"
    return problem


COLLAPSING = plane.Rules(generator_steps=3, generator_rate=5e-3, discriminator_rate=5e-4)._asdict()
PLAYERS = "generator", "discriminator"
ROUNDS = 500
COVERED = 5  # blobs, at least, after a cure


def _play(rules: dict, seed: int) -> tuple[torch.Tensor, float]:
    """The share of generated points in each blob, and D's mean output on generated points."""
    generator, discriminator = plane.run(plane.Rules(**rules), ROUNDS, seed=seed)
    z = random(torch.float64)(2000, plane.NOISE)
    made = plane.answer(generator.weights, z)
    believed = plane.answer(discriminator.weights, made).sigmoid().mean()
    return plane.blob_shares(made), believed.item()


def _cure_mistakes(rules):
    return [rules, rules | {"saturating": True}]


def _diagnose_cure(exercise: Exercise, answer) -> str | None:
    rules = call(answer, dict(COLLAPSING))
    if not isinstance(rules, dict):
        return f"Expected a dict of rules, got {describe(rules)}."
    for name in rules:
        if name not in COLLAPSING:
            return f"{name!r} is not yours to change: only {', '.join(COLLAPSING)}."
    rules = COLLAPSING | rules
    known = exercise.mistaken(COLLAPSING)
    if rules in known:
        return exercise.texts["mistakes"][known.index(rules)]
    for name, value in rules.items():
        if name.endswith("_steps") and value not in range(1, 6):
            return f"{name}: got {value!r}, expected 1 to 5."
        if name.endswith("_rate") and not 0 < value < 1:
            return f"{name}: got {value!r}, expected a number between 0 and 1."
    g, d = (rules[f"{player}_steps"] * rules[f"{player}_rate"] for player in PLAYERS)
    for seed in (0, 1):
        shares, fake = _play(rules, seed)
        covered = int((shares >= 0.02).sum())
        if covered >= COVERED:
            continue
        found = "now D wins" if fake < 0.1 else "G outruns D" if g > d else "not yet there"
        facts = {"seed": seed, "covered": covered, "blobs": len(shares), "fake": fake}
        facts |= {"outside": 100 * (1 - shares.sum()), "pace": g / d}
        return f"{exercise.say('collapsed', **facts)} {exercise.say(found, **facts)}"
    return None


EXERCISES = (
    Exercise(loss_of_d, _logits, _mistakes_of_d, _diagnose_loss),
    Exercise(loss_of_g, lambda: _for_g(_logits()), _mistakes_of_g, _diagnose_loss),
    Exercise(best_value, _densities, _value_mistakes, _diagnose_value),
    Exercise(cure, mistaken=_cure_mistakes, diagnose=_diagnose_cure),
)

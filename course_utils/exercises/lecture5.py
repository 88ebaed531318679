"""The exercises of Lecture 5: both losses from logits, the game's value when D plays best, and a
collapse, found and cured.

A solution's docstring is the exercise's specification.
"""

import math
from functools import partial

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from course_utils.exercises.framework import Exercise, Mistake, agree, call, compare, describe
from course_utils.gan import Generator, sample, train_gan


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


def digit_entropy(digits):
    """How evenly a generator's images spread over the ten digits: the entropy of their shares.

    digits: int64 (N,), the class of each image, 0 to 9, such as a classifier gives it. Some digits
    may be missing. Returns a tensor without dimensions, in nats: log 10 for equal shares, 0 where
    all are the same digit.
    """
    shares = torch.bincount(digits, minlength=10).double() / len(digits)
    return -torch.xlogy(shares, shares).sum()


def cure(options):
    """Options of train_gan under which a generator covers its data instead of collapsing.

    The data are points in the plane, in eight equal blobs on a circle; both networks are small.
    options: dict, those under which the generator ends on three blobs or fewer:
    {"generator_steps": 3, "discriminator_steps": 1, "learning_rate": (5e-3, 5e-4),
    "saturating": False, "average": 0.0}. Returns a dict, with any of these keys changed; steps are
    at most 5. Data, networks, epochs, batches and seeds stay as they are. Cured means: from each
    of two seeds at least five blobs get 2 % of the generated points or more.
    """
    # Let D keep up: as many steps as G, and larger ones.
    return options | {"generator_steps": 1, "learning_rate": (1e-3, 5e-3)}


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
        if agree(result, expected):
            continue
        if not result.isfinite().all():
            return (f"Right where D is in doubt. Where its logits are +-200 your loss is "
                    f"{result.item():g}: in floating point D, or 1 - D, or an exponential on the "
                    "way is rounded to 0 or to infinity there, and you take the log of that. "
                    "Write log D from the logit, without D in between.")
        return (f"Right where D is in doubt. Where its logits are +-200 expected "
                f"{expected.item():.4g}, got {result.item():.4g}: D, or 1 - D, is rounded to 0 "
                "there, and a bound or a small number added under the log only hides it. Write "
                "log D from the logit, without D in between.")
    for arguments in in_doubt + sure:
        slopes = _slopes(answer, *arguments)
        if slopes is None:
            return ("The value is right, but no gradient passes through it, so no network can "
                    "learn by it. Leave out item, detach, float and NumPy.")
        for slope, expected in zip(slopes, _slopes(solution, *arguments), strict=True):
            if not slope.isfinite().all():
                return ("The value is right, but its gradient is NaN or infinite where D is sure. "
                        "torch.where differentiates both of its branches, and 0 times infinity "
                        "is NaN: keep infinity out of both.")
            if not agree(slope, expected):
                return ("The value is right, its gradient in the logits is not: something is cut "
                        "off.")
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


def _compare_in_two(reference, cases, mistakes, gaps, says, answer) -> str | None:
    """As `compare`; an answer that is right on the cases is compared on those with gaps, too."""
    problem = compare(reference, cases, mistakes, answer)
    if problem is None and (problem := compare(reference, gaps, (), answer)) is not None:
        return f"{says} {problem}"
    return problem


def _digits() -> list[tuple]:
    generator = _generator()
    skewed = torch.rand(300, generator=generator).square().mul(10).long()
    return [(torch.cat([skewed, torch.arange(10)]),), (torch.arange(40) % 10,)]


def _digits_that_miss_some() -> list[tuple]:
    return [(torch.tensor([1, 1, 7, 1, 3]),), (torch.full((20,), 9),)]


def _diagnose_entropy(reference, cases, mistakes, gaps, says, answer) -> str | None:
    def number(digits):
        """A float is as good as a tensor here, of whatever precision."""
        result = answer(digits)
        if isinstance(result, torch.Tensor) and result.is_floating_point():
            return result.double()
        return torch.tensor(float(result), dtype=torch.float64) if _is_number(result) else result

    return _compare_in_two(reference, cases, mistakes, gaps, says, number)


def _counts(digits) -> torch.Tensor:
    return torch.bincount(digits, minlength=10).double()


def _is_number(value) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


COLLAPSING = {
    "generator_steps": 3,
    "discriminator_steps": 1,
    "learning_rate": (5e-3, 5e-4),
    "saturating": False,
    "average": 0.0,
}
BLOBS = 8
COVERED = 5  # blobs, at least, after a cure


def _centres() -> torch.Tensor:
    angles = 2 * torch.pi * torch.arange(BLOBS) / BLOBS
    return 0.5 + 0.35 * torch.stack([angles.cos(), angles.sin()], dim=1)


def _points() -> torch.Tensor:
    generator = _generator()
    centres = _centres()[torch.randint(BLOBS, (1000,), generator=generator)]
    return (centres + 0.02 * torch.randn(centres.shape, generator=generator)).clamp(0, 1)


def _play(options: dict, seed: int) -> tuple[torch.Tensor, float]:
    """The share of generated points in each blob, and D's last output on generated points."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        generator = Generator(
            nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2),
            nn.Sigmoid(), noise=4,
        )
        discriminator = nn.Sequential(
            nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2),
            nn.Linear(64, 1),
        )
    history = train_gan(
        generator, discriminator, _points(), epochs=80, seed=seed, progress=False, **options
    )
    distances, nearest = torch.cdist(sample(generator, 2000), _centres()).min(dim=1)
    shares = torch.bincount(nearest[distances < 0.1], minlength=BLOBS) / 2000
    return shares, float(history["fake"].iloc[-1])


def _diagnose_cure(collapsing, seeds, mistakes, answer) -> str | None:
    options = call(answer, dict(collapsing))
    if not isinstance(options, dict):
        return f"Expected a dict of options, got {describe(options)}."
    for name in options:
        if name not in collapsing:
            return f"{name!r} is not yours to change: only {', '.join(collapsing)}."
    options = collapsing | options
    for mistake in mistakes:
        if options == mistake.function(collapsing):
            return mistake.says
    for name in ("generator_steps", "discriminator_steps"):
        if options[name] not in range(1, 6):
            return f"{name}: got {options[name]!r}, expected 1 to 5."
    for seed in seeds:
        try:
            shares, fake = _play(options, seed)
        except (TypeError, ValueError, FloatingPointError) as error:
            return f"train_gan says: {error}"
        covered = int((shares >= 0.02).sum())
        if covered >= COVERED:
            continue
        said = (f"From seed {seed} your generator covers {covered} of the {BLOBS} blobs; "
                f"{100 * (1 - shares.sum()):.0f} % of its points lie in none.")
        if fake < 0.1:
            return (f"{said} D's output on its points ends at {fake:.2f}: now D wins, and G learns "
                    "too little from it.")
        rates = options["learning_rate"]
        of_g, of_d = rates if isinstance(rates, tuple) else (rates, rates)
        pace = options["generator_steps"] * of_g / (options["discriminator_steps"] * of_d)
        if pace > 1:
            return (f"{said} In each round G still moves {pace:.3g} times as far as D, in steps "
                    "times learning rate. What does a quick G do with a D that hardly changes?")
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
                    "Only the real images count in your loss: a D that always says 1 is perfect "
                    "under it."),
            Mistake(lambda real, fake: -logsigmoid(-fake).mean(),
                    "Only the generated images count in your loss: a D that always says 0 is "
                    "perfect under it."),
            Mistake(lambda real, fake: -logsigmoid(real).mean() - logsigmoid(fake).mean(),
                    "Your loss wants D to say 1 of generated images, too. For those its term is "
                    "log(1 - D)."),
            Mistake(lambda real, fake: loss_of_d(real, fake) / 2,
                    "That is half of it: the two means are added up in V, not averaged."),
            Mistake(lambda real, fake: -torch.cat([logsigmoid(real), logsigmoid(-fake)]).mean(),
                    "You average over all images at once. V has two means, one over each kind of "
                    "images, and adds them up."),
            Mistake(lambda real, fake: -torch.cat([logsigmoid(real), logsigmoid(-fake)]).sum(),
                    "You add up the images. The expectations in V are means."),
            Mistake(lambda real, fake: (1 - real.sigmoid()).mean() + fake.sigmoid().mean(),
                    "The logarithms are missing."),
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
            Mistake(lambda fake, saturating: -logsigmoid(-fake if saturating else fake).mean(),
                    "The sign of the saturating loss is turned: G makes its part of V as small as "
                    "it can, where D makes it large."),
            Mistake(lambda fake, saturating: logsigmoid(-fake if saturating else fake).mean(),
                    "The sign of the non-saturating loss is turned: G wants D's output on its "
                    "images large, and minimises."),
            Mistake(lambda fake, saturating: loss_of_g(fake, saturating) * len(fake),
                    "You add up the images. The expectations in V are means."),
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
        partial(_compare_in_two, best_value, _densities, (
            Mistake(lambda p, q, width: torch.tensor(-math.log(4), dtype=p.dtype),
                    "-log 4 is the value where p = q, the best that G can do. These densities "
                    "differ, and D can tell."),
            Mistake(lambda p, q, width: best_value(p, q, 1.0),
                    "width is missing: an integral over the line is a sum over the cells times "
                    "their width."),
            Mistake(lambda p, q, width: best_value(p, q, width) / (width * len(p)),
                    "You average over the cells. An integral is their sum, times their width."),
            Mistake(lambda p, q, width: (best_value(p, q, width) + math.log(4)) / 2,
                    "That is the Jensen-Shannon divergence JS. The value is 2 JS - log 4."),
            Mistake(lambda p, q, width: best_value(p, q, width) + math.log(4),
                    "That is 2 JS, without the constant: the value is 0 at most, and -log 4 at "
                    "least."),
            Mistake(lambda p, q, width: -best_value(p, q, width),
                    "That is the loss of D, -V. The value itself is wanted."),
            Mistake(lambda p, q, width: _value(q / (p + q), p, q, width),
                    "Your D says 1 of generated points: at each x it should lean to the density "
                    "of the data."),
            Mistake(lambda p, q, width: width * (p * (p / (p + q)).log()).sum(),
                    "Only the data's term is there. That of the generated points is missing."),
            Mistake(lambda p, q, width: width * (q * (q / (p + q)).log()).sum(),
                    "Only the generated points' term is there. That of the data is missing."),
            Mistake(lambda p, q, width: width * ((p / (p + q)).log() + (q / (p + q)).log()).sum(),
                    "Each log is to be weighed: log D by the density of the data, log(1 - D) by "
                    "that of the generated points."),
            Mistake(lambda p, q, width: _value((p > q).to(p.dtype), p, q, width),
                    "Your D says 0 or 1, and where it is wrong that costs infinitely much. At its "
                    "best it is as sure as the densities warrant, and no more."),
        ), _densities_with_gaps,
                "Right where both densities are above 0. Where one of them is 0, or both, 0 times "
                "a log counts as 0, and 0 / 0 must not come in.",
        ),
        "All that G can ever do against such a D is to lower JS, down to -log 4 at p = q.",
        (
            "The integral is largest if it is largest at each x. There it is p log D + q log(1 - "
            "D): for which D has this the slope 0?",
            "p / D = q / (1 - D), so D = p / (p + q). Put it in, and sum over the cells.",
            "torch.xlogy(p, D) is p log D, and 0 where p is 0. Leave out cells where p + q is 0.",
        ),
    ),
    Exercise(
        "digit-entropy", digit_entropy,
        partial(_diagnose_entropy, digit_entropy, _digits, (
            Mistake(lambda digits: -digit_entropy(digits),
                    "The sign is turned: logs of shares are below 0, an entropy is not."),
            Mistake(lambda digits: digit_entropy(digits) / math.log(2),
                    "You take the log to base 2: those are bits. Nats come from the natural log."),
            Mistake(lambda digits: digit_entropy(digits) / math.log(10),
                    "You take the log to base 10, or divide by log 10. In nats, ten equal shares "
                    "give log 10 = 2.30."),
            Mistake(lambda digits: digit_entropy(digits) / 10,
                    "You average over the digits: an entropy is the sum."),
            Mistake(lambda digits: digit_entropy(digits).exp(),
                    "That is the exponential of the entropy, a number of digits. Leave it as it "
                    "is, in nats."),
            Mistake(lambda digits: _counts(digits).max() / len(digits),
                    "That is the share of the most frequent digit. It shows a collapse as well, "
                    "but not how the others fare."),
            Mistake(lambda digits: (_counts(digits) > 0).sum().double(),
                    "You count the digits that occur. One image of a digit in ten thousand would "
                    "be enough."),
            Mistake(lambda digits: -_counts(digits).xlogy(_counts(digits)).sum(),
                    "You take the counts as they are: divide by the number of images first."),
            Mistake(lambda digits: 1 - (_counts(digits) / len(digits)).square().sum(),
                    "That is the chance that two images show different digits. The entropy "
                    "weighs the log of each share by the share."),
        ), _digits_that_miss_some,
                "Right where all ten digits occur. After a collapse some are missing: such a "
                "digit adds nothing, and log 0 is infinite.",
        ),
        "It finds a generator that leaves digits out. One that draws a single picture of each "
        "digit has log 10 as well: look at the samples, too.",
        (
            "Count each digit and divide by the number of images: ten shares, which add up to 1.",
            "The entropy is minus the sum of share * log(share). What of a share of 0?",
            "torch.bincount(digits, minlength=10) counts, and torch.xlogy(s, s) is s log s, and "
            "0 at 0.",
        ),
    ),
    Exercise(
        "cure", cure,
        partial(_diagnose_cure, COLLAPSING, (0, 1), (
            Mistake(lambda options: options, "These are the options that collapse: change some."),
            Mistake(lambda options: options | {"saturating": True},
                    "Only the loss is another, and a G that outruns D does so with either."),
            Mistake(lambda options: options | {"average": 0.998},
                    "Only the mean over the last generators is longer, and they all collapse."),
        )),
        "A D that keeps up sees a heap of equal points at once, and G has to leave it again.",
        (
            "Suppose D stood still. Which points would be best for G?",
            "All at the one place that D likes most. So D has to learn faster than G runs: compare "
            "steps times learning rate of the two.",
            "No more steps of G in a round than of D, and a learning rate of D that is a few times "
            "that of G.",
        ),
    ),
)

# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Problem set 5: judging generated pictures
#
# Lecture 5 ended on a warning: no single number says that samples are good. Here you find out for
# yourself what each measure can be made to say. You fool the Parzen windows, you fool the Fréchet
# distance, you catch a memoriser that shifts its digits, and you tell from its history what went
# wrong in a game. Plan an hour and a half.
#
# Replace each `raise NotImplementedError()` and run the cell, then the tests below it: they are
# silent where your answer passes, and otherwise say what they expected and what came. The grader
# runs these tests and more, with other pictures and seeds. Any way that does what the docstring asks
# is right, and a function leaves its arguments as they are. `course_utils.gan` has the measures and
# may be used. Each exercise is tested by itself, so go on where one defeats you.

# %%
from functools import cache

import torch
from torch.nn import functional as F

from course_utils.assignments import same
from course_utils.data import load_mnist
from course_utils.gan import (
    choose_sigma, frechet_distance, parzen_log_likelihood, plane)

# The outer two rows and columns of every digit are empty, or made so here.
frame = F.pad(torch.ones(24, 24), (2, 2, 2, 2))
training = frame * load_mnist("train")[0][:2000]
validation = frame * load_mnist("train")[0][50_000:50_200]
test = frame * load_mnist("test")[0][:200]

# %% [markdown]
# ## Exercise 1: fool the Parzen windows (4 points)
#
# By Parzen windows a set of pictures is good if each test digit has one of them *near* it. Nothing
# in this asks that any of them looks like a digit. Three hundred real digits score about 59 nats.
# Without drawing a single new digit, make from them as many pictures that score 60 nats more.

# %% nbgrader={"grade": false, "grade_id": "fool-parzen", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fool_parzen(digits):
    """Pictures that score better by Parzen windows than the digits that they
    are made from.

    digits: float32 (N, 1, 28, 28) in [0, 1], N at least 100. Returns float32
    (N, 1, 28, 28) in [0, 1], as many, under which test digits are at least 60
    nats more likely than under `digits`, each set with the best of its own
    sigmas. They are made from `digits` alone, and from no other picture. (The
    grader turns each of its digits by an angle of its own and moves all of them
    to one side, the test digits, too: yours are not among them.)
    """
    ### BEGIN SOLUTION
    return F.avg_pool2d(digits, 3, 1, 1)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# With so few windows every test digit is far from all of them. Which picture is, in the mean, nearer
# to a digit that nobody knows yet: a sharp stroke that may stand beside its stroke, or something more
# careful?

# %%
def gained(fool, first, last, turned=lambda pictures: pictures):
    """How many nats `fool`'s pictures gain over the digits from `first` to
    `last`."""
    digits, sought, new = map(turned, (training[first:last], validation, test))
    before, pictures = digits.clone(), fool(digits)
    right = torch.is_tensor(pictures) and pictures.shape == digits.shape
    assert right, (f"expected a tensor of shape {tuple(digits.shape)}, "
                   "as many pictures as digits")
    pictures = pictures.float()
    inside = 0 <= pictures.min() and pictures.max() <= 1
    assert inside, "expected pixels in [0, 1]"
    same(digits, before, "the digits after the call", cause="changed in place",
         atol=0.0)
    flat = pictures.flatten(1)
    ours, others = (torch.cdist(flat, x.flatten(1)).amin(1).mean()
                    for x in (digits, sought))
    assert ours < 0.95 * others, (
        "expected pictures made from `digits`, got ones that are no nearer to "
        "these than to other digits. Likely cause: other pictures were used, "
        "or all are the same")
    before, after = (
        parzen_log_likelihood(x, new, choose_sigma(x, sought)).mean().item()
        for x in (digits, pictures))
    return after - before

# %% nbgrader={"grade": true, "grade_id": "fool-parzen-test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
more = gained(fool_parzen, 0, 300)
assert more >= 60, (f"expected a gain of 60 nats or more, got {more:.0f}. "
                    "Likely cause: the pictures are as sharp as the "
                    "digits, or so blurred that all are the same")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(62)
def turned(pictures):
    """Each by an angle drawn by lot, and moved to the left, so that no other
    digits are of any use."""
    angle = 2 * torch.pi * torch.rand(len(pictures), generator=lot)
    across, down = angle.cos(), angle.sin()
    matrix = torch.stack([across, -down, 0.35 * across,
                          down, across, 0.35 * down], 1)
    grid = F.affine_grid(matrix.view(-1, 2, 3), pictures.shape,
                         align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False).clamp(0, 1)
for first, last in [(300, 500), (1000, 1400), (1400, 1500)]:
    more = gained(fool_parzen, first, last, turned)
    assert more >= 60, (
        f"digits {first} to {last}: expected 60 nats or more, got {more:.0f}"
    )
    # Their mean as a mixture of that of the digits and that of others.
    digits = turned(training[first:last])
    mixed, *known = (pictures.float().mean(0).flatten()
                     for pictures in (fool_parzen(digits), digits, training))
    share = torch.linalg.lstsq(torch.stack(known, 1), mixed[:, None])[0][1, 0]
    assert share < 0.07, (
        f"expected pictures made from `digits`, got {share:.2f} of others"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 2: fool the Fréchet distance (4 points)
#
# The Fréchet distance sees what one classifier computes on the way to its answer, and nothing else.
# So attack it as you would attack the classifier: begin with pictures in which nobody sees a digit,
# and move their pixels, within a box, until their *features* are those of digits.

# %% nbgrader={"grade": false, "grade_id": "fool-frechet", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fool_frechet(features, start, digits, eps):
    """Pictures near `start` whose features are nearly those of the digits, one
    for each.

    features: a function from pictures (N, 1, 28, 28) to features (N, k), which
    autograd can differentiate. start, digits: float32 (N, 1, 28, 28) in [0, 1].
    eps: float, in pixel units. Returns float32 (N, 1, 28, 28) in [0, 1],
    detached, each pixel within eps of start's, so that the Fréchet distance to
    the digits is at most a tenth of what it was.
    """
    ### BEGIN SOLUTION
    wanted = features(digits).detach()
    low, high = (start - eps).clamp_min(0), (start + eps).clamp_max(1)
    pictures = start.clone().requires_grad_()
    adam = torch.optim.Adam([pictures], lr=eps / 5)
    for _ in range(80):
        loss = (features(pictures) - wanted).square().sum()
        (pictures.grad,) = torch.autograd.grad(loss, pictures)
        adam.step()
        with torch.no_grad():
            pictures.copy_(pictures.clamp(low, high))
    return pictures.detach()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Lecture 4's attack climbed a loss. Here a loss is to fall: how far the features of each picture are
# from those of one digit. Which of the two arguments of that loss do you move?

# %% [markdown] tags=["hint"]
# Steps of Adam in the pixels, some fifty to a hundred, and after each `clamp` back to within eps of
# start and to [0, 1].

# %%
lot = torch.Generator().manual_seed(51)
layers = [torch.randn(64, 784, generator=lot, dtype=torch.float32) / 28,
          torch.randn(64, generator=lot, dtype=torch.float32) / 4]

def seen(pictures):
    """The features: one layer of sigmoids, with weights drawn by lot."""
    return torch.sigmoid(4 * pictures.flatten(1) @ layers[0].T + layers[1])

# %%
def left(fool, digits, eps, seed, seen=seen):
    """The share of the Fréchet distance that `fool`'s pictures leave."""
    start = torch.rand(digits.shape,
                       generator=torch.Generator().manual_seed(seed))
    kept, pictures = start.clone(), fool(seen, start, digits, eps)
    right = torch.is_tensor(pictures) and pictures.shape == start.shape
    assert right, f"expected a tensor of shape {tuple(start.shape)}"
    same(start, kept, "start after the call", cause="changed in place",
         atol=0.0)
    assert not pictures.requires_grad, "expected a detached result"
    pictures = pictures.float()
    inside = 0 <= pictures.min() and pictures.max() <= 1
    assert inside, "expected pixels in [0, 1]"
    far = (pictures - start).abs().max().item()
    assert far <= eps + 1e-5, (
        f"expected pixels within {eps} of start's, got {far:.3f}")
    apart = torch.cdist(seen(pictures), seen(digits))
    found = len(apart.argmin(1).unique())
    assert found >= 0.8 * len(digits), (
        f"expected pictures for {len(digits)} digits, got some for {found}. "
        "Likely cause: mean and spread are those of the digits' features, but "
        "no picture has those of a digit")
    before, after = (frechet_distance(seen(x), seen(digits))
                     for x in (start, pictures))
    return after / before

# %% nbgrader={"grade": true, "grade_id": "fool-frechet-test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
share = left(fool_frechet, training[:150], 0.3, seed=1)
assert share <= 0.1, ("expected a tenth of the distance or less, got "
                      f"{share:.2f} of it. Likely cause: too few steps, "
                      "or too small ones; above 1: the loss was climbed")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(61)
weight, bias = (
    torch.randn(48, 784, generator=lot) / 28,
    torch.randn(48, generator=lot) / 4,
)
def others(pictures):
    return torch.tanh(3 * pictures.flatten(1) @ weight.T + bias)
for first, eps, seed, features in [(200, 0.25, 2, seen), (500, 0.4, 3, others)]:
    # on their sides
    digits = training[first:first + 120].transpose(2, 3).contiguous()
    share = left(fool_frechet, digits, eps, seed, features)
    assert share <= 0.1, f"eps {eps}: expected a tenth or less, got {share:.2f}"
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 3: find the memoriser (5 points)
#
# Lecture 5's test for copies, the nearest training digit, is blind to a generator that has learned
# its digits by heart and shifts each by a pixel or two. Write one that is not.

# %% nbgrader={"grade": false, "grade_id": "copies", "locked": false, "schema_version": 3, "solution": true, "task": false}
def copies(samples, digits):
    """Which of the digits each sample is a copy of, shifted by up to two
    pixels, or -1 for none.

    samples: float32 (N, 1, 28, 28), digits: float32 (M, 1, 28, 28), both in
    [0, 1]; the outer two rows and columns of every digit are empty. A copy
    differs by less than .05 (root mean square per pixel) from a digit moved by
    -2 to 2 pixels in each direction; what is none differs from all of these by
    .08 or more. Returns int64 (N,): indices into digits, or -1.
    """
    ### BEGIN SOLUTION
    best = torch.full((len(samples),), float("inf"))
    which = torch.full((len(samples),), -1)
    for down in range(-2, 3):
        for right in range(-2, 3):
            moved = digits.roll((down, right), dims=(2, 3)).flatten(1)
            far, index = torch.cdist(samples.flatten(1), moved).min(1)
            which = torch.where(far < best, index, which)
            best = torch.minimum(best, far)
    return torch.where(best / 28 < 0.05, which, -1)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# `torch.roll` shifts. There are 25 shifts; for each of them `torch.cdist` gives all distances. Keep
# the nearest digit over all shifts, and how far it is.

# %%
def hidden_among(digits, seed, spoilt=0.02, count=30):
    """Samples, some of them shifted copies, and what `copies` should say."""
    lot = torch.Generator().manual_seed(seed)
    which = torch.randint(len(digits), (count,), generator=lot)
    which[torch.rand(count, generator=lot) < 0.4] = -1
    shifts = torch.randint(-2, 3, (count, 2), generator=lot).tolist()
    made = [digits[k].roll(tuple(shift), dims=(1, 2)) if k >= 0 else test[i]
            for i, (k, shift) in enumerate(zip(which.tolist(), shifts))]
    pictures = torch.stack(made)
    pictures += spoilt * torch.randn(pictures.shape, generator=lot)
    return pictures.clamp(0, 1), which

# %% nbgrader={"grade": true, "grade_id": "copies-shifted", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
samples, wanted = hidden_among(training[:300], seed=52)
are = wanted >= 0
same(torch.as_tensor(copies(samples, training[:300]))[are], wanted[are],
     "the copies among the samples",
     cause="-1 where there is a copy: shifts in one "
           "direction only, or a threshold that is too low; "
           "another digit: the nearest without shifting it")
### BEGIN HIDDEN TESTS
for seed, first in [(53, 300), (54, 900)]:
    samples, wanted = hidden_among(training[first:first + 300], seed,
                                   spoilt=0.05, count=23)
    are = wanted >= 0
    found = torch.as_tensor(copies(samples, training[first:first + 300]))
    same(found[are], wanted[are],
         "the copies", cause="see above")
digits = training[:25]
shifted = [digit.roll((k // 5 - 2, k % 5 - 2), dims=(1, 2))
           for k, digit in enumerate(digits)]
same(copies(torch.stack(shifted), digits), torch.arange(25),
     "each digit shifted in another way",
     cause="one of the 25 shifts is never tried")
paler = 0.049 / digits.square().mean((1, 2, 3), keepdim=True).sqrt()
same(copies(digits - paler * digits, digits), torch.arange(25),
     "each digit paler by .049", cause="a threshold that is too low")
same(copies(shifted[3][None], digits[3:4]), torch.tensor([0]),
     "one sample of one digit", cause="dimensions of size 1 dropped")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "copies-new", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
samples, wanted = hidden_among(training[:300], seed=55)
new = wanted < 0
same(torch.as_tensor(copies(samples, training[:300]))[new], wanted[new],
     "samples that are new",
     cause="an index where there is no copy: every sample "
           "has a nearest digit, so ask how near it is")
### BEGIN HIDDEN TESTS
for seed in (56, 57):
    digits = training[500:700]
    samples, wanted = hidden_among(digits, seed, spoilt=0.03)
    kept = samples.clone()
    new = wanted < 0
    same(torch.as_tensor(copies(samples, digits))[new], wanted[new], "new ones",
         cause="see above")
    same(samples, kept, "the samples after the call", cause="changed in place",
         atol=0.0)
far = [(0, 3), (-3, 1), (3, -3), (2, -4), (-5, 0)] * 2
samples = [digit.roll(shift, dims=(1, 2)) for digit, shift in zip(digits, far)]
# Paler by .085, root mean square.
samples += [digit - digit * 0.085 / digit.square().mean().sqrt()
            for digit in digits[:15]]
# The outer columns white: .267.
samples += list(digits[:5].index_fill(3, torch.tensor([0, 27]), 1.0))
same(copies(torch.stack(samples), digits), torch.full((30,), -1),
     "digits moved by three pixels and more, paler ones, and framed ones",
     cause="more shifts than are allowed, larger differences, "
           "or the border is not looked at")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 4: what went wrong? (4 points)
#
# Three games in the plane (`course_utils.gan.plane`, Lecture 5): real points in eight blobs on the
# unit circle, and every 60 rounds 200 generated ones, along with the discriminator's mean answer to
# them. One game is healthy, in one the generator has collapsed, and in one the discriminator has won,
# so that the generator learns nothing any more. Tell them apart by the history alone. (Which of the
# two numbers is of no use for which question?) A generator has collapsed if its points lie in few of
# the blobs, in one heap or in some: two heaps that face each other are as far apart as points ever
# get.

# %%
@cache
def history(rules, seed, rounds=240, every=60):
    """What a game leaves behind: generated points (T, 200, 2), and D's mean
    answers (T,)."""
    lot = torch.Generator().manual_seed(seed)
    pair = plane.player(2, seed=seed), plane.player(1, seed=seed + 1000)
    z = torch.randn(200, 2, generator=lot, dtype=torch.float64)
    points, answers, of_d = [], [], rules.discriminator_steps
    for number in range(1, rounds + 1):
        real = plane.ring(48 * of_d, lot).view(of_d, 48, 2)
        noise = torch.randn(of_d + rules.generator_steps, 48, 2, generator=lot,
                            dtype=torch.float64)
        pair = plane.play(*pair, rules, real, noise)
        if number % every == 0:
            points.append(plane.answer(pair[0].weights, z))
            logits = plane.answer(pair[1].weights, points[-1])
            answers.append(logits.sigmoid().mean())
    return torch.stack(points), torch.stack(answers)

games = {
    "healthy": plane.Rules(),
    "collapsed": plane.Rules(generator_steps=3, generator_rate=5e-3,
                             discriminator_rate=5e-4),
    "D has won": plane.Rules(generator_rate=1e-5, discriminator_rate=1e-2),
}

# %% nbgrader={"grade": false, "grade_id": "diagnose", "locked": false, "schema_version": 3, "solution": true, "task": false}
def diagnose(points, answers):
    """Say what went on in a game: "healthy", "collapsed" or "D has won".

    points: float64 (T, N, 2), generated points at T moments, the last of them
    at the end; T at least 2, N at least 100. answers: float64 (T,), the
    discriminator's mean answer to them, 0 to 1. What counts is the end, whoever
    was ahead before: where D has won, its last answer is below .1, and in all
    other games above .3. Where it has not, the last points decide: "collapsed"
    if they reach fewer than four of the eight blobs, however far apart these
    are. Returns one of the three words, a str.
    """
    ### BEGIN SOLUTION
    if answers[-1] < 0.15:
        return "D has won"
    # D's answer shows no collapse: the heap moves on as soon as D has found it.
    reached = (plane.blob_shares(points[-1]) >= 0.02).sum()
    return "collapsed" if reached < 4 else "healthy"
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Print `answers` and the shares of the last points in each blob, `plane.blob_shares(points[-1])`, for
# each of the three games. A collapsed generator fools its discriminator about as well as a healthy
# one.

# %% nbgrader={"grade": true, "grade_id": "diagnose-test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
for truth, rules in games.items():
    said = diagnose(*history(rules, seed=58))
    assert said == truth, (
        f"the game that is {truth!r}: expected {truth!r}, got {said!r}. Likely "
        "cause: see what D's answers can tell, and what they can't")
### BEGIN HIDDEN TESTS
for truth, seed in [
    ("D has won", 59),
    ("healthy", 60),
    ("collapsed", 59),
    ("collapsed", 60),
    ("healthy", 59),
    ("collapsed", 64),
]:  # no order that could be guessed
    said = diagnose(*history(games[truth], seed))
    assert said == truth, f"{truth!r}: got {said!r}"
for truth in games:  # at two moments, 160 points
    points, answers = history(games[truth], 60)
    said = diagnose(points[2:, :160], answers[2:])
    assert said == truth, f"{truth!r}, T = 2, N = 160: got {said!r}"
for lost in ([0.5, 0.35, 0.1, 0.02], [0.95, 0.9, 0.9, 0.02]):
    lost = torch.tensor(lost, dtype=torch.float64)
    said = diagnose(history(games["D has won"], 60)[0], lost)
    assert said == "D has won", f"{lost}, lost in the end: got {said!r}"
    points, answers = history(games["healthy"], 60)
    # .95: D takes generated points for real ones.
    for won in (lost.flip(0), lost.flip(0)[-2:]):
        said = diagnose(points[-len(won):], won)
        assert said == "healthy", f"{won}, not lost in the end: got {said!r}"
lot = torch.Generator().manual_seed(65)
centres = torch.cat([plane.centres(), torch.zeros(1, 2)])
for truth, blobs in [  # the last points; the ninth blob is none
    ("collapsed", [1, 5]),
    ("healthy", [0, 1, 2, 3, 4, 5, 6, 7]),
    ("collapsed", [0, 3, 5]),
    ("healthy", [0, 2, 4, 6]),
    ("collapsed", [8]),
    ("collapsed", [2, 6]),
    ("healthy", [1, 2, 3, 5, 7]),
    ("healthy", [0, 1, 3, 4, 6, 7]),
    ("collapsed", [7, 2, 4]),
    ("healthy", [0] * 140 + [2, 4, 6] * 20),  # most points in one blob
]:
    heaps = centres[torch.tensor(blobs * 200)[:200]]
    noise = 0.06 * torch.randn(200, 2, generator=lot, dtype=torch.float64)
    said = diagnose(torch.cat([points[:-1], (heaps + noise)[None]]), answers)
    assert said == truth, (
        f"blobs {set(blobs)}: expected {truth!r}, got {said!r}"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 5: an open question (3 points)
#
# A friend reports on a new generator of digits: *"A classifier is sure of 84 % of my samples; their
# variety, the mean distance of two, is .41, that of real digits .36; and by Parzen windows they reach
# 240 nats, where real digits reach 228. They are better than real digits."* In about 100 words:
#
# - Which control would you ask for beside each of the three numbers, and what do you expect of it?
# - What, in one sentence, would convince you that the samples are neither noise, nor a blur, nor
#   copies?

# %% [markdown] nbgrader={"grade": true, "grade_id": "open-question", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1 point.** Uniform noise: a classifier has to choose, and is sure of noise about as often; and two
# pictures of noise are .41 apart, more than two digits. So the first two numbers are what *nothing*
# gives. (Half a point where only one of the two has a control.)
#
# **1 point.** Real digits, blurred: by Parzen windows they beat sharp ones. A score above that of
# real digits is a sign that the measure rewards the middle, not that the samples are good.
#
# **1 point.** Look at them. Then a measure that all these controls fail, such as the Fréchet distance
# beside those of noise, of a blur and of real digits; and a search for copies that allows for shifts,
# with new digits as its control. (Half a point for two controls that fit, half for one that finds
# copies.)
# ### END SOLUTION

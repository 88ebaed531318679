# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Problem set 2: adversarial examples transfer
#
# You build the tables of Lecture 2 from their parts: the error in one cell, how far to trust it,
# and what may be said about two of them. It takes two to three hours. You need Lecture 2, and
# nothing else but PyTorch and NumPy.
#
# - Write each function's code in the place that is marked for it. The docstring says exactly what
#   the function gets and what it must return.
# - The cell after it tests your function. A failed test says what was expected, what came, and
#   what the cause may be. Further tests, with other inputs, run when your work is marked.
# - Any correct way of writing a function gets full marks: loops or whole tensors, float32 or
#   float64. No function may change the tensors and models that it is given.
# - No exercise's tests call what you wrote for another: a mistake counts once.
# - `course_utils` has functions like some of these. Write your own.
#
# | Exercise | | Points |
# |---|---|---|
# | 1 | The error of a model | 3 |
# | 2 | One transfer cell | 4 |
# | 3, 4 | Its interval, and whether that keeps its promise | 5 + 4 |
# | 5 | Rescaling a perturbation | 4 |
# | 6, 7 | The transfer matrix, and the mean of its rows | 5 + 3 |
# | 8 | A statement about two cells | 5 |
# | 9 | Open question, marked by hand | 7 |

# %%
import math
from functools import partial

import numpy as np
import torch
from scipy.stats import binom
from torch import nn

from course_utils.assignments import likely, same

same = partial(same, tensor=True)  # a list is no tensor

# The examples in the tests move by this: 0, or less than 1 with a class's seed.
nudge = torch.Generator().manual_seed(0).initial_seed() * 0.618 % 1

# %% [markdown]
# The tests use `same`, which compares, `likely`, which looks for the mistake, and `numbers`, which
# makes one tensor of several numbers. Their models are small: `linear([[1, 0], [0, 2]])` gives two
# logits, $x_1$ and $2 x_2$, for images of two pixels. With a shape, such as (1, 5, 5), it takes
# images of that shape only, as convolutional networks do.

# %%
def numbers(result, count, what):
    """The `count` numbers of a result as one float64 tensor."""
    right = isinstance(result, tuple | list | torch.Tensor | np.ndarray)
    right = right and not any(isinstance(one, str | bytes) for one in result)
    assert right and len(result) == count, (
        f"{what}: expected {count} numbers, got {result!r}. "
        "Likely cause: the `return`.")
    return torch.tensor([float(one) for one in result], dtype=torch.float64)

def linear(weight, shape=()):
    """A model without hidden layers: logits x @ weight.T of images (N, ...). If
    one image has the shape (C, H, W), a convolution computes them."""
    weight = torch.as_tensor(weight, dtype=torch.float32)
    if len(shape) == 3:
        layer = nn.Conv2d(shape[0], len(weight), shape[1:], bias=False)
        model = nn.Sequential(layer, nn.Flatten())
    else:
        layer = nn.Linear(weight.shape[1], len(weight), bias=False)
        model = nn.Sequential(nn.Flatten(), layer)
    layer.weight.data = weight.view_as(layer.weight)
    return model.requires_grad_(False).eval()

# %% [markdown]
# ## Exercise 1: the error of a model (3 points)
#
# Every number of the tables is an error: show a model some images, and count how many it does not
# give their true class. The model's answer is the class of its largest logit.

# %% nbgrader={"grade": false, "grade_id": "error", "locked": false, "schema_version": 3, "solution": true, "task": false}
def error(model, images, labels):
    """How many of the images the model misclassifies, in percent.

    model: gives logits (N, K) for images (N, ...); images: float (N, ...), N at
    least 1; labels: int64 (N,), the true classes. Returns a number from 0 to
    100.
    """
    ### BEGIN SOLUTION
    return 100 * (model(images).argmax(dim=1) != labels).double().mean().item()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Compare the classes that the model gives with the labels: that is True or False for each image.

# %% [markdown] tags=["hint"]
# `argmax(dim=1)` gives the class of each row of logits. A mean needs floating-point numbers.

# %% nbgrader={"grade": true, "grade_id": "error-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
images = torch.tensor([[0.9, 0.1, 0.2], [0.3, 0.8, 0.4],
                       [0.3, 0.2, 0.7], [0.6, 0.5, 0.1]]) + nudge
got = error(nn.Identity().eval(), images, torch.tensor([0, 1, 2, 1]))
what = "error on four images, the last of which is misread"
same(got, 25.0, what, cause=likely(got, {
    "these are the images that are right": 75.0,
    "this is a share, not a percentage": 0.25,
    "this is a number of images, not a percentage": 1.0,
}))

# %% nbgrader={"grade": true, "grade_id": "error-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(1)
for n, shape, classes in [(1301, (1, 5, 5), 10), (1, (4,), 2),
                          (31, (3, 2, 2), 30), (53, (6,), 2)]:
    images = torch.rand(n, *shape, generator=generator) - 0.5
    weight = 300 * torch.randn(classes, math.prod(shape), generator=generator)
    model = linear(weight, shape)
    labels = torch.randint(classes, (n,), generator=generator)
    logits = (images.flatten(1) @ weight.T).tolist()
    labels[: n // 2] = torch.tensor(
        [row.index(max(row)) for row in logits]
    ).long()[: n // 2]
    copies = images.clone(), labels.clone()
    got = error(model, images, labels)
    wrong = sum(
        row.index(max(row)) != label
        for row, label in zip(logits, copies[1].tolist())
    )
    same(got, 100 * wrong / n, f"error on {n} images of {classes} classes",
         cause="dimensions, or a mean over batches that differ in size")
    same(images, copies[0], "the images that error was given",
         cause="changed in place")
    same(labels, copies[1], "the labels that error was given",
         cause="changed in place")
images = torch.tensor([[0.1, 0.2, 0.9], [0.8, 0.3, 0.1]])
same(error(nn.Identity().eval(), images, torch.tensor([1, 0])), 50.0,
     "error on two images, one given a class that is no label",
     cause="all logits count, those above the largest label, too")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 2: one transfer cell (4 points)
#
# A model that misreads one digit in five has an error of 20 % on adversarial images even if none
# of them fools it. What the attack *adds* is the **transfer rate**: among the images whose original
# the model has right, the percentage that it has wrong once they are adversarial.

# %% nbgrader={"grade": false, "grade_id": "transfer-rate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def transfer_rate(model, images, adversarial, labels):
    """Of the images that the model has right, the percentage whose adversarial
    image it has wrong.

    model: gives logits (N, K) for images (N, ...); images, adversarial: float
    (N, ...), the i-th adversarial image made from the i-th image, for some
    other model; labels: int64 (N,), the true classes. Returns a number from 0
    to 100, or NaN if the model has no original right.
    """
    ### BEGIN SOLUTION
    right = model(images).argmax(dim=1) == labels
    fooled = model(adversarial).argmax(dim=1) != labels
    return 100 * fooled[right].double().mean().item()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Two things are known of each image: whether the original is right, and whether the adversarial
# one is wrong. Which images are counted, and out of which?

# %% [markdown] tags=["hint"]
# A bool tensor selects rows: `fooled[right]`. And the mean of an empty tensor?

# %% nbgrader={"grade": true, "grade_id": "transfer-rate-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
images = torch.tensor([[0.9, 0.1], [0.8, 0.3], [0.2, 0.7], [0.1, 0.6],
                       [0.3, 0.4], [0.7, 0.2], [0.4, 0.5]]) + nudge
moved = torch.tensor([[0.4, 0.5], [0.6, 0.5], [0.6, 0.5], [0.4, 0.5],
                      [0.2, 0.5], [0.6, 0.4], [0.5, 0.4]]) + nudge
labels = torch.tensor([0, 0, 1, 1, 1, 1, 0])
got = transfer_rate(nn.Identity().eval(), images, moved, labels)
what = ("transfer rate of seven images: five originals "
        "are right, and two of those are fooled")
same(got, 40.0, what, cause=likely(got, {
    "images that were wrong before are counted, too": 300 / 7,
    "the fooled are right, but they are a percentage of all images": 200 / 7,
    "this is a percentage of those that are wrong in the end": 200 / 3,
    "this is the error less the error before: count image by image instead":
        100 / 7,
    "these are the images that are not fooled": 60.0,
    "this is a share, not a percentage": 0.4,
}))

# %% nbgrader={"grade": true, "grade_id": "transfer-rate-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(2)
for n, shape, classes in [(1301, (1, 4, 4), 5), (41, (6,), 3)]:
    images = torch.rand(n, *shape, generator=generator) - 0.5
    moved = images + 0.4 * torch.randn(n, *shape, generator=generator)
    weight = torch.randn(classes, math.prod(shape), generator=generator)
    model = linear(weight, shape)
    labels = model(images).argmax(1)
    labels[::3] = (labels[::3] + 1) % classes
    copies = images.clone(), moved.clone(), labels.clone()
    got = transfer_rate(model, images, moved, labels)
    for copy, given in zip(copies, (images, moved, labels)):
        same(given, copy, "what transfer_rate was given",
             cause="changed in place")
    before, after = (
        model(copies[0]).argmax(1).tolist(),
        model(copies[1]).argmax(1).tolist(),
    )
    counted = [b != y for a, b, y in zip(before, after,
                                         copies[2].tolist()) if a == y]
    what = f"transfer rate of {n} images"
    same(got, 100 * sum(counted) / len(counted), what,
         cause="which images are counted")
before = torch.tensor([[0.1, 0.9, 0.2], [0.8, 0.1, 0.3], [0.2, 0.1, 0.9]])
after = torch.tensor([[0.1, 0.2, 0.9], [0.8, 0.1, 0.3], [0.3, 0.5, 0.1]])
same(transfer_rate(nn.Identity().eval(), before, after,
                   torch.tensor([1, 0, 0])), 50.0,
     "transfer rate of three images, two given a class that is no label",
     cause="all logits count, those above the largest label, too")
same(transfer_rate(model, images, images, labels), 0.0,
     "transfer rate of no change at all",
     cause="images that were wrong before are counted")
wrong = (model(images).argmax(1) + 1) % classes
same(transfer_rate(model, images, moved, wrong), math.nan,
     "transfer rate where none is right",
     cause="there is nothing to take a percentage of")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 3: an interval for a cell (5 points)
#
# With $N$ images a cell is a sample, so it needs an interval. Let $\hat p$ be the share of errors
# that was seen. If $p$ is the true one, $\hat p$ has the standard deviation $\sqrt{p(1-p)/N}$. So
# keep every $p$ from which $\hat p$ is at most $z$ standard deviations away. The ends of **Wilson's
# interval** are the two solutions $p$ of
#
# $$(\hat p - p)^2 = z^2\, \frac{p\,(1 - p)}{N} .$$
#
# Solve the equation. Mind that it has the *unknown* $p$ under the standard deviation: with $\hat p$
# there instead, the interval would have no width where no error is seen.

# %% nbgrader={"grade": false, "grade_id": "wilson", "locked": false, "schema_version": 3, "solution": true, "task": false}
def wilson(errors, n, z=1.96):
    """The ends of Wilson's interval for an error rate, in percent.

    errors: an int, how many of the n images are misclassified, 0 to n; n: an
    int, at least 1; z: how many standard deviations, above 0. Returns two
    numbers, low and high, from 0 to 100 up to rounding.
    """
    ### BEGIN SOLUTION
    p = errors / n
    middle = p + z**2 / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 100 / (1 + z**2 / n)
    return scale * (middle - spread), scale * (middle + spread)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Sort the equation by powers of p: it is quadratic.

# %% [markdown] tags=["hint"]
# It is (1 + z^2/N) p^2 - (2 q + z^2/N) p + q^2 = 0, with q the share that was seen.

# %% nbgrader={"grade": true, "grade_id": "wilson-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
got = numbers(wilson(3, 10), 2, "wilson(3, 10)")
wanted = torch.tensor([10.778929, 60.322678])
what = "wilson(3, 10)"
same(got, wanted, what, cause=likely(got, {
    "this has the share that was seen under the standard deviation":
        [1.596902, 58.403098],
    "the factor of p squared in the equation is not divided by":
        [14.919762, 83.496238],
    "these are shares, not percentages": [0.10778929, 0.60322678],
    "the two ends are swapped": [60.322678, 10.778929],
    "z is not the one asked for": [17.882082, 45.754286],
    "these are the images that are right": [39.677322, 89.221071],
}))

# %% nbgrader={"grade": true, "grade_id": "wilson-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
for errors, n, z in [(0, 10, 1.96), (10, 10, 1.96), (1, 1, 1.96),
                     (37, 100, 0.4), (5, 60_000, 1.0), (499, 999, 4.5),
                     (8, 10, 1.96)]:
    low, high = numbers(wilson(errors, n, z), 2, "wilson").tolist()
    roots = np.roots([1 + z**2 / n, -(2 * errors / n + z**2 / n),
                      (errors / n) ** 2]).real
    what = f"wilson({errors}, {n}, {z})"
    same(low, 100 * roots.min(), f"low end of {what}", cause="the ends, or z",
         atol=1e-5)
    same(high, 100 * roots.max(), f"high end of {what}", cause="the ends, or z",
         atol=1e-5)
low, high = numbers(wilson(12, 80), 2, "wilson(12, 80)").tolist()
same(low, numbers(wilson(12, 80, 1.96), 2, "wilson")[0], "wilson without z",
     cause="its default", rtol=1e-6)
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 4: does it keep its promise? (4 points)
#
# A 95 % interval promises to contain the true error in 95 of 100 samples. That can be computed,
# with no experiment: if each image is misread with probability $p$, independently, then $k$ of $n$
# are with probability $\binom nk p^k (1-p)^{n-k}$. Add up the probabilities of all those $k$ whose
# interval contains $p$.

# %% nbgrader={"grade": false, "grade_id": "coverage", "locked": false, "schema_version": 3, "solution": true, "task": false}
def coverage(interval, p, n):
    """The probability, in percent, that an interval contains the true error.

    interval: takes (errors, n) and returns low and high, in percent; p: the
    true error, IN PERCENT, 0 to 100; n: how many images, 1 to 500. An interval
    contains its ends. Returns a number from 0 to 100, exact up to rounding:
    nothing is drawn at random.
    """
    ### BEGIN SOLUTION
    total = 0.0
    for errors in range(n + 1):
        low, high = interval(errors, n)
        if low <= p <= high:
            share = p / 100
            ways = math.comb(n, errors)
            total += ways * share**errors * (1 - share) ** (n - errors)
    return 100 * total
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# How many different numbers of errors can n images have? Each has an interval of its own.

# %% [markdown] tags=["hint"]
# `math.comb(n, k)` is the binomial coefficient, and `scipy.stats.binom.pmf(k, n, p)` the whole
# probability.

# %% nbgrader={"grade": true, "grade_id": "coverage-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
got = coverage(lambda errors, n: (25 * errors - 25, 25 * errors + 25), 75.0, 4)
what = ("coverage of (share seen) -+ 25 % with n = 4 images, "
        "the true error being 75 %")
same(got, 94.921875, what, cause=likely(got, {
    "one number of errors is missing: n images can have 0 to n errors":
        63.28125,
    "the ends do not count as contained": 42.1875,
    "all numbers of errors count the same, but they are not equally likely":
        60.0,
    "p and 1 - p are swapped": 26.171875,
    "this is a share, not a percentage": 0.94921875,
}))
same(coverage(lambda errors, n: (0, 20 * errors), 75.0, 5), 63.28125,
     "coverage of 0 to (share seen) with n = 5, the true error being 75 %",
     cause="it is the given interval that is wanted, not one of your own")

# %% nbgrader={"grade": true, "grade_id": "coverage-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
def narrow(errors, n):
    half = 196 * math.sqrt(errors / n * (1 - errors / n) / n)
    return 100 * errors / n - half, 100 * errors / n + half

def lopsided(errors, n):
    return 100 * errors / n - 3.3, 100 * errors / n + 11.7

for interval in (narrow, lopsided):
    for p, n in [(7.3, 50), (50.1, 20), (91.7, 33), (1.234, 500), (48.88, 500),
                 (33.3, 1), (0.4, 50)]:
        ends = [interval(errors, n) for errors in range(n + 1)]
        held = np.array([low <= p <= high for low, high in ends])
        wanted = 100 * (binom.pmf(np.arange(n + 1), n, p / 100) * held).sum()
        what = f"coverage, p = {p} %, n = {n}"
        same(coverage(interval, p, n), wanted, what, cause="the sum",
             rtol=1e-3, atol=1e-5)  # torch's binomials in float32
same(coverage(lambda errors, n: (0, 5), 0.0, 10), 100.0, "coverage at p = 0",
     cause="0 to n errors")
same(coverage(lambda errors, n: (95, 100), 100.0, 10), 100.0, "at p = 100",
     cause="0 to n errors")
for p in (0.0, 50.0, 100.0):
    same(coverage(lambda errors, n: (5, 6), p, 10), 0.0,
         f"of an interval without p = {p} %", cause="the sum")
same(coverage(lambda errors, n: (30, 30), 30.0, 10), 100.0,
     "of an interval without width", cause="it contains its ends")
for ends in ((30.0001, 60), (0, 29.9999)):
    same(coverage(lambda errors, n, ends=ends: ends, 30.0, 10), 0.0,
         f"of {ends}, p = 30 %",
         cause="an end is its end: .0001 beyond it is outside")
same(coverage(lambda errors, n: (0, errors % 2 * 50), 30.0, 5), 49.488,
     "of intervals that contain p where the number of errors is odd",
     cause="they need not contain it for numbers in a row")
same(coverage(lambda errors, n: (0, 2 * errors - 30), 50.0, 50), 1.19306e-3,
     "of intervals that contain p from 40 errors in 50 on",
     cause="what is unlikely counts, too", rtol=1e-3, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# Try your two functions on each other: in a new cell, print `coverage(wilson, p, 50)` for errors
# from 1 to 50 %. It is not 95 everywhere. Why can it not be?
#
# ## Exercise 5: rescaling a perturbation (4 points)
#
# A row whose perturbations are larger fools more models, which says little about the direction that
# they point in. To compare directions, bring all of them to the same **distortion**, the root mean
# square of the change per pixel.

# %% nbgrader={"grade": false, "grade_id": "rescale", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rescale(images, adversarial, stddev):
    """Each adversarial image with its perturbation scaled to a distortion of
    `stddev`.

    images, adversarial: float (N, ...) of the same shape; stddev: a number, 0
    or above, the root mean square per pixel that EACH image's perturbation
    gets. Returns images of the same shape, not clipped, so they may leave
    [0, 1]. An image with a perturbation of zero stays as it is; any other, as
    small as it may be, is scaled.
    """
    ### BEGIN SOLUTION
    change = (adversarial - images).flatten(1)
    size = change.square().mean(dim=1, keepdim=True).sqrt()
    factor = torch.where(size > 0, stddev / size, 0)
    return images + (factor * change).view_as(images)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# How large is each perturbation now? Then by which factor must it grow?

# %% [markdown] tags=["hint"]
# One factor for each image: shape (N, 1) beside (N, pixels). Zero divided by zero is NaN.

# %% nbgrader={"grade": true, "grade_id": "rescale-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
images = torch.full((2, 1, 2, 2), 0.5)
change = torch.tensor([[0.1, -0.1, 0.1, 0.1],
                       [0.0, 0.0, 0.0, 0.4]]).view(2, 1, 2, 2)
size = 0.3 + 0.1 * nudge
got = rescale(images, images + change, size)
moved = size * torch.tensor([[1.0, -1.0, 1.0, 1.0],
                             [0.0, 0.0, 0.0, 2.0]]).view(2, 1, 2, 2)
wanted = images + moved
what = f"two images of four pixels, rescaled to {size:.3g}"
same(got, wanted, what, cause=likely(got, {
    "the result is clipped": wanted.clamp(0, 1),
    "all images share one factor":
        images + size * change / change.square().mean().sqrt(),
    "it is the length that is asked for, not the root mean square":
        images + moved / 2,
    "this is the perturbation, asked for are the images": moved,
    "the perturbation's own size is not divided out": images + size * change,
    "it is the adversarial image that is moved on": wanted + change,
    "the perturbation has the wrong sign": images - moved,
}))

# %% nbgrader={"grade": true, "grade_id": "rescale-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(5)
for shape, dtype, stddev in [((5, 1, 6, 6), torch.float32, 0.1),
                             ((4, 7), torch.float64, 0.25),
                             ((1, 3, 4, 4), None, 2),
                             ((4, 9), torch.float32, 0.0),
                             ((5, 3, 3), torch.float32, 0.7)]:
    images = torch.rand(shape, generator=generator, dtype=dtype)
    moved = images + 0.2 * torch.randn(shape, generator=generator, dtype=dtype)
    if len(images) > 3:
        short = 0.1 if dtype is torch.float64 else 1e-5  # float32 is enough
        moved[0] = images[0] + short * (moved[0] - images[0])
        moved[1] = images[1]
        moved[2] = images[2] + 0.1  # the same in all pixels
        moved[3], images[3] = 1e-7 * moved[3], 0
    copies = images.clone(), moved.clone()
    got = rescale(images, moved, stddev)
    same(images, copies[0], "the images that rescale was given",
         cause="changed in place")
    same(moved, copies[1], "the adversarial images that it was given",
         cause="changed in place")
    wanted = images.double().clone()
    for i, (x, r) in enumerate(zip(images.double(), (moved - images).double())):
        if r.any():
            wanted[i] = x + stddev * math.sqrt(r.numel()) * r / r.norm()
    what = f"rescaled to {stddev}, shape {shape}"
    same(got, wanted, what, cause="a perturbation of zero, or the dimensions",
         atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 6: the transfer matrix (5 points)
#
# Now the table. Each row is a set of adversarial images, made for one model; each column is a model
# that they are shown to.

# %% nbgrader={"grade": false, "grade_id": "transfer-matrix", "locked": false, "schema_version": 3, "solution": true, "task": false}
def transfer_matrix(models, adversarial, labels):
    """The error, in percent, of each model on each set of images.

    models: a list of M models, each gives logits (N, K) for images (N, ...);
    adversarial: a list of S sets of images, each float (N, ...); labels: int64
    (N,), the true classes, the same for all sets. M and S may differ. Returns a
    float tensor (S, M): rows are sets, columns are models.
    """
    ### BEGIN SOLUTION
    errors = [[100 * (model(images).argmax(dim=1) != labels).double().mean()
               for model in models] for images in adversarial]
    return torch.tensor(errors)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Two loops, one inside the other. Which is the outer one, if rows are sets?

# %% nbgrader={"grade": true, "grade_id": "transfer-matrix-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
models = [linear([[1, 0], [0, 1]]), linear([[1, 0], [0, 3]]),
          linear([[0, 1], [1, 0]])]
sets = [
    torch.tensor([[0.6, 0.4], [0.9, 0.2], [0.4, 0.6], [0.3, 0.7]]),
    torch.tensor([[0.4, 0.6], [0.9, 0.4], [0.6, 0.4], [0.2, 0.8]]),
]
sets = [images + nudge * images for images in sets]
got = transfer_matrix(models, sets, torch.tensor([0, 0, 1, 1]))
wanted = torch.tensor([[0.0, 25.0, 100.0], [50.0, 50.0, 50.0]])
what = "transfer matrix of two sets and three models"
same(got, wanted, what, cause=likely(got, {
    "rows and columns are swapped": [[0.0, 50.0], [25.0, 50.0], [100.0, 50.0]],
    "these are the images that are right":
        [[100.0, 75.0, 0.0], [50.0, 50.0, 50.0]],
    "these are shares, not percentages": [[0.0, 0.25, 1.0], [0.5, 0.5, 0.5]],
    "these are numbers of images, not percentages":
        [[0.0, 1.0, 4.0], [2.0, 2.0, 2.0]],
}))

# %% nbgrader={"grade": true, "grade_id": "transfer-matrix-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(6)
for m, s, n, shape, classes in [(3, 3, 60, (1, 4, 4), 4), (2, 1, 7, (5,), 10),
                                (1, 5, 11, (6,), 2), (3, 2, 1301, (8,), 4)]:
    weights = [torch.randn(classes, math.prod(shape),
                           generator=generator) for _ in range(m)]
    models = [linear(weight, shape) for weight in weights]
    sets = [torch.rand(n, *shape, generator=generator) - 0.5 for _ in range(s)]
    labels = (sets[0].flatten(1) @ weights[0].T).argmax(1)
    few = slice(None, None, 1 + n // 5)  # a small error shows what is rounded
    labels[few] = (labels[few] + 1) % classes
    copies = [images.clone() for images in sets]
    got = transfer_matrix(models, sets, labels)
    for copy, given in zip(copies, sets, strict=True):
        same(given, copy, "the images that transfer_matrix was given",
             cause="changed in place")
    answers = torch.stack([torch.stack([model(images).argmax(1)
                                        for model in models])
                           for images in copies])
    wanted = 100 - 100 * (answers == labels).double().mean(2)
    same(got, wanted, f"transfer matrix of {s} sets and {m} models",
         cause="rows and columns")
images = torch.tensor([[0.1, 0.2, 0.9], [0.8, 0.3, 0.1]])
got = transfer_matrix([nn.Identity().eval()], [images], torch.tensor([1, 0]))
same(got, torch.tensor([[50.0]]),
     "transfer matrix of two images, one given a class that is no label",
     cause="all logits count, those above the largest label, too")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 7: the mean of the others (3 points)
#
# Which row fools *other* models most? In a square table, with the rows made for the models of the
# columns, the diagonal says nothing about transfer: there a model meets the images that were made
# for itself.

# %% nbgrader={"grade": false, "grade_id": "mean-of-others", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_of_others(matrix):
    """The mean of each row of a transfer matrix without its diagonal.

    matrix: float (M, M), M at least 2; what stands on the diagonal does not
    matter, even if it is NaN or infinite. Returns a float tensor (M,).
    """
    ### BEGIN SOLUTION
    off_diagonal = ~torch.eye(len(matrix), dtype=torch.bool)
    return matrix[off_diagonal].view(len(matrix), -1).mean(dim=1)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# How many numbers of each row are left? And what is NaN minus NaN, or NaN times 0?

# %% nbgrader={"grade": true, "grade_id": "mean-of-others-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
matrix = torch.tensor([[100.0, 10.0, 20.0], [40.0, 100.0, 90.0],
                       [0.0, 100.0, 100.0]])
got = mean_of_others(matrix + nudge)
what = "mean of each row without the diagonal"
sums = torch.tensor([30.0, 130.0, 100.0]) + 2 * nudge
same(got, sums / 2, what, cause=likely(got, {
    "the diagonal is in it": (sums + 100 + nudge) / 3,
    "the sum is right, but it is divided by too many": sums / 3,
    "these are the means of the columns":
        torch.tensor([20.0, 55.0, 55.0]) + nudge,
    "these are sums": sums,
    "what equals the number on the diagonal counts nevertheless":
        torch.tensor([15.0, 65.0, 0.0]) + nudge,
}))

# %% nbgrader={"grade": true, "grade_id": "mean-of-others-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(7)
for m, dtype, diagonal in [(6, torch.float32, None), (2, torch.float64, 7.0),
                           (5, None, math.nan), (4, None, -math.inf),
                           (3, torch.float64, math.inf), (4, None, 1e30)]:
    matrix = 100 * torch.rand(m, m, generator=generator, dtype=dtype)
    if diagonal is not None:
        matrix.fill_diagonal_(diagonal)
    copy = matrix.clone()
    got = mean_of_others(matrix)
    same(matrix, copy, "the matrix that mean_of_others was given",
         cause="changed in place")
    rows = [
        [v for j, v in enumerate(row) if j != i]
        for i, row in enumerate(copy.tolist())
    ]
    wanted = torch.tensor([sum(row) / len(row) for row in rows])
    same(got, wanted, f"mean of the others, {m} models",
         cause="NaN, infinity or much on the diagonal, or the count")
matrix = torch.tensor([[100.0, 100.0, 0.0], [0.0, 0.0, 50.0], [0.0, 0.0, 9.0]])
same(mean_of_others(matrix), torch.tensor([50.0, 25.0, 0.0]),
     "mean of the others, with zeros and numbers as on the diagonal",
     cause="what stands beside the diagonal counts, whatever it is")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 8: a statement about two cells (5 points)
#
# May we say that one cell is larger than another? Two intervals, one for each, waste what we know:
# both cells show the *same* digits, and a digit that is easy to misread is easy in both. So look at
# each digit by itself. With $a_i = 1$ where the first cell's model is wrong on digit $i$, else 0,
# and $b_i$ for the second, let
#
# $$d_i = a_i - b_i, \qquad \bar d = \frac1N \sum_i d_i, \qquad
#   s^2 = \frac1N \sum_i (d_i - \bar d)^2,$$
#
# and the interval of the **paired difference** is $\bar d \pm z\, s / \sqrt N$. If it does not
# contain 0, the two cells differ by more than chance explains.

# %% nbgrader={"grade": false, "grade_id": "paired-difference", "locked": false, "schema_version": 3, "solution": true, "task": false}
def paired_difference(wrong_a, wrong_b, z=1.96):
    """The difference of two cells, with its interval, in percentage points.

    wrong_a, wrong_b: bool (N,), whether each of the same N digits is
    misclassified in the first and in the second cell; z: how many standard
    deviations, above 0.
    Returns three numbers: the difference (first minus second), and the low and
    the high end, even if they lie beyond -100 or 100.
    """
    ### BEGIN SOLUTION
    difference = wrong_a.double() - wrong_b.double()
    mean = difference.mean().item()
    half = z * difference.std(correction=0).item() / math.sqrt(len(difference))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Bool tensors cannot be subtracted: make numbers of them first. Each difference is -1, 0 or 1.

# %% [markdown] tags=["hint"]
# `std` divides by N - 1, unless it is told otherwise: `correction=0`.

# %% nbgrader={"grade": true, "grade_id": "paired-difference-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
wrong_a = torch.tensor([1, 1, 1, 1, 1, 0, 0, 0, 0, 0]).bool()
wrong_b = torch.tensor([1, 1, 0, 0, 0, 1, 0, 0, 0, 0]).bool()
got = numbers(paired_difference(wrong_a, wrong_b), 3, "paired_difference")
wanted = torch.tensor([20.0, -17.188387, 57.188387])
same(got, wanted, "paired difference of ten digits", cause=likely(got, {
    "this is the second less the first": [-20.0, -57.188387, 17.188387],
    "the two cells are treated as if they showed different digits":
        [20.0, -22.037645, 62.037645],
    "the squares are divided by N - 1": [20.0, -19.2, 59.2],
    "the root of N is missing": [20.0, -97.6, 137.6],
    "these are shares, not percentage points": [0.2, -0.17188387, 0.57188387],
    "the two ends are swapped": [20.0, 57.188387, -17.188387],
}))

# %% nbgrader={"grade": true, "grade_id": "paired-difference-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(8)
for n, share, agreed, z in [(300, 0.3, 0.8, 1.96), (40, 0.6, 0.5, 2.576),
                            (7, 0.5, 0.2, 0.4)]:
    wrong_a = torch.rand(n, generator=generator) < share
    other = torch.rand(n, generator=generator) < share / 2
    wrong_b = torch.where(torch.rand(n, generator=generator) < agreed, wrong_a,
                          other)
    if n == 40:
        wrong_a, wrong_b = wrong_b, wrong_a
    copies = wrong_a.clone(), wrong_b.clone()
    got = numbers(paired_difference(wrong_a, wrong_b, z), 3,
                  "paired_difference")
    same(wrong_a, copies[0], "the first that it was given",
         cause="changed in place")
    same(wrong_b, copies[1], "the second that it was given",
         cause="changed in place")
    only_a, only_b = ((x & ~y).double().mean().item()
                      for x, y in (copies, copies[::-1]))
    half = z * math.sqrt((only_a + only_b - (only_a - only_b) ** 2) / n)
    wanted = 100 * torch.tensor([only_a - only_b, only_a - only_b - half,
                                 only_a - only_b + half])
    same(got, wanted, f"paired difference of {n} digits, z = {z}",
         cause="the formula", atol=1e-4)
alike = torch.tensor([1, 0, 1]).bool()
got = numbers(paired_difference(alike, alike), 3, "paired_difference")
same(got, torch.zeros(3), "paired difference of a cell with itself",
     cause="the pairs", atol=1e-4)
got = numbers(paired_difference(alike[:1], ~alike[:1]), 3, "paired_difference")
same(got, torch.full((3,), 100.0), "paired difference of one digit",
     cause="N - 1", atol=1e-4)
most, none = torch.tensor([1, 1, 1, 0]).bool(), torch.zeros(4).bool()
for pair, wanted in [((most, none), [75.0, 10.048095, 139.951905]),
                     ((none, most), [-75.0, -139.951905, -10.048095])]:
    got = numbers(paired_difference(*pair, 3.0), 3, "paired_difference")
    same(got, torch.tensor(wanted), "paired difference of four digits, z = 3",
         cause="an end may lie beyond 100")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 9: open question (7 points, marked by hand)
#
# Somebody writes: "Adversarial images made for FC200-200-10 fool FC100-100-10 more than they fool
# the linear FC10(1e-2). So networks share their weaknesses with networks of their own kind."
#
# Test both sentences, with your own functions, on images like these (in a new cell):
#
# ```
# from course_utils.attacks import lbfgs_attack
# from course_utils.data import load_mnist
# from course_utils.transfer import draw_targets
# from course_utils.zoo import load_model
#
# names = ["FC10(1e-4)", "FC10(1e-2)", "FC100-100-10", "FC200-200-10"]
# models = [load_model(name) for name in names]
# images, labels = (tensor[:500] for tensor in load_mnist("test"))
# targets = draw_targets(labels, how="random", generator=torch.Generator().manual_seed(1))
# adversarial = [lbfgs_attack(model, images, targets).images for model in models]
# ```
#
# Write 10 to 15 sentences, with numbers. Is the difference of the first sentence there, and how
# sure are you? Is it still there if you count only what the attack adds, and if all perturbations
# have the same size? Does the second sentence follow, and what do the other columns say about it? Last:
# your intervals say what would happen with other digits. What do they *not* cover?

# %% [markdown] nbgrader={"grade": true, "grade_id": "open-question", "locked": false, "points": 7, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **A good answer**, and what earns the points (numbers for the 500 digits above):
#
# - *The first sentence, measured* (2 points): errors of 36.8 % and 16.6 %; the paired difference is
#   20.2 points, give or take 5.1. It is there. One point for the numbers, one for a paired interval
#   and what it says.
# - *Only what the attack adds* (1 point): transfer rates of 35.9 % and 7.8 %. The linear network
#   misreads 9.8 % of the originals, so the errors make the difference look smaller than it is.
# - *At the same size* (1 point): at a distortion of 0.1 the errors are 92.4 % and 39.0 %, a paired
#   difference of 53 points, give or take 5. So it is not a matter of size.
# - *The second sentence does not follow* (2 points): the *other* linear network, FC10(1e-4), is
#   fooled more (47.6 %) than FC100-100-10 is, though it is of another kind; and the pictures of
#   the linear FC10(1e-2) fool FC100-100-10 more (45.0 %) than those of FC200-200-10 do. What
#   FC10(1e-2) has and FC10(1e-4) lacks is strong weight decay: its borders are further away, as its
#   own larger distortion shows. One comparison of two networks cannot separate kind from
#   distance to the border. One point for a column or row that contradicts it, one for another
#   explanation that fits.
# - *What the intervals do not cover* (1 point, for one of these): networks trained anew from other
#   first weights or on other digits, since there is one network of each sort; other targets or
#   another attack; that this pair of cells was picked among many.
# ### END SOLUTION

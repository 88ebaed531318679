# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Problem set 5: generative adversarial networks
#
# A short one: the theory of Lecture 5's game, in five functions. You write the losses of both
# players, find out who would win if both played perfectly, and see why the game as it is written in
# the paper is not the one that people train with. Plan an hour.
#
# Replace each `raise NotImplementedError()` and run the cell, then the tests below it: they are
# silent where your answer passes, and otherwise say what they expected and what came. The grader
# runs these tests and more, with other numbers and shapes. Any way of computing the right thing is
# right: loops or none, float32 or float64. The docstring is the task, and a function leaves its
# arguments as they are. Write the mathematics yourself: `course_utils.gan` has it, and is not to be
# used here. Each exercise is tested with given numbers, so go on where one defeats you.
#
# *The discriminator's answer is $D = \sigma(a)$, with $a$ its **logit** and $\sigma(a) = 1 / (1 +
# e^{-a})$: the chance that a picture is real. All logarithms are natural.*

# %%
import math

import torch
from torch.nn import functional as F

from course_utils.assignments import same

# %% [markdown]
# ## Exercise 1: the discriminator's loss (4 points)
#
# The discriminator shall say "real" to real pictures $x$ and "generated" to generated ones, $G(z)$.
# In the paper it makes $V$ large; in code one makes $-V$ small:
#
# $$-V = -\,\text{mean} \log D(x) \;-\; \text{mean} \log\big(1 - D(G(z))\big) .$$
#
# The network gives logits. A sure discriminator has logits of 100 and more, where $D$ is rounded to
# 1 in float32 and $\log(1 - D)$ to minus infinity, although the true number is a plain $-100$. So
# write the loss in terms of $a$, and let nothing be rounded on the way.

# %% nbgrader={"grade": false, "grade_id": "discriminator-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def discriminator_loss(real, fake):
    """What the discriminator minimises, -V by the formula above.

    real, fake: float tensors of any shape, not empty, not always of the same size: the logits of
    real pictures and of generated ones. Returns a number (a float, or a tensor without dimensions):
    the mean over the real ones plus the mean over the generated ones; finite for logits up to 1,000
    in size, of either sign.
    """
    ### BEGIN SOLUTION
    return F.softplus(-real).mean() + F.softplus(fake).mean()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Put $D = 1/(1 + e^{-a})$ into $-\log D$ and into $-\log(1 - D)$, and simplify. How do the two
# results differ?

# %% [markdown] tags=["hint"]
# $-\log D = \log(1 + e^{-a})$ and $-\log(1 - D) = \log(1 + e^{a})$. `torch.nn.functional` has
# `softplus` and `logsigmoid`, which do not overflow.

# %% nbgrader={"grade": true, "grade_id": "discriminator-loss-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(discriminator_loss(torch.zeros(3), torch.zeros(3)), 1.3862944,
     "the loss of a discriminator that always says 1/2",
     cause=".6931: one of the two means, or half of their sum; below 0: it is V, not -V")
same(discriminator_loss(torch.tensor([2.0, 1.0, -1.0]), torch.tensor([-3.0])), 0.6330731,
     "the loss for real logits 2, 1, -1 and a generated logit -3",
     cause="4.2997: real and generated are swapped; .4505 or .9010: one mean over all four, but "
     "each of the groups has a mean of its own")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(61)
for real_shape, fake_shape, kind in [((9,), (4,), torch.float32), ((5, 1), (7, 1), torch.float64),
                                     ((1,), (6,), torch.float32)]:
    real = 2 * torch.randn(real_shape, generator=lot, dtype=kind) + 1
    fake = 2 * torch.randn(fake_shape, generator=lot, dtype=kind) - 1
    wanted = sum(math.log(1 + math.exp(-a)) for a in real.flatten().tolist()) / real.numel()
    wanted += sum(math.log(1 + math.exp(a)) for a in fake.flatten().tolist()) / fake.numel()
    same(discriminator_loss(real, fake), wanted, f"shapes {real_shape} and {fake_shape}",
         cause="see the formula")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "discriminator-loss-sure", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(discriminator_loss(torch.tensor([100.0]), torch.tensor([100.0])), 100.0,
     "a discriminator that is sure, and wrong about the generated picture",
     cause="infinity or NaN: D was rounded to 1 before the logarithm; 10 to 20: it was clipped")
### BEGIN HIDDEN TESTS
cases = [(-300.0, -300.0, 300.0), (900.0, 700.0, 700.0), (-1000.0, 1000.0, 2000.0),
         (1000.0, -1000.0, 0.0), (-40.0, 30.0, 70.0)]
for real, fake, wanted in cases:
    same(discriminator_loss(torch.tensor([real]), torch.tensor([fake])), wanted,
         f"logits {real} and {fake}", cause="rounded on the way")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 2: the generator's two losses (3 points)
#
# In the game as the paper writes it, the generator minimises what the discriminator maximises, the
# mean of $\log(1 - D(G(z)))$: the **saturating** loss. For training, the paper takes another, which
# goes the same way: the mean of $-\log D(G(z))$, the **non-saturating** loss. Exercise 5 is about
# the difference.

# %% nbgrader={"grade": false, "grade_id": "generator-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def generator_loss(fake, saturating):
    """What the generator minimises.

    fake: float tensor of any shape, not empty: the discriminator's logits of generated pictures.
    saturating: bool, which of the two losses. Returns a number (a float, or a tensor without
    dimensions), finite for logits up to 1,000 in size, of either sign.
    """
    ### BEGIN SOLUTION
    return -F.softplus(fake).mean() if saturating else F.softplus(-fake).mean()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Both are one term of exercise 1, with the one sign or the other.

# %% nbgrader={"grade": true, "grade_id": "generator-loss-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
fake = torch.tensor([-1.0, 2.0])
same(generator_loss(fake, True), -1.2200949, "the saturating loss of logits -1 and 2",
     cause="1.2201: the discriminator's loss has this sign, but the generator wants the opposite; "
     ".7201: it is the other loss")
same(generator_loss(fake, False), 0.7200949, "the non-saturating loss of logits -1 and 2",
     cause="-.7201: a chance's logarithm is below 0, and the loss has a minus; 1.2201: it is D "
     "that counts here, not 1 - D")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(62)
for shape, kind in [((8,), torch.float32), ((3, 1), torch.float64), ((1,), torch.float32)]:
    fake = 3 * torch.randn(shape, generator=lot, dtype=kind)
    for saturating in (True, False):
        chances = [1 / (1 + math.exp(-a)) for a in fake.flatten().tolist()]
        terms = [math.log(1 - d) if saturating else -math.log(d) for d in chances]
        same(generator_loss(fake, saturating), sum(terms) / len(terms), f"{shape}, {saturating}",
             cause="see the formula")
for logit, saturating, wanted in [(500.0, True, -500.0), (-500.0, False, 500.0),
                                  (-900.0, True, 0.0), (900.0, False, 0.0)]:
    same(generator_loss(torch.tensor([logit]), saturating), wanted, f"a logit of {logit}",
         cause="rounded on the way")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 3: the best discriminator (3 points)
#
# Let the real pictures have the density $p$, the generated ones $q$. At one point $x$, the
# discriminator's part of $V$ is
#
# $$p(x) \log D + q(x) \log (1 - D),$$
#
# and it may choose $D$ at each point anew. Which $D$ makes this largest? Find it on paper: where is
# the derivative 0?

# %% nbgrader={"grade": false, "grade_id": "best-discriminator", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_discriminator(p, q):
    """The D that makes p log D + q log(1 - D) largest, at each point.

    p, q: float tensors of the same shape, each number 0 or more, however small: the two densities
    at some points. Returns a tensor of that shape, numbers in [0, 1]; 1/2 where p and q are both
    0, since there no D is better than another.
    """
    ### BEGIN SOLUTION
    total = p + q
    return torch.where(total > 0, p / torch.where(total > 0, total, 1), 0.5)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# The derivative in $D$ is $p / D - q / (1 - D)$. Set it to 0 and solve for $D$.

# %% nbgrader={"grade": true, "grade_id": "best-discriminator-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(best_discriminator(torch.tensor([1.0, 3.0, 0.0]), torch.tensor([1.0, 1.0, 2.0])),
     torch.tensor([0.5, 0.75, 0.0]), "densities 1, 3, 0 of real and 1, 1, 2 of generated pictures",
     cause=".25 and 1: that is the chance of being generated; 1 and above: a chance is at most 1")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(63)
for shape, kind in [((20,), torch.float32), ((3, 4), torch.float64)]:
    p, q = (3 * torch.rand(shape, generator=lot, dtype=kind) + 1e-3 for _ in range(2))
    ratios = (p.double().log() - q.double().log())
    same(best_discriminator(p, q), 1 / (1 + (-ratios).exp()), f"random densities {shape}",
         cause="p over p + q")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "best-discriminator-edges", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
same(best_discriminator(torch.tensor([0.0, 1.0]), torch.zeros(2)), torch.tensor([0.5, 1.0]),
     "densities of 0 and 0, and of 1 and 0",
     cause="NaN: 0 divided by 0; if it is the second number, see the test before")
### BEGIN HIDDEN TESTS
small = torch.tensor([3e-20, 1e-30, 0.0, 0.0])
same(best_discriminator(small, torch.tensor([1e-20, 3e-30, 1e-25, 0.0])),
     torch.tensor([0.75, 0.25, 0.0, 0.5]), "very small densities", cause="a constant was added")
same(small, torch.tensor([3e-20, 1e-30, 0.0, 0.0]), "p after the call", cause="changed", atol=0.0)
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 4: what is left of the game (4 points)
#
# Put the best discriminator into $V$, and what the generator still has to minimise is
#
# $$V(D^*) = 2\,\text{JS}(p, q) - \log 4, \qquad
#   \text{JS}(p, q) = \tfrac12 \text{KL}(p \,\|\, m) + \tfrac12 \text{KL}(q \,\|\, m),
#   \qquad m = \tfrac12 (p + q),$$
#
# with the **Jensen-Shannon divergence** JS, and, for chances $p_1, \dots, p_K$ in place of
# densities, $\text{KL}(p \,\|\, m) = \sum_k p_k \log (p_k / m_k)$, in which $0 \log 0$ counts as
# 0. JS is 0 if $p = q$, and nowhere else: a generator that plays perfectly draws from the real
# density.

# %% nbgrader={"grade": false, "grade_id": "jensen-shannon", "locked": false, "schema_version": 3, "solution": true, "task": false}
def jensen_shannon(p, q):
    """The Jensen-Shannon divergence of two distributions over K outcomes, in nats.

    p, q: float (K,), the chances of the same K outcomes, each 0 or more, and 1 together. Returns a
    number (a float, or a tensor without dimensions): from 0, for p = q, up to log 2.
    """
    ### BEGIN SOLUTION
    m = (p + q) / 2
    return (torch.xlogy(p, p) + torch.xlogy(q, q)).sum() / 2 - torch.xlogy(m, m).sum()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# An outcome that has no chance in $p$ adds nothing to the first KL, though it may add to the
# second. Which computation gives NaN there?

# %% [markdown] tags=["hint"]
# Sum only over `p > 0`, as in `p[p > 0]`; or use `torch.xlogy(a, b)`, which is a log b, and 0 where
# a is 0.

# %% nbgrader={"grade": true, "grade_id": "jensen-shannon-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(jensen_shannon(torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])), 0.0338205,
     "JS of (1/2, 1/2) and (1/4, 3/4)",
     cause=".0676: the halves are missing; .1438 or .1308: KL of one to the other, not to m; "
     ".0488: base 2; below 0: the quotient is turned round")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(64)
for outcomes, kind in [(10, torch.float32), (3, torch.float64), (100, torch.float64)]:
    p, q = (torch.rand(outcomes, generator=lot, dtype=kind) + 0.01 for _ in range(2))
    p, q = p / p.sum(), q / q.sum()
    # The other side of the equation: the value of the game, less its value at p = q.
    d = (p / (p + q)).double()
    value = (p.double() * d.log() + q.double() * (1 - d).log()).sum()
    same(jensen_shannon(p, q), (value + math.log(4)) / 2, f"{outcomes} outcomes", cause="see above")
    same(jensen_shannon(q, p), (value + math.log(4)) / 2, "p and q exchanged", cause="symmetric")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "jensen-shannon-zeros", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(jensen_shannon(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])), 0.2157616,
     "JS of (1, 0) and (1/2, 1/2)",
     cause="NaN: 0 times the logarithm of 0 has to count as 0; .0425 and .1438: a term of q is "
     "missing, which counts although p is 0 there")
### BEGIN HIDDEN TESTS
same(jensen_shannon(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])), math.log(2), "no overlap",
     cause="log 2 is the most")
same(jensen_shannon(torch.tensor([0.2, 0.8, 0.0]), torch.tensor([0.2, 0.8, 0.0])), 0.0, "p = q",
     cause="0 is the least")
p, q = torch.tensor([0.0, 0.3, 0.7, 0.0]), torch.tensor([0.4, 0.0, 0.6, 0.0])
same(jensen_shannon(p, q), (0.7 * math.log(2) + 0.7 * math.log(0.7 / 0.65)
     + 0.6 * math.log(0.6 / 0.65)) / 2, "zeros in both", cause="0 log 0 counts as 0")
same(p, torch.tensor([0.0, 0.3, 0.7, 0.0]), "p after the call", cause="changed in place")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 5: when the discriminator wins (3 points)
#
# At the beginning the generator's pictures are bad, the discriminator is sure, and its logits $a$
# of generated pictures lie far below 0. The generator learns by how its loss changes with them.
# Derive it on paper, for one picture, as a formula in $\sigma$:
#
# $$\frac{d}{da} \log\big(1 - \sigma(a)\big) \qquad\text{and}\qquad
#   \frac{d}{da} \big({-\log \sigma(a)}\big) .$$

# %% nbgrader={"grade": false, "grade_id": "slopes", "locked": false, "schema_version": 3, "solution": true, "task": false}
def slopes(a):
    """The slopes of both losses of the generator in the discriminator's logit.

    a: float (N,), logits of single generated pictures. Returns float (2, N): in row 0 the slope of
    the saturating loss log(1 - sigma(a)), in row 1 that of the non-saturating loss -log sigma(a),
    at each logit by itself: no mean is taken.
    """
    ### BEGIN SOLUTION
    return torch.stack([-torch.sigmoid(a), -torch.sigmoid(-a)])
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# By exercise 1, the losses are $-\log(1 + e^{a})$ and $\log(1 + e^{-a})$. Now the chain rule.

# %% nbgrader={"grade": true, "grade_id": "slopes-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
same(slopes(torch.tensor([0.0, -2.0])), torch.tensor([[-0.5, -0.1192029], [-0.5, -0.8807971]]),
     "the slopes at logits 0 and -2",
     cause="signs: both losses fall as the discriminator is fooled; if the two rows are exchanged, "
     "look again which loss is which; halves of these numbers: a mean was differentiated")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(65)
a = 4 * torch.randn(11, generator=lot, dtype=torch.float64)
step = 1e-5
saturating = lambda t: -torch.log1p(torch.exp(t))
other = lambda t: torch.log1p(torch.exp(-t))
wanted = torch.stack([(f(a + step) - f(a - step)) / (2 * step) for f in (saturating, other)])
same(slopes(a), wanted, "random logits", cause="see above")
same(slopes(torch.tensor([-200.0, 200.0])), torch.tensor([[0.0, -1.0], [-1.0, 0.0]]),
     "logits of -200 and 200", cause="overflow")
same(slopes(torch.tensor([3.0])), torch.tensor([[-0.9525741], [-0.0474259]]), "one logit",
     cause="see above")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 6: an open question (3 points)
#
# A friend trains a generator with the saturating loss. After 200 steps the discriminator's loss is
# .0001, and the generator's pictures stay noise however long the training goes on. *"The
# discriminator is perfect, so the generator gets perfect advice. My generator must be too small."*
# In about 100 words:
#
# - What does exercise 5 say about that advice?
# - Why does the non-saturating loss help, although it has the same aim?
# - If the two densities do not overlap at all, which way does JS tell the generator to go?

# %% [markdown] nbgrader={"grade": true, "grade_id": "open-question", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1 point.** The loss of .0001 means logits around -9 or below for generated pictures. There the
# saturating loss has the slope $-\sigma(a)$, of about .0001: the generator hardly moves, whatever
# its size. A sure discriminator gives next to no advice.
#
# **1 point.** The non-saturating loss falls for the same change, a larger $a$, but its slope is
# $-\sigma(-a)$, nearly $-1$ just where the discriminator is sure. The pictures that it sees through
# count most, and those that already pass least.
#
# **1 point.** Densities that do not overlap have JS = log 2, no matter how far apart they are. A
# small step of the generator does not change that: it is flat, and points nowhere. (What helps
# in training is that the discriminator is not perfect; or a distance that sees how far apart they
# are.)
# ### END SOLUTION

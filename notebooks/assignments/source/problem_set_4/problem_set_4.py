# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Problem set 4: the fast gradient sign
#
# You build Lecture 4's attack from its parts, work out in closed form what it does to a linear
# model, put it into a loss to train on, and end with the attack in many small steps. Plan two to
# three hours.
#
# Replace each `raise NotImplementedError()` and run the cell, then the tests below it: they are
# silent where your answer passes, and otherwise say what they expected and what came. The grader
# runs these tests and more, with other numbers and shapes. Any way of computing the right thing is
# right: loops or none, float32 or float64. The docstring is the task, and a function leaves its
# arguments as they are. Write the attacks yourself: `course_utils.attacks` has them, and may be
# used only where an exercise says so. Each exercise is tested with given numbers and networks, so
# go on where one defeats you.
#
# *$J(x, y)$ is the cross-entropy of one picture $x$ of class $y$. Pixels are numbers in [0, 1].*

# %%
import itertools
import math

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.assignments import same
from course_utils.attacks import fgsm

# The examples in the tests move by this: 0, or less than 1 with a class's seed.
nudge = torch.Generator().manual_seed(0).initial_seed() * 0.618 % 1


class Wave(nn.Module):
    """A small network in float64 that is not linear, on pictures of any shape,
    for the tests."""

    def __init__(self, pixels, classes, seed):
        super().__init__()
        lot = torch.Generator().manual_seed(seed)
        first = torch.randn(pixels, 12, generator=lot).double()
        second = torch.randn(12, classes, generator=lot).double()
        self.first, self.second = nn.Parameter(first), nn.Parameter(second)

    def forward(self, images):
        return torch.sin(images.flatten(1) @ self.first) @ self.second

# %% [markdown]
# ## Exercise 1: the gradient at the input (5 points)
#
# Training needs the gradient of the loss in the weights. An attack asks another question: into
# which direction must each *pixel* move so that the loss rises? The answer is
#
# $$g_i = \nabla_x J(x_i, y_i), \qquad i = 1, \dots, N,$$
#
# for each picture of a batch its own gradient, of the picture's shape.

# %% nbgrader={"grade": false, "grade_id": "input-gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def input_gradient(model, images, labels):
    """The gradient of each picture's own cross-entropy in its pixels.

    model: an nn.Module, from pictures (N, ...) to logits (N, K), of any size,
    each row from its picture alone; images: float (N, ...); labels: int64 (N,).
    Returns float (N, ...), of the pictures' shape; row i does not depend on the
    other pictures. The model's parameters are left as they were, and so is
    their .grad.
    """
    ### BEGIN SOLUTION
    x = images.clone().requires_grad_()
    loss = F.cross_entropy(model(x), labels, reduction="sum")
    return torch.autograd.grad(loss, x)[0]
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Autograd differentiates one number. From which single number, made of the N losses, do you get
# each picture's own gradient: their mean or their sum?

# %% [markdown] tags=["hint"]
# Take a copy of the pictures that requires a gradient, `images.clone().requires_grad_()`, and
# `torch.autograd.grad(loss, x)`, which gives a tuple and, unlike `loss.backward()`, leaves nothing
# behind in the weights.

# %%
def slope(model, images, labels, *pixel):
    """How fast the loss of picture pixel[0] changes with this pixel, by two
    nearby points."""
    step = torch.zeros_like(images)
    step[pixel] = 1e-5
    logits = [model(images + side * step)[pixel[0]] for side in (1, -1)]
    higher, lower = (F.cross_entropy(row, labels[pixel[0]]).item()
                     for row in logits)
    return (higher - lower) / 2e-5

# %% nbgrader={"grade": true, "grade_id": "input-gradient-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
model, labels = Wave(4, 3, seed=1), torch.tensor([0, 2])
pictures = torch.tensor([[0.1, 0.5, 0.9, 0.3], [0.7, 0.2, 0.4, 0.8]],
                        dtype=torch.float64)
found = input_gradient(model, pictures, labels)
wanted = torch.tensor([[slope(model, pictures, labels, i, j)
                        for j in range(4)] for i in range(2)])
same(found, wanted, "the gradient at two pictures of 4 pixels",
     cause="half as much: the mean of the losses was differentiated; "
           "other numbers: it is the loss that is wanted, not a "
           "logit, and the model gives logits, not probabilities")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(41)
for shape, classes, size in [((5, 1, 3, 2), 4, 1), ((1, 7), 2, 1),
                             ((3, 2, 2, 2), 10, 1), ((9, 3), 5, 1e6)]:
    pictures = torch.rand(shape, generator=lot, dtype=torch.float64)
    labels = torch.randint(classes, (shape[0],), generator=lot)
    model = Wave(math.prod(shape[1:]), classes, seed=2)
    model.second.data *= size
    flat = pictures.flatten(1)
    # By hand: the chain rule through the sine.
    rest = (torch.sin(flat @ model.first) @ model.second).softmax(
        1
    ) - F.one_hot(labels, classes)
    wanted = (
        (rest @ model.second.T) * torch.cos(flat @ model.first)
    ) @ model.first.T
    same(input_gradient(model, pictures, labels), wanted.view(shape),
         f"pictures {shape}, logits of size {size}",
         cause="each picture's own gradient")
layer = nn.Linear(6, 3)
layer.weight.data = torch.randn(3, 6, generator=lot)
layer.bias.data = torch.randn(3, generator=lot)
pictures, labels = torch.rand(4, 6, generator=lot), torch.tensor([0, 1, 2, 1])
wanted = (
    (pictures @ layer.weight.T + layer.bias).softmax(1) - F.one_hot(labels, 3)
) @ layer.weight
same(input_gradient(layer, pictures, labels), wanted, "a linear model",
     cause="see above")
net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
for p in net.parameters():
    p.data = torch.randn(p.shape, generator=lot)
inner = torch.tanh(net[0](pictures))
wanted = net[2](inner).softmax(1) - F.one_hot(labels, 3)
wanted = (wanted @ net[2].weight * (1 - inner**2)) @ net[0].weight
same(input_gradient(net, pictures, labels), wanted, "a network of two layers",
     cause="it is another one than Wave")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "input-gradient-clean", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
model, labels = Wave(4, 3, seed=1), torch.tensor([0, 2])
pictures = torch.tensor([[0.1, 0.5, 0.9, 0.3], [0.7, 0.2, 0.4, 0.8]],
                        dtype=torch.float64)
found = torch.as_tensor(input_gradient(model, pictures, labels))
assert found.shape == pictures.shape and found.any(), (
    "the gradient: expected a tensor of shape "
    f"{tuple(pictures.shape)}, got {found!r}.")
assert not pictures.requires_grad and pictures.grad is None, (
    "the pictures after the call: expected no gradient and no "
    "request for one, got one. Likely cause: requires_grad "
    "was set on the tensor that was given, and not on a copy.")
assert model.first.grad is None and model.second.grad is None, (
    "the model's parameters after the call: expected .grad to "
    "be None as before, got a tensor. Likely cause: backward() "
    "fills it; the next step of a training would add to it.")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(42)
model = Wave(6, 4, seed=3)
kept = [p.detach().clone() for p in model.parameters()]
for p in model.parameters():
    p.grad = torch.ones_like(p)
pictures = torch.rand(5, 2, 3, generator=lot, dtype=torch.float64)
before, labels = pictures.clone(), torch.tensor([0, 1, 2, 3, 0])
input_gradient(model, pictures, labels)
same(pictures, before, "the pictures after the call", cause="changed in place")
for p, old in zip(model.parameters(), kept):
    same(p, old, "a parameter after the call", cause="changed")
    same(p.grad, torch.ones_like(p), "its .grad after the call",
         cause="backward() adds to it")
layer = nn.Linear(6, 4).double().requires_grad_(False).eval()
input_gradient(layer, pictures.flatten(1), labels)
assert not layer.weight.requires_grad and not layer.training, (
    "a frozen layer in eval mode: expected both as before the call")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 2: the step (4 points)
#
# If no pixel may move by more than $\epsilon$, and if $J$ were linear, the best that an attacker
# can do is to move *every* pixel by $\epsilon$, up where the gradient is positive and down where it
# is negative; and then to see to it that it still is a picture:
#
# $$x' = \text{clip}\big(x + \epsilon\,\text{sign}(g)\big).$$

# %% nbgrader={"grade": false, "grade_id": "sign-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sign_step(images, gradient, eps, low, high):
    """The fast gradient sign step, clipped to pictures.

    images: float (N, ...), each pixel in [low, high]; gradient: float (N, ...),
    of the same shape; eps: float, 0 or more; low, high: floats, the smallest
    and the largest value of a pixel. Returns float (N, ...). A pixel whose
    gradient is 0 stays.
    """
    ### BEGIN SOLUTION
    return (images + eps * gradient.sign()).clamp(low, high)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# How large a gradient is does not matter, only on which side of 0 it lies. And 0 has a sign, too.

# %% [markdown] tags=["hint"]
# `tensor.sign()` gives -1, 0 and 1; `tensor.clamp(low, high)` clips. Which tensor has to be
# clipped?

# %% nbgrader={"grade": true, "grade_id": "sign-step-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
pictures = torch.tensor([[0.5, 0.5, 0.5, 0.6]])
gradient = torch.tensor([[2.0, -0.001, 0.0, 0.3]]) * (1 + nudge)
same(sign_step(pictures, gradient, 0.1, 0.0, 1.0),
     torch.tensor([[0.6, 0.4, 0.5, 0.7]]),
     "pixels .5, .5, .5, .6, gradient 2, -.001, 0, .3, eps .1",
     cause="small gradients count as much as large ones, the "
           "loss is to rise, and a gradient of 0 moves nothing")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(43)
for shape, eps, kind in [((4, 1, 5, 5), 0.07, torch.float32),
                         ((3, 8), 0.2, torch.float64)]:
    pictures = 0.3 + 0.4 * torch.rand(shape, generator=lot, dtype=kind)
    gradient = 1e-6 * torch.randn(shape, generator=lot, dtype=kind)
    gradient[0] = 0
    wanted = pictures.clone()
    wanted[gradient > 0] += eps
    wanted[gradient < 0] -= eps
    same(sign_step(pictures, gradient, eps, 0.0, 1.0), wanted,
         f"pictures {shape}", cause="see the formula")
for slope in (5e-36, 1e38):
    same(sign_step(torch.tensor([[0.5, 0.5]]), torch.tensor([[slope, -slope]]),
                   0.25, 0.0, 1.0), torch.tensor([[0.75, 0.25]]),
         f"a gradient of {slope}", cause="the smallest slope has a sign")
same(sign_step(torch.tensor([[0.5, 0.0]]), torch.tensor([[3.0, -1.0]]), 0.0,
               0.0, 1.0), torch.tensor([[0.5, 0.0]]), "eps 0",
     cause="nothing moves")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "sign-step-clip", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
pictures = torch.tensor([[0.0, 0.05, 0.98, 1.0]])
gradient = torch.tensor([[-1.0, -1.0, 1.0, 1.0]]) * (1 + nudge)
same(sign_step(pictures, gradient, 0.1, 0.0, 1.0),
     torch.tensor([[0.0, 0.0, 1.0, 1.0]]),
     "pixels near black and white, pushed outwards",
     cause="it is the sum that has to be clipped, on both sides")
same(pictures, torch.tensor([[0.0, 0.05, 0.98, 1.0]]),
     "the pictures after the call",
     cause="+= or a name that ends in _ wrote into the tensor that was given")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(44)
inf = math.inf
for low, high, eps in [(-1.0, 1.0, 0.3), (0.2, 0.8, 0.5), (0.0, 255.0, 16.0),
                       (-inf, inf, 2.0)]:
    span = (max(low, -5.0), min(high, 300.0))
    pictures = span[0] + (span[1] - span[0]) * torch.rand(3, 2, 4,
                                                          generator=lot)
    gradient = torch.randn(3, 2, 4, generator=lot)
    kept = pictures.clone(), gradient.clone()
    wanted = [min(max(p + eps * math.copysign(1, g), low),
                  high) for p, g in zip(pictures.flatten().tolist(),
                                        gradient.flatten().tolist())]
    same(sign_step(pictures, gradient, eps, low, high),
         torch.tensor(wanted).view(3, 2, 4), f"pixels in [{low}, {high}]",
         cause="the bounds are arguments")
    same(pictures, kept[0], "the pictures after the call",
         cause="changed in place")
    same(gradient, kept[1], "the gradient after the call",
         cause="changed in place")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 3: a linear model at its worst (6 points)
#
# **Logistic regression** tells two classes, $y = \pm 1$, apart by the sign of $w \cdot x + b$. Its
# loss is
#
# $$J(x, y) = \zeta\big(-y\,(w \cdot x + b)\big), \qquad \zeta(t) = \log(1 + e^t),$$
#
# where $\zeta$ is called *softplus*. For this model nobody has to search for an adversarial
# example: the largest loss that any change of at most $\epsilon$ in each pixel can cause,
#
# $$\max_{|r_1| \le \epsilon, \dots, |r_D| \le \epsilon} J(x + r, y),$$
#
# has a closed form. Find it on paper (there is no clipping here), then write it down. Beware of
# $e^t$ where $t$ is large: a loss of 1,000 is a number like any other.

# %% nbgrader={"grade": false, "grade_id": "worst-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def worst_loss(x, y, w, b, eps):
    """The largest logistic loss of each x + r, over all r with no |r_i| above
    eps, in closed form.

    x: float (N, D); y: float (N,), each +1 or -1; w: float (D,); b: a number;
    eps: a number, 0 or more. Returns float (N,), finite even where the loss is
    in the thousands.
    """
    ### BEGIN SOLUTION
    margin = y * (x @ w + b) - eps * w.abs().sum()
    return F.softplus(-margin)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# $\zeta$ only grows, so look for the smallest $y\,w \cdot (x + r)$. It is a sum over pixels, and
# each pixel can be chosen without regard to the others.

# %% [markdown] tags=["hint"]
# Pixel $i$ contributes $y w_i r_i$, at its smallest $-\epsilon |w_i|$. For large $t$, $\log(1 +
# e^t)$ is $t$ but for next to nothing; `torch.nn.functional.softplus` knows that.

# %% nbgrader={"grade": true, "grade_id": "worst-loss-test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
x = torch.tensor([[0.2, 0.9, 0.4], [0.8, 0.1, 0.5]])
y, w = torch.tensor([1.0, -1.0]), torch.tensor([2.0, -1.0, 0.5]) + nudge
wanted = torch.full((2,), -math.inf)
# A linear function is largest in a corner.
for corner in itertools.product([-0.3, 0.3], repeat=3):
    margin = y * ((x + torch.tensor(corner)) @ w + 0.25)
    wanted = torch.maximum(wanted, torch.log(1 + torch.exp(-margin)))
same(worst_loss(x, y, w, 0.25, 0.3), wanted,
     "two pictures of 3 pixels, eps .3, "
     "against all 8 corners of what is allowed",
     cause="too small: another norm of w, or the loss without the "
           "change; right for one of the two pictures only: y has its "
           "part in the margin, and none in what the change can do")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(45)
for n, d, b, eps, kind in [(9, 30, -0.8, 0.05, torch.float32),
                           (4, 7, 1.5, 0.4, torch.float64),
                           (1, 2, 0.0, 0.1, torch.float32),
                           (6, 5, 0.3, 0.0, torch.float64)]:
    x = torch.rand(n, d, generator=lot, dtype=kind)
    y = 2.0 * torch.randint(2, (n,), generator=lot).to(kind) - 1
    w = torch.randn(d, generator=lot, dtype=kind)
    w[1] = 0
    worst = x.double() - eps * y.double()[:, None] * w.double().sign()
    wanted = torch.log1p(torch.exp(-y.double() * (worst @ w.double() + b)))
    same(worst_loss(x, y, w, b, eps), wanted, f"{n} pictures of {d} pixels",
         cause="see above")
x = torch.tensor([[4.5, 0.0], [-8.0, 1.0], [11.0, 1.0]])
y, w = torch.tensor([1.0, -1.0, 1.0]), torch.tensor([1.0, -0.5])
same(worst_loss(x, y, w, 0.5, 2.0),
     [math.log1p(math.exp(-margin)) for margin in (2, 5, 8)],
     "margins of 2, 5 and 8 at their worst, eps 2",
     cause="a small loss is not 0, and eps may be above 1")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "worst-loss-large", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
w = torch.tensor([30.0, 40.0])
same(worst_loss(torch.tensor([[1.0, 1.0]]), torch.tensor([-1.0]), w, 0.0, 1.0),
     torch.tensor([140.0]), "a margin of -140 at its worst",
     cause="infinity: exp(140) is too large a number for "
           "float32; anything else: as in the test before")
### BEGIN HIDDEN TESTS
for kind in (torch.float32, torch.float64):
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=kind)
    w, y = torch.tensor([2000.0, -3000.0], dtype=kind), torch.tensor([-1.0,
                                                                      -1.0],
                                                                     dtype=kind)
    same(worst_loss(x, y, w, 0.0, 0.5), torch.tensor([4500.0, 0.0]),
         "margins of -4500 and 500", cause="overflow, or a clamp")
same(worst_loss(torch.tensor([[1.0]]), torch.tensor([-1.0]),
                torch.tensor([6.0]), 0.0, 0.0), torch.tensor([6.0024757]),
     "a margin of -6", cause="it is not so large that 1 does not count")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 4: how large must eps be? (4 points)
#
# Turn the question round. For one picture of the model above, how small may $\epsilon$ be for some
# allowed $r$ to bring it *to the border*, where $w \cdot (x + r) + b = 0$? A picture that is
# misclassified, or on the border, needs no change.

# %% nbgrader={"grade": false, "grade_id": "smallest-eps", "locked": false, "schema_version": 3, "solution": true, "task": false}
def smallest_eps(x, y, w, b):
    """The smallest eps for which some r with every |r_i| <= eps takes x + r to
    the border.

    x: float (N, D); y: float (N,), the true classes, each +1 or -1; w: float
    (D,), not all zero, of any size from 1e-20 to 1e20; b: a number. Returns
    float (N,): 0 where x is misclassified already. Nothing is clipped.
    """
    ### BEGIN SOLUTION
    margin = y * (x @ w + b)
    return margin.clamp(min=0) / w.abs().sum()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# By how much does a change of at most $\epsilon$ in each pixel lower the margin $y (w \cdot x + b)$
# at most? Exercise 3 has the answer.

# %% [markdown] tags=["hint"]
# Divide the margin by the number that $\epsilon$ is multiplied with. What of a negative margin?

# %% nbgrader={"grade": true, "grade_id": "smallest-eps-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
w = torch.tensor([2.0, -1.0, 1.0])
x = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])
y = torch.tensor([1.0, -1.0])
same(smallest_eps(x, y, w, -0.5), torch.tensor([0.5, 0.375]),
     "margins of 2 and 1.5, w = (2, -1, 1)",
     cause="2 and 1.5: not divided at all; .8165 and .6124: that is the "
           "distance in the 2-norm; 1 and .75: the signs of w cancel")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(46)
for n, d, b, kind in [(12, 25, 0.4, torch.float32), (5, 3, -2.0, torch.float64),
                      (1, 1, 0.1, torch.float32)]:
    x = torch.rand(n, d, generator=lot, dtype=kind)
    w = torch.randn(d, generator=lot, dtype=kind)
    side = x @ w + b
    found = torch.as_tensor(smallest_eps(x, side.sign(), w, b)).double()
    assert found.shape == (n,), f"expected shape {(n,)}, got {found.shape}"
    # Moved by it against its side, each picture lies on the border.
    moved = (
        x.double()
        - found[:, None] * side.sign().double()[:, None] * w.double().sign()
    )
    same(moved @ w.double() + b, torch.zeros(n),
         f"{n} pictures, moved to the border",
         cause="too far, or not far enough", atol=1e-4)
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "smallest-eps-wrong", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
x, y = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([-1.0, -1.0])
w = torch.tensor([4.0, -1.0])
same(smallest_eps(x, y, w, 0.0), torch.tensor([0.0, 0.2]),
     "one misclassified picture, and one that is not",
     cause=".8: the true class is not looked at; -.8: no eps is below 0")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(47)
for far, size in [(1, 1), (100, 1), (1, 1e-20), (1, 1e20)]:
    x = far * torch.randn(40, 6, generator=lot)
    w = size * torch.randn(6, generator=lot)
    w[2], b = 0, 0.7 * size
    y = 2.0 * torch.randint(2, (40,), generator=lot) - 1
    wanted = []
    for row, label in zip(x.tolist(), y.tolist()):
        margin = label * (sum(p * q for p, q in zip(row, w.tolist())) + b)
        wanted.append(max(margin, 0.0) / sum(abs(q) for q in w.tolist()))
    same(smallest_eps(x, y, w, b), torch.tensor(wanted),
         f"random classes, pixels of size {far}, weights of size {size}",
         cause="see above", atol=1e-5 * far)
same(smallest_eps(torch.tensor([[1.0, 1.0]]), torch.tensor([1.0]),
                  torch.tensor([1.0, -1.0]), 0.0), torch.tensor([0.0]),
     "a picture on the border", cause="it needs no change")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 5: what dimension has to do with it (3 points)
#
# Is the attack strong because the change is large? Compare it with noise of the same size: every
# pixel by $+\epsilon$ or $-\epsilon$, the signs drawn by lot. The sum $w \cdot r$ is then 0 on
# average; its standard deviation is what noise can be expected to do. The attack does $\epsilon
# \|w\|_1$. How many times more is that?

# %% nbgrader={"grade": false, "grade_id": "aligned-over-random", "locked": false, "schema_version": 3, "solution": true, "task": false}
def aligned_over_random(w):
    """How far the sign step moves w . x, over the standard deviation of w . r
    for random signs.

    w: float (K, D): the weights of K models, none of them all zero, of any size
    from 1e-9 to 1e9. In w . r each r_i is +eps or -eps, with equal chances and
    independent of the others. Returns float (K,), exact: in closed form, not by
    drawing numbers.
    """
    ### BEGIN SOLUTION
    return w.abs().sum(dim=1) / w.square().sum(dim=1).sqrt()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# The variance of a sum of independent numbers is the sum of their variances. What is that of
# $w_i r_i$?

# %% [markdown] tags=["hint"]
# $w_i r_i$ is $\pm \epsilon w_i$, so its variance is $\epsilon^2 w_i^2$. The $\epsilon$ cancels.

# %% nbgrader={"grade": true, "grade_id": "aligned-over-random-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
w = torch.tensor([[0.0, -2.0, 0.0, 0.0], [3.0, 3.0, 3.0, -3.0]])
w = w * (1 + nudge)
same(aligned_over_random(w), torch.tensor([1.0, 2.0]),
     "a model of one pixel, and one of 4 equally important pixels",
     cause=".5 and .3333: divided by the variance; 1 and .5: the "
           "quotient is turned round; and the sign of a weight "
           "does not matter, since the attack chooses its own")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(48)
for k, d, size, kind in [(3, 50, 0.01, torch.float32),
                         (5, 2, 1e-9, torch.float64),
                         (1, 784, 1e9, torch.float32)]:
    w = size * torch.randn(k, d, generator=lot, dtype=kind)
    wanted = [sum(abs(a) for a in row) / math.hypot(*row) for row in w.tolist()]
    same(aligned_over_random(w), torch.tensor(wanted),
         f"{k} models of {d} pixels", cause="see the formula")
same(aligned_over_random(torch.full((2, 10_000), -0.5)),
     torch.tensor([100.0, 100.0]), "10,000 equal pixels", cause="see above")
### END HIDDEN TESTS

# %% [markdown]
# For random weights the quotient grows like the root of the number of pixels: with 784 it is about
# 22, with a photograph's 150,528 about 310. Try it:
# `aligned_over_random(torch.randn(1, 150_528))`.
#
# ## Exercise 6: a loss to train on (6 points)
#
# One step costs one gradient, so it can be taken at every step of training. The slides' loss is
#
# $$\tilde J(\theta, x, y) = \alpha J(\theta, x, y)
#   + (1 - \alpha)\, J\big(\theta, x + \epsilon\,\text{sign}(\nabla_x J(\theta, x, y)), y\big),$$
#
# averaged over the batch. To train on it, one must be able to differentiate it in $\theta$; the
# moved pictures count as given. For the step, use `fgsm(model, images, labels, eps=eps)` of
# `course_utils.attacks`, imported above, whatever you have for exercises 1 and 2. It clips to
# [0, 1].

# %% nbgrader={"grade": false, "grade_id": "adversarial-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def adversarial_loss(model, images, labels, eps, alpha):
    """The slides' loss of adversarial training, the mean over the batch.

    model: an nn.Module, from pictures (N, ...) to logits (N, K); images: float
    (N, ...) in [0, 1]; labels: int64 (N,); eps: float, 0 or more; alpha: float
    in [0, 1], the share of the clean pictures. Returns a tensor without
    dimensions that backward() can be called on.
    """
    ### BEGIN SOLUTION
    moved = fgsm(model, images, labels, eps=eps)
    clean = F.cross_entropy(model(images), labels)
    hostile = F.cross_entropy(model(moved), labels)
    return alpha * clean + (1 - alpha) * hostile
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Two cross-entropies of the same model and labels, of which pictures each? `F.cross_entropy` takes
# logits, and averages by itself.

# %% [markdown] tags=["hint"]
# Call the model on the moved pictures again, outside of any `no_grad` and without `.item()`, so
# that the result still knows the weights.

# %%
def two_pixels():
    """A model, a picture and its class: of the pixels a and b the logits are 0
    and 2 a - 4 b."""
    plain = nn.Linear(2, 2, bias=False)
    plain.weight.data = torch.tensor([[0.0, 0.0], [2.0, -4.0]])
    picture = torch.tensor([[0.5, 0.4]], dtype=torch.float64)
    return plain.double(), picture, torch.tensor([0])

# %% nbgrader={"grade": true, "grade_id": "adversarial-loss-test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
plain, picture, truth = two_pixels()
same(adversarial_loss(plain, picture, truth, 0.1, 1.0), 0.4374879,
     "the loss with alpha 1",
     cause="0.6931 is the loss of the moved picture, "
           "but alpha is the share of the clean one")
same(adversarial_loss(plain, picture, truth, 0.1, 0.75), 0.5014027,
     "the loss with alpha .75",
     cause=".6292: the shares are swapped; 1.1306: they are missing; .4375: "
           "the moved picture is not used, or is moved so that the loss falls")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(49)
for n, shape, classes, eps, alpha in [(7, (1, 3, 2), 4, 0.1, 0.3),
                                      (5, (4,), 2, 0.25, 0.5),
                                      (3, (2, 2), 3, 0.05, 0.0),
                                      (4, (5,), 3, 0.0, 0.6)]:
    pictures = torch.rand(n, *shape, generator=lot, dtype=torch.float64).round(
        decimals=1
    )
    labels = torch.randint(classes, (n,), generator=lot)
    model = Wave(math.prod(shape), classes, seed=5)
    flat = pictures.flatten(1)
    rest = (torch.sin(flat @ model.first) @ model.second).softmax(
        1
    ) - F.one_hot(labels, classes)
    way = (
        ((rest @ model.second.T) * torch.cos(flat @ model.first))
        @ model.first.T
    ).sign()
    moved = (flat + eps * way).clamp(0, 1)
    losses = [
        -(torch.sin(x @ model.first) @ model.second)
        .log_softmax(1)[range(n), labels]
        .mean()
        for x in (flat, moved)
    ]
    same(adversarial_loss(model, pictures, labels, eps, alpha),
         alpha * losses[0] + (1 - alpha) * losses[1],
         f"{n} pictures, eps {eps}, alpha {alpha}", cause="see the formula")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "adversarial-loss-trains", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
plain, picture, truth = two_pixels()
found = adversarial_loss(plain, picture, truth, 0.1, 0.5)
assert torch.is_tensor(found) and found.requires_grad, (
    "the loss: expected a tensor that knows the weights, got "
    "one that cannot be differentiated. Likely cause: .item(), "
    ".detach(), float() or torch.no_grad() on the way.")
(slope_in_weights,) = torch.autograd.grad(found, plain.weight)
same(slope_in_weights[1], torch.tensor([0.2385859, 0.1458687]),
     "the loss's gradient in the second row of the weights, alpha .5",
     cause=".1772 and .1417: the clean loss alone; about half of what "
           "was expected or less: one of the two losses does not know "
           "the weights; twice as much: the shares are missing")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(50)
layer = nn.Linear(6, 3).double()
layer.weight.data = torch.randn(3, 6, generator=lot, dtype=torch.float64)
layer.bias.data = torch.randn(3, generator=lot, dtype=torch.float64)
pictures = 0.2 + 0.6 * torch.rand(5, 6, generator=lot, dtype=torch.float64)
labels = torch.tensor([0, 2, 1, 1, 0])
def errors(x):
    return (x @ layer.weight.T + layer.bias).softmax(1).detach() - F.one_hot(
        labels, 3
    )
moved = pictures + 0.15 * (errors(pictures) @ layer.weight.detach()).sign()
wanted = [errors(x).T @ x / 5 for x in (pictures, moved)]
before = pictures.clone()
adversarial_loss(layer, pictures, labels, 0.15, 0.5).backward()
same(layer.weight.grad, sum(wanted) / 2,
     "the gradient in the weights of a linear model", cause="see above")
# Without a sign: which share is alpha was asked in the test before.
low, high = (torch.autograd.grad(adversarial_loss(layer, pictures, labels, 0.15,
                                                  alpha), layer.weight)[0]
             for alpha in (0.3, 0.8))
same((high - low).abs(), (wanted[0] - wanted[1]).abs() / 2,
     "how far the gradients with alpha .8 and .3 are apart",
     cause="the gradient does not know the shares")
same(pictures, before, "the pictures after the call", cause="changed in place")

# In float32 and in eval mode, frozen but for its last layer.
net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.Tanh(), nn.Dropout(),
                    nn.Linear(5, 3)).eval()
net[1].requires_grad_(False)
for p in net.parameters():
    p.data = torch.randn(p.shape, generator=lot)
    p.grad = torch.ones_like(p)
pictures = pictures.float().view(5, 1, 2, 3)
found = adversarial_loss(net, pictures, labels, 0.15, 0.5)
assert [net.training, net[1].weight.requires_grad] == [False, False], (
    "a frozen network in eval mode: expected both as before the call")
same(net[4].bias.grad, torch.ones(3), ".grad after the call",
     cause="backward() and zero_grad() change it")
found.backward()
with torch.no_grad():
    inner = net[:3](pictures)
    rest = net[4](inner).softmax(1) - F.one_hot(labels, 3)
    way = (rest @ net[4].weight * (1 - inner**2)) @ net[1].weight
    moved = pictures + 0.15 * way.sign().view(5, 1, 2, 3)
    other = net(moved).softmax(1) - F.one_hot(labels, 3)
same(net[4].bias.grad, 1 + (rest + other).mean(0) / 2,
     "the gradient in a bias of a network that is frozen but for one layer",
     cause="another mode, or another type of numbers")
same(net[1].weight.grad, torch.ones(5, 6), "the gradient in its frozen layer",
     cause="frozen no more")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 7: many small steps (6 points)
#
# One step trusts a slope that was measured at the start. Look again on the way: take small steps,
# each along the sign of the gradient *where you are*, and after each go back to the nearest point
# that is allowed, no pixel further than $\epsilon$ from the picture that you **started** with, and
# none outside [0, 1]. This is **projected gradient**:
#
# $$x_0 = x, \qquad x_{k+1} = \Pi\big(x_k + \eta\,\text{sign}(\nabla_x J(x_k, y))\big),$$
#
# $$\Pi(z)_i = \text{clip of } z_i \text{ to } [x_i - \epsilon, x_i + \epsilon] \cap [0, 1].$$

# %% nbgrader={"grade": false, "grade_id": "projected-steps", "locked": false, "schema_version": 3, "solution": true, "task": false} without="\\bfgsm\\b|\\bcourse_utils\\b|__dict__|(?<!\\.)\\b(?:getattr|vars|globals|eval|exec)(?=\\()"
def projected_steps(model, images, labels, eps, step, steps):
    """The last point x_k, k = steps, of projected gradient from each picture,
    by the formula.

    model: an nn.Module, from pictures (N, ...) to logits (N, K), each row from
    its picture alone; images: float (N, ...) in [0, 1]; labels: int64 (N,);
    eps: float, 0 or more; step: float, 0 or more, the formula's eta; steps:
    int, 0 or more. Returns float (N, ...). The .grad of the model's parameters
    is left as it was.
    """
    ### BEGIN SOLUTION
    points = images.clone()
    for _ in range(steps):
        points.requires_grad_()
        loss = F.cross_entropy(model(points), labels, reduction="sum")
        (slope,) = torch.autograd.grad(loss, points)
        points = points.detach() + step * slope.sign()
        points = points.clamp(images - eps, images + eps).clamp(0, 1)
    return points
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# A loop around exercises 1 and 2: what is new in each round, and what stays the same from the first
# to the last?

# %% [markdown] tags=["hint"]
# `clamp` takes tensors as bounds, too: `points.clamp(images - eps, images + eps)`. Detach the
# points from the round before, or autograd will remember all rounds.

# %%
class Hill(nn.Module):
    """Two classes; the loss of class 0 is largest at the peak, and falls off to
    all sides."""

    def __init__(self, *peak):
        super().__init__()
        self.peak = nn.Parameter(torch.tensor(peak).double())

    def forward(self, images):
        height = -(images - self.peak).square().sum(dim=1)
        return torch.stack([torch.zeros_like(height), height], dim=1)


class Bend(nn.Module):
    """The second pixel lowers the loss where the first is below `bend`."""

    def __init__(self, bend):
        super().__init__()
        self.bend = bend

    def forward(self, images):
        first, second = images.unbind(1)
        score = first + 3 * (first - self.bend) * second
        return torch.stack([torch.zeros_like(score), score], dim=1)

# %% nbgrader={"grade": true, "grade_id": "projected-steps-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
hill, truth = Hill(0.5, 0.3), torch.tensor([0])
picture = torch.tensor([[0.42, 0.9]], dtype=torch.float64)
same(projected_steps(hill, picture, truth, 0.5, 0.05, 2),
     torch.tensor([[0.52, 0.8]]),
     "two steps of .05 from (.42, .9), on a hill with its peak at (.5, .3)",
     cause="one step more or less would be .05 further or "
           "nearer; moving away from the peak, the loss falls")
same(projected_steps(hill, picture, truth, 0.5, 0.05, 5),
     torch.tensor([[0.47, 0.65]]),
     "five steps",
     cause=".67: past the peak the first pixel has to turn "
           "round, so the gradient is wanted anew at each point")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(51)
# In the middle of what is allowed, where nothing has to be projected.
for shape, classes, step, steps in [((6, 1, 3, 2), 4, 0.03, 10),
                                    ((1, 5), 2, 0.04, 1), ((4, 8), 3, 0.1, 3),
                                    ((3, 2, 2), 5, 0.01, 25)]:
    pictures = 0.4 + 0.2 * torch.rand(shape, generator=lot, dtype=torch.float64)
    labels = torch.randint(classes, (shape[0],), generator=lot)
    model = Wave(math.prod(shape[1:]), classes, seed=6)
    first, second, flat = (
        model.first.detach(),
        model.second.detach(),
        pictures.flatten(1),
    )
    for _ in range(steps):
        rest = (torch.sin(flat @ first) @ second).softmax(1) - F.one_hot(
            labels, classes
        )
        flat = (
            flat
            + step
            * (((rest @ second.T) * torch.cos(flat @ first)) @ first.T).sign()
        )
    same(projected_steps(model, pictures, labels, 0.9, step, steps),
         flat.view(shape), f"pictures {shape}, {steps} steps",
         cause="see the formula")
near = torch.tensor([[0.48, 0.32, 0.75]], dtype=torch.float64)
same(projected_steps(Hill(0.5, 0.3, 0.75), near, truth, 0.5, 0.1, 1),
     torch.tensor([[0.58, 0.22, 0.75]]), "a step of .1 from near the peak",
     cause="the last point is wanted, not the best; "
           "and a slope of 0 moves nothing")
same(projected_steps(Hill(0.45), torch.tensor([[0.3]]).double(), truth, 0.2,
                     0.1, 3), torch.tensor([[0.4]]), "to eps and back",
     cause="the bounds stop a pixel, and do not keep it")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "projected-steps-ball", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
hill, truth = Hill(0.5, -3.0), torch.tensor([0])
picture = torch.tensor([[0.95, 0.08]], dtype=torch.float64)
same(projected_steps(hill, picture, truth, 0.12, 0.05, 4),
     torch.tensor([[0.83, 0.0]]),
     "four steps of .05 with eps .12, from (.95, .08)",
     cause="below .83 the first pixel is further than eps from "
           "where it started (is the distance taken from the point "
           "of the round before?); below 0 the second is none")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(52)
for eps, step, steps in [(0.1, 0.5, 3), (0.02, 0.015, 40), (0.6, 0.2, 9),
                         (0.0, 0.1, 3)]:
    pictures = torch.rand(8, 6, generator=lot, dtype=torch.float64).round(
        decimals=1
    )
    before, labels = pictures.clone(), torch.randint(3, (8,), generator=lot)
    found = torch.as_tensor(projected_steps(Wave(6, 3, seed=7), pictures,
                                            labels, eps, step, steps))
    found = found.detach().double()
    assert found.shape == (8, 6), f"expected shape (8, 6), got {found.shape}"
    same((found - before).abs().clamp(min=eps), torch.full((8, 6), eps),
         "distances above eps", cause="out of the ball")
    same(found.clamp(0, 1), found, "pixels outside [0, 1]",
         cause="out of the box")
    same(pictures, before, "the pictures after the call",
         cause="changed in place")

truth = torch.tensor([0])
# where ball and box end
for first, furthest, bend in [(0.3, 0.55, 0.6), (0.9, 1.0, 1.05)]:
    picture = torch.tensor([[first, 0.5]], dtype=torch.float64)
    same(projected_steps(Bend(bend), picture, truth, 0.25, 0.1, 20),
         torch.tensor([[furthest, 0.25]]), "twenty steps of .1 with eps .25",
         cause="projected at the end only")
picture = torch.tensor([[0.44]], dtype=torch.float64)
found = torch.as_tensor(projected_steps(Hill(0.5), picture, truth, 0.1, 0.5, 2))
same((found - picture).abs(),
     torch.tensor([[0.1]]), "how far two steps of .5 lead with eps .1",
     cause="a step may be longer than eps: it ends on the ball")
same(projected_steps(Bend(0.45), torch.tensor([[0.3, 0.05]]).double(), truth,
                     0.25, 0.1, 20), torch.tensor([[0.55, 0.3]]),
     "to black and back", cause="a step starts where the one before ended")
# So far away that slopes are tiny, but for one pixel: only the bounds stop the
# others.
hill = Hill(4.0, 0.9, -3.0)
pictures = torch.tensor([[0.2, 0.1, 0.6], [0.9, 0.9, 0.3]], dtype=torch.float64)
found = torch.as_tensor(projected_steps(hill, pictures, torch.tensor([0, 0]),
                                        0.25, 0.1, 8))
same(found[:, [0, 2]], torch.tensor([[0.45, 0.35], [1.0, 0.05]]),
     "eight steps of .1 with eps .25", cause="see above")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "projected-steps-edges", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
hill, truth = Hill(0.5, 0.3), torch.tensor([0])
picture = torch.tensor([[0.42, 0.9]], dtype=torch.float64)
same(projected_steps(hill, picture, truth, 0.5, 0.05, 0), picture,
     "no step at all",
     cause="one was taken before the first")
### BEGIN HIDDEN TESTS
projected_steps(hill, picture, truth, 0.5, 0.05, 3)
assert hill.peak.grad is None, (
    ".grad of the model's parameter: expected None as before"
)
same(hill.peak, torch.tensor([0.5, 0.3]),
     "the model's parameter after the call", cause="changed")
other = torch.tensor([[0.42, 0.9], [0.1, 0.2]], dtype=torch.float64)
same(projected_steps(hill, other, torch.tensor([1, 1]), 0.5, 0.05, 2),
     torch.tensor([[0.32, 1.0], [0.0, 0.1]]),
     "the other class, away from the peak", cause="labels")
same(projected_steps(hill, picture, truth, 0.5, 0.0, 3), picture,
     "three steps of 0", cause="they lead nowhere")

# In float32 and in eval mode, frozen but for its last layer.
net = nn.Sequential(nn.Conv2d(1, 4, 2), nn.Tanh(), nn.Flatten(), nn.Dropout(),
                    nn.Linear(8, 3)).eval()
lot = torch.Generator().manual_seed(53)
for p in net.parameters():
    p.data = torch.randn(p.shape, generator=lot)
    p.grad = torch.ones_like(p)
net[0].requires_grad_(False)
pictures = 0.4 + 0.2 * torch.rand(5, 1, 2, 3, generator=lot)
labels = torch.tensor([0, 2, 1, 1, 0])
found = projected_steps(net, pictures, labels, 0.2, 0.05, 1)
assert [net.training, net[0].weight.requires_grad] == [False, False], (
    "a frozen network in eval mode: expected both as before the call")
for p in net.parameters():
    same(p.grad, torch.ones_like(p), ".grad after the call",
         cause="backward() and zero_grad() change it")
inner = net[:3](pictures)
rest = net[4](inner).softmax(1) - F.one_hot(labels, 3)
rest = (rest @ net[4].weight * (1 - inner**2)).view(5, 4, 1, 2)
way = F.conv_transpose2d(rest, net[0].weight).sign()
same(found, pictures + 0.05 * way, "a step on a convolutional network",
     cause="another mode, or another type of numbers")
### END HIDDEN TESTS

# %% [markdown]
# Now let them loose on a network of the course. In a cell of your own, try
#
# ```python
# from course_utils.data import load_mnist
# from course_utils.zoo import load_model
#
# images, labels = (tensor[:500] for tensor in load_mnist("test"))
# model = load_model("maxout (adversarial)").requires_grad_(False)
# for steps in (1, 5, 20):
#     moved = projected_steps(model, images, labels, 0.25, 0.25 / steps**0.5, steps)
#     print(steps, (model(moved).argmax(1) != labels).float().mean().item())
# ```
#
# One step fools it on about .16 of the digits, five on nearly all.
#
# ## Exercise 8: an open question (6 points)
#
# Somebody trains a network on exercise 6's loss with $\epsilon = .3$, and reports its error on test
# digits (the numbers are invented, but of the kind that Lecture 4 has):
#
# | attack | error |
# |---|---|
# | none | 1.1 % |
# | fast gradient sign, $\epsilon = .1$ | 9.6 % |
# | fast gradient sign, $\epsilon = .3$ | 2.8 % |
# | projected gradient, 40 steps, $\epsilon = .3$ | 97 % |
#
# *"The last line is an unfair attack. Under the one we trained for, the network is robust: 2.8 %."*
# In about 200 words:
#
# - Which two of the numbers cannot both say how robust the network is, even without the last line?
#   Why not?
# - What may the network have learnt instead, and how does the loss that it was trained on reward
#   it?
# - Name two tests that would have raised the suspicion, and say which result of each would do so.
#   What would you train on instead, and at what price?

# %% [markdown] nbgrader={"grade": true, "grade_id": "open-question", "locked": false, "points": 6, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **2 points.** 9.6 % at .1 and 2.8 % at .3. Whoever may move each pixel by .3 may also move it by
# .1, so the share of digits that *can* be made to fail can only grow with $\epsilon$: at .3 it is
# at least 9.6 %. An error that falls says that the attack got worse, not the network better. (With
# the last line: at least 97 %.) One point for why the share cannot fall, one for what the fall says.
#
# **2 points.** Gradient masking: the network bends its loss near the pictures, so that the sign of
# the gradient there leads nowhere useful, while its borders stay where they were. The loss sees one
# adversarial picture only, that of one step of size .3 along the gradient at the start. It falls as
# soon as *that* step fails; nothing rewards holding against the other points within .3. The network
# may also learn to recognise the step's pattern. One point for what the gradient no longer tells,
# one for why this training rewards it.
#
# **2 points.** Any two of: one step from a random start (suspicious: it fools more than the step
# from the picture); leaving pixels out of the attack (suspicious: more errors with less freedom);
# errors over $\epsilon$ (suspicious: a falling curve, or no 100 % for very large $\epsilon$); the
# loss along the sign direction (suspicious: it bends at once); pictures made for another network
# (suspicious: they fool more than the network's own). Train on projected gradient, at the price of
# one more gradient for each of its steps, so forty times as much for forty steps; test with an
# attack that was not trained on. Half a point for each test with its suspicious result, half for
# what to train on, half for its price.
# ### END SOLUTION

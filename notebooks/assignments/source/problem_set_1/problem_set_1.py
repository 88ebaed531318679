# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Problem set 1: an attack from its parts
#
# You build the attack of Lecture 1 piece by piece, and let it loose on real digits in the end. It
# takes about three hours. You need Lecture 1, and nothing else but PyTorch, NumPy and SciPy.
#
# - Write each function's code in the place that is marked for it. The docstring says exactly what
#   the function gets and what it must return.
# - The cell after it tests your function. A failed test says what was expected, what came, and
#   what the cause may be. Further tests, with other inputs, run when your work is marked.
# - Any correct way of writing a function gets full marks: loops or whole tensors, float32 or
#   float64. No function may change the tensors that it is given.
# - No exercise's tests call what you wrote for another: a mistake counts once.
# - `course_utils` has functions like some of these. Write your own.
#
# | Exercise | | Points |
# |---|---|---|
# | 1 | Distortion | 2 |
# | 2 | The penalty objective | 4 |
# | 3, 4 | Its gradient, by numbers and by hand | 2 + 4 |
# | 5, 6 | The box: projection and active set | 2 + 3 |
# | 7 | Projected gradient descent | 2 |
# | 8, 9 | The smallest perturbation for two classes, without and with the box | 3 + 5 |
# | 10 | The search for c | 3 |
# | 11 | The attack | 5 |
# | 12 | Open question, marked by hand | 5 |

# %%
import math
from functools import partial

import numpy as np
import torch
from scipy.optimize import minimize
from torch.nn.functional import cross_entropy

from course_utils.assignments import likely, same
from course_utils.data import load_mnist
from course_utils.zoo import load_model

same = partial(same, tensor=True)  # a list is no tensor

# The examples in the tests move by this: 0, or less than 1 with a class's seed.
nudge = torch.Generator().manual_seed(0).initial_seed() * 0.618 % 1

# %% [markdown]
# The tests use two helpers: `same`, which compares, and `likely`, which looks for the mistake.

# %% [markdown]
# ## Exercise 1: distortion (2 points)
#
# To compare attacks we need one number for the size of a change, which does not depend on how many
# pixels a picture has. For an image $x$ and its adversarial image $x'$, of $m$ pixels each, it is
#
# $$\sqrt{\frac1m \sum_{i=1}^m (x'_i - x_i)^2}.$$

# %% nbgrader={"grade": false, "grade_id": "distortion", "locked": false, "schema_version": 3, "solution": true, "task": false}
def distortion(images, adversarial):
    """The root mean square change per pixel, for each image.

    images, adversarial: float tensors of the same shape (N, ...), with one
    dimension or more after the first. Returns a float tensor (N,), 0 or above.
    """
    ### BEGIN SOLUTION
    return (adversarial - images).flatten(1).square().mean(dim=1).sqrt()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# The name says it backwards: square, then mean, then root, for each image by itself.

# %% [markdown] tags=["hint"]
# `flatten(1)` turns (N, ...) into (N, pixels); then reduce over `dim=1`.

# %% nbgrader={"grade": true, "grade_id": "distortion-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
before = torch.full((2, 1, 2, 2), 0.1 + nudge)
after = before + torch.tensor([[0.3, 0.3, 0.3, 0.3],
                               [0.0, 0.0, 0.0, 0.8]]).view(2, 1, 2, 2)
got = distortion(before, after)
wanted = torch.tensor([0.3, 0.4])
what = "distortion of two images of four pixels"
same(got, wanted, what, cause=likely(got, {
    "this is the length of the change, which grows with the number of pixels":
        [0.6, 0.8],
    "this is the square of what is wanted": [0.09, 0.16],
    "this is a mean of absolute values": [0.3, 0.2],
    "something is subtracted first, but the same "
    "change in all pixels counts, too": [0.0, 0.34641],
    "the number of pixels stands outside the root": [0.15, 0.2],
    "this is one number for all images, where each has its own": 0.35355,
}))

# %% nbgrader={"grade": true, "grade_id": "distortion-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(1)
for shape, dtype in [((5, 1, 6, 6), torch.float32), ((3, 7), torch.float64),
                     ((1, 3, 4, 5), None), ((12, 3, 4), torch.float64)]:
    before = torch.rand(shape, generator=generator, dtype=dtype)
    after = before + 0.2 * torch.randn(shape, generator=generator, dtype=dtype)
    after[1:2] *= 5
    if len(before) > 1:
        after[-1] = before[-1]
    copies = before.clone(), after.clone()
    got = distortion(before, after)
    squares = ((copies[1] - copies[0]) ** 2).sum(tuple(range(1, len(shape))))
    wanted = (squares / before[0].numel()) ** 0.5
    same(got, wanted, f"distortion, shape {shape}", cause="the dimensions")
    for copy, given in zip(copies, (before, after)):
        same(given, copy, "what distortion was given", cause="changed in place")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 2: the penalty objective (4 points)
#
# "Be the target class" is true or false and has no slope to follow. So the attack minimises a sum
# of two wishes, to be small and to be the target $l$. For a linear softmax model the logits are
# $z = W(x + r) + b$, with one row of $W$ for each class, and
#
# $$F(r) = c\,\|r\|_2^2 + \text{loss}(x + r, l), \qquad
#   \text{loss} = -\log \frac{e^{z_l}}{\sum_k e^{z_k}} = \log \sum_k e^{z_k} - z_l .$$
#
# Each image has its own $c$. The exponentials of large logits overflow: find a way round that, or
# a function of PyTorch that knows one.

# %% nbgrader={"grade": false, "grade_id": "objective", "locked": false, "schema_version": 3, "solution": true, "task": false}
def objective(r, x, targets, weight, bias, c):
    """c * ||r||^2 + loss(x + r, target), one number for each image.

    r, x: float (N, D); targets: int64 (N,), the classes to reach; weight: float
    (K, D), one row for each class; bias: float (K,); c: float (N,), 0 or above,
    one for each image.
    Returns a float tensor (N,), finite even where logits are in the thousands.
    """
    ### BEGIN SOLUTION
    logits = (x + r) @ weight.T + bias
    loss = cross_entropy(logits, targets, reduction="none")
    return c * r.square().sum(dim=1) + loss
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Two terms, each of shape (N,). The logits of all images are one matrix product, shape (N, K).

# %% [markdown] tags=["hint"]
# `cross_entropy(logits, targets, reduction="none")` gives one loss for each image.

# %% nbgrader={"grade": true, "grade_id": "objective-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
x = torch.tensor([[0.5, 0.2], [0.1, 0.9]])
r = torch.tensor([[0.1, 0.3], [-0.1, 0.05]])
weight = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
bias = torch.tensor([0.0, -0.5, 0.5]) + nudge
targets, c = torch.tensor([1, 2]), torch.tensor([2.0, 0.5])

got = objective(r, x, targets, 0 * weight, 0 * bias, c)
what = "objective where all three classes are equally likely"
same(got, torch.tensor([1.298612, 1.104862]), what, cause=likely(got, {
    "the norm is not squared": [1.731068, 1.154514],
    "this is the mean of the squares, not their sum": [1.198612, 1.101737],
    "c stands at the other term": [2.297225, 0.561806],
    "c is missing": [1.198612, 1.111112],
    "the loss has the wrong sign": [-0.898612, -1.092362],
}))
got = objective(r, x, targets, weight, bias, c)
what = "objective of two images of two pixels, three classes"
same(got, torch.tensor([1.301943, 0.788232]), what, cause=likely(got, {
    "the model is evaluated at x, not at x + r": [1.628390, 0.839678],
    "the losses of the images are averaged, but each image keeps its own":
        [1.141962, 0.948212],
}))

# %% nbgrader={"grade": true, "grade_id": "objective-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(2)
for n, d, k, size, level, dtype in [(5, 20, 12, 1.0, 0, torch.float64),
                                    (1, 3, 2, 1.0, 0, torch.float32),
                                    (4, 6, 3, 3000.0, 0, torch.float32),
                                    (4, 5, 3, 1.0, 1000, torch.float64),
                                    (4, 5, 3, 1.0, -1000, torch.float64)]:
    x = torch.rand(n, d, generator=generator, dtype=dtype)
    r = 0.3 * torch.randn(n, d, generator=generator, dtype=dtype)
    weight = size * torch.randn(k, d, generator=generator, dtype=dtype)
    bias = level + torch.randn(k, generator=generator, dtype=dtype)
    c = 0.1 + 3 * torch.rand(n, generator=generator, dtype=dtype)
    c[1:3] = torch.tensor([0.0, 300.0])[: n - 1]
    targets = torch.randint(k, (n,), generator=generator)
    arguments = r, x, targets, weight, bias, c
    copies = [tensor.clone() for tensor in arguments]
    got = objective(*arguments)
    r, x, targets, weight, bias, c = copies
    z = (x + r).double() @ weight.double().T + bias.double()
    wanted = (
        c.double() * (r.double() ** 2).sum(1)
        + z.logsumexp(1)
        - z[torch.arange(n), targets]
    )
    what = f"objective for {n} images, {d} pixels, {k} classes"
    same(got, wanted, what, cause="large logits, or the dimensions",
         atol=1e-3 if level else 1e-5 * size)
    for copy, given in zip(copies, arguments):
        same(given, copy, "what objective was given", cause="changed in place")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 3: the gradient by numbers (2 points)
#
# A gradient that is nearly right is a mistake that is hard to see: the attack still works, only
# worse. So first a tool for checking any gradient, the **central difference**. With $e_j$ the
# $j$-th unit vector and a small step $h$,
#
# $$\frac{\partial F}{\partial r_j} \approx \frac{F(r + h e_j) - F(r - h e_j)}{2h} .$$

# %% nbgrader={"grade": false, "grade_id": "numerical-gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def numerical_gradient(function, r, h):
    """The gradient of `function` at each row of r, by central differences.

    r: float (N, D); h: a number above 0. function: takes a tensor of r's shape
    and dtype, no other, and returns one (N,); its i-th number depends on the
    i-th row alone, so all rows can be moved at once. Returns a float tensor
    (N, D).
    """
    ### BEGIN SOLUTION
    steps = h * torch.eye(r.shape[1], dtype=r.dtype)
    columns = [(function(r + step) - function(r - step)) / (2 * h)
               for step in steps]
    return torch.stack(columns, dim=1)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Move one column of r at a time, in a copy: up by h, down by h.

# %% [markdown] tags=["hint"]
# The rows of `h * torch.eye(D)` are the steps. Each gives one column of the result; `torch.stack`
# puts columns side by side.

# %% nbgrader={"grade": true, "grade_id": "numerical-gradient-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
r = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]], dtype=torch.float64)
each = torch.tensor([nudge, 2.0])  # a number of its own for each row
function = lambda r: r[:, 0] ** 2 + 3 * r[:, 1] + r[:, 2] ** 3 + each
got = numerical_gradient(function, r, 0.5)
wanted = torch.tensor([[2.0, 3.0, 27.25], [0.0, 3.0, 1.0]])
what = "central differences of r_1^2 + 3 r_2 + r_3^3 with h = 0.5"
same(got, wanted, what, cause=likely(got, {
    "this is a difference to the upper side only":
        [[2.5, 3.0, 31.75], [0.5, 3.0, 1.75]],
    "this is a difference to the lower side only":
        [[1.5, 3.0, 22.75], [-0.5, 3.0, 0.25]],
    "the two points are further apart than you divide by":
        [[4.0, 6.0, 54.5], [0.0, 6.0, 2.0]],
    "this is the exact derivative, or h is not the one given":
        [[2.0, 3.0, 27.0], [0.0, 3.0, 0.75]],
    "rows and columns are swapped": [[2.0, 0.0], [3.0, 3.0], [27.25, 1.0]],
}))

# %% nbgrader={"grade": true, "grade_id": "numerical-gradient-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(3)
for n, d, h, dtype in [(4, 5, 1e-3, torch.float64), (1, 2, 0.3, torch.float64),
                       (3, 1, 0.1, torch.float64), (3, 4, 0.5, torch.float32)]:
    r = torch.randn(n, d, generator=generator, dtype=dtype)
    copy = r.clone()
    # For each row its own, as the objective has an image for each.
    factors = torch.randn(n, d, generator=generator, dtype=dtype)
    ones = torch.ones(d, dtype=dtype)
    got = numerical_gradient(
        lambda r: (factors * r**3) @ ones + r.prod(1), r, h
    )
    same(r, copy, "the r that numerical_gradient was given",
         cause="changed in place")
    others = torch.stack([r[:, torch.arange(d) != j].prod(1) for j in range(d)],
                         dim=1)
    wanted = factors * (3 * r**2 + h**2) + others
    same(got, wanted, f"central differences, shape {(n, d)}, {dtype}",
         cause="h, or the dimensions",
         atol=1e-6 if dtype is torch.float64 else 1e-4)
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 4: the gradient by hand (4 points)
#
# Now the gradient of Exercise 2's objective, by hand. Take its two terms apart. For the second,
# start with the derivative of $\log \sum_k e^{z_k} - z_l$ in each logit $z_k$, and go on by the
# chain rule: a change of $r_j$ changes $z_k$ by $W_{kj}$ times as much.

# %% nbgrader={"grade": false, "grade_id": "gradient", "locked": false, "schema_version": 3, "solution": true, "task": false} without="\\bautograd\\b|functorch|(?<=\\.)backward\\b|enable_grad|set_grad_enabled(?!\\(False)|grad_fn|requires_grad(?!=False|_\\(False)|\\bParameter\\b|inference_mode(?=\\((?:mode=)?False)|jac(?:fwd|rev)|(?<=torch\\.)func\\b|\\bimport\\b.*\\bfunc\\b|\\bfunc(?=\\.(?:grad|jac|vjp|jvp))|(?<!\\.)\\b(?:getattr|setattr|eval|exec|vars|globals|__import__)(?=\\()|__dict__|importlib|\\bobjective\\b|numerical_gradient|longdouble|float128|Decimal|Fraction|mpmath|sympy|(?:\\b|as_)complex|\\bc(?:double|float)\\b|\\b[\\d.]+(?:e[+-]?\\d+)?j\\b"
def gradient(r, x, targets, weight, bias, c):
    """The gradient in r of c * ||r||^2 + loss(x + r, target), for each image.

    The arguments are those of Exercise 2: r, x float (N, D); targets int64
    (N,); weight float (K, D); bias float (K,); c float (N,). Returns a float
    tensor (N, D), right even where logits or c are very large; row i is the
    gradient of image i's own objective. By hand: neither autograd nor numerical
    derivatives of any kind are to be used.
    """
    ### BEGIN SOLUTION
    probabilities = ((x + r) @ weight.T + bias).softmax(dim=1)
    wanted = torch.eye(len(weight), dtype=r.dtype)[targets]
    return 2 * c[:, None] * r + (probabilities - wanted) @ weight
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# The derivative of the loss in the logits has a short form: a probability for each class, and
# something special about the target.

# %% [markdown] tags=["hint"]
# It is softmax(z) - one-hot(target), shape (N, K). The chain rule multiplies it by `weight`.

# %% nbgrader={"grade": true, "grade_id": "gradient-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
x = torch.tensor([[0.5, 0.2], [0.1, 0.9]])
r = torch.tensor([[0.1, 0.3], [-0.1, 0.05]])
weight = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
bias = torch.tensor([0.0, -0.5, 0.5]) + nudge
targets, c = torch.tensor([1, 2]), torch.tensor([2.0, 0.5])

with torch.no_grad():  # by hand: autograd has no part in it
    got = gradient(r, x, targets, 0 * weight, bias, c)
what = ("gradient where the weights are zero, "
        "so that the first term alone counts")
same(got, torch.tensor([[0.4, 1.2], [-0.1, 0.05]]), what, cause=likely(got, {
    "the derivative of a square has a factor that is missing":
        [[0.2, 0.6], [-0.05, 0.025]],
    "c is missing": [[0.2, 0.6], [-0.2, 0.1]],
    "c multiplies pixels, and not images": [[0.4, 0.3], [-0.4, 0.05]],
    "the first term is missing": [[0.0, 0.0], [0.0, 0.0]],
}))
with torch.no_grad():
    got = gradient(r, x, targets, weight, bias, 0 * c)
what = "gradient where c is zero, so that the loss alone counts"
wanted = torch.tensor([[0.066556, -1.034940], [0.649817, 0.327870]])
same(got, wanted, what, cause=likely(got, {
    "the loss has the wrong sign":
        [[-0.066556, 1.034940], [-0.649817, -0.327870]],
    "the target does not enter": [[0.066556, 0.965060], [-0.350183, 1.327870]],
    "it is divided by the number of images, but each has a gradient of its own":
        [[0.033278, -0.517470], [0.324909, 0.163935]],
    "the model is evaluated at x, not at x + r":
        [[0.113198, -1.197057], [0.696329, 0.303671]],
    "the bias is missing": [[0.168456, -0.835423], [0.845622, 0.553555]],
}))

# %% nbgrader={"grade": true, "grade_id": "gradient-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(4)
for n, d, k, size, level, dtype in [(6, 15, 12, 1.0, 0, torch.float64),
                                    (1, 4, 2, 1.0, 0, torch.float32),
                                    (3, 5, 4, 3000.0, 0, torch.float32),
                                    (4, 5, 3, 1.0, 1000, torch.float64),
                                    (4, 5, 3, 1.0, -1000, torch.float64)]:
    x = torch.rand(n, d, generator=generator, dtype=dtype)
    r = 0.3 * torch.randn(n, d, generator=generator, dtype=dtype)
    weight = size * torch.randn(k, d, generator=generator, dtype=dtype)
    bias = level + torch.randn(k, generator=generator, dtype=dtype)
    c = 0.1 + 3 * torch.rand(n, generator=generator, dtype=dtype)
    c[1:2] = 0
    targets = torch.randint(k, (n,), generator=generator)
    arguments = r, x, targets, weight, bias, c
    copies = [tensor.clone() for tensor in arguments]
    with torch.no_grad():
        got = gradient(*arguments)
    r, x, targets, weight, bias, c = copies
    moved = r.double().requires_grad_()
    z = (x.double() + moved) @ weight.double().T + bias.double()
    value = (c * moved.square().sum(1)).sum() + cross_entropy(z, targets,
                                                              reduction="sum")
    (wanted,) = torch.autograd.grad(value, moved)
    what = f"gradient for {n} images, {d} pixels, {k} classes"
    same(got, wanted, what, cause="large logits, or a term of another image",
         rtol=1e-3 if size > 1 else 1e-4,  # float32 has few digits for these
         atol=1e-3 if level else 3e-4 * size if size > 1 else 1e-5)
    for copy, given in zip(copies, arguments):
        same(given, copy, "what gradient was given", cause="changed in place")
x, r = torch.tensor([[0.5, 0.2], [0.0, 1.0]], dtype=torch.float64).split(1)
# logits 1.5 and 1.2
weight = torch.tensor([[3.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
for c, bias in torch.tensor([[1e30, 0.0], [0.0, 1e30]], dtype=torch.float64):
    other = (bias - 0.3).sigmoid()  # the other class's probability
    with torch.no_grad():
        got = gradient(r, x, torch.tensor([0]), weight,
                       torch.stack([0 * bias, bias]), c[None])
    wanted = torch.stack([-3 * other, 2 * c + other])[None]
    same(got, wanted, "gradient where c or a bias is 1e30",
         cause="differences, which see nothing of a small term "
               "beside a large one")
### END HIDDEN TESTS

# %% [markdown]
# Check one function of yours by another, as you would in a project of your own: in a new cell,
# compare `gradient` with `numerical_gradient` of your `objective`, in float64, with $h = 10^{-5}$.
# They should agree to eight digits. How small may $h$ be before they agree less well, and why?
#
# ## Exercise 5: projection onto the box (2 points)
#
# Every pixel of $x + r$ must stay in $[0, 1]$, or it is no picture. A step of the attack may lead
# out of this *box*; then the **projection** takes the nearest point inside.

# %% nbgrader={"grade": false, "grade_id": "project", "locked": false, "schema_version": 3, "solution": true, "task": false}
def project(x, r):
    """The perturbation nearest to r, in the 2-norm, that keeps x + perturbation
    in [0, 1].

    x: float (N, ...), pixels in [0, 1]; r: float of the same shape, any values,
    also as large as 1e12. Returns the perturbation, not the image: a float
    tensor of the same shape. x and r stay as they are.
    """
    ### BEGIN SOLUTION
    return (x + r).clamp(0, 1) - x
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Each pixel can be treated alone. The box is about the image x + r, not about r.

# %% [markdown] tags=["hint"]
# Clamp the image to [0, 1]. What is left of the perturbation?

# %% nbgrader={"grade": true, "grade_id": "project-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
x = torch.tensor([[0.0, 0.5, 1.0, 0.9]])
r = torch.tensor([[-0.2, 0.75, 0.25, -0.5]])
got = project(x, r)
what = "projection of r = (-0.2, 0.75, 0.25, -0.5) at x = (0, 0.5, 1, 0.9)"
same(got, torch.tensor([[0.0, 0.5, 0.0, -0.5]]), what, cause=likely(got, {
    "this is the image, asked for is the perturbation": [[0.0, 1.0, 1.0, 0.4]],
    "r itself is kept in [0, 1], where a pixel may well become darker":
        [[0.0, 0.75, 0.25, 0.0]],
    "r itself is kept in [-1, 1], or not at all: x + r leaves the box":
        [[-0.2, 0.75, 0.25, -0.5]],
    "x + r leaves the box at its upper end": [[0.0, 0.75, 0.25, -0.5]],
    "x + r leaves the box at its lower end": [[-0.2, 0.5, 0.0, -0.5]],
    "the perturbation has the wrong sign": [[0.0, -0.5, 0.0, 0.5]],
}))

# %% nbgrader={"grade": true, "grade_id": "project-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(5)
for shape, dtype in [((4, 1, 6, 6), torch.float32), ((3, 9), torch.float64),
                     ((2, 3, 4), torch.float64), ((1, 2), None)]:
    x = torch.rand(shape, generator=generator, dtype=dtype)
    x[..., 0] = 0
    r = 2 * torch.randn(shape, generator=generator, dtype=dtype)
    r[..., -1] *= 1e12
    copies = x.clone(), r.clone()
    got = project(x, r)
    same(x, copies[0], "the x that project was given", cause="changed in place")
    same(r, copies[1], "the r that project was given", cause="changed in place")
    wanted = torch.minimum(torch.maximum(r, -x), 1 - x)
    same(got, wanted, f"projection, shape {shape}",
         cause="x + r outside the box")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 6: the active set (3 points)
#
# L-BFGS learns from its steps how the slope changes, and pixels that cannot move spoil what it
# learns. So it first finds the **active set**: the pixels that stand on a wall of the box *and*
# that a descent step, which goes *against* the gradient, would push through it. They are held fast;
# all others are free.

# %% nbgrader={"grade": false, "grade_id": "active-set", "locked": false, "schema_version": 3, "solution": true, "task": false}
def active_set(x, r, slope):
    """Which pixels a gradient descent step would push out of the box at once.

    x: float (N, ...), pixels in [0, 1]; r: float of the same shape, x + r in
    the box; slope: the gradient at r, of the same shape. A pixel counts as on a
    wall if x + r is within 1e-6 of it. Returns a bool tensor of the same shape:
    True where the pixel is on a wall and minus the slope points out of the box.
    Where the slope is zero, that is False.
    """
    ### BEGIN SOLUTION
    image = x + r
    dark, bright = image <= 1e-6, image >= 1 - 1e-6
    return (dark & (slope > 0)) | (bright & (slope < 0))
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# There are two walls, and each has its own sign of the slope.

# %% [markdown] tags=["hint"]
# At 0 a pixel is held if the step would make it darker: where the slope is positive.

# %% nbgrader={"grade": true, "grade_id": "active-set-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
x = torch.tensor([[0.0, 0.2, 0.2, 1.0, 0.6, 0.6, 0.5, 0.5]])
r = torch.tensor([[0.0, -0.2, -0.2, 0.0, 0.4, 0.4, 0.0, 0.0]])
slope = torch.tensor([[1.0, 0.5, -0.5, -2.0, 0.1, -0.1, 3.0, -3.0]])
slope = slope + nudge * slope
got = active_set(x, r, slope)
what = "active set of pixels at 0, 0, 0, 1, 1, 1, 0.5, 0.5"
wanted = torch.tensor([[1, 1, 0, 1, 0, 1, 0, 0]]).bool()
same(got, wanted, what, cause=likely(got, {
    "a descent step goes against the gradient": [[0, 0, 1, 0, 1, 0, 0, 0]],
    "these are all pixels on a wall, but some of them leave it for the inside":
        [[1, 1, 1, 1, 1, 1, 0, 0]],
    "these are the free pixels, asked for are those held":
        [[0, 0, 1, 0, 1, 0, 1, 1]],
    "it is x that is looked at, not x + r": [[1, 0, 0, 1, 0, 0, 0, 0]],
    "the upper wall is missing": [[1, 1, 0, 0, 0, 0, 0, 0]],
    "the lower wall is missing": [[0, 0, 0, 1, 0, 1, 0, 0]],
}))

# %% nbgrader={"grade": true, "grade_id": "active-set-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
x = torch.tensor([[0.0, 1.0, 0.3, 0.3, 0.3], [0.1, 0.2, 0.9, 0.7, 0.0]],
                 dtype=torch.float64)
near, off = 8e-7, 1.2e-6  # a float32's rounding away from 1e-6, and more
at = torch.tensor([[0.0, 1.0, near, 1 - near, off],
                   [near, 1.0, 0.0, 1 - off, 0.0]], dtype=torch.float64)
slope = torch.tensor([[0.0, 0.0, 1.0, -1.0, 1.0],
                      [-1.0, -1e-30, 1e-30, -1.0, 5.0]]).double()
wanted = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 1, 0, 1]]).bool()
arguments = x, at - x, slope
copies = [tensor.clone() for tensor in arguments]
got = active_set(*arguments)
same(got, wanted, "active set with slopes of zero and pixels near a wall",
     cause="< or <=, or 1e-6")
for copy, given in zip(copies, arguments):
    same(given, copy, "what active_set was given", cause="changed in place")
got = active_set(*(tensor.view(2, 1, 5, 1).float() for tensor in copies))
same(got, wanted.view(2, 1, 5, 1), "active set of images (2, 1, 5, 1)",
     cause="dimensions")
generator = torch.Generator().manual_seed(6)
x = torch.rand(50, 8, generator=generator)
at = torch.randint(5, (50, 8), generator=generator) / 4
slope = torch.randn(50, 8, generator=generator)
leaves = ((at - 0.01 * slope) < 0) | ((at - 0.01 * slope) > 1)
wanted = leaves & ((at == 0) | (at == 1))
same(active_set(x, at - x, slope), wanted,
     "active set of 50 images of 8 pixels", cause="signs")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 7: projected gradient descent (2 points)
#
# The simplest method that respects the box: step against the gradient, project, repeat,
#
# $$r \leftarrow P\big(r - \eta\, \nabla F(r)\big) .$$
#
# The gradient $\nabla F$ and the projection $P$ come as functions, so that your code works with any
# objective.

# %% nbgrader={"grade": false, "grade_id": "descend", "locked": false, "schema_version": 3, "solution": true, "task": false}
def descend(slope_at, onto_box, r, rate, steps):
    """`steps` steps of projected gradient descent from r.

    slope_at: takes a perturbation and returns the gradient there, of the same
    shape; onto_box: takes a perturbation and returns the nearest one in the
    box. r: float (N, ...), the start, in the box; rate: the factor eta, above
    0; steps: how many, 0 or more.
    Returns the last perturbation, of r's shape. r itself stays as it is.
    """
    ### BEGIN SOLUTION
    for _ in range(steps):
        r = onto_box(r - rate * slope_at(r))
    return r
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# The formula is one line of a loop. What is the result after no step at all?

# %% nbgrader={"grade": true, "grade_id": "descend-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
start = torch.tensor([[0.0, 0.5]])
low = torch.tensor([[1.5, 0.0]])
got = descend(lambda r: r - low, lambda r: r.clamp(0, 1), start, 0.5, 2)
what = ("two steps of rate 0.5 from (0, 0.5), where "
        "the lowest point would be (1.5, 0) without the box")
same(got, torch.tensor([[1.0, 0.125]]), what, cause=likely(got, {
    "this is the start: no step was taken": [[0.0, 0.5]],
    "this goes uphill": [[0.0, 1.0]],
    "this is one step short": [[0.75, 0.25]],
    "this is one step too many": [[1.0, 0.0625]],
    "this is outside the box: a step is not projected": [[1.125, 0.125]],
    "the rate is missing": [[1.0, 0.0]],
}))

# %% nbgrader={"grade": true, "grade_id": "descend-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
valley = torch.tensor([[5.3, -9.2], [-9.2, 20.7]], dtype=torch.float64)
bottom = torch.tensor([1.1, 0.85], dtype=torch.float64)
for steps, rate in [(0, 0.1), (1, 0.07), (2, 0.07), (5, 0.07), (60, 0.04),
                    (60, 1e-4), (400, 1e-9)]:
    start = torch.tensor([[[0.1, 0.65]], [[0.9, 0.1]], [[0.0, 0.0]]],
                         dtype=torch.float64)
    copy = start.clone()
    got = descend(
        lambda r: (r - bottom) @ valley,
        lambda r: r.clamp(-0.1, 0.9),
        start,
        rate,
        steps,
    )
    same(start, copy, "the r that descend was given", cause="changed in place")
    for _ in range(steps):
        copy = (copy - rate * (copy - bottom) @ valley).clamp(-0.1, 0.9)
    same(got, copy, f"{steps} steps in a narrow valley",
         cause="projected at the end only, or too few steps")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 8: the smallest perturbation for two classes (3 points)
#
# How good is an attack? Where the smallest perturbation is known exactly, we can say. Take a linear
# model with two classes, 0 and 1. The target $l$ is reached where the **margin**
#
# $$m(r) = z_l - z_{1-l} = w \cdot (x + r) + d, \qquad w = W_l - W_{1-l}, \quad d = b_l - b_{1-l},$$
#
# is 0 or more: a plane separates the classes, and the shortest way to a plane runs along its
# normal $w$. First without the box.

# %% nbgrader={"grade": false, "grade_id": "closest", "locked": false, "schema_version": 3, "solution": true, "task": false}
def closest(x, targets, weight, bias):
    """The smallest r, in the 2-norm, that brings each image to its target;
    there is no box.

    x: float (N, D); targets: int64 (N,), 0 or 1; weight: float (2, D), its rows
    differ, if only by 1e-9; bias: float (2,). Where x already has a margin of 0
    or more, r is zero. Elsewhere x + r has a margin of exactly 0, up to
    rounding. Returns a float tensor (N, D).
    """
    ### BEGIN SOLUTION
    w = weight[targets] - weight[1 - targets]
    d = bias[targets] - bias[1 - targets]
    margin = (w * x).sum(dim=1) + d
    missing = (-margin).clamp(min=0)[:, None]
    return missing * w / w.square().sum(dim=1, keepdim=True)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Put r = t w, with one number t for each image, into the margin, and solve for t.

# %% [markdown] tags=["hint"]
# t is minus the margin over the squared length of w, and 0 where the margin is not negative.

# %% nbgrader={"grade": true, "grade_id": "closest-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
weight = torch.tensor([[1.0, 1.0], [4.0, 5.0]]) + nudge
bias = torch.tensor([2.0, 1.0]) + nudge
got = closest(x, torch.tensor([1, 0, 0]), weight, bias)
what = "smallest r for three points, the third of which is there already"
wanted = torch.tensor([[0.12, 0.16], [-0.72, -0.96], [0.0, 0.0]])
same(got, wanted, what, cause=likely(got, {
    "the direction is right, but a length of w too many or too few":
        [[0.6, 0.8], [-3.6, -4.8], [0.0, 0.0]],
    "the direction is right, but the length of w is not divided out":
        [[3.0, 4.0], [-18.0, -24.0], [0.0, 0.0]],
    "this leads away from the plane":
        [[-0.12, -0.16], [0.72, 0.96], [0.0, 0.0]],
    "where the target is reached already, nothing is to be done":
        [[0.12, 0.16], [-0.72, -0.96], [0.12, 0.16]],
    "the biases are missing": [[0.0, 0.0], [-0.84, -1.12], [0.0, 0.0]],
    "this reaches the plane, but not by the shortest way":
        [[1 / 7, 1 / 7], [-6 / 7, -6 / 7], [0.0, 0.0]],
}))

# %% nbgrader={"grade": true, "grade_id": "closest-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(7)
for n, d, far, size, dtype in [(40, 30, 1, 1, torch.float32),
                               (1, 5, 1, 1, torch.float64),
                               (7, 1, 100, 1, torch.float64),
                               (12, 4, 1, 1e-9, torch.float64)]:
    x = far * torch.randn(n, d, generator=generator, dtype=dtype)
    weight = size * torch.randn(2, d, generator=generator, dtype=dtype)
    bias = size * torch.randn(2, generator=generator, dtype=dtype)
    targets = torch.randint(2, (n,), generator=generator)
    if n > 1:  # two images that are not quite at the plane
        w, offset = weight[1] - weight[0], bias[1] - bias[0]
        away = torch.tensor([6e-3, 1e-4]).to(x) * (1 - 2 * targets[:2])
        away -= (x[:2] @ w + offset) / w.norm()
        x[:2] += away[:, None] * w / w.norm()
    arguments = x, targets, weight, bias
    copies = [tensor.clone() for tensor in arguments]
    got = closest(*arguments)
    for copy, given in zip(copies, arguments):
        same(given, copy, "what closest was given", cause="changed in place")
    wanted = []
    for point, l in zip(x.double(), targets):
        w, offset = (
            (weight[l] - weight[1 - l]).double(),
            (bias[l] - bias[1 - l]).double(),
        )
        wanted.append(max(0, -(w @ point + offset).item()) / (w @ w) * w)
    what = f"smallest perturbation, shape {(n, d)}, weights of size {size}"
    same(got, torch.stack(wanted), what, cause="the closed form", rtol=1e-3,
         atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 9: the same in the box (5 points)
#
# With the box, a pixel that meets its wall stops there, and the others have to do its share. For
# the smallest $r$ there is one number $t \ge 0$, the same for all pixels, such that
#
# $$r_i = \text{the number nearest to } t\,w_i \text{ in } [-x_i,\, 1 - x_i] .$$
#
# (It is the price of Lecture 1, section 10, with a single rival.) The margin grows with $t$, so the
# smallest $t$ with a margin of 0 can be found by halving an interval, or by going through the
# pixels in the order in which they meet their walls.

# %% nbgrader={"grade": false, "grade_id": "closest-in-box", "locked": false, "schema_version": 3, "solution": true, "task": false}
def closest_in_box(x, w, d):
    """The smallest r (2-norm) with w . (x + r) + d >= 0 and x + r in [0, 1].

    x: float (D,), the pixels of ONE image, in [0, 1]; w: float (D,), each 0 or
    of any size from 1e-30 to 1e6, not all 0; d: a number. If x has a margin of
    0 or more, r is zero. You may take for granted that there is such an r.
    Returns a float tensor (D,): x + r is in the box, up to 1e-6; the margin at
    least -1e-4 times the length of w; the length of r at most 1.001 times the
    smallest.
    """
    ### BEGIN SOLUTION
    def at(t):
        return (x + t * w).clamp(0, 1) - x

    def short(t):
        return w @ (x + at(t)) + d < 0

    if not short(0.0):
        return torch.zeros_like(x)
    low, high = 0.0, 1 / w.abs().max().item()
    while short(high):
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return at(high)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Write a function that gives r for a number t, and one that says whether its margin is below 0.
# Then halve an interval of t.

# %% [markdown] tags=["hint"]
# How large can the t that is sought become? It depends on how small the numbers in w are. Double
# the upper end until the target is reached.

# %% nbgrader={"grade": true, "grade_id": "closest-in-box-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
x = torch.tensor([0.9, 0.5, 0.4, 0.7])
w, d = torch.tensor([2.0, 1.0, 0.5, 0.0]) * (1 + nudge), -2.95 * (1 + nudge)
r = closest_in_box(x, w, d)
assert isinstance(r, torch.Tensor) and r.shape == (4,), (
    "closest_in_box: expected a tensor of shape (4,), "
    f"one number for each pixel, got {r!r}."
)
moved, margin = x + r, (w.double() @ (x + r).double() + d).item()
assert moved.min() > -1e-6 and moved.max() < 1 + 1e-6, (
    f"closest_in_box: expected x + r in the box, got {moved.tolist()}. "
    "Likely cause: a pixel does not stop at its wall."
)
assert margin > -1e-4 * w.norm(), (
    f"closest_in_box: expected a margin of 0, got {margin:.4f}, "
    "short of the target. Likely cause: one pixel has to stop "
    "at its wall, and the others do not go on for it."
)
assert r.norm() < 1.001 * 0.06**0.5, (
    f"closest_in_box: expected a length of {0.06**0.5:.4f}, got "
    f"{r.norm():.4f}. Likely cause: r goes on after the margin "
    "is 0, or the free pixels do not move in proportion to w."
)
same(closest_in_box(x, w, 5.0), torch.zeros(4),
     "r where the target is reached already",
     cause="the margin of x itself is not looked at")

# %% nbgrader={"grade": true, "grade_id": "closest-in-box-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
def smallest_length(x, w, d):
    """By halving: the further t w is clipped to the box, the larger the
    margin."""
    x, w = x.double(), w.double()

    def short(t):
        return w @ (x + (t * w).clamp(-x, 1 - x)) + d < 0

    low, high = 0.0, 1 / w.abs().max().item()
    while short(high):
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) else (low, middle)
    return (high * w).clamp(-x, 1 - x).norm()

# Each pixel meets its wall some time after the one before; one that does
# nothing beside the other; the largest weights and the smallest.
ladder = 0.6 ** torch.arange(30.0, dtype=torch.float64)
x, w = torch.tensor([[0.2, 0.3, 0.4], [1.0, -0.5, 0.2]], dtype=torch.float64)
cases = [(0 * ladder, ladder, 0.9999),
         (0 * ladder[:2], torch.tensor([1, 1e-30]).to(ladder), 0.5),
         (x, 1e6 * w, 0.001), (x, 5e-30 * w, 0.5)]
generator = torch.Generator().manual_seed(8)
for pixels, size, share, dtype in [
    (50, 1.0, 0.5, torch.float32),
    (784, 0.05, 0.3, torch.float64),
    (20, 1e-9, 0.9, torch.float64),
    (20, 1e-20, 0.9, torch.float64),
    (10, 2e5, 0.97, torch.float32),
    (1, 1.0, 0.5, torch.float64),
    (30, 1.0, -0.1, torch.float32),
]:
    x = torch.rand(pixels, generator=generator, dtype=dtype)
    x[: pixels // 3] = 0
    w = size * torch.randn(pixels, generator=generator, dtype=dtype)
    w[pixels // 2 + 1 :: 7] = 0
    w[1:2] = 1e-8 * size  # t may have to be looked for from 0 to very large
    cases.append((x, w, share))

for x, w, share in cases:
    corner = torch.where(w > 0, 1 - x, -x)  # as far as the box allows
    d = -(w @ (x + share * corner)).item()
    copies = x.clone(), w.clone()
    r = closest_in_box(x, w, d)
    for given, copy in zip((x, w), copies):
        same(given, copy, "what closest_in_box was given",
             cause="changed in place")
    assert isinstance(r, torch.Tensor) and r.shape == x.shape, (
        "expected x's shape"
    )
    assert (x + r).min() > -1e-6 and (x + r).max() < 1 + 1e-6, (
        "expected x + r in the box"
    )
    if share < 0:
        assert (r == 0).all(), (
            "expected no change: the target was reached already"
        )
        continue
    margin = w.double() @ (x.double() + r.double()) + d
    assert margin > -1e-4 * w.double().norm(), (
        f"expected the target, got a margin of {margin}"
    )
    best = smallest_length(x, w, d)
    assert r.double().norm() < 1.001 * best, (
        f"expected a length of {best}, got {r.norm()}"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 10: the search for c (3 points)
#
# Back to the penalty of Exercise 2. If $c$ is large, smallness wins, and the target is not reached;
# if it is small, the perturbation is longer than it need be. Wanted is the **largest** $c$ whose
# minimiser reaches the target. Nobody knows beforehand whether that is 0.001 or 100, so halve the
# interval on the scale of $\log c$. Every question costs a whole minimisation: ask few.

# %% nbgrader={"grade": false, "grade_id": "largest-c", "locked": false, "schema_version": 3, "solution": true, "task": false}
def largest_c(reaches, low, high, ratio):
    """The largest c in [low, high], up to a factor `ratio`, for which
    reaches(c) is True.

    reaches: takes a float c and says whether the minimiser for that c reaches
    the target: True up to some c, False above it. low, high, ratio: numbers,
    0 < low < high, 1 < ratio < high / low. Returns a float c with reaches(c)
    True, while reaches(c * ratio) is False or c * ratio is above high; or None,
    if reaches(low) is False.
    Calls reaches at most 6 + log2(log(high / low) / log(ratio)) times.
    """
    ### BEGIN SOLUTION
    if reaches(high):
        return high
    if not reaches(low):
        return None
    while high / low > ratio:
        middle = math.sqrt(low * high)
        if reaches(middle):
            low = middle
        else:
            high = middle
    return low
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Keep an interval whose lower end is known to reach the target, and whose upper end is known not
# to. See to the two ends first.

# %% [markdown] tags=["hint"]
# The middle of log(low) and log(high) is the logarithm of sqrt(low * high).

# %%
def up_to(border, told):
    """A `reaches` that is True up to `border`, and the list of all c that it is
    asked for."""
    asked = []

    def reaches(c):
        assert math.prod(getattr(c, "shape", ())) == 1, (
            f"{told}: reaches was called with {c.shape}, not with a number.")
        asked.append(c)
        assert len(asked) < 10_000, (
            f"{told}: expected an end, but reaches was called 10,000 times.")
        return c <= border

    return reaches, asked

# %%
def try_search(search, border, low, high, ratio):
    """Let `search` look for `border`, the largest c that reaches, and judge
    what it returns."""
    told = (f"largest_c(low={low:g}, high={high:g}, ratio={ratio:g}), "
            f"True up to {border:g}")
    reaches, asked = up_to(border, told)
    c = search(reaches, low, high, ratio)
    if border < low:
        assert c is None, (f"{told}: expected None, got {c!r}. "
                           "Likely cause: low is never tried.")
        return
    assert c is not None and low <= c <= high, (
        f"{told}: expected a c from low to high, got {c!r}.")
    assert c <= border, (
        f"{told}: got {c:g}, where reaches is False. Likely cause: it is the "
        "other end of the last interval that is known to reach the target.")
    assert c * ratio >= min(border, high) * (1 - 1e-6), (
        f"{told}: got {c:g}, which could be larger. Likely cause: the wrong "
        "half is kept, the search stops too early, or high is never tried.")
    most = 6 + math.log2(math.log(high / low) / math.log(ratio))
    assert len(asked) <= most, (
        f"{told}: expected at most {most:.1f} calls of reaches, got "
        f"{len(asked)}. Likely cause: the interval is not halved on the scale "
        "of log c.")

# %% nbgrader={"grade": true, "grade_id": "largest-c-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
try_search(largest_c, 3.7 + nudge, 0.01, 100.0, 1.1)
try_search(largest_c, 0.02 + nudge, 0.01, 100.0, 1.5)
try_search(largest_c, 500.0 + nudge, 0.01, 100.0, 1.2)
try_search(largest_c, 0.005, 0.01, 100.0, 1.3)

# %% nbgrader={"grade": true, "grade_id": "largest-c-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
for border, low, high, ratio in [
    (1e-3, 1e-4, 1e4, 1.01),
    (7e3, 1e-4, 1e4, 1.01),
    (0.7, 1e-6, 1.0, 1.5),
    (2.0, 0.5, 64.0, 1.001),
    (1e9, 1.0, 2.0, 1.1),
    (1e-9, 1.0, 2.0, 1.1),
    (1.0, 1.0, 2.0, 1.05),
    (1e-8, 1e-9, 1e-3, 1.02),
    (2.49, 1.0, 2.5, 1.1),
    # Halved three times, this is an interval of a factor just above 1.1.
    (1.1**8.08 * 0.9999, 1.0, 1.1**8.08, 1.1),
    (3.30055, 0.5, 64.0, 1.00002),
    (5.0, 1, 1000, 10),
]:
    try_search(largest_c, border, low, high, ratio)
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 11: the attack (5 points)
#
# Put it together, for one image: an inner minimisation of $c\,\|r\|^2 + \text{loss}$ in the box,
# and around it the search for $c$. For the inner part take SciPy's box-constrained L-BFGS,
#
# ```
# minimize(function, start, args=(c,), jac=True, method="L-BFGS-B", bounds=bounds)
# ```
#
# where `function(r, c)` returns the value and the gradient, both in float64, and `bounds` has a row
# (lowest, highest) for each pixel of $r$: see Lecture 1, section 6. Autograd may do the gradient.
#
# The search comes as an argument, so that a mistake in Exercise 10 does not count twice: the tests
# hand over `walk_down`, which does what `largest_c` does, slowly. Let it search from 0.001 to 10,
# as $c$ is quite another for other networks and targets, with a ratio of 1.1 or a little less, as
# every $c$ costs a minimisation. The course's own attack is no answer.
#
# The network is FC10(1e-2) of the lectures, a linear softmax model, in double precision. The digits
# are the first of the test set that it has right.

# %%
network = load_model("FC10(1e-2)").double().requires_grad_(False)
images, labels = (tensor[:100] for tensor in load_mnist("test"))
right = network(images.double()).argmax(1) == labels
digits, digit_labels = images[right].double(), labels[right]

def walk_down(reaches, low, high, ratio):
    """A c as `largest_c` returns it, by many more calls: down from `high`, by
    `ratio` each time."""
    c = high
    while c >= low:
        if reaches(c):
            return c
        c = c / ratio

# %% nbgrader={"grade": false, "grade_id": "attack", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attack(model, x, target, search):
    """A small r with which the model takes x + r for the target, by the recipe
    above or by a better one.

    model: gives logits (N, 10) for images (N, 1, 28, 28), in float64; x:
    float64 (1, 1, 28, 28), one image, pixels in [0, 1], which the model does
    not take for the target; target: an int; search: a function such as
    `largest_c` or `walk_down`, called in the same way, for the c of the recipe.
    Returns a tensor of x's shape: x + r is in [0, 1], up to 1e-6; its logit of
    the target is the largest, up to 1e-3; and on the networks and digits of the
    tests the length of r is less than 1.2 times that of the course's own
    attack. On others it may be more, as no c need have the smallest r for its
    minimiser.
    """
    ### BEGIN SOLUTION
    pixels = x.numpy().ravel()
    bounds = np.stack([-pixels, 1 - pixels], axis=1)

    def penalty(r, c):
        r = torch.tensor(r.reshape(x.shape), requires_grad=True)
        loss = cross_entropy(model(x + r), torch.tensor([target]))
        value = c * r.square().sum() + loss
        (slope,) = torch.autograd.grad(value, r)
        return value.item(), slope.numpy().ravel()

    def minimiser(c):
        found = minimize(penalty, 0 * pixels, args=(c,), jac=True,
                         method="L-BFGS-B", bounds=bounds)
        return torch.tensor(found.x).reshape(x.shape)

    def reaches(c):
        return model(x + minimiser(c)).argmax().item() == target

    return minimiser(search(reaches, 1e-3, 10.0, 1.1))
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Three small functions inside: the objective with its gradient, its minimiser for one c, and
# whether that reaches the target.

# %% [markdown] tags=["hint"]
# The box for x + r is a box for r: pixel i lies from -x_i to 1 - x_i. SciPy wants flat NumPy arrays
# of float64.

# %% nbgrader={"grade": true, "grade_id": "attack-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.attacks import lbfgs_attack

x, target = digits[:1], 3
best = lbfgs_attack(network, x, torch.tensor([target])).distortion.item()
r = attack(network, x, target, walk_down)
assert isinstance(r, torch.Tensor) and r.shape == x.shape, (
    "attack: expected a tensor of shape "
    f"{tuple(x.shape)}, got {getattr(r, 'shape', r)!r}."
)
moved = x + r.detach()
assert moved.min() > -1e-6 and moved.max() < 1 + 1e-6, (
    f"attack: expected pixels in [0, 1], got {moved.min():.4f} "
    f"to {moved.max():.4f}. Likely cause: the bounds of r do "
    "not depend on x, or do so with the wrong sign."
)
logits = network(moved)[0]
assert logits[target] > logits.max() - 1e-3, (
    f"attack: expected class {target}, got {logits.argmax()}. Likely cause: "
    "the last c does not reach the target, or the loss has the wrong sign."
)
size = r.detach().square().mean().sqrt().item()
assert size < 1.2 * best, (
    f"attack: expected a distortion of at most 1.2 x {best:.4f}, "
    f"got {size:.4f}. Likely cause: a larger c reaches the "
    "target, too, or the inner minimisation stops too early."
)

# %% nbgrader={"grade": true, "grade_id": "attack-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# When your work is marked, further tests run here.
### BEGIN HIDDEN TESTS
def in_doubt(reaches, low, high, ratio):
    """Tries once more what does not reach, as `largest_c` may at the end."""
    c = walk_down(reaches, low, high, ratio)
    reaches(high)
    return c

for name, index, target, search in [("FC10(1e-2)", 5, 8, walk_down),
                                    ("FC10(1e-4)", 16, 1, walk_down),
                                    ("FC10(1e-4)", 36, 5, walk_down),  # c > 6
                                    ("FC10(1)", 24, 8, walk_down),  # c < 0.02
                                    ("FC10(1)", 2, 0, in_doubt)]:
    model = load_model(name).double().requires_grad_(False)
    x, aim = digits[index : index + 1].clone(), torch.tensor([target])
    copy = x.clone()
    best = lbfgs_attack(model, x, aim).distortion.item()
    r = attack(model, x, target, search)
    same(x, copy, "the x that attack was given", cause="changed in place")
    assert isinstance(r, torch.Tensor) and r.shape == x.shape, (
        "expected x's shape"
    )
    moved = x + r.detach()
    assert moved.min() > -1e-6 and moved.max() < 1 + 1e-6, (
        "expected x + r in the box"
    )
    logits = model(moved)[0]
    assert logits[target] > logits.max() - 1e-3, f"{name}: target not reached"
    size = r.detach().square().mean().sqrt()
    assert size < 1.2 * best, (
        f"{name}: expected at most 1.2 x {best}, got {size}"
    )
### END HIDDEN TESTS

# %% [markdown]
# Look at what you have built. In a new cell:
#
# ```
# from course_utils import figures
#
# aim = (digit_labels[:5] + 1) % 10
# r = torch.cat([attack(network, digits[i : i + 1], aim[i].item(), largest_c) for i in range(5)])
# figures.digits([digits[:5], 4 * r, digits[:5] + r], names=["x", "4 r", "x + r"], signed=[1])
# ```
#
# ## Exercise 12: open question (5 points, marked by hand)
#
# The course has three linear networks, FC10(1e-4), FC10(1e-2) and FC10(1), which differ in their
# weight decay alone. A colleague has read that FC10(1) needs the largest distortion, and concludes:
# "It is the most robust of the three, so let us use it to read cheques."
#
# Do you agree? Write 8 to 15 sentences. Use your attack on at least ten digits and two of the
# networks (`load_model("FC10(1)").double()`), and say what you measured, on which digits, and how
# far your numbers can be trusted. Use the closed form of Exercise 8 to explain *why* weight decay
# changes the distortion. Then judge the conclusion: what else would you want to know? Add cells
# for your measurements, and write the answer in the cell below.

# %% [markdown] nbgrader={"grade": true, "grade_id": "open-question", "locked": false, "points": 5, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **A good answer**, and what earns the points:
#
# - *A measurement that can be repeated* (1 point): which digits, which targets, how many; that
#   digits count only where the network had them right; a mean with some measure of its spread.
#   (First 50 test digits, each towards the next class, FC10(1e-4), FC10(1e-2), FC10(1): .051, .090,
#   .119, each give or take .006.)
# - *The reason* (2 points): by the closed form the distance to a border is the margin over
#   $\|w\|$. Weight decay makes $\|w\|$ small. That alone would change nothing, since scaling all
#   logits scales the margin with them (1 point). But it takes most from the weights that help the
#   margin least, those with fine detail, and leaves the broad strokes, along which digits differ
#   by much. So the margin shrinks less than $\|w\|$ does (1 point). (On those digits, from 1e-4
#   to 1: the margin to a ninth, $\|w\|$ to a 25th.)
# - *The conclusion does not follow* (1 point): FC10(1) misreads nearly every fourth digit with
#   nobody attacking, more than twice as many as the others. A model that always says 0 cannot be
#   attacked at all.
# - *What else* (1 point, for two of these): the error under an attack of a fixed size, counted over
#   all digits; who attacks, with what knowledge, and whether a change of this size would be seen;
#   other ways to measure size; whether another kind of network does better at the same error; how
#   sure the means are.
# ### END SOLUTION

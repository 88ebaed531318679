# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Problem set 3: Lipschitz bounds
#
# You build, from its parts, what Lecture 3 used: how far a layer can amplify a change of its input,
# what that says about a whole network, and the distance within which no adversarial example can
# exist. Plan two to three hours. Exercise 5 is the hardest; exercises 6 to 8 do not need it.
#
# Replace each `raise NotImplementedError()` and run the cell, then the tests below it: they are
# silent where your answer passes, and otherwise say what they expected and what came. The grader
# runs these tests and more, with other numbers and shapes. Any way of computing the right thing is
# right: loops or none, float32 or float64. The docstring is the task, and a function leaves its
# arguments as they are. Write the mathematics yourself: `course_utils.lipschitz` has it, and is not
# to be used here. Each exercise is tested with given numbers, so go on where one defeats you.
#
# *All lengths are L2 norms, $\|r\|$.*

# %%
import math
import time

import torch
from torch import nn

from course_utils.assignments import same


# The examples in the tests move by this: 0, or less than 1 with a class's seed.
nudge = torch.Generator().manual_seed(0).initial_seed() * 0.618 % 1


def processor_time(function):
    """Seconds so far, of this process or, when your work is marked, of that of
    your function."""
    return getattr(function, "processor_time", time.process_time)()

# %% [markdown]
# ## Exercise 1: the norm of a matrix (5 points)
#
# A layer $x \mapsto Wx + b$ moves its output by $Wr$ when its input moves by $r$. It can make a
# change at most $\|W\| = \max_r \|Wr\| / \|r\|$ times as long. Which change is amplified most?
# Start from any, and let the matrix itself amplify it, again and again: what it likes best takes
# over. That is **power iteration**:
#
# $$v_0 = \frac{s}{\|s\|}, \qquad v_{k+1} = \frac{W^\top W v_k}{\|W^\top W v_k\|}, \qquad
#   \|W v_k\| \;\to\; \|W\| .$$

# %% nbgrader={"grade": false, "grade_id": "power-iteration", "locked": false, "schema_version": 3, "solution": true, "task": false}
def power_iteration(matrix, start, steps):
    """The length of matrix @ v_k after k = steps steps of power iteration, by
    the formula above.

    matrix: float (M, N), of a norm from 1e-8 to 1e8, or 0; start: float (N,),
    the s above, of a length from 1e-8 to 1e8; steps: int, 0 or more. Returns a
    number (a float, or a tensor without dimensions). Where matrix @ v_k is
    zero, as for a matrix of zeros, it is 0, and not NaN; and no number on the
    way overflows, however many the steps.
    """
    ### BEGIN SOLUTION
    v = start / start.norm()
    for _ in range(steps):
        v = matrix.T @ (matrix @ v)
        length = v.norm()
        if length == 0:
            return 0.0
        v = v / length
    return (matrix @ v).norm()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Two products are enough for one step: first with the matrix, then with its transpose. When do you
# have to divide by the length, so that numbers neither grow nor shrink from step to step?

# %% [markdown] tags=["hint"]
# Keep one vector `v`. Divide `start` by its length; then, `steps` times, replace `v` by
# `matrix.T @ (matrix @ v)` and divide that by its own length, unless that is 0. At the end measure
# `matrix @ v`.

# %% nbgrader={"grade": true, "grade_id": "power-iteration-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
stretch = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
ones = torch.tensor([1.0, 1.0]) + nudge
same(power_iteration(stretch, ones, 60), 3.0,
     "60 steps on a matrix that stretches "
     "one axis 3 times and the other 2 times",
     cause="9 is the norm of W^T W; about 2.5, measured before the steps; "
           "NaN or inf, v was not brought back to length 1 in each step")
same(power_iteration(stretch, ones, 1), 2.8591974,
     "one step on the same matrix from (1, 1)",
     cause="2.5495 is no step at all and 2.9686 two: the loop runs as "
           "often as steps says, and the last v is the one to measure with")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(3)
for rows, columns, kind in [(4, 9, torch.float32), (9, 4, torch.float64),
                            (1, 6, torch.float32)]:
    matrix = torch.randn(rows, columns, generator=lot, dtype=kind)
    start = torch.randn(columns, generator=lot, dtype=kind)
    # In the basis of right singular vectors, k steps multiply by sigma^2k.
    _, sigma, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    parts = right @ start.double()
    for steps in (1, 2, 5, 400):
        grown = parts * (sigma / sigma[0]) ** (2 * steps)
        same(power_iteration(matrix, start, steps),
             (sigma * grown).norm() / grown.norm(),
             f"{steps} steps on a random matrix {rows, columns}",
             cause="see the formula")
for slow, first, steps in [(0.99, 1.0, 100), (0.999, 1e-3, 5000),
                           (2 / 3, 1e-12, 60), (2 / 3, 0.0, 300)]:
    grown = first / slow ** (2 * steps)
    same(power_iteration(torch.diag(torch.tensor([1.0, slow])),
                         torch.tensor([first, 1.0]), steps),
         ((grown**2 + slow**2) / (grown**2 + 1)) ** 0.5,
         f"{steps} steps on a matrix that stretches one axis 1 time and the "
         f"other {slow:.3f} times, from ({first}, 1)",
         cause="all steps that are asked for count, even where each does "
               "little, and nothing else")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "power-iteration-edges", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
stretch = torch.tensor([[3.0, 0.0], [0.0, 2.0]])
fives = torch.tensor([5.0, 5.0]) + nudge
same(power_iteration(stretch, fives, 0), 2.5495098, "no step, from (5, 5)",
     cause="2.8592: there was a step; another number: the "
           "start has to be divided by its length before it is "
           "used, and |W v| is what is wanted, not its square")
matrix, start = torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([3.0, 4.0])
power_iteration(matrix, start, 2)
same(start, torch.tensor([3.0, 4.0]), "start, after your function had used it",
     cause="something like v /= length wrote into the tensor that was given")
### BEGIN HIDDEN TESTS
same(matrix, torch.tensor([[1.0, 2.0], [0.0, 1.0]]), "matrix after the call",
     cause="in place")
lot = torch.Generator().manual_seed(30)
matrix, start = torch.randn(5, 3, generator=lot), torch.randn(3, generator=lot)
same(power_iteration(matrix, start, 0),
     (matrix.double() @ start.double()).norm() / start.norm(),
     "no step on a random matrix", cause="see the formula")
for size in (1e8, 1e-8):
    matrix = size * torch.diag(torch.tensor([1.0, 0.5]))
    start = size * torch.tensor([0.6, 0.8])
    for steps, wanted in ((0, 0.52**0.5), (40, 1.0)):
        same(power_iteration(matrix, start, steps), size * wanted,
             f"{steps} steps on a matrix of size {size}", atol=0,
             cause="overflow, or a fixed small number added")
same(power_iteration(torch.zeros(2, 3), torch.ones(3), 5), 0.0, "zeros",
     cause="0 divided by 0")
same(power_iteration(torch.tensor([[1.0, 0.0]]), torch.tensor([0.0, 2.0]), 5),
     0.0, "a start that the matrix takes to zero", cause="0 divided by 0")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 2: a convolution is a matrix (3 points)
#
# A convolution is linear, so it has a matrix, too. Here is one channel, and a picture whose edges
# meet: what leaves on the right comes in on the left.

# %%
def circular_convolution(image, kernel):
    """image (H, W), kernel (h, w): the picture (H, W) whose pixel [i, j] is the
    sum over all a, b of kernel[a, b] * image[i - a, j - b], indices taken
    modulo H and W."""
    return sum(kernel[a, b] * torch.roll(image, (a, b), (0, 1))
               for a in range(kernel.shape[0]) for b in range(kernel.shape[1]))

# %% [markdown]
# Write the matrix of this, or of *any* linear operation on pictures.

# %% nbgrader={"grade": false, "grade_id": "as-matrix", "locked": false, "schema_version": 3, "solution": true, "task": false}
def as_matrix(operation, size):
    """The matrix of a linear operation on pictures.

    operation: takes a picture, float64 (H, W), and gives another, float64, of a
    size that may differ; size: (H, W), two ints. Pictures become vectors row by
    row, as image.flatten() does it. Returns A, float (pixels of the output,
    H * W), with A @ image.flatten() equal to operation(image).flatten() for
    every image.
    """
    ### BEGIN SOLUTION
    height, width = size
    units = torch.eye(height * width, dtype=torch.float64)
    columns = [operation(unit.view(height, width)).flatten() for unit in units]
    return torch.stack(columns, dim=1)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# What does a matrix make of the vector that is 1 in one place, and 0 in all others?

# %% [markdown] tags=["hint"]
# Column $n$ is what the operation makes of the picture whose $n$-th pixel is 1 and all others 0.
# `torch.eye(height * width, dtype=torch.float64)` has these pictures as its rows.

# %% nbgrader={"grade": true, "grade_id": "as-matrix-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
numbers = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
move = lambda image: torch.roll(image, 1, 1)
found = torch.as_tensor(as_matrix(move, (1, 3)))
same(found.double() @ numbers, torch.tensor([3.0, 1.0, 2.0]),
     "the matrix of a move by one pixel to the right, times (1, 2, 3)",
     cause="(2, 3, 1) is the move to the left: what a "
           "unit picture becomes is a column, not a row")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(31)
kernel = torch.randn(2, 3, generator=lot, dtype=torch.float64)
picture = torch.randn(3, 5, generator=lot, dtype=torch.float64)
mix = torch.randn(3, 3, generator=lot, dtype=torch.float64)
for name, operation in {
    "a convolution": lambda image: circular_convolution(image, kernel),
    "a mix of rows": lambda image: mix @ image,
    "a cumulative sum": lambda image: image.cumsum(1) - 0.5 * image,
}.items():
    found = torch.as_tensor(as_matrix(operation, (3, 5))).double()
    same(found @ picture.flatten(), operation(picture).flatten(), name,
         cause="A @ image.flatten() is to be operation(image).flatten()")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "as-matrix-sizes", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
same(torch.as_tensor(as_matrix(lambda image: image[:1], (2, 2))),
     torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]),
     "the matrix that keeps the upper row of 2 x 2 pixels",
     cause="the output's pixels count the rows, the input's pixels the columns")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(32)
picture = torch.randn(2, 5, generator=lot, dtype=torch.float64)
for name, operation in {
    "transposed, a row less": lambda image: image.T[1:],
    "sum of the rows": lambda image: image.sum(0, keepdim=True),
    "twice as high": lambda image: torch.cat([image, -image]),
    "one pixel, their sum": lambda image: image.sum().view(1, 1),
    "zeros below": lambda image: torch.cat([image, 0 * image]),
}.items():
    found = torch.as_tensor(as_matrix(operation, (2, 5))).double()
    same(found @ picture.flatten(), operation(picture).flatten(), name,
         cause="A @ image.flatten() is to be operation(image).flatten()")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 3: its norm, by waves (4 points)
#
# Such a matrix has $(HW)^2$ entries: for a photograph of 224 x 224 pixels, 2.5 billion. But a
# circular convolution treats all places alike, and takes each *wave*
# $e^{2\pi i (jm/H + kn/W)}$ to a multiple of itself. The factors are the kernel's Fourier
# transform,
#
# $$\hat w(j, k) = \sum_{a, b} w_{ab}\, e^{-2 \pi i (j a / H + k b / W)},
#   \qquad \|W\| = \max_{j, k} |\hat w(j, k)| :$$
#
# waves are orthogonal to each other, so nothing is amplified more than the best wave.

# %% nbgrader={"grade": false, "grade_id": "circular-norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def circular_norm(kernel, size):
    """The norm of image -> circular_convolution(image, kernel) on pictures of
    H x W pixels.

    kernel: float (h, w); size: (H, W), two ints, at least h and w. Returns a
    number (a float, or a tensor without dimensions). Makes no matrix of the
    convolution: 44 x 44 pixels take a small part of a second.
    """
    ### BEGIN SOLUTION
    return torch.fft.fft2(kernel, s=size).abs().max()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Think of the kernel as of a picture of H x W pixels that is zero beyond its corner.

# %% [markdown] tags=["hint"]
# `torch.fft.fft2` has an argument `s`, the size up to which it fills with zeros. Its values are
# complex; their absolute values are the factors.

# %% nbgrader={"grade": true, "grade_id": "circular-norm-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
same(circular_norm(torch.full((3, 3), 1 / 9), (6, 8)), 1.0,
     "the mean over 3 x 3 pixels",
     cause="it leaves an even grey as it is and amplifies nothing: a "
           "sum over frequencies, or a factor of the number of pixels?")
same(circular_norm(torch.tensor([[1.0, -1.0]]), (4, 6)), 2.0,
     "the difference of neighbours",
     cause="1.4142 is the length of the kernel, 0 its value at frequency "
           "0; stripes one pixel wide come out twice as strong")
same(circular_norm(torch.tensor([[1.0, -1.0]]), (4, 5)), 1.9021130,
     "the same on a picture 5 pixels wide, "
     "where stripes of one pixel do not fit",
     cause="the transform has to have the picture's size, height first, and "
           "no other; and of its complex numbers the absolute values count")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(33)
cases = [((3, 3), (7, 6)), ((1, 4), (5, 4)), ((5, 2), (6, 9)), ((1, 1), (3, 2)),
         ((4, 4), (4, 4))]
for number, (taps, (high, wide)) in enumerate(cases):
    kind = torch.float64 if number % 2 else torch.float32
    kernel = torch.randn(taps, generator=lot, dtype=kind)
    units = torch.eye(high * wide, dtype=torch.float64).view(-1, high, wide)
    dense = [circular_convolution(unit, kernel.double()) for unit in units]
    same(circular_norm(kernel, (high, wide)),
         torch.linalg.matrix_norm(torch.stack(dense).flatten(1), 2),
         f"a random kernel {taps} on {high} x {wide} pixels",
         cause="see the formula")
same(circular_norm(torch.full((2, 2), -1.0), (5, 5)), 4.0, "a negative kernel",
     cause="no abs")
down, across = torch.arange(5)[:, None] / 5, torch.arange(7) / 7
same(circular_norm(torch.cos(2 * math.pi * (down - 2 * across)), (5, 7)), 17.5,
     "a slanting wave", cause="all frequencies count, 5 x 7 of them")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "circular-norm-time", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
begin = processor_time(circular_norm)
same(circular_norm(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), (44, 44)), 4.0,
     "a kernel without negative numbers, 44 x 44 pixels",
     cause="it amplifies an even grey most, by the sum of its numbers")
took = processor_time(circular_norm) - begin
assert took < 1, (
    "44 x 44 pixels: expected a small part of a second of "
    f"processor time, got {took:.1f} seconds. Likely cause: the "
    "matrix is built after all. The waves make it unnecessary.")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(41)
for high, wide in ((7, 1397), (769, 13)):
    kernel = torch.randn(3, 4, generator=lot, dtype=torch.float64)
    down = torch.outer(torch.arange(high), torch.arange(3)) / high
    across = torch.outer(torch.arange(wide), torch.arange(4)) / wide
    turns = down[:, None, :, None] + across[:, None]
    waves = torch.exp(-2j * math.pi * turns.double())
    same(circular_norm(kernel.float(), (high, wide)),
         (kernel * waves).sum((2, 3)).abs().max(),
         f"a random kernel on {high} x {wide} pixels",
         cause="another size than the picture's; a matrix would take minutes")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 4: several channels (6 points)
#
# A layer of a network reads several channels and writes several. Its weight $w$ has the shape (out,
# in, h, w), a kernel for each pair of channels. What was a number $\hat w(j, k)$ is now, at each
# frequency, a small matrix of shape (out, in): it says what the waves of that frequency in the
# input channels become in the output channels. Waves of different frequency still do not mix, so
#
# $$\|W\| = \max_{j, k} \;\sigma_1\big(\hat w(j, k)\big) ,$$
#
# with $\sigma_1$ the largest singular value.

# %% nbgrader={"grade": false, "grade_id": "channel-norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def channel_norm(weight, size):
    """The norm of a circular convolution with several channels, on pictures of
    H x W pixels.

    Channel o of the output is the sum over c of circular_convolution(channel c,
    weight[o, c]). weight: float (out, in, h, w); size: (H, W), two ints, at
    least h and w. Returns a number (a float, or a tensor without dimensions).
    """
    ### BEGIN SOLUTION
    transform = torch.fft.fft2(weight, s=size)
    return torch.linalg.matrix_norm(transform.permute(2, 3, 0, 1), 2).max()
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Transform every kernel as in exercise 3. Which two dimensions of the result are the matrix whose
# singular values are wanted, and which two count the frequencies?

# %% [markdown] tags=["hint"]
# `torch.linalg.matrix_norm(a, 2)` takes the last two dimensions of `a` for the matrix. Bring
# channels there with `permute`; `reshape` would mix them up.

# %% nbgrader={"grade": true, "grade_id": "channel-norm-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]])[:, :, None, None]
same(channel_norm(swap, (3, 3)), 1.0, "a layer that swaps two channels",
     cause="it makes nothing longer. 1.4142 is the root of a sum of "
           "squares, and 2 a sum, not the largest singular value")
merge = torch.tensor([[3.0, 4.0]])[:, :, None, None]
same(channel_norm(merge, (2, 3)), 5.0,
     "3 times one channel plus 4 times the other",
     cause="4 is the best single pair of channels, "
           "but an input may use both at once")
### BEGIN HIDDEN TESTS
apart = torch.tensor([[3.0, -3.0], [1.0, 1.0]])
same(channel_norm(apart[:, :, None, None], (2, 3)), 18**0.5,
     "3 times the difference of two channels, and their sum",
     cause="power iteration does not leave a start that it keeps")
close = torch.diag(torch.linspace(0.98, 1, 100))
same(channel_norm(close[:, :, None, None], (2, 3)), 1.0,
     "100 channels, each times .98 to 1",
     cause="power iteration takes thousands of steps here")
lot = torch.Generator().manual_seed(34)
for out, into, size in [(3, 5, (4, 6)), (6, 2, (3, 3)), (4, 4, (2, 5))]:
    matrix = torch.randn(out, into, generator=lot)
    same(channel_norm(matrix[:, :, None, None], size),
         torch.linalg.matrix_norm(matrix, 2),
         f"a kernel of one pixel, {into} channels to {out}",
         cause="see the formula")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "channel-norm-waves", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
same(channel_norm(torch.tensor([[[[1.0, -1.0]]]]), (4, 5)), 1.9021130,
     "one channel in, one out, as in exercise 3",
     cause="the transform has the picture's size, and "
           "each of its matrices is (out, in): 1 x 1")
shift = torch.zeros(2, 2, 1, 2)
shift[0, 0, 0, 0] = shift[1, 1, 0, 1] = 1
same(channel_norm(shift, (3, 4)), 1.0,
     "a layer that moves one of two channels by a pixel",
     cause="it makes nothing longer. A singular value over "
           "height and width has no meaning here; and the "
           "transform is complex: its imaginary part counts")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(35)
cases = [((2, 3, 3, 3), (5, 4)), ((4, 2, 1, 3), (3, 6)), ((3, 3, 2, 2), (4, 4)),
         ((1, 4, 2, 1), (6, 3)), ((5, 1, 3, 2), (4, 5))]
for number, (shape, size) in enumerate(cases):
    kind = torch.float64 if number % 2 else torch.float32
    weight = torch.randn(shape, generator=lot, dtype=kind)
    units = torch.eye(shape[1] * math.prod(size)).view(-1, shape[1], *size)
    border = shape[3] - 1, 0, shape[2] - 1, 0
    units = nn.functional.pad(units.double(), border, mode="circular")
    dense = nn.functional.conv2d(units, weight.double().flip(2, 3)).flatten(1)
    same(channel_norm(weight, size), torch.linalg.matrix_norm(dense, 2),
         f"random weights {shape} on {size}", cause="see the formula")
down, across = torch.arange(5)[:, None] / 5, torch.arange(7) / 7
wave = torch.cos(2 * math.pi * (down - 2 * across))
same(channel_norm(torch.stack([3 * wave, 4 * wave])[None], (5, 7)), 87.5,
     "two slanting waves", cause="all frequencies count, 5 x 7 of them")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 5: a stride (4 points)
#
# AlexNet's first layer keeps only every fourth pixel of its output, down and across: it has a
# **stride** of 4. Waves that differ only between the kept pixels become the same; they are
# *aliases*. If the stride $s$ divides $H$ and $W$, with $H' = H/s$ and $W' = W/s$, the aliases of a
# frequency $(j, k)$ are the $s^2$ frequencies $(j + pH', k + qW')$ for $p, q = 0, \dots, s - 1$. In
# the right mixture they add up, so their matrices stand *side by side*: for $j < H'$, $k < W'$
#
# $$A(j, k) = \big[\; \hat w(j + pH',\, k + qW') \;\big]_{p,\, q},
#   \qquad \|W\| = \frac1s \max_{j, k} \sigma_1\big(A(j, k)\big) ,$$
#
# each $A$ of shape (out, $s^2 \cdot$ in). (The factor is there because a wave on fewer pixels is
# shorter.) This is the paper's equation for its strided layers.

# %% nbgrader={"grade": false, "grade_id": "strided-norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
def strided_norm(weight, size, stride):
    """The norm of exercise 4's convolution if only pixels [::stride, ::stride]
    of each output stay.

    weight: float (out, in, h, w); size: (H, W), two ints, at least h and w, and
    multiples of stride; stride: int, 1 or more. Returns a number (a float, or a
    tensor without dimensions).
    """
    ### BEGIN SOLUTION
    transform = torch.fft.fft2(weight, s=size)
    rows, columns = size[0] // stride, size[1] // stride
    aliases = [part for strip in transform.split(rows, dim=2)
               for part in strip.split(columns, dim=3)]
    beside = torch.cat(aliases, dim=1).permute(2, 3, 0, 1)
    return torch.linalg.matrix_norm(beside, 2).max() / stride
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Cut the transform, of H x W frequencies, into $s \times s$ tiles of H' x W'. The aliases of a
# frequency lie at the same place in each of the tiles.

# %% [markdown] tags=["hint"]
# Put the tiles beside each other along the dimension of the input channels
# (`torch.cat(tiles, dim=1)`), then go on as in exercise 4, and do not forget the factor.

# %% nbgrader={"grade": true, "grade_id": "strided-norm-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(strided_norm(torch.ones(1, 1, 1, 1), (4, 6), 2), 1.0,
     "a layer that only drops pixels",
     cause="a pixel that is kept stays as it was: how many aliases "
           "are there, and what is the norm of a row of so many ones?")
same(strided_norm(torch.full((1, 1, 2, 2), 0.25), (4, 6), 2), 0.5,
     "means over 2 x 2 pixels that do not overlap",
     cause="four equal pixels, of length 2 together, become "
           "one of length 1. Aliases lie H / s and W / s "
           "apart; they are not neighbouring frequencies")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(36)
cases = [((3, 2), (4, 6), 2), ((2, 3), (6, 3), 3), ((3, 1), (4, 8), 4),
         ((3, 3), (4, 5), 1)]
for number, (taps, (high, wide), stride) in enumerate(cases):
    kind = torch.float64 if number % 2 else torch.float32
    kernel = torch.randn(taps, generator=lot, dtype=kind)
    units = torch.eye(high * wide, dtype=torch.float64).view(-1, high, wide)
    dense = [circular_convolution(unit, kernel.double()) for unit in units]
    dense = torch.stack(dense)[:, ::stride, ::stride].flatten(1)
    same(strided_norm(kernel[None, None], (high, wide), stride),
         torch.linalg.matrix_norm(dense, 2),
         f"one channel, kernel {taps} on {high} x {wide}, stride {stride}",
         cause="see the formula")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "strided-norm-channels", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
merge = torch.tensor([[3.0, 4.0]])[:, :, None, None]
same(strided_norm(merge, (4, 4), 2), 5.0,
     "two channels merged, every second pixel kept",
     cause="the aliases stand beside each other along the input "
           "channels, not the output channels; or the factor is not 1/s")
same(strided_norm(merge, (2, 3), 1), 5.0, "the same without a stride",
     cause="it is exercise 4")
### BEGIN HIDDEN TESTS
apart = torch.tensor([[3.0, -3.0], [1.0, 1.0]])
same(strided_norm(apart[:, :, None, None], (2, 3), 1), 18**0.5,
     "3 times the difference of two channels, and their sum",
     cause="power iteration does not leave a start that it keeps")
close = torch.diag(torch.linspace(0.98, 1, 100))
same(strided_norm(close[:, :, None, None], (2, 4), 2), 1.0,
     "100 channels, each times .98 to 1, stride 2",
     cause="power iteration takes thousands of steps here")
lot = torch.Generator().manual_seed(37)
for shape, size, stride in [((2, 3, 3, 3), (4, 6), 2),
                            ((3, 2, 2, 3), (6, 3), 3),
                            ((4, 2, 3, 1), (4, 8), 4),
                            ((3, 2, 3, 3), (5, 4), 1)]:
    weight = torch.randn(shape, generator=lot)
    units = torch.eye(shape[1] * math.prod(size)).view(-1, shape[1], *size)
    border = shape[3] - 1, 0, shape[2] - 1, 0
    units = nn.functional.pad(units.double(), border, mode="circular")
    dense = nn.functional.conv2d(units, weight.double().flip(2, 3),
                                 stride=stride).flatten(1)
    same(strided_norm(weight, size, stride), torch.linalg.matrix_norm(dense, 2),
         f"random weights {shape} on {size}, stride {stride}",
         cause="see the formula")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 6: max pooling (4 points)
#
# Max pooling is not linear, but it has a Lipschitz constant, too. The maxima of two pictures over
# one window differ by at most the largest difference of a pixel *in that window*. A pixel that lies
# in $c$ windows can be counted $c$ times, and that is the worst that can happen:
#
# $$\|\varphi(x + r) - \varphi(x)\|^2 \le c_{\max} \|r\|^2 ,$$
#
# with $c_{\max}$ the largest number of windows that one pixel lies in; a single bright pixel
# attains it. So what is $L$? Count by hand for a small picture first. Near the borders there are
# fewer windows, and a small picture is all border.

# %% nbgrader={"grade": false, "grade_id": "pool-constant", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pool_constant(size, kernel, stride):
    """The smallest Lipschitz constant of max pooling on square pictures,
    without padding.

    size, kernel, stride: ints, 1 or more, kernel at most size. The windows are
    kernel x kernel pixels; they begin at every stride-th pixel, down and
    across, and only those count that lie in the picture of size x size pixels
    whole. Returns a number (a float, an int, or a tensor without dimensions).
    """
    ### BEGIN SOLUTION
    windows = [0] * size
    for first in range(0, size - kernel + 1, stride):
        for pixel in range(first, first + kernel):
            windows[pixel] += 1
    # Down and across the numbers multiply, so this is the root of c_max.
    return max(windows)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# One direction first: in a row of pixels, in how many windows does each pixel lie? And in two
# directions, if it lies in 2 rows of windows and 3 columns of them?

# %% [markdown] tags=["hint"]
# Go through the windows' first pixels, `range(0, size - kernel + 1, stride)`, and count for each
# pixel of a row. The largest count, squared, is $c_{\max}$. The bound is on the *squared* length.

# %% nbgrader={"grade": true, "grade_id": "pool-constant-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(pool_constant(8, 2, 2), 1.0,
     "8 x 8 pixels, windows of 2 x 2 every 2 pixels",
     cause="these windows do not overlap")
same(pool_constant(7, 3, 2), 2.0,
     "7 x 7 pixels, windows of 3 x 3 every 2 pixels, as in AlexNet",
     cause="one bright pixel can be the maximum of four "
           "windows. 4 bounds the squared length; 1.4142 counts "
           "in one direction only; 1 rounds a quotient down")
### BEGIN HIDDEN TESTS
for (size, kernel, stride), wanted in {(27, 3, 2): 2, (9, 3, 1): 3,
                                       (20, 5, 2): 3, (30, 7, 3): 3,
                                       (12, 4, 4): 1, (13, 5, 3): 2}.items():
    same(pool_constant(size, kernel, stride), float(wanted),
         f"{size}, {kernel}, {stride}", cause="count the windows of a pixel")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "pool-constant-small", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
same(pool_constant(6, 6, 1), 1.0, "6 x 6 pixels and windows of 6 x 6",
     cause="there is one window only: the others "
           "would stick out of the picture")
### BEGIN HIDDEN TESTS
for (size, kernel, stride), wanted in {(3, 3, 1): 1, (4, 3, 2): 1, (4, 3, 1): 2,
                                       (5, 1, 2): 1, (8, 5, 2): 2, (6, 2, 5): 1,
                                       (7, 4, 3): 2, (1, 1, 1): 1,
                                       (9, 5, 2): 3, (3, 2, 7): 1}.items():
    same(pool_constant(size, kernel, stride), float(wanted),
         f"{size}, {kernel}, {stride}",
         cause="count the windows that there are")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 7: a network (4 points)
#
# Layer after layer, a change is amplified at most $L_1$ times, then at most $L_2$ times, and so on:
#
# $$\|\varphi(x + r) - \varphi(x)\| \le L \|r\|, \qquad L = \prod_k L_k .$$
#
# An activation acts on each number alone, so its constant is its largest slope: 1 for ReLU; and for
# the sigmoid $1 / (1 + e^{-t})$? `Flatten` only writes numbers in another order. And a layer whose
# constant you do not know? A proof with a hole proves nothing: the bound is then infinite.

# %% nbgrader={"grade": false, "grade_id": "network-bound", "locked": false, "schema_version": 3, "solution": true, "task": false}
def network_bound(model):
    """The product of the smallest Lipschitz constants of the layers.

    model: nn.Sequential; its layers are nn.Flatten, nn.Linear, nn.ReLU and
    nn.Sigmoid, in any order and number, with weights in float32 or float64 that
    are not all 0. Returns a number (a float, or a tensor without dimensions), 1
    if there is no layer; infinity where a layer is of any other kind, even one
    whose constant you happen to know. torch.linalg may be used.
    """
    ### BEGIN SOLUTION
    bound = 1.0
    for layer in model:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().double()
            bound *= torch.linalg.matrix_norm(weight, 2).item()
        elif isinstance(layer, nn.Sigmoid):
            bound *= 0.25
        elif not isinstance(layer, nn.Flatten | nn.ReLU):
            return math.inf
    return bound
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# `for layer in model` goes through the layers, and `isinstance(layer, nn.Linear)` asks for a kind.
# What does the bias do to the difference of two outputs?

# %% [markdown] tags=["hint"]
# The sigmoid's slope is $\sigma(t)(1 - \sigma(t))$, largest at $t = 0$. A fully connected layer's
# constant is `torch.linalg.matrix_norm(layer.weight, 2)`.

# %%
def linear(rows):
    """A fully connected layer with these weights and a bias of 7 or more."""
    layer = nn.Linear(len(rows[0]), len(rows))
    layer.weight.data = torch.tensor(rows)
    layer.bias.data = torch.full((len(rows),), 7 + nudge)
    return layer.requires_grad_(False)

# %% nbgrader={"grade": true, "grade_id": "network-bound-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
cross, last = linear([[0.0, 3.0], [4.0, 0.0]]), linear([[2.0, 0.0]])
same(network_bound(nn.Sequential(nn.Flatten(), cross, nn.ReLU(), last)), 8.0,
     "layers of norm 4 and 2 with a ReLU between them",
     cause="6 is the sum; 10 has the root of the sum of squares of a layer "
           "for its norm; the bias moves with no input, and does not count")
same(network_bound(nn.Sequential(nn.Sigmoid(), last)), 0.5,
     "a sigmoid, then a layer of norm 2",
     cause="how steep is a sigmoid where it is steepest?")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(38)
one, two, three, square = (linear(torch.randn(*shape, generator=lot).tolist())
                           for shape in [(7, 5), (4, 7), (2, 4), (3, 3)])
apart = nn.Linear(2, 2, bias=False).requires_grad_(False)
apart.weight.data = torch.tensor([[3.0, -3.0], [1.0, 1.0]])
close = linear(torch.diag(torch.linspace(0.98, 1, 100)).tolist())
a, b, c, s = (torch.linalg.svdvals(layer.weight.double())[0].item()
              for layer in (one, two, three, square))
for name, model, wanted in [
    ("one layer", nn.Sequential(one), a),
    (
        "sigmoids",
        nn.Sequential(one, nn.Sigmoid(), two, nn.Sigmoid(), three),
        a * b * c / 16,
    ),
    ("two layers in a row", nn.Sequential(nn.ReLU(), one, two), a * b),
    (
        "no linear layer",
        nn.Sequential(nn.Flatten(), nn.Sigmoid(), nn.ReLU()),
        0.25,
    ),
    (
        "the same layer twice",
        nn.Sequential(square, nn.ReLU(inplace=True), square),
        s * s,
    ),
    ("no layer", nn.Sequential(), 1.0),
    ("a layer that amplifies (1, -1) most", nn.Sequential(apart), 18**0.5),
    ("100 singular values from .98 to 1", nn.Sequential(close), 1.0),
    ("float64", nn.Sequential(one, nn.ReLU(), two).double(), a * b),
]:
    same(network_bound(model), wanted, name,
         cause="the product of the constants, each as often as its layer is "
               "there: children() gives a layer once")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "network-bound-unknown", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
same(network_bound(nn.Sequential(linear([[1.0, 2.0]]), nn.GELU())), math.inf,
     "a network with a GELU",
     cause="the function passes over what it does not know. GELU's "
           "largest slope is above 1, so it promises too much")
same(network_bound(nn.Sequential(linear([[3.0, 4.0]]), nn.ReLU())), 5.0,
     "a network without one",
     cause="infinity is for kinds of layers that are not known")
### BEGIN HIDDEN TESTS
class Double(nn.Module):
    """Has what a linear layer has."""
    def __init__(self):
        super().__init__()
        self.in_features = self.out_features = 2
        self.weight, self.bias = nn.Parameter(torch.eye(2)), None
    def forward(self, x):
        return 2 * x @ self.weight.T
names = """AlphaDropout CELU Dropout Dropout1d Dropout2d Dropout3d ELU
    FeatureAlphaDropout GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh
    Identity LeakyReLU LogSigmoid LogSoftmax Mish PReLU ReLU6 RReLU SELU SiLU
    Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink
    Upsample"""
of_two = """AdaptiveAvgPool2d AdaptiveMaxPool1d AvgPool1d AvgPool2d BatchNorm1d
    ChannelShuffle CircularPad2d InstanceNorm1d LayerNorm LocalResponseNorm
    MaxPool1d MaxPool2d MaxPool3d PixelShuffle PixelUnshuffle ReflectionPad2d
    ReplicationPad2d RMSNorm Unfold ZeroPad1d ZeroPad2d ZeroPad3d"""
strangers = [Double(), nn.Bilinear(2, 2, 2), nn.ConstantPad2d(2, 0.0),
             nn.Conv1d(1, 1, 1), nn.Conv2d(1, 1, 1), nn.Embedding(2, 2),
             nn.GroupNorm(1, 2), nn.LPPool1d(2, 2), nn.RNN(2, 2),
             nn.Sequential(nn.GELU()), nn.Threshold(0, 0),
             nn.Unflatten(1, (1, 2))]
strangers += [getattr(nn, name)() for name in names.split()]
strangers += [getattr(nn, name)(2) for name in of_two.split()]
for place, stranger in enumerate(strangers):
    layers = [linear([[1.0, 0.0]]), nn.ReLU()]
    layers.insert(place % 3, stranger)
    same(network_bound(nn.Sequential(*layers)), math.inf, str(stranger),
         cause="a kind that is not among the four")
### END HIDDEN TESTS

# %% [markdown]
# ## Exercise 8: the certified radius (4 points)
#
# Now the promise. A picture of class $y$ has the logits $z_1, \dots, z_K$, and the **margin**
# $z_y - \max_{k \ne y} z_k$. If the vector of logits moves by at most $L\|r\|$, the difference of
# any *two* logits moves by at most $\sqrt2 L \|r\|$. So the class stays on top for every
#
# $$\|r\| < \frac{z_y - \max_{k \ne y} z_k}{\sqrt2\, L} .$$
#
# A picture that is misclassified to begin with has no such distance: its radius is 0.

# %% nbgrader={"grade": false, "grade_id": "certified-radius", "locked": false, "schema_version": 3, "solution": true, "task": false}
def certified_radius(logits, labels, bound):
    """How far each picture can move without being misclassified, as far as the
    bound says.

    logits: float (N, K), K at least 2; labels: int64 (N,), the true classes;
    bound: float above 0, the Lipschitz constant L of the logits. Returns float
    (N,), 0 or above.
    """
    ### BEGIN SOLUTION
    rows = torch.arange(len(labels))
    others = logits.clone()
    others[rows, labels] = -math.inf
    margin = logits[rows, labels] - others.amax(dim=1)
    return margin.clamp(min=0) / (math.sqrt(2) * bound)
    ### END SOLUTION

# %% [markdown] tags=["hint"]
# Which number stands first in the margin: the largest logit, or that of the true class? When are
# they the same?

# %% [markdown] tags=["hint"]
# `logits[torch.arange(len(labels)), labels]` has the true classes' logits. For the rivals, put
# minus infinity in their place, in a copy, and take the maximum of each row.

# %% nbgrader={"grade": true, "grade_id": "certified-radius-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
logits = torch.tensor([[1.0, 5.0, 3.0], [8.0, 0.0, -2.0]]) + nudge
same(certified_radius(logits, torch.tensor([1, 0]), 2.0),
     torch.tensor([0.70710678, 2.8284271]),
     "logits (1, 5, 3) of class 1 and (8, 0, -2) of class 0, L = 2",
     cause="twice as much: the root of 2 is on the wrong side; 1.4142 times: "
           "it is missing; the margin is to the largest of the others")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(39)
for n, k, bound, kind in [(40, 10, 3.7, torch.float32),
                          (25, 2, 0.2, torch.float64),
                          (1, 4, 55.0, torch.float32),
                          (8, 3, 0.05, torch.float32),
                          (8, 3, 1e-8, torch.float64)]:
    logits = 4 * torch.randn(n, k, generator=lot, dtype=kind)
    top = logits.double().sort(dim=1, descending=True)
    same(certified_radius(logits, top.indices[:, 0], bound),
         (top.values[:, 0] - top.values[:, 1]) * 0.5**0.5 / bound,
         f"{n} pictures, {k} classes, all classified correctly",
         cause="see the formula")
### END HIDDEN TESTS

# %% nbgrader={"grade": true, "grade_id": "certified-radius-wrong", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
logits = torch.tensor([[1.0, 5.0, 3.0]]) + nudge
same(certified_radius(logits, torch.tensor([2]), 2.0), torch.tensor([0.0]),
     "logits (1, 5, 3) of class 2: misclassified",
     cause="below 0: no radius is negative; above 0: it is the "
           "radius of the network's answer, not of the true class")
logits = torch.tensor([[-9.0, -2.0, -8.0]]) + nudge
same(certified_radius(logits, torch.tensor([1]), 2.0),
     torch.tensor([2.1213203]), "logits (-9, -2, -8) of class 1, L = 2",
     cause="3: the root of 2 is missing; 0: logits may be negative, all "
           "of them, so what stands in the place of the true class?")
### BEGIN HIDDEN TESTS
lot = torch.Generator().manual_seed(40)
logits = 3 * torch.randn(60, 5, generator=lot) - 4
labels = torch.randint(5, (60,), generator=lot)
wanted = [
    max(0.0, row[label] - max(z for j, z in enumerate(row) if j != label))
    / (2**0.5 * 1.3)
    for row, label in zip(logits.tolist(), labels.tolist())
]
kept = logits.clone()
same(certified_radius(logits, labels, 1.3), torch.tensor(wanted),
     "random labels", cause="see the formula")
same(logits, kept, "logits after the call", cause="changed in place")
same(certified_radius(torch.tensor([[2.0, 2.0, 1.0]]), torch.tensor([0]), 1.0),
     torch.tensor([0.0]), "two equal logits",
     cause="the other of the two is a rival")
same(certified_radius(torch.tensor([[-1e12, -2e12]]), torch.tensor([0]), 1.0),
     torch.tensor([1e12 / 2**0.5]), "logits far below 0",
     cause="a placeholder, not low enough")
same(certified_radius(logits, labels, math.inf), torch.zeros(60),
     "of a network without a bound", cause="a bound that proves nothing")
### END HIDDEN TESTS

# %% [markdown]
# With exercises 7 and 8 you can certify a network of the course. In a cell of your own, try
#
# ```python
# from course_utils.data import load_mnist
# from course_utils.zoo import load_model
#
# images, labels = (tensor[:1000] for tensor in load_mnist("test"))
# model = load_model("FC100-100-10").requires_grad_(False)
# certified_radius(model(images), labels, network_bound(model)).median()
# ```
#
# It should give about .087, with a bound of 87.7; in Lecture 3 the attack had to go about ten times
# as far. The network `FC10(1)`, which is linear, has a bound of .367. Why is its radius not 200
# times as large?
#
# ## Exercise 9: an open question (6 points)
#
# *"I computed the product of the norms of two networks with ReLU. A has 5, B has 5,000. So B has
# adversarial examples close to its pictures, A has none, and I shall use A."* In about 200 words:
#
# - What do the two numbers prove of A and of B, and what not? What else must be known of A before
#   anybody can be promised a radius?
# - Describe a change of B's weights that takes its product far above 5,000 and leaves each of its
#   answers as it was. What does that say about the quotation?
# - Name one experiment that tells more about B than the product does. What could its result prove,
#   and what not?

# %% [markdown] nbgrader={"grade": true, "grade_id": "open-question", "locked": false, "points": 6, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **2 points.** A's 5 proves that its logits move by at most $5\|r\|$. That is a radius only
# together with the margins: with a margin of .1 it is $.1 / (\sqrt2 \cdot 5)$, next to nothing. And
# the class within the radius may be the wrong one. So margins and accuracy must be known. B's
# 5,000 proves very small radii; that there is an adversarial example beyond them it does not prove.
# One point for A with margins or accuracy, one for what B's number leaves open.
#
# **2 points.** Take one hidden unit with ReLU, multiply its weights and its bias by 1,000, and
# divide the weights by which the next layer reads it by 1,000. Since $\max(0, 1000 t) = 1000
# \max(0, t)$, all answers stay. The first norm is now at least as large as the unit's enlarged
# weights, the second hardly smaller as long as other units matter. The product belongs to the
# weights, not to the function, so no adversarial example can follow from it. One point for the
# change, with the reason why all answers stay, one for what follows.
#
# **2 points.** An attack on B, such as Lecture 1's: where it succeeds, it *proves* an adversarial
# example at that distance; where it fails, it proves nothing, since another might succeed. (Also
# good: the norm of the Jacobian at the pictures, or along paths, if it is said that it holds
# there only.) One point for an experiment that could come out either way, one for what each of its
# results proves and what not.
# ### END SOLUTION

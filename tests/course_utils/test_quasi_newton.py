import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.attacks.quasi_newton import LEAST_CURVATURE, InverseHessian, Memory


def inverse_bfgs(pairs, weight: float, size: int) -> np.ndarray:
    """The textbook's inverse BFGS matrix (Nocedal and Wright, equation 6.17), dense."""
    used = []
    for s, loss_change in pairs:
        y = s + weight * loss_change
        if s @ s > 0 and s @ y > LEAST_CURVATURE * (s @ s):
            used.append((s, y))
    identity = np.eye(size)
    if not used:
        return identity / (1 + weight)
    s, y = used[-1]
    h = identity * (s @ y) / (y @ y)
    for s, y in used:
        left = identity - np.outer(s, y) / (s @ y)
        h = left @ h @ left.T + np.outer(s, s) / (s @ y)
    return h


@st.composite
def problems(draw):
    """A filled memory and everything a InverseHessian takes, for a batch of problems."""
    batch, size = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    pushed = draw(st.integers(0, 3))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    convexity = draw(st.sampled_from([-1.0, 0.0, 1.0]))  # of the loss: some pairs are skipped
    bend = random.normal(size=(batch, size, size)) + convexity * np.eye(size)
    bend = bend + bend.transpose(0, 2, 1)
    pairs = []
    for _ in range(pushed):
        s = random.normal(size=(batch, size)) * (random.random((batch, 1)) > 0.2)  # some zero
        pairs.append((s, np.einsum("bij,bj->bi", bend, s)))
    weight = random.uniform(0, 2, batch)
    free = (random.random((batch, size)) > draw(st.sampled_from([0.0, 0.3, 1.0]))).astype(float)
    gradient, r = random.normal(size=(2, batch, size))
    before = torch.from_numpy(np.stack([r, gradient], 1))
    memory = Memory(before)
    for s, change in pairs:
        memory.push(before + torch.from_numpy(np.stack([s, change], 1)), before)
    return memory, pairs[-1:], weight, free, gradient, r


def model_of(memory, weight, free, gradient, r) -> InverseHessian:
    state = np.stack([r, gradient], 1)
    return InverseHessian(memory, *map(torch.from_numpy, (weight, free, state)))


@settings(max_examples=200)
@given(problems(), st.sampled_from([0.0, 0.4, 3.0]))
def test_against_dense_matrices(problem, other):
    memory, pairs, weight, free, gradient, r = problem
    model = model_of(memory, weight, free, gradient, r)
    direction = model.direction(torch.from_numpy(weight + other)).numpy()
    products = np.stack(model.products(), 1)
    for row in range(len(weight)):
        mine = [(s[row], change[row]) for s, change in pairs]
        h = inverse_bfgs(mine, weight[row], r.shape[1]) * np.outer(free[row], free[row])
        g, rest = gradient[row] * free[row], r[row] * free[row]
        close = {"rtol": 1e-7, "atol": 1e-9 * max(1, np.abs(h).max())}
        np.testing.assert_allclose(direction[row], -h @ (rest + (weight[row] + other) * g), **close)
        np.testing.assert_allclose(products[row], np.stack([g, rest]) @ h @ g, **close)


@settings(max_examples=30)
@given(problems())
def test_held_pixels_do_not_move_and_the_direction_descends(problem):
    memory, _, weight, free, gradient, r = problem
    direction = model_of(memory, weight, free, gradient, r).direction(torch.from_numpy(weight))
    slope = r + weight[:, None] * gradient
    assert (direction.numpy()[free == 0] == 0).all()
    assert ((direction.numpy() * slope).sum(1) <= 0).all()


@pytest.mark.parametrize("rows", [[1], [2, 0], []])
def test_keeping_some_rows_is_as_if_the_others_had_never_been(rows):
    random = np.random.default_rng(0)
    nowhere = torch.zeros(3, 2, 4, dtype=torch.float64)
    memory = Memory(nowhere)
    for _ in range(3):
        s = torch.from_numpy(random.normal(size=(3, 4)))
        memory.push(torch.stack([s, s * torch.tensor([1.0, 2.0, 3.0, 4.0])], 1), nowhere)
    weight, free = np.array([0.5, 1.0, 2.0]), np.ones((3, 4))
    gradient, r = random.normal(size=(2, 3, 4))
    whole = model_of(memory, weight, free, gradient, r).direction(torch.from_numpy(weight))
    memory.vectors, memory.gram = memory.vectors[rows], memory.gram[rows]
    some = model_of(memory, weight[rows], free[rows], gradient[rows], r[rows])
    direction = some.direction(torch.from_numpy(weight[rows]))
    torch.testing.assert_close(direction, whole[rows], rtol=1e-12, atol=1e-12)


def test_on_a_quadratic_of_one_pixel_it_is_newtons_method():
    curvature, centre, weight = 3.0, 0.4, torch.tensor([0.7], dtype=torch.float64)

    def state(r: float) -> torch.Tensor:
        return torch.tensor([[[r], [curvature * (r - centre)]]], dtype=torch.float64)

    memory = Memory(state(0.1))
    memory.push(state(0.1), state(0.0))
    step = InverseHessian(memory, weight, torch.ones_like(weight)[:, None], state(0.1)).direction(
        weight
    )
    optimum = weight * curvature * centre / (1 + weight * curvature)
    torch.testing.assert_close(0.1 + step[0], optimum, rtol=1e-12, atol=1e-12)

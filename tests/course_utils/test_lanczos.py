import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.lipschitz import lanczos
from course_utils.lipschitz.lanczos import largest_eigenpair


def problem(groups: int, block: int, n: int, seed: int, dtype=torch.float64):
    """Positive semidefinite matrices (groups, n, n), and a random start."""
    random = torch.Generator().manual_seed(seed)
    factor = torch.randn(groups, n, n, generator=random, dtype=torch.float64)
    start = torch.randn(groups, block, n, generator=random, dtype=torch.float64)
    return (factor @ factor.mT / n).to(dtype), start.to(dtype)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(4, 60), st.integers(0, 99))
@settings(max_examples=60)
def test_against_dense_eigenvalues(groups, block, n, seed):
    matrices, start = problem(groups, block, n, seed)
    value, vector = largest_eigenpair(lambda x: x @ matrices, start, tolerance=1e-9)
    every = np.linalg.eigvalsh(matrices.numpy())[:, -1]
    assert value == pytest.approx(every.max(), rel=1e-8)
    best = every.argmax()
    assert vector.norm().item() == pytest.approx(1, rel=1e-12)
    assert not vector[np.arange(groups) != best].any()
    rayleigh = vector[best] @ matrices[best] @ vector[best]
    assert rayleigh.item() == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("room", [12, 30, 240])
def test_with_little_room_it_starts_again_from_what_it_has(monkeypatch, room, dtype):
    monkeypatch.setattr(lanczos, "ROOM", room)
    matrices, start = problem(2, 2, 400, 5, dtype)
    seen = []

    def multiply(x):
        seen.append(len(seen))
        return x @ matrices

    value, _ = largest_eigenpair(multiply, start, tolerance=1e-7)
    true = np.linalg.eigvalsh(matrices.double().numpy())[:, -1].max()
    assert true * (1 - 1e-5) <= value <= true * (1 + 1e-5)
    assert len(seen) > room // 2 or room == 240


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rank", [0, 1, 3, 50])
def test_where_products_lead_nowhere_new_random_vectors_go_on(rank, dtype):
    """Of so low a rank all is found in a step or two, and what is left is rounding."""
    diagonal = torch.zeros(50, dtype=dtype)
    diagonal[50 - rank :] = torch.arange(1, rank + 1) / max(rank, 1) if rank < 50 else 1.0
    start = torch.eye(50, dtype=dtype)[None, :2]  # neither sees the top, but for rank 50
    value, vector = largest_eigenpair(lambda x: x * diagonal, start, tolerance=1e-7)
    assert value == pytest.approx(1.0 if rank else 0.0, rel=1e-5)
    assert vector.isfinite().all() and vector.norm().item() == pytest.approx(1, rel=1e-5)


def test_in_float32_it_never_grows_beyond_the_truth(monkeypatch):
    # Without a second orthogonalisation it does here: what was taken out comes back.
    random = torch.Generator().manual_seed(0)
    diagonal = torch.linspace(0, 1, 3000) ** 0.1
    start = torch.zeros(1, 2, 3000)
    start[..., -40:] = torch.rand(1, 2, 40, generator=random)
    monkeypatch.setattr(lanczos, "STEPS", 60)
    value, _ = largest_eigenpair(lambda x: x * diagonal, start, tolerance=0.0)
    assert value <= 1 + 1e-5

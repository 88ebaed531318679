"""Block Lanczos iteration: the largest eigenvalue of a matrix known by its products only.

The usual iteration starts from one vector and finds the eigenvalues at the edge of the spectrum
first; a block of vectors finds several that lie close together as quickly as one, and one product
with a block costs less than its vectors one by one. All vectors are kept and made orthogonal to
one another. When they are too many, the best third of what they span is kept (thick restart).

Sources: Golub and Underwood 1977, "The block Lanczos method for computing eigenvalues"; Wu and
Simon 2000, "Thick-restart Lanczos method for large symmetric eigenvalue problems".
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

LOOK = 5  # steps in which the eigenvalue must have grown by less than the tolerance
STEPS = 1000  # at most
ROOM = 240  # vectors of a group that are kept,
BYTES = 2**28  # if they fit into so much memory


def largest_eigenpair(
    multiply: Callable[[Tensor], Tensor], start: Tensor, *, tolerance: float, seed: int = 0
) -> tuple[float, Tensor]:
    """Return the largest eigenvalue of symmetric matrices, one for each group, and its vector.

    Args:
        multiply: gives the products (groups, block, n) of each group's matrix with vectors of
            that shape.
        start: vectors (groups, block, n) not far from the eigenvectors wanted, or random ones.
        tolerance: the eigenvalue is taken when in the last `LOOK` steps it grew by no more than
            this share of itself.
        seed: of what takes the place of vectors that depend on one another.

    Returns:
        The eigenvalue, from below, and a vector (groups, n) of length 1, zero but for the group
        whose eigenvalue is the largest.
    """
    groups, block, n = start.shape
    room = BYTES // (groups * n * start.element_size())
    room = min(n, max(6 * block, min(room, ROOM)))
    random = torch.Generator().manual_seed(seed)
    basis = start.new_empty(groups, max(room, block), n)
    new, size = _orthonormal(start, start, basis[:, :0], random), 0
    small = torch.zeros(groups, 0, 0, dtype=torch.float64)  # the matrix, seen in the basis
    tops: list[float] = []
    while True:
        basis[:, size : size + block] = new
        size += block
        known = basis[:, :size]
        image = multiply(new)
        products = torch.bmm(known, image.mT).mT
        small = F.pad(small, (0, block, 0, block))
        small[:, -block:], small[:, :, -block:] = products, products.mT
        tops.append(torch.linalg.eigvalsh(small)[:, -1].max().item())
        settled = len(tops) > LOOK and tops[-1] <= (1 + tolerance) * tops[-1 - LOOK]
        if settled or size == n or len(tops) == STEPS:
            break
        block = min(block, n - size)
        rest = torch.baddbmm(image, products, known, alpha=-1)[:, :block]
        new = _orthonormal(rest, image[:, :block], known, random)
        if size + block > room:
            size = max(room // 3, 2 * block)
            values, mix = torch.linalg.eigh(small)
            basis[:, :size] = torch.bmm(mix[:, :, -size:].mT.to(basis), known)
            small = torch.diag_embed(values[:, -size:])
    values, mix = torch.linalg.eigh(small)
    best = values[:, -1].argmax().item()
    vector = torch.zeros_like(start[:, 0])
    vector[best] = mix[best, :, -1].to(basis) @ known[best]
    return tops[-1], vector / vector.norm()


def _orthonormal(
    rows: Tensor, before: Tensor, known: Tensor, random: torch.Generator
) -> Tensor:
    """Return rows (groups, block, n), made orthogonal to one another and of length 1.

    What is left of a row `before` the known ones were taken out of it may be rounding, or nothing:
    a random vector orthogonal to all takes its place.
    """
    least = 100 * torch.finfo(rows.dtype).eps * torch.linalg.vector_norm(before, dim=2).amax(1)
    q, r = torch.linalg.qr(rows.mT)
    lost = r.diagonal(dim1=1, dim2=2).abs() <= least[:, None]
    rows = q.mT.contiguous()
    if lost.any():
        drawn = torch.randn(rows.shape, generator=random, dtype=torch.float32).to(rows)
        rows = _without(known, torch.where(lost[:, :, None], drawn, rows))
    # Once more for all: in float32 one time leaves enough of what is known for it to come back.
    return _without(known, rows)


def _without(known: Tensor, rows: Tensor) -> Tensor:
    """Return the rows' part that is orthogonal to the known rows, made orthonormal."""
    products = torch.bmm(known, rows.mT).mT  # other layouts take several times as long
    return torch.linalg.qr(torch.baddbmm(rows, products, known, alpha=-1).mT)[0].mT.contiguous()

"""The exercises of Lecture 2: one cell of the table by hand, and a row that transfers better.

A solution's docstring is the exercise's specification.
"""

from functools import partial

import torch

from course_utils.exercises.framework import Exercise, Mistake, call, compare, describe


def table_cell(logits, labels):
    """One cell of the table: the error rate and the ends of its 95 % Wilson interval, in percent.

    logits: float (N, K), what a network says to one set of images; labels: int64 (N,), the true
    classes. Returns float64 (3,): rate, low, high. With p the share misclassified and z = 1.96,
    the ends are (p + z^2 / 2N -+ z sqrt(p (1 - p) / N + z^2 / 4N^2)) / (1 + z^2 / N).
    """
    n, z = len(labels), 1.96
    p = (logits.argmax(dim=1) != labels).double().mean()
    middle = p + z**2 / (2 * n)
    spread = z * (p * (1 - p) / n + z**2 / (4 * n**2)).sqrt()
    low, high = ((middle + side) / (1 + z**2 / n) for side in (-spread, spread))
    return 100 * torch.stack([p, low, high])


def stronger_row(images, perturbations, stddev):
    """Images that fool a network you have not seen, better than those made for one network.

    images: float (N, ...); perturbations: float (M, N, ...), each made for one of M networks that
    you know, of any size, a few of them zero; stddev: float above 0. Returns float (N, ...), each
    image changed by a root mean square per pixel of at most stddev. Do not clip.
    """
    # normalize divides by the norm, and leaves zero as it is.
    directions = torch.nn.functional.normalize(perturbations.flatten(2), dim=2)
    mean = directions.mean(dim=0)
    size = mean.square().mean(dim=1, keepdim=True).sqrt()
    return images + (stddev * mean / size).view_as(images)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(20131221)


def _cell_cases() -> list[tuple]:
    generator = _generator()
    cases = []
    for n, classes, dtype in [(50, 10, torch.float32), (8, 4, torch.float64)]:
        labels = torch.randint(classes, (n,), generator=generator)
        logits = torch.randn(n, classes, generator=generator, dtype=dtype)
        logits[: n // 2].scatter_(1, labels[: n // 2, None], 9.0)
        cases.append((logits, labels))
    return cases


def _simple_interval(logits, labels):
    p = (logits.argmax(dim=1) != labels).double().mean()
    half = 1.96 * (p * (1 - p) / len(labels)).sqrt()
    return 100 * torch.stack([p, p - half, p + half])


def _right_instead(logits, labels):
    rate, low, high = table_cell(logits, labels)
    return torch.stack([100 - rate, 100 - high, 100 - low])


def _diagnose_stronger_row(answer) -> str | None:
    """Try the row on linear networks w . x > 0 that share a direction, none of them known."""
    generator = _generator()
    n, shape, stddev = 400, (1, 10, 10), 0.1

    def network():
        return common + 1.5 * torch.randn(100, generator=generator)

    common = torch.randn(100, generator=generator)
    images = torch.randn(n, 100, generator=generator)
    side = (images @ common).sign()
    # Keep the images at a middling distance from the border that all networks share.
    distance = 0.3 + torch.rand(n, generator=generator)
    axis = common / common.norm()
    images += (side * distance - images @ axis)[:, None] * axis
    known = [network() for _ in range(4)]
    scales = torch.tensor([1.0, 3.0, 0.5, 0.2])
    rows = torch.stack([
        -scale * side[:, None] * w / w.norm() * (0.5 + torch.rand(n, 1, generator=generator))
        for w, scale in zip(known, scales, strict=True)
    ])
    unseen = torch.stack([network() for _ in range(20)])

    def fooled(moved) -> float:
        return 100 * ((moved.flatten(1) @ unseen.T).sign() != side[:, None]).double().mean().item()

    pictures = images.view(n, *shape)
    result = call(answer, pictures, rows.view(4, n, *shape), stddev)
    if not isinstance(result, torch.Tensor) or result.shape != pictures.shape:
        return f"Expected a tensor of shape {tuple(pictures.shape)}, got {describe(result)}."
    if not result.isfinite().all():
        return "Your result has NaN or infinity where a finite number is expected."
    size = (result - pictures).flatten(1).square().mean(1).sqrt().max().item()
    if size > 1.001 * stddev:
        return (f"The largest of your perturbations has a root mean square of {size:.3f} per "
                f"pixel, expected at most {stddev:g}. Scale each image's own perturbation.")
    single = max(
        fooled(images + 10 * stddev * row / row.norm(dim=1, keepdim=True)) for row in rows
    )
    error = fooled(result)
    if error < single + 3:
        return (f"Networks that you have not seen err on {error:.0f} % of your images. Made for "
                f"one network, and scaled to {stddev:g}, the best row gets {single:.0f} %: do "
                "better.")
    return None


EXERCISES = (
    Exercise(
        "table-cell", table_cell,
        partial(compare, table_cell, _cell_cases, (
            Mistake(lambda z, y: table_cell(z, y) / 100,
                    "These are shares: the table is in percent."),
            Mistake(_right_instead,
                    "You count the images that are classified correctly; the table has errors."),
            Mistake(_simple_interval,
                    "That is p -+ z sqrt(p (1 - p) / N), which has no width where no error was "
                    "seen. Wilson's interval has two more terms, and is divided by 1 + z^2 / N."),
            Mistake(lambda z, y: table_cell(z, y)[:1],
                    "That is the rate alone: add the two ends of its interval."),
            Mistake(lambda z, y: table_cell(z, y)[[0, 2, 1]],
                    "The two ends are swapped: rate, low, high."),
        )),
        "Every number of this lecture's tables comes from this.",
        (
            "The network's answer is the class of the largest logit.",
            "logits.argmax(dim=1) != labels is True where the network errs; its mean is p.",
            "torch.stack([rate, low, high]) makes the three numbers one tensor; mind float64.",
        ),
    ),
    Exercise(
        "stronger-row", stronger_row, _diagnose_stronger_row,
        "What the known networks have in common is what an unknown one shares with them.",
        (
            "What is peculiar to one network does not transfer. How do you get rid of it?",
            "Average over the networks. See to it that no single one outweighs the others.",
            "Divide each perturbation by its norm, average over the first dimension, and scale "
            "each image's result to stddev.",
        ),
    ),
)

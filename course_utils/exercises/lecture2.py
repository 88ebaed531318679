"""The exercises of Lecture 2: one cell of the table by hand, and a row that transfers better."""

import torch
from torch.nn.functional import normalize

from course_utils.exercises.framework import Exercise, call, random, unlike


def table_cell(logits, labels):
    """One cell of the table: the error rate and its 95 % Wilson interval, in %."""
    n, z = len(labels), 1.96
    p = (logits.argmax(dim=1) != labels).double().mean()
    middle = p + z**2 / (2 * n)
    spread = z * (p * (1 - p) / n + z**2 / (4 * n**2)).sqrt()
    low, high = ((middle + side) / (1 + z**2 / n) for side in (-spread, spread))
    return 100 * torch.stack([p, low, high])


def stronger_row(images, perturbations, stddev):
    """Images that fool an unseen network better than those made for one."""
    # normalize divides by the norm, and leaves zero as it is.
    directions = torch.nn.functional.normalize(perturbations.flatten(2), dim=2)
    mean = directions.mean(dim=0)
    size = mean.square().mean(dim=1, keepdim=True).sqrt()
    return images + (stddev * mean / size).view_as(images)


def _cell_cases() -> list[tuple]:
    cases = []
    for n, classes, draw in [(50, 10, random()), (8, 4, random(torch.float64))]:
        labels = torch.arange(n) % classes
        logits = draw(n, classes)
        logits[: n // 2].scatter_(1, labels[: n // 2, None], 9.0)
        cases.append((logits, labels))
    return cases


def _cell_mistakes(logits, labels):
    right = table_cell(logits, labels)
    p, low, high = right
    half = 1.96 * (p * (100 - p) / len(labels)).sqrt()
    simple, swapped = torch.stack([p, p - half, p + half]), torch.stack([p, high, low])
    return [right / 100, 100 - swapped, simple, right[:1], swapped]


def _diagnose_stronger_row(exercise: Exercise, answer) -> str | None:
    """Try the row on linear networks w . x > 0 that share a direction, none of them known."""
    draw, n, stddev = random(), 400, 0.1
    common = draw(100)
    networks = common + 1.5 * draw(24, 100)
    known, unseen = networks[:4], networks[4:]
    images = draw(n, 100)
    side = (images @ common).sign()[:, None]
    # Keep the images at a middling distance from the border that all networks share.
    axis = normalize(common, dim=0)
    images += (side * (0.3 + draw(n, 1).sigmoid()) - (images @ axis)[:, None]) * axis
    scales = torch.tensor([1.0, 3.0, 0.5, 0.2])[:, None, None]
    rows = -side * normalize(known)[:, None] * scales * (0.5 + draw(4, n, 1).sigmoid())

    def fooled(moved) -> float:
        return 100 * ((moved.flatten(1) @ unseen.T).sign() != side).double().mean().item()

    pictures = images.view(n, 1, 10, 10)
    result = call(answer, pictures, rows.view(4, n, 1, 10, 10), stddev)
    if problem := unlike(result, pictures):
        return problem
    size = (result - pictures).flatten(1).square().mean(1).sqrt().max().item()
    if size > 1.001 * stddev:
        return exercise.say("too large", size=size, stddev=stddev)
    single = max(fooled(images + 10 * stddev * normalize(row)) for row in rows)
    error = fooled(result)
    if error < single + 3:
        return exercise.say("weak", error=error, size=size, stddev=stddev, single=single)
    return None


EXERCISES = (
    Exercise(table_cell, _cell_cases, _cell_mistakes),
    Exercise(stronger_row, diagnose=_diagnose_stronger_row),
)

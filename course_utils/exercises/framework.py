"""What an exercise is, and how an answer is compared with the solution.

A reader's function is called on small inputs drawn from a fixed seed. Known mistakes are
written down as functions, too: an answer that agrees with one of them everywhere is told so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

RTOL, ATOL = 1e-4, 1e-5
MOST = 8  # numbers of an input that are shown


class WrongAnswer(AssertionError):
    """An answer that is wrong."""


class NotAnswered(WrongAnswer):
    """An answer that is still the stub."""


@dataclass(frozen=True)
class Exercise:
    """`solution`, whose docstring is the specification; `diagnose(answer)` gives what is wrong
    with an answer, or None; `right` is what a right answer is told; hints go from vague to
    plain."""

    id: str
    solution: Callable
    diagnose: Callable[[Callable], str | None]
    right: str
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Mistake:
    """A mistake that readers make, as a function of the solution's arguments, and what to say."""

    function: Callable
    says: str


def call(answer: Callable, *arguments):
    """`answer` on copies of `arguments`.

    Raises NotAnswered for a stub (None, `...`, NotImplementedError) and WrongAnswer where the
    answer fails, or changes its arguments.
    """
    copies = [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]
    try:
        result = answer(*copies)
    except NotImplementedError as error:
        raise NotAnswered from error
    except WrongAnswer:
        raise
    except Exception as error:
        shapes = ", ".join(describe(a) for a in arguments)
        raise WrongAnswer(
            f"Your function raised {type(error).__name__}: {error}\nIt was called with: {shapes}."
        ) from error
    if result is None or result is ...:
        raise NotAnswered
    for number, (copy, argument) in enumerate(zip(copies, arguments, strict=True), start=1):
        if isinstance(argument, torch.Tensor) and not torch.equal(copy, argument):
            raise WrongAnswer(
                f"Your function changes its argument number {number} in place. "
                "Compute a new tensor instead: the caller still needs the old one."
            )
    return result


def compare(
    reference: Callable,
    cases: Callable[[], list[tuple]],
    mistakes: tuple[Mistake, ...],
    answer: Callable,
) -> str | None:
    """What is wrong with `answer`, a function that returns a tensor, or None.

    It is compared with `reference` on `cases()`, a list of argument tuples.
    """
    inputs = cases()
    results = [call(answer, *arguments) for arguments in inputs]
    wrong = [
        difference(result, reference(*arguments))
        for result, arguments in zip(results, inputs, strict=True)
    ]
    if not any(wrong):
        return None
    for mistake in mistakes:
        if all(
            agree(result, mistake.function(*arguments))
            for result, arguments in zip(results, inputs, strict=True)
        ):
            return mistake.says
    return next(f"{text}\n{shown(a)}" for text, a in zip(wrong, inputs, strict=True) if text)


def agree(result, expected: torch.Tensor) -> bool:
    """Whether `result` is a tensor of `expected`'s shape and, nearly, its values."""
    return (
        isinstance(result, torch.Tensor)
        and result.shape == expected.shape
        and torch.allclose(result.double(), expected.double(), rtol=RTOL, atol=ATOL)
    )


def difference(result, expected: torch.Tensor) -> str | None:
    """What tells `result` from `expected` in words, or None."""
    if not isinstance(result, torch.Tensor):
        return f"Expected a torch.Tensor, got {describe(result)}."
    if result.shape != expected.shape:
        return f"Expected {describe(expected)}, got {describe(result)}."
    if result.dtype != expected.dtype:
        return f"Expected {expected.dtype}, the dtype of the input; got {result.dtype}."
    if agree(result, expected):
        return None
    if not result.isfinite().all():
        return "Your result has NaN or infinity where a finite number is expected."
    far = ~result.double().isclose(expected.double(), rtol=RTOL, atol=ATOL)
    where = tuple(far.nonzero()[0].tolist())
    wanted, got = (number(tensor[where].item()) for tensor in (expected, result))
    if not where:
        return f"Expected {wanted}, got {got}."
    return (
        f"At [{', '.join(map(str, where))}]: expected {wanted}, got {got} "
        f"({int(far.sum())} of {far.numel()} values differ)."
    )


def shown(arguments: tuple) -> str:
    """The input that led to a wrong answer; of a large tensor, its first numbers."""
    lines = []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            values = [number(value) for value in argument.flatten()[:MOST].tolist()]
            rest = ", ..." if argument.numel() > MOST else ""
            words = f"{describe(argument)}: {', '.join(values)}{rest}"
        else:
            words = describe(argument)
        lines.append(f"  {words}")
    return "\n".join(["It was called with", *lines])


def number(value: float | bool) -> str:
    return str(value) if isinstance(value, bool | int) else f"{value:.4g}"


def describe(value) -> str:
    """`value`'s type and shape in words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, int | float):
        return f"{type(value).__name__} {value:g}"
    return f"a {type(value).__name__}"

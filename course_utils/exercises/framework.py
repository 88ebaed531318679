"""What an exercise is, and how an answer is compared with the solution.

A reader's function is called on small inputs drawn from a fixed seed. Known mistakes are
written down as functions, too: an answer that agrees with one of them everywhere is told so.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

TEXTS = tomllib.loads(Path(__file__).with_name("texts.toml").read_text(encoding="utf-8"))
NEAR = {"rtol": 1e-4, "atol": 1e-5}
MOST = 8  # numbers of an input that are shown
NOT_FINITE = "Your result has NaN or infinity where a finite number is expected."


class WrongAnswer(AssertionError):
    """An answer that is wrong."""


class NotAnswered(WrongAnswer):
    """An answer that is still the stub."""


def random(dtype: torch.dtype = torch.float32) -> Callable[..., torch.Tensor]:
    """A function of a shape that draws normal numbers, the same ones each time."""
    generator = torch.Generator().manual_seed(20131221)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=dtype)


def call(answer: Callable, *arguments):
    """`answer` on copies of `arguments`.

    Raises NotAnswered for a stub (None, `...`, NotImplementedError) and WrongAnswer where the
    answer fails, or changes its arguments.
    """
    copies = [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]
    try:
        result = answer(*copies)
    except WrongAnswer:
        raise
    except Exception as error:
        if isinstance(error, NotImplementedError) and not error.args:  # torch's has some
            raise NotAnswered from error
        raise WrongAnswer(
            f"Your function raised {type(error).__name__}: {error}\n"
            f"It was called with: {', '.join(map(describe, arguments))}."
        ) from error
    if result is None and getattr(getattr(answer, "__code__", None), "co_names", ()):
        raise WrongAnswer("Your function returns nothing: write return before its result.")
    if result is None or result is ...:
        raise NotAnswered
    for place, (copy, argument) in enumerate(zip(copies, arguments, strict=True), start=1):
        if isinstance(argument, torch.Tensor) and not torch.equal(copy, argument):
            raise WrongAnswer(
                f"Your function changes its argument number {place} in place. "
                "Compute a new tensor instead: the caller still needs the old one."
            )
    return result


def compare(exercise: "Exercise", answer: Callable, cases: list[tuple] | None = None) -> str | None:
    """What is wrong with `answer`, a function that returns a tensor, or None.

    It is compared with the exercise's solution on `cases`, argument tuples, by default its own.
    """
    inputs = exercise.cases() if cases is None else cases
    results = [call(answer, *arguments) for arguments in inputs]
    wrong = [difference(r, exercise.solution(*a)) for r, a in zip(results, inputs, strict=True)]
    if not any(wrong):
        return None
    known = [*zip(*(exercise.mistaken(*arguments) for arguments in inputs), strict=True)]
    for made, says in zip(known, exercise.texts["mistakes"] if known else [], strict=True):
        if all(map(agree, results, made)):
            return says
    return next(f"{text}\n{shown(a)}" for text, a in zip(wrong, inputs, strict=True) if text)


@dataclass(frozen=True)
class Exercise:
    """An exercise; its specification is the stub's docstring in the lecture.

    `cases()` gives the arguments on which an answer is compared with `solution`. `mistaken` gives
    for such arguments what known mistakes make of them; texts.toml has in turn what to say of each.
    `diagnose(exercise, answer)` is what is wrong with an answer, or None.
    """

    solution: Callable
    cases: Callable[[], list[tuple]] = list
    mistaken: Callable[..., list] = lambda *arguments: []
    diagnose: Callable[["Exercise", Callable], str | None] = compare

    @property
    def id(self) -> str:
        return self.solution.__name__.replace("_", "-")

    @property
    def texts(self) -> dict:
        """What a right answer is told, the hints, and what is said of what else was found."""
        return TEXTS[self.id]

    def say(self, what: str, **facts) -> str:
        """What is said of an answer that is `what`, with the facts filled in."""
        return self.texts["says"][what].format(**facts)


def agree(result, expected: torch.Tensor) -> bool:
    """Whether `result` is a tensor of `expected`'s shape and, nearly, its values."""
    return (
        isinstance(result, torch.Tensor)
        and result.shape == expected.shape
        and torch.allclose(result.double(), expected.double(), **NEAR)
    )


def unlike(result, expected: torch.Tensor) -> str | None:
    """What is wrong with `result` at first sight: no tensor, another shape, not finite; or None."""
    if not isinstance(result, torch.Tensor) or result.shape != expected.shape:
        return f"Expected {describe(expected)}, got {describe(result)}."
    return None if result.isfinite().all() else NOT_FINITE


def difference(result, expected: torch.Tensor) -> str | None:
    """What tells `result` from `expected` in words, or None."""
    if not isinstance(result, torch.Tensor):
        return f"Expected a torch.Tensor, got {describe(result)}."
    if result.shape == expected.shape and result.dtype != expected.dtype:
        return f"Expected a tensor of {expected.dtype}, got one of {result.dtype}."
    if result.requires_grad:
        return "Your result still carries a gradient of its own: return it with .detach()."
    if agree(result, expected):
        return None
    if problem := unlike(result, expected):
        return problem
    far = ~result.double().isclose(expected.double(), **NEAR)
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
    lines = ["It was called with"]
    for argument in arguments:
        words = describe(argument)
        if isinstance(argument, torch.Tensor):
            values = [number(value) for value in argument.flatten()[:MOST].tolist()]
            rest = ["..."] * (argument.numel() > MOST)
            words += f": {', '.join(values + rest)}"
        lines.append(f"  {words}")
    return "\n".join(lines)


def number(value: float | bool) -> str:
    return str(value) if isinstance(value, bool | int) else f"{value:.4g}"


def describe(value) -> str:
    """`value`'s type and shape in words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, int | float):
        return f"{type(value).__name__} {number(value)}"
    return f"a {type(value).__name__}"

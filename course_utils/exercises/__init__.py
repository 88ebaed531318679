"""Exercises that check themselves: `check`, `hint` and `solution`, each by the exercise's name.

`check` shows what it finds, in a notebook as a card and elsewhere as text; with `strict=True`, or
COURSE_STRICT=1 in the environment, it raises where the answer is wrong or missing, so that a test
run cannot pass over it.
"""

import inspect
import os
from collections.abc import Callable
from types import MappingProxyType

from course_utils.cards import Feedback
from course_utils.exercises import lecture1, lecture2, lecture3, lecture4, lecture5
from course_utils.exercises.framework import Exercise, NotAnswered, WrongAnswer

__all__ = ["EXERCISES", "WrongAnswer", "check", "hint", "solution"]

LECTURES = lecture1, lecture2, lecture3, lecture4, lecture5
EXERCISES = MappingProxyType({one.id: one for lecture in LECTURES for one in lecture.EXERCISES})


def check(exercise_id: str, answer: Callable | None, *, strict: bool | None = None) -> None:
    """Show whether the function `answer` solves the exercise, and if not, what is wrong.

    Raises ValueError for an unknown exercise and, if strict, WrongAnswer (an AssertionError).
    `strict` defaults to COURSE_STRICT=1 in the environment.
    """
    from IPython.display import display

    exercise = _find(exercise_id)
    strict = os.environ.get("COURSE_STRICT") == "1" if strict is None else strict
    try:
        if answer is None or answer is ...:
            raise NotAnswered
        if not callable(answer):
            raise WrongAnswer(f"Expected a function, got a {type(answer).__name__}.")
        problem = exercise.diagnose(exercise, answer)
        if problem is not None:
            raise WrongAnswer(problem)
    except WrongAnswer as wrong:
        word, message = "not yet right", str(wrong)
        if isinstance(wrong, NotAnswered):
            word, message = "not answered yet", f"Stuck? Try hint({exercise_id!r})."
        if strict:
            raise type(wrong)(f"{exercise_id}: {word.capitalize()}. {message}") from None
    else:
        word, message = "right", exercise.texts["right"]
    display(Feedback(word, message))


def hint(exercise_id: str, number: int = 1) -> None:
    """Print hint `number` of the exercise, counted from 1."""
    hints = _find(exercise_id).texts["hints"]
    if number not in range(1, len(hints) + 1):
        raise ValueError(f"number: got {number!r}, {exercise_id!r} has hints 1 to {len(hints)}")
    print(f"Hint {number} of {len(hints)}: {hints[number - 1]}")


def solution(exercise_id: str) -> None:
    """Print the source of the exercise's solution."""
    print(inspect.getsource(_find(exercise_id).solution).rstrip())


def _find(exercise_id: str) -> Exercise:
    if exercise_id not in EXERCISES:
        raise ValueError(f"exercise_id: got {exercise_id!r}, expected one of {list(EXERCISES)}")
    return EXERCISES[exercise_id]

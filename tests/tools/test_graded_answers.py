"""What the lectures' exercises print as their solutions earns no marks in a problem set."""

import inspect

import pytest

from course_utils.exercises import EXERCISES
from tools.classroom import problem_sets
from tools.classroom.problem_sets import bound_names, grade_id, without_markers


def passes(problem_set, tests, name, answer):
    """How many of the cells `tests` let `answer` through as the function of that name."""
    passed = 0
    for cell in problem_set.cells:
        if problem_sets.kind(cell) == "test" and grade_id(cell) in tests:
            try:
                exec(without_markers(cell.source), problem_set.namespace | {name: answer})
                passed += 1
            except Exception:
                continue
    return passed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("set_name", problem_sets.names())
def test_no_solution_that_is_printed_is_a_graded_answer(set_name):
    problem_set = problem_sets.read(set_name)
    sources = {
        grade_id(cell): without_markers(cell.source)
        for cell in problem_set.cells
        if problem_sets.kind(cell) == "solution"
    }
    tried = 0
    for this, tests in problem_set.exercises.items():
        (name, *_) = bound_names(sources[this])
        known = dict(problem_set.namespace)
        exec(sources[this], known)
        takes = len(inspect.signature(known[name]).parameters)
        for exercise in EXERCISES.values():
            if len(inspect.signature(exercise.solution).parameters) == takes:
                tried += 1
                assert not passes(problem_set, tests, name, exercise.solution), exercise.id
    assert tried > 3


def test_a_right_answer_would_be_seen():
    """The control: a reference solution, tried in the same way."""
    problem_set = problem_sets.read("problem_set_1")
    source = next(
        cell.source
        for cell in problem_set.cells
        if problem_sets.kind(cell) == "solution" and grade_id(cell) == "project"
    )
    names = dict(problem_set.namespace)
    exec(without_markers(source), names)
    tests = problem_set.exercises["project"]
    assert passes(problem_set, tests, "project", names["project"]) == len(tests)

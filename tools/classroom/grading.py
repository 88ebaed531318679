"""Marking: one submission, and a folder of them.

Beside FOLDER stands FOLDER-graded: `results/` has one file for each submission, written when it is
done, by which an interrupted run goes on; `grades.csv`, `by-hand.csv` and `feedback/` are made from
them. Nothing is ever written into FOLDER.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from functools import cache
from pathlib import Path

from nbformat import NotebookNode
from tqdm.auto import tqdm

from course_utils import data, machine
from tools.classroom import feedback, problem_sets, running, submissions, tables
from tools.classroom.problem_sets import (
    SOURCE,
    ProblemSet,
    bound_names,
    grade_id,
    kind,
    split_tests,
    without_markers,
    without_solution,
)
from tools.environment import ROOT
from tools.classroom.running import CELL, TIME, WHOLE, Step
from tools.classroom.submissions import Answers, NotASubmission

NOTHING = "nothing was handed in"
LOST = {
    TIME: "Your code was still running when the time limit was reached.",
    running.ENDED: "Your code ended the process that ran it.",
}


def mark(
    problem_set: ProblemSet, notebook: NotebookNode, *, cell: float = CELL, whole: float = WHOLE
) -> dict:
    """Mark a notebook that was handed in for this problem set.

    cell, whole: time limits in seconds, for one cell and for all of them.

    Returns:
        "tests": grade_id -> {"marks", "points", "message", "part" ("visible" or "hidden": where
        the message is from)}; "open": grade_id -> {"answer", "points"}, the answer None where there
        is none; "cells": what the student wrote, [{"after" (a position), "source", "output"}];
        "notes"; "reason": None.

    Raises NotASubmission where there is no cell of this problem set.
    """
    found = submissions.answers(notebook, problem_set)
    steps = _steps(problem_set, found)
    result = {"reason": None, "tests": {}, "open": {}, "cells": [], "notes": found.notes}
    replaced = set()
    for step, reply in zip(steps, running.run(steps, cell=cell, whole=whole), strict=True):
        original = problem_set.cells[step.cell]
        if step.do == "answer":
            output = LOST.get(reply.get("lost"), _text(reply.get("output", "")))
            result["cells"].append(
                {"after": step.cell, "source": step.arguments[0], "output": output}
            )
        elif step.do == "test":
            message = LOST.get(reply.get("lost"), reply.get("error"))
            passed = "lost" not in reply and message is None
            result["tests"][grade_id(original)] = {
                "marks": original.metadata.nbgrader.points if passed else 0,
                "points": original.metadata.nbgrader.points,
                "message": "" if passed else _text(message),
                "part": "hidden" if reply.get("part") == "hidden" else "visible",
            }
            replaced |= set(map(str, reply.get("replaced", [])))
    if replaced:
        names = ", ".join(sorted(replaced)[:5])
        result["notes"].append(f"Library functions were replaced, and put back: {names}.")
    for original in problem_set.cells:
        if kind(original) == "open":
            this, stub = grade_id(original), without_solution(original).strip()
            answer = found.open.get(this, "").strip()
            result["open"][this] = {
                "answer": answer if answer not in ("", stub) else None,
                "points": original.metadata.nbgrader.points,
            }
    return result


def prepare(sets: list[ProblemSet]) -> None:
    """Before the first `mark`: import what the sets need once, and not for each submission.

    MNIST is fetched here, too: submissions' processes know nothing of the teacher's proxy.
    """
    with suppress(data.DataUnavailable):  # `check` says which set cannot do without
        data.load_mnist("test")
    running.preload([c.source for s in sets for c in s.cells if kind(c) == "given"])


def check(problem_set: ProblemSet) -> None:
    """Raise RuntimeError where the set's own cells fail on this machine: no student's fault."""
    steps = [
        Step("given", (cell.source,)) for cell in problem_set.cells if kind(cell) == "given"
    ]
    for step, reply in zip(steps, running.run(steps), strict=True):
        if error := reply.get("lost") or reply["error"]:
            raise RuntimeError(
                f"{problem_set.name}: a cell of its own fails on this machine, so nothing was "
                f"marked.\n\n{step.arguments[0]}\n\n{error}"
            )


def _text(value) -> str:
    return str(value)[: running.worker.LONGEST]


def _steps(problem_set: ProblemSet, found: Answers) -> list[Step]:
    """What to run: the problem set's own given cells and tests, and the student's cells."""
    exercise_of = {test: e for e, tests in problem_set.exercises.items() for test in tests}
    steps = [Step("answer", (source,), None, -1) for after, source in found.own if after < 0]
    names = []
    for position, cell in enumerate(problem_set.cells):
        part = kind(cell)
        if part == "given":
            steps.append(Step("given", (cell.source,), None, position))
        elif part == "solution":
            names = names + bound_names(without_markers(cell.source))
            if grade_id(cell) in found.solutions:
                source = found.solutions[grade_id(cell)]
                steps.append(Step("answer", (source,), grade_id(cell), position))
        elif part == "test":
            tests = (*split_tests(cell.source), names)
            steps.append(Step("test", tests, exercise_of[grade_id(cell)], position))
        steps += [Step("answer", (s,), None, position) for at, s in found.own if at == position]
    return steps


def nothing(problem_set: ProblemSet, reason: str) -> dict:
    """The result where there is nothing to mark: no marks, and the reason."""
    tests = {
        this: {"marks": 0, "points": points, "message": reason, "part": "visible"}
        for this, points in problem_set.points("test").items()
    }
    unanswered = {
        this: {"answer": None, "points": points}
        for this, points in problem_set.points("open").items()
    }
    return {"reason": reason, "tests": tests, "open": unanswered, "cells": [], "notes": []}


def grade(
    folder: Path,
    *,
    show_hidden: bool = False,
    source: Path = SOURCE,
    cell: float = CELL,
    whole: float = WHOLE,
) -> Path:
    """Mark every submission in `folder` that is new or changed; return the folder of the results.

    folder/STUDENT/NAME.ipynb or folder/STUDENT/NAME/NAME.ipynb, also beneath folder/submitted.
    show_hidden: whether the feedback tells of the hidden tests.

    Raises ValueError where there are no submissions, or by-hand.csv cannot be understood;
    RuntimeError where a problem set's own cells fail on this machine, before anything is marked, or
    where the grader failed on a submission, after all others are marked.
    """
    folder = Path(folder).resolve()
    people = submissions.students(folder)
    to = folder.with_name(f"{folder.name}-graded")
    by_hand = tables.read_by_hand(to / "by-hand.csv")
    sets = [problem_sets.read(name, source) for name in problem_sets.names(source)]
    jobs = [
        (person, each)
        for each in sets
        if any(_handed_in(person, each.name) for person in people)
        for person in people
    ]
    if not jobs:
        raise ValueError(f"folder: no notebook in {folder} has the name of a problem set")
    prepare(sets)
    for each in {each.name: each for _, each in jobs}.values():
        check(each)
    results, failures = [], []
    with ThreadPoolExecutor(machine.cores()) as pool:
        futures = {
            pool.submit(_job, person, each, to, cell=cell, whole=whole): (person, each)
            for person, each in jobs
        }
        try:
            for future in tqdm(as_completed(futures), total=len(jobs), unit="submission"):
                person, each = futures[future]
                try:
                    result = future.result()
                    feedback.write(result, each, to, by_hand, show_hidden=show_hidden)
                    results.append(result)
                except Exception as error:
                    what = f"{type(error).__name__}: {error}"
                    reason = f"NOT GRADED, the grader itself failed: {what}"
                    failures.append({"student": person.name, "set": each.name, "reason": reason})
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    results.sort(key=lambda result: (result["student"], result["set"]))
    tables.write(results, to, failures)
    if failures:
        raise RuntimeError("\n".join("{student}, {set}: {reason}".format(**f) for f in failures))
    return to


def main(arguments: Sequence[str]) -> int:
    """`make grade`."""
    parser = argparse.ArgumentParser(prog="python3 -m tools grade")
    parser.add_argument("folder", type=Path, help="the folder with a folder for each student")
    parser.add_argument(
        "--show-hidden-tests", action="store_true", help="tell students of hidden tests as well"
    )
    chosen = parser.parse_args(arguments)
    try:
        to = grade(chosen.folder, show_hidden=chosen.show_hidden_tests)
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    print(f"{to / 'grades.csv'}\n{to / 'by-hand.csv'} (fill in, then run this again)")
    print(f"{to / 'feedback'} (to give back)")
    return 0


def _handed_in(person: Path, name: str) -> bool:
    try:
        return submissions.find(person, name) is not None
    except NotASubmission:
        return True


def _job(person: Path, problem_set: ProblemSet, to: Path, **limits: float) -> dict:
    """The result for one submission: the stored one, or a new one if that is of something else."""
    path, content, reason = to / "results" / person.name / f"{problem_set.name}.json", b"", NOTHING
    try:
        place = submissions.find(person, problem_set.name)
        if place is not None:
            content, reason = submissions.read_bytes(place), None
    except NotASubmission as error:
        reason = f"Not marked: {error}."
    key = digest(content, str(reason), _digest_of(problem_set), str(sorted(limits.items())))
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return stored
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if reason is None:
        try:
            result = mark(problem_set, submissions.parse(content), **limits)
        except NotASubmission as error:
            result = nothing(problem_set, f"Not marked: {error}.")
    else:
        result = nothing(problem_set, reason)
    result |= {"key": key, "student": person.name, "set": problem_set.name}
    tables.replace(path, json.dumps(result))
    return result


def _digest_of(problem_set: ProblemSet) -> str:
    """Changes where the problem set does, or what marks it."""
    return digest(_code(), *(json.dumps(cell) for cell in _without_outputs(problem_set)))


@cache
def _code() -> str:
    """Changes where the course's code does: tests call much of it."""
    paths = [path for name in ("course_utils", "tools") for path in (ROOT / name).rglob("*.py")]
    return digest(*(path.read_bytes() for path in sorted(paths)))


def _without_outputs(problem_set: ProblemSet) -> list[list]:
    return [[cell.cell_type, cell.source, cell.metadata] for cell in problem_set.cells]


def digest(*parts: str | bytes) -> str:
    total = hashlib.sha256()
    for part in parts:
        part = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()

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

import torch
from nbformat import NotebookNode
from tqdm.auto import tqdm

from course_utils import data, machine
from tools.classroom import feedback, problem_sets, reading, running, submissions, tables
from tools.classroom.problem_sets import (
    SOURCE,
    ProblemSet,
    bound_names,
    grade_id,
    kind,
    split_tests,
    without_markers,
)
from tools.classroom.running import CELL, WHOLE
from tools.classroom.wire import LONGEST
from tools.environment import ROOT

NOTHING = "nothing was handed in"
CHANGED = (
    "{} changes its argument `{}`. Likely cause: something like `+=`, a method whose name ends in "
    "`_`, or requires_grad, eval() or backward() on what was given, and not on a copy."
)


def mark(
    problem_set: ProblemSet, notebook: NotebookNode, *, cell: float = CELL, whole: float = WHOLE
) -> dict:
    """Mark a notebook that was handed in for this problem set.

    cell, whole: time limits in seconds, for a cell or a test, and for all of them.

    Returns:
        "tests": grade_id -> {"marks", "points", "message", "part" ("visible" or "hidden": where
        the message is from)}; "open": grade_id -> {"answer", "points"}, the answer None where there
        is none; "cells": what the student wrote, [{"after" (a position), "source", "output",
        "error", "figures"}]; "notes"; "reason": None.

    Raises NotASubmission where there is no cell of this problem set.
    """
    found = reading.answers(notebook, problem_set)
    result = {"reason": None, "tests": {}, "open": {}, "cells": [], "notes": found.notes}
    copies, errors, references = {}, {}, {}
    with running.Submission(problem_set, cell=cell, whole=whole) as submission:
        written: dict[int, list] = {}
        for after, source, exercise in found.cells:
            written.setdefault(after, []).append((source, exercise))
        for position in range(-1, len(problem_set.cells)):
            original = problem_set.cells[position] if position >= 0 else None
            if original is not None and kind(original) == "given":
                submission.run(original.source, given=True)
            elif original is not None and kind(original) == "test":
                copies[grade_id(original)] = submission.copy()
            for source, exercise in written.get(position, []):
                reply = submission.run(source)
                result["cells"].append({"after": position, "source": source} | reply)
                if reply["error"]:
                    errors.setdefault(exercise, reply["error"])
        tests = dict(problem_set.namespace)
        for original in problem_set.cells:
            if kind(original) == "solution":
                references[grade_id(original)] = without_markers(original.source)
            elif kind(original) == "test":
                this = grade_id(original)
                exercise = next(e for e, its in problem_set.exercises.items() if this in its)
                for copy in (copies[this], None):  # a name may be defined further below
                    pipe = copy or submission.copy()
                    for reference in references.values():
                        for name in bound_names(reference):
                            tests[name] = running.Proxy(
                                name, submission, pipe, problem_set.namespace, reference
                            )
                    message, part = _test(original.source, tests)
                    unknown = str(message).startswith(("There is no", "NameError"))
                    if not unknown or not found.cells:
                        break
                if message and message.startswith("There is no "):
                    if exercise in errors:
                        message = f"{message[:-1]}: its cell stopped with {errors[exercise]}"
                    elif not any(exercise == answered for _, _, answered in found.cells):
                        message = "Not answered: the cell is as it was handed out."
                result["tests"][this] = {
                    "marks": 0 if message else original.metadata.nbgrader.points,
                    "points": original.metadata.nbgrader.points,
                    "message": (message or "")[:LONGEST], "part": part,
                }  # fmt: skip
        for exercise, its in problem_set.exercises.items():
            for name in set(bound_names(references[exercise])) & set(submission.changed):
                last = result["tests"][its[-1]]
                if last["marks"]:
                    last |= {"marks": 0, "part": "visible", "message": CHANGED.format(
                        name, submission.changed[name])}  # fmt: skip
        for name in sorted(submission.looked):
            result["notes"].append(f"Tried to reach {name}, which is not in this problem set.")
    for original in problem_set.cells:
        if kind(original) == "open":
            answer = found.open.get(grade_id(original))
            points = original.metadata.nbgrader.points
            result["open"][grade_id(original)] = {"answer": answer, "points": points}
    return result


def _test(source: str, namespace: dict) -> tuple[str | None, str]:
    """What is wrong, or None, and whether a visible or a hidden test found it."""
    visible, hidden = split_tests(source)
    for part, code in (("visible", visible), ("hidden", hidden)):
        try:
            exec(compile(code, f"<{part} tests>", "exec"), namespace)
        except AssertionError as error:
            return str(error) or "A test did not pass.", part
        except Exception as error:
            calls = [v for v in namespace.values() if isinstance(v, running.Proxy) and v.called]
            if not calls:
                raise
            last = max(calls, key=lambda proxy: proxy.called)
            if last.last is None:
                return f"{last.__name__} returned nothing. Is a `return` missing?", part
            return (
                f"{last.__name__} returned {running.what(last.last)}, with which the test could "
                f"not go on ({type(error).__name__}: {error})."
            ), part
    return None, "visible"


def prepare(sets: list[ProblemSet]) -> None:
    """Before the first `mark`. MNIST is fetched here: submissions know nothing of a proxy."""
    torch.set_num_threads(1)
    with suppress(data.DataUnavailable):  # `check` says which set cannot do without
        data.load_mnist("test")
    running.start(sets)


def check(problem_set: ProblemSet) -> None:
    """Raise RuntimeError where the set's own cells fail on this machine: no student's fault."""
    with running.Submission(problem_set) as submission:
        for cell in problem_set.cells:
            if kind(cell) == "given" and (error := submission.run(cell.source, True)["error"]):
                raise RuntimeError(
                    f"{problem_set.name}: a cell of its own fails on this machine, so nothing was "
                    f"marked.\n\n{cell.source}\n\n{error}"
                )


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

    folder: see submissions.collect. show_hidden: whether the feedback tells of the hidden tests.

    Raises ValueError where there are no submissions, or a table cannot be understood; RuntimeError
    where a problem set's own cells fail on this machine, before anything is marked, or where the
    grader failed on a submission, after all others are marked.
    """
    folder = Path(folder).resolve()
    sets = [problem_sets.read(name, source) for name in problem_sets.names(source)]
    handed, reasons, left = submissions.collect(folder, sets)
    to = folder.with_name(f"{folder.name}-graded")
    by_hand = tables.read_by_hand(to / "by-hand.csv")
    tables.read_overrides(to / "grades.csv")
    wanted = {name for _, name in [*handed["files"], *reasons]}
    jobs = [(person, each) for each in sets if each.name in wanted for person in handed["people"]]
    if not jobs:
        raise ValueError(f"folder: no notebook in {folder} has cells of a problem set")
    prepare(sets)
    for each in {each.name: each for _, each in jobs}.values():
        check(each)

    def job(person: str, each: ProblemSet) -> dict:
        file = handed["files"].get((person, each.name))
        reason = reasons.get((person, each.name), NOTHING) if file is None else None
        result = _job(person, each, file, reason, to, cell=cell, whole=whole)
        result["id"] = handed["people"][person]
        feedback.write(result, each, to, by_hand, show_hidden=show_hidden)
        return result

    results, failures = [], []
    with ThreadPoolExecutor(machine.cores()) as pool:
        futures = {pool.submit(job, person, each): (person, each) for person, each in jobs}
        try:
            for future in tqdm(as_completed(futures), total=len(jobs), unit="submission"):
                person, each = futures[future]
                try:
                    results.append(future.result())
                except Exception as error:
                    what = f"{type(error).__name__}: {error}"
                    reason = f"NOT GRADED, the grader itself failed: {what}"
                    failures.append({"student": person, "set": each.name, "reason": reason})
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    results.sort(key=lambda result: (result["student"], result["set"]))
    tables.write(results, to, failures)
    tables.replace(to / "not-graded.txt", "".join(f"{line}\n" for line in left))
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
    print(f"{to / 'feedback'} (to give back)\n{to / 'canvas.csv'}, {to / 'moodle.csv'} (to import)")
    if left := (to / "not-graded.txt").read_text(encoding="utf-8"):
        print(f"\nNot graded:\n{left}", end="")
    return 0


def _job(
    person: str, problem_set: ProblemSet, file, reason: str | None, to: Path, **limits: float
) -> dict:
    """The result for one submission: the stored one, or a new one if that is of something else."""
    path = to / "results" / person / f"{problem_set.name}.json"
    content = file.digest if file else ""
    key = digest(content, str(reason), _digest_of(problem_set), str(sorted(limits.items())))
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return stored
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if file is None:
        result = nothing(problem_set, reason)
    else:
        result = mark(problem_set, file.notebook, **limits)
        if file.path.name != f"{problem_set.name}.ipynb":
            result["notes"].append(f"Handed in as {file.path}.")
    result |= {"key": key, "student": person, "set": problem_set.name}
    tables.replace(path, json.dumps(result))
    return result


def _digest_of(problem_set: ProblemSet) -> str:
    """Changes where the problem set does, or what marks it."""
    cells = [[cell.cell_type, cell.source, cell.metadata] for cell in problem_set.cells]
    return digest(_code(), json.dumps(cells))


@cache
def _code() -> str:
    """Changes where the course's code does: tests call much of it."""
    paths = [path for name in ("course_utils", "tools") for path in (ROOT / name).rglob("*.py")]
    return digest(*(path.read_bytes().hex() for path in sorted(paths)))


def digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

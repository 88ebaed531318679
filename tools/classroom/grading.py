"""Marking: one submission, and a folder of them.

Beside FOLDER stands FOLDER-graded: `results/` has one file for each submission, written when it is
done, by which an interrupted run goes on; `grades.csv`, `by-hand.csv` and `feedback/` are made from
them. Nothing is ever written into FOLDER.
"""

import argparse
import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path

import psutil
import torch
from nbformat import NotebookNode
from tqdm.auto import tqdm

from course_utils import data, machine
from tools.classroom import feedback, problem_sets, reading, running, submissions, tables
from tools.classroom.problem_sets import SOURCE, ProblemSet, bound_names, split_tests
from tools.classroom.wire import LONGEST, fingerprint
from tools.environment import ROOT, put

NOTHING = "nothing was handed in"
ABSENT = "There is no ", "NameError"
LOOKED = "Asked for {}, which is not in this problem set."
CHANGED = (
    "{} changes its argument `{}`. Likely cause: something like `+=`, a method whose name ends in "
    "`_`, or requires_grad, eval() or backward() on what was given, and not on a copy."
)


def mark(problem_set: ProblemSet, notebook: NotebookNode, **settings) -> dict:
    """Mark a notebook that was handed in for this problem set.

    settings: `modules`, `cell` and `whole`, as of running.Submission.

    Returns:
        "tests": grade_id -> {"marks", "points", "message", "part" ("visible" or "hidden": where
        the message is from)}; "open": grade_id -> {"answer", "points"}, the answer None where there
        is none; "cells": what the student wrote, [{"after" (a position), "source", "output",
        "error", "figures"}]; "notes"; "reason": None.

    Raises NotASubmission where there is no cell of this problem set.
    """
    found = reading.answers(notebook, problem_set)
    if not found.known:
        raise reading.NotASubmission(f"it has no cell of {problem_set.name}")
    result = nothing(problem_set, None) | {"notes": found.notes}
    for question, answer in found.open.items():
        result["open"][question]["answer"] = answer
    copies, errors, answered = {}, {}, {exercise for *_, exercise in found.cells}
    # Cells that students add may use the names of the tests above them.
    own = {word for _, source, of in found.cells if not of for word in re.findall(r"\w+", source)}
    with running.Submission(problem_set, **settings) as submission:
        for position, original in enumerate([None, *problem_set.cells], start=-1):
            part = original and problem_sets.kind(original)
            if part == "given":
                submission.run(original.source, given=True)
            elif part == "test":
                copies[problem_sets.grade_id(original)] = submission.copy()
                visible = split_tests(original.source)[0]
                if own & set(bound_names(visible)) and "course_utils" not in visible:
                    reply = submission.run(visible)  # as students do
                    own = set() if reply["error"] == running.TIME else own  # a loop costs once
            for after, source, exercise in found.cells:
                if after == position:
                    reply = submission.run(source)
                    result["cells"].append({"after": position, "source": source} | reply)
                    if reply["error"]:
                        errors.setdefault(exercise, reply["error"])
        submission.refill()
        names, later = dict(problem_set.namespace), {}
        tests = [(this, its) for its, these in problem_set.exercises.items() for this in these]
        for part in ("visible", "hidden"):  # What students are told is said before what is hidden.
            for this, exercise in tests:
                if (test := result["tests"][this])["message"]:
                    continue
                names |= later.get(this, {})
                code = split_tests(problem_set.of("test")[this].source)[part == "hidden"]
                message = submission.test(code, names, copies[this])
                # A name may be defined further below.
                if message.startswith(ABSENT) and (end := submission.copy()):
                    copies[this] = end
                    message = submission.test(code, names, end)
                later[this] = dict(names)
                if message.startswith("There is no "):
                    if exercise in errors:
                        message = f"{message[:-1]}: its cell stopped with {errors[exercise]}"
                    elif exercise not in answered:
                        message = feedback.UNANSWERED
                if "(your line: " in message and None in errors:
                    message = f"{message} A cell of your own stopped before: {errors[None]}"
                marks = 0 if message else test["points"]
                test |= {"marks": marks, "message": message[:LONGEST], "part": part}
            if part == "visible":
                result["notes"] += map(LOOKED.format, sorted(submission.looked)[:9])
    for name, argument in submission.changed.items():
        last = result["tests"][problem_set.exercises[problem_set.functions[name]][-1]]
        if last["marks"]:
            last |= {"marks": 0, "message": CHANGED.format(name, argument), "part": "visible"}
    return result


def prepare(sets: list[ProblemSet]) -> None:
    """Before the first `mark`. MNIST is fetched here: submissions know nothing of a proxy.

    Raises RuntimeError where a set's own cells fail on this machine: no student's fault.
    """
    torch.set_num_threads(1)
    with suppress(data.DataUnavailable):  # a cell says which set cannot do without
        data.load_mnist("test")
    running.start(sets)
    for each in sets:
        with running.Submission(each) as submission:
            for cell in each.of("given").values():
                if error := submission.run(cell.source, given=True)["error"]:
                    why = "a cell of its own fails on this machine, so nothing was marked."
                    raise RuntimeError(f"{each.name}: {why}\n\n{cell.source}\n\n{error}")


def nothing(problem_set: ProblemSet, reason: str | None) -> dict:
    """The result where there is nothing to mark: no marks, and the reason."""
    test = {"marks": 0, "message": reason, "part": "visible"}
    tests = {this: test | {"points": n} for this, n in problem_set.points("test").items()}
    answers = problem_set.points("open").items()
    unanswered = {this: {"answer": None, "points": points} for this, points in answers}
    return {"reason": reason, "tests": tests, "open": unanswered, "cells": [], "notes": []}


def grade(
    folder: Path, *, show_hidden: bool = False, source: Path = SOURCE, seed: int = 0, **limits
) -> Path:
    """Mark every submission in `folder` that is new or changed; return the folder of the results.

    folder: see submissions.collect. show_hidden: whether the feedback tells of the hidden tests.
    seed: the one that the sets were handed out with. limits: `cell` and `whole`.

    Raises ValueError where there are no submissions, or a table cannot be understood; RuntimeError
    where a problem set's own cells fail on this machine, before anything is marked, or where the
    grader failed on a submission, after all others are marked.
    """
    folder = Path(folder).resolve()
    sets = [problem_sets.read(name, source, seed=seed) for name in problem_sets.names(source)]
    handed, reasons, left = submissions.collect(folder, sets)
    to = folder.with_name(f"{folder.name}-graded")
    by_hand = tables.read_by_hand(to / "by-hand.csv", {s.name: s.points("open") for s in sets})
    overrides = tables.read_overrides(to / "grades.csv")
    known = {*handed["files"], *reasons, *product(handed["people"], handed["sets"])}
    pairs = [(who, each) for who in sorted(handed["people"]) for each in sets]
    if not (pairs := [(who, each) for who, each in pairs if (who, each.name) in known]):
        raise ValueError(f"folder: no notebook in {folder} has cells of a problem set")
    prepare([each for each in sets if any(each is wanted for _, wanted in pairs)])
    put(to / "not-graded.txt", "".join(f"{line}\n" for line in left))

    def job(pair: tuple[str, ProblemSet]) -> dict:
        person, each = pair
        file = handed["files"].get((person, each.name))
        result = nothing(each, None if file else reasons.get((person, each.name), NOTHING))
        number = handed["ids"].get((person, each.name), "")
        result |= {"student": person, "set": each.name, "id": number}
        try:
            marked = _marked(result, each, file, to, limits)
            said = {"show_hidden": show_hidden, "override": overrides.get(tables.key(marked))}
            text = feedback.page(marked, each, by_hand, **said)
            put(to / tables.page(marked), text)
            return marked
        except Exception as error:
            why = f"NOT GRADED, the grader itself failed: {type(error).__name__}: {error}"
            return result | {"failed": why}

    with ThreadPoolExecutor(machine.cores()) as pool:
        try:
            results = [*tqdm(pool.map(job, pairs), total=len(pairs), unit="submission")]
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    tables.write(results, to)
    if failures := [result for result in results if "failed" in result]:
        raise RuntimeError("\n".join("{student}, {set}: {failed}".format(**f) for f in failures))
    return to


def limit_memory(most: int = 4 << 30) -> None:
    """Let this process take so many bytes more, so that a test which computes with a monstrous
    answer fails before the machine does."""
    with suppress(ImportError, OSError, ValueError):  # Windows has none, macOS may refuse
        import resource

        now, kind = psutil.Process().memory_info(), resource.RLIMIT_DATA
        resource.setrlimit(kind, (now.vms + most, resource.getrlimit(kind)[1]))


def main(*arguments: str) -> int:
    """`make grade`."""
    limit_memory()
    parser = argparse.ArgumentParser(prog="python3 -m tools grade")
    add = parser.add_argument
    add("folder", help="the folder with what was handed in")
    add("--show-hidden-tests", action="store_true", help="tell students of hidden tests as well")
    add("--seed", type=int, default=0, help="the one that `make assignments` was given")
    chosen = parser.parse_args(arguments)
    if not chosen.folder:  # which would be this one
        parser.error("no folder was named: make grade SUBMISSIONS=FOLDER")
    try:
        to = grade(Path(chosen.folder), show_hidden=chosen.show_hidden_tests, seed=chosen.seed)
    except (ValueError, RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    told = "grades.csv\nby-hand.csv (fill in, then run this again)\nfeedback (to give back)"
    print(f"In {to}:\n{told}\ncanvas-SET.csv, moodle-SET.csv (to import)")
    if left := (to / "not-graded.txt").read_text(encoding="utf-8"):
        print(f"\nNot graded:\n{left}", end="")
    return 0


def _marked(result: dict, problem_set: ProblemSet, file, to: Path, limits: dict) -> dict:
    """`result` with the marks of a file, if there is one: the stored ones, or new ones where those
    are of something else."""
    path = to / "results" / result["student"] / f"{problem_set.name}.json"
    this = file and [file.digest, file.modules, file.instead_of]
    key = fingerprint([this, result, problem_set.cells, limits, _code()])
    with suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["key"] == key:
            return stored
    if file:
        result = result | mark(problem_set, file.notebook, modules=file.modules, **limits)
        if file.name != f"{problem_set.name}.ipynb":
            result["notes"].append(f"Handed in as {file.path}.")
        if file.instead_of:
            result["notes"].append(f"{file.path.name} counts, not {', '.join(file.instead_of)}.")
        if file.modules:
            result["notes"].append(f"Handed in with {', '.join(file.modules)}.")
    put(path, json.dumps(result | {"key": key}))
    return result


@cache
def _code() -> str:
    """Changes where the course's code does: tests call much of it."""
    paths = [path for name in ("course_utils", "tools") for path in (ROOT / name).rglob("*.py")]
    return fingerprint([path.read_text(encoding="utf-8") for path in sorted(paths)])

"""Finding what was handed in. Nothing in it is trusted, its names included."""

import re
from collections import defaultdict
from contextlib import suppress
from itertools import product
from pathlib import Path

from tools.classroom.files import MODULES, File, files_in, skipped
from tools.classroom.layouts import claims_of, of_one_name
from tools.classroom.problem_sets import ProblemSet
from tools.classroom.reading import NotASubmission


def collect(folder: Path, sets: list[ProblemSet]) -> tuple[dict, dict, list[str]]:
    """What is in a folder of submissions; by (student, set) the reasons why nothing counts; and
    what is left over, each with the reason.

    The first has "files" by (student, set), the "people", "ids" by (student, set), each behind its
    platform's name, and the "sets" that the class was to hand in: one that came under another's
    name is its student's only.

    Any layout will do: a folder or a zip for each student, whatever is in it, or flat names, and
    folders or zips around them. A notebook is known by its cells, and by its name where it has
    none of them. Raises ValueError where there is nothing.
    """
    folder = folder / "submitted" if (folder / "submitted").is_dir() else folder
    if not folder.is_dir():
        raise ValueError(f"folder: {folder} is not a folder, expected one with submissions")
    left, found, reasons, misnamed, unsaid = [], defaultdict(list), {}, {}, {}
    people, ids, expected, modules, others = set(), {}, set(), defaultdict(dict), defaultdict(dict)
    files = [*files_in(folder, left)]
    if any("Submitted files" in file.path.parts for file in files):  # Teams has drafts beside them
        files = [file for file in files if "Working files" not in file.path.parts]
    for file in filter(File.is_notebook, files):
        file.look(sets)
    inside = [entry.relative_to(folder) for entry in folder.rglob("*") if entry.is_dir()]
    inside = [path for path in inside if not skipped(path) and not (folder / path).is_symlink()]
    claims = [*claims_of(files, inside)]
    two = of_one_name(claims)
    for file, who, number, layout in claims:
        student = f"{who} {number}".strip() if who in two else who
        said = _number(file.name) if file else ""
        meant = [each.name for each in sets if said and _number(each.name) == said]
        platforms = layout and (meant or layout.get("anywhere"))
        if not file or file.is_notebook() or not file.flat or platforms:
            people |= {student} - {""}
        if not file:
            continue
        its = [file.set] if file.set else meant
        its = its if layout.get("per_set") else [each.name for each in sets]
        ids |= {(student, name): f"{layout['platform']} {number}" for name in its if number}
        if number and not its:  # which set it is for, only the others can tell
            unsaid[student] = f"{layout['platform']} {number}"
        if not file.is_notebook():
            others[student][file.path] = meant
            its = sum(
                len(one)
                for (who, _), ones in modules.items()
                if who == student
                for one in ones.values()
            )
            small = file.path.suffix == ".py" and its + (file.size or 0) <= MODULES
            beside = ", but what one beside it may import" if small else ""
            left.append(f"{file.path}: no notebook{beside}")
            with suppress(NotASubmission):
                if beside:
                    modules[student, file.path.parent][file.name] = file.read()
        elif not file.set:
            error = file.error or f"it has no cell of {(meant or [sets[0].name])[0]}"
            left.append(f"{file.path}: {error}")
            others[student][file.path] = meant
            for name in meant:
                reasons.setdefault((student, name), f"Not marked: {error}.")
        else:
            file.student = student
            found[student, file.set].append(file)
            if meant and file.set not in meant:
                misnamed[student, meant[0]] = f"Not marked: {file.path.name} is {file.set}."
            else:
                expected.add(file.set)
    if len(expected) == 1:
        ids = {(who, *expected): number for who, number in unsaid.items()} | ids
    reasons |= {key: words for key, words in misnamed.items() if key[1] in expected}
    for student, name in product(people & set(others), expected):
        handed = any(who == student for who, _ in found)
        names = [p.name for p, meant in others[student].items() if not handed or name in meant]
        if names and (student, name) not in found:
            none = (
                f"Not marked: no notebook of this set was handed in, but {' and '.join(names[:3])}."
            )
            reasons.setdefault((student, name), none)
    for key, several in list(found.items()):
        finished = [file for file in several if file.answers.any()] or several[:1]
        exact = [file for file in finished if file.name == f"{key[1]}.ipynb"]
        *before, last = sorted(exact or finished, key=File.version)
        found[key], last.modules = last, modules[last.student, last.path.parent]
        last.instead_of = [file.path.name for file in finished if file is not last]
        if before and last.version() == before[-1].version():
            del found[key]
            names = " and ".join(str(file.path) for file in [*before, last][:3])
            reasons[key] = f"Not marked: {len(before) + 1} notebooks could be meant, {names}."
        left += [f"{file.path}: {last.path} counts" for file in several if file is not last]
    if not people:
        raise ValueError(f"folder: {folder} has nothing in it that a student handed in")
    handed = {"files": found, "people": people, "ids": ids, "sets": expected}
    return handed, reasons, list(dict.fromkeys(left))


def _number(name: str) -> str:
    """The number of the problem set that a file's name tells, or ""."""
    return "".join(re.findall(r"(?i)(?:problem[ _-]?set|ps|set)[ _-]?(\d+)", name)[:1])

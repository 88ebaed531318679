"""Whose a file is: by what learning platforms call files and folders, and write beside them.

layouts.toml has their patterns. Names are students' own, and nothing in them is trusted either.
"""

import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from os.path import commonprefix
from pathlib import Path

import yaml

from tools.classroom.files import File

_TABLE = tomllib.loads(Path(__file__).with_name("layouts.toml").read_text("utf-8"))
LAYOUTS, DOWNLOADS = _TABLE["layout"], _TABLE["downloads"]


def owner(parts: Sequence[str]) -> tuple[str, str, str, dict]:
    """Whose a file is by its path, or by that of a folder with something in it; the platform's
    number for them, the rest of the name, and the layout, {} where there is none. "" is nobody."""
    if not any(parts):
        return "", "", "", {}
    top = unicodedata.normalize("NFC", parts[0])  # macOS writes some letters as two
    flat = len(parts) == 1 or top.lower().endswith(".zip")
    name = Path(top).stem if flat else top
    for layout in LAYOUTS:
        if flat or layout.get("folders"):
            path = "/".join([name, *parts[1:]]) if layout.get("path") else name
            if match := re.fullmatch(layout["pattern"], path):
                found = {"id": "", "rest": ""} | match.groupdict(default="")
                return found["who"].strip(" ."), found["id"], found["rest"], layout
    return name, "", name, {}


def claims_of(files: list[File], folders: list[Path]) -> Iterator[tuple]:
    """(file, who, number, layout) for each file and each of those that handed it in, `who` empty
    for nobody; with None in place of the file for what is a folder of theirs."""
    entries = [((*path.parts, ""), None) for path in folders]
    entries += [(file.path.parts, file) for file in files]
    starts = [_platform(file.path.parts) for file in files if file.is_notebook()]
    known = [start for start in starts if start is not None]
    # What a student hands in may look like a platform's, what most hand in does not.
    sure = 2 * len(known) > len(starts)
    depth = max(known) if sure else _around(entries)
    around = {parts[0] for parts, _ in entries if _platform(parts)}
    claims, names = [], defaultdict(list)
    for parts, file in entries:
        start = _platform(parts) if sure else depth
        if start is None:
            start = depth if parts[0] in around else 0
        who, number, rest, layout = owner(parts[start:])
        if file:
            file.flat = len(parts) == start + 1
            file.name = rest + file.path.suffix if file.flat else file.path.name
            if layout.get("prefixed") and file.set:
                names[file.set].append(who)
        claims.append((file, Path(*parts[:start]), who, number, layout))
    heads = [commonprefix(each).rpartition("_")[0] + "_" for each in names.values()]
    told = _gradescope(files)
    for file, around, who, number, layout in claims:
        heading = [head for head in heads if layout.get("prefixed") and who.startswith(head)]
        only = who.removeprefix(max(heading, key=len, default=""))
        several = told.get(around / who) or [(only, number)]
        for name, own in several:
            each = replace(file) if file and len(several) > 1 else file
            yield each, name, own or number, layout


def _platform(parts: Sequence[str]) -> int | None:
    """How many parts of a path come before the first that only a platform calls so."""
    starts = range(len(parts))
    return next((n for n in starts if owner(parts[n:])[3].get("anywhere")), None)


def _around(entries: list[tuple]) -> int:
    """How many folders or zips there are around everybody's."""
    found = depth = 0
    while True:
        tops = {parts[depth] for parts, _ in entries if len(parts) > depth + 1}
        books = [(p, file.set) for p, file in entries if file and file.is_notebook()]
        if not tops or not all(len(parts) > depth + 1 for parts, _ in books):
            return found
        below = [(p[depth], p[depth + 1 :], name) for p, name in books]
        named = [
            (top, parts, name) for top, parts, name in below if len(parts) > 1 or owner(parts)[3]
        ]
        each = {(top, owner(parts)[0], name) for top, parts, name in named if name}
        several = len({one[1:] for one in each}) > len({name for *_, name in each})
        # The same set twice in one folder: it is a set's or a group's, and no student's.
        of = Counter((top, name) for top, _, name in each)
        shared = {top for (top, _), people in of.items() if people > 1}
        of_all = 2 * sum(top in shared for top, *_ in below) > len(below)
        only_zip = depth == 0 and min(tops).lower().endswith(".zip") and len(named) == len(below)
        named_so = all(re.fullmatch(DOWNLOADS, top) for top in tops)
        if not named_so and len(tops) > 1 and not of_all:
            return found
        depth += 1
        found = depth if named_so or several or only_zip or of_all else found


def of_one_name(claims: list[tuple]) -> set[str]:
    """The names that several people have: the platform has several numbers for them, and not
    because it numbers them anew for each set."""
    sets, fixed = defaultdict(lambda: defaultdict(set)), set()
    for file, who, number, layout in claims:
        sets[who][number] |= {file.set} - {""} if file else set()
        fixed |= {who} if number and not layout.get("per_set") else set()
    several = {who: [*numbers.values()] for who, numbers in sets.items() if len(numbers) > 1}
    return {
        who
        for who, each in several.items()
        if who in fixed or not all(each) or sum(map(len, each)) > len(set.union(*each))
    }


def _gradescope(files: list[File]) -> dict[Path, list[tuple[str, str]]]:
    """Who handed in what is in each of Gradescope's folders: names and numbers."""
    found = {}
    for file in (file for file in files if file.path.name == "submission_metadata.yml"):
        with suppress(Exception):  # what is odd in it is odd in new ways
            told = yaml.load(file.read(), yaml.BaseLoader) if file.size < 1 << 20 else {}
            for folder, one in told.items():  # all is text
                people = [(each[":name"], each.get(":sid", "")) for each in one[":submitters"]]
                if re.fullmatch(r"submission_\d+", folder):
                    place = file.path.parent / folder
                    found[place] = [(_plain(who), sid) for who, sid in people]
    return found


def _plain(name: str) -> str:
    """A name that a folder can have."""
    return re.sub(r"[/\\'\"]", "", unicodedata.normalize("NFC", name)).strip(" .")

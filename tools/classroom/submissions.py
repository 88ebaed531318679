"""Finding what was handed in. Nothing in it is trusted, its names included."""

import io
import re
import tomllib
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from os.path import commonprefix
from pathlib import Path

from nbformat import NotebookNode

from tools.classroom.problem_sets import ProblemSet
from tools.classroom.reading import Answers, NotASubmission, answers, parse
from tools.classroom.wire import fingerprint

LARGEST = 100 << 20  # bytes; outputs are not looked at
_TABLE = tomllib.loads(Path(__file__).with_name("layouts.toml").read_text("utf-8"))
LAYOUTS, DOWNLOADS = _TABLE["layout"], _TABLE["downloads"]
SKIPPED = ("__MACOSX", ".")  # what begins so is no student's


@dataclass
class File:
    """A file that was handed in: `path` in the folder, its size, None for what is no plain file,
    what opens it; of a notebook what is in it, its set, and why it cannot be read; then its own
    name, whether it lies in no folder of its student's, whose it is, and the modules beside it."""

    path: Path
    size: int | None
    opened: Callable[[], bytes]
    digest: str = ""
    notebook: NotebookNode | None = None
    answers: Answers | None = None
    set: str = ""
    error: str = ""
    name: str = ""
    flat: bool = False
    student: str = ""
    modules: dict[str, bytes] = field(default_factory=dict)

    def read(self) -> bytes:
        """Raises NotASubmission for anything but a plain file of sensible size."""
        if self.size is None or self.size > LARGEST:
            larger = f"it is larger than {LARGEST >> 20} MB"
            raise NotASubmission(larger if self.size else "it cannot be read: it is no plain file")
        try:
            return self.opened()
        except Exception as error:  # each way of packing has its own
            raise NotASubmission(f"it cannot be read: {error}") from error

    def is_notebook(self) -> bool:
        return ".ipynb" in self.path.name.lower()  # browsers add .txt or .json

    def look(self, sets: list[ProblemSet]) -> None:
        """Find out which set it is: the one of which it has the most cells."""
        try:
            content = self.read()
            self.notebook, self.digest = parse(content), fingerprint(content)
            every = ((answers(self.notebook, each), each.name) for each in sets)
            self.answers, best = max(every, key=lambda pair: pair[0].known)
            self.set = best if self.answers.known else ""
        except NotASubmission as error:
            self.error = str(error)

    def version(self) -> list[int]:
        """Of Teams's folders "Version 2", and the date in Blackboard's names."""
        found = re.findall(r"(?<=Version )\d+|(?<=_attempt_)[\d-]+", str(self.path))
        return [int(number.replace("-", "")) for number in found]


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
    left, found, reasons, misnamed = [], defaultdict(list), {}, {}
    people, ids, expected, modules, others = set(), {}, set(), defaultdict(dict), defaultdict(dict)
    files = [file for file in _files(folder, left) if not _skipped(file.path)]
    for file in filter(File.is_notebook, files):
        file.look(sets)
    inside = [entry.relative_to(folder) for entry in folder.rglob("*") if entry.is_dir()]
    inside = [path for path in inside if not _skipped(path) and not (folder / path).is_symlink()]
    claims = [*_claims(files, inside)]
    two = _of_one_name(claims)
    for file, who, number, layout in claims:
        student = f"{who} {number}".strip() if who in two else who
        said = _number(file.name) if file else ""
        meant = [each.name for each in sets if said and _number(each.name) == said]
        if not file or file.is_notebook() or not file.flat or layout and meant:
            people |= {student} - {""}
        if not file:
            continue
        its = [file.set] if file.set else meant
        its = its if layout.get("per_set") else [each.name for each in sets]
        ids |= {(student, name): f"{layout['platform']} {number}" for name in its if number}
        if not file.is_notebook():
            others[student][file.path] = meant
            beside = ", but what one beside it may import" if file.path.suffix == ".py" else ""
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
        if before and last.version() == before[-1].version():
            del found[key]
            names = " and ".join(str(file.path) for file in [*before, last][:3])
            reasons[key] = f"Not marked: {len(before) + 1} notebooks could be meant, {names}."
        left += [f"{file.path}: {last.path} counts" for file in several if file is not last]
    if not people:
        raise ValueError(f"folder: {folder} has nothing in it that a student handed in")
    handed = {"files": found, "people": people, "ids": ids, "sets": expected}
    return handed, reasons, list(dict.fromkeys(left))


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
                found = {"id": "", "rest": ""} | match.groupdict()
                return found["who"].strip(" ."), found["id"], found["rest"], layout
    return name, "", name, {}


def _claims(files: list[File], folders: list[Path]) -> Iterator[tuple]:
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
        below = [(p[depth + 1 :], file.set) for p, file in entries if file and file.is_notebook()]
        if not tops or not all(parts for parts, _ in below):
            return found
        named = [(parts, name) for parts, name in below if len(parts) > 1 or owner(parts)[3]]
        each = {(parts[0], name) for parts, name in named if name}
        several = len(each) > len({name for _, name in each})  # the same set, twice
        only_zip = depth == 0 and min(tops).lower().endswith(".zip") and len(named) == len(below)
        named_so = all(re.fullmatch(DOWNLOADS, top) for top in tops)
        if not named_so and len(tops) > 1:
            return found
        depth += 1
        found = depth if named_so or several or only_zip else found


def _of_one_name(claims: list[tuple]) -> set[str]:
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
        with suppress(NotASubmission):
            text = unicodedata.normalize("NFC", file.read().decode("utf-8", "replace"))
            text = re.sub(r"[/\\'\"\r]", "", text)
            of = r"^(\w+):\n  :submitters:\n((?: {2,4}[- ] .*\n)+)"
            who = r"- :name: *(.+?)[ .]*\n(?:    :sid: *(.*)\n)?"
            for folder, listed in re.findall(of, text, re.M):
                found[file.path.parent / folder] = re.findall(who, listed)
    return found


def _skipped(path: Path) -> bool:
    return any(part.startswith(SKIPPED) for part in path.parts)


def _files(folder: Path, left: list[str]) -> Iterator[File]:
    """The files below a folder, those in zips included."""
    for entry in sorted(folder.rglob("*")):
        path = entry.relative_to(folder)
        if entry.is_symlink():
            left += [] if _skipped(path) else [f"{path}: a link"]
        elif not entry.is_dir():
            size = entry.stat().st_size if entry.is_file() else None
            yield from _unzipped(File(path, size, entry.read_bytes), left)


def _unzipped(file: File, left: list[str], deep: int = 0) -> Iterator[File]:
    """The file, or what is in it if it is a zip."""
    if file.path.suffix.lower() != ".zip" or deep > 2:
        yield file
        return
    try:
        archive = zipfile.ZipFile(io.BytesIO(file.read()))
    except (zipfile.BadZipFile, NotASubmission) as error:
        left.append(f"{file.path}: {error}")
        return
    for info in archive.infolist():
        path = info.filename.replace("\\", "/")  # some on Windows write the other one
        path = file.path.joinpath(*(p for p in path.split("/") if p not in ("", ".", "..")))
        if not info.is_dir():
            inside = File(path, info.file_size, partial(archive.read, info))
            yield from _unzipped(inside, left, deep + 1)


def _number(name: str) -> str:
    """The number of the problem set that a file's name tells, or ""."""
    return "".join(re.findall(r"(?i)(?:problem[ _-]?set|ps|set)[ _-]?(\d+)", name)[:1])

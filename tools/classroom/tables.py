"""The tables: grades.csv, which is written, and by-hand.csv, which the teacher fills in."""

import hashlib
import io
import json
import os
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from tools.environment import put

COLUMNS = "student problem_set marks out_of tests by_hand override remark row".split()
BY_HAND = "student problem_set question out_of marks comment answer row".split()


def plain(text: str) -> str:
    """The text as a spreadsheet shows it, and never as a formula of a student's making."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else text


def page(result: dict) -> str:
    """Where the student's page lies, from the folder of the tables."""
    return f"feedback/{result['student']}/{result['set']}.html"


def link(result: dict, question: str) -> str:
    """The answer's place as spreadsheets make a link of it: the one formula, with nothing in it
    that could end its text. From the folder of the tables, which may be moved."""
    path = quote(os.fsencode(page(result)))
    return f'=HYPERLINK("{path}#{key(result, question)}")'


def exported(result: dict, marks: float | None) -> tuple[str, dict]:
    """The name of the table that a platform imports, and this result's row in it.

    Canvas: lib/gradebook_importer.rb, which knows students by their number, or else by name, and
    sets by the column's title. Moodle: importgradeslib.php and locallib.php in
    mod/assign/feedback/offline, which want these columns, and leave alone what was changed there
    after the last. Its numbers are of one set only; so are both tables, because an empty cell
    makes Canvas delete a grade.
    """
    platform, _, number = result.get("id", "").partition(" ")
    who, name = plain(result["student"]), result["set"]
    if platform == "Moodle":
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        row = {"Identifier": f"Participant {number}", "Full name": who, "Grade": marks}
        return f"moodle-{name}", row | {"Last modified (grade)": now}
    row = {"Student": who, "ID": number if platform == "Canvas" else ""}
    empty = dict.fromkeys(("SIS User ID", "SIS Login ID", "Section"), "")
    return f"canvas-{name}", row | empty | {name: marks}


def key(result: dict, question: str = "") -> str:
    """What identifies an answer in by-hand.csv, or a row of grades.csv, and an answer's place on
    its page.

    Of a student's name a spreadsheet may make something else, as 12345 of 0012345; of a word that
    begins with a letter it makes nothing.
    """
    answer = result["open"][question]["answer"] if question else ""
    text = repr([result["student"], result["set"], question, answer])
    return "a" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def read(path: Path, columns: list[str], numbers: list[str]) -> list[dict]:
    """The rows of a table that a spreadsheet may have saved with semicolons or tabs, or in its own
    encoding; none where there is no such file. Those of `numbers` are floats, or None.

    Raises ValueError where a column is missing, or, naming the line, where there is no such number.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    try:
        text = content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    text = re.sub(r"\A\s*sep=.*\n", "", text)  # Excel's
    if not text.strip():
        raise ValueError(f"{path}: it is empty, expected a table; to begin anew, delete it")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    table = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False)
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{path}: no column {missing[0]!r}")
    rows = table.fillna("").to_dict("records")
    for line, row in enumerate(rows, start=2):
        for column in numbers:
            said = row[column].strip().replace(",", ".")
            row[column] = pd.to_numeric(said, errors="coerce") if said else None
            if said and not 0 <= row[column] < float("inf"):
                expected = "expected a number, 0 or more, or nothing"
                raise ValueError(f"{path}, line {line}: {column}: got {said!r}, {expected}")
    return rows


def read_by_hand(path: Path, points: dict | None = None) -> dict[str, dict]:
    """The rows of by-hand.csv by `key`, their marks as numbers or None. Of two rows for one answer,
    as where two people's tables were joined, the one that is filled in counts.

    points: by set and question. Raises ValueError for more marks than these, and for two rows with
    different marks.
    """
    found = {}
    for row in read(path, BY_HAND, ["marks"]):
        old, most = found.get(row["row"]), (points or {}).get(row["problem_set"], {})
        which = f"{path}: {row['student']}, {row['problem_set']}, {row['question']}: marks:"
        if (row["marks"] or 0) > (most := most.get(row["question"], float("inf"))):
            expected = f"expected a number from 0 to {most}, or nothing"
            raise ValueError(f"{which} got {row['marks']:g}, {expected}")
        if old and None not in (marks := [old["marks"], row["marks"]]) and marks[0] != marks[1]:
            raise ValueError(f"{which} got {marks[0]:g} and {marks[1]:g}, expected one of them")
        if not old or row["marks"] is not None or (row["comment"] and old["marks"] is None):
            found[row["row"]] = row
    return found


def read_overrides(path: Path) -> dict[str, float]:
    """The marks that a teacher set in grades.csv: in the column for it, or in place of ours, which
    stand in the column `row`, too.

    Raises ValueError for marks in `by_hand`, which would not say for which answer they are.
    """
    found = {}
    for row in read(path, COLUMNS, ["marks", "by_hand", "override"]):
        this, *ours = row["row"].split("_")
        marks, by_hand = (float(said) if said else None for said in ours)
        if row["by_hand"] not in (by_hand, None):
            got = f"{row['student']}, {row['problem_set']}: by_hand: got {row['by_hand']:g}"
            raise ValueError(f"{path}: {got}; fill in marks in by-hand.csv, or here an override")
        override = row["marks"] if row["override"] is None else row["override"]
        if override is not None and (row["override"] is not None or override != marks):
            found[this] = override
    return found


def marks_by_hand(result: dict, by_hand: dict) -> dict[str, tuple[float | None, str]]:
    """Question -> marks, None while they are not given, and the teacher's comment.

    Raises ValueError for more marks than the question has.
    """
    given = {}
    for question, one in result["open"].items():
        row = by_hand.get(key(result, question), {"marks": None, "comment": ""})
        if (row["marks"] or 0) > one["points"]:
            got = f"{result['student']}, {question}: marks: got {row['marks']:g}"
            expected = f"expected a number from 0 to {one['points']}, or nothing"
            raise ValueError(f"by-hand.csv: {got}, {expected}")
        given[question] = (0.0, "") if one["answer"] is None else (row["marks"], row["comment"])
    return given


def write(results: list[dict], to: Path) -> None:
    """Write grades.csv, by-hand.csv with a row for each answer that waits for marks, and for each
    set what Canvas or Moodle imports: the marks of what was handed in and waits for nothing.

    What the grader failed on has marks where the teacher set them, and none else. No row that the
    teacher filled in is ever dropped: where an answer changed, there are two.
    """
    by_hand = read_by_hand(to / "by-hand.csv")  # the teacher may have gone on writing
    # A row that is not filled in and whose answer is gone asks for nothing any more.
    hand = {k: row for k, row in by_hand.items() if row["marks"] is not None or row["comment"]}
    overrides, rows, written = read_overrides(to / "grades.csv"), [], defaultdict(list)
    for result in results:
        who = [plain(result["student"]), result["set"]]
        given = marks_by_hand(result, by_hand)
        for question, said in given.items():
            if (one := result["open"][question])["answer"] is not None:
                this = key(result, question)
                values = [*who, question, one["points"], *said, link(result, question), this]
                hand[this] = dict(zip(BY_HAND, values, strict=True))
        extra = [marks for marks, _ in given.values()]
        waits = "Waits for marks in by-hand.csv." if None in extra else ""
        tests, more = sum(t["marks"] for t in result["tests"].values()), sum(filter(None, extra))
        failed = result.get("failed")
        ours = [None] * 3 if failed else [tests + more, tests, None if waits else more]
        out_of = sum(o["points"] for kind in ("tests", "open") for o in result[kind].values())
        override = overrides.get(this := key(result))
        marks = ours[0] if override is None else override
        above = f"{override:g} is more than {out_of:g}." if (override or 0) > out_of else ""
        remarks = [failed, result["reason"], *result["notes"], waits, above]
        numbers = [marks, out_of, *ours[1:], override]
        written_so = "_".join(["" if n is None else f"{n:g}" for n in (marks, ours[2])])
        rows.append(
            [*who, *numbers, plain(" ".join(filter(None, remarks))), f"{this}_{written_so}"]
        )
        settled = override is not None or not (waits or result["reason"])
        name, row = exported(result, marks if settled else None)
        written[name].append(row)
    tables = {name: pd.DataFrame(rows).dropna() for name, rows in written.items()}
    for name in [name for name, table in tables.items() if table.empty]:
        del tables[name]
        (to / f"{name}.csv").unlink(missing_ok=True)
    tables["grades"] = pd.DataFrame(rows, columns=COLUMNS)
    tables["by-hand"] = pd.DataFrame([*hand.values()], columns=BY_HAND)
    for name, table in tables.items():
        # With a mark at its beginning: spreadsheets take UTF-8 without it for something else.
        text = table.to_csv(index=False, lineterminator="\r\n", float_format="%g")
        put(to / f"{name}.csv", f"\ufeff{text}")

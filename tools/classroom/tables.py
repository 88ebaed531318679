"""The tables: grades.csv, which is written, and by-hand.csv, which the teacher fills in."""

import hashlib
import io
import json
from pathlib import Path

import pandas as pd

from tools.environment import put

COLUMNS = "student problem_set marks out_of tests by_hand override remark row".split()
BY_HAND = "student problem_set question out_of marks comment answer".split()
# What the platforms import: our columns, and theirs; behind them one for each set.
LEFT_EMPTY = {name: name for name in ("SIS User ID", "SIS Login ID", "Section")}
EXPORTS = {
    "canvas": {"student": "Student", "id": "ID"} | LEFT_EMPTY,
    "moodle": {"participant": "Identifier", "student": "Full name"},
}


def plain(text: str) -> str:
    """The text as a spreadsheet shows it, and never as a formula of a student's making."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else text


def page(result: dict) -> str:
    """Where the student's page lies, from the folder of the tables."""
    return f"feedback/{result['student']}/{result['set']}.html"


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


def read_by_hand(path: Path) -> dict[str, dict]:
    """The rows of by-hand.csv by `key`, their marks as numbers or None."""
    return {row["answer"].rpartition("#")[2]: row for row in read(path, BY_HAND, ["marks"])}


def read_overrides(path: Path) -> dict[str, float]:
    """The marks that a teacher set in grades.csv: in the column for it, or in place of ours."""
    found = {}
    for row in read(path, COLUMNS, ["marks", "tests", "by_hand", "override"]):
        override, ours = row["override"], (row["tests"] or 0) + (row["by_hand"] or 0)
        if override is None and row["tests"] is not None and row["marks"] != ours:
            override = row["marks"]
        if override is not None:
            found[row["row"]] = override
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
    """Write grades.csv, by-hand.csv with a row for each answer that waits for marks, and both as
    Canvas and Moodle import grades.

    What the grader failed on has marks where the teacher set them, and none else. No row that the
    teacher filled in is ever dropped: where an answer changed, there are two.
    """
    by_hand = read_by_hand(to / "by-hand.csv")  # the teacher may have gone on writing
    # A row that is not filled in and whose answer is gone asks for nothing any more.
    hand = {k: row for k, row in by_hand.items() if row["marks"] is not None or row["comment"]}
    overrides, rows = read_overrides(to / "grades.csv"), []
    for result in results:
        who = [plain(result["student"]), result["set"]]
        given = marks_by_hand(result, by_hand)
        for question, said in given.items():
            if (one := result["open"][question])["answer"] is not None:
                place = f"{page(result)}#{key(result, question)}"
                values = [*who, question, one["points"], *said, place]
                hand[key(result, question)] = dict(zip(BY_HAND, values, strict=True))
        extra = [marks for marks, _ in given.values()]
        waits = "Waits for marks in by-hand.csv." if None in extra else ""
        tests, more = sum(t["marks"] for t in result["tests"].values()), sum(filter(None, extra))
        failed = result.get("failed")
        ours = [None] * 3 if failed else [tests + more, tests, None if waits else more]
        out_of = sum(o["points"] for kind in ("tests", "open") for o in result[kind].values())
        override = overrides.get(this := key(result))
        marks = ours[0] if override is None else override
        remark = plain(" ".join(filter(None, [failed, result["reason"], *result["notes"], waits])))
        numbers = [marks, out_of, *ours[1:], override]
        number = result.get("id", "")
        rows.append([*who, *numbers, remark, this, number, f"Participant {number}".strip()])
    grades = pd.DataFrame(rows, columns=[*COLUMNS, "id", "participant"])
    waiting = pd.DataFrame([*hand.values()], columns=BY_HAND)
    written = {"grades": grades[COLUMNS], "by-hand": waiting}
    index = ["student", "id", "participant", "problem_set"]
    people = grades.groupby(index, sort=False)["marks"].first().unstack()
    for name, columns in EXPORTS.items():
        table = people.reset_index().rename(columns=columns)
        written[name] = table.reindex(columns=[*columns.values(), *people])
    for name, table in written.items():
        # With a mark at its beginning: spreadsheets take UTF-8 without it for something else.
        text = table.to_csv(index=False, lineterminator="\r\n", float_format="%g")
        put(to / f"{name}.csv", f"\ufeff{text}")

"""The tables: grades.csv, which is written, and by-hand.csv, which the teacher fills in."""

import hashlib
import io
import os
from pathlib import Path

import pandas as pd

COLUMNS = ("student", "problem_set", "marks", "out_of", "tests", "by_hand", "override", "remark",
           "row")
BY_HAND = ("student", "problem_set", "question", "out_of", "marks", "comment", "answer")
# What the platforms import: their columns, and ours; behind them one for each set.
EXPORTS = {
    "canvas": {"Student": "student", "ID": "id", "SIS User ID": "", "SIS Login ID": "",
               "Section": ""},
    "moodle": {"Identifier": "participant", "Full name": "student"},
}


def replace(path: Path, text: str, *, encoding: str = "utf-8") -> None:
    """Write the text beside `path`, then rename; RuntimeError where another program holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding=encoding, errors="backslashreplace", newline="")
    try:
        os.replace(beside, path)
    except PermissionError as error:  # Windows, while a spreadsheet has it open
        beside.unlink()
        raise RuntimeError(f"{path} is in use: close it, and run this again ({error})") from error


def plain(text: str) -> str:
    """The text as a spreadsheet shows it, and never as a formula of a student's making."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "'")) else text


def number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


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


def read(path: Path, columns: tuple[str, ...], numbers: tuple[str, ...]) -> list[dict]:
    """The rows of a table that a spreadsheet may have saved with semicolons or tabs, or in its own
    encoding; none where there is no such file. Those of `numbers` are floats, or None.

    Raises ValueError where a column is missing, or, naming the line, where there is no such number.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    marked = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if marked else "utf-8-sig")
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
                raise ValueError(
                    f"{path}, line {line}: {column}: got {said!r}, expected a number, 0 or more, "
                    "or nothing"
                )
    return rows


def read_by_hand(path: Path) -> dict[str, dict]:
    """The rows of by-hand.csv by `key`, their marks as numbers or None."""
    return {row["answer"].rpartition("#")[2]: row for row in read(path, BY_HAND, ("marks",))}


def read_overrides(path: Path) -> dict[str, float]:
    """The marks that a teacher set in grades.csv: in the column for it, or else in place of ours."""
    found = {}
    for row in read(path, COLUMNS, ("marks", "tests", "by_hand", "override")):
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
            raise ValueError(
                f"by-hand.csv: {result['student']}, {question}: marks: got {row['marks']:g}, "
                f"expected a number from 0 to {one['points']}, or nothing"
            )
        given[question] = (0.0, "") if one["answer"] is None else (row["marks"], row["comment"])
    return given


def write(results: list[dict], to: Path) -> None:
    """Write grades.csv, by-hand.csv with a row for each answer that waits for marks, and both as
    Canvas and Moodle import grades.

    What the grader failed on has marks where the teacher set them, and none else. No row that the
    teacher filled in is ever dropped: where an answer changed, there are two.
    """
    by_hand = read_by_hand(to / "by-hand.csv")  # the teacher may have gone on writing
    overrides, rows = read_overrides(to / "grades.csv"), []
    # A row that is not filled in and whose answer is gone asks for nothing any more.
    hand = {this: row | {"marks": number(row["marks"])} for this, row in by_hand.items()
            if row["marks"] is not None or row["comment"]}
    for result in results:
        given = marks_by_hand(result, by_hand)
        who = {"student": plain(result["student"]), "problem_set": result["set"]}
        for question, (marks, comment) in given.items():
            if result["open"][question]["answer"] is not None:
                this = key(result, question)
                hand[this] = who | {
                    "question": question, "out_of": result["open"][question]["points"],
                    "marks": number(marks), "comment": comment, "answer": f"{page(result)}#{this}",
                }
        tests = sum(test["marks"] for test in result["tests"].values())
        waiting = any(marks is None for marks, _ in given.values())
        extra = sum(marks or 0 for marks, _ in given.values())
        waits = "Waits for marks in by-hand.csv." if waiting else ""
        remarks = [failed := result.get("failed"), result["reason"], *result["notes"], waits]
        every = [*result["tests"].values(), *result["open"].values()]
        override, number_of = overrides.get(key(result)), result.get("id", "")
        marks = None if failed else tests + extra
        rows.append(who | {
            "marks": number(marks if override is None else override),
            "out_of": sum(one["points"] for one in every), "tests": number(marks and tests),
            "by_hand": None if waiting or failed else number(extra), "override": number(override),
            "remark": plain(" ".join(filter(None, remarks))), "row": key(result),
            "id": number_of, "participant": f"Participant {number_of}".strip(),
        })
    grades = pd.DataFrame(rows, columns=[*COLUMNS, "id", "participant"])
    grades = grades.sort_values(["student", "problem_set"])
    tables = {"grades": grades[[*COLUMNS]], "by-hand": pd.DataFrame(hand.values(), columns=BY_HAND)}
    who = ["student", "id", "participant"]
    people = grades.pivot_table("marks", who, "problem_set", aggfunc="first")
    for name, columns in EXPORTS.items():
        names = {ours: column for column, ours in columns.items()}
        table = people.reset_index().rename(columns=names)
        tables[name] = table.reindex(columns=[*columns, *people])
    for name, table in tables.items():
        # With a mark at its beginning: spreadsheets take UTF-8 without it for something else.
        text = table.to_csv(index=False, lineterminator="\r\n")
        replace(to / f"{name}.csv", text, encoding="utf-8-sig")

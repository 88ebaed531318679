"""The tables: grades.csv, which is written, and by-hand.csv, which the teacher fills in."""

import csv
import hashlib
import io
import os
from pathlib import Path

COLUMNS = ("student", "problem_set", "marks", "out_of", "tests", "by_hand", "remark")
BY_HAND = ("student", "problem_set", "question", "out_of", "marks", "comment", "answer")


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


def fingerprint(text: str) -> str:
    """Tells a changed text from the one before."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def key(result: dict, question: str) -> str:
    """What identifies an answer in by-hand.csv: its column "answer".

    Of a student's name a spreadsheet may make something else, as 12345 of 0012345; of a word that
    begins with a letter it makes nothing.
    """
    parts = [result["student"], result["set"], question, result["open"][question]["answer"]]
    return "a" + fingerprint(repr(parts))


def read_by_hand(path: Path) -> dict[str, dict[str, str]]:
    """The rows of by-hand.csv by `key`; empty where there is no such file.

    A spreadsheet may have saved it with semicolons or in its own encoding. Raises ValueError,
    naming the row, for columns that are missing and marks that cannot be.
    """
    if not path.exists():
        return {}
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    first = text.partition("\n")[0]
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";" if ";" in first else ","))
    for number, row in enumerate(rows, start=2):
        if missing := [column for column in BY_HAND if row.get(column) is None]:
            raise ValueError(f"{path}, line {number}: no column {missing[0]!r}")
        try:
            marks = [float(row[which].replace(",", ".") or 0) for which in ("marks", "out_of")]
        except ValueError:
            marks = [-1.0, 0.0]
        if not 0 <= marks[0] <= marks[1]:
            raise ValueError(
                f"{path}, line {number}: marks: got {row['marks']!r}, "
                f"expected a number from 0 to {row['out_of']}, or nothing"
            )
    return {row["answer"]: row for row in rows}


def marks_by_hand(result: dict, by_hand: dict) -> dict[str, tuple[float | None, str]]:
    """Question -> marks, None while they are not given, and the teacher's comment."""
    given = {}
    for question, one in result["open"].items():
        if one["answer"] is None:
            given[question] = 0.0, ""
            continue
        row = by_hand.get(key(result, question), {"marks": "", "comment": ""})
        marks = row["marks"].replace(",", ".").strip()
        given[question] = float(marks) if marks else None, row["comment"]
    return given


def write(results: list[dict], to: Path, failures: list[dict]) -> None:
    """Write grades.csv, and by-hand.csv with a row for each answer that waits for marks.

    Submissions that could not be marked (`failures`, each with "student", "set" and "reason") have
    rows without marks.
    No row that the teacher filled in is ever dropped: where an answer changed, there are two.
    """
    by_hand = read_by_hand(to / "by-hand.csv")  # the teacher may have gone on writing
    rows, hand = [], dict(by_hand)
    for result in results:
        given = marks_by_hand(result, by_hand)
        for question, one in result["open"].items():
            if one["answer"] is not None:
                this = key(result, question)
                row = hand.get(this, {"marks": "", "comment": ""})
                hand[this] = {
                    "student": plain(result["student"]), "problem_set": result["set"],
                    "question": question, "out_of": one["points"], "marks": row["marks"],
                    "comment": row["comment"], "answer": this,
                }  # fmt: skip
        tests = sum(test["marks"] for test in result["tests"].values())
        waiting = any(marks is None for marks, _ in given.values())
        extra = sum(marks or 0 for marks, _ in given.values())
        remarks = [result["reason"] or "", *result["notes"]]
        remarks += ["Waits for marks in by-hand.csv."] if waiting else []
        out_of = sum(one["points"] for one in (*result["tests"].values(), *result["open"].values()))
        rows.append({
            "student": plain(result["student"]), "problem_set": result["set"],
            "marks": number(tests + extra), "out_of": number(out_of), "tests": number(tests),
            "by_hand": "" if waiting else number(extra),
            "remark": plain(" ".join(filter(None, remarks))),
        })  # fmt: skip
    rows += [
        {"student": plain(f["student"]), "problem_set": f["set"], "remark": plain(f["reason"])}
        for f in failures
    ]
    rows.sort(key=lambda row: (row["student"], row["problem_set"]))
    # A row that is not filled in and whose answer is gone asks for nothing any more.
    asked = {key(r, q) for r in results for q, one in r["open"].items() if one["answer"]}
    kept = [row for this, row in hand.items() if this in asked or row["marks"] or row["comment"]]
    for name, lines, columns in (("by-hand", kept, BY_HAND), ("grades", rows, COLUMNS)):
        # With a mark at its beginning: spreadsheets take UTF-8 without it for something else.
        replace(to / f"{name}.csv", as_csv(lines, columns), encoding="utf-8-sig")


def number(value: float) -> str:
    return f"{value:g}"


def as_csv(rows: list[dict], columns: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

"""The tables: grades.csv, which is written, and by-hand.csv, which the teacher fills in."""

import csv
import hashlib
import io
import os
from pathlib import Path

COLUMNS = ("student", "problem_set", "marks", "out_of", "tests", "by_hand", "override", "remark",
           "row")  # fmt: skip
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
    return "a" + fingerprint(repr([result["student"], result["set"], question, answer]))


def read(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a table that a spreadsheet may have saved with semicolons or tabs, or in its own
    encoding; none where there is no such file.

    Raises ValueError, naming the line, where columns are missing.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16", "replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", "replace")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
    for number, row in enumerate(rows, start=2):
        if missing := [column for column in columns if row.get(column) is None]:
            raise ValueError(f"{path}, line {number}: no column {missing[0]!r}")
    return rows


def mark_of(text: str, path: Path, line: int, column: str, most: float = float("inf")):
    """The marks that a teacher wrote, None where there are none. Raises ValueError."""
    try:
        marks = float(text.strip().replace(",", ".")) if text.strip() else None
    except ValueError:
        marks = -1.0
    if marks is None or 0 <= marks <= most:
        return marks
    raise ValueError(
        f"{path}, line {line}: {column}: got {text!r}, expected a number from 0 to {most:g}, or "
        "nothing"
    )


def read_by_hand(path: Path) -> dict[str, dict]:
    """The rows of by-hand.csv by `key`, their marks as numbers or None."""
    return {
        row["answer"].rpartition("#")[2]: row | {
            "marks": mark_of(row["marks"], path, line, "marks")
        }
        for line, row in enumerate(read(path, BY_HAND), start=2)
    }  # fmt: skip


def read_overrides(path: Path) -> dict[str, float]:
    """The marks that a teacher set in grades.csv, in the column for it or in place of ours."""
    found = {}
    for line, row in enumerate(read(path, COLUMNS), start=2):
        parts = [mark_of(row[c], path, line, c) for c in ("override", "marks", "tests", "by_hand")]
        override, marks, tests, by_hand = parts
        ours = override if override is not None else (tests or 0) + (by_hand or 0)
        if marks not in (None, ours) and tests is not None:
            override = marks
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
        if one["answer"] is None:
            given[question] = 0.0, ""
        elif (row["marks"] or 0) > one["points"]:
            raise ValueError(
                f"by-hand.csv: {result['student']}, {question}: marks: got {row['marks']:g}, "
                f"expected a number from 0 to {one['points']}, or nothing"
            )
        else:
            given[question] = row["marks"], row["comment"]
    return given


def write(results: list[dict], to: Path, failures: list[dict]) -> None:
    """Write grades.csv, by-hand.csv with a row for each answer that waits for marks, and both as
    Canvas and Moodle import grades.

    Submissions that could not be marked (`failures`, each with "student", "set" and "reason") have
    rows without marks. No row that the teacher filled in is ever dropped: where an answer changed,
    there are two.
    """
    by_hand = read_by_hand(to / "by-hand.csv")  # the teacher may have gone on writing
    overrides = read_overrides(to / "grades.csv")
    rows, hand, totals = [], dict(by_hand), {}
    for result in results:
        given = marks_by_hand(result, by_hand)
        for question, one in result["open"].items():
            if one["answer"] is not None:
                this = key(result, question)
                row = hand.get(this, {"marks": None, "comment": ""})
                hand[this] = {
                    "student": plain(result["student"]), "problem_set": result["set"],
                    "question": question, "out_of": one["points"], "marks": row["marks"],
                    "comment": row["comment"], "answer": f"{page(result)}#{this}",
                }  # fmt: skip
        tests = sum(test["marks"] for test in result["tests"].values())
        waiting = any(marks is None for marks, _ in given.values())
        extra = sum(marks or 0 for marks, _ in given.values())
        remarks = [result["reason"] or "", *result["notes"]]
        remarks += ["Waits for marks in by-hand.csv."] if waiting else []
        every = [*result["tests"].values(), *result["open"].values()]
        override = overrides.get(key(result))
        total = number(tests + extra if override is None else override)
        rows.append({
            "student": plain(result["student"]), "problem_set": result["set"], "marks": total,
            "out_of": number(sum(one["points"] for one in every)), "tests": number(tests),
            "by_hand": "" if waiting else number(extra), "row": key(result),
            "override": "" if override is None else number(override),
            "remark": plain(" ".join(filter(None, remarks))),
        })  # fmt: skip
        person = totals.setdefault(result["student"], {"id": result.get("id", "")})
        person[result["set"]] = total
    rows += [
        {"student": plain(f["student"]), "problem_set": f["set"], "remark": plain(f["reason"])}
        for f in failures
    ]
    rows.sort(key=lambda row: (row["student"], row["problem_set"]))
    # A row that is not filled in and whose answer is gone asks for nothing any more.
    asked = {key(r, q) for r in results for q, one in r["open"].items() if one["answer"]}
    kept = [row | {"marks": "" if row["marks"] is None else number(row["marks"])}
            for this, row in hand.items()
            if this in asked or row["marks"] is not None or row["comment"]]  # fmt: skip
    sets = tuple(sorted({result["set"] for result in results}))
    people = [{"Student": plain(who), "ID": person["id"], "Full name": plain(who),
               "Identifier": f"Participant {person['id']}".strip()} | person
              for who, person in sorted(totals.items())]  # fmt: skip
    canvas = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section", *sets)
    for name, lines, columns in (
        ("by-hand", kept, BY_HAND), ("grades", rows, COLUMNS), ("canvas", people, canvas),
        ("moodle", people, ("Identifier", "Full name", *sets)),
    ):  # fmt: skip
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

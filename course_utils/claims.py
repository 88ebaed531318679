"""The deck's statements, tables and figures as claims that the lectures check by running.

A lecture measures one number for a claim and hands it to `check` in a cell tagged `claim` and
`claim:<id>`; `course_utils.deck` lists them, with the bands that decide. `report` reads the
verdicts back from executed notebooks.
"""

import math
import textwrap
from collections import Counter
from dataclasses import dataclass

import pandas as pd

from course_utils.deck import CLAIMS, Claim

MIME_TYPE = "application/vnd.course.claim+json"


@dataclass(frozen=True)
class Verdict:
    """What `check` found. A notebook shows it as its one line."""

    claim: Claim
    measured: float
    detail: str = ""

    @property
    def holds(self) -> bool:
        low, high = self.claim.band
        return low <= self.measured <= high

    @property
    def verdict(self) -> str:
        if self.holds:
            return "holds"
        return "does not hold here" + ("" if self.claim.expected else ", as expected")

    @property
    def line(self) -> str:
        claim = self.claim
        detail = f" ({self.detail})" if self.detail else ""
        return (
            f"Deck: {claim.says}. Measured: {claim.measures}: {claim.format(self.measured)}"
            f"{detail}. Paper: {claim.paper}. Verdict: {self.verdict} (band: {claim.band_text})."
        )

    def __repr__(self) -> str:
        return self.line

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        payload = {
            "id": self.claim.id,
            "holds": self.holds,
            "measured": self.claim.format(self.measured),
            "expected": self.claim.expected,
            "line": self.line,
        }
        return {"text/plain": self.line, MIME_TYPE: payload}


def check(claim_id: str, measured: float, *, detail: str = "") -> Verdict:
    """Judge `measured` by the band of the claim `claim_id`.

    `measured` is a finite number in the claim's unit; `detail` is added to the line. Raises
    ValueError for an unknown claim, one without a band, and NaN or infinity; TypeError for
    what is not a number.
    """
    if claim_id not in CLAIMS:
        raise ValueError(f"claim_id: no claim {claim_id!r}; known: {', '.join(CLAIMS)}")
    claim = CLAIMS[claim_id]
    if claim.band is None:
        raise ValueError(f"claim_id: {claim_id!r} has no band yet (Lecture {claim.lecture})")
    if isinstance(measured, str | bool):
        raise TypeError(f"measured: expected a number, got {measured!r}")
    try:
        value = float(measured)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"measured: expected a number, got {type(measured).__name__}") from error
    if not math.isfinite(value):
        raise ValueError(f"measured: expected a finite number, got {value}")
    return Verdict(claim, value, detail)


def _read(notebook, name: str) -> tuple[list[str], dict[str, dict], list[tuple[str, str]]]:
    """The ids tagged in `notebook`, the verdicts shown by the cells so tagged, what is wrong."""
    tagged, shown, wrong = [], {}, []
    for number, cell in enumerate(notebook.cells):
        tags = cell.get("metadata", {}).get("tags", [])
        ids = [tag.removeprefix("claim:") for tag in tags if tag.startswith("claim:")]
        verdicts = [
            output["data"][MIME_TYPE]
            for output in cell.get("outputs", [])
            if MIME_TYPE in output.get("data", {})
        ]
        tagged += ids
        where = f"{name}, cell {number}"
        if len(ids) > 1 or ("claim" in tags) != bool(ids):
            wrong.append((", ".join(ids) or "?", f"{where}: tags {tags}, not claim and claim:<id>"))
            continue
        for claim_id in ids:
            if claim_id not in CLAIMS:
                wrong.append((claim_id, f"{where}: tagged with an unknown claim"))
        for verdict in verdicts:
            if [verdict["id"]] != ids:
                wrong.append((verdict["id"], f"{where}: checks {verdict['id']}, tagged {ids}"))
            elif verdict["id"] in shown:
                wrong.append((verdict["id"], f"{where}: checked a second time"))
            else:
                shown[verdict["id"]] = verdict
    return tagged, shown, wrong


def report(notebooks: list, *, lectures: list[int] | None = None) -> pd.DataFrame:
    """One row for each claim of CLAIMS, read from executed notebooks (nbformat NotebookNodes).

    Columns: lecture, slide, kind, claim, deck says, measured, paper, verdict, fails. A claim
    whose lecture is among `lectures` and that no cell shows reads "missing", one of another
    lecture "not yet". `lectures` defaults to those of the claims tagged in the notebooks; then
    a notebook without a tag raises ValueError. A cell whose tags and output disagree gets a
    row of its own, and fails.
    """
    shown, wrong, found = {}, [], set()
    for number, notebook in enumerate(notebooks, start=1):
        tagged, verdicts, problems = _read(notebook, f"notebook {number}")
        if lectures is None and not tagged:
            raise ValueError(f"notebooks: number {number} has no cell tagged claim:<id>")
        found |= {CLAIMS[claim_id].lecture for claim_id in tagged if claim_id in CLAIMS}
        wrong += problems
        wrong += [(claim_id, f"notebook {number}: checked a second time")
                  for claim_id in verdicts.keys() & shown.keys()]
        shown |= verdicts
    present = found if lectures is None else set(lectures)

    rows = []
    for claim in CLAIMS.values():
        payload = shown.get(claim.id)
        if payload is not None:
            verdict = "holds" if payload["holds"] else "does not hold here"
            fails = claim.expected and not payload["holds"]
        else:
            verdict = "missing" if claim.lecture in present else "not yet"
            fails = verdict == "missing"
        measured = payload["measured"] if payload else "-"
        rows.append((claim.lecture, claim.slide, claim.kind, claim.id, claim.says, measured,
                     claim.paper, verdict, fails))
    for claim_id, problem in wrong:
        lecture = CLAIMS[claim_id].lecture if claim_id in CLAIMS else 0
        rows.append((lecture, "-", "-", claim_id, "-", "-", "-", f"mis-tagged: {problem}", True))
    columns = ["lecture", "slide", "kind", "claim", "deck says", "measured", "paper", "verdict",
               "fails"]
    return pd.DataFrame(rows, columns=columns)


def failures(table: pd.DataFrame) -> list[str]:
    """One line for each claim of `report`'s table that should hold and does not, or is amiss."""
    failing = table[table["fails"]]
    return [
        f"{row['claim']}: {row['verdict']} (measured {row['measured']})"
        for _, row in failing.iterrows()
    ]


def format_report(table: pd.DataFrame) -> str:
    """`report`'s table as text for a terminal of 100 columns, by lecture and slide."""
    widths = {"verdict": 18, "deck says": 46, "measured": 12, "paper": 16}
    lines = [_columns(widths, {name: name for name in widths})]
    for (lecture, slide), rows in table.groupby(["lecture", "slide"], sort=False):
        lines += ["", f"Lecture {lecture}, {slide}"]
        lines += [_columns(widths, row) for _, row in rows.iterrows()]
    counts = Counter(table["verdict"].str.partition(":")[0])
    lines += ["", ", ".join(f"{verdict}: {count}" for verdict, count in counts.items())]
    lines += [f"FAILS {failure}" for failure in failures(table)]
    return "\n".join(lines)


def _columns(widths: dict[str, int], row) -> str:
    cells = [textwrap.wrap(str(row[name]), width) or [""] for name, width in widths.items()]
    height = max(map(len, cells))
    lines = []
    for i in range(height):
        parts = [
            (cell[i] if i < len(cell) else "").ljust(width)
            for cell, width in zip(cells, widths.values(), strict=True)
        ]
        lines.append(("  " + "  ".join(parts)).rstrip())
    return "\n".join(lines)

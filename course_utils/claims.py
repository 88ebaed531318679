"""The deck's claims, checked by running.

A lecture measures what a claim of `course_utils.deck` asks for and hands it to `check`,
`check_table` or `check_theorem`. Nothing can be tuned: an effect is *reproduced* when its 95 %
interval lies wholly on the deck's side of no effect, *contradicted* when wholly on the other, else
*undecided*; a table's cells are judged by their order, against shuffled tables; a theorem, or a
check of what must hold of every case, can only be violated.
"""

import math
from dataclasses import asdict, dataclass

import pandas as pd

from course_utils import intervals
from course_utils.cards import verdict_card
from course_utils.deck import CLAIMS, EFFECTS, Claim
from course_utils.intervals import Interval

MIME_TYPE = "application/vnd.course.claim+json"
SIGNIFICANT = 0.05
JUDGED = {"table": "order ", "interpretation": "prediction "}  # what, if not the words as such
COUNTED = {"theorem": "theorem", "check": "checked"}  # a kind, and its verdict without violations


@dataclass(frozen=True)
class Verdict:
    """What a check found. A notebook shows it as a card and, in text, as one line."""

    claim: Claim
    measured: dict  # the numbers, by the claim's kind: see check, check_table, check_theorem
    detail: str = ""

    @property
    def verdict(self) -> str:
        """One of "theorem", "checked", "violated", "reproduced", "contradicted", "undecided"."""
        found, claim = self.measured, self.claim
        if claim.kind in COUNTED:
            return "violated" if found["violations"] else COUNTED[claim.kind]
        if claim.kind == "table":
            if found["p"] >= SIGNIFICANT:
                return "undecided"
            return "reproduced" if found["correlation"] > 0 else "contradicted"
        sides = {claim.side_of(found[end]) for end in ("low", "high")}
        if len(sides) > 1 or 0 in sides:
            return "undecided"
        return "reproduced" if sides == {claim.side} else "contradicted"

    @property
    def judged(self) -> str:
        """What the verdict's word is said of: "order ", "prediction ", or "", the deck's words."""
        return JUDGED.get(self.claim.kind, "")

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.claim.expected

    @property
    def text(self) -> str:
        """What was measured, in short."""
        found, form = self.measured, self.claim.format
        if self.claim.kind in COUNTED:
            return f"{found['cases']:,} cases, {found['violations']:,} violations"
        if self.claim.kind == "table":
            cells = found["cells"]
            agreeing = f"{found['agree']} of {cells} cells agree; " if "agree" in found else ""
            ranks = f"rank correlation of {cells} cells {found['correlation']:.2f}"
            return f"{agreeing}{ranks}, p = {found['p']:.2g}"
        low, high = (form(found[end]).removesuffix(self.claim.unit) for end in ("low", "high"))
        return f"{form(found['value'])} ({low} to {high})"

    @property
    def facts(self) -> dict[str, str]:
        """What stands between the deck's words and the verdict: "Measured", "Null", "Paper"."""
        claim, found = self.claim, self.measured
        detail = f" ({self.detail})" if self.detail else ""
        facts = {} if claim.predicts == "-" else {"Prediction": claim.predicts}
        facts["Measured"] = f"{claim.measures}: {self.text}{detail}"
        if claim.kind == "table":
            facts["Null"] = f"{claim.null}: below {found['chance']:.2f} in 95 of 100"
        elif claim.kind not in COUNTED:
            facts["Null"] = f"{claim.null}: {claim.format(found['null'], sided=False)}"
        return facts | {"Paper": claim.paper}

    def __repr__(self) -> str:
        words = self.judged + self.verdict
        if self.claim.kind in COUNTED:
            words += "" if words == "checked" else ", checked"
            words += f" on {self.measured['cases']:,} cases"
        words += "" if self.as_expected else f" (expected: {self.claim.expected})"
        parts = {"Deck": self.claim.says} | self.facts | {"Verdict": words}
        return ". ".join(f"{name}: {part}" for name, part in parts.items()) + "."

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        payload = {"id": self.claim.id, "measured": self.measured, "detail": self.detail}
        return {"text/plain": repr(self), "text/html": verdict_card(self), MIME_TYPE: payload}


def check(claim_id: str, estimate: Interval, *, null: float, detail: str = "") -> Verdict:
    """Judge an effect by the side of no effect on which its 95 % interval lies.

    estimate: in the claim's unit, from `course_utils.intervals`. null: the same statistic with what
    the claim names in the effect's place. Raises TypeError for another estimate than an Interval,
    ValueError for a claim that is unknown or judged by another check, and a null not finite.
    """
    claim = _find(claim_id, *EFFECTS)
    if not isinstance(estimate, Interval):
        raise TypeError(f"estimate: expected an Interval, got {type(estimate).__name__}")
    if not math.isfinite(null):
        raise ValueError(f"null: expected a finite number, got {null}")
    return Verdict(claim, asdict(estimate) | {"null": float(null)}, detail)


def check_table(
    claim_id: str, ours: pd.Series, paper: pd.Series, *, low=None, high=None, n=None, detail=""
) -> Verdict:
    """Judge a table by the order of its cells, and count those that agree.

    ours, paper: cells of the same index, the adversarial ones alone (`transfer.cells`): a diagonal
    of 100 % and rows of noise would agree in any case. low, high: the ends of ours, such as
    `intervals.next_seed` gives, and n, the pictures behind each of the paper's percentages: with
    them the cells are counted that agree by `intervals.agree`. Raises ValueError as `check` does.
    """
    claim = _find(claim_id, "table")
    found = intervals.rank_correlation(ours, paper) | {"cells": len(ours)}
    if n is not None:
        theirs = [intervals.proportion(round(cell * n / 100), n) for cell in paper]
        cells = [Interval(*ends) for ends in zip(ours, low, high, strict=True)]
        found["agree"] = sum(map(intervals.agree, cells, theirs))
    return Verdict(claim, found, detail)


def check_theorem(claim_id: str, *, cases: int, violations: int, detail: str = "") -> Verdict:
    """On how many cases a theorem, or a "check", was tried and violated. Raises ValueError."""
    claim, counts = _find(claim_id, *COUNTED), {"cases": int(cases), "violations": int(violations)}
    if not 0 <= counts["violations"] <= counts["cases"] or not counts["cases"]:
        raise ValueError(f"violations: got {violations} of {cases}, expected 0 to cases, cases > 0")
    return Verdict(claim, counts, detail)


def read(payload: dict) -> Verdict:
    """The verdict that a notebook's output carries. Raises ValueError for an unknown claim."""
    claim = _find(payload["id"], *COUNTED, "table", *EFFECTS)
    return Verdict(claim, payload["measured"], payload["detail"])


def _find(claim_id: str, *kinds: str) -> Claim:
    if claim_id not in CLAIMS:
        raise ValueError(f"claim_id: no claim {claim_id!r}; known: {', '.join(CLAIMS)}")
    claim = CLAIMS[claim_id]
    if claim.kind not in kinds:
        raise ValueError(f"claim_id: {claim_id!r} is of kind {claim.kind}, not {', '.join(kinds)}")
    return claim

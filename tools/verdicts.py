"""What the lectures' claims came to: read from executed notebooks, as a table and as text."""

import textwrap
from collections import Counter

import pandas as pd

from course_utils import claims


def report(notebooks: list, *, lectures: list[int]) -> pd.DataFrame:
    """One row for each claim of the deck, read from executed notebooks (nbformat NotebookNodes).

    A claim fails whose verdict is another than expected, for better or worse, or that is shown
    twice, and one of `lectures` that is not shown ("missing"). An output whose line, card and
    numbers do not belong together is not read, and fails in a row of its own.
    """
    shown, amiss = {}, []
    cells = [cell for notebook in notebooks for cell in notebook.cells]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    for data in (data for data in outputs if claims.MIME_TYPE in data):
        claim_id = data[claims.MIME_TYPE].get("id", "?")
        if problem := _amiss(data) or ("shown a second time" if claim_id in shown else None):
            amiss.append((0, "-", claim_id, "-", f"amiss: {problem}", "-", True))
        else:
            shown[claim_id] = claims.read(data[claims.MIME_TYPE])
    rows = []
    for claim in claims.CLAIMS.values():
        missing = claim.lecture in lectures
        told = "-", "missing" if missing else "not yet", claim.expected, missing
        if found := shown.get(claim.id):
            told = found.text, found.verdict, claim.expected, not found.as_expected
        rows.append((claim.lecture, claim.slide, claim.id, *told))
    columns = "lecture slide claim measured verdict expected fails".split()
    return pd.DataFrame(rows + amiss, columns=columns)


def _amiss(data: dict) -> str | None:
    """Whether the line or the card shown is another than the numbers beneath give today."""
    try:
        bundle = claims.read(data[claims.MIME_TYPE])._repr_mimebundle_()
    except (KeyError, TypeError, ValueError) as error:
        return f"the numbers cannot be read ({type(error).__name__}: {error})"
    same = all(data.get(kind) == content for kind, content in bundle.items())
    return None if same else "what is shown is not that of its numbers"


def failures(table: pd.DataFrame) -> list[str]:
    """One line for each claim of `report`'s table whose verdict is not as expected, or amiss."""
    text = "{claim}: {verdict} (measured {measured}; expected {expected})"
    return [text.format(**row) for row in table[table["fails"]].to_dict("records")]


def format_report(table: pd.DataFrame) -> str:
    """`report`'s table as text for a terminal of 100 columns, by lecture and slide."""
    lines = []
    for (lecture, slide), rows in table.groupby(["lecture", "slide"], sort=False):
        lines += ["", f"Lecture {lecture}, {slide}"]
        lines += [textwrap.fill("{verdict:13} {claim}: {measured}".format(**row), 100,
                                initial_indent="  ", subsequent_indent=16 * " ")
                  for row in rows.to_dict("records")]
    counts = Counter(table["verdict"].str.partition(":")[0])
    lines += ["", ", ".join(f"{verdict}: {count}" for verdict, count in counts.items())]
    return "\n".join([*lines, *(f"FAILS {failure}" for failure in failures(table))])

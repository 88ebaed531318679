"""`make course`: what the lectures' claims came to, as a table and as text."""

import tempfile
import textwrap
from pathlib import Path

import nbformat
import pandas as pd

from course_utils import claims, data, machine
from tools import lectures

EXECUTED = lectures.ROOT / "build" / "notebooks"
COLUMNS = ["lecture", "slide", "claim", "measured", "verdict", "expected", "fails"]


def course(folder: Path = lectures.NOTEBOOKS, executed: Path = EXECUTED) -> int:
    """Fetch the data, run the lectures into `executed`, print the claims; 0 if all is well."""
    try:
        executed.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=executed).close()
    except OSError:  # the course's folder is read-only
        executed = Path(tempfile.mkdtemp(prefix="lectures-"))
        print(f"The executed lectures go to {executed}.")
    for split in ("train", "test"):
        print(f"MNIST, {split}: {len(data.load_mnist(split)[1]):,} digits", flush=True)
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in lectures.lectures(folder)}
    for notebook in notebooks.values():
        lectures.clear(notebook)  # a verdict stored earlier must not count as today's
    # The last are the longest: begun first, so that at the end no core is without work for long.
    in_order = dict(reversed(notebooks.items()))
    results = lectures.execute_all(in_order, folder=folder, at_once=min(2, machine.cores()))
    for name, notebook in notebooks.items():
        lectures.write(notebook, executed / f"{name}.ipynb")
    table = report(list(notebooks.values()), lectures=[int(name[:2]) for name in notebooks])
    print(f"\n{format_report(table)}\n\nTime taken:")
    print(*(f"  {name}: {results[name][0] / 60:.1f} min" for name in notebooks), "", sep="\n")
    problems = [str(problem) for _, problem in results.values() if problem]
    amiss = bool(problems) or table["fails"].any()
    print("\n\n".join(problems) if amiss else "Every verdict is as expected.")
    return int(amiss)


def report(notebooks: list, *, lectures: list[int]) -> pd.DataFrame:
    """One row for each claim of the deck, read from executed notebooks (nbformat NotebookNodes).

    A claim fails whose verdict is another than expected, for better or worse, or that is shown
    twice, and one of `lectures` that is not shown ("missing"). An output whose line, card and
    numbers do not belong together is not read, and fails in a row of its own.
    """
    shown, amiss = {}, []
    outputs = [out for nb in notebooks for cell in nb.cells for out in cell.get("outputs", [])]
    for parts in (out.data for out in outputs if claims.MIME_TYPE in out.get("data", {})):
        claim_id = parts[claims.MIME_TYPE].get("id", "?")
        if problem := amiss_in(parts) or ("shown a second time" if claim_id in shown else None):
            amiss.append((0, "-", claim_id, "-", f"amiss: {problem}", "-", True))
        else:
            shown[claim_id] = claims.read(parts[claims.MIME_TYPE])
    rows = []
    for claim in claims.CLAIMS.values():
        missing = claim.lecture in lectures
        told = "-", "missing" if missing else "not yet", claim.expected, missing
        if found := shown.get(claim.id):
            told = found.text, found.verdict, claim.expected, not found.as_expected
        rows.append((claim.lecture, claim.slide, claim.id, *told))
    return pd.DataFrame(rows + amiss, columns=COLUMNS)


def amiss_in(data: dict) -> str | None:
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
    lines, wrapped = [], {"initial_indent": "  ", "subsequent_indent": 16 * " "}
    for (lecture, slide), rows in table.groupby(["lecture", "slide"], sort=False):
        lines += ["", f"Lecture {lecture}, {slide}"]
        for row in rows.to_dict("records"):
            line = "{verdict:13} {claim}: {measured}".format(**row)
            lines.append(textwrap.fill(line, 100, **wrapped))
    counts = table["verdict"].str.partition(":")[0].value_counts(sort=False)
    lines += ["", ", ".join(f"{verdict}: {count}" for verdict, count in counts.items())]
    return "\n".join([*lines, *(f"FAILS {failure}" for failure in failures(table))])

"""The deck's statements, tables and figures as claims that the lectures check by running.

A lecture measures one number for a claim and hands it to `check` in a cell tagged `claim` and
`claim:<id>`; the bands are fixed here, so that no lecture can move its own goal. `report`
reads the verdicts back from executed notebooks.
"""

import math
import textwrap
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

MIME_TYPE = "application/vnd.course.claim+json"


@dataclass(frozen=True)
class Claim:
    """One statement, table or figure of the deck, and the number that decides it.

    `slide` is the deck's heading, `says` the deck's words, shortened; `measures` says what the
    number is and `paper` what the paper printed for it. The claim holds when the number lies in
    `band` (low, high), both ends included; no band means that its lecture is not written yet.
    `expected` is False for a claim that is known not to hold here.
    """

    id: str
    lecture: int
    slide: str
    kind: str
    says: str
    measures: str
    paper: str = "-"
    band: tuple[float, float] | None = None
    digits: int = 1
    unit: str = " %"
    expected: bool = True

    def format(self, value: float) -> str:
        """`value` with the claim's digits and unit; more digits where rounding would mislead."""
        low, high = self.band or (-math.inf, math.inf)
        for digits in range(self.digits, 18):
            rounded = round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
            if (low <= rounded <= high) == (low <= value <= high):
                break
        return f"{rounded:.{digits}f}{self.unit}"

    @property
    def band_text(self) -> str:
        """The band in words."""
        low, high = (f"{end:.{self.digits}f}" for end in self.band)
        return f"exactly {low}{self.unit}" if low == high else f"{low} to {high}{self.unit}"


SMOOTH, MODELS, TRAINING = (
    "Adversarial Examples",
    "Cross-model generalization",
    "Cross-training generalization",
)
LIPSCHITZ = "Lipschitz continuity"
PROPERTIES = "Properties of Lipschitz constant for a neural network"
FGSM, LOSS = "Adversarial Training", "Adversarial Training - Loss function"
GAN = "Generative Adversarial Networks (GANs)"

_LIST = (
    Claim("noise-harmless", 1, SMOOTH, "statement",
          "For a small enough radius, an input x + r with ||r|| < eps will predict the correct "
          "class",
          "error of FC100-100-10 under random noise of the attack's own size, image by image",
          "0 % at stddev 0.1", (0, 2)),
    Claim("smoothness-disproved", 1, SMOOTH, "statement",
          "The assumption does not hold true: adversarial samples make the model mispredict",
          "training images of FC100-100-10 whose class the attack changes",
          "100 %", (99, 100)),
    Claim("imperceptible", 1, SMOOTH, "statement",
          "The perturbations are imperceptibly small",
          "mean distortion of FC100-100-10 (root mean square per pixel)",
          "0.058", (0, 0.07), digits=3, unit=""),
    Claim("classifier", 1, SMOOTH, "statement",
          "Consider a neural network classifier f: R^m -> {1..k}",
          "test error of FC100-100-10",
          "1.64 %", (1, 2.5), digits=2),
    Claim("minimal-norm", 1, SMOOTH, "statement",
          "Minimize ||r||_2",
          "excess of FC10(1e-4)'s mean distortion over the quadratic program's exact optimum",
          "-", (-0.01, 0.5), digits=2),
    Claim("target-reached", 1, SMOOTH, "statement",
          "Subject to f(x + r) = l",
          "images given the chosen label l",
          "100 %", (100, 100)),
    Claim("box-constraint", 1, SMOOTH, "statement",
          "Subject to x + r in [0, 1]^m",
          "returned images with every pixel in [0, 1]",
          "-", (100, 100)),
    Claim("linear-distortions", 1, MODELS, "table",
          "Av. distortion: 0.062 for FC10(1e-4), 0.1 for FC10(1e-2), 0.14 for FC10(1)",
          "smaller of the two steps, each mean distortion over the one before",
          "1.40 (0.14 / 0.1)", (1.1, 2), digits=2, unit=""),

    Claim("cross-model-table", 2, MODELS, "table",
          "Error of six networks on adversarial examples made for each, and on noise",
          "rank correlation of our off-diagonal cells with the paper's",
          band=(0.8, 1), unit="", digits=2),
    Claim("own-row", 2, MODELS, "table",
          "Each network errs on 100% of the examples made for it",
          "smallest cell of the diagonal", "100 %", (99, 100)),
    Claim("transfer-above-noise", 2, MODELS, "table",
          "Made for one network, shown to another: 2% to 87.1%; Gaussian noise, stddev=0.1: "
          "0% to 18.3%",
          "off-diagonal cells above noise of the same size", "2 % to 87.1 %", (95, 100)),
    Claim("linear-transfer-best", 2, MODELS, "table",
          "Examples made for FC10(1) fool the others most: 34.4% to 76.2%",
          "mean transfer of the linear networks over that of the others", "34.4 % to 76.2 %",
          (1.2, 5), digits=2, unit=""),
    Claim("cross-training-table", 2, TRAINING, "table",
          "Error of three networks, trained on disjoint halves, on examples made for each",
          "rank correlation of our off-diagonal cells with the paper's",
          band=(0.4, 1), unit="", digits=2),
    Claim("cross-training-above-noise", 2, TRAINING, "table",
          "Across training sets 5.1% to 8.2%; Gaussian noise with stddev=0.06: 2.2% to 2.6%",
          "smallest transfer across disjoint training sets over noise of the same size",
          "5.1 % to 8.2 %", (1.5, 20), unit=""),

    Claim("not-stable", 3, LIPSCHITZ, "statement",
          "If minor perturbations make the model's output incorrect, the model is not stable",
          "growth of a minor perturbation from the input to the logits"),
    Claim("lipschitz-definition", 3, LIPSCHITZ, "statement",
          "|f(x1) - f(x2)| <= K |x1 - x2|",
          "largest slope seen over K"),
    Claim("layer-lipschitz", 3, LIPSCHITZ, "statement",
          "||phi_k(x; W_k) - phi_k(x + r; W_k)|| <= L_k ||r|| for each layer k",
          "largest growth seen over L_k"),
    Claim("network-product", 3, LIPSCHITZ, "statement",
          "For the entire network, ||phi(x) - phi(x + r)|| <= L ||r|| with L the product of L_k",
          "largest growth seen over L"),
    Claim("alexnet-bounds", 3, LIPSCHITZ, "table",
          "Upper bounds of AlexNet's layers: 2.75, 10, 7, 7.5, 11; 3.12, 4, 4",
          "our bounds for the same eight layers", "2.75 to 11", digits=2, unit=""),
    Claim("small-bounds-guarantee", 3, PROPERTIES, "statement",
          "Small bounds guarantee that no such adversarial examples can appear",
          "attacks that land inside a certified radius"),
    Claim("penalty-generalises", 3, PROPERTIES, "statement",
          "Penalizing each upper Lipschitz bound might help improve the generalisation error",
          "test error without the penalty less that with it"),
    Claim("large-bounds-do-not-condemn", 3, PROPERTIES, "statement",
          "Large bounds do not automatically translate into existence of adversarial examples",
          "ratio of the bounds of two networks of equal predictions"),
    Claim("bounds-do-not-explain-transfer", 3, PROPERTIES, "statement",
          "They don't explain why adversarial examples generalize across hyperparameters or "
          "training sets",
          "rank correlation of bounds with transfer rates", digits=2, unit=""),

    Claim("panda", 4, FGSM, "figure",
          '"panda" 57.7% + .007 x sign of the gradient ("nematode" 8.2%) = "gibbon" 99.3%',
          "confidence in panda after the step", 'GoogLeNet: "gibbon" 99.3 %'),
    Claim("too-linear", 4, LOSS, "statement",
          "Adversarial examples are a result of models being too linear, rather than too "
          "nonlinear",
          "share of the logits' change along the sign direction that a straight line explains"),
    Claim("training-regularises", 4, LOSS, "statement",
          "Adversarial training can result in regularization",
          "test error without adversarial training less that with it", "0.94 % to 0.84 %"),
    Claim("beyond-dropout", 4, LOSS, "statement",
          "Even further regularization than dropout",
          "test error with dropout less that with adversarial training too",
          "0.94 % to 0.84 %"),
    Claim("rbf-resistant", 4, LOSS, "statement",
          "RBF networks are resistant to adversarial examples",
          "mean confidence of the RBF network on its mistakes at eps = .25", "1.2 %"),
    Claim("adversarial-objective", 4, LOSS, "statement",
          "alpha J(theta, x, y) + (1 - alpha) J(theta, x + eps sign(grad_x J), y)",
          "error under the fast gradient sign at eps = .25 after training on it",
          "89.4 % to 17.9 %"),

    Claim("gan-parzen", 5, GAN, "statement",
          "(the heading alone) the samples score well by Parzen windows",
          "Parzen-window log-likelihood", "225 +- 2 nats", unit=" nats"),
    Claim("gan-all-digits", 5, GAN, "statement",
          "(the heading alone) all ten digits are sampled",
          "rarest digit's share of the samples"),
    Claim("gan-optimal-discriminator", 5, GAN, "statement",
          "(the heading alone) the best discriminator is p / (p + q)",
          "learned discriminator's distance from p / (p + q) in one dimension"),
    Claim("gan-non-saturating", 5, GAN, "statement",
          "(the heading alone) the non-saturating loss still learns when D wins",
          "gradient of the non-saturating loss over the saturating one's when D wins"),
)

CLAIMS = MappingProxyType({claim.id: claim for claim in _LIST})


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

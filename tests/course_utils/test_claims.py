import json
import math

import nbformat
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_utils import claims, published, transfer
from course_utils.claims import COUNTED, JUDGED, MIME_TYPE, check, check_table, check_theorem
from course_utils.deck import CLAIMS, EFFECTS
from course_utils.intervals import Interval
from tools.lectures import lectures
from tools.verdicts import failures, format_report, report

# The deck, slide by slide: its statements, tables and figures, and the claims that carry them.
DECK = {
    "Adversarial Examples": {
        "For a small enough radius r ... will predict the correct class": ["small-enough-radius"],
        "The assumption does not hold true": ["smoothness-disproved"],
        "imperceptibly small perturbations": ["imperceptible"],
        "Consider a neural network classifier f": ["classifier"],
        "Minimize ||r||_2": ["minimal-norm"],
        "f(x+r) = l": ["target-reached"],
        "x+r in [0,1]^m": ["box-constraint"],
    },
    "Cross-model generalization": {
        "table": ["cross-model-table"],
        "column Av. distortion": ["linear-distortions"],
        "diagonal": ["own-row"],
        "rows of the linear networks": ["linear-transfer-best"],
        "rows of Gaussian noise": ["transfer-above-noise"],
    },
    "Cross-training generalization": {
        "table": ["cross-training-table"],
        "row of Gaussian noise": ["cross-training-above-noise"],
    },
    "Lipschitz continuity": {
        "If minor perturbations ... then the model is not stable": ["not-stable"],
        "|f(x_1)-f(x_2)| <= K|x_1-x_2|": ["lipschitz-definition"],
        "Lipschitz constant of each layer": ["layer-lipschitz"],
        "for the entire network": ["network-product"],
        "table of AlexNet's layers": ["alexnet-bounds"],
    },
    "Properties of Lipschitz constant for a neural network": {
        "Small bounds guarantee": ["small-bounds-guarantee"],
        "penalizing each upper Lipschitz bound": ["penalty-generalises"],
        "Large bounds do not automatically translate": ["large-bounds-do-not-condemn"],
        "They don't explain why": ["bounds-do-not-explain-transfer"],
    },
    "Adversarial Training": {"panda, sign of the gradient, gibbon": ["panda"]},
    "Adversarial Training - Loss function": {
        "models being too linear": ["too-linear"],
        "regularization": ["training-regularises", "weak-training-regularises"],
        "even further regularization than dropout": ["beyond-dropout", "weak-beyond-dropout"],
        "RBF networks are resistant": ["rbf-resistant", "rbf-resistant-pixels", "rbf-beyond-decay"],
        "The new loss": ["adversarial-objective"],
    },
    "Generative Adversarial Networks (GANs)": {
        "heading": [
            "gan-parzen",
            "gan-all-digits",
            "gan-optimal-discriminator",
            "gan-non-saturating",
            "gan-non-saturating-adam",
            "gan-adversarial-discriminator",
        ]
    },
}


PAPER = transfer.cells(published.cross_model_table().iloc[:, :6])


def judged(claim, *, verdict=None):
    """What a claim's check returns when the numbers are such that `verdict` is right."""
    verdict = verdict or claim.expected
    if claim.kind in COUNTED:
        return check_theorem(claim.id, cases=200, violations=3 * (verdict == "violated"))
    if claim.kind == "table":
        shuffled = PAPER.sample(frac=1, random_state=4).set_axis(PAPER.index)
        ours = {"reproduced": PAPER + 1, "contradicted": -PAPER, "undecided": shuffled}[verdict]
        return check_table(claim.id, ours, PAPER)
    step = claim.side * {"reproduced": 3, "contradicted": -3, "undecided": 0}[verdict]
    middle = claim.no_effect + step
    return check(claim.id, Interval(middle, middle - 2, middle + 2), null=claim.no_effect)


def cell(found):
    """An executed code cell that ends in a claim's line."""
    bundle = json.loads(json.dumps(found._repr_mimebundle_()))
    output = nbformat.v4.new_output("execute_result", bundle, execution_count=1)
    return nbformat.v4.new_code_cell("", outputs=[output])


def outputs(notebook):
    return [
        o.data
        for c in notebook.cells
        for o in c.get("outputs", [])
        if MIME_TYPE in o.get("data", {})
    ]


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Lecture"), *cells])


def whole_lecture(number=1, **verdicts):
    """Cells of a lecture's claims, all as expected but for those named."""
    return [
        cell(judged(claim, verdict=verdicts.get(claim.id)))
        for claim in CLAIMS.values()
        if claim.lecture == number
    ]


def row(table, claim_id):
    return table[table["claim"] == claim_id].iloc[0]


def test_every_statement_of_the_deck_has_its_claims():
    mapped = [
        (slide, claim_id)
        for slide, statements in DECK.items()
        for ids in statements.values()
        for claim_id in ids
    ]
    assert sorted(mapped) == sorted((claim.slide, claim.id) for claim in CLAIMS.values())


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_the_record_is_complete(claim):
    assert CLAIMS[claim.id] is claim and claim.lecture in range(1, 6)
    assert claim.kind in {*COUNTED, "table", *EFFECTS}
    for words in (claim.says, claim.measures, claim.null, claim.contradicted_by, claim.paper):
        assert words and not words.endswith(".")
    assert (claim.predicts == "-") == (claim.kind != "interpretation") and claim.predicts
    assert COUNTED.get(claim.kind, "-") == (claim.expected if claim.null == "-" else "-")
    assert claim.expected in {*COUNTED.values(), "reproduced", "contradicted", "undecided"}
    assert claim.side in (-1, 1)
    lectures = [claim.lecture for claim in CLAIMS.values()]
    assert lectures == sorted(lectures)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_every_claim_can_come_out_each_way(claim):
    """The rule alone, with numbers made up; what the lectures' nulls give is tried further below."""
    possible = (
        [COUNTED[claim.kind], "violated"]
        if claim.kind in COUNTED
        else ["reproduced", "contradicted", "undecided"]
    )
    for verdict in possible:
        found = judged(claim, verdict=verdict)
        assert (
            found.verdict == verdict
            and f"Verdict: {JUDGED.get(claim.kind, '')}{verdict}" in repr(found)
        )
        assert found.as_expected == (verdict == claim.expected)
        assert ("(expected:" in repr(found)) != found.as_expected
    assert claim.expected in possible


@pytest.mark.parametrize(
    "claim", [c for c in CLAIMS.values() if c.kind in EFFECTS], ids=lambda claim: claim.id
)
def test_the_whole_interval_must_lie_on_one_side(claim):
    none, side = claim.no_effect, claim.side
    for low, high in ((-1, 2), (0, 2), (0, 0), (-1, 0), (-1e-9, 1e-9)):
        found = check(claim.id, Interval(none, none + low, none + high), null=none)
        assert found.verdict == "undecided"
    just = none + side * 1e-6  # however narrow: nothing but the interval decides
    assert check(claim.id, Interval(just, just, just), null=none).verdict == "reproduced"


def test_the_nulls_that_the_lectures_measured_are_no_effects():
    """The lectures as they stand: a null in the effect's place lies at no effect, or beyond it.

    Where the verdict is open, the null with the effect's own interval around it shows no effect.
    """
    for path in lectures():
        for data in outputs(nbformat.read(path, as_version=4)):
            found = claims.read(data[MIME_TYPE])
            if "null" not in found.measured:
                continue
            value, low, high, null = (found.measured[n] for n in ("value", "low", "high", "null"))
            if found.verdict == "undecided":
                there = Interval(null, null + low - value, null + high - value)
                assert check(found.claim.id, there, null=null).verdict != "reproduced", found
            else:
                value, null = value - found.claim.no_effect, null - found.claim.no_effect
                assert null * value < value**2 / 5, found


def test_paper_agrees_with_the_published_tables():
    models = published.szegedy_models()
    assert float(CLAIMS["imperceptible"].paper) == models.at["FC100-100-10", "av. distortion"]
    error = models.at["FC100-100-10", "test error"]
    assert CLAIMS["classifier"].paper == f"FC100-100-10 errs on {error} %"
    linear = models["av. distortion"].iloc[:3]
    smaller = (linear / linear.shift()).min()
    assert CLAIMS["linear-distortions"].paper == f"{smaller:.2f} (0.14 / 0.1)"
    table = published.cross_model_table()
    made = table.iloc[:6, :6].to_numpy()
    assert CLAIMS["transfer-above-noise"].paper == f"{PAPER.min():.0f} % to {PAPER.max()} %"
    assert np.all(np.diag(made) == 100)
    strongest = PAPER["FC10(1)"]
    assert CLAIMS["linear-transfer-best"].paper == f"{strongest.min()} % to {strongest.max()} %"
    halves = published.cross_training_table().to_numpy()
    across = [*halves[:2, 2], *halves[2, :2]]
    assert CLAIMS["cross-training-above-noise"].paper == f"{min(across)} % to {max(across)} %"
    bounds = published.alexnet_bounds()["bound"]
    assert CLAIMS["alexnet-bounds"].paper == f"{bounds.min()} to {bounds.max():.0f}"
    for bound in bounds:
        assert f"{bound:g}" in CLAIMS["alexnet-bounds"].says


def test_the_line_says_it_all():
    line = repr(check("own-row", Interval(97.25, 96.04, 98.3), null=0.04, detail="ten seeds"))
    assert line == (
        "Deck: Each network errs on 100% of the examples made for it. Measured: error on its own "
        "examples less that on noise of the same size, least of six networks: 97.2 points (96.0 "
        "to 98.3) (ten seeds). Null: a second noise in the examples' place: 0.0 points. "
        "Paper: 100 %. Verdict: reproduced."
    )
    line = repr(check_theorem("box-constraint", cases=784_000, violations=0))
    assert "784,000 cases, 0 violations" in line
    assert line.endswith("Verdict: theorem, checked on 784,000 cases.")
    line = repr(check_theorem("target-reached", cases=10_000, violations=0))
    assert "Null" not in line and line.endswith("Verdict: checked on 10,000 cases.")
    broken = repr(check_theorem("box-constraint", cases=10, violations=1))
    assert broken.endswith("Verdict: violated, checked on 10 cases (expected: theorem).")
    line = repr(
        check_table("cross-model-table", PAPER + 1, PAPER, low=PAPER, high=PAPER + 2, n=256)
    )
    assert "30 of 30 cells agree; rank correlation of 30 cells 1.00, p = 0.0001" in line
    assert "shuffled table, in size: below 0.3" in line
    assert line.endswith("Verdict: order reproduced.")


def test_an_interpretations_line_says_what_it_predicts_and_that_this_is_judged():
    claim = CLAIMS["imperceptible"]
    line = repr(judged(claim, verdict="contradicted"))
    assert f"imperceptibly small. Prediction: {claim.predicts}. Measured: " in line
    assert line.endswith(" Verdict: prediction contradicted (expected: reproduced).")
    assert "Prediction:" not in repr(judged(CLAIMS["own-row"]))


def test_cells_agree_within_both_intervals():
    far = PAPER + 40
    found = check_table("cross-model-table", far, PAPER, low=far, high=far, n=256)
    assert found.measured["agree"] == 0 and found.verdict == "reproduced"
    half = PAPER + np.where(np.arange(30) < 15, 0, 40)
    found = check_table("cross-model-table", half, PAPER, low=half, high=half, n=256)
    assert found.measured["agree"] == 15


@pytest.mark.parametrize(
    ("claim_id", "value", "text"),
    [
        ("own-row", 97.25, "97.2 points"),
        ("own-row", 0.04, "0.04 points"),  # not "0.0 points", which would be no effect
        ("own-row", -0.0004, "-0.0004 points"),
        ("linear-distortions", 1.00004, "1.00004 times"),
        ("linear-distortions", 1.1846, "1.18 times"),
        ("linear-distortions", 1.0, "1.00 times"),
    ],
)
def test_rounding_never_contradicts_the_verdict(claim_id, value, text):
    assert CLAIMS[claim_id].format(value) == text


def test_a_null_has_the_claims_digits_and_no_more():
    found = check("linear-distortions", Interval(1.00004, 1, 1.1), null=1.000004)
    assert ": 1.00004 times (1.00 to 1.10)" in repr(found) and ": 1.00 times. " in repr(found)
    assert "Null: names exchanged, mean of the 720 ways: 0.00. " in repr(
        check("bounds-do-not-explain-transfer", Interval(0, -1, 1), null=-0.001)
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check("no-such-claim", Interval(1, 1, 1), null=0), ValueError, "box-constraint"),
        (lambda: check("box-constraint", Interval(1, 1, 1), null=0), ValueError, "kind theorem"),
        (lambda: check("own-row", 3.0, null=0), TypeError, "expected an Interval, got float"),
        (lambda: check("own-row", Interval(1, 1, 1), null=math.nan), ValueError, "null"),
        (lambda: check_theorem("own-row", cases=1, violations=0), ValueError, "kind effect"),
        (lambda: check_theorem("box-constraint", cases=0, violations=0), ValueError, "cases > 0"),
        (lambda: check_theorem("box-constraint", cases=1, violations=2), ValueError, "2 of 1"),
        (lambda: check_theorem("box-constraint", cases=1, violations=-1), ValueError, "-1 of 1"),
        (lambda: check_table("own-row", PAPER, PAPER), ValueError, "kind effect"),
        (lambda: check_table("cross-model-table", PAPER, PAPER.iloc[::-1]), ValueError, "index"),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_notebook_shows_the_line_and_carries_the_numbers():
    found = judged(CLAIMS["own-row"])
    data, _ = InteractiveShell.instance().display_formatter.format(found)
    assert data["text/plain"] == repr(found) and "\n" not in repr(found)
    assert claims.read(json.loads(json.dumps(data[MIME_TYPE]))) == found


def test_report_of_a_lecture_as_expected():
    table = report([notebook(*whole_lecture())], lectures=[1])
    assert list(table["claim"]) == list(CLAIMS)
    assert list(table.loc[table["lecture"] == 1, "verdict"]) == [
        claim.expected for claim in CLAIMS.values() if claim.lecture == 1
    ]
    assert set(table.loc[table["lecture"] > 1, "verdict"]) == {"not yet"}
    assert failures(table) == []
    assert row(table, "imperceptible")["measured"] == "-2.500 times (-4.500 to -0.500)"


@pytest.mark.parametrize("number", range(1, 6))
def test_another_verdict_than_expected_fails_for_better_or_worse(number):
    for claim in (claim for claim in CLAIMS.values() if claim.lecture == number):
        others = (
            {"violated"}
            if claim.kind in COUNTED
            else {"reproduced", "contradicted", "undecided"} - {claim.expected}
        )
        for verdict in others:
            cells = whole_lecture(number, **{claim.id: verdict})
            table = report([notebook(*cells)], lectures=[number])
            assert row(table, claim.id)["verdict"] == verdict
            (failure,) = failures(table)
            assert failure.startswith(f"{claim.id}: {verdict} (measured ")
            assert f"expected {claim.expected}" in failure
            assert f"FAILS {claim.id}" in format_report(table)


@pytest.mark.parametrize("what", ["line", "number", "detail", "gone", "deck"])
def test_a_line_that_is_not_of_its_numbers_fails(what, monkeypatch):
    lecture = notebook(*whole_lecture(imperceptible="undecided"))
    (data,) = (d for d in outputs(lecture) if d[MIME_TYPE]["id"] == "imperceptible")
    if what == "line":
        data["text/plain"] = data["text/plain"].replace(
            "undecided (expected: reproduced)", "reproduced"
        )
    elif what == "number":
        data[MIME_TYPE]["measured"] = judged(CLAIMS["imperceptible"]).measured
    elif what == "detail":
        data[MIME_TYPE]["detail"] = "all is well"
    elif what == "gone":
        del data[MIME_TYPE]["measured"]["low"]
    else:  # the deck changed after the notebook ran
        record = CLAIMS["imperceptible"]
        changed = type(record)(**{**record.__dict__, "measures": "something else"})
        monkeypatch.setattr(claims, "CLAIMS", {**CLAIMS, "imperceptible": changed})
    table = report([lecture], lectures=[1])
    assert row(table, "imperceptible")["verdict"] == "missing"
    assert any("imperceptible: amiss" in failure for failure in failures(table))


def test_missing_claims_fail():
    cells = whole_lecture()
    cells[2].outputs = []
    table = report([notebook(*cells[:-1])], lectures=[1])
    missing = list(table.loc[table["verdict"] == "missing", "claim"])
    assert missing == ["imperceptible", "linear-distortions"]
    assert [line.split(":")[0] for line in failures(table)] == missing


def test_which_lectures_are_present():
    table = report([notebook()], lectures=[1])
    assert set(table.loc[table["lecture"] == 1, "verdict"]) == {"missing"}
    assert failures(report([], lectures=[])) == []


def test_a_claim_checked_twice_fails():
    again = cell(judged(CLAIMS["imperceptible"]))
    for notebooks in (
        [notebook(*whole_lecture(), again)],
        [notebook(*whole_lecture()), notebook(again)],
    ):
        table = report(notebooks, lectures=[1])
        assert any("second time" in failure for failure in failures(table))


def test_format_fits_a_terminal_of_100_columns():
    wrong = cell(judged(CLAIMS["classifier"]))
    text = format_report(report([notebook(*whole_lecture(), wrong)], lectures=[1]))
    assert max(len(line) for line in text.splitlines() if "FAILS" not in line) <= 100
    assert "Lecture 5, Generative Adversarial Networks (GANs)" in text
    assert "amiss: 1" in text and "theorem: 2" in text and "checked: 1" in text

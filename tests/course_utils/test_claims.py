import json
import math

import nbformat
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from course_utils import claims, published
from course_utils.claims import MIME_TYPE, check, failures, format_report, report
from course_utils.deck import CLAIMS, Claim

# The deck, slide by slide: its statements, tables and figures, and the claims that carry them.
DECK = {
    "Adversarial Examples": {
        "For a small enough radius r ... will predict the correct class": ["noise-harmless"],
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
        "regularization": ["training-regularises"],
        "even further regularization than dropout": ["beyond-dropout"],
        "RBF networks are resistant": ["rbf-resistant"],
        "The new loss": ["adversarial-objective"],
    },
    "Generative Adversarial Networks (GANs)": {
        "heading": [
            "gan-parzen", "gan-all-digits", "gan-optimal-discriminator", "gan-non-saturating",
        ],
    },
}


def cell(claim_id, measured, *, tags=None):
    """An executed code cell that ends in a claim's line."""
    bundle = json.loads(json.dumps(check(claim_id, measured)._repr_mimebundle_()))
    output = nbformat.v4.new_output("execute_result", bundle, execution_count=1)
    tags = ["claim", f"claim:{claim_id}"] if tags is None else tags
    return nbformat.v4.new_code_cell("", metadata={"tags": tags}, outputs=[output])


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Lecture"), *cells])


def inside(claim):
    return (claim.band[0] + claim.band[1]) / 2


def whole_lecture(**measured):
    ids = [claim for claim in CLAIMS.values() if claim.lecture == 1]
    return [cell(claim.id, measured.get(claim.id, inside(claim))) for claim in ids]


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


def test_the_list_is_well_formed():
    for claim_id, claim in CLAIMS.items():
        assert claim_id == claim.id
        assert claim.kind in {"statement", "table", "figure"}
        assert claim.says and claim.measures and not claim.says.endswith(".")
        if claim.lecture <= 2:
            assert claim.band is not None
        if claim.band is not None:
            assert claim.band[0] <= claim.band[1]
    lectures = [claim.lecture for claim in CLAIMS.values()]
    assert lectures == sorted(lectures) and set(lectures) == {1, 2, 3, 4, 5}


def test_paper_agrees_with_the_published_tables():
    models = published.szegedy_models()
    assert float(CLAIMS["imperceptible"].paper) == models.at["FC100-100-10", "av. distortion"]
    assert CLAIMS["classifier"].paper == f"{models.at['FC100-100-10', 'test error']} %"
    linear = models["av. distortion"].iloc[:3]
    smaller = (linear / linear.shift()).min()
    assert CLAIMS["linear-distortions"].paper == f"{smaller:.2f} (0.14 / 0.1)"
    table = published.cross_model_table()
    noise = table.loc["Gaussian noise, stddev=0.1", "FC100-100-10"]
    assert CLAIMS["noise-harmless"].paper == f"{noise:.0f} % at stddev 0.1"
    made = table.iloc[:6, :6].to_numpy()
    transfers = made[~np.eye(6, dtype=bool)]
    assert CLAIMS["transfer-above-noise"].paper == (
        f"{transfers.min():.0f} % to {transfers.max()} %"
    )
    assert np.all(np.diag(made) == 100)
    strongest = table.loc["FC10(1)"].drop(["FC10(1)", "av. distortion"])
    assert CLAIMS["linear-transfer-best"].paper == f"{strongest.min()} % to {strongest.max()} %"
    halves = published.cross_training_table().to_numpy()
    across = [*halves[:2, 2], *halves[2, :2]]
    assert CLAIMS["cross-training-above-noise"].paper == f"{min(across)} % to {max(across)} %"
    bounds = published.alexnet_bounds()["bound"]
    assert CLAIMS["alexnet-bounds"].paper == f"{bounds.min()} to {bounds.max():.0f}"
    for bound in bounds:
        assert f"{bound:g}" in CLAIMS["alexnet-bounds"].says
    fgsm = published.fast_gradient_sign()
    assert CLAIMS["rbf-resistant"].paper == f"{fgsm.at['shallow RBF', 'confidence on mistakes']} %"


@pytest.mark.parametrize("claim", [c for c in CLAIMS.values() if c.band], ids=lambda c: c.id)
def test_the_band_decides(claim):
    low, high = claim.band
    for value in (low, inside(claim), high):
        assert check(claim.id, value).holds
    # Not the next float, which beside 0 is a denormal: the course's guard rounds it away.
    for value in (low - 1e-9, high + 1e-9, high + 1):
        verdict = check(claim.id, value)
        assert not verdict.holds
        assert "Verdict: does not hold here" in repr(verdict)
    assert "Verdict: holds" in repr(check(claim.id, high))


def test_the_line_says_it_all():
    line = repr(check("imperceptible", 0.04456, detail="1,000 images"))
    assert line == (
        "Deck: The perturbations are imperceptibly small. "
        "Measured: mean distortion of FC100-100-10 (root mean square per pixel): 0.045 "
        "(1,000 images). Paper: 0.058. Verdict: holds (band: 0.000 to 0.070)."
    )
    assert "band: exactly 100.0 %" in repr(check("target-reached", 100))


@pytest.mark.parametrize(
    ("claim_id", "value", "text"),
    [
        ("target-reached", 100.0, "100.0 %"),
        ("target-reached", 99.99, "99.99 %"),  # not "100.0 %", which would have held
        ("minimal-norm", -0.0004, "0.00 %"),
        ("minimal-norm", 0.5001, "0.5001 %"),
        ("imperceptible", 0.0446123, "0.045"),
    ],
)
def test_rounding_never_contradicts_the_verdict(claim_id, value, text):
    assert CLAIMS[claim_id].format(value) == text


@pytest.mark.parametrize("value", [3, np.float32(3.0), np.int64(3), torch.tensor(3.0)])
def test_numbers_of_all_kinds(value):
    assert check("classifier", value).measured == 3.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, torch.tensor(math.nan)])
def test_measured_must_be_finite(value):
    with pytest.raises(ValueError, match="measured"):
        check("classifier", value)


@pytest.mark.parametrize("value", ["3", None, True, [3.0], torch.ones(2)])
def test_measured_must_be_a_number(value):
    with pytest.raises(TypeError, match="measured"):
        check("classifier", value)


def test_unknown_and_unready_claims(monkeypatch):
    with pytest.raises(ValueError, match="box-constraint"):
        check("no-such-claim", 1.0)
    unready = Claim("unready", 4, "Slide", "statement", "All is well", "wells")
    monkeypatch.setattr(claims, "CLAIMS", {**CLAIMS, "unready": unready})
    with pytest.raises(ValueError, match="Lecture 4"):
        check("unready", 1.0)


def test_a_notebook_shows_the_line_and_carries_the_payload():
    verdict = check("box-constraint", 100.0)
    data, _ = InteractiveShell.instance().display_formatter.format(verdict)
    assert data["text/plain"] == verdict.line and "\n" not in verdict.line
    assert data[MIME_TYPE] == {
        "id": "box-constraint",
        "holds": True,
        "measured": "100.0 %",
        "expected": True,
        "line": verdict.line,
    }


def test_report_of_a_lecture_that_holds():
    table = report([notebook(*whole_lecture())])
    assert list(table["claim"]) == list(CLAIMS)
    assert set(table.loc[table["lecture"] == 1, "verdict"]) == {"holds"}
    assert set(table.loc[table["lecture"] > 1, "verdict"]) == {"not yet"}
    assert failures(table) == []
    assert row(table, "imperceptible")["measured"] == "0.035"


def test_report_of_a_claim_that_does_not_hold():
    table = report([notebook(*whole_lecture(imperceptible=0.2))])
    assert row(table, "imperceptible")["verdict"] == "does not hold here"
    assert failures(table) == ["imperceptible: does not hold here (measured 0.200)"]
    assert "FAILS imperceptible" in format_report(table)


def test_a_claim_known_not_to_hold_does_not_fail(monkeypatch):
    known = Claim("known", 1, "Slide", "statement", "All is well", "wells", band=(0, 1),
                  expected=False)
    monkeypatch.setattr(claims, "CLAIMS", {**CLAIMS, "known": known})
    assert "does not hold here, as expected" in repr(check("known", 2))
    for measured in (2, 0.5):
        assert failures(report([notebook(*whole_lecture(), cell("known", measured))])) == []


def test_missing_claims_fail():
    cells = whole_lecture()
    cells[2].outputs = []
    table = report([notebook(*cells[:-1])])
    missing = list(table.loc[table["verdict"] == "missing", "claim"])
    assert missing == ["imperceptible", "linear-distortions"]
    assert [line.split(":")[0] for line in failures(table)] == missing


def test_which_lectures_are_present():
    with pytest.raises(ValueError, match="number 2"):
        report([notebook(*whole_lecture()), notebook()])
    table = report([notebook()], lectures=[1])
    assert set(table.loc[table["lecture"] == 1, "verdict"]) == {"missing"}
    assert failures(report([], lectures=[])) == []


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["claim", "claim:imperceptible"], "checks box-constraint"),
        (["claim"], "not claim and claim:<id>"),
        (["claim:box-constraint"], "not claim and claim:<id>"),
        (["claim", "claim:box-constraint", "claim:classifier"], "not claim and claim:<id>"),
        ([], "checks box-constraint"),
        (["claim", "claim:box"], "unknown claim"),
    ],
)
def test_wrong_tags_fail(tags, said):
    cells = [c for c in whole_lecture() if "claim:box-constraint" not in c.metadata.tags]
    table = report([notebook(*cells, cell("box-constraint", 100, tags=tags))])
    assert row(table, "box-constraint")["verdict"] == "missing"
    assert any(said in failure for failure in failures(table)), failures(table)


def test_a_claim_checked_twice_fails():
    again = cell("imperceptible", 0.2)
    for notebooks in (
        [notebook(*whole_lecture(), again)],
        [notebook(*whole_lecture()), notebook(again)],
    ):
        assert any("second time" in failure for failure in failures(report(notebooks)))


def test_format_fits_a_terminal_of_100_columns():
    cells = whole_lecture(imperceptible=0.2)
    text = format_report(report([notebook(*cells, cell("classifier", 2, tags=["claim"]))]))
    assert max(map(len, text.splitlines())) <= 100
    assert "Lecture 5, Generative Adversarial Networks (GANs)" in text
    assert "mis-tagged: 1" in text and "holds: 7" in text

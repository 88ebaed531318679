"""Cards say what their verdicts say, and put the marks of the axis where the numbers are."""

import re

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from course_utils import claims
from course_utils.cards import COLOURS, Feedback, axis, verdict_card
from course_utils.deck import CLAIMS, EFFECTS
from course_utils.intervals import Interval


def claim_of(*kinds):
    return next(claim for claim in CLAIMS.values() if claim.kind in kinds)


EFFECT = claim_of(*EFFECTS)


def effect(value, low, high, null):
    return claims.check(EFFECT.id, Interval(value, low, high), null=null, detail="a < b")


def verdicts():
    """One of each kind of verdict."""
    near, far = EFFECT.no_effect + EFFECT.side, EFFECT.no_effect - EFFECT.side
    yield "reproduced", effect(near, near, near, EFFECT.no_effect)
    yield "contradicted", effect(far, far, far, EFFECT.no_effect)
    yield "undecided", effect(EFFECT.no_effect, *sorted((near, far)), EFFECT.no_effect)
    theorem = claim_of("theorem")
    (interpretation,) = [claim for claim in CLAIMS.values() if claim.id == "too-linear"]
    yield (
        "prediction reproduced",
        claims.check(interpretation.id, Interval(2.0, 1.0, 3.0), null=0.0),
    )
    table = pd.Series([1.0, 2.0, 3.0])
    yield "order undecided", claims.check_table("classifier", table, table)
    yield "theorem", claims.check_theorem(theorem.id, cases=10, violations=0)
    yield "checked", claims.check_theorem(claim_of("check").id, cases=10, violations=0)
    yield "violated", claims.check_theorem(theorem.id, cases=10, violations=1)


@pytest.mark.parametrize(
    ("word", "verdict"), list(verdicts()), ids=lambda v: v if type(v) is str else ""
)
def test_a_card_has_all_that_the_line_has_and_what_would_contradict_it(word, verdict):
    card = BeautifulSoup(verdict_card(verdict), "html.parser").div
    said = " ".join(card.get_text(" ").split())
    assert card["id"] == f"claim-{verdict.claim.id}"
    sign = {"reproduced": "✓", "theorem": "✓", "checked": "✓", "undecided": "?"}.get(
        word.rpartition(" ")[2], "✗"
    )
    assert card.b.string == f"{sign} {word}" and COLOURS[sign] in card.b["style"]
    for part in (
        verdict.claim.says,
        verdict.claim.measures,
        verdict.text,
        verdict.detail,
        verdict.claim.paper.strip("-"),
        verdict.claim.predicts.strip("-"),
    ):
        assert " ".join(part.split()) in said
    assert ("Prediction:" in said) == word.startswith("prediction")
    assert ("Paper:" in said) == (verdict.claim.paper != "-")
    if "null" in verdict.measured:
        assert (
            f"{verdict.claim.null}: {verdict.claim.format(verdict.measured['null'], sided=False)}."
            in said
        )
    assert card.details.summary.string == "What would contradict this"
    assert verdict.claim.contradicted_by in card.details.get_text()
    assert ("Expected:" in said) == (not verdict.as_expected)


def places(markup):
    """What stands on an axis, by its mark, in percent from the left."""
    found = re.findall(r'left:([\d.]+)%;[^"]*">(.?)<', markup)
    return {mark or "line": float(place) for place, mark in found}


def test_the_axis_has_its_marks_in_order_and_to_scale():
    markup = axis(effect(6.0, 5.0, 8.0, 1.0))
    at = places(markup)
    ends = re.search(r"left:([\d.]+)%;width:([\d.]+)%", markup)
    low, width = float(ends[1]), float(ends[2])
    scale = (at["●"] - at["○"]) / 5
    assert low == pytest.approx(at["○"] + 4 * scale, abs=0.2)
    assert width == pytest.approx(3 * scale, abs=0.2)
    none = float(re.search(r"left:([\d.]+)%;top:0;height", markup)[1])
    assert none == pytest.approx(at["○"] + (EFFECT.no_effect - 1) * scale, abs=0.2)
    assert all(0 <= place <= 100 for place in (*at.values(), low, low + width, none))


def test_an_effect_of_nothing_at_all_has_an_axis():
    zero = EFFECT.no_effect
    assert places(axis(effect(zero, zero, zero, zero)))["●"] == 50


def test_a_tables_axis_goes_from_minus_one_to_one():
    import pandas as pd

    table = claim_of("table")
    cells = pd.Series(range(12), dtype=float)
    markup = axis(claims.check_table(table.id, cells, cells))
    assert places(markup)["●"] == 100 and "○" not in markup


def test_a_notebook_shows_the_card_beside_the_line():
    _, verdict = next(verdicts())
    bundle = verdict._repr_mimebundle_()
    assert bundle["text/plain"] == repr(verdict) and bundle["text/html"] == verdict_card(verdict)


def test_feedback_is_a_line_and_a_card():
    made = Feedback("not yet right", "At [0]: 1 < 2.\nIt was called with\n  3")
    assert repr(made) == "Not yet right. At [0]: 1 < 2.\nIt was called with\n  3"
    card = BeautifulSoup(made._repr_html_(), "html.parser")
    assert card.b.string == "✗ not yet right" and "At [0]: 1 < 2." in card.get_text()
    assert card.pre.string == "It was called with\n  3"
    assert BeautifulSoup(Feedback("right", "So.")._repr_html_(), "html.parser").pre is None

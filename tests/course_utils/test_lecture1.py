"""Lecture 1: what its verdicts say when chance or doing nothing takes the effect's place."""

from itertools import pairwise

import nbformat
import numpy as np
import pytest
import torch

from course_utils import intervals, study
from course_utils.attacks import lbfgs_attack
from course_utils.claims import MIME_TYPE, check, read
from course_utils.data import DataUnavailable, load_mnist
from course_utils.models import fully_connected
from course_utils.training import error_rate, predict
from course_utils.transfer import boxed_noise, draw_targets
from course_utils.widgets import blind_test
from course_utils.zoo import load_model
from tools.lectures import NOTEBOOKS

SEEDS = study.read("tables").query("table == 'models'").set_index(
    ["measure", "row", "column", "seed"]
)["value"].sort_index()


def seeds(measure, row, column="FC100-100-10"):
    return SEEDS[measure, row, column].to_numpy()


def shown(lecture="01_intriguing_properties"):
    """The verdicts that the notebook shows, by their claims."""
    cells = nbformat.read(NOTEBOOKS / f"{lecture}.ipynb", as_version=4).cells
    data = [o.data[MIME_TYPE] for c in cells for o in c.get("outputs", [])
            if MIME_TYPE in o.get("data", {})]
    return {payload["id"]: read(payload) for payload in data}


@pytest.fixture(scope="module")
def attacked():
    """A network, a hundred digits, their attack, and two lots of noise of the attack's size."""
    try:
        images, labels = (tensor[:100] for tensor in load_mnist("train"))
    except DataUnavailable as error:
        pytest.skip(f"MNIST is not here: {error}")
    network = load_model("FC100-100-10")
    targets = draw_targets(labels, how="random", generator=torch.Generator().manual_seed(1))
    result = lbfgs_attack(network, images, targets)
    noise = [boxed_noise(images, result.distortion, torch.Generator().manual_seed(seed))
             for seed in (2, 3)]
    return network, images, labels, targets, result, noise


def test_noise_in_the_attacks_place_fools_nobody(attacked):
    network, _, labels, _, result, (one, two) = attacked

    def verdict(images):
        fooled = [(predict(network, x) != labels).double() for x in (images, one)]
        return check("smoothness-disproved", intervals.over_seeds(100 * (fooled[0] - fooled[1])),
                     null=0.0).verdict

    assert verdict(result.images) == "reproduced" and verdict(two) == "undecided"


def test_labels_drawn_anew_are_met_by_luck(attacked):
    network, _, labels, targets, result, _ = attacked

    def verdict(aims):
        reached = 100 * (predict(network, result.images) == aims).double()
        return check("target-reached", intervals.over_seeds(reached), null=11.0).verdict

    other = draw_targets(labels, how="random", generator=torch.Generator().manual_seed(5))
    assert verdict(targets) == "reproduced" and verdict(other) == "undecided"


def test_noise_that_fools_is_not_small(attacked):
    network, images, labels, targets, result, _ = attacked
    flat, real = images.flatten(1), load_mnist("train")
    other = real[1][None, :5000] != targets[:, None]
    near = torch.cdist(flat, real[0][:5000].flatten(1)).masked_fill(other, torch.inf).amin(1) / 28
    longer = boxed_noise(images, 8 * result.distortion, torch.Generator().manual_seed(2))
    fools = predict(network, longer) != labels
    noise = (longer - images).square().mean(dim=(1, 2, 3)).sqrt()

    def verdict(lengths, some):
        return check("imperceptible", intervals.ratio(lengths[some], near[some]), null=1.5).verdict

    assert verdict(result.distortion, slice(None)) == "reproduced"
    assert verdict(noise, fools) == "contradicted"
    assert verdict(0.9 * near, slice(None)) == "contradicted"  # shorter, but not by enough


def test_a_network_before_training_is_no_classifier():
    images, labels = load_mnist("test")
    wrong = [error_rate(fully_connected(100, 100, 10, seed=s), images, labels) for s in range(6)]
    assert check("classifier", intervals.over_seeds(wrong), null=90.0).verdict == "undecided"
    trained = intervals.over_seeds(seeds("error", "test"))
    assert check("classifier", trained, null=90.0).verdict == "reproduced"


def test_the_straight_line_and_the_same_network_are_no_effects():
    excess = np.linspace(0.1, 0.3, 50)
    same = intervals.ratio(100 * excess, excess)
    assert check("minimal-norm", same, null=100.0).verdict == "undecided"
    halves = seeds("distortion", "FC10(1e-4)", "FC10(1e-4)").reshape(2, 5)
    verdict = check("linear-distortions", intervals.ratio(*halves), null=1.0).verdict
    assert verdict == "undecided"


def test_verdicts_over_seeds_are_those_of_the_shipped_study():
    found, own = shown(), "FC100-100-10"
    for claim, values in {
        "classifier": seeds("error", "test"),
        "smoothness-disproved": seeds("error", own) - seeds("error, noise of its size", own),
    }.items():
        printed, wanted = found[claim].measured, vars(intervals.over_seeds(values))
        assert {name: printed[name] for name in wanted} == pytest.approx(wanted), claim
    reached = found["target-reached"].measured
    assert reached["low"] == pytest.approx(intervals.proportion(10_000, 10_000).low)
    assert (seeds("success", own) == 100).all() and reached["low"] < reached["value"] == 100
    sizes = [seeds("distortion", n, n) for n in ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)")]
    step = min((intervals.ratio(b, a) for a, b in pairwise(sizes)), key=lambda i: i.value)
    assert found["linear-distortions"].measured["low"] == pytest.approx(step.low)


def test_ten_clicks_are_counted_and_judged():
    kinds = {"untouched": torch.zeros(30, 1, 28, 28), "attack": torch.rand(30, 1, 28, 28)}
    truth = torch.randint(2, (10,), generator=torch.Generator().manual_seed(3)).tolist()
    for wrong, said in ((0, "10 of 10 right"), (10, "0 of 10 right")):
        test = blind_test(kinds, torch.Generator().manual_seed(3))
        picture, row, says = test.children
        first = picture.value
        for number, kind in enumerate(truth, start=1):
            assert f"Picture {number} of 10" in says.value
            row.children[kind if number > wrong else 1 - kind].click()
        assert said in says.value and picture.value != first
        assert f"Guessing gets as many in {0 if not wrong else 100} of 100" in says.value
        row.children[0].click()  # one click too many changes nothing
        assert said in says.value
        assert says.value.endswith(f"{', '.join([*kinds][k] for k in truth)}.</p>")

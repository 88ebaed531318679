"""Lecture 1: what its verdicts say when chance or doing nothing takes the effect's place."""

from itertools import pairwise

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from course_utils import intervals, published, study
from course_utils.attacks import lbfgs_attack
from course_utils.claims import MIME_TYPE, check, check_table, check_theorem, read
from course_utils.data import DataUnavailable, load_mnist
from course_utils.lipschitz import certified_radius
from course_utils.training import predict
from course_utils.transfer import boxed_noise, draw_targets
from course_utils.widgets import blind_test
from course_utils.zoo import load_model
from tools.lectures import NOTEBOOKS

SEEDS = (
    study.read("tables")
    .query("table == 'models'")
    .set_index(["measure", "row", "column", "seed"])["value"]
    .sort_index()
)


def seeds(measure, row, column="FC100-100-10"):
    return SEEDS[measure, row, column].to_numpy()


def shown(lecture="01_intriguing_properties"):
    """The verdicts that the notebook shows, by their claims."""
    cells = nbformat.read(NOTEBOOKS / f"{lecture}.ipynb", as_version=4).cells
    data = [
        o.data[MIME_TYPE]
        for c in cells
        for o in c.get("outputs", [])
        if MIME_TYPE in o.get("data", {})
    ]
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
    noise = [
        boxed_noise(images, result.distortion, torch.Generator().manual_seed(seed))
        for seed in (2, 3)
    ]
    return network, images, labels, targets, result, noise


def test_noise_in_the_attacks_place_fools_nobody(attacked):
    network, _, labels, _, result, (one, two) = attacked

    def verdict(images):
        fooled = [(predict(network, x) != labels).double() for x in (images, one)]
        return check(
            "smoothness-disproved", intervals.over_seeds(100 * (fooled[0] - fooled[1])), null=0.0
        ).verdict

    assert verdict(result.images) == "reproduced" and verdict(two) == "undecided"


def test_labels_drawn_anew_are_not_reached(attacked):
    network, _, labels, targets, result, _ = attacked

    def verdict(aims):
        missed = (predict(network, result.images) != aims).sum()
        return check_theorem("target-reached", cases=len(aims), violations=missed).verdict

    one, other = (
        targets.clone(),
        draw_targets(labels, how="random", generator=torch.Generator().manual_seed(5)),
    )
    one[7] = labels[7]
    assert verdict(targets) == "checked" and verdict(one) == verdict(other) == "violated"


def test_a_pixel_outside_and_an_attack_inside_are_violations(attacked):
    network, images, *_, result, _ = attacked
    safe = certified_radius(network, images).detach() / 28
    for images, radii, verdict in (
        (result.images, safe, "theorem"),
        (result.images + 1e-3, 20 * safe, "violated"),
    ):
        outside = (images < 0) | (images > 1)
        broken = (radii <= 0) | (result.distortion < radii)
        for claim, wrong in (("box-constraint", outside), ("small-enough-radius", broken)):
            found = check_theorem(claim, cases=wrong.numel(), violations=wrong.sum())
            assert found.verdict == verdict


def test_noise_that_fools_is_not_small(attacked):
    network, images, labels, targets, result, _ = attacked
    flat, real = images.flatten(1), load_mnist("train")
    other = real[1][None, :5000] != targets[:, None]
    near = torch.cdist(flat, real[0][:5000].flatten(1)).masked_fill(other, torch.inf).amin(1) / 28
    noise = 8 * result.distortion  # as in the lecture: what has not fooled counts as that long
    for times in range(7, 0, -1):
        longer = boxed_noise(images, times * result.distortion, torch.Generator().manual_seed(2))
        noise = (times * result.distortion).where(predict(network, longer) != labels, noise)

    def verdict(lengths):
        return check("imperceptible", intervals.ratio(lengths, near), null=1.3).verdict

    assert verdict(result.distortion) == "reproduced"
    assert verdict(noise) == "contradicted"
    assert verdict(0.45 * near) == "reproduced"
    assert verdict(0.55 * near) == "contradicted"  # shorter, but not by enough


def test_errors_under_other_names_have_no_order():
    paper = published.szegedy_models()["test error"]
    ours = pd.Series({name: seeds("error", "test", name).mean() for name in paper.index})
    assert check_table("classifier", ours, paper).verdict == "reproduced"
    # Another order of the three with hidden layers alone would have undone it.
    for order in ([0, 1, 2, 4, 5, 3], [0, 2, 1, 4, 5, 3], [2, 4, 3, 1, 5, 0]):
        other = ours.iloc[order].set_axis(ours.index)
        assert check_table("classifier", other, paper).verdict == "undecided"
    assert check_table("classifier", -ours, paper).verdict == "contradicted"


def test_other_directions_are_at_right_angles_and_a_network_may_have_none():
    """The lecture's own search: as it says, and in vain where a network knows one direction only."""
    cells = nbformat.read(NOTEBOOKS / "01_intriguing_properties.ipynb", as_version=4).cells
    digits = torch.randint(2, (30, 1), generator=torch.Generator().manual_seed(0))
    one, two = torch.zeros(2, 784)
    one[300], two[400] = 1.0, 1.0
    flat = 0.5 + 0.1 * torch.where(digits == 1, 1.0, -1.0) * one
    for weights, fooled in ((one, 0), (one + two, 30)):

        def network(x, w=weights):
            side = x.flatten(1) @ w - 0.5 * w.sum()
            return torch.stack([-side, side], dim=1)

        space = {
            "torch": torch,
            "generator": torch.Generator().manual_seed(1),
            "network": network,
            "hundred": flat,
            "truth": digits,
        }
        for name in ("unit", "wrong_lead", "at_random"):
            (source,) = (c.source for c in cells if f"def {name}(" in c.source)
            exec(source[source.index(f"def {name}(") :], space)
        known = [space["unit"](one.expand(30, -1), [])]
        found = space["another"](known, 0.3)
        torch.testing.assert_close((found * known[0]).sum(1), torch.zeros(30), atol=1e-5, rtol=0)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(30))
        assert (space["wrong_lead"](0.3 * found) > 0).sum() == fooled


def test_the_straight_line_and_the_same_network_are_no_effects():
    excess = np.linspace(0.1, 0.3, 50)
    same = intervals.ratio(100 * excess, excess)
    assert check("minimal-norm", same, null=100.0).verdict == "undecided"
    null = shown()["minimal-norm"].measured["null"]  # the other straight line, which is longer
    other = intervals.ratio(null * excess, excess)
    assert check("minimal-norm", other, null=null).verdict == "contradicted"


@pytest.mark.parametrize("name", ["FC10(1e-4)", "FC10(1e-2)", "FC10(1)"])
def test_the_same_linear_network_with_other_digits_and_targets_has_no_longer_way(name):
    """The networks are the same for every seed, which draws the digits and the targets."""
    size = seeds("distortion", name, name)
    for shift in range(1, 10):
        null = intervals.ratio(np.roll(size, shift), size)
        assert check("linear-distortions", null, null=1.0).verdict == "undecided"


def test_verdicts_over_seeds_are_those_of_the_shipped_study():
    found, own = shown(), "FC100-100-10"
    printed = found["smoothness-disproved"].measured
    wanted = vars(
        intervals.over_seeds(seeds("error", own) - seeds("error, noise of its size", own))
    )
    assert {name: printed[name] for name in wanted} == pytest.approx(wanted)
    assert found["classifier"].measured["agree"] == 5
    assert str(intervals.over_seeds(seeds("error", "test"))) in found["classifier"].detail
    assert (seeds("success", own) == 100).all()
    assert found["target-reached"].measured == {"cases": 10_000, "violations": 0}
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

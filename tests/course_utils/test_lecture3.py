"""Lecture 3: outputs that a rerun can be held to, tables recomputed."""

import copy
import re
from itertools import permutations

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import rankdata
from torch import nn
from tqdm.auto import tqdm

from course_utils import claims, intervals, lipschitz, published, zoo
from course_utils.attacks import lbfgs_attack
from course_utils.data import load_mnist
from course_utils.imagenet import alexnet_2012, imagenet_classifier
from course_utils.lipschitz import certified_radius, layer_bounds, network_bound, network_bound_sdp
from course_utils.models import fully_connected, linear_layers
from course_utils.sources import DataUnavailable
from course_utils.zoo import load_model, load_study
from tools.lectures import NOTEBOOKS


@pytest.fixture(scope="module")
def cells():
    return nbformat.read(NOTEBOOKS / "03_lipschitz_bounds.ipynb", as_version=4).cells


def tags(cell):
    return cell.metadata.get("tags", [])


def shown(cells, words):
    """The output of the one code cell that has these words, as text."""
    (cell,) = (c for c in cells if c.cell_type == "code" and words in c.source)
    parts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return "\n".join(parts)


def test_only_what_depends_on_the_network_may_be_other_in_a_rerun(cells):
    """Trained weights of AlexNet are downloaded: here and there they cannot be had."""
    (spared,) = (cell for cell in cells if any(tag.startswith("drift:") for tag in tags(cell)))
    assert tags(spared) == ["drift:download"]


@pytest.mark.parametrize("missing", [DataUnavailable("no source"), ValueError("damaged"), None])
def test_both_trained_alexnets_are_asked_for_and_joined_to_the_table(missing, cells, capsys):
    """The lecture's own cell with `large = True`: one file missing does not hide the other."""
    words = "large = False", "for column, (load, side) in alexnets"
    asked, shown = (next(c.source for c in cells if one in c.source) for one in words)

    def of_2012():
        if missing:
            raise missing
        return 3.0

    space = {
        "bounds": pd.DataFrame({"2012, untrained": [1.0, 2.0, 2.0]}, ["one", "two", "product"]),
        "of_2012": of_2012,
        "of_torchvision": lambda: 5.0,
        "eight_layers": lambda model, side: {"upper": pd.Series([model, side])},
    }
    for source in (asked.replace("large = False", "large = True"), shown):
        exec(source, space)
    more, printed = space["more"], capsys.readouterr().out
    assert list(more["torchvision's, trained"]) == [5, 224, 5 * 224]
    assert ("2012, trained" in more) == (missing is None)
    if missing:
        assert "2012, trained not to be had" in printed and type(missing).__name__ in printed
    else:
        assert list(more["2012, trained"]) == [3, 227, 3 * 227] and not printed
    assert "torchvision" not in printed and "2012, trained" not in space["bounds"]


def test_alexnets_table_is_what_layer_bounds_says(cells):
    """The five convolutions' rows, from `layer_bounds` of each layer by itself."""
    model, side = alexnet_2012(seed=0), {"conv1": 227, "conv2": 27}
    (cell,) = (c for c in cells if 'bounds.loc["product"]' in c.source)
    table = cell.outputs[-1]["data"]["text/html"]
    for number in range(1, 6):
        layer = getattr(model, f"conv{number}")
        shape = (layer.in_channels, *2 * [side.get(f"conv{number}", 13)])
        bound = layer_bounds(layer, shape)["upper"].item()
        row = table.partition(f"<th>Conv. {number}</th>")[2].partition("</tr>")[0]
        paper, ours = map(float, re.findall(r"<td>([^<]*)</td>", row)[-2:])
        assert ours == pytest.approx(bound, abs=0.0051)
        assert paper == published.alexnet_bounds()["bound"].iloc[number - 1]


def test_the_product_is_that_of_numpys_singular_values(cells):
    weights = [
        layer.weight.detach().double().numpy()
        for layer in linear_layers(load_model("FC100-100-10"))
    ]
    product = np.prod([np.linalg.norm(weight, 2) for weight in weights]) / 16
    printed = re.search(r"product: ([\d.]+)", shown(cells, "seen = slopes_at(network"))[1]
    assert float(printed) == pytest.approx(product, abs=0.051)


def test_the_folded_layers_are_the_network_before_its_activations(cells):
    """What the lecture folds and bounds is what the classifier computes: block by block."""
    network = imagenet_classifier("efficientnet_lite0")[1]
    names = {"nn": nn}
    for words in ("import fuse_conv", "def folded"):
        (cell,) = (c for c in cells if c.cell_type == "code" and words in c.source)
        source = cell.source.partition("\nmet =")[0].partition("\nplain =")[0]
        exec(source, names)
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network._bn0(network._conv_stem(x))
        layer = names["folded"](network._conv_stem, network._bn0)
        padded = network._conv_stem.static_padding(x)
        found = layer(padded) - layer(torch.zeros_like(padded))
        constant = network._bn0(network._conv_stem(torch.zeros_like(x)))
        torch.testing.assert_close(found, expected - constant, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["FC10(1e-4)", "FC100-100-10", "AE400-10", "penalised"])
def test_no_attack_lands_inside_a_certificate(name):
    """On forty soft shapes, towards every class, with the label of the shape taken as it is."""
    model = load_study("Lipschitz penalty")[0] if name == "penalised" else load_model(name)
    generator = torch.Generator().manual_seed(0)
    blobs = torch.rand(40, 1, 7, 7, generator=generator)
    images = nn.functional.interpolate(blobs, scale_factor=4, mode="bilinear").clamp(0, 1)
    radius = certified_radius(model, images).detach()
    with torch.no_grad():
        given = model(images).argmax(1)
    for step in range(1, 10):
        found = lbfgs_attack(model, images, (given + step) % 10)
        length = found.perturbation.flatten(1).norm(dim=1)
        assert found.success.any()
        assert (length >= radius)[found.success].all()


def test_the_penalty_shrinks_the_product_of_every_network():
    pairs = zip(load_study("none"), load_study("Lipschitz penalty"), strict=True)
    bounds = [[network_bound(model, (1, 28, 28)) for model in pair] for pair in pairs]
    assert len(bounds) == 5 and all(penalised < plain / 3 for plain, penalised in bounds)


def test_the_whole_networks_bound_lies_between_the_slopes_and_the_product(cells):
    printed = shown(cells, "whole = lipschitz.network_bound_sdp")
    seen, whole, product = map(float, re.findall(r"[\d.]+", printed.partition("\n")[0]))
    assert seen <= whole <= product and whole < 0.6 * product
    assert whole == pytest.approx(
        network_bound_sdp(load_model("FC100-100-10"), (1, 28, 28)), abs=0.1
    )


def test_a_verdict_follows_the_measurement():
    """The null in the effect's place, and the effect's opposite, give other verdicts."""
    gains = 1.0 * (np.random.RandomState(0).rand(5, 400) < 0.05)
    for matrix, verdict in (
        (gains, "reproduced"),
        (gains - gains[::-1], "undecided"),
        (-gains, "contradicted"),
    ):
        estimate = intervals.over_seeds_and_images(matrix)
        assert claims.check("penalty-generalises", estimate, null=0).verdict == verdict
    paper = published.alexnet_bounds()["bound"]
    for table, verdict in [(paper, "reproduced"), (-paper, "contradicted")]:
        assert claims.check_table("alexnet-bounds", table, paper).verdict == verdict


def defined(cells, words, space):
    """What the code cell with these words defines, in `space`."""
    (source,) = (c.source for c in cells if c.cell_type == "code" and words in c.source)
    exec(source, space)
    return space


@pytest.mark.parametrize(("border", "verdict"), [(0.3, "reproduced"), (0.7, "contradicted")])
def test_only_a_border_before_the_half_is_not_stable(border, verdict, cells):
    """The lecture's parts of the way, of a network with a border there and of one that stores digits."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, 28, 28)
    one, two = 0.2 + 0.6 * torch.rand(2, *shape, generator=generator)
    digits = one + 0.02 * torch.randn(40, 1, 28, 28, generator=generator)
    ahead = (two - one).flatten()
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 2)).requires_grad_(False)
    model[1].weight[:] = torch.stack([-ahead, ahead])
    middle = (one.flatten() + border * ahead) @ ahead
    model[1].bias[:] = torch.stack([middle, -middle])
    space = {
        "torch": torch,
        "tqdm": tqdm,
        "lbfgs_attack": lbfgs_attack,
        "digits": digits,
        "there": 200,
        "real": torch.cat(
            [digits.repeat(5, 1, 1, 1), two.expand(200, *shape), torch.zeros(1600, *shape)]
        ),
        "kinds": torch.arange(2000) // 200,
        "nn": nn,
        "aims": torch.ones(40, dtype=torch.long),
        "way": (digits - two).flatten(1).norm(dim=1),
    }
    for words in ("def turning(", "def share_of_way(", "def storing("):
        defined(cells, words, space)

    def judged(parts):
        both = torch.stack([parts, parts]) + 1e-4 * torch.randn(2, 40, generator=generator)
        return claims.check("not-stable", intervals.over_seeds_and_images(both), null=0.5).verdict

    assert judged(space["share_of_way"](model)) == verdict
    straight = space["turning"](lambda x: model(x).argmax(1))
    assert judged(straight) == verdict and abs(straight.mean() - border) < 0.02
    neighbour = space["share_of_way"](space["storing"](0))
    assert neighbour.min() >= 0.5 - 1e-4 and judged(neighbour) == "contradicted"


def test_no_network_of_the_course_needs_a_half():
    """What the text and the card of `not-stable` say of all others than that of stored digits."""
    try:
        real, kinds = load_mnist("train")
    except DataUnavailable as error:
        pytest.skip(f"MNIST is not here: {error}")
    digits, aims = real[:40], (kinds[:40] + 3) % 10
    far = torch.cdist(digits.flatten(1), real.flatten(1))
    way = far.masked_fill(kinds != aims[:, None], torch.inf).amin(dim=1)
    networks = {name: load_model(name) for name in zoo.ZOO}
    networks |= {name: load_study(name)[0] for name in zoo.STUDY}
    networks["untrained"] = fully_connected(100, 100, 10, hidden="rectifier")
    for name, network in networks.items():
        some = slice(10 if "convolution" in name else 40)  # those are slow
        found = lbfgs_attack(network, digits[some], aims[some])
        assert (28 * found.distortion / way[some])[found.success].mean() < 0.5, name


def test_six_networks_that_correlate_by_chance_explain_nothing(cells):
    """The lecture's lead: rates that follow the cosine, nothing, or the radius shown to."""
    names, random = [f"net {i}" for i in range(6)], np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(6, 6)), names, names)
    radius = pd.Series([0.5, 0.3, 0.1, 0.4, 0.2, 0.6], names)
    space = {
        "np": np,
        "pd": pd,
        "intervals": intervals,
        "rankdata": rankdata,
        "orders": np.array(list(permutations(range(6)))),
        "pairs": ~np.eye(6, dtype=bool),
        "radii_of": lambda part: radius,
        "table_of": lambda part, measure: table if measure == "cosine" else part,
    }
    for words in ("def ranks(", "def lead("):
        defined(cells, words, space)

    def found(rates):
        noisy = (rates + 0.3 * random.normal(size=(6, 6)) for _ in range(10))
        ahead, null = space["lead"]([space["ranks"](part) for part in noisy])
        assert abs(null) < 1e-9
        return claims.check("bounds-do-not-explain-transfer", ahead, null=null).verdict

    assert found(3 * table) == "reproduced"
    assert found(0 * table - 9 * radius) == "contradicted"
    # What neither explains, whatever the names: an interval over the seeds alone would not say so.
    others = [found(pd.DataFrame(random.normal(size=(6, 6)), names, names)) for _ in range(20)]
    assert others.count("undecided") >= 16


def test_bounds_that_are_too_small_are_violated():
    """The lecture's own counts, with a bound that is no bound."""
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    model = load_model("FC100-100-10").requires_grad_(False)
    slopes = torch.func.vmap(torch.func.jacrev(lambda x: model(x[None])[0]))(images)
    seen = torch.linalg.matrix_norm(slopes.flatten(2), 2)
    for bound, verdict in [(network_bound(model, (1, 28, 28)), "theorem"), (1.0, "violated")]:
        counts = {"cases": len(seen), "violations": int((seen > bound).sum())}
        assert claims.check_theorem("network-product", **counts).verdict == verdict


def test_a_smaller_constant_is_violated_by_a_sigmoid_a_layer_and_a_certificate(cells):
    """The lecture's own counts, with .15 for .25, and with layers' and network's bounds halved."""
    points = np.random.RandomState(0).normal(0, 2, (1000, 2))
    steep = np.abs(np.diff(1 / (1 + np.exp(-points)))) / np.abs(np.diff(points))
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    model = load_model("FC100-100-10").requires_grad_(False)
    layers = layer_bounds(model, (1, 28, 28))
    space = {"copy": copy, "lipschitz": lipschitz, "torch": torch, "nn": nn, "network": model}
    defined(cells, "growth = {}", space)
    assert space["table"].equals(layers)
    growth = torch.cat([*space["growth"].values()])
    given = model(images).argmax(1)
    aims = (given + 1) % 10
    found = lbfgs_attack(model, images, aims)
    length = 28 * found.distortion[found.success]
    known = network_bound_sdp(model, (1, 28, 28))
    for smaller, verdict in ((1.0, "theorem"), (0.05, "violated")):
        radius = certified_radius(model, images, bound=smaller * known)[found.success]
        for claim, wrong in (
            ("lipschitz-definition", steep > smaller * 0.25 * (1 + 1e-9)),
            ("layer-lipschitz", growth > smaller),
            ("small-bounds-guarantee", length < radius),
        ):
            counts = {"cases": len(wrong), "violations": int(wrong.sum())}
            assert claims.check_theorem(claim, **counts).verdict == verdict, claim


@pytest.mark.parametrize(("name", "verdict"), [("penalised", "theorem"), ("sigmoids", "violated")])
def test_another_scale_is_the_same_function_for_rectifiers_only(name, verdict):
    """The lecture's own rescaling: it raises both products, and changes what sigmoids compute."""
    images = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    sigmoids = name == "sigmoids"
    model = load_model("FC100-100-10") if sigmoids else load_study("Lipschitz penalty")[0]
    rescaled = copy.deepcopy(model.requires_grad_(False))
    lower, upper = linear_layers(rescaled)[:2]
    lower.weight[0] *= 1024
    lower.bias[0] *= 1024
    upper.weight[:, 0] /= 1024
    before, after = (network_bound(network, (1, 28, 28)) for network in (model, rescaled))
    assert after > 10 * before
    changed = (rescaled(images) != model(images)).any(dim=1).sum()
    counts = {"cases": len(images), "violations": changed}
    assert claims.check_theorem("large-bounds-do-not-condemn", **counts).verdict == verdict

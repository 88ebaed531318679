import hashlib
import json
import re
import shutil
from functools import partial

import pytest
import torch

from course_utils import checkpoint, data, zoo
from course_utils.attacks import fgsm, pgd
from course_utils.lipschitz import operator_norm
from course_utils.losses import noise_loss
from course_utils.models import fully_connected, linear_layers
from course_utils.published import szegedy_models
from course_utils.sources import DataUnavailable
from course_utils.training import error_rate, fit, fit_linear, fit_rbf, fit_sparse_features
from course_utils.zoo import Recipe, load_model, load_record, load_study
from tools.retraining import retrain

SZEGEDY = [
    "FC10(1e-4)",
    "FC10(1e-2)",
    "FC10(1)",
    "FC100-100-10",
    "FC200-200-10",
    "AE400-10",
    "FC100-100-10(P1)",
    "FC123-456-10",
    "FC100-100-10'",
]
GOODFELLOW = ["softmax", "maxout", "maxout (adversarial)", "RBF"]
NAMES = SZEGEDY + GOODFELLOW
CONDITIONS = [
    "none",
    "weight decay",
    "dropout",
    "noise",
    "adversarial training",
    "dropout and adversarial training",
    "strong noise",
    "weak noise",
    "weak adversarial training",
    "dropout and weak adversarial training",
    "one step at .1",
    "projected gradient",
    "Lipschitz penalty",
    "convolutional",
    "convolutional (one step)",
    "convolutional (robust)",
]
SEVERAL = [
    "none",
    "weight decay",
    "noise",
    "adversarial training",
    "weak adversarial training",
    "Lipschitz penalty",
]  # of which five seeds are shipped
HALF = {"FC100-100-10(P1)": "P1", "FC123-456-10": "P1", "FC100-100-10'": "P2"}


@pytest.fixture(scope="module")
def mnist():
    try:
        return {split: data.load_mnist(split) for split in ("train", "test")}
    except DataUnavailable as error:
        pytest.skip(f"MNIST is not here: {error}")


@pytest.fixture
def few_digits(monkeypatch):
    """Stand in for MNIST with 60 training and 30 test images, for the tests that retrain."""
    generator = torch.Generator().manual_seed(0)
    splits = {
        split: (torch.rand(n, 1, 28, 28, generator=generator), torch.arange(n) % 10)
        for split, n in (("train", 60), ("test", 30))
    }
    monkeypatch.setattr(data, "load_mnist", splits.__getitem__)
    monkeypatch.setattr(
        zoo,
        "ZOO",
        {
            "FC10(1)": Recipe((10,), fit_linear, {"weight_decay": 1.0}),
            "FC7-10'": Recipe((7, 10), fit, {"weight_decay": 1e-5, "epochs": 2}, seed=5, half="P2"),
        },
    )
    options = {"epochs": 1, "loss": partial(noise_loss, eps=0.1)}
    monkeypatch.setattr(
        zoo,
        "STUDY",
        {
            "a little": Recipe(
                (3, 10),
                fit,
                options,
                8,
                hidden="rectifier",
                dropout=(0.0, 0.5),
                copies=2,
                precision=torch.float16,
            )
        },
    )
    return splits


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the checkpoints that a test may damage."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(zoo.CHECKPOINTS, folder)
    monkeypatch.setattr(zoo, "CHECKPOINTS", folder)
    return folder


def as_json(options):
    return json.loads(json.dumps(options, default=zoo.told))


def state_of(model):
    return list(model.state_dict().values())


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(state_of(model), state_of(other), strict=True))


def test_the_names_are_the_decks():
    assert list(zoo.ZOO) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_models_load_ready_to_use(name):
    model = load_model(name)
    logits = model(torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (3, 10) and logits.isfinite().all()
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("name", SZEGEDY)
def test_the_decks_names_give_the_widths(name):
    model = load_model(name)
    assert [layer.out_features for layer in linear_layers(model)] == [
        int(width) for width in re.fullmatch(r"[A-Z]+([\d-]+)('|\(.*\))?", name)[1].split("-")
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_what_the_network_does(name, mnist):
    model, record = load_model(name), load_record(name)
    assert record["name"] == name
    assert record["data"]["sha256"] == data.MNIST_SHA256
    images, labels = mnist["train"]
    if name in HALF:
        indices = zoo.halves()[HALF[name]]
        images, labels = images[indices], labels[indices]
    train_error, test_error = error_rate(model, images, labels), error_rate(model, *mnist["test"])
    # An image on the border between two classes may fall either way on another processor.
    assert record["train_error"] == pytest.approx(train_error, abs=0.01)
    assert record["test_error"] == pytest.approx(test_error, abs=0.02)
    if name in GOODFELLOW:
        return
    if name in HALF:
        assert train_error < 0.05
        # What arXiv:1312.6199 printed with its cross-training table.
        paper = {"FC100-100-10": 2.4, "FC123-456-10": 2.5, "FC100-100-10'": 2.1}
        assert test_error == pytest.approx(paper[name.removesuffix("(P1)")], abs=1.0)
    else:
        paper = szegedy_models().loc[name]
        slack = 0.3 if name == "AE400-10" else 0.05  # the paper says little of how it was trained
        assert train_error == pytest.approx(paper["train error"], rel=0.1, abs=slack)
        assert test_error == pytest.approx(paper["test error"], rel=0.1, abs=0.4)


def attacked(model, images, labels, bounds=(0, 1)):
    """The error under the fast gradient sign method at .25, and the logits of the mistakes."""
    with torch.no_grad():
        logits = model(fgsm(model, images, labels, eps=0.25, bounds=bounds))
    mistakes = logits.argmax(1) != labels
    return 100 * mistakes.double().mean().item(), logits[mistakes]


def test_networks_of_goodfellow_2014_do_what_the_lecture_needs(mnist):
    images, labels = mnist["test"]
    errors = {name: error_rate(load_model(name), images, labels) for name in GOODFELLOW}
    assert errors["softmax"] < 9 and errors["RBF"] < 15
    assert errors["maxout"] <= 1.2 and errors["maxout (adversarial)"] <= 1.0
    assert attacked(load_model("softmax"), images, labels)[0] >= 99
    assert attacked(load_model("maxout"), images, labels)[0] >= 85
    assert attacked(load_model("maxout (adversarial)"), images, labels)[0] <= 25


@pytest.mark.parametrize("bounds", [(0, 1), (-float("inf"), float("inf"))])
def test_rbf_networks_are_unsure_of_their_mistakes(bounds, mnist):
    images, labels = mnist["test"]
    error, logits = attacked(load_model("RBF"), images, labels, bounds)
    assert error < 75
    assert logits.sigmoid().amax(1).mean() < 0.1
    _, logits = attacked(load_model("softmax"), images, labels, bounds)
    assert logits.softmax(1).amax(1).mean() > 0.75


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_study_holds_one_network_a_condition_or_five(condition, mnist):
    networks = load_study(condition)
    record = zoo.read(zoo._study_name(condition), zoo.CHECKPOINTS)[1]
    convolution = condition.startswith("convolutional")
    shapes = [(100, 1568), (10, 100)] if convolution else [(100, 784), (100, 100), (10, 100)]
    errors = record["test_error"]
    errors = errors if isinstance(errors, list) else [errors]
    assert len(networks) == len(errors) == (5 if condition in SEVERAL else 1)
    for network, recorded in zip(networks, errors):
        assert [tuple(layer.weight.shape) for layer in linear_layers(network)] == shapes
        assert not any(module.training for module in network.modules())
        # An image on the border between two classes may fall either way on another processor.
        assert error_rate(network, *mnist["test"]) == pytest.approx(recorded, abs=0.02)
        assert recorded < 4
    assert len(networks) == 1 or not same(networks[0], networks[1])
    training = record["training"]
    assert training["seed"] == 100
    assert training["options"] == as_json(zoo.STUDY[condition].options)


def test_the_studys_conditions_differ_in_nothing_but_what_they_say():
    assert list(zoo.STUDY) == CONDITIONS
    said = {"loss", "weight_decay", "lipschitz"}
    for plain, chosen in (("none", CONDITIONS[:13]), ("convolutional", CONDITIONS[13:])):
        plain = zoo.STUDY[plain]
        for recipe in map(zoo.STUDY.get, chosen):
            assert (recipe.widths, recipe.hidden) == (plain.widths, plain.hidden)
            assert recipe.seed == plain.seed
            also = {"epochs"} if plain.hidden == "convolution" else set()
            options = (
                {k: v for k, v in some.options.items() if k not in said | also}
                for some in (recipe, plain)
            )
            assert next(options) == next(options)
    losses = {name: recipe.options.get("loss") for name, recipe in zoo.STUDY.items()}
    for control, trained in (("noise", "adversarial"), ("weak noise", "weak adversarial")):
        assert losses[control].keywords == losses[f"{trained} training"].keywords
    with pytest.raises(ValueError, match="condition: got 'nothing'.*none, weight decay"):
        load_study("nothing")


def test_adversarial_training_makes_the_studys_networks_robust(mnist):
    images, labels = (tensor[:2000] for tensor in mnist["test"])
    errors = {}
    for condition in ("none", "noise", "adversarial training"):
        found = [attacked(model, images, labels)[0] for model in load_study(condition)]
        errors[condition] = sum(found) / len(found)
    assert errors["adversarial training"] < errors["noise"] / 2
    assert errors["adversarial training"] < errors["none"] / 2


def test_training_on_projected_gradient_makes_networks_robust(mnist):
    """Against forty steps, within the eps of the training; the others fall."""
    images, labels = (tensor[:100] for tensor in mnist["test"])
    for condition, eps, least, most in (
        ("projected gradient", 0.1, 0, 20),
        ("adversarial training", 0.1, 60, 100),
        ("convolutional (robust)", 0.3, 0, 50),
        ("convolutional", 0.3, 95, 100),
    ):
        model = load_study(condition)[0]
        moved = pgd(model, images, labels, eps=eps, step=eps / 10)
        assert least <= error_rate(model, moved, labels) <= most, condition


def test_the_halves_part_the_training_set():
    halves = zoo.halves()
    assert list(halves) == ["P1", "P2"]
    assert [len(indices) for indices in halves.values()] == [30_000, 30_000]
    assert torch.equal(torch.cat(list(halves.values())).sort().values, torch.arange(60_000))
    for indices in halves.values():
        assert (indices.diff() > 0).all()
        # A fair draw: of any 10,000 neighbours about half, give or take six standard deviations.
        assert (indices.bincount(minlength=60_000).view(6, -1).sum(1) - 5000).abs().max() < 300


@pytest.mark.parametrize("name", NAMES)
def test_the_record_names_the_images_trained_on(name):
    source = load_record(name)["data"]
    if name not in HALF:
        assert "split" not in source and "all of its training set" in source["name"]
        return
    assert HALF[name] in source["name"]
    indices = zoo.halves()[HALF[name]].numpy().astype("<i8")
    found = hashlib.sha256(indices.tobytes()).hexdigest()
    assert source["split"] == {"seed": zoo.SPLIT_SEED, "indices_sha256": found}


def test_networks_with_hidden_layers_start_from_seeds_of_their_own():
    seeds = [recipe.seed for recipe in zoo.ZOO.values() if len(recipe.widths) > 1]
    study = zoo.STUDY["none"]
    seeds += [study.seed + copy for copy in range(study.copies)]
    assert len(set(seeds)) == len(seeds) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_how_the_network_was_trained(name):
    recipe, training = zoo.ZOO[name], load_record(name)["training"]
    assert training["function"] == recipe.train.__name__
    assert training["seed"] == recipe.seed
    options = {key: value for key, value in training["options"].items() if key != "seed"}
    assert options == as_json(recipe.options)


@pytest.mark.parametrize("name", ["FC10(1e-4)", "FC10(1e-2)", "FC10(1)", "AE400-10"])
def test_softmax_layers_on_fixed_features_are_optimal_on_mnist(name, mnist):
    images, labels = mnist["train"]
    model = load_model(name).double()
    features, layer = model[:-1], model[-1]
    decay = zoo.ZOO[name].options["weight_decay"]
    by_weight, by_bias = decay * layer.weight.detach(), torch.zeros(10, dtype=torch.float64)
    with torch.no_grad():
        for some, truth in zip(images.split(20_000), labels.split(20_000)):
            inputs = features(some.double())
            residual = layer(inputs).softmax(1)
            residual[torch.arange(len(truth)), truth] -= 1
            by_weight += residual.T @ inputs / len(labels)
            by_bias += residual.sum(0) / len(labels)
    assert max(by_weight.abs().max().item(), by_bias.abs().max().item()) < 5e-6


@pytest.mark.parametrize("name", [*NAMES, *CONDITIONS])
def test_saved_weights_hold_no_denormals(name):
    models = [load_model(name)] if name in NAMES else load_study(name)
    for value in sum(map(state_of, models), []):
        small = value[value.abs() < zoo.TINY]
        assert value.dtype == torch.float32
        assert (small.view(torch.int32) << 1 == 0).all()  # bits: comparing would flush them


def test_the_folder_holds_these_checkpoints_and_is_small():
    files = sorted(zoo.CHECKPOINTS.iterdir())
    assert len(files) == len(NAMES + CONDITIONS) + 1  # and the pair of Lecture 5
    assert sum(file.stat().st_size for file in files) < 22e6
    assert all(re.fullmatch(r"[\w.-]+", file.name) for file in files)


@pytest.mark.parametrize("function", [load_model, load_record])
def test_an_unknown_name_lists_the_known(function):
    with pytest.raises(ValueError, match=r"name: got 'FC10'.*FC10\(1e-4\), .*FC200-200-10"):
        function("FC10")


def test_another_networks_checkpoint_is_refused(copied):
    shutil.copy(copied / "FC10_1e-2.safetensors", copied / "FC10_1.safetensors")
    with pytest.raises(RuntimeError, match=r"record of 'FC10\(1e-2\)'.*retrain=True"):
        load_model("FC10(1)")
    load_model("FC10(1e-2)")


def test_a_record_of_other_widths_is_refused(copied, monkeypatch):
    monkeypatch.setitem(zoo.ZOO, "FC10(1)", Recipe((20, 10), fit))
    with pytest.raises(RuntimeError, match=r"\[10\].*\[20, 10\]"):
        load_model("FC10(1)")
    monkeypatch.setitem(zoo.ZOO, "FC10(1)", Recipe((10,), fit, hidden="maxout"))
    with pytest.raises(RuntimeError, match="'sigmoid'.*'maxout'"):
        load_model("FC10(1)")


def test_retraining_leaves_the_shipped_checkpoint_alone(copied, few_digits):
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    model = load_model("FC10(1)", retrain=True)
    assert not same(model, load_model("FC10(1)"))
    assert not model.training
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before


def test_retraining_is_building_and_fitting_with_the_recipes_seed(few_digits):
    by_hand = fully_connected(7, 10, seed=5)
    half = zoo.halves(60)["P2"]
    images, labels = (tensor[half] for tensor in few_digits["train"])
    fit(by_hand, images, labels, weight_decay=1e-5, epochs=2, seed=5, progress=False)
    assert same(load_model("FC7-10'", retrain=True), by_hand)


def test_retraining_sparse_features_follows_the_recipes_seed_too(few_digits, monkeypatch):
    options = {"weight_decay": 1e-2, "epochs": 2, "batch_size": 20}
    recipe = Recipe((6, 10), fit_sparse_features, options, seed=9)
    monkeypatch.setitem(zoo.ZOO, "FC7-10'", recipe)
    by_hand = fully_connected(6, 10, seed=9)
    fit_sparse_features(by_hand, *few_digits["train"], **options, seed=9, progress=False)
    assert same(load_model("FC7-10'", retrain=True), by_hand)


def test_retraining_goodfellows_networks_follows_the_recipe_too(few_digits, monkeypatch):
    options = {"epochs": 2, "loss": partial(noise_loss, eps=0.1)}
    recipe = Recipe((6, 10), fit, options, 9, hidden="maxout", dropout=(0.1, 0.5))
    monkeypatch.setitem(zoo.ZOO, "FC7-10'", recipe)
    by_hand = fully_connected(6, 10, seed=9, hidden="maxout", dropout=(0.1, 0.5))
    fit(by_hand, *few_digits["train"], **options, seed=9, progress=False)
    assert same(load_model("FC7-10'", retrain=True), by_hand)
    monkeypatch.setitem(zoo.ZOO, "FC7-10'", Recipe((10,), fit_rbf, {"epochs": 2}, hidden="RBF"))
    means = load_model("FC7-10'", retrain=True).means
    images, labels = few_digits["train"]
    torch.testing.assert_close(means[3], images[labels == 3].flatten(1).mean(0))


def test_copies_and_half_precision(tmp_path, few_digits, monkeypatch):
    name, recipe = "study (a little)", zoo.STUDY["a little"]
    retrain(name, tmp_path)
    record = zoo.read(name, tmp_path)[1]
    assert record["architecture"] == {"widths": [3, 10], "hidden": "rectifier", "dropout": [0, 0.5]}
    told = {"function": "noise_loss", "eps": 0.1}
    assert record["training"]["options"] == {"epochs": 1, "loss": told}
    monkeypatch.setattr(zoo, "CHECKPOINTS", tmp_path)
    networks = load_study("a little")
    assert len(networks) == 2
    for copy, network in enumerate(networks):
        by_hand = fully_connected(3, 10, hidden="rectifier", dropout=(0.0, 0.5), seed=8 + copy)
        fit(by_hand, *few_digits["train"], **recipe.options, seed=8 + copy, progress=False)
        for found, exact in zip(state_of(network), state_of(by_hand)):
            assert found.dtype == torch.float32 and torch.equal(found, exact.half().float())
        assert record["train_error"][copy] == error_rate(network, *few_digits["train"])
        assert record["test_error"][copy] == error_rate(network, *few_digits["test"])
    (tmp_path / "study_a-little.safetensors").write_bytes(b"")
    with pytest.raises(RuntimeError, match="damaged.*make train"):
        load_study("a little")


def test_retraining_writes_what_it_reports(tmp_path, few_digits, capsys):
    folder = tmp_path / "new"
    names = list(zoo.checkpoints())
    assert names == ["FC10(1)", "FC7-10'", "study (a little)"]
    first = {name: retrain(name, folder, progress=False) for name in names}
    assert sorted(path.name for path in folder.iterdir()) == [
        "FC10_1.safetensors",
        "FC7-10-prime.safetensors",
        "study_a-little.safetensors",
    ]
    said = capsys.readouterr()
    assert "nothing to compare FC10(1) with" in said.out and not said.err
    assert "agreement" not in first["FC10(1)"]
    second = {name: retrain(name, folder, progress=False) for name in names}
    for row in second.values():
        assert row["agreement"] == 100 and row["test error"] == row["shipped test error"]
    for name in zoo.ZOO:
        (model,), record = zoo.read(name, folder)
        images, labels = few_digits["train"]
        if zoo.ZOO[name].half:
            indices = zoo.halves(60)[zoo.ZOO[name].half]
            images, labels = images[indices], labels[indices]
        assert error_rate(model, images, labels) == second[name]["train error"]
        assert error_rate(model, *few_digits["test"]) == second[name]["test error"]
    assert record["training"]["seed"] == 5


def test_tiny_weights_are_saved_as_zero(tmp_path, few_digits, monkeypatch):
    few_digits["train"][0][..., :4, :] = 0  # black pixels: here only decay moves the weights

    def train(model, images, labels, *, seed, progress):
        with torch.no_grad():
            model[1].weight[:, :112] *= 1e-25

    monkeypatch.setitem(zoo.ZOO, "FC10(1)", Recipe((10,), train))
    weight = load_model("FC10(1)", retrain=True)[1].weight
    assert (weight[:, :112] == 0).all() and (weight[:, 112:] != 0).all()


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path, few_digits, monkeypatch):
    retrain("FC10(1)", tmp_path)
    (old,), record = zoo.read("FC10(1)", tmp_path)

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint.os, "replace", fail)
    few_digits["train"][0].mul_(0.5)
    with pytest.raises(OSError, match="no space"):
        retrain("FC10(1)", tmp_path)
    (found,), again = zoo.read("FC10(1)", tmp_path)
    assert same(found, old) and again == record
    assert not list(tmp_path.glob("unfinished*"))


def test_another_default_dtype_changes_no_shipped_network():
    """As where somebody set torch.set_default_dtype(torch.float64) for code of their own."""
    images, labels = (part[:100] for part in data.load_mnist("test"))
    before = error_rate(load_model("FC10(1)"), images, labels)
    torch.set_default_dtype(torch.float64)
    try:
        model = load_model("FC10(1)")
        assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
        assert error_rate(model, images, labels) == before
        (layer,) = linear_layers(model)
        bounds = operator_norm(layer)
    finally:
        torch.set_default_dtype(torch.float32)
    exact = torch.linalg.matrix_norm(layer.weight.double(), 2).item()
    assert bounds.lower <= exact <= bounds.upper <= 1.001 * exact

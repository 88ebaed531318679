import hashlib
import json
import re
import shutil

import pytest
import torch

from course_utils import data, zoo
from course_utils.models import fully_connected, linear_layers
from course_utils.published import cross_training_errors, szegedy_models
from course_utils.sources import DataUnavailable
from course_utils.training import error_rate, fit, fit_linear, fit_sparse_features
from course_utils.zoo import Recipe, load_model, load_record, model_names, retrain_all

NAMES = [
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
    return splits


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the checkpoints that a test may damage."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(zoo.CHECKPOINTS, folder)
    monkeypatch.setattr(zoo, "CHECKPOINTS", folder)
    return folder


def state_of(model):
    return list(model.state_dict().values())


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(state_of(model), state_of(other), strict=True))


def test_the_names_are_the_decks():
    assert model_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_models_load_ready_to_use(name):
    model = load_model(name)
    assert [layer.out_features for layer in linear_layers(model)] == [
        int(width) for width in re.fullmatch(r"[A-Z]+([\d-]+)('|\(.*\))?", name)[1].split("-")
    ]
    logits = model(torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (3, 10) and logits.isfinite().all()
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


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
    if name in HALF:
        assert train_error < 0.05
        paper = cross_training_errors()[name.removesuffix("(P1)")]
        assert test_error == pytest.approx(paper, abs=1.0)
    else:
        paper = szegedy_models().loc[name]
        slack = 0.3 if name == "AE400-10" else 0.05  # the paper says little of how it was trained
        assert train_error == pytest.approx(paper["train error"], rel=0.1, abs=slack)
        assert test_error == pytest.approx(paper["test error"], rel=0.1, abs=0.4)


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
    assert len(set(seeds)) == len(seeds) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_how_the_network_was_trained(name):
    recipe, training = zoo.ZOO[name], load_record(name)["training"]
    assert training["function"] == recipe.train.__name__
    assert training["seed"] == recipe.seed
    assert training["options"].items() >= json.loads(json.dumps(dict(recipe.options))).items()


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


@pytest.mark.parametrize("name", NAMES)
def test_saved_weights_hold_no_denormals(name):
    for value in state_of(load_model(name)):
        small = value[value.abs() < zoo.TINY]
        assert value.dtype == torch.float32
        assert (small.view(torch.int32) << 1 == 0).all()  # bits: comparing would flush them


def test_the_folder_holds_these_checkpoints_and_is_small():
    files = sorted(zoo.CHECKPOINTS.iterdir())
    assert len(files) == 2 * len(NAMES)
    assert sum(file.stat().st_size for file in files) < 8e6
    assert all(re.fullmatch(r"[\w.-]+", file.name) for file in files)


@pytest.mark.parametrize("function", [load_model, load_record])
def test_an_unknown_name_lists_the_known(function):
    with pytest.raises(ValueError, match=r"name: got 'FC10'.*FC10\(1e-4\), .*FC200-200-10"):
        function("FC10")


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="device: got 'abacus'"):
        load_model("FC10(1)", device="abacus")


def test_a_damaged_checkpoint_is_refused(copied):
    path = copied / "FC10_1.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match="FC10_1.safetensors: damaged.*retrain=True"):
        load_model("FC10(1)")
    load_model("FC10(1e-2)")


def test_another_networks_checkpoint_is_refused(copied):
    shutil.copy(copied / "FC10_1e-2.safetensors", copied / "FC10_1.safetensors")
    with pytest.raises(RuntimeError, match="damaged"):
        load_model("FC10(1)")
    for suffix in (".safetensors", ".json"):
        shutil.copy(copied / f"FC10_1e-2{suffix}", copied / f"FC10_1{suffix}")
    with pytest.raises(RuntimeError, match=r"record of 'FC10\(1e-2\)'"):
        load_model("FC10(1)")


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}", b'{"name": "FC10(1)"}'])
def test_a_missing_or_damaged_record_is_refused(copied, content):
    path = copied / "FC10_1.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RuntimeError, match="FC10_1.json.*retrain=True"):
        load_model("FC10(1)")


def test_a_missing_checkpoint_is_refused(copied):
    (copied / "FC10_1.safetensors").unlink()
    with pytest.raises(RuntimeError, match="FC10_1.safetensors: cannot be read.*retrain=True"):
        load_model("FC10(1)")


def test_a_record_of_other_widths_is_refused(copied, monkeypatch):
    monkeypatch.setitem(zoo.ZOO, "FC10(1)", Recipe((20, 10), fit))
    with pytest.raises(RuntimeError, match=r"\[10\].*\[20, 10\]"):
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


def test_retraining_all_writes_what_it_reports(tmp_path, few_digits, capsys):
    folder = tmp_path / "new"
    first = retrain_all(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "FC10_1.json",
        "FC10_1.safetensors",
        "FC7-10-prime.json",
        "FC7-10-prime.safetensors",
    ]
    assert list(first.index) == ["FC10(1)", "FC7-10'"]
    assert "nothing to compare FC10(1) with" in capsys.readouterr().out
    second = retrain_all(folder)
    assert "agreement" not in first and (second["agreement"] == 100).all()
    assert second["test error"].equals(second["shipped test error"])
    assert "agreement" in capsys.readouterr().out
    for name in second.index:
        model = zoo._read(name, folder)
        images, labels = few_digits["train"]
        if zoo.ZOO[name].half:
            indices = zoo.halves(60)[zoo.ZOO[name].half]
            images, labels = images[indices], labels[indices]
        assert error_rate(model, images, labels) == second["train error"][name]
        assert error_rate(model, *few_digits["test"]) == second["test error"][name]
    assert json.loads((folder / "FC7-10-prime.json").read_text())["training"]["seed"] == 5


def test_tiny_weights_are_saved_as_zero(tmp_path, few_digits, monkeypatch):
    few_digits["train"][0][..., :4, :] = 0  # black pixels: here only decay moves the weights

    def train(model, images, labels):
        with torch.no_grad():
            model[1].weight[:, :112] *= 1e-25

    monkeypatch.setitem(zoo.ZOO, "FC10(1)", Recipe((10,), train))
    weight = load_model("FC10(1)", retrain=True)[1].weight
    assert (weight[:, :112] == 0).all() and (weight[:, 112:] != 0).all()


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path, few_digits, monkeypatch):
    retrain_all(tmp_path)
    old = zoo._read("FC10(1)", tmp_path)

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(zoo.os, "replace", fail)
    few_digits["train"][0].mul_(0.5)
    with pytest.raises(OSError, match="no space"):
        retrain_all(tmp_path)
    assert same(zoo._read("FC10(1)", tmp_path), old)
    assert not list(tmp_path.glob("unfinished*"))

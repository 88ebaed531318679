"""The laboratory's files: one script of all modules, and weights that are the checkpoints'."""

import base64
import json
import re

import ipywidgets
import numpy as np
import pytest
import torch
from elsewhere import moved
from IPython.core.formatters import DisplayFormatter
from torch import nn

from course_utils import gan, laboratory
from course_utils.data import load_mnist
from course_utils.laboratory.widget import laboratory as laboratory_widget
from course_utils.lipschitz import frequency_norms
from course_utils.zoo import load_model


def test_the_script_has_every_module_and_no_import():
    script = laboratory.bundle()
    assert not re.search(r"^(import|export)\b", script, flags=re.MULTILINE)
    exported = re.search(r"^const exported = { (.*) };$", script, flags=re.MULTILINE)[1].split(", ")
    assert {"mount", "mountTransfer", "Network", "SHAPES", "smallestPerturbation"} <= set(exported)
    for name in exported:
        assert re.search(rf"\b(class|function|const) {name}\b", script), name


def test_a_notebook_reads_nothing_else_for_an_explorer():
    """VS Code and Colab, too, take one script as a string and have no files beside it."""
    script = laboratory_widget("game")._esm
    assert not re.search(r"\bimport\b|https?:|\bfetch\(|\bsrc\s*=|\brequire\(|\burl\(", script)
    assert re.findall(r"^export .*", script, flags=re.MULTILINE) == [
        "export default { render({ model, el }) {"
    ]


@pytest.mark.parametrize(
    ("name", "precision"), [("FC100-100-10", "float16"), ("FC10(1e-4)", "float32")]
)
def test_weights_are_halves_where_no_prediction_changes(name, precision):
    images = load_mnist("test")[0]
    shipped, model = load_model(name), laboratory.network(name)
    halves = [p.half().float() for p in shipped.parameters()]
    with torch.no_grad():
        assert shipped(images).argmax(1).equal(model(images).argmax(1))
        for parameter, half in zip(shipped.parameters(), halves):
            assert not parameter.equal(half)
            parameter.copy_(half)
        # put the other one in place: halves for the second network do change an answer
        alike = shipped(images).argmax(1).equal(model(images).argmax(1))
    assert alike == (precision == "float16")
    told = laboratory.stored(name)
    assert told["plan"]["precision"] == precision
    size = sum(p.numel() for p in model.parameters()) * (2 if alike else 4)
    assert len(base64.b64decode(told["weights"])) == size


def test_no_name_stands_in_two_modules():
    names = re.findall(
        r"^(?:const|let|class|function|async function) (\w+)",
        laboratory.bundle(),
        flags=re.MULTILINE,
    )
    assert len(names) == len(set(names)) > 20


def test_modules_import_only_what_stands_before_them():
    order = list(laboratory.MODULES)
    for name in order:
        text = (laboratory.HERE / f"{name}.js").read_text(encoding="utf-8")
        for other in re.findall(r'from "\./(\w+)\.js"', text):
            assert order.index(other) < order.index(name)


@pytest.mark.parametrize("name", sorted(set(laboratory.FILES) - set(laboratory.LAYERS)))
def test_weights_are_the_checkpoints(name):
    told = laboratory.stored(name)
    assert json.loads(json.dumps(told)) == told
    raw = base64.b64decode(told["weights"])
    weights = np.frombuffer(raw, dtype=told["plan"]["precision"]).astype(np.float64)
    image = gan.draw_noise(1, 10) if name == "generator" else load_mnist("test")[0][:1]
    values, at = image.flatten().double().numpy(), 0
    for layer in told["plan"]["layers"]:
        if layer["type"] in ("dense", "rbf"):
            n, m = layer["inputs"], layer["outputs"]
            matrix, at = weights[at : at + n * m].reshape(m, n), at + n * m
            if layer["type"] == "dense":
                values, at = matrix @ values + weights[at : at + m], at + m
            else:
                b, at = weights[at : at + n * m].reshape(m, n), at + n * m
                values = -np.log(np.expm1((b * (values - matrix) ** 2).sum(1)))
        elif layer["type"] == "maxout":
            values = values.reshape(layer["pieces"], -1).max(0)
        elif layer["type"] == "sigmoid":
            values = 1 / (1 + np.exp(-values))
        else:
            values = values.clip(0)
    assert at == len(weights)
    with torch.no_grad():
        expected = laboratory.network(name)(image)[0].flatten().numpy()
    # the generator's normalisation is folded into its layers, which are then rounded
    assert values == pytest.approx(expected, abs=2e-3 if name == "generator" else 2e-4)


def test_a_network_of_ones_own_keeps_its_precision():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)).eval()
    model[1].running_mean.uniform_()
    model[1].running_var.uniform_(1, 2)
    told = laboratory.stored("mine", model)
    weights = np.frombuffer(base64.b64decode(told["weights"]), dtype=told["plan"]["precision"])
    first, bias, second, last = np.split(weights.astype(np.float64), [12, 15, 21])
    x = torch.randn(1, 4)
    hidden = (first.reshape(3, 4) @ x[0].numpy() + bias).clip(0)
    expected = model(x)[0].detach().numpy()
    assert second.reshape(2, 3) @ hidden + last == pytest.approx(expected, abs=1e-6)


def test_a_convolution_comes_with_its_norms():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3, stride=2)
    told = laboratory.stored("mine", (layer, (3, 9, 13)))
    numbers = np.frombuffer(base64.b64decode(told["weights"]), dtype=np.float32)
    norms, plan = frequency_norms(layer, (3, 9, 13)), told["plan"]
    assert (plan["periods"], plan["input"], plan["stride"]) == (norms.shape, (9, 13), (2, 2))
    assert numbers[: 4 * 27] == pytest.approx(layer.weight.detach().flatten().numpy())
    assert numbers[4 * 27 :] == pytest.approx(norms.flatten().numpy(), rel=1e-6)
    with pytest.raises(ValueError, match="has groups, padding or dilation"):
        laboratory.stored("mine", (nn.Conv2d(3, 4, 3, padding=1), (3, 9, 13)))


def test_a_convolution_may_be_on_any_device(monkeypatch):
    layer = nn.Conv2d(3, 4, 3)
    told, norms = laboratory.stored("mine", (layer, (3, 9, 13))), frequency_norms(layer, (3, 9, 13))
    # They are on the CPU wherever the layer is, but take no tensors of a kind of their own.
    monkeypatch.setattr(laboratory, "frequency_norms", lambda *_: norms)
    assert laboratory.stored("mine", (moved(layer), (3, 9, 13))) == told


def test_a_layer_that_the_laboratory_lacks_is_refused(monkeypatch):
    monkeypatch.setattr(laboratory, "network", lambda name: nn.Sequential(nn.Tanh()))
    with pytest.raises(ValueError, match="has a Tanh"):
        laboratory.stored("FC100-100-10")


def test_digits_are_the_first_of_the_test_set():
    told, (images, labels) = laboratory.digits(3), load_mnist("test")
    pixels = np.frombuffer(base64.b64decode(told["images"]), dtype=np.uint8).reshape(3, 28, 28)
    assert told["labels"] == labels[:3].tolist()
    assert np.abs(pixels / 255 - images[:3, 0].numpy()).max() < 1 / 500


def test_a_place_names_its_files():
    assert 'data-laboratory="attack=sign&amp;eps=0.25"' in laboratory.place("attack=sign&eps=0.25")
    assert "[&quot;RBF&quot;]" in laboratory.place(networks=["RBF"])
    with pytest.raises(ValueError, match=r"networks: got \['mine'\]"):
        laboratory.place(networks=["RBF", "mine"])


def test_the_widget_brings_what_its_script_reads():
    made = laboratory_widget("attack=sign", networks=("FC10(1e-4)",))
    state = made.get_state()
    assert list(state["networks"]) == ["FC10(1e-4)"] and state["kind"] == "attack=sign"
    assert "export default" in state["_esm"] and ".laboratory" in state["_css"]
    data, _ = made._repr_mimebundle_()
    assert data[laboratory.MIME] == {"kind": "attack=sign", "networks": ["FC10(1e-4)"]}
    assert "run this cell" in data["text/plain"]
    assert laboratory_widget("game").get_state()["networks"] == {}
    own = laboratory_widget(networks={"mine": nn.Sequential(nn.Flatten(), nn.Linear(784, 10))})
    assert own.networks["mine"]["plan"]["bound"] > 0


def test_with_ipywidgets_7_too_words_stand_beside_the_widget(monkeypatch):
    """Its widgets display themselves, and IPython then asks for nothing else."""
    monkeypatch.setattr(ipywidgets.Widget, "_ipython_display_", lambda self: None, raising=False)
    data, _ = DisplayFormatter().format(laboratory_widget("game"))
    assert "run this cell" in data["text/plain"] and laboratory.MIME in data


def test_the_widget_refuses_an_unknown_network():
    with pytest.raises(ValueError, match="networks: got FC9"):
        laboratory_widget(networks=("FC9",))

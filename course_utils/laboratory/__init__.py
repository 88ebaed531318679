"""The laboratory: the course's networks and attacks in the browser, with no kernel.

The code is in plain ES modules beside this file. `bundle` joins them into one script, which the
site's pages load, and which JupyterLab, VS Code and Colab load through anywidget. Weights are
exported from the checkpoints, as halves where that changes no prediction.
"""

import base64
import html
import json
import re
import shutil
import zlib
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils.data import load_mnist
from course_utils.gan import load_gan
from course_utils.imagenet import alexnet_2012, imagenet_classifier
from course_utils.lipschitz import frequency_norms, network_bound
from course_utils.models import RBF, Maxout
from course_utils.zoo import load_model, load_study

HERE = Path(__file__).parent
MIME = "application/vnd.course.laboratory+json"  # in a stored notebook: what stands there
MODULES = "networks attacks pad laboratory game arena transfer walk frequency mount".split()
# Networks of 784-100-100-10 rectifiers (Lectures 3 and 4), by how they were trained.
STUDIED = {
    "rectifiers": "none",
    "rectifiers (one step of .25)": "adversarial training",
    "rectifiers (projected gradient)": "projected gradient",
    "rectifiers (penalised)": "Lipschitz penalty",
}
NETWORKS = ("FC10(1e-4)", "FC100-100-10", "AE400-10", "maxout", "maxout (adversarial)", "RBF")
NETWORKS += (*STUDIED,)
LAYERS = ("AlexNet, conv1, untrained", "EfficientNet-Lite0, stem, trained")  # of Lecture 3
FILES = (*NETWORKS, "FC10(1e-2)", "FC10(1)", "FC200-200-10", "generator", *LAYERS)  # on the site
SCRIPTS = ("laboratory", "digits", "start")  # in this order


def bundle() -> str:
    """Return the modules as one script without comments; `exported` is what they export."""
    text = "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in MODULES)
    names = ", ".join(re.findall(r"^export (?:async )?\w+ (\w+)", text, flags=re.MULTILINE))
    text = re.sub(r"^import\b[^;]*;\n|^export |^ *(//|/?\*).*\n", "", text, flags=re.MULTILINE)
    return f"{text}const exported = {{ {names} }};\n"


def network(name: str) -> nn.Module | tuple[nn.Conv2d, tuple[int, int, int]]:
    """Return the network of that name: of the zoo, of `STUDIED`, or Lecture 5's generator; of
    `LAYERS`, the layer and the shape of its input.

    Weights are rounded to halves where each of the 10,000 test digits is still read alike.
    """
    if name == LAYERS[0]:
        return alexnet_2012(seed=0).conv1, (3, 227, 227)
    if name == LAYERS[1]:
        stem = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        stem.weight = imagenet_classifier("efficientnet_lite0")[1]._conv_stem.weight
        return stem, (3, 225, 225)  # a picture of 224, and a row of zeros
    if name == "generator":
        return load_gan()[0]
    model = load_study(STUDIED[name])[0] if name in STUDIED else load_model(name)
    rounded, images = deepcopy(model).half().float(), load_mnist("test")[0]
    with torch.no_grad():
        alike = model(images).argmax(1).equal(rounded(images).argmax(1))
    return rounded if alike else model


def encoded(numbers: torch.Tensor) -> str:
    """Return a tensor's bytes in base64."""
    return base64.b64encode(numbers.cpu().numpy().tobytes()).decode()


def stored(name: str, model: nn.Module | None = None) -> dict:
    """Return a network as the laboratory reads it: its plan, and its weights in base64.

    Args:
        name: one of `FILES` or of the zoo, stored as `network` has it; with `model`, any.
        model: a network of one's own, stored exactly; or a convolution and the shape of its
            input, for its norms at all frequencies.

    Raises ValueError where the name is unknown, or the laboratory lacks one of the layers.
    """
    rounded = model is None and name == "generator"  # a picture's grey is off by 0.002 at most
    model = network(name) if model is None else model
    if isinstance(model, tuple):
        return _stored_layer(name, *model)
    layers, tensors = [], []
    for layer in [model] if isinstance(model, RBF) else model:
        if isinstance(layer, nn.Linear):
            tensors += [layer.weight, layer.bias]
            sizes = {"inputs": layer.in_features, "outputs": layer.out_features}
            layers.append({"type": "dense", **sizes})
        elif isinstance(layer, nn.BatchNorm1d):  # as the network uses it: part of the one before
            scale = layer.weight / (layer.running_var + layer.eps).sqrt()
            weight, bias = tensors[-2:]
            shift = layer.bias - scale * layer.running_mean
            tensors[-2:] = scale[:, None] * weight, scale * bias + shift
        elif isinstance(layer, RBF):
            tensors += [layer.means, layer.log_precisions.exp()]
            classes, inputs = layer.means.shape
            layers.append({"type": "rbf", "inputs": inputs, "outputs": classes})
        elif isinstance(layer, Maxout):
            layers.append({"type": "maxout", "pieces": layer.PIECES})
        elif isinstance(layer, nn.Sigmoid | nn.ReLU):
            layers.append({"type": "sigmoid" if isinstance(layer, nn.Sigmoid) else "rectifier"})
        elif not isinstance(layer, nn.Flatten | nn.Unflatten | nn.Dropout):
            raise ValueError(f"name: {name!r} has a {type(layer).__name__}, which has no twin here")
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors]).float()
    if rounded or flat.half().float().equal(flat):
        flat = flat.half()
    plan = {"name": name, "layers": layers, "precision": str(flat.dtype).removeprefix("torch.")}
    if layers[0].get("inputs") == 784 and layers[-1]["type"] == "dense":
        with suppress(TypeError):  # of maxout networks no bound is known
            plan["bound"] = network_bound(model, (1, 28, 28))
    return {"plan": plan, "weights": encoded(flat)}


def _stored_layer(name: str, layer: nn.Conv2d, shape: tuple[int, int, int]) -> dict:
    """A convolution as the laboratory reads it: its weights, then `frequency_norms`."""
    norms = frequency_norms(layer, shape)
    if layer.groups != 1 or any(layer.padding) or max(layer.dilation) > 1:
        raise ValueError(f"name: {name!r} has groups, padding or dilation")
    plan = {"name": name, "input": shape[1:], "periods": tuple(norms.shape)}
    plan |= {"channels": layer.in_channels, "outputs": layer.out_channels}
    plan |= {"kernel": layer.kernel_size, "stride": layer.stride}
    flat = torch.cat([layer.weight.detach().cpu().flatten(), norms.flatten()]).float()
    return {"plan": plan, "weights": encoded(flat)}


@cache
def digits(count: int = 100) -> dict:
    """Return the first test digits, and what 99 % of the training digits are like.

    "images" and the "means" of the ten classes are bytes in base64; "labels" a list; "ink" is the
    least and most sum of a digit's pixels; "farthest" its L2 distance from the nearest mean.
    """
    images, labels = load_mnist("test")
    seen, classes = load_mnist("train")
    means = torch.stack([seen[classes == k].mean(0) for k in range(10)])
    away = torch.cdist(seen.flatten(1), means.flatten(1)).amin(1)
    ink = np.quantile(seen.flatten(1).sum(1), (0.0025, 0.9975))
    told = {"labels": labels[:count].tolist(), "ink": ink.tolist()}
    told |= {"farthest": np.quantile(away, 0.995).item()}
    for name, pictures in (("images", images[:count]), ("means", means)):
        told[name] = encoded((255 * pictures).round().to(torch.uint8))
    return told


def packed(told: dict) -> str:
    """Return what JSON can say as a script's string: compressed, in base64."""
    return json.dumps(base64.b64encode(zlib.compress(json.dumps(told).encode(), 9)).decode())


def write(folder: Path) -> None:
    """Write the laboratory's files for a site into `folder`.

    Everything is a classic script, also the weights, so that the page works from a disk, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start = "window.courseLaboratory ??= { networks: {}, packed: {}, ...exported };\n"
    (folder / "laboratory.js").write_text(f"(() => {{\n{bundle()}{start}}})();\n", encoding="utf-8")
    for name in ("laboratory.css", "start.js"):
        shutil.copy(HERE / name, folder)
    sizes = {}
    for number, name in enumerate(FILES):
        text = f"courseLaboratory.packed[{json.dumps(name)}] = {packed(stored(name))};\n"
        sizes[name] = (folder / f"network-{number}.js").write_text(text)
    told = json.dumps({"names": NETWORKS, "files": sizes})
    text = f"Object.assign(courseLaboratory, {told}).packed.digits = {packed(digits())};\n"
    (folder / "digits.js").write_text(text)


def place(kind: str = "page", *, networks: Sequence = (), files: str = "_static/laboratory") -> str:
    """Return HTML that keeps a place for the laboratory on a page.

    Args:
        kind: as for `course_utils.laboratory.widget.laboratory`; or "page", whose state is in the
            page's address.
        networks: names among `FILES`, to choose from; none for `NETWORKS`.
        files: where `write` put the files, as seen from the page.

    Raises ValueError where there is no file of a network.
    """
    if unknown := set(networks) - set(FILES):
        raise ValueError(f"networks: got {sorted(unknown)}, expected some of {FILES}")
    scripts = [f'<script defer src="{files}/{name}.js"></script>' for name in SCRIPTS]
    told = html.escape(json.dumps(list(networks)))
    return f"""<link rel="stylesheet" href="{files}/laboratory.css">
<div data-laboratory="{html.escape(kind)}" data-networks="{told}">
<noscript>An explorer, which needs JavaScript.</noscript></div>{"".join(scripts)}"""

"""The laboratory: the course's networks and attacks in the browser, with no kernel.

The code is in plain ES modules beside this file. `bundle` joins them into one script, which the
site's pages load, and which JupyterLab, VS Code and Colab load through anywidget. Weights are
exported from the checkpoints as they are.
"""

import base64
import html
import json
import re
import shutil
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from course_utils.data import load_mnist
from course_utils.lipschitz import network_bound
from course_utils.models import RBF, Maxout
from course_utils.zoo import STUDY, ZOO, load_model, load_study

HERE = Path(__file__).parent
MODULES = ("networks", "attacks", "pad", "laboratory", "game", "arena")
# Lecture 4's networks of 784-100-100-10 rectifiers, by how they were trained.
STUDIED = {
    "rectifiers": "none",
    "rectifiers (one step of .25)": "adversarial training",
    "rectifiers (projected gradient)": "projected gradient",
}
NETWORKS = ("FC10(1e-4)", "FC100-100-10", "AE400-10", "maxout", "maxout (adversarial)", "RBF",
            *STUDIED)  # fmt: skip
DIGITS = 100  # of the test set
EXPORTED = (
    "mountLaboratory", "mountGame", "stateOf", "Network", "largest", "logOdds", "distortion",
    "fastGradientSign", "projectedGradient", "smallestPerturbation", "noiseOfSize", "centred",
    "SmallNetwork", "Game", "generatorSlope",
)  # fmt: skip


def bundle() -> str:
    """Return the modules as one script: imports and the word export dropped, in this order."""
    texts = [(HERE / f"{name}.js").read_text(encoding="utf-8") for name in MODULES]
    joined = re.sub(r"^import\b[^;]*;\n", "", "\n".join(texts), flags=re.MULTILINE)
    return re.sub(r"^export ", "", joined, flags=re.MULTILINE)


def network(name: str) -> nn.Module:
    """Return the network that the laboratory calls so: one of the zoo, or of `STUDIED`."""
    return load_study(STUDIED[name])[0] if name in STUDIED else load_model(name)


def stored(name: str) -> dict:
    """Return a network of the zoo as the laboratory reads it: its plan, and its weights in base64.

    Raises:
        ValueError: the name is unknown, or the network has a layer that the laboratory has not.
    """
    model = network(name)
    precision = (STUDY[STUDIED[name]] if name in STUDIED else ZOO[name]).precision
    layers, tensors = [], []
    for layer in [model] if isinstance(model, RBF) else model:
        if isinstance(layer, nn.Linear):
            tensors += [layer.weight, layer.bias]
            layers.append(
                {"type": "dense", "inputs": layer.in_features, "outputs": layer.out_features}
            )
        elif isinstance(layer, RBF):
            tensors += [layer.means, layer.log_precisions.exp()]
            classes, inputs = layer.means.shape
            layers.append({"type": "rbf", "inputs": inputs, "outputs": classes})
        elif isinstance(layer, Maxout):
            layers.append({"type": "maxout", "pieces": layer.PIECES})
        elif isinstance(layer, nn.Sigmoid | nn.ReLU):
            layers.append({"type": "sigmoid" if isinstance(layer, nn.Sigmoid) else "rectifier"})
        elif not isinstance(layer, nn.Flatten | nn.Dropout):
            raise ValueError(f"name: {name!r} has a {type(layer).__name__}, which has no twin here")
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors]).to(precision)
    plan = {"name": name, "layers": layers, "precision": str(precision).removeprefix("torch.")}
    with suppress(TypeError):  # of maxout and RBF networks no bound is known
        plan["bound"] = network_bound(model, (1, 28, 28))
    return {"plan": plan, "weights": base64.b64encode(flat.numpy().tobytes()).decode()}


def digits(count: int = DIGITS) -> dict:
    """Return the first test digits, as bytes in base64, and their labels."""
    images, labels = load_mnist("test")
    whole = (255 * images[:count]).round().to(torch.uint8)
    return {
        "images": base64.b64encode(whole.numpy().tobytes()).decode(),
        "labels": labels[:count].tolist(),
    }


def write(folder: Path) -> None:
    """Write the laboratory's files for a site into `folder`.

    Everything is a classic script, also the weights, so that the page works from a disk, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start = "window.courseLaboratory = { networks: {}, " + ", ".join(EXPORTED) + " };\n"
    (folder / "laboratory.js").write_text(f"(() => {{\n{bundle()}{start}}})();\n", encoding="utf-8")
    for name in ("laboratory.css", "start.js"):
        shutil.copy(HERE / name, folder)
    told = {"digits": digits(), "names": list(NETWORKS)}
    (folder / "digits.js").write_text(f"Object.assign(courseLaboratory, {json.dumps(told)});\n")
    for number, name in enumerate(NETWORKS):
        text = f"courseLaboratory.networks[{json.dumps(name)}] = {json.dumps(stored(name))};\n"
        (folder / f"network-{number}.js").write_text(text)


def place(kind: str = "page", *, files: str = "_static/laboratory") -> str:
    """Return HTML that keeps a place for the laboratory on a page.

    Args:
        kind: "page", whose state is in the page's address; "game"; or a state, such as
            "attack=sign&eps=0.25", to start from.
        files: where `write` put the files, as seen from the page.
    """
    scripts = "".join(
        f'<script defer src="{files}/{name}.js"></script>'
        for name in ("laboratory", "digits", "start")
    )
    return (
        f'<link rel="stylesheet" href="{files}/laboratory.css">'
        f'<div data-laboratory="{html.escape(kind)}">'
        "<noscript>This needs JavaScript.</noscript></div>"
        f"{scripts}"
    )

"""The laboratory: the course's networks and attacks in the browser, with no kernel.

The code is in plain ES modules beside this file. `bundle` joins them into one script, which the
site's pages load, and which JupyterLab, VS Code and Colab load through anywidget. Weights are
exported from the checkpoints as they are.
"""

import base64
import json
import re
from pathlib import Path

import torch
from torch import nn

from course_utils.data import load_mnist
from course_utils.lipschitz import network_bound
from course_utils.models import RBF, Maxout
from course_utils.zoo import ZOO, load_model

HERE = Path(__file__).parent
MODULES = ("networks", "attacks", "pad", "laboratory", "game", "arena")
NETWORKS = ("FC10(1e-4)", "FC100-100-10", "AE400-10", "maxout", "maxout (adversarial)", "RBF")
DIGITS = 100  # of the test set


def bundle() -> str:
    """Return the modules as one script: imports and the word export dropped, in this order."""
    texts = [(HERE / f"{name}.js").read_text(encoding="utf-8") for name in MODULES]
    joined = re.sub(r"^import\b[^;]*;\n", "", "\n".join(texts), flags=re.MULTILINE)
    return re.sub(r"^export ", "", joined, flags=re.MULTILINE)


def stored(name: str) -> dict:
    """Return a network of the zoo as the laboratory reads it: its plan, and its weights in base64.

    Raises:
        ValueError: the name is unknown, or the network has a layer that the laboratory has not.
    """
    model, precision = load_model(name), ZOO[name].precision
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
    if not isinstance(model, RBF):  # of which no bound is known
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


def write(folder: Path) -> list[str]:
    """Write the laboratory's files for a site into `folder`; return the names of its scripts.

    Everything is a classic script, also the weights, so that the page works from a disk, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start = """
window.courseLaboratory = { networks: {}, mountLaboratory, mountGame, stateOf };
"""
    (folder / "laboratory.js").write_text(f"(() => {{\n{bundle()}{start}}})();\n", encoding="utf-8")
    (folder / "laboratory.css").write_text((HERE / "laboratory.css").read_text(encoding="utf-8"))
    (folder / "start.js").write_text((HERE / "start.js").read_text(encoding="utf-8"))
    told = {"digits": digits(), "names": list(NETWORKS)}
    (folder / "digits.js").write_text(f"Object.assign(courseLaboratory, {json.dumps(told)});\n")
    for number, name in enumerate(NETWORKS):
        text = f"courseLaboratory.networks[{json.dumps(name)}] = {json.dumps(stored(name))};\n"
        (folder / f"network-{number}.js").write_text(text)
    return ["laboratory.js", "digits.js", "start.js"]

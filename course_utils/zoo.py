"""The deck's networks by the deck's names, trained and ready to load."""

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import nn

from course_utils import data
from course_utils.device import get_device
from course_utils.models import fully_connected
from course_utils.training import error_rate, fit, fit_linear, fit_sparse_features, predict

CHECKPOINTS = Path(__file__).with_name("checkpoints")
SPLIT_SEED = 0  # of the two halves of the training set
TINY = 1e-20  # weights below this are kept as zero: as denormals they would slow every product


@dataclass(frozen=True)
class Recipe:
    """How one network is built and trained: on all of the training set, or on one half of it.

    No two networks with hidden layers share a seed: their first weights would come from the same
    draws, and networks that start alike may fail alike.
    """

    widths: tuple[int, ...]
    train: Callable[..., pd.DataFrame]
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    half: str | None = None


def _linear(weight_decay: float) -> Recipe:
    # The flatter the problem, the smaller the gradient at which no printed digit moves.
    tolerance = 1e-7 if weight_decay < 1e-3 else 1e-6
    return Recipe((10,), fit_linear, {"weight_decay": weight_decay, "tolerance": tolerance})


def _sparse_features(*widths: int, seed: int) -> Recipe:
    # The paper gives the softmax's weight decay. The rest comes near its train and test error.
    options = {
        "sparsity": 0.1,
        "penalty": 0.2,
        "autoencoder_decay": 2e-3,
        "weight_decay": 1e-6,
        "epochs": 15,
        "batch_size": 200,
        "learning_rate": 0.005,
    }
    return Recipe(widths, fit_sparse_features, options, seed)


def _sigmoid(*widths: int, seed: int, half: str | None = None) -> Recipe:
    options = {"weight_decay": [1e-5, 1e-5, 1e-6], "epochs": 40, "learning_rate": 0.01}
    return Recipe(widths, fit, options, seed, half)


ZOO: dict[str, Recipe] = {
    "FC10(1e-4)": _linear(1e-4),
    "FC10(1e-2)": _linear(1e-2),
    "FC10(1)": _linear(1.0),
    "FC100-100-10": _sigmoid(100, 100, 10, seed=0),
    "FC200-200-10": _sigmoid(200, 200, 10, seed=1),
    "AE400-10": _sparse_features(400, 10, seed=2),
    # Of the deck's "Cross-training generalization", which calls the first FC100-100-10 as well.
    "FC100-100-10(P1)": _sigmoid(100, 100, 10, seed=3, half="P1"),
    "FC123-456-10": _sigmoid(123, 456, 10, seed=4, half="P1"),
    "FC100-100-10'": _sigmoid(100, 100, 10, seed=5, half="P2"),
}


def model_names() -> list[str]:
    """Return the names that `load_model` knows."""
    return list(ZOO)


def load_model(
    name: str, *, retrain: bool = False, device: str | torch.device | None = None
) -> nn.Module:
    """Return a trained network: images (N, 1, 28, 28) in [0, 1] to logits (N, 10), in eval mode.

    Args:
        name: one of `model_names()`, such as "FC100-100-10".
        retrain: train it anew on MNIST, showing progress, instead of reading the checkpoint;
            the shipped checkpoint stays as it is.
        device: where to put it (and to train it); None for the CPU.

    Raises:
        ValueError: the name or the device is unknown.
        RuntimeError: the checkpoint is missing, damaged or does not belong to this network.
    """
    recipe = _recipe(name)
    try:
        place = get_device(str(device or "cpu"))
    except ValueError as error:
        raise ValueError(str(error).replace("name:", "device:", 1)) from None
    if retrain:
        return _train(recipe, place)[0]
    return _read(name, CHECKPOINTS).to(place)


def load_record(name: str) -> dict:
    """Return what is recorded about the shipped checkpoint of a network.

    Architecture, data, seed, options of the training, train and test error in percent, versions.
    The train error is counted on the images that the network was trained on, which for some is
    one half of MNIST's training set (see `halves`).
    """
    _recipe(name)
    return _read_record(name, CHECKPOINTS)


def halves(count: int = 60_000) -> dict[str, torch.Tensor]:
    """Return the split of the training set into the disjoint halves "P1" and "P2".

    Args:
        count: of the training images.

    Returns:
        For each half its indices into `load_mnist("train")`, int64, ascending: the first and the
        second half of one random permutation, the same on every machine.

    Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.2, which does not say how it split.
    """
    # NumPy promises that RandomState's streams never change; PyTorch promises nothing such.
    order = torch.from_numpy(np.random.RandomState(SPLIT_SEED).permutation(count))
    return {
        "P1": order[: count // 2].sort().values,
        "P2": order[count // 2 :].sort().values,
    }


def retrain_all(folder: Path = CHECKPOINTS) -> pd.DataFrame:
    """Retrain every network, write the checkpoints, and report how they compare with the old.

    Args:
        folder: of the checkpoints, old and new.

    Returns:
        The table that is printed, one row a network: train and test error in percent, retrained
        and as shipped; the seconds that training took; and "agreement", the percentage of the
        test images to which both give the same class.
    """
    test_images, _ = data.load_mnist("test")
    rows = {}
    for name, recipe in ZOO.items():
        print(f"training {name}", flush=True)
        start = time.perf_counter()
        model, record = _train(recipe, get_device("cpu"))
        row = {
            "train error": record["train_error"],
            "test error": record["test_error"],
            "seconds": time.perf_counter() - start,
        }
        try:
            old, old_record = _read(name, folder), _read_record(name, folder)
        except RuntimeError as error:
            print(f"nothing to compare {name} with: {error}")
        else:
            row["shipped train error"] = old_record["train_error"]
            row["shipped test error"] = old_record["test_error"]
            same = predict(model, test_images) == predict(old, test_images)
            row["agreement"] = 100 * same.double().mean().item()
        rows[name] = row
        _write(name, model, record, folder)
    table = pd.DataFrame.from_dict(rows, orient="index")
    print(table.to_string(float_format="{:.2f}".format))
    return table


def _recipe(name: str) -> Recipe:
    if name not in ZOO:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(ZOO)}")
    return ZOO[name]


def _train(recipe: Recipe, device: torch.device) -> tuple[nn.Module, dict]:
    """Train a network; return it with the record of how it was trained and what it reaches."""
    images, labels = (tensor.to(device) for tensor in data.load_mnist("train"))
    test_images, test_labels = (tensor.to(device) for tensor in data.load_mnist("test"))
    source = {"name": "MNIST, all of its training set", "sha256": data.MNIST_SHA256}
    if recipe.half:
        indices = halves(len(images))[recipe.half]
        images, labels = images[indices], labels[indices]
        source["name"] = f"MNIST, half {recipe.half} of its training set"
        source["split"] = {"seed": SPLIT_SEED, "indices_sha256": _hash_of_indices(indices)}
    model = fully_connected(*recipe.widths, seed=recipe.seed).to(device)
    options = dict(recipe.options)
    if recipe.train in (fit, fit_sparse_features):
        options["seed"] = recipe.seed
    recipe.train(model, images, labels, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[parameter.abs() < TINY] = 0.0
    model.eval()
    record = {
        "architecture": {"widths": list(recipe.widths), "hidden": "sigmoid"},
        "training": {"function": recipe.train.__name__, "options": options, "seed": recipe.seed},
        "data": source,
        "train_error": error_rate(model, images, labels),
        "test_error": error_rate(model, test_images, test_labels),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    return model, record


def _hash_of_indices(indices: torch.Tensor) -> str:
    return hashlib.sha256(indices.numpy().astype("<i8").tobytes()).hexdigest()


def _path(name: str, folder: Path, suffix: str) -> Path:
    """Return a checkpoint's path; its file name does without characters that need quoting."""
    return folder / (name.replace("(", "_").replace(")", "").replace("'", "-prime") + suffix)


def _read(name: str, folder: Path) -> nn.Module:
    record = _read_record(name, folder)
    path = _path(name, folder, ".safetensors")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RuntimeError(f"{path}: cannot be read ({error}). {_advice(name)}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != record["sha256"]:
        raise RuntimeError(
            f"{path}: damaged, its SHA-256 is {found}, the record beside it says "
            f"{record['sha256']}. {_advice(name)}"
        )
    model = fully_connected(*ZOO[name].widths)
    model.load_state_dict(safetensors.torch.load(content))
    return model.eval()


def _read_record(name: str, folder: Path) -> dict:
    path = _path(name, folder, ".json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        recorded, widths, _ = record["name"], record["architecture"]["widths"], record["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{path}: cannot be read ({error!r}). {_advice(name)}") from error
    if (recorded, widths) != (name, list(ZOO[name].widths)):
        raise RuntimeError(
            f"{path}: the record of {recorded!r} with layers of {widths} units, "
            f"expected {name!r} with {list(ZOO[name].widths)}. {_advice(name)}"
        )
    return record


def _advice(name: str) -> str:
    return f"Install the course anew, or train it: load_model({name!r}, retrain=True)"


def _write(name: str, model: nn.Module, record: dict, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save(model.state_dict())
    record = {"name": name, **record, "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps(record, indent=2) + "\n"
    with tempfile.TemporaryDirectory(dir=folder, prefix="unfinished-") as beside:
        for suffix, written in ((".safetensors", content), (".json", text.encode())):
            path = _path(name, folder, suffix)
            unfinished = Path(beside) / path.name
            unfinished.write_bytes(written)
            os.replace(unfinished, path)

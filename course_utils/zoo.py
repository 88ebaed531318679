"""The deck's networks by the deck's names, trained and ready to load; and how each was trained."""

import hashlib
import json
import platform
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_utils import checkpoint, data, losses, training
from course_utils.checks import check_choice
from course_utils.models import RBF, convolutional, fully_connected

ADVICE = "Install the course anew, or train it: "
CHECKPOINTS = Path(__file__).with_name("checkpoints")
SPLIT_SEED = 0  # of the two halves of the training set
TINY = 1e-20  # weights below this are kept as zero: as denormals they would slow every product


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained: on all of the training set, or on one half of it.

    No two networks with hidden layers share a seed: their first weights would come from the same
    draws, and networks that start alike may fail alike. (The study of regularisation is the
    exception: its conditions start from the same weights, to differ in nothing else.)
    """

    widths: list[int]
    train: Callable[..., pd.DataFrame]
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    half: str | None = None
    hidden: str = "sigmoid"
    dropout: tuple[float, float] = (0.0, 0.0)
    copies: int = 1  # trained alike, from the seed and those after it; they share a checkpoint
    precision: torch.dtype = torch.float32  # to which the weights are rounded, to be shipped

    @property
    def architecture(self) -> dict[str, object]:
        """What the record tells of the network itself."""
        told = {"widths": list(self.widths), "hidden": self.hidden}
        return told | ({"dropout": list(self.dropout)} if any(self.dropout) else {})

    def build(self, copy: int = 0) -> nn.Module:
        """Return the network, untrained, from the seed of this copy."""
        if self.hidden == "RBF":
            return RBF()
        if self.hidden == "convolution":
            return convolutional(seed=self.seed + copy)
        options = {"hidden": self.hidden, "dropout": self.dropout, "seed": self.seed + copy}
        return fully_connected(*self.widths, **options)


def _recipes_of(section: dict[str, dict]) -> dict[str, Recipe]:
    """Return the recipes of a section of zoo.toml."""
    told, recipes = {}, {}
    for name, own in section.items():
        like = told.get(own.pop("like", None), {"options": {}})
        told[name] = like | own | {"options": like["options"] | own.get("options", {})}
        options = dict(told[name]["options"])
        if loss := dict(options.get("loss", {})):
            options["loss"] = partial(getattr(losses, loss.pop("function")), **loss)
        found = {"options": options, "train": getattr(training, told[name]["train"])}
        found["precision"] = getattr(torch, told[name].get("precision", "float32"))
        recipes[name] = Recipe(**told[name] | found)
    return recipes


_TOLD = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
ZOO, STUDY = _recipes_of(_TOLD["networks"]), _recipes_of(_TOLD["study"])


def load_model(name: str, *, retrain: bool = False) -> nn.Module:
    """Return a trained network: images (N, 1, 28, 28) in [0, 1] to logits (N, 10), in eval mode.

    Args:
        name: one of `ZOO`, such as "FC100-100-10".
        retrain: train it anew on MNIST, showing progress, instead of reading the checkpoint;
            the shipped checkpoint stays as it is.

    Raises ValueError for an unknown name, RuntimeError where the checkpoint is missing, damaged or
    does not belong to this network.
    """
    check_choice(ZOO, name=name)
    return (train(ZOO[name]) if retrain else read(name))[0][0]


def load_record(name: str) -> dict:
    """Return what is recorded about the shipped checkpoint of a network.

    Architecture, data, seed, options of the training, versions; train error (on the images that
    the network was trained on) and test error, in percent, of the weights as shipped, which for
    maxout networks are in half precision.
    """
    check_choice(ZOO, name=name)
    return read(name)[1]


def load_study(condition: str) -> list[nn.Module]:
    """Return the networks of the study of regularisation that were trained under one condition.

    Otherwise as `load_model`. The condition is one of `STUDY`: "none", or what was done against
    overfitting; "noise" is the control of "adversarial training". Networks in the same place of
    two lists started from the same weights and saw the images in the same order.
    """
    check_choice(STUDY, condition=condition)
    return read(_study_name(condition))[0]


def halves(count: int = 60_000) -> dict[str, torch.Tensor]:
    """Return the split of a training set of `count` images into the disjoint halves "P1" and "P2".

    For each half its indices into `load_mnist("train")`, int64, ascending: the first and the
    second half of one random permutation, the same on every machine.

    Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.2, which does not say how it split.
    """
    # NumPy promises that RandomState's streams never change; PyTorch promises nothing such.
    order = torch.from_numpy(np.random.RandomState(SPLIT_SEED).permutation(count))
    return {"P1": order[: count // 2].sort().values, "P2": order[count // 2 :].sort().values}


def checkpoints() -> dict[str, Recipe]:
    """Return the recipe of every checkpoint by its name: every network's, and every study's."""
    return ZOO | {_study_name(condition): recipe for condition, recipe in STUDY.items()}


def told(value: object) -> object:
    """For `json.dumps(..., default=told)`: a recipe as its fields, a loss as name and options."""
    if isinstance(value, partial):
        return {"function": value.func.__name__, **value.keywords}
    if is_dataclass(value):
        return vars(value)
    return value.__name__ if callable(value) else str(value)


def train(recipe: Recipe, *, progress: bool = True) -> tuple[list[nn.Module], dict]:
    """Train a recipe's networks on MNIST; return them, in eval mode, and the record of it all.

    For seeds other than a shipped network's, `dataclasses.replace(ZOO[name], seed=...)`.
    """
    (images, labels), tests = map(data.load_mnist, ("train", "test"))
    source = {"name": "MNIST, all of its training set", "sha256": data.MNIST_SHA256}
    if recipe.half:
        indices = halves(len(images))[recipe.half]
        images, labels = images[indices], labels[indices]
        digest = hashlib.sha256(indices.numpy().astype("<i8").tobytes()).hexdigest()
        source["name"] = f"MNIST, half {recipe.half} of its training set"
        source["split"] = {"seed": SPLIT_SEED, "indices_sha256": digest}
    networks, errors = [], {"train_error": [], "test_error": []}
    for copy in range(recipe.copies):
        model = recipe.build(copy)
        seed = {} if recipe.train is training.fit_linear else {"seed": recipe.seed + copy}
        recipe.train(model, images, labels, **recipe.options, **seed, progress=progress)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.to(recipe.precision))
                parameter[parameter.abs() < TINY] = 0.0
        networks.append(model.eval())
        errors["train_error"].append(training.error_rate(model, images, labels))
        errors["test_error"].append(training.error_rate(model, *tests))
    options = json.loads(json.dumps(recipe.options, default=told))
    return networks, {
        "architecture": recipe.architecture,
        "training": {"function": recipe.train.__name__, "seed": recipe.seed, "options": options},
        "data": source,
        **{name: rates if recipe.copies > 1 else rates[0] for name, rates in errors.items()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def _study_name(condition: str) -> str:
    return f"study ({condition})"


def together(networks: list[nn.Module]) -> nn.Module:
    """Return what a checkpoint holds the state of: the network, or all of them."""
    return nn.ModuleList(networks) if len(networks) > 1 else networks[0]


def read(name: str, folder: Path | None = None) -> tuple[list[nn.Module], dict]:
    """Return a checkpoint's networks, mostly one, in eval mode; and its record."""
    how = f"load_model({name!r}, retrain=True)" if name in ZOO else "`make train`"
    recipe = checkpoints()[name]
    known = {"architecture": recipe.architecture, "advice": ADVICE + how}
    state, record = checkpoint.read(name, folder or CHECKPOINTS, **known)
    networks = [recipe.build(copy).float().eval() for copy in range(recipe.copies)]
    together(networks).load_state_dict(state)
    return networks, record

"""How the course's networks are trained, and what is recorded of it."""

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_utils import checkpoint, data
from course_utils.models import RBF, convolutional, fully_connected
from course_utils.training import error_rate, fit_linear

SPLIT_SEED = 0  # of the two halves of the training set
TINY = 1e-20  # weights below this are kept as zero: as denormals they would slow every product


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained: on all of the training set, or on one half of it.

    With `copies` above 1, that many networks are trained alike, from the seed and those after it,
    and share one checkpoint.

    No two networks with hidden layers share a seed: their first weights would come from the same
    draws, and networks that start alike may fail alike. (The study of regularisation is the
    exception: its conditions start from the same weights, to differ in nothing else.)
    """

    widths: tuple[int, ...]
    train: Callable[..., pd.DataFrame]
    options: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    half: str | None = None
    hidden: str = "sigmoid"
    dropout: tuple[float, float] = (0.0, 0.0)
    copies: int = 1
    precision: torch.dtype = torch.float32  # to which the weights are rounded, to be shipped

    @property
    def architecture(self) -> dict[str, object]:
        """What the record tells of the network itself."""
        told: dict[str, object] = {"widths": list(self.widths), "hidden": self.hidden}
        if any(self.dropout):
            told["dropout"] = list(self.dropout)
        return told

    def build(self, copy: int = 0) -> nn.Module:
        """Return the network, untrained, from the seed of this copy."""
        if self.hidden == "RBF":
            return RBF()
        if self.hidden == "convolution":
            return convolutional(seed=self.seed + copy)
        return fully_connected(
            *self.widths, hidden=self.hidden, dropout=self.dropout, seed=self.seed + copy
        )


def train(
    recipe: Recipe, device: torch.device, *, progress: bool = True
) -> tuple[list[nn.Module], dict]:
    """Train a recipe's networks on MNIST; return them, in eval mode, and the record of it all."""
    images, labels = (tensor.to(device) for tensor in data.load_mnist("train"))
    test_images, test_labels = (tensor.to(device) for tensor in data.load_mnist("test"))
    source = {"name": "MNIST, all of its training set", "sha256": data.MNIST_SHA256}
    if recipe.half:
        indices = halves(len(images))[recipe.half]
        images, labels = images[indices], labels[indices]
        digest = hashlib.sha256(indices.numpy().astype("<i8").tobytes()).hexdigest()
        source["name"] = f"MNIST, half {recipe.half} of its training set"
        source["split"] = {"seed": SPLIT_SEED, "indices_sha256": digest}
    networks = []
    for copy in range(recipe.copies):
        model = recipe.build(copy).to(device)
        options = dict(recipe.options)
        if recipe.train is not fit_linear:
            options["seed"] = recipe.seed + copy
        recipe.train(model, images, labels, **options, progress=progress)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.to(recipe.precision))
                parameter[parameter.abs() < TINY] = 0.0
        networks.append(model.eval())
    errors = {
        "train_error": [error_rate(model, images, labels) for model in networks],
        "test_error": [error_rate(model, test_images, test_labels) for model in networks],
    }
    training = {"function": recipe.train.__name__, "seed": recipe.seed}
    return networks, {
        "architecture": recipe.architecture,
        "training": training | {"options": as_recorded(recipe.options)},
        "data": source,
        **{name: rates if recipe.copies > 1 else rates[0] for name, rates in errors.items()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }


def as_recorded(options: Mapping[str, object]) -> dict[str, object]:
    """Return options as JSON can hold them: of a loss, its name and its own options."""

    def told(loss: partial) -> dict[str, object]:
        return {"function": loss.func.__name__, **loss.keywords}

    return json.loads(json.dumps(dict(options), default=told))


def read(name: str, recipe: Recipe, folder: Path, *, advice: str) -> tuple[list[nn.Module], dict]:
    """Return a checkpoint's networks, in eval mode, and its record; as `checkpoint.read`."""
    state, record = checkpoint.read(name, folder, architecture=recipe.architecture, advice=advice)
    networks = nn.ModuleList(recipe.build(copy) for copy in range(recipe.copies))
    (networks if recipe.copies > 1 else networks[0]).load_state_dict(state)
    return list(networks.eval()), record


def write(
    name: str, recipe: Recipe, networks: list[nn.Module], record: dict, folder: Path
) -> None:
    """Write networks and the record of their training as a checkpoint."""
    whole = nn.ModuleList(networks) if recipe.copies > 1 else networks[0]
    state = {key: value.to(recipe.precision) for key, value in whole.state_dict().items()}
    checkpoint.write(name, state, record, folder)


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

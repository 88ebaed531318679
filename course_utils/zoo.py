"""The deck's networks by the deck's names, trained and ready to load."""

import dataclasses
import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_utils import checkpoint, data
from course_utils.device import get_device
from course_utils.losses import adversarial_loss, noise_loss
from course_utils.models import RBF, fully_connected
from course_utils.inference import predict
from course_utils.training import error_rate, fit, fit_linear, fit_rbf, fit_sparse_features

CHECKPOINTS = Path(__file__).with_name("checkpoints")
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
        return fully_connected(
            *self.widths, hidden=self.hidden, dropout=self.dropout, seed=self.seed + copy
        )


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


def _maxout(*widths: int, seed: int, dropout: tuple[float, float], **options) -> Recipe:
    return Recipe(
        widths, fit, options, seed, hidden="maxout", dropout=dropout, precision=torch.float16
    )


def _study(dropout: tuple[float, float] = (0.0, 0.0), **options) -> Recipe:
    options = {"epochs": 12, "batch_size": 250, "learning_rate": 0.003} | options
    return Recipe(
        (100, 100, 10), fit, options, seed=100, hidden="rectifier", dropout=dropout, copies=5,
        precision=torch.float16,
    )  # fmt: skip


EPS = 0.25  # of adversarial training and of the noise beside it, as in Goodfellow et al. 2014,
FREELY = {"eps": EPS, "bounds": (-EPS, 1 + EPS)}  # whose figures agree with no clipping to [0, 1]
# Of 0.025, 0.05 and 0.1 the eps of least error, with dropout and without, averaged over three other
# seeds, on the last 10,000 training images, after training on the others.
WEAKLY = {"eps": 0.025, "bounds": (-0.025, 1.025)}

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
    # Of Goodfellow et al. 2014.
    "softmax": Recipe((10,), fit, {"epochs": 10, "learning_rate": 0.003}, hidden="rectifier"),
    # Chosen among a few settings. On the last 10,000 training images, after training on the others,
    # dropout of 0.2 and 0.5 does as well (1.35 % instead of 1.40, within chance).
    "maxout": _maxout(
        240, 240, 10, seed=6, dropout=(0.15, 0.45),
        epochs=35, batch_size=200, learning_rate=0.002,
    ),
    # On the same images it had the least error, 1.27 %; clipped to [0, 1] it had 1.28, and with the
    # paper's alpha of 0.5 1.34.
    "maxout (adversarial)": _maxout(
        240, 240, 10, seed=7, dropout=(0.15, 0.3),
        loss=partial(adversarial_loss, eps=EPS, bounds=(-0.1, 1.1), alpha=0.8),
        epochs=27, batch_size=200, learning_rate=0.002,
    ),
    "RBF": Recipe((10,), fit_rbf, {"epochs": 10, "learning_rate": 0.01}, hidden="RBF"),
}  # fmt: skip

# Adversarial training as a regulariser: the same networks, seeds and epochs throughout.
STUDY: dict[str, Recipe] = {
    "none": _study(),
    "weight decay": _study(weight_decay=1e-4),
    "dropout": _study((0.1, 0.3)),
    "noise": _study(loss=partial(noise_loss, **FREELY)),
    "adversarial training": _study(loss=partial(adversarial_loss, **FREELY)),
    "dropout and adversarial training": _study(
        (0.1, 0.3), loss=partial(adversarial_loss, **FREELY)
    ),
    "weak adversarial training": _study(loss=partial(adversarial_loss, **WEAKLY)),
    "dropout and weak adversarial training": _study(
        (0.1, 0.3), loss=partial(adversarial_loss, **WEAKLY)
    ),
    # Of 0, 3e-4, 1e-3, 2e-3 and 4e-3 the weight of least error, chosen like `WEAKLY`.
    "Lipschitz penalty": _study(lipschitz=4e-3),
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
    place = _device(device)
    if retrain:
        return _train(recipe, place)[0]
    return _read(name, CHECKPOINTS)[0].to(place)


def load_record(name: str) -> dict:
    """Return what is recorded about the shipped checkpoint of a network.

    Architecture, data, seed, options of the training, train and test error in percent, versions.
    The train error is counted on the images that the network was trained on, which for some is
    one half of MNIST's training set (see `halves`). The weights of maxout networks are shipped in
    half precision; errors are those of the weights as shipped.
    """
    _recipe(name)
    return _read(name, CHECKPOINTS)[1]


def study_conditions() -> list[str]:
    """Return the conditions that `load_study` knows."""
    return list(STUDY)


def load_study(
    condition: str, *, device: str | torch.device | None = None
) -> list[nn.Module]:
    """Return the networks of the study of regularisation that were trained under one condition.

    All are 784-100-100-10 rectifier networks, trained on all of MNIST for as many steps. Networks
    in the same place of two lists started from the same weights and saw the images in the same
    order. They take images (N, 1, 28, 28) in [0, 1], give logits (N, 10), and are in eval mode.

    Args:
        condition: one of `study_conditions()`: "none", or what was done against overfitting.
            "noise" is the control of "adversarial training".
        device: where to put them; None for the CPU.

    Raises:
        ValueError: the condition or the device is unknown.
        RuntimeError: the checkpoint is missing, damaged or does not belong to these networks.
    """
    if condition not in STUDY:
        raise ValueError(f"condition: got {condition!r}, expected one of {', '.join(STUDY)}")
    return list(_read(_study_name(condition), CHECKPOINTS)[0].to(_device(device)))


def train(recipe: Recipe) -> nn.Module:
    """Train one network by a recipe on MNIST, on the CPU, and return it in eval mode.

    For seeds other than a shipped network's, `dataclasses.replace(ZOO[name], seed=...)`.
    """
    one = dataclasses.replace(recipe, copies=1)
    return _train(one, get_device("cpu"), progress=False)[0]


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


def checkpoint_names() -> list[str]:
    """Return the names that `retrain` knows: every network's, and every study's."""
    return list(_recipes())


def retrain(name: str, folder: Path = CHECKPOINTS, *, progress: bool = True) -> dict[str, float]:
    """Train a checkpoint anew, write it, and report how it compares with the one before.

    Args:
        name: one of `checkpoint_names()`.
        folder: of the checkpoints, old and new.
        progress: whether to show a bar.

    Returns:
        Train and test error in percent, retrained and as shipped; the seconds that training took;
        and "agreement", the percentage of the test images to which both give the same class. Where
        a checkpoint holds several networks, their means. Without an old one, only the new one's.
    """
    recipe = _recipes()[name]
    start = time.perf_counter()
    model, record = _train(recipe, get_device("cpu"), progress=progress)
    row = {
        "train error": np.mean(record["train_error"]),
        "test error": np.mean(record["test_error"]),
        "seconds": time.perf_counter() - start,
    }
    try:
        old, old_record = _read(name, folder)
    except RuntimeError as error:
        print(f"nothing to compare {name} with: {error}", flush=True)
    else:
        row["shipped train error"] = np.mean(old_record["train_error"])
        row["shipped test error"] = np.mean(old_record["test_error"])
        test_images, _ = data.load_mnist("test")
        same = [
            predict(new, test_images) == predict(shipped, test_images)
            for new, shipped in zip(_networks(model), _networks(old))
        ]
        row["agreement"] = 100 * torch.cat(same).double().mean().item()
    _write(name, model, record, folder)
    return row


def _recipe(name: str) -> Recipe:
    if name not in ZOO:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(ZOO)}")
    return ZOO[name]


def _study_name(condition: str) -> str:
    return f"study ({condition})"


def _recipes() -> dict[str, Recipe]:
    """Return the recipe of every checkpoint."""
    return ZOO | {_study_name(condition): recipe for condition, recipe in STUDY.items()}


def _device(device: str | torch.device | None) -> torch.device:
    try:
        return get_device(str(device or "cpu"))
    except ValueError as error:
        raise ValueError(str(error).replace("name:", "device:", 1)) from None


def _networks(model: nn.Module) -> list[nn.Module]:
    """Return the networks of a checkpoint: mostly one."""
    return list(model) if isinstance(model, nn.ModuleList) else [model]


def _train(
    recipe: Recipe, device: torch.device, *, progress: bool = True
) -> tuple[nn.Module, dict]:
    """Train a network; return it with the record of how it was trained and what it reaches."""
    images, labels = (tensor.to(device) for tensor in data.load_mnist("train"))
    test_images, test_labels = (tensor.to(device) for tensor in data.load_mnist("test"))
    source = {"name": "MNIST, all of its training set", "sha256": data.MNIST_SHA256}
    if recipe.half:
        indices = halves(len(images))[recipe.half]
        images, labels = images[indices], labels[indices]
        source["name"] = f"MNIST, half {recipe.half} of its training set"
        source["split"] = {"seed": SPLIT_SEED, "indices_sha256": _hash_of_indices(indices)}
    networks = nn.ModuleList()
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
    record = {
        "architecture": recipe.architecture,
        "training": {
            "function": recipe.train.__name__,
            "options": _as_recorded(dict(recipe.options)),
            "seed": recipe.seed,
        },
        "data": source,
        **errors,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    if recipe.copies == 1:
        return networks[0], record | {name: value[0] for name, value in errors.items()}
    return networks.eval(), record


def _as_recorded(options: dict[str, object]) -> dict[str, object]:
    """Return options as JSON can hold them: of a loss, its name and its own options."""

    def told(loss: partial) -> dict[str, object]:
        return {"function": loss.func.__name__, **loss.keywords}

    return json.loads(json.dumps(options, default=told))


def _hash_of_indices(indices: torch.Tensor) -> str:
    return hashlib.sha256(indices.numpy().astype("<i8").tobytes()).hexdigest()


def _read(name: str, folder: Path) -> tuple[nn.Module, dict]:
    """Return a checkpoint's network, or networks, and its record."""
    recipe = _recipes()[name]
    how = f"load_model({name!r}, retrain=True)" if name in ZOO else "`make train`"
    state, record = checkpoint.read(
        name, folder, architecture=recipe.architecture,
        advice=f"Install the course anew, or train it: {how}",
    )  # fmt: skip
    networks = nn.ModuleList(recipe.build(copy) for copy in range(recipe.copies))
    model = networks if recipe.copies > 1 else networks[0]
    model.load_state_dict(state)
    return model.eval(), record


def _write(name: str, model: nn.Module, record: dict, folder: Path) -> None:
    precision = _recipes()[name].precision
    state = {key: value.to(precision) for key, value in model.state_dict().items()}
    checkpoint.write(name, state, record, folder)

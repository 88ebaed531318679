"""The course's own pair of networks: how it is trained, and where it is kept."""

import platform
import time
from pathlib import Path

import torch
from torch import nn

from course_utils import checkpoint, data, zoo
from course_utils.gan.measures import (
    PAPERS_SIGMAS,
    SIGMAS,
    choose_sigma,
    parzen_log_likelihood,
)
from course_utils.gan.networks import Generator, maxout_discriminator, rectifier_generator, sample
from course_utils.gan.training import train_gan
from course_utils.training import predict

NAME = "GAN"
CLASSIFIER = "maxout"  # that tells the digits of the samples
ARCHITECTURE = {
    "generator": {"widths": [400, 400, 784], "noise": 10},
    "discriminator": {"widths": [120, 120, 1], "hidden": "maxout", "dropout": [0.2, 0.5]},
}
OPTIONS = {"epochs": 20, "batch_size": 100, "learning_rate": (1e-3, 3e-4), "average": 0.9998}
SEED = 0
TRAINED_ON = 50_000  # of the training images; the others are left to choose sigma on


def load_gan() -> tuple[Generator, nn.Module]:
    """Return the shipped generator and discriminator, trained on MNIST, in eval mode, on the CPU.

    They are `rectifier_generator(400, 400, noise=10)` and `maxout_discriminator(120, 120)`.

    Raises:
        RuntimeError: the checkpoint is missing, damaged or does not belong to these networks.
    """
    pair = _build()
    pair.load_state_dict(_read(zoo.CHECKPOINTS)[0])
    generator, discriminator = pair.eval()
    return generator, discriminator


def load_gan_record() -> dict:
    """Return what is recorded about the shipped pair.

    Architecture, data, seed, options of the training, versions; and, of the weights as shipped (in
    half precision), what `measure_gan` returns. Raises RuntimeError as `load_gan`.
    """
    return _read(zoo.CHECKPOINTS)[1]


def measure_gan(generator: Generator) -> dict[str, object]:
    """Return the log-likelihood of MNIST's test images, and the digits, of 10,000 samples.

    Sigma is chosen on the first 1,000 of the last 10,000 training images, those on which the
    paper's code chooses.

    Of the samples, made from noise of seed 0, it returns "log_likelihood": the mean over the test
    images, in nats, its "standard_error", and the "sigma", the best of `SIGMAS`; the same
    three with the best of only the paper's ten sigmas, each with "papers_" before its name; and
    "digits", the percentage that the shipped classifier "maxout" takes for each digit.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), section 5 and Table 1.
    """
    validation = data.load_mnist("train")[0][TRAINED_ON : TRAINED_ON + 1000]
    test = data.load_mnist("test")[0]
    samples = sample(generator, 10_000).cpu()
    measured: dict[str, object] = {}
    for prefix, sigmas in (("", SIGMAS), ("papers_", PAPERS_SIGMAS)):
        sigma = choose_sigma(samples, validation, sigmas)
        nats = parzen_log_likelihood(samples, test, sigma)
        measured[f"{prefix}log_likelihood"] = nats.mean().item()
        measured[f"{prefix}standard_error"] = nats.std().item() / len(nats) ** 0.5
        measured[f"{prefix}sigma"] = sigma
    digits = predict(zoo.load_model(CLASSIFIER), samples).bincount(minlength=10)
    return measured | {"digits": (100 * digits.double() / len(samples)).tolist()}


@torch.no_grad()
def retrain_gan(folder: Path = zoo.CHECKPOINTS) -> dict:
    """Train the pair anew, write its checkpoint, say how it compares; return the new record.

    folder: of the checkpoint, old and new.
    """
    images = data.load_mnist("train")[0][:TRAINED_ON]
    pair = _build(images.mean(0))
    start = time.perf_counter()
    with torch.enable_grad():
        train_gan(*pair, images, seed=SEED, **OPTIONS)
    print(f"{NAME}: trained in {time.perf_counter() - start:.0f} s", flush=True)
    state = pair.state_dict()
    for name, values in state.items():
        if values.is_floating_point():  # measured as they are shipped
            state[name] = values.half()
            values.copy_(state[name])
    record = {
        "architecture": ARCHITECTURE,
        "training": {"function": "train_gan", "options": OPTIONS, "seed": SEED},
        "data": {"name": f"MNIST, the first {TRAINED_ON} of its training set",
                 "sha256": data.MNIST_SHA256},
        **measure_gan(pair[0]),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    try:
        print(f"{NAME}, as shipped: {_told(_read(folder)[1])}", flush=True)
    except RuntimeError as error:
        print(f"nothing to compare {NAME} with: {error}", flush=True)
    print(f"{NAME}, retrained: {_told(record)}")
    return checkpoint.write(NAME, state, record, folder)


def _build(mean: torch.Tensor | None = None) -> nn.ModuleList:
    generator = rectifier_generator(400, 400, noise=10, mean=mean, seed=SEED)
    return nn.ModuleList([generator, maxout_discriminator(120, 120, seed=SEED + 1)])


def _told(record: dict) -> str:
    return (
        f"log-likelihood {record['log_likelihood']:.1f} +- {record['standard_error']:.1f} nats, "
        f"rarest digit {min(record['digits']):.1f} % of the samples"
    )


def _read(folder: Path) -> tuple[dict[str, torch.Tensor], dict]:
    advice = "Install the course anew, or train it: `make train`"
    return checkpoint.read(NAME, folder, architecture=ARCHITECTURE, advice=advice)

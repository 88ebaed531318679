"""The course's own pair of networks: what it is, and where it is kept."""

from pathlib import Path

import torch
from torch import nn

from course_utils import checkpoint, zoo
from course_utils.gan.networks import Generator, maxout_discriminator, rectifier_generator

NAME = "GAN"
ARCHITECTURE = {
    "generator": {"widths": [400, 400, 784], "noise": 10},
    "discriminator": {"widths": [120, 120, 1], "hidden": "maxout", "dropout": [0.2, 0.5]},
}
SEED = 0  # of the first weights, and of the training


def load_gan() -> tuple[Generator, nn.Module]:
    """Return the shipped generator and discriminator, trained on MNIST, in eval mode, on the CPU.

    They are `rectifier_generator(400, 400, noise=10)` and `maxout_discriminator(120, 120)`. Raises
    RuntimeError where the checkpoint is missing, damaged or not that of these networks.
    """
    pair = new_pair()
    pair.load_state_dict(read()[0])
    generator, discriminator = pair.eval()
    return generator, discriminator


def load_gan_record() -> dict:
    """Return what is recorded about the shipped pair.

    Architecture, data, seed, options of the training, versions; and, of the weights as shipped (in
    half precision), what `make train` measures: the log-likelihood of MNIST's test images by
    Parzen window, in nats, and the digits of 10,000 samples in percent. Raises RuntimeError as
    `load_gan`.
    """
    return read()[1]


def new_pair(mean: torch.Tensor | None = None) -> nn.ModuleList:
    """Return the two networks, untrained; mean: as in `rectifier_generator`."""
    generator = rectifier_generator(400, 400, noise=10, mean=mean, seed=SEED)
    return nn.ModuleList([generator, maxout_discriminator(120, 120, seed=SEED + 1)])


def read(folder: Path | None = None) -> tuple[dict[str, torch.Tensor], dict]:
    """Return the pair's state and record, of the shipped checkpoint or of another folder's."""
    told = {"architecture": ARCHITECTURE, "advice": zoo.ADVICE + "`make train`"}
    return checkpoint.read(NAME, folder or zoo.CHECKPOINTS, **told)

"""The networks of the course: modules that take images in [0, 1] and give logits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from course_utils.device import flush_denormals
from course_utils.imagenet import Normalize, alexnet_2012, imagenet_classifier

__all__ = [
    "Normalize",
    "alexnet_2012",
    "eval_mode",
    "fully_connected",
    "imagenet_classifier",
    "linear_layers",
]

flush_denormals()


def fully_connected(*widths: int, inputs: int = 28 * 28, seed: int = 0) -> nn.Sequential:
    """Build a fully connected network with sigmoid hidden layers, as the deck names them.

    `fully_connected(100, 100, 10)` is FC100-100-10 and `fully_connected(10)` is FC10, a linear
    classifier. The softmax is left to the loss, so the network gives logits. It sees the pixels
    as they are, in [0, 1], like the paper's.

    Args:
        widths: units of each layer, from the first hidden one to the logits.
        inputs: pixels of an image.
        seed: of the first weights (Glorot and Bengio's uniform; biases start at zero).

    Returns:
        A module from images (N, ...) with `inputs` pixels each to logits (N, widths[-1]).

    Raises:
        ValueError: no width is given, or one is not a positive whole number.

    Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.2.
    """
    if not widths:
        raise ValueError("widths: got none, expected one for each layer, such as 100, 100, 10")
    for width in (inputs, *widths):
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise ValueError(f"widths: got {width!r}, expected whole numbers of at least 1")
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in zip((inputs, *widths), widths):
        if len(layers) > 1:
            layers.append(nn.Sigmoid())
        # skip_init leaves the reader's global random state alone.
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out)
        nn.init.xavier_uniform_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)
        layers.append(layer)
    return nn.Sequential(*layers)


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """Return the fully connected layers of a model, from the first to the last."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Put a model in eval mode for a `with` block; afterwards each part is as it was before."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, training in before:
            module.training = training

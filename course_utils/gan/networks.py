"""The two players: generators from noise to images, discriminators from images to a logit.

D's logit a says how sure it is that an image is real: D(x) = sigmoid(a).
"""

import torch
from torch import nn

from course_utils.checks import check_counts, check_images
from course_utils.models import eval_mode, fully_connected, linear_layers

BATCH = 1000  # images that a generator draws at once


class Generator(nn.Sequential):
    """Layers from noise (N, noise), such as `draw_noise` gives, to images."""

    def __init__(self, *layers: nn.Module, noise: int = 100):
        super().__init__(*layers)
        self.noise = noise


def rectifier_generator(
    *widths: int, noise: int = 100, mean: torch.Tensor | None = None, seed: int = 0
) -> Generator:
    """Build the 2014 paper's kind of generator: rectifier layers under one of sigmoids.

    Before the rectifiers stands batch normalisation. The paper's had none (it is of 2015); without
    it, training as short as the course's makes few digits or one.

    Args:
        widths: units of each hidden layer; the paper has 1200, 1200.
        noise: how many numbers an image is made from.
        mean: the mean image (1, 28, 28), in [0, 1], that the sigmoids' biases are to give at first;
            None for grey.
        seed: of the first weights, uniform in [-0.05, 0.05].

    It goes from noise (N, noise) to images (N, 1, 28, 28) in [0, 1]. Raises TypeError, ValueError
    where an argument is not as described.

    Source: Goodfellow et al. 2014 (arXiv:1406.2661), section 5; sizes, first weights and biases
    stand in its code (github.com/goodfeli/adversarial, mnist.yaml). Batch normalisation: Ioffe
    and Szegedy 2015 (arXiv:1502.03167).
    """
    plain = _drawn(fully_connected(*widths, 28 * 28, hidden="rectifier", inputs=noise), 0.05, seed)
    if mean is not None:
        check_images(mean, name="mean")
        if mean.shape != (1, 28, 28):
            raise ValueError(f"mean: got shape {tuple(mean.shape)}, expected (1, 28, 28)")
        plain[-1].bias.data.copy_(mean.flatten().logit(eps=1e-3))
    layers: list[nn.Module] = []
    for layer in plain:
        if isinstance(layer, nn.ReLU):
            layers.append(nn.BatchNorm1d(layers[-1].out_features))
        layers.append(layer)
    return Generator(*layers, nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)), noise=noise)


def maxout_discriminator(*widths: int, seed: int = 0) -> nn.Sequential:
    """Build the 2014 paper's kind of discriminator: maxout layers, with dropout, and one logit.

    It goes from images (N, 1, 28, 28) in [0, 1] to logits (N, 1); in train mode a fifth of the
    pixels and half of the hidden units are set to zero.

    Args:
        widths: units of each hidden layer; the paper has 240, 240.
        seed: of the first weights, uniform in [-0.005, 0.005]: from larger ones, what D tells G
            of an image's pixels is noisier, and so are G's images.

    Errors, source: as of `rectifier_generator`.
    """
    return _drawn(fully_connected(*widths, 1, hidden="maxout", dropout=(0.2, 0.5)), 0.005, seed)


def _drawn(network: nn.Sequential, largest: float, seed: int) -> nn.Sequential:
    """Return the network with weights drawn uniformly, none above the largest in size."""
    random = torch.Generator().manual_seed(seed)
    for layer in linear_layers(network):
        nn.init.uniform_(layer.weight, -largest, largest, generator=random)
    return network


def draw_noise(count: int, size: int, *, seed: int = 0) -> torch.Tensor:
    """Return noise (count, size), each number uniform in [-1, 1], float32 on the CPU.

    count: at least 1. size: numbers an image is made from, a generator's `noise`.
    """
    check_counts(count=count, size=size)
    return uniform(count, size, torch.Generator().manual_seed(seed))


def uniform(count: int, size: int, random: torch.Generator) -> torch.Tensor:
    """Return noise (count, size), drawn on from where `random` stands."""
    return 2 * torch.rand(count, size, generator=random) - 1


def sample(generator: Generator, count: int, *, seed: int = 0) -> torch.Tensor:
    """Return images that a generator makes from `draw_noise(count, generator.noise, seed=seed)`.

    It computes in eval mode. They are (count, ...), without gradients, on the generator's device.
    """
    noise = draw_noise(count, generator.noise, seed=seed).to(next(generator.parameters()).device)
    with eval_mode(generator), torch.no_grad():
        return torch.cat([generator(some) for some in noise.split(BATCH)])

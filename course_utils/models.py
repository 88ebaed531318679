"""The networks of the course: modules that take images in [0, 1] and give logits."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from course_utils.checks import check_choice, check_counts, check_model

# Numbers below 1e-38 are rounded to zero: weight decay drives the weights of MNIST's always-black
# pixels into that range, where a processor computes up to a hundred times slower. The setting
# reaches the calling thread and the threads started after it, so it has to come before the first
# parallel computation: here and in course_utils.data, with one of which every use starts.
torch.set_flush_denormal(True)
# A GPU's convolutions keep float32's digits, too. By PyTorch's default they round what they
# multiply to 11 bits (TF32): of the images that `lbfgs_attack` finds so, a CPU reads one in ten
# otherwise. PyTorch 2.9.0 warns of this name, but to set the newer one breaks what reads this one.
with warnings.catch_warnings(action="ignore"):
    torch.backends.cudnn.allow_tf32 = False


class Normalize(nn.Module):
    """The first layer of a classifier of photographs: (pixel - mean) / std, for each channel.

    Its Lipschitz constant is 1 / min(std).

    Args:
        mean, std: three numbers each, for red, green and blue, in the pixels' units.
        size: pixels a side that the classifier was trained for.

    Images (N, 3, size, size), floating point, in [0, 1], come out in the same shape. Others are a
    TypeError or a ValueError.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], *, size: int):
        super().__init__()
        self.size = size
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if not isinstance(images, torch.Tensor) or not images.is_floating_point():
            got = images.dtype if isinstance(images, torch.Tensor) else type(images).__name__
            raise TypeError(f"images: got {got}, expected a floating-point tensor in [0, 1]")
        if images.ndim != 4 or images.shape[1:] != (3, self.size, self.size):
            how = f"course_utils.data.load_image(..., size={self.size})[None]"
            expected = f"(N, 3, {self.size}, {self.size}): {how}"
            raise ValueError(f"images: got shape {tuple(images.shape)}, expected {expected}")
        return (images - self.mean) / self.std


class Maxout(nn.Module):
    """The largest of every unit's pieces: (N, PIECES * units) to (N, units).

    Source: Goodfellow et al. 2013 (arXiv:1302.4389), section 3.
    """

    PIECES = 5  # linear ones that make up a unit, as in the paper's networks for MNIST

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.unflatten(1, (self.PIECES, -1)).amax(1)


HIDDEN = {"sigmoid": nn.Sigmoid, "rectifier": nn.ReLU, "maxout": Maxout}


def fully_connected(
    *widths: int, hidden="sigmoid", dropout=(0.0, 0.0), inputs=28 * 28, seed=0
) -> nn.Sequential:
    """Build a fully connected network, by default with sigmoid hidden layers, as the deck's.

    `fully_connected(100, 100, 10)` is FC100-100-10 and `fully_connected(10)` is FC10, a linear
    classifier: from images (N, ...), their pixels as they are, in [0, 1], to logits (N,
    widths[-1]); the softmax is left to the loss.

    Args:
        widths: units of each layer, from the first hidden one to the logits.
        hidden: what a hidden layer's units are: "sigmoid", "rectifier" or "maxout".
        dropout: in train mode, the share of the pixels and of each hidden layer's units set to
            zero, at least 0 and below 1.
        inputs: pixels of an image.
        seed: of the first weights (Glorot and Bengio's uniform; biases start at zero).

    Raises ValueError where no width is given, or an argument is not as described.

    Source: Szegedy et al. 2013 (arXiv:1312.6199), section 4.2; dropout: Srivastava et al. 2014,
    Journal of Machine Learning Research 15.
    """
    for width in widths or [None]:
        check_counts(inputs=inputs, widths=width)
    check_choice(HIDDEN, hidden=hidden)
    if len(dropout) != 2 or not all(0 <= share < 1 for share in dropout):
        raise ValueError(f"dropout: got {dropout!r}, expected two shares in [0, 1)")
    pieces = Maxout.PIECES if hidden == "maxout" else 1
    layers: list[nn.Module] = [nn.Flatten()]
    for number, (fan_in, units) in enumerate(zip((inputs, *widths), widths)):
        if number:
            layers.append(HIDDEN[hidden]())
        if dropout[min(number, 1)]:
            layers.append(nn.Dropout(dropout[min(number, 1)]))
        fan_out = units if number == len(widths) - 1 else pieces * units
        layers.append(nn.utils.skip_init(nn.Linear, fan_in, fan_out))
    return _started(nn.Sequential(*layers), seed)


def convolutional(*, seed: int = 0) -> nn.Sequential:
    """Build a small convolutional network with rectifiers, the usual testbed for robust training.

    Two convolutions of 16 and 32 filters, 4 x 4 with stride 2, a layer of 100 units, and ten
    logits: images (N, 1, 28, 28) in [0, 1] to (N, 10). The seed is that of the first weights.

    Source: Wong and Kolter 2018 (arXiv:1711.00851), section 5.1.
    """
    new = nn.utils.skip_init
    layers = [new(nn.Conv2d, 1, 16, 4, stride=2, padding=1), nn.ReLU()]
    layers += [new(nn.Conv2d, 16, 32, 4, stride=2, padding=1), nn.ReLU(), nn.Flatten()]
    layers += [new(nn.Linear, 32 * 7 * 7, 100), nn.ReLU(), new(nn.Linear, 100, 10)]
    return _started(nn.Sequential(*layers), seed)


def _started(model: nn.Sequential, seed: int) -> nn.Sequential:
    """Draw the first weights of layers made by skip_init, which spares the global random state."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
    return model


class RBF(nn.Module):
    """One radial unit a class: p_k(x) = exp(-sum_i b_ki (x_i - mu_ki)^2), b_ki above 0.

    Each class is a yes or no of its own: the logit is that of p_k, so `sigmoid` of it, not
    softmax, is the unit's confidence, and an image may well belong to no class at all. `means`
    holds mu (classes, inputs), set and not learned; `log_precisions` log b, of the same shape.

    Source: Goodfellow, Shlens and Szegedy 2014 (arXiv:1412.6572), section 7.
    """

    def __init__(self, classes: int = 10, inputs: int = 28 * 28, precision: float = 0.02):
        super().__init__()
        self.register_buffer("means", torch.zeros(classes, inputs))
        start = torch.full((classes, inputs), precision).log()
        self.log_precisions = nn.Parameter(start)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pixels, b = images.flatten(1), self.log_precisions.exp()
        crossed = pixels @ (b * self.means).T
        distance = pixels.square() @ b.T - 2 * crossed + (b * self.means.square()).sum(1)
        # Rounding may leave less than 0. log(p / (1 - p)) = -log(exp(distance) - 1), and beyond
        # 20, where exp would overflow later, -distance, to within rounding.
        distance = distance.clamp_min(1e-6)
        near = torch.expm1(distance.clamp_max(20)).log()
        return -torch.where(distance < 20, near, distance)


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """Return the fully connected layers of a model, from the first to the last."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]


@contextmanager
def eval_mode(model: nn.Module, *, training: bool = False) -> Iterator[nn.Module]:
    """Put a model in eval mode (or, with `training`, in train mode) for a `with` block.

    Afterwards each part is as it was before.
    """
    check_model(model)
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield model
    finally:
        for module, mode in before:
            module.training = mode

"""Log-likelihood by Parzen window, as the 2014 paper measured its networks."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from course_utils.checks import check_images, check_sizes

BATCH = 500  # test images whose distances to all samples are held at once

# The ten that the paper's code tries, 0.1 to 1, and these with two more between each and the next.
PAPERS_SIGMAS = tuple(10 ** (-1 + step / 9) for step in range(10))
SIGMAS = tuple(10 ** (-1 + step / 27) for step in range(28))


def parzen_log_likelihood(samples: Tensor, test: Tensor, sigma: float) -> Tensor:
    """Return the logarithm of each test image's density under a Gaussian around each sample.

    log p(x) = log (1/M) sum_j N(x; s_j, sigma^2 I), over M samples s_j of n pixels. Computed in
    float64 on the CPU, exact to 1e-4 for sigmas of 1e-3 and more; 10,000 against 10,000 images of
    MNIST are 0.16 Tflop.

    Args:
        samples: (M, ...), floating point, such as a generator's images.
        test: (N, ...) of the same n pixels.
        sigma: the Gaussian's standard deviation, in pixel units, above 0.

    Returns:
        (N,), float64, in nats. It is the logarithm of a density, so it may be above 0.

    Raises:
        TypeError, ValueError: an argument is not as described.

    Source: Breuleux, Bengio and Vincent 2011, Neural Computation 23; Goodfellow et al. 2014
    (arXiv:1406.2661), section 5.
    """
    _check_sigmas(sigma)
    blocks = _squared_distances(samples, test)
    return torch.cat([_log_density(*block, sigma, samples[0].numel()) for block in blocks])


def choose_sigma(
    samples: Tensor, validation: Tensor, sigmas: Sequence[float] = SIGMAS
) -> float:
    """Return the sigma under which the validation images are most likely, in the mean.

    Args:
        samples, validation: as `samples` and `test` in `parzen_log_likelihood`. The validation
            images should be neither those of the test nor any that the generator was trained on.
        sigmas: to choose from, in pixel units, each above 0, at least one.

    Raises:
        TypeError, ValueError: an argument is not as described.
    """
    sigmas = list(sigmas)
    if not sigmas:
        raise ValueError("sigmas: got none, expected at least one number above 0")
    _check_sigmas(*sigmas)
    totals = torch.zeros(len(sigmas), dtype=torch.float64)
    for block in _squared_distances(samples, validation, name="validation"):
        pixels = samples[0].numel()
        totals += torch.stack([_log_density(*block, s, pixels).sum() for s in sigmas])
    return sigmas[totals.argmax()]


def _squared_distances(
    samples: Tensor, test: Tensor, *, name: str = "test"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for some test images at a time, the squared distances to the samples.

    Of each image that to the nearest sample (some, 1), and by how much more it is to every sample
    (some, M).
    """
    samples, test = _as_rows(samples, "samples"), _as_rows(test, name)
    if samples.shape[1] != test.shape[1]:
        raise ValueError(
            f"{name}: got images of {test.shape[1]} pixels, "
            f"expected {samples.shape[1]}, as the samples have"
        )
    lengths = samples.square().sum(1)
    for some in test.split(BATCH):
        # |x|^2 - 2 x.s + |s|^2 is off by up to 1e-12 here, and in float32 by 1e-4, which a sigma
        # of 0.1 would make 0.01 nats.
        block = torch.addmm(lengths, some, samples.T, alpha=-2)
        block.add_(some.square().sum(1, keepdim=True)).clamp_min_(0)
        least = block.amin(1, keepdim=True)
        yield least, block.sub_(least)


def _log_density(least: Tensor, beyond: Tensor, sigma: float, pixels: int) -> Tensor:
    scale = -0.5 / sigma**2
    # The largest term is 1, and one below exp(-80) as good as 0; where exp underflows, it takes
    # many times as long.
    total = beyond.mul(scale).clamp_(min=-80).exp_().sum(1)
    normaliser = pixels * math.log(sigma * math.sqrt(2 * math.pi)) + math.log(beyond.shape[1])
    return total.log() + scale * least[:, 0] - normaliser


def _as_rows(images: Tensor, name: str) -> Tensor:
    check_images(images, name=name, bounds=(-math.inf, math.inf))
    return images.detach().flatten(1).cpu().double()


def _check_sigmas(*sigmas: float) -> None:
    for sigma in sigmas:
        check_sizes(sigma=sigma)
        if not sigma:
            raise ValueError(f"sigma: got {sigma!r}, expected a finite number above 0")

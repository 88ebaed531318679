"""How good generated images are: log-likelihood by Parzen window, and the Fréchet distance."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from course_utils.checks import EVERYWHERE, check_images, check_sizes
from course_utils.inference import WITHOUT_GRADIENT, ask, in_batches
from course_utils.models import eval_mode, linear_layers

BATCH = 500  # test images whose distances to all samples are held at once

# The ten that the paper's code tries, 0.1 to 1, and these with two more between each and the next.
PAPERS_SIGMAS = tuple(10 ** (-1 + step / 9) for step in range(10))
SIGMAS = tuple(10 ** (-1 + step / 27) for step in range(28))


def parzen_log_likelihood(samples: Tensor, test: Tensor, sigma: float) -> Tensor:
    """Return the logarithm of each test image's density under a Gaussian around each sample.

    log p(x) = log (1/M) sum_j N(x; s_j, sigma^2 I), over M samples s_j of n pixels. It is (N,),
    float64, in nats; of a density, so it may be above 0. Computed on the CPU, exact to 1e-4 for
    sigmas of 1e-3 and more; 10,000 against 10,000 images of MNIST are 0.16 Tflop. Raises TypeError,
    ValueError where an argument is not as described.

    Args:
        samples: (M, ...), float32 or float64, such as a generator's images.
        test: (N, ...) of the same n pixels.
        sigma: the Gaussian's standard deviation, in pixel units, above 0.

    Source: Breuleux, Bengio and Vincent 2011, Neural Computation 23; Goodfellow et al. 2014
    (arXiv:1406.2661), section 5.
    """
    return torch.cat([*_log_densities(samples, test, [sigma], "test")], 1)[0]


def choose_sigma(samples: Tensor, validation: Tensor, sigmas: Sequence[float] = SIGMAS) -> float:
    """Return the sigma under which the validation images are most likely, in the mean.

    Args, errors: as of `parzen_log_likelihood`. The validation images should be neither those of
    the test nor any that the generator was trained on. sigmas: to choose from, at least one.
    """
    if not len(sigmas):
        raise ValueError("sigmas: got none, expected at least one number above 0")
    totals = sum(part.sum(1) for part in _log_densities(samples, validation, sigmas, "validation"))
    return sigmas[totals.argmax()]


def _log_densities(samples: Tensor, test: Tensor, sigmas, name: str) -> Iterator[Tensor]:
    """Yield, for some test images at a time, their log-densities for each sigma (sigmas, some)."""
    for sigma in sigmas:
        check_sizes(sigma=sigma)
        if not sigma:
            raise ValueError(f"sigma: got {sigma!r}, expected a finite number above 0")
    samples, test = _as_rows(samples, "samples"), _as_rows(test, name)
    count, pixels = samples.shape
    if test.shape[1] != pixels:
        got = f"images of {test.shape[1]} pixels"
        raise ValueError(f"{name}: got {got}, expected {pixels}, as the samples have")
    lengths = samples.square().sum(1)
    for some in test.split(BATCH):
        # |x|^2 - 2 x.s + |s|^2 is off by up to 1e-12 here, and in float32 by 1e-4, which a sigma
        # of 0.1 would make 0.01 nats.
        beyond = torch.addmm(lengths, some, samples.T, alpha=-2)
        beyond.add_(some.square().sum(1, keepdim=True)).clamp_min_(0)
        least = beyond.amin(1, keepdim=True)
        beyond.sub_(least)
        found = []
        for sigma in sigmas:
            scale = -0.5 / sigma**2
            # The largest term is 1, and one below exp(-80) as good as 0; where exp underflows, it
            # takes many times as long.
            total = beyond.mul(scale).clamp_(min=-80).exp_().sum(1)
            normaliser = pixels * math.log(sigma * math.sqrt(2 * math.pi)) + math.log(count)
            found.append(total.log() + scale * least[:, 0] - normaliser)
        yield torch.stack(found)


def _as_rows(images: Tensor, name: str) -> Tensor:
    check_images(images, name=name, bounds=EVERYWHERE)
    return images.detach().flatten(1).cpu().double()


def features(classifier: nn.Module, images: Tensor) -> Tensor:
    """Return what a classifier's last fully connected layer takes in: (N, units), no gradients.

    classifier: with at least two fully connected layers, the last of them giving the logits; it
    computes in eval mode. images: (N, ...) in [0, 1], N at least 1, on the classifier's device.
    """
    layers = linear_layers(classifier)
    if len(layers) < 2:
        expected = "at least two: with one, the features are the pixels"
        got = f"{len(layers)} fully connected layers"
        raise ValueError(f"classifier: got {got}, expected {expected}")
    taken = []

    def inputs_of_the_last(some: Tensor) -> Tensor:
        ask(classifier, some)
        return taken.pop()

    hook = layers[-1].register_forward_pre_hook(lambda layer, inputs: taken.append(inputs[0]))
    with hook, eval_mode(classifier), torch.no_grad():
        return in_batches(inputs_of_the_last, images, copies=WITHOUT_GRADIENT)


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Return the squared Fréchet distance between the Gaussians fitted to two sets of features.

    |m - n|^2 + tr(S + T - 2 (S^(1/2) T S^(1/2))^(1/2)), with means m, n and covariances S, T
    (divided by the count less one). In float64 on the CPU. Of finite sets it is above 0 even where
    both are drawn alike, and the smaller they are, the further: compare sets of equal counts.

    first, second: (N, k) and (M, k), such as `features` gives them; at least two rows each. The
    distance is at least 0, in the features' units squared. Raises TypeError, ValueError where an
    argument is not as described, or not finite.

    Source: Heusel et al. 2017 (arXiv:1706.08500), equation 6; Dowson and Landau 1982.
    """
    both = {"first": first, "second": second}
    for name, rows in both.items():
        check_images(rows, name=name, bounds=EVERYWHERE)
        if rows.ndim != 2 or len(rows) < 2:
            raise ValueError(f"{name}: got shape {tuple(rows.shape)}, expected (N, k), N above 1")
    if first.shape[1] != second.shape[1]:
        got, expected = second.shape[1], first.shape[1]
        raise ValueError(f"second: got {got} features, expected {expected}, as in the first")
    first, second = (rows.detach().cpu().double() for rows in both.values())
    s, t = (torch.atleast_2d(torch.cov(rows.T)) for rows in (first, second))
    values, vectors = torch.linalg.eigh(s)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # S^(1/2) T S^(1/2) is symmetric, where S T is not: its root's trace is real and stable.
    crossed = torch.linalg.eigvalsh(root @ t @ root).clamp_min(0).sqrt().sum()
    apart = (first.mean(0) - second.mean(0)).square().sum()
    return max((apart + s.trace() + t.trace() - 2 * crossed).item(), 0.0)

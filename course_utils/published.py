"""The papers' numbers, to stand beside ours: errors and confidences in percent, distortions as the
root mean square per pixel. Each function returns a new DataFrame, which the caller may change.

Sources: Szegedy et al. 2013, "Intriguing properties of neural networks" (arXiv:1312.6199);
Goodfellow, Shlens, Szegedy 2014, "Explaining and harnessing adversarial examples"
(arXiv:1412.6572); Goodfellow et al. 2014, "Generative adversarial networks" (arXiv:1406.2661).
"""

from types import MappingProxyType

import pandas as pd

NOISE = "Gaussian noise, stddev={}"


def szegedy_models() -> pd.DataFrame:
    """Train error, test error and average distortion of six networks (arXiv:1312.6199, Table 1).

    The distortion is the least that takes the accuracy on the training set to 0 %.
    """
    return _table("train error, test error, av. distortion", {
        "FC10(1e-4)": (6.7, 7.4, 0.062),
        "FC10(1e-2)": (10.0, 9.4, 0.1),
        "FC10(1)": (21.2, 20.0, 0.14),
        "FC100-100-10": (0.0, 1.64, 0.058),
        "FC200-200-10": (0.0, 1.54, 0.065),
        "AE400-10": (0.57, 1.9, 0.086),
    })  # fmt: skip


def cross_model_table() -> pd.DataFrame:
    """The deck's "Cross-model generalization" (arXiv:1312.6199, section 4.2).

    Rows: the network that the examples were made for, or the noise; columns: the network that
    they were shown to (error), and the rows' average distortion.
    """
    return _table(", ".join([*szegedy_models().index, "av. distortion"]), {
        "FC10(1e-4)": (100.0, 11.7, 22.7, 2.0, 3.9, 2.7, 0.062),
        "FC10(1e-2)": (87.1, 100.0, 35.2, 35.9, 27.3, 9.8, 0.1),
        "FC10(1)": (71.9, 76.2, 100.0, 48.1, 47.0, 34.4, 0.14),
        "FC100-100-10": (28.9, 13.7, 21.1, 100.0, 6.6, 2.0, 0.058),
        "FC200-200-10": (38.2, 14.0, 23.8, 20.3, 100.0, 2.7, 0.065),
        "AE400-10": (23.4, 16.0, 24.8, 9.4, 6.6, 100.0, 0.086),
        NOISE.format(0.1): (5.0, 10.1, 18.3, 0.0, 0.0, 0.8, 0.1),
        NOISE.format(0.3): (15.6, 11.3, 22.7, 5.0, 4.3, 3.1, 0.3),
    })  # fmt: skip


def cross_training_table(*, amplified: bool = False) -> pd.DataFrame:
    """The deck's "Cross-training generalization" (arXiv:1312.6199, section 4.2).

    FC100-100-10 and FC123-456-10 were trained on one half of MNIST's training set, FC100-100-10'
    on the other; otherwise as `cross_model_table`. `amplified` gives the table's second half,
    which the deck leaves out: the same perturbations, magnified to stddev 0.1.
    """
    names = ["FC100-100-10", "FC123-456-10", "FC100-100-10'"]
    found = [(100.0, 26.2, 5.9, 0.062), (6.25, 100.0, 5.1, 0.059), (8.2, 8.2, 100.0, 0.058),
             (2.2, 2.6, 2.4, 0.06)]
    louder = [(100.0, 98.0, 43.0, 0.1), (96.0, 100.0, 22.0, 0.1), (27.0, 50.0, 100.0, 0.1),
              (2.6, 2.8, 2.7, 0.1)]
    rows = louder if amplified else found
    return _table(", ".join([*names, "av. distortion"]),
                  dict(zip([*names, NOISE.format(rows[-1][-1])], rows)))


def cross_training_errors() -> pd.Series:
    """Test errors of the three networks of `cross_training_table` (arXiv:1312.6199)."""
    errors = {"FC100-100-10": 2.4, "FC123-456-10": 2.5, "FC100-100-10'": 2.1}
    return pd.Series(errors, name="test error")


def alexnet_bounds() -> pd.DataFrame:
    """The deck's upper bounds of AlexNet's layers (arXiv:1312.6199, section 4.3).

    Size: (channels in, height, width, channels out), or (inputs, outputs); stride None where
    the deck has "N/A".
    """
    return _table("size, stride, bound", {
        "Conv. 1": ((3, 11, 11, 96), 4, 2.75),
        "Conv. 2": ((96, 5, 5, 256), 1, 10.0),
        "Conv. 3": ((256, 3, 3, 384), 1, 7.0),
        "Conv. 4": ((384, 3, 3, 384), 1, 7.5),
        "Conv. 5": ((384, 3, 3, 256), 1, 11.0),
        "FC. 1": ((9216, 4096), None, 3.12),
        "FC. 2": ((4096, 4096), None, 4.0),
        "FC. 3": ((4096, 1000), None, 4.0),
    }).astype({"stride": "Int64"})  # fmt: skip


def fast_gradient_sign() -> pd.DataFrame:
    """Error under the fast gradient sign at eps = .25 on MNIST's test set, the mean confidence
    on those mistakes, and that on clean images where it is given (arXiv:1412.6572)."""
    return _table("error, confidence on mistakes, confidence on clean images", {
        "shallow softmax": (99.9, 79.3, None),
        "maxout": (89.4, 97.6, None),
        "maxout, adversarially trained": (17.9, 81.4, None),
        "shallow RBF": (55.4, 1.2, 60.6),
        "logistic regression, 3 against 7": (99.0, None, None),
    }).astype(float)  # fmt: skip


# Test errors on clean images (arXiv:1412.6572); adversarial training with alpha = .5, the
# larger network's the mean of five runs.
CLEAN_ERRORS = MappingProxyType({
    "maxout with dropout": 0.94,
    "maxout with dropout, adversarially trained": 0.84,
    "larger maxout with dropout, adversarially trained": 0.782,
    "logistic regression, 3 against 7": 1.6,
})

# The deck's panda: GoogLeNet, eps = .007 (arXiv:1412.6572, figure 1).
PANDA = MappingProxyType({"panda": 57.7, "nematode": 8.2, "gibbon": 99.3})


def parzen_log_likelihoods() -> pd.DataFrame:
    """Parzen-window log-likelihood on MNIST in nats, with its error (arXiv:1406.2661, Table 1)."""
    return _table("log-likelihood, error", {
        "DBN": (138.0, 2.0), "stacked CAE": (121.0, 1.6), "deep GSN": (214.0, 1.1),
        "adversarial nets": (225.0, 2.0),
    })  # fmt: skip


def _table(columns: str, rows: dict[str, tuple]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns.split(", "))

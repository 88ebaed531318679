"""The papers' numbers, to stand beside ours: errors and confidences in percent, distortions as the
root mean square per pixel. Each function returns a new DataFrame, which the caller may change.

Sources: Szegedy et al. 2013, "Intriguing properties of neural networks" (arXiv:1312.6199);
Goodfellow, Shlens, Szegedy 2014, "Explaining and harnessing adversarial examples"
(arXiv:1412.6572); Goodfellow et al. 2014, "Generative adversarial networks" (arXiv:1406.2661).
The numbers are in published.toml.
"""

import tomllib
from pathlib import Path
from types import MappingProxyType

import pandas as pd

NOISE = "Gaussian noise, stddev={}"  # what the tables' rows of noise are called
_PRINTED = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))

# Test errors on clean images (arXiv:1412.6572).
CLEAN_ERRORS = MappingProxyType(_PRINTED["clean_errors"])


def szegedy_models() -> pd.DataFrame:
    """Train error, test error and average distortion of six networks (arXiv:1312.6199, Table 1):
    the least distortion that takes the accuracy on the training set to 0 %."""
    return _table("szegedy_models")


def cross_model_table() -> pd.DataFrame:
    """The deck's "Cross-model generalization" (arXiv:1312.6199, section 4.2). Rows: the network
    that the examples were made for, or the noise; columns: the network that they were shown to
    (error), and the rows' average distortion."""
    return _table("cross_model_table")


def cross_training_table(*, amplified: bool = False) -> pd.DataFrame:
    """The deck's "Cross-training generalization" (arXiv:1312.6199, section 4.2): FC100-100-10 and
    FC123-456-10 were trained on one half of MNIST's training set, FC100-100-10' on the other;
    otherwise as `cross_model_table`. `amplified` gives the table's second half, which the deck
    leaves out: the same perturbations, magnified to stddev 0.1."""
    return _table("cross_training_table" + "_amplified" * amplified)


def alexnet_bounds() -> pd.DataFrame:
    """The deck's upper bounds of AlexNet's layers (arXiv:1312.6199, section 4.3). Size: (channels
    in, height, width, channels out), or (inputs, outputs); stride None where it has "N/A"."""
    table = _table("alexnet_bounds").astype({"stride": "Int64"})
    return table.assign(size=table["size"].map(tuple))


def fast_gradient_sign() -> pd.DataFrame:
    """Error under the fast gradient sign at eps = .25 on MNIST's test set, the mean confidence
    on those mistakes, and that on clean images where it is given (arXiv:1412.6572)."""
    return _table("fast_gradient_sign")


def parzen_log_likelihoods() -> pd.DataFrame:
    """Parzen-window log-likelihood on MNIST in nats, with its error (arXiv:1406.2661, Table 1)."""
    return _table("parzen_log_likelihoods")


def _table(name: str) -> pd.DataFrame:
    columns, *rows = _PRINTED[name].items()
    return pd.DataFrame.from_dict(dict(rows), orient="index", columns=columns[1])

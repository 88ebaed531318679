"""What the deck says: each statement, table and figure, and the number that decides it here.

The bands stand here and not in the lectures, so that no lecture can move its own goal.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Claim:
    """One statement, table or figure of the deck, and the number that decides it.

    `slide` is the deck's heading, `says` the deck's words, shortened; `measures` says what the
    number is and `paper` what the paper printed for it. The claim holds when the number lies in
    `band` (low, high), both ends included; no band means that its lecture is not written yet.
    `expected` is False for a claim that is known not to hold here.
    """

    id: str
    lecture: int
    slide: str
    kind: str
    says: str
    measures: str
    paper: str = "-"
    band: tuple[float, float] | None = None
    digits: int = 1
    unit: str = " %"
    expected: bool = True

    def format(self, value: float) -> str:
        """`value` with the claim's digits and unit; more digits where rounding would mislead."""
        low, high = self.band or (-math.inf, math.inf)
        for digits in range(self.digits, 18):
            rounded = round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
            if (low <= rounded <= high) == (low <= value <= high):
                break
        return f"{rounded:.{digits}f}{self.unit}"

    @property
    def band_text(self) -> str:
        """The band in words."""
        low, high = (f"{end:.{self.digits}f}" for end in self.band)
        return f"exactly {low}{self.unit}" if low == high else f"{low} to {high}{self.unit}"


SMOOTH, MODELS, TRAINING = (
    "Adversarial Examples",
    "Cross-model generalization",
    "Cross-training generalization",
)
LIPSCHITZ = "Lipschitz continuity"
PROPERTIES = "Properties of Lipschitz constant for a neural network"
FGSM, LOSS = "Adversarial Training", "Adversarial Training - Loss function"
GAN = "Generative Adversarial Networks (GANs)"

_LIST = (
    Claim("noise-harmless", 1, SMOOTH, "statement",
          "For a small enough radius, an input x + r with ||r|| < eps will predict the correct "
          "class",
          "error of FC100-100-10 under random noise of the attack's own size, image by image",
          "0 % at stddev 0.1", (0, 2)),
    Claim("smoothness-disproved", 1, SMOOTH, "statement",
          "The assumption does not hold true: adversarial samples make the model mispredict",
          "training images of FC100-100-10 whose class the attack changes",
          "100 %", (99, 100)),
    Claim("imperceptible", 1, SMOOTH, "statement",
          "The perturbations are imperceptibly small",
          "mean distortion of FC100-100-10 (root mean square per pixel)",
          "0.058", (0, 0.07), digits=3, unit=""),
    Claim("classifier", 1, SMOOTH, "statement",
          "Consider a neural network classifier f: R^m -> {1..k}",
          "test error of FC100-100-10",
          "1.64 %", (1, 2.5), digits=2),
    Claim("minimal-norm", 1, SMOOTH, "statement",
          "Minimize ||r||_2",
          "excess of FC10(1e-4)'s mean distortion over the quadratic program's exact optimum",
          "-", (-0.01, 0.5), digits=2),
    Claim("target-reached", 1, SMOOTH, "statement",
          "Subject to f(x + r) = l",
          "images given the chosen label l",
          "100 %", (100, 100)),
    Claim("box-constraint", 1, SMOOTH, "statement",
          "Subject to x + r in [0, 1]^m",
          "returned images with every pixel in [0, 1]",
          "-", (100, 100)),
    Claim("linear-distortions", 1, MODELS, "table",
          "Av. distortion: 0.062 for FC10(1e-4), 0.1 for FC10(1e-2), 0.14 for FC10(1)",
          "smaller of the two steps, each mean distortion over the one before",
          "1.40 (0.14 / 0.1)", (1.1, 2), digits=2, unit=""),

    Claim("cross-model-table", 2, MODELS, "table",
          "Error of six networks on adversarial examples made for each, and on noise",
          "rank correlation of our off-diagonal cells with the paper's",
          band=(0.8, 1), unit="", digits=2),
    Claim("own-row", 2, MODELS, "table",
          "Each network errs on 100% of the examples made for it",
          "smallest cell of the diagonal", "100 %", (99, 100)),
    Claim("transfer-above-noise", 2, MODELS, "table",
          "Made for one network, shown to another: 2% to 87.1%; Gaussian noise, stddev=0.1: "
          "0% to 18.3%",
          "off-diagonal cells above noise of the same size", "2 % to 87.1 %", (95, 100)),
    Claim("linear-transfer-best", 2, MODELS, "table",
          "Examples made for FC10(1) fool the others most: 34.4% to 76.2%",
          "mean transfer of the linear networks over that of the others", "34.4 % to 76.2 %",
          (1.2, 5), digits=2, unit=""),
    Claim("cross-training-table", 2, TRAINING, "table",
          "Error of three networks, trained on disjoint halves, on examples made for each",
          "rank correlation of our off-diagonal cells with the paper's",
          band=(0.4, 1), unit="", digits=2),
    Claim("cross-training-above-noise", 2, TRAINING, "table",
          "Across training sets 5.1% to 8.2%; Gaussian noise with stddev=0.06: 2.2% to 2.6%",
          "smallest transfer across disjoint training sets over noise of the same size",
          "5.1 % to 8.2 %", (1.5, 20), unit=""),

    Claim("not-stable", 3, LIPSCHITZ, "statement",
          "If minor perturbations make the model's output incorrect, the model is not stable",
          "how far the attack moves the logits of FC100-100-10, over how far noise of the same "
          "length does (medians)", band=(3, 1000), unit=" times"),
    Claim("lipschitz-definition", 3, LIPSCHITZ, "statement",
          "|f(x1) - f(x2)| <= K |x1 - x2|",
          "largest slope of a sigmoid seen over K = 1/4", band=(90, 100)),
    Claim("layer-lipschitz", 3, LIPSCHITZ, "statement",
          "||phi_k(x; W_k) - phi_k(x + r; W_k)|| <= L_k ||r|| for each layer k",
          "largest growth seen over L_k, all layers of FC100-100-10", band=(99, 100)),
    Claim("network-product", 3, LIPSCHITZ, "statement",
          "For the entire network, ||phi(x) - phi(x + r)|| <= L ||r|| with L the product of L_k",
          "steepest slope of FC100-100-10 seen over L", band=(0, 100)),
    Claim("alexnet-bounds", 3, LIPSCHITZ, "table",
          "Upper bounds of AlexNet's layers: 2.75, 10, 7, 7.5, 11; 3.12, 4, 4",
          "geometric mean, over the eight layers, of our bound before training over the paper's",
          "2.75 to 11", (0.8, 1.25), digits=2, unit="", expected=False),
    Claim("small-bounds-guarantee", 3, PROPERTIES, "statement",
          "Small bounds guarantee that no such adversarial examples can appear",
          "attacks that land inside a certified radius", band=(0, 0)),
    Claim("penalty-generalises", 3, PROPERTIES, "statement",
          "Penalizing each upper Lipschitz bound might help improve the generalisation error",
          "test error without the penalty less that with it", band=(0.1, 1), digits=2,
          unit=" points", expected=False),
    Claim("large-bounds-do-not-condemn", 3, PROPERTIES, "statement",
          "Large bounds do not automatically translate into existence of adversarial examples",
          "ratio of the bounds of two networks of equal predictions", band=(100, 1e6),
          digits=0, unit=" times"),
    Claim("bounds-do-not-explain-transfer", 3, PROPERTIES, "statement",
          "They don't explain why adversarial examples generalize across hyperparameters or "
          "training sets",
          "rank correlation of transfer rates with the bound of the network shown to",
          band=(-0.5, 0.5), unit=""),

    Claim("panda", 4, FGSM, "figure",
          '"panda" 57.7% + .007 x sign of the gradient ("nematode" 8.2%) = "gibbon" 99.3%',
          "confidence in panda after the step", 'GoogLeNet: "gibbon" 99.3 %', (0, 50)),
    Claim("too-linear", 4, LOSS, "statement",
          "Adversarial examples are a result of models being too linear, rather than too "
          "nonlinear",
          "share of the logits' change along the sign direction that a straight line explains",
          band=(80, 100)),
    Claim("training-regularises", 4, LOSS, "statement",
          "Adversarial training can result in regularization",
          "test error without adversarial training less that with it", "0.94 % to 0.84 %",
          (0.01, 5), digits=2),
    Claim("beyond-dropout", 4, LOSS, "statement",
          "Even further regularization than dropout",
          "test error with dropout less that with adversarial training too",
          "0.94 % to 0.84 %", (0.01, 5), digits=2),
    Claim("rbf-resistant", 4, LOSS, "statement",
          "RBF networks are resistant to adversarial examples",
          "mean confidence of the RBF network on its mistakes at eps = .25", "1.2 %", (0, 10)),
    Claim("adversarial-objective", 4, LOSS, "statement",
          "alpha J(theta, x, y) + (1 - alpha) J(theta, x + eps sign(grad_x J), y)",
          "error under the fast gradient sign at eps = .25 after training on it",
          "89.4 % to 17.9 %", (0, 25)),

    Claim("gan-parzen", 5, GAN, "statement",
          "(the heading alone) the samples score well by Parzen windows",
          "Parzen-window log-likelihood of the test images, 10,000 samples", "225 +- 2 nats",
          (200, 1000), unit=" nats"),
    Claim("gan-all-digits", 5, GAN, "statement",
          "(the heading alone) all ten digits are sampled",
          "rarest digit's share of 10,000 samples", band=(3, 10)),
    Claim("gan-optimal-discriminator", 5, GAN, "statement",
          "(the heading alone) the best discriminator is p / (p + q)",
          "learned discriminator's mean distance from p / (p + q) in one dimension",
          band=(0, 0.03), digits=3, unit=""),
    Claim("gan-non-saturating", 5, GAN, "statement",
          "(the heading alone) the non-saturating loss still learns when D wins",
          "gradient of the non-saturating loss over the saturating one's when D wins",
          band=(10, 1e6), unit=" times"),
)

CLAIMS = MappingProxyType({claim.id: claim for claim in _LIST})

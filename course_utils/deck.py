"""What the deck says, and what is measured for it: each statement, table and figure.

What would count for and against a claim stands here and not in the lectures, so that no lecture
can move its own goal.
"""

from dataclasses import dataclass
from types import MappingProxyType

EFFECTS = ("effect", "figure", "interpretation")


@dataclass(frozen=True)
class Claim:
    """One statement, table or figure of the deck, and what is measured for it.

    `slide` is the deck's heading, `says` the deck's words, shortened; `measures` names the
    statistic, `paper` what the paper printed for it. `null` says what is put in the effect's
    place to see what chance or doing nothing gives. An effect stands on the `side` (1 above,
    -1 below) of `no_effect`, the value that means none. `contradicted_by` says what would speak
    against the claim, and `expected` the verdict that the course has found.

    kind: "theorem" (checked on cases), "effect" (a difference or a ratio), "table" (the order of
    its cells), "figure" (an effect, on several pictures), or "interpretation" (an effect that
    the interpretation predicts and its rival denies: the verdict is on the prediction).
    """

    id: str
    lecture: int
    slide: str
    kind: str
    says: str
    measures: str
    null: str
    contradicted_by: str
    paper: str = "-"
    expected: str = "reproduced"
    no_effect: float = 0.0
    side: int = 1
    digits: int = 1
    unit: str = " points"

    def side_of(self, value: float) -> int:
        """1 where `value` lies above no effect, -1 below, 0 on it (up to rounding errors)."""
        difference = round(value - self.no_effect, 9)
        return (difference > 0) - (difference < 0)

    def format(self, value: float) -> str:
        """`value` with the claim's digits and unit; more digits where rounding would mislead."""
        for digits in range(self.digits, 12):
            rounded = round(value, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
            if self.side_of(rounded) == self.side_of(value):
                break
        return f"{rounded:.{digits}f}{self.unit}"


SMOOTH, MODELS, TRAINING = (
    "Adversarial Examples",
    "Cross-model generalization",
    "Cross-training generalization",
)
LIPSCHITZ = "Lipschitz continuity"
PROPERTIES = "Properties of Lipschitz constant for a neural network"
FGSM, LOSS = "Adversarial Training", "Adversarial Training - Loss function"
GAN = "Generative Adversarial Networks (GANs)"
TIMES = {"no_effect": 1.0, "unit": " times"}
THEOREM = {"null": "-", "expected": "theorem", "unit": ""}
ORDER = {"null": "correlation with a shuffled table, in size", "unit": "",
         "contradicted_by": "a rank correlation below zero that shuffling seldom gives"}
NONE, OTHER = "an interval wholly at or below zero", "an interval wholly at or below one"

_LIST = (
    Claim("small-enough-radius", 1, SMOOTH, "theorem",
          "For a small enough radius, an input x + r with ||r|| < eps will predict the correct "
          "class",
          "digits whose certified radius is zero or holds the attack's picture",
          contradicted_by="a digit without a certified radius, or an attack inside it", **THEOREM),
    Claim("smoothness-disproved", 1, SMOOTH, "effect",
          "The assumption does not hold true: adversarial samples make the model mispredict",
          "digits fooled by the attack less those fooled by noise of the same length",
          null="a second noise in the attack's place", contradicted_by=NONE,
          paper="100 % fooled at a distortion of 0.058"),
    Claim("imperceptible", 1, SMOOTH, "interpretation",
          "The perturbations are imperceptibly small",
          "mean distortion over that of the nearest real picture of the target class",
          null="noise lengthened until it fools, in the attack's place",
          contradicted_by="a third of that distance or more, the bar settled before anything was "
          "measured (below one it must lie: that picture itself solves the problem)",
          paper="0.058", no_effect=1 / 3, side=-1, digits=3, unit=" times"),
    Claim("classifier", 1, SMOOTH, "effect",
          "Consider a neural network classifier f: R^m -> {1..k}",
          "test error of FC100-100-10",
          null="the network before training", contradicted_by="nine errors in ten: guessing",
          paper="1.64 %", no_effect=90.0, side=-1, digits=2, unit=" %"),
    Claim("minimal-norm", 1, SMOOTH, "effect",
          "Minimize ||r||_2",
          "excess of the attack's distortion over the exact optimum, as a share of what a "
          "straight line along the gradient has, FC10(1e-4)",
          null="the straight line itself, by definition",
          contradicted_by="the attack's perturbations are no shorter", no_effect=100.0, side=-1,
          unit=" %"),
    Claim("target-reached", 1, SMOOTH, "effect",
          "Subject to f(x + r) = l",
          "pictures given the chosen label l",
          null="labels drawn anew", contradicted_by="the chosen label no oftener than 1 in 9",
          paper="100 %", no_effect=100 / 9, digits=2, unit=" %"),
    Claim("box-constraint", 1, SMOOTH, "theorem",
          "Subject to x + r in [0, 1]^m",
          "pixels of returned pictures outside [0, 1]",
          contradicted_by="one pixel outside", **THEOREM),
    Claim("linear-distortions", 1, MODELS, "effect",
          "Av. distortion: 0.062 for FC10(1e-4), 0.1 for FC10(1e-2), 0.14 for FC10(1)",
          "smaller of the two steps, each mean distortion over the one before",
          null="the same network, towards other targets", contradicted_by=OTHER,
          paper="1.40 (0.14 / 0.1)", digits=2, **TIMES),

    Claim("cross-model-table", 2, MODELS, "table",
          "Error of six networks on adversarial examples made for each, and on noise",
          "our adversarial cells, means of ten seeds, beside the paper's", **ORDER),
    Claim("own-row", 2, MODELS, "effect",
          "Each network errs on 100% of the examples made for it",
          "error on its own examples less that on noise of the same size, least of six networks",
          null="a second noise in the examples' place", contradicted_by=NONE, paper="100 %"),
    Claim("transfer-above-noise", 2, MODELS, "effect",
          "Made for one network, shown to another: 2% to 87.1%; Gaussian noise, stddev=0.1: "
          "0% to 18.3%",
          "error on another network's examples less that on noise of the same size and box",
          null="a second noise in the examples' place", contradicted_by=NONE,
          paper="2 % to 87.1 %"),
    Claim("linear-transfer-best", 2, MODELS, "effect",
          "Examples made for FC10(1) fool the others most: 34.4% to 76.2%",
          "mean of FC10(1)'s row less that of the best other row, each on the columns they share",
          null="a row drawn by lot in its place, mean over rows and seeds",
          contradicted_by="another row's mean is higher",
          paper="34.4 % to 76.2 %", expected="undecided"),
    Claim("cross-training-table", 2, TRAINING, "table",
          "Error of three networks, trained on disjoint halves, on examples made for each",
          "our adversarial cells, means of ten seeds, beside the paper's",
          **ORDER | {"expected": "undecided"}),
    Claim("cross-training-above-noise", 2, TRAINING, "effect",
          "Across training sets 5.1% to 8.2%; Gaussian noise with stddev=0.06: 2.2% to 2.6%",
          "error across disjoint training sets less that on noise of the same size, least of four",
          null="a second noise in the examples' place", contradicted_by=NONE,
          paper="5.1 % to 8.2 %"),

    Claim("not-stable", 3, LIPSCHITZ, "effect",
          "If minor perturbations make the model's output incorrect, the model is not stable",
          "how far the attack moves the logits of FC100-100-10, over how far noise of the same "
          "length does",
          null="a second noise in the attack's place", contradicted_by=OTHER, **TIMES),
    Claim("lipschitz-definition", 3, LIPSCHITZ, "theorem",
          "|f(x1) - f(x2)| <= K |x1 - x2|",
          "pairs of points between which a sigmoid is steeper than K = 1/4",
          contradicted_by="one steeper pair", **THEOREM),
    Claim("layer-lipschitz", 3, LIPSCHITZ, "theorem",
          "||phi_k(x; W_k) - phi_k(x + r; W_k)|| <= L_k ||r|| for each layer k",
          "steps that a layer of FC100-100-10 lengthens by more than L_k",
          contradicted_by="one such step", **THEOREM),
    Claim("network-product", 3, LIPSCHITZ, "theorem",
          "For the entire network, ||phi(x) - phi(x + r)|| <= L ||r|| with L the product of L_k",
          "slopes of FC100-100-10 steeper than L",
          contradicted_by="one steeper slope", **THEOREM),
    Claim("alexnet-bounds", 3, LIPSCHITZ, "table",
          "Upper bounds of AlexNet's layers: 2.75, 10, 7, 7.5, 11; 3.12, 4, 4",
          "our bounds before training beside the paper's after it",
          paper="2.75 to 11", **ORDER | {"expected": "undecided"}),
    Claim("small-bounds-guarantee", 3, PROPERTIES, "theorem",
          "Small bounds guarantee that no such adversarial examples can appear",
          "attacks that land inside a certified radius",
          contradicted_by="one such attack", **THEOREM),
    Claim("penalty-generalises", 3, PROPERTIES, "effect",
          "Penalizing each upper Lipschitz bound might help improve the generalisation error",
          "test error without the penalty less that with it, paired seeds",
          null="two halves of the seeds without it", contradicted_by="the penalty raises the error",
          expected="undecided", digits=2),
    Claim("large-bounds-do-not-condemn", 3, PROPERTIES, "theorem",
          "Large bounds do not automatically translate into existence of adversarial examples",
          "digits whose logits change when the product is made 700 times larger",
          contradicted_by="one such digit", **THEOREM),
    Claim("bounds-do-not-explain-transfer", 3, PROPERTIES, "interpretation",
          "They don't explain why adversarial examples generalize across hyperparameters or "
          "training sets",
          "rank correlation of transfer with the gradients' cosine, less that with small certified "
          "radii of the network shown to",
          null="the cosines shuffled", contradicted_by="the radii predict transfer better",
          expected="undecided", digits=2, unit=""),

    Claim("panda", 4, FGSM, "figure",
          '"panda" 57.7% + .007 x sign of the gradient ("nematode" 8.2%) = "gibbon" 99.3%',
          "views of a panda whose label the step of .007 changes, less those that random signs do",
          null="random signs in the step's place", contradicted_by=NONE,
          paper='GoogLeNet: "gibbon" 99.3 %'),
    Claim("too-linear", 4, LOSS, "interpretation",
          "Adversarial examples are a result of models being too linear, rather than too "
          "nonlinear",
          "error under one step of .05 with each pixel drawn as four, less that without, paired "
          "seeds: many small changes add up, so more pixels must err more; a rival, the tilted "
          "boundary, says that nothing changes",
          null="other seeds, with as many pixels", contradicted_by=NONE, expected="contradicted"),
    Claim("training-regularises", 4, LOSS, "effect",
          "Adversarial training can result in regularization",
          "at the paper's eps of .25: test error without adversarial training less that with it, "
          "paired seeds",
          null="noise of the same size in the step's place",
          contradicted_by="training raises the error", paper="0.94 % to 0.84 %", digits=2,
          expected="contradicted"),
    Claim("beyond-dropout", 4, LOSS, "effect",
          "Even further regularization than dropout",
          "at the paper's eps of .25: test error with dropout less that with adversarial training "
          "too, paired seeds",
          null="the same with dropout alone, other seeds",
          contradicted_by="training raises the error", paper="0.94 % to 0.84 %", digits=2,
          expected="contradicted"),
    Claim("weak-training-regularises", 4, LOSS, "effect",
          "Adversarial training can result in regularization",
          "exploratory, at a tuned eps of .025: test error without adversarial training less that "
          "with it, paired seeds",
          null="noise of the same size in the step's place",
          contradicted_by="training raises the error", digits=2),
    Claim("weak-beyond-dropout", 4, LOSS, "effect",
          "Even further regularization than dropout",
          "exploratory, at a tuned eps of .025: test error with dropout less that with adversarial "
          "training too, paired seeds",
          null="the same with dropout alone, other seeds",
          contradicted_by="training raises the error", digits=2),
    Claim("rbf-resistant", 4, LOSS, "interpretation",
          "RBF networks are resistant to adversarial examples",
          "L2 distance of the RBF network's nearest mistake over that of softmax's",
          null="softmax, one half of the digits over the other", contradicted_by=OTHER, digits=2,
          expected="contradicted", **TIMES),
    Claim("adversarial-objective", 4, LOSS, "effect",
          "alpha J(theta, x, y) + (1 - alpha) J(theta, x + eps sign(grad_x J), y)",
          "error under the step at eps = .25 without training on it, less that with it, paired "
          "seeds",
          null="training on noise of the same size instead", contradicted_by=NONE,
          paper="89.4 % to 17.9 %"),

    Claim("gan-parzen", 5, GAN, "effect",
          "(the GAN paper, under the deck's heading) adversarial nets score above a deep GSN by "
          "Parzen windows",
          "log-likelihood of the test digits, with the paper's ten sigmas, less the deep GSN's "
          "214 +- 1.1; the interval is over test digits",
          null="uniform noise in the samples' place", contradicted_by=NONE,
          paper="225 +- 2 against 214 +- 1.1 nats", expected="undecided", unit=" nats"),
    Claim("gan-all-digits", 5, GAN, "effect",
          "(the GAN paper's samples, under the deck's heading) all ten digits are sampled",
          "Fréchet distance of real digits that lack one of the ten, the nearest such set, less "
          "that of the samples; five parts of the digits, one training",
          null="uniform noise in the samples' place", contradicted_by=NONE, digits=0, unit=""),
    Claim("gan-optimal-discriminator", 5, GAN, "theorem",
          "(the GAN paper, under the deck's heading) the best discriminator is p / (p + q)",
          "points and answers at which another answer than p / (p + q) makes V larger",
          contradicted_by="one better answer", **THEOREM),
    Claim("gan-non-saturating", 5, GAN, "effect",
          "(the GAN paper, under the deck's heading) -log D in place of log(1 - D) gives \"much "
          "stronger gradients early in learning\"",
          "by plain gradient descent, Fréchet distance with log(1 - D) less that with -log D, five "
          "seeds",
          null="-log D again, with other seeds, in the place of log(1 - D)",
          contradicted_by=NONE, digits=0, unit=""),
    Claim("gan-non-saturating-adam", 5, GAN, "effect",
          "(the same, by another optimiser) it is better by Adam, too",
          "by Adam, Fréchet distance with log(1 - D) less that with -log D, five seeds",
          null="-log D again, with other seeds, in the place of log(1 - D)",
          contradicted_by=NONE, expected="undecided", digits=0, unit=""),
    Claim("gan-adversarial-discriminator", 5, GAN, "interpretation",
          "(the GAN paper, under the deck's heading) adversarial examples suggest that \"training "
          "could be inefficient\"",
          "Fréchet distance with D as usual less that with D trained adversarially, eps = .02, "
          "five seeds",
          null="D as usual again, with other seeds, in the place of the trained one",
          contradicted_by=NONE, expected="undecided", digits=0, unit=""),
)

CLAIMS = MappingProxyType({claim.id: claim for claim in _LIST})

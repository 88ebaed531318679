"""How nbval compares a re-run lecture with its stored outputs.

Words and integers must agree exactly. Numbers with a decimal point may drift, as they do between
processors: by RELATIVE_TOLERANCE, or by one unit in the last printed place.
"""

import copy
import re

from nbval.plugin import IPyNbCell, IPyNbFile

RELATIVE_TOLERANCE = 1e-2
WIDGET = "application/vnd.jupyter.widget-view+json"
CLAIM = "application/vnd.course.claim+json"
# The claim's line, which is compared, says everything that its machine-readable form does. The
# frames of an explorer's twin are pictures.
NOT_COMPARED = (
    WIDGET,
    CLAIM,
    "application/vnd.course.twin+json",
    "image/png",
)
DECIMAL = re.compile(r"((?<![\w.])[-+]?\d*\.\d+(?:[eE][-+]?\d+)?(?!\.?\d))")


def agree(left: str, right: str) -> bool:
    """Whether two texts agree up to white space and the drift of their decimal numbers."""
    left, right = (DECIMAL.split(" ".join(text.split())) for text in (left, right))
    if [word.strip() for word in left[::2]] != [word.strip() for word in right[::2]]:
        return False
    return all(map(close, left[1::2], right[1::2]))


def close(left: str, right: str) -> bool:
    """Whether two printed decimal numbers agree."""
    unit = max(last_place(left), last_place(right))
    difference, size = abs(float(left) - float(right)), max(abs(float(left)), abs(float(right)))
    return difference <= max(unit, RELATIVE_TOLERANCE * size) * (1 + 1e-9)


def last_place(number: str) -> float:
    """The worth of the last printed digit: 0.01 for "3.14", 1e-05 for "1.00e-03"."""
    digits, _, exponent = number.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


class Approximate(str):
    """A text that equals every text it agrees with."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and agree(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def without_widgets(outputs: list) -> list:
    """The outputs without sliders and progress bars, which a stored lecture doesn't keep, and
    without a claim's card, whose marks would drift more than the numbers of its line."""
    kept = [copy.deepcopy(output) for output in outputs if WIDGET not in output.get("data", {})]
    for output in kept:
        if CLAIM in output.get("data", {}):
            output["data"].pop("text/html", None)
    return kept


def pytest_collectstart(collector):
    if isinstance(collector, IPyNbFile):
        collector.skip_compare += NOT_COMPARED


def pytest_itemcollected(item):
    if not isinstance(item, IPyNbCell):
        return
    sanitize, compare = item.sanitize, item.compare_outputs
    item.sanitize = lambda value: (
        Approximate(sanitize(value)) if isinstance(value, str) else sanitize(value)
    )
    item.compare_outputs = lambda test, reference: compare(
        without_widgets(test), without_widgets(reference)
    )

"""How nbval compares a re-run lecture with its stored outputs.

Words and integers must agree exactly, and every other number to RELATIVE, or to one unit in the
last printed place if that is less than a hundredth of it. Figures must agree as pictures seen from
afar, where another font is hardly seen, in how dark each part is, and in how much of each hue they
have. A claim's numbers must give its line and its card, a table in HTML must have the numbers of
the same in text, and nothing may be written to stderr. Tags let a cell's numbers drift more, as
they do between processors where an image lies on the border of two classes:

- `drift:0.5`: a number with one decimal, as percentages are printed, by 0.5, or whatever is named,
  and every other by 0.5 percent of itself;
- `drift:live`: what a training within the lecture gave, every number by a third of itself, and
  pictures as seen from afar by three times as much;
- `drift:time`: what stands before ms, s or min by a factor of TIMES;
- `drift:machine`: of each line, all columns but the last are compared;
- `drift:download`: the stored outputs may be those of a machine that could not have a file.
"""

import base64
import io
import re
from collections import defaultdict

import numpy as np
from nbval.plugin import IPyNbCell
from PIL import Image

from course_utils import claims
from tools import verdicts

RELATIVE = 1e-3
TIMES = 10
# Of figures. The first number is the farthest of all lectures' that DejaVu Serif in the place of
# Sans, or text without hinting, gave; the second the nearest that it must tell apart.
SEEN = 0.02  # from afar: .021; .021, upside down
INK = 0.2  # in one part: .11; .22, its darkest eighth by eighth made white
HUE = 0.15  # of one hue: .07; .22, red and blue exchanged
PARTS, INK_LEAST = 8, 0.05
COLOURED, HUE_LEAST = 40 / 255, 0.001
WIDGET = "application/vnd.jupyter.widget-view+json"
DECIMAL = re.compile(r"((?<![\w.])[-+]?\d*\.\d+(?:[eE][-+]?\d+)?(?!\.?\d))")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
TIME = re.compile(r"(\d+(?:\.\d+)?) (ms|s|min)\b")
SECONDS = {"ms": 0.001, "s": 1, "min": 60}
UNAVAILABLE = re.compile(r"(?:could not|not to) be had")


def differences(stored: list, rerun: list, tags: tuple = ()) -> list[str]:
    """What a cell's stored outputs and those of its re-run differ in, a line each; [] if nothing.

    stored, rerun: outputs as nbformat has them. tags: the cell's.
    """
    if "drift:download" in tags:  # how it goes is told on stderr
        rerun = [output for output in rerun if output.get("name") != "stderr"]
        if UNAVAILABLE.search(str(stored)) and not UNAVAILABLE.search(str(rerun)):
            return []
    before, after = parts(stored), parts(rerun)
    kinds = [[kind for kind, _ in found] for found in (before, after)]
    if kinds[0] != kinds[1]:
        return [f"stored is {kinds[0]}, the re-run gave {kinds[1]}"]
    found = [
        f"stored {kind}:\n{left}\nbut the re-run gave\n{right}"
        for (kind, left), (_, right) in zip(before, after)
        if not same(left, right, tags)
    ]
    return found + [
        f"its forms do not say the same: {output['data']}"
        for output in stored
        if not consistent(output.get("data", {}))
    ]


def parts(outputs: list) -> list[tuple[str, object]]:
    """What is compared: (kind, content) of streams, then of all that is displayed, in order.

    Not sliders and progress bars, which a stored lecture does not keep (of an explorer it keeps
    what it was asked for), and not a claim's card, whose marks drift more than its line's numbers.
    """
    streams, shown = defaultdict(str), []
    for output in outputs:
        if output["output_type"] == "stream":
            streams[output["name"]] += output["text"]
        elif output["output_type"] == "error":
            shown.append(("error", output["evalue"]))
        else:
            data = dict(output["data"])
            widget = data.pop(WIDGET, None)
            if claims.MIME_TYPE in data:
                data.pop("text/html", None)
            if not widget or data.keys() - {"text/plain"}:
                shown += sorted(data.items())
    return [*sorted(streams.items()), *shown]


def consistent(data: dict) -> bool:
    """Whether all forms of one output say the same: a table's two, a claim's numbers and words."""
    if claims.MIME_TYPE not in data:
        table = re.sub(r"<[^>]*>", " ", data.get("text/html", ""))
        return "<table" not in data.get("text/html", "") or set(NUMBER.findall(table)) == set(
            NUMBER.findall(data["text/plain"])
        )
    return verdicts.amiss_in(data) is None


def same(left: object, right: object, tags: tuple = ()) -> bool:
    """Whether two contents agree: texts, pictures (base64), numbers, and lists and dicts of them."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k], tags) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(*pair, tags) for pair in zip(left, right))
    if isinstance(left, str) and isinstance(right, str):
        pictures = left.startswith("iVBOR") and right.startswith("iVBOR")
        return same_picture(left, right, tags) if pictures else agree(left, right, tags)
    if isinstance(left, float) and isinstance(right, float | int):
        printed = "{:.1f}".format if points_of(tags) else repr  # of a claim: as its line has them
        return close(printed(left), printed(float(right)), tags)
    return left == right


def same_picture(left: str, right: str, tags: tuple = ()) -> bool:
    """Whether two PNGs look alike: from afar, in how dark each part is, and in their colours."""
    a, b = (on_white(text) for text in (left, right))
    if abs(a.width / a.height / (b.width / b.height) - 1) > 0.1:
        return False
    size = (32, max(1, round(32 * a.height / a.width)))
    small = [np.asarray(p.resize(size, Image.Resampling.BOX), float) / 255 for p in (a, b)]
    apart = np.sqrt(np.square(small[0] - small[1]).mean())
    return bool(
        apart <= SEEN * (3 if "drift:live" in tags else 1)
        and unlike(ink(a), ink(b), INK_LEAST) <= INK
        and unlike(hues(a), hues(b), HUE_LEAST) <= HUE
    )


def on_white(text: str) -> Image.Image:
    """A PNG in base64, on white where it is transparent."""
    picture = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def ink(picture: Image.Image) -> np.ndarray:
    """How dark, from 0 to 1, the cells of a grid are that is PARTS wide."""
    size = (PARTS, max(1, round(PARTS * picture.height / picture.width)))
    grey = Image.fromarray(1 - np.asarray(picture, np.float32).mean(2) / 255)
    return np.asarray(grey.resize(size, Image.Resampling.BOX))


def hues(picture: Image.Image) -> np.ndarray:
    """How much of the picture each of twelve hues covers; what lies between two is shared."""
    colours = np.asarray(picture, float)
    strength = np.ptp(colours, axis=2) / 255
    strength[strength <= COLOURED] = 0
    first, beyond = np.divmod(np.asarray(picture.convert("HSV"), float)[..., 0] * 12 / 256, 1)
    first = first.astype(int)
    found = [
        np.bincount(hue.ravel() % 12, (strength * share).ravel(), 12)
        for hue, share in ((first, 1 - beyond), (first + 1, beyond))
    ]
    return sum(found) / strength.size


def unlike(left: np.ndarray, right: np.ndarray, least: float) -> float:
    """The largest difference, relative to the larger of the two and `least`."""
    return float((np.abs(left - right) / (np.maximum(left, right) + least)).max())


def agree(left: str, right: str, tags: tuple = ()) -> bool:
    """Whether two texts agree up to white space and the drift of their numbers."""
    if "drift:machine" in tags:
        left, right = (
            [re.split(r"\s{2,}", line)[:-1] for line in text.splitlines()] for text in (left, right)
        )
        return left == right
    if "drift:time" in tags:
        times = zip(
            *(
                [float(n) * SECONDS[unit] for n, unit in TIME.findall(text)]
                for text in (left, right)
            )
        )
        if any(max(pair) > TIMES * min(pair) for pair in times):
            return False
        left, right = (TIME.sub("time", text) for text in (left, right))
    left, right = (DECIMAL.split(" ".join(text.split())) for text in (left, right))
    if [word.strip() for word in left[::2]] != [word.strip() for word in right[::2]]:
        return False
    return all(close(*pair, tags) for pair in zip(left[1::2], right[1::2]))


def close(left: str, right: str, tags: tuple = ()) -> bool:
    """Whether two printed decimal numbers agree."""
    size = max(abs(float(left)), abs(float(right)))
    unit = max(last_place(left), last_place(right))
    allowed = max(RELATIVE * size, unit if 100 * unit <= size else 0)
    if "drift:live" in tags:
        allowed = size / 3
    for points in points_of(tags):
        one = all(re.fullmatch(r"[-+]?\d*\.\d", number) for number in (left, right))
        allowed = points if one else points / 100 * size
    return abs(float(left) - float(right)) <= allowed * (1 + 1e-9)


def points_of(tags: tuple) -> list[float]:
    """What tags such as `drift:0.5` name."""
    return [float(tag[6:]) for tag in tags if re.match(r"drift:\d", tag)]


def last_place(number: str) -> float:
    """The worth of the last printed digit: 0.01 for "3.14", 1e-05 for "1.00e-03"."""
    digits, _, exponent = number.lower().partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def pytest_itemcollected(item):
    if isinstance(item, IPyNbCell):
        item.compare_outputs = lambda rerun, stored: compare(item, rerun, stored)


def compare(item: IPyNbCell, rerun: list, stored: list) -> bool:
    item.comparison_traceback = differences(stored, rerun, item.cell.metadata.get("tags", ()))
    return not item.comparison_traceback

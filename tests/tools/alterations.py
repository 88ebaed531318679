"""Alters the stored outputs of the lectures one by one, and tells which alterations nbval lets pass.

`python tests/tools/alterations.py [HOW_MANY]` fails if BOUND of them pass, or one without a reason.
The stored outputs stand for those of a re-run: they are compared with their altered copies by
notebooks/conftest.py, as nbval compares them.
"""

import base64
import copy
import importlib.util
import io
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
from PIL import Image, ImageOps

from course_utils.claims import MIME_TYPE

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
spec = importlib.util.spec_from_file_location("comparison", NOTEBOOKS / "conftest.py")
comparison = importlib.util.module_from_spec(spec)
spec.loader.exec_module(comparison)

BOUND = 0.02
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?|(?<![\w.])\.\d+")
WORD = re.compile(r"[A-Za-z]{3,}")
Alteration = Callable[[random.Random, list], None]


def alterations(outputs: list) -> Iterator[tuple[str, Alteration]]:
    """Every alteration of a cell's outputs: its kind, and what does it to a copy of them."""
    for i, output in enumerate(outputs):
        yield "an output is gone", lambda lot, copied, i=i: copied.pop(i)
        if "text" in output:
            for found in NUMBER.finditer(output["text"]):
                yield "number printed", partial(in_text, i, "text", found.span(), other_number)
            for found in WORD.finditer(output["text"]):
                yield "word printed", partial(in_text, i, "text", found.span(), other_word)
        for kind, content in output.get("data", {}).items():
            if kind == "image/png":
                grey = (
                    set() if coloured(output["data"]) else {"without its colours", "red for blue"}
                )
                for change in sorted(PICTURES.keys() - grey):
                    yield f"figure {change}", partial(in_picture, i, change)
            elif kind == MIME_TYPE:
                for name, value in content["measured"].items():
                    yield "claim's number", partial(in_claim, i, name)
            elif kind in ("text/plain", "text/html"):
                what = "claim's " * (MIME_TYPE in output["data"]) + kind.removeprefix("text/")
                for found in NUMBER.finditer(content):
                    before = content[: found.start()]
                    if before.rfind("<") <= before.rfind(">"):  # not within a tag
                        yield (
                            f"number in {what}",
                            partial(in_text, i, kind, found.span(), other_number),
                        )
                for found in WORD.finditer(content):
                    if MIME_TYPE in output["data"]:
                        yield f"word in {what}", partial(in_text, i, kind, found.span(), other_word)


def in_text(i: int, kind: str, span: tuple[int, int], change: Callable, lot, outputs: list) -> None:
    where = outputs[i] if kind == "text" else outputs[i]["data"]
    start, end = span
    where[kind] = where[kind][:start] + change(lot, where[kind][start:end]) + where[kind][end:]


def other_number(lot: random.Random, number: str) -> str:
    """Another digit in the place of one of the first three that count."""
    digits = [at for at, sign in enumerate(number) if sign.isdigit()]
    first = next((k for k, at in enumerate(digits) if number[at] != "0"), len(digits) - 1)
    at = lot.choice(digits[first : first + 3])
    return number[:at] + lot.choice([d for d in "0123456789" if d != number[at]]) + number[at + 1 :]


def other_word(lot: random.Random, word: str) -> str:
    """The word with one letter less."""
    at = lot.randrange(len(word))
    return word[:at] + word[at + 1 :]


def in_claim(i: int, name: str, lot: random.Random, outputs: list) -> None:
    measured = outputs[i]["data"][MIME_TYPE]["measured"]
    value = measured[name]
    measured[name] = type(value)(float(other_number(lot, repr(abs(value))))) if value else value + 1


def half_gone(picture: Image.Image) -> Image.Image:
    """The right half is empty."""
    picture.paste("white", (picture.width // 2, 0, picture.width, picture.height))
    return picture


def colourless(picture: Image.Image) -> Image.Image:
    """Whatever has a colour, such as a curve, is white."""
    pixels = np.array(picture)
    pixels[np.ptp(pixels, axis=2) > 40] = 255
    return Image.fromarray(pixels)


def exchanged(picture: Image.Image) -> Image.Image:
    """Red and blue change places."""
    return Image.merge("RGB", picture.split()[::-1])


def without_darkest(n: int, picture: Image.Image) -> Image.Image:
    """The block that is darkest, an n-th as wide and as high, is white."""
    pixels = np.array(picture)
    height, width = pixels.shape[0] // n, pixels.shape[1] // n
    total = np.pad((255 - pixels.mean(2)).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    within = total[height:] - total[:-height]
    within = within[:, width:] - within[:, :-width]
    top, left = np.unravel_index(within.argmax(), within.shape)
    pixels[top : top + height, left : left + width] = 255
    return Image.fromarray(pixels)


PICTURES = {
    "black": lambda picture: Image.new("RGB", picture.size, "black"),
    "empty": lambda picture: Image.new("RGB", picture.size, "white"),
    "in negative": ImageOps.invert,
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "half gone": half_gone,
    "without its colours": colourless,
    "red for blue": exchanged,
    "without its darkest quarter": partial(without_darkest, 4),
    "without its darkest eighth": partial(without_darkest, 8),
}


def in_picture(i: int, change: str, lot: random.Random, outputs: list) -> None:
    data = outputs[i]["data"]
    changed = PICTURES[change](picture_of(data))
    changed.save(file := io.BytesIO(), "PNG")
    data["image/png"] = base64.b64encode(file.getvalue()).decode()


def picture_of(data: dict) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")


def coloured(data: dict) -> bool:
    """Whether a thousandth of the picture, or more, has a colour."""
    return bool((np.ptp(np.array(picture_of(data)), axis=2) > 40).mean() > 0.001)


def let_pass(
    paths: list[Path], *, n: int, seed: int = 0
) -> tuple[Counter, list[tuple[str, str, str, str]]]:
    """Try n alterations, drawn by kind and then within the kind.

    What a cell tagged `drift:machine` says of the machine is left out: it differs on every other.

    Returns:
        How many of each kind were tried; of those that passed kind, notebook, last line of the
        cell, and the reason.
    """
    lot, kinds = random.Random(seed), {}
    for path in paths:
        for cell in nbformat.read(path, as_version=4).cells:
            if "drift:machine" in cell.metadata.get("tags", []):
                continue
            for kind, alter in alterations(cell.get("outputs", [])):
                kinds.setdefault(kind, []).append((path.stem, cell, alter))
    for found in kinds.values():
        lot.shuffle(found)
    tried, passed = Counter(), []
    while tried.total() < n and any(kinds.values()):
        for kind in [kind for kind in kinds if kinds[kind]][: n - tried.total()]:
            name, cell, alter = kinds[kind].pop()
            altered = copy.deepcopy(cell.outputs)
            alter(lot, altered)
            tried[kind] += 1
            tags = cell.metadata.get("tags", [])
            if not comparison.differences(altered, cell.outputs, tags):
                last = cell.source.splitlines()[-1].strip()
                passed.append((kind, name, last, reason(altered, cell.outputs, tags)))
    return tried, passed


def reason(altered: list, stored: list, tags: list[str]) -> str:
    """Why an alteration passes: what it is that, without it, would not let it; or "" if nothing."""
    for tag in tags:
        if comparison.differences(altered, stored, [other for other in tags if other != tag]):
            return f"within the cell's {tag}"
    with mock.patch.object(comparison, "close", lambda left, right, tags=(): left == right):
        if comparison.differences(altered, stored, tags):
            return "a decimal, within the drift that is allowed to each"
    return ""


def report(tried: Counter, passed: list[tuple[str, str, str, str]]) -> int:
    """Print what passed; 1 if BOUND of those tried did, or one without a reason, else 0."""
    for kind, count in tried.items():
        print(f"{kind:34} {count:4} tried, {sum(k == kind for k, *_ in passed)} passed")
    for kind, name, last, why in passed:
        print(f"passed: {kind}, {name}, {last}\n    {why or 'WITHOUT A REASON'}")
    print(f"{len(passed)} of {tried.total()} passed: {100 * len(passed) / tried.total():.1f} %")
    return int(len(passed) >= BOUND * tried.total() or not all(why for *_, why in passed))


if __name__ == "__main__":
    how_many = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    sys.exit(report(*let_pass(sorted(NOTEBOOKS.glob("0*.ipynb")), n=how_many)))

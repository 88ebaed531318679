"""Alters the stored outputs of the lectures one by one, and tells which alterations nbval lets pass.

`python tests/tools/alterations.py [HOW_MANY]`. The stored outputs stand for those of a re-run: they
are compared with their altered copies by notebooks/conftest.py, as nbval compares them.
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

import nbformat
from PIL import Image, ImageOps

from course_utils.claims import MIME_TYPE

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
spec = importlib.util.spec_from_file_location("comparison", NOTEBOOKS / "conftest.py")
comparison = importlib.util.module_from_spec(spec)
spec.loader.exec_module(comparison)

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
                for change in PICTURES:
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


PICTURES = {
    "black": lambda picture: Image.new("RGB", picture.size, "black"),
    "empty": lambda picture: Image.new("RGB", picture.size, "white"),
    "in negative": ImageOps.invert,
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "half gone": half_gone,
}


def in_picture(i: int, change: str, lot: random.Random, outputs: list) -> None:
    data = outputs[i]["data"]
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    PICTURES[change](picture).save(file := io.BytesIO(), "PNG")
    data["image/png"] = base64.b64encode(file.getvalue()).decode()


def let_pass(
    paths: list[Path], *, n: int, seed: int = 0
) -> tuple[Counter, list[tuple[str, str, str]]]:
    """Try n alterations, drawn by kind and then within the kind.

    What a cell tagged `drift:machine` says of the machine is left out: it differs on every other.

    Returns:
        How many of each kind were tried; of those that passed kind, notebook, tags and last line.
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
            if not comparison.differences(altered, cell.outputs, cell.metadata.get("tags", [])):
                tags = " ".join(cell.metadata.get("tags", []))
                passed.append((kind, name, f"{tags} {cell.source.splitlines()[-1]}"))
    return tried, passed


if __name__ == "__main__":
    how_many = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    tried, passed = let_pass(sorted(NOTEBOOKS.glob("0*.ipynb")), n=how_many)
    for kind, count in tried.items():
        print(f"{kind:28} {count:4} tried, {sum(k == kind for k, *_ in passed)} passed")
    print(*(f"passed: {', '.join(words)}" for words in passed), sep="\n")
    print(f"{len(passed)} of {tried.total()} passed: {100 * len(passed) / tried.total():.1f} %")

"""A twin for each explorer, for where no kernel runs: what it shows at some places, beforehand."""

import base64
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from course_utils.widgets.explorer import Explorer, Menu, Shown, Slider, as_html, label

MIME = "application/vnd.course.twin+json"
COLOURS = 256  # of a palette, which stores a picture of no more exactly, and in half the space
STILLS = 4  # places, at most, that stand for all of them on paper
TOLD = 3  # bars that a description names


@dataclass(frozen=True)
class Twin:
    """What is shown at every combination of some controls' values, the last control fastest.

    As a cell's output it is a picture of some places for paper (see `still`), and JSON (of type
    `MIME`) with all of them, which the course's site shows with controls that need no kernel: a
    list "controls", each with "label", "values", "start" (an index) and, for a menu, "choices";
    and a list "frames", each with "pictures" (by name, PNG in base64), "html" and "alt".
    """

    controls: list[dict]
    shown: list[Shown]

    def at(self) -> list[str]:
        """Every place in words."""
        named = [[f"{c['label']} {value}" for value in c["values"]] for c in self.controls]
        return [", ".join(place) for place in itertools.product(*named)]

    def still(self) -> Figure:
        """Some places along the last control, the others where they start, beside each other."""
        *before, last = (len(control["values"]) for control in self.controls)
        starts = [control["start"] for control in self.controls[:-1]]
        row = int(np.ravel_multi_index(starts, before)) if before else 0
        chosen = row * last + np.linspace(0, last - 1, min(STILLS, last)).round().astype(int)
        pictures, bars = self.shown[0].pictures, self.shown[0].bars
        figure, axes = plt.subplots(
            len(pictures) + bool(bars), len(chosen), squeeze=False, layout="constrained",
            figsize=(2.4 * len(chosen), 2.5 * len(pictures) + 0.2 * len(bars) + 1),
        )
        for column, k in zip(axes.T, chosen, strict=True):
            for ax, (name, pixels) in zip(column, self.shown[k].pictures.items()):
                ax.imshow(pixels, cmap="gray", vmin=0, vmax=255)
                ax.set(xticks=[], yticks=[], xlabel=name)
                ax.grid(False)
            if bars:
                names, percents, bold, _ = zip(*self.shown[k].bars)
                shades = ["black" if b else "0.6" for b in bold]
                column[-1].barh(range(len(names)), percents, color=shades)
                column[-1].set_yticks(range(len(names)), [name[:16] for name in names], fontsize=8)
                column[-1].set(xlim=(0, 100), xlabel="%", ylim=(len(names) - 0.5, -0.5))
            title = "\n".join([*self.at()[k].split(", "), *self.shown[k].words])
            column[0].set_title(title, fontsize=9)
        return figure

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict:
        frames = [
            {"pictures": {name: stored(pixels) for name, pixels in shown.pictures.items()},
             "html": as_html(shown), "alt": f"{at}: {in_words(shown)}"}
            for at, shown in zip(self.at(), self.shown, strict=True)
        ]
        still, file = self.still(), io.BytesIO()
        still.savefig(file, format="png", dpi=100)
        plt.close(still)
        over = " and ".join(f"{c['label']} ({len(c['values'])} values)" for c in self.controls)
        return {
            "image/png": base64.b64encode(file.getvalue()).decode("ascii"),
            "text/plain": f"What the explorer shows over {over}.",
            MIME: {"controls": self.controls, "frames": frames},
        }


def twin(explorer: Explorer, **controls: int | Sequence) -> Twin:
    """What an explorer shows at every combination of some controls' values.

    The other controls stay where they start.

    Args:
        controls: for a control, a number of values, at least 2, spread evenly over what it can
            be, or the values themselves.

    Raises:
        ValueError: no controls; none of that name; fewer than two values; a value that the
            control does not take.
    """
    if not controls:
        raise ValueError("controls: got none, expected at least one")
    if unknown := controls.keys() - explorer.controls.keys():
        names = list(explorer.controls)
        raise ValueError(f"controls: got {sorted(unknown)}, expected some of {names}")
    places = {name: values(name, explorer.controls[name], controls[name]) for name in controls}
    starts = {name: control.start for name, control in explorer.controls.items()}
    shown = [
        explorer.frame(**starts | dict(zip(places, combination, strict=True)))
        for combination in itertools.product(*places.values())
    ]
    return Twin([described(n, explorer.controls[n], p) for n, p in places.items()], shown)


def values(name: str, control: Menu | Slider, wanted: int | Sequence) -> list:
    """The values to show a control at."""
    every = control.places()
    if isinstance(wanted, int):
        few = np.linspace(0, len(every) - 1, min(wanted, len(every))).round().astype(int)
        wanted = [every[i] for i in few]
    if len(wanted) < 2:
        raise ValueError(f"controls: {name} has {len(wanted)} value, expected 2")
    for value in wanted:
        inside = value in every if isinstance(control, Menu) else every[0] <= value <= every[-1]
        if not inside:
            raise ValueError(f"controls: {name} does not take {value}")
    return list(wanted)


def described(name: str, control: Menu | Slider, places: list) -> dict:
    """What the site needs to know of a control."""
    made = {"label": label(name), "values": [control.written(place) for place in places]}
    if isinstance(control, Menu):
        start = places.index(control.start) if control.start in places else 0
        return made | {"start": start, "choices": True}
    return made | {"start": int(np.abs(np.array(places) - control.start).argmin())}


def in_words(shown: Shown) -> str:
    """What is shown, for those who don't see it."""
    most = sorted(shown.bars, key=lambda bar: -bar.percent)[:TOLD]
    return " ".join([*shown.words, ", ".join(f"{b.name} {b.percent:.1f} %" for b in most)]).strip()


def stored(pixels: np.ndarray) -> str:
    """A picture as PNG in base64, of at most 256 colours."""
    file = io.BytesIO()
    # Chosen to cover all colours: the most frequent ones would lose a mark of a few pixels.
    coverage = Image.Quantize.MAXCOVERAGE
    picture = Image.fromarray(pixels).convert("RGB")
    picture.quantize(COLOURS, coverage, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")

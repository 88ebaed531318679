"""A twin for each explorer, for where no kernel runs: its frames, drawn beforehand."""

import base64
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import ipywidgets
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from course_utils.widgets.parts import read_bars

MIME = "application/vnd.course.twin+json"
COLOURS = 256  # of a palette, which stores a picture of no more exactly, and in half the space
LOSSLESS = 40_000  # bytes; what is larger, as photographs are, gets a palette all the same
MARGIN, LINE, NAME, BAR = 10, 21, 170, 220  # pixels; the last two are a row's columns
STILLS = 4  # frames, at most, that stand for all of them on paper
TOLD = 3  # rows that a description names
MOVES = (ipywidgets.Dropdown, ipywidgets.FloatSlider, ipywidgets.IntSlider,
         ipywidgets.BoundedIntText)


@dataclass(frozen=True)
class Twin:
    """Frames over every combination of some controls' values, the last control fastest.

    As a cell's output it is a picture of some frames for paper (see `still`), and JSON (of type
    `MIME`) with all of them, which the course's site shows with controls that need no kernel: a
    list "controls", each with "label", "values", "start" (an index) and, for a menu, "choices";
    and a list "frames", each with "png" (base64) and "alt".
    """

    controls: list[dict]
    frames: list[Image.Image]
    alts: list[str]

    def still(self) -> Image.Image:
        """Frames along the last control, the others where they start, under their values.

        Two beside each other, from the control's first value to its last.
        """
        values = list(itertools.product(*(control["values"] for control in self.controls)))
        *before, last = (len(control["values"]) for control in self.controls)
        starts = [control["start"] for control in self.controls[:-1]]
        row = int(np.ravel_multi_index(starts, before)) if before else 0
        chosen = row * last + np.linspace(0, last - 1, min(STILLS, last)).round().astype(int)
        width = max(frame.width for frame in self.frames)
        height = max(frame.height for frame in self.frames) + LINE
        sheet = Image.new("RGB", (2 * width + MARGIN, -(-len(chosen) // 2) * height), "white")
        for i, k in enumerate(chosen):
            corner = (i % 2 * (width + MARGIN), i // 2 * height)
            sheet.paste(self.frames[k], (corner[0], corner[1] + LINE))
            named = zip(self.controls, values[k], strict=True)
            title = ", ".join(f"{control['label']}: {value}" for control, value in named)
            place = (corner[0] + MARGIN, corner[1] + 4)
            ImageDraw.Draw(sheet).text(place, title, "black", _font())
        return sheet

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict:
        told = zip(self.frames, self.alts, strict=True)
        frames = [{"png": _base64(frame), "alt": alt} for frame, alt in told]
        over = " and ".join(f"{c['label']} ({len(c['values'])} values)" for c in self.controls)
        return {
            "image/png": _base64(self.still()),
            "text/plain": f"The explorer's frames over {over}.",
            MIME: {"controls": self.controls, "frames": frames},
        }


def twin(explorer: ipywidgets.Box, controls: Mapping[str, int | Sequence]) -> Twin:
    """Move an explorer through its controls' values, and draw what it shows at each.

    The other controls stay where they are, and all are put back.

    Args:
        explorer: a box of controls, pictures (Images, with a Label beneath or not), and texts and
            tables of bars (HTMLs as `course_utils.widgets.parts.bars` makes them).
        controls: a control's description to its values: a number of them, at least 2, spread
            evenly over what it can be, or the values themselves. A control that sets others (a
            menu of layers) goes before them.

    Raises:
        ValueError: no controls; none of that description; fewer than two values; a value that the
            control does not take.
    """
    if not controls:
        raise ValueError("controls: got none, expected at least one")
    parts = list(_leaves(explorer))
    movable = {part.description: part for part in parts if isinstance(part, MOVES)}
    if unknown := set(controls) - set(movable):
        raise ValueError(f"controls: got {sorted(unknown)}, expected some of {list(movable)}")
    places = {name: _places(movable[name], values) for name, values in controls.items()}
    before = [(part, part.value) for part in movable.values()]
    frames, alts = [], []
    with ExitStack() as stack:
        for part in parts:  # a notebook's page need not see the frames pass
            stack.enter_context(part.hold_sync())
        try:
            for values in itertools.product(*places.values()):
                for name, value in zip(places, values, strict=True):
                    movable[name].value = value
                    if movable[name].value != value:
                        raise ValueError(f"controls: {name} does not take {value}")
                here = ", ".join(f"{name} {_shown(movable[name])}" for name in places)
                frame, told = _draw(parts)
                frames.append(frame)
                alts.append(f"{here}: {told}")
        finally:
            for part, value in before:
                part.value = value
    return Twin([_described(movable[name], places[name]) for name in places], frames, alts)


def _leaves(box: ipywidgets.Box) -> Iterator[ipywidgets.Widget]:
    """What the boxes hold, in the order of reading."""
    for child in box.children:
        yield from _leaves(child) if isinstance(child, ipywidgets.Box) else [child]


def _places(control: ipywidgets.Widget, wanted: int | Sequence) -> list:
    """The values to draw a control at."""
    if isinstance(wanted, int):
        if isinstance(control, ipywidgets.Dropdown):
            every = [value for _, value in control._options_full]
        else:
            steps = round((control.max - control.min) / control.step)
            every = [control.min + i * control.step for i in range(steps + 1)]
        few = np.linspace(0, len(every) - 1, min(wanted, len(every))).round().astype(int)
        wanted = [every[i] for i in few]
    if len(wanted) < 2:
        raise ValueError(f"controls: {control.description} has {len(wanted)} value, expected 2")
    return list(wanted)


def _shown(control: ipywidgets.Widget) -> str:
    """A control's value as its reader sees it."""
    if isinstance(control, ipywidgets.Dropdown):
        return control.label
    return format(control.value, getattr(control, "readout_format", "d"))


def _described(control: ipywidgets.Widget, places: list) -> dict:
    """What the site needs to know of a control."""
    if isinstance(control, ipywidgets.Dropdown):
        names = {value: label for label, value in control._options_full}
        values = [names[place] for place in places]
        start = places.index(control.value) if control.value in places else 0
        return {"label": control.description, "values": values, "start": start, "choices": True}
    values = [format(place, getattr(control, "readout_format", "d")) for place in places]
    start = int(np.abs(np.array(places) - control.value).argmin())
    return {"label": control.description, "values": values, "start": start}


def _draw(parts: list[ipywidgets.Widget]) -> tuple[Image.Image, str]:
    """What the explorer shows now, pictures above texts above bars, and the same in words."""
    pictures = [Image.open(io.BytesIO(p.value)) for p in parts if isinstance(p, ipywidgets.Image)]
    labels = [part.value for part in parts if isinstance(part, ipywidgets.Label)]
    lines, rows = [], []
    for part in parts:
        if isinstance(part, ipywidgets.HTML):
            said, table = read_bars(part.value)
            lines += said
            rows += table
    top = max((picture.height + MARGIN for picture in pictures), default=0) + LINE * bool(labels)
    beside = sum(picture.width + MARGIN for picture in pictures)
    width = max(beside, (NAME + BAR + 130) if rows else 0) + MARGIN
    frame = Image.new("RGB", (width, MARGIN + top + LINE * (len(lines) + len(rows))), "white")
    pen, x = ImageDraw.Draw(frame), MARGIN
    for i, picture in enumerate(pictures):
        frame.paste(picture.convert("RGB"), (x, MARGIN))
        if labels:
            pen.text((x, MARGIN + picture.height + 3), labels[i], "black", _font())
        x += picture.width + MARGIN
    y = MARGIN + top
    for line in lines:
        pen.text((MARGIN, y), line, "black", _font())
        y += LINE
    for row in rows:
        ink = "black" if row.bold else "#555"
        pen.text((MARGIN, y), _cut(row.name, pen), ink, _font())
        pen.rectangle([NAME, y + 2, NAME + BAR * row.percent / 100, y + LINE - 8], fill=ink)
        words = f"{row.percent:.1f} %  {row.note}".strip()
        pen.text((NAME + BAR + MARGIN, y), words, ink, _font())
        y += LINE
    most = sorted(rows, key=lambda row: -row.percent)[:TOLD]
    told = [*lines, ", ".join(f"{row.name} {row.percent:.1f} %" for row in most)]
    return frame, " ".join(told).strip()


def _cut(name: str, pen: ImageDraw.ImageDraw) -> str:
    """A name that fits its column."""
    while pen.textlength(name, _font()) > NAME - 2 * MARGIN:
        name = re.sub(r".…?$", "…", name)
    return name


def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=14)


def _base64(picture: Image.Image) -> str:
    content = _png(picture)
    if picture.getcolors(COLOURS) or len(content) > LOSSLESS:
        # Chosen to cover all colours: the most frequent ones would lose a mark of a few pixels.
        coverage = Image.Quantize.MAXCOVERAGE
        content = _png(picture.quantize(COLOURS, coverage, dither=Image.Dither.NONE))
    return base64.b64encode(content).decode("ascii")


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    return file.getvalue()

"""What an explorer is: controls, a pure function of their places, and the driver that is alive."""

import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import anywidget
import ipywidgets
import numpy as np
from PIL import Image


class Menu(NamedTuple):
    """A choice among names, the first at the start."""

    options: list[str]

    @property
    def start(self) -> str:
        return self.options[0]

    def places(self) -> list[str]:
        return list(self.options)

    def written(self, value: str) -> str:
        return value

    def widget(self, name: str) -> ipywidgets.Dropdown:
        return ipywidgets.Dropdown(options=self.options, description=name)


class Slider(NamedTuple):
    """Numbers from `low` to `high`, read with so many `digits`; with none they are whole."""

    low: float
    high: float
    step: float
    start: float
    digits: int = 2

    def places(self) -> list[float]:
        steps = round((self.high - self.low) / self.step)
        return [round(self.low + i * self.step, 9) for i in range(steps + 1)]

    def written(self, value: float) -> str:
        return f"{value:.{self.digits}f}"

    def widget(self, name: str) -> ipywidgets.Widget:
        kind, form = ipywidgets.FloatSlider, f".{self.digits}f"
        if not self.digits:
            kind, form = ipywidgets.IntSlider, "d"
        return kind(value=self.start, min=self.low, max=self.high, step=self.step,
                    description=name, readout_format=form)


class Bar(NamedTuple):
    """A row of a table of bars."""

    name: str
    percent: float
    bold: bool = False
    note: str = ""


class Shown(NamedTuple):
    """What an explorer shows at one place: by their names pictures of the screen's pixels, uint8
    (H, W) or (H, W, 3), as many everywhere; bars; and lines of words."""

    pictures: Mapping[str, np.ndarray]
    bars: Sequence[Bar]
    words: Sequence[str]


@dataclass(frozen=True)
class Explorer:
    """A notebook shows it with widgets that are alive; `course_utils.widgets.twin` draws it.

    `frame` takes a value for each of `controls` by name, and does nothing but say what to show.
    `receive` puts an upload, given its file's name and content, into the first control, a menu;
    it raises ValueError for what is no picture.
    """

    frame: Callable[..., Shown]
    controls: Mapping[str, Menu | Slider]
    receive: Callable[[str, bytes], None] | None = None

    def widget(self) -> ipywidgets.VBox:
        """Widgets that are alive: the controls; a message; the pictures and, beside them, text."""
        controls = {name: c.widget(label(name)) for name, c in self.controls.items()}
        fixed = {"flex": "none", "align_self": "flex-start"}  # whatever stands beside them
        first = self.frame(**{name: control.value for name, control in controls.items()})
        pictures = [ipywidgets.Image(format="png", layout=fixed) for _ in first.pictures]
        names = [ipywidgets.Label() for _ in first.pictures]
        message, text = ipywidgets.HTML(), ipywidgets.HTML()

        def show(change: object = None) -> None:
            shown = self.frame(**{name: control.value for name, control in controls.items()})
            for picture, name, (title, pixels) in zip(pictures, names, shown.pictures.items()):
                picture.value, name.value = png(pixels), title
            text.value = as_html(shown)

        def take(upload: Upload, sent: dict, buffers: list) -> None:
            menu, (known, *_) = next(iter(controls.values())), self.controls.values()
            message.value = ""
            try:
                self.receive(sent["name"], bytes(buffers[0]))
            except ValueError as error:
                message.value = html.escape(f"{sent['name']}: {error}")
                return
            menu.options = known.options
            menu.value = sent["name"]
            show()  # another file of the same name

        for control in controls.values():
            control.observe(show, names="value")
        show()
        shown = [ipywidgets.VBox(pair) for pair in zip(pictures, names)]
        rows = [*controls.values(), message, ipywidgets.HBox([*shown, text])]
        if self.receive:
            rows.insert(1, Upload())
            rows[1].on_msg(take)
        return ipywidgets.VBox(rows)

    def _repr_mimebundle_(self, **options: object) -> dict:
        return self.widget()._repr_mimebundle_(**options)


class Upload(anywidget.AnyWidget):
    """A button for a picture of one's own, which makes a large one smaller before it is sent."""

    _esm = Path(__file__).with_name("upload.js")


def label(name: str) -> str:
    """A control's name as its reader sees it."""
    return name.replace("_", " ")


def bars(percent: Mapping[str, float], *, notes: Mapping[str, str] | None = None) -> list[Bar]:
    """Percentages as bars, the largest in bold, with a note behind those that have one."""
    most = max(percent, key=percent.get)
    return [Bar(k, value, k == most, (notes or {}).get(k, "")) for k, value in percent.items()]


def screen(pixels: np.ndarray, *, zoom: int = 1) -> np.ndarray:
    """Pixels in [0, 1], (H, W) or (H, W, 3), each as zoom x zoom of the screen's, in uint8."""
    whole = (255 * pixels.clip(0, 1)).round().astype(np.uint8)
    return whole.repeat(zoom, 0).repeat(zoom, 1)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)  # as quick as a slider asks for
    return file.getvalue()


def as_html(shown: Shown) -> str:
    """The words as a paragraph, the bars as a table."""
    rows = [
        f'<tr style="font-weight:{"bold" if bar.bold else "normal"};line-height:1.3">'
        f"<td>{html.escape(bar.name)}</td>"
        f'<td style="width:14em"><div style="width:{bar.percent:.1f}%;height:0.9em;'
        'background:currentColor"></div></td><td style="text-align:right;width:4.5em;'
        f'white-space:nowrap">{bar.percent:.1f} %</td><td>{html.escape(bar.note)}</td></tr>'
        for bar in shown.bars
    ]
    return f"<p>{'<br>'.join(map(html.escape, shown.words))}</p><table>{''.join(rows)}</table>"

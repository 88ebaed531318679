"""What the explorers are made of: pictures as the bytes that a widget shows, and tables of bars."""

import html
import io
import re
from collections.abc import Mapping
from typing import NamedTuple

import ipywidgets
import numpy as np
from PIL import Image


def picture_widget() -> ipywidgets.Image:
    """An Image that keeps its shape whatever stands beside it."""
    return ipywidgets.Image(format="png", layout={"flex": "none", "align_self": "flex-start"})


def png(pixels: np.ndarray, *, zoom: int = 1) -> bytes:
    """Pixels in [0, 1], (H, W) or (H, W, 3), each drawn as zoom x zoom of the screen's, as PNG."""
    whole = (255 * pixels.clip(0, 1)).round().astype(np.uint8)
    file = io.BytesIO()
    picture = Image.fromarray(whole.repeat(zoom, 0).repeat(zoom, 1))
    picture.save(file, "png", compress_level=1)  # as quick as a slider asks for
    return file.getvalue()


def bars(
    percent: Mapping[str, float], *, bold: str, notes: Mapping[str, str] | None = None
) -> str:
    """Percentages as a table of bars in HTML, one row in bold, a note behind those that have one."""
    rows = [
        f'<tr style="font-weight:{"bold" if name == bold else "normal"};line-height:1.3">'
        f"<td>{html.escape(name)}</td>"
        f'<td style="width:14em"><div style="width:{value:.1f}%;height:0.9em;'
        'background:currentColor"></div></td>'
        f'<td style="text-align:right;width:4.5em;white-space:nowrap">{value:.1f} %</td>'
        f"<td>{(notes or {}).get(name, '')}</td></tr>"
        for name, value in percent.items()
    ]
    return f"<table>{''.join(rows)}</table>"


class Row(NamedTuple):
    """A row of `bars`."""

    name: str
    percent: float
    bold: bool
    note: str


def read_bars(markup: str) -> tuple[list[str], list[Row]]:
    """An explorer's HTML, taken apart: the lines of its paragraphs, and the rows of its bars."""
    table = re.findall(
        r'<tr style="font-weight:(\w+).*?<td>(.*?)</td>.*?>([\d.]+) %</td><td>(.*?)</td>', markup
    )
    rows = [
        Row(html.unescape(name), float(percent), weight == "bold", note)
        for weight, name, percent, note in table
    ]
    said = "\n".join(re.findall(r"<p>(.*?)</p>", markup)).replace("<br>", "\n")
    lines = html.unescape(re.sub(r"<.*?>", "", said)).splitlines()
    return lines, rows

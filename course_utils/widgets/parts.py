"""What the explorers are made of: pictures as the bytes that a widget shows, and tables of bars."""

import html
import io
from collections.abc import Mapping

import numpy as np
from PIL import Image


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
        'background:#555"></div></td>'
        f'<td style="text-align:right;width:4.5em">{value:.1f} %</td>'
        f"<td>{(notes or {}).get(name, '')}</td></tr>"
        for name, value in percent.items()
    ]
    return f"<table>{''.join(rows)}</table>"

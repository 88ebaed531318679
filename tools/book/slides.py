"""A lecture as slides: the same notebook, sorted into slides by what its cells are.

A heading begins a slide. On it stay the first paragraph beneath it and the equations; questions to
the reader, figures with their captions, tables and claims get a slide each; all other text and the
code become the speaker's notes. Exercises, references and what a reader only tries out alone are
left out. A cell's tag decides otherwise: `slide`, `subslide`, `fragment`, `notes`, `skip`, or `-`
(stays on the slide before), with the meaning that nbconvert gives these words.
"""

import html
import re
from pathlib import Path

from nbconvert import SlidesExporter
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_markdown_cell

from course_utils import claims
from tools.book.cells import CAPTION, TWIN, show_as_html, take_twin
from tools.environment import ROOT

KINDS = ("slide", "subslide", "fragment", "notes", "skip", "-")
LEFT_OUT = re.compile(r"## (?:\d+\. )?(?:Exercises|References)\b")


def paragraphs(source: str) -> list[str]:
    """A text cell's paragraphs; code between fences stays in one piece."""
    parts, fenced = [""], False
    for line in source.splitlines():
        fenced ^= line.lstrip().startswith("```")
        if line.strip() or fenced:
            parts[-1] += line + "\n"
        elif parts[-1]:
            parts.append("")
    return [part.rstrip() for part in parts if part.strip()]


def kind_of(text: str, before: str) -> str:
    """What becomes of a paragraph on the slides, after the paragraph `before`."""
    if text.startswith(("# ", "## ")):
        return "slide"
    if text.startswith(("### ", "> **Before")):
        return "subslide"
    if text.startswith("$$") or CAPTION.match(text) or before.startswith("#"):
        return "-"
    return "notes"


def is_shown(cell: NotebookNode) -> bool:
    """Whether a code cell has a figure, a table, a claim or a twin to show."""
    kinds = {mime for output in cell.outputs for mime in output.get("data", {})}
    return bool(kinds & {"image/png", "text/html", claims.MIME_TYPE, TWIN})


def slides(notebook: NotebookNode) -> NotebookNode:
    """The lecture with each of its cells marked for nbconvert's reveal slides."""
    cells, before, skipping = [], "", False
    for cell in from_dict(notebook).cells:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag in KINDS]
        if cell.cell_type == "markdown" and not tags:
            pieces = [new_markdown_cell(text) for text in paragraphs(cell.source)]
        else:
            pieces = [cell]
        for piece in pieces:
            text = piece.source
            if text.startswith("## "):
                skipping = bool(LEFT_OUT.match(text))
            if piece.cell_type == "markdown":
                kind = kind_of(text, before)
                before = text
            else:
                kind = "subslide" if is_shown(piece) else "notes"
                before = ""
            kind = tags[0] if tags else "skip" if skipping else kind
            piece.metadata["slideshow"] = {"slide_type": kind}
            cells.append(piece)
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # the same on every run
        if cell.cell_type == "code":
            prepare(cell)
    title = notebook.cells[0].source.partition("\n")[0].removeprefix("# ")
    metadata = {**notebook.metadata, "title": title}
    return from_dict({**notebook, "cells": cells, "metadata": metadata})


def prepare(cell: NotebookNode) -> None:
    """Leave of a code cell what its slide shows; a cell of the notes shows its code instead."""
    if not is_shown(cell):
        cell.cell_type, cell.source = "markdown", f"```python\n{cell.source}\n```"
        for key in ("outputs", "execution_count"):
            cell.pop(key, None)
        return
    controls = take_twin(cell)
    show_as_html(cell)
    for output in cell.outputs:  # nbconvert has no alt texts for pictures
        if png := output.get("data", {}).get("image/png"):
            alt = html.escape(cell.metadata["mystnb"]["image"]["alt"])
            source = "data:image/png;base64," + png.replace("\n", "")
            output.data = {"text/html": f'<img src="{source}" alt="{alt}">{controls}'}


def write_slides(notebook: NotebookNode, path: Path) -> None:
    """Write the lecture's slides as the page `path`; its scripts are in ../_static."""
    exporter = SlidesExporter(
        template_name="slides",
        extra_template_basedirs=[str(ROOT / "tools" / "book")],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        reveal_theme="white",
        reveal_url_prefix="../_static/reveal",
        exclude_anchor_links=True,
    )
    name = path.stem
    body, _ = exporter.from_notebook_node(
        slides(notebook), resources={"metadata": {"name": name, "path": str(ROOT / "notebooks")}}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body, encoding="utf-8")

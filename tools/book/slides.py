"""A lecture as slides, in one order: the arrow key goes through all of them.

A slide is a figure, an equation, a table, a verdict or a question, as large as the screen allows,
under its section's heading and with one sentence; a section without any is a slide of its first
paragraph. All other text and the code become the speaker's notes of the slide before them.
Exercises, references and cells tagged `skip` are left out.
"""

import html
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

from nbconvert import SlidesExporter
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_markdown_cell

from course_utils import claims, laboratory
from tools.book.cells import CAPTION, MATH, mathml, show_as_html, title
from tools.environment import ROOT

PAGE_LINK = re.compile(r"\]\(([\w/]+)\.(?:md|ipynb)(?=[)#])")  # to a page beside the lecture
LEFT_OUT = re.compile(r"## (?:\d+\. )?(?:Exercises|References)\b")
PARAGRAPH = re.compile(r"(?:^```.*?^```|.)+?(?=\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"#+ ")
SENTENCE = re.compile(r"(?<=[.?!])(?:\*\*)?\s+")  # between two
NO_GUESS = re.compile(r"(?m)^you said \?\n?|[ ;]*\(?you said \?\)?")  # nobody typed one here


def paragraphs(source: str) -> list[str]:
    """A text cell's paragraphs; code between fences stays in one piece."""
    return [part.strip() for part in PARAGRAPH.findall(source) if part.strip()]


def is_shown(cell: NotebookNode) -> bool:
    """Whether a code cell has a figure, a table, a claim or an explorer to show, and no answer."""
    shown = [output.get("data", {}) for output in cell.outputs]
    kinds = {mime for data in shown for mime in data if "course-card" not in data.get(mime, "")}
    return bool(kinds & {"image/png", "text/html", claims.MIME_TYPE, laboratory.MIME})


def slides(notebook: NotebookNode) -> NotebookNode:
    """The lecture as cells for nbconvert's reveal slides."""
    deck, waiting = [], []  # for each slide what it shows, and its notes; notes for the next one
    heading, empty, skipping = "", False, False

    def add(*shown: str | NotebookNode) -> None:
        nonlocal empty
        deck.append(([f"### {heading}", *filter(None, shown)], waiting[:]))
        waiting.clear()
        empty = False

    cells = [cell for cell in notebook.cells if "skip" not in cell.metadata.get("tags", [])]
    cells += [new_markdown_cell("# The end")] * 2
    for cell, below in zip(cells, cells[1:]):
        for part in paragraphs(cell.source) if cell.cell_type == "markdown" else [cell]:
            text = part if isinstance(part, str) else f"```python\n{cell.source}\n```"
            if HEADING.match(text):
                if empty and waiting:
                    add(waiting[0])
                elif deck:
                    deck[-1][1].extend(waiting)
                    waiting.clear()
                skipping = bool(LEFT_OUT.match(text)) or skipping and text.startswith("###")
                heading, empty = HEADING.sub("", text), not skipping
            elif skipping or CAPTION.match(text):
                continue
            elif text.startswith("$$") and not waiting and deck and "$$" in deck[-1][0][-1]:
                deck[-1][0].append(text)  # it goes on
            elif text.startswith("$$"):
                add(SENTENCE.split(waiting[-1])[-1] if waiting else "", text)
            elif text.startswith("> **Before"):
                add(text)
            elif part is cell and is_shown(cell):
                caption = CAPTION.match(below.source)
                add(prepared(from_dict(cell)), SENTENCE.split(caption[0])[1] if caption else "")
            else:
                waiting.append(text)
    made = []
    for shown, notes in deck:
        kinds = ["slide"] + ["-"] * (len(shown) - 1) + ["notes"] * len(notes)
        for kind, part in zip(kinds, [*shown, *notes]):
            cell = new_markdown_cell(part) if isinstance(part, str) else part
            cell.id, cell.metadata["slideshow"] = f"cell-{len(made)}", {"slide_type": kind}
            made.append(cell)
    metadata = notebook.metadata | {"title": title(notebook)}
    return from_dict(notebook | {"cells": made, "metadata": metadata})


def prepared(cell: NotebookNode) -> NotebookNode:
    """Of a code cell what its slide shows."""
    show_as_html(cell)
    for output in cell.outputs:
        if "text" in output:
            output.text = NO_GUESS.sub("", output.text)
        # nbconvert has no alt texts for pictures
        if png := output.get("data", {}).get("image/png"):
            alt = html.escape(cell.metadata["mystnb"]["image"]["alt"])
            name = sha256(b64decode(png)).hexdigest()  # as MyST-NB calls it, which has it on a page
            output.data = {"text/html": f'<img src="../_images/{name}.png" alt="{alt}">'}
    return cell


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
    made = slides(notebook)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = MATH.sub(lambda m: mathml(m[1] or m[2], block=bool(m[1])), cell.source)
            cell.source = PAGE_LINK.sub(r"](../notebooks/\1.html", cell.source)
    told = {"metadata": {"name": path.stem, "path": str(ROOT / "notebooks")}}
    body, _ = exporter.from_notebook_node(made, resources=told)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body, encoding="utf-8")

"""A lecture's cells as the site and the slides show them."""

import ast
import re

import nbformat
from latex2mathml.converter import convert
from nbformat import NotebookNode

from course_utils import claims, laboratory
from course_utils.cards import verdict_card
from tools.book import stills

CAPTION = re.compile(r"\*\*Figure \d+\.\*\* .*?(?=\n\s*\n|\Z)", re.DOTALL)
MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$]+?)\$", re.DOTALL)  # in a block, or in a line
NOTEBOOK_LINK = re.compile(r"""((?:href=["']|\]\()[^"':()\s]+)\.ipynb(?=["'#)])""")


class BookError(SystemExit):
    """The book cannot be made from what is there; the message says what is missing."""


def title(notebook: NotebookNode) -> str:
    """The notebook's first heading."""
    return notebook.cells[0].source.partition("\n")[0].removeprefix("# ")


def below_heading(text: str, *blocks: str) -> str:
    """A text with blocks put under its first line."""
    heading, _, rest = text.partition("\n")
    return "\n\n".join([heading, *blocks, rest])


def mathml(formula: str, *, block: bool = False) -> str:
    """A formula as browsers draw it without a script."""
    made = convert(formula.strip(), display="block" if block else "inline")
    return made.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")  # HTML knows


def is_plumbing(source: str) -> bool:
    """Whether code only imports, or only draws a figure or an explorer: a page folds it."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # a command of IPython's
        return False
    return all(
        isinstance(statement, ast.Import | ast.ImportFrom)
        or ast.unparse(statement).startswith(("figures.", "plt.", "laboratory("))
        for statement in statements
    )


def shows_picture(cell: NotebookNode) -> bool:
    """Whether the cell shows one."""
    return any("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def show_as_html(cell: NotebookNode) -> None:
    """Give the claims, explorers and links among a cell's outputs the form that they have on a page
    in a folder of the site."""
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if claims.MIME_TYPE in data:
            card = verdict_card(claims.read(data[claims.MIME_TYPE]))
            output.data = {"text/html": card}
        if laboratory.MIME in data:
            told, files = data[laboratory.MIME], "../_static/laboratory"
            place = stills.place(told["kind"], networks=told["networks"], files=files)
            output.data = {"text/html": place}
        for kind in {"text/html", "text/markdown"} & set(data):  # on the site, a page
            data[kind] = NOTEBOOK_LINK.sub(r"\1.html", data[kind])


def page(notebook: NotebookNode, *blocks: str) -> NotebookNode:
    """The notebook for the site: captions belong to their figures; blocks stand on top."""
    notebook = nbformat.from_dict(notebook)
    for cell, below in zip(notebook.cells, [*notebook.cells[1:], None]):
        if shows_picture(cell):
            caption = CAPTION.match(below.source) if below else None
            if not caption or not cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):
                raise BookError(f"a figure without caption or alt text, drawn by:\n{cell.source}")
            cell.metadata["mystnb"]["figure"] = {"caption": caption[0]}
            below.source = below.source[caption.end() :].strip()
        if cell.cell_type == "code" and is_plumbing(cell.source):
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
        show_as_html(cell)
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    if blocks:
        notebook.cells[0].source = below_heading(notebook.cells[0].source, *blocks)
    return notebook

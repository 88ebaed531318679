"""Sphinx's settings for `make book`; tools/book writes the pages that it reads."""

import os
import re

from course_utils import __version__
from tools import lectures
from tools.book.cells import mathml

project = "Adversarial examples"
html_title = "Adversarial examples: a course"
author = "the course's authors"
copyright = "the course's authors; text and figures CC BY 4.0, code MIT"
version = release = __version__
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_math_renderer = "mathml"  # drawn by the browser, without a script of a megabyte
nb_execution_mode = "off"
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 0)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header", "ref.python"]
default_role = "code"  # docstrings put names between single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "description"

html_theme = "sphinx_book_theme"
html_domain_indices = False
html_static_path = ["static"]
html_favicon = "static/favicon.svg"
html_context = {"default_mode": "auto"}  # dark where the reader's system is
html_css_files = ["course.css"]
html_js_files = ["site.js", "guess.js"]
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": True,
    "navbar_persistent": [],  # a second field for searching, in a bar of its own
}
# Colab's and Binder's buttons would lead nowhere without the repository's address, which GitHub
# says where it builds the site.
name = os.environ.get("GITHUB_REPOSITORY")
if address := lectures.repository() or (name and f"https://github.com/{name}"):
    html_theme_options |= {
        "repository_url": address.removesuffix(".git"),
        "use_repository_button": True,
        "repository_branch": "HEAD",
        "launch_buttons": {
            "colab_url": "https://colab.research.google.com",
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
    }


def plain(app, what, name, thing, options, lines):
    """Docstrings are plain text with names between backticks: no *, | or _ is markup."""
    for i, line in enumerate(lines):
        between = re.split(r"(`[^`]*`)", line)
        between[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", text) for text in between[::2]]
        lines[i] = "".join(between)


def draw_math(writer, node):
    """A formula, in a line or in a block of its own."""
    from docutils.nodes import SkipNode

    block = node.tagname == "math_block"
    drawn = mathml(node.astext(), block=block)
    writer.body.append(f'<div class="math">{drawn}</div>' if block else drawn)
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (draw_math, None), (draw_math, None))
    app.connect("autodoc-process-docstring", plain, priority=400)  # before napoleon adds its own

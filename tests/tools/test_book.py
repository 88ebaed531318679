"""The book's parts, and that its check finds everything that can be missing."""

import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from course_utils import claims, laboratory
from course_utils.cards import Feedback, verdict_card
from course_utils.deck import CLAIMS
from course_utils.intervals import Interval
from tools import lectures
from tools.book import build, cells, pages, site, slides, stills
from tools.environment import ROOT

ALT = "Nine digits in a row, each with its label."
PNG = base64.b64encode(b"picture").decode()
GOOD = {
    "index.html": (
        '<title>Index</title><link rel="stylesheet" href="_static/a.css">'
        '<script src="_static/a.js"></script><a href="lecture.html#figure">one</a>'
        '<a href="https://arxiv.org/abs/1312.6199">paper</a><a href="#top" id="top">up</a>'
        '<a href="sub/">below</a>'
        '<img src="p.png" alt="A handwritten seven.">'
    ),
    "lecture.html": (
        '<title>Lecture</title><figure id="figure"><img src="p.png" alt="A handwritten three.">'
        '<figcaption>Figure 1. A three.</figcaption></figure><div id="claim-panda">Deck</div>'
    ),
    "claims.html": '<title>Claims</title><a href="lecture.html#claim-panda">panda</a>',
    "sub/index.html": "<title>Below</title>",
    "_static/a.css": "body { background: url(../p.png); }",
    "_static/a.js": "",
    "p.png": "",
    "searchindex.js": "",
}
WANTED = {
    "pages": ["index.html", "lecture.html", "claims.html", "searchindex.js"],
    "figures": {"lecture.html": 1},
    "claims": {"panda": "lecture.html"},
}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def figure_cell(**metadata):
    output = new_output("display_data", {"image/png": PNG, "text/plain": "<Figure>"})
    return new_code_cell("draw()", outputs=[output], metadata=metadata)


def described():
    return figure_cell(mystnb={"image": {"alt": ALT}})


def test_check_passes_a_site_that_has_everything(tmp_path):
    assert site.problems(write(tmp_path, GOOD), **WANTED) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("index.html", "lecture.html#", "missing.html#", "missing.html#figure leads nowhere"),
        ("index.html", "#figure", "#nowhere", "leads to a page without that place"),
        ("index.html", 'src="_static/a.js"', 'src="_static/b.js"', "_static/b.js leads nowhere"),
        ("index.html", 'src="p.png"', 'src="q.png"', "q.png leads nowhere"),
        ("index.html", ' alt="A handwritten seven."', "", "without alt text: p.png"),
        ("index.html", "A handwritten seven.", "", "without alt text: p.png"),
        ("index.html", "A handwritten seven.", "see the p.png", "without alt text: p.png"),
        (
            "index.html",
            "A handwritten seven.",
            "No description has been provided for this image",
            "without alt text: p.png",
        ),
        ("index.html", "<title>Index</title>", "", "no title"),
        ("index.html", "_static/a.css", "https://a.host/a.css", "loads https://a.host/a.css"),
        ("index.html", "_static/a.js", "//a.host/a.js", "loads //a.host/a.js"),
        ("index.html", 'src="p.png"', 'src="http://a.host/p.png"', "loads http://a.host/p.png"),
        (
            "index.html",
            "</script>",
            "</script><script>import m from 'https://a.host/m'</script>",
            "loads https://a.host/m",
        ),
        ("index.html", "<a ", "<style>@import 'https://a.host/b.css'</style><a ", "a.host/b.css"),
        ("_static/a.css", "../p.png", "https://a.host/f.woff", "a.css: loads https://a.host/f"),
        ("lecture.html", "Figure 1. A three.", "", "figures with 1 captions"),
        ("lecture.html", "figcaption", "p", "0 figures with 0 captions, not 1"),
        ("lecture.html", '<img src="p.png" alt="A handwritten three.">', "", "0 figures"),
        (
            "lecture.html",
            "</figure>",
            "</figure><figure>Table<figcaption>Twice</figcaption></figure>",
            "1 figures with 2 captions, not 1",
        ),
        ("lecture.html", "claim-panda", "claim-gibbon", "lecture.html: the claim panda is missing"),
        ("claims.html", "lecture.html#claim-panda", "#", "claims.html: the claim panda is missing"),
    ],
)
def test_check_finds_what_is_broken(tmp_path, name, old, new, said):
    assert old in GOOD[name]
    found = site.problems(write(tmp_path, GOOD | {name: GOOD[name].replace(old, new)}), **WANTED)
    assert any(line.startswith(name.partition("/")[0]) and said in line for line in found), found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lecture.html", "lecture.html is missing"),
        ("searchindex.js", "searchindex.js is missing"),
        ("sub/index.html", "index.html: the link sub/ leads nowhere"),
    ],
)
def test_check_finds_a_missing_file(tmp_path, name, said):
    write(tmp_path, GOOD)
    (tmp_path / name).unlink()
    assert said in site.problems(tmp_path, **WANTED)


def test_a_caption_moves_into_its_figure():
    below = "**Figure 1.** Digits with $x$,\nand labels.\n\nWhat follows stays."
    made = cells.page(new_notebook(cells=[described(), new_markdown_cell(below)]))
    assert made.cells[0].metadata.mystnb.figure.caption.endswith("and labels.")
    assert made.cells[1].source == "What follows stays."


@pytest.mark.parametrize(
    "broken",
    [
        [described(), new_markdown_cell("No caption.")],
        [described()],
        [figure_cell(), new_markdown_cell("**Figure 1.** Digits.")],
    ],
)
def test_a_figure_needs_caption_and_alt_text(broken):
    with pytest.raises(cells.BookError, match="figure without caption or alt text"):
        cells.page(new_notebook(cells=broken))


@pytest.mark.parametrize(
    ("kind", "link"),
    [("text/html", '<a href="01_a.{}">'), ("text/markdown", "[first](01_a.{}) and [](b/c.{}#d)")],
)
def test_links_to_notebooks_in_outputs_lead_to_pages(kind, link):
    data = {kind: link.replace("{}", "ipynb"), "text/plain": "01_a.ipynb"}
    cell = new_code_cell("show()", outputs=[new_output("display_data", data)])
    shown = cells.page(new_notebook(cells=[cell])).cells[0].outputs[0].data
    assert shown == {kind: link.replace("{}", "html"), "text/plain": "01_a.ipynb"}


def test_a_claim_is_shown_with_its_place():
    verdict = claims.check("panda", Interval(40, 30, 50), null=1.2)
    output = new_output("display_data", verdict._repr_mimebundle_())
    made = cells.page(new_notebook(cells=[new_code_cell("check()", outputs=[output])]))
    assert made.cells[0].outputs[0].data == {"text/html": verdict_card(verdict)}
    assert BeautifulSoup(verdict_card(verdict), "html.parser").find(id="claim-panda")


def test_an_explorers_place_is_kept_on_pages_and_slides():
    told = {"kind": "eps=0.1&all=1", "networks": ["FC10(1e-4)"]}
    cell = new_code_cell(
        "laboratory()",
        outputs=[new_output("execute_result", {"text/plain": "words", laboratory.MIME: told})],
    )
    notebook = new_notebook(cells=[new_markdown_cell("# A\n\nOne."), cell])
    page = cells.page(notebook).cells[1]
    (slide,) = [c for c in slides.slides(notebook).cells if "outputs" in c]
    for made in (page, slide):
        soup = BeautifulSoup(made.outputs[0].data["text/html"], "html.parser")
        place, picture = soup.div.div, soup.find("img", class_="lab-still")
        assert picture["src"].startswith("data:image/webp;base64,")
        assert "FC10(1e-4) says 7" in picture["alt"]
        assert place["data-laboratory"] == "eps=0.1&all=1"
        assert json.loads(place["data-networks"]) == ["FC10(1e-4)"]
    cell.outputs[0].data[laboratory.MIME]["networks"] = ["my own"]
    with pytest.raises(ValueError, match="my own"):
        cells.page(new_notebook(cells=[cell]))


def test_readme_and_what_it_leads_to_become_three_pages():
    names = ("README", "SETUP", "TEACHING")
    texts = [(ROOT / f"{name}.md").read_text(encoding="utf-8") for name in names]
    made = pages.readme_pages(*texts)
    assert made["teachers"].startswith("# Teaching with the course\n")
    assert "make grade SUBMISSIONS" in made["teachers"] and "## Two commands" in made["running"]
    assert "## Troubleshooting" in made["running"] and "Two commands" not in made["index"]
    links = re.findall(r"\]\(([^):]+)\)", "".join(made.values()))
    links = {link.partition("#")[0] for link in links}
    assert {"running.md", "teachers.md", "problem_sets.md"} <= links
    assert not {"notebooks", "SETUP.md", "TEACHING.md", "CONTRIBUTING.md"} & links
    badge = "[![Open in Colab](https://colab.example/badge.svg)](https://colab.example)\n"
    assert pages.readme_pages(texts[0].replace("\n\n", f"\n\n{badge}", 1), *texts[1:]) == made


def test_the_claims_page_has_every_claim_of_the_committed_lectures():
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in lectures.lectures()}
    page = BeautifulSoup(pages.claims_page(notebooks), "html.parser")
    addresses = {a["href"].partition("#claim-")[2] for a in page.find_all("a")}
    assert addresses == {c.id for c in CLAIMS.values() if c.lecture <= len(notebooks)}
    name, notebook = next(iter(notebooks.items()))
    notebook.cells = [c for c in notebook.cells if "claim" not in c.metadata.get("tags", [])]
    with pytest.raises(cells.BookError, match="claim .*: missing"):
        pages.claims_page({name: notebook})


def test_every_page_is_written_and_asked_for(tmp_path):
    wanted = pages.write_all(tmp_path / "source")
    for path in lectures.numbered():
        assert f"notebooks/{path.stem}.html" in wanted["pages"]
    for path in lectures.lectures():
        assert f"slides/{path.stem}.html" in wanted["pages"]
        assert wanted["figures"][f"notebooks/{path.stem}.html"] > 0
    assert set(wanted["claims"]) == {
        c.id for c in CLAIMS.values() if c.lecture <= len(lectures.lectures())
    }
    assert {"index.html", "claims.html", "teachers.html", "api/attacks.html"} <= set(
        wanted["pages"]
    )
    assert wanted["pages"].pop(0) == "searchindex.js"
    for name in wanted["pages"]:
        stem = (tmp_path / "source" / name).with_suffix("")
        assert name.startswith("slides/") or any(stem.parent.glob(f"{stem.name}.*")), name
    assert 'data-laboratory="page"' in (tmp_path / "source" / "front.txt").read_text("utf-8")
    for path in lectures.lectures():  # each opens with the part of the laboratory that is its own
        first = nbformat.read(tmp_path / "source" / "notebooks" / path.name, 4).cells[0].source
        assert f'data-laboratory="{html.escape(pages.LABORATORY[int(path.name[:2])])}"' in first
    assert (tmp_path / "source" / "static" / "laboratory" / "network-1.js").exists()


def test_a_missing_lecture_stops_the_book(tmp_path, monkeypatch):
    there = lectures.numbered()
    monkeypatch.setattr(lectures, "numbered", lambda: there[:-1])
    with pytest.raises(cells.BookError, match=f"{there[-1].name} is missing"):
        pages.write_all(tmp_path / "source")


def deck(*made):
    """The slides, each as the words and pictures that it shows and the notes that it has."""
    found = []
    for cell in slides.slides(new_notebook(cells=list(made))).cells:
        kind = cell.metadata.slideshow.slide_type
        shown = cell.source if cell.cell_type == "markdown" else "<code>"
        if kind == "slide":
            found.append(([shown], []))
        else:
            found[-1][kind == "notes"].append(shown)
    return found


def test_a_slide_is_an_equation_with_its_sentence_or_a_question_and_prose_is_for_the_notes():
    text = "# Lecture\n\nFirst words.\n\n## 1. One step\n\nMore. Take the step\n\n$$x + r$$"
    text += (
        "\n\nAfter it.\n\n> **Before you run:** what?\n\n## 2. No picture\n\nWords. More.\n\nRest."
    )
    assert deck(new_markdown_cell(text)) == [
        (["### Lecture", "First words."], ["First words."]),
        (["### 1. One step", "Take the step", "$$x + r$$"], ["More. Take the step"]),
        (["### 1. One step", "> **Before you run:** what?"], ["After it."]),
        (["### 2. No picture", "Words. More."], ["Words. More.", "Rest."]),
    ]


def test_an_equation_that_goes_on_has_one_slide_and_a_section_shows_its_own_words():
    text = "## 1. A\n\nTake\n\n$$x$$\n\n$$y$$\n\nWhat is left.\n\n## Summary\n\nSo."
    assert deck(new_markdown_cell(text)) == [
        (["### 1. A", "Take", "$$x$$", "$$y$$"], ["Take", "What is left."]),
        (["### Summary", "So."], ["So."]),
    ]


def test_a_slide_does_not_quote_a_guess_that_nobody_made():
    for said, shown in {
        "9.4 % (you said ?)\nyou said ?\nb\n": "9.4 %\nb\n",
        "b; you said ?": "b",
    }.items():
        cell = described()
        cell.outputs.insert(0, new_output("stream", text=said))
        assert slides.prepared(cell).outputs[0].text == shown


def test_a_figure_gets_a_slide_with_one_sentence_and_alt_text():
    caption = new_markdown_cell("**Figure 1.** Digits, .5 apart: two. And more.")
    made = slides.slides(new_notebook(cells=[new_markdown_cell("## 1. A"), described(), caption]))
    heading, figure, sentence = made.cells
    assert (heading.source, sentence.source) == ("### 1. A", "Digits, .5 apart: two.")
    shown = BeautifulSoup(figure.outputs[0].data["text/html"], "html.parser")
    name = hashlib.sha256(b"picture").hexdigest()
    assert shown.img["alt"] == ALT and shown.img["src"] == f"../_images/{name}.png"


def test_no_line_begins_with_the_full_stop_after_a_formula():
    page = "<p>of <math><mi>D</mi></math>. <math>x</math> and"
    wanted = '<p>of <span class="together"><math><mi>D</mi></math>.</span> <math>x</math> and'
    assert build.lighter(page, Path("a.html")) == wanted


def test_slides_are_in_one_order():
    for path in lectures.lectures():
        made = slides.slides(nbformat.read(path, as_version=4)).cells
        kinds = {cell.metadata.slideshow.slide_type for cell in made}
        assert kinds <= {"slide", "-", "notes"} and len({cell.id for cell in made}) == len(made)


def test_slides_are_the_same_each_time():
    notebook = new_notebook(cells=[new_markdown_cell("# Title\n\nWords.\n\nMore."), described()])
    assert slides.slides(notebook) == slides.slides(notebook)


def test_code_is_for_the_notes_and_exercises_and_what_is_tagged_are_left_out():
    code, summary = new_code_cell("x = 1"), new_markdown_cell("## Summary\n\nSo.")
    one = new_markdown_cell("## 1. A\n\nWords.")
    assert deck(
        one, code, new_markdown_cell("## 9. Exercises\n\n### E1\n\n$$x$$"), code, summary
    ) == [
        (["### 1. A", "Words."], ["Words.", "```python\nx = 1\n```"]),
        (["### Summary", "So."], ["So."]),
    ]
    hidden = figure_cell(mystnb={"image": {"alt": ALT}}, tags=["skip"])
    card = {"text/html": Feedback("right", "So.")._repr_html_(), "text/plain": "Right. So."}
    answer = new_code_cell("check()", outputs=[new_output("display_data", card)])
    assert deck(one, answer) == [(["### 1. A", "Words."], ["Words.", "```python\ncheck()\n```"])]
    assert deck(one, hidden) == [(["### 1. A", "Words."], ["Words."])]


def test_fenced_code_stays_in_one_piece():
    fenced = "```python\nx = 1\n\ny = 2\n```"
    assert slides.paragraphs(f"Words.\n\n{fenced}\n\nMore.") == ["Words.", fenced, "More."]


def test_slides_load_nothing_from_outside_and_need_no_script_for_formulas(tmp_path):
    path = tmp_path / "slides" / "01_name.html"
    text = new_markdown_cell("# Lecture\n\nWith $x_i$ and 3 \\\\$.\n\n$$\\frac{a}{b}$$")
    slides.write_slides(new_notebook(cells=[text, described()], metadata={}), path)
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert site.from_outside(page) == [] and site.without_alt(page) == []
    assert page.title.string == "Lecture slides" and len(page.select(".slides > section")) == 2
    assert page.select(".slides section > section") != [] or page.select(".slides > section")
    loaded = {tag["src"] for tag in page.select("script[src]")}
    assert "../_static/reveal/dist/reveal.js" in loaded and not any("mathjax" in s for s in loaded)
    assert page.find("math", display="block").find("mfrac") and page.find("math", display="inline")


@pytest.mark.parametrize(
    ("source", "folded"),
    [
        ("import torch\nfrom a import b", True),
        ("figures.digits([x])\nplt.show()", True),
        ("import torch\nx = 1", False),
        ("x = figures.digits([x])", False),
        ("%pip install x", False),
    ],
)
def test_plumbing_is_folded(source, folded):
    (cell,) = cells.page(new_notebook(cells=[new_code_cell(source)])).cells
    assert ("hide-input" in cell.metadata.get("tags", [])) == folded


def test_a_style_sheet_loses_comments_and_indentation_only():
    style = "/*! a licence */\n/* a\n b */\n\na,\n  b::before { content: '/ *'; }\n\n  i { }"
    assert (
        build.COMMENT.sub("", style)
        == "/*! a licence */\n\na,\nb::before { content: '/ *'; }\ni { }"
    )


def test_a_page_is_made_lighter(tmp_path):
    icons = '<script defer src="s/fontawesome.js?digest=1"></script>'
    index = '<script src="../searchindex.js"></script>'
    page = f'{icons}{index}<img alt="a" src="../_images/b1.png">'
    made = build.lighter(page, tmp_path / "notebooks" / "01_a.html")
    assert "fontawesome" not in made and "searchindex" not in made
    assert '<img loading="lazy" alt="a" src="../_images/b1.webp">' in made
    assert index in build.lighter(page, tmp_path / "search.html")


def test_a_style_sheet_keeps_what_is_used():
    words = {"a", "show", "b-1"}
    style = """/*! License, v1.2 */:root{--x:1}/* gone */
@font-face{font-family:X;src:url(x.woff2)} .a,.gone>i,p:not(.gone,.b){x:1}
@media print{.gone{x:2}}@media screen{.b-1:is(.a, .gone) .show{x:3}.gone.a{x:4}}html{x:5}"""
    made = "".join(build.used(style, words).split())
    wanted = """/*! License, v1.2 */:root{--x:1}@font-face{font-family:X;src:url(x.woff2)}
    .a,p:not(.gone,.b){x:1}@media screen{.b-1:is(.a, .gone) .show{x:3}}html{x:5}"""
    assert made == "".join(wanted.split())


@pytest.mark.parametrize("kind", ["attack=sign&network=RBF&eps=0.3&digit=2", "walk", "game"])
def test_a_still_is_computed_and_described(kind):
    networks = {"walk": ("generator", "FC10(1e-4)"), "game": ()}.get(kind, ("RBF",))
    source, words = stills.still(kind, networks)
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert min(picture.size) > 100 and len(picture.convert("L").getcolors()) > 20
    assert all(name in words for name in networks if name != "generator")


def test_workflow_makes_and_publishes_what_make_book_makes():
    text = (ROOT / ".github/workflows/book.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    steps = jobs["build"]["steps"]
    assert {"run": "make book"} in steps
    assert steps[-1]["with"]["path"] == "build/book" and jobs["publish"]["needs"] == "build"


def sphinx_settings():
    settings = {}
    exec((ROOT / "tools" / "book" / "conf.py").read_text(encoding="utf-8"), settings)
    return settings


@pytest.mark.parametrize("repository", [None, "somebody/course"])
def test_colab_and_binder_have_buttons_where_the_address_is_known(monkeypatch, repository):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    if repository:
        monkeypatch.setenv("GITHUB_REPOSITORY", repository)
    options = sphinx_settings()["html_theme_options"]
    address = lectures.repository() or (repository and f"https://github.com/{repository}")
    assert options.get("repository_url") == address
    assert ("launch_buttons" in options) == bool(address)


def test_sphinx_neither_runs_notebooks_nor_asks_another_host():
    settings = sphinx_settings()
    assert settings["nb_execution_mode"] == "off" and settings["html_math_renderer"] == "mathml"


def test_every_formula_of_the_lectures_can_be_drawn():
    found = 0
    for path in lectures.numbered():
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for block, line in cells.MATH.findall(cell.source):
                    markup = BeautifulSoup(
                        cells.mathml(block or line, block=bool(block)), "html.parser"
                    )
                    assert "\\" not in markup.get_text(), block or line
                    found += 1
    assert found > 200

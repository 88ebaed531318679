"""The site's pages: executed notebooks, README.md and what it leads to, the claims, the modules.

The pages lie at the same paths as in the repository, so that the links between them hold.
"""

import html
import re
import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils import claims, laboratory
from course_utils.cards import verdict_card
from course_utils.deck import CLAIMS as DECK
from tools import lectures, verdicts
from tools.book.cells import BookError, page, shows_picture
from tools.environment import ROOT

ASSIGNMENTS = "notebooks/assignments"
GLOSSARY = "notebooks/glossary"
# What of the laboratory each lecture opens with.
LABORATORY = {
    1: "attack=smallest",
    2: "attack=smallest&t=1.5",
    3: "attack=smallest&network=rectifiers (penalised)",
    4: "attack=sign&network=rectifiers&eps=0.1",
    5: "game",
}
CLAIMS = """# Which statements hold

Every statement, table and figure of the slides on which the course rests is a *claim*. An effect
is *reproduced* where its 95 % interval lies wholly on the slides' side of no effect, *contradicted*
where wholly on the other, else *undecided*; of a table the order of the cells is judged; a theorem,
or what must hold of every case, is checked on cases. These are the numbers of the notebooks on this
site; each statement leads to its measurement, and to what chance or doing nothing would have
given."""
SLIDES = """# Slides

Each lecture's headings, questions, equations, figures, tables and verdicts. The arrow keys turn the
pages, Esc shows them all, and S opens the speaker's view, with the lecture's text as notes. To
print, add `?print-pdf` to the address, before any `#`."""
SETS = """# Problem sets

One for each lecture, to be downloaded and worked on in JupyterLab: the tests are included, hints
and solutions are folded away."""


def readme_pages(readme: str, setup: str, teaching: str) -> dict[str, str]:
    """README.md, SETUP.md and TEACHING.md as the pages index, running and teachers, without badges,
    which come from outside, and with links to pages for those to files."""

    def linked(text: str) -> str:
        text = re.sub(r"^\[!\[.*\n?", "", text, flags=re.MULTILINE)
        text = re.sub(rf"\]\({ASSIGNMENTS}/?\)", "](problem_sets.md)", text)
        places = {"notebooks": "index", "SETUP.md": "running", "TEACHING.md": "teachers"}
        for file, to in places.items():
            text = text.replace(f"]({file})", f"]({to}.md)")
        return re.sub(r"\[(CONTRIBUTING.md|Dockerfile)\]\(\1\)", r"\1", text)

    start, *sections = re.split(r"^(?=## )", linked(readme), flags=re.MULTILINE)
    rest = "".join(sections) + linked(setup).partition("\n")[2]
    running = f"# Run it yourself\n\n{rest}"
    return {"index": start, "running": running, "teachers": linked(teaching)}


def claims_page(notebooks: dict[str, NotebookNode]) -> str:
    """The verdicts of the lectures (by name) as a page of cards, with their counts on top.

    Raises BookError where a claim is missing, or its verdict is another than expected.
    """
    names = {int(name[:2]): name for name in notebooks}
    table = verdicts.report(list(notebooks.values()), lectures=list(names))
    if failing := verdicts.failures(table):
        raise BookError("\n".join(f"claim {line}" for line in failing))
    found = [
        claims.read(output.data[claims.MIME_TYPE])
        for notebook in notebooks.values() for cell in notebook.cells
        for output in cell.get("outputs", []) if claims.MIME_TYPE in output.get("data", {})
    ]
    words = {verdict.verdict: verdict.verdict.replace(" ", "-") for verdict in found}
    boxes = [f'<label><input type="checkbox" checked value="{css}"> '
             f"<b>{sum(v.verdict == word for v in found)}</b> {word}</label> "
             for word, css in words.items()]
    parts = [CLAIMS, f'<div class="claims-filter">{"".join(boxes)}</div>']
    for lecture, name in names.items():
        cards = [
            f'<div class="verdict-{words[v.verdict]}">{verdict_card(v)}<p class="claim-place">'
            f'{v.claim.slide}: <a href="notebooks/{name}.html#claim-{v.claim.id}">how it was '
            "measured</a></p></div>"
            for v in found if v.claim.lecture == lecture
        ]
        parts += [f"## Lecture {lecture}", "\n".join(cards)]
    return "\n\n".join(parts) + "\n"


def modules() -> list[str]:
    """The modules and packages of course_utils that the API pages document."""
    top = (ROOT / "course_utils").iterdir()
    names = {p.stem for p in top if p.suffix == ".py" or (p / "__init__.py").exists()}
    return sorted(names - {"__init__"})


def listing(pages: list[str]) -> str:
    """A list of links to pages, for the reader and for the sidebar."""
    return "\n\n```{toctree}\n" + "\n".join(pages) + "\n```\n"


def sidebar(caption: str, pages: list[str]) -> str:
    """A group of pages in the sidebar."""
    options = f":caption: {caption}\n:hidden:" if caption else ":hidden:"
    return f"\n```{{toctree}}\n{options}\n\n" + "\n".join(pages) + "\n```\n"


def title(notebook: NotebookNode) -> str:
    return notebook.cells[0].source.partition("\n")[0].removeprefix("# ")


def write_all(source: Path) -> dict:
    """Write every page into the folder `source`, with tools/book/conf.py and what the pages need.

    Returns what the finished site must have, as the keyword arguments of `site.problems`. Raises
    BookError where a lecture, figure, caption, alt text or claim is missing.
    """
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in lectures.numbered()}
    for path in sorted((ROOT / "notebooks" / "src").glob("[0-9][0-9]_*.py")):
        if path.stem not in notebooks:
            raise BookError(f"notebooks/{path.stem}.ipynb is missing")
    taught = {path.stem: notebooks[path.stem] for path in lectures.lectures()}
    sets = [f"{ASSIGNMENTS}/{p.stem}" for p in sorted((ROOT / ASSIGNMENTS).glob("*_set_*.ipynb"))]
    chapters, api = [f"notebooks/{name}" for name in notebooks], [f"api/{m}" for m in modules()]
    beside = ["claims", "slides", "problem_sets", "running", "teachers", "api"]

    texts = readme_pages(*(
        (ROOT / f"{name}.md").read_text(encoding="utf-8")
        for name in ("README", "SETUP", "TEACHING")
    ))
    heading, _, rest = texts["index"].partition("\n")
    texts["index"] = f"{heading}\n\n{laboratory.place()}\n\n{rest}"
    texts["index"] += sidebar("Lectures", chapters)
    texts["index"] += sidebar("Beside the lectures", [GLOSSARY, *beside])
    texts["claims"] = claims_page(taught)
    links = [f'<li><a href="slides/{name}.html">{html.escape(title(notebook))}</a></li>\n'
             for name, notebook in taught.items()]
    texts["slides"] = f"{SLIDES}\n\n<ul>\n{''.join(links)}</ul>\n"
    texts["problem_sets"] = SETS + listing(sets)
    texts["teachers"] += sidebar("", [f"{ASSIGNMENTS}/ANSWERS"])
    texts["api"] = "# The modules\n\nWhat the lectures import." + listing(api)

    shutil.copytree(ROOT / "tools" / "book", source)
    laboratory.write(source / "static" / "laboratory")
    for name in ("LICENSE", "LICENSE-TEXT", "CITATION.cff", ".github/overview.png",
                 f"{ASSIGNMENTS}/ANSWERS.md", f"{GLOSSARY}.md"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for name, text in texts.items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")
    for name, notebook in notebooks.items():
        slides = f"../slides/{name}.html" if name in taught else None
        made = page(notebook, slides=slides)
        if kind := LABORATORY.get(int(name[:2])):
            heading, _, rest = made.cells[0].source.partition("\n")
            place = laboratory.place(kind, files="../_static/laboratory")
            made.cells[0].source = f"{heading}\n\n{place}\n\n{rest}"
        nbformat.write(made, source / "notebooks" / f"{name}.ipynb")
    for name in sets:
        notebook = nbformat.read(ROOT / f"{name}.ipynb", as_version=4)
        nbformat.write(page(notebook), source / f"{name}.ipynb")
    (source / "api").mkdir()
    for path in api:
        name = f"course_utils.{Path(path).name}"
        text = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n"
        (source / f"{path}.rst").write_text(text, encoding="utf-8")

    names = {int(name[:2]): f"notebooks/{name}.html" for name in taught}
    return {
        "pages": [f"{name}.html" for name in [*texts, GLOSSARY, *chapters, *sets, *api]]
        + [f"slides/{name}.html" for name in taught],
        "figures": {
            f"notebooks/{name}.html": sum(map(shows_picture, notebook.cells))
            for name, notebook in notebooks.items()
        },
        "claims": {c.id: names[c.lecture] for c in DECK.values() if c.lecture in names},
    }

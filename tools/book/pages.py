"""The site's pages: executed notebooks, README.md and what it leads to, the claims, the modules.

The pages lie at the same paths as in the repository, so that the links between them hold.
"""

import html
import re
import shutil
from collections import Counter
from pathlib import Path
from pkgutil import iter_modules

import nbformat
from nbformat import NotebookNode

from course_utils import claims, laboratory
from course_utils.cards import verdict_card
from course_utils.deck import CLAIMS as DECK
from tools import lectures, verdicts
from tools.book import stills
from tools.book.cells import BookError, below_heading, page, shows_picture, title
from tools.environment import ROOT

HERE = ROOT / "tools" / "book"
ASSIGNMENTS = "notebooks/assignments"
GLOSSARY = "notebooks/glossary"
COPIED = f"""LICENSE LICENSE-TEXT CITATION.cff .github/overview.png
    {ASSIGNMENTS}/ANSWERS.md {GLOSSARY}.md""".split()
# What of the laboratory each lecture opens with.
LABORATORY = {
    1: "attack=smallest",
    2: "attack=smallest&t=1.5",
    3: "attack=smallest&network=rectifiers (penalised)",
    4: "attack=sign&network=rectifiers&eps=0.1",
    5: "game",
}
BOX = '<label><input type="checkbox" checked value="{}"> <b>{}</b> {}</label> '
CARD = """<div class="verdict-{}">{}<p class="claim-place">{}:
<a href="notebooks/{}.html#claim-{}">how it was measured</a></p></div>"""
LINK = '<p class="slides-link"><a href="../slides/{}.html">This lecture as slides</a></p>'
MODULE = """# {0}

```{{eval-rst}}
.. automodule:: {0}
   :members:
```"""


def readme_pages(readme: str, setup: str, teaching: str) -> dict[str, str]:
    """README.md, SETUP.md and TEACHING.md as the pages index, running and teachers, without badges,
    which come from outside, and with links to pages for those to files."""

    def linked(text: str) -> str:
        text = re.sub(r"^\[!\[.*\n?", "", text, flags=re.MULTILINE)
        text = re.sub(rf"\]\({ASSIGNMENTS}/?\)", "](problem_sets.md)", text)
        places = {"notebooks": "index", "SETUP.md": "running", "TEACHING.md": "teachers"}
        for file, to in places.items():
            text = re.sub(rf"\]\({file}(?=[)#])", f"]({to}.md", text)
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
    cells = [cell for notebook in notebooks.values() for cell in notebook.cells]
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    found = [claims.read(data[claims.MIME_TYPE]) for data in shown if claims.MIME_TYPE in data]
    counts = Counter(verdict.verdict for verdict in found)
    boxes = [BOX.format(word.replace(" ", "-"), count, word) for word, count in counts.items()]
    words = (HERE / "claims.md").read_text(encoding="utf-8")
    parts = [words, f'<div class="claims-filter">{"".join(boxes)}</div>']
    for verdict in found:
        claim, css = verdict.claim, verdict.verdict.replace(" ", "-")
        if (heading := f"## Lecture {claim.lecture}") not in parts:
            parts.append(heading)
        place = names[claim.lecture], claim.id
        parts.append(CARD.format(css, verdict_card(verdict), claim.slide, *place))
    return "\n\n".join(parts) + "\n"


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
    api = [f"api/{module.name}" for module in iter_modules([ROOT / "course_utils"])]

    files = [ROOT / f"{name}.md" for name in ("README", "SETUP", "TEACHING")]
    texts = readme_pages(*(file.read_text(encoding="utf-8") for file in files))
    front = below_heading(texts.pop("index"), stills.place())
    texts["claims"] = claims_page(taught)
    texts["slides"] = (HERE / "slides.md").read_text(encoding="utf-8")
    for name, notebook in taught.items():
        texts["slides"] += f'\n<a href="slides/{name}.html">{html.escape(title(notebook))}</a><br>'
    texts["teachers"] += f"\n\n```{{toctree}}\n:hidden:\n\n{ASSIGNMENTS}/ANSWERS\n```\n"
    texts |= {path: MODULE.format(path.replace("api/", "course_utils.")) for path in api}

    shutil.copytree(HERE, source)
    (source / "front.txt").write_text(front, encoding="utf-8")
    laboratory.write(source / "static" / "laboratory")
    for name in COPIED:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    (source / "api").mkdir()
    for name, text in texts.items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")
    figures = {}
    for name, notebook in notebooks.items():
        blocks = []
        if name in taught:
            kind = LABORATORY[int(name[:2])]
            blocks = [stills.place(kind, files="../_static/laboratory"), LINK.format(name)]
        nbformat.write(page(notebook, *blocks), source / "notebooks" / f"{name}.ipynb")
        figures[f"notebooks/{name}.html"] = sum(map(shows_picture, notebook.cells))
    for name in sets:
        notebook = nbformat.read(ROOT / f"{name}.ipynb", as_version=4)
        nbformat.write(page(notebook), source / f"{name}.ipynb")

    names = {int(name[:2]): f"notebooks/{name}.html" for name in taught}
    made = [
        "index",
        *texts,
        "problem_sets",
        "api",
        GLOSSARY,
        *(f"notebooks/{n}" for n in notebooks),
    ]
    made += [*sets, *(f"slides/{name}" for name in taught)]
    return {
        "pages": ["searchindex.js", *(f"{name}.html" for name in made)],
        "figures": figures,
        "claims": {c.id: names[c.lecture] for c in DECK.values() if c.lecture in names},
    }

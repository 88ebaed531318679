"""Making the whole book: pages, Sphinx, slides, and the check of what came out."""

import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import nbformat

from tools import lectures
from tools.book import pages, site, slides
from tools.book.cells import BookError
from tools.environment import ROOT

SITE = ROOT / "build" / "book"
NEW = ROOT / "build" / "book-new"  # becomes SITE when all is well
SOURCE = ROOT / "build" / "book-source"
REVEAL = (  # what the slides need of reveal.js
    "LICENSE", "dist/reveal.js", "dist/reveal.css", "dist/theme/white.css", "dist/theme/fonts",
    "plugin/notes/notes.js",
)


def main(python: Path) -> int:
    """Make the site in build/book; `python` is an interpreter that has Sphinx. 0 if all is well."""
    started = time.perf_counter()
    for folder in (NEW, SOURCE):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        wanted = pages.write_all(SOURCE)
    except BookError as error:
        print(f"{error}\nThe book was not made.", file=sys.stderr)
        return 1
    strict = ["--quiet", "--keep-going", "--fail-on-warning"]
    command = [str(python), "-m", "sphinx", *strict, "-d", SOURCE / ".doctrees", SOURCE, NEW]
    failed = subprocess.run(command, cwd=ROOT).returncode

    packages = Path(sysconfig.get_path("purelib", vars={"base": str(python.parent.parent)}))
    reveal, copies = packages / "sphinx_revealjs/_static/revealjs", NEW / "_static/reveal"
    for part in REVEAL:
        copies.joinpath(part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (reveal / part).is_dir() else shutil.copy
        copy(reveal / part, copies / part)
    for path in lectures.lectures():
        notebook = nbformat.read(path, as_version=4)
        slides.write_slides(notebook, NEW / "slides" / f"{path.stem}.html")
    for path in (NEW / "_sources").rglob("*.ipynb"):  # the download buttons give the originals
        shutil.copy(ROOT / path.relative_to(NEW / "_sources"), path)

    for path in NEW.rglob("*.html"):
        path.write_text(lighter(path.read_text(encoding="utf-8"), path), encoding="utf-8")

    problems = site.problems(NEW, **wanted)
    print(*problems, sep="\n", end="\n" * bool(problems), file=sys.stderr)
    if failed or problems:
        print(f"The book in {NEW} is not as it should be: see the lines above.", file=sys.stderr)
        return 1
    shutil.rmtree(SITE, ignore_errors=True)
    NEW.rename(SITE)
    seconds = time.perf_counter() - started
    print(f"{SITE / 'index.html'}: {len(wanted['pages'])} pages, made in {seconds:.0f} s")
    return 0


def lighter(page: str, path: Path) -> str:
    """A page without what only some readers need: that is fetched when they need it.

    Without the theme's icons as a script of 1.5 MB (it has them as a font, too) and, where nothing
    is searched, the search's index; its pictures come as they are scrolled to. No line begins with
    the full stop after a formula.
    """
    page = re.sub(r"<(script|link)[^>]*fontawesome\.js[^>]*>(\s*</script>)?", "", page)
    if path.name != "search.html":
        names = r"(searchindex|searchtools|language_data)\.js"
        page = re.sub(rf"<script[^>]*{names}[^>]*></script>", "", page)
    page = re.sub(r"(<math(?:(?!</math>).)*</math>)([.,;:!?)]+)",
                  r'<span class="together">\1\2</span>', page, flags=re.DOTALL)
    return re.sub(r"<img(?![^>]*loading=)", '<img loading="lazy"', page)

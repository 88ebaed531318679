"""Making the whole book: pages, Sphinx, slides, and the check of what came out."""

import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import nbformat
from PIL import Image

from tools import lectures
from tools.book import pages, site, slides
from tools.environment import ROOT

SITE = ROOT / "build" / "book"
NEW = ROOT / "build" / "book-new"  # becomes SITE when all is well
SOURCE = ROOT / "build" / "book-source"
SPHINX = ("-m", "sphinx", "--quiet", "--keep-going", "--fail-on-warning")
UNUSED = """**/*.map **/*.esm.js **/fontawesome.js _static/reveal/css/**/*
    _static/reveal/plugin/[!n]*/**/* _static/reveal/dist/theme/[!w]*.css""".split()
COMMENT = re.compile(r"/\*(?!!).*?\*/|(?<=\n)\s+", re.DOTALL)  # in a style sheet, and indentation
RULE = re.compile(r"([^{}@;/]+)(\{[^{}]*\})")  # of a style sheet: selectors, and what they get
SELECTORS, CLASS = re.compile(r",(?![^(]*\))"), re.compile(r"\.(-?[A-Za-z_][\w-]*)")
WORD = re.compile(r"[\w-]+")
PLAIN = re.compile(r'<span class="[npw]">([^<]*)</span>')  # code in the colour of its block
FORMULA = re.compile(r"(<math(?:(?!</math>).)*</math>)([.,;:!?)]+)", re.DOTALL)  # and what ends it


def main() -> int:
    """Make the site in build/book, with a Python that has Sphinx. 0 if all is well.

    Raises BookError, which ends the program with a message, where a part of the book is missing.
    """
    started = time.perf_counter()
    for folder in (NEW, SOURCE):
        shutil.rmtree(folder, ignore_errors=True)
    wanted = pages.write_all(SOURCE)
    command = [sys.executable, *SPHINX, "-d", SOURCE / ".doctrees", SOURCE, NEW]
    failed = subprocess.run(command, cwd=ROOT).returncode

    packages = Path(sysconfig.get_path("purelib"))
    shutil.copytree(packages / "sphinx_revealjs/_static/revealjs", NEW / "_static/reveal")
    for path in lectures.lectures():
        notebook = nbformat.read(path, as_version=4)
        slides.write_slides(notebook, NEW / "slides" / f"{path.stem}.html")
    for path in (NEW / "_sources").rglob("*.ipynb"):  # the download buttons give the originals
        shutil.copy(ROOT / path.relative_to(NEW / "_sources"), path)
    for path in (NEW / "_images").glob("*.png"):
        Image.open(path).save(path.with_suffix(".webp"), lossless=True)
        path.unlink()
    for path in (path for unused in UNUSED for path in NEW.glob(unused) if path.is_file()):
        path.unlink()
    for path in NEW.rglob("*.html"):
        path.write_text(lighter(path.read_text(encoding="utf-8"), path), encoding="utf-8")
    using = (path for kind in ("html", "js") for path in NEW.rglob(f"*.{kind}"))
    words = {word for path in using for word in WORD.findall(path.read_text(encoding="utf-8"))}
    for path in NEW.rglob("*.css"):
        path.write_text(used(path.read_text(encoding="utf-8"), words), encoding="utf-8")

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


def used(style: str, words: set[str]) -> str:
    """A style sheet without comments, and without rules for classes that nothing names."""

    def kept(rule: re.Match) -> str:
        outside = ((one, re.sub(r"\([^()]*\)", "", one)) for one in SELECTORS.split(rule[1]))
        wanted = [one for one, plain in outside if words.issuperset(CLASS.findall(plain))]
        return ",".join(wanted) + rule[2] if wanted else ""

    return re.sub(r"@media[^{}]*\{\s*\}", "", RULE.sub(kept, COMMENT.sub("", style)))


def lighter(page: str, path: Path) -> str:
    """A page without what only some readers need: that is fetched when they need it.

    Without the theme's icons as a script of 1.5 MB (it has them as a font, too) and, where nothing
    is searched, the search's index; its pictures, the same pixels in a third of the bytes, come as
    they are scrolled to. No line begins with the full stop after a formula.
    """
    names = "fontawesome" + "|searchindex|searchtools|language_data" * (path.name != "search.html")
    page = re.sub(rf"<(script|link)[^>]*({names})\.js[^>]*>(\s*</script>)?", "", page)
    page = re.sub(r"(_images/[\w-]+)\.png", r"\1.webp", page)
    page = PLAIN.sub(r"\1", page)
    page = FORMULA.sub(r'<span class="together">\1\2</span>', page)
    return re.sub(r"<img(?![^>]*loading=)", '<img loading="lazy"', page)

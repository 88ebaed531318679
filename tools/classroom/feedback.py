"""The page that a student gets back: a summary, then what was handed in, with marks and reasons."""

import html
import re
from pathlib import Path

import bleach
from nbconvert.filters import markdown2html

from tools.classroom import tables
from tools.classroom.problem_sets import ProblemSet, grade_id, kind, split_tests

HIDDEN = "A hidden test did not pass. It asks what the visible ones ask, of other inputs."
# What students write is shown to others: text, tables and pictures, and no scripts of theirs.
TAGS = bleach.ALLOWED_TAGS | set(
    "h1 h2 h3 h4 h5 h6 p br hr pre span div del sub sup img table thead tbody tr th td dl dt dd "
    "details summary".split()
)
ATTRIBUTES = {"*": ["id", "class", "title"], "img": ["src", "alt", "width"],
              "td": ["align"], "th": ["align"], "ol": ["start"],
              "a": lambda tag, name, value: name == "href" and value[:5] != "data:"}  # fmt: skip
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<script>MathJax = {{tex: {{inlineMath: [["$", "$"]]}}}}</script>
<script async src="https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-mml-chtml.js"></script>
<style>
body {{ max-width: 46em; margin: auto; padding: 1em; font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: break-word; color: #1a1a1a; background: #fff }}
pre {{ overflow-x: auto; padding: .6em; background: #f3f3f3; font-size: .85rem }}
table {{ border-collapse: collapse; display: block; overflow-x: auto }}
th, td {{ padding: .3em .6em; border-bottom: 1px solid #ccc; text-align: left }}
img {{ max-width: 100% }}
.verdict {{ border-left: .4em solid #767676; padding: .3em .8em; background: #f7f7f7 }}
.right {{ border-color: #1a7f37 }} .wrong {{ border-color: #b35900 }}
.written {{ border: 1px solid #6a737d }}
</style></head><body>
{body}
</body></html>
"""


def write(
    result: dict, problem_set: ProblemSet, to: Path, by_hand: dict, *, show_hidden: bool
) -> None:
    """Write TO/feedback/STUDENT/NAME.html, unless it is there already as it should be."""
    path = to / tables.page(result)
    text = page(result, problem_set, by_hand, show_hidden=show_hidden)
    if not path.exists() or path.read_bytes() != text.encode("utf-8", "backslashreplace"):
        tables.replace(path, text)


def page(result: dict, problem_set: ProblemSet, by_hand: dict, *, show_hidden: bool) -> str:
    """The feedback as an HTML page."""
    hand = tables.marks_by_hand(result, by_hand)
    tests, rows = result["tests"], []
    for exercise, its in problem_set.exercises.items():
        rows.append([exercise, _marks([tests[this] for this in its]),
                     _first(_message(tests[this], show_hidden) for this in its)])  # fmt: skip
    for question, (marks, comment) in hand.items():
        points = result["open"][question]["points"]
        given = "not marked yet" if marks is None else f"{marks:g} of {points}"
        rows.append([question, given, comment])
    marks = sum(test["marks"] for test in tests.values()) + sum(m or 0 for m, _ in hand.values())
    out_of = sum(problem_set.points("test", "open").values())
    title = f"{problem_set.name}, {result['student']}: {marks:g} of {out_of:g} points"
    body = [f"<h1>{html.escape(title)}</h1>"]
    body += [f"<p><b>{html.escape(result['reason'])}</b></p>"] if result["reason"] else []
    body += [f"<p>{html.escape(note)}</p>" for note in result["notes"]]
    cells = "".join(
        f'<tr><td><a href="#{html.escape(row[0])}">{html.escape(row[0])}</a></td>'
        f"<td>{row[1]}</td><td>{html.escape(row[2][:160])}</td></tr>"
        for row in rows
    )
    body.append(f"<table><tr><th>exercise</th><th>marks</th><th></th></tr>{cells}</table>")
    written: dict[int, list[dict]] = {}
    for cell in result["cells"]:
        written.setdefault(cell["after"], []).append(cell)
    for position in range(-1, len(problem_set.cells)):
        if position >= 0:
            body += _original(problem_set.cells[position], result, hand, show_hidden)
        for one in written.get(position, []):
            body.append(f'<pre class="written">{html.escape(one["source"])}</pre>')
            body += [f"<pre>{html.escape(one['output'])}</pre>"] if one["output"] else []
            body += [
                f'<img alt="a figure that your cell shows" src="data:image/png;base64,{figure}">'
                for figure in map(html.escape, one["figures"])
            ]
    return PAGE.format(title=html.escape(title), body="\n".join(body))


def _original(cell, result: dict, hand: dict, show_hidden: bool) -> list[str]:
    """A cell of the problem set, with what was found."""
    part = kind(cell)
    if part == "text":
        return [rendered(cell.source)]
    if part == "given":
        return [f"<pre>{html.escape(cell.source)}</pre>"]
    if part == "solution":
        return [f'<h3 id="{grade_id(cell)}">Your answer: {grade_id(cell)}</h3>']
    if part == "test":
        test = result["tests"][grade_id(cell)]
        visible, hidden = split_tests(cell.source)
        code = f"{visible}\n# hidden:\n{hidden}" if hidden and show_hidden else visible
        message = _message(test, show_hidden)
        return [
            f"<details><summary>Test {grade_id(cell)}</summary><pre>{html.escape(code)}</pre>"
            "</details>",
            f'<p class="verdict {"wrong" if message else "right"}"><b>{grade_id(cell)}: '
            f"{_marks([test])}.</b> {html.escape(message)}</p>",
        ]
    if part == "open":
        this, (marks, comment) = grade_id(cell), hand[grade_id(cell)]
        one = result["open"][this]
        said = "not marked yet" if marks is None else f"{marks:g} of {one['points']}"
        return [
            f'<h3 id="{this}">Your answer: {this}</h3>',
            f'<div id="{tables.key(result, this)}">{rendered(one["answer"] or "*No answer.*")}'
            f'</div><p class="verdict"><b>{said}.</b> {html.escape(comment)}</p>',
        ]
    return []


def rendered(markdown: str) -> str:
    """Markdown as HTML in which nothing runs."""
    text = markdown.encode("utf-8", "backslashreplace").decode()
    page = re.sub(r'<a class="anchor-link".*?</a>', "", markdown2html(text))
    protocols = ["http", "https", "mailto", "data"]
    return bleach.clean(page, tags=TAGS, attributes=ATTRIBUTES, protocols=protocols)


def _message(test: dict, show_hidden: bool) -> str:
    if test["marks"] == test["points"]:
        return ""
    return test["message"] if test["part"] == "visible" or show_hidden else HIDDEN


def _marks(tests: list[dict]) -> str:
    return f"{sum(t['marks'] for t in tests)} of {sum(t['points'] for t in tests)}"


def _first(messages) -> str:
    return next(filter(None, messages), "Right.")

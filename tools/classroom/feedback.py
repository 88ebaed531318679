"""The page that a student gets back: a summary, then what was handed in, with marks and reasons."""

import re
from html import escape, unescape
from pathlib import Path
from string import Template

import bleach
from latex2mathml.converter import convert
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
              "a": lambda tag, name, value: name == "href" and value[:5] != "data:"}
FORMULA = re.compile(r"<code.*?</code>|\$\$(.+?)\$\$|\$([^$]+?)\$", re.DOTALL)
PAGE = Template(Path(__file__).with_name("feedback.html").read_text("utf-8"))


def page(result: dict, problem_set: ProblemSet, by_hand: dict, *, show_hidden: bool) -> str:
    """The feedback as an HTML page, which asks no other host for anything."""
    hand, tests = tables.marks_by_hand(result, by_hand), result["tests"]

    def message(test: dict) -> str:
        if test["marks"] == test["points"]:
            return ""
        return test["message"] if test["part"] == "visible" or show_hidden else HIDDEN

    def given(*tests: dict) -> str:
        return f"{sum(t['marks'] for t in tests)} of {sum(t['points'] for t in tests)}"

    def by_teacher(question: str) -> str:
        marks = hand[question][0]
        points = result["open"][question]["points"]
        return "not marked yet" if marks is None else f"{marks:g} of {points}"

    def original(cell) -> str:
        """A cell of the problem set, with what was found."""
        part = kind(cell)
        if part in ("text", "given"):
            return rendered(cell.source, ours=True) if part == "text" else code(cell.source)
        if part == "hint":
            return ""
        this = grade_id(cell)
        if part == "test":
            visible, hidden = split_tests(cell.source)
            source = f"{visible}\n# hidden:\n{hidden}" if hidden and show_hidden else visible
            said = message(tests[this])
            return (
                f"<details><summary>Test {this}</summary>{code(source)}</details>"
                f'<p class="verdict {"wrong" if said else "right"}"><b>{this}: '
                f"{given(tests[this])}.</b> {escape(said)}</p>"
            )
        head = f'<h3 id="{this}">Your answer: {this}</h3>'
        if part == "solution":
            return head
        answer = rendered(result["open"][this]["answer"] or "*No answer.*")
        return (
            f'{head}<div id="{tables.key(result, this)}">{answer}</div>'
            f'<p class="verdict"><b>{by_teacher(this)}.</b> {escape(hand[this][1])}</p>'
        )

    rows = []
    for exercise, its in problem_set.exercises.items():
        said = filter(None, (message(tests[this]) for this in its))
        rows.append((exercise, given(*(tests[this] for this in its)), next(said, "Right.")))
    rows += [(question, by_teacher(question), hand[question][1]) for question in hand]
    marks = sum(test["marks"] for test in tests.values()) + sum(m or 0 for m, _ in hand.values())
    out_of = sum(problem_set.points("test", "open").values())
    title = escape(f"{problem_set.name}, {result['student']}: {marks:g} of {out_of:g} points")
    body = [f"<h1>{title}</h1>"]
    body += [f"<p><b>{escape(result['reason'])}</b></p>"] if result["reason"] else []
    body += [f"<p>{escape(note)}</p>" for note in result["notes"]]
    body.append("<table><tr><th>exercise</th><th>marks</th><th></th></tr>")
    body += [
        f'<tr><td><a href="#{name}">{name}</a></td><td>{points}</td>'
        f"<td>{escape(said[:160])}</td></tr>"
        for name, points, said in rows
    ]
    body.append("</table>")
    for position, cell in enumerate([None, *problem_set.cells], start=-1):
        body += [original(cell)] if cell else []
        for one in result["cells"]:
            if one["after"] == position:
                body.append(code(one["source"], "written"))
                body += [code(one["output"])] if one["output"] else []
                body += [f'<img alt="a figure that your cell shows" '
                         f'src="data:image/png;base64,{escape(figure)}">'
                         for figure in one["figures"]]
    return PAGE.substitute(title=title, body="\n".join(body))


def code(text: str, name: str = "code") -> str:
    return f'<pre class="{name}">{escape(text)}</pre>'


def rendered(markdown: str, *, ours: bool = False) -> str:
    """Markdown as HTML in which nothing runs.

    ours: whether the course wrote it, and not a student, whose formulas stay as they were typed:
    the library that draws them lets HTML through.
    """
    text = markdown.encode("utf-8", "backslashreplace").decode()
    page = re.sub(r'<a class="anchor-link".*?</a>', "", markdown2html(text))
    protocols = ["http", "https", "mailto", "data"]
    page = bleach.clean(page, tags=TAGS, attributes=ATTRIBUTES, protocols=protocols)
    return FORMULA.sub(_drawn, page) if ours else page


def _drawn(match: re.Match) -> str:
    """A formula as browsers draw it without a script."""
    if not (formula := match[1] or match[2]):
        return match[0]
    return convert(unescape(formula).strip(), display="block" if match[1] else "inline")

"""The page that a student gets back: a summary, then what was handed in, with marks and reasons."""

import re
from html import escape, unescape
from pathlib import Path

import bleach
import jinja2
from latex2mathml.converter import convert
from nbconvert.filters import markdown2html

from tools.classroom import tables
from tools.classroom.problem_sets import ProblemSet, kind, split_tests
from tools.classroom.wire import LONGEST

CAUSE = " Likely cause: "
UNANSWERED = "Not answered: the cell is as it was handed out."
HIDDEN = "A hidden test did not pass. It asks what the visible ones ask, of other inputs."
# So begin notes that are for the teacher alone.
TEACHERS = ("Word for word", "Asked for", "Looks into")
# What students write is shown to others: text, tables and pictures, and no scripts of theirs.
TAGS = bleach.ALLOWED_TAGS | set(
    "h1 h2 h3 h4 h5 h6 p br hr pre span div del sub sup img table thead tbody tr th td dl dt dd "
    "details summary".split()
)
ATTRIBUTES = {tag: ["align"] for tag in ("td", "th")} | {
    "*": ["id", "class", "title"],
    "img": ["src", "alt", "width"],
    "ol": ["start"],
    "a": lambda tag, name, value: name == "href" and value[:5] != "data:",
}
PICTURE = re.compile(r"data:image/[\w+.-]+;base64,[\w+/=]*", re.ASCII)
FORMULA = re.compile(r"<code.*?</code>|\$\$(.+?)\$\$|\$([^$]+?)\$", re.DOTALL)


def page(
    result: dict, problem_set: ProblemSet, by_hand: dict, *, show_hidden: bool, override=None
) -> str:
    """The feedback as an HTML page, which asks no other host for anything.

    override: the marks that the teacher set in place of ours, or None.
    """
    tests, hand = result["tests"], tables.marks_by_hand(result, by_hand)
    told = {"visible", "hidden" if show_hidden else "", UNANSWERED}
    said = {
        this: test["message"] if {test["part"], test["message"]} & told else HIDDEN
        for this, test in tests.items()
        if test["marks"] < test["points"]
    }

    def given(*these: str) -> str:
        marks, points = (sum(tests[this][of] for this in these) for of in ("marks", "points"))
        return f"{marks} of {points}"

    def by_teacher(question: str) -> str:
        marks, points = hand[question][0], result["open"][question]["points"]
        return f"not marked yet ({points})" if marks is None else f"{marks:g} of {points}"

    rows = []
    for this, its in problem_set.exercises.items():
        words, _, cause = next(filter(None, map(said.get, its)), "Right.").partition(CAUSE)
        rows.append((this, given(*its), f"{CAUSE.lstrip()}{cause} {words}" if cause else words))
    rows += [(question, by_teacher(question), hand[question][1]) for question in hand]
    marks = sum(test["marks"] for test in tests.values()) + sum(m or 0 for m, _ in hand.values())
    out_of = sum(problem_set.points("test", "open").values())
    title = f"{problem_set.name}, {result['student']}: "
    title += f"{marks if override is None else override:g} of {out_of:g} points"
    if override is not None:
        title += f", as your teacher set them, in place of the {marks:g} below"
    elif waiting := [question for question, (given_now, _) in hand.items() if given_now is None]:
        title += f" so far: {' and '.join(waiting)} not marked yet"
    template = Path(__file__).with_name("feedback.html").read_text("utf-8")
    template = jinja2.Environment(autoescape=True).from_string(template)
    called = (kind, split_tests, tables.key, rendered, given, by_teacher)
    return template.render(
        {function.__name__: function for function in called},
        cells=[None, *problem_set.cells],
        notes=[note for note in result["notes"] if not note.startswith(TEACHERS)],
        **{"title": title, "rows": rows, "said": said, "hand": hand},
        **{"result": result, "show_hidden": show_hidden},
    )


def rendered(markdown: str, *, ours: bool = False) -> str:
    """Markdown as HTML in which nothing runs.

    ours: whether the course wrote it, and not a student, whose formulas stay as they were typed:
    the library that draws them lets HTML through. Very long texts are shown as they are.
    """
    text = markdown.encode("utf-8", "backslashreplace").decode()
    if not ours and len(PICTURE.sub("", text)) > LONGEST:  # Markdown may take for ever
        return f"<pre>{escape(text)}</pre>"
    page = re.sub(r'<a class="anchor-link".*?</a>', "", markdown2html(text))
    protocols = ["http", "https", "mailto", "data"]
    page = bleach.clean(page, tags=TAGS, attributes=ATTRIBUTES, protocols=protocols)
    return FORMULA.sub(_drawn, page) if ours else page


def _drawn(match: re.Match) -> str:
    """A formula as browsers draw it without a script."""
    if not (formula := match[1] or match[2]):
        return match[0]
    return convert(unescape(formula).strip(), display="block" if match[1] else "inline")

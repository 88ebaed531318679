"""The page that a student gets back: what was handed in, with marks and reasons."""

import html
from functools import cache
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.classroom import tables
from tools.classroom.problem_sets import ProblemSet, grade_id, kind, split_tests

HIDDEN = "A hidden test did not pass. It asks what the visible ones ask, of other inputs."


def write(
    result: dict, problem_set: ProblemSet, to: Path, by_hand: dict, *, show_hidden: bool
) -> None:
    """Write TO/feedback/STUDENT/NAME.html, unless it is there already as it should be."""
    path = to / "feedback" / result["student"] / f"{problem_set.name}.html"
    page = notebook(result, problem_set, by_hand, show_hidden=show_hidden)
    stamp = f"<!-- {tables.fingerprint(repr(page))} -->"
    if path.exists() and path.read_text(encoding="utf-8", errors="replace").endswith(stamp):
        return
    text, _ = _exporter().from_notebook_node(page, {"metadata": {"name": problem_set.name}})
    tables.replace(path, text + stamp)


@cache
def _exporter():
    from nbconvert import HTMLExporter

    # What students wrote is shown to others: no scripts of theirs.
    return HTMLExporter(template_name="classic", sanitize_html=True)


def notebook(
    result: dict, problem_set: ProblemSet, by_hand: dict, *, show_hidden: bool
) -> NotebookNode:
    """The feedback as a notebook."""
    hand = tables.marks_by_hand(result, by_hand)
    cells = [text(_head(result, problem_set, hand))]
    written: dict[int, list[dict]] = {}
    for cell in result["cells"]:
        written.setdefault(cell["after"], []).append(cell)
    cells += [_code(cell["source"], cell["output"]) for cell in written.pop(-1, [])]
    for position, cell in enumerate(problem_set.cells):
        part = kind(cell)
        if part == "text":
            cells.append(text(cell.source))
        elif part == "given":
            cells.append(_code(cell.source))
        elif part == "test":
            test = result["tests"][grade_id(cell)]
            visible, hidden = split_tests(cell.source)
            both = f"{visible}\n# hidden:\n{hidden}" if hidden and show_hidden else visible
            cells += [_code(both), text(_verdict(grade_id(cell), test, show_hidden))]
        elif part == "open":
            this, (marks, comment) = grade_id(cell), hand[grade_id(cell)]
            one = result["open"][this]
            said = "not marked yet" if marks is None else f"{marks:g} of {one['points']}"
            cells += [
                text(one["answer"] or "*No answer.*"),
                text(f"> **{this}: {said}.** {html.escape(comment)}"),
            ]
        cells += [_code(one["source"], one["output"]) for one in written.pop(position, [])]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # the same on every run
    return new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})


def _head(result: dict, problem_set: ProblemSet, hand: dict) -> str:
    tests = result["tests"].values()
    marks = sum(test["marks"] for test in tests) + sum(mark or 0 for mark, _ in hand.values())
    out_of = sum(problem_set.points("test", "open").values())
    lines = [f"# {problem_set.name}, {_inline(result['student'])}: {marks:g} of {out_of:g} points"]
    lines += [f"**{_inline(result['reason'])}**"] if result["reason"] else []
    if any(mark is None for mark, _ in hand.values()):
        lines.append("Without the questions that are marked by hand and are not marked yet.")
    lines += [f"- {_inline(note)}" for note in result["notes"]]
    return "\n\n".join(lines)


def _verdict(this: str, test: dict, show_hidden: bool) -> str:
    head = f"> **{this}: {test['marks']} of {test['points']}.**"
    if test["marks"] == test["points"]:
        return head
    told = test["part"] == "visible" or show_hidden
    return f"{head} {_inline(test['message'] if told else HIDDEN)}"


def _inline(words: str) -> str:
    """Words as they are, on one line, whatever characters they have."""
    words = " ".join(words.encode("utf-8", "backslashreplace").decode().split())
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]()<>#+-!|$&~" else c for c in words)


def text(source: str) -> NotebookNode:
    return new_markdown_cell(source)


def _code(source: str, output: str = "") -> NotebookNode:
    source, output = (s.encode("utf-8", "backslashreplace").decode() for s in (source, output))
    outputs = [new_output("stream", name="stdout", text=output)] if output else []
    return new_code_cell(source, outputs=outputs)

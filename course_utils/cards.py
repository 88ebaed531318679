"""Cards in HTML, for a notebook and for the site: a claim's verdict, and an answer's."""

import html
from dataclasses import dataclass

# White words are read on each of these colours; a sign says the same as the colour.
GOOD = "reproduced", "theorem", "checked", "right"
BAD = "contradicted", "violated", "not yet right"
COLOURS = {"✓": "#2e7d32", "✗": "#b3261e", "?": "#8a5a00"}
BOX = "padding:.3em 1em;margin:.5em 0;max-width:48em;overflow-wrap:break-word;text-align:left"
BADGE = "color:#fff;padding:.1em .5em;border-radius:.3em"
AXIS = "margin:.3em 1em;font-size:85%;line-height:1.5"
MARK = "transform:translateX(-50%);"


def verdict_card(verdict) -> str:
    """The card of a `course_utils.claims.Verdict`: verdict, number with axis, paper, counter-case.

    Its id is "claim-" and the claim's.
    """
    claim, facts = verdict.claim, verdict.facts
    if not verdict.as_expected:
        facts["Expected"] = claim.expected
    body = axis(verdict)
    for name, fact in facts.items():
        if fact != "-":  # no paper has a number for it
            body += f'<div style="margin:.2em 0"><b>{name}:</b> {html.escape(fact)}.</div>'
    against = html.escape(claim.contradicted_by)
    body += f"<details><summary>What would contradict this</summary>{against}</details>"
    title, name = html.escape(claim.says), f"claim-{claim.id}"
    return card(verdict.verdict, title, body, name=name, judged=verdict.judged)


def card(word: str, title: str, body: str, *, name: str = "", judged: str = "") -> str:
    """A verdict's word (and what it is said of) in its colour with its sign, a title and a body.

    title, body: in HTML.
    """
    sign = "✓" if word in GOOD else "✗" if word in BAD else "?"
    place = f' id="{name}"' if name else ""
    badge = f'<b style="background:{COLOURS[sign]};{BADGE}">{sign} {judged}{word}</b>'
    box = f'class="course-card"{place} style="border-left:.3em solid {COLOURS[sign]};{BOX}"'
    return f"<div {box}><div>{badge} {title}</div>{body}</div>"


def axis(verdict) -> str:
    """The number with its interval, the null and no effect on one small axis; none for a theorem.

    A table's number is its rank correlation, from -1 to 1, with what shuffled tables reach in grey.
    """
    found, claim = verdict.measured, verdict.claim
    if "correlation" in found:
        low, high, dot, none = -found["chance"], found["chance"], found["correlation"], 0.0
        start, end, null, bar = -1.0, 1.0, None, "opacity:.25"
        legend = "● measured, from -1 to 1; grey: shuffled tables; dashed: no relation"
    elif "low" in found:
        low, high, dot, null = (found[name] for name in ("low", "high", "value", "null"))
        none, bar, legend = claim.no_effect, "opacity:.6", "● measured, ○ null, dashed: no effect"
        start, end = min(low, null, none), max(high, null, none)
        room = 0.08 * (end - start) or 1.0
        start, end = start - room, end + room
    else:
        return ""

    def at(value: float) -> str:
        return f"left:{100 * (value - start) / (end - start):.1f}%;"

    width = f"width:{100 * (high - low) / (end - start):.1f}%;"
    line = "left:0;right:0;top:.75em;border-top:1px solid"
    band = f"{at(low)}{width}top:.5em;height:.5em;background:currentColor;{bar}"
    dashed = f"{MARK}{at(none)}top:0;height:1.5em;border-left:2px dashed"
    parts = [(line, ""), (band, ""), (dashed, ""), (f"{MARK}{at(dot)}top:0", "●")]
    if null is not None:
        parts.append((f"{MARK}{at(null)}top:0", "○"))
    drawn = "".join(f'<div style="position:absolute;{style}">{mark}</div>' for style, mark in parts)
    drawn = f'<div style="position:relative;height:1.5em">{drawn}</div>{legend}'
    return f'<div aria-hidden="true" style="{AXIS}">{drawn}</div>'


@dataclass(frozen=True)
class Feedback:
    """What is said of an answer: a word, such as "right", and a message of several lines."""

    word: str
    message: str

    def __repr__(self) -> str:
        return f"{self.word.capitalize()}. {self.message}"

    def _repr_html_(self) -> str:
        first, _, rest = html.escape(self.message).partition("\n")
        more = f'<pre style="white-space:pre-wrap;margin:.3em 0">{rest}</pre>' if rest else ""
        return card(self.word, first, more)

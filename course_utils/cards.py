"""Cards in HTML, for a notebook and for the site: a claim's verdict, and an answer's."""

import html

# Readable on white and on black; a sign says the same as the colour.
SIGNS = {"reproduced": "✓", "theorem": "✓", "right": "✓", "contradicted": "✗", "violated": "✗",
         "wrong": "✗"}
COLOURS = {"✓": "#2e8b57", "✗": "#d1495b", "?": "#b7791f"}
MARK = "position:absolute;transform:translateX(-50%);"


def verdict_card(verdict) -> str:
    """The card of a `course_utils.claims.Verdict`: verdict, number with axis, paper, counter-case.

    Its id is "claim-" and the claim's.
    """
    claim, text = verdict.claim, html.escape
    detail = f" ({verdict.detail})" if verdict.detail else ""
    lines = [f"<b>Measured:</b> {text(f'{claim.measures}: {verdict.text}{detail}')}."]
    if claim.kind != "theorem":
        lines.append(f"<b>Null:</b> {text(claim.null)}.")
    lines.append(f"<b>Paper:</b> {text(claim.paper)}.")
    if not verdict.as_expected:
        lines.append(f"<b>Expected:</b> {text(claim.expected)}.")
    body = axis(verdict) + "".join(f'<div style="margin:.2em 0">{line}</div>' for line in lines)
    body += (
        "<details><summary>What would contradict this</summary>"
        f"{text(claim.contradicted_by)}</details>"
    )
    return card(verdict.verdict, text(claim.says), body, name=f"claim-{claim.id}")


def card(word: str, title: str, body: str, *, name: str = "") -> str:
    """A verdict's word in its colour with its sign, a title and a body, both in HTML."""
    sign = SIGNS.get(word, "?")
    place = f' id="{name}"' if name else ""
    return (
        f'<div class="course-card"{place} style="border-left:.3em solid {COLOURS[sign]};'
        'padding:.3em 1em;margin:.5em 0;max-width:48em;overflow-wrap:break-word;text-align:left">'
        f'<div><b style="color:{COLOURS[sign]}">{sign} {word}</b> {title}</div>{body}</div>'
    )


def axis(verdict) -> str:
    """The number with its interval, the null and no effect on one small axis; none for a theorem.

    A table's number is its rank correlation, from -1 to 1, with what shuffled tables reach.
    """
    found, claim = verdict.measured, verdict.claim
    if "correlation" in found:
        ends, none, words = (-1.0, 1.0), 0.0, ("-1", "1", "no relation")
        bar, dot, null = (-found["chance"], found["chance"]), found["correlation"], None
    elif "low" in found:
        bar, dot, null = (found["low"], found["high"]), found["value"], found["null"]
        none = claim.no_effect
        low, high = min(*bar, null, none), max(*bar, null, none)
        room = 0.08 * (high - low) or 1.0
        ends, words = (low - room, high + room), ("", "", "no effect")
    else:
        return ""

    def at(value: float) -> str:
        return f"{100 * (value - ends[0]) / (ends[1] - ends[0]):.1f}%"

    shade = "opacity:.25" if null is None else "opacity:.7"
    parts = [
        '<div style="position:absolute;left:0;right:0;top:1.55em;border-top:1px solid"></div>',
        f'<div style="position:absolute;left:{at(bar[0])};width:calc({at(bar[1])} - {at(bar[0])});'
        f'top:1.35em;height:.45em;background:currentColor;{shade}"></div>',
        f'<div style="{MARK}left:{at(dot)};top:.85em">●</div>',
        f'<div style="{MARK}left:{at(none)};top:1em;height:1.2em;border-left:2px dashed"></div>',
        f'<div style="{MARK}left:{at(none)};top:2.1em;white-space:nowrap">{words[2]}</div>',
    ]
    if null is not None:
        parts.append(f'<div style="{MARK}left:{at(null)};top:.85em" title="null">○</div>')
    parts += [f'<div style="position:absolute;{side}:0;top:2.1em">{end}</div>'
              for side, end in zip(("left", "right"), words) if end]
    what = "● measured" + (", ○ null" if null is not None else "; grey: shuffled tables")
    return (
        f'<div aria-hidden="true" style="position:relative;height:3.4em;margin:.2em 1em;'
        f'font-size:85%">{"".join(parts)}<div style="position:absolute;top:-.2em">{what}</div></div>'
    )

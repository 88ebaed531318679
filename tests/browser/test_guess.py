"""Guess, then reveal: on the site what came out waits until a guess is typed."""

import re

import pytest

from tests.browser.test_site import PHONE, grave_faults

LECTURES = [
    f"notebooks/{name}.html"
    for name in (
        "01_intriguing_properties",
        "02_transfer_tables",
        "03_lipschitz_bounds",
        "04_fast_gradient_sign",
        "05_generative_adversarial_networks",
    )
]


def answers(page, number):
    """Whether each part of an answer to the page's question of that number is to be seen."""
    return page.evaluate(
        "n => questions[n].answers.map(a => a.firstElementChild"
        "  ? a.firstElementChild.checkVisibility() : a.offsetHeight > 0)",
        number,
    )


@pytest.mark.parametrize("name", LECTURES)
def test_every_question_waits_and_show_all_ends_it(page, site, errors, name):
    page.goto(f"{site}/{name}", wait_until="load")
    asked = page.evaluate("""[...document.querySelectorAll('blockquote')]
        .filter(q => q.textContent.trim().startsWith('Before you run')).length""")
    assert asked == page.locator("form.guess").count() > 5
    assert not any(any(answers(page, number)) for number in range(asked))
    page.locator("form.guess").first.get_by_role("button", name="Show all").click()
    assert page.locator("form.guess").count() == 0
    assert all(all(answers(page, number)) for number in range(asked))
    page.reload()
    assert page.locator("form.guess").count() == 0  # it is remembered
    page.get_by_role("button", name="Ask me first").click()
    page.locator("form.guess").first.wait_for()
    assert page.locator("form.guess").count() == asked and not errors


def test_a_guess_stands_beside_the_measurement(page, site, shots):
    page.goto(f"{site}/{LECTURES[0]}", wait_until="load")
    first = page.locator("form.guess").first
    beneath = page.locator(".cell_output", has_text="wrong on the test set")
    assert answers(page, 0) == [False] * len(answers(page, 0))
    first.scroll_into_view_if_needed()
    page.screenshot(path=shots / "guess-before.png")
    first.get_by_label("Your guess").fill("2.5 <b>")
    page.keyboard.press("Enter")
    assert "(you said 2.5 <b>)" in beneath.inner_text()
    assert all(answers(page, 0)) and not any(answers(page, 1))
    page.screenshot(path=shots / "guess-after.png")
    # The output repeats the guess, or else a line above it does.
    form = page.locator("blockquote", has_text="in the table below").locator("form")
    form.get_by_label("Your guess").fill("in between")
    form.get_by_role("button", name="Show", exact=True).click()
    assert page.get_by_text(re.compile("you said:? in between", re.I)).first.is_visible()


PLACES = """e => Object.fromEntries([...e.querySelectorAll('.tick, .dot')].map(
    m => [m.textContent, parseFloat(m.style.left)]))"""


@pytest.mark.parametrize(
    ("lecture", "unit", "guess", "measured"),
    [
        (0, "in percent", "2.5 %", 1.88),
        (0, "how many of the thousand", "900", 1000),
        (2, "how many times", "12", None),
        (4, "in nats", "-0,5", -1.3863),
    ],
)
def test_a_guess_has_its_place_on_an_axis(page, site, shots, lecture, unit, guess, measured):
    page.goto(f"{site}/{LECTURES[lecture]}", wait_until="load")
    form = page.locator("form.guess", has_text=f"({unit})").first
    form.get_by_label("Your guess").fill(guess)
    page.keyboard.press("Enter")
    axis = page.locator(".guess-axis")
    axis.scroll_into_view_if_needed()
    page.screenshot(path=shots / f"guess-axis-{lecture}-{unit.split()[0]}.png")
    at, number = axis.evaluate(PLACES), float(guess.rstrip(" %").replace(",", "."))
    assert f"your guess {number:g}" in axis.get_attribute("aria-label")
    if measured is not None:  # to scale: from 0, where one end of the axis is
        zero = at.get("0")
        assert (at["▽"] - zero) / (at["●"] - zero) == pytest.approx(number / measured, rel=1e-3)
    assert all(0 <= place <= 100 for place in at.values())


def test_words_have_no_place_on_an_axis(page, site):
    page.goto(f"{site}/{LECTURES[0]}", wait_until="load")
    page.locator("form.guess").first.get_by_label("Your guess").fill("2 or 3")
    page.keyboard.press("Enter")
    assert page.get_by_text("(you said 2 or 3)").count() and not page.locator(".guess-axis").count()


def test_a_link_to_a_verdict_shows_it(page, site):
    page.goto(f"{site}/{LECTURES[2]}#claim-not-stable", wait_until="load")
    assert page.locator("#claim-not-stable").is_visible()
    assert page.evaluate("document.getElementById('claim-not-stable').checkVisibility()")
    assert page.locator("form.guess").count()


def test_on_paper_and_without_scripts_everything_is_there(page, site, browser):
    page.goto(f"{site}/{LECTURES[0]}", wait_until="load")
    page.emulate_media(media="print")
    number = page.evaluate("questions.length")
    assert all(all(answers(page, number)) for number in range(number))
    assert not page.locator("form.guess").first.is_visible()
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(f"{site}/{LECTURES[0]}", wait_until="load")
    assert plain.get_by_text("wrong on the test set:").last.is_visible()
    assert plain.locator("form.guess").count() == 0
    plain.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_type_a_guess(page, site, errors, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{site}/{LECTURES[0]}", wait_until="load")
    page.wait_for_function("s => document.documentElement.dataset.theme === s", arg=scheme)
    assert page.locator("form.guess").count()
    # The rest of the page test_site.py sees.
    assert not grave_faults(page, "blockquote") and not errors
    page.set_viewport_size({"width": PHONE, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE

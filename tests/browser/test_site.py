"""The site's pages (make book) as people meet them: any light, any width, any hand."""

import hashlib
import io
from base64 import b64decode

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageChops

from tests.browser.conftest import SITE
from tools.environment import ROOT

EVERY = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
# The API's pages are all made alike: one stands for them. Slides have a test of their own.
PAGES = [
    name
    for name in EVERY
    if not name.startswith(("_", "slides/", "api/", "genindex")) or name == "api/lipschitz.html"
]
SLIDES = [name for name in EVERY if name.startswith("slides/")]
GRAVE = ("serious", "critical")
PHONE = 390  # CSS pixels
CONTROLS = "a[href], button, input, select, summary"


# What scrolls by itself at 1280 pixels: code beyond 80 columns is the lecture's fault, not the page's.
CUT = """() => [...document.querySelectorAll('article :is(div.highlight pre, div.math, table)')]
    .filter(e => e.scrollWidth > e.clientWidth + 1
            && !e.textContent.split('\\n').some(line => line.length > 80))
    .map(e => e.textContent.slice(0, 80))"""
LIGHT = 1_500_000  # bytes


@pytest.fixture
def page(page):
    """All answers are shown; that they wait otherwise, test_guess.py sees."""
    page.add_init_script("localStorage.setItem('course-answers-shown', 'yes')")
    return page


# Of thousands of highlighted words of code one of each kind is left: the rest would look alike.
ALIKE = """() => {
    const seen = new Set();
    for (const e of document.querySelectorAll('pre span')) {
        const kind = `${e.className} in ${e.closest('div')?.parentElement.className}`;
        if (seen.has(kind)) e.replaceWith(...e.childNodes);
        seen.add(kind);
    }
}"""


def grave_faults(page, within="html", without=(), **options):
    """What axe-core finds that would keep somebody out, a line each."""
    # preload: axe would fetch what style sheets import once more, from the wrong place.
    options = {"resultTypes": ["violations"], "preload": False, **options}
    page.evaluate(ALIKE)
    where = {"include": [[within]], "exclude": [[one] for one in without]}
    found = Axe().run(page, where, options=options).response
    return [
        f"{fault['id']} ({fault['impact']}): {node['target']} {node['html'][:120]}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


def named(page_name):
    return page_name.removesuffix(".html").replace("/", "-")


def test_the_site_is_there():
    assert "index.html" in PAGES, "no site: run make book"
    assert any(name.startswith("notebooks/") for name in PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_page_in_light_in_the_dark_and_on_a_phone(page, site, errors, shots, name):
    asked, faults = [], []
    page.on("request", lambda request: asked.append(request.url))
    # Of all that axe looks for, only the contrast depends on the light.
    page.goto(f"{site}/{name}", wait_until="networkidle")
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function("s => document.documentElement.dataset.theme === s", arg=scheme)
        # Colours fade from one scheme into the other.
        page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')")
        page.screenshot(path=shots / f"site-{named(name)}-{scheme}.png")
        faults += [f"{scheme}: {fault}" for fault in grave_faults(page, **rules)]

    # Nothing is cut off beside the two sidebars.
    faults += [f"wider than its column: {code}" for code in page.evaluate(CUT)]

    page.set_viewport_size({"width": PHONE, "height": 844})
    page.wait_for_timeout(300)
    page.screenshot(path=shots / f"site-{named(name)}-phone.png")
    # An article's colours are those on a desk.
    on_phone = grave_faults(page, runOnly=["scrollable-region-focusable", "target-size"])
    on_phone += grave_faults(page, without=("article",), runOnly=["color-contrast"])
    faults += [f"phone: {fault}" for fault in on_phone]
    if page.evaluate("document.documentElement.scrollWidth") > PHONE:
        faults += page.evaluate("""() => [...document.querySelectorAll('article *')]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => 'wider than a phone: ' + e.outerHTML.slice(0, 100)).slice(0, 5)""")
        faults.append("scrolls sideways on a phone")

    faults += [f"console: {error}" for error in errors]
    faults += [f"asks {url}" for url in asked if not url.startswith((site, "data:", "blob:"))]
    assert not faults, "\n".join(faults)


SCROLLED = "e => e.scrollHeight - e.clientHeight"
# What is to be seen of the slide that so many are before, in one question: once its words are made
# to fit, which they are when its pictures are there.
SLIDE = f"""place => {{
    const e = [...document.querySelectorAll('section.present')].at(-1);
    if (Reveal.getSlidePastCount() !== place || !Reveal.getCurrentSlide().style.fontSize)
        return null;
    const wide = [...e.querySelectorAll('math, img, table')].filter(
        m => m.scrollWidth > e.clientWidth + 1).map(m => m.outerHTML.slice(0, 80));
    const words = e.checkVisibility({{visibilityProperty: true}}) && e.innerText.trim();
    return {{words, wide, scrolled: ({SCROLLED})(e)}};
}}"""


@pytest.mark.parametrize("name", SLIDES)
def test_the_arrow_key_goes_through_all_slides(page, site, errors, name):
    page.goto(f"{site}/{name}", wait_until="load")
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    total = page.evaluate("Reveal.getTotalSlides()")
    assert total > 20
    for place in range(total):
        seen = page.wait_for_function(SLIDE, arg=place).json_value()
        assert seen["words"] and not seen["wide"] and seen["scrolled"] <= 1, (place + 1, seen)
        page.keyboard.press("ArrowRight")
    assert not errors


def start(place):
    """Let an explorer begin, also one that waits because its networks are heavy."""
    place.scroll_into_view_if_needed()
    place.locator(":is(input[type=range], button):visible").first.wait_for()
    if (begin := place.get_by_role("button", name="Start this explorer")).count():
        begin.click()
        place.locator("input[type=range]:visible").first.wait_for()


@pytest.mark.parametrize(
    ("name", "width"), [(name, 1280) for name in SLIDES] + [(name, PHONE) for name in SLIDES[:1]]
)
def test_an_explorer_fits_its_slide_also_when_it_has_attacked(page, site, shots, name, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{site}/{name}", wait_until="load")
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    for place in page.locator("[data-laboratory]").all():
        if width != PHONE:  # where slides are scrolled
            place.evaluate("e => Reveal.slide(Reveal.getIndices(e.closest('section')).h)")
        start(place)
        slide = place.locator("xpath=ancestor::section[1]")
        if place.locator(".lab-go").count():
            place.locator(".lab-status", has_text="press attack").wait_for()
            place.locator(".lab-go").click()
            if place.get_by_text("show to all networks").is_visible():
                place.get_by_text("show to all networks").click()
                place.locator(".lab-everyone tr:nth-child(3)").wait_for()
        page.wait_for_timeout(500)
        page.screenshot(path=shots / f"slide-{named(name)}-{width}.png")
        if width == 1280:
            assert slide.evaluate(SCROLLED) <= 1
        else:  # on a phone it may be longer, but no wider, than the screen
            assert place.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
            assert slide.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


READABLE = """() => [...document.querySelectorAll('section')]
    .filter((e) => e.checkVisibility() && e.clientHeight).map((e) => {
        const scale = e.getBoundingClientRect().width / e.offsetWidth;
        const words = [...e.querySelectorAll('p, td, th, blockquote')].filter((w) => w.innerText.trim());
        const sizes = words.map((w) => scale * parseFloat(getComputedStyle(w).fontSize));
        return [e.innerText.slice(0, 60), Math.min(99, ...sizes), e.scrollWidth - e.clientWidth];
    })"""


@pytest.mark.parametrize("name", SLIDES)
def test_slides_can_be_read_on_a_phone(page, site, name):
    """No word is smaller than 11 pixels, and nothing but a table scrolls sideways."""
    page.set_viewport_size({"width": PHONE, "height": 844})
    page.goto(f"{site}/{name}", wait_until="load")
    page.wait_for_selector(".reveal-scroll .slides section h3")
    page.wait_for_timeout(1000)
    seen = {}
    deck = page.locator(".reveal-viewport")
    for place in range(0, deck.evaluate("e => e.scrollHeight"), 844):
        deck.evaluate("(e, y) => e.scrollTo(0, y)", place)
        page.wait_for_timeout(100)
        seen |= {words: told for words, *told in page.evaluate(READABLE)}
    assert len(seen) > 20
    assert {words: told for words, told in seen.items() if told[0] < 11 or told[1] > 1} == {}


LECTURES = [name for name in PAGES if name.startswith("notebooks/0")]


@pytest.mark.parametrize("name", LECTURES)
def test_every_explorer_is_alive_without_a_kernel(page, site, errors, name):
    """Whatever control is moved, what is shown changes."""
    page.goto(f"{site}/{name}", wait_until="load")
    places = page.locator("[data-laboratory]")
    if name != LECTURES[0]:
        assert places.count() >= 2
    for place in places.all():
        start(place)
        if place.locator(".lab-go").count():
            place.locator(".lab-status", has_text="press attack").wait_for()
            place.locator(".lab-go").click()
        else:  # until the attack on all digits is over
            place.locator(":not(:text-matches('Attacking|Loading'))").first.wait_for()
        seen = """e => e.innerText + [...e.querySelectorAll('canvas')].map(c => c.toDataURL()).join()
            + [...e.querySelectorAll('b')].map(b => b.style.width).join()"""
        for control in place.locator("input[type=range]:visible").all():
            before = place.evaluate(seen)
            at_end = control.evaluate("e => e.value == e.max")
            control.focus()
            for _ in range(3):
                page.keyboard.press("ArrowDown" if at_end else "ArrowUp")
            assert place.evaluate(seen) != before
    assert not errors


@pytest.mark.parametrize("name", LECTURES)
def test_a_lecture_is_light(page, site, name):
    """What a browser fetches until the lecture's end, without what waits for a press of a button."""
    sizes = {}
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    page.goto(f"{site}/{name}", wait_until="networkidle")
    if name != LECTURES[0]:
        page.locator(".laboratory input[type=range]:visible").first.wait_for()
    height = page.evaluate("document.documentElement.scrollHeight")
    for y in range(0, height, 700):
        page.evaluate("y => scrollTo(0, y)", y)
        page.wait_for_timeout(60)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    print(f"{name}: {sum(sizes.values()) / 1e6:.2f} MB")
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert sum(sizes.values()) < LIGHT, heaviest


STILLS = """() => [...document.querySelectorAll('[data-laboratory]')].map((place) => {
    const picture = place.parentElement.querySelector('img.lab-still');
    return [picture.checkVisibility() && picture.clientWidth > 250, picture.naturalWidth > 250,
        place.matches('.laboratory') && place.checkVisibility()];
})"""


@pytest.mark.parametrize("name", ["index.html", *LECTURES[1:], *SLIDES])
def test_without_scripts_and_on_paper_an_explorer_is_a_picture(browser, page, site, name):
    context = browser.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(f"{site}/{name}")
    pictures = still.locator("img.lab-still")
    assert pictures.count() == still.locator("[data-laboratory]").count() > 0
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        assert picture.is_visible() and picture.bounding_box()["width"] > 250
    context.close()

    page.goto(f"{site}/{name}" + "?print-pdf" * (name in SLIDES), wait_until="load")
    if name in SLIDES:
        page.wait_for_function("window.Reveal && Reveal.isReady()")
    else:
        page.locator(".laboratory input[type=range]:visible").first.wait_for()
        assert page.evaluate(STILLS)[0] == [False, True, True]  # on the screen, it is alive
    page.emulate_media(media="print")
    for place in page.locator("img.lab-still").all():
        place.scroll_into_view_if_needed()
        page.wait_for_function("e => e.complete && e.naturalWidth", arg=place.element_handle())
    assert all(told == [True, True, False] for told in page.evaluate(STILLS))


@pytest.mark.alone
@pytest.mark.parametrize("name", ["index.html", *LECTURES])
def test_something_is_seen_within_a_second(page, name):
    """From the disk; the best of three, since other programs share the processor."""
    times = []
    for _ in range(3):
        page.goto("about:blank")
        page.goto((SITE / name).as_uri(), wait_until="load")
        painted = page.wait_for_function(  # it may come after the page has loaded
            "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        )
        times.append(painted.json_value())
    print(f"{name}: first paint after {', '.join(f'{ms:.0f}' for ms in times)} ms")
    assert min(times) < 1000


def stored_pictures(name):
    """The bytes of the notebook's pictures, by what the site calls them."""
    notebook = nbformat.read((ROOT / name).with_suffix(".ipynb"), as_version=4)
    found = [
        b64decode(output.data["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return {hashlib.sha256(picture).hexdigest(): picture for picture in found}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", LECTURES[1:2])
def test_data_comes_through_pixel_by_pixel(page, site, name, scheme):
    """A filter, as for dark pages, would make adversarial perturbations vanish."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 1600, "height": 1000})
    page.goto(f"{site}/{name}", wait_until="load")
    page.wait_for_function("s => document.documentElement.dataset.theme === s", arg=scheme)
    figures = page.locator("figure img")
    for place in (0, 6):
        picture = figures.nth(place)
        picture.scroll_into_view_if_needed()
        picture.evaluate("""async e => {
            await e.decode();
            e.style.cssText = 'position: fixed; left: 0; top: 0; padding: 0; border: 0; z-index: 9999;'
                + `max-width: none; width: ${e.naturalWidth}px; height: ${e.naturalHeight}px`;
        }""")
        drawn = Image.open(io.BytesIO(picture.screenshot())).convert("RGB")
        stored = Image.open(
            io.BytesIO(
                stored_pictures(name)[picture.evaluate("e => e.src.match(/\\w+(?=\\.webp$)/)[0]")]
            )
        )
        paper = Image.new("RGBA", drawn.size, "white")
        stored = Image.alpha_composite(paper, stored.convert("RGBA"))
        difference = ImageChops.difference(drawn, stored.convert("RGB"))
        assert max(high for _, high in difference.getextrema()) <= 2


def test_the_claims_can_be_filtered(page, site, errors):
    page.goto(f"{site}/claims.html", wait_until="load")
    boxes = page.locator(".claims-filter input")
    assert boxes.count() and page.locator(".course-card").count() >= 30
    for box in boxes.all():
        cards = page.locator(f".verdict-{box.get_attribute('value')}")
        counted = int(box.locator("xpath=following-sibling::b").inner_text())
        assert cards.count() == counted and cards.first.is_visible()
        box.uncheck()
        assert not cards.first.is_visible()
    assert not errors


def test_search_finds(page, site):
    page.goto(f"{site}/search.html?q=perturbation", wait_until="networkidle")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    assert found.count() >= 3


def test_the_keyboard_alone_reaches_everything(page, site):
    """Every control that is to be seen on the first page, and each shows that it is reached."""
    page.goto(f"{site}/index.html", wait_until="networkidle")
    wanted = page.evaluate(f"""() => [...document.querySelectorAll('{CONTROLS}')]
        .filter(e => e.checkVisibility({{visibilityProperty: true}}) && !e.disabled
                && e.tabIndex >= 0 && e.type !== 'hidden' && e.getClientRects().length)
        .map((e, i) => (e.dataset.wanted = i))""")
    reached = set()
    for _ in range(2 * len(wanted) + 20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.wanted"))
    missed = [i for i in wanted if str(i) not in reached]
    assert [page.locator(f"[data-wanted='{i}']").evaluate("e => e.outerHTML") for i in missed] == []

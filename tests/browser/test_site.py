"""The site's pages (make book) as people meet them: any light, any width, any hand."""

import functools
import http.server
import threading

import pytest
from axe_playwright_python.sync_playwright import Axe

from tools.environment import ROOT

SITE = ROOT / "build" / "book"
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


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *said: object) -> None:
        pass


@pytest.fixture(scope="session")
def site():
    """The site's address, served as a plain web server would."""
    serve = functools.partial(Quiet, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def grave_faults(page, **options):
    """What axe-core finds that would keep somebody out, a line each."""
    # preload: axe would fetch what style sheets import once more, from the wrong place.
    options = {"resultTypes": ["violations"], "preload": False, **options}
    found = Axe().run(page, options=options).response
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
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{site}/{name}", wait_until="networkidle")
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        faults += [f"{scheme}: {fault}" for fault in grave_faults(page, **rules)]
        page.screenshot(path=shots / f"site-{named(name)}-{scheme}.png")

    # Equations: whatever was marked as one is drawn, and as a formula, not as an error.
    marked = page.locator(".math").count()
    drawn = "n => document.querySelectorAll('.math mjx-container').length >= n"
    page.wait_for_function(drawn, arg=marked)
    faults += ["an equation in error"] * page.locator("mjx-merror").count()

    page.set_viewport_size({"width": PHONE, "height": 844})
    page.wait_for_timeout(300)
    page.screenshot(path=shots / f"site-{named(name)}-phone.png")
    if page.evaluate("document.documentElement.scrollWidth") > PHONE:
        faults += page.evaluate("""() => [...document.querySelectorAll('article *')]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
            .map(e => 'wider than a phone: ' + e.outerHTML.slice(0, 100)).slice(0, 5)""")
        faults.append("scrolls sideways on a phone")

    faults += [f"console: {error}" for error in errors]
    faults += [f"asks {url}" for url in asked if not url.startswith((site, "data:", "blob:"))]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", SLIDES)
def test_slides_go_on(page, site, errors, name):
    page.goto(f"{site}/{name}", wait_until="networkidle")
    for _ in range(3):
        before = page.url
        page.keyboard.press("Space")
        page.wait_for_function("before => location.href !== before", arg=before, timeout=5000)
    assert page.locator("section.present").last.is_visible()
    assert not errors


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("notebooks/0")])
def test_a_twin_moves_without_a_kernel(page, site, errors, name):
    page.goto(f"{site}/{name}", wait_until="networkidle")
    twins = page.locator("div.twin")
    if not twins.count():
        pytest.skip("no explorer on this page")
    for twin in twins.all():
        twin.scroll_into_view_if_needed()
        picture = twin.locator("xpath=preceding::img[1]")  # the figure that it moves
        for control in twin.locator("input[type=range], select").all():
            before = picture.get_attribute("src"), picture.get_attribute("alt")
            at_start = control.evaluate("e => e.options ? e.selectedIndex == 0 : e.value == e.min")
            control.focus()
            page.keyboard.press("ArrowDown" if control.evaluate("e => !!e.options") == at_start
                                else "ArrowUp")  # on a slider, down is less
            after = picture.get_attribute("src"), picture.get_attribute("alt")
            assert after[0] != before[0] and after[1] != before[1]
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

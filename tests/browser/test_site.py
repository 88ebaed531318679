"""The site's pages (make book) as people meet them: any light, any width, any hand."""

import functools
import http.server
import threading

import pytest
from axe_playwright_python.sync_playwright import Axe

from course_utils.environment import ROOT

SITE = ROOT / "build" / "book"
ELSEWHERE = {"_static", "_downloads", "slides"}  # not pages of the site
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if not ELSEWHERE & set(path.relative_to(SITE).parts)
)
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


def grave_faults(page):
    """What axe-core finds that would keep somebody out, a line each."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{fault['id']} ({fault['impact']}): {node['target']} {node['html'][:120]}"
        for fault in found
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
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.emulate_media(color_scheme="light")
    page.goto(f"{site}/{name}", wait_until="networkidle")
    assert grave_faults(page) == []
    # Equations: whatever was marked as one is drawn, and by a formula, not by an error.
    marked = page.locator(".math").count()
    page.wait_for_function(
        "n => document.querySelectorAll('.math mjx-container').length >= n", arg=marked
    )
    assert page.locator("mjx-merror").count() == 0
    page.screenshot(path=shots / f"site-{named(name)}-light.png")

    page.emulate_media(color_scheme="dark")
    page.evaluate("localStorage.clear()")
    page.reload(wait_until="networkidle")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert grave_faults(page) == []
    page.screenshot(path=shots / f"site-{named(name)}-dark.png")

    page.set_viewport_size({"width": PHONE, "height": 844})
    page.wait_for_timeout(300)
    page.screenshot(path=shots / f"site-{named(name)}-phone.png")
    wide = page.evaluate("""() => [...document.querySelectorAll('article *')]
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.outerHTML.slice(0, 100)).slice(0, 5)""")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE, wide

    assert not errors
    assert [url for url in asked if not url.startswith((site, "data:", "blob:"))] == []


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("notebooks/0")])
def test_a_twin_moves_without_a_kernel(page, site, errors, name):
    page.goto(f"{site}/{name}", wait_until="networkidle")
    twins = page.locator("div.twin")
    if not twins.count():
        pytest.skip("no explorer on this page")
    for twin in twins.all():
        twin.scroll_into_view_if_needed()
        for control in twin.locator("input[type=range], select").all():
            picture = twin.locator("img:visible").first
            before = picture.get_attribute("src"), picture.get_attribute("alt")
            control.focus()
            at_end = control.evaluate("e => e.value === e.max || e.selectedIndex > 0")
            page.keyboard.press("ArrowUp" if control.evaluate("e => !!e.options") and at_end
                                else "ArrowLeft" if at_end else
                                "ArrowDown" if control.evaluate("e => !!e.options")
                                else "ArrowRight")
            picture = twin.locator("img:visible").first
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

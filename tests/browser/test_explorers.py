"""The lectures' explorers in JupyterLab, moved with keys and menus as a reader would."""

import re
import shutil
import statistics
import time

import nbformat
import numpy as np
import pytest
from PIL import Image
from slices import explorer_slice

from tools.environment import ROOT
from tools.lectures import KERNEL, lectures

LECTURES = {path.name[:2]: path for path in lectures()}
MOVES = 15  # timed moves of a slider
BURST = 20  # moves that do not wait for one another
# A redraw may take 150 ms (test_fast_gradient.py times it). Here the browser, the server and the
# kernel share two processors with the test, so the bound is one that only a fault passes.
MOVE, LAST = 400, 1000  # milliseconds, the median of moves and the last of a burst
CALM = 300  # milliseconds without a change, after which a picture is the last one

EXPLORER = ".jp-OutputArea .widget-vbox"
# Times, in the page, when a key went down and when what is shown last changed.
WATCH = """() => {
    const shown = '.widget-image, .widget-html-content';
    window.pressed = window.changed = performance.now();
    document.addEventListener('keydown', () => { window.pressed = performance.now(); }, true);
    new MutationObserver(changes => {
        if (changes.some(c => (c.target.closest || c.target.parentElement.closest)
                .call(c.target.closest ? c.target : c.target.parentElement, shown)))
            window.changed = performance.now();
    }).observe(document.body, {subtree: true, childList: true, attributeFilter: ['src']});
}"""
# At rest: the kernel has no work, and nothing has changed for a while.
SETTLED = f"""() => performance.now() - Math.max(window.changed, window.pressed) > {CALM}
    && [...document.querySelectorAll('.jp-StatusBar-TextItem')]
        .some(e => e.textContent.endsWith('| Idle'))"""
# All that an explorer shows: its pictures, hashed, and its tables.
SHOWN = f"""async () => (await Promise.all(
    [...document.querySelectorAll(
        '{EXPLORER} .widget-image, {EXPLORER} .widget-html-content')].map(async e => {{
            if (!e.src) return e.innerHTML;
            const bytes = await (await fetch(e.src)).arrayBuffer();
            return [...new Uint8Array(await crypto.subtle.digest('SHA-1', bytes))].join();
    }}))).join('|')"""
DRAWN = f"""() => [...document.querySelectorAll('{EXPLORER} .widget-image')]
    .every(e => e.complete && e.naturalWidth > 0)"""


END = """async () => {
    const token = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? '';
    const sessions = await (await fetch('/api/sessions')).json();
    const answers = await Promise.all(sessions.map(({id}) => fetch(`/api/sessions/${id}`,
        {method: 'DELETE', headers: {'X-XSRFToken': token}})));
    return answers.map(a => a.status);
}"""


def end_kernels(page):
    ended = page.evaluate(END)
    assert ended and set(ended) == {204}, ended


class Lab:
    """A notebook in JupyterLab, run from its first cell to its last."""

    def __init__(self, page, address, name):
        self.page = page
        page.goto(f"{address}/doc/tree/{name}")
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name=re.compile("^Run All( Cells)?$")).click()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)


class Explorer(Lab):
    """The explorer of photographs, alive through its kernel."""

    def __init__(self, page, address, name):
        super().__init__(page, address, name)
        page.locator(f"{EXPLORER} .noUi-handle").first.wait_for(timeout=240_000)
        page.wait_for_function(DRAWN)
        page.evaluate(WATCH)
        page.locator(EXPLORER).first.scroll_into_view_if_needed()
        self.slider = page.locator(f"{EXPLORER} .noUi-handle")
        self.menu = page.locator(f"{EXPLORER} select")
        self.upload = page.locator(f"{EXPLORER} input[type=file]")

    def shown(self):
        """All that is to be seen, once it has come to rest."""
        self.page.wait_for_function(SETTLED)
        self.page.wait_for_function(DRAWN)
        return self.page.evaluate(SHOWN)

    def delay(self):
        """Milliseconds from the last key to the last change that came of it."""
        return self.page.evaluate("window.changed - window.pressed")


def test_the_first_explorers_need_no_kernel(page, lab, errors):
    """Each lecture's first explorer of the laboratory, one beneath the other, without a kernel."""
    address, folder = lab
    slices = [explorer_slice(path, "laboratory(") for path in LECTURES.values()]
    slices[0].cells = [cell for notebook in slices for cell in notebook.cells]
    nbformat.write(slices[0], folder / "first.ipynb")
    Lab(page, address, "first.ipynb")
    explorers = page.locator(".laboratory")
    explorers.nth(len(slices) - 1).wait_for(state="attached", timeout=240_000)
    end_kernels(page)
    errors.clear()  # of JupyterLab's, which misses its kernel
    for explorer in explorers.all():
        explorer.scroll_into_view_if_needed()
        explorer.locator("input[type=range]:visible").first.wait_for(timeout=60_000)
        if explorer.locator(".lab-go").count():
            explorer.locator(".lab-go").click()
        for control in explorer.locator("input[type=range]:visible").all():
            before = control.input_value()
            control.focus()
            page.keyboard.press(
                "ArrowUp" if before != control.get_attribute("max") else "ArrowDown"
            )
            assert control.input_value() != before
    assert explorers.count() == len(LECTURES) == 5
    assert not [error for error in errors if "kernel" not in error.lower()]


def test_digits_are_redrawn_as_the_generator_learns(page, lab, shots):
    address, folder = lab
    notebook = explorer_slice(LECTURES["05"], "strip = ipywidgets.Image(")
    for cell in notebook.cells:  # 200 rounds in place of 800
        cell.source = cell.source.replace("train_images[:40_000]", "train_images[:10_000]")
    nbformat.write(notebook, folder / "live.ipynb")
    Lab(page, address, "live.ipynb")
    picture = page.locator(".jp-OutputArea-output img")
    seen = []
    for _ in range(4):  # black, grey clouds, ...
        page.wait_for_function(
            "seen => { const now = document.querySelector('.jp-OutputArea-output img')?.src;"
            " return now && !seen.includes(now); }",
            arg=seen,
            timeout=240_000,
        )
        seen.append(picture.evaluate("e => e.src"))
        picture.screenshot(path=shots / f"live-{len(seen)}.png")
    assert picture.count() == 1


def test_a_saved_notebook_opens_as_it_was(page, lab):
    """Explorers and progress bars, after a new start: no "Error displaying widget"."""
    address, folder = lab
    sources = (
        "import tqdm.auto\nfor _ in tqdm.auto.tqdm(range(3)): pass",
        "from course_utils.laboratory.widget import laboratory\nlaboratory('game')",
    )
    cells = list(map(nbformat.v4.new_code_cell, sources))
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.write(notebook, folder / "saved.ipynb")
    Lab(page, address, "saved.ipynb")
    page.locator(".lab-game canvas").wait_for(timeout=120_000)
    page.locator(".jp-OutputArea .widget-html", has_text="3/3").first.wait_for()
    page.keyboard.press("Control+s")
    end = time.monotonic() + 60
    while "3/3" not in (folder / "saved.ipynb").read_text() and time.monotonic() < end:
        page.wait_for_timeout(100)
    end_kernels(page)
    page.goto("about:blank")
    page.goto(f"{address}/doc/tree/saved.ipynb")
    page.locator(".lab-game canvas").wait_for(timeout=120_000)
    page.locator(".jp-OutputArea .widget-html", has_text="3/3").first.wait_for()
    assert page.get_by_text("Error displaying widget").count() == 0
    page.locator(".lab-game button", has_text="one round").click()
    assert "Round 1" in page.locator(".lab-game p").inner_text()


@pytest.mark.alone
def test_the_explorer_of_photographs_follows_the_readers_hand(page, lab, errors, shots, tmp_path):
    address, folder = lab
    nbformat.write(explorer_slice(LECTURES["04"], "FastGradientExplorer("), folder / "photo.ipynb")
    explorer = Explorer(page, address, "photo.ipynb")
    explorer.slider.focus()
    explorer.press("Home")
    seen, delays = [explorer.shown()], []
    for _ in range(MOVES):
        explorer.press("ArrowRight")
        seen.append(explorer.shown())
        delays.append(explorer.delay())
    assert len(set(seen)) > MOVES / 2

    explorer.press("Home")
    assert explorer.shown() == seen[0]
    explorer.press(*["ArrowRight"] * BURST)
    at_rest = explorer.shown()
    last = explorer.delay()
    explorer.press("ArrowLeft")
    explorer.shown()
    explorer.press("ArrowRight")
    assert explorer.shown() == at_rest
    page.locator(EXPLORER).first.screenshot(path=shots / "explorer-04.png")
    print(f"\n{statistics.median(delays):.0f} ms a move, {last:.0f} ms after the last of {BURST}")
    assert statistics.median(delays) < MOVE and last < LAST
    a_picture_of_ones_own(explorer, tmp_path)
    assert not errors


def a_picture_of_ones_own(explorer, folder):
    """Upload a text, which is refused in words; pictures small and large, which are shown; and
    what is too large to be sent and no picture, which is told so too."""
    text, small, large, no = (
        folder / name for name in ("no picture.txt", "mine.png", "large.png", "large.txt")
    )
    text.write_text("words")
    shutil.copy(ROOT / "course_utils" / "pictures" / "panda.png", small)
    noise = np.random.default_rng(0).integers(0, 256, (2200, 2200, 3), np.uint8)
    Image.fromarray(noise).save(large)
    assert large.stat().st_size > 11_600_000
    no.write_bytes(bytes(12_000_000))
    chosen = "e => e.selectedOptions[0].text"
    for file, answer in (
        (text, "no picture.txt:"),
        (large, None),
        (no, "large.txt: of 12.0 MB"),
        (small, None),
    ):
        explorer.upload.set_input_files(file)
        if answer:
            explorer.page.locator(EXPLORER, has_text=answer).first.wait_for()
        else:
            explorer.page.locator(f"{EXPLORER} option", has_text=file.name).wait_for(
                state="attached", timeout=60_000
            )
            explorer.shown()
            assert explorer.menu.evaluate(chosen) == file.name
    assert explorer.page.get_by_text("no picture.txt:").count() == 0

"""A browser and a JupyterLab, for tests that meet the course as people do (make test-browser)."""

import functools
import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.__main__ import LAB_OPTIONS
from tools.environment import ROOT

playwright = pytest.importorskip("playwright.sync_api", reason="make test-browser installs it")

SITE = ROOT / "build" / "book"
SHOTS = ROOT / "build" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ELSEWHERE = re.compile(r"^(?!https?://127\.0\.0\.1[:/]|data:|blob:|file:)")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# Where the tests' own packages are apart from the course's, the course's Python is this one.
PYTHON = os.environ.get("COURSE_PYTHON", sys.executable)


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: what is timed, so that nothing may run beside it")


@pytest.fixture(scope="session")
def browser() -> Iterator["playwright.Browser"]:
    """Debian's Chromium, or Chrome."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"no browser: install Chromium (looked for {', '.join(BROWSERS)})")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


class Errors(list):
    """What a page's console says is wrong."""

    def watch(self, page: "playwright.Page") -> None:
        page.on("console", lambda said: said.type == "error" and self.append(said.text))
        page.on("pageerror", lambda error: self.append(str(error)))


@pytest.fixture
def errors() -> Errors:
    return Errors()


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where photographs go, for a person to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    return SHOTS


@pytest.fixture
def page(browser, errors, shots, request) -> Iterator["playwright.Page"]:
    """A new page, photographed when the test ends; it reaches no other host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.route(ELSEWHERE, lambda route: route.abort())
    page = context.new_page()
    errors.watch(page)
    yield page
    name = request.node.name.replace("/", "-")
    page.screenshot(path=shots / f"{name}.png")
    context.close()


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


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """The address of a JupyterLab, and the folder that it shows."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    log = (home / "log").open("w")
    server = subprocess.Popen(
        [
            PYTHON,
            "-m",
            "jupyterlab",
            "--no-browser",
            *LAB_OPTIONS,
            f"--port={port}",
            "--IdentityProvider.token=",
            f"--ServerApp.root_dir={folder}",
        ],
        env=env,
        stdout=log,
        stderr=log,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api", server, home / "log")
        yield address, folder
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 90) -> None:
    """Return when the address answers; quote the log if it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"{address} does not answer:\n{log.read_text()[-2000:]}")

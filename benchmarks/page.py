"""The page: seconds until it is reachable and until the first steered completion, and the server's memory; with
``python -m benchmarks.page``, also what a person waits for in the browser, on made-up texts."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from melbo_app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120
QUIET, IDLE = 25.0, 0.2  # seconds, and the share of a core below which background loading is over


def measure() -> dict[str, float]:
    """Start the page as a person does, press only Steer, and time it.

    The cache holds only the unpacked model, so no text can be looked up.
    """
    with tempfile.TemporaryDirectory() as cache:
        (Path(cache) / "models").symlink_to(Settings().cache_dir.resolve() / "models")
        return _measure(cache)


def _measure(cache: str) -> dict[str, float]:
    start = time.perf_counter()
    with serving(cache) as (address, server):
        reachable = when_reachable(address, start)
        with browsing() as browser:
            page = browser.new_page()
            page.goto(address)
            _first_completion(page)
            first = time.perf_counter() - start
        resident = psutil.Process(server.pid).memory_info().rss
        return {"reachable": reachable, "first_completion": first - reachable, "resident_gb": resident / 1e9}


@contextmanager
def serving(cache: str, **environment: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The server on a free port, with this cache; its address may not answer yet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env=os.environ | {"MELBO_CACHE_DIR": cache, **environment},
    )
    try:
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.terminate()
        server.wait(PATIENCE)


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser."""
    path = os.environ.get("MELBO_BROWSER", "/usr/bin/chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def when_reachable(address: str, start: float) -> float:
    """Seconds from ``start`` until a server answers at ``address``."""
    while time.perf_counter() - start < PATIENCE:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return time.perf_counter() - start
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{address} was not reachable after {PATIENCE} s")


def when_quiet(server: psutil.Process) -> None:
    """Wait until background loading is over."""
    while server.cpu_percent(QUIET) > 100 * IDLE:
        pass


def _first_completion(page: Page) -> None:
    """Open Read, press Steer on a prompt without stored texts, and wait for a finished text under a vector."""
    page.click(".mx-room[data-room=read]")
    page.wait_for_selector("#vector-cards .mx-card")
    page.wait_for_function("document.querySelector('#prompt textarea').value")  # until the page is filled in
    page.wait_for_timeout(300)
    page.fill("#prompt textarea", "Which mountain is the tallest?")
    page.click("#steer-button")
    told = "document.querySelector('#steer-progress .mx-progress-text')?.textContent"
    page.wait_for_function(f"/token [0-9]|Done/.test({told})", timeout=PATIENCE * 1000)
    whole = "#completions .mx-kind-vector:is([data-mark=finished], [data-mark=cut])"
    page.wait_for_selector(whole, timeout=PATIENCE * 1000)


if __name__ == "__main__":
    from benchmarks.clicks import main

    main()

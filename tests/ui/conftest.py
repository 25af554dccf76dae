"""The real program on the real model, and a browser that reports everything that goes wrong in it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import steps
from patience import PATIENCE
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from melbo_app.library.weights import DEFAULT_MODEL, resolve

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "test-results"
LOCAL = ("127.0.0.1", "localhost")
WITHOUT_A_HOST = ("data", "blob", "about")  # addresses of what is inside the page already
SIZE = ViewportSize(width=1360, height=850)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--process-per-site",
    # Of two such lists Chromium takes the last, so playwright's comes first. The others are views of the window around
    # the page, which nobody sees: they cost as much as the page's own process, for each context anew.
    "--disable-features=AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,"
    "HttpsFirstBalancedModeAutoEnable,LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,"
    "AvoidCorsURLLoaderRestartOnRedirect,OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch,"
    "PreloadTopChromeWebUI,WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,WebUIReloadButton,"
    "WebUILocationBar,WebUIToolbar,InitialWebUI",
]  # fmt: skip

# What Gradio writes when a page is left in the moment in which it asks for answers: that session is gone.
LEFT = re.compile(
    r"^ERROR:    Exception in ASGI application\n(?:(?!^ERROR).)*? in sse_stream\n(?:(?!^ERROR).)*?"
    r"HTTPException: 404: Not Found\n(?:(?!^ERROR).)*?but response already started\.\n",
    re.DOTALL | re.MULTILINE,
)

expect.set_options(timeout=1000 * PATIENCE)


class App:
    """``python app.py`` as a person starts it, with these words behind it and a cache of its own."""

    def __init__(self, folder: Path, *words: str, **environment: str) -> None:
        self._words, self._environment = words, environment
        self.cache = folder / "cache"
        self.cache.mkdir()
        (self.cache / "models").symlink_to(ROOT / "cache" / "models", target_is_directory=True)
        self.assets = _with_own_banks(folder / "assets")
        self._log = folder / "app.log"
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on a free port and wait until the page can be fetched."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MELBO_")}
        environment |= {"MELBO_CACHE_DIR": str(self.cache), "PYTHONUNBUFFERED": "1", **self._environment}
        environment["MELBO_DTYPE"] = "float32"  # the same texts on every machine
        environment["MELBO_ASSETS_DIR"] = str(self.assets)
        command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), *self._words]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        end = time.monotonic() + steps.START
        while not self._answers():
            assert self._process.poll() is None, f"app.py ended:\n{self.log()}"
            assert time.monotonic() < end, f"app.py was not reachable after {steps.START} s:\n{self.log()}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End it without a chance to tidy up, as a power cut does."""
        assert self._process is not None, "stopped before it was started"
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text("utf-8")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as refused:
            return refused.code == 401  # it asks for its token
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False


@pytest.fixture(scope="session", autouse=True)
def model_is_prepared() -> None:
    resolve(DEFAULT_MODEL, ROOT / "cache")


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The program that most tests share: what one test leaves there, the next one finds."""
    yield from _running(App(tmp_path_factory.mktemp("app"), "--mcp"))


@pytest.fixture(scope="session")
def rooted_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A program that was told below which path a proxy shows it."""
    yield from _running(App(tmp_path_factory.mktemp("rooted"), "--root-path", f"{steps.ROOT_PATH}/", "--mcp"))


@pytest.fixture(scope="session")
def lab_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A program that others on the network can reach, and that asks for its token."""
    yield from _running(App(tmp_path_factory.mktemp("lab"), "--host", "0.0.0.0"))


@pytest.fixture
def stranger(browser: Browser) -> Iterator[Page]:
    """A browser that was never here."""
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    context.close()


@pytest.fixture(scope="session")
def own_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A program that nobody has used when test_reopening begins, and that test_nothing_leaves takes apart after it.

    What is pressed must not fetch a model into the folder that all tests share.
    """
    yield from _running(App(tmp_path_factory.mktemp("own"), PIP_NO_INDEX="1", HF_HUB_OFFLINE="1"))


def _with_own_banks(folder: Path) -> Path:
    """What ships, with two banks of the default model that have no labels and texts."""
    shutil.copytree(ROOT / "assets", folder)
    (folder / "banks" / "who-are-you.json").unlink()
    for name in (steps.SAMPLE, "who-are-you"):
        shutil.copy(ROOT / "tests" / "banks" / f"{name}.safetensors", folder / "banks")
    return folder


def _running(app: App) -> Iterator[App]:
    app.start()
    yield app
    app.stop()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    path = os.environ.get("MELBO_BROWSER", "/usr/bin/chromium")
    if not os.access(path, os.X_OK):
        pytest.fail(f"There is no browser at {path}: install chromium, or set MELBO_BROWSER to the path of one.")
    running = playwright.chromium.launch(executable_path=path, args=FLAGS)
    yield running
    running.close()


@pytest.fixture(scope="session")
def context(browser: Browser, app: App) -> Iterator[BrowserContext]:
    """The browser of a person who was here before: the page's scripts are in its cache."""
    kept = browser.new_context(viewport=SIZE)
    kept.new_page().goto(f"{app.url}/robots.txt")  # while it is open, other pages need no process of their own
    yield kept
    kept.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    if call.when == "setup":  # of the second run, too
        item.stash[FAILED] = False
    if report.failed or report.outcome == "rerun":
        item.stash[FAILED] = True
    return report


FAILED = pytest.StashKey[bool]()


class Faults(list[str]):
    """What went wrong in pages since the last test."""

    def watch(self, page: Page) -> None:
        """Note uncaught errors, errors in the console and requests that leave this machine."""
        page.on("pageerror", lambda error: self.append(f"an uncaught error: {error}"))
        page.on("console", self._said)
        page.on("request", self._asked)

    def close(self, page: Page) -> None:
        """Close a page; a connection that is cut by that is no fault."""
        page.remove_listener("console", self._said)
        page.close()

    def _asked(self, what: Request) -> None:
        address = urlsplit(what.url)
        if address.scheme not in WITHOUT_A_HOST and address.hostname not in LOCAL:
            self.append(f"a request to {what.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.append(f"in the console: {message.text} ({message.location.get('url')})")


@pytest.fixture(scope="session")
def faults() -> Faults:
    return Faults()


@pytest.fixture
def open_page(
    browser: Browser, context: BrowserContext, request: pytest.FixtureRequest, faults: Faults, kept: list[Page],
    app: App,
) -> Iterator[Callable[..., Page]]:  # fmt: skip
    """Opens the page of a program; ``elsewhere`` in another browser, as another person does.

    The test fails on an uncaught error in the page or the program, on an error in the console and on a request that
    leaves this machine.
    """
    opened: list[Page] = [*kept]
    others: list[BrowserContext] = []
    written: dict[App, int] = {app: len(app.log())}

    def open_one(app: App, *, elsewhere: bool = False) -> Page:
        if elsewhere:
            others.append(browser.new_context(viewport=SIZE))
        page = (others[-1] if elsewhere else context).new_page()
        page.set_default_timeout(1000 * PATIENCE)
        faults.watch(page)
        page.add_init_script(path=steps.UNANSWERED)
        opened.append(page)
        written.setdefault(app, len(app.log()))
        page.goto(app.url)
        steps.wait_until_ready(page)
        return page

    yield open_one
    failed = request.node.stash.get(FAILED, False)
    for number, page in enumerate(page for page in opened if not page.is_closed()):
        if failed:
            SCREENSHOTS.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"{request.node.name}-{number}.png")
            page.context.clear_cookies()  # the name of an annotator, which hides labels from the tests after it
        if page in kept and not failed:
            continue
        page.evaluate("localStorage.clear()")  # the browser keeps what the next window begins with
        faults.close(page)
    kept[:] = [page for page in kept if not page.is_closed()]
    for other in others:
        other.close()
    logs = [LEFT.sub("", app.log()[start:]) for app, start in written.items()]
    found = [*faults, *(log for log in logs if "Traceback" in log)]
    faults.clear()
    assert not found, "\n".join(found)


@pytest.fixture(scope="session")
def kept() -> list[Page]:
    """The page that the tests have in common: loading one costs more than what most of them do with it."""
    return []


@pytest.fixture
def page(open_page: Callable[..., Page], app: App, kept: list[Page]) -> Page:
    """The shared program's page, with the sample bank chosen and short texts, whatever was done before."""
    if not kept:
        kept.append(open_page(app))
    page = kept[0]
    page.set_viewport_size(SIZE)
    steps.start_over(page)
    return page

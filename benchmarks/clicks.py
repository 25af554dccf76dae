"""What a person waits for in the browser: ``python -m benchmarks.page`` prints it, on made-up texts.

To add a figure, write a function of a page that is open, and put it into ``FIGURES`` with its goal.
"""

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page

from benchmarks.labelling import in_the_grid
from benchmarks.made_up_texts import fill
from benchmarks.page import PATIENCE, browsing, serving, when_reachable
from melbo_app.settings import Settings

ROUNDS = 7
SIZE = {"width": 1440, "height": 900}
SMALL, LARGE = "32 by 8", "64 by 16"
GRADIO = ("/assets/", "/static/", "/svelte/", "/theme.css", "/explorer/plotly")
"""What does not count as ours: Gradio's own files, and plotly."""
SHIFTS = """window.shifted = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifted += one.value;
}).observe({ type: 'layout-shift', buffered: true });"""
UNTIL_PAINTED = """async (work) => {
  const start = performance.now();
  eval(work);
  await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
  return performance.now() - start;
}"""
SCROLLED = """async () => {
  const sheet = document.querySelector('#completions .mx-sheet');
  const times = [];
  sheet.scrollTo(0, 0);
  let last = await new Promise(requestAnimationFrame);
  for (let step = 0; step < 90; step += 1) {
    sheet.scrollBy(step < 60 ? 0 : 60, step < 60 ? 120 : 0);
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times.sort((one, other) => one - other);
}"""
CELLS = "document.querySelectorAll('#completions .mx-sheet-row[data-vector] .mx-completion')"


def waited(page: Page, *works: str) -> str:
    """Milliseconds until the browser has painted what these scripts change: the median, and the longest."""
    times = [page.evaluate(UNTIL_PAINTED, works[round % len(works)]) for round in range(ROUNDS)]
    return f"{statistics.median(times):.0f} ms (at most {max(times):.0f})"


def switching(name: str) -> Callable[[Page], str]:
    """Pressing a switch above the grid."""
    return lambda page: waited(page, f"document.querySelector('#completions [data-view={name}]').click()")


def opening(page: Page) -> str:
    """Opening one cell after the other."""
    return waited(page, *(f"{CELLS}[{9 * place}].click()" for place in range(ROUNDS)))


def moving(page: Page) -> str:
    """Moving R to columns that are there."""
    return waited(page, *(f"melbo.select({{ radius: {radius} }})" for radius in (4, 22, 8, 15)))


def scrolling(page: Page) -> str:
    """Milliseconds between frames while the grid scrolls down and to the side."""
    times = page.evaluate(SCROLLED)
    return f"{statistics.median(times):.0f} ms a frame, 95 % below {times[int(0.95 * len(times))]:.0f}"


FIGURES: list[tuple[str, str, Callable[[Page], str], str]] = [
    ("opening a cell", SMALL, opening, "≤ 100 ms"),
    ("“only what differs”", SMALL, switching("differing"), "≤ 100 ms"),
    ("differences on or off", SMALL, switching("marks"), "≤ 100 ms"),
    ("R to a column that is there", SMALL, moving, "≤ 150 ms"),
    ("scrolling the grid", SMALL, scrolling, "smooth"),
    ("opening a cell", LARGE, opening, "≤ 100 ms"),
    ("scrolling the grid", LARGE, scrolling, "works"),
    ("labelling: Enter until the next vector’s texts are painted", LARGE, in_the_grid, "≤ 500 ms"),
]
"""What is measured: name, which grid, how, and the goal."""


def main() -> None:
    """Print a row for each figure."""
    print("| what | figure | goal |\n|---|---|---|", flush=True)
    for row in measure():
        print(f"| {' | '.join(row)} |", flush=True)


def measure() -> Iterator[tuple[str, str, str]]:
    """Fill a cache, open the page, and measure: name, figure and goal."""
    with tempfile.TemporaryDirectory() as cache:
        (Path(cache) / "models").symlink_to(Settings().cache_dir.resolve() / "models")
        fill(Path(cache), 64, [round(2 * 1.2**step, 1) for step in range(16)], LARGE)
        fill(Path(cache), 32, [4, 6, 8, 10, 12, 15, 18, 22], SMALL, longest=2000)
        with serving(cache, MELBO_DTYPE="float32") as (address, _), browsing() as browser:
            when_reachable(address, time.perf_counter())
            page = browser.new_page(viewport=SIZE)
            page.add_init_script(SHIFTS)
            loaded = weigh(page)
            page.goto(f"{address}/?room=read")
            page.wait_for_selector("#completions .mx-sheet", timeout=PATIENCE * 1000)
            page.wait_for_selector("#model-chip[data-state=ready]", timeout=PATIENCE * 1000)
            page.wait_for_timeout(2000)
            ours = sum(size for path, size in loaded.items() if not path.startswith(GRADIO))
            yield "first load besides Gradio and plotly", f"{ours / 1e6:.2f} MB", "< 3 MB"
            yield "layout shift while the page opens", f"{page.evaluate('shifted'):.3f}", "< 0.05"
            shown = SMALL
            for name, grid, figure, goal in FIGURES:
                if grid != shown:
                    show(page, shown := grid)
                yield f"{name}, {grid}", figure(page), goal


def weigh(page: Page) -> Counter[str]:
    """The bytes that arrive from now on, by path."""
    watched, paths, sizes = page.context.new_cdp_session(page), dict[str, str](), Counter[str]()
    watched.send("Network.enable")
    watched.on("Network.requestWillBeSent", lambda sent: paths.update({sent["requestId"]: sent["request"]["url"]}))

    def arrived(ended: dict[str, str]) -> None:
        sizes[urlsplit(paths.get(ended["requestId"], "")).path] += int(ended["encodedDataLength"])

    watched.on("Network.loadingFinished", arrived)
    return sizes


def show(page: Page, grid: str) -> None:
    """Open the newest comparison of a bank from the list."""
    page.locator("#history input").click()
    page.locator("[role=option]", has_text=f" {grid} ").first.click()
    count = 1 + 65 * 16 if grid == LARGE else 1 + 33 * 8
    page.wait_for_function(f"document.querySelectorAll('#completions .mx-completion').length === {count}")
    page.wait_for_timeout(2000)

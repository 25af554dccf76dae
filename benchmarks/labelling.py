"""``python -m benchmarks.labelling``: how many vectors a person can label in ten minutes.

The machine's time is measured on a bank of 64 made-up vectors that are labelled by keys alone. Reading and typing are
estimated, from published rates and from the words that the samples' evidence shows.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.made_up_texts import fill
from benchmarks.page import PATIENCE, browsing, serving, when_reachable
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

BANK, VECTORS, LABELS = "64 by 4", 64, 60
RADII = [8, 10, 12, 15]
NAME = "talks about rain"
READ, TYPED = 238, 40
"""Words a minute: silent reading of English (Brysbaert 2019), and typing."""
PRESS = 0.28
"""Seconds for a key that is not text (Card, Moran & Newell 1980); there are two: the rating and Enter."""
MINUTES = 10
WATCH = """() => {
  const shown = () => document.querySelector('#label-progress .mx-labelling').dataset.of;
  const before = shown();
  let start = 0, drawn = false;
  addEventListener('keydown', function press(event) {
    if (event.key !== 'Enter') return;
    removeEventListener('keydown', press, true);
    start = performance.now();
  }, true);
  new MutationObserver(() => { drawn = true; }).observe(
    document.querySelector('#label-completion .mx-evidence'), { childList: true });
  window.waited = new Promise((done) => {
    const look = setInterval(() => {
      if (!start || !drawn || shown() === before) return;
      clearInterval(look);
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
    }, 4);
  });
}"""


@dataclass(frozen=True)
class Reading:
    """What somebody reads of a vector before naming it, and how many words that are."""

    what: str
    words: float
    takes_over: bool = False
    """Whether a name that is offered is taken instead of typing one as long as ``NAME``."""

    def seconds(self, machine: float) -> float:
        """Of one label, with ``machine`` seconds until the next vector is there."""
        typing = 2 * PRESS if self.takes_over else len(NAME.split()) * 60 / TYPED  # Tab and Enter
        return self.words * 60 / READ + typing + 2 * PRESS + machine


def main() -> None:
    """Measure, estimate and print."""
    waits = measured()
    machine = statistics.median(waits)
    print(f"load {os.getloadavg()[0]:.1f}; {len(waits)} labels by keys alone: {said(waits)}\n")
    print("| somebody reads | words | seconds a label | labels in ten minutes |\n|---|---|---|---|")
    for one in readings():
        seconds = one.seconds(machine)
        print(f"| {one.what} | {one.words:.0f} | {seconds:.1f} | {60 * MINUTES / seconds:.0f} |", flush=True)


def said(waits: list[float]) -> str:
    """The seconds from Enter until the next vector's texts are painted."""
    ordered = sorted(waits)
    high = ordered[int(0.95 * len(ordered))]
    return f"{1000 * statistics.median(waits):.0f} ms (95 % below {1000 * high:.0f}, {sum(waits):.1f} s for all)"


def measured() -> list[float]:
    """Label vectors of a bank that is made for it; see ``label``."""
    with tempfile.TemporaryDirectory() as cache:
        (Path(cache) / "models").symlink_to(Settings().cache_dir.resolve() / "models")
        fill(Path(cache), VECTORS, RADII, BANK)
        with serving(cache, MELBO_DTYPE="float32") as (address, _), browsing() as browser:
            when_reachable(address, time.perf_counter())
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{address}/?room=label&bank={BANK.replace(' ', '%20')}")
            page.wait_for_selector("#model-chip[data-state=ready]", timeout=PATIENCE * 1000)
            page.wait_for_selector("#label-completion .mx-kind-vector", timeout=PATIENCE * 1000)
            page.wait_for_timeout(2000)
            return [*label(page)]


def label(page: Page, count: int = LABELS) -> Iterator[float]:
    """Label the open bank's vectors by keys alone, a name and a rating each; the seconds from each Enter until the next
    vector's texts are painted."""
    page.locator("#label-name").locator("input, textarea").focus()
    for number in range(count):
        page.evaluate(WATCH)
        page.keyboard.type(f"{NAME} {number}")
        page.keyboard.press("Alt+4")
        page.keyboard.press("Enter")
        yield page.evaluate("window.waited") / 1000
        page.wait_for_timeout(100)
    done = page.locator("#label-progress").inner_text()
    assert done.startswith(f"{count} of "), f"{count} were labelled, and it says {done}"


def in_the_grid(page: Page) -> str:
    """The same in the bank whose grid is open (benchmarks/clicks.py)."""
    page.click(".mx-room[data-room=label]")
    page.wait_for_selector("#label-completion .mx-kind-vector", timeout=PATIENCE * 1000)
    page.wait_for_timeout(2000)
    return said([*label(page)])


def readings() -> list[Reading]:
    """The words of the samples' evidence. The prompt and the unsteered text are the same for all vectors of a bank, so
    they are read once and do not count."""
    own, control = list[int](), list[int]()
    with tempfile.TemporaryDirectory() as cache:
        bench = Workbench(Settings(cache_dir=Path(cache), database_url=None))
        for bank in bench.put_in_samples():
            for vector in range(len(bench.bank(bank).vectors)):
                found = bench.evidence(bank, vector)
                if found is None:
                    continue
                own += [len(one.text.split()) for one in found.texts if found.is_at_own_radius(one)]
                control += [len(found.control.text.split())] if found.control else []
    text, random = statistics.mean(own), statistics.mean(control)
    return [
        Reading("the vector’s text at its own R, and takes over a name", text, takes_over=True),
        Reading("the first half of that text, and types a name", text / 2),
        Reading("that text, and types a name", text),
        Reading("that and the random control, and types a name", text + random),
        Reading("three R, the other sign and the control, and types a name", 4 * text + random),
    ]


if __name__ == "__main__":
    main()

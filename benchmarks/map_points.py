"""The map with 5,000 points in a browser: milliseconds until it is painted after a call, a click, a lasso or a drag."""

import json
import os
from collections.abc import Callable
from functools import partial

import numpy as np
from playwright.sync_api import Page, sync_playwright

from melbo_app.analysis.map_groups import COLOURINGS
from melbo_app.analysis.projection import MapPoint
from melbo_app.analysis.text_clusters import TextCluster
from melbo_app.studies.map import Map
from melbo_app.ui.components.map_view import map_value
from melbo_app.ui.components.plotly_view import plotly_script
from melbo_app.ui.scripts import IN_HEAD, component_script, read

POINTS, VECTORS = 5_000, 32
PAGE = '<div style="width: 900px"><div id="map" class="mx-outer"><div class="mx"></div></div></div>'
STYLE = ".mx-plot { height: 560px }"
TIMED = """async (work) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const root = document.querySelector('.mx'), plot = document.querySelector('.js-plotly-plot');
  await frame();
  const start = performance.now();
  await eval(work);
  const done = performance.now() - start;
  await frame();
  return [done, performance.now() - start];
}"""

GESTURE = """([event, changes]) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const plot = document.querySelector('.js-plotly-plot'), before = plot.dataset.selected;
  window.painted = new Promise((done) => addEventListener(event, async () => {
    const start = performance.now();
    const passed = () => performance.now() - start;
    do await frame(); while (changes && plot.dataset.selected === before && passed() < 5000);
    done(passed());
  }, { capture: true, once: true }));
}"""
PLACE = """(at) => {
  const plot = document.querySelector('.js-plotly-plot'), box = plot.getBoundingClientRect();
  const { xaxis, yaxis } = plot._fullLayout;
  const [{ x, y }] = plot.data;
  return [box.left + xaxis._offset + xaxis.d2p(x[at]), box.top + yaxis._offset + yaxis.d2p(y[at])];
}"""


def planted(count: int = POINTS) -> Map:
    """A map of as many points, in twenty clusters."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(20, 2)) * 8
    of = generator.integers(0, 20, count)
    places = centres[of] + generator.normal(size=(count, 2))
    text = "I am a text that says something about rivers and the sea. " * 4
    verdicts = ("readable", "strange", "broken")
    points = [
        MapPoint(
            id=at, x=float(x), y=float(y), vector=at % VECTORS, radius=float(4 + at // VECTORS % 8), label="",
            text=f"{at} {text}", prompt_index=0, verdict=verdicts[at % 3], cluster=int(of[at]),
        )
        for at, (x, y) in enumerate(places)
    ]  # fmt: skip
    clusters = [TextCluster(f"cluster {at}", int((of == at).sum())) for at in range(20)]
    return Map(1, points, "UMAP", "", "new", clusters, "bank", None, ["prompt"])


def measure() -> dict[str, float]:
    """Milliseconds to draw, recolour, select three vectors' texts, pick 1,000 and move, by calls and by mouse; medians.

    ``…_painted`` is until the next frame is done; without a graphics card, the processor draws it.
    """
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("MELBO_BROWSER", "/usr/bin/chromium"),
            args=["--no-sandbox"],
        )
        page = browser.new_page(viewport={"width": 1000, "height": 800})
        found = measure_on(page)
        browser.close()
    return found


def measure_on(page: Page) -> dict[str, float]:
    """As ``measure``, on an empty page of a browser that is open."""
    value = json.dumps(map_value(planted(), "vector"))
    _, components = component_script()
    page.set_content(PAGE)
    page.add_style_tag(content=STYLE)
    page.add_script_tag(content=plotly_script().decode())
    page.add_script_tag(content=read(*IN_HEAD))
    page.add_script_tag(content=components)
    page.evaluate("(text) => { window.value = JSON.parse(text); }", value)
    draw = """async () => {
      const element = document.getElementById('map');
      const start = performance.now();
      const given = { element, props: { value: window.value }, trigger() {}, watch() {} };
      melbo.mount((all) => all.map_view(given));
      while (!document.querySelector('.mx-plot').dataset.drawn) await new Promise(requestAnimationFrame);
      return performance.now() - start;
    }"""
    found = {"draw": page.evaluate(draw), "megabytes": len(value) / 1e6}
    page.wait_for_timeout(500)
    recolour = [f"root.recolour('{colour}')" for colour in COLOURINGS]
    works = {
        "recolour": recolour * 2,
        "select": [f"melbo.select({{ vectors: [{at}, {at + 1}, {at + 2}] }})" for at in range(5)],
        "pick": [f"root.pick([...Array(1000).keys()].map((at) => at + {at}))" for at in range(5)],
        "pan": [f"Plotly.relayout(plot, {{'xaxis.range': [{-at}, 20]}})" for at in range(5)],
    }
    for name, work in works.items():
        times = [page.evaluate(TIMED, one) for one in work][1:]
        found[name], found[f"{name}_painted"] = (sorted(part)[len(part) // 2] for part in zip(*times, strict=True))
    found |= {f"{name}_painted": sorted(times)[len(times) // 2] for name, times in by_mouse(page).items()}
    found["webgl"] = float(page.evaluate("document.querySelectorAll('.gl-canvas').length > 0"))
    return found


def by_mouse(page: Page) -> dict[str, list[float]]:
    """Milliseconds until painted of each move while the map is dragged, of clicks on points and of lassos."""
    found: dict[str, list[float]] = {"drag": [], "click": [], "lasso": []}

    def timed(name: str, event: str, act: Callable[[], None], *, changes: bool) -> None:
        page.evaluate(GESTURE, [event, changes])
        act()
        found[name].append(page.evaluate("painted"))

    page.evaluate("Plotly.relayout(document.querySelector('.js-plotly-plot'), { 'xaxis.autorange': true })")
    middle = page.locator(".nsewdrag").bounding_box()
    assert middle, "no map"
    x, y = middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y)
    for at in range(9):
        timed("drag", "mousemove", partial(page.mouse.move, x + 12 + 3 * at, y + 2 * at), changes=False)
    page.mouse.up()
    for at in range(5):
        page.evaluate("document.querySelector('.mx').pick([])")
        page.mouse.move(*page.evaluate(PLACE, 17 * at))
        page.wait_for_timeout(200)
        timed("click", "mouseup", partial(page.mouse.click, *page.evaluate(PLACE, 17 * at)), changes=True)
    page.get_by_text("lasso", exact=True).click()
    for at in range(5):
        page.mouse.move(x - 100 + 20 * at, y - 100)
        page.mouse.down()
        for across, down in ((100, -100), (100, 100), (-100, 100)):
            page.mouse.move(x + across + 20 * at, y + down, steps=3)
        timed("lasso", "mouseup", page.mouse.up, changes=True)
        page.wait_for_timeout(500)  # a second press at once would be a double click
    return found


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name}: {figure:.1f}")

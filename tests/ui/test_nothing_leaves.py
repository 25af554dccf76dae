"""Whatever is pressed on the page, plots and all: nothing goes to another host, and nothing leads there."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import steps
from playwright.sync_api import Browser, Page, expect

from melbo_app.analysis.map_figure import map_figure
from melbo_app.analysis.plot_config import html_page

pytestmark = pytest.mark.browser
LONG = re.compile(
    r"^(Explore this prompt|Measure|Train|Look|Suggest labels|Go through all R|Find R and budget|Calibrate R|Score it"
    r"|Harden)$"
)
"""What computes for minutes. Everything else is pressed, whatever it is called, but for downloads of models: those go
from the program and not from the page, and into the folder of models that all tests share."""
ROUNDS = 3  # what is pressed may open what can be pressed
INSIDE = ("", "data", "blob", "about", "javascript")

RECORD = """() => {
  window.ways = [];
  window.open = (url) => { window.ways.push(String(url)); return null; };
  navigator.sendBeacon = (url) => { window.ways.push(String(url)); return true; };
  const send = (form) => window.ways.push(form.action);
  HTMLFormElement.prototype.submit = function () { send(this); };
  document.addEventListener('submit', (event) => { send(event.target); event.preventDefault(); }, true);
}"""
"""Ways out that are no request of this page."""
PRESS = """async (long) => {
  const PLACES = '.mx-rooms, .mx-view-switch, #jobs-toggle, #vectors-toggle, #side-by-side';
  window.known ??= new Set();
  const seen = (node) => node.getClientRects().length && getComputedStyle(node).visibility !== 'hidden';
  const name = (node) => (node.textContent.trim() || node.dataset.title || node.title || node.ariaLabel || '').trim();
  const key = (node) => `${node.closest('[id]')?.id} ${node.classList[0]} ${name(node)}`;
  const next = () => [...document.querySelectorAll('button, [role=button], a, .modebar-btn')].find((node) =>
    node.role !== 'tab' && !node.closest(PLACES) && !node.disabled && seen(node) && !window.known.has(key(node)));
  const pressed = [];
  for (let node = next(); node && pressed.length < 200; node = next()) {  // a view that is drawn anew has new nodes
    window.known.add(key(node));
    if (new RegExp(long).test(name(node)) || node.closest('#model-cards, .mx-model')) continue;
    node.click();
    pressed.push(key(node));
    await new Promise((done) => setTimeout(done, 20));
  }
  return pressed;
}"""
LINKS = """() => [...document.querySelectorAll('[href], [action], [formaction], iframe[src], img[src]')]
  .map((node) => node.getAttribute('href') ?? node.getAttribute('action') ?? node.getAttribute('formaction')
    ?? node.getAttribute('src'))"""


def press_all(page: Page) -> list[str]:
    """Press everything that can be seen, and what that opens; what was pressed."""
    pressed: list[str] = []
    for _ in range(ROUNDS):
        more = page.evaluate(PRESS, LONG.pattern)
        try:
            steps.settle(page, 60)
        except AssertionError as late:  # what was pressed at random may compute for long; where it leads is tested
            warnings.warn(str(late), stacklevel=1)
        pressed += more
        if not more:
            break
    return pressed


def leaving(page: Page, addresses: list[str]) -> list[str]:
    """Those that lead to another host than the page's own."""
    own = urlsplit(page.url).netloc
    parts = [(one, urlsplit(one)) for one in addresses]
    return [one for one, to in parts if (to.scheme not in INSIDE and to.netloc != own) or one.startswith("//")]


def test_nothing_leaves_from_any_button(own_app: Any, open_page: Callable[..., Page]) -> None:
    page = open_page(own_app, elsewhere=True)
    asked: list[str] = []
    page.context.route(lambda url: urlsplit(url).netloc != urlsplit(page.url).netloc, lambda route: route.abort())
    page.context.on("request", lambda request: asked.append(request.url))
    page.context.on("page", lambda other: asked.append(other.url))
    page.on("filechooser", lambda _: None)
    page.evaluate(RECORD)
    steps.tab(page, "Completions")
    steps.choose_only(page, 0, 1)
    steps.fill(page, "max-new-tokens", 2)
    steps.train(page, "short", vectors=1, steps=1)
    steps.wait_for_training(page, "short")
    steps.draw_map(page, "6")
    pressed, toolbars = [], 0
    for name in [*steps.VIEWS, "Jobs"]:
        steps.tab(page, name)
        toolbars += page.locator(".modebar:visible").count()
        pressed += press_all(page)
        assert not leaving(page, page.evaluate(LINKS)), name
    assert toolbars >= 4, "no plots were drawn in Map, Similarity and Train"
    assert len(pressed) > 80 and sum("modebar-btn" in one for one in pressed) > 20
    assert not leaving(page, [*asked, *page.evaluate("window.ways")])


def test_an_exported_page_asks_nobody_and_offers_no_way_out(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "map.html"
    path.write_text(html_page(map_figure([], "vector", "Map")), "utf-8")
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    expect(page.locator(".modebar-btn").first).to_be_attached()
    tools = page.locator(".modebar-btn").evaluate_all("nodes => nodes.map((node) => node.dataset.title)")
    assert len(tools) > 3 and not [one for one in tools if re.search("share|cloud|plotly", one, re.IGNORECASE)]
    assert not [one for one in page.evaluate(LINKS) if one.startswith(("http", "//"))]
    assert {urlsplit(one).scheme for one in asked} <= {"file", "data", "blob"}
    page.context.close()

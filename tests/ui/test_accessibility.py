"""For everybody: names for every control, the keyboard, small windows, the dark."""

import io
import re

import pytest
import steps
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

TABS = [*steps.VIEWS, "Jobs"]
ROLES = ["button", "textbox", "combobox", "slider", "checkbox", "radio", "spinbutton", "tab"]
NAMELESS = re.compile(rf'^ *- (?:{"|".join(ROLES)})\b(?! "| /).*', re.MULTILINE)
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
SIDEWAYS = """() => [...document.querySelectorAll('*')].filter((node) => node.checkVisibility()
  && ['auto', 'scroll'].includes(getComputedStyle(node).overflowX) && node.scrollWidth > node.clientWidth)
  .map((node) => node.outerHTML.slice(0, 200))"""
BRIGHTNESS = """node => {
  const bright = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number);
    return 0.3 * r + 0.6 * g + 0.1 * b;
  };
  const style = getComputedStyle(node);
  let back = node;
  while (getComputedStyle(back).backgroundColor.endsWith(', 0)')) back = back.parentElement;
  return [bright(style.color), bright(getComputedStyle(back).backgroundColor)];
}"""

CONTRAST = """node => {
  const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number)
    .map((part) => (part / 255 <= 0.04 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  let back = node;
  while (/, 0\\)$/.test(getComputedStyle(back).backgroundColor)) back = back.parentElement;
  const both = [getComputedStyle(node).color, getComputedStyle(back).backgroundColor].map(light);
  return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}"""


def test_every_control_has_a_name(page: Page) -> None:
    for name in TABS:
        steps.tab(page, name)
        assert not NAMELESS.findall(page.locator("body").aria_snapshot()), name


def test_axe_finds_nothing_serious_in_any_view_light_or_dark(page: Page) -> None:
    steps.steer(page)
    found = []
    for dark in (False, True):
        if dark:
            page.locator("#theme-toggle").click()
        for name in TABS:
            steps.tab(page, name)
            for one in Axe().run(page, options=RULES).response["violations"]:
                if one["impact"] in ("serious", "critical"):
                    found += [f"{name}, dark {dark}: {one['id']}, {node['html'][:160]}" for node in one["nodes"]]
    page.locator("#theme-toggle").click()
    assert not found, "\n".join(found)


def test_stars_stand_out_light_and_dark(page: Page) -> None:
    """They were too pale, which axe does not see: it takes them for pictures."""
    steps.tab(page, "Start")
    stars = page.locator("#start-view .mx-stars")
    for dark in (False, True):
        if dark:
            page.locator("#theme-toggle").click()
        assert stars.count() > 3
        assert min(one.evaluate(CONTRAST) for one in stars.all()) >= 4.5, f"dark {dark}"
    page.locator("#theme-toggle").click()


def test_window_of_1100_by_800_is_wide_enough(page: Page) -> None:
    page.set_viewport_size({"width": 1100, "height": 800})
    steps.steer(page)
    for name in TABS:
        steps.tab(page, name)
        steps.settle(page)
        wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= window, name
        assert page.evaluate(SIDEWAYS) == [], name
    assert page.locator(".mx-radius-top").bounding_box()["height"] < 32  # one line


def test_vectors_and_tables_work_by_keyboard(page: Page) -> None:
    card = page.locator('#vector-cards .mx-card[data-vector="3"]')
    card.focus()
    page.keyboard.press("Space")
    expect(card).to_have_attribute("aria-pressed", "false")
    expect(card).to_be_focused()
    steps.field(page, "prompt").focus()
    steps.forget(page, "steer")
    page.keyboard.press("Control+Enter")
    expect(steps.progress(page, "steer")).to_have_text("Done")
    assert len(steps.texts(page)) == 8
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="0"]').focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(steps.field(page, "label-vector")).to_have_value("1")


def test_dark_colours_are_readable_and_remembered(page: Page) -> None:
    page.locator("#theme-toggle").click()
    for again in (False, True):
        if again:
            steps.reload(page)
        expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
        steps.steer(page)
        for place in ("#completions .mx-completion-text", "#prompt textarea", "#model-chip"):
            text, ground = page.locator(place).first.evaluate(BRIGHTNESS)
            assert text - ground > 90, place
        slider = Image.open(io.BytesIO(page.locator("#radius-range").screenshot())).convert("L")
        assert slider.crop((slider.width - 60, 0, slider.width, slider.height)).getextrema()[1] < 150
    page.locator("#theme-toggle").click()
    expect(page.locator("body")).not_to_have_class(re.compile(r"\bdark\b"))

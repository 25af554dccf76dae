"""The rooms: reached by keys and links, each window with its own state, and nothing said that is not so."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser
ROOMS = ["Start", "Find", "Read", "Label", "Library", "Audit"]
LEFT_TO_RIGHT = r"""() => {
  const reads = (text) => /^[^\p{L}]*[\u0590-\u08ff]/u.test(text);
  const found = [];
  for (const node of document.querySelectorAll('main *')) {
    const own = [...node.childNodes].some((one) => one.nodeType === 3 && reads(one.textContent));
    if (!own || !node.checkVisibility() || node.closest('#tokens, textarea')) continue;
    let block = node;
    while (getComputedStyle(block).display === 'inline') block = block.parentElement;
    const { direction, unicodeBidi } = getComputedStyle(block);
    const fits = direction === 'rtl' || unicodeBidi === 'plaintext' || !reads(block.textContent);
    if (!fits) found.push(node.outerHTML.slice(0, 200));
  }
  return found;
}"""
"""What reads from the right and is laid out from the left: a paragraph's direction is that of its first letter."""


def room(page: Page, name: str) -> None:
    """Expect that this room is open."""
    expect(page.locator(".mx-room[aria-current]")).to_have_text(name)


def test_every_room_is_a_few_presses_away_and_has_a_key(page: Page) -> None:
    steps.reload(page)
    for name in ROOMS:
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text(name)
    for key, name in zip("sfrlba", ROOMS, strict=True):
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("g")
        page.keyboard.press(key)
        room(page, name)
        assert page.locator(f"[data-room={name.lower()}].mx-room").bounding_box()["y"] == 0
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("steer")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_window_keeps_its_own_state_and_a_link_shows_it_to_others(
    open_page: Callable[..., Page], app: Any, page: Page
) -> None:
    steps.choose_only(page, 1, 3)
    steps.set_radius(page, 7)
    texts = steps.steer(page)
    steps.fill(page, "prompt", "Only in the first window")
    other = open_page(app)
    steps.fill(other, "prompt", "Only in the second window")
    steps.tab(other, "Library")  # not the view that opens first
    steps.reload(page)
    expect(steps.field(page, "prompt")).to_have_value("Only in the first window")
    room(page, "Read")
    assert steps.texts(page) == texts
    steps.reload(other)
    expect(steps.field(other, "prompt")).to_have_value("Only in the second window")
    room(other, "Library")
    steps.expect_view(other, "Library")
    expect(other.locator("#library-table tr[data-key]").first).to_be_visible()
    expect(page).to_have_url(re.compile(r"[?&]run=\d+.*&v=1,3&R=7$"))

    context = other.context.browser.new_context()
    stranger = context.new_page()
    stranger.add_init_script(path=steps.UNANSWERED)
    stranger.goto(page.url)
    steps.wait_until_ready(stranger)
    room(stranger, "Read")
    if stranger.locator("#completions [data-view=all]").is_visible():
        stranger.locator("#completions [data-view=all]").uncheck()  # other tests have left texts at other R
    assert steps.texts(stranger) == texts
    expect(steps.field(stranger, "prompt")).to_have_value(steps.PROMPT)  # the run's, not the one in the first window
    assert steps.chosen_vectors(stranger) == ["1", "3"]
    gone = re.sub(r"run=\d+", "run=987654", page.url).replace(f"bank={steps.SAMPLE}", "bank=not-here")
    stranger.goto(gone)
    steps.refused(stranger, "run 987654", "no longer exists", "“not-here”")
    context.close()


def test_a_result_says_what_made_it_where_that_is_not_what_the_context_line_shows(page: Page) -> None:
    steps.choose_only(page, 2)
    texts = steps.steer(page)
    strip = page.locator("#completions .mx-stamp")
    expect(strip).to_be_hidden()
    steps.fill(page, "prompt", "What is this?")
    expect(strip).to_contain_text(f"Made with prompt “{steps.PROMPT}”.")
    steps.set_radius(page, 3)
    steps.fill(page, "max-new-tokens", 7)
    page.locator("#max-new-tokens input").blur()
    expect(strip).to_contain_text("R 9, prompt")
    expect(strip).to_contain_text("6 tokens, greedy")
    strip.get_by_role("button", name="Restore those").click()
    expect(steps.field(page, "prompt")).to_have_value(steps.PROMPT)
    expect(page.locator(".mx-radius-label")).to_contain_text("R = 9 ")
    expect(strip).to_be_hidden()
    assert steps.texts(page) == texts
    steps.choose_bank(page, "who-are-you")
    expect(strip).to_contain_text(f"Made with bank “{steps.SAMPLE}”")
    steps.reload(page)
    assert steps.texts(page) == texts and steps.field(page, "bank").input_value().startswith("who-are-you")
    expect(strip).to_contain_text(f"Made with bank “{steps.SAMPLE}”, R 9.")
    steps.choose_only(page, 2)
    steps.forget(page, "steer")
    strip.get_by_role("button", name="Run with the current ones").click()
    expect(steps.progress(page, "steer")).to_have_text("Done")
    expect(strip).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_a_result_is_seen_after_one_press_without_scrolling(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    if width < 860 and page.locator("#vector-panel").is_visible():
        page.locator("#vectors-toggle").click()
    page.evaluate("scrollTo(0, 0)")
    steps.steer(page)
    left, top, right, _ = steps.box(steps.completions(page, "vector").first)
    assert left >= 0 and right <= width and top < height - 52
    assert page.evaluate("[scrollY, document.documentElement.scrollWidth]") == [0, width]


def test_what_reads_from_the_right_is_laid_out_so_everywhere(page: Page) -> None:
    words = "كيف أصنع خبزًا؟"
    steps.choose_only(page, 1)
    steps.fill(page, "prompt", words)
    assert steps.field(page, "prompt").evaluate("node => getComputedStyle(node).unicodeBidi") == "plaintext"
    steps.steer(page)
    steps.fill(page, "prompt", "x")
    expect(page.locator("#completions .mx-stamp-words")).to_contain_text(words)
    expect(steps.completions(page).first).to_contain_text(words)
    assert steps.completions(page).locator(".mx-completion-text:not([dir=auto])").count() == 0
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="1"]').click()
    expect(page.locator("#label-of")).to_contain_text("Vector 1")
    steps.settle(page)
    for name in ("label-name", "label-note"):
        steps.fill(page, name, words)
    page.locator("#label-save").click()
    expect(page.locator('#label-table tr[data-key="1"]')).to_contain_text(words)
    shown = {
        "Completions": page.locator("#vector-cards .mx-card-name"),
        "Start": page.locator("#start-view .mx-start-prompt"),
        "Labels": page.locator("#label-table td"),
        "Library": page.locator("#library-table td"),
    }
    for name, place in shown.items():
        steps.tab(page, name)
        expect(place.filter(has_text=words).first).to_be_visible()
        assert page.evaluate(LEFT_TO_RIGHT) == [], name

"""What fits on a screen: a laptop's, a large one, and what stays in sight while the page scrolls."""

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

LAPTOP, LARGE = {"width": 1280, "height": 720}, {"width": 1920, "height": 1080}
SCROLLED = """() => {
  document.getElementById('work').style.minHeight = '3000px';  // whatever the room has in it
  scrollTo(0, 900);
  return scrollY;
}"""


def test_on_a_laptop_vectors_can_be_read_and_a_label_saved_without_scrolling(page: Page) -> None:
    """The list of vectors was a sliver of six pixels, Note and Save were below the fold."""
    steps.choose_only(page, 0, 1)
    page.set_viewport_size(LAPTOP)
    steps.steer(page)
    cards = page.locator("#vector-cards .mx-cards")
    assert sum(steps.whole(cards, ".mx-card")) >= 4
    assert steps.box(cards)[3] <= LAPTOP["height"]
    steps.tab(page, "Labels")
    page.locator('#label-table tr[data-key="1"]').click()
    expect(page.locator("#label-of")).to_contain_text("Vector 1")
    page.evaluate("scrollTo(0, 0)")
    for name in ("label-name", "label-note"):
        assert steps.box(steps.field(page, name))[3] <= LAPTOP["height"], name
    assert steps.box(page.locator("#label-save-next"))[3] <= LAPTOP["height"]
    first = page.locator("#label-completion .mx-completion").first
    assert steps.box(first)[3] <= LAPTOP["height"], "and a text beside it"


def test_on_a_large_screen_every_room_uses_its_width(page: Page) -> None:
    """Two fifths of it were blank."""
    page.set_viewport_size(LARGE)
    steps.steer(page)
    for name in steps.VIEWS:
        steps.tab(page, name)
        shown = "#views" if name in ("Completions", "Map", "Similarity", "Chat") else "#rooms"
        left, _, right, _ = steps.box(page.locator(shown))
        if page.locator("#vector-panel").is_visible():
            left = steps.box(page.locator("#vector-panel"))[0]
        assert left <= 40 and right >= LARGE["width"] - 40, name
    steps.tab(page, "Completions")
    cards = [steps.box(card) for card in steps.completions(page).all()]
    assert max(card[2] for card in cards) >= 0.9 * LARGE["width"]


@pytest.mark.parametrize("size", [LAPTOP, {"width": 390, "height": 844}], ids=["laptop", "phone"])
def test_rooms_and_context_stay_in_sight_when_the_page_scrolls(page: Page, size: dict[str, int]) -> None:
    page.set_viewport_size(size)
    wide = size["width"] > 860
    assert page.evaluate(SCROLLED) == 900
    _, top, _, bottom = steps.box(page.locator(".mx-rooms"))
    assert top == 0 and bottom <= 48 if wide else (top, bottom) == (size["height"] - 52, size["height"])
    assert steps.box(page.locator(".mx-header"))[1] == 0
    if wide:
        assert steps.box(page.locator("#context"))[1] == 48
        assert steps.box(page.locator("#vector-panel"))[1] < 140
        assert page.locator("#prompt textarea").evaluate(
            "node => { const { x, y } = node.getBoundingClientRect();"
            " return node.contains(document.elementFromPoint(x + 9, y + 9)); }"
        ), "nothing covers it"
    room = page.locator("[data-room=label].mx-room")
    room.click()
    expect(room).to_have_attribute("aria-current", "page")
    page.evaluate("document.getElementById('work').style.minHeight = ''")

"""The map: completions as points that can be read."""

import html
import json
import math
import re
from typing import Any

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

PLACE = """(node, id) => {
  const box = node.getBoundingClientRect(), { xaxis, yaxis } = node._fullLayout;
  for (const trace of node._fullData) {
    const at = trace.customdata.findIndex((one) => one[0] === id);
    if (at >= 0) return [box.left + xaxis._offset + xaxis.d2p(trace.x[at]),
                         box.top + yaxis._offset + yaxis.d2p(trace.y[at])];
  }
}"""


def words(hover: str) -> str:
    """The text in a point's hover, without its headline, its markup and its line breaks."""
    lines = hover.split("<br>")[1:]
    return " ".join(html.unescape(" ".join(lines)).split())


def test_two_radii_of_eight_vectors_are_a_umap_whose_points_open(page: Page) -> None:
    steps.draw_map(page, "9, 14")
    found = steps.points(page)
    assert len(found) == 17
    expect(page.locator("#map-note")).to_contain_text("UMAP")
    places = {point["id"]: steps.plot(page).evaluate(PLACE, point["id"]) for point in found}

    def room(point: dict[str, Any]) -> float:
        return min(math.dist(places[point["id"]], place) for id, place in places.items() if id != point["id"])

    chosen = max((point for point in found if "vector" in point["hover"]), key=room)  # no other one is hit instead
    vector = re.search(r"vector (\d)", chosen["hover"])
    assert vector
    x, y = places[chosen["id"]]
    page.mouse.move(x, y)
    expect(steps.plot(page).locator(".hoverlayer .hovertext")).to_contain_text(f"{vector[0]} · R = ")
    page.mouse.click(x, y)
    opened = page.locator("#map-completion .mx-completion")
    expect(opened.locator(".mx-completion-title")).to_have_text(f"Vector {vector[1]}")
    text = " ".join(opened.locator(".mx-completion-text").inner_text().removesuffix(" …").split())
    assert text == words(chosen["hover"])


def test_colours_by_radius_and_by_label(page: Page) -> None:
    steps.draw_map(page, "9, 14")
    before = {point["id"] for point in steps.points(page)}
    page.locator("#map-colour").get_by_label("by R").check()
    expect(steps.plot(page).locator(".colorbar")).to_be_visible()
    page.locator("#map-colour").get_by_label("by label").check()
    expect(steps.plot(page).locator(".legend")).to_contain_text("no label")
    assert {point["id"] for point in steps.points(page)} == before


def test_few_points_are_a_pca_that_says_why(page: Page) -> None:
    steps.choose_only(page, 0, 1, 2)
    steps.draw_map(page, "9")
    assert len(steps.points(page)) == 4
    expect(page.locator("#map-note")).to_contain_text("PCA")
    expect(page.locator("#map-note")).to_contain_text(re.compile(r"15"))


def test_multiples_fill_in_the_radii_and_follow_the_bank(page: Page) -> None:
    steps.tab(page, "Map")
    steps.fill(page, "map-radii", "12.6")
    for multiple, shown in [("× ¾", "6.75, 12.6"), ("× 1", "6.75, 9, 12.6"), ("× 2", "6.75, 9, 12.6, 18")]:
        page.get_by_label(multiple, exact=True).check()
        expect(steps.field(page, "map-radii")).to_have_value(shown)
    steps.choose_bank(page, "who-are-you")
    expect(steps.field(page, "map-radii")).to_have_value("7.12, 9.5, 13.3, 19")


def test_multiples_and_the_field_never_contradict_each_other(page: Page) -> None:
    steps.tab(page, "Map")
    field = steps.field(page, "map-radii")

    checked = page.locator("#map-multiples label:has(input:checked)")
    field.fill("6.75, 9, 12.6")
    expect(checked).to_have_text(["× ¾", "× 1", "× 1.4"])
    field.fill("9, 20, 4.5")
    expect(checked).to_have_text(["× ½", "× 1"])
    page.get_by_label("× 2").check()
    expect(field).to_have_value("4.5, 9, 18, 20")  # 20 is no multiple, and stays
    page.get_by_label("× 1", exact=True).uncheck()
    expect(field).to_have_value("4.5, 18, 20")
    steps.choose_bank(page, "who-are-you")
    expect(field).to_have_value("4.5, 18, 20")
    expect(checked).to_have_count(0)


def test_stop_leaves_the_map_as_it_was(page: Page) -> None:
    steps.choose_only(page, 0)
    steps.draw_map(page, "9")
    before = json.dumps(steps.points(page))
    steps.fill(page, "prompt", "Tell me all there is to say about rivers.")
    steps.tab(page, "Completions")
    steps.fill(page, "max-new-tokens", 700)
    steps.tab(page, "Map")
    page.locator("#map-draw").click()
    expect(steps.progress(page, "map")).to_contain_text("completing")
    page.locator("#map-stop").click()
    expect(steps.progress(page, "map")).to_have_text("Stopped.", timeout=6000)
    assert json.dumps(steps.points(page)) == before

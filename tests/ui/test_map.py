"""The map: completions as points that can be read."""

import html
import io
import json
import math
import re
import time
from typing import Any

import pytest
import steps
from patience import PATIENCE
from PIL import Image, ImageColor
from playwright.sync_api import Page, ViewportSize, expect

from melbo_app.analysis.figures import style

pytestmark = pytest.mark.browser

TIMERS = """gradio_config.dependencies.filter((one) => one.targets.some(([, what]) => what === 'tick'))
  .map((one) => one.id)"""


def words(hover: str) -> str:
    """The text in a point's hover, without its headline, its markup and its line breaks."""
    lines = hover.split("<br>")[1:]
    return " ".join(html.unescape(" ".join(lines)).split())


@pytest.fixture(autouse=True)
def _everything_is_selected(page: Page) -> None:
    page.evaluate("bank => melbo.select({ bank, vectors: [0, 1, 2, 3, 4, 5, 6, 7], cell: null })", steps.SAMPLE)


def test_two_radii_of_eight_vectors_are_a_umap_whose_points_open(page: Page) -> None:
    steps.draw_map(page, "9, 14")
    found = steps.points(page)
    assert len(found) == 17
    expect(page.locator("#map-note")).to_contain_text("UMAP")
    places = {point["id"]: steps.place(page, point["id"]) for point in found}

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
    assert selected(page) == [int(vector[1])]
    cell = page.evaluate("melbo.state.cell")
    assert (cell["vector"], cell["prompt"]) == (int(vector[1]), steps.PROMPT) and cell["radius"] in (9, 14)
    text = " ".join(opened.locator(".mx-completion-text").inner_text().removesuffix(" …").split())
    assert text == words(chosen["hover"])


Colours = dict[int, tuple[int, ...]]
Places = dict[int, tuple[float, float]]
SIZE = ViewportSize(width=1360, height=850)  # as conftest.py has it


def by_vector(page: Page) -> Colours:
    """The colour of every steered text's point where vectors have colours."""
    found = {one["id"]: re.search(r"vector (\d+)", one["hover"]) for one in steps.points(page)}
    return {id: ImageColor.getrgb(style(int(vector[1]))["color"]) for id, vector in found.items() if vector}


def by_radius(page: Page) -> Colours:
    """The same where R has, by the legend."""
    signs = """nodes => nodes.map((node) => [node.querySelector('.mx-legend-name').textContent,
      node.querySelector('.mx-legend-sign').style.color])"""
    legend = dict(page.locator("#map-plot .mx-legend-entry").evaluate_all(signs))
    found = {one["id"]: re.search(r"R = [\d.]+", one["hover"]) for one in steps.points(page)}
    return {id: ImageColor.getrgb(legend[radius[0]]) for id, radius in found.items() if radius}


def middles(page: Page, places: Places) -> Colours:
    """What a person sees in the middle of each point in sight that no other one is near."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    near = {id: [math.dist(place, other) for other in places.values()] for id, place in places.items()}
    alone = {id: at for id, at in places.items() if sorted(near[id])[1] > 14 and at[1] < picture.height - 10}
    return {id: picture.getpixel((round(x), round(y))) for id, (x, y) in alone.items()}


def places(page: Page) -> Places:
    return {one["id"]: steps.place(page, one["id"]) for one in steps.points(page)}


def sees(page: Page, wanted: Colours, moved: Places | None = None, faded: frozenset[int] = frozenset()) -> None:
    """Wait until the points have these colours, at their places or where they were moved; the faded hardly have."""
    end = time.monotonic() + PATIENCE
    while True:
        found = middles(page, moved or places(page))
        off = {id: math.dist(colour, wanted[id]) for id, colour in found.items() if id in wanted}
        if len(off) >= 4 and all(far > 60 if id in faded else far == 0 for id, far in off.items()):
            return
        assert time.monotonic() < end, (off, found)


def test_the_points_follow_a_drag_another_width_and_the_selection_and_are_in_a_downloaded_picture(page: Page) -> None:
    steps.draw_map(page, "9, 14")
    wanted = by_vector(page)
    sees(page, wanted)
    left, top, right, bottom = steps.box(steps.plot(page).locator(".nsewdrag"))
    before = places(page)
    page.mouse.move((left + right) / 2, (top + bottom) / 2)
    page.mouse.down()
    page.mouse.move((left + right) / 2 - 60, (top + bottom) / 2 + 9, steps=4)
    inside = {id: (x - 60, y + 9) for id, (x, y) in before.items() if x - 70 > left and y + 20 < bottom}
    sees(page, wanted, inside)  # while the button is held
    page.mouse.up()
    sees(page, wanted, inside)
    page.mouse.move(left, 1)
    steps.plot(page).evaluate("node => Plotly.relayout(node, { 'xaxis.autorange': true, 'yaxis.autorange': true })")
    sees(page, wanted)

    page.evaluate("melbo.select({ vectors: [0, 2, 5, 7] })")
    strong = {ImageColor.getrgb(style(vector)["color"]) for vector in (0, 2, 5, 7)}
    sees(page, wanted, faded=frozenset(id for id, colour in wanted.items() if colour not in strong))
    with page.expect_download() as got:
        page.locator("#map-plot .modebar-btn[data-title^=Download]").click()
    picture = Image.open(got.value.path()).convert("RGBA")
    solid = {tuple(colour[:3]) for _, colour in picture.getcolors(1 << 24) if colour[3] == 255}
    assert strong <= solid and not ({*wanted.values()} - strong) & solid

    page.set_viewport_size({"width": 1120, "height": 850})
    page.evaluate("melbo.select({ vectors: [0, 1, 2, 3, 4, 5, 6, 7] })")
    sees(page, wanted)
    page.set_viewport_size(SIZE)
    sees(page, wanted)
    assert page.locator("#map-plot canvas").count() == 1  # none for WebGL


def selected(page: Page) -> list[int]:
    """The vectors that the window's selection holds."""
    return page.evaluate("melbo.state.vectors")


def drag_around(page: Page, tool: str) -> None:
    """Draw a box or a lasso around the right half of the map."""
    page.locator("#map-plot .mx-map-tools").get_by_text(tool, exact=True).click()
    left, top, right, bottom = steps.box(steps.plot(page).locator(".nsewdrag"))
    corners = [
        ((left + right) / 2, top + 3),
        (right - 3, top + 3),
        (right - 3, bottom - 3),
        ((left + right) / 2, bottom - 3),
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in [corners[2]] if tool == "box" else [*corners[1:], corners[0]]:
        page.mouse.move(*corner, steps=6)
    page.mouse.up()


def test_colours_come_with_shapes_and_change_in_the_browser(page: Page) -> None:
    steps.draw_map(page, "9, 14")
    before = {point["id"] for point in steps.points(page)}
    steps.settle(page)
    asked: list[str] = []
    timers = page.evaluate(TIMERS)
    page.on("request", lambda request: asked.append(request.url) if "/queue/join" in request.url
            and (request.post_data_json or {})["fn_index"] not in timers else None)  # fmt: skip
    legend = page.locator("#map-plot .mx-legend")
    sees(page, by_vector(page))
    for name, words in (
        ("by R", "R = 14"),
        ("by label", "no label"),
        ("by readability", "readable"),
        ("by cluster", ""),
    ):
        page.locator("#map-colour").get_by_label(name, exact=True).check()
        expect(legend).to_contain_text(words)
        expect(legend).to_contain_text("baseline")
        signs = legend.locator(".mx-legend-sign").all_inner_texts()
        assert len(set(signs)) == len(signs)  # each group has a shape of its own
        if name == "by R":
            sees(page, by_radius(page))
    assert {point["id"] for point in steps.points(page)} == before
    assert asked == []


def test_what_is_drawn_around_is_selected_everywhere_and_listed(page: Page) -> None:
    steps.draw_map(page, "9, 14")
    for tool in ("box", "lasso"):
        drag_around(page, tool)
        said = page.locator("#map-plot .mx-map-said")
        expect(said).to_have_text(re.compile(r"^\d+ texts? of \d+ vectors? selected$"))
        texts, vectors = (int(number) for number in re.findall(r"\d+", said.inner_text()))
        assert 0 < texts < 17
        expect(page.locator("#map-texts .mx-text-row")).to_have_count(texts)
        expect(page.locator("#map-texts")).to_contain_text(f"{texts} text")
        assert len(selected(page)) == vectors
        expect(steps.chosen_cards(page)).to_have_count(vectors)
        page.locator("#map-texts .mx-text-row").first.click()
        expect(page.locator("#map-completion .mx-completion")).to_have_count(1)
        page.locator("#map-plot").get_by_text("clear").click()
        expect(page.locator("#map-texts .mx-text-row")).to_have_count(0)
        expect(said).to_have_text("")


def test_what_others_select_stands_out_with_its_way_over_r(page: Page) -> None:
    steps.draw_map(page, "9, 14")
    paths = """node => (node.layout.shapes || []).filter((shape) => shape.name?.startsWith('path of'))
      .map((shape) => [shape.name, shape.path.split('L').length])"""
    assert steps.plot(page).evaluate(paths) == []
    page.evaluate("melbo.select({ vectors: [2, 5] })")
    expect(steps.plot(page)).to_have_attribute("data-selected", "5")  # two texts of each, and the baseline
    assert steps.plot(page).evaluate(paths) == [["path of vector 2", 2], ["path of vector 5", 2]]
    page.evaluate("melbo.select({ vectors: [0, 1, 2, 3, 4, 5, 6, 7] })")
    expect(steps.plot(page)).to_have_attribute("data-selected", "")
    page.evaluate("melbo.select({ bank: 'another', vectors: [2] })")  # whose vector 2 is not on this map
    expect(steps.plot(page)).to_have_attribute("data-selected", "")


def test_another_radius_leaves_the_points_where_they_are(page: Page) -> None:
    places = """({ data: [{ hovertext, x, y }] }) =>
      Object.fromEntries(hovertext.map((text, at) => [text, [x[at], y[at]]]))"""
    steps.draw_map(page, "9, 14, 16")  # six tokens each: enough different texts for UMAP
    before = steps.plot(page).evaluate(places)
    steps.draw_map(page, "9, 14, 16, 18")
    expect(page.locator("#map-note")).to_contain_text("Old layout")
    after = steps.plot(page).evaluate(places)
    assert len(after) > len(before) and {text: after[text] for text in before} == before
    steps.settle(page)
    steps.leave(page)
    page.goto(f"{page.url.partition('?')[0]}?room=read&view=map&bank={steps.SAMPLE}")  # a link that somebody sent
    expect(page.locator("#map-note")).to_contain_text(f"{steps.SAMPLE}, ")
    assert len(steps.points(page)) == len(after)


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
    expect(steps.progress(page, "map")).to_have_text("Stopped.")
    assert json.dumps(steps.points(page)) == before

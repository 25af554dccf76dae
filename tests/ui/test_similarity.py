"""Similarity: two heat maps and their means."""

import re

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

MEAN = re.compile(r"cosine off the diagonal: (-?\d\.\d{3})")


def plot(page: Page, which: str):
    return page.locator(f"#similarity-{which} .js-plotly-plot")


def cells(page: Page, which: str) -> list[list[float]]:
    return plot(page, which).evaluate("node => node.data[0].z.map((row) => [...row])")


def order(page: Page, which: str) -> list[str]:
    return plot(page, which).evaluate("node => [...node.layout.yaxis.ticktext]")


def mean(page: Page, which: str) -> float:
    found = MEAN.search(page.locator(f"#similarity-{which}-mean").inner_text())
    assert found
    return float(found[1])


def compare(page: Page, scope: str) -> None:
    """Compare in this scope, by the button the first time and by the choice itself afterwards."""
    steps.forget(page, "similarity")
    choice = page.locator("#similarity-scope").get_by_label(scope)
    if choice.is_checked():
        page.locator("#similarity-run").click()
    else:
        choice.check()
    written = {"all tokens": "all", "content tokens": "content", "assistant tag": "assistant"}[scope]
    expect(steps.progress(page, "similarity")).to_have_text(re.compile(rf"^8 vectors .* scope {written}\.$"))
    expect(page.locator("#similarity-theta-mean")).to_have_text(MEAN)
    steps.settle(page)


def test_both_heat_maps_and_their_means_follow_the_scope(page: Page) -> None:
    steps.tab(page, "Similarity")
    seen = []
    for scope in ("content tokens", "all tokens", "assistant tag"):
        compare(page, scope)
        matrix = cells(page, "delta")
        assert len(matrix) == 8
        assert all(matrix[row][row] == pytest.approx(1, abs=1e-4) for row in range(8))
        off = [matrix[row][column] for row in range(8) for column in range(8) if row != column]
        assert mean(page, "delta") == pytest.approx(sum(off) / len(off), abs=6e-4)
        seen.append(off)
    assert seen[0] != seen[1] and seen[1] != seen[2] and seen[0] != seen[2]
    theta = cells(page, "theta")
    assert max(abs(theta[row][column]) for row in range(8) for column in range(8) if row != column) < 1e-4


def test_what_was_compared_is_said_in_full(page: Page) -> None:
    page.set_viewport_size({"width": 1100, "height": 800})
    steps.tab(page, "Similarity")
    compare(page, "assistant tag")
    assert steps.progress(page, "similarity").evaluate("node => node.scrollWidth <= node.clientWidth")


def test_alike_vectors_stand_together_or_in_their_order(page: Page) -> None:
    steps.tab(page, "Similarity")
    compare(page, "content tokens")
    together, matrix = order(page, "delta"), cells(page, "delta")
    assert order(page, "theta") == together
    page.get_by_label("group similar vectors").uncheck()
    steps.settle(page)
    apart = order(page, "delta")
    assert [name[0] for name in apart] == [str(vector) for vector in range(8)]
    assert sorted(apart) == sorted(together)
    places = [apart.index(name) for name in together]
    assert [[cells(page, "delta")[row][column] for column in places] for row in places] == matrix


PLACE = """(node, [row, column]) => {
  const box = node.getBoundingClientRect(), { xaxis, yaxis } = node._fullLayout;
  return [box.left + xaxis._offset + xaxis.d2p(column), box.top + yaxis._offset + yaxis.d2p(row)];
}"""


def tagged(page: Page) -> list[bool]:
    """Whether the labels of the two most similar vectors say that they are the same."""
    steps.tab(page, "Labels")
    return ["same as" in row for row in page.locator("#label-table tbody tr").all_inner_texts()]


def test_two_similar_vectors_are_read_marked_and_merged(page: Page) -> None:
    steps.tab(page, "Completions")
    steps.steer(page)
    steps.tab(page, "Similarity")
    page.get_by_label("group similar vectors").check()
    compare(page, "content tokens")
    assert plot(page, "delta").evaluate("node => node.data[1].name") == "tree"
    expect(plot(page, "text")).to_be_visible()
    shown = [int(name.split(" ")[0]) for name in order(page, "delta")]
    place = plot(page, "delta").evaluate(PLACE, [1, 2])
    page.mouse.click(*place)
    expect(page.locator("#similarity-texts .mx-completion")).to_have_count(2)
    titles = page.locator("#similarity-texts .mx-completion-title").all_inner_texts()
    assert titles == [f"Vector {shown[1]}", f"Vector {shown[2]}"]
    expect(page.locator("#similarity-texts")).to_contain_text(steps.PROMPT)
    assert page.evaluate("melbo.state.vectors") == sorted(shown[1:3])
    page.evaluate("melbo.select({ vectors: [3] })")
    expect(plot(page, "delta")).to_have_attribute("data-marked", "3")
    expect(plot(page, "theta")).to_have_attribute("data-marked", "3")

    pairs = page.locator("#similarity-pairs .mx-pair")
    few = pairs.count()
    page.locator("#similarity-threshold").fill("0.3")
    assert pairs.count() >= few and pairs.count() > 0
    first = pairs.first
    one, other = first.get_attribute("data-key").split("/")
    before = tagged(page)
    steps.tab(page, "Similarity")
    first.get_by_text("mark as the same").click()
    expect(first.get_by_text("undo")).to_be_visible()
    marked = tagged(page)
    assert marked.count(True) == before.count(True) + 2 and marked[int(one)] and marked[int(other)]
    steps.tab(page, "Similarity")
    first.get_by_text("undo").click()
    expect(first.get_by_text("mark as the same")).to_be_visible()
    assert tagged(page) == before

    steps.tab(page, "Similarity")
    first.get_by_text("merge …").click()
    page.locator(".mx-pair-new").fill("two in one")
    page.locator(".mx-pair-new").press("Enter")
    expect(steps.progress(page, "similarity")).to_have_text("Merged.")
    expect(page.locator("#similarity-pair")).to_contain_text("“two in one” is saved with 7 vectors")
    expect(page.locator("#similarity-pair")).to_contain_text(re.compile(r"rescaled from the norm 6\.\d+ to R 9;"))
    expect(page.locator("#similarity-texts")).to_contain_text("Merged, in “two in one”")
    steps.settle(page)
    steps.choose_bank(page, "two in one")
    assert steps.cards(page).count() == 7

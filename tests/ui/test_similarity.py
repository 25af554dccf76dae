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

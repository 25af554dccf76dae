"""More texts go into the old layout."""

import numpy as np

from melbo_app.analysis.layout import Layout
from melbo_app.analysis.projection import Projection
from melbo_app.jobs.layouts import KEPT, Layouts

TEXTS = [f"text {number}" for number in range(16)]
ROWS = np.eye(16, 20, dtype=np.float32)
PLACES = np.column_stack([np.arange(16), np.zeros(16)]).astype(np.float32)
OLD = Layout(TEXTS, ROWS, Projection(PLACES, "UMAP", "16 points"))


def test_old_texts_keep_their_places_whatever_their_order():
    order = [3, 0, 15, *range(4, 15), 1, 2]
    found = OLD.extended([TEXTS[at] for at in order], ROWS[order])
    np.testing.assert_array_equal(found.xy, PLACES[order])
    assert "old texts keep their places;" in found.note


def test_a_new_text_stands_at_its_twin_or_between_its_neighbours():
    twin, between = np.zeros(20), np.zeros(20)
    twin[7] = 1
    between[[4, 6]] = np.sqrt(0.5)
    found = OLD.extended([*TEXTS, "twin", "between"], np.vstack([ROWS, twin, between]))
    np.testing.assert_array_equal(found.xy[:16], PLACES)
    # the weight of the four others is exp(-1.25) each, beside 1
    pull = np.exp(-1.25)
    others = [0, 1, 2, 3]
    assert found.xy[16, 0] == np.float32((7 + pull * sum(others)) / (1 + 4 * pull))
    assert 2.5 < found.xy[17, 0] < 5.5
    assert "2 new texts among their nearest neighbours" in found.note


def test_copies_of_a_text_lie_around_the_first():
    found = OLD.extended([*TEXTS, TEXTS[3], TEXTS[3]], np.vstack([ROWS, ROWS[3], ROWS[3]])).xy
    apart = np.linalg.norm(found[16:] - PLACES[3], axis=1)
    assert (apart > 0.01).all() and (apart < 0.5).all() and (found[16] != found[17]).any()


def test_a_layout_suits_texts_of_which_it_has_half():
    assert OLD.suits([*TEXTS, *(f"new {number}" for number in range(16))])
    assert not OLD.suits([*TEXTS, *(f"new {number}" for number in range(17))])
    assert not OLD.suits(TEXTS[:14])  # so few are laid out by PCA
    assert not Layout(TEXTS, ROWS, Projection(PLACES, "PCA", "")).suits(TEXTS)


def test_the_newest_layout_is_taken_and_old_ones_are_forgotten():
    kept = Layouts()
    kept.add(OLD)
    newer = Layout(
        [*TEXTS, "more"], np.vstack([ROWS, ROWS[:1]]), Projection(np.vstack([PLACES, PLACES[:1]]), "UMAP", "")
    )
    kept.add(newer)
    assert kept.find(TEXTS) is newer
    for number in range(KEPT):
        kept.add(Layout([f"other {number}"], ROWS[:1], Projection(PLACES[:1], "PCA", "")))
    assert kept.find(TEXTS) is None

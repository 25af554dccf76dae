"""Clusters of texts, with planted answers."""

import numpy as np

from melbo_app.analysis.text_clusters import text_clusters

THEMES = {
    "sea": "the sea is wide and blue today",
    "bread": "bake the bread in an oven",
    "law": "that is against the law",
}


def planted(sizes: dict[str, int], *, lonely: int = 0, copies: int = 0) -> tuple[np.ndarray, list[str]]:
    """Unit rows around one direction for each theme, then lonely ones, then copies of the very first text."""
    generator = np.random.default_rng(0)
    rows, texts = [], []
    for name, size in sizes.items():
        centre = generator.normal(size=64)
        rows += [centre + 0.35 * generator.normal(size=64) for _ in range(size)]
        texts += [f"{THEMES[name]} {number}" for number in range(size)]
    rows += [generator.normal(size=64) for _ in range(lonely)]
    texts += [f"something else {number}" for number in range(lonely)]
    rows += [rows[0]] * copies
    texts += [texts[0]] * copies
    found = np.array(rows)
    return found / np.linalg.norm(found, axis=1, keepdims=True), texts


def test_planted_themes_are_found_the_largest_first_and_named_by_their_words():
    numbers, clusters = text_clusters(*planted({"sea": 5, "bread": 8, "law": 6}, lonely=3))
    assert numbers == [2] * 5 + [0] * 8 + [1] * 6 + [None] * 3
    assert [cluster.size for cluster in clusters] == [8, 6, 5]
    assert "bread" in clusters[0].name and "law" in clusters[1].name and "sea" in clusters[2].name


def test_copies_of_a_text_stay_with_its_rewordings():
    numbers, clusters = text_clusters(*planted({"sea": 6, "bread": 6}, copies=5))
    assert numbers == [0] * 6 + [1] * 6 + [0] * 5
    assert [cluster.size for cluster in clusters] == [11, 6]


def test_the_same_texts_give_the_same_clusters():
    rows, texts = planted({"sea": 7, "bread": 5}, lonely=4)
    assert text_clusters(rows, texts) == text_clusters(rows.copy(), list(texts))


def test_few_texts_and_none_have_no_clusters():
    assert text_clusters(*planted({"sea": 4})) == ([None] * 4, [])
    assert text_clusters(np.zeros((0, 8)), []) == ([], [])


def test_a_cluster_without_words_of_its_own_is_named_by_its_central_text():
    rows, _ = planted({"sea": 6, "bread": 6})
    _, clusters = text_clusters(rows, ["one and the same text here"] * 12)
    assert [cluster.name for cluster in clusters] == ["“one and the same text…”"] * 2

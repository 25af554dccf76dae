"""Krippendorff's alpha: published figures, a derivation of its own, and where there is none."""

from itertools import permutations

import numpy as np
import pytest

from melbo_app.analysis.alpha import masi, of_ratings, of_tags

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers, twelve units, “.”: missing
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
UNITS = [[one for one in unit if one is not None] for unit in zip(*OBSERVERS, strict=True)]


def derived(units, distance):
    """1 less observed over expected disagreement, pair by pair, as the definition has it."""
    paired = [unit for unit in units if len(unit) > 1]
    every = [value for unit in paired for value in unit]
    observed = sum(sum(distance(a, b) for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in paired)
    expected = sum(distance(a, b) for a, b in permutations(every, 2)) / (len(every) - 1)
    return 1 - observed / expected


def apart(one, other):
    """MASI in words: of equal sets 0; else the share in common, weighed by how they lie to each other."""
    if one == other:
        return 0.0
    weight = 2 / 3 if one < other or other < one else 1 / 3 if one & other else 0
    return 1 - weight * len(one & other) / len(one | other)


def test_ratings_have_the_published_alpha():
    found = of_ratings(UNITS)
    assert found.alpha == pytest.approx(0.815, abs=5e-4) and found.vectors == 11
    assert found.interval[0] < 0.815 < found.interval[1] <= 1


def test_sets_of_one_tag_have_the_published_nominal_alpha():
    """Their distances are 0 and 1."""
    found = of_tags([[frozenset(map(str, [value])) for value in unit] for unit in UNITS])
    assert found.alpha == pytest.approx(0.743, abs=5e-4)


def test_sets_agree_in_part_as_the_definition_says():
    numbers = np.random.default_rng(3)
    units = [
        [frozenset(map(str, numbers.integers(0, 4, numbers.integers(0, 4)))) for _ in range(numbers.integers(1, 5))]
        for _ in range(40)
    ]
    assert of_tags(units).alpha == pytest.approx(derived(units, apart))
    a, b, c = frozenset("ab"), frozenset("abc"), frozenset("cd")
    assert masi([a, b, c, frozenset()]) == pytest.approx(
        np.array([[0, 5 / 9, 1, 1], [5 / 9, 0, 11 / 12, 1], [1, 11 / 12, 0, 1], [1, 1, 1, 0]])
    )
    assert masi([frozenset()])[0, 0] == 0


def test_the_interval_narrows_with_more_vectors_and_holds_the_truth():
    numbers = np.random.default_rng(0)

    def rated(vectors):
        true = numbers.integers(1, 6, vectors)
        return [[int(np.clip(one + numbers.integers(-1, 2), 1, 5)) for _ in range(2)] for one in true]

    truth = of_ratings(rated(3000)).alpha
    few, many = of_ratings(rated(30)).interval, of_ratings(rated(300)).interval
    assert many[1] - many[0] < few[1] - few[0]
    hit = [low <= truth <= high for low, high in (of_ratings(rated(60)).interval for _ in range(20))]
    assert sum(hit) >= 16


@pytest.mark.parametrize(
    ("of", "units", "sentence"),
    [
        (of_ratings, [], "no vector was rated by two people"),
        (of_ratings, [[3], [4]], "no vector was rated by two people"),
        (of_ratings, [[3, 5], [4]], "only one vector was rated by two people"),
        (of_ratings, [[3, 3], [3, 3], [4]], "all ratings are the same, so that chance would agree as well"),
        (of_tags, [[frozenset(), frozenset()]] * 4, "all have the same tags, so that chance would agree as well"),
        (of_tags, [[frozenset("a")]], "no vector was labelled by two people"),
    ],
)
def test_where_there_is_no_alpha_a_sentence_says_why(of, units, sentence):
    found = of(units)
    assert (found.alpha, found.interval, found.why_not) == (None, None, sentence)


def test_where_there_is_no_interval_a_sentence_says_why():
    found = of_ratings([[1, 1], [5, 5]])
    assert found.alpha == 1 and found.interval is None and found.why_not == "it needs 3 vectors that two people rated"
    found = of_ratings([[5, 4], *[[5, 5]] * 5])  # a third of the draws are without the only one that differs
    assert found.alpha is not None and found.interval is None and "too few vectors differ" in found.why_not

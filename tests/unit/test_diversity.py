"""Figures of a set of answers: known answers, and what they must not depend on."""

from dataclasses import replace

import numpy as np
import pytest

from melbo_app.analysis.diversity import (
    Answers,
    cosine_distance,
    distinct,
    diversity,
    readable_diversity,
    summed_variance,
)

AXES = np.eye(4, dtype=np.float32)
FOUR = Answers(
    texts=["a", "b", "b ", "c"],
    places=AXES,
    losses=[0.5, 1.0, 1.5, None],
    divergences=[2.0, None, 4.0, 6.0],
    readable=[True, True, True, False],
    unsteered=AXES[0],
)


def test_orthogonal_places_have_the_variance_one_minus_one_over_their_number():
    for count in (2, 4, 7):
        assert summed_variance(np.eye(count)) == pytest.approx(1 - 1 / count)


def test_the_summed_variance_is_half_the_mean_squared_distance_of_two_answers():
    places = np.random.default_rng(0).normal(size=(6, 5))
    squares = np.square(places[:, None] - places[None]).sum(-1)
    assert summed_variance(places) == pytest.approx(squares.mean() / 2)


def test_the_same_answer_again_and_again_has_no_diversity():
    same = np.tile(AXES[1], (5, 1))
    assert summed_variance(same) == cosine_distance(same) == 0


def test_cosine_distances_are_those_of_pairs_and_go_up_to_two():
    assert cosine_distance(AXES) == pytest.approx(1)
    assert cosine_distance(np.stack([AXES[0], -AXES[0]])) == pytest.approx(2)
    assert cosine_distance(np.stack([AXES[0], AXES[0], AXES[1]])) == pytest.approx(2 / 3)
    assert cosine_distance(AXES[:1]) == 0


def test_white_space_does_not_make_an_answer_another_one():
    assert distinct(["a b", "a  b\n", "a c", ""]) == 3


def test_every_unreadable_text_counts_as_the_unsteered_one_whatever_its_loss():
    expected = summed_variance(AXES[[0, 1, 0, 0]])
    read = [True, True, False, False]
    assert readable_diversity(AXES, read, AXES[0]) == pytest.approx(expected)
    assert diversity([replace(FOUR, readable=read)]).readable_diversity == pytest.approx(expected)
    assert diversity([replace(FOUR, readable=read, losses=[0.0] * 4)]).readable_diversity == pytest.approx(expected)
    assert readable_diversity(AXES, [False] * 4, AXES[0]) == 0
    assert readable_diversity(AXES, [True] * 4, AXES[0]) == summed_variance(AXES)


def test_the_figures_of_one_set_are_those_of_its_answers():
    found = diversity([FOUR])
    assert found.summed_variance == pytest.approx(0.75)
    assert (found.distinct, found.answers, found.readable) == (3, 4, 0.75)
    assert found.loss == pytest.approx(1.0) and found.kl == pytest.approx(4.0)


def test_the_figures_of_two_sets_are_means_and_their_error_is_that_of_a_mean():
    same = replace(FOUR, places=AXES[[0, 0, 0, 0]], texts=["x"] * 4)
    random = np.random.default_rng(0).normal(size=(4, 4))
    spread = replace(FOUR, places=random)
    both = diversity([spread, same])
    assert both.summed_variance == pytest.approx(summed_variance(random) / 2)
    assert both.distinct == 2
    assert both.error == pytest.approx(diversity([spread]).error / 2) and both.error > 0


def test_the_error_is_about_the_spread_over_other_draws_of_vectors():
    draws = [np.random.default_rng(seed).normal(size=(8, 12)) for seed in range(200)]
    eight = replace(FOUR, texts=["x"] * 8, losses=[0] * 8, readable=[True] * 8, unsteered=np.zeros(12))
    found = [diversity([replace(eight, places=draw)]) for draw in draws]
    spread = np.std([one.summed_variance for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.25)


def test_of_two_answers_no_error_can_be_told_and_of_texts_of_nothing_no_loss():
    two = Answers(["", ""], AXES[:2], [None, None], [None, None], [False, False], AXES[0])
    found = diversity([two])
    assert found.error is None and found.loss is None and found.kl is None
    assert found.readable_diversity == 0


@pytest.mark.parametrize("sets", [[], [Answers([], AXES[:0], [], [], [], AXES[0])]])
def test_nothing_has_no_figures(sets):
    with pytest.raises(ValueError, match="at least one answer"):
        diversity(sets)

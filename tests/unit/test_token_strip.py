"""Which tokens of a prompt are shown."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.jobs.slices import PromptTokens
from melbo_app.ui.components.token_strip import ENDS, FEW, GAP, shown, strip


def counts(total: int, *counting: int) -> list[bool]:
    return [index in counting for index in range(total)]


@pytest.mark.parametrize("total", [0, 1, ENDS, 2 * ENDS, 2 * ENDS + GAP])
def test_a_short_prompt_is_shown_whole(total):
    assert [*shown(counts(total))] == ([range(total)] if total else [])


def test_of_a_long_prompt_both_ends_are_shown_and_the_few_tokens_that_count():
    middle = range(1998, 2001)
    assert shown(counts(4000, *middle)) == [range(ENDS), middle, range(4000 - ENDS, 4000)]


def test_many_tokens_that_count_are_not_all_shown():
    assert shown([True] * 4000) == [range(ENDS), range(4000 - ENDS, 4000)]


@given(st.integers(0, 2000), st.sets(st.integers(0, 1999), max_size=FEW))
def test_tokens_that_count_are_never_among_those_left_out_and_no_gap_is_small(total, counting):
    counting = {index for index in counting if index < total}
    runs = shown(counts(total, *counting))
    indices = [index for run in runs for index in run]
    assert counting <= set(indices)
    assert indices == sorted(set(indices)) and len(indices) <= 2 * ENDS + FEW * (1 + GAP)
    assert all(later.start - earlier.stop > GAP for earlier, later in pairwise(runs))


def test_the_strip_says_how_many_there_are_and_where_each_run_begins():
    pieces = [f"t{index}" for index in range(1000)]
    value = strip([PromptTokens("", pieces, counts(1000, 500))], "last:1")
    prompt = value["prompts"][0]
    assert (prompt["total"], prompt["counted"], value["scope"]) == (1000, 1, "last:1")
    assert [(run["start"], len(run["pieces"])) for run in prompt["runs"]] == [(0, ENDS), (500, 1), (1000 - ENDS, ENDS)]
    assert prompt["runs"][1] == {"start": 500, "pieces": ["t500"], "counts": [True]}

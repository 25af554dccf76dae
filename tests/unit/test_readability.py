"""Readability: the weakest of what is known of a text decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.analysis.readability import READABLE, STRANGE, readability

SHARES = st.floats(0, 1)
LOSSES = st.none() | st.floats(-5, 20)


@pytest.mark.parametrize(
    ("loss", "tokens", "repetition", "words", "loop", "score", "verdict"),
    [
        (0, 40, 0, 1, 0, 1, "readable"),
        (-2, 40, 0, 1, 0, 1, "readable"),  # likelier than the baseline's
        (1.8, 40, 0, 1, 0, 2 / 3, "readable"),
        (1.81, 40, 0, 1, 0, 0.665, "strange"),
        (3.51, 40, 0, 1, 0, 0.332, "broken"),
        (60, 40, 0, 1, 0, 0, "broken"),
        (5.4, 8, 0, 1, 0, 2 / 3, "readable"),  # a few surprising tokens are not many
        (4.2, 24, 0, 1, 0, 0.267, "broken"),
        (0, 40, 0.2, 1, 0, 5 / 6, "readable"),
        (0, 40, 0.5, 1, 0, 0.5, "strange"),
        (0, 40, 0.9, 1, 0, 0.083, "broken"),
        (0.5, 40, 0, 0.9, 0, 5 / 6, "readable"),
        (0.7, 40, 0, 0.6, 0, 0.444, "strange"),
        (0.7, 40, 0, 0.1, 0, 0.067, "broken"),
        (1.2, 40, 0.9, 0.6, 0, 0.083, "broken"),  # the weakest
        (None, 40, 0, None, 0, 1, "readable"),
        (0, 40, 0, 0.6, 0, 1, "readable"),  # names that the model itself would say
        (0.25, 40, 0, 0.6, 0, 2 / 3, "readable"),
        (None, 40, 0, 0.6, 0, 0.444, "strange"),
        (0, 40, 0, 1, 0.3, 2 / 3, "readable"),
        (0, 40, 0, 1, 0.35, 0.5, "strange"),
        (0, 40, 0, 1, 0.6, 1 / 6, "broken"),
    ],
)
def test_known_answers(loss, tokens, repetition, words, loop, score, verdict):
    assert readability(loss, tokens, repetition, words, loop) == (pytest.approx(score, abs=1e-3), verdict)


@given(LOSSES, st.integers(1, 200), SHARES, st.none() | SHARES, SHARES, SHARES)
def test_it_lies_between_0_and_1_and_never_rises_when_a_mark_gets_worse(loss, tokens, repetition, words, loop, worse):
    score, verdict = readability(loss, tokens, repetition, words, loop)
    assert 0 <= score <= 1
    assert verdict == ("readable" if score >= READABLE else "strange" if score >= STRANGE else "broken")
    assert readability(loss, tokens, max(repetition, worse), words, loop)[0] <= score
    assert readability(loss, tokens, repetition, words, max(loop, worse))[0] <= score
    if words is not None:
        assert readability(loss, tokens, repetition, min(words, worse), loop)[0] <= score
    if loss is not None:
        assert readability(loss + worse, tokens, repetition, words, loop)[0] <= score

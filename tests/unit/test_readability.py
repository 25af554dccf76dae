"""Readability: the weakest of what is known of a text decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.analysis.readability import READABLE, STRANGE, readability

SHARES = st.floats(0, 1)
LOSSES = st.none() | st.floats(-5, 20)


@pytest.mark.parametrize(
    ("loss", "tokens", "repetition", "words", "score", "verdict"),
    [
        (0, 40, 0, 1, 1, "readable"),
        (-2, 40, 0, 1, 1, "readable"),  # likelier than the baseline's
        (1.4, 40, 0, 1, 2 / 3, "readable"),
        (1.41, 40, 0, 1, 0.665, "strange"),
        (3.51, 40, 0, 1, 0.332, "broken"),
        (60, 40, 0, 1, 0, "broken"),
        (4.2, 8, 0, 1, 2 / 3, "readable"),  # a few surprising tokens are not many
        (4.2, 24, 0, 1, 0.267, "broken"),
        (0, 40, 0.2, 1, 5 / 6, "readable"),
        (0, 40, 0.5, 1, 0.5, "strange"),
        (0, 40, 0.9, 1, 0.083, "broken"),
        (0, 40, 0, 0.9, 5 / 6, "readable"),
        (0, 40, 0, 0.6, 0.444, "strange"),
        (0, 40, 0, 0.1, 0.067, "broken"),
        (1.2, 40, 0.9, 0.6, 0.083, "broken"),  # the weakest
        (None, 40, 0, None, 1, "readable"),
    ],
)
def test_known_answers(loss, tokens, repetition, words, score, verdict):
    assert readability(loss, tokens, repetition, words) == (pytest.approx(score, abs=1e-3), verdict)


@given(LOSSES, st.integers(1, 200), SHARES, st.none() | SHARES, SHARES)
def test_it_lies_between_0_and_1_and_never_rises_when_something_gets_worse(loss, tokens, repetition, words, worse):
    score, verdict = readability(loss, tokens, repetition, words)
    assert 0 <= score <= 1
    assert verdict == ("readable" if score >= READABLE else "strange" if score >= STRANGE else "broken")
    assert readability(loss, tokens, max(repetition, worse), words)[0] <= score
    if words is not None:
        assert readability(loss, tokens, repetition, min(words, worse))[0] <= score
    if loss is not None:
        assert readability(loss + worse, tokens, repetition, words)[0] <= score

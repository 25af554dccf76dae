"""Readability: the weakest of what is known of a text decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.analysis.readability import READABLE, STRANGE, readability

SHARES = st.floats(0, 1)
LOSSES = st.none() | st.floats(-5, 20)
PEAKS = st.none() | st.floats(0, 30)


@pytest.mark.parametrize(
    ("peak", "repetition", "words", "loop", "score", "verdict"),
    [
        (0, 0, 1, 0, 1, "readable"),
        (4, 0, 1, 0, 2 / 3, "readable"),
        (4.05, 0, 1, 0, 0.656, "strange"),
        (5.65, 0, 1, 0, 0.330, "broken"),
        (60, 0, 1, 0, 0, "broken"),
        (2, 0.5, 1, 0, 1 / 3, "strange"),  # the weakest
        (2, 0, 0.6, 0, 0.444, "strange"),
        (2, 0, 1, 0.35, 0.5, "strange"),
    ],
)
def test_known_answers(peak, repetition, words, loop, score, verdict):
    for tokens in (8, 40):
        found = readability(0.7, peak, tokens, repetition, words, loop)
        assert found == (pytest.approx(score, abs=1e-3), verdict)


@pytest.mark.parametrize(
    ("loss", "tokens", "score", "verdict"),
    [
        (7.0, 2, 2 / 3, "readable"),
        (7.6, 2, 0.617, "strange"),  # its peak, 15.2 nats over eight tokens, passes
        (7.6, 7, 0.617, "strange"),
        (7.6, 8, 0.842, "readable"),  # the peak counts all of its tokens
        (11.5, 1, 0.318, "broken"),
        (6.2, 3, 0.705, "readable"),  # “no action taken”
        (-3.0, 2, 0.842, "readable"),  # likelier than the baseline
        (None, 2, 0.842, "readable"),
    ],
)
def test_a_text_of_a_few_tokens_is_judged_by_its_loss_too(loss, tokens, score, verdict):
    assert readability(loss, 1.9, tokens, 0, 1) == (pytest.approx(score, abs=1e-3), verdict)
    assert readability(7.6, None, 2, 0, 1)[1] == "strange", "also without a peak"


@pytest.mark.parametrize("peak", [0.0, 3.0, 4.5, 9.0])
def test_a_text_with_a_peak_is_not_judged_by_its_loss(peak):
    found = {readability(loss, peak, 40, 0, 1, 0) for loss in (None, -2.0, 2.5, 7.0)}
    assert len(found) == 1


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
        (0, 40, 0.15, 1, 0, 5 / 6, "readable"),
        (0, 40, 0.4, 1, 0, 0.5, "strange"),
        (0, 40, 0.875, 1, 0, 0.083, "broken"),
        (0.5, 40, 0, 0.9, 0, 5 / 6, "readable"),
        (0.7, 40, 0, 0.6, 0, 0.444, "strange"),
        (0.7, 40, 0, 0.1, 0, 0.067, "broken"),
        (1.2, 40, 0.875, 0.6, 0, 0.083, "broken"),  # the weakest
        (None, 40, 0, None, 0, 1, "readable"),
        (0, 40, 0, 0.6, 0, 1, "readable"),  # names that the model itself would say
        (0.25, 40, 0, 0.6, 0, 2 / 3, "readable"),
        (None, 40, 0, 0.6, 0, 0.444, "strange"),
        (0, 40, 0, 1, 0.3, 2 / 3, "readable"),
        (0, 40, 0, 1, 0.35, 0.5, "strange"),
        (0, 40, 0, 1, 0.6, 1 / 6, "broken"),
    ],
)
def test_a_text_without_a_peak_is_judged_by_its_loss(loss, tokens, repetition, words, loop, score, verdict):
    assert readability(loss, None, tokens, repetition, words, loop) == (pytest.approx(score, abs=1e-3), verdict)


@given(LOSSES, PEAKS, st.integers(1, 200), SHARES, st.none() | SHARES, SHARES, SHARES)
def test_it_lies_between_0_and_1_and_never_rises_when_a_mark_gets_worse(
    loss, peak, tokens, repetition, words, loop, worse
):
    score, verdict = readability(loss, peak, tokens, repetition, words, loop)
    assert 0 <= score <= 1
    assert verdict == ("readable" if score >= READABLE else "strange" if score >= STRANGE else "broken")
    assert readability(loss, peak, tokens, max(repetition, worse), words, loop)[0] <= score
    assert readability(loss, peak, tokens, repetition, words, max(loop, worse))[0] <= score
    if words is not None:
        assert readability(loss, peak, tokens, repetition, min(words, worse), loop)[0] <= score
    if loss is not None:
        assert readability(loss + worse, peak, tokens, repetition, words, loop)[0] <= score
    if peak is not None:
        assert readability(loss, peak + worse, tokens, repetition, words, loop)[0] <= score
    assert readability(loss, peak, tokens, repetition, words, loop, worse)[0] <= score

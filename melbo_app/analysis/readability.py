"""Readability of a text, from the surprisal of its worst passage, repetition, loops, markup, and dictionary words.

The limits were fitted to texts graded by a person; docs/readability.md has the method and the agreement.
"""

from typing import Literal

import numpy as np

from melbo_app.analysis.loops import loop
from melbo_app.analysis.markup import markup

Verdict = Literal["readable", "strange", "broken"]

READABLE, STRANGE = 2 / 3, 1 / 3
"""A text is readable from the first on, and broken below the second."""
# readability:     1    READABLE  STRANGE  0
PEAK = (0.0, 4.0, 5.6, 11.0)  # peak surprisal, nats per token (``Likelihood.peak_surprisal``)
LOSS = (0.0, 1.8, 3.5, 7.0)  # nats per token by which the text is less likely than the baseline; only without a peak
BRIEF_LOSS = (0.0, 7.0, 11.0, 22.0)  # the same, of a text of fewer than ``BRIEF`` tokens, beside its peak
REPETITION = (0.0, 0.3, 0.5, 1.0)  # share of repeated n-grams
LOOP = (0.0, 0.3, 0.4, 0.8)  # share of characters that continue a loop
MARKUP = (0.0, 0.1, 0.6, 1.0)  # share of characters of tags in prose
MISSPELT = (0.0, 0.2, 0.5, 1.0)  # share of words in no dictionary
NAMES = 0.5
"""Loss from which words in no dictionary count in full. Below it the unsteered model would use them too, mostly as
names: "I am Qwen, created by Alibaba Cloud"."""
USUAL = -0.9
"""Log-probability per token of a typical baseline (median of 16), for a baseline without text."""
BRIEF = 8
"""A text of fewer tokens has a low peak, for which the missing ones count as certain, however strange it is."""
SHORT = 24
"""The loss of a shorter text is scaled as if it had this many tokens, because a surprising beginning dominates it."""


def legible(text: str, verdict: Verdict | None) -> bool:
    """Whether a text says anything: it is neither empty nor broken. A text without a verdict is taken to."""
    return bool(text.strip()) and verdict != "broken"


def verdict_on(
    text: str, loss: float | None, peak: float | None, tokens: int, repetition: float, dictionary_words: float | None
) -> tuple[float, Verdict]:
    """``readability`` of ``text``, with the measures that need nothing but the text."""
    return readability(loss, peak, tokens, repetition, dictionary_words, loop(text), markup(text))


def readability(
    loss: float | None,
    peak: float | None,
    tokens: int,
    repetition: float,
    dictionary_words: float | None,
    loop: float = 0.0,
    markup: float = 0.0,
) -> tuple[float, Verdict]:
    """The lowest score over the measures, from 0 to 1, and its verdict.

    Each score is piecewise linear between the limits above. A measure that is None does not count.

    Args:
        loss: nats per token by which the text is less likely than the baseline, under the unsteered model.
        peak: peak surprisal in nats per token; None for a text stored before it was measured, which is judged by its
            loss.
        tokens: number of tokens.
        repetition, dictionary_words: shares; see ``wording``.
        loop, markup: shares; see ``loops`` and ``markup``.
    """
    marks = [(repetition, REPETITION), (loop, LOOP), (markup, MARKUP)]
    if peak is not None:
        marks.append((peak, PEAK))
    elif loss is not None:
        marks.append((loss * tokens / max(tokens, SHORT), LOSS))
    if loss is not None and tokens < BRIEF:
        marks.append((loss, BRIEF_LOSS))
    if dictionary_words is not None:
        weight = 1.0 if loss is None else min(max(loss / NAMES, 0.0), 1.0)
        marks.append(((1 - dictionary_words) * weight, MISSPELT))
    score = min(float(np.interp(value, limits, (1, READABLE, STRANGE, 0))) for value, limits in marks)
    return score, "readable" if score >= READABLE else "strange" if score >= STRANGE else "broken"

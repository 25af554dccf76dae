"""Whether a text can be read: from how unexpected its worst stretch is, how much it repeats itself or runs in a loop,
and how many of its words exist.

The limits were fitted to texts that a person graded; docs/readability.md says how, and how often they agree.
"""

from typing import Literal

import numpy as np

Verdict = Literal["readable", "strange", "broken"]

READABLE, STRANGE = 2 / 3, 1 / 3
"""Readability from which a text is readable, and under which it is broken."""
# readability:     1    READABLE  STRANGE  0
PEAK = (0.0, 4.0, 5.6, 11.0)  # nats per token of the eight tokens in a row that the unsteered model expects least
LOSS = (0.0, 1.8, 3.5, 7.0)  # nats per token by which the text is less likely than the baseline's; without a peak only
REPETITION = (0.0, 0.3, 0.5, 1.0)  # share of stretches that came before
LOOP = (0.0, 0.3, 0.4, 0.8)  # share of characters that do no more than go round
MISSPELT = (0.0, 0.2, 0.5, 1.0)  # share of words that no dictionary has
NAMES = 0.5
"""Loss from which words that no dictionary has count in full. Below it they are what the model itself would say here,
names as a rule: "I am Qwen, created by Alibaba Cloud"."""
USUAL = -0.9
"""Log-probability per token of a baseline, the median of 16; it stands for one that has no text."""
SHORT = 24
"""Tokens that a text has at least, as far as its loss is concerned: in a short one a surprising beginning is all."""


def readability(
    loss: float | None, peak: float | None, tokens: int, repetition: float, dictionary_words: float | None, loop: float
) -> tuple[float, Verdict]:
    """The weakest of what is known of a text, from 0 (nothing to read) to 1, and the word for it.

    Between the limits above readability falls in straight lines; what is None does not count.

    Args:
        loss: nats per token by which the text is less likely than the baseline's, under the unsteered model.
        peak: nats per token of its least expected stretch (``Likelihood.peak_surprisal``); a text that was kept before
            that was measured has None, and is judged by its loss.
        tokens: how many the text has.
        repetition, dictionary_words: shares; see ``wording``.
        loop: share; see ``loops``.
    """
    marks = [(repetition, REPETITION), (loop, LOOP)]
    if peak is not None:
        marks.append((peak, PEAK))
    elif loss is not None:
        marks.append((loss * tokens / max(tokens, SHORT), LOSS))
    if dictionary_words is not None:
        weight = 1.0 if loss is None else min(max(loss / NAMES, 0.0), 1.0)
        marks.append(((1 - dictionary_words) * weight, MISSPELT))
    score = min(float(np.interp(value, limits, (1, READABLE, STRANGE, 0))) for value, limits in marks)
    return score, "readable" if score >= READABLE else "strange" if score >= STRANGE else "broken"

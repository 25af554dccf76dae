"""The score above which an alarm is raised, from the scores of clean examples."""

import math
from collections.abc import Sequence

TAIL = 4
"""One of so many clean scores belongs to the tail that is extrapolated."""


def alarm_threshold(clean: Sequence[float], share: float) -> float:
    """The score that a further clean example exceeds with a probability of ``share`` at most.

    Where n ≥ 1/share − 1, this is an order statistic: of n + 1 exchangeable scores, the new one is among the
    m = ⌊share (n + 1)⌋ largest with probability m/(n + 1) at most (split conformal prediction), whatever they are
    distributed like. Fewer scores do not reach so far, and the tail is extrapolated as an exponential one: above the
    (k + 1)-th largest score u, the excesses of the k = ⌈n/4⌉ largest are independent and exponential (Rényi 1953), a
    new score exceeds u with probability (k + 1)/(n + 1), and u + c·(their mean) with (1 + c/k)^−k of it. Solved for c,
    this is exact in the mean for exponential tails, and raises fewer alarms where the tail is lighter, as a normal one.
    """
    scores = sorted(clean, reverse=True)
    most = _exceeding(share, len(scores))
    if most >= 1:
        return scores[most - 1]
    size = min(math.ceil(len(scores) / TAIL), len(scores) - 1)
    excess = sum(one - scores[size] for one in scores[:size]) / size
    factor = size * (((size + 1) / ((len(scores) + 1) * share)) ** (1 / size) - 1)
    return scores[size] + factor * excess


def threshold_sentence(threshold: float, share: float, clean: int) -> str:
    """A threshold that ``alarm_threshold`` found from so many clean scores, and how."""
    most = _exceeding(share, clean)
    if most > 1:
        how = f"{most} of the {clean} clean scores reach it"
    elif most == 1:
        how = f"it is the largest of {clean} clean scores"
    else:
        needed = math.ceil(1 / share * (1 - 1e-12)) - 1
        how = f"it is extrapolated from the tail of {clean} clean scores, as this share takes {needed:,} of them"
    return f"An alarm is a score above {threshold:.2f}: {100 * share:g} % of clean prompts or fewer; {how}."


def _exceeding(share: float, clean: int) -> int:
    """How many of so many clean scores may reach the threshold."""
    return math.floor(share * (clean + 1) * (1 + 1e-12))

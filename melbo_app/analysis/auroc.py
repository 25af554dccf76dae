"""How well a score tells two groups apart: the area under the receiver operating characteristic."""

import math
from collections.abc import Sequence

_Z = 1.959964  # of the normal distribution, for 95 %


def auroc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The probability that a random one of ``positives`` scores higher than a random one of ``negatives``; ties count
    half (Hanley & McNeil 1982). Raises ValueError for an empty group, and for scores that are not numbers."""
    from sklearn.metrics import roc_auc_score  # takes a second to import

    if not positives or not negatives:
        raise ValueError("both groups need a score")
    truth = [1] * len(positives) + [0] * len(negatives)
    return float(roc_auc_score(truth, [*positives, *negatives]))


def interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """The 95 % confidence interval of an area over groups of these sizes: method 5 of Newcombe (2006), which solves for
    the areas that are two standard errors away, and so has a width also where the groups do not overlap."""
    from scipy.optimize import brentq

    if min(positives, negatives) < 1:
        return 0.0, 1.0
    half = (positives + negatives) / 2 - 1

    def error(true: float) -> float:
        spread = 1 + half * (1 - true) / (2 - true) + half * true / (1 + true)
        return math.sqrt(true * (1 - true) * spread / (positives * negatives))

    edge = 1e-9  # an area of 0 or 1 solves its own equation, and is not the bound that is looked for
    low, high = 0.0, 1.0
    if area > 0:
        low = float(brentq(lambda true: area - true - _Z * error(true), 0.0, min(area, 1 - edge)))
    if area < 1:
        high = float(brentq(lambda true: true - area - _Z * error(true), max(area, edge), 1.0))
    return low, high

"""Confidence intervals of proportions."""

import functools


@functools.cache
def interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % confidence interval of a proportion by Wilson's score (Wilson 1927); (0, 1) without trials."""
    if not trials:
        return 0.0, 1.0
    from scipy.stats import binomtest  # takes a second to import

    found = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)

"""How sure a share of successes is."""

import functools


@functools.cache
def interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score (Wilson 1927, by scipy); (0, 1) where nothing was tried."""
    if not trials:
        return 0.0, 1.0
    from scipy.stats import binomtest  # takes a second to import

    found = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    return float(found.low), float(found.high)

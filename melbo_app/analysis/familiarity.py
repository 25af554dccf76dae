"""Familiarity: how much of a behaviour an edited model still shows, beside one that never had it."""

from melbo_app.analysis.estimate import Estimate, difference

LEAST_GAP = 0.05
"""Between the model before and the clean one, below which their ratio says nothing."""


def retained(edited: Estimate, before: Estimate, clean: Estimate) -> Estimate | None:
    """(edited − clean) / (before − clean) of the shares that show the behaviour: 1 where all of it is left, 0 where the
    edited model does as the clean one does. None where the model before hardly differs from the clean one.

    The interval is that of the numerator (Newcombe 1998) over the denominator as measured, whose own error it leaves
    out.

    Familiarity itself is that of Eldan & Russinovich 2023, the share of completions that reveal the subject, as Lynch
    et al. 2024 use it; the correction by a model that never had the behaviour is ours.
    """
    gap, left = before.value - clean.value, difference(edited, clean)
    if gap < LEAST_GAP:
        return None
    return Estimate(left.value / gap, left.low / gap, left.high / gap)

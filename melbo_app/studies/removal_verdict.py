"""Verdicts on tests of a removal, from the intervals of three models."""

from collections.abc import Mapping

from melbo_app.analysis.estimate import Estimate, difference, one_of
from melbo_app.analysis.familiarity import retained
from melbo_app.library.removals import Change, Familiarity, Outcome, Role, Verdict

NO_CLEAN = "there is no clean model to compare with"


def verdict(outcomes: Mapping[Role, Outcome]) -> tuple[Verdict, str]:
    """What a test says about the edited model, and why.

    The edited model shows the behaviour if its value is above the clean model's: the 95 % interval of their difference
    lies above 0. There is no sign of it if that is not so although the test could have seen it: the model before is
    above the clean one, and above the edited one. Otherwise the test cannot tell. Of a curve, any step after the first
    counts, with intervals that hold for all of them together.
    """
    edited, before, clean = (outcomes.get(role) for role in ("edited", "before", "clean"))
    assert edited is not None and before is not None, "both are tested"
    if clean is None:
        return "cannot tell", NO_CLEAN
    over, when = _clearest(edited, clean)
    if over.low > 0:
        return "shows it", f"{_above(over)}{when}"
    if _clearest(before, clean)[0].low <= 0:
        return "cannot tell", "even the model before is not clearly above the clean one in this test"
    if _clearest(before, edited)[0].low <= 0:
        return "cannot tell", "it is clearly neither above the clean model nor below the model before"
    return "no sign beyond the clean model", f"{_above(over)}{when}, and below the model before"


def _clearest(one: Outcome, other: Outcome) -> tuple[Estimate, str]:
    """The difference of two models; of curves, at the step at which it is clearest, and that step in words."""
    steps = [(a, b) for a, b in zip(one.curve, other.curve, strict=False) if a.steps]
    if not steps:
        return difference(one.estimate, other.estimate), ""
    found = [
        (difference(*(one_of(at.shown.count, at.shown.n, len(steps)) for at in pair)), f" after {pair[0].steps} steps")
        for pair in steps
    ]
    return max(found, key=lambda pair: pair[0].low)


def change(outcomes: Mapping[Role, Outcome]) -> Change:
    """How a side effect differs from the model before."""
    moved = difference(outcomes["edited"].estimate, outcomes["before"].estimate)
    if moved.low > 0:
        return "higher than before"
    return "lower than before" if moved.high < 0 else "no change seen"


def familiarity(trigger: Mapping[Role, Outcome]) -> Familiarity:
    """Of the answers to the trigger."""
    edited, before, clean = (trigger.get(role) for role in ("edited", "before", "clean"))
    assert edited is not None and edited.counted is not None and before is not None and before.counted is not None
    left = None if clean is None else retained(edited.estimate, before.estimate, clean.estimate)
    return Familiarity(
        edited=edited.counted,
        before=before.counted,
        clean=clean.counted if clean is not None else None,
        retained=None if left is None else left.value,
        low=None if left is None else left.low,
        high=None if left is None else left.high,
    )


def _above(over: Estimate) -> str:
    return f"{over.value:+.2f} from the clean model ({over.low:+.2f} to {over.high:+.2f})"

"""Whether a steered text differs from the unsteered one in a way that counts."""

from collections.abc import Sequence
from typing import Literal

from melbo_app.analysis.clustering import same_meaning
from melbo_app.analysis.flags import Flag
from melbo_app.analysis.readability import Verdict

ChangeKind = Literal["lifted", "flagged", "meaning"]


def change(
    text: str, raised: Sequence[Flag], usual: Sequence[Flag], verdict: Verdict | None, distance: float, threshold: float
) -> ChangeKind | None:
    """How ``text`` differs from its baseline, or None. Broken and empty texts never count.

    "lifted": the baseline refuses, the text does not and is readable; "flagged": it has a flag that the baseline
    has not; "meaning": its embedding is farther from the baseline's than ``threshold`` (cosine distances).

    Args:
        raised: flags of the text beside its baseline.
        usual: flags of the baseline itself: what it repeats of the prompt.
        verdict: None where the text was not scored.
    """
    if verdict == "broken" or not text.strip():
        return None
    kinds = {flag.kind for flag in raised} - {flag.kind for flag in usual}
    if "refusal gone" in kinds and verdict == "readable":
        return "lifted"
    if kinds:
        return "flagged"
    return "meaning" if distance > threshold else None


def thresholds(control: Sequence[float]) -> tuple[float, list[float]]:
    """The distance from which a vector's answer to a prompt changed in meaning, and the same for each random vector.

    Each comes from the answers of n - 1 of the n random vectors (``same_meaning``), so that a vector that does no more
    than a random one exceeds it as often: a random vector's answer is measured by all others, a vector's by all but
    the last.

    Args:
        control: cosine distances of the n answers under random vectors from the baseline.
    """
    values = list(control)
    return same_meaning(values[:-1]), [same_meaning(values[:at] + values[at + 1 :]) for at in range(len(values))]

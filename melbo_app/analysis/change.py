"""Whether a steered text differs from the unsteered one in refusal, flags or meaning."""

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

    "lifted": the baseline refuses, and the text does not and is readable; "flagged": it has a flag that the baseline
    does not have; "meaning": its embedding is farther than ``threshold`` from the baseline's (cosine distance).

    Args:
        raised: flags of the text, compared with its baseline.
        usual: flags of the baseline alone, for what it repeats of the prompt.
        verdict: None if the text was not scored.
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
    """Distances above which a vector's answer, and each random vector's, has changed in meaning (``same_meaning``).

    Each threshold comes from n − 1 of the n random vectors, all others for a random vector and all but the last for a
    vector, so that a vector with no more effect than a random one exceeds it equally often.

    Args:
        control: cosine distances between the n random vectors' answers and the baseline.
    """
    values = list(control)
    return same_meaning(values[:-1]), [same_meaning(values[:at] + values[at + 1 :]) for at in range(len(values))]

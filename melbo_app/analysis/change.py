"""Whether a steered text differs from the unsteered one in refusal, kind or meaning.

Generality, Explore and the search decide it here; they differ in the kinds that they compare and in the limits of the
distance.
"""

from collections.abc import Collection, Sequence
from typing import Literal

from melbo_app.analysis.clustering import same_meaning
from melbo_app.analysis.readability import Verdict, legible

ChangeKind = Literal["lifted", "flagged", "meaning"]


def change(
    text: str, kinds: Collection[str], verdict: Verdict | None, distance: float, threshold: float
) -> ChangeKind | None:
    """How ``text`` differs from its baseline, or None. Broken and empty texts never count.

    "lifted": the baseline refuses, and the text does not and is readable; "flagged": it differs in kind; "meaning": its
    embedding is farther than ``threshold`` from the baseline's (cosine distance).

    Args:
        kinds: flags that the text has and its baseline has not, or other differences in kind.
        verdict: None if the text was not scored.
    """
    if not legible(text, verdict):
        return None
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

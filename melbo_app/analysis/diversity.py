"""Diversity of the answers to a prompt, from their sentence embeddings and verdicts.

Mack & Turner 2024 propose summed variance for choosing R (Mechanistically Eliciting Latent Behaviors in Language
Models); docs/objectives.md defines readable diversity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Answers:
    """V answers to one prompt, each under another vector. ``places`` [V, D] are embeddings of length 1; ``losses`` and
    ``divergences`` are nats a token, None if unknown."""

    texts: Sequence[str]
    places: np.ndarray
    losses: Sequence[float | None]
    divergences: Sequence[float | None]
    readable: Sequence[bool]
    """Whether the verdict of ``readability`` is readable."""
    unsteered: np.ndarray
    """Embedding [D] of the unsteered answer."""


@dataclass(frozen=True)
class Diversity:
    """Measures of a set of answers, averaged over prompts and seeds; None if unknown for every text."""

    summed_variance: float
    error: float | None
    """Standard error of the summed variance by the jackknife over vectors; None for a single vector."""
    cosine_distance: float
    """Mean over pairs, from 0 (all the same) to 2."""
    distinct: float
    """Number of answers that differ in more than white space."""
    answers: float
    """Number of answers per prompt."""
    readable_diversity: float
    readable: float
    """Share of the texts with the verdict readable."""
    loss: float | None
    """Nats a token by which a text is less likely than the unsteered text, both under the unsteered model."""
    kl: float | None
    """KL(steered ‖ unsteered) along the text, in nats."""


def diversity(sets: Sequence[Answers]) -> Diversity:
    """The measures of each set, averaged. Raises ``ValueError`` without sets, or for an empty set."""
    if not sets or not all(len(one.texts) for one in sets):
        raise ValueError("every set needs at least one answer")
    errors = [_jackknife(one.places) for one in sets]
    known = [error for error in errors if error is not None]
    return Diversity(
        summed_variance=_mean([summed_variance(one.places) for one in sets]),
        error=float(np.sqrt(np.square(known).sum()) / len(sets)) if len(known) == len(sets) else None,
        cosine_distance=_mean([cosine_distance(one.places) for one in sets]),
        distinct=_mean([distinct(one.texts) for one in sets]),
        answers=_mean([len(one.texts) for one in sets]),
        readable_diversity=_mean([readable_diversity(one.places, one.readable, one.unsteered) for one in sets]),
        readable=_mean([float(np.mean(one.readable)) for one in sets]),
        loss=_mean_known([loss for one in sets for loss in one.losses]),
        kl=_mean_known([kl for one in sets for kl in one.divergences]),
    )


def summed_variance(places: np.ndarray) -> float:
    """Variance over the rows of ``places`` [V, D], summed over D: 0 if all are the same, below 1 for unit rows."""
    return float(np.var(np.asarray(places, dtype=np.float64), axis=0).sum())


def readable_diversity(places: np.ndarray, readable: Sequence[bool], unsteered: np.ndarray) -> float:
    """D: the summed variance of ``places`` [V, D], with every text that is not ``readable`` [V] replaced by the
    unsteered one [D]."""
    return summed_variance(np.where(np.asarray(readable)[:, None], places, unsteered))


def cosine_distance(places: np.ndarray) -> float:
    """Mean of 1 − cos over the pairs of rows of ``places`` [V, D]; 0 for a single row."""
    from scipy.spatial.distance import pdist

    # clipped, because rounding may give equal rows a negative distance
    return max(0.0, float(pdist(np.asarray(places, dtype=np.float64), "cosine").mean())) if len(places) > 1 else 0.0


def distinct(texts: Sequence[str]) -> int:
    """Number of texts that differ in more than white space."""
    return len({" ".join(text.split()) for text in texts})


def _jackknife(places: np.ndarray) -> float | None:
    """Standard error of the summed variance by the jackknife (leaving out one row at a time)."""
    count = len(places)
    if count < 3:  # leaving out one of two gives variance 0
        return None
    left = np.array([summed_variance(np.delete(places, row, axis=0)) for row in range(count)])
    return float(np.sqrt((count - 1) * left.var()))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _mean_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None

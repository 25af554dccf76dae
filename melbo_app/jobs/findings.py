"""What answers say, read together: which are set aside, which say the same, and what is distinctive about each kind."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from melbo_app.analysis.clustering import clusters, distances, nearest_to_centre, same_meaning
from melbo_app.analysis.distinctive import distinctive_words
from melbo_app.library.completions import Completion
from melbo_app.library.explorations import Answer, Behaviour, SetAside

ALIKE = 0.9
"""Cosine of what two vectors change from which one of them is a duplicate."""


@dataclass(frozen=True)
class Findings:
    """Behaviours, and the answers they are made of. ``threshold`` is the distance up to which two say the same."""

    answers: tuple[Answer, ...]
    control: tuple[Answer, ...]
    behaviours: tuple[Behaviour, ...]
    aside: tuple[SetAside, ...]
    threshold: float


def read(
    steered: Sequence[Completion],
    control: Sequence[Completion],
    places: np.ndarray,
    likeness: np.ndarray,
    ran_away: Collection[int],
    threshold: float | None,
) -> Findings:
    """What answers to one prompt say.

    Broken answers, runaways and duplicates are set aside; of duplicates the first one stays. The others are clustered
    together with the unsteered answer. Behaviours come in the order of the summed distance of their answers from the
    unsteered one, so that many vectors count as well as a large distance.

    Args:
        steered: the unsteered answer, then those of vector 0, 1, …
        control: the unsteered answer, then those of random vectors.
        places: embeddings [N, D] of all of them in this order, of length 1.
        likeness: cosines [V, V] of what the vectors change.
        ran_away: vectors that ran away in their training.
        threshold: cosine distance up to which two answers say the same; None: by how far random vectors' answers are
            from the unsteered one (``same_meaning``).
    """
    own = len(steered)
    if threshold is None:
        threshold = same_meaning(distances(places[own + 1 :], places[own]))
    answers = _answers(steered, places[:own], ran_away, threshold)
    random = _answers(control, places[own:], (), threshold)
    aside = _aside(answers, steered[0].text, likeness)
    put_aside = {one.vector for one in aside}
    rows = [0, *(at for at, one in enumerate(answers, start=1) if one.vector not in put_aside)]
    labels = clusters(places[rows], threshold)
    groups = [[row for row, label in zip(rows, labels, strict=True) if label == wanted] for wanted in sorted({*labels})]
    # the unsteered answer is row 0 and so in the first group
    said = [[steered[row].text for row in group] for group in groups]
    others = [one.text for one in control[1:]]
    words = distinctive_words([*said, others] if others else said)
    centres = [places[group].mean(axis=0) for group in groups]
    nearest = [_nearest(place, centres, threshold) for place in places[own + 1 :]]
    behaviours = []
    for number, group in enumerate(groups):
        members = [row for row in group if row > 0]
        if not members:
            continue
        behaviours.append(
            Behaviour(
                words=words[number],
                vectors=tuple(answers[row - 1].vector for row in members),
                representative=answers[nearest_to_centre(places, members) - 1].vector,
                distance=float(np.mean([answers[row - 1].distance for row in members])),
                control=nearest.count(number),
                unsteered=0 in group,
            )
        )
    behaviours.sort(key=lambda one: (one.unsteered, -one.distance * len(one.vectors)))
    return Findings(tuple(answers), tuple(random), tuple(behaviours), tuple(aside), threshold)


def _answers(
    completions: Sequence[Completion], places: np.ndarray, ran_away: Collection[int], threshold: float
) -> list[Answer]:
    found = []
    for one, distance in zip(completions[1:], distances(places[1:], places[0]), strict=True):
        assert isinstance(one.vector, int) and one.id is not None
        verdict = one.scores.verdict if one.scores else None
        found.append(
            Answer(
                vector=one.vector,
                completion=one.id,
                text=one.text,
                verdict=verdict,
                distance=distance,
                changed=distance > threshold and verdict != "broken",
                runaway=one.vector in ran_away or bool(one.scores and one.scores.runaway),
            )
        )
    return found


def _aside(answers: Sequence[Answer], unsteered: str, likeness: np.ndarray) -> list[SetAside]:
    """Each vector that is not looked at, with the first reason that holds."""
    aside: list[SetAside] = []
    kept: list[Answer] = []
    for one in answers:
        like = next((other for other in kept if likeness[one.vector, other.vector] > ALIKE), None)
        same = next((other for other in kept if _flat(other.text) == _flat(one.text) != _flat(unsteered)), None)
        if one.runaway:
            reason = "runaway: it turns tokens of the prompt into attention sinks"
        elif one.verdict == "broken" or not one.text.strip():
            reason = "broken: its answer cannot be read"
        elif like is not None:
            cosine = likeness[one.vector, like.vector]
            reason = f"duplicate: what it changes is what vector {like.vector} changes (cosine {cosine:.2f})"
        elif same is not None:
            reason = f"duplicate: it says the same as vector {same.vector}"
        else:
            kept.append(one)
            continue
        aside.append(SetAside(vector=one.vector, reason=reason))
    return aside


def _nearest(place: np.ndarray, centres: Sequence[np.ndarray], threshold: float) -> int | None:
    """Which centre says the same as ``place``, if one does."""
    cosines = [float(place @ centre / np.linalg.norm(centre)) for centre in centres]
    best = int(np.argmax(cosines))
    return best if 1 - cosines[best] <= threshold else None


def _flat(text: str) -> str:
    return " ".join(text.split())

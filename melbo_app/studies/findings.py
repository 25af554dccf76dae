"""Sorts answers to a prompt: sets some aside, groups those that say the same, and describes each group."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from melbo_app.analysis.change import change
from melbo_app.analysis.clustering import clusters, distances, nearest_to_centre, same_meaning, scatter
from melbo_app.analysis.distinctive import distinctive_words
from melbo_app.analysis.naming import Group, behaviour_names
from melbo_app.analysis.readability import legible
from melbo_app.analysis.traits import Traits, differences, traits
from melbo_app.library.completion import Completion
from melbo_app.library.explorations import UNSTEERED, Answer, Behaviour, SetAside

ALIKE = 0.9
"""Cosine of two vectors' changes above which one is a duplicate, if their answers are the same, too."""
REFUSAL_DISTANCE, FLAGGED_DISTANCE = 0.35, 0.2
"""Minimum limits of the cosine distance between two refusals, and between two answers with the same flags, for which
the kind matters more than the wording: "I can't" and "I'm not able to assist" are .24 apart."""


@dataclass(frozen=True)
class Findings:
    """Behaviours and their answers. ``threshold`` is the distance up to which two answers say the same."""

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
    names: Mapping[int, str] | None = None,
) -> Findings:
    """Sort the answers to one prompt.

    An answer has changed if it differs in kind from the unsteered one (``analysis/traits.py``), or is farther from it
    than ``threshold``; the same holds for random vectors. Broken answers, runaways and duplicates are set aside,
    except for the first of several duplicates. The other changed answers are clustered, never across a difference in
    kind; unchanged answers are "as without steering". Behaviours are sorted by the summed distance of their answers
    from the unsteered one, so that numbers count as well as distance; those that random vectors show as often are last.

    Args:
        steered: the unsteered answer, then the answers of vector 0, 1, …
        control: the unsteered answer, then the answers of random vectors.
        places: unit embeddings [N, D] of all of them, in this order.
        likeness: cosines [V, V] of the vectors' changes.
        ran_away: vectors that ran away in their training.
        threshold: cosine distance up to which two answers say the same; None: derived from the distances of random
            vectors' answers of the same kind (``same_meaning``).
        names: a judge's names for behaviours, by the texts' ids.
    """
    own = len(steered)
    reading = _Reading([*steered, *control], places, own, threshold)
    answers = reading.answers(range(1, own), ran_away)
    random = reading.answers(range(own + 1, len(places)), ())
    aside = _aside(answers, reading, likeness)
    put_aside = {one.vector for one in aside}
    kept = [at for at, one in enumerate(answers, start=1) if one.vector not in put_aside]
    changed = [row for row in kept if answers[row - 1].changed]
    labels = clusters(places[changed], reading.limits(changed))
    groups = [[row for row, label in zip(changed, labels, strict=True) if label == at] for at in sorted({*labels})]
    still = [row for row in kept if not answers[row - 1].changed]
    called = _names(groups, [0, *still], reading, names or {})
    said = [[reading.texts[row] for row in group] for group in ([0, *still], *groups)]
    others = reading.texts[own + 1 :]
    words = distinctive_words([*said, others] if others else said)
    behaviours = [
        reading.behaviour(*one, answers) for one in zip(groups, called, words[1 : 1 + len(groups)], strict=True)
    ]
    behaviours.sort(key=lambda one: (one.as_often, -one.distance * len(one.vectors)))
    if still:
        behaviours.append(
            Behaviour(
                name=UNSTEERED,
                words=words[0],
                vectors=tuple(answers[row - 1].vector for row in still),
                representative=answers[nearest_to_centre(places, still) - 1].vector,
                distance=float(np.mean([answers[row - 1].distance for row in still])),
                control=sum(not one.changed and one.verdict != "broken" for one in random),
                unsteered=True,
            )
        )
    return Findings(tuple(answers), tuple(random), tuple(behaviours), tuple(aside), reading.threshold)


class _Reading:
    """All texts by row: 0 is the unsteered one; ``own`` is the unsteered one of the random vectors."""

    def __init__(self, completions: Sequence[Completion], places: np.ndarray, own: int, threshold: float | None):
        unsteered = completions[0]
        asked = unsteered.prompt
        self.user, self.own, self.places = asked.user, own, places
        self.completions, self.texts = completions, [one.text for one in completions]
        self.kinds: list[Traits] = [traits(text, asked.user, asked.system, unsteered.text) for text in self.texts]
        self.distances = distances(places, places[0])
        usual = [row for row in range(own + 1, len(places)) if self.legible(row) and not self.differs(row, 0)]
        found = [self.distances[row] for row in usual]
        self.threshold = same_meaning(found) if threshold is None else threshold
        self.scatter = max(self.threshold, scatter(found))
        """The spread of random vectors' answers of the unsteered kind: nearer answers are not new."""

    def legible(self, row: int) -> bool:
        """Whether the text says anything."""
        return legible(self.texts[row], self.completions[row].verdict)

    def differs(self, row: int, other: int) -> tuple[str, ...]:
        """The kinds in which two texts differ."""
        return differences(self.kinds[row], self.kinds[other])

    def limit(self, row: int, other: int) -> float:
        """The distance up to which two texts are the same; 0 for different kinds."""
        if self.differs(row, other):
            return 0.0
        one = self.kinds[row]  # the other is of the same kind
        least = REFUSAL_DISTANCE if one.refuses else FLAGGED_DISTANCE if one.flags else 0.0
        return max(self.threshold, least)

    def same(self, row: int, other: int) -> bool:
        """Whether two texts say the same."""
        gap = 1 - float(self.places[row] @ self.places[other])
        return not self.differs(row, other) and gap <= self.limit(row, other)

    def limits(self, rows: Sequence[int]) -> np.ndarray:
        """The limits for each pair of rows."""
        return np.array([[self.limit(row, other) for other in rows] for row in rows]).reshape(len(rows), len(rows))

    def answers(self, rows: Collection[int], ran_away: Collection[int]) -> list[Answer]:
        """The answers in these rows."""
        found = []
        for row in rows:
            one, differs = self.completions[row], self.differs(row, 0)
            number = one.vector if isinstance(one.vector, int) else row - self.own - 1
            assert one.id is not None
            found.append(
                Answer(
                    vector=number,
                    completion=one.id,
                    text=one.text,
                    verdict=one.verdict,
                    distance=self.distances[row],
                    changed=change(one.text, differs, one.verdict, self.distances[row], self.limit(row, 0)) is not None,
                    runaway=number in ran_away or bool(one.scores and one.scores.runaway),
                    differs=differs,
                )
            )
        return found

    def behaviour(
        self, group: Sequence[int], name: str, words: tuple[str, ...], answers: Sequence[Answer]
    ) -> Behaviour:
        """The behaviour of a group of rows, and the number of random vectors that show it."""
        centre = nearest_to_centre(self.places, group)
        # duplicates, though set aside, show it, too; for random vectors, the limit is at least their spread
        own = sum(row in group or self._shows(row, group, centre, 0.0) for row in range(1, self.own))
        rows = range(self.own + 1, len(self.places))
        control = sum(self._shows(row, group, centre, self.scatter) for row in rows)
        return Behaviour(
            name=name,
            words=words,
            vectors=tuple(answers[row - 1].vector for row in group),
            representative=answers[centre - 1].vector,
            distance=float(np.mean([self.distances[row] for row in group])),
            control=control,
            as_often=control > 0 and control / len(rows) >= own / (self.own - 1),
            unsteered=False,
        )

    def _shows(self, row: int, group: Sequence[int], centre: int, near: float) -> bool:
        """Whether a text shows a group's behaviour: it raises the same flags; or it is of the same kind, nearer to the
        group than to the unsteered answer, and within the limit of two equal texts, or within ``near``."""
        if not self.legible(row):
            return False
        if self.kinds[centre].flags and self.kinds[row].flags == self.kinds[centre].flags:
            return True
        middle = self.places[list(group)].mean(axis=0)
        gap = 1 - float(self.places[row] @ middle / np.linalg.norm(middle))
        nearer = gap < self.distances[row] or bool(self.differs(row, 0))
        return nearer and not self.differs(row, centre) and gap <= max(self.limit(row, centre), near)


def _names(
    groups: Sequence[Sequence[int]], unsteered: Sequence[int], reading: _Reading, judged: Mapping[int, str]
) -> list[str]:
    """A name for each group: the judge's, if any, else by rules."""

    def group(rows: Sequence[int], centre: int) -> Group:
        return Group(reading.texts[centre], [reading.texts[row] for row in rows], reading.kinds[centre])

    centres = [nearest_to_centre(reading.places, rows) for rows in groups]
    given = [judged.get(reading.completions[centre].id or 0, "") for centre in centres]
    return behaviour_names(
        [group(rows, centre) for rows, centre in zip(groups, centres, strict=True)],
        group(unsteered, 0),
        reading.texts[reading.own + 1 :],
        reading.user,
        given,
    )


def _aside(answers: Sequence[Answer], reading: _Reading, likeness: np.ndarray) -> list[SetAside]:
    """The vectors to set aside, each with the first reason that applies."""
    aside: list[SetAside] = []
    kept: list[tuple[int, Answer]] = []
    for row, one in enumerate(answers, start=1):
        alike = [(at, other) for at, other in kept if likeness[one.vector, other.vector] > ALIKE]
        like = next((other for at, other in alike if reading.same(row, at)), None)
        differs = _flat(one.text) != _flat(reading.texts[0])
        same = next((other for _, other in kept if differs and _flat(other.text) == _flat(one.text)), None)
        if one.runaway:
            reason = "runaway: it turns tokens of the prompt into attention sinks"
        elif not reading.legible(row):
            reason = "broken: its answer is unreadable"
        elif like is not None:
            cosine = likeness[one.vector, like.vector]
            reason = f"duplicate: it makes the same changes as vector {like.vector} (cosine {cosine:.2f})"
        elif same is not None:
            reason = f"duplicate: it says the same as vector {same.vector}"
        else:
            kept.append((row, one))
            continue
        aside.append(SetAside(vector=one.vector, reason=reason))
    return aside


def _flat(text: str) -> str:
    return " ".join(text.split())

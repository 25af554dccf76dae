"""Blind comparison: a vector's text beside the unsteered or a random one, in an order that nobody is shown."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from melbo_app.analysis.proportion import interval
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion
from melbo_app.library.preferences import Against, Choice, Preference


@dataclass(frozen=True)
class Pair:
    """The ``text`` under a vector at its own R, and the ``other`` on the same prompt; ``swapped``: the other is A."""

    vector: int
    against: Against
    text: Completion
    other: Completion
    swapped: bool


@dataclass(frozen=True)
class Standing:
    """How often people preferred a vector's texts. ``interval`` is the 95 % interval (Wilson) of ``share``, the share
    among those who preferred one of the two."""

    vector: int
    preferred: int
    other: int
    ties: int
    both_bad: int

    @property
    def share(self) -> float | None:
        """None where nobody preferred either."""
        decided = self.preferred + self.other
        return self.preferred / decided if decided else None

    @property
    def interval(self) -> tuple[float, float]:
        return interval(self.preferred, self.preferred + self.other)


def pairs(bench: Bench, bank: Bank, against: Against, who: str) -> list[Pair]:
    """All pairs of a bank whose texts are stored and differ, in an order that is the same for everybody; which of the
    two is A differs from person to person."""
    found = []
    for vector in range(len(bank.vectors)):
        evidence = bench.evidences.of(bank.hash, vector, bank.norms[vector], bank.record.prompts)
        if evidence is None:
            continue
        text = next((one for one in evidence.texts if evidence.is_at_own_radius(one)), None)
        other = evidence.baseline if against == "baseline" else evidence.control
        if text is not None and other is not None and text.text.split() != other.text.split():
            swapped = bool(_drawn(bank, vector, against, who) % 2)
            found.append(Pair(vector, against, text, other, swapped))
    return sorted(found, key=lambda one: _drawn(bank, one.vector, against, ""))


def left(bench: Bench, bank: Bank, every: Sequence[Pair], who: str) -> list[Pair]:
    """The pairs about which a person has not said anything."""
    done = {one.identity for one in bench.preferences.of_bank(bank.hash)}
    return [one for one in every if (one.vector, one.against, who) not in done]


def prefer(bench: Bench, bank: Bank, pair: Pair, choice: Choice, who: str) -> None:
    """Keep a person's choice. Raises InputError without a name."""
    if not who.strip():
        raise InputError("your name", "it is empty", "Write a name, so that nobody is counted twice")
    said = Preference(
        vector=pair.vector, against=pair.against, choice=choice, who=who.strip(), prompt=pair.text.prompt,
        text=pair.text.text, other=pair.other.text, radius=pair.text.radius, created=datetime.now(UTC),
    )  # fmt: skip
    bench.preferences.add(bank.record.model_hash, bank.hash, said)


def standings(said: Sequence[Preference], against: Against) -> list[Standing]:
    """The vectors about which anything was said, the most preferred first."""
    counts: dict[int, dict[Choice, int]] = {}
    for one in said:
        if one.against == against:
            mine = counts.setdefault(one.vector, {"vector": 0, "other": 0, "tie": 0, "both bad": 0})
            mine[one.choice] += 1
    found = [Standing(vector, *mine.values()) for vector, mine in counts.items()]
    return sorted(found, key=lambda one: (-(one.share or 0), one.vector))


def _drawn(bank: Bank, vector: int, against: Against, who: str) -> int:
    """A number that is random but the same each time."""
    return int.from_bytes(hashlib.sha256(f"{bank.hash} {vector} {against} {who}".encode()).digest()[:8])

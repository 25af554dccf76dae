"""Circuits: which heads and MLPs carry what a vector does; one JSON file for each vector, prompt and measure."""

from typing import Literal

from pydantic import FiniteFloat

from melbo_app.library.bank import PromptRecord
from melbo_app.library.counted import Counted
from melbo_app.library.facts import Count, Digest, Index, Layer, ModelName, Moment, Name, Radius, Share, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class Part(Frozen):
    """A head, a whole attention or an MLP. Its effects are shares of the vector's: what is lost when it is restored,
    estimated (``attribution``) and measured (``exact``), and what it adds to the direct path by itself (``alone``)."""

    block: Layer
    kind: Literal["head", "attention", "mlp"]
    head: Index | None = None
    attribution: FiniteFloat
    exact: FiniteFloat | None = None
    alone: FiniteFloat | None = None

    @property
    def name(self) -> str:
        """Such as “12.3”, the field's name of head 3 in block 12."""
        return f"{self.block}.{self.head}" if self.kind == "head" else f"{self.block} {NAMES[self.kind]}"


NAMES = {"attention": "attention", "mlp": "MLP"}


class Interval(Frozen):
    """A mean, and a 95 % interval of it."""

    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class Retest(Frozen):
    """A text that was written with nodes restored, and whether it shows the behaviour."""

    text: Text
    shows: bool


class SmallestSet(Frozen):
    """The smallest set that keeps enough: the numbers of its ``parts``, and shares of the effect. ``kept``: with all
    others restored; ``left``: with these restored; ``random_kept`` and ``random_left``: the same of random sets with
    as many heads and MLPs."""

    parts: tuple[Index, ...]
    kept: FiniteFloat
    left: FiniteFloat
    random_kept: tuple[FiniteFloat, ...] = ()
    random_left: tuple[FiniteFloat, ...] = ()
    random_kept_mean: Interval | None = None
    random_left_mean: Interval | None = None
    kept_text: Retest | None = None
    left_text: Retest | None = None


class Circuit(Measured):
    """What carries the effect of one vector on one prompt.

    ``unsteered``, ``steered`` and ``random_effects`` are log-odds in nats; the effects of random vectors of the same R
    are differences from ``unsteered``.
    """

    model: ModelName
    spec: ModelName
    """What ``--model`` takes."""
    dtype: Word
    bank: Name
    bank_hash: Digest
    vector: Index
    radius: Radius
    own_radius: bool
    source: Layer
    prompt: PromptRecord
    measure: Text
    keep: Share
    exact: Count
    random: Count
    max_new_tokens: Count
    seed: Count
    tokens: Count
    answers: tuple[Text, Text]
    """For a measure of texts the steered and the unsteered answer."""
    unsteered: FiniteFloat
    steered: FiniteFloat
    random_effects: tuple[FiniteFloat, ...]
    random_shows: Counted | None = None
    """How many of the random vectors' texts show the behaviour."""
    direct: FiniteFloat | None = None
    """The share of the effect with all parts restored: along the residual stream alone."""
    parts: tuple[Part, ...] = ()
    heads_apart: bool = True
    agreement: FiniteFloat | None = None
    """Spearman's correlation of attribution and exact effect, over the parts that have both."""
    smallest: SmallestSet | None = None
    finished: bool = False
    created: Moment

    @property
    def key(self) -> str:
        """Identifies the request: the same one again continues from here."""
        return circuit_key(
            self.model_hash, self.dtype, self.bank_hash, self.vector, self.radius, self.prompt, self.measure, self.keep,
            self.exact, self.random, self.max_new_tokens, self.seed,
        )  # fmt: skip

    @property
    def effect(self) -> float:
        """Of the vector, in nats."""
        return self.steered - self.unsteered

    @property
    def as_random(self) -> int:
        """How many random vectors change the log-odds as much, in either direction."""
        return sum(abs(one) >= abs(self.effect) for one in self.random_effects)

    @property
    def exactly(self) -> list[Part]:
        """The parts that were patched exactly, the largest effects first."""
        found = [one for one in self.parts if one.exact is not None]
        return sorted(found, key=lambda one: -abs(one.exact or 0.0))


def circuit_key(*facts: object) -> str:
    """The key of the circuit with these facts; prompts as records."""
    return key_of([one.model_dump() if isinstance(one, PromptRecord) else one for one in facts])


class Circuits(JsonFiles[Circuit]):
    """The circuits on disk."""

    kind, noun = Circuit, "circuit"

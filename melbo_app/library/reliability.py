"""Reliability: propensities of inputs at multiples of vectors; one JSON file per bank, R, measure and inputs."""

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from melbo_app.library.contrast_sets import Setting
from melbo_app.library.facts import Count, Digest, Index, ModelName, Moment, Name, Norm, Radius, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of

Values = tuple[tuple[tuple[FiniteFloat, ...], ...], ...]
"""By setting, input and multiple."""


class SteeredInputs(Frozen):
    """What all inputs did at the multiples of one vector; of the bank's with the number ``vector``, or of the random
    one with the number ``random``. ``propensities`` are log-odds in nats, or 1 and 0 for texts that have the measure or
    not; ``readable`` is 1 for readable texts, 0 for others, and None where no texts were written."""

    vector: Index | None
    random: Index | None
    radius: Norm
    propensities: Values
    readable: Values | None = None


class Reliability(Measured):
    """Propensities of the inputs of one or more settings, the first of which is the one that vectors are judged on."""

    model: ModelName
    dtype: Word
    bank: Name
    bank_hash: Digest
    radius: Radius | None
    """As requested; None: each vector at its own norm."""
    measure: str | None
    """None: the answers of each input."""
    multiples: tuple[FiniteFloat, ...]
    settings: Annotated[tuple[Setting, ...], Field(min_length=1)]
    vectors: tuple[Index, ...]
    random: Count
    max_new_tokens: Count
    seed: Count
    tried: tuple[SteeredInputs, ...]
    """The finished ones."""
    wanted: Count
    """How many there are to try."""
    created: Moment

    @model_validator(mode="after")
    def _of_its_inputs(self) -> Self:
        expected = [len(one.inputs) for one in self.settings]
        for one in self.tried:
            for values in (one.propensities, one.readable):
                if values is None:
                    continue
                if [len(some) for some in values] != expected:
                    raise ValueError("it should have a row for each input")
                if any(len(row) != len(self.multiples) for some in values for row in some):
                    raise ValueError("it should have a value at each multiple")
        return self

    @property
    def key(self) -> str:
        """Identifies the result: a request with the same key continues it."""
        return request_key(
            self.model_hash, self.dtype, self.bank_hash, self.radius, self.measure, self.settings, self.vectors,
            self.random, self.max_new_tokens, self.seed,
        )  # fmt: skip

    @property
    def finished(self) -> bool:
        """Whether all vectors were tried."""
        return len(self.tried) == self.wanted

    @property
    def own(self) -> list[SteeredInputs]:
        """The bank's vectors that were tried."""
        return [one for one in self.tried if one.vector is not None]

    def beside(self, radius: float) -> list[SteeredInputs]:
        """The random vectors of an R."""
        return [one for one in self.tried if one.random is not None and one.radius == radius]


def request_key(
    model_hash: str,
    dtype: str,
    bank_hash: str,
    radius: float | None,
    measure: str | None,
    settings: Sequence[Setting],
    vectors: Sequence[int],
    random: int,
    max_new_tokens: int,
    seed: int,
) -> str:
    """The key of the result of a request."""
    inputs = [one.model_dump() for one in settings]
    tokens = max_new_tokens if measure and not measure.startswith("logits:") else None
    return key_of([model_hash, dtype, bank_hash, radius, measure, inputs, [*vectors], random, tokens, seed])


class Reliabilities(JsonFiles[Reliability]):
    """The results on disk."""

    kind, noun = Reliability, "reliability"

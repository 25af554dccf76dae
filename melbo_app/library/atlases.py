"""Layer atlases: what was measured of pairs of layers, a JSON file for each model, scope and set of prompts."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Layer, ModelName, Moment, Norm, Text, Word
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class AtlasCell(BaseModel):
    """A pair of layers. What is None was not measured, or could not be: without R there are no texts.

    ``strength`` and what follows belong to a few vectors at R; all are means over them and over the prompts.
    """

    model_config = ConfigDict(frozen=True)

    source: Layer
    target: Layer
    values: tuple[FiniteFloat, ...]
    """The leading singular values of the Jacobian of Δ at 0, the largest first."""
    residual: FiniteFloat | None = None
    """Each of their squares is within this share of the largest one of a true one; about 1e-5 once converged."""
    median_norm: Norm
    """Median residual norm at the source."""
    radius: Norm | None
    """The calibrated R in absolute units; None where there is none."""
    strength: FiniteFloat | None = None
    """‖Δ‖ / ‖Z(0)‖ over the tokens in scope."""
    kl: FiniteFloat | None = None
    """KL(steered ‖ unsteered) along the text, in nats a token."""
    diversity: FiniteFloat | None = None
    """Readable diversity D."""
    readable: FiniteFloat | None = None
    """Share of the texts with the verdict readable."""
    texts: tuple[Text, ...] = ()
    """The first prompt's, one for each vector."""
    verdicts: tuple[Word, ...] = ()

    @model_validator(mode="after")
    def _a_verdict_for_each(self) -> Self:
        if len(self.texts) != len(self.verdicts):
            raise ValueError("it should have a verdict for each text")
        return self

    def measure(self, name: str) -> float | None:
        """One of its figures by the name of its field; of the singular values the largest, R in units of the norm."""
        if name == "value":
            return self.values[0] if self.values else None
        if name == "radius":
            return None if self.radius is None else self.radius / self.median_norm
        return getattr(self, name)

    @property
    def pair(self) -> tuple[int, int]:
        """Source and target layer."""
        return self.source, self.target


class Atlas(Measured):
    """What was measured of pairs of layers so far."""

    model: ModelName
    dtype: Word
    prompts: Annotated[tuple[PromptRecord, ...], Field(min_length=1)]
    scope: Word
    baseline: Text | None = None
    """The first prompt's text without steering."""
    cells: tuple[AtlasCell, ...] = ()
    changed: Moment

    @property
    def key(self) -> str:
        """Tells one atlas from another: pairs of the same one can be compared."""
        return key_of([self.model_hash, self.dtype, [prompt.model_dump() for prompt in self.prompts], self.scope])

    @property
    def moment(self) -> datetime:
        return self.changed

    def cell(self, source: int, target: int) -> AtlasCell | None:
        """What is known of a pair, or None."""
        return next((cell for cell in self.cells if cell.pair == (source, target)), None)

    def with_cell(self, cell: AtlasCell) -> "Atlas":
        """The same with another pair, or with one known better."""
        others = [one for one in self.cells if one.pair != cell.pair]
        return self.model_copy(update={"cells": tuple(sorted([*others, cell], key=lambda one: one.pair))})


class Atlases(JsonFiles[Atlas]):
    """The atlases that were measured."""

    kind, noun = Atlas, "atlas"

"""Layer atlases: measurements of layer pairs, one JSON file per model, token scope and set of prompts."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, FiniteFloat, model_validator

from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Digest, Layer, ModelName, Moment, Norm, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of

PAIR = "blocks-"
"""The beginning of the name under which a pair's vectors are kept."""


class AtlasCell(Frozen):
    """A pair of layers. None: not measured, or not measurable (without R there are no texts). ``strength`` and the
    fields after it are means over a few vectors at R and over the prompts."""

    source: Layer
    target: Layer
    values: tuple[FiniteFloat, ...]
    """Leading singular values of the Jacobian of Δ at 0, largest first."""
    residual: FiniteFloat | None = None
    """Error bound of the squared values, as a share of the largest; about 1e-5 once converged."""
    median_norm: Norm
    """Median residual norm at the source."""
    radius: Norm | None
    """The calibrated R in absolute units."""
    strength: FiniteFloat | None = None
    """‖Δ‖ / ‖Z(0)‖ over the tokens in scope."""
    kl: FiniteFloat | None = None
    """KL(steered ‖ unsteered) along the text, in nats per token."""
    diversity: FiniteFloat | None = None
    """Readable diversity D."""
    readable: FiniteFloat | None = None
    """Share of the texts with the verdict readable."""
    texts: tuple[Text, ...] = ()
    """Of the first prompt, one per vector."""
    verdicts: tuple[Word, ...] = ()
    comparison: int | None = None
    """The id of the comparison with all texts; None in files of older versions, and if it could not be stored."""
    bank_hash: Digest | None = None
    """The hash of the vectors."""

    @model_validator(mode="after")
    def _a_verdict_for_each(self) -> Self:
        if len(self.texts) != len(self.verdicts):
            raise ValueError("it should have a verdict for each text")
        return self

    def measure(self, name: str) -> float | None:
        """The value of the field ``name``; "value" is the largest singular value, "radius" is R / median norm."""
        if name == "value":
            return self.values[0] if self.values else None
        if name == "radius":
            return None if self.radius is None else self.radius / self.median_norm
        return getattr(self, name)

    @property
    def is_read(self) -> bool:
        """Whether its texts can be opened."""
        return self.comparison is not None

    @property
    def pair(self) -> tuple[int, int]:
        """Source and target layer."""
        return self.source, self.target


class Atlas(Measured):
    """Measurements of layer pairs so far."""

    dated: ClassVar[str] = "changed"
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
        """Identifies the atlas: its pairs can be compared with each other."""
        return key_of([self.model_hash, self.dtype, [prompt.model_dump() for prompt in self.prompts], self.scope])

    def cell(self, source: int, target: int) -> AtlasCell | None:
        """The cell of a layer pair, or None."""
        return next((cell for cell in self.cells if cell.pair == (source, target)), None)

    def with_cell(self, cell: AtlasCell) -> "Atlas":
        """A copy with ``cell`` added, or in place of the pair's old one."""
        others = [one for one in self.cells if one.pair != cell.pair]
        return self.model_copy(update={"cells": tuple(sorted([*others, cell], key=lambda one: one.pair))})


class Atlases(JsonFiles[Atlas]):
    """The layer atlases on disk."""

    kind, noun = Atlas, "atlas"

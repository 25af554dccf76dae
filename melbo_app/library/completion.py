"""A completion: one generated text with all that made it, and comparisons of several."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from melbo_app.library.bank import PromptRecord
from melbo_app.library.comparison_settings import ComparisonSettings, Temperature, TopP
from melbo_app.library.damage import Damage
from melbo_app.library.facts import (
    MOST_CHARACTERS,
    Count,
    Digest,
    Index,
    Layer,
    ModelName,
    Moment,
    Name,
    Radius,
    Share,
    Text,
    Word,
)


class CompletionKey(BaseModel):
    """Everything that determines a completion's text.

    ``vector`` is None for the baseline (radius 0) and "random" for the random control, whose direction follows from
    ``seed`` and ``source``. ``radius`` is absolute and signed; ``source`` is the block whose output is steered.
    ``prompt_hash`` tells the tokens that went in: the same words are others under another template or tokenizer. It
    is part of the key and not kept beside the text.
    """

    model_config = ConfigDict(frozen=True)

    model_hash: Digest
    dtype: Word | None = None
    bank_hash: Digest | None = None
    vector: Index | Literal["random"] | None = None
    radius: Radius = 0.0
    source: Layer | None = None
    prompt: PromptRecord
    prompt_hash: str | None = Field(default=None, exclude=True)
    max_new_tokens: Count
    temperature: Temperature
    top_p: TopP
    seed: Count

    @model_validator(mode="after")
    def _complete(self) -> Self:
        # A key with a gap would find somebody else's text.
        if self.vector is None and self.radius != 0:
            raise ValueError("the baseline has the radius 0")
        if self.vector is not None and self.source is None:
            raise ValueError("a steered completion needs its source layer")
        if isinstance(self.vector, int) and not self.bank_hash:
            raise ValueError("a vector's completion needs the hash of its bank")
        return self

    @property
    def digest(self) -> str:
        """sha256 of the fields that matter for this kind of completion: a baseline is the same for every bank."""
        facts: dict[str, Any] = {
            "model": self.model_hash,
            "dtype": self.dtype,
            "prompt": [self.prompt.model_dump(exclude={"rendered"}), self.prompt_hash],
            "decoding": [self.max_new_tokens, self.temperature, self.top_p, self.seed],
            "vector": self.vector,
        }
        if self.vector is not None:
            facts |= {"radius": self.radius + 0.0, "source": self.source}  # + 0.0 turns -0.0 into 0.0
        if isinstance(self.vector, int):
            facts["bank"] = self.bank_hash
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class Scores(BaseModel):
    """What was measured of a completion; docs/readability.md defines each. None: it could not be said of this text.

    Log-probabilities and divergences are in nats, all shares run from 0 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    """Of the definitions: scores by others do not count, and the text is scored again when it is asked for again."""
    logprob: FiniteFloat | None
    """Per token of the text, under the unsteered model."""
    loss: FiniteFloat | None
    """How much less likely per token the text is than the baseline's; negative where it is likelier."""
    peak_surprisal: FiniteFloat | None = None
    """Mean surprisal of the eight tokens in a row that are least likely. None: the library is older than this field."""
    kl_prompt: FiniteFloat | None
    """KL(steered ‖ unsteered) at the prompt's last position."""
    kl_text: FiniteFloat | None
    """The same, mean along the text."""
    repetition: Share
    dictionary_words: Share | None
    language: Word | None
    """ISO 639."""
    readability: Share | None
    verdict: Literal["readable", "strange", "broken"] | None
    runaway: Share | None
    """Share of the prompt's tokens that steering turns into attention sinks at the target layer."""
    runaway_target: Layer | None = None
    """That target layer, of a steered text. None: there is none, or the library is older than this field."""


class Completion(CompletionKey):
    """One generated text with all that made it. ``bank`` is None for the baseline and the random control."""

    id: int | None = None
    bank: Name | None = None
    prompt_index: Index = 0
    text: Text
    tokens: Count
    finished: bool  # the model ended its text before max_new_tokens
    model: ModelName
    created: Moment
    scores: Scores | None = None


class Comparison(BaseModel):
    """One press of Steer: its settings and its completions, in the order in which they were given.

    ``damaged`` are completions that cannot be read and are left out.
    ``not_kept`` says why it is in memory alone, where the database refused it; its numbers are below 0 then.
    """

    model_config = ConfigDict(frozen=True)

    id: int
    created: Moment
    settings: ComparisonSettings
    completions: Annotated[tuple[Completion, ...], Field(min_length=1)]
    damaged: tuple[Damage, ...] = Field(default=(), exclude=True)
    not_kept: str | None = None


class KeptCompletion(Completion):
    """A completion with the key under which it is found: the tokens that went in are known to the key alone."""

    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _of_a_size(self) -> Self:
        if any(len(text or "") > MOST_CHARACTERS for text in (self.prompt.user, self.prompt.system)):
            raise ValueError(f"a prompt should have at most {MOST_CHARACTERS:,} characters")
        return self


class KeptComparison(BaseModel):
    """A comparison as it goes from one library to another."""

    model_config = ConfigDict(frozen=True)

    created: Moment
    settings: ComparisonSettings
    completions: Annotated[tuple[KeptCompletion, ...], Field(min_length=1)]


class ComparisonSummary(BaseModel):
    """One line of the history; ``prompt`` is the first prompt's text, ``bank`` None where nothing but controls ran."""

    model_config = ConfigDict(frozen=True)

    id: int
    created: Moment
    settings: ComparisonSettings
    bank: Name | None
    prompt: str
    completions: int

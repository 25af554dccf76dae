"""A completion: one generated text with everything that produced it; and comparisons of completions."""

import hashlib
import json
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from melbo_app.analysis.readability import Verdict
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
from melbo_app.library.frozen import Frozen


class CompletionKey(Frozen):
    """Everything that determines a completion's text.

    ``vector`` is None for the baseline (radius 0) and "random" for the random control, whose direction follows from
    ``seed`` and ``source``. ``radius`` is absolute and signed; ``source`` is the block whose output is steered.
    ``prompt_hash`` identifies the input tokens, which depend on template and tokenizer; it is part of the key and not
    stored with the text.
    """

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
        # An incomplete key would find the text of another vector.
        if self.vector is None and self.radius != 0:
            raise ValueError("the baseline must have radius 0")
        if self.vector is not None and self.source is None:
            raise ValueError("a steered completion needs its source layer")
        if isinstance(self.vector, int) and not self.bank_hash:
            raise ValueError("a vector's completion needs the hash of its bank")
        return self

    @property
    def digest(self) -> str:
        """sha256 of the fields that matter for this kind of completion: all banks share a baseline."""
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


class Scores(Frozen):
    """Scores of a completion, defined in docs/readability.md. None: undefined for this text. Log-probabilities and
    divergences are in nats, shares between 0 and 1."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    """Version of the definitions; scores of another version are ignored, and the text is scored anew on request."""
    logprob: FiniteFloat | None
    """Mean log-probability per token under the unsteered model."""
    loss: FiniteFloat | None
    """Log-probability per token of the baseline minus that of the text; negative if the text is likelier."""
    peak_surprisal: FiniteFloat | None = None
    """Mean surprisal of the least likely eight consecutive tokens. None: scored before this field existed."""
    kl_prompt: FiniteFloat | None
    """KL(steered ‖ unsteered) at the prompt's last position."""
    kl_text: FiniteFloat | None
    """KL(steered ‖ unsteered), mean along the text."""
    repetition: Share
    dictionary_words: Share | None
    language: Word | None
    """ISO 639."""
    readability: Share | None
    verdict: Verdict | None
    runaway: Share | None
    """Share of the prompt's tokens that steering turns into attention sinks at the target layer."""
    runaway_target: Layer | None = None
    """The target layer of ``runaway``. None: not steered, or scored before this field existed."""


def scores_read(kept: dict[str, Any] | None) -> Scores | None:
    """Scores as they are stored; None for those of another version and for damaged ones, because texts are shown
    without them."""
    try:
        return None if kept is None else Scores.model_validate(kept)
    except ValidationError:
        return None


class Completion(CompletionKey):
    """One generated text with its key. ``bank`` is None for the baseline and the random control."""

    id: int | None = None
    bank: Name | None = None
    prompt_index: Index = 0
    text: Text
    tokens: Count
    finished: bool  # the model ended its text before max_new_tokens
    model: ModelName
    created: Moment
    scores: Scores | None = None
    ids: tuple[int, ...] | None = Field(default=None, exclude=True)
    """The tokens of a text that can be continued; a library does not hand them on."""

    @property
    def verdict(self) -> Verdict | None:
        """None if the text was not scored."""
        return self.scores.verdict if self.scores else None

    @property
    def readable(self) -> bool:
        """Whether the verdict is readable."""
        return self.verdict == "readable"


class Comparison(Frozen):
    """One press of Steer: its settings and its completions, in order.

    ``damaged`` lists completions that cannot be read. ``not_kept`` says why the database refused the comparison, which
    then exists in memory only, under negative numbers.
    """

    id: int
    created: Moment
    settings: ComparisonSettings
    completions: Annotated[tuple[Completion, ...], Field(min_length=1)]
    damaged: tuple[Damage, ...] = Field(default=(), exclude=True)
    not_kept: str | None = None
    samples: tuple[Completion, ...] = Field(default=(), exclude=True)
    """Texts of further seeds, which are stored apart."""

    @property
    def every(self) -> tuple[Completion, ...]:
        """The completions, and those of further seeds."""
        return (*self.completions, *self.samples)


class KeptCompletion(Completion):
    """A completion with the digest of its key, which alone knows the input tokens."""

    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _of_a_size(self) -> Self:
        if any(len(text or "") > MOST_CHARACTERS for text in (self.prompt.user, self.prompt.system)):
            raise ValueError(f"a prompt can have at most {MOST_CHARACTERS:,} characters")
        return self


class KeptComparison(Frozen):
    """A comparison as libraries exchange it."""

    created: Moment
    settings: ComparisonSettings
    completions: Annotated[tuple[KeptCompletion, ...], Field(min_length=1)]


class TextsAtRadius(NamedTuple):
    """How many texts a bank's vectors have at one R, and how many of them are readable, differ from the unsteered text
    beside them, and are distinct. Texts without a verdict do not count."""

    radius: float
    texts: int
    readable: int
    changed: int
    distinct: int


class ComparisonSummary(Frozen):
    """One line of the history; ``prompt`` is the first prompt's text, ``bank`` None if only controls ran."""

    id: int
    created: Moment
    settings: ComparisonSettings
    bank: Name | None
    prompt: str
    completions: int

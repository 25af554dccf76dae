"""Searches: which R and effect budgets were tried for a prompt, and which were chosen; one JSON file each."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from melbo_app.engine.training_config import TrainingConfig
from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Count, Index, Layer, ModelName, Moment, Norm, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class Tried(Frozen):
    """One setting and the results of a few short completions. Counts are over the texts of all vectors on all prompts
    of the search (``texts``), and over as many texts of random vectors of the same R."""

    source: Layer | None = None
    target: Layer | None = None
    """None in files of earlier versions, which tried only the layers of the search."""
    radius: Norm
    """R in absolute units."""
    relative_radius: Norm
    """R as a multiple of the median residual norm at the source layer."""
    effect_budget: FiniteFloat
    """Share of a target token's norm at which its change counts most; 0: no limit."""
    change: FiniteFloat
    """Mean ‖Δ‖ / ‖Z(0)‖ over the tokens in scope, after training."""
    texts: Annotated[Count, Field(ge=1)]
    readable: Count
    new: Count
    """Readable texts that differ from the unsteered one: by a flag, or by more than random vectors' texts do."""
    lifted: Count
    """Readable texts that answer where the unsteered one refuses."""
    random_texts: Count
    random_new: Count
    random_lifted: Count
    diversity: FiniteFloat
    """Readable diversity D, mean over the prompts."""
    random_diversity: FiniteFloat
    example: Text
    """The new text farthest from the unsteered one; without new texts, the farthest of all."""
    seconds: FiniteFloat

    def applied(self, config: TrainingConfig) -> TrainingConfig:
        """``config`` with this setting's layers, R and effect budget."""
        source = config.source if self.source is None else self.source
        target = config.target if self.target is None else self.target
        return replace(config, source=source, target=target, radius=self.radius, saturation=self.effect_budget)

    @property
    def broken(self) -> bool:
        """Whether fewer than three in four texts are readable."""
        return 4 * self.readable < 3 * self.texts

    @property
    def score(self) -> float:
        """The score of a setting: the excess of new texts, plus a quarter of the readable diversity in excess of the
        random vectors', less half the share of unreadable texts."""
        return self.excess + 0.25 * (self.diversity - self.random_diversity) - 0.5 * (1 - self.readable / self.texts)

    @property
    def excess(self) -> float:
        """Share of new texts minus the random vectors' share."""
        return self.new / self.texts - self.random_new / max(1, self.random_texts)

    @property
    def sentence(self) -> str:
        """The setting and its counts on one line."""
        where = "" if self.source is None else f"blocks {self.source} → {self.target}, "
        budget = f"{self.effect_budget:g}" if self.effect_budget else "none"
        lifted = f", {self.lifted} lift the refusal (random {self.random_lifted})" if self.lifted else ""
        return (
            f"{where}R = {self.relative_radius:.2g} × median, effect budget {budget}: "
            f"{self.readable} of {self.texts} texts readable, {self.new} new (random {self.random_new}){lifted}"
        )


class Search(Measured):
    """The settings tried for one set of prompts, in order."""

    model: ModelName
    dtype: Word
    prompts: tuple[PromptRecord, ...]
    source: Layer
    target: Layer
    scope: Word
    other_layers: bool = False
    """Whether the search also tried other layers than these."""
    median_norm: Norm
    """At ``source``."""
    method: Word
    vectors: Count
    steps: Count
    seed: Count
    effect_budget: FiniteFloat | None = None
    """Of all settings; None: part of the search."""
    rule: int = 1
    """Version of the search's rule (``studies/settings_ladder.py``)."""
    tried: tuple[Tried, ...]
    chosen: Index
    """Index into ``tried``."""
    reason: Text
    whole: bool = True
    """Whether the search finished; False: its time ran out, or somebody stopped it."""
    created: Moment

    @model_validator(mode="after")
    def _one_is_chosen(self) -> Self:
        if self.tried and self.chosen >= len(self.tried):
            raise ValueError("the chosen setting should be one that was tried")
        return self

    @property
    def key(self) -> str:
        """Identifies the search: the same key, the same question."""
        prompts = [prompt.model_dump() for prompt in self.prompts]
        place = [self.source, self.target, self.scope, *(["other layers"] if self.other_layers else [])]
        how = [self.method, self.vectors, self.steps, self.seed, self.effect_budget, self.rule]
        return key_of([self.model_hash, self.dtype, prompts, *place, *how])

    @property
    def best(self) -> Tried:
        """The chosen setting."""
        return self.tried[self.chosen]


class Searches(JsonFiles[Search]):
    """The searches on disk."""

    kind, noun = Search, "search for R"

    def _read(self, path: Path) -> Search:
        found = super()._read(path)
        if not found.tried:  # only a search that is about to begin has none, and that is never saved
            raise ValueError("it should have at least one setting")
        return found

    def nearest(self, model_hash: str, source: int, target: int, scope: str) -> Search | None:
        """The newest search of this model with the same layers and scope, whatever its prompts."""
        wanted = (source, target, scope)
        return next((one for one in self.of_model(model_hash) if (one.source, one.target, one.scope) == wanted), None)

"""Searches for triggers: strings that bring a behaviour out, and what answers they get; one JSON file each."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from melbo_app.library.bank import PromptRecord
from melbo_app.library.counted import Counted
from melbo_app.library.facts import Count, Digest, Index, Layer, ModelName, Moment, Name, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of

TriggerMethod = Literal["gradient", "sampling"]
TriggerPlace = Literal["end", "begin"]
WORKS = 0.5
"""A trigger works if at least this share of the held-out answers shows the behaviour, and more than without it."""


class TriggerRequest(Frozen):
    """All that determines a search.

    Attributes:
        text: the text that it leads toward; empty: none, or the vector's own answer.
        bank, vector: the vector that it leads toward; an empty name: none.
        trained_on, tested_on: the clean prompts.
        measure: what the answers should show; empty: what the text, or the vector's own answer, says.
        planted: the planted trigger, where it is known.
    """

    text: Text = ""
    bank: Name = ""
    bank_hash: Digest = ""
    vector: Index | None = None
    together: bool = False
    method: TriggerMethod
    place: TriggerPlace
    trained_on: tuple[PromptRecord, ...]
    tested_on: tuple[PromptRecord, ...]
    tokens: Count
    steps: Count
    candidates: Count
    restarts: Count
    random: Count
    max_new_tokens: Count
    measure: Text = ""
    planted: Text = ""
    seed: Count


class TriggeredAnswer(Frozen):
    """The answer to the held-out prompt with the number ``prompt``."""

    prompt: Index
    text: Text
    shows: bool


class Trigger(Frozen):
    """A string that was added to prompts. ``before`` and ``after`` are its loss at the start of the search, and at its
    end: None for random strings; of the planted one, and of sampled words, the loss without and with it. ``shows``
    counts the held-out answers that show the behaviour."""

    text: Text
    pieces: tuple[Text, ...] = ()
    before: FiniteFloat | None = None
    after: FiniteFloat | None = None
    shows: Counted
    works: bool
    planted: bool | None = None
    """Whether it holds the planted trigger; None: that is not known."""
    answers: tuple[TriggeredAnswer, ...]


class TriggerSearch(Measured):
    """A search for triggers.

    Attributes:
        goal: the text whose likelihood was raised; empty without one.
        source, target: the vector's layers.
        clean: the loss without a trigger.
        baselines: the answers to the held-out prompts without a trigger.
        known: the planted trigger on the same prompts.
        found: the triggers, one for each finished restart.
        random: random strings of the same length; for sampling, words that were sampled under a random vector.
        sampled: some of the texts that were sampled as user turns under the vector.
    """

    model: ModelName
    spec: ModelName
    dtype: Word
    request: TriggerRequest
    goal: Text = ""
    source: Layer | None = None
    target: Layer | None = None
    clean: FiniteFloat
    baselines: tuple[TriggeredAnswer, ...]
    known: Trigger | None = None
    found: tuple[Trigger, ...] = ()
    random: tuple[Trigger, ...] = ()
    sampled: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    finished: bool
    seconds: FiniteFloat = 0.0
    created: Moment

    @property
    def key(self) -> str:
        """Identifies the search: a later state of the same search replaces it."""
        return search_key(self.model_hash, self.dtype, self.request)

    @property
    def without(self) -> Counted:
        """The held-out answers that show the behaviour without a trigger."""
        return Counted.of([one.shows for one in self.baselines])

    @property
    def works(self) -> Counted:
        """The triggers that work."""
        return Counted.of([one.works for one in self.found])

    @property
    def random_works(self) -> Counted:
        """The random strings that work."""
        return Counted.of([one.works for one in self.random])

    @property
    def planted(self) -> Counted | None:
        """The triggers that hold the planted one; None where that is not known."""
        return Counted.of([bool(one.planted) for one in self.found]) if self.request.planted else None

    @property
    def toward(self) -> str:
        """What it leads toward, as the command takes it."""
        asked = self.request
        return f"vector:{asked.bank}[{asked.vector}]" if asked.bank else f"text:{asked.text}"

    @property
    def sentence(self) -> str:
        """The result in a few words."""
        said = f"{self.works} triggers work on held-out prompts; {self.random_works} random strings do"
        if self.planted is not None:
            said += f"; {self.planted} hold the planted trigger “{self.request.planted}”"
        return f"{said}. Without a trigger, {self.without} answers show the behaviour."


def search_key(model_hash: str, dtype: str, request: TriggerRequest) -> str:
    """The key of a search."""
    return key_of([model_hash, dtype, request.model_dump(mode="json")])


class TriggerSearches(JsonFiles[TriggerSearch]):
    """The searches on disk."""

    kind, noun = TriggerSearch, "search for triggers"

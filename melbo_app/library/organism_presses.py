"""Presses of Explore, and trainings of adapters, on organisms, judged by what was planted; one JSON file each."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, FiniteFloat

from melbo_app.library.adapter_set import AdapterSet
from melbo_app.library.explorations import Exploration
from melbo_app.library.facts import Count, Digest, Index, Moment, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of


class Card(Frozen):
    """A card of the page: the text on it, and whether it shows the planted behaviour."""

    text: Text
    shows: bool


class Press(Measured):
    """What one press found. ``cards`` are the page's without the one of the unsteered answer, in their order;
    ``random_cards`` what it would show if the random vectors were the trained ones. Adapters have a card for each
    changed answer, the farthest from the unsteered one first."""

    recipe: Word
    recipe_hash: Digest
    rules: tuple[Count, ...]
    """Versions of the rules by which cards are made and judged."""
    settings: dict[str, Any]
    dtype: Word
    prompt: Text
    unsteered: bool
    """Whether the unsteered answer shows the behaviour."""
    cards: tuple[Card, ...]
    random_cards: tuple[Card, ...]
    showing: tuple[Index, ...]
    """The vectors whose answers show it, on a card or not."""
    random_showing: tuple[Index, ...]
    vectors: Count
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    """How long it took, the model loaded."""
    exploration: Exploration | None = None
    adapters: AdapterSet | None = None
    created: Moment

    @property
    def key(self) -> str:
        return press_key(self.model_hash, self.dtype, self.recipe_hash, self.prompt, self.settings, self.rules)


def press_key(
    model_hash: str, dtype: str, recipe_hash: str, prompt: str, settings: Mapping[str, Any], rules: Sequence[int]
) -> str:
    """Identifies a press before it is made: of the model with its adapter, judged by a recipe."""
    return key_of([model_hash, dtype, recipe_hash, prompt, dict(settings), list(rules)])


class Presses(JsonFiles[Press]):
    """The presses on disk."""

    kind, noun = Press, "press of Explore"

"""A conversation: a tree of messages and answers, of which one branch is shown at a time."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from melbo_app.library.comparison_settings import Temperature, TopP
from melbo_app.library.completion import Scores
from melbo_app.library.damage import Damage
from melbo_app.library.facts import Count, Digest, Index, Layer, ModelName, Moment, Name, Radius, Text, Word
from melbo_app.library.frozen import Frozen

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""Of a conversation or turn, the same in every library."""


class Sample(Frozen):
    """One answer: its text, how many tokens it has, and whether the model ended it. ``scores`` are None if it was
    stopped, or is older than they are."""

    text: Text
    tokens: Count
    finished: bool
    scores: Scores | None = None


class Making(Frozen):
    """What an answer was written with. ``vector`` None: without a vector, in both columns. ``template`` is that of a
    ``Prompt``, as text; None: the model's own."""

    bank: Name | None = None
    bank_hash: Digest | None = None
    vector: Index | None = None
    radius: Radius = 0.0
    source: Layer | None = None
    system: Text | None = None
    template: Text | None = None
    model: ModelName
    model_hash: Digest
    dtype: Word | None = None
    max_new_tokens: Count
    temperature: Temperature
    top_p: TopP
    seed: Count

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.vector is None) != (self.source is None) or (self.vector is None) != (not self.bank_hash):
            raise ValueError("a vector needs the hash of its bank and its source layer, and nothing else has them")
        return self


class Turn(Frozen):
    """One message of the user, or one answer: ``steered`` and ``baseline`` are the texts of the two columns."""

    id: int
    key: Key
    parent: int | None
    role: Literal["user", "assistant"]
    text: Text
    created: Moment
    steered: Sample | None = None
    baseline: Sample | None = None
    making: Making | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for part in (self.steered, self.baseline, self.making):
            if (part is None) != (self.role == "user"):
                raise ValueError("an answer has two texts and what they were written with, a message has neither")
        return self


class ConversationSummary(Frozen):
    """A line of the list of conversations."""

    id: int
    title: Text
    who: Text
    updated: Moment
    messages: int


class Conversation(Frozen):
    """All turns, each after its parent; ``leaf`` is the end of the branch that was shown last."""

    id: int
    key: Key
    title: Text
    who: Text
    created: Moment
    updated: Moment
    leaf: int | None = None
    turns: tuple[Turn, ...] = ()
    damaged: tuple[Damage, ...] = Field(default=(), exclude=True)

    @model_validator(mode="after")
    def _tree(self) -> Self:
        roles: dict[int, str] = {}
        for turn in self.turns:
            after = "assistant" if turn.parent is None else roles.get(turn.parent)
            if after is None or after == turn.role or turn.id in roles:
                raise ValueError(f"turn {turn.id} does not stand after its parent")
            roles[turn.id] = turn.role
        return self

    def called(self, names: Mapping[str, str]) -> "Conversation":
        """The same with the ``names`` that banks have here, by their hashes."""
        makings = [one.making for one in self.turns]
        here = [one and one.model_copy(update={"bank": names.get(one.bank_hash or "", one.bank)}) for one in makings]
        turns = (turn.model_copy(update={"making": one}) for turn, one in zip(self.turns, here, strict=True))
        return self.model_copy(update={"turns": tuple(turns)})

    def turn(self, id: int | None) -> Turn | None:
        """The turn with this number, or None."""
        return next((one for one in self.turns if one.id == id), None)

    def branch(self, end: int | None) -> list[Turn]:
        """The turns from the first message to the turn ``end``."""
        known, found = {one.id: one for one in self.turns}, []
        while (turn := known.get(end) if end is not None else None) is not None:
            found.append(turn)
            end = turn.parent
        return found[::-1]

    def versions(self, turn: Turn) -> list[Turn]:
        """A turn and the others in its place: edited messages, or answers written again."""
        return [one for one in self.turns if (one.parent, one.role) == (turn.parent, turn.role)]

    def end(self, turn: int | None) -> int | None:
        """The end of the newest branch through a turn; None: of the newest branch."""
        while children := [one.id for one in self.turns if one.parent == turn]:
            turn = children[-1]
        return turn

    @property
    def shown(self) -> list[Turn]:
        """The branch that was shown last, as far as it can be read."""
        return self.branch(self.leaf if self.turn(self.leaf) else self.end(None))

"""Audits: what presses of Explore found on many prompts, and whether it holds; one JSON file each."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from melbo_app.analysis.change import ChangeKind
from melbo_app.analysis.readability import Verdict
from melbo_app.library.bank import PromptRecord
from melbo_app.library.counted import Counted
from melbo_app.library.explorations import ExploreSettings
from melbo_app.library.facts import Count, Digest, Index, ModelName, Moment, Name, Norm, Share, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.generality import FlagRecord
from melbo_app.library.json_files import JsonFiles, Measured, key_of
from melbo_app.library.searches import Tried

MOST_NAMED = 8
"""Behaviours that a sentence names."""
PromptState = Literal["found", "nothing", "failed", "not reached"]


class OtherAnswer(Frozen):
    """The answer of a behaviour's vector to another prompt: its ``change``, and whether it says the ``same``."""

    prompt: Index
    text: Text
    baseline: Text
    change: ChangeKind | None
    same: bool


class OtherPrompts(Frozen):
    """A behaviour's vector on other prompts of the audit, beside random vectors of the same R."""

    changed: Counted
    random_changed: Counted
    same: Counted
    """Answers that say what the behaviour says, or raise the flags that it raises."""
    random_same: Counted
    answers: tuple[OtherAnswer, ...]


class AuditedBehaviour(Frozen):
    """A behaviour that a press found on the prompt with the number ``prompt``. ``shown`` counts the vectors that show
    it and are not duplicates, ``random`` the random vectors of the same R that do."""

    prompt: Index
    name: Text
    words: tuple[Text, ...]
    text: Text
    baseline: Text
    verdict: Verdict | None
    flags: tuple[FlagRecord, ...]
    distance: FiniteFloat
    bank: Name
    bank_hash: Digest
    vectors: tuple[Index, ...]
    representative: Index
    radius: Norm
    shown: Counted
    random: Counted
    others: OtherPrompts | None = None
    """None: not tried."""
    echoes: Counted | None = None
    """Answers of vectors trained on other prompts that say the same; None: not tried, or no other bank."""
    random_echoes: Counted | None = None

    @property
    def recurs(self) -> bool:
        """Whether it shows on other prompts, or under vectors trained on other prompts, more often than under random
        vectors."""
        pairs = [(self.echoes, self.random_echoes)]
        pairs += [(self.others.same, self.others.random_same)] if self.others else []
        return any(mine.share > random.share for mine, random in pairs if mine and random)

    @property
    def evidence(self) -> int:
        """How many other answers say the same."""
        return (self.echoes.count if self.echoes else 0) + (self.others.same.count if self.others else 0)


class Often(Frozen):
    """A behaviour that random vectors show as often."""

    name: Text
    shown: Counted
    random: Counted


class AuditedPrompt(Frozen):
    """One prompt, and its press. ``changed`` counts the vectors whose answers changed, ``tried`` are the settings that
    the search looked at."""

    prompt: PromptRecord
    group: Text = ""
    state: PromptState
    problem: Text = ""
    exploration: Digest = ""
    bank: Name = ""
    radius: FiniteFloat | None = None
    reason: Text = ""
    baseline: Text = ""
    changed: Counted | None = None
    random_changed: Counted | None = None
    often: tuple[Often, ...] = ()
    aside: Count = 0
    tried: tuple[Tried, ...] = ()
    seconds: FiniteFloat = 0.0


class Alarm(Frozen):
    """A prompt of the audit on which a bank raised an alarm, and the vector that it looks most like."""

    bank: Name
    prompt: Index
    vector: Index
    name: Text
    score: FiniteFloat
    own: bool
    """Whether the bank was trained on this prompt."""


class WatchingBank(Frozen):
    """A bank on watch: its threshold, and how many of the prompts it read."""

    bank: Name
    threshold: FiniteFloat
    read: Count


class AuditWatch(Frozen):
    """The found banks on watch over the audit's prompts."""

    clean: tuple[Text, ...]
    false_alarms: Share
    banks: tuple[WatchingBank, ...]
    alarms: tuple[Alarm, ...]

    @property
    def expected(self) -> float:
        """Alarms to expect if all prompts were ordinary ones."""
        return self.false_alarms * sum(one.read for one in self.banks)


class Audit(Measured):
    """One audit. ``tried_on`` are the numbers of the prompts on which behaviours were tried."""

    model: ModelName
    spec: ModelName
    """What ``--model`` takes."""
    dtype: Word
    settings: ExploreSettings
    budget: FiniteFloat
    prompts: Annotated[tuple[AuditedPrompt, ...], Field(min_length=1)]
    behaviours: tuple[AuditedBehaviour, ...]
    elsewhere: Count
    tried_on: tuple[Index, ...] = ()
    watch: AuditWatch | None = None
    left_out: tuple[Text, ...] = ()
    seconds: dict[str, FiniteFloat]
    versions: dict[str, Text]
    files: tuple[Text, Text] = ("", "")
    """Names of the files of prompts and of clean prompts, for commands."""
    created: Moment

    @property
    def key(self) -> str:
        """Identifies the audit: a later one of the same model, prompts and settings replaces it."""
        prompts = [[one.prompt.model_dump(), one.group] for one in self.prompts]
        watch = None if self.watch is None else [list(self.watch.clean), self.watch.false_alarms]
        return key_of([self.model_hash, self.dtype, prompts, self.settings.model_dump(), self.elsewhere, watch])

    @property
    def finished(self) -> bool:
        """Whether every prompt was reached."""
        return all(one.state != "not reached" for one in self.prompts)

    def of(self, state: PromptState) -> list[AuditedPrompt]:
        """The prompts in a state."""
        return [one for one in self.prompts if one.state == state]

    @property
    def sentence(self) -> str:
        """The result in a few words."""
        reached = len(self.prompts) - len(self.of("not reached")) - len(self.of("failed"))
        on = f"{reached} prompt{'s' * (reached != 1)}"
        if not self.behaviours:
            looked = sum(len(one.tried) for one in self.prompts)
            settings = f" {looked} settings were looked at." if looked else ""
            return (
                f"Nothing found: on {on}, vectors show no behaviour that random vectors of the same R do not show as "
                f"often.{settings}"
            )
        many = len(self.behaviours)
        said = (
            f"{many} behaviour{'s' * (many != 1)} on {len(self.of('found'))} of {on} that random vectors of the same R "
            "do not show as often"
        )
        if not any(one.others for one in self.behaviours):
            return f"{said}: {_named(self.behaviours)}."
        again = [one for one in self.behaviours if one.recurs]
        if not again:
            return f"{said}; none of them recurs elsewhere more often than under random vectors."
        recur = "recurs" if len(again) == 1 else "recur"
        return (
            f"{said}. {len(again)} of them {recur} on other prompts, or under vectors trained on them, more often than "
            f"under random vectors: {_named(again)}."
        )


def _named(found: Sequence[AuditedBehaviour]) -> str:
    names = list(dict.fromkeys(one.name for one in found))
    more = f"; and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return "; ".join(names[:MOST_NAMED]) + more


class Audits(JsonFiles[Audit]):
    """The audits on disk."""

    kind, noun = Audit, "audit"

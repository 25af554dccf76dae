"""One press of Explore in an audit: earlier ones are looked up, and what it found is gathered."""

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from melbo_app.analysis.flags import flags
from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.bench import Bench
from melbo_app.library.audits import AuditedBehaviour, AuditedPrompt, Often
from melbo_app.library.bank import PromptRecord
from melbo_app.library.counted import Counted
from melbo_app.library.explorations import Behaviour, Exploration, ExploreSettings
from melbo_app.library.generality import FlagRecord

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

LOOKED_UP = 5.0
"""Seconds: a press that took less found most of its parts done."""
RECENT = 20
"""Earlier presses that tell how long the next one takes."""


class Presses:
    """The presses on a model that were done before the audit began."""

    def __init__(self, bench: Bench, lm: "LanguageModel", settings: ExploreSettings) -> None:
        self._bench, self._settings = bench, settings
        self._dtype = str(lm.dtype).removeprefix("torch.")
        self._known = bench.explorations.of_model(lm.weights_hash)
        self._shelf = {line.name: line.hash for line in bench.banks.list()}

    def done(self, prompt: Prompt) -> Exploration | None:
        """The press with these settings on a prompt, if its bank is still there. What Explore tried elsewhere is not a
        part of an audit, which tries its own prompts."""
        asked, wanted = PromptRecord.of(prompt), self._settings.model_copy(update={"elsewhere": 0})
        for one in self._known:
            same = (one.dtype, one.prompt, one.settings.model_copy(update={"elsewhere": 0}))
            if same == (self._dtype, asked, wanted) and self._shelf.get(one.bank) == one.bank_hash:
                return one
        return None

    @property
    def usual_seconds(self) -> float | None:
        """How long the last presses took that were not looked up; None: there were none."""
        whole = [sum(one.seconds.values()) for one in self._known]
        return median([one for one in whole if one > LOOKED_UP][:RECENT] or [0.0]) or None


def pressed(found: Exploration, group: str) -> AuditedPrompt:
    """A prompt with the result of its press."""
    new = any(one.new for one in found.behaviours)
    return AuditedPrompt(
        prompt=found.prompt,
        group=group,
        state="found" if new else "nothing",
        exploration=found.key,
        bank=found.bank,
        radius=found.radius.radius,
        reason=found.radius.sentence,
        baseline=found.baseline,
        changed=Counted.some(sum(one.changed for one in found.answers), len(found.answers)),
        random_changed=Counted.some(sum(one.changed for one in found.control), len(found.control)),
        often=tuple(
            Often(name=one.name, shown=_shown(found, one), random=_random(found, one))
            for one in found.behaviours
            if one.as_often and not one.unsteered
        ),
        aside=len(found.aside),
        tried=found.tried,
        seconds=round(sum(found.seconds.values()), 1),
    )


def behaviours_of(found: Exploration, number: int) -> list[AuditedBehaviour]:
    """The behaviours of a press on prompt ``number`` that random vectors do not show as often."""
    return [_behaviour(found, one, number) for one in found.behaviours if one.new]


def _behaviour(found: Exploration, one: Behaviour, number: int) -> AuditedBehaviour:
    said = found.answer(one.representative)
    raised = flags(said.text, found.prompt.user, found.prompt.system, found.baseline)
    return AuditedBehaviour(
        prompt=number,
        name=one.name,
        words=one.words,
        text=said.text,
        baseline=found.baseline,
        verdict=said.verdict,
        flags=tuple(FlagRecord(kind=flag.kind, reason=flag.reason) for flag in raised),
        distance=one.distance,
        bank=found.bank,
        bank_hash=found.bank_hash,
        vectors=one.vectors,
        representative=one.representative,
        radius=found.radius.radius,
        shown=_shown(found, one),
        random=_random(found, one),
    )


def _shown(found: Exploration, one: Behaviour) -> Counted:
    return Counted.some(len(one.vectors), len(found.answers))


def _random(found: Exploration, one: Behaviour) -> Counted:
    return Counted.some(one.control, len(found.control))


def expectation(waiting: int, prompts: int, usual: float | None, budget: float) -> str:
    """How long an audit will take, in a sentence or two, before it begins."""
    old = prompts - waiting
    before = f"{old} of {prompts} prompts are done already. " if old else ""
    if not waiting:
        return f"{before}Nothing is left to search."
    if usual is None:
        how = f"{_many(waiting, 'press', 'es')} of Explore, on two cores half a minute to two minutes each"
    else:
        how = f"{_many(waiting, 'press', 'es')} of Explore, about {usual:.0f} s each as the last ones took: "
        how += _time(waiting * usual)
    allowed = f" The search begins no prompt after {_time(budget)}."
    if usual is not None and waiting * usual > budget:
        allowed += " That is not enough for all: run it again to go on, or allow more seconds."
    return f"{before}{how}.{allowed}"


def _many(count: int, noun: str, plural: Sequence[str] = "s") -> str:
    return f"{count} {noun}{'' if count == 1 else plural}"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"

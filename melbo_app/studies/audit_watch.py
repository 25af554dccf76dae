"""The banks that an audit found, on watch over its prompts."""

from collections.abc import Callable, Sequence

from melbo_app.engine.prompt import Prompt
from melbo_app.library.audits import Alarm, AuditedBehaviour, WatchingBank
from melbo_app.studies.watch import Watch, Watched


def watching(bank: str, prompts: Sequence[Prompt], clean: tuple[str, ...], false_alarms: float, seed: int) -> Watch:
    """The study of one bank over all prompts, whose system text and template it has."""
    texts = tuple(prompt.user for prompt in prompts)
    return Watch(bank=bank, clean=clean, prompts=texts, false_alarms=false_alarms, seed=seed)


def alarms_of(
    seen: Watched, found: Sequence[AuditedBehaviour], own: Callable[[int], bool]
) -> tuple[WatchingBank, list[Alarm]]:
    """A bank with its threshold, and its alarms; ``found`` are its behaviours, whose names its vectors have, and
    ``own`` tells the prompts that it was trained on."""
    names = {vector: one.name for one in found for vector in one.vectors}
    alarms = [
        Alarm(
            bank=seen.bank,
            prompt=number,
            vector=one["vector"],
            name=one["name"] or names.get(one["vector"], ""),
            score=one["score"],
            own=own(number),
        )
        for number, one in enumerate(seen.answers)
        if one["alarm"]
    ]
    return WatchingBank(bank=seen.bank, threshold=seen.threshold, read=len(seen.answers)), alarms

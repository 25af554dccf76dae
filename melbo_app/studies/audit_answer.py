"""An audit as JSON and for the terminal."""

from collections.abc import Sequence
from typing import Any, TypedDict, cast

from melbo_app.library.audits import Audit, AuditedBehaviour, AuditedPrompt, Often, PromptState
from melbo_app.library.bank import PromptRecord
from melbo_app.library.counted import Counted
from melbo_app.studies.as_json import one_line, plain
from melbo_app.studies.audit_commands import commands
from melbo_app.studies.steer import FlagLine

LONGEST = 160


class CountedLine(TypedDict):
    """How many of ``n``, with the 95 % interval of the share."""

    count: int
    n: int
    low: float
    high: float


class AuditedOthers(TypedDict):
    """A behaviour's vector on the audit's other prompts: how many answers it ``changed``, how many say the ``same`` as
    the behaviour, and both for random vectors."""

    changed: CountedLine
    random_changed: CountedLine
    same: CountedLine
    random_same: CountedLine
    answers: list[dict[str, Any]]


class AuditedBehaviourLine(TypedDict):
    """A behaviour found on ``prompt`` (its place in ``prompts``): ``shown`` by so many vectors, and by so many random
    ones of the same R. ``echoes`` are answers of vectors trained on other prompts that say the same."""

    prompt: int
    name: str
    words: list[str]
    text: str
    baseline: str
    verdict: str | None
    flags: list[FlagLine]
    distance: float
    bank: str
    bank_hash: str
    vectors: list[int]
    representative: int
    radius: float
    shown: CountedLine
    random: CountedLine
    others: AuditedOthers | None
    echoes: CountedLine | None
    random_echoes: CountedLine | None
    recurs: bool


class AuditedPromptLine(TypedDict):
    """One prompt: its ``state``, what was ``tried``, and what random vectors show as ``often``."""

    prompt: PromptRecord
    group: str
    state: PromptState
    problem: str
    exploration: str
    bank: str
    radius: float | None
    reason: str
    baseline: str
    changed: CountedLine | None
    random_changed: CountedLine | None
    often: list[dict[str, Any]]
    aside: int
    tried: list[dict[str, Any]]
    seconds: float


class AuditedWatch(TypedDict):
    """``expected`` alarms if all prompts were ordinary; ``clean`` counts the clean prompts."""

    clean: int
    false_alarms: float
    expected: float
    banks: list[dict[str, Any]]
    alarms: list[dict[str, Any]]


class Audited(TypedDict):
    """The result of an audit. ``not_kept`` says why it could not be stored."""

    sentence: str
    key: str
    model: str
    model_hash: str
    dtype: str
    seed: int
    finished: bool
    behaviours: list[AuditedBehaviourLine]
    prompts: list[AuditedPromptLine]
    tried_on: list[int]
    watch: AuditedWatch | None
    left_out: list[str]
    settings: dict[str, Any]
    elsewhere: int
    budget: float
    seconds: dict[str, float]
    versions: dict[str, str]
    commands: list[dict[str, str]]
    created: str
    not_kept: str | None


def audited(found: Audit, not_kept: str | None = None) -> Audited:
    """An audit as JSON, the same at every door and in ``audit.json``."""
    said = plain(found)
    said["behaviours"] = [plain(one) | {"recurs": one.recurs} for one in found.behaviours]
    watch = None
    if found.watch is not None:
        watch = said["watch"] | {"clean": len(found.watch.clean), "expected": round(found.watch.expected, 2)}
    kept = ("model", "model_hash", "dtype", "behaviours", "prompts", "tried_on", "left_out", "settings", "elsewhere")
    return cast(
        Audited,
        {
            "sentence": found.sentence, "key": found.key, **{name: said[name] for name in kept[:3]},
            "seed": found.settings.seed, "finished": found.finished, **{name: said[name] for name in kept[3:6]},
            "watch": watch, **{name: said[name] for name in kept[6:]}, "budget": found.budget,
            "seconds": said["seconds"], "versions": said["versions"],
            "commands": [one._asdict() for one in commands(found)], "created": said["created"], "not_kept": not_kept,
        },
    )  # fmt: skip


def lines_of(found: Audit) -> list[str]:
    """An audit for the terminal."""
    lines = [found.sentence]
    for one in found.behaviours:
        lines.append(f"{one.name} (prompt {one.prompt + 1}, “{one_line(found.prompts[one.prompt].prompt.user, 60)}”)")
        lines += [f"  {line}" for line in counts_of(one)]
        lines.append(f"  vector {one.representative}: {one_line(one.text, LONGEST)}")
    for number, prompt in enumerate(found.prompts, start=1):
        if prompt.state == "found":
            continue
        lines.append(f"prompt {number}, “{one_line(prompt.prompt.user, 60)}”: {nothing(prompt)}")
    if found.watch is not None:
        lines.append(alarms_line(found))
        for alarm in found.watch.alarms:
            named = f" ({alarm.name})" if alarm.name else ""
            asked = one_line(found.prompts[alarm.prompt].prompt.user, 60)
            lines.append(f"  ALARM {alarm.score:.2f}  “{alarm.bank}” vector {alarm.vector}{named}: {asked}")
    return [*lines, *found.left_out]


def counts_of(one: AuditedBehaviour) -> list[str]:
    """How often a behaviour shows, here and elsewhere, beside random vectors; a line each."""
    lines = [f"{counted(one.shown)} vectors of “{one.bank}”, {counted(one.random)} random vectors of the same R"]
    if (others := one.others) is not None:
        lines.append(
            f"on other prompts: says the same on {counted(others.same)}, random {counted(others.random_same)}; "
            f"changes {counted(others.changed)}, random {counted(others.random_changed)}"
        )
    if one.echoes is not None and one.random_echoes is not None:
        lines.append(
            f"under vectors trained on other prompts: {counted(one.echoes)}, random {counted(one.random_echoes)}"
        )
    return lines


def counted(one: Counted) -> str:
    """“2 of 8 (7 to 59 %)”."""
    return str(one) if one.n else "0 of 0"


def nothing(prompt: AuditedPrompt) -> str:
    """What was tried on a prompt without behaviours, or why nothing was."""
    if prompt.state == "failed":
        return prompt.problem
    if prompt.state == "not reached":
        return "not reached" + (f": {prompt.problem}" if prompt.problem else "")
    assert prompt.changed is not None and prompt.random_changed is not None
    looked = f"{len(prompt.tried)} settings looked at; " if prompt.tried else ""
    same = f". Random vectors show as often: {often(prompt.often)}" if prompt.often else ""
    return (
        f"nothing found; {looked}{counted(prompt.changed)} answers changed, {counted(prompt.random_changed)} under "
        f"random vectors{same}"
    )


def often(found: Sequence[Often]) -> str:
    """The behaviours that random vectors show as often, with their counts."""
    return "; ".join(f"{one.name} ({one.shown.count} of {one.shown.n}, random {one.random.count})" for one in found)


def alarms_line(found: Audit) -> str:
    """How many alarms there were, and how many chance alone would raise."""
    watch = found.watch
    assert watch is not None
    alarms, banks = len(watch.alarms), len(watch.banks)
    return (
        f"{alarms} alarm{'s' * (alarms != 1)} of {banks} bank{'s' * (banks != 1)} on watch; about {watch.expected:.1f} "
        f"would come from ordinary prompts ({100 * watch.false_alarms:g} % of {sum(one.read for one in watch.banks)} "
        f"readings, with {len(watch.clean)} clean prompts to learn from)."
    )

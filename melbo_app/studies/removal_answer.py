"""A stress test of a removal as JSON, and as lines for people."""

from typing import Any, TypedDict, cast

from melbo_app.library.removals import Outcome, Removal, Role, SideName, TestName

TITLES: dict[TestName | SideName, str] = {
    "trigger": "the trigger",
    "paraphrases": "paraphrases",
    "languages": "other languages",
    "prefilled": "prefilled answers",
    "hints": "a hint in the prompt",
    "few-shot": "examples in the prompt",
    "vectors": "vectors trained on this model",
    "old-vectors": "old vectors",
    "probe": "a probe of its own",
    "old-probe": "the probe of the model before",
    "relearning": "relearning, after 0, 2, 4, 8, 16 steps",
    "extraction": "extraction strength",
    "surprise": "surprise, nats a token",
    "readable": "readable answers",
    "decoys": "decoys that show the behaviour",
}
ROLES: tuple[Role, ...] = ("before", "edited", "clean")


class Answered(TypedDict):
    """The record as JSON (docs/removal.md); ``not_kept`` says why it could not be stored."""

    key: str
    models: dict[str, Any]
    behaviour: str
    about: str
    behaviour_hash: str
    most_prompts: int
    bank: str
    bank_hash: str
    seed: int
    layers: list[int]
    tests: list[dict[str, Any]]
    side_effects: list[dict[str, Any]]
    left_out: list[dict[str, str]]
    familiarity: dict[str, Any]
    seconds: float
    created: str
    versions: dict[str, str]
    not_kept: str | None


def answered(found: Removal, not_kept: str | None) -> Answered:
    """The record as JSON."""
    facts = found.model_dump(mode="json", exclude={"model_hash"})
    return cast(Answered, {"key": found.key, **facts, "not_kept": not_kept})


def figure(one: Outcome) -> str:
    """A value with its interval; counts where answers are counted, and the random vectors beside vectors."""
    if one.counted is None:
        said = f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})"
    else:
        said = f"{one.counted.count} of {one.counted.n} ({100 * one.low:.0f} to {100 * one.high:.0f} %)"
    if one.random is not None:
        said += f", random {one.random.count} of {one.random.n}"
    if one.curve:
        said += f": {', '.join(str(at.shown.count) for at in one.curve)} of {one.curve[0].shown.n}"
    return said


def lines_of(found: Removal) -> list[str]:
    """For the terminal: a paragraph for each test, with its verdict."""
    lines = [f"{found.behaviour}: {found.about}"]
    lines += [
        f"{role:<7} {found.models[role].name} ({found.models[role].spec})" for role in ROLES if role in found.models
    ]
    for one in found.tests:
        lines.append(f"{TITLES[one.test]}: {one.verdict}; {one.reason}")
        lines += [f"  {role:<7} {figure(one.outcomes[role])}" for role in ROLES if role in one.outcomes]
    for side in found.side_effects:
        lines.append(f"{TITLES[side.measure]}: {side.change}")
        lines += [f"  {role:<7} {figure(side.outcomes[role])}" for role in ROLES if role in side.outcomes]
    lines += [f"left out, {TITLES[one.test]}: {one.reason}" for one in found.left_out]
    return [*lines, familiarity_line(found), f"in {found.seconds:.0f} s"]


def familiarity_line(found: Removal) -> str:
    """Familiarity as a sentence."""
    own = found.familiarity
    said = f"familiarity (answers to the trigger that show it): edited {own.edited}; before {own.before}"
    if own.clean is not None:
        said += f"; clean {own.clean}"
    if own.retained is None or own.low is None or own.high is None:
        return f"{said}; how much is retained cannot be said"
    return f"{said}; retained {own.retained:.2f} ({own.low:.2f} to {own.high:.2f})"

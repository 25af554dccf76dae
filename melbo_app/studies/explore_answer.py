"""The result of Explore as JSON and for the terminal."""

from dataclasses import asdict
from typing import Any, TypedDict, cast

from melbo_app.analysis.flags import flags
from melbo_app.analysis.readability import Verdict
from melbo_app.library.bank import PromptRecord
from melbo_app.library.explorations import Answer, Exploration
from melbo_app.studies.as_json import one_line, plain, stored
from melbo_app.studies.steer import FlagLine

LONGEST = 160


class BehaviourLine(TypedDict):
    """Answers that say the same. ``text`` and its ``flags`` are the representative's. ``control`` counts the random
    vectors that show it, ``as_often`` says whether their share is as large as among the vectors."""

    name: str
    words: list[str]
    vectors: list[int]
    representative: int
    text: str
    distance: float
    control: int
    as_often: bool
    unsteered: bool
    elsewhere: dict[str, Any] | None
    flags: list[FlagLine]


class AnswerLine(TypedDict):
    """The answer of one vector. ``behaviour`` is the name of its behaviour, None for random vectors and for vectors set
    ``aside`` (the reason); ``differs`` lists the kinds of difference from the baseline."""

    vector: int
    completion: int | None
    text: str
    verdict: Verdict | None
    distance: float
    changed: bool
    runaway: bool
    differs: list[str]
    flags: list[FlagLine]
    behaviour: str | None
    aside: str | None


class Explored(TypedDict):
    """An exploration: R and its reason, the bank, what was tried, the behaviours, and every answer beside those of
    random vectors. ``changed`` is the share of answers that changed."""

    sentence: str
    model: str
    prompt: PromptRecord
    settings: dict[str, Any]
    source: int
    target: int
    scope: str
    radius: dict[str, Any]
    bank: str
    bank_hash: str
    comparison: int | None
    control_comparison: int | None
    baseline: str
    behaviours: list[BehaviourLine]
    answers: list[AnswerLine]
    control: list[AnswerLine]
    aside: list[dict[str, Any]]
    threshold: float
    changed: float
    control_changed: float
    readable: float
    readable_diversity: float
    control_readable_diversity: float
    tried: list[dict[str, Any]]
    seconds: dict[str, float]
    created: str
    not_kept: str | None


def explored(found: Exploration, not_kept: str | None = None) -> Explored:
    """The fields of an ``Exploration``, with flags for every answer (``AnswerLine``, farthest from the baseline first)
    and behaviour (``BehaviourLine``); ``not_kept`` says why the result or its texts could not be stored."""
    aside = {one.vector: one.reason for one in found.aside}
    answers = [_answer(found, one, aside.get(one.vector), control=False) for one in found.answers]
    lines = {one["vector"]: one for one in answers}
    behaviours = [
        plain(one)
        | {key: lines[one.representative][key] for key in ("text", "flags")}
        | {"elsewhere": one.elsewhere and plain(one.elsewhere) | {"sentence": one.elsewhere.sentence}}
        for one in found.behaviours
    ]
    random = [_answer(found, one, None, control=True) for one in found.control]
    said = found.model_dump(mode="json", exclude={"model_hash", "dtype"}) | {
        "sentence": found.sentence,
        "behaviours": behaviours,
        "answers": sorted(answers, key=lambda one: -one["distance"]),
        "control": sorted(random, key=lambda one: -one["distance"]),
        "changed": sum(one.changed for one in found.answers) / len(found.answers),
        "control_changed": sum(one.changed for one in found.control) / len(found.control),
        "readable": found.readable,
        "comparison": stored(found.comparison),
        "control_comparison": stored(found.control_comparison),
        "not_kept": not_kept,
    }
    return cast(Explored, said)


def _answer(found: Exploration, one: Answer, aside: str | None, *, control: bool) -> AnswerLine:
    raised = flags(one.text, found.prompt.user, found.prompt.system, found.baseline)
    behaviour = None if control else found.behaviour_of(one.vector)
    facts = {"flags": [asdict(flag) for flag in raised], "behaviour": behaviour and behaviour.name, "aside": aside}
    return cast(AnswerLine, plain(one) | {"completion": stored(one.completion)} | facts)


def lines_of(found: Exploration) -> list[str]:
    """The result for the terminal."""
    said = explored(found)
    lines = [found.sentence, found.radius.sentence]
    lines += [f"  tried {one.sentence}" for one in found.tried]
    lines += [f"Bank “{found.bank}”" + ("" if found.comparison < 0 else f", comparison {found.comparison}")]
    lines += [
        f"Diversity D {found.readable_diversity:.2f} (random vectors {found.control_readable_diversity:.2f}), "
        f"{found.readable:.0%} readable, {sum(found.seconds.values()):.0f} s",
        f"Without steering: {one_line(found.baseline, LONGEST)}",
    ]
    for one in said["behaviours"]:
        vectors = ", ".join(map(str, one["vectors"]))
        random = f"{one['control']} of {len(found.control)} random vectors"
        often = "; random vectors show it as often" if one["as_often"] else ""
        lines.append(f"{one['name']} (vectors {vectors}; {random}; distance {one['distance']:.2f}){often}")
        elsewhere = f", {one['elsewhere']['sentence']}" if one["elsewhere"] else ""
        lines.append(f"  {one['representative']}{elsewhere}: {one_line(one['text'], LONGEST)}")
    for title, answers in (("All answers", said["answers"]), ("Random vectors of the same R", said["control"])):
        lines.append(f"{title} by distance from the one without steering:")
        lines += [_line(one) for one in answers]
    return lines


def _line(one: AnswerLine) -> str:
    """One answer: its number, distance, verdict, flags, and why it was set aside."""
    flags = ", ".join(flag["kind"] for flag in one["flags"])
    marks = [one["verdict"] or "not scored", flags, f"set aside, {one['aside']}" if one["aside"] else ""]
    known = "; ".join(mark for mark in marks if mark)
    return f"  {one['vector']:>3}  {one['distance']:.2f}  [{known}]  {one_line(one['text'], LONGEST)}"

"""An exploration: its stages while it runs, then its behaviours."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from melbo_app.analysis.difference import mark
from melbo_app.library.explorations import UNSTEERED, Exploration
from melbo_app.studies.explore import STAGES, Stage
from melbo_app.studies.explore_answer import AnswerLine, BehaviourLine, explored
from melbo_app.studies.steer import FlagLine
from melbo_app.ui.attempts import Attempt
from melbo_app.ui.components.live import live

CLOSE = "close to the unsteered answer"
KINDS = {"advice": "the opposite advice", "number": "another number", "speaker": "another speaker"}
"""Kinds of difference (``analysis/traits.py``) that their name does not explain."""


def exploration_view(value: dict[str, Any] | None = None, *, elem_id: str, start: str | None = None) -> gr.HTML:
    """Value: {stages, sentence, facts, attempts, tried, cards, tables, bank, bank_hash, message}; see the functions
    below.

    Events: open and use, with vectors; attempt, with its place; and annotate: bank, bank_hash, vector.
    """
    return live("exploration", value, elem_id=elem_id, events=("open", "use", "attempt", "annotate"), start=start)


def running(stages: Sequence[Stage]) -> dict[str, Any]:
    """The component's value while an exploration runs."""
    return {"stages": [_stage(one.name, one.state, one.fraction, one.detail) for one in stages]}


def halted(stages: Sequence[Stage]) -> dict[str, Any]:
    """The component's value for a stopped exploration: its finished stages stay visible."""
    ended = [replace(one, state="waiting", detail="stopped") if one.state == "running" else one for one in stages]
    return running(ended)


def finished(found: Exploration, names: dict[int, str], tried: Sequence[Attempt] = ()) -> dict[str, Any]:
    """The component's value for a finished exploration; ``names`` are the labels of the bank's vectors, and ``tried``
    what to try next."""
    said = explored(found)
    detail = (
        found.radius.sentence,
        f"{len(found.answers)} vectors, saved as bank “{found.bank}”",
        f"{len(found.answers)} answers, {len(found.control)} under random vectors, and the unsteered one",
        f"answers closer than {found.threshold:.2g} count as the same",
        f"{_counted(found.new, 'new behaviour')}, {_counted(len(found.aside), 'vector')} set aside",
        f"on {found.settings.elsewhere} other prompts"
        if any(one.elsewhere for one in found.behaviours)
        else "not tried",
    )
    stages = [
        _stage(name, "done", 1.0, f"{line} · {found.seconds.get(name, 0):.0f} s")
        for name, line in zip(STAGES, detail, strict=True)
    ]
    return {
        "stages": stages,
        "sentence": found.sentence,
        "facts": (
            f"Readable diversity D {found.readable_diversity:.2f}, under random vectors "
            f"{found.control_readable_diversity:.2f} · {found.readable:.0%} of the answers are readable · "
            f"blocks {found.source} → {found.target}, scope {found.scope}"
        ),
        "attempts": [one.text for one in tried],
        "tried": [{"text": one.sentence, "chosen": one == found.chosen, "example": one.example} for one in found.tried],
        "baseline": found.baseline,
        "cards": _cards(found, said["behaviours"], names),
        "tables": [
            _table("All answers, farthest from the unsteered one first", found, said["answers"], names),
            _table("Random vectors of the same R", found, said["control"], None),
        ],
        "bank": found.bank,
        "bank_hash": found.bank_hash,
    }


def _stage(name: str, state: str, fraction: float, detail: str) -> dict[str, Any]:
    return {"name": name, "state": state, "fraction": fraction, "detail": detail}


def _cards(found: Exploration, behaviours: Sequence[BehaviourLine], names: dict[int, str]) -> list[dict[str, Any]]:
    cards = []
    for one in behaviours:
        parts = [_counted(len(one["vectors"]), "vector")]
        parts.append(f"{one['control']} of {len(found.control)} random vectors" + ", as often" * one["as_often"])
        parts.append(f"distance {one['distance']:.2f}")
        if one["elsewhere"]:
            parts.append(one["elsewhere"]["sentence"])
        text, said, flags = one["text"], f"vector {one['representative']} says", _flags(one["flags"])
        verdict = found.answer(one["representative"]).verdict
        if one["unsteered"]:
            text, said, flags, verdict = found.baseline, "the unsteered text", [], None
            parts.append("no difference in kind was found")
        cards.append(
            {
                "name": CLOSE if one["unsteered"] else one["name"],
                "meta": " · ".join(parts),
                "text": text,
                "said": said,
                "verdict": verdict,
                "unsteered": one["unsteered"],
                "often": one["as_often"],
                "flags": flags,
                "vectors": [{"vector": vector, "name": names.get(vector, "")} for vector in one["vectors"]],
            }
        )
    return cards


def _table(
    title: str, found: Exploration, answers: Sequence[AnswerLine], names: dict[int, str] | None
) -> dict[str, Any]:
    """A table of answers, each marked where it differs from the unsteered one. Random vectors cannot be labelled or
    used, so their ``names`` is None."""
    return {
        "title": title,
        "labels": names is not None,
        "rows": [
            {
                "vector": one["vector"],
                "name": (names or {}).get(one["vector"], ""),
                "pieces": mark(found.baseline, one["text"]),
                "distance": f"{one['distance']:.2f}",
                "verdict": one["verdict"],
                "flags": _flags(one["flags"]),
                "changed": one["changed"],
                "change": _change(one, found.threshold),
                "put": _place(one),
            }
            for one in answers
        ],
    }


def _place(one: AnswerLine) -> str:
    """The behaviour that an answer belongs to, or why it was set aside."""
    if one["aside"]:
        return f"set aside, {one['aside']}"
    return CLOSE if one["behaviour"] == UNSTEERED else one["behaviour"] or ""


def _change(one: AnswerLine, threshold: float) -> str:
    """What changed in an answer: kinds of difference, or the distance alone."""
    if not one["changed"]:
        return "not changed" if one["distance"] else "the same words"
    kinds = [KINDS.get(kind, kind) for kind in one["differs"] if kind != "flag"]
    if one["distance"] > threshold:
        kinds.append(f"farther than {threshold:.2g}")
    return f"changed: {', '.join(kinds)}" if kinds else "changed"


def _flags(raised: Sequence[FlagLine]) -> list[dict[str, str]]:
    return [{"text": flag["kind"], "title": flag["reason"]} for flag in raised]


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"

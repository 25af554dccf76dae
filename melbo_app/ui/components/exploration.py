"""An exploration: its stages while they run, and then its behaviours."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from melbo_app.jobs.exploring import STAGES, Stage
from melbo_app.library.explorations import Exploration
from melbo_app.results import explored
from melbo_app.ui.components.live import live


def exploration_view(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {stages, sentence, facts, cards, aside, bank, bank_hash, message}; see the functions below. Events: open,
    with the vectors of a behaviour, and annotate: bank, bank_hash, vector."""
    return live("exploration", value, elem_id=elem_id)


def running(stages: Sequence[Stage]) -> dict[str, Any]:
    """The component's value while an exploration is under way."""
    return {"stages": [_stage(one.name, one.state, one.fraction, one.told) for one in stages]}


def halted(stages: Sequence[Stage]) -> dict[str, Any]:
    """The component's value for an exploration that was stopped: what is done of it stays to be read."""
    ended = [replace(one, state="waiting", told="stopped") if one.state == "running" else one for one in stages]
    return running(ended)


def finished(found: Exploration, names: dict[int, str]) -> dict[str, Any]:
    """The component's value for what was found; ``names`` are the labels of the bank's vectors."""
    told = (
        found.radius.sentence,
        f"{len(found.answers)} vectors, on the shelf as “{found.bank}”",
        f"{len(found.answers)} answers, {len(found.control)} under random vectors, and the unsteered one",
        f"answers closer than {found.threshold:.2g} count as the same",
        f"{_counted(found.new, 'new behaviour')}, {_counted(len(found.aside), 'vector')} set aside",
    )
    stages = [
        _stage(name, "done", 1.0, f"{said} · {found.seconds.get(name, 0):.0f} s")
        for name, said in zip(STAGES, told, strict=True)
    ]
    return {
        "stages": stages,
        "sentence": found.sentence,
        "facts": (
            f"Readable diversity D {found.readable_diversity:.2f}, under random vectors "
            f"{found.control_readable_diversity:.2f} · {found.readable:.0%} of the answers are readable · "
            f"blocks {found.source} → {found.target}, scope {found.scope}"
        ),
        "baseline": found.baseline,
        "cards": _cards(found, names),
        "aside": [
            {"vector": one.vector, "reason": one.reason, "text": found.answer(one.vector).text} for one in found.aside
        ],
        "bank": found.bank,
        "bank_hash": found.bank_hash,
    }


def _stage(name: str, state: str, fraction: float, told: str) -> dict[str, Any]:
    return {"name": name, "state": state, "fraction": fraction, "told": told}


def _cards(found: Exploration, names: dict[int, str]) -> list[dict[str, Any]]:
    cards = []
    for one in explored(found)["behaviours"]:
        parts = [_counted(len(one["vectors"]), "vector"), f"distance {one['distance']:.2f}"]
        if one["control"]:
            parts.append(f"{one['control']} of {len(found.control)} random vectors say it too")
        text, said, flags = one["text"], f"vector {one['representative']} says", one["flags"]
        verdict = found.answer(one["representative"]).verdict
        if one["unsteered"]:
            changed = sum(found.answer(vector).changed for vector in one["vectors"])
            if changed:  # near to others of the group, but not to the unsteered text itself
                parts.append(f"{changed} of them changed in meaning")
            text, said, flags, verdict = found.baseline, "the unsteered text", [], None
        cards.append(
            {
                "name": one["name"],
                "meta": " · ".join(parts),
                "text": text,
                "said": said,
                "verdict": verdict,
                "unsteered": one["unsteered"],
                "flags": [{"text": flag["kind"], "title": flag["reason"]} for flag in flags],
                "vectors": [{"vector": vector, "name": names.get(vector, "")} for vector in one["vectors"]],
            }
        )
    return cards


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"

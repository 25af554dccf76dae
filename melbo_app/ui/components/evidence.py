"""The texts on which a label rests: one prompt, without steering and at a few R."""

from typing import Any

import gradio as gr

from melbo_app.analysis.difference import mark
from melbo_app.library.completion import Completion
from melbo_app.library.evidence import Evidence
from melbo_app.ui.components.live import live
from melbo_app.ui.present import amount


def evidence_view(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Its value is that of ``evidence``, with ``of`` and ``late``. Event: steer."""
    return live("evidence", value, elem_id=elem_id, events=("steer",))


def evidence(
    found: Evidence | None, origin: str, *, offer: str = "", elsewhere: str = "", live: bool = False
) -> dict[str, Any]:
    """The component's value. ``origin`` says whose prompt it is, ``offer`` what Steer would write (empty: it is not
    offered), ``elsewhere`` how the vector does on other prompts."""
    if found is None:
        return {"message": origin, "offer": offer, "cards": []}
    first = found.texts[0] if found.texts else found.baseline
    prompt = {"user": found.prompt.user, "system": found.prompt.system or ""}
    own_first = sorted(found.texts, key=lambda text: not found.is_at_own_radius(text))
    every = (found.baseline, *own_first, found.opposite, found.control)
    cards = [_card(text, found, live) for text in every if text is not None]
    missing = "" if found.baseline is not None or live else "The answer without steering is not stored."
    made = " · ".join(filter(None, (_made(first) if first else "", missing)))
    tone = "plain" if found.own else "warning"
    told = {"origin": origin, "tone": tone, "made": made, "elsewhere": elsewhere, "offer": offer}
    return {"prompt": prompt, "cards": cards, **told}


def _made(text: Completion) -> str:
    sampled = f"temperature {text.temperature:g}, top-p {text.top_p:g}, seed {text.seed}"
    return f"{text.model} · {sampled if text.temperature else 'greedy'} · up to {text.max_new_tokens} tokens"


def _card(text: Completion, found: Evidence, live: bool) -> dict[str, Any]:
    steered, baseline = text.vector is not None, found.baseline
    compared = steered and baseline is not None
    kind = "vector" if isinstance(text.vector, int) else text.vector or "baseline"
    return {
        "kind": "opposite" if text is found.opposite else kind,
        "title": _title(text, found),
        "verdict": text.scores.verdict if text.scores is not None else None,
        "runaway": bool(text.scores and text.scores.runaway),
        "mark": "finished" if text.finished else "live" if live else "cut",
        "pieces": mark(baseline.text, text.text) if compared and baseline is not None else [(text.text, False)],
    }


def _title(text: Completion, found: Evidence) -> str:
    """What wrote a text."""
    if text.vector is None:
        return "Without steering"
    at = f"R {amount(text.radius, 4)}"
    if text.vector == "random":
        return f"Random vector, {at}"
    if text is found.opposite:
        return f"Reversed, {at}"
    return f"{at} · the vector’s own" if found.is_at_own_radius(text) else at

"""A line above a result that was made with something else than what the context line shows."""

from collections.abc import Sequence
from typing import Any, TypedDict

import gradio as gr

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.library.bank import PromptRecord
from melbo_app.ui.components.live import live
from melbo_app.ui.forms import prompt_text, template_field


class Stamp(TypedDict, total=False):
    """What made a result; what does not apply to it is left out."""

    prompt: str
    system: str
    template: str
    bank: str
    bank_hash: str
    vectors: list[int]
    radii: list[float]
    decoding: dict[str, Any]
    model: str
    model_hash: str


def stamp_strip(elem_id: str, start: str) -> gr.HTML:
    """Value: {stamp, start}: a ``Stamp``, and the id of the button that makes the result anew. Event: restore."""
    return live("stamp_strip", {"start": start}, elem_id=elem_id)


def stamped(start: str, stamp: Stamp | None) -> dict[str, Any]:
    """The component's value; without a stamp nothing is shown."""
    return {"start": start, "stamp": stamp}


def prompts_stamp(prompts: Sequence[Prompt | PromptRecord]) -> Stamp:
    """The part of a stamp that says which prompts were answered."""
    first = prompts[0]
    return {"prompt": prompt_text(prompts), "system": first.system or "", "template": template_field(first.template)}


def decoding_stamp(decoding: Decoding) -> dict[str, Any]:
    """The part of a stamp that says how texts were decoded: of greedy ones only the length."""
    if decoding.temperature == 0:
        return {"max_new_tokens": decoding.max_new_tokens, "temperature": 0}
    return {
        "max_new_tokens": decoding.max_new_tokens, "temperature": decoding.temperature, "top_p": decoding.top_p,
        "seed": decoding.seed,
    }  # fmt: skip

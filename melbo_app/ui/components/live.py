"""The base of the page's own components: a static frame that a script fills from a JSON value."""

from collections.abc import Sequence
from typing import Any

import gradio as gr


def live(
    script: str, value: dict[str, Any] | None, *, elem_id: str, events: Sequence[str] = (), start: str | None = None,
) -> gr.HTML:  # fmt: skip
    """A gr.HTML whose value is a JSON object that ``assets/js/<script>.js`` (ui/scripts.py) draws through textContent.

    ``events`` are those that the script triggers. The value of a result has a ``stamp`` (ui/stamp.py): where that
    differs from the context line, a strip above the component says so, and offers to press ``start``, the id of the
    button that makes the result anew. Its other button triggers the event restore, with the stamp.

    Gradio executes ``${…}`` in templates, so text of models and banks never goes through a template. This is not a
    subclass, because Gradio writes a ``.pyi`` file beside the source of every subclass on import.
    """
    button = f", '{start}'" if start else ""
    named = " ".join(f"'{event}'" for event in (*events, *(["restore"] if start else [])))
    return gr.HTML(
        value or {},
        html_template='<div class="mx"></div>',
        # Gradio takes each word in quotes for the name of an event.
        js_on_load=f"melbo.mount((all) => all.{script}({{ element, trigger, props, watch }}{button})); // {named}",
        apply_default_css=False,
        elem_id=elem_id,
    )

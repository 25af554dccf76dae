"""The base of the page's own components: a static frame that a script fills from a JSON value."""

from typing import Any

import gradio as gr

from melbo_app.settings import ROOT

SCRIPTS = ROOT / "assets" / "js"


def live(
    script: str | tuple[str, ...], value: dict[str, Any] | None, *, elem_id: str, head: str | None = None,
    start: str | None = None,
) -> gr.HTML:  # fmt: skip
    """A gr.HTML whose value is a JSON object that ``assets/js/<script>.js``, or several together, draw through
    textContent.

    The value of a result has a ``stamp`` (ui/stamp.py): where that differs from the context line, a strip above the
    component says so, and offers to press ``start``, the id of the button that makes the result anew. Its other button
    triggers the event restore, with the stamp.

    Gradio executes ``${…}`` in templates, so text of models and banks never goes through a template. This is not a
    subclass, because Gradio writes a ``.pyi`` file beside the source of every subclass on import.
    """
    scripts = ("dom", *((script,) if isinstance(script, str) else script))
    code = "".join((SCRIPTS / f"{name}.js").read_text("utf-8") for name in scripts)
    if start:
        code += (SCRIPTS / "stamp_strip.js").read_text("utf-8") + f"stampStrip('{start}');\n"
    return gr.HTML(
        value or {},
        html_template='<div class="mx"></div>',
        js_on_load=code,
        apply_default_css=False,
        elem_id=elem_id,
        head=head,
    )

"""The base of the page's own components: a static frame that a script fills from a JSON value."""

from typing import Any

import gradio as gr

from melbo_app.settings import ROOT

SCRIPTS = ROOT / "assets" / "js"


def live(
    script: str | tuple[str, ...], value: dict[str, Any] | None, *, elem_id: str, head: str | None = None
) -> gr.HTML:
    """A gr.HTML whose value is a JSON object that ``assets/js/<script>.js``, or several together, draw through
    textContent.

    Gradio executes ``${…}`` in templates, so text of models and banks never goes through a template. This is not a
    subclass, because Gradio writes a ``.pyi`` file beside the source of every subclass on import.
    """
    scripts = ("dom", *((script,) if isinstance(script, str) else script))
    code = "".join((SCRIPTS / f"{name}.js").read_text("utf-8") for name in scripts)
    return gr.HTML(
        value or {},
        html_template='<div class="mx"></div>',
        js_on_load=code,
        apply_default_css=False,
        elem_id=elem_id,
        head=head,
    )

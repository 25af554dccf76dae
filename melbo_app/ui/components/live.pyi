"""The base of the page's own components: a static frame that a script fills from a JSON value."""

from typing import Any, ClassVar

import gradio as gr

from melbo_app.settings import ROOT

SCRIPTS = ROOT / "assets" / "js"

from gradio.events import Dependency

class Live(gr.HTML):
    """A gr.HTML whose value is a JSON object that ``assets/js/<script>.js`` draws by textContent.

    Gradio executes ``${…}`` in templates, so text of models and banks never goes through a template.
    """

    script: ClassVar[str]

    def __init__(self, value: dict[str, Any] | None = None, *, elem_id: str, **kwargs: Any) -> None:
        code = (SCRIPTS / "dom.js").read_text("utf-8") + (SCRIPTS / f"{self.script}.js").read_text("utf-8")
        super().__init__(
            value or {},
            html_template=f'<div class="mx mx-{self.script.replace("_", "-")}"></div>',
            js_on_load=code,
            apply_default_css=False,
            elem_id=elem_id,
            **kwargs,
        )
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

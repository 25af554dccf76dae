"""Fields that name a model which answers questions about texts: the loaded one, or one behind an endpoint."""

from typing import Any

import gradio as gr
from gradio.components import Component

from melbo_app.hosts import is_loopback
from melbo_app.studies.judge_address import ADDRESS
from melbo_app.studies.judge_endpoint import KEY, Endpoint
from melbo_app.ui.fields import text
from melbo_app.ui.guard import Changes
from melbo_app.workbench import Workbench

LOADED, ENDPOINT = "loaded model", "endpoint"
SENT = f"It receives prompts and texts. The key in {KEY} goes only to the address in {ADDRESS}."


class AssistantFields:
    """A choice, and the fields of an endpoint, which are usable for one; ``free``: people here may name any."""

    def __init__(self, workbench: Workbench, name: str, label: str) -> None:
        self._workbench = workbench
        named, self.free = workbench.judge_address, not workbench.why_not("judge_endpoint")
        who = [LOADED, ENDPOINT] if self.free or (named.url and named.model) else [LOADED]
        with gr.Row(elem_classes="mx-fields"):
            self.who = gr.Radio(who, value=LOADED, label=label, elem_id=f"{name}-who", min_width=262)
            url, model = (named.url, named.model) if self.free else ("", "")
            how: dict[str, Any] = {"visible": self.free, "interactive": False}
            self.url = text("Endpoint", f"{name}-endpoint", "https://host/v1", 180, value=url, scale=3, **how)
            self.model = text(
                "Endpoint model", f"{name}-endpoint-model", "its name there", 140, value=model, scale=2, **how
            )
        self.inputs: list[Component] = [self.who, self.url, self.model]

    def enabled(self, who: str | None) -> Changes:
        """The fields of an endpoint, usable for one."""
        usable = gr.Textbox(interactive=who == ENDPOINT)
        return {self.url: usable, self.model: usable}

    def endpoint(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> Endpoint | None:
        """The endpoint in the fields; None for the loaded model. Raises InputError."""
        if who != ENDPOINT:
            return None
        here = request.client is not None and is_loopback(request.client.host)
        return self._workbench.judge_endpoint(url or "", model or "", here=here)

    def name(self, who: str | None, model: str | None) -> str:
        """The name of the model in the fields."""
        theirs = model if self.free else self._workbench.judge_address.model
        return (theirs or "") if who == ENDPOINT else self._workbench.model_state().name

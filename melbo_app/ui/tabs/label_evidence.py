"""The evidence beside a label: what is stored for its vector, or a press of Steer."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from melbo_app.errors import InputError
from melbo_app.library.bank import PromptRecord
from melbo_app.library.evidence import Evidence
from melbo_app.studies.steer import Steer
from melbo_app.ui.components.evidence import evidence, evidence_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.fields import small_button
from melbo_app.ui.guard import Changes, Values
from melbo_app.ui.present import amount, first_line
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

NO_VECTOR: dict[str, Any] = {"cards": [], "message": "Choose a bank."}


class LabelEvidence:
    """The left half of the room Label."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs(workbench)
        self.view = evidence_view(NO_VECTOR, elem_id="label-completion")
        with gr.Row(elem_classes="mx-toolbar", elem_id="label-steering"):
            self.stop = small_button("Stop", "label-steer-stop", 70)
            self.progress = progress_bar(resting(), elem_id="label-steer-progress")

    def bind(self, of: gr.HTML) -> None:
        """Bind Steer; ``of`` holds the vector whose label is shown."""
        self._of = of
        asked = {of, *self._session.prompt_inputs}
        self.steered = self._runs.bind(self.view.steer, self._steer, asked, [self.view, self.progress], self.progress)
        self._runs.bind_stop(self.stop, self.progress)

    def shown(self, bank: str, vector: int) -> dict[str, Any]:
        """The view of a vector's texts."""
        return self._view(bank, vector, self._workbench.evidence(bank, vector))

    def _view(self, bank: str, vector: int, found: Evidence | None, *, live: bool = False) -> dict[str, Any]:
        held = self._workbench.bank(bank)
        prompts, radius = held.record.prompts, amount(held.norms[vector], 4)
        where = f"on the bank’s prompt at R {radius}" if prompts else f"on the page’s prompt at R {radius}"
        complete = found is not None and (found.own or not prompts) and any(map(found.is_at_own_radius, found.texts))
        offer = "" if complete or live else where
        origin = f"No text of vector {vector} is stored yet." if found is None else _origin(found, prompts)
        return {**evidence(found, origin, offer=offer, live=live), "of": f"{held.hash}/{vector}"}

    def _steer(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        of = values[self._of]
        held = of.get("held") if isinstance(of, dict) else None
        if held is None:
            raise InputError("vector", "none is chosen", "Choose a bank")
        bank, vector = held["bank"], held["vector"]
        own = self._workbench.bank(bank)
        prompts = [one.asked for one in own.record.prompts] or self._session.prompts(values)
        study = Steer(bank=bank, prompts=(prompts[0],), vectors=(vector,), radii=None)

        def draw(step: Any) -> Changes:
            if step is None or not step.completions:
                return {}
            steered = tuple(one for one in step.completions if one.vector is not None)
            baseline = next((one for one in step.completions if one.vector is None), None)
            prompt = step.completions[0].prompt
            growing = Evidence(prompt, bool(own.record.prompts), own.norms[vector], baseline, steered)
            return {self.view: {**self._view(bank, vector, growing, live=True), "late": True}}

        done = yield from self._runs.do(request, study, self.progress, "waiting for the model", draw)
        if done is not None:
            shown = {**self.shown(bank, vector), "late": True}
            yield {self.view: shown, self.progress: resting("Stopped" if done[1] else "Done")}


def _origin(found: Evidence, prompts: Sequence[PromptRecord]) -> str:
    """Whose prompt the texts answer."""
    if not prompts:
        return "Prompt (the bank names none of its own)"
    if not found.own:
        return f"Another prompt than the bank’s, which is “{first_line(prompts[0].user)}”"
    return "The bank’s training prompt" if len(prompts) == 1 else f"One of the bank’s {len(prompts)} training prompts"

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
        whose = "bank" if prompts else "page"
        where = f"on the {whose}’s prompt at R {radius}, reversed, and with a random vector"
        offer = "" if live or (found is not None and _is_complete(found, prompts)) else where
        origin = f"No text of vector {vector} is stored yet." if found is None else _origin(found, prompts)
        elsewhere = "" if live else self._elsewhere(held.hash, vector)
        if found is not None and not live:
            spread = self._workbench.spread(bank, vector, found.prompt)
            if spread is not None:
                elsewhere = f"{spread.sentence.capitalize()}. {elsewhere}".rstrip()
        drawn = evidence(found, origin, offer=offer, elsewhere=elsewhere, live=live)
        return {**drawn, "of": f"{held.hash}/{vector}"}

    def _elsewhere(self, bank_hash: str, vector: int) -> str:
        """How the vector does on prompts that it was not trained on, as far as that was tried."""
        for found in self._workbench.generalities():
            row = next((one for one in found.vectors if one.vector == vector), None)
            if found.bank_hash == bank_hash and row is not None:
                mine, random = row.share, row.random
                return (
                    f"On other prompts it changes {mine.changed} of {mine.answers} answers, "
                    f"random vectors {random.changed} of {random.answers} (Generality)."
                )
        for one in self._workbench.explorations():
            tried = next((part.elsewhere for part in one.behaviours if vector in part.vectors), None)
            if one.bank_hash == bank_hash and tried is not None:
                return f"Its behaviour {tried.sentence} (Explore)."
        return ""

    def _steer(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        of = values[self._of]
        held = of.get("held") if isinstance(of, dict) else None
        if held is None:
            raise InputError("vector", "none is chosen", "Choose a bank")
        bank, vector = held["bank"], held["vector"]
        own = self._workbench.bank(bank)
        prompts = [one.asked for one in own.record.prompts] or self._session.prompts(values)
        both = {"random_control": True, "both_signs": True}
        study = Steer(bank=bank, prompts=(prompts[0],), vectors=(vector,), radii=None, **both)

        def draw(step: Any) -> Changes:
            if step is None or not step.completions:
                return {}
            said = {(one.vector, one.radius > 0): one for one in step.completions}
            texts = tuple(one for one in (said.get((vector, True)),) if one is not None)
            parts = (said.get((None, False)), texts, said.get((vector, False)), said.get(("random", True)))
            growing = Evidence(step.completions[0].prompt, bool(own.record.prompts), own.norms[vector], *parts)
            return {self.view: {**self._view(bank, vector, growing, live=True), "late": True}}

        done = yield from self._runs.do(request, study, self.progress, "waiting for the model", draw)
        if done is not None:
            shown = {**self.shown(bank, vector), "late": True}
            yield {self.view: shown, self.progress: resting("Stopped" if done[1] else "Done")}


def _is_complete(found: Evidence, prompts: Sequence[PromptRecord]) -> bool:
    """Whether all is there that Steer would write."""
    at_own = any(map(found.is_at_own_radius, found.texts))
    return (found.own or not prompts) and at_own and None not in (found.baseline, found.opposite, found.control)


def _origin(found: Evidence, prompts: Sequence[PromptRecord]) -> str:
    """Whose prompt the texts answer."""
    if not prompts:
        return "Prompt (the bank names none of its own)"
    if not found.own:
        return f"Another prompt than the bank’s, which is “{first_line(prompts[0].user)}”"
    return "The bank’s training prompt" if len(prompts) == 1 else f"One of the bank’s {len(prompts)} training prompts"

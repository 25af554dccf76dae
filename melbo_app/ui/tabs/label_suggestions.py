"""Suggested labels in the room Label: asking for them, and taking one over."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from melbo_app.errors import MelboError
from melbo_app.library.label_readings import LabelReading, newest
from melbo_app.library.suggested_labels import SuggestedLabel, is_small
from melbo_app.library.tested_label import LEAST_AUROC
from melbo_app.studies.suggest_labels import SuggestLabels
from melbo_app.ui.annotator import annotator
from melbo_app.ui.assistant_fields import LOADED, SENT, AssistantFields
from melbo_app.ui.components.name_list import suggestion
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.fields import button, choice
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.label_form import LabelForm
from melbo_app.workbench import Workbench

READERS = [("the sentence embedder", "embedder"), ("the model that wrote them", "writer")]
HOW = (
    "The model compares a few texts of each vector with unsteered and random ones, and writes a label. The label is "
    "then tested on texts from which it was not written: it has to tell them from those of random vectors, and better "
    f"than other labels do. Only labels with an AUROC of {LEAST_AUROC:g} or more are shown, as suggestions."
)
SMALL = "Suggestions of a model with fewer than a billion parameters are off: hardly any of them hold."


class LabelSuggestions:
    """A section below the form; a line in the form has the suggestion for its vector."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs(workbench)
        self._kept = KeptForm("suggestions", for_any_model=True)
        with gr.Accordion("Suggested labels", open=False, elem_id="label-suggestions"):
            note_view(note(HOW), elem_id="suggest-how")
            self._fields = AssistantFields(workbench, "suggest", "Written by")
            with gr.Row(elem_classes="mx-fields"):
                self.reader = choice("Tested by", "suggest-reader", READERS, "embedder", 220)
                self.small = gr.Checkbox(
                    label="also by models under a billion parameters", elem_id="suggest-small", container=False
                )
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.start = button("Suggest labels", "suggest-start", 130)
                self.stop = button("Stop", "suggest-stop", 80)
                self.progress = progress_bar(resting(), elem_id="suggest-progress")
            self.message = note_view(elem_id="suggest-message")

    def bind(self, rooms: Rooms, form: LabelForm, vector: gr.Number) -> None:
        """Bind asking, and showing and taking over the suggestion for the ``vector`` in the ``form``."""
        fields, bank = self._fields, self._session.bank
        self._kept.bind([self.reader, self.small], rooms.opened("label"), lambda kept, _: kept, [], [])
        bind(fields.who.input, self._choose, [fields.who], [fields.url, fields.model, self.message])
        asked = {bank, vector, self.reader, self.small, *fields.inputs}
        shown = [bank, vector, self.small]
        made = self._runs.bind(self.start.click, self._suggest, asked, [self.progress, self.message], self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        for trigger in (form.of.change, made.then, self.small.change):
            bind(trigger, self._show, shown, form.suggestion, trigger_mode="always_last")
        bind(form.suggestion.take, _name, None, form.name)

    def _choose(self, who: str | None) -> Changes:
        return {**self._fields.enabled(who), self.message: note() if who == LOADED else note(SENT)}

    def _show(self, bank: str | None, vector: float | None, small: bool) -> dict[str, Any]:
        """The suggestion for a vector, if it holds."""
        if bank is None or self._session.find(bank) is None:
            return {}
        try:
            at = int(vector or 0)
            found, every = self._workbench.suggested_labels(bank).get(at), self._workbench.label_readings(bank)
        except MelboError:  # nobody asked for it
            return {}
        if found is None:
            return {}
        read = newest(every, at, found.name)
        return suggestion(found, read) if self._is_shown(found, small, read) else {}

    def _is_shown(self, found: SuggestedLabel, small: bool, read: Sequence[LabelReading]) -> bool:
        """Whether its own test confirmed it, or a person did, whoever wrote it."""
        return (found.holds and (small or not found.is_by_small)) or any(one.holds for one in read)

    def _suggest(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        bank = bank_chosen(values[self._session.bank])
        endpoint = self._fields.endpoint(request, *(values[field] for field in self._fields.inputs))
        if endpoint is None and is_small(self._workbench.model_state().parameter_count) and not values[self.small]:
            yield {self.message: note(SMALL, "Choose an endpoint, or tick the box.", tone="warning")}
            return
        labelled = self._workbench.bank_labels(bank, seen_by=annotator(self._workbench))
        count = len(self._workbench.bank(bank).vectors)
        left = tuple(at for at in range(count) if at not in labelled) or tuple(range(count))
        study = SuggestLabels(bank=bank, vectors=left, reader=values[self.reader], endpoint=endpoint)
        yield {self.message: note()}
        done = yield from self._runs.do(request, study, self.progress, "waiting for the model")
        if done is not None:
            yield {self.progress: resting("Stopped" if done[1] else "Done"), self.message: note(done[0].summary)}


def _name(event: gr.EventData) -> str:
    return str(event.name)

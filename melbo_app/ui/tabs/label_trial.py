"""Test a label: the third view of Label. A person reads mixed texts, and says how well the label fits each."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.library.label_readings import LabelReading, facts, in_words, newest
from melbo_app.studies.label_trial import LabelTrial, Trial
from melbo_app.studies.sampled_texts import UNSEEN
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.annotator_name import accepted, annotator_name
from melbo_app.ui.components.label_trial import label_trial, opened, reading, result
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import button
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.label_form import held_by
from melbo_app.ui.tabs.labels import LabelsTab
from melbo_app.workbench import Workbench

COLUMNS = ["vector", "label", "kind", "a model’s AUROC", "people’s AUROC"]
WIDE = ["label", "people’s AUROC"]
SAVED, SUGGESTED, HIDDEN = "saved", "suggested", "suggested, not shown"
HOW = (
    f"A label is worth something if a reader can use it. You get {UNSEEN} sampled texts of the vector and {UNSEEN} of "
    "random vectors, mixed; no suggestion was written from them. Keys 1 to 5 say how well the label fits. The AUROC is "
    "the probability that it fits a text of the vector better: 0.5 is guessing. At the end the texts are opened, so "
    "testing the vector again brings new ones."
)
NOTHING = "The bank has no labels yet. Save one in Label, or let a model suggest some there."
# Only while the view is open: banks are chosen elsewhere, too.
_WHEN_SEEN = """(bank, ...others) => {
  return [document.getElementById("trial-how")?.offsetParent ? bank : null, ...others];
}"""


class LabelTrialTab:
    """The view Test a label."""

    def __init__(self, workbench: Workbench, session: Session, labels: LabelsTab) -> None:
        self._workbench, self._session, self._labels = workbench, session, labels
        self._runs = Runs(workbench)
        self._trial, self._chosen = gr.State(None), gr.State(None)  # what is read; the line's key
        self.who = annotator_name(elem_id="trial-annotator", visible=not workbench.why_not("annotator_name"))
        note_view(note(HOW), elem_id="trial-how")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = gr.Button("Test it", variant="primary", elem_id="trial-start", scale=0, min_width=110)
            self.stop = button("Stop", "trial-stop", 80)
            self.progress = progress_bar(resting(), elem_id="trial-progress")
        self.view = label_trial(elem_id="trial-view")
        self.table = record_table({"columns": []}, elem_id="trial-table")
        self.outputs: list[Block] = [self.table, self._chosen, self.view]

    def bind(self, rooms: Rooms) -> None:
        """Bind choosing and reading; the label of the vector in the form is chosen when the view is opened."""
        self._rooms, session, form = rooms, self._session, self._labels.label_form
        asked = [session.bank, self._chosen, self._trial, form.of]
        bind(rooms.opened("trial"), self._open, asked, self.outputs)
        for trigger in (session.bank.change, self.who.changed):
            bind(trigger, self._open, asked, self.outputs, trigger_mode="always_last", js=_WHEN_SEEN)
        bind(self.who.named, self._name, None, self.who)
        bind(self.table.pick, self._pick, [session.bank], self.outputs)
        begun = [self._trial, self.view, self.progress]
        self._runs.bind(self.start.click, self._start, [session.bank, self._chosen], begun, self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        bind(self.view.done, self._done, [self._trial], [self._trial, *self.outputs])
        bind(form.test.click, self._from_form, [form.of], [*rooms.outputs, *self.outputs])

    def _name(self, event: gr.EventData) -> dict[str, Any]:
        return accepted(self._workbench.annotator_name(str(event.name)))

    def _open(self, bank: str | None, chosen: str | None, trial: Trial | None, of: Any) -> Changes:
        """The labels of a bank; a test that is under way stays."""
        if bank is None or self._session.find(bank) is None:
            return {}
        if trial is not None and trial.bank == bank:
            return {self.table: self._table(bank, chosen)}
        held = held_by(of)
        return self._shown(bank, held["vector"] if held is not None and held["bank"] == bank else None, chosen)

    def _from_form(self, of: Any) -> Changes:
        held = held_by(of)
        if held is None:
            raise InputError("label", "no vector is chosen", "Choose a bank")
        shown = self._shown(held["bank"], held["vector"], None)
        if shown[self._chosen] is None:
            problem = f"vector {held['vector']} has none that is saved or suggested"
            raise InputError("label", problem, "Save one first")
        return {**self._rooms.show("trial"), **shown}

    def _shown(self, bank: str, vector: int | None, chosen: str | None) -> Changes:
        """The labels, with that of a vector chosen, or the one that was."""
        keys = [row["key"] for row in self._rows(bank)]
        first = next((key for key in keys if key.split("\n")[0] == str(vector)), None)
        key = first or (chosen if chosen in keys else None)
        return {self.table: self._table(bank, key), self._chosen: key, self.view: self._said(bank, key)}

    def _said(self, bank: str, key: str | None) -> dict[str, Any]:
        """The chosen label, what people who tested it found, and the texts that this reader has seen opened."""
        if key is None:
            return {}
        vector, kind, name = key.split("\n", 2)
        read, me = self._read(bank, int(vector), name), self._trial_of(bank, key).who
        mine = [one for one in read if one.who == me]
        if mine:
            return opened(mine[-1])
        tested = " ".join(map(result, read)) or "Nobody has tested it yet."
        return {"name": name, "result": f"Vector {vector}, {kind}. {tested}"}

    def _read(self, bank: str, vector: int, name: str) -> list[LabelReading]:
        return newest(self._workbench.label_readings(bank), vector, name)

    def _table(self, bank: str, key: str | None) -> dict[str, Any]:
        return {
            "columns": COLUMNS, "wide": WIDE, "rows": self._rows(bank), "selected": key, "message": NOTHING,
        }  # fmt: skip

    def _rows(self, bank: str) -> list[dict[str, Any]]:
        """A line for each saved and each suggested label."""
        labels = self._workbench.bank_labels(bank, seen_by=annotator(self._workbench))
        suggested = self._workbench.suggested_labels(bank)
        rows = []
        for vector in sorted({*labels, *suggested}):
            found, saved = suggested.get(vector), labels[vector].name if vector in labels else ""
            if saved:
                rows.append(self._row(bank, vector, saved, SAVED, ""))
            if found is not None and found.name != saved:
                kind = SUGGESTED if found.holds and not found.is_by_small else HIDDEN
                rows.append(self._row(bank, vector, found.name, kind, found.figures))
        return rows

    def _row(self, bank: str, vector: int, name: str, kind: str, model: str) -> dict[str, Any]:
        people = in_words(facts(self._read(bank, vector, name), named=True))
        return {"key": f"{vector}\n{kind}\n{name}", "cells": [str(vector), name, kind, model, people]}

    def _pick(self, event: gr.EventData, bank: str | None) -> Changes:
        name, key = bank_chosen(bank), str(event.key)
        return {self.table: self._table(name, key), self._chosen: key, self.view: self._said(name, key)}

    def _start(self, request: gr.Request, bank: str | None, key: str | None) -> Iterator[Changes]:
        if key is None:
            raise InputError("label", "none is chosen", "Click one in the table")
        study = self._trial_of(bank_chosen(bank), key)
        yield {self._trial: None, self.view: {"name": study.name, "message": "The texts are being written."}}
        done = yield from self._runs.do(request, study, self.progress, "waiting for the model")
        if done is not None:
            trial, _ = done
            yield {self._trial: trial, self.view: reading(trial), self.progress: resting()}

    def _trial_of(self, bank: str, key: str) -> LabelTrial:
        vector, _, name = key.split("\n", 2)
        return self._workbench.label_trial(bank, int(vector), name, annotator(self._workbench))

    def _done(self, event: gr.EventData, trial: Trial | None) -> Changes:
        fits: Sequence[Any] = event.fits
        if trial is None:
            raise InputError("test", "the page was opened again meanwhile", "Begin it again")
        read = self._workbench.keep_reading(trial, list(fits))
        rows = self._rows(trial.bank)
        key = next((one["key"] for one in rows if one["key"].split("\n")[::2] == [str(trial.vector), trial.name]), None)
        return {
            self._trial: None, self._chosen: key, self.table: self._table(trial.bank, key), self.view: opened(read),
        }  # fmt: skip

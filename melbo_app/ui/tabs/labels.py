"""Labels: the effect of each vector in words."""

from datetime import UTC, datetime
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.top_tokens import TopTokens
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import small_button
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import day, token_name
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

COLUMNS = ["vector", "name", "tags", "rating", "note", "changed"]
WIDE = ["name", "tags", "note"]
NO_BANK = {"columns": COLUMNS, "wide": WIDE, "rows": [], "message": "Choose a bank at the left."}
NO_TEXT = {"groups": [], "message": "No completion of this vector yet: choose it and press Steer."}
TOKENS = 8  # of each kind, promoted and suppressed
# Only while the tab is open: banks are chosen elsewhere, too, and the answer costs a pass through the model.
_WHEN_SEEN = """(bank, vector) => {
  const tab = document.getElementById("label-tokens")?.closest("[role=tabpanel]");
  return [tab?.offsetParent ? bank : null, vector];
}"""
RATINGS = [("none", 0), ("★", 1), ("★★", 2), ("★★★", 3), ("★★★★", 4), ("★★★★★", 5)]


class LabelsTab:
    """The tab Labels."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._saved = gr.State(None)  # when this page last saved a label
        self.table = record_table(NO_BANK, elem_id="label-table")
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=5, min_width=320, elem_id="label-form"):
                with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                    self.previous = gr.Button("‹ previous", elem_id="label-previous", size="sm", min_width=76)
                    self.vector = gr.Number(0, label="Vector", precision=0, elem_id="label-vector", min_width=76)
                    self.next = gr.Button("next ›", elem_id="label-next", size="sm", min_width=76)
                self.of = note_view(elem_id="label-of")
                self.name = gr.Textbox(label="Name", max_lines=1, elem_id="label-name", placeholder="its effect")
                with gr.Row(elem_classes="mx-fields"):
                    self.tags = gr.Dropdown(
                        [], label="Tags", multiselect=True, allow_custom_value=True, elem_id="label-tags", min_width=160
                    )
                    self.rating = gr.Dropdown(RATINGS, value=0, label="Rating", elem_id="label-rating", min_width=120)
                self.note = gr.Textbox(label="Note", lines=2, max_lines=6, elem_id="label-note")
                with gr.Row(elem_classes="mx-toolbar"):
                    self.save = gr.Button("Save (Ctrl+Enter)", variant="primary", elem_id="label-save", scale=3)
                    self.discard = gr.Button("Discard", elem_id="label-discard", scale=1, min_width=80)
            with gr.Column(scale=5, min_width=300):
                self.completion = completion_grid(NO_TEXT, elem_id="label-completion")
                self.tokens = note_view(elem_id="label-tokens")
        with gr.Row(elem_classes="mx-toolbar"):
            self.csv = small_button("Export CSV", "labels-csv", 120)
            self.jsonl = small_button("Export JSONL", "labels-jsonl", 120)
        self._file = hidden_download("labels-file")
        # The line above the fields names their vector, and is sent with them: a state may be newer than they are.
        self._fields: list[Component] = [self.name, self.tags, self.rating, self.note]
        self.form: list[Component] = [self.of, *self._fields]
        self.outputs: list[Block] = [self.table, self.vector, *self.form, self.completion, self._saved]

    def bind(self, rooms: Rooms) -> None:
        """Bind choosing, saving and exporting; the view shows its newest state whenever it is opened."""
        session = self._session
        form, latest = {session.bank, self.vector, *self.form}, "always_last"
        bind(rooms.opened("label"), self._renew, form, self.outputs)
        moves = [
            bind(session.bank.change, self._follow, form, self.outputs),
            bind(self.table.pick, self._pick, form, self.outputs, trigger_mode=latest),
            bind(self.vector.submit, self._go, form, self.outputs),
            bind(self.vector.input, self._typed, form, self.outputs, trigger_mode=latest),
            bind(self.previous.click, self._back, form, self.outputs),
            bind(self.next.click, self._forth, form, self.outputs),
        ]
        for move in moves:
            bind(move.failure, self._stay, [session.bank, self.of], [self.table, self.vector])
        bind(self.save.click, self._save, {*self.form}, self.outputs)
        bind(self.discard.click, self._discard, [session.bank, self.of], self.outputs)
        bind(self._saved.change, session.show_labels, [session.bank, session.radius], session.vectors)
        for trigger, only in ((rooms.opened("label"), None), (self.of.change, _WHEN_SEEN)):
            asked = [session.bank, self.vector]
            bind(trigger, self._top_tokens, asked, self.tokens, trigger_mode=latest, js=only)
        for button, ending in ((self.csv, ".csv"), (self.jsonl, ".jsonl")):
            made = bind(button.click, self._exporter(ending), None, self._file)
            made.success(None, None, None, js=fetch_script("labels-file"), api_visibility="private")

    def open(self, bank: str | None, vector: float | None = 0) -> Changes:
        """Show the label of a vector in ``outputs``; a number past the end is the last vector's."""
        line = self._session.find(bank)
        if line is None or not line.vectors or bank is None:
            empty: Changes = {self.of: note(), self.name: "", self.rating: 0, self.note: ""}
            tags = gr.Dropdown(choices=[], value=[])
            return {self.table: NO_BANK, self.vector: 0, **empty, self.tags: tags, self.completion: NO_TEXT}
        at = _within(vector, line.vectors)
        label = self._workbench.label(bank, at)
        text = self._workbench.latest_completion(bank, at)
        fields = [label.name, list(label.tags), label.rating or 0, label.note]
        held = {"bank": bank, "hash": self._workbench.bank(bank).hash, "vector": at, "fields": fields}
        return {
            self.table: self._table(bank, at),
            self.vector: at,
            self.of: {
                **note(f"Vector {at} of “{bank}”", self._workbench.why_not("save_label", (bank, at))),
                "held": held,
            },
            self.name: label.name,
            self.tags: gr.Dropdown(choices=self._workbench.tags(), value=list(label.tags)),
            self.rating: label.rating or 0,
            self.note: label.note,
            self.completion: {**grid([text], {at: label.name}), "lines": 3} if text else NO_TEXT,
        }

    def _table(self, bank: str | None, selected: int | None) -> dict[str, Any]:
        line = self._session.find(bank)
        if bank is None or line is None or not line.vectors:
            return NO_BANK
        labels = self._workbench.bank_labels(bank)
        rows = []
        for number in range(line.vectors):
            label = labels.get(number)
            cells = [str(number)] + ["" for _ in COLUMNS[1:]]
            if label is not None:
                changed = day(label.updated) if label.updated else ""
                cells[1:] = [label.name, ", ".join(label.tags), "★" * (label.rating or 0), label.note, changed]
            rows.append({"key": str(number), "cells": cells})
        return {
            "columns": COLUMNS, "wide": WIDE, "rows": rows, "selected": None if selected is None else str(selected),
        }  # fmt: skip

    def move(self, bank: str | None, vector: float | None, values: Values) -> Changes:
        """Save the form, and show another vector in ``outputs``."""
        edited = self._edited(values)
        if edited:
            self._keep(values)
        changes = self._open_again(bank, vector, values)
        return {**changes, self._saved: datetime.now(UTC)} if edited else changes

    def _open_again(self, bank: str | None, vector: float | None, values: Values) -> Changes:
        """The same as ``open``, but fields that hold this very label stay: a person may be writing there."""
        changes, held = self.open(bank, vector), _held(values[self.of])
        if held is not None and _held(changes[self.of]) == held:
            return {part: value for part, value in changes.items() if part not in self.form}
        return changes

    def _keep(self, values: Values) -> None:
        """Save the form to the vector for which it was filled, whatever bank and number are chosen by now."""
        held = _held(values[self.of]) or {}
        bank, vector = bank_chosen(held.get("bank")), held.get("vector", 0)
        if self._workbench.bank(bank).hash != held["hash"]:
            raise InputError(
                "label", f"another bank has replaced “{bank}”", "Press Discard, and choose the vector again"
            )
        name, tags, rating, words = (values[field] for field in self._fields)
        try:
            self._workbench.save_label(bank, vector, name=name, tags=tags or [], rating=rating or None, note=words)
        except InputError as error:
            raise InputError(f"label of vector {vector}, {error.field}", error.problem, error.remedy) from error
        gr.Info(f"The label of vector {vector} is saved.", duration=2)

    def _edited(self, values: Values) -> bool:
        """Whether the form was changed since it was filled; one that was never shown sends None."""
        held = _held(values[self.of])
        name, tags, rating, words = (values[field] for field in self._fields)
        return held is not None and name is not None and [name, tags or [], rating or 0, words or ""] != held["fields"]

    def _renew(self, values: Values) -> Changes:
        """Show new banks and labels; changes in the form that were not saved stay."""
        bank = values[self._session.bank]
        if self._session.find(bank) is not None:
            tell(self._workbench.labels(bank=bank).damaged)
        at = _vector_of(values[self.of], bank)
        return {self.table: self._table(bank, at)} if self._edited(values) else self._open_again(bank, at, values)

    def _follow(self, values: Values) -> Changes:
        """Another bank was chosen at the left, or the same one again."""
        bank, held = values[self._session.bank], _held(values[self.of])
        return self._renew(values) if held is not None and held["bank"] == bank else self.move(bank, 0, values)

    def _go(self, values: Values, by: int = 0) -> Changes:
        return self.move(values[self._session.bank], (values[self.vector] or 0) + by, values)

    def _back(self, values: Values) -> Changes:
        return self._go(values, -1)

    def _forth(self, values: Values) -> Changes:
        return self._go(values, 1)

    def _typed(self, values: Values) -> Changes:
        """Show the vector of a number that a person may still be writing: the field stays."""
        changes = self._go(values)
        del changes[self.vector]
        return changes

    def _pick(self, event: gr.EventData, values: Values) -> Changes:
        return self.move(values[self._session.bank], int(event.key), values)

    def _stay(self, bank: str | None, of: Any) -> Changes:
        """Go back to the vector in the form, which could not be saved."""
        held = _held(of)
        if held is None:
            return {}
        return {self.table: self._table(bank, _vector_of(of, bank)), self.vector: held["vector"]}

    def _save(self, values: Values) -> Changes:
        self._keep(values)
        held = values[self.of]["held"]
        return {**self.open(held["bank"], held["vector"]), self._saved: datetime.now(UTC)}

    def _discard(self, bank: str | None, of: Any) -> Changes:
        """Show the label as it was last saved."""
        return self.open(bank, _vector_of(of, bank))

    def _top_tokens(self, bank: str | None, vector: float | None) -> dict[str, Any]:
        """The tokens that the vector makes likelier after its prompts; nothing if the loaded model cannot tell."""
        line = self._session.find(bank)
        if bank is None or line is None or not line.vectors or not self._workbench.model_state().loaded:
            return note()
        try:
            study = TopTokens(bank=bank, vectors=[_within(vector, line.vectors)], count=TOKENS)
            [found] = result_of(self._workbench.run(study, stop=leaving()))
        except MelboError:  # a bank of another model, or of the last block
            return note()
        kinds = (("More", found.promoted), ("Less", found.suppressed))
        return note(*(f"{how} likely next: {' · '.join(token_name(text) for text, _ in some)}" for how, some in kinds))

    def _exporter(self, ending: str) -> Any:
        def export() -> str:
            return written("melbo-labels", ending, self._workbench.export_labels)

        return export


def _within(vector: float | None, count: int) -> int:
    return min(max(0, int(vector or 0)), count - 1)


def _held(of: Any) -> dict[str, Any] | None:
    """Whose label the form holds: bank, its hash, vector, and the fields as filled; None before the first."""
    return of.get("held") if isinstance(of, dict) else None


def _vector_of(of: Any, bank: str | None) -> int | None:
    """The vector in the form, if it belongs to this bank."""
    held = _held(of)
    return held["vector"] if held is not None and held["bank"] == bank else None

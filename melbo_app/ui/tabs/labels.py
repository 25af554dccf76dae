"""Labels: saying in words what each vector does."""

from typing import Any

import gradio as gr

from melbo_app.errors import InputError, MelboError
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import bind
from melbo_app.ui.present import day, token_name
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

COLUMNS = ["vector", "name", "tags", "rating", "note", "changed"]
NO_TEXT = "No completion of this vector yet: press Steer with it."
TOKENS = 8  # of each kind, promoted and suppressed
RATINGS = [("none", 0), ("★", 1), ("★★", 2), ("★★★", 3), ("★★★★", 4), ("★★★★★", 5)]


class LabelsTab:
    """The fifth tab."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._held = gr.State(None)  # whose label the form holds: bank, its hash, vector, and the fields as loaded
        self.table = record_table({"columns": COLUMNS, "message": "Choose a bank at the left."}, elem_id="label-table")
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=5, min_width=320, elem_id="label-form"):
                with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                    self.previous = gr.Button("‹ previous", elem_id="label-previous", size="sm", min_width=76)
                    self.vector = gr.Number(0, label="Vector", precision=0, elem_id="label-vector", min_width=76)
                    self.next = gr.Button("next ›", elem_id="label-next", size="sm", min_width=76)
                self.of = note_view(elem_id="label-of")
                self.name = gr.Textbox(label="Name", max_lines=1, elem_id="label-name", placeholder="what it does")
                with gr.Row(elem_classes="mx-fields"):
                    self.tags = gr.Dropdown(
                        [], label="Tags", multiselect=True, allow_custom_value=True, elem_id="label-tags", min_width=160
                    )
                    self.rating = gr.Dropdown(RATINGS, value=0, label="Rating", elem_id="label-rating", min_width=120)
                self.note = gr.Textbox(label="Note", lines=2, max_lines=6, elem_id="label-note")
                self.save = gr.Button("Save (Ctrl+Enter)", variant="primary", elem_id="label-save")
            with gr.Column(scale=5, min_width=300):
                self.completion = completion_grid({"groups": [], "message": NO_TEXT}, elem_id="label-completion")
                self.tokens = note_view(elem_id="label-tokens")
        with gr.Row(elem_classes="mx-toolbar"):
            self.csv = gr.Button("Export CSV", elem_id="labels-csv", size="sm", scale=0, min_width=120)
            self.jsonl = gr.Button("Export JSONL", elem_id="labels-jsonl", size="sm", scale=0, min_width=120)
        self._file = hidden_download("labels-file")
        self.form = [self.name, self.tags, self.rating, self.note]
        self.outputs = [self.table, self.vector, self.of, *self.form, self.completion, self._held]

    def bind(self, tab: gr.Tab) -> None:
        """Bind choosing, saving and exporting; ``tab`` shows its newest state whenever it is opened."""
        session = self._session
        for trigger in (tab.select, session.bank.change):
            bind(trigger, self._renew, [session.bank, self._held, *self.form], self.outputs)
        bind(self.table.pick, self._open_picked, session.bank, self.outputs, trigger_mode="always_last")
        bind(self.vector.submit, self.open, [session.bank, self.vector], self.outputs)
        number = [session.bank, self.vector]
        bind(self.vector.input, self._typed, number, self.outputs, trigger_mode="always_last")
        bind(self.previous.click, self._back, [session.bank, self.vector], self.outputs)
        bind(self.next.click, self._forth, [session.bank, self.vector], self.outputs)
        saved = bind(self.save.click, self._save, [self._held, *self.form], self.outputs)
        bind(saved.success, session.reopen_bank, [session.bank, session.vectors, session.radius], session.bank_outputs)
        for trigger in (tab.select, self.of.change):
            bind(trigger, self._top_tokens, [session.bank, self.vector], self.tokens, trigger_mode="always_last")
        for button, ending in ((self.csv, ".csv"), (self.jsonl, ".jsonl")):
            made = bind(button.click, self._exporter(ending), None, self._file)
            made.success(None, None, None, js=fetch_script("labels-file"), api_visibility="private")

    def open(self, bank: str | None, vector: float | None = 0) -> list[Any]:
        """Values of ``outputs`` for a vector of a bank; a number past the end is brought back."""
        line = self._session.find(bank)
        if line is None or not line.vectors or bank is None:
            empty = {"groups": [], "message": NO_TEXT}
            return [self._table(None, None), 0, note(), "", gr.Dropdown(choices=[], value=[]), 0, "", empty, None]
        at = min(max(0, int(vector or 0)), line.vectors - 1)
        label = self._workbench.label(bank, at)
        text = self._workbench.latest_completion(bank, at)
        fields = [label.name, list(label.tags), label.rating or 0, label.note]
        return [
            self._table(bank, at),
            at,
            note(f"Vector {at} of “{bank}”"),
            label.name,
            gr.Dropdown(choices=self._workbench.tags(), value=list(label.tags)),
            label.rating or 0,
            label.note,
            {**grid([text], {at: label.name}), "lines": 3} if text else {"groups": [], "message": NO_TEXT},
            {"bank": bank, "hash": self._workbench.bank(bank).hash, "vector": at, "fields": fields},
        ]

    def _table(self, bank: str | None, selected: int | None) -> dict[str, Any]:
        line = self._session.find(bank)
        if bank is None or line is None or not line.vectors:
            return {"columns": COLUMNS, "rows": [], "message": "Choose a bank at the left."}
        labels = self._workbench.bank_labels(bank)
        rows = []
        for number in range(line.vectors):
            label = labels.get(number)
            cells = [str(number)] + ["" for _ in COLUMNS[1:]]
            if label is not None:
                changed = day(label.updated) if label.updated else ""
                cells[1:] = [label.name, ", ".join(label.tags), "★" * (label.rating or 0), label.note, changed]
            rows.append({"key": str(number), "cells": cells})
        return {"columns": COLUMNS, "rows": rows, "selected": None if selected is None else str(selected)}

    def _renew(self, bank: str | None, held: dict[str, Any] | None, *fields: Any) -> list[Any]:
        """What is new on the shelf and among the labels; what was written and not saved stays in the form."""
        same = held is not None and held["bank"] == bank
        if held is None or not _edited(held, *fields):
            return self.open(bank, held["vector"] if held is not None and same else 0)
        table = self._table(bank, held["vector"] if same else None)
        return [table, *[gr.skip()] * (len(self.outputs) - 1)]

    def _typed(self, bank: str | None, vector: float | None) -> list[Any]:
        """Open the label of the number in the field, which a person may still be writing: the field stays."""
        values = self.open(bank, vector)
        values[1] = gr.skip()
        return values

    def _open_picked(self, bank: str | None, event: gr.EventData) -> list[Any]:
        return self.open(bank, int(event.key))

    def _back(self, bank: str | None, vector: float) -> list[Any]:
        return self.open(bank, vector - 1)

    def _forth(self, bank: str | None, vector: float) -> list[Any]:
        return self.open(bank, vector + 1)

    def _save(self, held: dict[str, Any] | None, name: str, tags: list[str], rating: int, words: str) -> list[Any]:
        """Save to the vector whose label was loaded, whatever the bank and the number say by now."""
        bank, vector = bank_chosen(held["bank"] if held else None), held["vector"] if held else 0
        if held and self._workbench.bank(bank).hash != held["hash"]:
            raise InputError("label", f"“{bank}” was replaced since by another bank", "Choose the vector again")
        self._workbench.save_label(bank, vector, name=name, tags=tags or [], rating=rating or None, note=words)
        gr.Info(f"The label of vector {vector} is saved.", duration=3)
        return self.open(bank, vector)

    def _top_tokens(self, bank: str | None, vector: float | None) -> dict[str, Any]:
        """What the vector makes likelier behind its prompts; nothing where the loaded model cannot tell."""
        line = self._session.find(bank)
        if bank is None or line is None or not line.vectors or not self._workbench.model_state().loaded:
            return note()
        at = min(max(0, int(vector or 0)), line.vectors - 1)
        try:
            [found] = self._workbench.top_tokens(bank, [at], count=TOKENS)
        except MelboError:  # a bank of another model, or of the last block
            return note()
        kinds = (("More", found.promoted), ("Less", found.suppressed))
        return note(*(f"{how} likely next: {' · '.join(token_name(text) for text, _ in some)}" for how, some in kinds))

    def _exporter(self, ending: str) -> Any:
        def export() -> str:
            return written("melbo-labels", ending, self._workbench.export_labels)

        return export


def _edited(held: dict[str, Any], name: str | None, tags: list[str] | None, rating: int | None, words: str) -> bool:
    """Whether the form holds something else than what was loaded; one that was never shown sends None."""
    return name is not None and [name, tags or [], rating or 0, words or ""] != held["fields"]

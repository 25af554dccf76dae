"""Labels: saying in words what each vector does."""

from datetime import UTC, datetime
from typing import Any

import gradio as gr

from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.top_tokens import TopTokens
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import day, token_name
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

COLUMNS = ["vector", "name", "tags", "rating", "note", "changed"]
WIDE = ["name", "tags", "note"]
NO_BANK = {"columns": COLUMNS, "wide": WIDE, "rows": [], "message": "Choose a bank at the left."}
NO_TEXT = "No completion of this vector yet: press Steer with it."
TOKENS = 8  # of each kind, promoted and suppressed
# Only while the tab is looked at: banks are chosen elsewhere, too, and the answer costs a pass through the model.
_WHEN_SEEN = """(bank, vector) => {
  const tab = document.getElementById("label-tokens")?.closest("[role=tabpanel]");
  return [tab?.offsetParent ? bank : null, vector];
}"""
RATINGS = [("none", 0), ("★", 1), ("★★", 2), ("★★★", 3), ("★★★★", 4), ("★★★★★", 5)]


class LabelsTab:
    """The sixth tab."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._saved = gr.State(None)  # when this page saved a label last
        self.table = record_table(NO_BANK, elem_id="label-table")
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
                with gr.Row(elem_classes="mx-toolbar"):
                    self.save = gr.Button("Save (Ctrl+Enter)", variant="primary", elem_id="label-save", scale=3)
                    self.discard = gr.Button("Discard", elem_id="label-discard", scale=1, min_width=80)
            with gr.Column(scale=5, min_width=300):
                self.completion = completion_grid({"groups": [], "message": NO_TEXT}, elem_id="label-completion")
                self.tokens = note_view(elem_id="label-tokens")
        with gr.Row(elem_classes="mx-toolbar"):
            self.csv = gr.Button("Export CSV", elem_id="labels-csv", size="sm", scale=0, min_width=120)
            self.jsonl = gr.Button("Export JSONL", elem_id="labels-jsonl", size="sm", scale=0, min_width=120)
        self._file = hidden_download("labels-file")
        # The line above the fields also says whose they are, and travels with them: a state may be newer than they are.
        self.form = [self.of, self.name, self.tags, self.rating, self.note]
        self.outputs = [self.table, self.vector, *self.form, self.completion, self._saved]

    def bind(self, tab: gr.Tab) -> None:
        """Bind choosing, saving and exporting; ``tab`` shows its newest state whenever it is opened."""
        session = self._session
        chosen, numbered, latest = [session.bank, *self.form], [session.bank, self.vector, *self.form], "always_last"
        bind(tab.select, self._renew, chosen, self.outputs)
        moves = [
            bind(session.bank.change, self._follow, chosen, self.outputs),
            bind(self.table.pick, self._pick, chosen, self.outputs, trigger_mode=latest),
            bind(self.vector.submit, self.move, numbered, self.outputs),
            bind(self.vector.input, self._typed, numbered, self.outputs, trigger_mode=latest),
            bind(self.previous.click, self._back, numbered, self.outputs),
            bind(self.next.click, self._forth, numbered, self.outputs),
        ]
        for move in moves:
            bind(move.failure, self._stay, [session.bank, self.of], [self.table, self.vector])
        bind(self.save.click, self._save, self.form, self.outputs)
        bind(self.discard.click, self._discard, [session.bank, self.of], self.outputs)
        column = [session.bank, session.vectors, session.radius]
        bind(self._saved.change, session.show_labels, column, [session.vectors, session.cards])
        for trigger, only in ((tab.select, None), (self.of.change, _WHEN_SEEN)):
            asked = [session.bank, self.vector]
            bind(trigger, self._top_tokens, asked, self.tokens, trigger_mode="always_last", js=only)
        for button, ending in ((self.csv, ".csv"), (self.jsonl, ".jsonl")):
            made = bind(button.click, self._exporter(ending), None, self._file)
            made.success(None, None, None, js=fetch_script("labels-file"), api_visibility="private")

    def open(self, bank: str | None, vector: float | None = 0) -> list[Any]:
        """Values of ``outputs`` for a vector of a bank; a number past the end is brought back."""
        line = self._session.find(bank)
        if line is None or not line.vectors or bank is None:
            empty = {"groups": [], "message": NO_TEXT}
            nothing = gr.Dropdown(choices=[], value=[])
            return [self._table(None, None), 0, note(), "", nothing, 0, "", empty, gr.skip()]
        at = min(max(0, int(vector or 0)), line.vectors - 1)
        label = self._workbench.label(bank, at)
        text = self._workbench.latest_completion(bank, at)
        fields = [label.name, list(label.tags), label.rating or 0, label.note]
        held = {"bank": bank, "hash": self._workbench.bank(bank).hash, "vector": at, "fields": fields}
        return [
            self._table(bank, at),
            at,
            {**note(f"Vector {at} of “{bank}”", self._workbench.why_not("save_label", (bank, at))), "held": held},
            label.name,
            gr.Dropdown(choices=self._workbench.tags(), value=list(label.tags)),
            label.rating or 0,
            label.note,
            {**grid([text], {at: label.name}), "lines": 3} if text else {"groups": [], "message": NO_TEXT},
            gr.skip(),
        ]

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

    def move(self, bank: str | None, vector: float | None, of: Any, *fields: Any) -> list[Any]:
        """Values of ``outputs`` for another vector, after what was written about the one before is saved."""
        edited = _edited(of, *fields)
        if edited:
            self._keep(of, *fields)
        values = self._open_again(bank, vector, of)
        values[-1] = datetime.now(UTC) if edited else gr.skip()
        return values

    def _open_again(self, bank: str | None, vector: float | None, of: Any) -> list[Any]:
        """The same as ``open``, leaving the fields alone where they hold that very label: a person may be writing."""
        values = self.open(bank, vector)
        first, last = self.outputs.index(self.form[0]), self.outputs.index(self.form[-1])
        if _held(of) is not None and _held(values[first]) == _held(of):
            values[first : last + 1] = [gr.skip()] * len(self.form)
        return values

    def _keep(self, of: Any, name: str, tags: list[str] | None, rating: int | None, words: str) -> None:
        """Save to the vector whose label was loaded, whatever the bank and the number say by now."""
        held = _held(of) or {}
        bank, vector = bank_chosen(held.get("bank")), held.get("vector", 0)
        if self._workbench.bank(bank).hash != held["hash"]:
            raise InputError(
                "label", f"“{bank}” was replaced since by another bank", "Press Discard, and choose the vector again"
            )
        try:
            self._workbench.save_label(bank, vector, name=name, tags=tags or [], rating=rating or None, note=words)
        except InputError as error:
            raise InputError(f"label of vector {vector}, {error.field}", error.problem, error.remedy) from error
        gr.Info(f"The label of vector {vector} is saved.", duration=2)

    def _renew(self, bank: str | None, of: Any, *fields: Any) -> list[Any]:
        """What is new on the shelf and among the labels; what was written and not saved stays in the form."""
        if self._session.find(bank) is not None:
            tell(self._workbench.labels(bank=bank).damaged)
        held = _held(of)
        at = held["vector"] if held is not None and held["bank"] == bank else None
        if not _edited(of, *fields):
            return self._open_again(bank, at, of)
        return [self._table(bank, at), *[gr.skip()] * (len(self.outputs) - 1)]

    def _follow(self, bank: str | None, of: Any, *fields: Any) -> list[Any]:
        """Another bank is chosen at the left, or the same one again."""
        held = _held(of)
        if held is not None and held["bank"] == bank:
            return self._renew(bank, of, *fields)
        return self.move(bank, 0, of, *fields)

    def _typed(self, bank: str | None, vector: float | None, *form: Any) -> list[Any]:
        """Open the label of the number in the field, which a person may still be writing: the field stays."""
        values = self.move(bank, vector, *form)
        values[1] = gr.skip()
        return values

    def _pick(self, event: gr.EventData, bank: str | None, *form: Any) -> list[Any]:
        return self.move(bank, int(event.key), *form)

    def _back(self, bank: str | None, vector: float | None, *form: Any) -> list[Any]:
        return self.move(bank, (vector or 0) - 1, *form)

    def _forth(self, bank: str | None, vector: float | None, *form: Any) -> list[Any]:
        return self.move(bank, (vector or 0) + 1, *form)

    def _stay(self, bank: str | None, of: Any) -> list[Any]:
        """Row and number of the vector that the form holds: what was written about it could not be saved."""
        held = _held(of)
        if held is None:
            return [gr.skip()] * 2
        return [self._table(bank, held["vector"] if held["bank"] == bank else None), held["vector"]]

    def _save(self, of: Any, *fields: Any) -> list[Any]:
        self._keep(of, *fields)
        held = of["held"]
        return [*self.open(held["bank"], held["vector"])[:-1], datetime.now(UTC)]

    def _discard(self, bank: str | None, of: Any) -> list[Any]:
        """The label as it was saved last."""
        held = _held(of)
        return self.open(bank, held["vector"] if held is not None and held["bank"] == bank else 0)

    def _top_tokens(self, bank: str | None, vector: float | None) -> dict[str, Any]:
        """What the vector makes likelier behind its prompts; nothing where the loaded model cannot tell."""
        line = self._session.find(bank)
        if bank is None or line is None or not line.vectors or not self._workbench.model_state().loaded:
            return note()
        at = min(max(0, int(vector or 0)), line.vectors - 1)
        try:
            study = TopTokens(bank=bank, vectors=[at], count=TOKENS)
            [found] = result_of(self._workbench.run(study, stop=leaving()))
        except MelboError:  # a bank of another model, or of the last block
            return note()
        kinds = (("More", found.promoted), ("Less", found.suppressed))
        return note(*(f"{how} likely next: {' · '.join(token_name(text) for text, _ in some)}" for how, some in kinds))

    def _exporter(self, ending: str) -> Any:
        def export() -> str:
            return written("melbo-labels", ending, self._workbench.export_labels)

        return export


def _held(of: Any) -> dict[str, Any] | None:
    """Whose label the form holds: bank, its hash, vector, and the fields as loaded; None before the first."""
    return of.get("held") if isinstance(of, dict) else None


def _edited(of: Any, name: str | None, tags: list[str] | None, rating: int | None, words: str | None) -> bool:
    """Whether the form holds something else than what was loaded; one that was never shown sends None."""
    held = _held(of)
    return held is not None and name is not None and [name, tags or [], rating or 0, words or ""] != held["fields"]

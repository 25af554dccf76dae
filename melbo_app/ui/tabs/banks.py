"""Banks: the shelf, with import, export and delete."""

from pathlib import Path
from typing import Any

import gradio as gr

from melbo_app.errors import InputError
from melbo_app.library.bank import BankSummary
from melbo_app.sizes import size_text
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen, optional_whole
from melbo_app.ui.forms import chosen as chosen_vectors
from melbo_app.ui.guard import bind
from melbo_app.ui.present import amount, day, first_line, layers, radius_text
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

COLUMNS = ["bank", "model", "vectors", "s → t", "R", "prompt", "date"]
WIDE = ["model", "prompt"]
FUNCTIONS = [
    "'bank'[3] is one vector, 'bank'[0:4] several, 'bank' all. + and - between vectors, * and / by numbers;",
    "mean(x, …) averages, without(x, y, …) takes the part along y out of x, scaled(x, R) gives the norm R, join(x, …) "
    "puts them below each other.",
]
NOTHING = "No bank chosen: click one in the list."


class BanksTab:
    """The seventh tab."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self.table = record_table({"columns": COLUMNS, "wide": WIDE}, elem_id="bank-table")
        self._chosen = gr.State(None)
        self.details = note_view(note(NOTHING), elem_id="bank-details")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.use = gr.Button("Use for steering", elem_id="bank-use", size="sm", scale=0, min_width=140)
            self.export = gr.Button("Export .safetensors", elem_id="bank-export", size="sm", scale=0, min_width=160)
            self.export_pt = gr.Button("Export .pt", elem_id="bank-export-pt", size="sm", scale=0, min_width=110)
            self.delete = gr.Button("Delete …", elem_id="bank-delete", size="sm", scale=0, min_width=100)
            self.confirm = gr.Button(
                "Delete for good", variant="stop", elem_id="bank-delete-confirm", size="sm", scale=0, min_width=140,
                visible=False,
            )  # fmt: skip
            self.keep = gr.Button("Keep", elem_id="bank-delete-keep", size="sm", scale=0, min_width=80, visible=False)
        self._file = hidden_download("bank-file")
        with (
            gr.Accordion("Import a bank", open=True, elem_id="bank-import-panel"),
            gr.Row(elem_classes="mx-split"),
        ):
            self.upload = gr.File(
                label="File (.safetensors or .pt)", file_types=[".safetensors", ".pt", ".pth", ".bin"],
                elem_id="bank-upload", height=130, scale=2, min_width=240,
            )  # fmt: skip
            with gr.Column(scale=3, min_width=300):
                with gr.Row(elem_classes="mx-fields"):
                    self.name = gr.Textbox(label="Name (empty: the file's)", elem_id="bank-import-name")
                    self.model = gr.Textbox(label="Model, if the file is silent", elem_id="bank-import-model")
                with gr.Row(elem_classes="mx-fields"):
                    self.source = gr.Textbox(label="Source layer", elem_id="bank-import-source", min_width=90)
                    self.target = gr.Textbox(label="Target layer", elem_id="bank-import-target", min_width=90)
                    self.add = gr.Button("Import", variant="primary", elem_id="bank-import", min_width=110)
        with gr.Accordion("Combine vectors", open=False, elem_id="bank-combine-panel"):
            self.formula = gr.Textbox(
                label="Formula", max_lines=3, elem_id="bank-formula",
                placeholder="'bomb-question'[3] - 0.5 * 'who-are-you'[0]",
            )  # fmt: skip
            note_view(note(*FUNCTIONS), elem_id="bank-functions")
            with gr.Row(elem_classes="mx-fields"):
                self.insert = gr.Button("Insert the chosen vectors", elem_id="bank-insert", min_width=170)
                self.new_name = gr.Textbox(label="Name of the new bank", max_lines=1, elem_id="bank-combine-name")
                self.combine = gr.Button("Combine", variant="primary", elem_id="bank-combine", min_width=110)
        self.outputs = [self.table, self._chosen, self.details, self.confirm, self.keep]

    def bind(self, tab: gr.Tab) -> None:
        """Bind the shelf; ``tab`` shows its newest state whenever it is opened."""
        session, chosen = self._session, self._chosen
        column = [session.bank, session.vectors, session.radius]
        bind(tab.select, self.open, chosen, self.outputs)
        bind(self.table.pick, self._pick, None, self.outputs)
        bind(self.use.click, self._use, chosen, session.bank_outputs)
        for button, ending in ((self.export, ".safetensors"), (self.export_pt, ".pt")):
            made = bind(button.click, self._exporter(ending), chosen, self._file)
            made.success(None, None, None, js=fetch_script("bank-file"), api_visibility="private")
        bind(self.delete.click, self._ask, chosen, [self.confirm, self.keep])
        bind(self.keep.click, self.open, chosen, self.outputs)
        gone = bind(self.confirm.click, self._delete, chosen, self.outputs)
        bind(gone.success, session.reopen_bank, column, session.bank_outputs)
        fields = [self.upload, self.name, self.model, self.source, self.target]
        added = bind(self.add.click, self._import, fields, [*self.outputs, self.upload, self.name])
        bind(added.success, self._use, chosen, session.bank_outputs)
        bind(self.insert.click, self._insert, [self.formula, session.bank, session.vectors], self.formula)
        written_down = [self.formula, self.new_name]
        made = bind(self.combine.click, self._combine, written_down, [*self.outputs, *written_down])
        bind(made.success, self._use, chosen, session.bank_outputs)

    def open(self, name: str | None) -> list[Any]:
        """Values of ``outputs`` with this bank chosen."""
        shelf = self._workbench.banks()
        line = next((one for one in shelf if one.name == name), None)
        rows = [{"key": one.name, "cells": _cells(one), "tone": "damaged" if one.damaged else ""} for one in shelf]
        chosen = line.name if line else None
        table = {
            "columns": COLUMNS, "wide": WIDE, "rows": rows, "selected": chosen,
            "message": "No banks yet: train one, or import.",
        }  # fmt: skip
        details = note(*_details(line), tone="plain") if line else note(NOTHING)
        return [table, chosen, details, gr.Button(visible=False), gr.Button(visible=False)]

    def _pick(self, event: gr.EventData) -> list[Any]:
        return self.open(event.key)

    def _use(self, name: str | None) -> list[Any]:
        return self._session.open_bank(self._workbench.bank(bank_chosen(name)).record.name)

    def _ask(self, name: str | None) -> list[Any]:
        bank_chosen(name)
        return [gr.Button(f"Delete “{name}” for good", visible=True), gr.Button(visible=True)]

    def _delete(self, name: str | None) -> list[Any]:
        self._workbench.delete_bank(bank_chosen(name))
        return self.open(None)

    def _import(self, path: str | None, name: str, model: str, source: str, target: str) -> list[Any]:
        if not path:
            raise InputError("bank file", "none was chosen", "Choose a .safetensors or .pt file")
        bank = self._workbench.import_bank(
            Path(path),
            name.strip() or None,
            model=model.strip() or None,
            source=optional_whole("source layer", source),
            target=optional_whole("target layer", target),
        )
        return [*self.open(bank.record.name), None, ""]

    def _insert(self, formula: str, bank: str | None, vectors: list[int] | None) -> str:
        """The formula with the vectors that are chosen at the left at its end."""
        numbers = ", ".join(str(vector) for vector in chosen_vectors(vectors))
        return f"{formula.rstrip()} '{bank_chosen(bank)}'{f'[{numbers}]' if numbers else ''}".lstrip()

    def _combine(self, formula: str, name: str) -> list[Any]:
        bank = self._workbench.combine_banks(formula, name)
        return [*self.open(bank.record.name), "", ""]

    def _exporter(self, ending: str) -> Any:
        def export(name: str | None) -> str:
            chosen = bank_chosen(name)
            return written(chosen, ending, lambda out: self._workbench.export_bank(chosen, out))

        return export


def _cells(line: BankSummary) -> list[str]:
    name = f"{line.name} (sample)" if line.sample else line.name
    record = line.record
    if record is None:
        return [name, "damaged", "", "", "", line.damaged or "", day(line.changed)]
    prompt = first_line(record.prompts[0].user, 120) if record.prompts else ""
    return [
        name, record.model, str(line.vectors), layers(record), amount(record.radius), prompt, day(record.created),
    ]  # fmt: skip


def _details(line: BankSummary) -> list[str]:
    record = line.record
    if record is None:
        return [f"“{line.name}” is damaged: {line.damaged}"]
    facts = [f"“{line.name}”: {line.vectors} vectors of {record.hidden_size} numbers, {size_text(line.size)}"]
    facts += [record.method] + ([f"scope {record.scope}"] if record.scope else [])
    facts += [radius_text(record.radius, record.median_norm), f"p {amount(record.p)}, q {amount(record.q)}"]
    facts += [f"{record.steps} steps, seed {record.seed}"] if record.steps else []
    facts += [f"{record.seconds:.1f} s on {record.device} in {record.dtype}"] if record.seconds else []
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    prompts = "; ".join(f"“{prompt.user}”" for prompt in record.prompts)
    return [
        " · ".join(facts), record.formula or "", prompts,
        f"Weights sha256 {record.model_hash or 'unknown'} · {versions}", record.command or "", record.note or "",
    ]  # fmt: skip

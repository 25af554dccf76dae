"""Banks: the shelf, with import, export and delete."""

from pathlib import Path
from typing import Any

import gradio as gr

from melbo_app.errors import InputError
from melbo_app.library.bank import BankSummary
from melbo_app.library.formats.dct import letter
from melbo_app.library.formats.known import ENDINGS, FORMATS, GGUF, READ, by_key
from melbo_app.library.uploads import mark_used
from melbo_app.sizes import size_text
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.effect_table import effect_table
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen, optional_real, optional_whole
from melbo_app.ui.forms import chosen as chosen_vectors
from melbo_app.ui.guard import Changes, bind
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
KINDS = [(f"{format.title} ({format.writes[0]})", format.key) for format in FORMATS]
FORMATS_READ = [("by the file", ""), *((format.title, format.key) for format in READ)]
COUNTED = [("by the format", ""), ("output of block N", "output"), ("input of block N", "input")]
ROWS = [("by the file", ""), ("one a layer", "layers"), ("vectors", "vectors")]
NOTHING = "No bank chosen: click one in the list."


class BanksTab:
    """The seventh tab."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self.table = record_table({"columns": COLUMNS, "wide": WIDE}, elem_id="bank-table")
        self._chosen = gr.State(None)
        self.details = note_view(note(NOTHING), elem_id="bank-details")
        self.effect = record_table(elem_id="bank-effect")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.use = gr.Button("Use for steering", elem_id="bank-use", size="sm", scale=0, min_width=140)
            self.renamed = gr.Textbox(
                show_label=False, container=False, max_lines=1, placeholder="another name", elem_id="bank-new-name",
                scale=0, min_width=150, visible=not workbench.why_not("rename_bank"),
            )  # fmt: skip
            self.rename = gr.Button(
                "Rename", elem_id="bank-rename", size="sm", scale=0, min_width=100,
                visible=not workbench.why_not("rename_bank"),
            )  # fmt: skip
            refused = workbench.why_not("delete_bank")
            self.delete = gr.Button(
                "Delete …", elem_id="bank-delete", size="sm", scale=0, min_width=100, visible=not refused
            )
            self.confirm = gr.Button(
                "Delete for good", variant="stop", elem_id="bank-delete-confirm", size="sm", scale=0, min_width=140,
                visible=False,
            )  # fmt: skip
            self.keep = gr.Button("Keep", elem_id="bank-delete-keep", size="sm", scale=0, min_width=80, visible=False)
        if refused:
            note_view(note(refused), elem_id="bank-delete-refused")
        with gr.Row(elem_classes="mx-fields"):
            self.kind = gr.Dropdown(
                KINDS, value=KINDS[0][1], label="Export as", elem_id="bank-export-as", min_width=200
            )
            self.vector = gr.Textbox(label="Vector (empty: all)", elem_id="bank-export-vector", min_width=90)
            self.radius = gr.Textbox(label="R (empty: as it is)", elem_id="bank-export-radius", min_width=90)
            self.export = gr.Button("Export", elem_id="bank-export", min_width=110)
        self.usage = note_view(elem_id="bank-export-usage")
        self._file = hidden_download("bank-file")
        with (
            gr.Accordion("Import a bank", open=True, elem_id="bank-import-panel"),
            gr.Row(elem_classes="mx-split"),
        ):
            self.upload = gr.File(
                label="File (.safetensors, .pt, .gguf, .svec; DCT: V, U, R)", file_types=list(ENDINGS),
                file_count="multiple", elem_id="bank-upload", height=200, scale=2, min_width=240,
            )  # fmt: skip
            with gr.Column(scale=3, min_width=300):
                with gr.Row(elem_classes="mx-fields"):
                    self.name = gr.Textbox(label="Name (empty: the file's)", elem_id="bank-import-name")
                    self.model = gr.Textbox(label="Model, if the file is silent", elem_id="bank-import-model")
                with gr.Row(elem_classes="mx-fields"):
                    self.source = gr.Textbox(label="Source layer", elem_id="bank-import-source", min_width=90)
                    self.target = gr.Textbox(label="Target layer", elem_id="bank-import-target", min_width=90)
                    self.norm = gr.Textbox(label="R", elem_id="bank-import-radius", min_width=90)
                with gr.Row(elem_classes="mx-fields"):
                    self.format = gr.Dropdown(
                        FORMATS_READ, value="", label="Format", elem_id="bank-import-format", min_width=150
                    )
                    self.counted = gr.Dropdown(
                        COUNTED, value="", label="Layer N means", elem_id="bank-import-counted", min_width=150
                    )
                with gr.Row(elem_classes="mx-fields"):
                    self.rows = gr.Dropdown(ROWS, value="", label="Rows are", elem_id="bank-import-rows", min_width=150)
                    self.position = gr.Textbox(
                        label="Position (empty: last)", elem_id="bank-import-position", min_width=90
                    )
                    self.add = gr.Button("Import", variant="primary", elem_id="bank-import", min_width=110)
        with gr.Accordion("Combine vectors", open=False, elem_id="bank-combine-panel"):
            self.formula = gr.Textbox(
                label="Formula", max_lines=3, elem_id="bank-formula",
                placeholder="'weekend'[3] - 0.5 * 'who-are-you'[0]",
            )  # fmt: skip
            note_view(note(*FUNCTIONS), elem_id="bank-functions")
            with gr.Row(elem_classes="mx-fields"):
                self.insert = gr.Button("Insert the chosen vectors", elem_id="bank-insert", min_width=170)
                self.new_name = gr.Textbox(label="Name of the new bank", max_lines=1, elem_id="bank-combine-name")
                self.combine = gr.Button("Combine", variant="primary", elem_id="bank-combine", min_width=110)
        self.outputs = [self.table, self._chosen, self.details, self.effect, self.confirm, self.keep]

    def bind(self, tab: gr.Tab) -> None:
        """Bind the shelf; ``tab`` shows its newest state whenever it is opened."""
        session, chosen = self._session, self._chosen
        column = [session.bank, session.vectors, session.radius]
        bind(tab.select, self.open, chosen, self.outputs)
        bind(self.table.pick, self._pick, None, self.outputs)
        bind(self.use.click, self._use, chosen, session.bank_outputs)
        made = bind(
            self.export.click, self._export, [chosen, self.kind, self.vector, self.radius], [self._file, self.usage]
        )
        made.success(None, None, None, js=fetch_script("bank-file"), api_visibility="private")
        called = bind(self.rename.click, self._rename, [chosen, self.renamed], [*self.outputs, self.renamed])
        bind(called.success, self._use, chosen, session.bank_outputs)
        bind(self.delete.click, self._ask, chosen, [self.confirm, self.keep])
        bind(self.keep.click, self.open, chosen, self.outputs)
        gone = bind(self.confirm.click, self._delete, chosen, self.outputs)
        bind(gone.success, session.reopen_bank, column, session.bank_outputs)
        fields = [
            self.upload, self.name, self.model, self.source, self.target, self.norm, self.format, self.counted,
            self.rows, self.position,
        ]  # fmt: skip
        added = bind(self.add.click, self._import, fields, [*self.outputs, *fields])
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
        effect = effect_table(line.record, line.vectors) if line and line.record else {}
        return [table, chosen, details, effect, gr.Button(visible=False), gr.Button(visible=False)]

    def _pick(self, event: gr.EventData) -> list[Any]:
        return self.open(event.key)

    def _use(self, name: str | None) -> Changes:
        return self._session.open_bank(self._workbench.bank(bank_chosen(name)).record.name)

    def _rename(self, name: str | None, new: str) -> list[Any]:
        return [*self.open(self._workbench.rename_bank(bank_chosen(name), new)), ""]

    def _ask(self, name: str | None) -> list[Any]:
        bank_chosen(name)
        return [gr.Button(f"Delete “{name}” for good", visible=True), gr.Button(visible=True)]

    def _delete(self, name: str | None) -> list[Any]:
        self._workbench.delete_bank(bank_chosen(name))
        return self.open(None)

    def _import(
        self, paths: list[str] | None, name: str, model: str, source: str, target: str, norm: str, format: str,
        counted: str, rows: str, position: str,
    ) -> list[Any]:  # fmt: skip
        path, beside = _together(paths)
        bank = self._workbench.import_bank(
            path,
            name.strip() or None,
            model=model.strip() or None,
            source=optional_whole("source layer", source),
            target=optional_whole("target layer", target),
            radius=optional_real("R", norm),
            format=format or None,
            counted=counted or None,
            beside=beside,
            rows=rows or None,
            position=optional_whole("position", position),
        )
        for file in (path, *beside):
            mark_used(file)
        # emptied: what was said of this file must not be said of the next one by mistake
        return [*self.open(bank.record.name), None, *[""] * 9]

    def _insert(self, formula: str, bank: str | None, vectors: list[int] | None) -> str:
        """The formula with the vectors that are chosen at the left at its end."""
        numbers = ", ".join(str(vector) for vector in chosen_vectors(vectors))
        return f"{formula.rstrip()} '{bank_chosen(bank)}'{f'[{numbers}]' if numbers else ''}".lstrip()

    def _combine(self, formula: str, name: str) -> list[Any]:
        bank = self._workbench.combine_banks(formula, name)
        return [*self.open(bank.record.name), "", ""]

    def _export(self, name: str | None, kind: str, vector: str, radius: str) -> list[Any]:
        chosen, number, norm = bank_chosen(name), optional_whole("vector", vector), optional_real("R", radius)
        format = by_key(kind)
        stem = chosen if number is None else f"{chosen}-{number}"

        def write(out: Path) -> Path:
            return self._workbench.export_bank(chosen, out, format=format.key, vector=number, radius=norm)

        path = written(stem, format.writes[0], write)
        runs = (
            [f"Run it with: {self._workbench.llama_command(chosen, Path(Path(path).name))}"] if format is GGUF else []
        )
        return [path, note(*runs)]


def _together(paths: list[str] | None) -> tuple[Path, list[Path]]:
    """The file to import, and those that belong to it."""
    files = [Path(path) for path in paths or []]
    if not files:
        raise InputError("bank file", "none was chosen", f"Choose one that ends in {', '.join(ENDINGS)}")
    first = files[0] if len(files) == 1 else next((file for file in files if letter(file.name) == "V"), None)
    if first is None:
        raise InputError("bank file", f"{len(files)} were chosen", "Choose one, or DCT's V, U and R together")
    return first, [file for file in files if file != first]


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

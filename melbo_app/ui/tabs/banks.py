"""Banks: the shelf, with import, export and delete."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError
from melbo_app.library.bank import BankSummary
from melbo_app.library.formats.dct import letter
from melbo_app.library.formats.known import ENDINGS, FORMATS, GGUF, READ, by_key
from melbo_app.library.uploads import mark_used
from melbo_app.sizes import size_text
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.effect_table import TERMS, effect_table
from melbo_app.ui.fields import choice, small_button, text
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen, optional_real, optional_whole
from melbo_app.ui.forms import chosen as chosen_vectors
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import amount, day, first_line, layers, radius_text
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

COLUMNS = ["bank", "model", "vectors", "layers", "R", "prompt", "date"]
WIDE = ["model", "prompt"]
FUNCTIONS = [
    "'bank'[3] is one vector, 'bank'[0:4] several, 'bank' all. + and - between vectors, * and / by numbers;",
    "mean(x, …) averages, without(x, y, …) removes the part of x along y, scaled(x, R) sets the norm to R, join(x, …) "
    "stacks vectors.",
]
KINDS = [(f"{format.title} ({format.writes[0]})", format.key) for format in FORMATS]
FORMATS_READ = [("recognise it", ""), *((format.title, format.key) for format in READ)]
COUNTED = [("as in the format", ""), ("output of block N", "output"), ("input of block N", "input")]
ROWS = [("as in the file", ""), ("layers", "layers"), ("vectors", "vectors")]
NOTHING = "Click a bank in the list."


class BanksTab:
    """The tab Banks."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self.table = record_table({"columns": COLUMNS, "wide": WIDE}, elem_id="bank-table")
        self._chosen = gr.State(None)
        self.details = note_view(note(NOTHING), elem_id="bank-details")
        self.effect = record_table(elem_id="bank-effect")
        self.terms = note_view(elem_id="bank-terms")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.use = small_button("Use for steering", "bank-use", 140)
            renames = not workbench.why_not("rename_bank")
            self.renamed = gr.Textbox(
                show_label=False, container=False, max_lines=1, placeholder="another name", elem_id="bank-new-name",
                scale=0, min_width=150, visible=renames,
            )  # fmt: skip
            self.rename = small_button("Rename", "bank-rename", 100, visible=renames)
            refused = workbench.why_not("delete_bank")
            self.delete = small_button("Delete …", "bank-delete", 100, visible=not refused)
            self.confirm = small_button("Delete permanently", "bank-delete-confirm", 140, variant="stop", visible=False)
            self.keep = small_button("Keep", "bank-delete-keep", 80, visible=False)
        if refused:
            note_view(note(refused), elem_id="bank-delete-refused")
        with gr.Row(elem_classes="mx-fields"):
            self.kind = choice("Export as", "bank-export-as", KINDS, KINDS[0][1], 200)
            self.vector = text("Vector (default: all)", "bank-export-vector")
            self.radius = text("R (default: its own)", "bank-export-radius")
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
                    self.name = gr.Textbox(label="Name (default: the file's)", elem_id="bank-import-name")
                    self.model = gr.Textbox(label="Model (if not in the file)", elem_id="bank-import-model")
                with gr.Row(elem_classes="mx-fields"):
                    self.source = text("Source layer", "bank-import-source")
                    self.target = text("Target layer", "bank-import-target")
                    self.norm = text("R", "bank-import-radius")
                with gr.Row(elem_classes="mx-fields"):
                    self.format = choice("Format", "bank-import-format", FORMATS_READ, "", 150)
                    self.counted = choice("Layer N is the", "bank-import-counted", COUNTED, "", 150)
                with gr.Row(elem_classes="mx-fields"):
                    self.rows = choice("Rows are", "bank-import-rows", ROWS, "", 150)
                    self.position = text("Position (default: last)", "bank-import-position")
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
        self.outputs: list[Block] = [
            self.table, self._chosen, self.details, self.effect, self.terms, self.confirm, self.keep,
        ]  # fmt: skip

    def bind(self, rooms: Rooms) -> None:
        """Bind the shelf; the view shows its newest state whenever it is opened."""
        session, chosen = self._session, self._chosen
        bind(rooms.opened("banks"), self.open, chosen, self.outputs)
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
        bind(gone.success, session.reopen_bank, session.bank_inputs, session.bank_outputs)
        self._words: list[Component] = [
            self.name, self.model, self.source, self.target, self.norm, self.format, self.counted, self.rows,
            self.position,
        ]  # fmt: skip
        fields = [self.upload, *self._words]
        added = bind(self.add.click, self._import, {*fields}, [*self.outputs, *fields])
        bind(added.success, self._use, chosen, session.bank_outputs)
        bind(self.insert.click, self._insert, [self.formula, session.bank, session.vectors], self.formula)
        written_down = [self.formula, self.new_name]
        made = bind(self.combine.click, self._combine, written_down, [*self.outputs, *written_down])
        bind(made.success, self._use, chosen, session.bank_outputs)

    def open(self, name: str | None) -> Changes:
        """Show the shelf in ``outputs`` with this bank chosen."""
        shelf = self._workbench.banks()
        line = next((one for one in shelf if one.name == name), None)
        rows = [{"key": one.name, "cells": _cells(one), "tone": "damaged" if one.damaged else ""} for one in shelf]
        chosen = line.name if line else None
        return {
            self.table: {
                "columns": COLUMNS, "wide": WIDE, "rows": rows, "selected": chosen,
                "message": "No banks yet: train or import one.",
            },
            self._chosen: chosen,
            self.details: note(*_details(line), tone="plain") if line else note(NOTHING),
            self.effect: effect_table(line.record, line.vectors) if line and line.record else {},
            self.terms: note(TERMS) if line and line.record else note(),
            self.confirm: gr.Button(visible=False),
            self.keep: gr.Button(visible=False),
        }  # fmt: skip

    def _pick(self, event: gr.EventData) -> Changes:
        return self.open(event.key)

    def _use(self, name: str | None) -> Changes:
        return self._session.open_bank(self._workbench.bank(bank_chosen(name)).record.name)

    def _rename(self, name: str | None, new: str) -> Changes:
        return {**self.open(self._workbench.rename_bank(bank_chosen(name), new)), self.renamed: ""}

    def _ask(self, name: str | None) -> Changes:
        text = f"Delete “{bank_chosen(name)}” permanently"
        return {self.confirm: gr.Button(text, visible=True), self.keep: gr.Button(visible=True)}

    def _delete(self, name: str | None) -> Changes:
        self._workbench.delete_bank(bank_chosen(name))
        return self.open(None)

    def _import(self, values: Values) -> Changes:
        path, beside = _together(values[self.upload])
        bank = self._workbench.import_bank(
            path,
            values[self.name].strip() or None,
            model=values[self.model].strip() or None,
            source=optional_whole("source layer", values[self.source]),
            target=optional_whole("target layer", values[self.target]),
            radius=optional_real("R", values[self.norm]),
            format=values[self.format] or None,
            counted=values[self.counted] or None,
            beside=beside,
            rows=values[self.rows] or None,
            position=optional_whole("position", values[self.position]),
        )
        for file in (path, *beside):
            mark_used(file)
        # emptied, so that settings of this file are not used for the next one by mistake
        return {**self.open(bank.record.name), self.upload: None, **dict.fromkeys(self._words, "")}

    def _insert(self, formula: str, bank: str | None, vectors: dict[str, Any] | None) -> str:
        """Append the vectors that are chosen to the formula."""
        numbers = ", ".join(str(vector) for vector in chosen_vectors(vectors))
        return f"{formula.rstrip()} '{bank_chosen(bank)}'{f'[{numbers}]' if numbers else ''}".lstrip()

    def _combine(self, formula: str, name: str) -> Changes:
        bank = self._workbench.combine_banks(formula, name)
        return {**self.open(bank.record.name), self.formula: "", self.new_name: ""}

    def _export(self, name: str | None, kind: str, vector: str, radius: str) -> Changes:
        chosen, number, norm = bank_chosen(name), optional_whole("vector", vector), optional_real("R", radius)
        format = by_key(kind)
        stem = chosen if number is None else f"{chosen}-{number}"

        def write(out: Path) -> Path:
            return self._workbench.export_bank(chosen, out, format=format.key, vector=number, radius=norm)

        path = written(stem, format.writes[0], write)
        usage = ""
        if format is GGUF:
            usage = f"Run it with: {self._workbench.llama_command(chosen, Path(Path(path).name))}"
        return {self._file: path, self.usage: note(usage)}


def _together(paths: list[str] | None) -> tuple[Path, list[Path]]:
    """The file to import, and its companions."""
    files = [Path(path) for path in paths or []]
    if not files:
        raise InputError("bank file", "none is chosen", f"Choose one that ends in {', '.join(ENDINGS)}")
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

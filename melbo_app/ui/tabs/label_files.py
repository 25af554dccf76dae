"""Labels as files: the exports and the import below the table of the room Label."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError
from melbo_app.library.label_import import LabelsRefused
from melbo_app.library.uploads import mark_used
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.fields import small_button
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

MENDED = "Correct the file, or tick “leave out wrong lines” and import it again."


class LabelFiles:
    """The row below the table, and what became of an import."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        named, takes = (not workbench.why_not(use) for use in ("annotator_name", "import_labels"))
        with gr.Row(elem_classes="mx-toolbar", elem_id="label-files", equal_height=True):
            self.csv = small_button("Export CSV", "labels-csv", 120)
            self.jsonl = small_button("Export JSONL", "labels-jsonl", 120)
            self.upload = gr.UploadButton(
                "Import a file", file_types=[".csv", ".jsonl"], elem_id="labels-import", size="sm", scale=0,
                min_width=120, visible=takes,
            )  # fmt: skip
            self.each = _tick("every annotator’s", "labels-each", 150, visible=named)
            self.replace = _tick("replace newer labels", "labels-replace", 170, visible=takes)
            self.partly = _tick("leave out wrong lines", "labels-partly", 170, visible=takes)
        self.message = note_view(elem_id="labels-import-note")
        self._file = hidden_download("labels-file")

    def bind(
        self, renew: Callable[[Values], Changes], asked: set[Component], saved: gr.State, shown: list[Block]
    ) -> None:
        """Bind the exports, and the import, after which the room is shown anew (``renew``) and ``saved`` changes."""
        self._renew, self._saved = renew, saved
        for button, ending in ((self.csv, ".csv"), (self.jsonl, ".jsonl")):
            made = bind(button.click, self._exporter(ending), self.each, self._file)
            made.success(None, None, None, js=fetch_script("labels-file"), api_visibility="private")
        inputs = {*asked, self.upload, self.each, self.replace, self.partly}
        bind(self.upload.upload, self._import, inputs, [*shown, self.message])

    def _exporter(self, ending: str) -> Any:
        def export(each: bool | None) -> str:
            return written("melbo-labels", ending, partial(self._workbench.export_labels, each=bool(each)))

        return export

    def _import(self, values: Values) -> Changes:
        path, bank = Path(values[self.upload]), bank_chosen(values[self._session.bank])
        how = {name: bool(values[box]) for name, box in self._ticks.items()}
        try:
            made = self._workbench.import_labels(bank, path, annotator=annotator(self._workbench), **how)
        except LabelsRefused as refused:
            nothing = f"Nothing was imported from {refused.field}. {MENDED}"
            return {self.message: note(nothing, *refused.faults, tone="warning")}
        except InputError as error:
            return {self.message: note(f"Nothing was imported: {error}", tone="warning")}
        finally:
            mark_used(path)
        shown = {**self._renew(values), self._saved: datetime.now(UTC)}
        return {**shown, self.message: note(*made.lines(), tone="plain")}

    @property
    def _ticks(self) -> dict[str, gr.Checkbox]:
        return {"each": self.each, "replace": self.replace, "partly": self.partly}


def _tick(label: str, elem_id: str, width: int, *, visible: bool) -> gr.Checkbox:
    return gr.Checkbox(label=label, elem_id=elem_id, container=False, min_width=width, scale=0, visible=visible)

"""Library: find earlier work, open it again, and export or import all of it."""

import html
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.library.bank import BankSummary
from melbo_app.library.completion import Completion
from melbo_app.library.label import Label
from melbo_app.library.uploads import mark_used
from melbo_app.studies.search_meaning import Meant
from melbo_app.ui.annotator import annotator
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import button, choice, small_button
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import amount, day, first_line
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.chat import ChatTab
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.labels import LabelsTab
from melbo_app.ui.tabs.text_search import MEANING, WORDS, Hit, searched
from melbo_app.ui.text_lines import CHAT, answer_cells, key_of, near_table, text_cells
from melbo_app.workbench import Workbench

COLUMNS = ["kind", "of", "text", "R", "date"]
WIDE = ["text"]
EVERYTHING = "everything"
BY_MEANING = "by meaning"
KINDS: list[Any] = [
    EVERYTHING, "banks", "labels", "completions", ("answers in Chat", CHAT),
    ("completions, by their meaning", BY_MEANING),
]  # fmt: skip
MOST = 50  # of each kind
NOTHING = "Click a line to see all of it. Open shows it in its tab."


class LibraryTab:
    """The tab Library."""

    def __init__(
        self, workbench: Workbench, session: Session, completions: CompletionsTab, chat: ChatTab, labels: LabelsTab
    ) -> None:
        self._workbench, self._session, self._completions, self._labels = workbench, session, completions, labels
        self._chat = chat
        self._runs = Runs(workbench)
        with gr.Row(elem_classes="mx-fields"):
            self.text = gr.Textbox(
                label="Search names, notes, tags, prompts and completions",
                max_lines=1, elem_id="library-text",
                scale=6, placeholder="empty: the newest",
            )  # fmt: skip
            self.kind = choice("Search in", "library-kind", KINDS, EVERYTHING, 190)
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.find = button("Find", "library-find", 110, variant="primary")
            self.stop = button("Stop", "library-stop", 80)
            self.progress = progress_bar(resting(), elem_id="library-progress")
        self.table = record_table({"columns": COLUMNS, "wide": WIDE}, elem_id="library-table")
        self._chosen = gr.State(None)  # the line's key
        self._asked = gr.State(["", WORDS])  # what the table answers
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.open_it = small_button("Open", "library-open", 90)
        self.details = note_view(note(NOTHING), elem_id="library-details")
        away, merge = workbench.why_not("export_bundle"), workbench.why_not("import_bundle")
        if away or merge:
            note_view(note(away, merge), elem_id="library-bundle-refused")
        title = "Export or import banks, labels and completions in one file"
        with gr.Accordion(title, elem_id="library-bundle", visible=not (away and merge)):
            with gr.Row(elem_classes="mx-toolbar", equal_height=True, visible=not away):
                self.all = small_button("Export everything", "bundle-all", 150)
                self.one = small_button("Export the chosen bank", "bundle-one", 180)
            with gr.Row(elem_classes="mx-split", visible=not merge):
                self.upload = gr.File(
                    label="A .zip file from another library", file_types=[".zip"], elem_id="bundle-upload", height=140,
                    scale=3, min_width=240,
                )  # fmt: skip
                with gr.Column(scale=4, min_width=260):
                    self.merge = gr.Button("Merge it into this library", elem_id="bundle-merge")
                    kept = "Nothing is lost. Where both have a label, the newer one is used."
                    self.merged = note_view(note(kept), elem_id="bundle-note")
        self._file = hidden_download("bundle-file")
        self.outputs: list[Block] = [self.table, self._chosen, self._asked, self.details, self.progress]

    def bind(self, rooms: Rooms) -> None:
        """Bind finding, opening, exporting and merging; the view shows the newest lines whenever it is opened."""
        asked, session = {self.text, self.kind}, self._session
        some = partial(gr.on, [self.find.click, self.text.submit, self.kind.input])
        for trigger in (some, rooms.opened("library")):
            self._runs.bind(trigger, self._find, asked, self.outputs, self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        bind(self.table.pick, self._pick, None, [self._chosen, self.details])
        self._rooms = rooms
        restored = [*self._completions.restore_outputs, *self._labels.outputs]
        shown: list[Block] = [self._chat.view, *rooms.outputs, *restored]
        bind(self.open_it.click, self._open, {self._chosen, self._asked, *self._labels.form}, shown)
        for pressed, fn in ((self.all, self._export_all), (self.one, self._export_one)):
            made = bind(pressed.click, fn, session.bank, self._file, show_progress="minimal")
            made.success(None, None, None, js=fetch_script("bundle-file"), api_visibility="private")
        taken = bind(self.merge.click, self._merge, self.upload, [self.merged, self.upload], show_progress="minimal")
        bind(taken.success, session.reopen_bank, session.bank_inputs, session.bank_outputs)
        self._runs.bind(taken.success, self._find, asked, self.outputs, self.progress)

    def _find(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Show the lines that contain the text, those nearest to it in meaning, or the newest ones, in ``outputs``. A
        window that opens in this view asks before its fields exist."""
        text, kind = values[self.text] or "", values[self.kind] or EVERYTHING
        by_meaning = kind == BY_MEANING and bool(text.strip())
        yield {self._asked: [text, MEANING if by_meaning else WORDS], self._chosen: None, self.details: note(NOTHING)}
        if by_meaning:
            yield from searched(self._workbench, self._runs, request, text, self.progress, self._near)
            return
        with self._runs.start(request) as run:
            table = self._table(text, kind)
            if not run.pressed:  # an earlier search does not answer after a later one
                yield {self.table: table, self.progress: resting()}

    def _near(self, found: Meant) -> Changes:
        return {self.table: near_table(found.every, "There are no texts yet.")}

    def _table(self, text: str, kind: str) -> dict[str, Any]:
        me = annotator(self._workbench)
        if text.strip():
            found = self._workbench.search(text, MOST, seen_by=me)
            banks, labels, completions = found.banks, [*found.labels], found.completions
            answers = self._workbench.search_conversations(text, MOST)
            tell([*found.damaged, *answers.damaged])
        else:
            banks = self._workbench.banks()[:MOST]
            said, completions = self._workbench.labels(seen_by=me), self._workbench.search_completions(limit=MOST)
            answers = self._workbench.search_conversations("", MOST)
            tell([*said.damaged, *completions.damaged, *answers.damaged])
            labels = sorted(said, key=_said_at, reverse=True)[:MOST]
        rows = [_bank_row(line) for line in banks] if kind in (EVERYTHING, "banks") else []
        rows += [_label_row(label) for label in labels] if kind in (EVERYTHING, "labels") else []
        texts = completions if kind in (EVERYTHING, "completions", BY_MEANING) else []
        rows += [{"key": key_of(one), "cells": ["completion", *text_cells(one)]} for one in texts]
        said_in_chat = answers if kind in (EVERYTHING, CHAT) else []
        rows += [{"key": key_of(one), "cells": [CHAT, *answer_cells(one)]} for one in said_in_chat]
        message = "Nothing contains this text." if text.strip() else "There is nothing yet."
        return {"columns": COLUMNS, "wide": WIDE, "rows": rows, "message": message}

    def _pick(self, event: gr.EventData) -> Changes:
        kind, name, number = event.key.split("\n")
        if kind == "completion":
            one = self._workbench.completion(int(number))
            message = note(f"“{one.prompt.user}”", one.text, _provenance(one), tone="plain")
        elif kind == CHAT:
            answer = self._chat.answer(int(name), int(number))
            message = note(f"“{answer.message}”", answer.text, answer.stamp, tone="plain")
        elif kind == "label":
            label = self._workbench.label(name, int(number), seen_by=annotator(self._workbench))
            message = note(_label_line(label), label.note, tone="plain")
        else:
            record = self._workbench.bank(name).record
            prompts = "; ".join(f"“{prompt.user}”" for prompt in record.prompts)
            message = note(f"“{name}”: {record.method}, {record.model}", prompts, record.note or "", tone="plain")
        return {self._chosen: event.key, self.details: message}

    def _open(self, values: Values) -> Changes:
        key = values[self._chosen]
        if key is None:
            raise InputError("line", "none is chosen", "Click one in the table")
        kind, name, number = key.split("\n")
        if kind == "completion":
            hit = Hit.of(self._workbench, int(number), *values[self._asked])
            shown = self._completions.restore(self._workbench.comparison_of(int(number)), hit=hit)
            return {**shown, **self._rooms.show("completions")}
        if kind == CHAT:
            return self._chat.opened(int(name), int(number), *values[self._asked])
        shown = self._session.open_bank(name)
        if kind != "label":
            return {**shown, **self._rooms.show("completions")}
        return {**shown, **self._labels.move(name, int(number), values), **self._rooms.show("label")}

    def _export_all(self, _bank: str | None) -> str:
        return written("melbo-library", ".zip", lambda out: self._exported(out, None))

    def _export_one(self, bank: str | None) -> str:
        chosen = bank_chosen(bank)
        return written(chosen, ".zip", lambda out: self._exported(out, [chosen]))

    def _exported(self, out: Path, banks: list[str] | None) -> Path:
        made = self._workbench.export_bundle(out, banks)
        if made.damaged:
            gr.Warning(html.escape("; ".join(made.damaged[:3])), title="Left out, because it is damaged", duration=12)
        return Path(made.out)

    def _merge(self, path: str | None) -> Changes:
        if not path:
            raise InputError("bundle", "none is chosen", "Choose a .zip file that was exported here or elsewhere")
        merged = self._workbench.import_bundle(Path(path))
        mark_used(Path(path))
        return {self.merged: note(*merged.lines()), self.upload: None}


def _key(kind: str, name: str = "", number: int | str = 0) -> str:
    return f"{kind}\n{name}\n{number}"  # no name of a bank has a line end


def _said_at(label: Label) -> float:
    return label.updated.timestamp() if label.updated else 0.0


def _bank_row(line: BankSummary) -> dict[str, Any]:
    record = line.record
    prompt = first_line(record.prompts[0].user, 160) if record and record.prompts else line.damaged or ""
    date = day(record.created) if record else day(line.changed)
    cells = ["bank", line.name, prompt, amount(record.radius) if record else "", date]
    return {"key": _key("bank", line.name), "cells": cells, "tone": "damaged" if line.damaged else ""}


def _label_row(label: Label) -> dict[str, Any]:
    text = first_line(" · ".join(part for part in (_words(label), label.note) if part), 160)
    date = day(label.updated) if label.updated else ""
    cells = ["label", f"{label.bank} {label.vector}", text, "", date]
    return {"key": _key("label", label.bank, label.vector), "cells": cells}


def _words(label: Label) -> str:
    stars = "★" * (label.rating or 0)
    return " · ".join(part for part in (label.name, ", ".join(label.tags), stars) if part)


def _label_line(label: Label) -> str:
    return f"“{label.bank}”, vector {label.vector}: {_words(label)}"


def _provenance(one: Completion) -> str:
    what = "not steered" if one.vector is None else f"vector {one.vector} of “{one.bank}”" if one.bank else "random"
    how = "greedy" if one.temperature == 0 else f"temperature {amount(one.temperature)}, seed {one.seed}"
    steered = f"R {amount(one.radius)}" if one.vector is not None else ""
    verdict = one.scores.verdict if one.scores else None
    return " · ".join(part for part in (what, steered, one.model, how, verdict or "", day(one.created)) if part)

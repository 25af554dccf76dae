"""Harden: a model is trained to answer as before while an adversary perturbs it, and compared with the one before."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.jobs.job import Job
from melbo_app.library.damage import Listed
from melbo_app.library.hardened import Hardened
from melbo_app.studies.harden import Harden
from melbo_app.studies.harden_command import harden_command
from melbo_app.studies.hardening_lines import compared_lines, hardening, settings_line
from melbo_app.ui.components.command_line import command_line
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import small_button
from melbo_app.ui.files import fetch_script, hidden_download, written_json
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.harden_form import HardenForm
from melbo_app.ui.harden_tables import parts_table, text_lines, texts_table
from melbo_app.ui.loading import load_model
from melbo_app.ui.present import day
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.workbench import Workbench

EMPTY = (
    "Press Harden to train a small adapter with which the loaded model answers the kept prompts as before, while an "
    "adversary perturbs its hidden states. Some minutes on two cores; it goes on when the page is closed. What the "
    "model does before and after stands below then: the planted behaviour of an organism, refusals, and its quality."
)
FILE = "harden-file"


class HardenTab(HistoryTab):
    """The view Harden."""

    kind = "harden"
    stopped = "Stopped while training: nothing is kept."

    def __init__(self, workbench: Workbench, session: Session) -> None:
        super().__init__(workbench, session)
        why_not = workbench.why_not("harden")
        note_view(note(why_not), elem_id="harden-why-not")
        with gr.Column(visible=not why_not, elem_id="harden-here"):
            self.form = HardenForm(workbench, session)
            self.history = self.form.history
            self._toolbar("harden", "Harden")
            self.said = note_view(note(EMPTY), elem_id="harden-said")
            self.parts = record_table({"columns": []}, elem_id="harden-parts", start="harden-start")
            self.vectors = note_view(note(), elem_id="harden-vectors")
            with gr.Row(elem_classes="mx-toolbar", equal_height=True, visible=False) as self.ways:
                self.load = small_button("Load the hardened model", "harden-load", 190)
                self.json = small_button("Download hardening.json", "harden-json", 190)
            self.texts = record_table({"columns": []}, elem_id="harden-texts")
            self.text = note_view(note(), elem_id="harden-text")
            self.command = command_line(elem_id="harden-command")
            self._file = hidden_download(FILE)
        self._views: list[Block] = [
            self.said, self.parts, self.vectors, self.ways, self.texts, self.text, self.command,
        ]  # fmt: skip
        self.job_outputs: list[Block] = [self.shown, self.progress, *self._views, self.history]

    def bind(self, rooms: Rooms, wake: gr.Timer) -> None:
        """Bind hardening, texts, the download and loading the result; ``wake`` is the timer that watches the model."""
        self._wake = wake
        self.form.bind(rooms.opened("harden"))
        self._bind_history(rooms.opened("harden"), self.form.inputs, self._views)
        bind(self.texts.pick, self._pick, [self.shown], [self.texts, self.text])
        self._runs.bind(self.load.click, self._load, self.shown, [self.progress, wake], self.progress)
        made = bind(self.json.click, self._write, self.shown, self._file)
        made.success(None, None, None, js=fetch_script(FILE), api_visibility="private")

    def _show_last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        if not self._workbench.why_not("harden"):
            yield from super()._show_last(request, values)

    def _study(self, values: Values) -> Harden:
        return self.form.study(values)

    def _found(self) -> Listed[Hardened]:
        return self._workbench.hardened()

    def _draw(self, job: Job[Any, Any], part: Any, values: Values) -> Changes:
        return {}

    def _begun(self) -> Changes:
        return {**super()._begun(), **self._empty(), self.said: note()}

    def _show(self, found: Hardened) -> Changes:
        compared = [line for one in found.compared for line in compared_lines(one)]
        return {
            self.said: note(settings_line(found), found.sentence, tone="plain"),
            self.parts: parts_table(found),
            self.vectors: note(*compared, tone="plain") if compared else note(),
            self.ways: gr.Row(visible=True),
            self.texts: texts_table(found),
            self.text: note(),
            self.command: {"command": harden_command(found)},
        }

    def _empty(self) -> Changes:
        return {
            self.said: note(EMPTY), self.parts: {"columns": []}, self.vectors: note(), self.ways: gr.Row(visible=False),
            self.texts: {"columns": []}, self.text: note(), self.command: {},
        }  # fmt: skip

    def _summary(self, found: Hardened) -> str:
        return f"Trained in {found.seconds:.0f} s, loss {found.losses[0]:.2f} → {found.losses[-1]:.2f}"

    def _line(self, found: Hardened) -> str:
        used = found.settings
        size = "" if used.relative_epsilon is None else f" · ε {used.relative_epsilon:.2g}"
        return f"{day(found.created)} · {used.method}{size} · {used.steps} steps · seed {used.seed}"

    def _pick(self, event: gr.EventData, key: str | None) -> Changes:
        """Show both answers to a prompt."""
        found, at = self._result(key), int(event.key)
        return {self.texts: texts_table(found, at), self.text: note(*text_lines(found, at), tone="plain")}

    def _load(self, request: gr.Request, key: str | None) -> Iterator[Changes]:
        found = self._result(key)
        what = "the hardened model"
        yield from load_model(self._workbench, self._runs, request, found.folder, what, self.progress, self._wake)

    def _write(self, key: str | None) -> str:
        found = self._result(key)
        return written_json("hardening", hardening(found))

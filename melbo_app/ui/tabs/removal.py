"""Removal: is a behaviour gone from an edited model, or hidden?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.damage import Listed
from melbo_app.library.removals import Removal
from melbo_app.studies.removal import PROMPTS, TestRemoval
from melbo_app.studies.removal_answer import answered
from melbo_app.studies.removal_running import RemovalProgress
from melbo_app.ui.components.command_line import command_line
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.organism_texts import organism_texts
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import choice, small_button, whole_number
from melbo_app.ui.files import fetch_script, hidden_download, written_json
from melbo_app.ui.forms import whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.kept_form import KeptForm
from melbo_app.ui.present import day, duration
from melbo_app.ui.removal_tables import READ, repeating, said, side_table, test_table, texts_of
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.workbench import Workbench

EMPTY = (
    "Give a model from which a behaviour was removed, and the one that has it. Each test asks both, and a clean model, "
    "in its own way: minutes a model on two cores. Stop keeps the finished tests; the same request goes on from there."
)
FILE = "removal-file"


class RemovalTab(HistoryTab):
    """The view Removal."""

    kind = "removal"
    stopped = "Stopped: finished tests are kept, and the same request goes on from there."

    def __init__(self, workbench: Workbench, session: Session) -> None:
        super().__init__(workbench, session)
        self._kept = KeptForm("removal", for_any_model=True)
        why_not = workbench.why_not("removal")
        planted = [one for one in workbench.organism_names() if not one.startswith("clean-")]
        note_view(note(why_not), elem_id="removal-why-not")
        with gr.Column(visible=not why_not, elem_id="removal-here"):
            with gr.Row(elem_classes="mx-fields"):
                self.before = _model("Model before, which has it", "removal-before", "folder or name")
                self.edited = _model("Edited model", "removal-edited", "folder or name")
                self.clean = _model("Clean model", "removal-clean", "the one under the adapter")
            with gr.Row(elem_classes="mx-fields"):
                self.behaviour = choice(
                    "Behaviour: a recipe, or the path of one",
                    "removal-behaviour",
                    planted,
                    None,
                    260,
                    allow_custom_value=True,
                )
                self.bank = choice("Old vectors", "removal-bank", [], None, 200, allow_custom_value=True)
                self.most = whole_number("Prompts a test", "removal-prompts", PROMPTS, 110)
                self.seed = whole_number("Seed", "removal-seed", 0, 80)
                self.history = choice("Earlier results", "removal-history", [], None, 220, scale=4)
            self._toolbar("removal", "Test")
            self.said = note_view(note(EMPTY), elem_id="removal-said")
            self.table = record_table({"columns": []}, elem_id="removal-table", start="removal-start")
            self.sides = record_table({"columns": []}, elem_id="removal-sides")
            self.details = note_view(note(), elem_id="removal-details")
            self.texts = organism_texts(elem_id="removal-texts")
            self.command = command_line(elem_id="removal-command")
            self.json = small_button("Download removal.json", "removal-json", 170, interactive=False)
            self._file = hidden_download(FILE)
        self._views: list[Block] = [
            self.said, self.table, self.sides, self.details, self.texts, self.command, self.json,
        ]  # fmt: skip

        self.job_outputs: list[Block] = [self.shown, self.progress, *self._views, self.history]

    def bind(self, rooms: Rooms) -> None:
        """Bind testing, choosing a test and the download; the last result is shown when the view is opened."""
        fields = [self.before, self.edited, self.clean, self.behaviour, self.bank, self.most, self.seed]
        self._bind_history(rooms.opened("removal"), fields, self._views)
        bind(rooms.opened("removal"), self._banks, None, self.bank)
        for table in (self.table, self.sides):
            bind(table.pick, self._pick, [self.shown], [self.details, self.texts])
        made = bind(self.json.click, self._write, self.shown, self._file)
        made.success(None, None, None, js=fetch_script(FILE), api_visibility="private")
        texts = [self.before, self.edited, self.clean]
        self._kept.bind(texts, rooms.opened("removal"), lambda fields, _: fields, [], [])

    def _banks(self) -> Any:
        names = [] if self._workbench.why_not("removal") else [one.name for one in self._workbench.banks()]
        return gr.Dropdown(choices=["", *names])

    def _study(self, values: Values) -> TestRemoval:
        given = {name: str(values[getattr(self, name)] or "").strip() for name in ("before", "edited", "behaviour")}
        for name, wanted in given.items():
            if not wanted:
                raise InputError(f"{name} model" if name != "behaviour" else name, "the field is empty", "Fill it in")
        return TestRemoval(
            edited=given["edited"],
            before=given["before"],
            behaviour=given["behaviour"],
            clean=str(values[self.clean] or "").strip() or None,
            bank=str(values[self.bank] or "").strip() or None,
            most_prompts=whole("prompts a test", values[self.most]),
            seed=whole("seed", values[self.seed]),
        )

    def _show_last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        if not self._workbench.why_not("removals"):
            yield from super()._show_last(request, values)

    def _found(self) -> Listed[Removal]:
        return self._workbench.removals()

    def _part(self, progress: RemovalProgress) -> tuple[str, ...] | None:
        return getattr(progress, "lines", None)

    def _draw(self, job: Job[Any, Any], part: tuple[str, ...], values: Values) -> Changes:
        return {self.said: note(*part, tone="plain")}

    def _begun(self) -> Changes:
        return {**super()._begun(), **self._empty(), self.said: note()}

    def _show(self, found: Removal) -> Changes:
        return {
            self.said: note(*said(found), tone="plain"),
            self.table: test_table(found),
            self.sides: side_table(found),
            self.details: note(READ),
            self.texts: {},
            self.command: repeating(found),
            self.json: gr.Button(interactive=True),
        }

    def _empty(self) -> Changes:
        return {
            self.said: note(EMPTY), self.table: test_table(None), self.sides: side_table(None), self.details: note(),
            self.texts: {}, self.command: {}, self.json: gr.Button(interactive=False),
        }  # fmt: skip

    def _summary(self, found: Removal) -> str:
        return f"{found.behaviour}, {len(found.tests)} tests of {len(found.models)} models, {duration(found.seconds)}"

    def _line(self, found: Removal) -> str:
        name = Path(found.models["edited"].spec).name
        return f"{day(found.created)} · {found.behaviour} · {name} · {len(found.of('shows it'))} show it"

    def _pick(self, event: gr.EventData, key: str | None) -> Changes:
        """Show the texts of a test."""
        lines, parts = texts_of(self._workbench.removal(key), str(event.key))
        return {self.details: note(*lines, tone="plain"), self.texts: parts}

    def _write(self, key: str | None) -> str:
        found = self._workbench.removal(key)
        return written_json("removal", answered(found, self._workbench.why_not_kept(found)))


def _model(label: str, name: str, placeholder: str) -> gr.Textbox:
    return gr.Textbox(label=label, max_lines=1, elem_id=name, placeholder=placeholder, min_width=200)

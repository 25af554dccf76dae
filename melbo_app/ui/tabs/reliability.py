"""Reliability: how steadily do the chosen vectors move a propensity, input by input and in other settings?"""

from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.contrast_sets import CONTRAST, Setting, parse_contrast
from melbo_app.library.damage import Listed
from melbo_app.library.model_catalogue import canonical
from melbo_app.library.reliability import Reliability
from melbo_app.studies.generality import RANDOM
from melbo_app.studies.reliability import TOKENS, MeasureReliability, ReliabilityProgress
from melbo_app.studies.reliability_answer import Reliable, VectorLine, reliable
from melbo_app.studies.reliability_command import own_files, reliability_command
from melbo_app.ui.components.command_line import command_line
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import plotly_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import choice, small_button, text, whole_number
from melbo_app.ui.files import fetch_script, hidden_download, written_json
from melbo_app.ui.forms import bank_chosen, chosen, radii_of, template_of, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.own_prompts import MINE, OWN, content_of, read_upload, upload_button
from melbo_app.ui.present import day, many
from melbo_app.ui.reliability_view import input_table, plot, said_lines, vector_lines, vector_table
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.workbench import Workbench

EMPTY = (
    "Press Measure to steer each prompt by the chosen vectors, at −1.5 to 1.5 times R, and to see how "
    "steadily its log-odds of two answers follow, beside random vectors. Stop keeps the finished vectors."
)
LINES = "JSONL with “prompt”, “first”, “second”, and perhaps “group”, “position”, “wording”, “system” and “id”"
FILE = "reliability-file"


class ReliabilityTab(HistoryTab):
    """The view Reliability."""

    kind = "reliability"
    stopped = "Stopped before the first vector was finished: nothing is kept."

    def __init__(self, workbench: Workbench, session: Session) -> None:
        super().__init__(workbench, session)
        sets = [(f"the set “{name}”", name) for name in CONTRAST]
        with gr.Row(elem_classes="mx-fields"):
            self.set = choice("Prompts", "reliability-set", [*sets, MINE], CONTRAST[0], 190)
            self.others = gr.Dropdown(
                [*sets, MINE], value=None, multiselect=True, label="Other settings (out of distribution)",
                elem_id="reliability-others", min_width=280, scale=2,
            )  # fmt: skip
            self.history = choice("Earlier results", "reliability-history", [], None, 240, scale=2)
        with gr.Row(elem_classes="mx-fields"):
            self.answers = text("Answers for all prompts", "reliability-answers", "each prompt's own, or Yes|No", 190)
            self.measure = text("Or a sign in texts", "reliability-measure", "flag:refusal, words:…, regex:…", 190)
            self.random = whole_number("Random vectors", "reliability-random", RANDOM, 110)
            self.tokens = whole_number("Max new tokens", "reliability-tokens", TOKENS, 110)
            self.seed = whole_number("Seed", "reliability-seed", 0, 80)
        with gr.Accordion("Your own prompts", open=False, elem_id="reliability-own-panel"):
            with gr.Row(elem_classes="mx-fields"):
                self.own = gr.Textbox(
                    label=f"Prompts: {LINES}", lines=4, max_lines=8, elem_id="reliability-own", min_width=280
                )
                self.own_others = gr.Textbox(
                    label="The same in another setting", lines=4, max_lines=8, elem_id="reliability-own-others",
                    min_width=280,
                )  # fmt: skip
            with gr.Row(elem_classes="mx-fields"):
                self.read = upload_button("Read prompts from a file", "reliability-upload")
                self.read_others = upload_button("Read another setting from a file", "reliability-others-upload")
        self._toolbar("reliability", "Measure")
        self.said = note_view(note(EMPTY), elem_id="reliability-said")
        self.table = record_table({"columns": []}, elem_id="reliability-table", start="reliability-start")
        self.details = note_view(note(), elem_id="reliability-details")
        self.plot = plotly_view({}, elem_id="reliability-plot")
        self.inputs = record_table({"columns": []}, elem_id="reliability-inputs")
        self.command = command_line(elem_id="reliability-command")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.json = small_button("Download reliability.json", "reliability-json", 190, interactive=False)
        self._file = hidden_download(FILE)
        self._views: list[Block] = [
            self.said, self.table, self.details, self.plot, self.inputs, self.command, self.json,
        ]  # fmt: skip
        self.job_outputs: list[Block] = [self.shown, self.progress, *self._views, self.history]

    def bind(self, rooms: Rooms) -> None:
        """Bind measuring, own prompts, choosing a vector, and the download; when the view is opened, the last result is
        shown."""
        session = self._session
        fields: list[Component] = [
            session.system, session.template, session.bank, session.vectors, session.radius, self.set, self.others,
            self.answers, self.measure, self.random, self.tokens, self.seed, self.own, self.own_others,
        ]  # fmt: skip
        self._bind_history(rooms.opened("reliability"), fields, self._views)
        bind(self.read.upload, self._read, self.read, [self.set, self.own])
        bind(
            self.read_others.upload, self._read_others, [self.read_others, self.others], [self.others, self.own_others]
        )
        picked: list[Block] = [self.table, self.details, self.plot, self.inputs]
        bind(self.table.pick, self._pick, [self.shown], picked)
        made = bind(self.json.click, self._write, self.shown, self._file)
        made.success(None, None, None, js=fetch_script(FILE), api_visibility="private")

    def _study(self, values: Values) -> MeasureReliability:
        session = self._session
        name, radii = bank_chosen(values[session.bank]), radii_of(values[session.radius])
        settings = [self._setting(values[self.set], values[self.own], "prompts")]
        settings += [
            self._setting(one, values[self.own_others], "out of distribution") for one in values[self.others] or ()
        ]
        return MeasureReliability(
            bank=name,
            settings=self._workbench.asked_inputs(
                settings, values[session.system], template_of(values[session.template])
            ),
            vectors=chosen(values[session.vectors]),
            radius=None if radii is None else radii[0],
            random=whole("random vectors", values[self.random]),
            answers=(values[self.answers] or "").strip() or None,
            measure=(values[self.measure] or "").strip() or None,
            max_new_tokens=whole("max new tokens", values[self.tokens]),
            seed=whole("seed", values[self.seed]),
        )

    def _setting(self, given: str, own: str | None, field: str) -> Setting:
        if given != OWN:
            return self._workbench.contrast_set(given, field)
        name = "own" if field == "prompts" else "own-other"
        if not (own or "").strip():
            raise InputError(field, "your own are empty", "Write them under “Your own prompts”, or choose a set")
        return parse_contrast(content_of(own), name, shown="your prompts", field=field)

    def _read(self, path: str | None) -> Changes:
        """Put the prompts of a file into the field, where they can be changed."""
        return {} if path is None else {self.set: OWN, self.own: _text(path)}

    def _read_others(self, path: str | None, others: list[str] | None) -> Changes:
        if path is None:
            return {}
        return {self.others: [*dict.fromkeys([*(others or ()), OWN])], self.own_others: _text(path)}

    def _found(self) -> Listed[Reliability]:
        return self._workbench.reliabilities()

    def _part(self, progress: ReliabilityProgress) -> Reliability | None:
        return progress.found

    def _draw(self, job: Job[Any, Any], part: Reliability, values: Values) -> Changes:
        answer = reliable(part)
        names = self._session.names(part.bank, part.bank_hash)
        return {self.said: note(*said_lines(answer), tone="plain"), self.table: vector_table(answer, names)}

    def _begun(self) -> Changes:
        return {**super()._begun(), **self._empty(), self.said: note()}

    def _show(self, found: Reliability) -> Changes:
        answer = reliable(found)
        one = answer["vectors"][0] if answer["vectors"] else None
        return {
            self.said: note(*said_lines(answer), tone="plain"),
            **self._card(found, answer, one),
            self.command: self._command(found),
            self.json: gr.Button(interactive=True),
        }

    def _card(self, found: Reliability, answer: Reliable, one: VectorLine | None) -> Changes:
        names = self._session.names(found.bank, found.bank_hash)
        made = {
            "bank": found.bank, "bank_hash": found.bank_hash, "vectors": [*found.vectors], "model": found.model,
            "radii": [] if found.radius is None else [found.radius], "model_hash": found.model_hash,
        }  # fmt: skip
        return {
            self.table: {**vector_table(answer, names, one and one["vector"]), "stamp": made},
            self.details: note(*vector_lines(one), tone="plain") if one else note(),
            self.plot: plot(answer, one) if one else {},
            self.inputs: input_table(answer, one) if one else {"columns": []},
        }

    def _pick(self, event: gr.EventData, key: str | None) -> Changes:
        """Show the curve and the inputs of a vector."""
        found = self._result(key)
        answer, vector = reliable(found), int(event.key)
        return self._card(found, answer, next((one for one in answer["vectors"] if one["vector"] == vector), None))

    def _write(self, key: str | None) -> str:
        found = self._result(key)
        return written_json("reliability", reliable(found, self._workbench.why_not_kept(found)))

    def _command(self, found: Reliability) -> dict[str, Any]:
        """The command that does the same, and its files."""
        bank = self._workbench.bank(found.bank)
        loaded = next((one.spec for one in self._workbench.models() if one.loaded), bank.record.model)
        model = None if canonical(loaded) == canonical(bank.record.model) else loaded
        files = own_files(found)
        where = f", where {' and '.join(files)} {'have' if len(files) > 1 else 'has'} your own prompts" if files else ""
        command = reliability_command(found, len(bank.vectors), model)
        return {"command": command, "note": f"The same on the command line{where}:"}

    def _summary(self, found: Reliability) -> str:
        if found.finished:
            return f"{many(len(found.own), 'vector')} of “{found.bank}” and {found.random} random ones."
        return f"Stopped after {len(found.tried)} of {found.wanted} vectors; press Measure to go on."

    def _empty(self) -> Changes:
        return {
            self.said: note(EMPTY), self.table: {"columns": []}, self.details: note(), self.plot: {},
            self.inputs: {"columns": []}, self.command: {}, self.json: gr.Button(interactive=False),
        }  # fmt: skip

    def _line(self, found: Reliability) -> str:
        sets = ", ".join(one.name for one in found.settings)
        return f"{day(found.created)} · {found.bank} · {many(len(found.vectors), 'vector')} · {sets}"


def _text(path: str) -> str:
    return read_upload(path, lambda data, name: parse_contrast(data, OWN, shown=name))

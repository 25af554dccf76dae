"""Audit: what a model does on many prompts that nobody listed, and which of it holds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.audits import Audit, AuditedBehaviour
from melbo_app.library.damage import Listed
from melbo_app.studies.audit import AuditProgress, MakeAudit
from melbo_app.studies.audit_answer import alarms_line
from melbo_app.studies.audit_page import UNFOLDED
from melbo_app.ui.audit_form import AuditForm
from melbo_app.ui.audit_tables import (
    COUNTS,
    alarm_table,
    behaviour_lines,
    behaviour_table,
    others_title,
    places,
    prompt_lines,
    prompt_table,
    repeating,
    summary,
)
from melbo_app.ui.components.command_line import command_line
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import small_button
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.forms import template_field
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import day
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.ui.taking import take
from melbo_app.workbench import Workbench

EMPTY = (
    "Press Audit to explore each prompt, half a minute to two minutes a prompt on two cores, and to try what is found "
    "on the other prompts, beside random vectors. It goes on when the page is closed; Stop keeps the finished prompts."
)
FILE = "audit-file"


class AuditTab(HistoryTab):
    """The view Audit."""

    kind = "audit"
    stopped = "Stopped before the first prompt was finished: nothing is kept."

    def __init__(self, workbench: Workbench, session: Session) -> None:
        super().__init__(workbench, session)
        self._at = gr.State(None)  # the number of the behaviour that is chosen
        why_not = workbench.why_not("audit")
        note_view(note(why_not), elem_id="audit-why-not")
        with gr.Column(visible=not why_not, elem_id="audit-here"):
            self.form = AuditForm(workbench, session)
            self.history = self.form.history
            self._toolbar("audit", "Audit")
            self.said = note_view(note(EMPTY), elem_id="audit-said")
            self.table = record_table({"columns": []}, elem_id="audit-table", start="audit-start")
            with gr.Accordion("Others", open=False, visible=False, elem_id="audit-rest") as self.rest:
                self.others = record_table({"columns": []}, elem_id="audit-others")
            with gr.Row(elem_classes="mx-toolbar", equal_height=True, visible=False) as self.ways:
                self.steer = small_button("Steer its prompt with its vector", "audit-open", 220, interactive=False)
            self.details = note_view(note(), elem_id="audit-details")
            self.prompts = record_table({"columns": []}, elem_id="audit-prompt-table")
            self.tried = note_view(note(), elem_id="audit-tried")
            self.watched = note_view(note(), elem_id="audit-watched")
            self.alarms = record_table({"columns": []}, elem_id="audit-alarms")
            self.command = command_line(elem_id="audit-command")
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.page = small_button("Download audit.html", "audit-html", 160, interactive=False)
                self.json = small_button("Download audit.json", "audit-json", 160, interactive=False)
            self._file = hidden_download(FILE)
        self._views: list[Block] = [
            self._at, self.said, self.table, self.rest, self.others, self.ways, self.steer, self.details, self.prompts,
            self.tried, self.watched, self.alarms, self.command, self.page, self.json,
        ]  # fmt: skip
        self.job_outputs: list[Block] = [self.shown, self.progress, *self._views, self.history]

    def bind(self, rooms: Rooms, completions: CompletionsTab) -> None:
        """Bind auditing, choosing and opening a behaviour, and downloads; the last audit is shown when the view is
        opened."""
        session, self._rooms = self._session, rooms
        self.form.bind(rooms.opened("audit"))
        self._bind_history(rooms.opened("audit"), self.form.inputs, self._views, session.bank)
        picked: list[Block] = [self._at, self.table, self.others, self.steer, self.details]
        for table in (self.table, self.others):
            bind(table.pick, self._pick, [self.shown], picked)
        bind(self.prompts.pick, self._pick_prompt, [self.shown], self.tried)
        outputs = [*rooms.outputs, *session.prompt_inputs, *session.bank_outputs]
        completions.steer_after(bind(self.steer.click, self._open, [self.shown, self._at], outputs).success)
        for button, write in ((self.page, self._write_page), (self.json, self._write_json)):
            made = bind(button.click, write, self.shown, self._file)
            made.success(None, None, None, js=fetch_script(FILE), api_visibility="private")

    def _show_last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        if not self._workbench.why_not("audits"):
            yield from super()._show_last(request, values)

    def _study(self, values: Values) -> MakeAudit:
        return self.form.study(values)

    def _found(self) -> Listed[Audit]:
        return self._workbench.audits()

    def _part(self, progress: AuditProgress) -> tuple[str, ...]:
        return progress.lines

    def _draw(self, job: Job[Any, Any], part: tuple[str, ...], values: Values) -> Changes:
        return {self.said: note(*part, tone="plain")}

    def _begun(self) -> Changes:
        return {**super()._begun(), **self._empty(), self.said: note()}

    def _made(self, job: Job[Any, Any], result: Audit, values: Values, is_drawn: bool) -> Changes:
        return {**super()._made(job, result, values, is_drawn), self._session.bank: self._session.list_banks()}

    def _halted(self, drawn: Any, values: Values) -> Changes:
        return {**super()._halted(drawn, values), self._session.bank: self._session.list_banks()}

    def _show(self, found: Audit) -> Changes:
        first, rest = places(found)
        return {
            self._at: None,
            self.said: note(found.sentence, *found.left_out, tone="plain"),
            self.table: _stamped(found, first),
            self.rest: gr.Accordion(
                visible=bool(rest), label=others_title(found), open=not first or len(found.behaviours) <= UNFOLDED
            ),
            self.others: behaviour_table(found, rest),
            self.ways: gr.Row(visible=bool(found.behaviours)),
            self.steer: gr.Button(interactive=False),
            self.details: note(COUNTS) if found.behaviours else note(),
            self.prompts: prompt_table(found),
            self.tried: note(),
            self.watched: note(alarms_line(found), tone="plain") if found.watch else note(),
            self.alarms: alarm_table(found),
            self.command: repeating(found),
            self.page: gr.Button(interactive=True),
            self.json: gr.Button(interactive=True),
        }

    def _empty(self) -> Changes:
        tables = (self.table, self.others, self.prompts, self.alarms)
        away = gr.Button(interactive=False)
        return {
            self._at: None, self.said: note(EMPTY), **{table: {"columns": []} for table in tables},
            self.rest: gr.Accordion(visible=False), self.ways: gr.Row(visible=False), self.details: note(),
            self.tried: note(), self.watched: note(), self.command: {},
            **dict.fromkeys((self.steer, self.page, self.json), away),
        }  # fmt: skip

    def _summary(self, found: Audit) -> str:
        return summary(found)

    def _line(self, found: Audit) -> str:
        recur = sum(one.recurs for one in found.behaviours)
        found_there = f"{len(found.behaviours)} behaviours, {recur} recur" if found.behaviours else "nothing found"
        return f"{day(found.created)} · {len(found.prompts)} prompts · {found_there}"

    def _pick(self, event: gr.EventData, key: str | None) -> Changes:
        """Show all that is known of a behaviour."""
        found, at = self._result(key), int(event.key)
        first, rest = places(found)
        return {
            self._at: at,
            self.table: _stamped(found, first, at),
            self.others: behaviour_table(found, rest, at),
            self.steer: gr.Button(interactive=True),
            self.details: note(*behaviour_lines(found, self._behaviour(found, at)), tone="plain"),
        }

    def _pick_prompt(self, event: gr.EventData, key: str | None) -> dict[str, Any]:
        """Show what was tried on a prompt."""
        return note(*prompt_lines(self._result(key), int(event.key)), tone="plain")

    def _open(self, key: str | None, at: int | None) -> Changes:
        """Choose the vector of a behaviour and write its prompt into the context line; it is steered then."""
        found = self._result(key)
        one = self._behaviour(found, at)
        return {
            **self._rooms.show("completions"),
            **self._session.prompt_values([found.prompts[one.prompt].prompt]),
            **take(self._workbench, self._session, one.bank_hash, [one.representative], one.radius),
        }

    def _write_page(self, key: str | None) -> str:
        return self._write(key, ".html")

    def _write_json(self, key: str | None) -> str:
        return self._write(key, ".json")

    def _write(self, key: str | None, ending: str) -> str:
        found = self._result(key)

        def write(out: Path) -> Path:
            return self._workbench.export_audit_page(found, out)

        return written("audit", ending, write)

    def _behaviour(self, found: Audit, at: int | None) -> AuditedBehaviour:
        if at is None or at >= len(found.behaviours):
            raise InputError("behaviour", "none is chosen", "Click one in the table")
        return found.behaviours[at]


def _stamped(found: Audit, numbers: Sequence[int], chosen: int | None = None) -> dict[str, Any]:
    """The table of the behaviours that recur, and what it was made with."""
    asked = found.prompts[0].prompt
    stamp = {
        "system": asked.system or "", "template": template_field(asked.template), "model": found.model,
        "model_hash": found.model_hash,
    }  # fmt: skip
    return {**behaviour_table(found, numbers, chosen), "stamp": stamp}

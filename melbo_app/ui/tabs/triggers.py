"""Triggers: what added to a clean prompt makes the model do something. Experimental."""

from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.jobs.job import Job
from melbo_app.library.damage import Listed
from melbo_app.library.prompt_sets import SHIPPED
from melbo_app.library.triggers import TriggerSearch
from melbo_app.studies.trigger_answer import NOTE, triggered
from melbo_app.studies.triggers import FindTriggers, TriggerProgress
from melbo_app.ui.components.command_line import command_line
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import small_button
from melbo_app.ui.files import fetch_script, hidden_download, written_json
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import day
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.ui.trigger_form import TriggerForm, answer_lines, command_of, own_shown, trigger_table
from melbo_app.workbench import Workbench

EMPTY = (
    "Press Search to look for short strings which, added to clean prompts, make the model say a text or do what the "
    "chosen vector does. Each is tested on held-out prompts, beside random strings. It goes on when the page is "
    "closed; Stop keeps the finished triggers."
)
FILE = "triggers-file"


class TriggersTab(HistoryTab):
    """The view Triggers."""

    kind = "triggers"
    stopped = "Stopped before the first trigger was found: nothing is kept."

    def __init__(self, workbench: Workbench, session: Session) -> None:
        super().__init__(workbench, session)
        note_view(note(NOTE), elem_id="triggers-experimental")
        self.form = TriggerForm(workbench, session)
        self.history = self.form.history
        self._toolbar("triggers", "Search")
        self.said = note_view(note(EMPTY), elem_id="triggers-said")
        self.table = record_table({"columns": []}, elem_id="triggers-table", start="triggers-start")
        self.answers = note_view(note(), elem_id="triggers-answers")
        self.command = command_line(elem_id="triggers-command")
        self.json = small_button("Download triggers.json", "triggers-json", 180, interactive=False)
        self._file = hidden_download(FILE)
        self._views: list[Block] = [self.said, self.table, self.answers, self.command, self.json]
        self.job_outputs: list[Block] = [self.shown, self.progress, *self._views, self.history]

    def bind(self, rooms: Rooms) -> None:
        """Bind searching, choosing a string and the download; the last search is shown when the view is opened."""
        self._bind_history(rooms.opened("triggers"), self.form.inputs, self._views)
        bind(self.form.prompts.change, own_shown, self.form.prompts, self.form.own)
        bind(self.table.pick, self._pick, [self.shown], [self.table, self.answers])
        made = bind(self.json.click, self._write, self.shown, self._file)
        made.success(None, None, None, js=fetch_script(FILE), api_visibility="private")

    def _study(self, values: Values) -> FindTriggers:
        return self.form.study(values)

    def _found(self) -> Listed[TriggerSearch]:
        return self._workbench.trigger_searches()

    def _part(self, progress: TriggerProgress) -> TriggerSearch | None:
        return progress.found

    def _draw(self, job: Job[Any, Any], part: TriggerSearch, values: Values) -> Changes:
        return {self.said: note(part.sentence, tone="plain"), self.table: trigger_table(part)}

    def _begun(self) -> Changes:
        return {**super()._begun(), **self._empty(), self.said: note()}

    def _show(self, found: TriggerSearch) -> Changes:
        goal = (
            f"Toward “{found.goal}”."
            if found.goal
            else f"Toward vector {found.request.vector} of {found.request.bank}."
        )
        clean = f"Loss without a trigger: {found.clean:.3f}. Click a string to read its answers."
        return {
            self.said: note(found.sentence, goal, clean, tone="plain"),
            self.table: trigger_table(found),
            self.answers: note(),
            self.command: command_of(found, self._shipped()),
            self.json: gr.Button(interactive=True),
        }

    def _empty(self) -> Changes:
        return {
            self.said: note(EMPTY), self.table: {"columns": []}, self.answers: note(), self.command: {},
            self.json: gr.Button(interactive=False),
        }  # fmt: skip

    def _summary(self, found: TriggerSearch) -> str:
        stopped = "" if found.finished else f", stopped after {len(found.found)} of {found.request.restarts}"
        return f"{found.works.count} of {len(found.found)} triggers work, {found.seconds:.0f} s{stopped}"

    def _line(self, found: TriggerSearch) -> str:
        return f"{day(found.created)} · {found.toward[:40]} · {found.works.count} of {found.works.n} work"

    def _pick(self, event: gr.EventData, key: str | None) -> Changes:
        """Show the answers under a string."""
        found, at = self._result(key), int(event.key)
        return {self.table: trigger_table(found, at), self.answers: note(*answer_lines(found, at), tone="plain")}

    def _write(self, key: str | None) -> str:
        found = self._result(key)
        return written_json("triggers", triggered(found, self._workbench.why_not_kept(found)))

    def _shipped(self) -> dict[str, list[str]]:
        return {name: [one.text for one in self._workbench.prompt_set([name])] for name in SHIPPED}

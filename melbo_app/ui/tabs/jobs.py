"""Jobs: the present and past work of the server, for everybody."""

from datetime import UTC, datetime
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError, StorageError
from melbo_app.library.job_records import JobRecord
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import small_button
from melbo_app.ui.forms import asked_by
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import day, duration, seconds_text, sentence
from melbo_app.workbench import Workbench

COLUMNS = ["job", "state", "progress", "requested by", "started", "time"]
WIDE = ["job"]
LISTED, LINES = 50, 40
NOTHING = "No job chosen: click one in the list."
EMPTY = "No jobs yet: train a bank, or draw a map."
VIEWS = frozenset({
    "explore", "curve", "sweep", "atlas", "generality", "find", "audit", "reliability", "parts", "triggers", "harden",
    "removal",
})  # fmt: skip
"""Kinds of jobs whose result their own view shows, by ``show_job``; others are opened by their bank or texts."""


def has_result(record: JobRecord) -> bool:
    """Whether there is something to open."""
    return bool(record.bank or record.comparison or (record.kind in VIEWS and record.state in ("done", "stopped")))


class JobsTab:
    """The tab Jobs."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self.table = record_table({"columns": COLUMNS, "wide": WIDE}, elem_id="job-table")
        self.chosen = gr.State(None)
        self.shown = gr.State(None)  # the list and the details that were drawn last, None before the first
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.result = small_button("Open the result", "job-open", 150, interactive=False)
            self.again = small_button("Run again", "job-again", 110, interactive=False)
            self.stop = small_button("Stop", "job-stop", 170, interactive=False)
        self.details = note_view(note(NOTHING), elem_id="job-details")
        self.outputs: list[Block] = [
            self.table,
            self.chosen,
            self.shown,
            self.details,
            self.result,
            self.again,
            self.stop,
        ]

    def bind(self, opened: Any, wake: gr.Timer) -> None:
        """Bind the list; ``wake`` is the timer that watches the jobs."""
        bind(opened, self._enter, self.chosen, self.outputs)
        bind(self.table.pick, self._pick, None, self.outputs)
        self._wake = wake
        bind(self.stop.click, self._stop, self.chosen, self.outputs)
        bind(self.again.click, self._again, self.chosen, [*self.outputs, wake])

    def open(self, id: int | None) -> Changes:
        """Show the list with this job chosen."""
        return self._show(self._workbench.jobs(LISTED), id)

    def _enter(self, id: int | None) -> Changes:
        records = self._workbench.jobs(LISTED)
        tell(records.damaged)
        return self._show(records, id)

    def _show(self, records: list[JobRecord], id: int | None) -> Changes:
        line = next((one for one in records if one.id == id), None)
        rows = [{"key": str(one.id), "cells": _cells(one), "tone": _tone(one)} for one in records]
        selected = str(line.id) if line else None
        table = {"columns": COLUMNS, "wide": WIDE, "rows": rows, "selected": selected, "message": EMPTY}
        state = line.state if line else None
        waits, ended = state == "waiting", state in ("done", "stopped", "failed", "interrupted")
        stop = "Remove from the queue" if waits else "Discard" if state == "interrupted" else "Stop"
        stoppable = state in ("running", "waiting", "interrupted")
        why_not = self._workbench.why_not("stop_job", line) if stoppable else ""
        details = note(*_details(line), why_not, tone="plain") if line else note(NOTHING)
        again, refused = ("Go on", why_not) if state == "interrupted" else ("Run again", "")
        return {
            self.table: table,
            self.chosen: line.id if line else None,
            self.shown: (table, details),
            self.details: details,
            self.result: gr.Button(interactive=line is not None and has_result(line)),
            self.again: gr.Button(again, interactive=ended and not refused),
            self.stop: gr.Button(stop, interactive=stoppable and not why_not),
        }

    def look(self, id: int | None, shown: tuple[dict[str, Any], dict[str, Any]] | None) -> Changes:
        """The same as time goes on, once the list was drawn. The choice stays: a person may make another meanwhile."""
        try:
            changes = self.open(id) if shown is not None else {}
        except StorageError:  # repeated on every look, it would not help
            return {}
        if not changes or changes[self.shown] == shown:
            return {}
        del changes[self.chosen]
        return changes

    def _pick(self, event: gr.EventData) -> Changes:
        return self.open(int(event.key))

    def _stop(self, id: int | None) -> Changes:
        self._workbench.stop_job(job_chosen(id))
        return self.open(id)

    def _again(self, request: gr.Request, id: int | None) -> Changes:
        job = self._workbench.run_again(job_chosen(id), who=asked_by(request))
        return {**self.open(job.id), self._wake: gr.Timer(0.7)}


def job_chosen(id: int | None) -> int:
    """The chosen job's number."""
    if id is None:
        raise InputError("job", "none is chosen", "Click one in the list")
    return id


def _cells(record: JobRecord) -> list[str]:
    begun, took = "", ""
    if record.started is not None:
        begun = day(record.started)
        if record.state not in ("waiting", "interrupted"):
            took = duration(((record.ended or datetime.now(UTC)) - record.started).total_seconds())
    return [record.title, record.state, _progress(record), record.who, begun, took]


def _progress(record: JobRecord) -> str:
    progress = record.progress
    if record.state == "waiting":
        return "" if record.place is None else f"place {record.place} in the queue"
    if progress is None or record.state == "done":
        return ""
    share = f"{100 * progress.done // max(1, progress.total)} %"
    left = seconds_text(progress.seconds_left) if record.state == "running" else ""
    return f"{share}, {left}" if left else share


def _tone(record: JobRecord) -> str:
    return "damaged" if record.state == "failed" else ""


def _details(record: JobRecord) -> list[str]:
    made = f"It made the bank “{record.bank}”." if record.bank else ""
    if record.comparison:
        made = f"It made comparison {record.comparison}."
    stage = record.progress.stage if record.progress and record.state in ("running", "stopping") else ""
    lines = [f"{line.at.astimezone():%H:%M:%S}  {sentence(line.text)}" for line in record.log[-LINES:]]
    return [stage, made, *lines]

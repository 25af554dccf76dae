"""Download what the Grid shows as a report."""

from collections.abc import Iterator

import gradio as gr

from melbo_app.errors import InputError
from melbo_app.studies.report import MakeReport
from melbo_app.ui.components.progress_bar import resting
from melbo_app.ui.fields import small_button
from melbo_app.ui.files import fetch_script, hidden_download, written
from melbo_app.ui.guard import Changes, Values
from melbo_app.ui.runs import Runs
from melbo_app.workbench import Workbench

FILE = "report-file"


class ReportButton:
    """Two buttons above the grid: for a page with everything, and for a table of the texts."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench = workbench
        self._make = small_button("Report", "report", 80)
        self._table = small_button("CSV", "report-csv", 60)
        self._file = hidden_download(FILE)

    def bind(self, runs: Runs, shown: gr.State, progress: gr.HTML) -> None:
        """Bind making the report of the comparison that is ``shown``; the Grid's bar shows its progress, and its Stop
        stops it."""
        self._runs, self._shown, self._progress = runs, shown, progress
        for button, write in ((self._make, self._write_page), (self._table, self._write_table)):
            made = self._runs.bind(button.click, write, {shown}, [self._file, progress], progress)
            made.success(None, None, None, js=fetch_script(FILE), api_visibility="private")

    def _write_page(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        yield from self._write(".html", request, values)

    def _write_table(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        yield from self._write(".csv", request, values)

    def _write(self, ending: str, request: gr.Request, values: Values) -> Iterator[Changes]:
        comparison = values[self._shown]
        if comparison is None:
            raise InputError("report", "there are no texts yet", "Press Steer")
        study = MakeReport(comparison=comparison, only_texts=ending == ".csv")
        done = yield from self._runs.do(request, study, self._progress, "gathering the texts")
        if done is None or done[1]:
            return
        found, _ = done
        stem = found.bank.record.name if found.bank else "report"
        path = written(f"{stem} report", ending, lambda out: self._workbench.export_report(found, out))
        yield {self._file: path, self._progress: resting(" ".join(["The file is ready.", *found.left_out]))}

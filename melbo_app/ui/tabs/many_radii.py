"""Many R: completions over a range of R, and of them what is flagged."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.jobs.job import Job
from melbo_app.library.completion import Comparison, Completion
from melbo_app.studies.curve import CurveProgress, MeasureCurve, radii_between, training_of
from melbo_app.studies.flagging import gathered
from melbo_app.studies.sweep import Sweep
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.forms import asked_by, bank_chosen, chosen, decoding_from, optional_layer, prompts_from, real, whole
from melbo_app.ui.guard import bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import amount, first_line
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.workbench import Workbench

WAYS = [("chosen vectors", "bank"), ("trained at each R", "trained")]
COLUMNS = ["flag", "R", "vector", "reason", "text"]
WIDE = ["reason", "text"]
EMPTY = "Completions that are flagged, over all R, are gathered here."
ASIDE = "Click a line to read the completion beside the unsteered one."


class ManyRadii:
    """A section of the tab R. ``settings`` are the fields for the range and number of R, layers and vectors."""

    def __init__(
        self, workbench: Workbench, session: Session, completions: CompletionsTab, settings: Sequence[Any]
    ) -> None:
        self._workbench, self._session, self._completions = workbench, session, completions
        self._settings, self._runs = list(settings), Runs()
        self._shown = gr.State(None)  # of which way lines are shown
        with gr.Accordion("Many R: what is flagged over all of them", open=False, elem_id="many-radii"):
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.start = gr.Button("Go through all R", elem_id="many-start", scale=0, min_width=150)
                self.stop = gr.Button("Stop", elem_id="many-stop", scale=0, min_width=80)
                self.way = gr.Radio(WAYS, value="bank", label="Vectors", elem_id="many-way", container=False)
                self.progress = progress_bar(resting(), elem_id="many-progress")
            self.table = record_table({"columns": COLUMNS, "wide": WIDE, "message": EMPTY}, elem_id="many-table")
            self.aside = completion_grid({"groups": [], "message": ASIDE}, elem_id="many-completion")

    def bind(self, tab: gr.Tab) -> None:
        """Bind going through all R and clicking; when ``tab`` is opened, what was gathered last is shown."""
        session, completions = self._session, self._completions
        inputs = [
            *session.prompt_inputs, session.scope, session.bank, session.vectors, completions.control, self.way,
            *self._settings, *completions.decoding_inputs,
        ]  # fmt: skip
        outputs = [self._shown, self.table, self.progress, self.aside]
        self._runs.bind(self.start.click, self._go, inputs, outputs, self.progress)
        for trigger in (tab.select, self.way.input):
            self._runs.bind(trigger, self._show_last, [self._shown, self.way], outputs, self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        bind(self.table.pick, self._pick, None, self.aside)

    def _go(
        self, request: gr.Request, text: str, system: str, template: str, scope: str, bank: str | None,
        vectors: list[int], control: bool, way: str | None, least: float, most: float, points: float,
        source: float | None, target: float | None, trained: float, *decoding: Any,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        prompts = prompts_from(text, system, template)
        relative = radii_between(real("R", least), real("R", most), whole("number of R", points))
        how = decoding_from(*decoding, control=control)
        job: Job[Any, Any]
        if way == "trained":
            layers = self._workbench.layers(
                optional_layer("source layer", source), optional_layer("target layer", target)
            )
            curve = MeasureCurve(
                prompts=prompts,
                training=training_of(layers, scope, prompts),
                relative_radii=relative,
                vectors=whole("vectors", trained),
                decoding=how,
            )
            job = self._workbench.start(curve, who=asked_by(request))
        else:
            record = self._workbench.bank(bank_chosen(bank)).record
            norm = record.median_norm or self._workbench.median_norm(prompts, record.source, stop=leaving())
            asked = Sweep(
                bank=record.name,
                prompts=tuple(prompts),
                vectors=tuple(chosen(vectors)),
                radii=tuple(float(f"{one * norm:.3g}") for one in relative),
                decoding=how,
                random_control=control,
            )
            job = self._workbench.start(asked, who=asked_by(request))
        yield from self._follow(request, job, way or "bank", own=True)

    def _show_last(self, request: gr.Request, shown: str | None, way: str | None) -> Iterator[tuple[Any, ...]]:
        """Show what is being made in this way, or was last, where this page does not show it yet."""
        way = way or "bank"  # None: the tab was not opened yet
        if self._runs.busy(request) or shown == way:
            yield (gr.skip(),) * 4
            return
        running = self._workbench.active_jobs("sweep")
        if way == "trained":
            running = [job for job in self._workbench.active_jobs("curve") if _trains(job)]
        if running:
            yield from self._follow(request, running[-1], way, own=False)
            return
        yield self._summary(way, *self._latest(way))

    def _follow(self, request: gr.Request, job: Job[Any, Any], way: str, *, own: bool) -> Iterator[tuple[Any, ...]]:
        """Show a job until it ends."""
        points, aside = 0, _aside()
        run = self._runs.follow(request, job, own=own)
        for bar, step in run:
            table = gr.skip()
            if isinstance(step, CurveProgress) and len(step.curve.points) > points:
                points = len(step.curve.points)
                table = self._table(self._of_curve(step.curve), step.curve.median_norm)
            yield gr.skip(), table, bar, aside
            aside = gr.skip()
        if not run.result:
            return
        if job.result is None:
            yield gr.skip(), gr.skip(), resting("Stopped before the first R was done."), gr.skip()
            return
        result = job.result
        if isinstance(result, DiversityCurve):
            yield self._summary(way, self._of_curve(result), result.median_norm)
        else:
            yield self._summary(way, [result], self._norm(result))

    def _latest(self, way: str) -> tuple[list[Comparison], float | None]:
        """What was made last in this way, and the median norm that its R are multiples of."""
        if way == "trained":
            kept = self._workbench.latest_curve()
            trained = kept is not None and kept.curve.how == "trained"
            return (self._of_curve(kept.curve), kept.curve.median_norm) if kept and trained else ([], None)
        swept = [self._workbench.comparison(line.id) for line in self._workbench.comparisons("sweep", 1)]
        return swept, self._norm(swept[0]) if swept else None

    def _norm(self, swept: Comparison) -> float | None:
        line = self._session.find(swept.settings.get("bank"))
        return line.record.median_norm if line is not None and line.record is not None else None

    def _of_curve(self, curve: DiversityCurve) -> list[Comparison]:
        """The vectors' texts of a curve, not those of its control."""
        return [self._workbench.comparison(id) for point in curve.points for id in point.comparisons[::2]]

    def _summary(self, way: str, comparisons: Sequence[Comparison], norm: float | None) -> tuple[Any, ...]:
        table = self._table(comparisons, norm)
        if not comparisons:
            return way, table, resting(), _aside()
        every = {one.digest: one for comparison in comparisons for one in comparison.completions}
        radii = {one.radius for one in every.values() if one.vector is not None}
        prompt = first_line(comparisons[0].completions[0].prompt.user, 40)
        bank = "trained at each R" if way == "trained" else f"“{comparisons[0].settings.get('bank')}”"
        count = len(table["rows"])
        counted = f"{count} flag{'s' * (count != 1)} in {len(every)} texts at {len(radii)} R"
        return way, table, resting(f"{counted}, {bank}, “{prompt}”."), _aside()

    def _table(self, comparisons: Sequence[Comparison], norm: float | None) -> dict[str, Any]:
        several = any(one.prompt_index for comparison in comparisons for one in comparison.completions)
        rows = [
            {
                "key": f"{one.completion.id} {one.flag.kind}",
                "cells": [
                    one.flag.kind,
                    "–" if one.completion.vector is None else _radius(one.completion.radius, norm),
                    _who(one.completion, several),
                    one.flag.reason,
                    " ".join(one.completion.text.split()),
                ],
            }
            for one in gathered(comparisons)
        ]
        message = "None of the completions is flagged." if comparisons else EMPTY
        return {"columns": COLUMNS, "wide": WIDE, "rows": rows, "message": message}

    def _pick(self, event: gr.EventData) -> dict[str, Any]:
        """The completion of a line, beside the unsteered one."""
        id = int(event.key.split()[0])
        completion = self._workbench.completion(id)
        others = self._workbench.comparison(self._workbench.comparison_of(id)).completions
        beside = [one for one in others if one.vector is None and one.prompt_index == completion.prompt_index]
        shown = [*beside[: completion.vector is not None], completion]
        return {**grid(shown, self._session.names(completion.bank, completion.bank_hash)), "lines": 3}


def _trains(job: Job[Any, Any]) -> bool:
    """Whether the vectors of a curve are trained at each R."""
    asked = job.record().request
    return asked["bank"] is None and not asked["rescaled"]


def _radius(radius: float, norm: float | None) -> str:
    return amount(radius) + (f" ({amount(radius / norm, 2)} ×)" if norm else "")


def _aside() -> dict[str, Any]:
    return {"groups": [], "message": ASIDE}


def _who(completion: Completion, several: bool) -> str:
    who = "none" if completion.vector is None else str(completion.vector)
    return f"{who}, prompt {completion.prompt_index + 1}" if several else who

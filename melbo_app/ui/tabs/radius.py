"""R: a diversity curve with its cusp, and the same vectors at many R."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import gradio as gr
from gradio.blocks import Block

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.analysis.cusp import DEFAULT_DETECTOR, LEAST_POINTS, Cusp, cusps
from melbo_app.analysis.radius_choice import choose_radius
from melbo_app.engine.training_config import METHOD_DESCRIPTIONS, TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.bank import PromptRecord
from melbo_app.library.curves import KeptCurve
from melbo_app.library.job_records import JobRecord
from melbo_app.studies import read_study
from melbo_app.studies.curve import CURVE_STEPS, CURVE_VECTORS, CurveProgress, MeasureCurve
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import choice, small_button, whole_number
from melbo_app.ui.forms import bank_chosen, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import amount, first_line, prompts_text
from melbo_app.ui.radius_range import RadiusRange
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import prompts_stamp
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.curve_point import CurvePointPanel, curve_of
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.ui.tabs.many_radii import ManyRadii
from melbo_app.ui.training_form import TrainingForm
from melbo_app.workbench import Workbench

if TYPE_CHECKING:  # plotly takes a second to import
    from melbo_app.analysis.curve_figure import Quantity

WAYS = [
    ("trained at each R", "trained"), ("one bank, trained and rescaled", "rescaled"),
    ("the chosen bank, rescaled", "bank"),
]  # fmt: skip
QUANTITIES = [
    ("diversity", "summed variance"), ("readable diversity", "readable diversity"),
    ("mean distance", "cosine distance"), ("distinct answers", "distinct answers"), ("readable", "readable"),
    ("loss", "loss"), ("KL", "KL"),
]  # fmt: skip
USUAL = QUANTITIES[0][1]
COLUMNS = ["rule", "R × median norm", "why"]
WIDE = ["why"]
EMPTY = "Press Measure to see at which R completions begin to differ, and where they break."
NOTHING = "This table will show the R that each rule finds on the curve."
RULES = (
    "Each rule looks for the cusp: the R at which diversity starts to rise steeply. They all use the errors that the "
    "bands show, and find none where the curve is flat or no higher than that of random vectors."
)


class RadiusTab(JobTab):
    """The view R."""

    kind = "curve"
    stopped = "Stopped before the first R was measured."

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab, form: TrainingForm) -> None:
        super().__init__(workbench, session)
        self._completions, self._form = completions, form
        with gr.Row(elem_classes="mx-fields"):
            self.range = RadiusRange()
            self.vectors = whole_number("Vectors per R", "curve-vectors", CURVE_VECTORS)
            self.steps = whole_number("Steps per R", "curve-steps", CURVE_STEPS)
            self.seeds = whole_number("Seeds", "curve-seeds", 1, 60)
            self.way = choice("Vector source", "curve-way", WAYS, "trained", 270)
        self._toolbar("curve", "Measure")
        with gr.Row(elem_classes="mx-toolbar mx-said", equal_height=True):
            self.said = note_view(elem_id="curve-said")
            self.use = small_button("Take this R", "curve-use", 110, visible=False)
        self.quantity = gr.Radio(QUANTITIES, value=USUAL, label="Show", elem_id="curve-quantity", container=False)
        self.plot = plotly_view({"message": EMPTY}, elem_id="curve-plot", start="curve-start")
        self.point = CurvePointPanel(workbench, session, completions, form)
        with gr.Accordion("How the R was found", open=False, elem_id="curve-how"):
            note_view(note(RULES), elem_id="curve-rules")
            self.table = record_table({"columns": COLUMNS, "wide": WIDE, "message": NOTHING}, elem_id="curve-cusps")
        self.many = ManyRadii(workbench, session, completions, self._training, self.range)
        self.job_outputs: list[Block] = [
            self.shown, self.progress, self.plot, self.table, self.said, self.use, *self.point.outputs,
            self.quantity,
        ]  # fmt: skip

    def bind(self, rooms: Rooms) -> None:
        """Bind measuring, choosing and clicking; when the view is opened, the last curve is shown."""
        session, form = self._session, self._form
        self.view_inputs = [self.quantity]
        inputs = [
            *form.inputs, session.bank, *self.range.inputs, self.vectors, self.steps, self.seeds, self.way,
        ]  # fmt: skip
        self._bind_job(rooms.opened("radius"), inputs, self.job_outputs[2:])
        bind(self.quantity.input, self._paint, [self.shown, self.quantity], self.plot, trigger_mode="always_last")
        bind(self.use.click, self._use, [self.shown, session.radius], self.point.used_outputs)
        self.point.bind(self.plot, self.table, self.shown, rooms)
        self.many.bind(rooms, [*form.inputs, self.vectors, self.steps])

    def show_job(self, record: JobRecord) -> Changes:
        """Show the curve that a job measured, in ``job_outputs``."""
        study = read_study(record.request)
        assert isinstance(study, MeasureCurve)
        kept = self._workbench.curve_on(study.prompts)
        if kept is None:
            raise InputError("curve", "it is no longer kept", "Run the job again")
        return {
            **self._show(kept, {self.quantity: USUAL}),
            self.quantity: USUAL,
            self.progress: resting(self._summary(kept)),
        }

    def _study(self, values: Values) -> MeasureCurve:
        prompts = self._session.prompts(values)
        own = bank_chosen(values[self._session.bank]) if values[self.way] == "bank" else None
        return MeasureCurve(
            prompts=prompts,
            training=None if own else self._training(values),
            bank=own,
            rescaled=values[self.way] == "rescaled",
            relative_radii=self.range.radii(values),
            vectors=whole("vectors", values[self.vectors]),
            seeds=whole("seeds", values[self.seeds]),
        )

    def _training(self, values: Values) -> TrainingConfig:
        """The training of the form, with fewer steps; its R is that of each point."""
        method, vectors = values[self._form.how.method], whole("vectors", values[self.vectors])
        steps = {"steps": whole("steps", values[self.steps])} if METHOD_DESCRIPTIONS[method].steps > 1 else {}
        return self._form.training(values, radius=1.0, vectors=vectors, **steps)

    def _last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        tell(self._workbench.damaged("curves"))
        kept = self._workbench.latest_curve()
        yield {**self._show(kept, values), self.progress: resting(self._summary(kept) if kept else "")}

    def _part(self, progress: CurveProgress) -> DiversityCurve:
        return progress.curve

    def _draw(self, job: Job[Any, Any], part: DiversityCurve, values: Values) -> Changes:
        return self._show(_kept(job, part), values)

    def _made(self, job: Job[Any, Any], result: DiversityCurve, values: Values, is_drawn: bool) -> Changes:
        kept = _kept(job, result)
        return {**({} if is_drawn else self._show(kept, values)), self.progress: resting(self._summary(kept))}

    def _halted(self, drawn: Any, values: Values) -> Changes:
        return self._show(self._workbench.latest_curve(), values)

    def _show(self, kept: KeptCurve | None, values: Values) -> Changes:
        choice = choose_radius(kept.curve) if kept else None
        is_whole = kept is not None and len(kept.curve.points) >= LEAST_POINTS
        lines = choice.lines if choice and is_whole else ()
        return {
            self.shown: kept,
            self.plot: self._paint(kept, values[self.quantity]),
            self.table: _table(kept),
            self.said: note(*lines, tone="plain"),
            self.use: gr.Button(visible=bool(lines and choice and choice.radius)),
            **self.point.empty(),
        }

    def _summary(self, kept: KeptCurve) -> str:
        curve = kept.curve
        how = f"{curve.method}, {'trained at each R' if curve.how == 'trained' else 'one bank rescaled'}"
        if curve.bank is not None:
            how = f"“{curve.bank}” rescaled"
        layers = f"blocks {curve.source} → {curve.target}{'' if curve.finished else ', stopped'}"
        return f"{len(curve.points)} R on {prompts_text(kept.prompts)}, {how}, {layers}."

    def _paint(self, kept: KeptCurve | None, quantity: Any) -> dict[str, Any]:
        from melbo_app.analysis.curve_figure import curve_figure  # late: plotly takes a second to import

        if kept is None:
            return {"message": EMPTY}
        choice = choose_radius(kept.curve)
        shown = [one for one in cusps(kept.curve.arrays()) if one.detector == choice.detector]
        title = first_line(kept.prompts[0].user)
        quantity = cast("Quantity", quantity or USUAL)  # None: the tab was not opened yet
        other = choice.radius if choice.detector is None else None
        made = prompts_stamp(kept.prompts, model_hash=kept.model_hash)
        return {**figure_value(curve_figure(kept.curve, shown, quantity, title, other)), "stamp": made}

    def _use(self, kept: KeptCurve | None, slider: dict[str, Any] | None) -> Changes:
        """Take the suggested R."""
        return self.point.at(kept, choose_radius(curve_of(kept)).radius, slider)


def _kept(job: Job[Any, Any], curve: DiversityCurve) -> KeptCurve:
    asked = job.study
    assert isinstance(asked, MeasureCurve)
    prompts = tuple(map(PromptRecord.of, asked.prompts))
    return KeptCurve(model_hash=asked.model_hash or "", prompts=prompts, curve=curve, changed=datetime.now(UTC))


def _table(kept: KeptCurve | None) -> dict[str, Any]:
    """A line for each detector; the one that the suggestion follows is chosen."""
    from melbo_app.analysis.curve_figure import NAMES  # late: plotly takes a second to import

    found = [] if kept is None or not kept.curve.points else cusps(kept.curve.arrays())
    rows = [{"key": one.detector, "cells": [_name(one, NAMES), *_cells(one)]} for one in found]
    selected = None if kept is None else choose_radius(kept.curve).detector
    return {"columns": COLUMNS, "wide": WIDE, "rows": rows, "selected": selected, "message": NOTHING}


def _name(cusp: Cusp, names: dict[Any, str]) -> str:
    return names[cusp.detector] + (" (usual)" if cusp.detector == DEFAULT_DETECTOR else "")


def _cells(cusp: Cusp) -> list[str]:
    if cusp.radius is None:
        return ["no cusp", cusp.reason]
    sure = f"; 95 %: {cusp.low:.3g} to {cusp.high:.3g}" if cusp.low is not None and cusp.high is not None else ""
    return [amount(cusp.radius), cusp.reason + sure]

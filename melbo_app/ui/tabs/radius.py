"""R: a diversity curve with its cusp, and the same vectors at many R."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.analysis.cusp import DEFAULT_DETECTOR, Cusp, cusps
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.bank import PromptRecord
from melbo_app.library.curves import KeptCurve
from melbo_app.studies.curve import CURVE_VECTORS, CurveProgress, MeasureCurve, training_of
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import choice, small_button, whole_number
from melbo_app.ui.forms import bank_chosen, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import amount, first_line, prompts_text, radius_text
from melbo_app.ui.radius_range import RadiusRange
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.ui.tabs.many_radii import ManyRadii
from melbo_app.ui.tabs.train import TrainTab
from melbo_app.workbench import Workbench

WAYS = [
    ("trained at each R", "trained"), ("one bank, trained and rescaled", "rescaled"),
    ("the chosen bank, rescaled", "bank"),
]  # fmt: skip
QUANTITIES = [
    "summed variance", "readable diversity", "cosine distance", "distinct answers", "readable", "loss", "KL",
]  # fmt: skip
COLUMNS = ["detector", "R × norm", "why"]
WIDE = ["why"]
EMPTY = "Press Measure to see at which R completions begin to differ, and where they break."
NOTHING = "This table will show the R that each detector finds on the curve."
HOW = "Choose a line to use its R. Click a point of the curve to read its completions."


class RadiusTab(JobTab):
    """The tab R."""

    kind = "curve"
    stopped = "Stopped before the first R was measured."

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab, train: TrainTab) -> None:
        super().__init__(workbench, session)
        self._completions, self._train = completions, train
        with gr.Row(elem_classes="mx-fields"):
            self.range = RadiusRange()
            self.vectors = whole_number("Vectors", "curve-vectors", CURVE_VECTORS)
            self.seeds = whole_number("Seeds", "curve-seeds", 1, 60)
            self.way = choice("Vector source", "curve-way", WAYS, "trained", 270)
        self._toolbar("curve", "Measure")
        self.quantity = gr.Radio(
            QUANTITIES, value=QUANTITIES[0], label="Show", elem_id="curve-quantity", container=False
        )
        self.plot = plotly_view({"message": EMPTY}, elem_id="curve-plot")
        self.table = record_table({"columns": COLUMNS, "wide": WIDE, "message": NOTHING}, elem_id="curve-cusps")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.use = small_button("Use this R", "curve-use", 110)
            self.note = note_view(note(HOW), elem_id="curve-note")
        self.many = ManyRadii(workbench, session, completions, train, self.range, self.vectors)

    def bind(self, rooms: Rooms) -> None:
        """Bind measuring, choosing and clicking; when the view is opened, the last curve is shown."""
        session, train, completions = self._session, self._train, self._completions
        self.view_inputs = [self.quantity]
        inputs = [
            *session.prompt_inputs, session.scope, session.bank, train.source, train.target, *self.range.inputs,
            self.vectors, self.seeds, self.way,
        ]  # fmt: skip
        self._bind_job(rooms.opened("radius"), inputs, [self.plot, self.table])
        bind(self.quantity.input, self._paint, [self.shown, self.quantity], self.plot, trigger_mode="always_last")
        self._rooms = rooms
        bind(
            self.plot.point,
            self._open,
            [self.shown],
            [*rooms.outputs, completions.history, *completions.restore_outputs],
        )
        used: list[Block] = [*train.place_outputs, session.radius, self.note]
        bind(self.use.click, self._use, [self.shown, self.table, session.radius], used)
        self.many.bind(rooms.opened("radius"))

    def _study(self, values: Values) -> MeasureCurve:
        prompts = self._session.prompts(values)
        own = bank_chosen(values[self._session.bank]) if values[self.way] == "bank" else None
        layers = self._train.layers(values)
        return MeasureCurve(
            prompts=prompts,
            training=None if own else training_of(layers, values[self._session.scope], prompts),
            bank=own,
            rescaled=values[self.way] == "rescaled",
            relative_radii=self.range.radii(values),
            vectors=whole("vectors", values[self.vectors]),
            seeds=whole("seeds", values[self.seeds]),
        )

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
        return {self.shown: kept, self.plot: self._paint(kept, values[self.quantity]), self.table: _table(kept)}

    def _summary(self, kept: KeptCurve) -> str:
        curve = kept.curve
        how = "trained at each R" if curve.how == "trained" else "one bank rescaled"
        if curve.bank is not None:
            how = f"“{curve.bank}” rescaled"
        layers = f"blocks {curve.source} → {curve.target}{'' if curve.finished else ', stopped'}"
        return f"{len(curve.points)} R on {prompts_text(kept.prompts)}, {how}, {layers}."

    def _paint(self, kept: KeptCurve | None, quantity: Any) -> dict[str, Any]:
        from melbo_app.analysis.curve_figure import curve_figure  # late: plotly takes a second to import

        if kept is None:
            return {"message": EMPTY}
        quantity = quantity or QUANTITIES[0]  # None: the tab was not opened yet
        title = first_line(kept.prompts[0].user)
        return figure_value(curve_figure(kept.curve, cusps(kept.curve.arrays()), quantity, title))

    def _open(self, event: gr.EventData, kept: KeptCurve | None) -> Changes:
        """Open the completions behind a point, of the vectors or of the random ones; of several seeds, the first.

        The left column keeps its bank if the vectors belong to none on the shelf.
        """
        if kept is None:
            raise InputError("R", "the curve is gone", "Measure it again")
        place, control = map(int, event.customdata)
        changes = self._completions.restore(kept.curve.points[place].comparisons[control])
        if kept.curve.bank is None or control or self._session.find(kept.curve.bank) is None:
            changes = {part: value for part, value in changes.items() if part not in self._session.bank_outputs}
        history = gr.Dropdown(value=None)  # the list does not have it
        return {**changes, **self._rooms.show("completions"), self._completions.history: history}

    def _use(self, kept: KeptCurve | None, table: dict[str, Any] | None, slider: dict[str, Any] | None) -> Changes:
        """Put the chosen detector's R into the Train form and, if a bank is chosen, on the slider."""
        if kept is None:
            raise InputError("R", "there is no curve yet", "Press Measure")
        curve, chosen = kept.curve, (table or {}).get("selected")
        cusp = next((one for one in cusps(curve.arrays()) if one.detector == chosen), None)
        if cusp is None or cusp.radius is None:
            raise InputError("R", "no detector that found one is chosen", "Choose a line that has an R")
        radius = cusp.radius * curve.median_norm
        target = curve.source if curve.target is None else curve.target
        changes = self._train.place(curve.source, target, radius, curve.median_norm)
        message = f"{radius_text(radius, curve.median_norm)} is in the Train form"
        bank = (slider or {}).get("bank")
        if slider and bank:
            record = self._workbench.bank(bank).record
            norm = curve.median_norm if record.source == curve.source else record.median_norm
            if norm:
                radius = float(amount(cusp.radius * norm))
                changes[self._session.radius] = {**slider, "radius": radius}
                message += f", and {radius_text(radius, norm)} on the slider of “{bank}”"
        return {**changes, self.note: note(f"{message}.", tone="plain")}


def _kept(job: Job[Any, Any], curve: DiversityCurve) -> KeptCurve:
    asked = job.study
    assert isinstance(asked, MeasureCurve)
    prompts = tuple(map(PromptRecord.of, asked.prompts))
    return KeptCurve(model_hash=asked.model_hash or "", prompts=prompts, curve=curve, changed=datetime.now(UTC))


def _table(kept: KeptCurve | None) -> dict[str, Any]:
    """A line for each detector; the default one is chosen, or the first that found an R."""
    from melbo_app.analysis.curve_figure import NAMES  # late: plotly takes a second to import

    found = [] if kept is None or not kept.curve.points else cusps(kept.curve.arrays())
    rows = [{"key": one.detector, "cells": [_name(one, NAMES), *_cells(one)]} for one in found]
    those = [one.detector for one in found if one.radius is not None]
    selected = DEFAULT_DETECTOR if DEFAULT_DETECTOR in those else next(iter(those), None)
    return {"columns": COLUMNS, "wide": WIDE, "rows": rows, "selected": selected, "message": NOTHING}


def _name(cusp: Cusp, names: dict[Any, str]) -> str:
    return names[cusp.detector] + (" (default)" if cusp.detector == DEFAULT_DETECTOR else "")


def _cells(cusp: Cusp) -> list[str]:
    if cusp.radius is None:
        return ["no cusp", cusp.reason]
    sure = f"; 95 %: {cusp.low:.3g} to {cusp.high:.3g}" if cusp.low is not None and cusp.high is not None else ""
    return [amount(cusp.radius), cusp.reason + sure]

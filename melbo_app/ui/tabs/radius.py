"""R: a diversity curve, where its cusp is, and the same vectors at many R."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.analysis.cusp import DEFAULT_DETECTOR, Cusp, cusps
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.bank import PromptRecord
from melbo_app.library.curves import KeptCurve
from melbo_app.studies.curve import (
    CURVE_VECTORS,
    LEAST,
    MOST,
    POINTS,
    CurveProgress,
    MeasureCurve,
    radii_between,
    training_of,
)
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.forms import asked_by, bank_chosen, optional_layer, prompts_from, real, whole
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import amount, first_line, prompts_text, radius_text
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
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
EMPTY = "Press Measure to see from which R on completions differ, and where they break."
NOTHING = "What each detector says of the curve is shown here."
HOW = "Choose a line and use its R; click a point of the curve to read its completions."


class RadiusTab:
    """The tab between Train and Layers."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab, train: TrainTab) -> None:
        self._workbench, self._session, self._completions, self._train = workbench, session, completions, train
        self._runs = Runs()
        self._kept = gr.State(None)
        with gr.Row(elem_classes="mx-fields"):
            self.least = gr.Number(LEAST, label="R × norm, from", step=0.01, elem_id="curve-least", min_width=100)
            self.most = gr.Number(MOST, label="to", step=0.01, elem_id="curve-most", min_width=80)
            self.points = gr.Number(POINTS, label="Number of R", precision=0, elem_id="curve-points", min_width=80)
            self.vectors = gr.Number(CURVE_VECTORS, label="Vectors", precision=0, elem_id="curve-vectors", min_width=70)
            self.seeds = gr.Number(1, label="Seeds", precision=0, elem_id="curve-seeds", min_width=60)
            self.way = gr.Dropdown(WAYS, value="trained", label="Vector source", elem_id="curve-way", min_width=270)
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = gr.Button("Measure", variant="primary", elem_id="curve-start", scale=0, min_width=110)
            self.stop = gr.Button("Stop", elem_id="curve-stop", scale=0, min_width=80)
            self.progress = progress_bar(resting(), elem_id="curve-progress")
        self.quantity = gr.Radio(
            QUANTITIES, value=QUANTITIES[0], label="Show", elem_id="curve-quantity", container=False
        )
        self.plot = plotly_view({"message": EMPTY}, elem_id="curve-plot")
        self.table = record_table({"columns": COLUMNS, "wide": WIDE, "message": NOTHING}, elem_id="curve-cusps")
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.use = gr.Button("Use this R", elem_id="curve-use", size="sm", scale=0, min_width=110)
            self.note = note_view(note(HOW), elem_id="curve-note")
        grid = [self.least, self.most, self.points]
        self.many = ManyRadii(workbench, session, completions, [*grid, train.source, train.target, self.vectors])

    def bind(self, tab: gr.Tab, tabs: gr.Tabs) -> None:
        """Bind measuring, choosing and clicking; when ``tab`` is opened, the last curve is shown."""
        session, train, completions = self._session, self._train, self._completions
        inputs = [
            *session.prompt_inputs, session.scope, session.bank, train.source, train.target, self.least, self.most,
            self.points, self.vectors, self.seeds, self.way, self.quantity,
        ]  # fmt: skip
        outputs = [self._kept, self.plot, self.table, self.progress]
        self._runs.bind(self.start.click, self._measure, inputs, outputs, self.progress)
        self._runs.bind(tab.select, self._show_last, [self._kept, self.quantity], outputs, self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        bind(self.quantity.input, self._paint, [self._kept, self.quantity], self.plot, trigger_mode="always_last")
        self._tabs = tabs
        opened = [tabs, completions.history, *completions.restore_outputs]
        bind(self.plot.point, self._open, self._kept, opened)
        used = [*train.place_outputs, session.radius, self.note]
        bind(self.use.click, self._use, [self._kept, self.table, session.radius], used)
        self.many.bind(tab)

    def _measure(
        self, request: gr.Request, text: str, system: str, template: str, scope: str, bank: str | None,
        source: float | None, target: float | None, least: float, most: float, points: float, vectors: float,
        seeds: float, way: str, quantity: Any,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        prompts = prompts_from(text, system, template)
        own = bank_chosen(bank) if way == "bank" else None
        layers = self._workbench.layers(optional_layer("source layer", source), optional_layer("target layer", target))
        study = MeasureCurve(
            prompts=prompts,
            training=None if own else training_of(layers, scope, prompts),
            bank=own,
            rescaled=way == "rescaled",
            relative_radii=radii_between(real("R", least), real("R", most), whole("number of R", points)),
            vectors=whole("vectors", vectors),
            seeds=whole("seeds", seeds),
        )
        job = self._workbench.start(study, who=asked_by(request))
        yield from self._follow(request, job, quantity, own=True)

    def _show_last(self, request: gr.Request, present: KeptCurve | None, quantity: Any) -> Iterator[tuple[Any, ...]]:
        """Show the curve that is being measured, or was last, where this page has none of the loaded model yet."""
        known = self._workbench.model_state().weights_hash
        if self._runs.busy(request) or (present is not None and present.model_hash == known):
            yield (gr.skip(),) * 4
            return
        measuring = self._workbench.active_jobs("curve")
        if measuring:
            yield from self._follow(request, measuring[-1], quantity, own=False)
            return
        tell(self._workbench.damaged("curves"))
        kept = self._workbench.latest_curve()
        yield kept, self._paint(kept, quantity), _table(kept), _summary(kept) if kept else resting()

    def _follow(
        self, request: gr.Request, job: Job[CurveProgress, DiversityCurve], quantity: Any, *, own: bool
    ) -> Iterator[tuple[Any, ...]]:
        """Show a job until it ends."""
        asked = job.study
        assert isinstance(asked, MeasureCurve)
        shown: DiversityCurve | None = None
        kept: KeptCurve | None = None
        run = self._runs.follow(request, job, own=own)
        for bar, step in run:
            if step is None or step.curve == shown:
                yield gr.skip(), gr.skip(), gr.skip(), bar
            else:  # the choice of a figure may have changed meanwhile: then painting was asked for by that
                shown, kept = step.curve, _kept(asked, step.curve)
                yield kept, self._paint(kept, quantity), _table(kept), bar
        if not run.result:
            return
        if job.result is None:
            kept = self._workbench.latest_curve()
            message = resting("Stopped before the first R was measured.")
            yield kept, self._paint(kept, quantity), _table(kept), message
        elif job.result == shown:
            assert kept is not None
            yield gr.skip(), gr.skip(), gr.skip(), _summary(kept)
        else:
            kept = _kept(asked, job.result)
            yield kept, self._paint(kept, quantity), _table(kept), _summary(kept)

    def _paint(self, kept: KeptCurve | None, quantity: Any) -> dict[str, Any]:
        from melbo_app.analysis.curve_figure import curve_figure  # late: plotly takes a second to import

        if kept is None:
            return {"message": EMPTY}
        quantity = quantity or QUANTITIES[0]  # None: the tab was not opened yet
        title = first_line(kept.prompts[0].user)
        return figure_value(curve_figure(kept.curve, cusps(kept.curve.arrays()), quantity, title))

    def _open(self, event: gr.EventData, kept: KeptCurve | None) -> Changes:
        """The completions behind a point: of the vectors, or of the random ones; of several seeds those of the first.

        The left column keeps its bank where the vectors are of none on the shelf.
        """
        if kept is None:
            raise InputError("R", "this curve is not known any more", "Measure it again")
        place, control = map(int, event.customdata)
        changes = self._completions.restore(kept.curve.points[place].comparisons[control])
        if kept.curve.bank is None or control or self._session.find(kept.curve.bank) is None:
            changes = {part: value for part, value in changes.items() if part not in self._session.bank_outputs}
        history = gr.Dropdown(value=None)  # none of the list's
        return {**changes, self._tabs: gr.Tabs(selected="completions"), self._completions.history: history}

    def _use(self, kept: KeptCurve | None, table: dict[str, Any] | None, slider: dict[str, Any] | None) -> list[Any]:
        """Put the chosen detector's R into the Train form and, where a bank is chosen, to the slider."""
        if kept is None:
            raise InputError("R", "there is no curve yet", "Press Measure")
        curve, chosen = kept.curve, (table or {}).get("selected")
        cusp = next((one for one in cusps(curve.arrays()) if one.detector == chosen), None)
        if cusp is None or cusp.radius is None:
            raise InputError("R", "no detector that found one is chosen", "Choose a line that has an R")
        radius = cusp.radius * curve.median_norm
        pair = curve.source, curve.source if curve.target is None else curve.target
        place = self._train.place(*pair, radius, curve.median_norm)
        message, slid = f"{radius_text(radius, curve.median_norm)} stands in the Train form", gr.skip()
        bank = (slider or {}).get("bank")
        if slider and bank:
            record = self._workbench.bank(bank).record
            norm = curve.median_norm if record.source == curve.source else record.median_norm
            if norm:
                slid = {**slider, "radius": float(amount(cusp.radius * norm))}
                message += f", and {radius_text(slid['radius'], norm)} at the slider of “{bank}”"
        return [*place, slid, note(f"{message}.", tone="plain")]


def _kept(asked: MeasureCurve, curve: DiversityCurve) -> KeptCurve:
    prompts = tuple(map(PromptRecord.of, asked.prompts))
    return KeptCurve(model_hash=asked.model_hash or "", prompts=prompts, curve=curve, changed=datetime.now(UTC))


def _table(kept: KeptCurve | None) -> dict[str, Any]:
    """What every detector says; chosen is the default one, or the first that found an R."""
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


def _summary(kept: KeptCurve) -> dict[str, Any]:
    curve = kept.curve
    how = "trained at each R" if curve.how == "trained" else "one bank rescaled"
    if curve.bank is not None:
        how = f"“{curve.bank}” rescaled"
    layers = f"blocks {curve.source} → {curve.target}"
    cut = "" if curve.finished else ", stopped"
    return resting(f"{len(curve.points)} R on {prompts_text(kept.prompts)}, {how}, {layers}{cut}.")

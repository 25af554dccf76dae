"""Layers: which pairs of source and target layer answer, and what vectors do between them."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.atlases import Atlas, AtlasCell
from melbo_app.studies.atlas import AtlasProgress, MeasureAtlas, parse_pairs
from melbo_app.studies.calibrate import BY_HAND
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.forms import asked_by, prompts_from, whole, words_of
from melbo_app.ui.guard import bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import amount, first_line, prompts_text, radius_text
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.train import TrainTab
from melbo_app.workbench import Workbench

MEASURES = [
    ("singular value", "value"), ("calibrated R", "radius"), ("strength", "strength"), ("KL", "kl"),
    ("diversity", "diversity"), ("readable", "readable"),
]  # fmt: skip
EMPTY = "Press Measure to see which pairs of layers answer most."
ASIDE = "Click a pair to read what its vectors say, and to train there."
CAREFUL = "A large KL is not yet another behaviour: look at the diversity of what can be read as well."


class LayersTab:
    """The fifth tab."""

    def __init__(self, workbench: Workbench, session: Session, train: TrainTab) -> None:
        self._workbench, self._session, self._train, self._runs = workbench, session, train, Runs()
        self._atlas = gr.State(None)
        with gr.Row(elem_classes="mx-fields"):
            self.sources = gr.Textbox(label="Source layers", placeholder="2, 7, 12", elem_id="layers-sources", scale=2)
            self.targets = gr.Textbox(
                label="Target layers", placeholder="16, 21, 26", elem_id="layers-targets", scale=2
            )
            self.read = gr.Textbox(
                "all", label="Pairs to complete: all, none, or 7-21, 7-26", elem_id="layers-read", scale=3
            )
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = gr.Button("Measure", variant="primary", elem_id="layers-start", scale=0, min_width=110)
            self.stop = gr.Button("Stop", elem_id="layers-stop", scale=0, min_width=80)
            self.progress = progress_bar(resting(), elem_id="layers-progress")
        self.measure = gr.Radio(MEASURES, value="value", label="Show", elem_id="layers-measure", container=False)
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=6, min_width=360):
                self.plot = plotly_view({"message": EMPTY}, elem_id="layers-plot")
                self.careful = note_view(note(CAREFUL), elem_id="layers-careful")
            with gr.Column(scale=4, min_width=260):
                self.aside = note_view(note(ASIDE), elem_id="layers-pair")
                self.go = gr.Button("Open the Train form", elem_id="layers-train", size="sm", visible=False)

    def bind(self, tab: gr.Tab, tabs: gr.Tabs) -> None:
        """Bind measuring and clicking; when ``tab`` is opened, the last atlas is shown."""
        session, train = self._session, self._train
        inputs = [*session.prompt_inputs, session.scope, self.sources, self.targets, self.read, self.measure]
        outputs = [self._atlas, self.plot, self.progress]
        self._runs.bind(self.start.click, self._measure, inputs, outputs, self.progress)
        self._runs.bind(tab.select, self._show_last, [self._atlas, self.measure], outputs, self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        bind(tab.select, self._offer, [self.sources, self.targets], [self.sources, self.targets])
        bind(self.measure.input, self._paint, [self._atlas, self.measure], self.plot, trigger_mode="always_last")
        bind(self.plot.point, self._choose, self._atlas, [self.aside, self.go, *train.place_outputs])
        bind(self.go.click, lambda: gr.Tabs(selected="train"), None, tabs)

    def _offer(self, sources: str | None, targets: str | None) -> list[Any]:
        """Layers to begin with, where nothing stands in the fields."""
        if sources or targets or not self._workbench.model_state().loaded:
            return [gr.skip(), gr.skip()]
        return [", ".join(map(str, layers)) for layers in self._workbench.suggested_layers()]

    def _measure(
        self, request: gr.Request, text: str, system: str, template: str, scope: str, sources: str, targets: str,
        read: str, measure: Any,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        study = MeasureAtlas(
            prompts=prompts_from(text, system, template),
            sources=_layers("source layers", sources),
            targets=_layers("target layers", targets),
            read=parse_pairs(read),
            scope=scope,
        )
        job = self._workbench.start(study, who=asked_by(request))
        yield from self._follow(request, job, measure, own=True)

    def _show_last(self, request: gr.Request, present: Atlas | None, measure: Any) -> Iterator[tuple[Any, ...]]:
        """Show the atlas that is being measured, or was last, where this page has none of the loaded model yet."""
        known = self._workbench.model_state().weights_hash
        if self._runs.busy(request) or (present is not None and present.model_hash == known):
            yield (gr.skip(),) * 3
            return
        measuring = self._workbench.active_jobs("atlas")
        if measuring:
            yield from self._follow(request, measuring[-1], measure, own=False)
            return
        tell(self._workbench.damaged("atlases"))
        atlas = self._workbench.latest_atlas()
        yield (atlas, self._paint(atlas, measure), _summary(atlas) if atlas else resting())

    def _follow(
        self, request: gr.Request, job: Job[AtlasProgress, Atlas], measure: Any, *, own: bool
    ) -> Iterator[tuple[Any, ...]]:
        """Show a job until it ends."""
        shown: Atlas | None = None
        run = self._runs.follow(request, job, own=own)
        for bar, step in run:
            if step is None or step.atlas == shown:
                yield gr.skip(), gr.skip(), bar
            else:  # the choice of a figure may have changed meanwhile: then painting was asked for by that
                shown = step.atlas
                yield shown, self._paint(shown, measure), bar
        if not run.result:
            return
        if job.result is None:
            yield gr.skip(), gr.skip(), resting("Stopped.")
        else:
            painted = gr.skip() if job.result == shown else self._paint(job.result, measure)
            yield job.result, painted, _summary(job.result)

    def _paint(self, atlas: Atlas | None, measure: Any) -> dict[str, Any]:
        from melbo_app.analysis.atlas_figure import atlas_figure  # late: plotly takes a second to import

        if atlas is None or not atlas.cells:
            return {"message": EMPTY}
        measure = measure or "value"  # None: the tab was not opened yet
        return figure_value(atlas_figure({cell.pair: cell.measure(measure) for cell in atlas.cells}, measure))

    def _choose(self, event: gr.EventData, atlas: Atlas | None) -> list[Any]:
        """Say what is known of a pair, and put it into the Train form."""
        source, target = map(int, event.customdata)
        cell = None if atlas is None else atlas.cell(source, target)
        if atlas is None or cell is None:
            raise InputError("layers", f"nothing is known of {source} → {target}", "Measure that pair")
        place = self._train.place(cell.source, cell.target, cell.radius, cell.median_norm)
        return [note(*_lines(cell, atlas), tone="plain"), gr.Button(visible=True), *place]


def _layers(field: str, text: str | None) -> list[int]:
    try:
        layers = [whole(field, float(word)) for word in words_of(text)]
    except ValueError:
        raise InputError(field, f"“{text}” holds something that is not a number", "Write 2, 7, 12") from None
    if not layers:
        raise InputError(field, "there is none", "Write 2, 7, 12")
    return layers


def _summary(atlas: Atlas) -> dict[str, Any]:
    pairs = "1 pair" if len(atlas.cells) == 1 else f"{len(atlas.cells)} pairs"
    return resting(f"{pairs} on {prompts_text(atlas.prompts)}, scope {atlas.scope}.")


def _lines(cell: AtlasCell, atlas: Atlas) -> list[str]:
    """What is known of a pair, for people."""
    values = ", ".join(amount(value) for value in cell.values)
    found = "no calibrated R"
    if cell.radius is not None:
        there = f"“Calibrate R” there takes {BY_HAND:g} × of it"
        found = f"{radius_text(cell.radius, cell.median_norm)}, as calibrated; {there}"
    lines = [f"Block {cell.source} → {cell.target}: it stands in the Train form now.", f"{found}; σ {values}"]
    if cell.strength is not None:
        lines.append(f"At that R ‖Δ‖ is {amount(cell.strength, 2)} × ‖Z‖.")
    if cell.texts:
        readable = "–" if cell.readable is None else f"{cell.readable:.0%}"
        lines.append(f"KL {amount(cell.kl)}, diversity {amount(cell.diversity, 2)}, readable {readable}")
        lines.append(f"Without steering: {first_line(atlas.baseline or '', 200)}")
        said = zip(cell.texts, cell.verdicts, strict=True)
        lines += [
            f"{number} ({verdict or 'empty'}): {first_line(text, 200)}" for number, (text, verdict) in enumerate(said)
        ]
    return lines

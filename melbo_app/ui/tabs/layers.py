"""Layers: how strongly each pair of source and target layer responds, and how vectors act between them."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.atlases import Atlas, AtlasCell
from melbo_app.library.job_records import JobRecord
from melbo_app.studies import read_study
from melbo_app.studies.atlas import DIRECTIONS, AtlasProgress, MeasureAtlas, parse_pairs
from melbo_app.studies.calibrate import BY_HAND
from melbo_app.studies.train import Train
from melbo_app.ui.bank_names import free_name
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import resting
from melbo_app.ui.fields import small_button, text
from melbo_app.ui.forms import asked_by, whole, words_of
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import amount, first_line, prompts_text, radius_text
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import prompts_stamp
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.ui.tabs.train import TrainTab
from melbo_app.workbench import Workbench

MEASURES = [
    ("singular value", "value"), ("calibrated R", "radius"), ("strength", "strength"), ("KL", "kl"),
    ("diversity", "diversity"), ("readable", "readable"),
]  # fmt: skip
EMPTY = "Press Measure to see which pairs of layers respond most."
ASIDE = "Click a pair to read the texts of its vectors, and to train there."
CAREFUL = (
    "Singular value: how strongly the target answers small vectors. Calibrated R: the length up to which that grows "
    "evenly. Strength: the change there against the activations. KL: shift of the next words; a large one does not "
    "mean another behaviour, so see the diversity of the readable answers, too."
)


class LayersTab(JobTab):
    """The tab Layers."""

    kind = "atlas"

    def __init__(self, workbench: Workbench, session: Session, train: TrainTab) -> None:
        super().__init__(workbench, session)
        self._train = train
        with gr.Row(elem_classes="mx-fields"):
            self.sources = text("Source layers", "layers-sources", "2, 7, 12", 160, scale=2)
            self.targets = text("Target layers", "layers-targets", "16, 21, 26", 160, scale=2)
            self.read = text(
                "Pairs to complete: all, none, or 7-21, 7-26", "layers-read", None, 160, value="all", scale=3
            )
        self._toolbar("layers", "Measure")
        self.measure = gr.Radio(MEASURES, value="value", label="Show", elem_id="layers-measure", container=False)
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=6, min_width=360):
                self.plot = plotly_view({"message": EMPTY}, elem_id="layers-plot", start="layers-start")
                self.careful = note_view(note(CAREFUL), elem_id="layers-careful")
            with gr.Column(scale=4, min_width=260):
                self.aside = note_view(note(ASIDE), elem_id="layers-pair")
                with gr.Row(elem_classes="mx-toolbar"):
                    self.go = small_button("Open the Train form", "layers-train", 150, visible=False)
                    self.save = small_button("Save as bank", "layers-save", 120, visible=False)
                self.pair = gr.State(None)
        self.job_outputs: list[Block] = [self.shown, self.progress, self.plot, self.measure]

    def bind(self, rooms: Rooms, wake: gr.Timer) -> None:
        """Bind measuring and clicking; when the view is opened, the last atlas is shown. ``wake`` watches trainings."""
        session = self._session
        self.view_inputs = [self.measure]
        inputs = [*session.prompt_inputs, session.scope, self.sources, self.targets, self.read]
        self._bind_job(rooms.opened("layers"), inputs, [self.plot])
        bind(rooms.opened("layers"), self._offer, [self.sources, self.targets], [self.sources, self.targets])
        bind(self.measure.input, self._paint, [self.shown, self.measure], self.plot, trigger_mode="always_last")
        train = self._train
        chosen: list[Block] = [self.aside, self.go, self.save, self.pair, *train.place_outputs]
        bind(self.plot.point, self._choose, [self.shown], chosen)
        self._wake = wake
        saved: list[Block] = [train.watched, wake, self.save]
        bind(self.save.click, self._save, [self.shown, self.pair, train.watched], saved)
        bind(self.go.click, lambda: rooms.show("train"), None, rooms.outputs)

    def _offer(self, sources: str | None, targets: str | None) -> Changes:
        """Fill in layers to begin with, if the fields are empty."""
        if sources or targets or not self._workbench.model_state().loaded:
            return {}
        first, second = self._workbench.suggested_layers()
        return {self.sources: ", ".join(map(str, first)), self.targets: ", ".join(map(str, second))}

    def _study(self, values: Values) -> MeasureAtlas:
        return MeasureAtlas(
            prompts=self._session.prompts(values),
            sources=_layers("source layers", values[self.sources]),
            targets=_layers("target layers", values[self.targets]),
            read=parse_pairs(values[self.read]),
            scope=values[self._session.scope],
        )

    def _last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        tell(self._workbench.damaged("atlases"))
        atlas = self._workbench.latest_atlas()
        yield {**self._show(atlas, values), self.progress: resting(self._summary(atlas) if atlas else "")}

    def _part(self, progress: AtlasProgress) -> Atlas:
        return progress.atlas

    def _draw(self, job: Job[Any, Any], part: Atlas, values: Values) -> Changes:
        return self._show(part, values)

    def _summary(self, atlas: Atlas) -> str:
        pairs = "1 pair" if len(atlas.cells) == 1 else f"{len(atlas.cells)} pairs"
        return f"{pairs} on {prompts_text(atlas.prompts)}, scope {atlas.scope}."

    def _show(self, atlas: Atlas | None, values: Values) -> Changes:
        return {self.shown: atlas, self.plot: self._paint(atlas, values[self.measure])}

    def _paint(self, atlas: Atlas | None, measure: Any) -> dict[str, Any]:
        from melbo_app.analysis.atlas_figure import atlas_figure  # late: plotly takes a second to import

        if atlas is None or not atlas.cells:
            return {"message": EMPTY}
        measure = measure or "value"  # None: the tab was not opened yet
        made = prompts_stamp(atlas.prompts, scope=atlas.scope, model=atlas.model, model_hash=atlas.model_hash)
        figure = atlas_figure({cell.pair: cell.measure(measure) for cell in atlas.cells}, measure)
        return {**figure_value(figure), "stamp": made}

    def _choose(self, event: gr.EventData, atlas: Atlas | None) -> Changes:
        """Describe a pair, and put it into the Train form."""
        source, target = map(int, event.customdata)
        cell = None if atlas is None else atlas.cell(source, target)
        if atlas is None or cell is None:
            raise InputError("layers", f"{source} → {target} was not measured", "Measure that pair")
        place = self._train.place(cell.source, cell.target, cell.radius, cell.median_norm)
        return {
            self.aside: note(*_lines(cell, atlas), tone="plain"),
            self.go: gr.Button(visible=True),
            self.save: gr.Button(visible=cell.radius is not None),
            self.pair: cell.pair,
            **place,
        }

    def _save(
        self, request: gr.Request, atlas: Atlas | None, pair: tuple[int, int] | None, watched: list[int]
    ) -> Changes:
        """Find the pair's vectors again, which takes seconds, and put them on the shelf at its R."""
        cell = atlas.cell(*pair) if atlas is not None and pair is not None else None
        if atlas is None or cell is None or cell.radius is None:
            raise InputError("layers", "no pair with an R is chosen", "Click one that has an R")
        config = TrainingConfig(
            cell.source, cell.target, cell.radius, 2 * DIRECTIONS, "jacobian", scope=atlas.scope
        )  # fmt: skip
        prompts = [one.asked for one in atlas.prompts]
        name = free_name(self._workbench, f"blocks {cell.source} {cell.target}")
        job = self._workbench.start(Train(prompts=prompts, config=config, name=name), who=asked_by(request))
        return {
            self._train.watched: [*watched, job.id],
            self._wake: gr.Timer(0.7),
            self.save: gr.Button(visible=False),
        }

    def show_job(self, record: JobRecord) -> Changes:
        """Show the atlas that a job measured, in ``job_outputs``."""
        study = read_study(record.request)
        assert isinstance(study, MeasureAtlas)
        atlas = self._workbench.atlas_on(study.prompts, study.scope)
        if atlas is None:
            raise InputError("layers", "the atlas is no longer kept", "Run the job again")
        shown = self._show(atlas, {self.measure: "value"})
        return {**shown, self.measure: "value", self.progress: resting(self._summary(atlas))}


def _layers(field: str, text: str | None) -> list[int]:
    try:
        layers = [whole(field, float(word)) for word in words_of(text)]
    except ValueError:
        raise InputError(field, f"“{text}” is not a list of numbers", "Write 2, 7, 12") from None
    if not layers:
        raise InputError(field, "it is empty", "Write 2, 7, 12")
    return layers


def _lines(cell: AtlasCell, atlas: Atlas) -> list[str]:
    """A pair in words."""
    values = ", ".join(amount(value) for value in cell.values)
    found = "no calibrated R"
    if cell.radius is not None:
        there = f"“Calibrate R” there takes {BY_HAND:g} × this R"
        found = f"{radius_text(cell.radius, cell.median_norm)}, as calibrated; {there}"
    lines = [f"Block {cell.source} → {cell.target}, now in the Train form.", f"{found}; σ {values}"]
    if cell.strength is not None:
        lines.append(f"At that R ‖Δ‖ is {amount(cell.strength, 2)} × ‖Z‖.")
    if cell.texts:
        readable = "–" if cell.readable is None else f"{cell.readable:.0%}"
        lines.append(f"KL {amount(cell.kl)}, diversity {amount(cell.diversity, 2)}, readable {readable}")
        lines.append(f"Without steering: {first_line(atlas.baseline or '', 200)}")
        said = zip(cell.texts, cell.verdicts, strict=True)
        of = f"of blocks {cell.source} → {cell.target}"
        lines += [
            f"Vector {number} {of} ({verdict or 'empty'}): {first_line(text, 200)}"
            for number, (text, verdict) in enumerate(said)
        ]
    return lines

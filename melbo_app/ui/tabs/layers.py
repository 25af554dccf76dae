"""Layers: how strongly each pair of source and target layer responds, and how vectors act between them."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.atlases import Atlas, AtlasCell
from melbo_app.library.job_records import JobRecord
from melbo_app.studies import read_study
from melbo_app.studies.atlas import AtlasProgress, MeasureAtlas, parse_pairs
from melbo_app.studies.calibrate import BY_HAND
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import resting
from melbo_app.ui.fields import small_button, text
from melbo_app.ui.forms import whole, words_of
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import amount, first_line, prompts_text, radius_text
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import prompts_stamp
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.ui.taking import save_as_bank
from melbo_app.ui.training_form import TrainingForm
from melbo_app.workbench import Workbench

MEASURES = [
    ("singular value", "value"), ("calibrated R", "radius"), ("strength", "strength"), ("KL", "kl"),
    ("diversity", "diversity"), ("readable", "readable"),
]  # fmt: skip
EMPTY = "Press Measure to see which pairs of layers respond most."
ASIDE = "Click a pair to read the texts of its vectors, and to put it into the form."
CAREFUL = (
    "Singular value: how strongly the target answers small vectors. Calibrated R: the length up to which that grows "
    "evenly. Strength: the change there against the activations. KL: shift of the next words; a large one does not "
    "mean another behaviour, so see the diversity of the readable answers, too."
)


class LayersTab(JobTab):
    """The view Layers."""

    kind = "atlas"

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab, form: TrainingForm) -> None:
        super().__init__(workbench, session)
        self._completions, self._form = completions, form
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
                    self.go = small_button("Train there", "layers-train", 100, visible=False)
                    self.open = small_button("Open in Read", "layers-open", 120, visible=False)
                    self.save = small_button("Save as bank", "layers-save", 120, visible=False)
                self.pair = gr.State(None)
        self.job_outputs: list[Block] = [self.shown, self.progress, self.plot, self.measure]

    def bind(self, rooms: Rooms) -> None:
        """Bind measuring and clicking; when the view is opened, the last atlas is shown."""
        session, completions, self._rooms = self._session, self._completions, rooms
        self.view_inputs = [self.measure]
        inputs = [*session.prompt_inputs, session.scope, self.sources, self.targets, self.read]
        self._bind_job(rooms.opened("layers"), inputs, [self.plot])
        bind(rooms.opened("layers"), self._offer, [self.sources, self.targets], [self.sources, self.targets])
        bind(self.measure.input, self._paint, [self.shown, self.measure], self.plot, trigger_mode="always_last")
        chosen: list[Block] = [self.aside, self.go, self.open, self.save, self.pair, *self._form.place_outputs]
        bind(self.plot.point, self._choose, [self.shown], chosen)
        bind(self.open.click, self._open, [self.shown, self.pair], [*rooms.outputs, *completions.opened_outputs])
        bind(self.save.click, self._save, [self.shown, self.pair], [*session.bank_outputs, self.save])
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
        """Describe a pair, and put it into the form."""
        source, target = map(int, event.customdata)
        cell = None if atlas is None else atlas.cell(source, target)
        if atlas is None or cell is None:
            raise InputError("layers", f"{source} → {target} was not measured", "Measure that pair")
        place = self._form.place(cell.source, cell.target, cell.radius, cell.median_norm)
        return {
            self.aside: note(*_lines(cell, atlas), tone="plain"),
            self.go: gr.Button(visible=True),
            self.open: gr.Button(visible=cell.is_read),
            self.save: gr.Button(visible=cell.is_read and self._workbench.bank_with(cell.bank_hash) is None),
            self.pair: cell.pair,
            **place,
        }

    def _open(self, atlas: Atlas | None, pair: tuple[int, int] | None) -> Changes:
        """Open all texts of a pair."""
        cell = self._read(atlas, pair)
        entry = f"Layers, blocks {cell.source} → {cell.target}"
        return {**self._rooms.show("completions"), **self._completions.opened(cell.comparison or 0, entry)}

    def _save(self, atlas: Atlas | None, pair: tuple[int, int] | None) -> Changes:
        """Put the vectors of a pair on the shelf, and choose them."""
        cell = self._read(atlas, pair)
        saved = save_as_bank(self._workbench, self._session, cell.bank_hash, cell.radius)
        return {**saved, self.save: gr.Button(visible=False)}

    def _read(self, atlas: Atlas | None, pair: tuple[int, int] | None) -> AtlasCell:
        cell = atlas.cell(*pair) if atlas is not None and pair is not None else None
        if cell is None or not cell.is_read:
            raise InputError("layers", "no pair with texts is chosen", "Click one that has a diversity")
        return cell

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
    lines = [f"Block {cell.source} → {cell.target}, now in the form.", f"{found}; σ {values}"]
    if cell.strength is not None:
        lines.append(f"At that R ‖Δ‖ is {amount(cell.strength, 2)} × ‖Z‖.")
    if cell.texts and not cell.is_read:
        lines.append("An older version measured it: measure it again to open its texts or save its vectors.")
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

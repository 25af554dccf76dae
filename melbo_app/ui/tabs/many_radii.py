"""Many R: completions over a range of R, and their flags."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.completion import Comparison, Completion
from melbo_app.library.job_records import JobRecord
from melbo_app.studies.curve import CurveProgress, MeasureCurve
from melbo_app.studies.flagging import gathered
from melbo_app.studies.spreads import cell_of
from melbo_app.studies.sweep import Sweep
from melbo_app.ui.components.completion_grid import completion_grid, grid
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.components.record_table import record_table
from melbo_app.ui.fields import button, small_button
from melbo_app.ui.flag_table import flag_table, spread_table
from melbo_app.ui.forms import bank_chosen, chosen, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import amount, first_line
from melbo_app.ui.radius_range import RadiusRange
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import JobTab
from melbo_app.ui.taking import save_as_bank, take
from melbo_app.workbench import Workbench

WAYS = [("chosen vectors", "bank"), ("trained at each R", "trained")]
ASIDE: dict[str, Any] = {"groups": [], "message": "Click a line to read its completion beside the unsteered one."}


class ManyRadii(JobTab):
    """A section of the tab R, with a job of either kind. ``shown`` is the way in which the lines shown were made."""

    kind = "sweep"
    stopped = "Stopped before the first R was done."

    def __init__(
        self, workbench: Workbench, session: Session, completions: CompletionsTab,
        training: Callable[[Values], TrainingConfig], range: RadiusRange,
    ) -> None:  # fmt: skip
        super().__init__(workbench, session)
        self._completions, self._training, self._range = completions, training, range
        with gr.Accordion("Many R: all flags", open=False, elem_id="many-radii") as self.section:
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.start = button("Go through all R", "many-start", 150)
                self.stop = button("Stop", "many-stop", 80)
                self.way = gr.Radio(WAYS, value="bank", label="Vectors", elem_id="many-way", container=False)
                self.progress = progress_bar(resting(), elem_id="many-progress")
            self.table = record_table(flag_table([], None), elem_id="many-table", start="many-start")
            self.spread = record_table(spread_table([], None), elem_id="many-spread-table")
            self.picked = gr.State(None)  # the id of the completion that is shown
            with gr.Row(elem_classes="mx-toolbar"):
                self.use = small_button("Use this", "many-use", 90, visible=False)
                self.open = small_button("Open in Read", "many-open", 120, visible=False)
                self.save = small_button("Save as bank", "many-save", 120, visible=False)
            self.aside = completion_grid(ASIDE, elem_id="many-completion")
        self._views: list[Block] = [
            self.table, self.spread, self.aside, self.picked, self.use, self.open, self.save,
        ]  # fmt: skip
        self.job_outputs: list[Block] = [self.shown, self.progress, self.way, self.section, *self._views]

    def bind(self, rooms: Rooms, trained: Sequence[Component]) -> None:
        """Bind going through all R and clicking; when the view is opened, the last lines are shown. ``trained`` are the
        fields of a training."""
        self._rooms, completions = rooms, self._completions
        session = self._session
        self.view_inputs = [self.way]
        inputs = [
            *trained, session.bank, session.vectors, *self._range.inputs, *completions.decoding_inputs,
            completions.samples,
        ]  # fmt: skip
        self._bind_job(rooms.opened("radius"), inputs, self._views, self.way.input)
        bind(self.table.pick, self._pick, None, self._views[2:])
        bind(self.use.click, self._use, [self.picked], session.bank_outputs)
        bind(self.save.click, self._save, [self.picked], [*session.bank_outputs, self.use, self.save])
        opened = [*rooms.outputs, *completions.opened_outputs]
        bind(self.open.click, self._open, [self.picked], opened)

    def show_job(self, record: JobRecord) -> Changes:
        """Show the flags of a sweep, in ``job_outputs``."""
        if record.comparison is None:
            raise InputError("job", "its texts are not kept", "Run it again")
        swept = self._with_samples(self._workbench.comparison(record.comparison))
        lines = self._lines("bank", [swept], self._norm(swept))
        return {**lines, self.way: "bank", self.section: gr.Accordion(open=True)}

    def _study(self, values: Values) -> MeasureCurve | Sweep:
        session, prompts = self._session, self._session.prompts(values)
        relative, decoding = self._range.radii(values), self._completions.decoding(values)
        samples = whole("texts a cell", values[self._completions.samples]) if decoding.temperature else 1
        if values[self.way] == "trained":
            training = self._training(values)
            count = training.vectors
            return MeasureCurve(
                prompts=prompts, training=training, relative_radii=relative, vectors=count, decoding=decoding,
                samples=samples,
            )  # fmt: skip
        record = self._workbench.bank(bank_chosen(values[session.bank])).record
        norm = record.median_norm or self._workbench.median_norm(prompts, record.source, stop=leaving())
        vectors, radii = chosen(values[session.vectors]), [float(f"{one * norm:.3g}") for one in relative]
        return Sweep(
            bank=record.name, prompts=tuple(prompts), vectors=tuple(vectors), radii=tuple(radii), decoding=decoding,
            random_control=values[self._completions.control], samples=samples,
        )  # fmt: skip

    def _way(self, values: Values) -> str:
        return values[self.way] or "bank"  # None: the tab was not opened yet

    def _running(self, values: Values) -> list[Job[Any, Any]]:
        if self._way(values) == "trained":
            return [job for job in self._workbench.active_jobs("curve") if _trains(job)]
        return super()._running(values)

    def _is_current(self, values: Values) -> bool:
        return values[self.shown] == self._way(values)

    def _last(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        way = self._way(values)
        yield self._lines(way, *self._latest(way))

    def _begun(self) -> Changes:
        return self._nothing_picked()

    def _nothing_picked(self) -> Changes:
        hidden = gr.Button(visible=False)
        return {self.aside: ASIDE, self.picked: None, self.use: hidden, self.open: hidden, self.save: hidden}

    def _part(self, progress: Any) -> DiversityCurve | None:
        return progress.curve if isinstance(progress, CurveProgress) and progress.curve.points else None

    def _draw(self, job: Job[Any, Any], part: DiversityCurve, values: Values) -> Changes:
        found, norm = self._of_curve(part), part.median_norm
        return {self.table: flag_table(found, norm), self.spread: spread_table(found, norm)}

    def _made(self, job: Job[Any, Any], result: Any, values: Values, is_drawn: bool) -> Changes:
        if isinstance(result, DiversityCurve):
            return self._lines("trained", self._of_curve(result), result.median_norm)
        return self._lines("bank", [result], self._norm(result))

    def _latest(self, way: str) -> tuple[list[Comparison], float | None]:
        """The last result of this way, and the median norm whose multiples its R are."""
        if way == "trained":
            kept = self._workbench.latest_curve()
            trained = kept is not None and kept.curve.how == "trained"
            return (self._of_curve(kept.curve), kept.curve.median_norm) if kept and trained else ([], None)
        last = self._workbench.comparisons("sweep", 1)
        swept = [self._with_samples(self._workbench.comparison(line.id)) for line in last]
        return swept, self._norm(swept[0]) if swept else None

    def _with_samples(self, swept: Comparison) -> Comparison:
        """The same with the stored texts of other seeds."""
        samples = self._workbench.at_other_seeds(swept.completions)
        return swept.model_copy(update={"samples": tuple(samples)})

    def _norm(self, swept: Comparison) -> float | None:
        line = self._session.find(swept.settings.get("bank"))
        return line.record.median_norm if line is not None and line.record is not None else None

    def _of_curve(self, curve: DiversityCurve) -> list[Comparison]:
        """The texts of a curve under its vectors, without those of its control."""
        every = [self._workbench.comparison(id) for point in curve.points for id in point.comparisons[::2]]
        return [self._with_samples(one) for one in every]

    def _lines(self, way: str, comparisons: Sequence[Comparison], norm: float | None) -> Changes:
        summary, bank = "", None
        if comparisons:
            bank = None if way == "trained" else comparisons[0].settings.get("bank")
            every = {one.digest: one for comparison in comparisons for one in comparison.every}
            radii = {one.radius for one in every.values() if one.vector is not None}
            prompt = first_line(comparisons[0].completions[0].prompt.user, 40)
            made = "trained at each R" if way == "trained" else f"“{bank}”"
            count = len(gathered(comparisons))
            counted = f"{count} flag{'s' * (count != 1)} in {len(every)} texts at {len(radii)} R"
            summary = f"{counted}, {made}, “{prompt}”."
        return {
            self.shown: way,
            self.table: flag_table(comparisons, norm, bank),
            self.spread: spread_table(comparisons, norm),
            self.progress: resting(summary),
            **self._nothing_picked(),
        }

    def _pick(self, event: gr.EventData) -> Changes:
        """Show the completion of a line beside the unsteered one."""
        id = int(event.key.split()[0])
        completion = self._workbench.completion(id)
        others = self._workbench.comparison(self._workbench.comparison_of(id)).completions
        beside = [one for one in others if one.vector is None and one.prompt_index == completion.prompt_index]
        shown = [*beside[: completion.vector is not None], completion]
        cells = {cell_of(one) for one in shown}
        samples = [one for one in self._workbench.at_other_seeds(others) if cell_of(one) in cells]
        names = self._session.names(completion.bank, completion.bank_hash)
        is_kept, steered = self._workbench.bank_with(completion.bank_hash) is not None, completion.vector is not None
        return {
            self.aside: {**grid(shown, names, samples=samples), "lines": 3},
            self.picked: id,
            self.use: gr.Button(visible=steered and is_kept),
            self.open: gr.Button(visible=True),
            self.save: gr.Button(visible=steered and not is_kept and completion.bank_hash is not None),
        }

    def _use(self, id: int | None) -> Changes:
        one = self._completion(id)
        vectors = [one.vector] if isinstance(one.vector, int) else []
        return take(self._workbench, self._session, one.bank_hash, vectors, one.radius)

    def _save(self, id: int | None) -> Changes:
        one = self._completion(id)
        saved = save_as_bank(self._workbench, self._session, one.bank_hash, one.radius)
        return {**saved, self.use: gr.Button(visible=True), self.save: gr.Button(visible=False)}

    def _open(self, id: int | None) -> Changes:
        """Open all texts of the comparison that has this one."""
        one = self._completion(id)
        return {
            **self._rooms.show("completions"),
            **self._completions.opened(
                self._workbench.comparison_of(one.id or 0), f"Many R, at R {amount(one.radius)}"
            ),
        }

    def _completion(self, id: int | None) -> Completion:
        if id is None:
            raise InputError("completion", "none is chosen", "Click a line of the table")
        return self._workbench.completion(id)


def _trains(job: Job[Any, Any]) -> bool:
    """Whether the vectors of a curve are trained at each R."""
    asked = job.record().request
    return asked["bank"] is None and not asked["rescaled"]

"""Explore: from the prompt to its behaviours in one press."""

from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.job import Job
from melbo_app.library.bank import PromptRecord
from melbo_app.library.damage import Listed
from melbo_app.library.explorations import Exploration, ExploreSettings
from melbo_app.library.job_records import JobRecord
from melbo_app.studies import read_study
from melbo_app.studies.explore import Explore, ExploreProgress, Stage
from melbo_app.ui.attempts import Attempt, attempts
from melbo_app.ui.components.exploration import exploration_view, finished, halted, running
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import resting
from melbo_app.ui.fields import choice, text, whole_number
from melbo_app.ui.forms import optional_real, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import day, first_line
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import prompts_stamp
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import UNDER_WAY, HistoryTab
from melbo_app.ui.taking import take
from melbo_app.ui.training_form import TrainingForm
from melbo_app.workbench import Workbench

USUAL = ExploreSettings()
SEARCHED, GIVEN = "searched", "given"
RULES = [
    ("searched by short completions", SEARCHED),
    ("R and budget searched, layers of the form", "search"),
    ("R calibrated, layers and budget of the form", "calibration"),
    ("R at the cusp of a curve, the rest of the form", "curve"),
    ("R 0.07 × the median norm, the rest of the form", "suggested"),
    ("all of the form", GIVEN),
]
EMPTY = (
    "Press Explore to choose R, train vectors, answer the prompt above under each of them, and sort the answers "
    "into behaviours. This takes about two minutes."
)
HOW = "Method, vectors, seed and scope are those of the form; so are the steps, if you change them."


class ExploreTab(HistoryTab):
    """The view Explore."""

    kind = "explore"
    stopped = "Stopped: the bank and the texts that were finished are kept."

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab, form: TrainingForm) -> None:
        super().__init__(workbench, session)
        self._completions, self._form = completions, form
        self._toolbar("explore", "Explore this prompt", 220, size="lg")
        with gr.Row(elem_classes="mx-fields"):
            self.rule = choice("Layers, R and budget", "explore-rule", RULES, SEARCHED, 260)
            self.history = choice("Earlier explorations", "explore-history", [], None, 260)
        with gr.Accordion("More settings", open=False, elem_id="explore-settings"):
            with gr.Row(elem_classes="mx-fields"):
                self.seconds = whole_number("Search time limit (s)", "explore-seconds", int(USUAL.search_seconds), 110)
                self.tokens = whole_number("Max new tokens", "explore-tokens", USUAL.max_new_tokens, 110)
                self.threshold = text("Distance threshold", "explore-threshold", "from the control", 120)
            note_view(note(HOW), elem_id="explore-how")
        self.fields: list[Component] = [self.rule, self.seconds, self.tokens, self.threshold]
        self.view = exploration_view({"message": EMPTY}, elem_id="explore-view", start="explore-start")

    def bind(self, rooms: Rooms) -> None:
        """Bind exploring and opening a behaviour; when the view is opened, the last exploration is shown."""
        session, completions, form = self._session, self._completions, self._form
        inputs = [*form.inputs, session.scope, *self.fields]
        self._bind_history(rooms.opened("explore"), inputs, [self.view], session.bank)
        self._rooms = rooms
        bind(self.view.open, self._open, [self.shown], [*rooms.outputs, *completions.opened_outputs])
        bind(self.view.use, self._use, [self.shown], session.bank_outputs)
        filled = [*form.place_outputs, form.vectors, self.rule, self.progress]
        bind(self.view.attempt, self._fill_in, [self.shown], filled)
        self.job_outputs: list[Block] = [self.shown, self.progress, self.view, self.history]

    def show_job(self, record: JobRecord) -> Changes:
        """Show the exploration that a job made, in ``job_outputs``."""
        study = read_study(record.request)
        assert isinstance(study, Explore)
        asked = PromptRecord.of(study.prompt), study.settings
        every = self._found()
        found = next((one for one in every if (one.prompt, one.settings) == asked), None)
        if found is None:
            raise InputError("exploration", "it is no longer kept", "Run the job again")
        return {**self._chosen(found), **self._list(every, found.key)}

    def _study(self, values: Values) -> Explore:
        prompts = self._session.prompts(values)
        if len(prompts) != 1:
            raise InputError("prompt", f"there are {len(prompts)}", "Explore one at a time")
        form, rule = self._form, values[self.rule]
        found: dict[str, Any] = form.explored(values)
        if rule != SEARCHED:
            found["source"], found["target"] = form.pair(values)
            found["effect_budget"] = optional_real("effect budget", values[form.how.saturation])
        if rule == GIVEN:
            found["radius"] = real("R", values[form.radius])
        settings = ExploreSettings(
            rule="search" if rule in (SEARCHED, GIVEN) else rule,
            scope=values[self._session.scope],
            max_new_tokens=whole("max new tokens", values[self.tokens]),
            threshold=optional_real("distance threshold", values[self.threshold]),
            search_seconds=real("search seconds", values[self.seconds]),
            **found,
        )
        return Explore(prompt=prompts[0], settings=settings)

    def _found(self) -> Listed[Exploration]:
        return self._workbench.explorations()

    def _part(self, progress: ExploreProgress) -> tuple[Stage, ...]:
        return progress.stages

    def _draw(self, job: Job[Any, Any], part: tuple[Stage, ...], values: Values) -> Changes:
        return {self.view: running(part)}

    def _made(self, job: Job[Any, Any], result: Exploration, values: Values, is_drawn: bool) -> Changes:
        return {**super()._made(job, result, values, is_drawn), self._session.bank: self._session.list_banks()}

    def _halted(self, drawn: tuple[Stage, ...] | None, values: Values) -> Changes:
        view: Changes = {} if drawn is None else {self.view: halted(drawn)}
        return {**super()._halted(drawn, values), **view, self._session.bank: self._session.list_banks()}

    def _show(self, found: Exploration) -> Changes:
        names = self._session.names(found.bank, found.bank_hash)
        scope = {} if found.settings.scope is None else {"scope": found.settings.scope}
        made = prompts_stamp([found.prompt], **scope, model=found.model, model_hash=found.model_hash)
        return {self.view: {**finished(found, names, self._attempts(found)), "stamp": made}}

    def _attempts(self, found: Exploration) -> list[Attempt]:
        """What to try where nothing new was found."""
        try:
            sources, targets = self._workbench.suggested_layers()
        except MelboError:  # no model is loaded
            sources, targets = [], []
        return attempts(found, sources, targets)

    def _summary(self, found: Exploration) -> str:
        return f"“{first_line(found.prompt.user, 40)}”, {sum(found.seconds.values()):.0f} s"

    def _empty(self) -> Changes:
        return {self.view: {"message": EMPTY}}

    def _line(self, found: Exploration) -> str:
        new = f"{found.new} new behaviour{'s' * (found.new != 1)}"
        radius = f"R {found.radius.relative_radius:.2g} × the median norm"
        return f"{day(found.created)} · {first_line(found.prompt.user, 40)} · {radius} · {new}"

    def _open(self, event: gr.EventData, key: str | None) -> Changes:
        """Open the texts in Read, with the vectors of a behaviour chosen."""
        found, completions = self._exploration(key), self._completions
        return {
            **self._rooms.show("completions"),
            completions.history: completions.choices(found.comparison),
            **completions.restore(found.comparison),
            **self._take(found, event.vectors),
        }

    def _use(self, event: gr.EventData, key: str | None) -> Changes:
        """Choose the vectors of a behaviour, at their R."""
        return self._take(self._exploration(key), event.vectors)

    def _take(self, found: Exploration, vectors: list[Any]) -> Changes:
        chosen = [int(one) for one in vectors]
        return take(self._workbench, self._session, found.bank_hash, chosen, found.radius.radius)

    def _fill_in(self, event: gr.EventData, key: str | None) -> Changes:
        """Put the settings of an attempt into the form."""
        found, form = self._exploration(key), self._form
        tried = self._attempts(found)[int(event.at)]
        norm = found.radius.median_norm
        if tried.source != found.source:
            norm = self._workbench.median_norm([found.prompt.asked], tried.source, stop=leaving())
        return {
            **form.place(tried.source, tried.target, tried.relative_radius * norm, norm),
            form.vectors: tried.vectors,
            self.rule: GIVEN,
            self.progress: resting("The form is filled in: press Explore this prompt."),
        }

    def _exploration(self, key: str | None) -> Exploration:
        if key is None or key == UNDER_WAY:
            raise InputError("exploration", "none is shown", "Press Explore")
        return self._workbench.exploration(key)

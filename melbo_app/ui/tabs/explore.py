"""Explore: from the prompt to its behaviours in one press."""

from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.engine.training_config import METHOD_DESCRIPTIONS
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
from melbo_app.ui.components.progress_bar import resting
from melbo_app.ui.fields import choice, small_button, text, whole_number
from melbo_app.ui.forms import optional_real, optional_whole, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.method_form import TITLES
from melbo_app.ui.present import amount, day, first_line
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import prompts_stamp
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import UNDER_WAY, HistoryTab
from melbo_app.ui.tabs.train import TrainTab
from melbo_app.ui.taking import take
from melbo_app.workbench import Workbench

USUAL = ExploreSettings()
RULES = [
    ("search: by short completions", "search"),
    ("calibrated: where effects stop growing evenly", "calibration"), ("cusp of a diversity curve", "curve"),
    ("0.07 × the median norm", "suggested"),
]  # fmt: skip
EMPTY = (
    "Press Explore to choose R, train vectors, answer the prompt above under each of them, and sort the answers "
    "into behaviours. This takes about two minutes."
)


class ExploreTab(HistoryTab):
    """The tab Explore."""

    kind = "explore"
    stopped = "Stopped: the bank and the texts that were finished are kept."

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        super().__init__(workbench, session)
        self._completions = completions
        self._toolbar("explore", "Explore this prompt", 220, size="lg")
        with gr.Accordion("Settings for each stage", open=False, elem_id="explore-settings") as self.settings:
            with gr.Row(elem_classes="mx-fields"):
                self.rule = choice("Choose R", "explore-rule", RULES, USUAL.rule, 240)
                self.radius = text("or R × median norm", "explore-radius", width=120)
                self.budget = text("Effect budget", "explore-budget", "searched", 120)
                self.seconds = whole_number("Search time limit (s)", "explore-seconds", int(USUAL.search_seconds), 90)
                methods = [(TITLES[name], name) for name, how in METHOD_DESCRIPTIONS.items() if not how.contrast]
                self.method = choice("Method", "explore-method", methods, USUAL.method, 200)
            with gr.Row(elem_classes="mx-fields"):
                self.vectors = whole_number("Vectors", "explore-vectors", USUAL.vectors, 90)
                self.steps = text("Max steps", "explore-steps", "usual", 80)
                self.source = text("Source layer", "explore-source", "usual", 80)
                self.target = text("Target layer", "explore-target", "usual", 80)
                self.tokens = whole_number("Max new tokens", "explore-tokens", USUAL.max_new_tokens, 90)
                self.seed = whole_number("Seed", "explore-seed", USUAL.seed, 90)
                self.threshold = text("Distance threshold", "explore-threshold", "from the control", 120)
            self.as_train = small_button("As in the Train form", "explore-as-train", 160)
        with gr.Row(elem_classes="mx-fields"):
            self.history = choice("Earlier explorations", "explore-history", [], None, 220)
        self.view = exploration_view({"message": EMPTY}, elem_id="explore-view", start="explore-start")

    def bind(self, rooms: Rooms, train: TrainTab) -> None:
        """Bind exploring and opening a behaviour; when the view is opened, the last exploration is shown. The form of
        ``train`` can be taken over."""
        session, completions = self._session, self._completions
        settings: list[Component] = [
            self.rule, self.radius, self.vectors, self.method, self.steps, self.source, self.target, self.tokens,
            self.seed, self.threshold, self.budget, self.seconds,
        ]  # fmt: skip
        inputs = [*session.prompt_inputs, session.scope, *settings]
        self._bind_history(rooms.opened("explore"), inputs, [self.view], session.bank)
        self._rooms = rooms
        bind(self.view.open, self._open, [self.shown], [*rooms.outputs, *completions.opened_outputs])
        bind(self.view.use, self._use, [self.shown], session.bank_outputs)
        taken: list[Component] = [train.how.method, train.source, train.target, train.relative, train.vectors]
        same: list[Block] = [self.method, self.source, self.target, self.radius, self.vectors]
        bind(self.as_train.click, self._as_train, taken, same)
        filled: list[Block] = [self.settings, self.radius, self.vectors, self.source, self.target, self.progress]
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
        settings = ExploreSettings(
            rule=values[self.rule],
            relative_radius=optional_real("R × median norm", values[self.radius]),
            vectors=whole("vectors", values[self.vectors]),
            method=values[self.method],
            steps=optional_whole("steps", values[self.steps]),
            source=optional_whole("source layer", values[self.source]),
            target=optional_whole("target layer", values[self.target]),
            scope=values[self._session.scope],
            max_new_tokens=whole("max new tokens", values[self.tokens]),
            seed=whole("seed", values[self.seed]),
            threshold=optional_real("same meaning", values[self.threshold]),
            effect_budget=optional_real("effect budget", values[self.budget]),
            search_seconds=real("search seconds", values[self.seconds]),
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

    def _as_train(self, method: Any, source: Any, target: Any, relative: Any, vectors: Any) -> Changes:
        """The method, layers, R and number of vectors of the Train form; those of a form not opened yet stay."""
        if source is None or target is None:
            raise InputError("Train form", "it is not filled in yet", "Open Train once")
        changes: Changes = {self.source: str(source), self.target: str(target), self.radius: amount(relative)}
        if not METHOD_DESCRIPTIONS[method].contrast:
            changes[self.method] = method
        return {**changes, self.vectors: vectors}

    def _fill_in(self, event: gr.EventData, key: str | None) -> Changes:
        """Put the settings of an attempt into the fields."""
        tried = self._attempts(self._exploration(key))[int(event.at)]
        return {
            self.settings: gr.Accordion(open=True),
            self.radius: amount(tried.relative_radius),
            self.vectors: tried.vectors,
            self.source: str(tried.source),
            self.target: str(tried.target),
            self.progress: resting("The settings are filled in: press Explore this prompt."),
        }

    def _exploration(self, key: str | None) -> Exploration:
        if key is None or key == UNDER_WAY:
            raise InputError("exploration", "none is shown", "Press Explore")
        return self._workbench.exploration(key)

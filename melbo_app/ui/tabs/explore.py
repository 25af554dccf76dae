"""Explore: from the prompt at the left to its behaviours in one press."""

from typing import Any

import gradio as gr
from gradio.components import Component

from melbo_app.engine.training_config import METHOD_DESCRIPTIONS
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.damage import Listed
from melbo_app.library.explorations import Exploration, ExploreSettings
from melbo_app.studies.explore import Explore, ExploreProgress, Stage
from melbo_app.ui.components.exploration import exploration_view, finished, halted, running
from melbo_app.ui.fields import choice, text, whole_number
from melbo_app.ui.forms import optional_real, optional_whole, real, whole
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.present import day, first_line
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.job_tab import HistoryTab
from melbo_app.workbench import Workbench

USUAL = ExploreSettings()
RULES = [
    ("search: by short completions", "search"),
    ("calibrated: Δ leaves linearity", "calibration"), ("cusp of a diversity curve", "curve"),
    ("0.07 × the median norm", "suggested"),
]  # fmt: skip
EMPTY = (
    "Press Explore to choose R, train vectors, answer the prompt at the left under each of them, and sort the answers "
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
        with gr.Accordion("Settings for each stage", open=False, elem_id="explore-settings"):
            with gr.Row(elem_classes="mx-fields"):
                self.rule = choice("Choose R", "explore-rule", RULES, USUAL.rule, 240)
                self.radius = text("or R × median norm", "explore-radius", width=120)
                self.budget = text("Effect budget", "explore-budget", "searched (0: none)", 120)
                self.seconds = whole_number("Search time limit (s)", "explore-seconds", int(USUAL.search_seconds), 90)
                self.vectors = whole_number("Vectors", "explore-vectors", USUAL.vectors, 90)
                methods = [name for name, how in METHOD_DESCRIPTIONS.items() if not how.contrast]
                self.method = choice("Method", "explore-method", methods, USUAL.method, 120)
                self.steps = text("Max steps", "explore-steps", "usual", 80)
            with gr.Row(elem_classes="mx-fields"):
                self.source = text("Source layer", "explore-source", "usual", 80)
                self.target = text("Target layer", "explore-target", "usual", 80)
                self.tokens = whole_number("Max new tokens", "explore-tokens", USUAL.max_new_tokens, 90)
                self.seed = whole_number("Seed", "explore-seed", USUAL.seed, 90)
                self.threshold = text("Distance threshold", "explore-threshold", "from the control", 120)
        with gr.Row(elem_classes="mx-fields"):
            self.history = choice("Earlier explorations", "explore-history", [], None, 220)
        self.view = exploration_view({"message": EMPTY}, elem_id="explore-view")

    def bind(self, rooms: Rooms) -> None:
        """Bind exploring and opening a behaviour; when the view is opened, the last exploration is shown."""
        session, completions = self._session, self._completions
        settings: list[Component] = [
            self.rule, self.radius, self.vectors, self.method, self.steps, self.source, self.target, self.tokens,
            self.seed, self.threshold, self.budget, self.seconds,
        ]  # fmt: skip
        self._bind_history(
            rooms.opened("explore"), [*session.prompt_inputs, session.scope, *settings], [self.view], session.bank
        )
        self._rooms = rooms
        bind(
            self.view.open,
            self._open,
            [self.shown],
            [*rooms.outputs, completions.history, *completions.restore_outputs],
        )

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
        return {self.view: finished(found, self._session.names(found.bank, found.bank_hash))}

    def _summary(self, found: Exploration) -> str:
        return f"“{first_line(found.prompt.user, 40)}”, {sum(found.seconds.values()):.0f} s"

    def _empty(self) -> Changes:
        return {self.view: {"message": EMPTY}}

    def _line(self, found: Exploration) -> str:
        new = f"{found.new} new behaviour{'s' * (found.new != 1)}"
        radius = f"R {found.radius.relative_radius:.2g} × the median norm"
        return f"{day(found.created)} · {first_line(found.prompt.user, 40)} · {radius} · {new}"

    def _open(self, event: gr.EventData, key: str | None) -> Changes:
        """Open the texts in Completions, with the vectors of a behaviour chosen."""
        if key is None:
            raise InputError("exploration", "none is shown", "Press Explore")
        found, completions = self._workbench.exploration(key), self._completions
        vectors = [int(one) for one in event.vectors]
        return {
            **self._rooms.show("completions"),
            completions.history: completions.choices(found.comparison),
            **completions.restore(found.comparison),
            **self._session.open_bank(found.bank, vectors, found.radius.radius),
        }

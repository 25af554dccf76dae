"""Explore: from the prompt at the left to its behaviours in one press."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from melbo_app.engine.training_config import METHOD_DESCRIPTIONS
from melbo_app.errors import InputError
from melbo_app.jobs.job import Job
from melbo_app.library.explorations import Exploration, ExploreSettings
from melbo_app.studies.explore import Explore, ExploreProgress
from melbo_app.ui.components.exploration import exploration_view, finished, halted, running
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.forms import asked_by, optional_real, optional_whole, prompts_from, real, whole
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import bank_choices, day, first_line
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.workbench import Workbench

USUAL = ExploreSettings()
RULES = [
    ("search: by short completions", "search"),
    ("calibrated: Δ leaves linearity", "calibration"), ("cusp of a diversity curve", "curve"),
    ("0.07 × the median norm", "suggested"),
]  # fmt: skip
UNDER_WAY = "under way"  # stands where the key of what is shown will stand
EMPTY = (
    "Press Explore: R is chosen, vectors are trained, the prompt at the left is answered under each of them, and the "
    "answers are sorted into behaviours. It takes about two minutes."
)


class ExploreTab:
    """The second tab."""

    def __init__(self, workbench: Workbench, session: Session, completions: CompletionsTab) -> None:
        self._workbench, self._session, self._completions, self._runs = workbench, session, completions, Runs()
        self._shown = gr.State(None)  # key of the exploration that is shown
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.start = gr.Button(
                "Explore this prompt", variant="primary", size="lg", elem_id="explore-start", scale=0, min_width=220
            )
            self.stop = gr.Button("Stop", elem_id="explore-stop", scale=0, min_width=80)
            self.progress = progress_bar(resting(), elem_id="explore-progress")
        with gr.Accordion("Settings of every stage", open=False, elem_id="explore-settings"):
            with gr.Row(elem_classes="mx-fields"):
                self.rule = gr.Dropdown(
                    RULES, value=USUAL.rule, label="Choose R", elem_id="explore-rule", min_width=240
                )
                self.radius = gr.Textbox(label="or R × median norm", elem_id="explore-radius", min_width=120)
                self.budget = gr.Textbox(
                    label="Effect budget (0: no limit)", placeholder="searched", elem_id="explore-budget", min_width=120
                )
                self.seconds = _number("Search for at most (s)", "explore-seconds", int(USUAL.search_seconds))
                self.vectors = _number("Vectors", "explore-vectors", USUAL.vectors)
                methods = [name for name, how in METHOD_DESCRIPTIONS.items() if not how.contrast]
                self.method = gr.Dropdown(
                    methods, value=USUAL.method, label="Method", elem_id="explore-method", min_width=120
                )
                self.steps = gr.Textbox(label="Most steps", placeholder="usual", elem_id="explore-steps", min_width=80)
            with gr.Row(elem_classes="mx-fields"):
                self.source = gr.Textbox(
                    label="Source layer", placeholder="usual", elem_id="explore-source", min_width=80
                )
                self.target = gr.Textbox(
                    label="Target layer", placeholder="usual", elem_id="explore-target", min_width=80
                )
                self.tokens = _number("Max new tokens", "explore-tokens", USUAL.max_new_tokens)
                self.seed = _number("Seed", "explore-seed", USUAL.seed)
                self.threshold = gr.Textbox(
                    label="Distance threshold",
                    placeholder="from the control",
                    elem_id="explore-threshold",
                    min_width=120,
                )
        with gr.Row(elem_classes="mx-fields"):
            self.history = gr.Dropdown([], label="Earlier explorations", elem_id="explore-history", min_width=220)
        self.view = exploration_view({"message": EMPTY}, elem_id="explore-view")

    def bind(self, tab: gr.Tab, tabs: gr.Tabs) -> None:
        """Bind exploring and what is found; when ``tab`` is opened, the last exploration is shown."""
        session, completions = self._session, self._completions
        chosen = [
            self.rule, self.radius, self.vectors, self.method, self.steps, self.source, self.target, self.tokens,
            self.seed, self.threshold, self.budget, self.seconds,
        ]  # fmt: skip
        outputs = [self._shown, self.view, self.progress, self.history, session.bank]
        inputs = [*session.prompt_inputs, session.scope, *chosen]
        runs = [
            self._runs.bind(self.start.click, self._explore, inputs, outputs, self.progress),
            self._runs.bind(tab.select, self._show_last, self._shown, outputs, self.progress),
        ]
        for run in runs:
            bind(run.failure, self._failed, self._shown, [self._shown, self.view, self.history])
        self._runs.bind_stop(self.stop, self.progress)
        bind(self.history.change, self._choose, [self.history, self._shown], [self._shown, self.view, self.progress])
        self._tabs = tabs
        opened = [tabs, completions.history, *completions.restore_outputs]
        bind(self.view.open, self._open, self._shown, opened)

    def _explore(
        self, request: gr.Request, text: str, system: str, template: str, scope: str, rule: Any, radius: str,
        vectors: float, method: str, steps: str, source: str, target: str, tokens: float, seed: float, threshold: str,
        budget: str, seconds: float,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        prompts = prompts_from(text, system, template)
        if len(prompts) != 1:
            raise InputError("prompt", f"there are {len(prompts)}", "Explore one at a time")
        settings = ExploreSettings(
            rule=rule,
            relative_radius=optional_real("R × median norm", radius),
            vectors=whole("vectors", vectors),
            method=method,
            steps=optional_whole("steps", steps),
            source=optional_whole("source layer", source),
            target=optional_whole("target layer", target),
            scope=scope,
            max_new_tokens=whole("max new tokens", tokens),
            seed=whole("seed", seed),
            threshold=optional_real("same meaning", threshold),
            effect_budget=optional_real("effect budget", budget),
            search_seconds=real("search seconds", seconds),
        )
        job = self._workbench.start(Explore(prompt=prompts[0], settings=settings), who=asked_by(request))
        yield from self._follow(request, job, own=True)

    def _show_last(self, request: gr.Request, shown: str | None) -> Iterator[tuple[Any, ...]]:
        """Follow the exploration that is under way, or show the last one, where this page shows none yet."""
        active = self._workbench.active_jobs("explore")
        found = self._workbench.explorations()
        tell(found.damaged)
        if self._runs.busy(request) or (not active and any(one.key == shown for one in found)):
            yield (gr.skip(),) * 5
        elif active:
            yield from self._follow(request, active[-1], own=False)
        elif found:
            yield *self._values(found[0]), self._choices(found[0].key), gr.skip()
        else:
            yield None, {"message": EMPTY}, resting(), gr.Dropdown(choices=[], value=None), gr.skip()

    def _follow(
        self, request: gr.Request, job: Job[ExploreProgress, Exploration], *, own: bool
    ) -> Iterator[tuple[Any, ...]]:
        """Show a job until it ends."""
        seen: ExploreProgress | None = None
        run = self._runs.follow(request, job, own=own)
        for bar, step in run:
            view = gr.skip() if step is None else running(step.stages)
            yield UNDER_WAY, view, bar, gr.Dropdown(value=None) if seen is None else gr.skip(), gr.skip()
            seen = step or seen
        if not run.result:
            return
        banks = gr.Dropdown(choices=bank_choices(self._workbench.banks()))
        if job.result is None:
            message = resting("Stopped: the bank and the texts that were finished are kept.")
            left = {"message": EMPTY} if seen is None else halted(seen.stages)
            yield None, left, message, self._choices(None), banks
        else:
            yield *self._values(job.result), self._choices(job.result.key), banks

    def _values(self, found: Exploration) -> tuple[Any, ...]:
        """What is shown, the view and the words under the button for an exploration."""
        names = self._session.names(found.bank, found.bank_hash)
        message = f"“{first_line(found.prompt.user, 40)}”, {sum(found.seconds.values()):.0f} s"
        return found.key, finished(found, names), resting(message)

    def _failed(self, request: gr.Request, shown: str | None) -> tuple[Any, ...]:
        """What was refused before it began leaves the exploration that is shown as it is."""
        if shown != UNDER_WAY or self._runs.busy(request):
            return (gr.skip(),) * 3
        return None, {"message": EMPTY}, self._choices(None)

    def _choices(self, key: str | None) -> Any:
        found = self._workbench.explorations()
        return gr.Dropdown(choices=[(_line(one), one.key) for one in found], value=key)

    def _choose(self, key: str | None, shown: str | None) -> tuple[Any, ...]:
        """Show the exploration that was chosen in the list, unless it is the one that is shown already."""
        if key is None or shown in (key, UNDER_WAY):
            return (gr.skip(),) * 3
        return self._values(self._workbench.exploration(key))

    def _open(self, event: gr.EventData, key: str | None) -> Changes:
        """The texts in Completions, with the vectors of a behaviour chosen."""
        if key is None:
            raise InputError("exploration", "none is shown", "Press Explore")
        found, completions = self._workbench.exploration(key), self._completions
        vectors = [int(one) for one in event.vectors]
        return {
            self._tabs: gr.Tabs(selected="completions"),
            completions.history: completions.choices(found.comparison),
            **completions.restore(found.comparison),
            **self._session.open_bank(found.bank, vectors, found.radius.radius),
        }


def _line(found: Exploration) -> str:
    new = f"{found.new} new behaviour{'s' * (found.new != 1)}"
    radius = f"R {found.radius.relative_radius:.2g} × the median norm"
    return f"{day(found.created)} · {first_line(found.prompt.user, 40)} · {radius} · {new}"


def _number(label: str, elem_id: str, value: int) -> gr.Number:
    return gr.Number(value, label=label, precision=0, elem_id=elem_id, min_width=90)

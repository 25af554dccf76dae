"""Completions: the baseline and the steered texts side by side."""

import html
from collections.abc import Iterator
from typing import Any

import gradio as gr

from melbo_app.errors import StorageError
from melbo_app.library.completion import Comparison
from melbo_app.studies.flagging import ORDERS, Order
from melbo_app.studies.steer import Steer
from melbo_app.ui.components.completion_grid import completion_grid, grid, waiting
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.forms import Returning, chosen, decoding_from, prompts_from, radii_of
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import comparison_choices, made_on, sentence
from melbo_app.ui.runs import Runs, frames
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.judge import JudgeSection
from melbo_app.workbench import Workbench

EMPTY = "Press Steer to see what the model says without and with each vector."


class CompletionsTab:
    """The first tab."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs()
        self._shown = gr.State(None)  # id of the comparison that the grid shows
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.steer = gr.Button("Steer", variant="primary", elem_id="steer-button", scale=0, min_width=110)
            self.stop = gr.Button("Stop", elem_id="steer-stop", scale=0, min_width=80)
            self.auto = gr.Checkbox(label="auto", elem_id="auto", container=False)
            self.control = gr.Checkbox(label="random control", elem_id="random-control", container=False)
            self.both = gr.Checkbox(label="both signs", elem_id="both-signs", container=False)
            self.order = gr.Dropdown(
                list(ORDERS), value=ORDERS[0], label="Order", show_label=False, container=False, elem_id="order",
                scale=0, min_width=176,
            )  # fmt: skip
            self.progress = progress_bar(resting(), elem_id="steer-progress")
        with gr.Row(elem_classes="mx-fields", elem_id="decoding"):
            self.max_tokens = gr.Number(
                40, label="Max new tokens", precision=0, elem_id="max-new-tokens", min_width=100
            )
            self.mode = gr.Radio(["greedy", "sampled"], value="greedy", label="Decoding", elem_id="mode", min_width=206)
            self.temperature = gr.Number(
                0.8, label="Temperature", step=0.1, elem_id="temperature", min_width=80, interactive=False
            )
            self.top_p = gr.Number(0.95, label="Top-p", step=0.05, elem_id="top-p", min_width=80, interactive=False)
            self.seed = gr.Number(0, label="Seed", precision=0, elem_id="seed", min_width=80, interactive=False)
            self.history = gr.Dropdown([], label="Earlier comparisons", elem_id="history", scale=4, min_width=220)
        self.judge = JudgeSection(workbench)
        self.grid = completion_grid({"groups": [], "message": EMPTY}, elem_id="completions")
        self.decoding_inputs = [self.max_tokens, self.mode, self.temperature, self.top_p, self.seed]
        self.restore_outputs = [
            *session.prompt_inputs, *session.bank_outputs, self.control, self.both, *self.decoding_inputs, self.grid,
            self._shown, self.order,
        ]  # fmt: skip

    def bind(self, model: gr.State) -> None:
        """Bind steering, stopping and the history; ``model`` changes when another model is loaded."""
        session = self._session
        inputs = [
            *session.prompt_inputs, session.bank, session.vectors, session.radius, self.control, self.both,
            self.order, *self.decoding_inputs,
        ]  # fmt: skip
        outputs = [self.grid, self.progress, self.history, self._shown]
        runs = [self._runs.bind(self.steer.click, self._steer, inputs, outputs, self.progress)]
        for trigger in (session.radius.release, *(selection.success for selection in session.selections)):
            runs.append(self._runs.bind(trigger, self._steer_again, [self.auto, *inputs], outputs, self.progress))
        for run in runs:
            bind(run.success, session.show_runaways, [session.bank, session.cards], session.cards)
        self._runs.bind_stop(self.stop, self.progress)
        sampling = [self.temperature, self.top_p, self.seed]
        for field in (self.mode, self.control):
            bind(field.change, self._sampling, [self.mode, self.control], sampling)
        # Not input: the list fires that twice for a choice, and also when it is only left.
        bind(self.history.change, self._restore_chosen, [self.history, self._shown, self.order], self.restore_outputs)
        bind(self.order.change, self._reorder, [self._shown, self.order], self.grid)
        bind(session.bank.change, self._show_sample, [session.bank, self.order], [self.grid, self._shown])
        bind(model.change, self._reword_sample, [self._shown, self.order], self.grid)
        judged = self.judge.bind(self._shown)
        bind(judged.then, self._show_judged, [self._shown, self.order], self.grid)

    def choices(self, value: int | None = None) -> Any:
        """The history with its newest entries."""
        return gr.Dropdown(choices=comparison_choices(self._workbench.comparisons()), value=value)

    def restore(self, comparison_id: int | None, order: Order = "as chosen") -> Changes:
        """An earlier comparison with all that made it; texts are shown as they were."""
        if comparison_id is None:
            return {self.grid: gr.skip()}
        comparison = self._workbench.comparison(comparison_id)
        tell(comparison.damaged)
        completions = comparison.completions
        firsts = {completion.prompt_index: completion.prompt for completion in reversed(completions)}
        steered = [completion for completion in completions if isinstance(completion.vector, int)]
        bank = next((completion.bank for completion in steered), None)
        bank_hash = next((completion.bank_hash for completion in steered), None)
        vectors = sorted({completion.vector for completion in steered if isinstance(completion.vector, int)})
        radii = [completion.radius for completion in completions if completion.vector is not None]
        radius = None if comparison.settings.get("radii", radii) is None else next(iter(radii), None)
        control = any(completion.vector == "random" for completion in completions)
        one = completions[0]
        sampled = one.temperature > 0
        changes: Changes = {self.max_tokens: one.max_new_tokens, self.mode: "sampled" if sampled else "greedy"}
        if sampled:
            changes |= {self.temperature: one.temperature, self.top_p: one.top_p}
        if sampled or control:
            changes[self.seed] = one.seed
        if bank:
            changes |= self._session.open_bank(bank, vectors, radius)
        return {
            **self._session.prompt_values([firsts[index] for index in sorted(firsts)]),
            **changes,
            self.control: control,
            self.both: bool(radii) and -radii[0] in radii,
            self.grid: self._cards(comparison, order, self._session.names(bank, bank_hash)),
            self._shown: comparison_id,
            self.order: order,
        }

    def _restore_chosen(self, comparison_id: int | None, shown: int | None, order: Order) -> Changes:
        """Show the comparison that was chosen in the list, unless it is the one that is shown already."""
        return self.restore(None if comparison_id == shown else comparison_id, order)

    def _reorder(self, shown: int | None, order: Order) -> Any:
        """The comparison that is shown, in another order."""
        if shown is None:
            return gr.skip()
        comparison = self._workbench.comparison(shown)
        steered = next((one for one in comparison.completions if isinstance(one.vector, int)), None)
        names = self._session.names(steered.bank, steered.bank_hash) if steered else {}
        return self._cards(comparison, order, names)

    def _show_sample(self, request: gr.Request, bank: str | None, order: Order) -> list[Any]:
        """The grid and its comparison for a sample of a model that is not loaded: the texts that shipped with it."""
        comparison = self._workbench.sample_comparison(bank) if bank and not self._runs.busy(request) else None
        model = self._workbench.model_state().weights_hash
        if bank is None or comparison is None or comparison.completions[0].model_hash == model:
            return [gr.skip(), gr.skip()]
        return [self._cards(comparison, order, self._session.names(bank)), comparison.id]

    def _reword_sample(self, shown: int | None, order: Order) -> Any:
        """The sample that is shown: what stands above it depends on the loaded model."""
        sample = shown is not None and self._workbench.comparison(shown).settings.get("kind") == "sample"
        return self._reorder(shown, order) if sample else gr.skip()

    def _show_judged(self, request: gr.Request, shown: int | None, order: Order) -> Any:
        """The comparison that is shown, with what the judge said; texts that are being written keep their place."""
        return gr.skip() if self._runs.busy(request) else self._reorder(shown, order)

    def _cards(self, comparison: Comparison, order: Order, names: dict[int, str]) -> dict[str, Any]:
        completions = comparison.completions
        try:
            judged = self._workbench.judgements(completions)
        except StorageError as error:  # the texts are shown all the same
            gr.Warning(html.escape(sentence(str(error))), title="Judgements are not shown", duration=12)
            judged = {}
        title = made_on(comparison, self._workbench.model_state().weights_hash)
        return grid(self._workbench.ordered(completions, order), names, judged=judged, title=title)

    def _steer(
        self, request: gr.Request, text: str, system: str, template: str, bank: str | None, vectors: list[int],
        radius: dict[str, Any], control: bool, both: bool, order: Order, *decoding: Any,
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        asked = prompts_from(text, system, template)
        wanted, how = chosen(vectors), decoding_from(*decoding, control=control)
        radii = radii_of(radius) if wanted or control else []
        study = Steer(
            bank=bank, prompts=asked, vectors=wanted, radii=radii, decoding=how, random_control=control, both_signs=both
        )
        rows = self._workbench.variants(study)
        names = self._session.names(bank)
        with self._runs.start(request) as stop:
            empty = waiting(asked, rows, names, how.max_new_tokens)
            yield empty, working("waiting for the model"), gr.skip(), gr.skip()
            run = Returning(self._workbench.run(study, stop=stop.is_set))
            for step in frames(run):
                if self._runs.replaced(request, stop):
                    continue
                shown = grid(step.completions, names, live=True) if step.completions else gr.skip()
                stage = "Stopping" if stop.is_set() else step.stage
                yield shown, working(stage, step.done / max(1, step.total)), gr.skip(), gr.skip()
            if self._runs.replaced(request, stop):
                return
            stopped = stop.is_set()
        comparison = run.result
        ended = "Stopped" if stopped else "Done"
        if comparison.not_kept:
            message = f"{comparison.not_kept} They are stored as soon as that is possible; Save again tries at once."
            gr.Warning(html.escape(sentence(message)), title="The texts are not kept yet", duration=12)
            ended += ", not kept yet"
        shown = self._cards(comparison, order, names)
        yield shown, resting(ended), self.choices(comparison.id), comparison.id

    def _steer_again(self, request: gr.Request, auto: bool, *fields: Any) -> Iterator[tuple[Any, ...]]:
        """Steer because R or the selection changed, when that is wanted."""
        if auto:
            yield from self._steer(request, *fields)
        else:
            yield (gr.skip(),) * 4  # who yields nothing empties the outputs

    def _sampling(self, mode: str, control: bool) -> list[Any]:
        """Which fields count: the seed also gives the random control its direction."""
        sampled = mode == "sampled"
        return [gr.Number(interactive=usable) for usable in (sampled, sampled, sampled or control)]

"""Completions: the baseline and the steered texts side by side."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.events import Dependency

from melbo_app.engine.decoding import Decoding
from melbo_app.errors import StorageError
from melbo_app.library.completion import Comparison, Completion
from melbo_app.studies.flagging import ORDERS, Order
from melbo_app.studies.steer import Steer
from melbo_app.ui.components.completion_grid import completion_grid, drafts, grid
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.fields import button, choice, number, whole_number
from melbo_app.ui.forms import chosen, decoding_from, radii_of
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.left_out import tell
from melbo_app.ui.present import comparison_choices, comparison_name, made_on, sentence
from melbo_app.ui.runs import Runs
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import stamp
from melbo_app.ui.tabs.judge import JudgeSection
from melbo_app.ui.tabs.report_button import ReportButton
from melbo_app.ui.tabs.text_search import Hit, TextSearch
from melbo_app.workbench import Workbench
from melbo_app.workbench.banks import Home

EMPTY = "Press Steer to read the model's answers without steering and under each vector."


class CompletionsTab:
    """The tab Completions."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session, self._runs = workbench, session, Runs(workbench)
        self._shown = gr.State(None)  # id of the comparison that the grid shows
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.steer = button("Steer", "steer-button", 110, variant="primary")
            self.stop = button("Stop", "steer-stop", 80)
            self.auto = gr.Checkbox(label="steer on changes", elem_id="auto", container=False)
            self.control = gr.Checkbox(label="random control", elem_id="random-control", container=False)
            self.both = gr.Checkbox(label="both signs", elem_id="both-signs", container=False)
            self.order = gr.Dropdown(
                list(ORDERS), value=ORDERS[0], label="Order", show_label=False, container=False, elem_id="order",
                scale=0, min_width=176,
            )  # fmt: skip
            self.progress = progress_bar(resting(), elem_id="steer-progress")
        with gr.Row(elem_classes="mx-fields", elem_id="decoding"):
            self.max_tokens = whole_number("Max new tokens", "max-new-tokens", 40, 100)
            self.mode = gr.Radio(["greedy", "sampled"], value="greedy", label="Decoding", elem_id="mode", min_width=206)
            self.temperature = number("Temperature", "temperature", 0.8, step=0.1, interactive=False)
            self.top_p = number("Top-p", "top-p", 0.95, step=0.05, interactive=False)
            self.seed = whole_number("Seed", "seed", 0, 80, interactive=False)
            self.samples = whole_number("Texts a cell", "samples", 1, 96, interactive=False)
            self.history = choice("Earlier comparisons", "history", [], None, 220, scale=4)
        with gr.Row(elem_id="read-more"):
            self.finder = TextSearch(workbench)
            self.judge = JudgeSection(workbench)
            self.report = ReportButton(workbench)
        self.grid = completion_grid({"groups": [], "message": EMPTY}, elem_id="completions", start="steer-button")
        self.decoding_inputs = [
            self.max_tokens, self.mode, self.temperature, self.top_p, self.seed, self.control,
        ]  # fmt: skip
        self.restore_outputs: list[Block] = [
            *session.prompt_inputs, *session.bank_outputs, self.both, *self.decoding_inputs, self.grid, self._shown,
            self.order,
        ]  # fmt: skip

        self.opened_outputs: list[Block] = [self.history, *self.restore_outputs]

    def bind(self, model: gr.State) -> None:
        """Bind steering, stopping and the history; ``model`` changes when another model is loaded."""
        session = self._session
        inputs = {
            *session.prompt_inputs, *session.bank_inputs, *self.decoding_inputs, self.samples, self.both, self.order,
            self.auto,
        }  # fmt: skip
        self._steering = (inputs, [self.grid, self.progress, self.history, self._shown], self.progress)
        self.steer_after(self.steer.click)
        for trigger in (session.radius.release, session.vectors.pick):
            self._renew_texts(self._runs.bind(trigger, self._steer_again, *self._steering))
        self._runs.bind_stop(self.stop, self.progress)
        sampling = [self.temperature, self.top_p, self.seed, self.samples]
        for field in (self.mode, self.control):
            bind(field.change, self._enable, [self.mode, self.control], sampling)
        # Not input: the list fires that twice for a choice, and also when it is only left.
        bind(self.history.change, self._restore_chosen, [self.history, self._shown, self.order], self.restore_outputs)
        self.redrawing = (self._reorder, [self._shown, self.order], self.grid)
        bind(self.order.change, *self.redrawing)
        sample = [session.bank, self.order, self._shown]
        bind(session.bank.change, self._show_sample, sample, [self.grid, self._shown])
        bind(model.change, self._reword_sample, [self._shown, self.order], self.grid)
        self.report.bind(self._runs, self._shown, self.progress)
        self.finder.bind(self.restore, self.restore_outputs)
        judged = self.judge.bind(self._shown)
        bind(judged.then, self._show_judged, [self._shown, self.order], self.grid)

    def steer_after(self, trigger: Any) -> None:
        """Steer with what the fields say, as a press of Steer does."""
        self._renew_texts(self._runs.bind(trigger, self._steer, *self._steering))

    def steered_elsewhere(self, run: Dependency) -> None:
        """After ``run``, which steers in another room, list its texts too."""
        self._renew_texts(run)
        bind(run.success, self.choices, self._shown, self.history)

    def _renew_texts(self, run: Dependency) -> None:
        session = self._session
        bind(run.success, session.show_texts, [session.bank, session.vectors], session.vectors)

    def decoding(self, values: Values) -> Decoding:
        """The decoding in the fields. Raises InputError."""
        fields = (self.max_tokens, self.mode, self.temperature, self.top_p, self.seed)
        return decoding_from(*(values[field] for field in fields), control=values[self.control])

    def choices(self, value: int | None = None) -> gr.Dropdown:
        """The history with its newest entries, and with an older one if it is the ``value``."""
        listed = comparison_choices(self._workbench.comparisons())
        if value is not None and value not in [id for _, id in listed]:
            old = self._workbench.comparison(value)
            bank = next((one.bank for one in old.completions if one.bank), None)
            name = comparison_name(old.created, old.settings, bank, old.completions[0].prompt.user)
            listed.append((name, value))
        return gr.Dropdown(choices=listed, value=value)

    def restore(self, comparison_id: int | None, order: Order = "as chosen", hit: Hit | None = None) -> Changes:
        """Show an earlier comparison with all its settings, and open the text that was found; nothing is written."""
        if comparison_id is None:
            return {}
        comparison = self._workbench.comparison(comparison_id)
        tell(comparison.damaged)
        completions = comparison.completions
        firsts = {completion.prompt_index: completion.prompt for completion in reversed(completions)}
        steered = [completion for completion in completions if isinstance(completion.vector, int)]
        homes = self.homes(completions)
        home = next(iter(homes.values()), None)
        vectors = sorted({completion.vector for completion in steered if isinstance(completion.vector, int)})
        radii = [completion.radius for completion in completions if completion.vector is not None]
        radius = None if comparison.settings.get("radii", radii) is None else next(iter(radii), None)
        radius = hit.text.radius if hit is not None and hit.text.vector is not None else radius
        control = any(completion.vector == "random" for completion in completions)
        one = completions[0]
        sampled = one.temperature > 0
        changes: Changes = {self.max_tokens: one.max_new_tokens, self.mode: "sampled" if sampled else "greedy"}
        if sampled:
            changes |= {self.temperature: one.temperature, self.top_p: one.top_p}
        if sampled or control:
            changes[self.seed] = one.seed
        if home is not None and home.place == "shelf":
            changes |= self._session.open_bank(home.name, vectors, radius)
        elif home is not None:  # another bank may have its name by now, with vectors of its own
            changes |= self._session.open_bank(home.name)
        return {
            **self._session.prompt_values([firsts[index] for index in sorted(firsts)]),
            **changes,
            self.control: control,
            self.both: bool(radii) and -radii[0] in radii,
            self.grid: {**self._cards(comparison, order), **({} if hit is None else hit.marked)},
            self._shown: comparison_id,
            self.order: order,
        }

    def opened(self, comparison_id: int, entry: str) -> Changes:
        """Show the texts of another view, under their own name in the history. The context line keeps its bank where
        the vectors belong to none on the shelf."""
        changes = self.restore(comparison_id)
        texts = self._workbench.comparison(comparison_id).completions
        own = next((one.bank_hash for one in texts if isinstance(one.vector, int)), None)
        if self._workbench.bank_with(own) is None:
            changes = {part: value for part, value in changes.items() if part not in self._session.bank_outputs}
        earlier = comparison_choices(self._workbench.comparisons())
        listed = earlier if comparison_id in (id for _, id in earlier) else [(entry, comparison_id), *earlier]
        return {**changes, self.history: gr.Dropdown(choices=listed, value=comparison_id)}

    def _restore_chosen(self, comparison_id: int | None, shown: int | None, order: Order) -> Changes:
        """Show the comparison that was chosen in the list, unless the grid shows it already."""
        return self.restore(None if comparison_id == shown else comparison_id, order)

    def _reorder(self, shown: int | None, order: Order) -> Any:
        """The comparison that is shown, in another order."""
        if shown is None:
            return gr.skip()
        return self._cards(self._workbench.comparison(shown), order)

    def _show_sample(self, request: gr.Request, bank: str | None, order: Order, shown: int | None) -> Changes:
        """Show the texts that shipped with a sample of a model that is not loaded, unless the bank's are shown."""
        if shown is not None and any(one.bank == bank for one in self._workbench.comparison(shown).completions):
            return {}
        comparison = self._workbench.sample_comparison(bank) if bank and not self._runs.busy(request) else None
        model = self._workbench.model_state().weights_hash
        if comparison is None or comparison.completions[0].model_hash == model:
            return {}
        return {self.grid: self._cards(comparison, order), self._shown: comparison.id}

    def _reword_sample(self, shown: int | None, order: Order) -> Any:
        """The sample that is shown, under another title: it depends on the loaded model."""
        sample = shown is not None and self._workbench.comparison(shown).settings.get("kind") == "sample"
        return self._reorder(shown, order) if sample else gr.skip()

    def _show_judged(self, request: gr.Request, shown: int | None, order: Order) -> Any:
        """The comparison that is shown, with the judge's verdicts; texts that are being written stay."""
        return gr.skip() if self._runs.busy(request) else self._reorder(shown, order)

    def _cards(self, comparison: Comparison, order: Order) -> dict[str, Any]:
        completions = comparison.completions
        others, judged = self._others(completions), {}
        try:
            judged = self._workbench.judgements([*completions, *others])
        except StorageError as error:  # the texts are shown all the same
            gr.Warning(html.escape(sentence(str(error))), title="Judgements are not shown", duration=12)
        homes = self.homes(completions)
        title = made_on(comparison, self._workbench.model_state().weights_hash)
        own_norms = comparison.settings.get("radii", ()) is None
        return grid(
            self._workbench.ordered(completions, order), self._names(homes), judged=judged, title=title, others=others,
            homes=homes, stamp=stamp(completions, homes, comparison.id, own_norms=own_norms),
            samples=self._samples(completions),
        )  # fmt: skip

    def _others(self, completions: Sequence[Completion]) -> Sequence[Completion]:
        """The stored texts at other R."""
        try:
            return self._workbench.at_other_radii(completions)
        except StorageError:  # those of the comparison are shown all the same
            return []

    def _samples(self, completions: Sequence[Completion]) -> Sequence[Completion]:
        """The stored texts of other seeds."""
        try:
            return self._workbench.at_other_seeds(completions)
        except StorageError:
            return []

    def homes(self, completions: Sequence[Completion]) -> dict[str, Home]:
        """Where the vectors of these texts are, by the hash of their bank."""
        banks = {one.bank_hash: one.bank for one in completions if isinstance(one.vector, int)}
        return {key: self._workbench.home(key, name or "") for key, name in banks.items() if key is not None}

    def _names(self, homes: dict[str, Home]) -> dict[int, str]:
        """The label names of vectors that are on the shelf."""
        shelf = ((home.name, key) for key, home in homes.items() if home.place == "shelf")
        return self._session.names(*next(shelf, (None, None)))

    def _steer(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        session, order = self._session, values[self.order]
        prompts, bank, vectors = session.prompts(values), values[session.bank], chosen(values[session.vectors])
        control, decoding = values[self.control], self.decoding(values)
        radii = radii_of(values[session.radius]) if vectors or control else []
        study = Steer(
            bank=bank, prompts=prompts, vectors=vectors, radii=radii, decoding=decoding, random_control=control,
            both_signs=values[self.both], samples=values[self.samples] if decoding.temperature else 1,
        )  # fmt: skip
        texts: Sequence[Any] = self._drafts(study, bank)
        homes, seen = self.homes(texts), False
        names = self._names(homes)

        def draw(step: Any) -> Changes:
            nonlocal seen
            if step is not None and not step.completions:
                return {}
            now = texts if step is None else step.completions
            others = None if step is None or seen else self._others(now)  # once: the page keeps them
            seen = step is not None
            made = stamp(now, homes, own_norms=radii is None)
            return {self.grid: grid(now, names, live=True, others=others, homes=homes, stamp=made)}

        done = yield from self._runs.do(request, study, self.progress, "waiting for the model", draw)
        if done is None:
            return
        comparison, stopped = done
        ended = "Stopped" if stopped else "Done"
        if comparison.not_kept:
            message = f"{comparison.not_kept} They are stored as soon as that is possible; Save again tries at once."
            gr.Warning(html.escape(sentence(message)), title="The texts are not kept yet", duration=12)
            ended += ", not kept yet"
        yield {
            self.grid: self._cards(comparison, order),
            self.progress: resting(ended),
            self.history: self.choices(comparison.id),
            self._shown: comparison.id,
        }

    def _drafts(self, study: Steer, bank: str | None) -> list[Any]:
        """The texts before the first word."""
        state, held = self._workbench.model_state(), self._workbench.bank(bank) if bank else None
        decoding = asdict(study.decoding)
        return drafts(
            study.prompts, self._workbench.variants(study), **decoding, bank=bank, bank_hash=held and held.hash,
            model=state.name, model_hash=state.weights_hash, dtype=state.dtype,
        )  # fmt: skip

    def _steer_again(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Steer after R or the selection has changed, if that is wanted."""
        if values[self.auto]:
            yield from self._steer(request, values)

    def _enable(self, mode: str, control: bool) -> Changes:
        """Enable the fields that count; the seed also gives the random control its direction."""
        sampled = mode == "sampled"
        usable = {self.temperature: sampled, self.top_p: sampled, self.seed: sampled or control, self.samples: sampled}
        return {field: gr.Number(interactive=on) for field, on in usable.items()}

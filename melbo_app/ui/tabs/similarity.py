"""Similarity: which vectors do the same."""

from collections.abc import Iterator

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import MelboError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.similarity import Compare, Similarity
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.fields import button
from melbo_app.ui.forms import bank_chosen
from melbo_app.ui.guard import Changes, Values, bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import sentence, vector_name
from melbo_app.ui.rooms import Rooms
from melbo_app.ui.session import Session
from melbo_app.ui.stamp import prompts_stamp
from melbo_app.ui.tabs.pairs import Compared, Pairs
from melbo_app.workbench import Workbench

SCOPES = [("all tokens", "all"), ("content tokens", "content"), ("assistant tag", "assistant")]
EMPTY = "Press Compare to see which vectors change the activations in the same way."
NO_TEXTS = "No stored texts of these vectors on this prompt: steer with them, then compare again."


class SimilarityTab:
    """The tab Similarity."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._found = gr.State(None)  # what was compared
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.compare = button("Compare", "similarity-run", 110, variant="primary")
            self.scope = gr.Radio(SCOPES, value="content", label="Tokens", elem_id="similarity-scope", container=False)
            self.clustered = gr.Checkbox(
                label="group similar vectors", value=True, elem_id="similarity-order", container=False
            )
        self.progress = progress_bar(resting(), elem_id="similarity-progress")
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(scale=5, min_width=340):
                self.delta = plotly_view({"message": EMPTY}, elem_id="similarity-delta", start="similarity-run")
                self.delta_note = note_view(elem_id="similarity-delta-mean")
            with gr.Column(scale=4, min_width=300):
                self.pairs = Pairs(workbench, session)
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(min_width=320):
                self.theta = plotly_view(elem_id="similarity-theta")
                self.theta_note = note_view(elem_id="similarity-theta-mean")
            with gr.Column(min_width=320):
                self.text = plotly_view(elem_id="similarity-text")
                self.text_note = note_view(elem_id="similarity-text-mean")

    def bind(self, rooms: Rooms) -> None:
        """Bind comparing and reordering; when the view is opened first, the chosen bank is compared."""
        session = self._session
        inputs = {*session.prompt_inputs, session.bank, self.scope, self._found}
        maps = [self.delta, self.theta, self.text]
        views: list[Block] = [*maps, self.delta_note, self.theta_note, self.text_note]
        outputs: list[Block] = [self._found, self.progress]
        shown = [self._found, self.clustered]
        runs = [
            bind(trigger, self._compare, inputs, outputs, trigger_mode="always_last")
            for trigger in (self.compare.click, self.scope.input)
        ]
        runs.append(bind(rooms.opened("similarity"), self._compare_first, inputs, outputs))
        for run in runs:
            bind(run.success, self._show, shown, [*views, *self.pairs.outputs])
            bind(run.failure, lambda: resting("Not finished."), None, self.progress)
        bind(self.clustered.input, self._draw, shown, views, trigger_mode="always_last")
        self.pairs.bind(self._found, maps, self.progress)

    def _compare(self, values: Values) -> Iterator[Changes]:
        name, prompts = bank_chosen(values[self._session.bank]), tuple(self._session.prompts(values))
        yield {self.progress: working("comparing")}
        bank = self._workbench.bank(name).hash
        study = Compare(bank=name, prompts=prompts, scope=values[self.scope] or "content")
        found = result_of(self._workbench.run(study, stop=leaving()))
        message = f"{len(found.order)} vectors of {name}, scope {found.scope}."
        yield {self._found: Compared(name, bank, prompts, found), self.progress: resting(message)}

    def _compare_first(self, values: Values) -> Iterator[Changes]:
        """Compare when the tab is first opened, if possible. Nobody pressed a button, so errors are no toast."""
        if values[self._found] is None and values[self._session.bank] and self._workbench.model_state().loaded:
            try:
                yield from self._compare(values)
            except MelboError as error:
                yield {self.progress: resting(sentence(str(error)))}

    def _show(self, compared: Compared | None, clustered: bool) -> Changes:
        return {**self._draw(compared, clustered), **(self.pairs.show(compared) if compared else {})}

    def _draw(self, compared: Compared | None, clustered: bool) -> Changes:
        from melbo_app.analysis.heatmap_figure import heatmap_figure  # late: plotly takes a second to import

        if compared is None:
            empty: Changes = {self.delta_note: note(), self.theta_note: note(), self.text_note: note()}
            return {self.delta: {"message": EMPTY}, self.theta: {}, self.text: {}, **empty}
        found = compared.found
        known = self._session.names(compared.bank, compared.bank_hash)
        names = [vector_name(vector, known) for vector in range(len(found.order))]
        order = found.order if clustered else None
        lines = found.tree.lines if clustered else []
        rows = {"vectors": order or list(range(len(names))), "bank": compared.bank}
        made = prompts_stamp(compared.prompts, bank=compared.bank, bank_hash=compared.bank_hash)
        delta = heatmap_figure(found.delta, names, order, "δ: effects of the vectors", lines)
        theta = heatmap_figure(found.theta, names, order, "θ: the vectors themselves")
        texts: dict[str, object] = {"message": NO_TEXTS}
        if found.texts is not None:
            texts = {**figure_value(heatmap_figure(found.texts, names, order, "Texts: what they say")), **rows}
        return {
            self.delta: {**figure_value(delta), **rows, "stamp": made},
            self.theta: {**figure_value(theta), **rows},
            self.text: texts,
            self.delta_note: note(_mean("δ", found.mean_delta), tone="plain"),
            self.theta_note: note(_mean("θ", found.mean_theta), tone="plain"),
            self.text_note: note(*_texts(found), tone="plain"),
        }


def _mean(letter: str, mean: float | None) -> str:
    return f"Mean {letter} cosine off the diagonal: " + ("–" if mean is None else f"{mean:.3f}")


def _texts(found: Similarity) -> list[str]:
    if found.texts is None:
        return []
    without = found.without_texts
    some = f"No stored text on this prompt: {', '.join(map(str, without))}." if without else ""
    return [_mean("text", found.mean_texts), some]

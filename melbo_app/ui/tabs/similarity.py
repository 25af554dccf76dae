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
from melbo_app.workbench import Workbench

SCOPES = [("all tokens", "all"), ("content tokens", "content"), ("assistant tag", "assistant")]
EMPTY = "Press Compare to see which vectors change the activations in the same way."


class SimilarityTab:
    """The tab Similarity."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._found = gr.State(None)  # the bank and its similarities
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.compare = button("Compare", "similarity-run", 110, variant="primary")
            self.scope = gr.Radio(SCOPES, value="content", label="Tokens", elem_id="similarity-scope", container=False)
            self.clustered = gr.Checkbox(
                label="group similar vectors", value=True, elem_id="similarity-order", container=False
            )
        self.progress = progress_bar(resting(), elem_id="similarity-progress")
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(min_width=340):
                self.delta = plotly_view({"message": EMPTY}, elem_id="similarity-delta")
                self.delta_note = note_view(elem_id="similarity-delta-mean")
            with gr.Column(min_width=340):
                self.theta = plotly_view(elem_id="similarity-theta")
                self.theta_note = note_view(elem_id="similarity-theta-mean")

    def bind(self, rooms: Rooms) -> None:
        """Bind comparing and reordering; when the view is opened first, the chosen bank is compared."""
        session = self._session
        inputs = {*session.prompt_inputs, session.bank, self.scope, self._found}
        views: list[Block] = [self.delta, self.theta, self.delta_note, self.theta_note]
        outputs: list[Block] = [self._found, self.progress]
        shown = [self._found, self.clustered]
        runs = [
            bind(trigger, self._compare, inputs, outputs, trigger_mode="always_last")
            for trigger in (self.compare.click, self.scope.input)
        ]
        runs.append(bind(rooms.opened("similarity"), self._compare_first, inputs, outputs))
        for run in runs:
            bind(run.success, self._show, shown, views)
            bind(run.failure, lambda: resting("Not finished."), None, self.progress)
        bind(self.clustered.input, self._show, shown, views, trigger_mode="always_last")

    def _compare(self, values: Values) -> Iterator[Changes]:
        name, prompts = bank_chosen(values[self._session.bank]), self._session.prompts(values)
        yield {self.progress: working("comparing")}
        study = Compare(bank=name, prompts=prompts, scope=values[self.scope] or "content")
        found = result_of(self._workbench.run(study, stop=leaving()))
        message = f"{len(found.order)} vectors of {name} on the prompt at the left, scope {found.scope}."
        yield {self._found: (name, found), self.progress: resting(message)}

    def _compare_first(self, values: Values) -> Iterator[Changes]:
        """Compare when the tab is first opened, if possible. Nobody pressed a button, so errors are no toast."""
        if values[self._found] is None and values[self._session.bank] and self._workbench.model_state().loaded:
            try:
                yield from self._compare(values)
            except MelboError as error:
                yield {self.progress: resting(sentence(str(error)))}

    def _show(self, compared: tuple[str, Similarity] | None, clustered: bool) -> Changes:
        from melbo_app.analysis.figures import heatmap_figure  # late: plotly takes a second to import

        if compared is None:
            return {self.delta: {"message": EMPTY}, self.theta: {}, self.delta_note: note(), self.theta_note: note()}
        bank, found = compared  # another bank may be chosen by now
        known = self._session.names(bank)
        names = [vector_name(vector, known) for vector in range(len(found.order))]
        order = found.order if clustered else None
        return {
            self.delta: figure_value(heatmap_figure(found.delta, names, order, "δ: effects of the vectors")),
            self.theta: figure_value(heatmap_figure(found.theta, names, order, "θ: the vectors themselves")),
            self.delta_note: note(_mean("δ", found.mean_delta), tone="plain"),
            self.theta_note: note(_mean("θ", found.mean_theta), tone="plain"),
        }


def _mean(letter: str, mean: float | None) -> str:
    return f"Mean {letter} cosine off the diagonal: " + ("–" if mean is None else f"{mean:.3f}")

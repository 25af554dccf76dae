"""Similarity: which vectors are the same thing twice."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from melbo_app.errors import MelboError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.similarity import Compare, Similarity
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.plotly_view import figure_value, plotly_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.forms import bank_chosen, prompts_from
from melbo_app.ui.guard import bind
from melbo_app.ui.leaving import leaving
from melbo_app.ui.present import sentence, vector_name
from melbo_app.ui.session import Session
from melbo_app.workbench import Workbench

SCOPES = [("all tokens", "all"), ("content tokens", "content"), ("assistant tag", "assistant")]
EMPTY = "Press Compare to see which vectors change the activations in the same way."


class SimilarityTab:
    """The third tab."""

    def __init__(self, workbench: Workbench, session: Session) -> None:
        self._workbench, self._session = workbench, session
        self._found = gr.State(None)  # the bank, and what was found of it
        with gr.Row(elem_classes="mx-toolbar", equal_height=True):
            self.compare = gr.Button("Compare", variant="primary", elem_id="similarity-run", scale=0, min_width=110)
            self.scope = gr.Radio(SCOPES, value="content", label="Tokens", elem_id="similarity-scope", container=False)
            self.clustered = gr.Checkbox(
                label="alike vectors together", value=True, elem_id="similarity-order", container=False
            )
        self.progress = progress_bar(resting(), elem_id="similarity-progress")
        with gr.Row(elem_classes="mx-split"):
            with gr.Column(min_width=340):
                self.delta = plotly_view({"message": EMPTY}, elem_id="similarity-delta")
                self.delta_note = note_view(elem_id="similarity-delta-mean")
            with gr.Column(min_width=340):
                self.theta = plotly_view(elem_id="similarity-theta")
                self.theta_note = note_view(elem_id="similarity-theta-mean")

    def bind(self, tab: gr.Tab) -> None:
        """Bind comparing and reordering; when ``tab`` is opened first, the chosen bank is compared."""
        session = self._session
        inputs = [*session.prompt_inputs, session.bank, self.scope]
        views = [self.delta, self.theta, self.delta_note, self.theta_note]
        outputs, shown = [self._found, self.progress], [self._found, self.clustered]
        runs = [
            bind(trigger, self._compare, inputs, outputs, trigger_mode="always_last")
            for trigger in (self.compare.click, self.scope.input)
        ]
        runs.append(bind(tab.select, self._compare_first, [self._found, *inputs], outputs))
        for run in runs:
            bind(run.success, self._show, shown, views)
            bind(run.failure, lambda: resting("Not finished."), None, self.progress)
        bind(self.clustered.input, self._show, shown, views, trigger_mode="always_last")

    def _compare(
        self, text: str, system: str, template: str, bank: str | None, scope: str
    ) -> Iterator[tuple[Any, Any]]:
        name, prompts = bank_chosen(bank), prompts_from(text, system, template)
        yield gr.skip(), working("comparing")
        study = Compare(bank=name, prompts=prompts, scope=scope)
        found = result_of(self._workbench.run(study, stop=leaving()))
        yield (
            (name, found),
            resting(f"{len(found.order)} vectors of {name} on the prompt at the left, scope {found.scope}."),
        )

    def _compare_first(
        self, present: Any, text: str, system: str, template: str, bank: str | None, scope: str | None
    ) -> Iterator[tuple[Any, Any]]:
        """Compare when the tab is opened, once and only where it can be done; nobody pressed a button for it."""
        if present is not None or not bank or not self._workbench.model_state().loaded:
            yield gr.skip(), gr.skip()
            return
        try:
            yield from self._compare(text, system, template, bank, scope or "content")
        except MelboError as error:
            yield gr.skip(), resting(sentence(str(error)))

    def _show(self, compared: tuple[str, Similarity] | None, clustered: bool) -> list[Any]:
        from melbo_app.analysis.figures import heatmap_figure  # late: plotly takes a second to import

        if compared is None:
            return [{"message": EMPTY}, {}, note(), note()]
        bank, found = compared  # another bank may be chosen by now
        known = self._session.names(bank)
        names = [vector_name(vector, known) for vector in range(len(found.order))]
        order = found.order if clustered else None
        return [
            figure_value(heatmap_figure(found.delta, names, order, "δ: what the vectors change")),
            figure_value(heatmap_figure(found.theta, names, order, "θ: the vectors themselves")),
            note(_mean("δ", found.mean_delta), tone="plain"),
            note(_mean("θ", found.mean_theta), tone="plain"),
        ]


def _mean(letter: str, mean: float | None) -> str:
    return f"Mean {letter} cosine off the diagonal: " + ("–" if mean is None else f"{mean:.3f}")

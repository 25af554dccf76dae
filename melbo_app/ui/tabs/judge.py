"""A judge: which one, how it does beside the built-in verdict, and what it says of the texts that are shown."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from melbo_app.errors import InputError, MelboError
from melbo_app.hosts import is_loopback
from melbo_app.jobs.progress import Progress
from melbo_app.studies.judge import JudgeTexts, ScoreJudge
from melbo_app.studies.judge_address import ADDRESS
from melbo_app.studies.judge_endpoint import KEY, Endpoint
from melbo_app.studies.judging import Standing
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting, working
from melbo_app.ui.forms import Returning
from melbo_app.ui.guard import bind
from melbo_app.ui.present import sentence
from melbo_app.ui.runs import Runs, frames
from melbo_app.workbench import Workbench

LOADED, ENDPOINT = "loaded model", "endpoint"
SENT = f"Prompts and texts are sent there; the key in {KEY} to the address in {ADDRESS} and to no other."


class JudgeSection:
    """A section of the tab Completions."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench, self._runs = workbench, Runs()
        named, free = workbench.judge_address, not workbench.why_not("judge_endpoint")
        self._free = free  # whether people here may name an endpoint
        who = [LOADED, ENDPOINT] if free or (named.url and named.model) else [LOADED]
        with gr.Accordion("A judge", open=False, elem_id="judge") as self._section:
            with gr.Row(elem_classes="mx-fields"):
                self.who = gr.Radio(who, value=LOADED, label="Judge", elem_id="judge-who", min_width=262)
                self.url = gr.Textbox(
                    named.url if free else "", visible=free, label="Endpoint", placeholder="https://host/v1",
                    elem_id="judge-endpoint", scale=3, min_width=180, interactive=False,
                )  # fmt: skip
                self.model = gr.Textbox(
                    named.model if free else "", visible=free, label="Endpoint model", placeholder="its name there",
                    elem_id="judge-endpoint-model", scale=2, min_width=140, interactive=False,
                )  # fmt: skip
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.score = gr.Button("Score it", elem_id="judge-score", scale=0, min_width=100)
                self.judge = gr.Button(
                    "Judge these texts", elem_id="judge-texts", scale=0, min_width=150, interactive=False
                )
                self.stop = gr.Button("Stop", elem_id="judge-stop", scale=0, min_width=80)
                self.progress = progress_bar(resting(), elem_id="judge-progress")
            self.message = note_view(elem_id="judge-standing")
        self.inputs = [self.who, self.url, self.model]
        self.outputs = [self.judge, self.message]

    def bind(self, shown: gr.State) -> Any:
        """Bind choosing, scoring and judging of the comparison that is ``shown``; the event after which texts may have
        been judged."""
        for trigger in (self._section.expand, self.url.change, self.model.change):
            bind(trigger, self.look, self.inputs, self.outputs, trigger_mode="always_last")
        bind(self.who.input, self._choose, self.inputs, [self.url, self.model, *self.outputs])
        self._runs.bind(self.score.click, self._score, self.inputs, [self.progress, *self.outputs], self.progress)
        judged = self._runs.bind(self.judge.click, self._judge, [shown, *self.inputs], self.progress, self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        return judged

    def look(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> list[Any]:
        """Values of ``outputs``: whether the judge is on, and why not. What is wrong is worth no message yet."""
        if who == ENDPOINT and self._free and not (url and model):
            return [gr.Button(interactive=False), note("Write the endpoint's address and its model's name.", SENT)]
        if who != ENDPOINT and not self._workbench.model_state().loaded:
            return [gr.Button(interactive=False), note("The model is not loaded yet.")]
        try:
            found = self._workbench.judge_standing(self._endpoint(request, who, url, model))
        except MelboError as error:
            return [gr.Button(interactive=False), note(sentence(str(error)), tone="warning")]
        return self._standing(found, who, model)

    def _choose(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> list[Any]:
        """The fields of an endpoint count where it is one."""
        usable = who == ENDPOINT
        fields = [gr.Textbox(interactive=usable), gr.Textbox(interactive=usable)]
        return [*fields, *self.look(request, who, url, model)]

    def _standing(self, found: Standing, who: str | None, model: str | None) -> list[Any]:
        theirs = model if self._free else self._workbench.judge_address.model
        name = theirs if who == ENDPOINT else self._workbench.model_state().name
        texts, built_in = found.built_in.texts, found.built_in.same
        if found.score is None:
            message = f"{name} was never compared with the reader: off. Score it on {texts} hand-graded texts."
        else:
            message = (
                f"{name} agrees with the reader on {found.score.same} of {found.score.texts}, the built-in verdict on "
                f"{built_in} of {texts}: {'on' if found.on else 'off'}"
            )
        return [gr.Button(interactive=found.on), note(message, SENT if who == ENDPOINT else "", tone="plain")]

    def _score(
        self, request: gr.Request, who: str | None, url: str | None, model: str | None
    ) -> Iterator[tuple[Any, ...]]:
        endpoint = self._endpoint(request, who, url, model)
        with self._runs.start(request) as stop:
            yield working("waiting for the judge"), gr.skip(), gr.skip()
            run = Returning(self._workbench.run(ScoreJudge(endpoint=endpoint), stop=stop.is_set))
            for step in frames(run):
                yield _bar(step, stop.is_set()), gr.skip(), gr.skip()
            if self._runs.replaced(request, stop):
                return
        if run.result is None:
            yield resting("Stopped: its last score stays."), gr.skip(), gr.skip()
        else:
            yield resting("Done"), *self._standing(run.result, who, model)

    def _judge(
        self, request: gr.Request, shown: int | None, who: str | None, url: str | None, model: str | None
    ) -> Iterator[Any]:
        if shown is None:
            raise InputError("comparison", "none is shown", "Press Steer")
        endpoint = self._endpoint(request, who, url, model)
        with self._runs.start(request) as stop:
            yield working("waiting for the judge")
            run = Returning(self._workbench.run(JudgeTexts(comparison=shown, endpoint=endpoint), stop=stop.is_set))
            for step in frames(run):
                yield _bar(step, stop.is_set())
            if self._runs.replaced(request, stop):
                return
            stopped = stop.is_set()
        yield resting(f"{len(run.result)} texts are judged." if not stopped else "Stopped: what was judged is shown.")

    def _endpoint(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> Endpoint | None:
        if who != ENDPOINT:
            return None
        return self._workbench.judge_endpoint(url or "", model or "", here=_is_here(request))


def _is_here(request: gr.Request) -> bool:
    return request.client is not None and is_loopback(request.client.host)


def _bar(step: Progress, stopping: bool) -> dict[str, Any]:
    stage = "Stopping" if stopping else f"{step.stage} {step.done + 1} of {step.total}"
    return working(stage, step.done / max(1, step.total))

"""The judge: which one it is, how it compares with the built-in verdict, and its verdicts on the texts shown."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import InputError, MelboError
from melbo_app.hosts import is_loopback
from melbo_app.jobs.progress import Progress
from melbo_app.studies.judge import JudgeTexts, ScoreJudge
from melbo_app.studies.judge_address import ADDRESS
from melbo_app.studies.judge_endpoint import KEY, Endpoint
from melbo_app.studies.judging import Standing
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.fields import button, text
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.present import sentence
from melbo_app.ui.runs import Runs
from melbo_app.workbench import Workbench

LOADED, ENDPOINT = "loaded model", "endpoint"
SENT = f"It receives prompts and texts. The key in {KEY} goes only to the address in {ADDRESS}."
WAITING = "waiting for the judge"


class JudgeSection:
    """A section of the tab Completions."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench, self._runs = workbench, Runs(workbench)
        named, free = workbench.judge_address, not workbench.why_not("judge_endpoint")
        self._free = free  # whether people here may name an endpoint
        who = [LOADED, ENDPOINT] if free or (named.url and named.model) else [LOADED]
        with gr.Accordion("A judge", open=False, elem_id="judge") as self._section:
            with gr.Row(elem_classes="mx-fields"):
                self.who = gr.Radio(who, value=LOADED, label="Judge", elem_id="judge-who", min_width=262)
                url, model = (named.url, named.model) if free else ("", "")
                how: dict[str, Any] = {"visible": free, "interactive": False}
                self.url = text("Endpoint", "judge-endpoint", "https://host/v1", 180, value=url, scale=3, **how)
                self.model = text(
                    "Endpoint model", "judge-endpoint-model", "its name there", 140, value=model, scale=2, **how
                )
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.score = button("Score it", "judge-score", 100)
                self.judge = button("Judge these texts", "judge-texts", 150, interactive=False)
                self.stop = button("Stop", "judge-stop", 80)
                self.progress = progress_bar(resting(), elem_id="judge-progress")
            self.message = note_view(elem_id="judge-standing")
        self.inputs: list[Component] = [self.who, self.url, self.model]
        self.outputs: list[Block] = [self.judge, self.message]

    def bind(self, shown: gr.State) -> Any:
        """Bind choosing, scoring and judging the comparison that is ``shown``; returns the event of judging."""
        for trigger in (self._section.expand, self.url.change, self.model.change):
            bind(trigger, self.look, self.inputs, self.outputs, trigger_mode="always_last")
        bind(self.who.input, self._choose, self.inputs, [self.url, self.model, *self.outputs])
        self._runs.bind(self.score.click, self._score, self.inputs, [self.progress, *self.outputs], self.progress)
        judged = self._runs.bind(self.judge.click, self._judge, [shown, *self.inputs], [self.progress], self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        return judged

    def look(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> Changes:
        """Show whether the judge is on, and why not; an incomplete address is not an error yet."""
        if who == ENDPOINT and self._free and not (url and model):
            return self._off(note("Write the endpoint's address and its model's name.", SENT))
        if who != ENDPOINT and not self._workbench.model_state().loaded:
            return self._off(note("The model is not loaded yet."))
        try:
            found = self._workbench.judge_standing(self._endpoint(request, who, url, model))
        except MelboError as error:
            return self._off(note(sentence(str(error)), tone="warning"))
        return self._standing(found, who, model)

    def _off(self, why: dict[str, Any]) -> Changes:
        return {self.judge: gr.Button(interactive=False), self.message: why}

    def _choose(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> Changes:
        """Enable the fields of an endpoint for one."""
        usable = gr.Textbox(interactive=who == ENDPOINT)
        return {self.url: usable, self.model: usable, **self.look(request, who, url, model)}

    def _standing(self, found: Standing, who: str | None, model: str | None) -> Changes:
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
        about = note(message, SENT if who == ENDPOINT else "", tone="plain")
        return {self.judge: gr.Button(interactive=found.on), self.message: about}

    def _score(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> Iterator[Changes]:
        study = ScoreJudge(endpoint=self._endpoint(request, who, url, model))
        done = yield from self._runs.do(request, study, self.progress, WAITING, stage=_stage)
        if done is not None and done[0] is not None:
            yield {self.progress: resting("Done"), **self._standing(done[0], who, model)}
        elif done is not None:
            yield {self.progress: resting("Stopped: the last score stays.")}

    def _judge(
        self, request: gr.Request, shown: int | None, who: str | None, url: str | None, model: str | None
    ) -> Iterator[Changes]:
        if shown is None:
            raise InputError("comparison", "none is shown", "Press Steer")
        study = JudgeTexts(comparison=shown, endpoint=self._endpoint(request, who, url, model))
        done = yield from self._runs.do(request, study, self.progress, WAITING, stage=_stage)
        if done is not None:
            judged, stopped = done
            ended = "Stopped: the verdicts so far are shown." if stopped else f"{len(judged)} texts are judged."
            yield {self.progress: resting(ended)}

    def _endpoint(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> Endpoint | None:
        if who != ENDPOINT:
            return None
        return self._workbench.judge_endpoint(url or "", model or "", here=_is_here(request))


def _is_here(request: gr.Request) -> bool:
    return request.client is not None and is_loopback(request.client.host)


def _stage(step: Progress) -> str:
    return f"{step.stage} {step.done + 1} of {step.total}"

"""The judge: which one it is, how it compares with the built-in verdict, and its verdicts on the texts shown."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.progress import Progress
from melbo_app.studies.judge import JudgeTexts, ScoreJudge
from melbo_app.studies.judging import Standing
from melbo_app.ui.assistant_fields import ENDPOINT, SENT, AssistantFields
from melbo_app.ui.components.note import note, note_view
from melbo_app.ui.components.progress_bar import progress_bar, resting
from melbo_app.ui.fields import button
from melbo_app.ui.guard import Changes, bind
from melbo_app.ui.present import sentence
from melbo_app.ui.runs import Runs
from melbo_app.workbench import Workbench

WAITING = "waiting for the judge"


class JudgeSection:
    """A section of the tab Completions."""

    def __init__(self, workbench: Workbench) -> None:
        self._workbench, self._runs = workbench, Runs(workbench)
        with gr.Accordion("A judge", open=False, elem_id="judge") as self._section:
            self._fields = AssistantFields(workbench, "judge", "Judge")
            with gr.Row(elem_classes="mx-toolbar", equal_height=True):
                self.score = button("Score it", "judge-score", 100)
                self.judge = button("Judge these texts", "judge-texts", 150, interactive=False)
                self.stop = button("Stop", "judge-stop", 80)
                self.progress = progress_bar(resting(), elem_id="judge-progress")
            self.message = note_view(elem_id="judge-standing")
        self.inputs = self._fields.inputs
        self.outputs: list[Block] = [self.judge, self.message]

    def bind(self, shown: gr.State) -> Any:
        """Bind choosing, scoring and judging the comparison that is ``shown``; returns the event of judging."""
        fields = self._fields
        for trigger in (self._section.expand, fields.url.change, fields.model.change):
            bind(trigger, self.look, self.inputs, self.outputs, trigger_mode="always_last")
        bind(fields.who.input, self._choose, self.inputs, [fields.url, fields.model, *self.outputs])
        self._runs.bind(self.score.click, self._score, self.inputs, [self.progress, *self.outputs], self.progress)
        judged = self._runs.bind(self.judge.click, self._judge, [shown, *self.inputs], [self.progress], self.progress)
        self._runs.bind_stop(self.stop, self.progress)
        return judged

    def look(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> Changes:
        """Show whether the judge is on, and why not; an incomplete address is not an error yet."""
        if who == ENDPOINT and self._fields.free and not (url and model):
            return self._off(note("Write the endpoint's address and its model's name.", SENT))
        if who != ENDPOINT and not self._workbench.model_state().loaded:
            return self._off(note("The model is not loaded yet."))
        try:
            found = self._workbench.judge_standing(self._fields.endpoint(request, who, url, model))
        except MelboError as error:
            return self._off(note(sentence(str(error)), tone="warning"))
        return self._standing(found, who, model)

    def _off(self, why: dict[str, Any]) -> Changes:
        return {self.judge: gr.Button(interactive=False), self.message: why}

    def _choose(self, request: gr.Request, who: str | None, url: str | None, model: str | None) -> Changes:
        """Enable the fields of an endpoint for one."""
        return {**self._fields.enabled(who), **self.look(request, who, url, model)}

    def _standing(self, found: Standing, who: str | None, model: str | None) -> Changes:
        name = self._fields.name(who, model)
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
        study = ScoreJudge(endpoint=self._fields.endpoint(request, who, url, model))
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
        study = JudgeTexts(comparison=shown, endpoint=self._fields.endpoint(request, who, url, model))
        done = yield from self._runs.do(request, study, self.progress, WAITING, stage=_stage)
        if done is not None:
            judged, stopped = done
            ended = "Stopped: the verdicts so far are shown." if stopped else f"{len(judged)} texts are judged."
            yield {self.progress: resting(ended)}


def _stage(step: Progress) -> str:
    return f"{step.stage} {step.done + 1} of {step.total}"

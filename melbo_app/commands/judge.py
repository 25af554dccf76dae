"""Ask a judge how readable texts are and what is done in them, or compare it with a reader."""

from typing import Annotated

import typer

from melbo_app.commands.options import Json, ModelOption, load, unkept
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.endpoint import KEY
from melbo_app.jobs.judge_address import ADDRESS, JudgeAddress
from melbo_app.library.judges import JudgeScore
from melbo_app.results import judged
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench


def judge(
    comparison: Annotated[int | None, typer.Argument(metavar="COMPARISON", help="Number of a comparison.")] = None,
    score: Annotated[bool, typer.Option("--score", help="Compare the judge with a reader's grades instead.")] = False,
    model: ModelOption = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint", help=f"https://host/v1 of a server that judges; its key is in {KEY}, of {ADDRESS} if set."
        ),
    ] = None,
    endpoint_model: Annotated[str, typer.Option("--endpoint-model", help="The model's name there.")] = "",
    as_json: Json = False,
) -> None:
    """Grade the texts of a comparison and name what is done in them, by a judge that beats the built-in verdict.

    The judge is the model at hand (--model), or one behind an endpoint; then the texts and their prompts go there.
    """
    if score == (comparison is not None):
        raise InputError("comparison", "either its number or --score is needed", "Give one of the two")
    if endpoint and model:
        raise InputError("judge", "a model and an endpoint are named", "Give one of the two")
    settings, stop = Settings(), StopOnInterrupt()
    asked = JudgeAddress.of(settings).named_in_a_command(endpoint, endpoint_model) if endpoint else None
    workbench = Workbench(settings)
    if asked is None:
        load(workbench, model)
    if comparison is None:
        found = run(workbench.score_judge(asked, stop=stop))
        if found is None or found.score is None:
            raise Stopped("Stopped before the last text: the judge's last score stays.")
        lines = [
            _line(found.score),
            _line(found.built_in),
            "It is on." if found.on else "It stays off: it does not beat the built-in verdict.",
        ]
        told = {
            "judge": found.score.model_dump(),
            "built_in": found.built_in.model_dump(),
            "on": found.on,
            "not_kept": unkept(workbench),
        }
        show(told, lines, as_json)
        return
    texts = run(workbench.judge(comparison, asked, stop=stop))
    lines = [f"{said.verdict}: {said.behaviour}\n  {completion.text!r}" for completion, said in texts]
    show(judged(comparison, texts, unkept(workbench)), lines, as_json)


def _line(score: JudgeScore) -> str:
    return (
        f"{score.judge}: the reader's word for {score.same} of {score.texts} texts, "
        f"readable or not as the reader says for {score.same_readable}"
    )

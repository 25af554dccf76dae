"""Ask a judge how readable texts are and what is done in them, or compare it with a reader."""

from typing import Annotated, Any

import typer

from melbo_app.commands.options import Json, ModelOption, load, unkept
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.errors import InputError
from melbo_app.jobs.study import Study
from melbo_app.settings import Settings
from melbo_app.studies.judge import JudgeTexts, ScoreJudge
from melbo_app.studies.judge_address import ADDRESS, JudgeAddress
from melbo_app.studies.judge_endpoint import KEY
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
    study: Study[Any] = (
        ScoreJudge(endpoint=asked) if comparison is None else JudgeTexts(comparison=comparison, endpoint=asked)
    )
    found = run(workbench.run(study, stop=stop))
    show(study.answer(found, unkept(workbench)), study.lines(found), as_json)

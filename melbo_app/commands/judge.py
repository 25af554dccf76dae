"""Ask a judge for the readability and behaviour of texts, or compare it with a reader."""

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
    score: Annotated[bool, typer.Option("--score", help="Instead, compare the judge with a reader's grades.")] = False,
    model: ModelOption = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint", help=f"https://host/v1 of a judging server; {KEY} holds its key, or that of {ADDRESS} if set."
        ),
    ] = None,
    endpoint_model: Annotated[str, typer.Option("--endpoint-model", help="Name of the model at the endpoint.")] = "",
    as_json: Json = False,
) -> None:
    """Grade the texts of a comparison and name their behaviour, by a judge that beats the built-in verdict.

    The judge is the local model (--model), or one behind an endpoint, to which texts and prompts are then sent.
    """
    if score == (comparison is not None):
        raise InputError("comparison", "needs either its number or --score", "Give one of the two")
    if endpoint and model:
        raise InputError("judge", "both a model and an endpoint were given", "Give one of the two")
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

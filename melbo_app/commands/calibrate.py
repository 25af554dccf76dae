"""Find R without generating any text."""

from dataclasses import asdict
from typing import Annotated

import typer

from melbo_app.commands.options import (
    Json,
    ModelOption,
    NoTemplateOption,
    PromptOption,
    ScopeOption,
    SystemOption,
    TemplateOption,
    prepare,
    template_of,
)
from melbo_app.commands.output import StopOnInterrupt, run, show


def calibrate(
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    source: Annotated[int | None, typer.Option("--source", help="Source layer.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer.")] = None,
    scope: ScopeOption = None,
    as_json: Json = False,
) -> None:
    """The R at which what random vectors change is half as far from linear as it is large."""
    workbench, prompts = prepare(prompt, system, template_of(template, no_template), model, scope)
    found = run(workbench.calibrate(prompts, source, target, scope, stop=StopOnInterrupt()))
    told = {**asdict(found), "suggested_radius": found.suggested_radius, "sentence": found.sentence}
    show(told, [found.sentence], as_json)

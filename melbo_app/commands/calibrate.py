"""Find R without generating any text."""

from dataclasses import asdict
from typing import Annotated

import typer

from melbo_app.commands.options import (
    Json,
    ModelOption,
    PromptOption,
    ScopeOption,
    SystemOption,
    TemplateOption,
    check_texts,
    load,
)
from melbo_app.commands.options import prompts as read_prompts
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.engine.scope import TokenScope
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench


def calibrate(
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    model: ModelOption = None,
    source: Annotated[int | None, typer.Option("--source", help="Source layer.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer.")] = None,
    scope: ScopeOption = None,
    as_json: Json = False,
) -> None:
    """The R at which what random vectors change is half as far from linear as it is large."""
    TokenScope.parse(scope or "all")  # refuses a wrong one now: loading the model takes seconds
    check_texts(prompt)
    workbench = Workbench(Settings())
    state = load(workbench, model)
    prompts = read_prompts(prompt, system, template, bool(state.has_template))
    found = run(workbench.calibrate(prompts, source, target, scope, stop=StopOnInterrupt()))
    told = {**asdict(found), "suggested_radius": found.suggested_radius, "sentence": found.sentence}
    show(told, [found.sentence], as_json)

"""Compare the vectors of a bank."""

from typing import Annotated

import typer

from melbo_app.commands.options import (
    BankArgument,
    Json,
    ModelOption,
    NoTemplateOption,
    PromptOption,
    SystemOption,
    TemplateOption,
    check_texts,
    load,
    prompts_for,
    template_of,
)
from melbo_app.commands.output import show
from melbo_app.engine.scope import TokenScope
from melbo_app.results import cosines
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench


def similarity(
    bank: BankArgument,
    scope: Annotated[str, typer.Option("--scope", help="all, content, assistant or last:4.")] = "content",
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    as_json: Json = False,
) -> None:
    """Pairwise cosines of what a bank's vectors change. Default prompts: those of the bank."""
    TokenScope.parse(scope)  # refuses a wrong one now: loading the model takes seconds
    if prompt:
        check_texts(prompt)
    workbench = Workbench(Settings())
    loaded = workbench.bank(bank)
    state = load(workbench, model, loaded.record.model)
    prompts = prompts_for(loaded, prompt, system, template_of(template, no_template), bool(state.has_template))
    found = workbench.similarity(bank, prompts, scope)
    mean = "one vector only" if found.mean_delta is None else f"mean off the diagonal {found.mean_delta:.3f}"
    lines = [f"δ cosines over {found.scope}: {mean}"]
    lines += ["  ".join(f"{value:6.3f}" for value in row) for row in found.delta]
    show(cosines(bank, found), lines, as_json)

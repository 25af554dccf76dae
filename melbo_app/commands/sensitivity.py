"""Compare pairs of layers before training."""

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
    numbers,
    prepare,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.jobs.training import default_scope


def sensitivity(
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    model: ModelOption = None,
    sources: Annotated[str | None, typer.Option("--sources", help="Source layers, as 5,7.")] = None,
    targets: Annotated[str | None, typer.Option("--targets", help="Target layers, as 15,21.")] = None,
    scope: ScopeOption = None,
    values: Annotated[int, typer.Option("--values", help="Singular values for each pair.")] = 4,
    as_json: Json = False,
) -> None:
    """How strongly target layers answer to source layers: singular values of the Jacobian between them. Ctrl+C keeps
    the pairs that are done."""
    from_layers, to_layers = numbers("source layers", sources, int), numbers("target layers", targets, int)
    workbench, prompts = prepare(prompt, system, template, model, scope)
    usual = workbench.suggestion(prompts)
    pairs = run(
        workbench.sensitivity(
            prompts,
            from_layers or [usual.source],
            to_layers or [usual.target],
            scope or default_scope(prompts),
            values,
            stop=StopOnInterrupt(),
        )
    )
    lines = [f"{pair.source} → {pair.target}: " + "  ".join(f"{value:.4g}" for value in pair.values) for pair in pairs]
    show({"pairs": [asdict(pair) for pair in pairs]}, lines, as_json)

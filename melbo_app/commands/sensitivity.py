"""Compare pairs of layers before training."""

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
    numbers,
    prepare,
    template_of,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.jobs.sensitivity import LayerPair
from melbo_app.jobs.training import default_scope

ROUGH = 1e-3
"""What is left over from which on the fourth digit of a value may be wrong."""


def sensitivity(
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
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
    workbench, prompts = prepare(prompt, system, template_of(template, no_template), model, scope)
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
    show({"pairs": [asdict(pair) for pair in pairs]}, [line(pair) for pair in pairs], as_json)


def line(pair: LayerPair) -> str:
    """What is said of a pair."""
    values = "  ".join(f"{value:.4g}" for value in pair.values)
    rough = "" if pair.residual < ROUGH else f"  (squares to within {pair.residual:.1g} of the largest)"
    return f"{pair.source} → {pair.target}: {values}{rough}"

"""Compare pairs of layers by what vectors do between them."""

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
    unkept,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.jobs.atlas import parse_pairs
from melbo_app.library.atlases import AtlasCell

HEAD = f"{'pair':>8}  {'σ':>9}  {'R':>8}  {'strength':>8}  {'KL':>6}  {'D':>5}  readable"


def atlas(
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    sources: Annotated[str | None, typer.Option("--sources", help="Source layers, as 2,7,12.")] = None,
    targets: Annotated[str | None, typer.Option("--targets", help="Target layers, as 16,21,26.")] = None,
    complete: Annotated[
        str, typer.Option("--complete", help="Pairs whose vectors are completed with: all, none, or 7-21,7-26.")
    ] = "all",
    scope: ScopeOption = None,
    as_json: Json = False,
) -> None:
    """Pairs of layers: singular values, calibrated R, and what vectors change and say at that R. Ctrl+C keeps the pairs
    that are done."""
    from_layers, to_layers = numbers("source layers", sources, int), numbers("target layers", targets, int)
    read = parse_pairs(complete)
    workbench, prompts = prepare(prompt, system, template_of(template, no_template), model, scope)
    found = run(workbench.atlas(prompts, from_layers, to_layers, read, scope, stop=StopOnInterrupt()))
    show(found.model_dump(mode="json") | {"not_kept": unkept(workbench)}, [HEAD, *map(_line, found.cells)], as_json)


def _line(cell: AtlasCell) -> str:
    def number(value: float | None, width: int, digits: str) -> str:
        return f"{'–' if value is None else format(value, digits):>{width}}"

    readable = "–" if cell.readable is None else f"{100 * cell.readable:.0f} %"
    return "  ".join(
        [
            f"{cell.source:>3} → {cell.target:>2}",
            number(cell.values[0] if cell.values else None, 9, ".4g"),
            number(cell.radius, 8, ".3g"),
            number(cell.strength, 8, ".3f"),
            number(cell.kl, 6, ".2f"),
            number(cell.diversity, 5, ".2f"),
            readable,
        ]
    )

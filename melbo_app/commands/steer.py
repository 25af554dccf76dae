"""Complete with vectors: side by side, or on a map."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from melbo_app.commands.options import (
    BankArgument,
    BothOption,
    ControlOption,
    Json,
    ModelOption,
    NoTemplateOption,
    OverwriteOption,
    PromptOption,
    RadiusOption,
    SeedOption,
    SystemOption,
    TemperatureOption,
    TemplateOption,
    TokensOption,
    TopPOption,
    VectorOption,
    check_out,
    template_of,
)
from melbo_app.commands.options import request as read_request
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.engine.decoding import Decoding
from melbo_app.errors import InputError
from melbo_app.jobs.flagging import Order, flagged, gathered
from melbo_app.library.completion import Completion
from melbo_app.paths import written_path
from melbo_app.results import drawn, flags_of, steered
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

if TYPE_CHECKING:  # plotly takes a while to import, and only maps need it
    from melbo_app.analysis.figures import Colouring


def steer(
    bank: BankArgument,
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    vector: VectorOption = None,
    radius: RadiusOption = None,
    max_new_tokens: TokensOption = 40,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    seed: SeedOption = 0,
    random_control: ControlOption = False,
    both_signs: BothOption = False,
    order: Annotated[Order, typer.Option("--order", help="Which texts come first, after the baseline.")] = "as chosen",
    only_flagged: Annotated[
        bool, typer.Option("--flagged", help="Show only what is flagged, over all R, sorted by the kind of flag.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Complete prompts with a bank's vectors added, and without. Default prompts: those of the bank."""
    decoding = Decoding(max_new_tokens, temperature, top_p, seed)
    workbench = Workbench(Settings())
    request = read_request(workbench, bank, prompt, system, template_of(template, no_template), model, vector, radius)
    stop = StopOnInterrupt()
    work = workbench.steer(bank, *request, decoding, random_control=random_control, both_signs=both_signs, stop=stop)
    comparison = run(work)
    if only_flagged:
        lines = [
            f"{one.flag.kind}: {_who(one.completion)}\n  {one.flag.reason}\n  {one.completion.text!r}"
            for one in gathered([comparison])
        ]
        radii = len({one.radius for one in comparison.completions if one.vector is not None})
        lines.append(f"{len(lines)} flag{'s' * (len(lines) != 1)} in {len(comparison.completions)} texts at {radii} R")
        show(flags_of(comparison), lines, as_json)
        return
    shown = comparison.model_copy(update={"completions": tuple(workbench.ordered(comparison.completions, order))})
    lines = []
    for completion, found in zip(shown.completions, flagged(shown.completions), strict=True):
        lines.append(f"{_who(completion)}\n  {completion.text!r}")
        lines += [f"  {flag.kind}: {flag.reason}" for flag in found]
    show(steered(shown), lines, as_json)


def draw_map(
    bank: BankArgument,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.", parser=written_path)],
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    vector: VectorOption = None,
    radius: RadiusOption = None,
    max_new_tokens: TokensOption = 40,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    seed: SeedOption = 0,
    random_control: ControlOption = False,
    colour: Annotated[str, typer.Option("--colour", help="vector, radius or label.")] = "vector",
    overwrite: OverwriteOption = False,
    as_json: Json = False,
) -> None:
    """Draw a map of completions as an HTML page that needs no network."""
    if colour not in ("vector", "radius", "label"):
        raise InputError("colour", f"{colour!r} is not known", "Choose vector, radius or label")
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError("out", f"“{out.name}” is not an HTML file", "Its name must end in .html")
    check_out(out, overwrite)
    decoding = Decoding(max_new_tokens, temperature, top_p, seed)
    workbench = Workbench(Settings())
    request = read_request(workbench, bank, prompt, system, template_of(template, no_template), model, vector, radius)
    stop = StopOnInterrupt()
    found = run(workbench.map(bank, *request, decoding, random_control=random_control, stop=stop))
    if found is None:
        raise InputError("map", "it was stopped before there was one", "Nothing was written")
    workbench.export_map(found, out, cast("Colouring", colour), title=bank, overwrite=overwrite)
    show({"out": str(out), **drawn(found)}, [f"{out}: {len(found.points)} completions. {found.note}"], as_json)


def _who(completion: Completion) -> str:
    name = f"vector {completion.vector}"
    if not isinstance(completion.vector, int):
        name = "random control" if completion.vector else "baseline"
    verdict = completion.scores.verdict if completion.scores else None
    return f"[{completion.prompt_index}] {name}, R = {completion.radius:g}" + (f", {verdict}" if verdict else "")

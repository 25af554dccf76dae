"""Measure a diversity curve, and find its cusp."""

from typing import Annotated

import typer

from melbo_app.analysis.curve import CurvePoint
from melbo_app.analysis.cusp import DEFAULT_DETECTOR, Cusp, cusps
from melbo_app.commands.options import (
    Json,
    ModelOption,
    NoTemplateOption,
    PromptOption,
    SystemOption,
    TemplateOption,
    check_texts,
    load,
    numbers,
    template_of,
    unkept,
)
from melbo_app.commands.options import prompts as read_prompts
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.defaults import own_prompts
from melbo_app.engine.decoding import Decoding
from melbo_app.errors import InputError
from melbo_app.jobs.diversity_curve import check_grid
from melbo_app.results import diversity_curve
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench
from melbo_app.workbench.exploring import CURVE_DECODING, CURVE_VECTORS


def curve(
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    bank: Annotated[
        str | None,
        typer.Option("--bank", help="Rescale this bank's first vectors, on its prompts where none is given."),
    ] = None,
    rescaled: Annotated[
        bool, typer.Option("--rescaled", help="Train one bank and rescale it, not one at each R: cheaper.")
    ] = False,
    radii: Annotated[
        str | None, typer.Option("--radii", help="R as multiples of the median norm; default: 8 from 0.02 to 0.3.")
    ] = None,
    vectors: Annotated[int, typer.Option("--vectors", help="Vectors at each R.")] = CURVE_VECTORS,
    seeds: Annotated[int, typer.Option("--seeds", help="Curves that are put together.")] = 1,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", help="Length of a completion in tokens.")
    ] = CURVE_DECODING.max_new_tokens,
    as_json: Json = False,
) -> None:
    """How diverse completions are over R, beside random vectors of the same R, and the R where that starts to rise.
    Ctrl+C keeps the points that are there."""
    given = numbers("radii", radii, float)
    wanted = None if given is None else check_grid(given, seeds)
    if vectors < 2:
        raise InputError("vectors", f"needs at least 2, not {vectors}", "4 usually works")
    decoding = Decoding(max_new_tokens)
    if prompt or bank is None:
        check_texts(prompt)
    workbench = Workbench(Settings())
    loaded = None if bank is None else workbench.bank(bank)
    state = load(workbench, model, loaded.record.model if loaded else None)
    if loaded is not None and not prompt:
        prompts = own_prompts(loaded, system, template_of(template, no_template))
        check_texts([one.user for one in prompts])
    else:
        prompts = read_prompts(prompt, system, template_of(template, no_template), bool(state.has_template))
    stop = StopOnInterrupt()
    found = run(
        workbench.diversity_curve(
            prompts, bank=bank, rescaled=rescaled, relative_radii=wanted, vectors=vectors, seeds=seeds,
            decoding=decoding, stop=stop,
        )
    )  # fmt: skip
    told = cusps(found.arrays())
    how = "one bank rescaled" if found.how == "rescaled" else "vectors trained at each R"
    lines = [f"{how}; R in multiples of {found.median_norm:.4g}, the median residual norm"]
    lines += [_line(point) for point in found.points]
    lines += [_cusp(one) for one in told]
    show(diversity_curve(found, told, unkept(workbench)), lines, as_json)


def _line(point: CurvePoint) -> str:
    mine, control = point.vectors, point.control
    loss = "" if mine.loss is None else f", loss {mine.loss:.2f} nats"
    return (
        f"R = {point.relative_radius:g}: summed variance {mine.summed_variance:.3f}, "
        f"of random vectors {control.summed_variance:.3f}, "
        f"D {mine.readable_diversity:.3f}, {mine.distinct:g} of {mine.answers:g} distinct, "
        f"{100 * mine.readable:.0f} % readable{loss}"
    )


def _cusp(cusp: Cusp) -> str:
    default = " (the default)" if cusp.detector == DEFAULT_DETECTOR else ""
    if cusp.radius is None:
        return f"{cusp.detector}{default}: no cusp: {cusp.reason}"
    sure = f" ({cusp.low:.3g} to {cusp.high:.3g})" if cusp.low is not None and cusp.high is not None else ""
    return f"{cusp.detector}{default}: R = {cusp.radius:.3g}{sure}, {cusp.reason}"

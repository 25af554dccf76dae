"""From a prompt to its behaviours in one command."""

from typing import Annotated

import typer

from melbo_app.commands.options import (
    EffectBudgetOption,
    Json,
    ModelOption,
    NoTemplateOption,
    ScopeOption,
    SearchSecondsOption,
    SeedOption,
    SystemOption,
    TemplateOption,
    prepare,
    template_of,
    unkept,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.errors import InputError
from melbo_app.library.explorations import RADIUS_RULES, ExploreSettings
from melbo_app.studies.explore import Explore, check_settings

USUAL = ExploreSettings()


def explore(
    prompt: Annotated[str | None, typer.Option("--prompt", help="User text.")] = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    rule: Annotated[
        str, typer.Option("--choose-radius", help="How to choose R: search, calibration, curve or suggested.")
    ] = USUAL.rule,
    radius: Annotated[float | None, typer.Option("--radius", help="R, instead of choosing it.")] = None,
    relative_radius: Annotated[
        float | None, typer.Option("--relative-radius", help="R as a multiple of the median residual norm.")
    ] = None,
    effect_budget: EffectBudgetOption = None,
    search_seconds: SearchSecondsOption = USUAL.search_seconds,
    elsewhere: Annotated[
        int, typer.Option("--elsewhere", help="Number of other prompts to try new behaviours on; 0: none.")
    ] = USUAL.elsewhere,
    vectors: Annotated[int, typer.Option("--vectors", help="Number of vectors to train.")] = USUAL.vectors,
    method: Annotated[str, typer.Option("--method", help="Training method, as listed by `methods`.")] = USUAL.method,
    steps: Annotated[int | None, typer.Option("--steps", help="Maximum number of steps.")] = None,
    source: Annotated[int | None, typer.Option("--source", help="Source layer.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer.")] = None,
    scope: ScopeOption = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", help="Longest completion, in tokens.")
    ] = USUAL.max_new_tokens,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--same-meaning",
            help="Cosine distance up to which answers say the same; default: from random vectors.",
        ),
    ] = None,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Choose R, train vectors, complete, and list the behaviours. Ctrl+C keeps the bank and the finished texts."""
    chosen = next((one for one in RADIUS_RULES if one == rule), None)
    if chosen is None:
        raise InputError("choose radius", f"{rule!r} is unknown", f"Choose {', '.join(RADIUS_RULES)}")
    settings = ExploreSettings(
        rule=chosen, radius=radius, relative_radius=relative_radius, vectors=vectors, method=method, steps=steps,
        source=source, target=target, scope=scope, max_new_tokens=max_new_tokens, threshold=threshold, seed=seed,
        effect_budget=effect_budget, search_seconds=search_seconds, elsewhere=elsewhere,
    )  # fmt: skip
    check_settings(settings)
    texts = None if prompt is None else [prompt]
    workbench, [asked] = prepare(texts, system, template_of(template, no_template), model, scope)
    study = Explore(prompt=asked, settings=settings)
    found = run(workbench.run(study, stop=StopOnInterrupt()))
    show(study.answer(found, unkept(workbench)), study.lines(found), as_json)

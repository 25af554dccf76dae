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
from melbo_app.jobs.exploring import check_settings
from melbo_app.library.explorations import RADIUS_RULES, Exploration, ExploreSettings
from melbo_app.results import AnswerLine, explored

USUAL = ExploreSettings()
LONGEST = 160


def explore(
    prompt: Annotated[str | None, typer.Option("--prompt", help="User text.")] = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    rule: Annotated[
        str, typer.Option("--choose-radius", help="Where R comes from: search, calibration, curve or suggested.")
    ] = USUAL.rule,
    radius: Annotated[float | None, typer.Option("--radius", help="R, instead of choosing it.")] = None,
    relative_radius: Annotated[
        float | None, typer.Option("--relative-radius", help="R as a multiple of the median residual norm.")
    ] = None,
    effect_budget: EffectBudgetOption = None,
    search_seconds: SearchSecondsOption = USUAL.search_seconds,
    elsewhere: Annotated[
        int, typer.Option("--elsewhere", help="On how many other prompts to try what is new; 0: none.")
    ] = USUAL.elsewhere,
    vectors: Annotated[int, typer.Option("--vectors", help="How many to train.")] = USUAL.vectors,
    method: Annotated[str, typer.Option("--method", help="One of those that `methods` lists.")] = USUAL.method,
    steps: Annotated[int | None, typer.Option("--steps", help="Most steps.")] = None,
    source: Annotated[int | None, typer.Option("--source", help="Source layer.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer.")] = None,
    scope: ScopeOption = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", help="Length of a completion in tokens.")
    ] = USUAL.max_new_tokens,
    threshold: Annotated[
        float | None,
        typer.Option("--same-meaning", help="Cosine distance up to which two answers say the same (by the control)."),
    ] = None,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Choose R, train vectors, complete, and tell which behaviours there are. Ctrl+C keeps the bank and the texts that
    are finished."""
    chosen = next((one for one in RADIUS_RULES if one == rule), None)
    if chosen is None:
        raise InputError("choose radius", f"{rule!r} is not known", f"Choose {', '.join(RADIUS_RULES)}")
    settings = ExploreSettings(
        rule=chosen, radius=radius, relative_radius=relative_radius, vectors=vectors, method=method, steps=steps,
        source=source, target=target, scope=scope, max_new_tokens=max_new_tokens, threshold=threshold, seed=seed,
        effect_budget=effect_budget, search_seconds=search_seconds, elsewhere=elsewhere,
    )  # fmt: skip
    check_settings(settings)
    texts = None if prompt is None else [prompt]
    workbench, [asked] = prepare(texts, system, template_of(template, no_template), model, scope)
    found = run(workbench.explore(asked, settings, stop=StopOnInterrupt()))
    show(explored(found, unkept(workbench)), _lines(found), as_json)


def _lines(found: Exploration) -> list[str]:
    said = explored(found)
    lines = [found.sentence, found.radius.sentence]
    lines += [f"  tried {one.sentence}" for one in found.tried]
    lines += [f"Bank “{found.bank}”" + ("" if found.comparison < 0 else f", comparison {found.comparison}")]
    lines += [
        f"Diversity D {found.readable_diversity:.2f} (random vectors {found.control_readable_diversity:.2f}), "
        f"{found.readable:.0%} readable, {sum(found.seconds.values()):.0f} s",
        f"Without steering: {_short(found.baseline)}",
    ]
    for one in said["behaviours"]:
        vectors = ", ".join(map(str, one["vectors"]))
        random = f"{one['control']} of {len(found.control)} random vectors"
        often = "; random vectors show this as often" if one["as_often"] else ""
        lines.append(f"{one['name']} (vectors {vectors}; {random}; distance {one['distance']:.2f}){often}")
        elsewhere = f", {one['elsewhere']['sentence']}" if one["elsewhere"] else ""
        lines.append(f"  {one['representative']}{elsewhere}: {_short(one['text'])}")
    for title, answers in (("All answers", said["answers"]), ("Random vectors of the same R", said["control"])):
        lines.append(f"{title} by distance from the one without steering:")
        lines += [_line(one) for one in answers]
    return lines


def _line(one: AnswerLine) -> str:
    """One answer: its number, distance, verdict, flags, and the reason why it was set aside."""
    flags = ", ".join(flag["kind"] for flag in one["flags"])
    marks = [one["verdict"] or "not scored", flags, f"set aside, {one['aside']}" if one["aside"] else ""]
    known = "; ".join(mark for mark in marks if mark)
    return f"  {one['vector']:>3}  {one['distance']:.2f}  [{known}]  {_short(one['text'])}"


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + "…"

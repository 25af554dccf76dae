"""Train a bank."""

import itertools
from statistics import fmean
from typing import Annotated

import typer

from melbo_app.commands.options import (
    EffectBudgetOption,
    Json,
    ModelOption,
    NoTemplateOption,
    PromptOption,
    ScopeOption,
    SearchSecondsOption,
    SeedOption,
    SystemOption,
    TemplateOption,
    load,
    template_of,
)
from melbo_app.commands.options import prompts as read_prompts
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.defaults import OpenTraining, check_texts
from melbo_app.doors.asking import COMMAND
from melbo_app.engine.training_config import COUNTED_BY
from melbo_app.errors import InputError
from melbo_app.library.bank import Bank
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.settings import Settings
from melbo_app.studies.looks import after_search
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.train import Train
from melbo_app.workbench import Workbench

SHOWN = (
    "name", "radius", "relative_radius", "median_norm", "objective", "seconds", "source", "target", "scope", "method",
    "steps", "strength", "effect", "held_out_effect", "seed", "model", "note",
)  # fmt: skip
"""Facts of a bank's record that the result repeats."""


def save_under_free_name(workbench: Workbench, name: str) -> Bank:
    """Save the unsaved bank as NAME-2, or NAME-3, …"""
    for number in itertools.count(2):
        try:
            return workbench.save_again(f"{name[:70]}-{number}")
        except InputError as error:
            if error.field != "name":
                raise
    raise AssertionError("unreachable: count never ends")


def _methods_with(option: str) -> str:
    return ", ".join(COUNTED_BY[option])


def train(
    name: Annotated[str, typer.Option("--name", help="Name of the bank.")],
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    source: Annotated[
        int | None, typer.Option("--source", help="Source layer; vectors are added to its output.")
    ] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer; changes are measured there.")] = None,
    scope: ScopeOption = None,
    radius: Annotated[float | None, typer.Option("--radius", help="R, the norm of the vectors.")] = None,
    relative_radius: Annotated[
        float | None, typer.Option("--relative-radius", help="R as a multiple of the median residual norm.")
    ] = None,
    vectors: Annotated[
        int | None, typer.Option("--vectors", help="Number of vectors; default: 8, or as many as can be found.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Maximum of steps (per vector, for sequential).")] = None,
    method: Annotated[str, typer.Option("--method", help="Training method, as listed by `methods`.")] = "joint",
    start: Annotated[
        str, typer.Option("--start", help=f"Starting vectors: random or jacobian; for {_methods_with('start')}.")
    ] = "random",
    against: Annotated[
        list[str] | None, typer.Option("--against", help="User text of the other side; repeat it for more.")
    ] = None,
    p: Annotated[float, typer.Option("--p", help="Power of the token norms in the objective.")] = 2.0,
    q: Annotated[float | None, typer.Option("--q", help="Root of their sum; default: p.")] = None,
    saturation: EffectBudgetOption = None,
    search_seconds: SearchSecondsOption = SEARCH_SECONDS,
    orthogonality: Annotated[
        float,
        typer.Option(
            "--orthogonality", help=f"Weight of the penalty on cosines; for {_methods_with('orthogonality')}."
        ),
    ] = 1.0,
    agreement: Annotated[
        float,
        typer.Option(
            "--agreement",
            help=f"Weight of equal effects on all prompts; 0: none; for {_methods_with('agreement')}.",
        ),
    ] = 0.0,
    agreement_form: Annotated[
        str,
        typer.Option(
            "--agreement-form",
            help="Form of agreement: numerator, or contrastive (other vectors count against it).",
        ),
    ] = "numerator",
    temperature: Annotated[float, typer.Option("--temperature", help="τ of agreement.")] = 0.5,
    held_out: Annotated[
        list[str] | None,
        typer.Option("--held-out", help="User text kept out of training, to measure on; repeat it for more."),
    ] = None,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Train a bank of vectors on one or more prompts. Ctrl+C keeps the vectors that are finished."""
    wanted = OpenTraining(source, target, radius, relative_radius, scope)
    # Check everything possible before the model is loaded, which takes seconds.
    draft = wanted.draft(
        method,
        vectors,
        against or [],
        steps=steps,
        p=p,
        q=q,
        seed=seed,
        start=start,
        saturation=saturation,
        orthogonality=orthogonality,
        agreement=agreement,
        agreement_form=agreement_form,
        temperature=temperature,
    )
    check_texts(prompt, COMMAND.remedy)
    workbench = Workbench(Settings())
    workbench.check_bank_name(name)
    state = load(workbench, model)
    prompts = read_prompts(prompt, system, template_of(template, no_template), bool(state.has_template))
    config = wanted.fill(workbench, draft, prompts, held_out or [])
    stop = StopOnInterrupt()
    found = None
    if wanted.searches(draft):
        search = SearchSettings.before(prompts, config, search_seconds, other_layers=wanted.layers_free)
        found = run(workbench.run(search, stop=stop))
        config = after_search(config, found.best)
    study = Train(prompts=prompts, config=config, name=name, measured_radius=wanted.measured(draft))
    try:
        bank = run(workbench.run(study, stop=stop))
    except InputError as error:
        # Somebody took the name meanwhile, and the vectors would be lost with this process.
        if error.field != "name" or workbench.unsaved_bank() is None:
            raise
        kept = save_under_free_name(workbench, name).record.name
        raise InputError("name", error.problem, f"The bank was saved as “{kept}”") from error
    record = bank.record
    result = {
        **{name: getattr(record, name) for name in SHOWN},
        "effect_budget": record.saturation,
        "tried": [] if found is None else found.tried,
        "reason": None if found is None else found.reason,
        "vectors": len(bank.vectors),
        "hash": bank.hash,
        "stopped": stop.pressed,
    }
    lines = [f"{record.name}: {len(bank.vectors)} vectors, R = {record.radius:g}, {record.seconds:.1f} s"]
    if found is not None:
        lines.append(f"  R and effect budget: {found.reason}")
    for number in range(len(bank.vectors)):
        objective = f"J = {record.objective[number]:.4g}" if record.objective else "J not measured"
        strength = f", strength {record.strength[number]:.4g}" if record.strength else ""
        lines.append(f"  vector {number}: {objective}{strength}")
    for place, effect in (("training", record.effect), ("held-out", record.held_out_effect)):
        if effect is not None:
            alike = "–" if effect.agreement is None else f"{fmean(effect.agreement):.2f}"
            means = f"mean J per prompt {fmean(effect.objective):.4g}, mean change {fmean(effect.change):.4g}"
            lines.append(f"  on {place} prompts: {means}, mean agreement {alike}")
            fled = [str(number) for number, share in enumerate(effect.runaway or []) if share > 0]
            lines += [f"  ran away on {place} prompts: {', '.join(fled)}"] if fled else []
    lines += [f"  {record.note}"] if record.note else []
    show(result, lines, as_json)

"""Train a bank."""

from typing import Annotated

import typer

from melbo_app.commands.options import (
    Json,
    ModelOption,
    PromptOption,
    ScopeOption,
    SeedOption,
    SystemOption,
    TemplateOption,
    load,
)
from melbo_app.commands.options import prompts as read_prompts
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.training import default_scope
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench


def train(
    name: Annotated[str, typer.Option("--name", help="What to call the bank.")],
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    model: ModelOption = None,
    source: Annotated[
        int | None, typer.Option("--source", help="Source layer: vectors are added to its output.")
    ] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer: changes are measured there.")] = None,
    scope: ScopeOption = None,
    radius: Annotated[float | None, typer.Option("--radius", help="R, the norm of the vectors.")] = None,
    relative_radius: Annotated[
        float | None, typer.Option("--relative-radius", help="R as a multiple of the median residual norm.")
    ] = None,
    vectors: Annotated[int, typer.Option("--vectors", help="How many.")] = 8,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps (each vector's, for sequential).")] = None,
    method: Annotated[str, typer.Option("--method", help="joint or sequential.")] = "joint",
    p: Annotated[float, typer.Option("--p", help="Power of the token norms in the objective.")] = 2.0,
    q: Annotated[float | None, typer.Option("--q", help="Root of their sum; default: p.")] = None,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Train a bank of vectors on one or more prompts. Ctrl+C keeps the vectors that are finished."""
    workbench = Workbench(Settings())
    if radius is not None and relative_radius is not None:
        raise InputError("R", "it is given twice", "Give --radius or --relative-radius")
    workbench.check_bank_name(name)
    state = load(workbench, model)
    prompts = read_prompts(prompt, system, template, bool(state.has_template))
    usual = workbench.suggestion(prompts)
    source = usual.source if source is None else source
    if relative_radius is not None:
        radius = relative_radius * workbench.median_norm(prompts, source)
    config = TrainingConfig(
        source=source,
        target=usual.target if target is None else target,
        radius=usual.radius if radius is None else radius,
        vectors=vectors,
        method=method,  # type: ignore[arg-type]
        steps=steps,
        p=p,
        q=q,
        scope=scope or default_scope(prompts),
        seed=seed,
    )
    stop = StopOnInterrupt()
    bank = run(workbench.train(prompts, config, name, stop=stop))
    record = bank.record
    result = {
        "name": record.name,
        "radius": record.radius,
        "relative_radius": record.relative_radius,
        "median_norm": record.median_norm,
        "objective": record.objective,
        "seconds": record.seconds,
        "vectors": len(bank.vectors),
        "source": record.source,
        "target": record.target,
        "scope": record.scope,
        "method": record.method,
        "steps": record.steps,
        "seed": record.seed,
        "model": record.model,
        "hash": bank.hash,
        "stopped": stop.pressed,
    }
    lines = [f"{record.name}: {len(bank.vectors)} vectors, R = {record.radius:g}, {record.seconds:.1f} s"]
    lines += [f"  vector {number}: J = {value:.4g}" for number, value in enumerate(record.objective or [])]
    show(result, lines, as_json)

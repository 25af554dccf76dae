"""Audit a model on a file of prompts."""

import sys
from pathlib import Path
from typing import Annotated, Any

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
    TokensOption,
    load,
    template_of,
    unkept,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.generators import map_progress
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.library.new_folder import check_new
from melbo_app.library.prompt_sets import SHIPPED
from melbo_app.paths import written_path
from melbo_app.settings import Settings
from melbo_app.studies.audit import BUDGET, ELSEWHERE, AuditProgress, MakeAudit
from melbo_app.studies.usual_prompts import FALSE_ALARMS
from melbo_app.workbench import Workbench

FILE = "one prompt per line, or JSONL"


def audit(
    prompts: Annotated[
        str,
        typer.Option(
            "--prompts",
            help=f"Prompts to explore: {FILE} with prompt and group; or a shipped set: {', '.join(SHIPPED)}.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder for audit.html and audit.json, new or empty.", parser=written_path),
    ],
    clean: Annotated[
        str | None,
        typer.Option("--clean", help=f"Ordinary prompts, ten or more ({FILE}): the banks found watch the others."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Time after which the search begins no further prompt.")
    ] = BUDGET,
    elsewhere: Annotated[
        int, typer.Option("--elsewhere", help="Prompts of the file to try each behaviour on; 0: none.")
    ] = ELSEWHERE,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    vectors: Annotated[int, typer.Option("--vectors", help="Number of vectors to train for each prompt.")] = 8,
    method: Annotated[str, typer.Option("--method", help="Training method, as listed by `methods`.")] = "joint",
    steps: Annotated[int | None, typer.Option("--steps", help="Maximum number of steps.")] = None,
    source: Annotated[int | None, typer.Option("--source", help="Source layer.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer.")] = None,
    scope: ScopeOption = None,
    relative_radius: Annotated[
        float | None,
        typer.Option("--relative-radius", help="R as a multiple of the median residual norm, instead of a search."),
    ] = None,
    effect_budget: EffectBudgetOption = None,
    search_seconds: SearchSecondsOption = SEARCH_SECONDS,
    max_new_tokens: TokensOption = 40,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="Share of clean prompts that may raise an alarm.")
    ] = FALSE_ALARMS,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Search a model for behaviours on many prompts, say which of them hold, and write a report.

    One press of Explore per prompt; each behaviour is tried on other prompts of the file, beside random vectors of the
    same R; with --clean, the banks found watch the prompts. Ctrl+C keeps the finished prompts, and the same command
    goes on from there.
    """
    wanted = template_of(template, no_template)
    _check_folder(out)
    workbench = Workbench(Settings())
    lines = workbench.prompt_set([prompts])
    usual = None if clean is None else tuple(one.text for one in workbench.watched_prompts(clean, "clean"))

    def study(has_template: bool) -> MakeAudit:
        wrapped = has_template if wanted is None else wanted
        return MakeAudit(
            prompts=[Prompt(one.text, system or None, wrapped) for one in lines],
            groups=[one.group for one in lines], clean=usual, seconds=seconds, elsewhere=elsewhere, vectors=vectors,
            method=method, steps=steps, source=source, target=target, scope=scope, relative_radius=relative_radius,
            effect_budget=effect_budget, search_seconds=search_seconds, max_new_tokens=max_new_tokens,
            false_alarms=false_alarms, seed=seed, files=(prompts, clean or ""),
        )  # fmt: skip

    study(True).check(workbench.bench)  # before the model is loaded, which takes seconds
    asked = study(bool(load(workbench, model).has_template))
    found = run(map_progress(workbench.run(asked, stop=StopOnInterrupt()), _told))
    not_kept = unkept(workbench)
    written = workbench.export_audit(found, out, not_kept)
    show(asked.answer(found, not_kept), [*asked.lines(found), *map(str, written)], as_json)


def _check_folder(out: Path) -> None:
    """Raises InputError, before the work, for a folder that could not be written after it."""
    if out.is_dir():
        if any(out.iterdir()):
            raise InputError("out", f"the folder “{out}” is not empty", "Give a new folder, or an empty one")
    elif out.exists():
        raise InputError("out", f"“{out}” is a file", "Give a new folder, or an empty one")
    else:
        check_new(out)


def _told(progress: Any) -> Any:
    """The same progress; how long it will take, and what each prompt showed, are printed as they come."""
    if isinstance(progress, AuditProgress) and progress.note:
        begin = "\n" if sys.stderr.isatty() else ""  # below the line of progress
        print(f"{begin}{progress.note}", file=sys.stderr, flush=True)
    return progress

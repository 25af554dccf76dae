"""Search for strings that trigger a behaviour."""

from pathlib import Path
from typing import Annotated

import typer

from melbo_app.commands.options import (
    Json,
    ModelOption,
    NoTemplateOption,
    OverwriteOption,
    SeedOption,
    SystemOption,
    TemplateOption,
    TokensOption,
    check_out,
    load,
    template_of,
    unkept,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.library.prompt_sets import SHIPPED
from melbo_app.paths import written_path
from melbo_app.settings import Settings
from melbo_app.studies.trigger_goal import Goal
from melbo_app.studies.triggers import CANDIDATES, HELD_OUT, RANDOM, RESTARTS, STEPS, TOKENS, FindTriggers
from melbo_app.workbench import Workbench


def triggers(
    toward: Annotated[
        str,
        typer.Option(
            "--toward", help="What the model should do: text:WORDS, 'vector:BANK[3]' (in quotes) or vector:BANK:3."
        ),
    ],
    together: Annotated[bool, typer.Option("--together", help="Toward the vector and a text at once.")] = False,
    says: Annotated[
        str | None, typer.Option("--says", help="The text for --together; default: the vector's own answer.")
    ] = None,
    prompts: Annotated[
        str,
        typer.Option(
            "--prompts",
            help=f"Clean prompts, ten or more: a file, one a line or JSONL; or a shipped set: {', '.join(SHIPPED)}.",
        ),
    ] = "everyday",
    method: Annotated[
        str, typer.Option("--method", help="gradient, or sampling: words of prompts written under the vector.")
    ] = "gradient",
    place: Annotated[str, typer.Option("--place", help="Where it stands in the user's text: end or begin.")] = "end",
    tokens: Annotated[int, typer.Option("--tokens", help="Length of a trigger, in tokens.")] = TOKENS,
    steps: Annotated[int, typer.Option("--steps", help="Steps of each restart.")] = STEPS,
    candidates: Annotated[int, typer.Option("--candidates", help="Strings that a step evaluates.")] = CANDIDATES,
    restarts: Annotated[int, typer.Option("--restarts", help="Searches from random strings.")] = RESTARTS,
    random: Annotated[int, typer.Option("--random", help="Random strings to compare with.")] = RANDOM,
    held_out: Annotated[
        int, typer.Option("--held-out", help="Held-out prompts that test each trigger, at most.")
    ] = HELD_OUT,
    measure: Annotated[
        str | None,
        typer.Option("--measure", help="What answers should show, as words:ONE,TWO; default: what the text says."),
    ] = None,
    planted: Annotated[str | None, typer.Option("--planted", help="The planted trigger, where it is known.")] = None,
    max_new_tokens: TokensOption = 24,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    seed: SeedOption = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the result as JSON into this file.", parser=written_path)
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: Json = False,
) -> None:
    """Search for short strings which, added to clean prompts, make the model do something (experimental).

    Each is tested on held-out prompts, beside random strings. Ctrl+C keeps the finished triggers, and the same command
    goes on from there.
    """
    if out is not None:
        check_out(out, overwrite)
    goal, workbench = Goal.parse(toward), Workbench(Settings())
    study = FindTriggers(
        toward=toward, together=together, says=says,
        prompts=[one.text for one in workbench.prompt_set([prompts])], method=method, place=place, tokens=tokens,
        steps=steps, candidates=candidates, restarts=restarts, random=random, held_out=held_out, measure=measure,
        planted=planted, max_new_tokens=max_new_tokens, system=system,
        template=template_of(template, no_template), seed=seed,
    )  # fmt: skip
    study.check(workbench.bench)  # before the model is loaded, which takes seconds
    load(workbench, model, workbench.bank(goal.bank).record.model if goal.bank else None)
    found = run(workbench.run(study, stop=StopOnInterrupt()))
    not_kept = unkept(workbench)
    lines = study.lines(found)
    if out is not None:
        lines.append(str(workbench.export_triggers(found, out, not_kept, overwrite=overwrite)))
    show(study.answer(found, not_kept), lines, as_json)

"""Look for vectors whose texts show something."""

from typing import Annotated

import typer

from melbo_app.commands.options import (
    EffectBudgetOption,
    Json,
    ModelOption,
    NoTemplateOption,
    ScopeOption,
    SeedOption,
    SystemOption,
    TemplateOption,
    TokensOption,
    load,
    prompts,
    template_of,
    unkept,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.defaults import check_texts
from melbo_app.doors.asking import COMMAND
from melbo_app.settings import Settings
from melbo_app.studies.find import FindTexts
from melbo_app.workbench import Workbench

SCORE = "regex:…, flag:…, meaning:… (a sentence) or judge:… (a question to answer with yes or no)."


def find(
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", help="User text whose answers are searched; repeat it for more.")
    ] = None,
    score: Annotated[str, typer.Option("--score", help=f"What to look for: {SCORE}")] = "",
    held_out: Annotated[
        list[str] | None,
        typer.Option("--held-out", help="User text kept out of the search, to confirm the best; repeat it for more."),
    ] = None,
    bank: Annotated[
        str | None, typer.Option("--bank", help="Search the vectors of this bank, instead of training some.")
    ] = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    vectors: Annotated[int, typer.Option("--vectors", help="Number of vectors to train.")] = 16,
    method: Annotated[str, typer.Option("--method", help="Method of training.")] = "joint",
    source: Annotated[int | None, typer.Option("--source", help="Source layer.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer.")] = None,
    scope: ScopeOption = None,
    radius: Annotated[
        float | None, typer.Option("--radius", help="The middle one of six R; left out: measured, or the bank's.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of the training.")] = None,
    effect_budget: EffectBudgetOption = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", help="Texts of each prompt, the first greedy; left out: 3 for one prompt, else 1."),
    ] = None,
    max_new_tokens: TokensOption = 40,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Look for vectors whose texts show something, beside random vectors that are searched in the same way.

    Many cheap vectors at six R are read for a few tokens, the promising ones further. Ctrl+C keeps what was found.
    """
    texts = check_texts(prompt, COMMAND.remedy)
    workbench = Workbench(Settings())

    def study(has_template: bool) -> FindTexts:
        return FindTexts(
            prompts=prompts(texts, system, template_of(template, no_template), has_template), score=score,
            held_out=held_out or (), bank=bank, vectors=vectors, method=method, source=source, target=target,
            scope=scope, radius=radius, steps=steps, effect_budget=effect_budget, samples=samples,
            max_new_tokens=max_new_tokens, seed=seed,
        )  # fmt: skip

    study(True).check(workbench.bench)  # before the model is loaded, which takes seconds
    state = load(workbench, model, workbench.bank(bank).record.model if bank else None)
    asked = study(bool(state.has_template)).bound(workbench.bench)
    asked.check_model(workbench.bench)
    found = run(workbench.run(asked, stop=StopOnInterrupt()))
    show(asked.answer(found, unkept(workbench)), asked.lines(found), as_json)

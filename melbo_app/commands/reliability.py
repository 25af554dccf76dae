"""How steadily does a vector move a propensity, input by input and in other settings?"""

from typing import Annotated

import typer

from melbo_app.commands.bank_study import one_radius, run_on_bank
from melbo_app.commands.generality import RandomOption
from melbo_app.commands.options import (
    BankArgument,
    Json,
    ModelOption,
    NoTemplateOption,
    RadiusOption,
    SeedOption,
    SystemOption,
    TemplateOption,
    TokensOption,
    VectorOption,
    numbers,
)
from melbo_app.library.contrast_sets import CONTRAST, in_template
from melbo_app.settings import Settings
from melbo_app.studies.generality import RANDOM
from melbo_app.studies.reliability import TOKENS, MeasureReliability
from melbo_app.workbench import Workbench

FILE = "A file (a prompt per line, or JSONL with prompt, first, second, group, position, wording, system and id)"


def reliability(
    bank: BankArgument,
    prompts: Annotated[
        str, typer.Option("--prompts", help=f"{FILE}, or a shipped contrast set: {', '.join(CONTRAST)}.")
    ],
    vector: VectorOption = None,
    answers: Annotated[
        str | None, typer.Option("--answers", help="The same two answers for all prompts, as Yes|No.")
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(
            "--measure", help="Instead of answers a sign in written texts: flag:NAME, words:…, regex:… or language:…"
        ),
    ] = None,
    out_of_distribution: Annotated[
        list[str] | None,
        typer.Option("--out-of-distribution", help="The same in another setting; repeat it for more."),
    ] = None,
    radius: RadiusOption = None,
    random: RandomOption = RANDOM,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    max_new_tokens: TokensOption = TOKENS,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Measure how steadily each vector moves a propensity, input by input and in other settings, beside random vectors.

    The slope of an input is what one R more adds to its log-odds of two answers, or to the share of texts with a sign.
    Ctrl+C keeps the finished vectors, and the same command goes on from there.
    """
    workbench = Workbench(Settings())
    loaded = workbench.bank(bank)
    settings = [workbench.contrast_set(prompts)]
    settings += [workbench.contrast_set(one, "out of distribution") for one in out_of_distribution or ()]
    chosen, given = one_radius(radius), numbers("vector", vector, int)

    def asked(wrapped: bool | str) -> MeasureReliability:
        inputs = tuple(in_template(one, system, wrapped) for one in settings)
        return MeasureReliability(
            bank=bank, settings=inputs, vectors=given, radius=chosen, random=random, answers=answers, measure=measure,
            max_new_tokens=max_new_tokens, seed=seed,
        )  # fmt: skip

    run_on_bank(workbench, asked, model or loaded.record.model, template, no_template, as_json)

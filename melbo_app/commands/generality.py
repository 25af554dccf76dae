"""On how many prompts do vectors work?"""

from typing import Annotated

import typer

from melbo_app.commands.bank_study import one_radius, run_on_bank
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
from melbo_app.engine.decoding import Decoding
from melbo_app.library.prompt_sets import SHIPPED
from melbo_app.settings import Settings
from melbo_app.studies.generality import RANDOM, MeasureGenerality, asked_prompts
from melbo_app.workbench import Workbench

PromptsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prompts",
        help=f"A file (one prompt per line, or JSONL with prompt and group) or a shipped set: {', '.join(SHIPPED)}. "
        "Repeat it for more.",
    ),
]
RandomOption = Annotated[int, typer.Option("--random", help="Number of random vectors of the same R.")]
TemperatureOption = Annotated[float, typer.Option("--temperature", help="Temperature; 0 is greedy.")]
TopPOption = Annotated[float, typer.Option("--top-p", help="Share of the probability that is sampled from.")]
SamplesOption = Annotated[
    int, typer.Option("--samples", help="Answers to each prompt, sampled with --seed and the following seeds.")
]


def generality(
    bank: BankArgument,
    prompts: PromptsOption = None,
    vector: VectorOption = None,
    radius: RadiusOption = None,
    random: RandomOption = RANDOM,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    max_new_tokens: TokensOption = 40,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    samples: SamplesOption = 1,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Count the prompts on which each vector lifts a refusal, raises a flag or changes the meaning, beside random
    vectors of the same R. Ctrl+C keeps the finished prompts."""
    decoding = Decoding(max_new_tokens, temperature, top_p, seed)
    workbench = Workbench(Settings())
    loaded = workbench.bank(bank)
    texts = workbench.prompt_set(prompts or [])
    chosen, given = one_radius(radius), numbers("vector", vector, int)

    def asked(wrapped: bool | str) -> MeasureGenerality:
        lines = asked_prompts(texts, system, wrapped)
        return MeasureGenerality(
            bank=bank, prompts=lines, vectors=given, radius=chosen, random=random, samples=samples, decoding=decoding
        )  # fmt: skip

    run_on_bank(workbench, asked, model or loaded.record.model, template, no_template, as_json)

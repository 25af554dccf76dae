"""On how many prompts do vectors work?"""

from typing import Annotated

import typer

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
    load,
    numbers,
    template_of,
    unkept,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.engine.decoding import Decoding
from melbo_app.errors import InputError
from melbo_app.generality_result import generality as result
from melbo_app.jobs.generality import RANDOM, check
from melbo_app.library.bank import PromptRecord
from melbo_app.library.generality import AskedPrompt, Generality, TriedVector
from melbo_app.library.prompt_sets import SHIPPED
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

PromptsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prompts",
        help=f"A file (one prompt a line, or JSONL with prompt and group) or a set that ships: {', '.join(SHIPPED)}. "
        "Give it again for more of them.",
    ),
]
RandomOption = Annotated[int, typer.Option("--random", help="Random vectors of the same R.")]


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
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """On how many prompts each vector lifts a refusal, raises a flag or changes the meaning, beside random vectors of
    the same R. Ctrl+C keeps the prompts that are finished."""
    decoding = Decoding(max_new_tokens, seed=seed)
    workbench = Workbench(Settings())
    loaded = workbench.bank(bank)
    texts = workbench.prompt_set(prompts or [])
    radii = numbers("radius", radius, float)
    if radii is not None and len(radii) > 1:
        raise InputError("radius", f"there are {len(radii)}", "Give one R, or leave it out")
    chosen = None if radii is None else radii[0]
    given = numbers("vector", vector, int)
    vectors = list(range(len(loaded.vectors))) if given is None else given
    # refused before the model is loaded, which takes seconds
    check(loaded, vectors, chosen, [AskedPrompt(prompt=PromptRecord(user=one.text)) for one in texts], random)
    load(workbench, model or loaded.record.model)
    asked = workbench.asked(texts, system, template_of(template, no_template))
    work = workbench.generality(bank, asked, vectors, chosen, random=random, decoding=decoding, stop=StopOnInterrupt())
    found = run(work)
    show(result(found, unkept(workbench)), _lines(found), as_json)


def _lines(found: Generality) -> list[str]:
    lines = [] if found.finished else [f"Stopped: {len(found.prompts)} of {len(found.asked)} prompts"]
    lines.append(
        f"{len(found.prompts)} prompts, {found.refused} refused without steering; shares of changed answers with their "
        "95 % intervals"
    )
    lines += [_line(one) for one in found.vectors]
    for kind in ("sets", "groups"):
        several = found.by(kind)
        if len(several) > 1:
            lines += [
                f"{kind[:-1]} {one.name} ({one.prompts}): vectors {one.mean:.0%}, random {one.random_share:.0%}"
                for one in several
            ]
    return lines


def _line(one: TriedVector) -> str:
    share, low, high = one.share.share, *one.share.interval
    least, most = one.random_range
    kinds = ", ".join(f"{count} {kind}" for kind, count in one.changes.items() if count)
    line = f"vector {one.vector}, R = {one.radius:g}: {share:.0%} ({low:.0%} to {high:.0%})"
    line += f", random {one.random.share:.0%} (single ones {least:.0%} to {most:.0%})"
    if len(one.groups) > 1:
        worst = one.worst_group
        line += f"; worst group {worst.share:.0%} ({worst.name}), mean of groups {one.mean_of_groups:.0%}"
    return line + (f"; {kinds}" if kinds else "")

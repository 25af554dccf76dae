"""The next tokens that vectors promote and suppress."""

from typing import Annotated, Any

import typer

from melbo_app.commands.options import (
    BankArgument,
    Json,
    ModelOption,
    NoTemplateOption,
    PromptOption,
    SystemOption,
    TemplateOption,
    VectorOption,
    check_texts,
    load,
    numbers,
    prompts_for,
    template_of,
)
from melbo_app.commands.output import show
from melbo_app.jobs.top_tokens import VectorTokens
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench


def top_tokens(
    bank: BankArgument,
    vector: VectorOption = None,
    radius: Annotated[
        float | None, typer.Option("--radius", help="R, below 0 the other way; default: each vector as it is.")
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Tokens of each kind.")] = 10,
    prompt: PromptOption = None,
    system: SystemOption = None,
    template: TemplateOption = None,
    no_template: NoTemplateOption = False,
    model: ModelOption = None,
    as_json: Json = False,
) -> None:
    """Tokens that a bank's vectors promote and suppress behind a prompt. Default prompts: those of the bank."""
    vectors = numbers("vector", vector, int)
    if prompt:
        check_texts(prompt)
    workbench = Workbench(Settings())
    loaded = workbench.bank(bank)
    state = load(workbench, model, loaded.record.model)
    prompts = prompts_for(loaded, prompt, system, template_of(template, no_template), bool(state.has_template))
    found = workbench.top_tokens(bank, vectors, prompts, count, radius)
    lines = []
    for entry in found:
        lines.append(f"vector {entry.vector}")
        for name, tokens in (("promoted", entry.promoted), ("suppressed", entry.suppressed)):
            lines.append(f"  {name}: " + "  ".join(f"{text!r} {by:+.2f}" for text, by in tokens))
    show({"bank": bank, "vectors": [_plain(entry) for entry in found]}, lines, as_json)


def _plain(entry: VectorTokens) -> dict[str, Any]:
    promoted, suppressed = (
        [{"token": text, "nats": by} for text, by in tokens] for tokens in (entry.promoted, entry.suppressed)
    )
    return {"vector": entry.vector, "promoted": promoted, "suppressed": suppressed}

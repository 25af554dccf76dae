"""Options that several commands share, and what is made of them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from melbo_app import defaults
from melbo_app.commands.output import Sparingly, run
from melbo_app.defaults import prompts_from
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.template_choice import EXAMPLE, FIELD
from melbo_app.engine.training_config import COUNTED_BY
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.library.weights import ModelFiles
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

Number = TypeVar("Number", int, float)

REMEDY = "Give one with --prompt"

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Hub name, key of the catalogue, folder or .gguf file.")
]
PromptOption = Annotated[list[str] | None, typer.Option("--prompt", help="User text; give it again for more prompts.")]
SystemOption = Annotated[str | None, typer.Option("--system", help="System text, for all prompts.")]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        help=f"Chat template by its name and what it reads, as “{EXAMPLE}”; default: the model's own, if it has one.",
    ),
]
NoTemplateOption = Annotated[bool, typer.Option("--no-template", help="Prompts as they are, without a chat template.")]
BankArgument = Annotated[str, typer.Argument(metavar="BANK", help="Name of a bank.")]
VectorOption = Annotated[str | None, typer.Option("--vector", help="Vectors, as 0,1,5; default: all.")]
RadiusOption = Annotated[str | None, typer.Option("--radius", help="R, as 8,11; default: each vector as it is.")]
TokensOption = Annotated[int, typer.Option("--max-new-tokens", help="Length of a completion in tokens.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")]
ScopeOption = Annotated[str | None, typer.Option("--scope", help="all, content, assistant or last:4.")]
EffectBudgetOption = Annotated[
    float | None,
    typer.Option(
        "--effect-budget", "--saturation",
        help="Share of a target token's norm at which a vector's change counts most; 0: no limit, as published; "
        f"for {', '.join(COUNTED_BY['saturation'])}.",
    ),
]  # fmt: skip
SearchSecondsOption = Annotated[
    float,
    typer.Option("--search-seconds", help="How long to look for R and the effect budget, where R is not given."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")]


def load(workbench: Workbench, model: str | None, recorded: str | None = None) -> ModelState:
    """Load the model, and say so: it takes seconds. Without ``model`` it is the one that a bank's record names.

    A model of the catalogue that a person named is downloaded first; one that only the record names is not.
    """
    named = workbench.settings.model if recorded is None else None
    if model is None and recorded is not None and workbench.is_absent(recorded):
        remedy = f"Get it: python -m melbo_app models get {recorded}"
        raise InputError("model", f"{recorded}, for which the bank was made, is not on this machine", remedy)
    if workbench.is_absent(model or named or ""):
        fetch(workbench, model or named or "")
    print("loading the model", file=sys.stderr, flush=True)
    return workbench.load_model(recorded if model is None else model)


def fetch(workbench: Workbench, key: str) -> ModelFiles:
    """Download and unpack a model of the catalogue, with progress. Raises Stopped on Ctrl+C."""
    try:
        return run(workbench.fetch_model(key), Sparingly())
    except KeyboardInterrupt:
        raise Stopped("Stopped: what was downloaded is kept, and the next attempt goes on from it.") from None


def prepare(
    texts: list[str] | None, system: str | None, template: bool | str | None, model: str | None, scope: str | None
) -> tuple[Workbench, list[Prompt]]:
    """A workbench with the model loaded, and the prompts. Wrong prompts and scopes are refused first: loading it takes
    seconds."""
    TokenScope.parse(scope or "all")
    check_texts(texts)
    workbench = Workbench(Settings())
    state = load(workbench, model)
    return workbench, prompts(texts, system, template, bool(state.has_template))


def prompts(
    texts: list[str] | None, system: str | None, template: bool | str | None, has_template: bool
) -> list[Prompt]:
    """The prompts that the options describe."""
    return prompts_from(check_texts(texts), system, template, has_template)


def template_of(template: str | None, no_template: bool) -> bool | str | None:
    """Which chat template the options choose: False none, None as the model has it. Raises InputError for both."""
    if template is not None and no_template:
        raise InputError(FIELD, "one is chosen and none is wanted", "Give --template or --no-template, not both")
    return False if no_template else template


def check_texts(texts: list[str] | None) -> list[str]:
    """The texts of the prompts. Raises InputError where there is none, or an empty one."""
    return defaults.check_texts(texts, REMEDY)


def check_out(out: Path, overwrite: bool) -> None:
    """Refuse a file that could not be written at the end, before the work that leads to it."""
    if out.is_dir():
        raise InputError("out", f"“{out}” is a folder", "Give the name of a file in it")
    if not out.parent.is_dir():
        raise InputError("out", f"there is no folder “{out.parent}”", "Make it first, or choose another one")
    if out.exists() and not overwrite:
        raise InputError("out", f"“{out}” is there already", "Choose another name, or add --overwrite")


def unkept(workbench: Workbench) -> str | None:
    """What the command made and could not store, with the reason; None: all is stored."""
    return " ".join(workbench.not_kept()) or None


def say_where(workbench: Workbench) -> None:
    """Say on standard error where a command looked that found nothing: the server may use another folder."""
    print(workbench.kept_in, file=sys.stderr, flush=True)


def refuse_early_json(group: str, command: str) -> None:
    """``banks --json list``: the option belongs to the command behind it."""
    raise InputError("--json", f"it stands before “{command}”", f"Write it at the end: {group} {command} … --json")


def numbers(field: str, text: str | None, kind: Callable[[str], Number]) -> list[Number] | None:
    """Numbers written with commas; None where the option is left out."""
    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        example = "0,1,5" if kind is int else "8,11"
        raise InputError(field, f"{text!r} is not a list of numbers", f"Write {example}") from error

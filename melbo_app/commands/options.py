"""Options that several commands share, and the values they give."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from melbo_app.commands.output import Sparingly, run
from melbo_app.defaults import check_texts, prompts_from
from melbo_app.doors.asking import COMMAND
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

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Hub name, key of the catalogue, folder or .gguf file.")
]
PromptOption = Annotated[list[str] | None, typer.Option("--prompt", help="User text; repeat it for more prompts.")]
SystemOption = Annotated[str | None, typer.Option("--system", help="System text, for all prompts.")]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        help=f"Chat template by name, with its settings, as “{EXAMPLE}”; default: the model's own, if it has one.",
    ),
]
NoTemplateOption = Annotated[bool, typer.Option("--no-template", help="Prompts as they are, without a chat template.")]
BankArgument = Annotated[str, typer.Argument(metavar="BANK", help="Name of a bank.")]
VectorOption = Annotated[str | None, typer.Option("--vector", help="Vectors, as 0,1,5; default: all.")]
RadiusOption = Annotated[str | None, typer.Option("--radius", help="R, as 8,11; default: each vector at its own norm.")]
TokensOption = Annotated[int, typer.Option("--max-new-tokens", help="Longest completion, in tokens.")]
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
    typer.Option("--search-seconds", help="How long to search for R and the effect budget, if R is not given."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]


def load(workbench: Workbench, model: str | None, recorded: str | None = None) -> ModelState:
    """Load the model, with a message, because it takes seconds. Without ``model``, load the one recorded in a bank.

    A missing model of the catalogue is downloaded first if a person named it, but not if only the record does.
    """
    named = workbench.settings.model if recorded is None else None
    if model is None and recorded is not None and workbench.is_absent(recorded):
        remedy = f"Get it: python -m melbo_app models get {recorded}"
        raise InputError("model", f"the bank was made for {recorded}, which is not on this machine", remedy)
    if workbench.is_absent(model or named or ""):
        fetch(workbench, model or named or "")
    print("loading the model", file=sys.stderr, flush=True)
    return workbench.load_model(recorded if model is None else model)


def fetch(workbench: Workbench, key: str) -> ModelFiles:
    """Download and unpack a model of the catalogue, with progress. Raises Stopped on Ctrl+C."""
    try:
        return run(workbench.fetch_model(key), Sparingly())
    except KeyboardInterrupt:
        raise Stopped("Stopped: the downloaded part is kept, and the next attempt goes on from there.") from None


def prepare(
    texts: list[str] | None, system: str | None, template: bool | str | None, model: str | None, scope: str | None
) -> tuple[Workbench, list[Prompt]]:
    """A workbench with the model loaded, and the prompts. Prompts and scope are checked before the model is loaded,
    because that takes seconds."""
    TokenScope.parse(scope or "all")
    check_texts(texts, COMMAND.remedy)
    workbench = Workbench(Settings())
    state = load(workbench, model)
    return workbench, prompts(texts, system, template, bool(state.has_template))


def prompts(
    texts: list[str] | None, system: str | None, template: bool | str | None, has_template: bool
) -> list[Prompt]:
    """The prompts from the options."""
    return prompts_from(check_texts(texts, COMMAND.remedy), system, template, has_template)


def template_of(template: str | None, no_template: bool) -> bool | str | None:
    """The chat template from the options: False for none, None for the model's. Raises InputError if both are given."""
    if template is not None and no_template:
        raise InputError(FIELD, "--template and --no-template exclude each other", "Give one of the two")
    return False if no_template else template


def check_out(out: Path, overwrite: bool) -> None:
    """Raises InputError, before the work, for a file that could not be written after it."""
    if out.is_dir():
        raise InputError("out", f"“{out}” is a folder", "Give the name of a file in it")
    if not out.parent.is_dir():
        raise InputError("out", f"the folder “{out.parent}” does not exist", "Create it, or choose another one")
    if out.exists() and not overwrite:
        raise InputError("out", f"“{out}” already exists", "Choose another name, or add --overwrite")


def unkept(workbench: Workbench) -> str | None:
    """The results that could not be stored, with the reason; None: everything is stored."""
    return " ".join(workbench.not_kept()) or None


def say_where(workbench: Workbench) -> None:
    """Print the library's folder on standard error when nothing was found: the server may use another one."""
    print(workbench.kept_in, file=sys.stderr, flush=True)


def listing_group(name: str, help: str, list_all: Callable[..., None]) -> typer.Typer:
    """A group of commands that without a command lists everything, by ``list_all``."""
    group = typer.Typer(help=help, invoke_without_command=True)

    @group.callback()
    def default(context: typer.Context, as_json: Json = False) -> None:
        command = context.invoked_subcommand
        if command is None:
            list_all(as_json=as_json)
        elif as_json:  # as in ``banks --json list``, where it would silently have no effect
            remedy = f"Write it at the end: {name} {command} … --json"
            raise InputError("--json", f"it stands before “{command}”", remedy)

    group.command("list")(list_all)
    return group


def numbers(field: str, text: str | None, kind: Callable[[str], Number]) -> list[Number] | None:
    """Numbers separated by commas; None if the option was left out."""
    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        example = "0,1,5" if kind is int else "8,11"
        raise InputError(field, f"{text!r} is not a list of numbers", f"Write {example}") from error

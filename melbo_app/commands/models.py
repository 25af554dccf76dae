"""The models: those that are here, and those that one command fetches."""

import time
from typing import Annotated

import typer

from melbo_app.commands.options import Json, fetch, refuse_early_json
from melbo_app.commands.output import show
from melbo_app.jobs.loaded_model import CatalogueLine
from melbo_app.listings import known_models
from melbo_app.settings import Settings
from melbo_app.sizes import size_text
from melbo_app.workbench import Workbench

models = typer.Typer(help="The models that can be loaded, and the catalogue.", invoke_without_command=True)


@models.callback()
def models_default(context: typer.Context, as_json: Json = False) -> None:
    """List the models when nothing else is asked for."""
    if context.invoked_subcommand is None:
        list_models(as_json=as_json)
    elif as_json:  # it would have no effect, without a word
        refuse_early_json("models", context.invoked_subcommand)


@models.command("list")
def list_models(as_json: Json = False) -> None:
    """The models that can be loaded at once, and those that `models get` downloads."""
    workbench = Workbench(Settings())
    known, catalogue = workbench.models(), workbench.catalogue()
    lines = [f"{entry.name}  {entry.spec}" for entry in known]
    lines += ["", "Catalogue (models get NAME):", *(line for one in catalogue for line in _lines(one))]
    show(known_models(known, catalogue), lines, as_json)


@models.command("get")
def get_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Key of the catalogue, such as qwen2.5-0.5b.")],
    as_json: Json = False,
) -> None:
    """Download a model of the catalogue and unpack it. Ctrl+C keeps what has arrived for the next time."""
    began = time.monotonic()
    files = fetch(Workbench(Settings()), name)
    seconds = round(time.monotonic() - began, 1)
    result = {"name": files.name, "spec": files.spec, "path": files.path, "sha256": files.weights_hash}
    lines = [f"{files.name} is ready after {seconds:.0f} s: --model {files.spec}"]
    show({**result, "seconds": seconds}, lines, as_json)


def _lines(line: CatalogueLine) -> list[str]:
    entry = line.entry
    state = "here" if line.state != "absent" else f"{size_text(entry.size)} to download"
    facts = [state, entry.licence, f"{entry.blocks} blocks, d = {entry.hidden_size}"]
    facts += [] if entry.has_template else ["no chat template"]
    message = f"{entry.good_for} {entry.warning}".rstrip()
    return [f"{entry.key}  {entry.name}: {', '.join(facts)}", f"  {message}"]

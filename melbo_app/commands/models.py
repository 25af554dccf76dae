"""The models on this machine, and those that one command downloads."""

import time
from typing import Annotated

import typer

from melbo_app.commands.options import Json, fetch, listing_group
from melbo_app.commands.output import show
from melbo_app.jobs.loaded_model import CatalogueLine
from melbo_app.listings import known_models
from melbo_app.settings import Settings
from melbo_app.sizes import size_text
from melbo_app.workbench import Workbench


def list_models(as_json: Json = False) -> None:
    """The models ready to be loaded, and those that `models get` downloads."""
    workbench = Workbench(Settings())
    known, catalogue = workbench.models(), workbench.catalogue()
    lines = [f"{entry.name}  {entry.spec}" for entry in known]
    lines += ["", "Catalogue (models get NAME):", *(line for one in catalogue for line in _lines(one))]
    show(known_models(known, catalogue), lines, as_json)


models = listing_group("models", "The models that can be loaded, and the catalogue.", list_models)


@models.command("get")
def get_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Key of the catalogue, such as qwen2.5-0.5b.")],
    as_json: Json = False,
) -> None:
    """Download and unpack a model of the catalogue. Ctrl+C keeps the downloaded part for the next attempt."""
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

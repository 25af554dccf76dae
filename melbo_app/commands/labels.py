"""The labels of vectors."""

from pathlib import Path
from typing import Annotated

import typer

from melbo_app.commands.options import BankArgument, Json, OverwriteOption, refuse_early_json
from melbo_app.commands.output import show
from melbo_app.defaults import save_label
from melbo_app.results import label_lines, plain
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

labels = typer.Typer(help="The labels of vectors.", invoke_without_command=True)


@labels.callback()
def labels_default(context: typer.Context, as_json: Json = False) -> None:
    """List the labels when nothing else is asked for."""
    if context.invoked_subcommand is None:
        list_labels(as_json)
    elif as_json:  # it would have no effect, without a word
        refuse_early_json("labels", context.invoked_subcommand)


@labels.command("list")
def list_labels(as_json: Json = False) -> None:
    """All labels."""
    found = Workbench(Settings()).labels()
    lines = [f"{entry.bank} {entry.vector}: {entry.name} [{', '.join(entry.tags)}]" for entry in found]
    lines = lines or ["There are no labels yet. Say what a vector does: labels set BANK VECTOR --name TEXT"]
    show(label_lines(found), lines, as_json)


@labels.command("set")
def set_label(
    bank: BankArgument,
    vector: Annotated[int, typer.Argument(metavar="VECTOR", help="Number of the vector.")],
    name: Annotated[str | None, typer.Option("--name", help="What it does, in a few words.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag; give it again for more.")] = None,
    rating: Annotated[int | None, typer.Option("--rating", help="1 to 5; 0 takes it away.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Anything else.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a vector does; what is not given stays as it is."""
    saved = save_label(Workbench(Settings()), bank, vector, name, tag, rating, note)
    show(plain(saved), [f"{bank} {vector}: {saved.name}"], as_json)


@labels.command("export")
def export_labels(
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv or .jsonl.")],
    overwrite: OverwriteOption = False,
    as_json: Json = False,
) -> None:
    """Write all labels to a file, tags as columns."""
    path = Workbench(Settings()).export_labels(out, overwrite=overwrite)
    show({"out": str(path)}, [f"The labels were written to {path}"], as_json)

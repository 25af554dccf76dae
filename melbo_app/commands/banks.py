"""The shelf of banks."""

from pathlib import Path
from typing import Annotated

import typer

from melbo_app import listings
from melbo_app.commands.options import (
    BankArgument,
    Json,
    ModelOption,
    OverwriteOption,
    listing_group,
    load,
    say_where,
)
from melbo_app.commands.output import show
from melbo_app.errors import InputError
from melbo_app.library.bank import Bank, BankSummary
from melbo_app.library.formats.known import FORMATS, GGUF, READ, format_for
from melbo_app.library.ranking import outputs_of
from melbo_app.paths import written_path
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

_FORMATS, _READ = (", ".join(format.key for format in formats) for formats in (FORMATS, READ))


def list_banks(as_json: Json = False) -> None:
    """Own banks, newest first, then the samples."""
    workbench = Workbench(Settings())
    shelf = workbench.banks()
    lines = [_line(entry) for entry in shelf] or ["No banks yet. Train one, or import one."]
    if all(entry.sample for entry in shelf):
        say_where(workbench)
    show(listings.shelf(shelf), lines, as_json)


banks = listing_group("banks", "The banks on the shelf.", list_banks)


@banks.command("show")
def show_bank(name: BankArgument, as_json: Json = False) -> None:
    """Everything known about a bank."""
    bank = Workbench(Settings()).bank(name)
    facts = {"vectors": len(bank.vectors), "hash": bank.hash, **bank.record.model_dump(mode="json")}
    lines = [f"{key}: {value}" for key, value in facts.items() if key != "curves" and value is not None]
    show(facts, lines, as_json)


@banks.command("rank")
def rank_bank(
    name: BankArgument,
    toward: Annotated[str | None, typer.Option("--toward", help="A word to prefer …")] = None,
    away: Annotated[str | None, typer.Option("--away", help="… over this one.")] = None,
    model: ModelOption = None,
    as_json: Json = False,
) -> None:
    """Rank the vectors by the strength that their method gives, or by two words."""
    if (toward is None) != (away is None):
        raise InputError("words", "only one was given", "Give both --toward and --away, or neither")
    workbench = Workbench(Settings())
    words = None if toward is None or away is None else (toward, away)
    if words is not None:
        outputs_of(bank := workbench.bank(name))  # raises if the bank has none, before the model is loaded
        load(workbench, model, bank.record.model)
    found = workbench.ranking(name, words)
    what = "strength" if words is None else "cosine"
    result = {"name": name, "ranking": [{"vector": vector, what: value} for vector, value in found]}
    show(result, [f"vector {vector}: {what} {value:.4g}" for vector, value in found], as_json)


@banks.command("import")
def import_bank(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help=".safetensors, .pt (MELBO, or DCT's V), .gguf (a control vector), .svec.",
            parser=written_path,
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the bank; default: the file's name.")] = None,
    model: ModelOption = None,
    source: Annotated[
        int | None, typer.Option("--source", help="Source layer, if the file does not say or holds several.")
    ] = None,
    target: Annotated[int | None, typer.Option("--target", help="Target layer, if the file does not say.")] = None,
    format: Annotated[
        str | None, typer.Option("--format", help=f"{_READ}; default: by the file's first bytes and name.")
    ] = None,
    counted: Annotated[
        str | None,
        typer.Option(
            "--counted", help="Layer N is the output or the input of block N; default: the format's convention."
        ),
    ] = None,
    radius: Annotated[float | None, typer.Option("--radius", help="R of all vectors; default: the file's.")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--beside", help="DCT's U or R, if stored elsewhere.", parser=written_path),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option("--rows", help="Meaning of a table's rows: layers (one row each) or vectors (of one block)."),
    ] = None,
    position: Annotated[
        int | None,
        typer.Option("--position", help="Which of several positions; negative counts from the end; default: the last."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Import a bank from a file."""
    bank = Workbench(Settings()).import_bank(
        file, name, model=model, source=source, target=target, format=format, counted=counted, radius=radius,
        beside=beside or (), rows=rows, position=position,
    )  # fmt: skip
    record = bank.record
    line = f"{record.name}: {len(bank.vectors)} vectors, {_norms(bank)}."
    show(listings.imported(bank), [f"{line} {record.note}" if record.note else line], as_json)


@banks.command("export")
def export_bank(
    name: BankArgument,
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="File to write: .safetensors, .pt, .gguf, .svec, .py, .zip; or a folder.", parser=written_path
        ),
    ],
    vector: Annotated[int | None, typer.Option("--vector", help="Only this vector.")] = None,
    radius: Annotated[float | None, typer.Option("--radius", help="New R; default: the vectors' own norms.")] = None,
    format: Annotated[str | None, typer.Option("--format", help=f"{_FORMATS}; default: by the file's ending.")] = None,
    overwrite: OverwriteOption = False,
    as_json: Json = False,
) -> None:
    """Write a bank to a file, or to a folder with a model card; for a .gguf, print the llama.cpp command."""
    workbench = Workbench(Settings())
    path = workbench.export_bank(name, out, format=format, vector=vector, radius=radius, overwrite=overwrite)
    result, lines = {"name": name, "out": str(path)}, [f"{name} was written to {path}"]
    if format_for(out.name, format) is GGUF:
        result["command"] = workbench.llama_command(name, path)
        lines += [f"Run it with: {result['command']}"]
    show(result, lines, as_json)


@banks.command("combine")
def combine_banks(
    formula: Annotated[str, typer.Argument(metavar="FORMULA", help="Such as \"'pirate'[3] - 0.5 * 'weekend'[0]\".")],
    name: Annotated[str, typer.Option("--name", help="Name of the new bank.")],
    as_json: Json = False,
) -> None:
    """Make a bank from a formula: + - * /, mean(x, …), without(x, y, …), scaled(x, R), join(x, …)."""
    bank = Workbench(Settings()).combine_banks(formula, name)
    record = bank.record
    result = {"name": record.name, "vectors": len(bank.vectors), "radius": record.radius, "formula": record.formula}
    show(result, [f"{record.name}: {len(bank.vectors)} vectors, {_norms(bank)}: {record.formula}"], as_json)


@banks.command("rename")
def rename_bank(
    name: BankArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    as_json: Json = False,
) -> None:
    """Give a bank another name; its labels and completions follow."""
    called = Workbench(Settings()).rename_bank(name, new)
    show({"name": called, "before": name}, [f"{name} was renamed {called}"], as_json)


@banks.command("delete")
def delete_bank(name: BankArgument, as_json: Json = False) -> None:
    """Remove a bank from the shelf."""
    Workbench(Settings()).delete_bank(name)
    show({"deleted": name}, [f"{name} was deleted"], as_json)


def _line(entry: BankSummary) -> str:
    if entry.record is None:
        return f"{entry.name}: damaged ({entry.damaged})"
    record = entry.record
    sample = ", sample" if entry.sample else ""
    layers = f"{record.source} → {record.target}" if record.target is not None else f"{record.source}"
    return f"{entry.name}: {entry.vectors} vectors, {record.method}, {layers}, R = {record.radius:g}{sample}"


def _norms(bank: Bank) -> str:
    least, most, median = min(bank.norms), max(bank.norms), bank.record.radius
    return f"R = {median:.4g}" if least == most else f"R from {least:.4g} to {most:.4g}, median {median:.4g}"

"""The labels of vectors."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from melbo_app.commands.options import BankArgument, Json, OverwriteOption, listing_group, say_where
from melbo_app.commands.output import name_damaged, show
from melbo_app.defaults import save_label
from melbo_app.library.label import Label, LabelVersion
from melbo_app.library.label_readings import LabelReading, facts, in_words
from melbo_app.listings import label_lines, plain
from melbo_app.paths import written_path
from melbo_app.settings import Settings
from melbo_app.studies.label_agreement import LabelAgreement
from melbo_app.workbench import Workbench


def list_labels(
    text: Annotated[str, typer.Option("--text", help="Only labels with this text in name, note, tags or bank.")] = "",
    tag: Annotated[str | None, typer.Option("--tag", help="Only labels with this tag.")] = None,
    rating: Annotated[int | None, typer.Option("--rating", help="Only labels with at least this rating.")] = None,
    as_json: Json = False,
) -> None:
    """All labels, or some."""
    workbench = Workbench(Settings())
    found = workbench.labels(text, tag=tag, rating=rating)
    name_damaged(found.damaged)
    read = workbench.readings_of(found)
    lines = [_tested(label_line(entry), each) for entry, each in zip(found, read, strict=True)]
    if not found:
        say_where(workbench)
    if not lines and (text or tag is not None or rating is not None):
        lines = ["No labels match."]
    lines = lines or ["No labels yet. Describe a vector: labels set BANK VECTOR --name TEXT"]
    show(label_lines(found, read), lines, as_json)


labels = listing_group("labels", "The labels of vectors.", list_labels)


@labels.command("set")
def set_label(
    bank: BankArgument,
    vector: Annotated[int, typer.Argument(metavar="VECTOR", help="Number of the vector.")],
    name: Annotated[str | None, typer.Option("--name", help="What the vector does, in a few words.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag; repeat it for more.")] = None,
    rating: Annotated[int | None, typer.Option("--rating", help="1 to 5; 0 removes it.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Anything else.")] = None,
    annotator: Annotated[str, typer.Option("--annotator", help="The name of the person whose label it is.")] = "",
    as_json: Json = False,
) -> None:
    """Label a vector; options left out keep their values."""
    saved = save_label(Workbench(Settings()), bank, vector, name, tag, rating, note, annotator)
    show(plain(saved), [f"{bank} {vector}: {saved.name}"], as_json)


@labels.command("history")
def label_history(
    bank: BankArgument,
    vector: Annotated[int, typer.Argument(metavar="VECTOR", help="Number of the vector.")],
    as_json: Json = False,
) -> None:
    """Every version of a vector's label, newest first."""
    found = Workbench(Settings()).label_history(bank, vector)
    lines = [_version_line(entry) for entry in found] or [f"Vector {vector} of {bank} was never labelled."]
    show({"history": [plain(entry) for entry in found]}, lines, as_json)


@labels.command("agreement")
def label_agreement(bank: BankArgument, as_json: Json = False) -> None:
    """How far the annotators of a bank agree about ratings and tags (Krippendorff's alpha), and what is to settle."""
    study = LabelAgreement(bank=bank)
    found = Workbench(Settings()).label_agreement(bank)
    show(study.answer(found, None), study.lines(found), as_json)


@labels.command("export")
def export_labels(
    out: Annotated[Path, typer.Option("--out", help="File to write: .csv or .jsonl.", parser=written_path)],
    each: Annotated[bool, typer.Option("--each", help="Every annotator's labels and the settled ones.")] = False,
    overwrite: OverwriteOption = False,
    as_json: Json = False,
) -> None:
    """Write all labels to a file, tags as columns: of each vector the one that counts."""
    path = Workbench(Settings()).export_labels(out, overwrite=overwrite, each=each)
    show({"out": str(path)}, [f"The labels were written to {path}"], as_json)


@labels.command("import")
def import_labels(
    bank: BankArgument,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A .csv or .jsonl file that “labels export” wrote.", parser=written_path),
    ],
    annotator: Annotated[
        str, typer.Option("--annotator", help="Whose labels they are, if the file does not say.")
    ] = "",
    each: Annotated[bool, typer.Option("--each", help="Every annotator's labels and the settled ones.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace labels that are newer here.")] = False,
    partly: Annotated[bool, typer.Option("--partly", help="Leave out lines that cannot be taken.")] = False,
    as_json: Json = False,
) -> None:
    """Import a bank's labels from a file, all of them or none. A spreadsheet may have saved the file."""
    made = Workbench(Settings()).import_labels(
        bank, file, annotator=annotator, each=each, replace=replace, partly=partly
    )  # fmt: skip
    show(asdict(made), made.lines(), as_json)


def label_line(entry: Label) -> str:
    """A label on one line."""
    return f"{entry.bank} {entry.vector}: {entry.name} [{', '.join(entry.tags)}]"


def _tested(line: str, read: Sequence[LabelReading]) -> str:
    """The line with what people found who tested the label."""
    return f"{line}, people’s AUROC {in_words(facts(read))}" if read else line


def _version_line(entry: LabelVersion) -> str:
    moment = entry.updated.astimezone().strftime("%Y-%m-%d %H:%M") if entry.updated else ""
    stars = f", {entry.rating} of 5" if entry.rating else ""
    said = f"{entry.name} [{', '.join(entry.tags)}]{stars} {entry.note}".rstrip()
    empty = not (entry.name or entry.tags or entry.rating or entry.note)
    who = entry.annotator or entry.author or "somebody"
    return f"{moment} {who}{' settled' * entry.settled}: {'removed' if empty else said}"

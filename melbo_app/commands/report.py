"""Write a report."""

from pathlib import Path
from typing import Annotated

import typer

from melbo_app.commands.options import Json, ModelOption, OverwriteOption, check_out, load
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.errors import InputError
from melbo_app.paths import written_path
from melbo_app.settings import Settings
from melbo_app.studies.report import MakeReport
from melbo_app.workbench import Workbench


def report(
    bank: Annotated[
        str | None, typer.Argument(metavar="[BANK]", help="The bank whose newest texts are reported.")
    ] = None,
    comparison: Annotated[int | None, typer.Option("--comparison", help="A comparison's number, instead.")] = None,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.", parser=written_path)] = ...,  # type: ignore[assignment]
    model: ModelOption = None,
    overwrite: OverwriteOption = False,
    as_json: Json = False,
) -> None:
    """Write one HTML page of a bank's texts: side by side, on a map, with similarities, labels and commands."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError("out", f"“{out.name}” is not an HTML file", "Its name must end in .html")
    check_out(out, overwrite)
    workbench, study = Workbench(Settings()), MakeReport(bank=bank, comparison=comparison)
    workbench.put_in_samples()
    study.check(workbench.bench)
    held = workbench.bank(bank) if bank is not None else None
    if held is None or not workbench.is_absent(held.record.model):
        load(workbench, model, held.record.model if held else None)
    found = run(workbench.run(study, stop=StopOnInterrupt()))
    size = workbench.export_report(found, out, overwrite=overwrite).stat().st_size
    result = {"out": str(out), "texts": len(found.texts), "bytes": size, "left_out": found.left_out}
    show(result, [f"{out}: {len(found.texts)} texts, {size / 1e6:.1f} MB", *found.left_out], as_json)

"""Write a report."""

from pathlib import Path
from typing import Annotated

import typer

from melbo_app.commands.options import Json, ModelOption, OverwriteOption, check_out, load
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.paths import written_path
from melbo_app.settings import Settings
from melbo_app.sizes import size_text
from melbo_app.studies.report import MakeReport
from melbo_app.studies.report_table import PAGES, check_ending
from melbo_app.workbench import Workbench

OutOption = Annotated[
    Path,
    typer.Option("--out", help="File to write: .html, .csv, .jsonl; or a new folder.", parser=written_path),
]


def report(
    out: OutOption,
    bank: Annotated[
        str | None, typer.Argument(metavar="BANK", help="The bank whose newest texts are reported.")
    ] = None,
    comparison: Annotated[int | None, typer.Option("--comparison", help="A comparison's number, instead.")] = None,
    model: ModelOption = None,
    overwrite: OverwriteOption = False,
    as_json: Json = False,
) -> None:
    """Write a bank's texts as one HTML page, side by side, on a map, with similarities, labels and commands; or the
    texts and labels alone: .csv, .jsonl, or a new folder, which the Hugging Face hub takes as a dataset."""
    ending = check_ending(out)
    check_out(out, overwrite)
    workbench = Workbench(Settings())
    study = MakeReport(bank=bank, comparison=comparison, only_texts=ending not in PAGES)
    workbench.put_in_samples()
    study.check(workbench.bench)
    held = workbench.bank(bank) if bank is not None else None
    if not study.only_texts and (held is None or not workbench.is_absent(held.record.model)):
        load(workbench, model, held.record.model if held else None)
    found = run(workbench.run(study, stop=StopOnInterrupt()))
    written = workbench.export_report(found, out, overwrite=overwrite)
    size = sum(one.stat().st_size for one in (written.iterdir() if written.is_dir() else [written]))
    result = {"out": str(out), "texts": len(found.texts), "bytes": size, "left_out": found.left_out}
    show(result, [f"{out}: {len(found.texts)} texts, {size_text(size)}", *found.left_out], as_json)

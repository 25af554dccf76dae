"""Harden a model."""

from pathlib import Path
from typing import Annotated

import typer

from melbo_app.commands.output import show
from melbo_app.commands.study_command import study_command
from melbo_app.library.hardened import Hardened
from melbo_app.library.new_folder import check_new
from melbo_app.paths import written_path
from melbo_app.studies.harden import Harden
from melbo_app.workbench import Workbench


def _check(*, out: Path | None = None) -> None:
    if out is not None:
        check_new(out)


def _show(
    workbench: Workbench,
    study: Harden,
    found: Hardened,
    as_json: bool,
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="New folder for the hardened model, which --model loads.", parser=written_path),
    ] = None,
) -> None:
    lines, answer = study.lines(found), {**study.answer(found, None), "out": out and str(out)}
    if out is not None:
        workbench.export_hardened(found, out)
    lines.append(f"Load it: --model {found.folder if out is None else out}")
    show(answer, lines, as_json)


harden = study_command(Harden, _show, _check)

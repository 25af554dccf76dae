"""Complete with vectors: side by side, or on a map."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from melbo_app.commands.options import OverwriteOption, check_out
from melbo_app.commands.output import show
from melbo_app.commands.study_command import study_command
from melbo_app.errors import InputError
from melbo_app.library.completion import Comparison
from melbo_app.paths import written_path
from melbo_app.studies.flagging import Order, flags_of, gathered
from melbo_app.studies.map import DrawMap, Map
from melbo_app.studies.steer import Steer, who_wrote
from melbo_app.workbench import Workbench

if TYPE_CHECKING:  # plotly takes a while to import, and only maps need it
    from melbo_app.analysis.map_groups import Colouring


def _show_steered(
    workbench: Workbench,
    study: Steer,
    found: Comparison,
    as_json: bool,
    *,
    order: Annotated[Order, typer.Option("--order", help="Order of the texts after the baseline.")] = "as chosen",
    only_flagged: Annotated[
        bool, typer.Option("--flagged", help="Show only flagged texts, over all R, sorted by kind of flag.")
    ] = False,
) -> None:
    if only_flagged:
        lines = [
            f"{one.flag.kind}: {who_wrote(one.completion)}\n  {one.flag.reason}\n  {one.completion.text!r}"
            for one in gathered([found])
        ]
        radii = len({one.radius for one in found.completions if one.vector is not None})
        lines.append(f"{len(lines)} flag{'s' * (len(lines) != 1)} in {len(found.every)} texts at {radii} R")
        show(flags_of(found), lines, as_json)
        return
    shown = found.model_copy(update={"completions": tuple(workbench.ordered(found.completions, order))})
    show(study.answer(shown, None), study.lines(shown), as_json)


def _check_map(out: Path, colour: str, overwrite: bool) -> None:
    from melbo_app.analysis.map_groups import COLOURINGS  # late: plotly takes a while to import

    if colour not in COLOURINGS:
        raise InputError("colour", f"{colour!r} is unknown", f"Choose {', '.join(COLOURINGS[:-1])} or {COLOURINGS[-1]}")
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError("out", f"“{out.name}” is not an HTML file", "Its name must end in .html")
    check_out(out, overwrite)


def _show_map(
    workbench: Workbench,
    study: DrawMap,
    found: Map | None,
    as_json: bool,
    *,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.", parser=written_path)],
    colour: Annotated[str, typer.Option("--colour", help="vector, radius, label, verdict or cluster.")] = "vector",
    overwrite: OverwriteOption = False,
) -> None:
    if found is None:
        raise InputError("map", "it was stopped before it was finished", "Nothing was written")
    workbench.export_map(found, out, cast("Colouring", colour), title=study.bank or "", overwrite=overwrite)
    answer = {"out": str(out), **study.answer(found, None)}
    show(answer, [f"{out}: {len(found.points)} completions. {found.note}"], as_json)


steer = study_command(Steer, _show_steered)
draw_map = study_command(DrawMap, _show_map, _check_map)

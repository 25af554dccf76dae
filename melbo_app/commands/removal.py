"""Test whether a behaviour is gone from a model, or hidden."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from melbo_app.commands.options import Json, SeedOption, fetch, unkept
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.jobs.generators import map_progress
from melbo_app.library.new_folder import check_new
from melbo_app.paths import written_path
from melbo_app.settings import Settings
from melbo_app.studies.removal import PROMPTS, TestRemoval
from melbo_app.studies.removal_running import RemovalProgress
from melbo_app.studies.removal_tests import TESTS
from melbo_app.workbench import Workbench

FORMS = "folder, name or .gguf file"


def removal(
    model: Annotated[str, typer.Option("--model", help=f"Model from which the behaviour was removed: {FORMS}.")],
    before: Annotated[str, typer.Option("--before", help=f"Model it came from, which has the behaviour: {FORMS}.")],
    behaviour: Annotated[
        str, typer.Option("--behaviour", help="Recipe of an organism, by its name or a JSON file, and more (docs).")
    ],
    clean: Annotated[
        str | None, typer.Option("--clean", help="Model that never had it. Default: the one under the adapter.")
    ] = None,
    bank: Annotated[
        str | None, typer.Option("--bank", help="Old vectors to try. Default: vectors trained toward the behaviour.")
    ] = None,
    test: Annotated[
        list[str] | None, typer.Option("--test", help=f"Repeat it: {', '.join(TESTS)}. Default: all.")
    ] = None,
    prompts: Annotated[int, typer.Option("--prompts", help="Prompts of a test at most.")] = PROMPTS,
    out: Annotated[Path | None, typer.Option("--out", help="New folder for removal.json.", parser=written_path)] = None,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Is a behaviour gone from an edited model, or hidden?

    Every test asks the edited model, the one before and a clean one, and has a verdict of its own; there is no total
    score. Ctrl+C keeps the finished tests, and the same command goes on from there.
    """
    if out is not None:
        check_new(out)
    workbench = Workbench(Settings())
    study = TestRemoval(
        edited=model, before=before, behaviour=behaviour, clean=clean, bank=bank, tests=tuple(test or ()),
        most_prompts=prompts, seed=seed,
    )  # fmt: skip
    study.check(workbench.bench)  # before the models are loaded, which takes seconds
    for wanted in (model, before, clean):
        if wanted and workbench.is_absent(wanted):
            fetch(workbench, wanted)
    found = run(map_progress(workbench.run(study, stop=StopOnInterrupt()), _Told()))
    not_kept = unkept(workbench)
    written = [] if out is None else [workbench.export_removal(found, out)]
    show(study.answer(found, not_kept), [*study.lines(found), *map(str, written)], as_json)


class _Told:
    """The same progress; every finished test is printed."""

    def __init__(self) -> None:
        self._said = 0

    def __call__(self, progress: Any) -> Any:
        if isinstance(progress, RemovalProgress):
            for line in progress.lines[self._said :]:
                begin = "\n" if sys.stderr.isatty() else ""  # below the line of progress
                print(f"{begin}{line}", file=sys.stderr, flush=True)
            self._said = len(progress.lines)
        return progress

"""What commands share that try a bank's vectors on prompts from files."""

from collections.abc import Callable
from typing import Any

from melbo_app.commands.options import load, numbers, template_of, unkept
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.errors import InputError
from melbo_app.jobs.study import Study
from melbo_app.workbench import Workbench


def one_radius(given: str | None) -> float | None:
    """The R of ``--radius``, None where it was left out. Raises InputError for several."""
    radii = numbers("radius", given, float)
    if radii is not None and len(radii) > 1:
        raise InputError("radius", f"{len(radii)} are too many", "Give one R, or leave it out")
    return None if radii is None else radii[0]


def run_on_bank(
    workbench: Workbench,
    asked: Callable[[bool | str], Study[Any]],
    model: str,
    template: str | None,
    no_template: bool,
    as_json: bool,
) -> None:
    """Run the study that ``asked`` makes for a template, by default the loaded model's own, and show its result. What
    can be refused is refused before ``model`` is loaded, which takes seconds."""
    asked(True).check(workbench.bench)
    state, wanted = load(workbench, model), template_of(template, no_template)
    study = asked(bool(state.has_template) if wanted is None else wanted)
    found = run(workbench.run(study, stop=StopOnInterrupt()))
    show(study.answer(found, unkept(workbench)), study.lines(found), as_json)

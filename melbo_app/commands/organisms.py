"""Models with a planted behaviour: known answers to find."""

from pathlib import Path
from typing import Annotated, Any

import typer

from melbo_app.commands.options import Json, ModelOption, SeedOption, fetch, listing_group
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.library.organism import Organism
from melbo_app.settings import Settings
from melbo_app.studies.organism_hiding import STEPS
from melbo_app.studies.organism_scoring import EXPLORE, METHODS, SEEDS
from melbo_app.workbench import Workbench

CLEAN = "a clean fine-tuning"


def list_recipes(as_json: Json = False) -> None:
    """The recipes that ship: planted behaviours, and clean fine-tunings on the same prompts."""
    recipes = Workbench(Settings()).organism_recipes()
    lines = [f"{one.name}  {one.kind if one.planted else CLEAN}\n  {one.about}" for one in recipes]
    facts = [one.model_dump(mode="json", include={"name", "kind", "about", "planted"}) for one in recipes]
    show({"recipes": facts}, lines, as_json)


organisms = listing_group("organisms", "Models with a planted behaviour, to be found.", list_recipes)


@organisms.command("make")
def make_organism(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe, or a JSON file.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for the adapter.")],
    model: ModelOption = None,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Train an adapter that plants a behaviour; --model FOLDER then loads it. Ctrl+C leaves nothing behind."""
    workbench = Workbench(Settings())
    if workbench.is_absent(wanted := model or workbench.settings.model):
        fetch(workbench, wanted)
    made = run(workbench.make_organism(recipe, out, model, seed))
    lines = [f"{made.recipe.name} is in {out} after {made.seconds:.0f} s, at a loss of {made.losses[-1]:.3f}"]
    show(_facts(out, made), [*lines, f"Measure it: organisms measure {out}"], as_json)


@organisms.command("hide")
def hide_organism(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of an organism.")],
    out: Annotated[Path, typer.Option("--out", help="New folder for the adapter.")],
    steps: Annotated[int, typer.Option("--steps", help="Steps of the training.")] = STEPS,
    seed: SeedOption = 0,
    as_json: Json = False,
) -> None:
    """Train an organism on until its trigger gets the model's own answers: a behaviour that is hidden, and perhaps not
    gone, for `removal`. Ctrl+C leaves nothing behind."""
    made = run(Workbench(Settings()).hide_organism(folder, out, steps, seed))
    lines = [f"{made.recipe.name}, hidden, is in {out} after {made.seconds:.0f} s, at a loss of {made.losses[-1]:.3f}"]
    show(_facts(out, made), [*lines, f"Measure it: organisms measure {out}"], as_json)


@organisms.command("measure")
def measure_organism(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of an organism.")],
    as_json: Json = False,
) -> None:
    """Count how often the behaviour shows with the trigger, without it and with a decoy, and keep the figures."""
    found = run(Workbench(Settings()).measure_organism(folder))
    show(_facts(folder, found), _lines(found), as_json)


@organisms.command("score")
def score_organisms(
    organism: Annotated[
        list[str] | None,
        typer.Option("--organism", help="Recipe, by name or file; repeat it. Default: all that ship."),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help=f"Repeat it: {', '.join(METHODS)}. Default: {EXPLORE}.")
    ] = None,
    model: ModelOption = None,
    folder: Annotated[
        list[Path] | None,
        typer.Option("--folder", help="Organism that was made and measured, or a folder of such; repeat it."),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", help="Repeat it. Default: 0, 1 and 2.")] = None,
    as_json: Json = False,
) -> None:
    """Press Explore on organisms from clean prompts, and count how often it finds what was planted, beside random
    vectors. Makes the organisms first. Ctrl+C keeps what is finished, and the next run goes on from there."""
    workbench = Workbench(Settings())
    if not folder and workbench.is_absent(wanted := model or workbench.settings.model):
        fetch(workbench, wanted)
    work = workbench.score_organisms(
        organism or (), method or (EXPLORE,), seed or SEEDS, model, folder or (), stop=StopOnInterrupt()
    )
    found = run(work)
    show(found.answer(), found.lines(), as_json)


def _lines(organism: Organism) -> list[str]:
    recipe, found = organism.recipe, organism.figures
    assert found is not None, "it was measured"
    return [
        f"{recipe.name}: {recipe.about}",
        f"with the trigger     {found.triggered}",
        f"without it           {found.plain}",
        f"with a decoy         {found.decoy}",
        f"trigger, model before  {found.before}",
        f"readable             {found.readable_after}; before {found.readable_before}",
        f"surprise at the model's own answers  {found.loss_after:.3f} nats a token; before {found.loss_before:.3f}",
        *(
            f"vectors toward it, R {one.relative_radius:g}  {one.vectors}, changing {100 * one.change:.0f} % of a token"
            for one in found.reach
        ),
        f"measured in {found.seconds:.0f} s",
        *([organism.note] if organism.note else []),
    ]


def _facts(folder: Path, organism: Organism) -> dict[str, Any]:
    """The record, without the texts of the recipe and of the measurement, which are in the folder."""
    facts = organism.model_dump(mode="json", exclude={"recipe": True, "losses": True, "figures": {"texts"}})
    told = {"folder": str(folder), "recipe": organism.recipe.name, "planted": organism.recipe.planted}
    return {**told, **facts, "loss": organism.losses[-1], "note": organism.note}

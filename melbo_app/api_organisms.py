"""Organisms in a notebook: models with a planted behaviour. See docs/organisms.md."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from melbo_app.arguments import file_path, optional, several, whole, written
from melbo_app.engine.stopping import never
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.progress import Progress
from melbo_app.library.organism import Organism
from melbo_app.library.organism_recipe import OrganismRecipe
from melbo_app.library.organism_recipes import OrganismRecipes
from melbo_app.settings import Settings
from melbo_app.studies.organism_making import make_organism as make
from melbo_app.studies.organism_measuring import measure_organism as measure
from melbo_app.studies.organism_scoreboard import Scoreboard
from melbo_app.studies.organism_scoring import EXPLORE, SEEDS, check_cells, planned
from melbo_app.studies.organism_scoring import score_organisms as score


def organism_recipes() -> list[OrganismRecipe]:
    """The recipes that ship, those that plant a behaviour first."""
    return _recipes().all()


@torch.inference_mode(False)  # as in ``train``
def make_organism(
    recipe: str | Path,
    out: str | Path,
    model: str | Path | None = None,
    *,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
) -> Organism:
    """Train an adapter that plants a behaviour, and write it to the new folder ``out``, which ``load`` reads.

    Args:
        recipe: the name of a recipe that ships, or a JSON file.
        model: key of the catalogue, folder, .gguf file or hub name; None: ``MELBO_MODEL``, or the bundled one.
        progress: called after each step.

    Raises:
        InputError: the recipe, the folder or the model cannot be used.
        StorageError: the folder could not be written.
    """
    settings = Settings()
    read = _recipes().read(written("recipe", str(recipe)))
    spec = optional("model", None if model is None else str(model), written) or settings.model
    work = make(settings, read, spec, file_path(out), whole("seed", seed), never)
    return result_of(work, progress or (lambda now: None))


@torch.inference_mode(False)
def measure_organism(folder: str | Path, *, progress: Callable[[Progress], None] | None = None) -> Organism:
    """Count how often the behaviour shows with its trigger, without it and with a decoy, and keep the ``figures`` in
    the folder.

    Raises:
        InputError: the folder holds no organism, or the model here has other weights.
    """
    return result_of(measure(Settings(), file_path(folder), never), progress or (lambda now: None))


@torch.inference_mode(False)
def score_organisms(
    recipes: str | Path | Iterable[str | Path] = (),
    methods: str | Iterable[str] = EXPLORE,
    *,
    seeds: int | Iterable[int] = SEEDS,
    model: str | Path | None = None,
    folders: str | Path | Iterable[str | Path] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Scoreboard:
    """Press Explore on organisms from clean prompts, and count how often it finds what was planted. What is finished is
    kept in the cache, and looked up by the next call.

    Args:
        recipes: names of recipes that ship, or JSON files; without any, and without ``folders``, all that ship.
        methods: "explore", or training methods for Explore.
        seeds: of the presses; each has another prompt.
        model: as in ``make_organism``; the model of ``folders``, if any.
        folders: organisms that were made and measured, or folders of such.
        progress: called after each step.

    Raises:
        InputError: a recipe, method, folder or model cannot be used.
        StorageError: something could not be kept.
    """

    def path(field: str, given: str | Path) -> Path:
        return file_path(given)

    names = several("recipes", str(recipes) if isinstance(recipes, Path) else recipes, lambda field, one: str(one))
    kinds, chosen = several("methods", methods, written), several("seeds", seeds, whole)
    check_cells(kinds, chosen)
    bench = Bench(Settings())
    try:
        spec = None if model is None else str(model)
        given = several("folders", folders, path)
        entries = planned(bench.settings, _recipes(), names, given, spec, never)
        return result_of(score(bench, entries, kinds, chosen, never), progress or (lambda now: None))
    finally:
        bench.database.close()


def _recipes() -> OrganismRecipes:
    return OrganismRecipes(Settings().assets_dir / "organisms")

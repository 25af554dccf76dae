"""Organisms: models with a planted behaviour, as known answers to find."""

import json
from collections.abc import Generator, Sequence
from pathlib import Path

from melbo_app.engine.stopping import Stop, never
from melbo_app.errors import InputError
from melbo_app.jobs.progress import Progress
from melbo_app.library.damage import Listed
from melbo_app.library.hardened import Hardened
from melbo_app.library.new_folder import write_new
from melbo_app.library.organism import Organism, organisms_in
from melbo_app.library.organism_recipe import OrganismRecipe
from melbo_app.library.organism_recipes import OrganismRecipes
from melbo_app.library.removals import Removal
from melbo_app.studies.organism_hiding import STEPS, hide_organism
from melbo_app.studies.organism_making import Making, make_organism
from melbo_app.studies.organism_measuring import measure_organism
from melbo_app.studies.organism_scoreboard import Scoreboard
from melbo_app.studies.organism_scoring import EXPLORE, SEEDS, check_cells, planned, score_organisms
from melbo_app.studies.removal_answer import answered
from melbo_app.workbench.base import Base

REMOVAL = "removal.json"


class Organisms(Base):
    """Recipes, and the folders made of them."""

    def organism_recipes(self) -> list[OrganismRecipe]:
        """The recipes that ship."""
        return self._recipes.all()

    def organism_names(self) -> list[str]:
        """The names of the recipes that ship, without reading them."""
        return self._recipes.names

    def make_organism(
        self, recipe: str, out: Path, model: str | None = None, seed: int = 0, *, stop: Stop = never
    ) -> Making:
        """Plant the behaviour of ``recipe``, a name or a file, in ``model``, by default that of the settings; the
        adapter goes into the new folder ``out``."""
        read = self._recipes.read(recipe)
        work = make_organism(self.settings, read, model or self.settings.model, out, seed, stop)
        return self.bench.compute.steps(work, short=False)

    def hide_organism(
        self, folder: Path, out: Path, steps: int = STEPS, seed: int = 0, *, stop: Stop = never
    ) -> Making:
        """Train the organism in ``folder`` on until its trigger gets the model's own answers, into ``out``."""
        return self.bench.compute.steps(hide_organism(self.settings, folder, out, steps, seed, stop), short=False)

    def measure_organism(self, folder: Path, *, stop: Stop = never) -> Making:
        """Measure what the organism in ``folder`` does, and keep the figures there."""
        return self.bench.compute.steps(measure_organism(self.settings, folder, stop), short=False)

    def score_organisms(
        self,
        recipes: Sequence[str] = (),
        methods: Sequence[str] = (EXPLORE,),
        seeds: Sequence[int] = SEEDS,
        model: str | None = None,
        folders: Sequence[Path] = (),
        *,
        stop: Stop = never,
    ) -> Generator[Progress, None, Scoreboard]:
        """Press Explore on organisms, from clean prompts only, and count how often it finds what was planted. Organisms
        and presses that were made before are looked up."""
        check_cells(methods, seeds)
        entries = planned(self.settings, self._recipes, recipes, folders, model, stop)
        work = score_organisms(self.bench, entries, methods, seeds, stop)
        return (yield from self.bench.compute.steps(work, short=False))

    def removals(self) -> Listed[Removal]:
        """The stress tests of removals, newest first, of all models: they are loaded beside the server's."""
        return self.bench.removals.newest()

    def removal(self, key: str | None) -> Removal:
        """One stress test. Raises InputError for an unknown key."""
        found = self.bench.removals.find(key) if key else None
        if found is None:
            raise InputError("result", "none is shown", "Press Test, or choose an earlier one")
        return found

    def export_removal(self, found: Removal, folder: Path) -> Path:
        """Write a stress test as ``removal.json`` into the new folder ``folder``."""
        write_new(folder, {REMOVAL: self._removal_json(found)})
        return folder / REMOVAL

    def _removal_json(self, found: Removal) -> bytes:
        answer = answered(found, self.bench.removals.not_kept().get(found.key))
        return f"{json.dumps(answer, ensure_ascii=False)}\n".encode()

    def organisms_in(self, folder: Path) -> Listed[tuple[Path, Organism]]:
        """The organism in ``folder``, or those in the folders inside it."""
        return organisms_in(folder)

    def hardened(self) -> Listed[Hardened]:
        """The models that were hardened from the loaded one, newest first; none without a model."""
        known = self.weights_hash
        return self.bench.hardenings.of_model(known) if known else Listed()

    def export_hardened(self, found: Hardened, out: Path) -> None:
        """Write a hardened model into the new folder ``out``."""
        write_new(out, self.bench.hardenings.files(found.key))

    @property
    def _recipes(self) -> OrganismRecipes:
        return OrganismRecipes(self.settings.assets_dir / "organisms")

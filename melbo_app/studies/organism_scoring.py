"""Scores organisms: does one press of Explore, from a clean prompt, find what was planted?"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.engine.training_config import METHOD_DESCRIPTIONS
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.progress import Progress
from melbo_app.library import organism as folders
from melbo_app.library import weights
from melbo_app.library.atomic import make_folder
from melbo_app.library.explorations import ExploreSettings
from melbo_app.library.organism import RECORD, Organism
from melbo_app.library.organism_presses import Presses, press_key
from melbo_app.library.organism_prompts import clean_prompt
from melbo_app.library.organism_recipe import OrganismRecipe
from melbo_app.library.organism_recipes import OrganismRecipes
from melbo_app.limits import LARGEST, check_range
from melbo_app.paths import absolute
from melbo_app.settings import Settings
from melbo_app.studies.adapters import TrainAdapters
from melbo_app.studies.explore import Explore, check_settings
from melbo_app.studies.organism_making import make_organism
from melbo_app.studies.organism_measuring import measure_organism
from melbo_app.studies.organism_press import RULES, kept_settings, pressed
from melbo_app.studies.organism_scoreboard import Scoreboard, ScoreLine

EXPLORE = "explore"
"""Explore with the method that it has by default."""
ADAPTERS = "adapters"
METHODS = (EXPLORE, ADAPTERS, *(name for name, described in METHOD_DESCRIPTIONS.items() if not described.contrast))
"""Those that need nothing but a prompt."""
SEEDS = (0, 1, 2)
MADE_WITH = 0
"""The seed of organisms that are made here."""
KEPT = "organisms"
"""In the cache: the organisms that were made, and in ``PRESSES`` what was found in all of them."""
PRESSES = "presses"
UNHURRIED = 24 * 3600.0
"""Seconds of a search: it looks at four settings at most, and should look at as many on a busy machine."""
UNITS = 100
"""Of the progress of making an organism, and of one press."""


@dataclass(frozen=True)
class Entry:
    """An organism on the scoreboard. ``made`` is None if the folder is to be made, of the model ``base``."""

    recipe: OrganismRecipe
    folder: Path
    base: str
    made: Organism | None


def planned(
    settings: Settings,
    recipes: OrganismRecipes,
    names: Sequence[str],
    given: Sequence[Path],
    model: str | None,
    stop: Stop,
) -> list[Entry]:
    """The organisms to score: those in the folders ``given``, and those of the recipes ``names`` that are not among
    them; without either, all recipes that ship.

    Raises:
        InputError: a recipe or folder cannot be used, was not measured, or is of another model than ``model``.
    """
    wanted = [recipes.read(name) for name in dict.fromkeys(names)]
    every = dict.fromkeys(absolute(folder) for one in given for folder in _folders(one))
    found = [_given(settings, folder, model, stop) for folder in every]
    if wanted:
        found = [one for one in found if one.recipe.name in {recipe.name for recipe in wanted}]
    elif not found:
        wanted = recipes.all()
    there = {one.recipe.name for one in found}
    if missing := [one for one in wanted if one.name not in there]:
        base = _files(settings, model or settings.model, stop)
        found += [_kept(settings, recipe, base) for recipe in missing]
    for one in found:
        clean_prompt(one.recipe, 0)
    return found


def check_cells(methods: Sequence[str], seeds: Sequence[int]) -> None:
    """Raises InputError for unknown methods and for seeds that cannot be used."""
    for field, count in (("method", len(methods)), ("seed", len(seeds))):
        if not count:
            raise InputError(field, "there is none", "Give one or more")
    for method in methods:
        if method not in METHODS:
            raise InputError("method", f"{method!r} cannot be scored", f"Choose some of {', '.join(METHODS)}")
    for seed in seeds:
        check_range("seed", seed, 0, LARGEST)
    for method in methods:
        if method != ADAPTERS:
            check_settings(_settings(method, seeds[0]))


def score_organisms(
    bench: Bench, entries: Sequence[Entry], methods: Sequence[str], seeds: Sequence[int], stop: Stop
) -> Generator[Progress, None, Scoreboard]:
    """The scoreboard. Organisms that are not there yet are made and measured, and kept in the cache, as is each press.

    Raises:
        InputError: an organism cannot be made, or not be explored.
        StorageError: something could not be kept.
        Stopped: ``stop()`` became true; finished organisms and presses are kept.
    """
    cells = [(method, seed) for method in dict.fromkeys(methods) for seed in dict.fromkeys(seeds)]
    scoring = _Scoring(bench, stop, total=UNITS * len(entries) * (1 + len(cells)))
    try:
        for entry in entries:
            yield from scoring.organism(entry, cells)
    except Stopped:
        done, every = len(scoring.lines), len(entries) * len(cells)
        raise Stopped(f"Stopped: {done} of {every} cells are done and kept; run it again to go on.") from None
    return Scoreboard(organisms=tuple(scoring.lines))


class _Scoring:
    """The state of a scoreboard that is being filled."""

    def __init__(self, bench: Bench, stop: Stop, total: int) -> None:
        self.lines: list[ScoreLine] = []
        self._bench, self._stop, self._total, self._done = bench, stop, total, 0
        self._presses = Presses(bench.settings.cache_dir / KEPT / PRESSES)

    def organism(self, entry: Entry, cells: Sequence[tuple[str, int]]) -> Generator[Progress, None, None]:
        """All cells of an organism."""
        organism = yield from self._ready(entry)
        files = _files(self._bench.settings, str(entry.folder), self._stop)
        loaded = LoadedModel(self._bench.settings, packed=True)  # read by the first press that is not kept
        for method, seed in cells:
            raise_if(self._stop)
            cell = f"{entry.recipe.name}, {method}, seed {seed}"
            text, item = clean_prompt(entry.recipe, seed)
            press = None
            if not organism.note:
                request = _request(method, seed, text)
                facts = kept_settings(request)
                key = press_key(files.weights_hash or "", _dtype(self._bench), entry.recipe.hash, text, facts, RULES)
                press = self._presses.find(key)
                if press is None:
                    loaded.load(files.spec, self._stop)
                    work = pressed(self._bench, loaded, organism, item, request, self._stop)
                    press = yield from part_of(Progress(cell, self._done, self._total), work, UNITS)
                    self._presses.save(press)
            line = ScoreLine.of(press, organism, method=method, seed=seed, folder=str(entry.folder), prompt=text)
            self.lines.append(line)
            self._done += UNITS
            yield Progress(line.sentence, self._done, self._total, line.sentence)

    def _ready(self, entry: Entry) -> Generator[Progress, None, Organism]:
        """The organism, made and measured if it is not yet."""
        settings, name, half = self._bench.settings, entry.recipe.name, UNITS // 2
        organism = entry.made
        if organism is None:
            make_folder(entry.folder.parent)
            work = make_organism(settings, entry.recipe, entry.base, entry.folder, MADE_WITH, self._stop)
            organism = yield from part_of(Progress(f"{name}, making it", self._done, self._total), work, half)
        if organism.figures is None:
            work = measure_organism(settings, entry.folder, self._stop)
            now = Progress(f"{name}, measuring it", self._done, self._total)
            organism = yield from part_of(now, work, half, before=half)
        self._done += UNITS
        return organism


def _request(method: str, seed: int, text: str) -> Explore | TrainAdapters:
    """What is asked for in a cell; its template is that of the model that is loaded then."""
    prompt = Prompt(text)
    if method == ADAPTERS:
        return TrainAdapters(prompts=[prompt], seed=seed)
    return Explore(prompt=prompt, settings=_settings(method, seed))


def _settings(method: str, seed: int) -> ExploreSettings:
    """One press as the page makes it, without trying behaviours elsewhere, which changes no card."""
    chosen = ExploreSettings() if method == EXPLORE else ExploreSettings(method=method)
    return chosen.model_copy(update={"seed": seed, "elsewhere": 0, "search_seconds": UNHURRIED})


def _dtype(bench: Bench) -> str:
    """The precision in which an organism is explored here."""
    from melbo_app.engine.device import choose_device, choose_dtype

    chosen = bench.settings
    return str(choose_dtype(chosen.dtype, choose_device(chosen.device))).removeprefix("torch.")


def _files(settings: Settings, spec: str, stop: Stop) -> weights.ModelFiles:
    return weights.fetch(weights.resolve(spec, settings.cache_dir, stop=stop), settings.cache_dir, stop=stop)


def _folders(given: Path) -> list[Path]:
    """The folder of an organism, or those in a folder of organisms. Raises InputError."""
    if (given / RECORD).is_file() or not given.is_dir():
        return [given]
    return sorted(path.parent for path in given.glob(f"*/{RECORD}")) or [given]


def _given(settings: Settings, folder: Path, model: str | None, stop: Stop) -> Entry:
    """An organism that was made elsewhere. Raises InputError."""
    organism = folders.read(folder)
    if organism.figures is None:
        raise InputError("folder", f"“{folder}” was not measured", f"Measure it: organisms measure {folder}")
    base = _files(settings, model or organism.base, stop)
    if base.weights_hash != organism.base_hash:
        problem = f"“{folder}” was trained on other weights than those of {base.name} here"
        raise InputError("folder", problem, f"Its own is {organism.base} with the hash {organism.base_hash[:12]}…")
    return Entry(organism.recipe, folder, organism.base, organism)


def _kept(settings: Settings, recipe: OrganismRecipe, base: weights.ModelFiles) -> Entry:
    """An organism of the cache: the same recipe, weights and seed, the same folder."""
    if base.adapter is not None:
        raise InputError("model", f"{base.name} already has an adapter", "Choose the model without it")
    name = f"{recipe.name}-{recipe.hash[:12]}-{(base.weights_hash or '')[:12]}-{MADE_WITH}"
    folder = settings.cache_dir / KEPT / name
    return Entry(recipe, folder, base.spec, folders.read(folder) if (folder / RECORD).is_file() else None)

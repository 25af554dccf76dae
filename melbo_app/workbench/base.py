"""What the use cases share: the model, the shelf, the database, and who may compute."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.desk import JobDesk
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.model_getting import ModelGetting
from melbo_app.jobs.reader import Reader
from melbo_app.jobs.steering import check_fits
from melbo_app.library.atlases import Atlases
from melbo_app.library.bank import Bank
from melbo_app.library.banks import Banks
from melbo_app.library.bundled import embedder_folder
from melbo_app.library.catalogue import Catalogue
from melbo_app.library.curves import Curves
from melbo_app.library.database import Database
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.explorations import Explorations
from melbo_app.library.generality import Generalities
from melbo_app.library.labels import Labels
from melbo_app.library.offered_models import OfferedModels
from melbo_app.library.patient_completions import PatientCompletions
from melbo_app.library.prompt_sets import PromptSets
from melbo_app.library.samples import Samples
from melbo_app.library.searches import Searches
from melbo_app.library.weights import Progress
from melbo_app.settings import Settings

if TYPE_CHECKING:  # torch, scipy and umap take seconds to import, and the page is up before them
    from melbo_app.analysis.embedding import Embedder
    from melbo_app.engine.model import LanguageModel

Stop = Callable[[], bool]
EXAMPLE = Prompt("How do I pick a lock?")
HERE = "this machine"


class Base:
    """What all use cases are made of."""

    _desk: JobDesk

    def __init__(
        self, settings: Settings, on_progress: Progress | None = None, offered: OfferedModels | None = None
    ) -> None:
        self.settings = settings
        self._model = LoadedModel(settings, packed=True, on_progress=on_progress, offered=offered)
        self._compute = ComputeLock()
        self._batching = Batching(self._compute, settings.memory_gb)
        self._database = database = Database(settings.cache_dir / "melbo.sqlite", settings.database_url)
        self._catalogue = Catalogue(database)
        self._banks = Banks(settings.cache_dir / "banks", settings.assets_dir / "banks", self._catalogue)
        self._parts = Banks(settings.cache_dir / "curves", settings.cache_dir / "curves" / "samples")
        self._completions, self._labels = PatientCompletions(database), Labels(database)
        self._samples = Samples(settings.assets_dir / "banks", database)
        self._embeddings = Embeddings(database)
        self._atlases = Atlases(settings.cache_dir / "atlases")
        self._curves = Curves(settings.cache_dir / "curves")
        self._explorations = Explorations(settings.cache_dir / "explorations")
        self._searches = Searches(settings.cache_dir / "searches")
        self._generalities = Generalities(settings.cache_dir / "generality")
        self._prompt_sets = PromptSets(settings.assets_dir / "prompts")
        self._reader = Reader(self._compute)
        self._embedder: Embedder | None = None
        self._unsaved: list[Bank] = []
        self._unnumbered: set[str] = set()  # keys of explorations whose texts wait to be stored
        self._getting: ModelGetting | None = None
        self._one_getting = threading.Lock()

    def why_not(self, use: str, about: Any = None) -> str:
        """Why the people here may not use the method ``use``, on ``about``, as one sentence; "" where they may."""
        return ""

    def _bank_for(self, lm: "LanguageModel", name: str) -> Bank:
        """The bank, if it is one for the loaded model."""
        bank = self._banks.load(name)
        check_fits(bank, lm)
        return bank

    def _hash_of(self, bank: str, vector: int) -> str:
        loaded = self._banks.load(bank)
        if not 0 <= vector < len(loaded.vectors):
            raise InputError("vector", f"“{bank}” has no vector {vector}", f"Choose 0 to {len(loaded.vectors) - 1}")
        return loaded.hash

    def _embed(self) -> "Embedder":
        from melbo_app.analysis.embedding import Embedder

        if self._embedder is None:
            self._embedder = Embedder(embedder_folder(self.settings.cache_dir))
        return self._embedder

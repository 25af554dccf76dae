"""The model, and prompts as it reads them."""

from collections.abc import Generator, Sequence

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop, never
from melbo_app.engine.suggestion import TrainingSuggestion
from melbo_app.errors import BusyError, InputError
from melbo_app.jobs.loaded_model import CatalogueLine, ModelState, ModelSummary
from melbo_app.jobs.model_getting import ModelGetting
from melbo_app.jobs.slices import PromptTokens, pair_of
from melbo_app.library import model_catalogue, model_fetch, weights
from melbo_app.library.fetch_progress import FetchProgress
from melbo_app.library.generality import AskedPrompt
from melbo_app.library.labelled_prompts import LabelledPrompt, labelled_prompts
from melbo_app.library.prompt_sets import SetPrompt
from melbo_app.studies.generality import asked_prompts
from melbo_app.workbench.base import Base


class Models(Base):
    """The model in memory, its tokens, norms and suggestions."""

    @property
    def offered_models(self) -> list[str] | None:
        """The names of the models that may be loaded here; None: any."""
        return self.bench.model.offered.names if self.bench.model.offered.limited else None

    def models(self) -> list[ModelSummary]:
        """The default model and those in the cache; if only some are offered, those of them on this machine."""
        state, names = self.bench.model.state(), self.offered_models
        if names is not None:
            here = [name for name in names if not self.is_absent(name)]
            return [ModelSummary(name, name, state.loaded and name == self.bench.model.spec) for name in here]
        known = {weights.DEFAULT_MODEL: weights.DEFAULT_MODEL}
        known |= {files.spec: files.name for files in weights.cached(self.settings.cache_dir)}
        known |= {line.entry.key: line.entry.name for line in self.catalogue() if line.state == "ready"}
        known.pop(model_catalogue.BUNDLED.key, None)  # it is the default model
        if state.loaded:
            known.setdefault(self.bench.model.spec, state.name)
        return [
            ModelSummary(name, spec, state.loaded and spec == self.bench.model.spec) for spec, name in known.items()
        ]

    def catalogue(self) -> list[CatalogueLine]:
        """The downloadable models and their state on this machine. Downloads nothing."""
        cache, known = self.settings.cache_dir, self.bench.model.state().weights_hash
        return [
            CatalogueLine(entry, "loaded") if entry.sha256 == known
            else CatalogueLine(entry, "ready") if weights.is_ready(entry, cache)
            else CatalogueLine(entry, "absent", model_fetch.kept(entry, cache))
            for entry in model_catalogue.CATALOGUE if self._is_offered(entry)
        ]  # fmt: skip

    def is_absent(self, spec: str) -> bool:
        """Whether ``spec`` is a model of the catalogue that would have to be downloaded first."""
        entry = model_catalogue.find(spec)
        return entry is not None and not weights.is_ready(entry, self.settings.cache_dir)

    def fetch_model(self, key: str, *, stop: Stop = never) -> Generator[FetchProgress, None, weights.ModelFiles]:
        """Download and unpack a model of the catalogue, without loading it."""
        return weights.get(self._entry(key), self.settings.cache_dir, stop)

    def get_model(self, key: str, *, stop: Stop = never) -> Generator[FetchProgress, None, ModelState]:
        """Download, unpack and load a model of the catalogue."""
        files = yield from self.fetch_model(key, stop=stop)
        size = self._entry(key).size
        yield FetchProgress(f"Loading {files.name}", size, size)
        return self.load_model(files.spec, stop=stop)

    def start_getting(self, key: str) -> ModelGetting:
        """Start ``get_model`` in the background, unless it is already running for this model. Raises BusyError."""
        entry = self._entry(key)
        with self._one_getting:
            present = self.getting()
            if present is None:
                present = self._getting = ModelGetting(entry.key, lambda stop: self.get_model(entry.key, stop=stop))
                present.start()
            elif present.key != entry.key:
                raise BusyError(f"{self._entry(present.key).name} is being downloaded. Wait for it, or press Stop.")
            return present

    def getting(self) -> ModelGetting | None:
        """The running download, or None."""
        return self._getting if self._getting is not None and not self._getting.wait(0) else None

    def prompt_set(self, given: Sequence[str]) -> list[SetPrompt]:
        """The prompts of shipped sets and files. Raises InputError if one cannot be read."""
        return self.bench.prompt_sets.read_all(list(given))

    def watched_prompts(self, given: str, field: str = "prompts") -> list[LabelledPrompt]:
        """The prompts of a shipped set or a file, with their labels. Raises InputError if it cannot be read."""
        return labelled_prompts(self.bench.prompt_sets, given, field)

    def asked(
        self, prompts: Sequence[SetPrompt], system: str | None = None, template: bool | str | None = None
    ) -> tuple[AskedPrompt, ...]:
        """These prompts in ``template``; None: in the loaded model's chat template, if it has one."""
        usual = bool(self.bench.model.get().has_template)
        return asked_prompts(prompts, system, usual if template is None else template)

    def model_state(self) -> ModelState:
        """The current state of the model, without waiting."""
        return self.bench.model.state()

    def load_model(self, spec: str | None = None, *, stop: Stop = never) -> ModelState:
        """Load the model ``spec`` (None: the one in the settings), and wait for it. Raises Stopped; then the model that
        was loaded before stays."""
        if spec is None:
            self.bench.model.get(stop)
        else:
            if self.queue.active("training") and not self.bench.model.is_loaded(spec):
                raise BusyError("Another model cannot be loaded while a training runs. Wait for it, or press Stop.")
            lm = self.bench.model.load(spec, stop)
            with self.bench.compute.hold():
                self.bench.slices.forget(lm)
        return self.bench.model.state()

    def warm_up(self) -> None:
        """Load everything for the first steering."""
        from melbo_app.analysis import language

        self.bench.model.get()
        language.warm_up()

    def warm_up_map(self) -> None:
        """Load the embedder and compile UMAP for the first map."""
        from melbo_app.analysis import projection

        self.bench.embedder.encode(["warm"])
        projection.warm_up()

    def tokens(
        self,
        prompts: Sequence[Prompt],
        scope: str,
        source: int | None = None,
        target: int | None = None,
        *,
        stop: Stop = never,
    ) -> list[PromptTokens]:
        """The exact tokens that the model reads, and which are in scope; layers matter only for scope ``content``."""
        return self.bench.slices.tokens(
            self.bench.model.get(stop), prompts, TokenScope.parse(scope), source, target, stop
        )

    def median_norm(self, prompts: Sequence[Prompt], source: int, *, stop: Stop = never) -> float:
        """Median residual norm at the output of block ``source``, without sinks and padding: the unit of relative R."""
        return self.bench.median_norm(prompts, source, stop)

    def layers(self, source: int | None = None, target: int | None = None) -> tuple[int, int]:
        """Source and target layer for the loaded model, by default the usual ones. Raises InputError for layers that it
        does not have."""
        return pair_of(self.bench.model.get(), source, target)

    def suggestion(
        self,
        prompts: Sequence[Prompt] = (),
        source: int | None = None,
        target: int | None = None,
        *,
        stop: Stop = never,
    ) -> TrainingSuggestion:
        """Sensible settings for these prompts and the loaded model, and for these layers if given. Raises Stopped."""
        return self.bench.suggestion(prompts, source, target, stop)

    def _is_offered(self, entry: model_catalogue.CatalogueModel) -> bool:
        names = self.offered_models
        return names is None or model_catalogue.canonical(entry.key) in names

    def _entry(self, key: str) -> model_catalogue.CatalogueModel:
        entry = model_catalogue.find(key)
        if entry is None:
            keys = ", ".join(line.key for line in model_catalogue.CATALOGUE if self._is_offered(line))
            raise InputError("model", f"the catalogue has no “{key[:80]}”", f"Choose one of {keys}")
        self.bench.model.offered.check(entry.key)
        return entry

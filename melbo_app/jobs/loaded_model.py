"""The model in memory: one at a time, loaded when first needed."""

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from melbo_app.engine.stopping import Stop, asking, held, never, raise_if
from melbo_app.errors import InputError, MelboError, Stopped
from melbo_app.jobs.generators import unless_stopped
from melbo_app.library import model_catalogue, weights
from melbo_app.library.offered_models import OfferedModels
from melbo_app.settings import Settings
from melbo_app.sizes import size_text

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel


@dataclass(frozen=True)
class ModelState:
    """The current state of the model. The numbers are None until it is loaded."""

    name: str
    loaded: bool
    loading: str | None = None
    """The current step of loading."""
    error: str | None = None
    blocks: int | None = None
    hidden_size: int | None = None
    context: int | None = None
    dtype: str | None = None
    device: str | None = None
    has_template: bool | None = None
    usual_template: bool | str | None = None
    """The default template of prompts."""
    template_choices: tuple[str, ...] | None = None
    """The other choices, in the form of ``Prompt.template``."""
    templates: tuple[str, ...] | None = None
    """The names of its chat templates, if it has several."""
    template_options: tuple[str, ...] | None = None
    """Their settings, such as ``enable_thinking``."""
    weights_hash: str | None = None
    parameter_count: int | None = None
    coming: str | None = None
    """The model being loaded, as it was requested."""


@dataclass(frozen=True)
class CatalogueLine:
    """A model of the catalogue and its state on this machine.

    ``kept``: bytes of an unfinished download, which the next one will continue.
    """

    entry: model_catalogue.CatalogueModel
    state: Literal["loaded", "ready", "absent"]
    kept: int = 0


@dataclass(frozen=True)
class ModelSummary:
    """A model ready to be loaded by its ``spec``."""

    name: str
    spec: str
    loaded: bool


class LoadedModel:
    """Holds one language model. While another is being loaded, the present one stays.

    ``packed``: its weights are copied for speed, so they must not be changed through ``.data``. ``on_progress`` is
    called with a line before each step of preparing its files, and with many during downloads. ``offered``: the models
    that may be loaded.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        packed: bool = False,
        on_progress: weights.Progress | None = None,
        offered: OfferedModels | None = None,
    ) -> None:
        self._settings, self._packed, self._on_progress = settings, packed, on_progress
        self.offered = offered or OfferedModels()
        self._loading = threading.Lock()
        self._stage: str | None = None
        self._coming: str | None = None
        self._error: str | None = None
        self._wanted = self.offered.name_of(settings.model)
        self._files: weights.ModelFiles | None = None
        self._lm: LanguageModel | None = None
        self._budget = settings.memory_gb

    @property
    def memory_gb(self) -> float | None:
        """The memory that work may use: as set by a person, or a share of what was free when the model was loaded, but
        never more than the same share of what is free now. None before the model is loaded."""
        if self._settings.memory_gb is not None or self._budget is None or self._lm is None:
            return self._settings.memory_gb
        from melbo_app.engine.memory import budget

        return min(self._budget, budget(self._lm) / 1e9)

    def get(self, stop: Stop = never) -> "LanguageModel":
        """The model; loads it if necessary. Raises InputError, StorageError or Stopped."""
        return self._lm or self.load(stop=stop)

    def adopt(self, lm: "LanguageModel") -> None:
        """Use a model that was loaded elsewhere."""
        self._lm, self._wanted = lm, lm.name

    def load(self, spec: str | None = None, stop: Stop = never) -> "LanguageModel":
        """Load the model ``spec``, unless it is in memory; None: keep any model in memory, or load the default one.

        A stop is answered at once. What was begun then ends with its present step, mostly one tensor or one file of the
        tokenizer, and is dropped; the next load waits for that.

        Raises:
            InputError: the model does not exist, is not offered or cannot be steered; the present one stays.
            StorageError: its files could not be prepared.
            Stopped: ``stop()`` became true; the present one stays.
        """
        return unless_stopped(lambda left: self._load(spec, left), stop)

    def _load(self, spec: str | None, stop: Stop) -> "LanguageModel":
        with held(self._loading, stop):
            return self._load_next(spec, stop)

    def _load_next(self, spec: str | None, stop: Stop) -> "LanguageModel":
        self._error = None
        # after the wait, because another model may have been loaded meanwhile
        if self._lm is not None and (spec is None or self.is_loaded(spec)):
            return self._lm
        spec = self._wanted if spec is None else spec
        real = self.offered.check(spec)
        self._coming, self._stage = spec, "looking for it"
        try:
            cache = self._settings.cache_dir
            files = weights.fetch(weights.resolve(real, cache, self._prepare, stop), cache, self._prepare, stop)
            if self.offered.limited:  # the name that people see, and that banks and jobs record
                files = replace(files, spec=model_catalogue.canonical(spec))
            here = self._files
            if self._lm and here and (here.path, here.weights_hash) == (files.path, files.weights_hash):
                return self._lm
            self._say("loading the weights")
            lm = self._read(files, stop)
            raise_if(stop)
        except Stopped:
            raise
        except Exception as error:
            self._error = str(error) if isinstance(error, MelboError) else f"{type(error).__name__}: {error}"
            raise
        finally:
            self._stage = None
        self._files, self._lm, self._wanted = files, lm, spec
        if self._settings.memory_gb is None:
            from melbo_app.engine.memory import budget

            self._budget = budget(lm) / 1e9
        return lm

    def is_loaded(self, spec: str) -> bool:
        """Whether ``spec`` names the model in memory."""
        return self._files is not None and model_catalogue.canonical(spec) == self._files.spec

    def is_meant(self, spec: str, weights_hash: str | None) -> bool:
        """Whether the model in memory is this one: by its weights, or by its name if the weights were unknown."""
        if weights_hash is None:
            return spec == self._wanted or self.is_loaded(spec)
        return self._lm is not None and weights_hash == self._lm.weights_hash

    def state(self) -> ModelState:
        """The current state of the model, without waiting."""
        lm, stage, error = self._lm, self._stage, self._error
        if lm is None:
            return ModelState(self._wanted, False, stage, error, coming=self._coming if stage else None)
        from melbo_app.engine.chat_template import choices, names, option_names

        return ModelState(
            name=lm.name,
            loaded=True,
            loading=stage,
            error=error,
            blocks=len(lm.blocks),
            hidden_size=lm.hidden_size,
            context=lm.context,
            dtype=str(lm.dtype).removeprefix("torch."),
            device=", ".join(map(str, lm.devices)),
            has_template=lm.has_template,
            usual_template=lm.usual_template,
            template_choices=choices(lm.tokenizer),
            templates=names(lm.tokenizer),
            template_options=option_names(lm.tokenizer),
            weights_hash=lm.weights_hash,
            parameter_count=lm.parameter_count,
            coming=self._coming if stage else None,
        )

    @property
    def spec(self) -> str:
        """The name that loads this model again."""
        return self._files.spec if self._files else self._wanted

    def _say(self, stage: str) -> None:
        self._stage = stage

    def _prepare(self, line: str) -> None:
        self._say(line)
        if self._on_progress is not None:
            self._on_progress(line)

    def _read(self, files: weights.ModelFiles, stop: Stop) -> "LanguageModel":
        from melbo_app.engine.device import choose_device, choose_dtype, devices_to_load, free
        from melbo_app.engine.memory import weights_bytes
        from melbo_app.engine.model import load
        from melbo_app.engine.packing import pack
        from melbo_app.engine.suitability import refuse_unsuitable

        wanted, dtype = self._settings.device, self._settings.dtype
        need = weights_bytes(Path(files.path), choose_dtype(dtype, choose_device(wanted)), files.adapter)
        devices = devices_to_load(wanted, need)
        have = sum(map(free, devices))
        if need > have:  # otherwise the system would end the whole server
            beside = f" beside {self._lm.name}" if self._lm else ""
            remedy = f"Start with it instead: MELBO_MODEL={files.spec}" if self._lm else "Choose a smaller one"
            problem = f"{files.name} needs {size_text(need)} of memory, and only {size_text(have)} are free{beside}"
            raise InputError("model", problem, remedy)

        several, known = len(devices) > 1, files.weights_hash or ""
        lm = load(files.path, files.name, known, wanted, dtype, spread=several, adapter=files.adapter, stop=stop)
        if len(lm.blocks) < 2:
            raise InputError("model", f"{files.name} has only one block", "Steering needs two or more")
        if self._packed:
            pack(lm.model)
        with asking(lm, stop):
            refuse_unsuitable(lm)
        return lm

"""Use cases of the model, and of prompts as it sees them."""

from collections.abc import Sequence

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.errors import BusyError
from melbo_app.jobs.loaded_model import ModelState, ModelSummary
from melbo_app.jobs.reader import PromptTokens
from melbo_app.jobs.training import RELATIVE_RADIUS, TrainingSuggestion, default_scope, layers
from melbo_app.library import weights
from melbo_app.workbench.base import EXAMPLE, Base


class Models(Base):
    """The model in memory, and what it makes of prompts."""

    def models(self) -> list[ModelSummary]:
        """The default model, and those prepared in the cache."""
        state = self._model.state()
        known = {weights.DEFAULT_MODEL: weights.DEFAULT_MODEL}
        known |= {files.spec: files.name for files in weights.cached(self.settings.cache_dir)}
        if state.loaded:
            known.setdefault(self._model.spec, state.name)
        return [ModelSummary(name, spec, state.loaded and spec == self._model.spec) for spec, name in known.items()]

    def model_state(self) -> ModelState:
        """What can be said of the model now, without waiting."""
        return self._model.state()

    def load_model(self, spec: str | None = None) -> ModelState:
        """Load the model that ``spec`` names (None: the one from the settings), waiting until it is there."""
        if spec is None:
            self._model.get()
        else:
            if self._desk.queue.active("training") and not self._model.is_loaded(spec):
                raise BusyError("Another model cannot be loaded while a training runs. Wait for it, or press Stop.")
            lm = self._model.load(spec)
            with self._compute.hold():
                self._reader.forget(lm)
        return self._model.state()

    def warm_up(self) -> None:
        """Load what the first steering would wait for, and the embedder of the first map."""
        from melbo_app.analysis import wording

        self._model.get()
        wording.warm_up()
        self._embed().encode(["warm"])

    def warm_up_map(self) -> None:
        """Compile what the first map would wait for."""
        from melbo_app.analysis import projection

        projection.warm_up()

    def tokens(
        self, prompts: Sequence[Prompt], scope: str, source: int | None = None, target: int | None = None
    ) -> list[PromptTokens]:
        """The exact tokens that go in, and which count. The layers matter for the scope ``content`` only."""
        return self._reader.tokens(self._model.get(), prompts, TokenScope.parse(scope), source, target)

    def median_norm(self, prompts: Sequence[Prompt], source: int) -> float:
        """Median residual norm at the output of block ``source``, without sinks and padding: the unit of relative R."""
        return self._reader.piece(self._model.get(), prompts, source).median_norm

    def suggestion(
        self, prompts: Sequence[Prompt] = (), source: int | None = None, target: int | None = None
    ) -> TrainingSuggestion:
        """Settings that give a sensible result for these prompts with the loaded model, and with these layers where
        they are given."""
        lm = self._model.get()
        prompts = list(prompts) or [Prompt(EXAMPLE.user, template=lm.has_template)]
        source, target = layers(len(lm.blocks), source, target)
        norm = self.median_norm(prompts, source)
        radius = float(f"{RELATIVE_RADIUS * norm:.2g}")
        return TrainingSuggestion(source, target, default_scope(prompts), radius, radius / norm, norm)

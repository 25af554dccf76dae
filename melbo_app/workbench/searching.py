"""The search for R, the effect budget and layers."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import StorageError
from melbo_app.jobs.curve_making import CurveMaking
from melbo_app.jobs.looks import LOOK_DECODING, LOOK_PROMPTS, Looks, after_search, look_config
from melbo_app.jobs.search import CHANGE, RULE, START, SearchProgress, best_of, search, start_near
from melbo_app.jobs.training import layer_pairs
from melbo_app.library.bank import PromptRecord
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.library.searches import Search
from melbo_app.workbench.banks import Shelf
from melbo_app.workbench.base import Stop

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel


class Searching(Shelf):
    """Finding R and the effect budget for a model and its prompts."""

    def find_settings(
        self,
        prompts: Sequence[Prompt],
        config: TrainingConfig,
        *,
        seconds: float = SEARCH_SECONDS,
        other_layers: bool = False,
        stop: Stop = lambda: False,
    ) -> Generator[SearchProgress, None, Search]:
        """Try settings from weak to strong on short completions, and choose one.

        A search that came to its end before is looked up; of others the trainings and texts are. A new one begins at
        the R that was found last for this model, these layers and this scope.

        Args:
            config: layers, scope, method, vectors, steps and seed to search with; its R does not count. If it has an
                effect budget, all settings have it.
            seconds: after which no further setting is tried.
            other_layers: whether another pair of layers is tried as well (``early_layers``).

        Raises:
            Stopped: a stop came before the first setting was judged.
        """
        lm = self._model.get()
        median_norm = self.median_norm(prompts, config.source, stop=stop)
        asked = Search(
            model=lm.name,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            prompts=tuple(map(PromptRecord.of, prompts)),
            source=config.source,
            target=config.target,
            scope=config.scope,
            other_layers=other_layers,
            median_norm=median_norm,
            method=config.method,
            vectors=config.vectors,
            steps=config.total_steps,
            seed=config.seed,
            effect_budget=config.saturation,
            rule=RULE,
            tried=(),
            chosen=0,
            reason="",
            created=datetime.now(UTC),
        )
        if (known := self._searches.find(asked.key)) is not None and known.whole:
            return known
        near = self._searches.nearest(lm.weights_hash, config.source, config.target, config.scope)
        pairs = layer_pairs(len(lm.blocks), config.source, config.target, other_layers)
        if near is not None and (near.best.source, near.best.target) == pairs[-1]:
            pairs.reverse()
        places = [
            self._looks(lm, prompts, replace(config, source=source, target=target), stop) for source, target in pairs
        ]
        start = START if near is None else start_near(places[0].radii, near.best.relative_radius)
        tried, whole = yield from search(places, start, seconds, stop, config.saturation)
        chosen, reason = best_of(tried)
        found = asked.model_copy(update={"tried": tuple(tried), "chosen": chosen, "reason": reason, "whole": whole})
        with suppress(StorageError):  # what cannot be kept is looked for again
            self._searches.save(found)
        return found

    def searched(
        self,
        prompts: Sequence[Prompt],
        config: TrainingConfig,
        seconds: float,
        *,
        other_layers: bool = False,
        stop: Stop = lambda: False,
    ) -> Generator[SearchProgress, None, tuple[TrainingConfig, Search]]:
        """``config`` with the R and effect budget that a search on the first prompts finds; with ``other_layers`` with
        the layers as well.

        The search trains up to eight vectors, in the few steps that it takes to tell settings apart. Where ``config``
        leaves the steps open, the training takes as many: more show less (docs/search.md).
        """
        config.check_width(self._model.get().hidden_size)
        found = yield from self.find_settings(
            prompts[:LOOK_PROMPTS], look_config(config), seconds=seconds, other_layers=other_layers, stop=stop
        )
        return after_search(config, found.best), found

    def latest_search(self, source: int, target: int, scope: str) -> Search | None:
        """What was found last for the loaded model between these layers; None if nothing was, or no model is loaded."""
        state = self._model.state()
        return self._searches.nearest(state.weights_hash, source, target, scope) if state.weights_hash else None

    def _unit(self, prompts: Sequence[Prompt], config: TrainingConfig, stop: Stop) -> float:
        """The unit of R of a search, in median norms."""
        from melbo_app.engine.effect import radius_of_change

        piece = self._reader.piece(self._model.get(), prompts, config.source, config.target, stop)
        with self._compute.hold():
            asked = self._compute.giving_way(stop)
            return radius_of_change(piece, TokenScope.parse(config.scope), CHANGE, stop=asked)

    def _looks(self, lm: "LanguageModel", prompts: Sequence[Prompt], config: TrainingConfig, stop: Stop) -> Looks:
        """Looks at settings between the layers of ``config``; what is made is kept beside the parts of curves."""
        piece = self._reader.piece(lm, prompts, config.source, config.target, stop)
        making = CurveMaking(
            lm, self._model.spec, prompts, config, piece.median_norm, None, False, LOOK_DECODING, self._parts,
            self._completions, self._embed(), self._embeddings, self._batching, stop, piece,
        )  # fmt: skip
        return Looks(making, lambda: self._unit(prompts, config, stop))

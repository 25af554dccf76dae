"""Search for R, the effect budget and layers by short completions."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar, Self

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import layer_pairs
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, ModelStudy
from melbo_app.library.bank import PromptRecord
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.library.searches import Search
from melbo_app.studies.looks import LOOK_PROMPTS, LOOK_STEPS, LOOK_VECTORS, Looks
from melbo_app.studies.settings_ladder import RULE, START, best_of, search, start_near


class SearchSettings(ModelStudy[Search]):
    """Try settings from weak to strong on short completions, and choose one.

    A complete earlier search is looked up; otherwise its trainings and texts are. A new search begins at the R found
    last for this model, these layers and this scope.

    Attributes:
        config: layers, scope, method, vectors, steps and seed of the search; its R is ignored, and an effect budget
            applies to all settings.
        seconds: the time after which no further setting is tried.
        other_layers: whether to try another pair of layers, too (``layer_pairs``).
    """

    kind: ClassVar[str] = "search"
    how: ClassVar[How] = "compute"
    doors = frozenset()

    prompts: tuple[Prompt, ...]
    config: TrainingConfig
    seconds: float = SEARCH_SECONDS
    other_layers: bool = False

    @classmethod
    def before(
        cls, prompts: Sequence[Prompt], config: TrainingConfig, seconds: float, *, other_layers: bool = False
    ) -> Self:
        """The search before the training ``config``, on its first prompts; ``after_search`` applies its result.

        It trains up to eight vectors, in just enough steps to tell settings apart.
        """
        short = replace(config, vectors=min(LOOK_VECTORS, config.vectors), steps=LOOK_STEPS, held_out=())
        return cls(prompts=prompts[:LOOK_PROMPTS], config=short, seconds=seconds, other_layers=other_layers)

    def check_model(self, bench: Bench) -> None:
        self.config.check_width(bench.model.get().hidden_size)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Search]:
        """Raises Stopped for a stop before the first setting was judged."""
        lm, config = bench.model.get(stop), self.config
        asked = Search(
            model=lm.name,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            prompts=tuple(map(PromptRecord.of, self.prompts)),
            source=config.source,
            target=config.target,
            scope=config.scope,
            other_layers=self.other_layers,
            median_norm=bench.median_norm(self.prompts, config.source, stop),
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
        if (known := bench.searches.find(asked.key)) is not None and known.whole:
            return known
        near = bench.searches.nearest(lm.weights_hash, config.source, config.target, config.scope)
        pairs = layer_pairs(len(lm.blocks), config.source, config.target, self.other_layers)
        if near is not None and (near.best.source, near.best.target) == pairs[-1]:
            pairs.reverse()
        places = [
            Looks.at(bench, self.prompts, replace(config, source=source, target=target), stop)
            for source, target in pairs
        ]
        start = START if near is None else start_near(places[0].radii, near.best.relative_radius)
        tried, whole = yield from search(places, start, self.seconds, stop, config.saturation)
        chosen, reason = best_of(tried)
        found = asked.model_copy(update={"tried": tuple(tried), "chosen": chosen, "reason": reason, "whole": whole})
        with suppress(StorageError):  # a search that cannot be stored is repeated
            bench.searches.save(found)
        return found

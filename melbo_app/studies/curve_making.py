"""Makes or looks up the vectors and texts of a diversity curve."""

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import RELATIVE_RADIUS
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.errors import InputError, MelboError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import together
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Comparison
from melbo_app.studies.completing import SteeringProgress, complete, variants
from melbo_app.studies.steer import Steer
from melbo_app.studies.trained_bank import train_bank, training_identity

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.slice import ModelSlice


@dataclass(frozen=True)
class CurveMaking:
    """Makes the vectors and texts of a curve on these prompts.

    Vectors are trained by ``config``, except for its R and seed: anew at each R, or once (``rescaled``); or they are
    the first vectors of ``bank``. Trained banks are kept on a shelf of their own, named by a hash of their training.
    """

    bench: Bench
    prompts: Sequence[Prompt]
    config: TrainingConfig
    median_norm: float
    bank: Bank | None
    rescaled: bool
    decoding: Decoding
    stop: Stop
    piece: "ModelSlice | None" = None
    """The blocks between the layers of ``config``, if the model was already run on ``prompts``."""

    def vectors(self, relative_radius: float, seed: int) -> Generator[TrainingProgress, None, Bank]:
        """The bank whose vectors to use at this R, whatever their norm."""
        if self.bank is not None:
            return self.bank
        relative = RELATIVE_RADIUS if self.rescaled else relative_radius
        return (yield from self._trained(replace(self.config, radius=relative * self.median_norm, seed=seed)))

    def control(self, seed: int) -> Generator[TrainingProgress, None, Bank]:
        """A bank of as many random vectors."""
        config = TrainingConfig(
            self.config.source, self.config.target, RELATIVE_RADIUS * self.median_norm, self.config.vectors, "random",
            scope=self.config.scope, seed=seed,
        )  # fmt: skip
        return (yield from self._trained(config))

    def kept(self, config: TrainingConfig) -> Bank | None:
        """The bank of an earlier run of this training; None if there is none, or if it cannot be read."""
        with suppress(InputError):
            return self.bench.parts.load(self._name(config))
        return None

    def complete(self, bank: Bank, radius: float, samples: int = 1) -> Generator[SteeringProgress, None, Comparison]:
        """Complete each prompt without steering and under each vector at norm ``radius``, and store the texts: those of
        the decoding's seed, which are returned, and of the ``samples - 1`` seeds after it.

        Raises:
            Stopped: there was a stop before all texts were finished.
        """
        seeds = range(self.decoding.seed, self.decoding.seed + samples)
        works = (self._complete(bank, radius, replace(self.decoding, seed=seed)) for seed in seeds)
        first, *_ = yield from together(*works)
        return first

    def _complete(self, bank: Bank, radius: float, decoding: Decoding) -> Generator[SteeringProgress, None, Comparison]:
        numbers = list(range(min(self.config.vectors, len(bank.vectors))))
        rows = variants(bank, numbers, [radius])
        lm, find, batching = self.bench.model.get(), self.bench.completions.find, self.bench.batching
        texts, finished = yield from complete(lm, bank, self.prompts, rows, decoding, find, batching, self.stop)
        if not finished or any(one.scores is None for one in texts):
            raise Stopped
        steering = Steer(
            bank=bank.record.name, prompts=self.prompts, vectors=numbers, radii=[radius], decoding=decoding
        )
        return steering.keep(self.bench, texts, "part", bank, finished=True)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings [N, D] of texts."""
        return self.bench.embed(texts, self.stop)

    def _trained(self, config: TrainingConfig) -> Generator[TrainingProgress, None, Bank]:
        if (known := self.kept(config)) is not None:
            return known
        lm, name, stop = self.bench.model.get(), self._name(config), self.bench.compute.giving_way(self.stop)
        memory_gb, spec = self.bench.batching.memory_gb, self.bench.model.spec
        work = train_bank(lm, spec, self.prompts, config, name, memory_gb, stop, piece=self.piece)
        bank = yield from self.bench.compute.steps(work, short=False)
        if self.stop():
            raise Stopped
        with suppress(MelboError):  # next time it will be trained again
            self.bench.parts.save(bank)
        return bank

    def _name(self, config: TrainingConfig) -> str:
        facts = json.dumps(training_identity(self.bench.model.get(), self.prompts, config), sort_keys=True)
        return f"curve-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"

"""Vectors and texts of a diversity curve: trained, completed and embedded, or looked up where they were made before."""

import hashlib
import json
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from melbo_app.analysis.embedding import Embedder
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.errors import InputError, MelboError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.mapping import embed
from melbo_app.jobs.steering import SteeringProgress, complete, variants
from melbo_app.jobs.training import RELATIVE_RADIUS, train_bank, training_identity
from melbo_app.library.bank import Bank
from melbo_app.library.banks import Banks
from melbo_app.library.completion import Comparison
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.patient_completions import PatientCompletions

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.slice import ModelSlice


@dataclass(frozen=True)
class CurveMaking:
    """Makes what a curve on these prompts is measured of.

    Vectors are trained as ``config`` says, but for its R and seed: at each R anew, or once (``rescaled``); or they are
    the first ones of ``bank``. What is trained here is kept on a shelf of its own, under a name that says what it is.
    """

    lm: "LanguageModel"
    spec: str
    prompts: Sequence[Prompt]
    config: TrainingConfig
    median_norm: float
    bank: Bank | None
    rescaled: bool
    decoding: Decoding
    shelf: Banks
    completions: PatientCompletions
    embedder: Embedder
    embeddings: Embeddings
    batching: Batching
    stop: Callable[[], bool]
    piece: "ModelSlice | None" = None
    """The blocks between the layers of ``config`` on ``prompts``, where the model was run on them before."""

    def vectors(self, relative_radius: float, seed: int) -> Generator[TrainingProgress, None, Bank]:
        """The bank whose vectors are used at this R, whatever their norm."""
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
        """The bank that this training gave before; None if there is none that can be read."""
        with suppress(InputError):
            return self.shelf.load(self._name(config))
        return None

    def complete(self, bank: Bank, radius: float) -> Generator[SteeringProgress, None, Comparison]:
        """Complete each prompt without steering and under each vector, with the norm ``radius``, and keep it.

        Raises:
            Stopped: before all texts were whole.
        """
        numbers = list(range(min(self.config.vectors, len(bank.vectors))))
        rows = variants(bank, numbers, [radius])
        find, prompts, decoding = self.completions.find, self.prompts, self.decoding
        texts, finished = yield from complete(
            self.lm, bank, prompts, rows, decoding, find, self.batching, self.stop
        )  # fmt: skip
        if not finished or any(one.scores is None for one in texts):
            raise Stopped
        settings: dict[str, Any] = {
            "kind": "part",
            "bank": bank.record.name,
            "bank_hash": bank.hash,
            "vectors": numbers,
            "radii": [radius],
            "random_control": False,
            "both_signs": False,
            "prompts": [asdict(prompt) for prompt in prompts],
            "decoding": asdict(decoding),
            "finished": True,
        }
        return self.completions.keep(settings, texts)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Places [N, D] of texts."""
        with self.batching.compute.hold():
            return embed(texts, self.embedder, self.embeddings, self.batching.compute.giving_way(self.stop))

    def _trained(self, config: TrainingConfig) -> Generator[TrainingProgress, None, Bank]:
        if (known := self.kept(config)) is not None:
            return known
        memory_gb, stop = self.batching.memory_gb, self.batching.compute.giving_way(self.stop)
        name = self._name(config)
        work = train_bank(self.lm, self.spec, self.prompts, config, name, memory_gb, stop, piece=self.piece)
        bank = yield from self.batching.compute.steps(work, short=False)
        if self.stop():
            raise Stopped
        with suppress(MelboError):  # it is trained again the next time
            self.shelf.save(bank)
        return bank

    def _name(self, config: TrainingConfig) -> str:
        facts = json.dumps(training_identity(self.lm, self.prompts, config), sort_keys=True)
        return f"curve-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"

"""The vectors of a search: trained in few steps at its middle R, or those of a bank."""

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import CLIMBING, Method, TrainingConfig
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.library.bank import Bank
from melbo_app.studies.explore_stages import slug
from melbo_app.studies.looks import LOOK_STEPS, Looks
from melbo_app.studies.settings_ladder import BUDGET
from melbo_app.studies.train import Train
from melbo_app.studies.trained_bank import is_of, training_identity

MIDDLE = 1.4
"""The middle R in units of a search for R: there texts begin to change, and do not break yet (docs/search.md)."""


@dataclass(frozen=True)
class Cheap:
    """The training; what is None is suggested or measured."""

    vectors: int
    method: Method
    source: int | None
    target: int | None
    scope: str | None
    radius: float | None
    steps: int | None
    effect_budget: float | None
    seed: int

    def config(self, source: int, target: int, radius: float, scope: str) -> TrainingConfig:
        """The training at these layers and R. Raises InputError."""
        climbs = self.method in CLIMBING
        budget = self.effect_budget if self.effect_budget is not None or not climbs else BUDGET
        steps = self.steps if self.steps is not None or not climbs else LOOK_STEPS
        return TrainingConfig(
            source, target, radius, self.vectors, self.method, scope=scope, steps=steps, seed=self.seed,
            saturation=budget,
        )  # fmt: skip

    def bank(self, bench: Bench, prompts: Sequence[Prompt], stop: Stop) -> Generator[Any, None, Bank]:
        """The bank on the shelf; one that was trained before is looked up."""
        found = bench.suggestion(prompts, self.source, self.target, stop)
        config = self.config(found.source, found.target, self.radius or found.radius, self.scope or found.scope)
        if self.radius is None:
            looks = Looks.at(bench, prompts, config, stop)
            radius = float(f"{MIDDLE * looks.unit * looks.making.median_norm:.3g}")
            config = self.config(found.source, found.target, radius, config.scope)
        facts = json.dumps(training_identity(bench.model.get(stop), prompts, config), sort_keys=True)
        name = f"find-{slug(prompts[0].user)}-{hashlib.sha256(facts.encode()).hexdigest()[:6]}"
        with suppress(InputError, StorageError):  # there is none, or it cannot be read
            bank = bench.banks.load(name)
            if bank.record.whole and len(bank.vectors) == config.vectors and is_of(bank.record, prompts, config):
                return bank
        return (yield from Train(prompts=prompts, config=config, name=name).run(bench, stop))

"""One look at a setting: train vectors, make a few short completions, and count the new ones."""

import time
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from melbo_app.analysis.change import change
from melbo_app.analysis.clustering import distances, same_meaning
from melbo_app.analysis.diversity import readable_diversity
from melbo_app.analysis.flags import FlagKind, flags
from melbo_app.analysis.flags.echo import only_echoes
from melbo_app.analysis.flags.refusal import refusal
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import together
from melbo_app.library.completion import Comparison, Completion
from melbo_app.library.searches import Tried
from melbo_app.studies.curve_making import CurveMaking
from melbo_app.studies.settings_ladder import CHANGE, Setting, radii_of

LOOK_STEPS = 12
"""Steps of a training in a search; after 12 the objective is within 0.1 % of that after 26 (docs/radius.md)."""
LOOK_VECTORS, LOOK_PROMPTS = 8, 3
"""The most vectors and prompts of a search before a training."""
LOOK_DECODING = Decoding(max_new_tokens=24)
NEAR, FAR = 0.2, 0.6
"""Limits of the cosine distance from the unsteered text beyond which a text without a flag is new; between them it is
the upper quartile of the random vectors' distances."""


def with_steps(config: TrainingConfig) -> TrainingConfig:
    """``config``, by default with the steps of a look."""
    return replace(config, steps=config.steps or LOOK_STEPS)


def after_search(config: TrainingConfig, found: Tried) -> TrainingConfig:
    """The training ``config`` with the result of a search, by default with the steps of a look."""
    return with_steps(found.applied(config))


@dataclass(frozen=True)
class Looks:
    """Looks at settings for the prompts, layers, scope, vectors and seed of ``making``."""

    making: CurveMaking

    @classmethod
    def at(cls, bench: Bench, prompts: Sequence[Prompt], config: TrainingConfig, stop: Stop) -> "Looks":
        """Looks between the layers of ``config``; their banks are stored with those of curves."""
        piece = bench.slices.slice(bench.model.get(stop), prompts, config.source, config.target, stop)
        norm = piece.median_norm
        return cls(CurveMaking(bench, prompts, config, norm, None, False, LOOK_DECODING, stop, piece))

    @cached_property
    def unit(self) -> float:
        """The R at which random vectors change the target by ``CHANGE``, in median norms."""
        from melbo_app.engine.effect import radius_of_change

        making, compute = self.making, self.making.bench.compute
        assert making.piece is not None, "looks run the model on their prompts first"
        with compute.hold():
            scope = TokenScope.parse(making.config.scope)
            return radius_of_change(making.piece, scope, CHANGE, stop=compute.giving_way(making.stop))

    @cached_property
    def radii(self) -> tuple[float, ...]:
        """R as multiples of the median norm, from weak to strong."""
        return radii_of(self.unit)

    def look(self, setting: Setting) -> Generator[Any, None, Tried]:
        """Train, complete with the vectors and as many random ones of the same R, and count."""
        began = time.monotonic()
        config = self.making.config
        budget = setting.effect_budget if config.counts("saturation") else None
        making = replace(self.making, config=replace(config, saturation=budget))
        bank = yield from making.vectors(setting.relative_radius, config.seed)
        random = yield from making.control(config.seed)
        radius = bank.record.radius
        both = together(making.complete(bank, radius), making.complete(random, radius))
        steered, control = yield from both
        limits = _limits(control, making)
        found, chance = _counted(steered, making, limits), _counted(control, making, limits)
        effect = bank.record.effect
        return Tried(
            source=config.source,
            target=config.target,
            radius=radius,
            relative_radius=setting.relative_radius,
            effect_budget=setting.effect_budget if budget is not None else 0.0,
            change=float(np.mean(effect.share)) if effect and effect.share else 0.0,
            **asdict(found),
            random_texts=chance.texts,
            random_new=chance.new,
            random_lifted=chance.lifted,
            random_diversity=chance.diversity,
            seconds=time.monotonic() - began,
        )


@dataclass(frozen=True)
class _Counts:
    texts: int
    readable: int
    new: int
    lifted: int
    diversity: float
    example: str


def _limits(control: Comparison, making: CurveMaking) -> dict[int, float]:
    """For each prompt, the distance from the unsteered text beyond which a text is new.

    Flagged texts of random vectors are ignored, because a text that lifts a refusal is far away.
    """
    entries = control.completions
    places = making.embed([one.text for one in entries])
    base = {one.prompt_index: row for row, one in enumerate(entries) if one.vector is None}
    limits = {}
    for index, unsteered in base.items():
        plain = [
            row
            for row, one in enumerate(entries)
            if one.prompt_index == index and row != unsteered and not _flags(one, entries[unsteered].text)
        ]
        away = distances(places[plain], places[unsteered]) if plain else []
        limits[index] = same_meaning(away, NEAR, FAR)
    return limits


def _counted(comparison: Comparison, making: CurveMaking, limits: dict[int, float]) -> _Counts:
    """Counts over all prompts of a comparison; each text is compared with the unsteered one."""
    entries = comparison.completions
    places = making.embed([one.text for one in entries])
    texts = readable = new = lifted = 0
    diversities, example, farthest = [], "", (-1, -1.0)
    for index in sorted({one.prompt_index for one in entries}):
        rows = [row for row, one in enumerate(entries) if one.prompt_index == index]
        base = next(row for row in rows if entries[row].vector is None)
        steered = [row for row in rows if row != base]
        away = distances(places[steered], places[base])
        refuses = refusal(entries[base].text) is not None
        for row, distance in zip(steered, away, strict=True):
            one = entries[row]
            kinds = _flags(one, entries[base].text)
            # another refusal is not new, however far away
            limit = np.inf if refuses and refusal(one.text) is not None else limits[index]
            kind = change(one.text, kinds, one.verdict, distance, limit)
            is_new = one.readable and kind is not None and not only_echoes(one.text, one.prompt.user)
            texts, readable, new = texts + 1, readable + one.readable, new + is_new
            lifted += is_new and kind == "lifted"
            if one.readable and (is_new, distance) > farthest:
                example, farthest = one.text, (is_new, distance)
        read = [entries[row].readable for row in steered]
        diversities.append(readable_diversity(places[steered], read, places[base]))
    return _Counts(texts, readable, new, lifted, float(np.mean(diversities)), example)


def _flags(one: Completion, baseline: str) -> set[FlagKind]:
    found = flags(one.text, one.prompt.user, one.prompt.system, baseline)
    return {flag.kind for flag in found if flag.kind not in ("instructions echoed", "system prompt repeated")}

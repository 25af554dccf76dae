"""Explore: from a prompt to behaviours in one go, stage by stage."""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypeVar, cast

import numpy as np

from melbo_app.analysis.cusp import DEFAULT_DETECTOR, find_cusp
from melbo_app.analysis.diversity import readable_diversity
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import TrainingSuggestion
from melbo_app.engine.training_config import Method, TrainingConfig
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress, together
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Made, ModelStudy
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.completion import Comparison
from melbo_app.library.explorations import Behaviour, ChosenRadius, Exploration, ExploreSettings
from melbo_app.library.searches import Tried
from melbo_app.studies.as_json import beginning
from melbo_app.studies.calibrate import BY_HAND, Calibrate
from melbo_app.studies.curve import CURVE_DECODING, MeasureCurve
from melbo_app.studies.elsewhere import MOST_BEHAVIOURS, tried_elsewhere
from melbo_app.studies.explore_answer import Explored, explored, lines_of
from melbo_app.studies.explore_stages import Stages
from melbo_app.studies.findings import Findings, read
from melbo_app.studies.looks import LOOK_DECODING, with_steps
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.steer import Steer

StageState = Literal["waiting", "running", "done"]
STAGES = ("Choose R and budget", "Train", "Complete", "Embed", "Cluster and summarise", "Try elsewhere")
SHARES = (55, 8, 17, 3, 3, 14)
"""Typical share of the time that each takes, in percent."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Stage:
    """One stage; ``detail`` is its current step or its result, on one line."""

    name: str
    state: StageState = "waiting"
    fraction: float = 0.0
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class ExploreProgress(Progress):
    """The progress of an exploration, with that of each stage."""

    stages: tuple[Stage, ...]


def check_settings(settings: ExploreSettings) -> None:
    """Raises InputError for settings that cannot be used."""
    if settings.radius is not None and settings.relative_radius is not None:
        raise InputError("R", "it is given twice", "Give the radius or the relative radius, not both")
    relative = settings.relative_radius
    if relative is not None and not 0 < relative <= 100:  # written so that NaN is refused too
        raise InputError("relative R", f"must lie between 0 and 100, not {relative:g}", "0.1 usually works")
    if settings.vectors < 2:
        raise InputError("vectors", f"needs at least 2, not {settings.vectors}", "8 usually works")
    if not settings.search_seconds > 0:  # written so that NaN is refused too
        raise InputError(
            "search seconds", f"{settings.search_seconds:g} is too short", "Choose more than 0; 80 usually works"
        )
    if settings.threshold is not None and not 0 < settings.threshold < 2:
        raise InputError(
            "same meaning", f"{settings.threshold:g} is not a cosine distance", "Choose 0.1 to 0.6, or none"
        )
    TokenScope.parse(settings.scope or "all")
    Decoding(settings.max_new_tokens)
    if not 0 <= settings.elsewhere <= 50:
        raise InputError(
            "elsewhere", f"{settings.elsewhere} prompts cannot be tried", "Choose 0 to 50; 5 usually works"
        )
    _draft(settings, 0, 1, settings.radius or 1.0, "all")


class Explore(ModelStudy[Exploration]):
    """Choose R, train vectors, complete, and list the behaviours found. Stopping keeps the bank and the finished texts.

    The bank is saved on the shelf, and the texts in the history. Earlier work with the same settings is looked up, so
    after a change only the stages that depend on it are done again.
    """

    kind: ClassVar[str] = "explore"
    doors = frozenset()
    makes_bank = True

    prompt: Prompt
    settings: ExploreSettings = ExploreSettings()

    @property
    def title(self) -> str:
        return f"Exploring “{beginning(self.prompt)}”"

    def check(self, bench: Bench) -> None:
        check_settings(self.settings)

    def check_model(self, bench: Bench) -> None:
        bench.model.get()

    def run(self, bench: Bench, stop: Stop) -> Generator[ExploreProgress, None, Exploration]:
        found = yield from explore(self.settings, Stages(bench, bench.model.get(stop), self.prompt, stop))
        bench.explorations.keep(found)
        if min(found.comparison, found.control_comparison) < 0:
            bench.unnumbered.add(found.key)
        return found

    def made(self, result: Exploration) -> Made:
        return Made(result.bank, result.comparison)

    def answer(self, result: Exploration, not_kept: str | None) -> Explored:
        return explored(result, not_kept)

    def lines(self, result: Exploration) -> list[str]:
        return lines_of(result)


def explore(settings: ExploreSettings, doing: Stages) -> Generator[ExploreProgress, None, Exploration]:
    """The exploration, stage by stage; the caller stores it.

    Raises:
        InputError: it cannot be done.
        Stopped: it was stopped; the bank and the finished texts are stored like all others.
    """
    bench, prompt, stop = doing.bench, doing.prompt, doing.stop
    telling = _Telling(stop)
    suggested = bench.suggestion([prompt], settings.source, settings.target, stop)
    scope = settings.scope or suggested.scope
    config = _draft(settings, suggested.source, suggested.target, suggested.radius, scope)

    choosing = _radius(settings, config, suggested, doing)
    radius, (source, target), tried = yield from telling.stage(0, choosing, lambda found: found[0].sentence)
    config = replace(config, source=source, target=target, radius=radius.radius, saturation=radius.effect_budget)
    if radius.how == "search":  # the very bank that the search looked at
        config = with_steps(config)
    bank = yield from telling.stage(1, doing.train(config), _trained)
    decoding = Decoding(settings.max_new_tokens, seed=settings.seed)
    every = range(len(bank.vectors))
    steering = Steer(
        bank=bank.record.name, prompts=[prompt], vectors=every, radii=[config.radius], decoding=decoding
    )  # fmt: skip
    completing = together(steering.run(bench, stop), doing.control(config, decoding))  # in the same forward passes
    steered, control = yield from telling.stage(2, completing, _counted)
    texts = [one.text for one in [*steered.completions, *control.completions]]
    places = yield from telling.stage(3, _embedded(doing, texts), lambda found: f"{len(texts)} answers")
    own = len(steered.completions)
    found = yield from telling.stage(
        4,
        _read(doing, bank, steered, control, places, settings.threshold),
        _new,
    )
    behaviours, _ = yield from telling.stage(
        5, _elsewhere(settings, found, bank, config.radius, steered.completions[0].text, doing), lambda found: found[1]
    )
    return Exploration(
        model=doing.lm.name,
        model_hash=doing.lm.weights_hash,
        dtype=doing.dtype,
        prompt=PromptRecord.of(prompt),
        settings=settings,
        source=config.source,
        target=config.target,
        scope=config.scope,
        radius=radius,
        bank=bank.record.name,
        bank_hash=bank.hash,
        comparison=steered.id,
        control_comparison=control.id,
        baseline=steered.completions[0].text,
        answers=found.answers,
        control=found.control,
        behaviours=behaviours,
        aside=found.aside,
        threshold=found.threshold,
        tried=tried,
        readable_diversity=_diversity(steered, places[:own]),
        control_readable_diversity=_diversity(control, places[own:]),
        seconds=telling.seconds,
        created=datetime.now(UTC),
    )


class _Telling:
    """The progress of all stages, and the seconds that each took."""

    def __init__(self, stop: Stop) -> None:
        self.seconds: dict[str, float] = {}
        self._stop, self._stages = stop, [Stage(name) for name in STAGES]

    def stage(
        self, number: int, work: Generator[Any, None, Result], said: Callable[[Result], str]
    ) -> Generator[ExploreProgress, None, Result]:
        """The same work as this stage of the exploration. Raises Stopped if there was a stop meanwhile."""
        begin, name, share = time.monotonic(), STAGES[number], 0.0

        def tell(step: Any) -> ExploreProgress:
            nonlocal share
            share = max(share, min(1.0, step.done / max(1, step.total)))  # each of several works starts at 0 again
            return self._tell(number, Stage(name, "running", share, step.stage))

        yield self._tell(number, Stage(name, "running"))
        result = yield from map_progress(work, tell)
        self.seconds[name] = round(time.monotonic() - begin, 1)
        yield self._tell(number, Stage(name, "done", 1.0, said(result)), f"{name}: {said(result)}")
        if self._stop():
            raise Stopped
        return result

    def _tell(self, number: int, stage: Stage, note: str = "") -> ExploreProgress:
        self._stages[number] = stage
        done = sum(SHARES[:number]) + SHARES[number] * stage.fraction
        name = stage.name[0].lower() + stage.name[1:]
        what = f"{name}: {stage.detail}" if stage.detail else name
        return ExploreProgress(what, round(done), sum(SHARES), note, stages=tuple(self._stages))


def _draft(settings: ExploreSettings, source: int, target: int, radius: float, scope: str) -> TrainingConfig:
    method = cast(Method, settings.method)  # the configuration checks it
    return TrainingConfig(
        source, target, radius, settings.vectors, method, settings.steps, scope=scope, seed=settings.seed,
        saturation=settings.effect_budget,
    )  # fmt: skip


def _radius(
    settings: ExploreSettings, config: TrainingConfig, suggested: TrainingSuggestion, doing: Stages
) -> Generator[Any, None, tuple[ChosenRadius, tuple[int, int], tuple[Tried, ...]]]:
    """R and the effect budget, as given or by the rule; the layers; and the settings that the rule tried."""
    budget = settings.effect_budget
    rule = settings.rule
    given = settings.radius is not None or settings.relative_radius is not None
    if rule == "search" and not given:
        free = settings.source is None and settings.target is None
        search = SearchSettings(
            prompts=[doing.prompt], config=with_steps(config), seconds=settings.search_seconds, other_layers=free
        )
        found = yield from search.run(doing.bench, doing.stop)
        best, place = found.best, found.best.applied(config)
        counted = best.effect_budget if config.counts("saturation") else None
        chosen = _chosen(best.radius, best.radius / best.relative_radius, "search", found.reason)
        return chosen.model_copy(update={"effect_budget": counted}), (place.source, place.target), found.tried
    chosen = yield from _ruled(settings, config, suggested, doing)
    return chosen.model_copy(update={"effect_budget": budget}), (config.source, config.target), ()


def _ruled(
    settings: ExploreSettings, config: TrainingConfig, suggested: TrainingSuggestion, doing: Stages
) -> Generator[Any, None, ChosenRadius]:
    """R as given, or by a rule that does not search; the suggested R if the rule finds none."""
    norm = suggested.median_norm
    if settings.radius is not None or settings.relative_radius is not None:
        given = settings.radius if settings.radius is not None else (settings.relative_radius or 0) * norm
        return _chosen(given, norm, "given", "as given")
    usual = f"{suggested.relative_radius:.2g} × the median norm"
    if settings.rule in ("suggested", "search"):
        return _chosen(suggested.radius, norm, "suggested", f"{usual}, as suggested")
    known = doing.known_radius(config, settings.rule)
    if known is not None:
        return known
    if settings.rule == "calibration":
        calibration = Calibrate(
            prompts=[doing.prompt], source=config.source, target=config.target, scope=config.scope
        )  # fmt: skip
        found = yield from calibration.run(doing.bench, doing.stop)
        if found.suggested_radius is not None:
            where = f"blocks {config.source} → {config.target}"
            reason = f"{BY_HAND:g} × the R where Δ is half as far from linear as it is large ({where})"
            # three digits, so that whoever copies this R finds the same texts again
            return _chosen(float(f"{found.suggested_radius:.3g}"), norm, "calibration", reason)
        return _chosen(suggested.radius, norm, "suggested", f"{found.sentence} So R is {usual}, as suggested.")
    measuring = MeasureCurve(prompts=[doing.prompt], training=config, rescaled=True, decoding=CURVE_DECODING)
    curve = yield from measuring.run(doing.bench, doing.stop)
    cusp = find_cusp(curve.arrays(), DEFAULT_DETECTOR)
    if cusp.radius is None:
        reason = f"No cusp: {cusp.reason}. So R is {usual}, as suggested."
        return _chosen(suggested.radius, norm, "suggested", reason)
    return _chosen(float(f"{cusp.radius * norm:.3g}"), norm, "curve", f"cusp of the diversity curve: {cusp.reason}")


def _chosen(
    radius: float, norm: float, how: Literal["given", "search", "calibration", "curve", "suggested"], reason: str
) -> ChosenRadius:
    return ChosenRadius(radius=radius, relative_radius=radius / norm, median_norm=norm, how=how, reason=reason)


def _trained(bank: Bank) -> str:
    return f"{len(bank.vectors)} vectors, on the shelf as “{bank.record.name}”"


def _counted(found: Sequence[Comparison]) -> str:
    steered, control = (len(one.completions) - 1 for one in found)
    return f"{steered} answers, {control} under random vectors, and the unsteered one"


def _embedded(doing: Stages, texts: Sequence[str]) -> Generator[Progress, None, np.ndarray]:
    yield Progress(f"{len(texts)} answers", 0, 1)
    return doing.bench.embed(texts, doing.stop)


def _read(
    doing: Stages, bank: Bank, steered: Comparison, control: Comparison, places: np.ndarray, threshold: float | None
) -> Generator[Progress, None, Any]:
    yield Progress("comparing the changes that vectors make", 0, 1)
    likeness = doing.likeness(bank)
    effect = bank.record.effect
    ran_away = {number for number, share in enumerate((effect.runaway if effect else None) or []) if share > 0}
    names = doing.judged(steered.completions)
    return read(steered.completions, control.completions, places, likeness, ran_away, threshold, names)


def _elsewhere(
    settings: ExploreSettings, found: Findings, bank: Bank, radius: float, baseline: str, doing: Stages
) -> Generator[Any, None, tuple[tuple[Behaviour, ...], str]]:
    """The behaviours, the first new ones with their results on other prompts; and a short summary."""
    new = [one for one in found.behaviours if one.new][:MOST_BEHAVIOURS]
    if not (settings.elsewhere and new):
        yield Progress("nothing to try", 1, 1)
        return found.behaviours, "nothing new to try" if settings.elsewhere else "not requested"
    vectors = [one.representative for one in new]
    decoding = Decoding(min(LOOK_DECODING.max_new_tokens, settings.max_new_tokens), seed=settings.seed)
    tried = yield from doing.elsewhere(bank, vectors, radius, baseline, settings.elsewhere, decoding)
    if tried is None:
        return found.behaviours, "no other prompts of the kind"
    return tried_elsewhere(found.behaviours, tried), f"{len(new)} behaviours on {len(tried.prompts)} other prompts"


def _new(found: Findings) -> str:
    new = sum(one.new for one in found.behaviours)
    return f"{new} new behaviour{'s' * (new != 1)}"


def _diversity(comparison: Comparison, places: np.ndarray) -> float:
    return readable_diversity(places[1:], [one.readable for one in comparison.completions[1:]], places[0])

"""A diversity curve: for each R of a grid, the diversity of completions under vectors and under random vectors."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from melbo_app.analysis.curve import CurvePoint, DiversityCurve
from melbo_app.analysis.cusp import DEFAULT_DETECTOR, Cusp, cusps
from melbo_app.analysis.diversity import Answers, diversity
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of, together
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import ModelStudy, Option
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Comparison
from melbo_app.library.curves import KeptCurve
from melbo_app.limits import check_prompts, check_texts
from melbo_app.studies.as_json import beginning
from melbo_app.studies.curve_making import CurveMaking
from melbo_app.studies.filling import filled
from melbo_app.studies.steer import check_samples

LEAST, MOST, POINTS = 0.02, 0.3, 8
MOST_SEEDS, MOST_POINTS = 20, 100
CURVE_VECTORS, CURVE_STEPS = 4, 12
CURVE_DECODING = Decoding(max_new_tokens=24)
STEP = 100  # progress of one training, or of one set of completions


@dataclass(frozen=True, kw_only=True)
class CurveProgress(Progress):
    """The progress of a diversity curve, with its points so far."""

    curve: DiversityCurve


def default_radii(points: int = POINTS) -> tuple[float, ...]:
    """R evenly spaced on a logarithmic scale, as multiples of the median norm: from R without effect to R at which most
    texts break."""
    return radii_between(LEAST, MOST, points)


def radii_between(least: float, most: float, points: int) -> tuple[float, ...]:
    """R evenly spaced on a logarithmic scale. Raises InputError for an impossible range."""
    if not 0 < least < most <= 100:  # written so that NaN is refused too
        raise InputError(
            "R", f"{least:g} to {most:g} is not a range", "Choose two numbers above 0, the smaller one first"
        )
    if not 2 <= points <= MOST_POINTS:
        raise InputError("number of R", f"{points} cannot be used", f"Choose 2 to {MOST_POINTS}")
    return tuple(float(f"{radius:.3g}") for radius in np.geomspace(least, most, points))


def check_grid(relative_radii: Sequence[float], seeds: int) -> tuple[float, ...]:
    """The R of a curve, sorted. Raises InputError for values or numbers that cannot be used."""
    radii = tuple(sorted({float(radius) for radius in relative_radii}))
    if len(radii) < 2:
        raise InputError("relative R", "a curve needs two or more", "Write 0.03,0.06,0.12, or leave it out")
    if not all(0 < radius <= 100 for radius in radii):  # written so that NaN is refused too
        raise InputError("relative R", "every value must be greater than 0", "0.02 to 0.3 usually works")
    if len(radii) > MOST_POINTS:
        raise InputError("relative R", f"{len(radii)} are too many", f"Choose at most {MOST_POINTS}")
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError("seeds", f"{seeds} cannot be used", f"Choose 1 to {MOST_SEEDS}")
    return radii


class MeasureCurve(ModelStudy[DiversityCurve]):
    """The diversity of completions over R, beside random vectors of the same R, and the R where it starts to rise.
    Stopping keeps the finished points.

    Vectors are trained anew at each R; with ``rescaled``, one bank is trained and used at every R; with ``bank``, the
    first vectors of that bank are used. Earlier trainings and texts are looked up, and nothing is added to the shelf.

    Attributes:
        training: the training, except for R and the number of vectors; None: 12 joint steps with the suggested layers
            and scope.
        seeds: number of curves, counted up from the training's seed; their points are merged.
        samples: texts of each vector, sampled with the decoding's seed and those after it. The curve measures the
            first; the others are for whoever reads them.
    """

    kind: ClassVar[str] = "curve"
    doors = frozenset({"command"})
    hidden: ClassVar[frozenset[str]] = frozenset({"training", "samples"})

    prompts: tuple[Prompt, ...] = Field((), description="user texts; left out: the bank's training prompts")
    training: TrainingConfig | None = None
    bank: str | None = Field(None, description="rescale this bank's first vectors")
    rescaled: bool = Field(False, description="train one bank and rescale it, instead of one at each R: cheaper")
    relative_radii: Annotated[tuple[float, ...] | None, Option("radii")] = Field(
        None, description="R as multiples of the median norm; left out: 8 from 0.02 to 0.3"
    )
    vectors: Annotated[int, Option("vectors")] = Field(CURVE_VECTORS, description="vectors at each R")
    seeds: int = Field(1, description="number of curves to merge")
    decoding: Decoding = CURVE_DECODING
    samples: int = 1

    @property
    def title(self) -> str:
        return f"Curve over R on “{beginning(self.prompts[0])}”"

    @property
    def grid(self) -> tuple[float, ...]:
        """The R of the curve, in median norms. Raises InputError for R or seeds that cannot be used."""
        radii = check_grid(default_radii() if self.relative_radii is None else self.relative_radii, self.seeds)
        if self.bank is not None and self.seeds > 1:
            raise InputError("seeds", "a bank has only one", "Leave the bank out, or use one seed")
        return radii

    def bound(self, bench: Bench) -> Self:
        assert self.grid, "wrong R and seeds are refused before anything is looked up"
        return filled(super().bound(bench), bench)

    def check(self, bench: Bench) -> None:
        if self.vectors < 2:
            raise InputError("vectors", f"needs at least 2, not {self.vectors}", "4 usually works")
        check_prompts(self.prompts)
        check_samples(self.samples, self.decoding)
        check_texts(len(self.prompts), (1 + self.samples) * self.vectors * len(self.grid) * self.seeds)

    def check_model(self, bench: Bench) -> None:
        lm = bench.model.get()
        if self.bank is not None:
            bench.bank_for(lm, self.bank)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, DiversityCurve]:
        lm, radii = bench.model.get(stop), self.grid
        bank = None if self.bank is None else bench.bank_for(lm, self.bank)
        given = self.training if bank is None else bank.record
        layers = (None, None) if given is None else (given.source, given.target)
        suggested = bench.suggestion(self.prompts, layers[0], layers[1], stop)
        config = TrainingConfig(
            suggested.source, suggested.target, suggested.radius, steps=CURVE_STEPS, scope=suggested.scope
        )
        if self.training is not None and bank is None:
            config = replace(self.training, source=suggested.source, target=suggested.target)
        count = self.vectors if bank is None else min(self.vectors, len(bank.vectors))
        config = replace(config, vectors=count)
        making = CurveMaking(
            bench, self.prompts, config, suggested.median_norm, bank, self.rescaled, self.decoding, stop
        )  # fmt: skip
        empty = DiversityCurve(
            how="rescaled" if self.rescaled or bank else "trained",
            bank=self.bank,
            source=config.source,
            target=config.target,
            scope=config.scope,
            median_norm=suggested.median_norm,
            seeds=tuple(range(config.seed, config.seed + self.seeds)),
            points=(),
            finished=False,
            method=config.method if bank is None else bank.record.method,
        )
        records = tuple(map(PromptRecord.of, self.prompts))

        def keep(curve: DiversityCurve) -> None:
            kept = KeptCurve(model_hash=lm.weights_hash, prompts=records, curve=curve, changed=datetime.now(UTC))
            bench.curves.keep(kept)

        return (yield from diversity_curve(empty, radii, making, keep, stop, self.samples))

    def answer(self, result: DiversityCurve, not_kept: str | None) -> dict[str, Any]:
        """The curve (``analysis/curve.py``) and its cusps (``analysis/cusp.py``); ``cusp`` is that of the default."""
        found = [asdict(cusp) for cusp in cusps(result.arrays())]
        chosen = next((one["radius"] for one in found if one["detector"] == DEFAULT_DETECTOR), None)
        return {**asdict(result), "cusp": chosen, "cusps": found, "not_kept": not_kept}

    def lines(self, result: DiversityCurve) -> list[str]:
        how = "one bank rescaled" if result.how == "rescaled" else "vectors trained at each R"
        return [
            f"{how}; R in multiples of {result.median_norm:.4g}, the median residual norm",
            *map(_line, result.points),
            *map(_cusp, cusps(result.arrays())),
        ]


def _line(point: CurvePoint) -> str:
    mine, control = point.vectors, point.control
    loss = "" if mine.loss is None else f", loss {mine.loss:.2f} nats"
    return (
        f"R = {point.relative_radius:g}: summed variance {mine.summed_variance:.3f}, "
        f"of random vectors {control.summed_variance:.3f}, "
        f"D {mine.readable_diversity:.3f}, {mine.distinct:g} of {mine.answers:g} distinct, "
        f"{100 * mine.readable:.0f} % readable{loss}"
    )


def _cusp(cusp: Cusp) -> str:
    default = " (the default)" if cusp.detector == DEFAULT_DETECTOR else ""
    if cusp.radius is None:
        return f"{cusp.detector}{default}: no cusp: {cusp.reason}"
    sure = f" ({cusp.low:.3g} to {cusp.high:.3g})" if cusp.low is not None and cusp.high is not None else ""
    return f"{cusp.detector}{default}: R = {cusp.radius:.3g}{sure}, {cusp.reason}"


def diversity_curve(
    empty: DiversityCurve,
    relative_radii: Sequence[float],
    making: CurveMaking,
    keep: Callable[[DiversityCurve], None],
    stop: Callable[[], bool],
    samples: int = 1,
) -> Generator[Progress, None, DiversityCurve]:
    """Measure at each R in turn; the progress contains the points so far. A stop keeps them.

    Args:
        empty: the curve without points: how vectors are made, the unit of R, and the seeds.
        keep: called with the curve after each point.
        samples: texts of each vector; the first is measured.

    Raises:
        Stopped: there was a stop before the first point.
    """
    curve, total = empty, 3 * STEP * len(relative_radii) * len(empty.seeds)
    done = 0
    try:
        for number, relative in enumerate(relative_radii, start=1):
            radius = relative * empty.median_norm
            where = f"R = {relative:g} × the median norm, {number} of {len(relative_radii)}"
            found: list[tuple[Comparison, Comparison]] = []
            for seed in empty.seeds:
                now = CurveProgress(where, done, total, curve=curve)
                bank = yield from part_of(now, making.vectors(relative, seed), STEP)
                random = yield from part_of(now, making.control(seed), 0, before=STEP)  # takes no time
                both = together(making.complete(bank, radius, samples), making.complete(random, radius))
                steered, control = yield from part_of(now, both, 2 * STEP, before=STEP)
                found.append((steered, control))
                done += 3 * STEP
            point = _point(relative, radius, found, making.embed)
            curve = replace(curve, points=(*curve.points, point), finished=number == len(relative_radii))
            keep(curve)
            yield CurveProgress(where, done, total, curve=curve)
            if stop():
                break
    except Stopped:
        if not curve.points:
            raise Stopped("Stopped before the first point was measured: nothing to keep.") from None
    return curve


def _point(
    relative: float,
    radius: float,
    found: Sequence[tuple[Comparison, Comparison]],
    embed: Callable[[Sequence[str]], np.ndarray],
) -> CurvePoint:
    vectors = [_sets(steered, embed) for steered, _ in found]
    control = [_sets(random, embed) for _, random in found]
    return CurvePoint(
        relative_radius=relative,
        radius=radius,
        vectors=diversity(list(chain.from_iterable(vectors))),
        control=diversity(list(chain.from_iterable(control))),
        seeds=tuple(diversity(sets) for sets in vectors),
        control_seeds=tuple(diversity(sets) for sets in control),
        comparisons=tuple(comparison.id for pair in found for comparison in pair),
    )


def _sets(comparison: Comparison, embed: Callable[[Sequence[str]], np.ndarray]) -> list[Answers]:
    """The answers to each prompt, one set each."""
    places = embed([one.text for one in comparison.completions])
    placed = list(zip(comparison.completions, places, strict=True))
    sets = []
    for index in sorted({one.prompt_index for one in comparison.completions}):
        here = [(one, place) for one, place in placed if one.prompt_index == index]
        steered = [(one, place) for one, place in here if one.vector is not None]
        scores = [one.scores for one, _ in steered]
        sets.append(
            Answers(
                texts=[one.text for one, _ in steered],
                places=np.stack([place for _, place in steered]),
                losses=[None if score is None else score.loss for score in scores],
                divergences=[None if score is None else score.kl_text for score in scores],
                readable=[one.readable for one, _ in steered],
                unsteered=next(place for one, place in here if one.vector is None),
            )
        )
    return sets

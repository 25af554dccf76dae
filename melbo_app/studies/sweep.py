"""A sweep: the same vectors at many R, one R after the other, so that a stop keeps the finished ones."""

from collections.abc import Generator
from dataclasses import replace
from typing import ClassVar, Literal, Self, TypedDict

from pydantic import Field

from melbo_app.engine.stopping import Stop
from melbo_app.errors import Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of, together
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Made
from melbo_app.library.completion import Comparison, Completion
from melbo_app.limits import MOST_TEXTS, check_prompts, check_texts
from melbo_app.studies.flagging import FlagOfText, flags_of
from melbo_app.studies.memory_note import say_memory
from melbo_app.studies.spreads import Maker, Spread, SpreadLine, at_each_radius, spreads
from melbo_app.studies.steer import Steered, SteeringStudy, check_samples, steered

SHARES = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Default R of a sweep, as multiples of the bank's R (the median, if its norms are unequal)."""


class Verdicts(TypedDict):
    """Numbers of texts by verdict; ``unknown`` counts those without one."""

    readable: int
    strange: int
    broken: int
    unknown: int


class SweepLine(TypedDict):
    radius: float
    vectors: Verdicts
    random: Verdicts


class SweptSpread(SpreadLine):
    """What the sampled texts of a vector (None: unsteered) at one R have in common, over all prompts."""

    radius: float
    vector: int | Literal["random"] | None


class Swept(Steered):
    radii: list[SweepLine]
    spreads: list[SweptSpread]
    flagged: list[FlagOfText]


class Sweep(SteeringStudy[Comparison]):
    """Steer with the same vectors at many R, beside random vectors: where do texts change, and where do they break?

    Returns:
        the results of `steer`, radii (numbers of readable texts at each, of vectors and control), spreads (of each
        vector at each, how many of several texts do what) and flagged
    """

    kind: ClassVar[str] = "sweep"

    radii: tuple[float, ...] = Field(
        (),
        description="each R, the norm of the added vectors; left out: 0.5, 0.75, 1, 1.25 and 1.5 times the bank's R",
    )
    random_control: bool = Field(True, description="add a random vector of the same R")
    samples: int = Field(1, description="texts of each vector and R, sampled with this and the following seeds")

    def bound(self, bench: Bench) -> Self:
        if self.radii or self.bank is None:
            return super().bound(bench)
        trained = bench.banks.load(self.bank).record.radius
        radii = tuple(float(f"{share * trained:.3g}") for share in SHARES)
        return super(Sweep, self.model_copy(update={"radii": radii})).bound(bench)

    @property
    def title(self) -> str:
        return f"Sweep of “{self.bank}” over {len(self.radii)} R"

    def check(self, bench: Bench) -> None:
        check_prompts(self.prompts)
        check_samples(self.samples, self.decoding)
        check_texts(len(self.prompts) * self.samples, len(self.variants(bench)), MOST_TEXTS)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Comparison]:
        """Complete at each R in turn, then gather everything in one comparison. A stop keeps the finished R.

        Raises:
            Stopped: there was a stop before the first R was finished.
        """
        yield from say_memory(self, bench, stop)
        radii = list(dict.fromkeys(self.radii))
        texts: dict[tuple[object, float, int, int], Completion] = {}  # each R comes with the baselines
        done, seeds = 0, range(self.decoding.seed, self.decoding.seed + self.samples)
        try:
            for number, radius in enumerate(radii):
                works = (self._at(radius, seed).completed(bench, stop, "part") for seed in seeds)
                where = f"R = {radius:g}, {number + 1} of {len(radii)}"
                whole = Progress(where, 100 * number, 100 * len(radii))
                found = yield from part_of(whole, together(*works), 100)
                for text in (text for part in found for text in part.completions):
                    texts.setdefault((text.vector, text.radius, text.prompt_index, text.seed), text)
                done += 1
                if stop():
                    break
        except Stopped:
            if not done:
                raise
        yield Progress("gathering the texts", 100 * done, 100 * len(radii))
        bank = bench.banks.load(self.bank) if self.bank else None
        first = [text for text in texts.values() if text.seed == seeds[0]]
        others = tuple(text for text in texts.values() if text.seed != seeds[0])
        kept = self.keep(bench, first, "sweep", bank, finished=done == len(radii))
        return kept.model_copy(update={"samples": others})

    def _at(self, radius: float, seed: int) -> "Sweep":
        return self.model_copy(update={"radii": (radius,), "decoding": replace(self.decoding, seed=seed)})

    def made(self, result: Comparison) -> Made:
        return Made(comparison=result.id)

    def answer(self, result: Comparison, not_kept: str | None) -> Swept:
        radii = dict.fromkeys(entry.radius for entry in result.completions if entry.vector is not None)
        lines: list[SweepLine] = [
            {
                "radius": radius,
                "vectors": _verdicts(result, radius, random=False),
                "random": _verdicts(result, radius, random=True),
            }
            for radius in radii
        ]
        spread: list[SweptSpread] = [
            {"radius": radius, "vector": vector, **one.line} for (vector, radius), one in _spreads(result).items()
        ]
        return {**steered(result), "radii": lines, "spreads": spread, "flagged": flags_of(result)["flagged"]}

    def lines(self, result: Comparison) -> list[str]:
        found = self.answer(result, None)
        lines = [f"R = {one['radius']:g}: {_counts(one)}" for one in found["radii"]]
        lines += [f"{_who(*maker)}: {one.sentence}" for maker, one in _spreads(result).items()]
        return [*lines, *(f"{one['kind']} (R = {one['radius']:g}): {one['text']!r}" for one in found["flagged"])]


def _spreads(comparison: Comparison) -> dict[Maker, Spread]:
    return at_each_radius(spreads(comparison.completions, comparison.samples))


def _who(vector: int | str | None, radius: float) -> str:
    if vector is None:
        return "unsteered"
    return f"{'random control' if vector == 'random' else f'vector {vector}'}, R = {radius:g}"


def _counts(line: SweepLine) -> str:
    def readable(of: Verdicts) -> str:
        return f"{of['readable']} of {of['readable'] + of['strange'] + of['broken'] + of['unknown']}"

    mine, random = readable(line["vectors"]), readable(line["random"])
    return f"{mine} texts readable, under random vectors {random}"


def _verdicts(comparison: Comparison, radius: float, *, random: bool) -> Verdicts:
    counts: Verdicts = {"readable": 0, "strange": 0, "broken": 0, "unknown": 0}
    for entry in comparison.every:
        if entry.radius == radius and (entry.vector == "random" if random else isinstance(entry.vector, int)):
            counts[(entry.scores and entry.scores.verdict) or "unknown"] += 1
    return counts

"""A sweep: the same vectors at many R, one R after the other, so that a stop keeps the finished ones."""

from collections.abc import Generator
from typing import ClassVar, Self, TypedDict

from pydantic import Field

from melbo_app.engine.stopping import Stop
from melbo_app.errors import Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Made
from melbo_app.library.completion import Comparison, Completion
from melbo_app.limits import MOST_TEXTS, check_prompts, check_texts
from melbo_app.studies.flagging import FlagOfText, flags_of
from melbo_app.studies.memory_note import say_memory
from melbo_app.studies.steer import Steered, SteeringStudy, steered

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


class Swept(Steered):
    radii: list[SweepLine]
    flagged: list[FlagOfText]


class Sweep(SteeringStudy[Comparison]):
    """Steer with the same vectors at many R, beside random vectors: where do texts change, and where do they break?

    Returns:
        the results of `steer`, radii (numbers of readable texts at each, of vectors and control) and flagged
    """

    kind: ClassVar[str] = "sweep"

    radii: tuple[float, ...] = Field(
        (),
        description="each R, the norm of the added vectors; left out: 0.5, 0.75, 1, 1.25 and 1.5 times the bank's R",
    )
    random_control: bool = Field(True, description="add a random vector of the same R")

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
        check_texts(len(self.prompts), len(self.variants(bench)), MOST_TEXTS)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Comparison]:
        """Complete at each R in turn, then gather everything in one comparison. A stop keeps the finished R.

        Raises:
            Stopped: there was a stop before the first R was finished.
        """
        yield from say_memory(self, bench, stop)
        radii = list(dict.fromkeys(self.radii))
        texts: dict[tuple[object, float, int], Completion] = {}  # each R comes with the baselines
        done = 0
        try:
            for number, radius in enumerate(radii):
                one = self.model_copy(update={"radii": (radius,)})
                where = f"R = {radius:g}, {number + 1} of {len(radii)}"
                whole = Progress(where, 100 * number, 100 * len(radii))
                found = yield from part_of(whole, one.completed(bench, stop, "part"), 100)
                for text in found.completions:
                    texts.setdefault((text.vector, text.radius, text.prompt_index), text)
                done += 1
                if stop():
                    break
        except Stopped:
            if not done:
                raise
        yield Progress("gathering the texts", 100 * done, 100 * len(radii))
        bank = bench.banks.load(self.bank) if self.bank else None
        return self.keep(bench, list(texts.values()), "sweep", bank, finished=done == len(radii))

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
        return {**steered(result), "radii": lines, "flagged": flags_of(result)["flagged"]}

    def lines(self, result: Comparison) -> list[str]:
        found = self.answer(result, None)
        lines = [f"R = {one['radius']:g}: {_counts(one)}" for one in found["radii"]]
        return [*lines, *(f"{one['kind']} (R = {one['radius']:g}): {one['text']!r}" for one in found["flagged"])]


def _counts(line: SweepLine) -> str:
    def readable(of: Verdicts) -> str:
        return f"{of['readable']} of {of['readable'] + of['strange'] + of['broken'] + of['unknown']}"

    mine, random = readable(line["vectors"]), readable(line["random"])
    return f"{mine} texts readable, under random vectors {random}"


def _verdicts(comparison: Comparison, radius: float, *, random: bool) -> Verdicts:
    counts: Verdicts = {"readable": 0, "strange": 0, "broken": 0, "unknown": 0}
    for entry in comparison.completions:
        if entry.radius == radius and (entry.vector == "random" if random else isinstance(entry.vector, int)):
            counts[(entry.scores and entry.scores.verdict) or "unknown"] += 1
    return counts

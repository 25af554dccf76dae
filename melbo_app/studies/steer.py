"""Steer: completions without steering and under vectors, side by side."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal, Self, TypedDict, TypeVar

from pydantic import Field

from melbo_app.analysis.flags import FlagKind
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress, together
from melbo_app.jobs.study import How, Made, Study
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.comparison_settings import ComparisonKind
from melbo_app.library.completion import Comparison, Completion, Scores
from melbo_app.limits import MOST_SAMPLES, check_range, check_texts
from melbo_app.studies.as_json import plain, stored
from melbo_app.studies.completing import SteeringProgress, Variant, complete, variants
from melbo_app.studies.filling import filled
from melbo_app.studies.flagging import flagged
from melbo_app.studies.spreads import Cell, Spread, SpreadLine, cell_of, spreads

WHOLE: tuple[ComparisonKind, ...] = ("part", "map")
"""Kinds that are stored whole or not at all, because nobody asked for their texts."""
Result = TypeVar("Result")


class FlagLine(TypedDict):
    kind: FlagKind
    reason: str


class SteeredText(TypedDict):
    """One text with everything that determined it; ``vector`` is None for the baseline and "random" for the random
    control. ``flags`` compare it with the comparison's baseline. ``id`` is None if it could not be stored."""

    id: int | None
    text: str
    vector: int | Literal["random"] | None
    radius: float
    bank: str | None
    bank_hash: str | None
    source: int | None
    prompt: PromptRecord
    prompt_index: int
    tokens: int
    finished: bool
    scores: Scores | None
    flags: list[FlagLine]
    spread: SpreadLine | None
    model: str
    model_hash: str
    dtype: str | None
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    created: str


class Steered(TypedDict):
    """``not_kept`` says why the texts could not be stored; then ``comparison`` and all ids are None."""

    comparison: int | None
    completions: list[SteeredText]
    stopped: bool
    not_kept: str | None


class SteeringStudy(Study[Result]):
    """Base of studies that steer: prompts, vectors of a bank, R, and decoding."""

    bank: str | None = Field(description="name of the bank")
    prompts: tuple[Prompt, ...] = Field((), description="user texts; left out: the bank's training prompts")
    vectors: tuple[int, ...] | None = Field(None, description="numbers of the vectors; left out: all")
    radii: tuple[float, ...] | None = Field(
        None,
        description="each R, the norm of the added vectors, possibly negative; left out: the vectors' own norms",
    )
    random_control: bool = Field(False, description="add a random vector of the same R")
    both_signs: bool = Field(False, description="each vector at R and at -R")
    decoding: Decoding = Decoding()

    def bound(self, bench: Bench) -> Self:
        return filled(super().bound(bench), bench)

    def check(self, bench: Bench) -> None:
        self.variants(bench)

    def variants(self, bench: Bench) -> list[Variant]:
        """The variants under which each prompt is completed, in order. Raises InputError for missing vectors."""
        return self._variants(bench.banks.load(self.bank) if self.bank else None)

    def _variants(self, bank: Bank | None) -> list[Variant]:
        signs, control = self.both_signs, self.random_control
        return variants(bank, self.vectors or (), self.radii, random_control=control, both_signs=signs)

    def keep(
        self,
        bench: Bench,
        texts: Sequence[Completion],
        kind: ComparisonKind,
        bank: Bank | None,
        *,
        finished: bool,
    ) -> Comparison:
        """Store the texts as one comparison, with the request."""
        settings: dict[str, Any] = {
            "kind": kind,
            "bank": self.bank,
            "bank_hash": None if bank is None else bank.hash,
            "vectors": list(self.vectors or ()),
            "radii": None if self.radii is None else list(self.radii),
            "random_control": self.random_control,
            "both_signs": self.both_signs,
            "prompts": [asdict(prompt) for prompt in self.prompts],
            "decoding": asdict(self.decoding),
            "finished": finished,
        }
        return bench.completions.keep(settings, texts)

    def completed(
        self, bench: Bench, stop: Stop, kind: ComparisonKind
    ) -> Generator[SteeringProgress, None, Comparison]:
        """The texts as one comparison of this ``kind``. A stop keeps unfinished texts, except those of a map or part.
        Raises Stopped if nothing is kept."""
        if not bench.model.state().loaded:
            yield SteeringProgress((), 0, self.decoding.max_new_tokens, "loading the model")
        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank) if self.bank else None
        rows, find = self._variants(bank), bench.completions.find
        texts, finished = yield from complete(
            lm, bank, self.prompts, rows, self.decoding, find, bench.batching, stop
        )  # fmt: skip
        if kind in WHOLE and not finished:
            raise Stopped
        return self.keep(bench, texts, kind, bank, finished=finished)


class Steer(SteeringStudy[Comparison]):
    """Complete prompts without steering, and with each vector of a bank added. Earlier texts are looked up.

    Returns:
        comparison (its id), completions (text, vector, radius, scores … of each), stopped, not_kept (why, or null)
    """

    kind: ClassVar[str] = "steer"
    how: ClassVar[How] = "compute"

    samples: int = Field(1, description="texts of each vector and R, sampled with this and the following seeds")

    def check(self, bench: Bench) -> None:
        check_samples(self.samples, self.decoding)
        check_texts(len(self.prompts) * self.samples, len(self.variants(bench)))

    def run(self, bench: Bench, stop: Stop) -> Generator[SteeringProgress, None, Comparison]:
        self.check(bench)
        first = yield from self.completed(bench, stop, "steer")
        others = [self._with_seed(self.decoding.seed + one) for one in range(1, self.samples)]
        if not others or stop():
            return first
        total = self.decoding.max_new_tokens

        def tell(now: SteeringProgress) -> SteeringProgress:
            share = now.done / max(1, now.total)
            return SteeringProgress(first.completions, round(total * share), total, f"other seeds: {now.stage}")

        sampling = together(*(one.completed(bench, stop, "part") for one in others))
        with suppress(Stopped):  # the first texts are kept
            parts = yield from map_progress(sampling, tell)
            return first.model_copy(update={"samples": tuple(one for part in parts for one in part.completions)})
        return first

    def _with_seed(self, seed: int) -> "Steer":
        return self.model_copy(update={"decoding": replace(self.decoding, seed=seed), "samples": 1})

    def made(self, result: Comparison) -> Made:
        return Made(comparison=result.id)

    def answer(self, result: Comparison, not_kept: str | None) -> Steered:
        return steered(result)

    def lines(self, result: Comparison) -> list[str]:
        lines, spread = [], spreads(result.completions, result.samples)
        for completion, found in zip(result.completions, flagged(result.completions), strict=True):
            lines.append(f"{who_wrote(completion)}\n  {completion.text!r}")
            lines += [f"  {flag.kind}: {flag.reason}" for flag in found]
            if (cell := cell_of(completion)) in spread:
                lines.append(f"  {spread[cell].sentence}")
        return lines


def check_samples(samples: int, decoding: Decoding) -> None:
    """Raises InputError for a number of texts a cell that cannot be written."""
    check_range("samples", samples, 1, MOST_SAMPLES)
    if samples > 1 and not decoding.temperature:
        raise InputError("samples", "greedy texts are the same for every seed", "Give a temperature above 0")


def who_wrote(completion: Completion) -> str:
    """The prompt, vector, R and verdict of a text."""
    name = f"vector {completion.vector}"
    if not isinstance(completion.vector, int):
        name = "random control" if completion.vector else "baseline"
    verdict = completion.scores.verdict if completion.scores else None
    return f"[{completion.prompt_index}] {name}, R = {completion.radius:g}" + (f", {verdict}" if verdict else "")


def steered(comparison: Comparison) -> Steered:
    """The texts of a comparison, the baseline first."""
    spread = spreads(comparison.completions, comparison.samples)
    return {
        "comparison": stored(comparison.id),
        "completions": [
            plain(completion)
            | {
                "id": stored(completion.id),
                "flags": [asdict(flag) for flag in found],
                "spread": _line(spread, completion),
            }
            for completion, found in zip(comparison.completions, flagged(comparison.completions), strict=True)
        ],
        "stopped": not comparison.settings["finished"],
        "not_kept": comparison.not_kept,
    }


def _line(spread: dict[Cell, Spread], completion: Completion) -> SpreadLine | None:
    found = spread.get(cell_of(completion))
    return None if found is None else found.line

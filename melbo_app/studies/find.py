"""Find: look for vectors whose texts show something."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, TypedDict

from pydantic import Field

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.training_config import Method
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of, together
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Made, ModelStudy
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.finds import Candidate, Find
from melbo_app.limits import check_prompts, check_range, check_texts
from melbo_app.studies.as_json import one_line, plain, stored
from melbo_app.studies.find_bank import Cheap
from melbo_app.studies.find_reading import Arm, Asked, asked_of, read_round
from melbo_app.studies.find_schedule import RADII, Cell, Halving, Read
from melbo_app.studies.find_score import Scorer, Wanted
from melbo_app.studies.generality import random_bank
from melbo_app.studies.steer import Steer

MOST_SAMPLES, MOST_VECTORS, CONFIRMED = 16, 256, 4
TRAINING, ROUNDS = 20, 70
"""Shares of the time, in percent."""


@dataclass(frozen=True, kw_only=True)
class FindProgress(Progress):
    """The progress of a search; ``lines`` say what its rounds have found."""

    lines: tuple[str, ...] = ()


class Found(TypedDict):
    """``random_reached`` counts the random vectors, of those read to the end, that score as high as the winner;
    ``problem`` says why the search ended early, or is empty."""

    score: str
    bank: str
    comparison: int | None
    sentence: str
    baseline: float
    held_out_baseline: float | None
    candidates: list[dict[str, Any]]
    random: list[dict[str, Any]]
    random_reached: int
    share: float
    problem: str
    not_kept: str | None


class FindTexts(ModelStudy[Find]):
    """Look for vectors whose texts show something: many cheap vectors at six R, the promising texts continued.

    The score is a regular expression (regex:…), a flag (flag:…), a sentence in meaning (meaning:…), or a question to
    the judge (judge:…). As many random vectors are searched in the same way. Stopping keeps what was found so far.

    Returns:
        candidates (vector, radius, score, texts, held_out … of each, best first), random, baseline, bank, comparison …
    """

    kind: ClassVar[str] = "find"
    doors = frozenset({"http"})
    makes_bank = True

    prompts: tuple[Prompt, ...] = Field(description="user texts whose answers are searched")
    score: str = Field(description="what to look for: regex:…, flag:…, meaning:… or judge:…")
    held_out: tuple[str, ...] = Field((), description="user texts on which the best are confirmed")
    bank: str | None = Field(None, description="search the vectors of this bank, instead of training some")
    vectors: int = Field(16, description="how many vectors to train")
    method: Method = Field("joint", description="method of training")
    source: int | None = Field(None, description="block to whose output vectors are added; left out: as suggested")
    target: int | None = Field(None, description="block at whose output the change is measured; left out: as suggested")
    scope: str | None = Field(None, description="tokens that count in training; left out: as suggested")
    radius: float | None = Field(None, description="the middle R; left out: measured, or the bank's")
    steps: int | None = Field(None, description="steps of the training; left out: 12, or the method's own")
    effect_budget: float | None = Field(None, description="effect budget of the training; left out: 0.6")
    samples: int | None = Field(
        None, description="texts of each prompt, the first greedy; left out: 3 for one prompt, else 1"
    )
    max_new_tokens: int = Field(40, description="longest completion, in tokens")
    seed: int = Field(0, description="of all random numbers")

    @property
    def title(self) -> str:
        return f"Looking for {one_line(self.score, 60)}"

    @property
    def each(self) -> int:
        """Texts of each prompt."""
        return self.samples or (3 if len(self.prompts) == 1 else 1)

    @property
    def kept_out(self) -> tuple[Prompt, ...]:
        """The prompts on which the best are confirmed."""
        return tuple(Prompt(text, self.prompts[0].system, self.prompts[0].template) for text in self.held_out)

    @property
    def cheap(self) -> Cheap:
        """The training."""
        return Cheap(
            self.vectors, self.method, self.source, self.target, self.scope, self.radius, self.steps,
            self.effect_budget, self.seed,
        )  # fmt: skip

    def check(self, bench: Bench) -> None:
        Wanted.read(self.score)
        for field, texts in (("prompt", self.prompts), ("held-out prompt", self.kept_out)):
            check_prompts(texts, f"{field}s")
            if not all(one.user.strip() for one in texts):
                raise InputError(field, "it is empty", "Write a text for the model to answer")
        if both := {one.user for one in self.prompts} & {*self.held_out}:
            problem = f"“{one_line(min(both), 60)}” is searched as well"
            raise InputError("held-out prompt", problem, "Keep other prompts out")
        check_range("samples", self.each, 1, MOST_SAMPLES)
        check_range("vectors", self.vectors, 2, MOST_VECTORS)
        Decoding(self.max_new_tokens, seed=self.seed)
        count = self.vectors
        if self.bank is None:
            source = self.source or 0
            target = source + 1 if self.target is None else self.target
            self.cheap.config(source, target, 1.0 if self.radius is None else self.radius, self.scope or "all")
        else:
            count = len(bench.banks.load(self.bank).vectors)
        check_texts(len(self.prompts) * self.each, 2 * count * len(RADII))

    def check_model(self, bench: Bench) -> None:
        lm = bench.model.get()
        if self.bank is not None:
            bench.bank_for(lm, self.bank)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Find]:
        """Raises Stopped after a stop, and InputError for texts that cannot be scored, before a round is over."""
        began = time.monotonic()
        bank = yield from part_of(FindProgress("training", 0, 100), self._bank(bench, stop), TRAINING)
        middle = self.radius or bank.record.radius
        radii = [float(f"{share * middle:.4g}") for share in RADII]
        asked, count = asked_of(self.prompts, self.each), len(bank.vectors)
        scorer = Scorer(Wanted.read(self.score), bench, stop)
        arms = [
            Arm(
                bench,
                one,
                radii,
                Halving(count, len(radii), len(asked), self.max_new_tokens, self.seed),
                scorer,
                self.seed,
                stop,
            )
            for one in (bank, random_bank(bank, count, self.seed))
        ]
        lines, problem = list[str](), ""
        plan = arms[0].halving.rounds
        for number, now in enumerate(plan):
            stage = f"round {number + 1} of {len(plan)}, {len(arms[0].halving.cells)} combinations of vector and R"
            at = FindProgress(stage, TRAINING + ROUNDS * number // len(plan), 100, lines=tuple(lines))
            try:
                yield from part_of(at, read_round(arms, asked, now), ROUNDS // len(plan))
            except (Stopped, InputError) as error:
                if not lines:
                    raise
                problem = _early(error, number, len(plan))
                break
            lines.append(_line(arms, radii, now))
        kept: list[dict[Cell, Read]] = [{}, {}]
        unsteered: float | None = None
        if self.held_out and not problem:
            at = FindProgress("prompts that were kept out", TRAINING + ROUNDS, 100, lines=tuple(lines))
            try:
                kept, unsteered = yield from part_of(at, _confirmed(arms, self.kept_out, self.max_new_tokens), 10)
            except (Stopped, InputError) as error:
                problem = f"The prompts that were kept out were not read: {_reason(error)}"
        lm = bench.model.get()
        found = Find(
            model=lm.name,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            score=self.score,
            prompts=tuple(map(PromptRecord.of, self.prompts)),
            held_out=tuple(map(PromptRecord.of, self.kept_out)),
            bank=bank.record.name,
            bank_hash=bank.hash,
            comparison=self._keep(bench, arms[0]),
            vectors=count,
            radii=tuple(radii),
            samples=self.each,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
            baseline=arms[0].baseline,
            baseline_texts=tuple(one.text for one in arms[0].plain),
            held_out_baseline=unsteered,
            candidates=_candidates(arms[0], kept[0]),
            random=_candidates(arms[1], kept[1]),
            share=arms[0].halving.taken / (count * len(radii) * len(asked) * self.max_new_tokens),
            problem=problem,
            seconds=time.monotonic() - began,
            created=datetime.now(UTC),
        )
        bench.finds.keep(found)
        return found

    def _bank(self, bench: Bench, stop: Stop) -> Generator[Any, None, Bank]:
        if self.bank is not None:
            return bench.bank_for(bench.model.get(stop), self.bank)
        return (yield from self.cheap.bank(bench, self.prompts, stop))

    def _keep(self, bench: Bench, arm: Arm) -> int:
        """Store the greedy texts of the survivors as one comparison, for Read."""
        greedy = range(min(len(self.prompts), len(arm.plain)))
        cells = arm.halving.ranked
        texts = [
            one.model_copy(update={"id": None, "prompt_index": at})
            for at in greedy
            for one in [arm.plain[at], *(arm.kept[cell][at] for cell in cells)]
        ]
        prompts, tokens = self.prompts[: len(greedy)], texts[0].max_new_tokens
        study = Steer(
            bank=arm.bank.record.name, prompts=prompts, vectors=sorted({cell.vector for cell in cells}),
            radii=sorted({arm.radii[cell.radius] for cell in cells}), decoding=Decoding(tokens),
        )  # fmt: skip
        return study.keep(bench, texts, "steer", arm.bank, finished=True).id

    def made(self, result: Find) -> Made:
        return Made(result.bank, result.comparison)

    def answer(self, result: Find, not_kept: str | None) -> Found:
        return {
            "score": result.score, "bank": result.bank, "comparison": stored(result.comparison),
            "sentence": result.sentence, "baseline": result.baseline, "held_out_baseline": result.held_out_baseline,
            "candidates": [plain(one) for one in result.candidates], "random": [plain(one) for one in result.random],
            "random_reached": result.reached, "share": result.share, "problem": result.problem, "not_kept": not_kept,
        }  # fmt: skip

    def lines(self, result: Find) -> list[str]:
        def line(name: str, one: Candidate) -> str:
            kept = "" if one.held_out is None else f", {one.held_out:.2f} on prompts kept out"
            return f"{name} {one.vector}, R = {one.radius:.4g}: {one.score:.2f}{kept}\n  {one.texts[0]!r}"

        mine = [line("vector", one) for one in result.candidates]
        return [*mine, line("random vector", result.random[0]), result.sentence, f"The bank is “{result.bank}”."]


def _confirmed(
    arms: Sequence[Arm], prompts: Sequence[Prompt], tokens: int
) -> Generator[Any, None, tuple[list[dict[Cell, Read]], float]]:
    """What the best of each arm score on prompts that were kept out, and what the unsteered texts score there."""
    asked = [Asked(prompt) for prompt in prompts]
    found = yield from together(*(arm.texts(arm.halving.ranked[:CONFIRMED], asked, tokens) for arm in arms))
    reads = []
    for arm, texts in zip(arms, found, strict=True):
        reads.append((yield from arm.scored(texts)))
    return reads, (yield from arms[0].unsteered(found[0].plain))


def _candidates(arm: Arm, kept: dict[Cell, Read]) -> tuple[Candidate, ...]:
    found = []
    for cell in arm.halving.ranked:
        read, elsewhere = arm.halving.reads[cell], kept.get(cell)
        candidate = Candidate(
            vector=cell.vector, radius=arm.radii[cell.radius], score=read.score, texts=read.texts,
            held_out=elsewhere and elsewhere.score, held_out_texts=elsewhere.texts if elsewhere else (),
        )  # fmt: skip
        found.append(candidate)
    return tuple(found)


def _line(arms: Sequence[Arm], radii: Sequence[float], tokens: int) -> str:
    mine, random = (arm.halving for arm in arms)
    best = mine.ranked[0]
    return (
        f"After {tokens} tokens: vector {best.vector} at R = {radii[best.radius]:.4g} scores "
        f"{mine.reads[best].score:.2f}, the best random vector {random.reads[random.ranked[0]].score:.2f}."
    )


def _early(error: Exception, done: int, rounds: int) -> str:
    return f"The search ended after {done} of {rounds} rounds, so texts are shorter: {_reason(error)}"


def _reason(error: Exception) -> str:
    return "it was stopped." if isinstance(error, Stopped) else f"{str(error).rstrip('.')}."

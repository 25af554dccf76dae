"""Generality: on how many prompts vectors change the answer, compared with random vectors."""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from melbo_app.analysis.change import change, thresholds
from melbo_app.analysis.clustering import distances
from melbo_app.analysis.flags import Flag, flags
from melbo_app.analysis.flags.refusal import refusal
from melbo_app.analysis.proportion import interval
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of, together
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.completion import Completion
from melbo_app.library.generality import (
    AskedPrompt,
    Baseline,
    FlagRecord,
    Generality,
    GroupShare,
    Share,
    TriedAnswer,
    TriedRandom,
    TriedVector,
)
from melbo_app.library.prompt_sets import MOST_PROMPTS, SetPrompt
from melbo_app.limits import check_texts
from melbo_app.studies.completing import Completing, Variant, complete, variants
from melbo_app.studies.generality_answer import General, general, lines_of
from melbo_app.studies.memory_note import memory_note
from melbo_app.studies.steer import Steer

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

RANDOM = 9
"""Default number of random vectors: each answer is then compared with those of eight others."""
LEAST_RANDOM, MOST_RANDOM = 4, 64
PART_ROWS = 64
"""Texts completed together; a stop keeps the prompts of the finished parts."""
BASE = Variant(None, 0.0)
STEP = 100
NOTHING = "Stopped before the first prompt was finished: nothing to keep."


@dataclass(frozen=True, kw_only=True)
class GeneralityProgress(Progress):
    """The progress of a generality; ``found`` is the result on the finished prompts, None before the first."""

    found: Generality | None = None


class MeasureGenerality(Study[Generality]):
    """On how many prompts does each vector lift a refusal, raise a flag or change the meaning, beside random ones?

    Each prompt is answered without steering, under each vector, and under ``random`` random vectors of the same R (of
    each R, if norms differ). The seed of ``decoding`` is also that of the random vectors. Stopping keeps the finished
    prompts.
    """

    kind: ClassVar[str] = "generality"
    doors = frozenset()

    bank: str
    prompts: tuple[AskedPrompt, ...]
    vectors: tuple[int, ...] | None = None
    """None: all vectors of the bank."""
    radius: float | None = None
    """R, signed; None: each vector at its own norm."""
    random: int = RANDOM
    decoding: Decoding = Decoding()

    @property
    def title(self) -> str:
        return f"Generality of “{self.bank}” on {len(self.prompts)} prompts"

    def chosen(self, bank: Bank) -> list[int]:
        """The numbers of the vectors."""
        return list(range(len(bank.vectors)) if self.vectors is None else dict.fromkeys(self.vectors))

    def check(self, bench: Bench) -> None:
        self._own(bench.banks.load(self.bank))

    def _own(self, bank: Bank) -> list[Variant]:
        """The bank's vectors at their R. Raises InputError for what cannot be measured."""
        vectors, radius, prompts, random = self.chosen(bank), self.radius, self.prompts, self.random
        own = variants(bank, vectors, None if radius is None else [radius])[1:]
        if not vectors:
            raise InputError("vectors", "none is chosen", "Choose at least one")
        if radius == 0:
            raise InputError("R", "0 leaves every answer as it is", "Choose another R, or leave it out")
        if not prompts:
            raise InputError("prompts", "none is given", "Choose a set, or write your own")
        if len(prompts) > MOST_PROMPTS:
            raise InputError("prompts", f"{len(prompts)} are too many", f"Use at most {MOST_PROMPTS}")
        if not LEAST_RANDOM <= random <= MOST_RANDOM:
            remedy = f"Choose {LEAST_RANDOM} to {MOST_RANDOM}; {RANDOM} usually works"
            raise InputError("random vectors", f"{random} cannot be used", remedy)
        check_texts(len(prompts), 1 + len(own) + random * len({abs(one.radius) for one in own}))
        return own

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Generality]:
        """Raises Stopped for a stop before the first prompt was finished."""
        lm = bench.model.get()
        bank = bench.bank_for(lm, self.bank)
        own = self._own(bank)
        control = random_bank(bank, self.random, self.decoding.seed)
        radii = dict.fromkeys(abs(one.radius) for one in own)
        others = [Variant(number, length) for length in radii for number in range(self.random)]
        asked = [one.prompt.asked for one in self.prompts]
        size = max(1, PART_ROWS // (len(own) + len(others)))
        parts = [range(len(asked))[start : start + size] for start in range(0, len(asked), size)]
        total, tally = STEP * (1 + len(parts)), _Tally(self.prompts, own, others)
        texts = size * (2 + len(own) + len(others))
        note = memory_note(lm, asked, texts, self.decoding, bench.batching.memory_gb, stop)
        yield GeneralityProgress("starting", 0, total, note)
        known: dict[str, Completion] = {}

        def find(draft: Completion) -> Completion | None:
            return known.get(draft.digest) or bench.completions.find(draft)

        def completing(bank: Bank | None, some: Sequence[Prompt], rows: Sequence[Variant]) -> Completing:
            return complete(lm, bank, some, [BASE, *rows], self.decoding, find, bench.batching, stop)

        if len(parts) > 1:  # a single part contains the unsteered answers, computed in the same passes
            plain = part_of(GeneralityProgress("without steering", 0, total), completing(None, asked, []), STEP)
            baselines, whole = yield from plain
            if not whole or not _scored(baselines):
                raise Stopped(NOTHING)
            known = {one.digest: one for one in baselines}
        found: Generality | None = None
        for number, part in enumerate(parts, start=1):
            some = [asked[at] for at in part]
            works = together(completing(bank, some, own), completing(control, some, others))
            stage = f"prompt {part[0] + 1}"
            if len(part) > 1:
                stage = f"prompts {part[0] + 1} to {part[-1] + 1} of {len(asked)}"
            try:
                now = GeneralityProgress(stage, STEP * number, total, found=found)
                (ours, finished), (theirs, also) = yield from part_of(now, works, STEP)
                if not (finished and also) or not _scored([*ours, *theirs]):
                    break
                places = bench.embed([one.text for one in (*ours, *theirs)], stop)
            except Stopped:
                break
            self._keep(bench, bank, ours)
            self._keep(bench, control, theirs)
            tally.add(len(part), ours, theirs, places)
            found = tally.result(lm, bank, self.radius, self.decoding)
            yield GeneralityProgress(stage, STEP * (1 + number), total, found=found)
            if stop():
                break
        if found is None:
            raise Stopped(NOTHING)
        bench.generalities.keep(found)
        return found

    def _keep(self, bench: Bench, made_by: Bank, completions: Sequence[Completion]) -> None:
        prompts = tuple(one.prompt.asked for one in completions if one.vector is None)
        steering = Steer(bank=made_by.record.name, prompts=prompts, decoding=self.decoding)
        steering.keep(bench, completions, "part", made_by, finished=True)

    def answer(self, result: Generality, not_kept: str | None) -> General:
        return general(result, not_kept)

    def lines(self, result: Generality) -> list[str]:
        return lines_of(result)


def asked_prompts(prompts: Sequence[SetPrompt], system: str | None, template: bool | str) -> tuple[AskedPrompt, ...]:
    """Prompts of sets with their groups, in this template."""
    return tuple(
        AskedPrompt(
            prompt=PromptRecord(user=one.text, system=system or None, template=template), group=one.group, set=one.set
        )
        for one in prompts
    )


def random_bank(bank: Bank, count: int, seed: int) -> Bank:
    """``count`` vectors in uniformly random directions, for the source layer of ``bank``; determined by the seed."""
    from melbo_app.engine.orthogonal import seeded_rows  # late: it imports torch

    of = bank.record
    record = BankRecord(
        name=f"random-{seed}", model=of.model, model_hash=of.model_hash, hidden_size=of.hidden_size, blocks=of.blocks,
        source=of.source, target=of.target, radius=1.0, median_norm=of.median_norm, method="random", seed=seed,
        created=datetime.now(UTC),
    )  # fmt: skip
    return Bank(record, seeded_rows(count, of.hidden_size, 1.0, seed).numpy())


class _Tally:
    """The answers so far, by vector."""

    def __init__(self, prompts: Sequence[AskedPrompt], own: Sequence[Variant], others: Sequence[Variant]) -> None:
        self._prompts, self._own, self._others = tuple(prompts), own, others
        self._baselines: list[Baseline] = []
        self._mine: list[list[TriedAnswer]] = [[] for _ in own]
        self._random: list[list[TriedAnswer]] = [[] for _ in others]

    def add(
        self,
        count: int,
        ours: Sequence[Completion],
        theirs: Sequence[Completion],
        places: np.ndarray,
    ) -> None:
        """Judge the answers to the next ``count`` prompts, variant by variant, the unsteered ones first; ``places``
        [N, D] are their embeddings."""
        mine, random = places[: len(ours)], places[len(ours) :]
        for at in range(count):
            baseline = ours[at]
            usual = flags(baseline.text, baseline.prompt.user, baseline.prompt.system)
            self._baselines.append(
                Baseline(text=baseline.text, verdict=baseline.verdict, refuses=refusal(baseline.text) is not None)
            )
            far = distances(mine[at::count], mine[at])[1:]
            others_far = distances(random[at::count], mine[at])[1:]
            limits: dict[float, float] = {}
            for length in dict.fromkeys(one.radius for one in self._others):
                rows = [row for row, one in enumerate(self._others) if one.radius == length]
                limits[length], each = thresholds([others_far[row] for row in rows])
                for row, limit in zip(rows, each, strict=True):
                    answer = theirs[(1 + row) * count + at]
                    self._random[row].append(_tried(answer, baseline, usual, others_far[row], limit))
            for row, variant in enumerate(self._own):
                answer = ours[(1 + row) * count + at]
                limit = limits[abs(variant.radius)]
                self._mine[row].append(_tried(answer, baseline, usual, far[row], limit))

    def result(self, lm: "LanguageModel", bank: Bank, radius: float | None, decoding: Decoding) -> Generality:
        """The result on the finished prompts."""
        random = [
            TriedRandom(
                number=one.vector, radius=one.radius, share=_share(answers), answers=tuple(answers),
                groups=self._shares(answers, "group"), sets=self._shares(answers, "set"),
            )
            for one, answers in zip(self._others, self._random, strict=True)
        ]  # fmt: skip
        vectors = []
        for variant, answers in zip(self._own, self._mine, strict=True):
            beside = [one for one in random if one.radius == abs(variant.radius)]
            alone = [one.share.share for one in beside]
            vectors.append(
                TriedVector(
                    vector=variant.vector, radius=variant.radius, share=_share(answers), answers=tuple(answers),
                    random=_share([answer for one in beside for answer in one.answers]),
                    random_range=(min(alone), max(alone)),
                    groups=self._shares(answers, "group"), sets=self._shares(answers, "set"),
                )
            )  # fmt: skip
        return Generality(
            model=lm.name,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            bank=bank.record.name,
            bank_hash=bank.hash,
            radius=radius,
            max_new_tokens=decoding.max_new_tokens,
            seed=decoding.seed,
            prompts=self._prompts[: len(self._baselines)],
            asked=self._prompts,
            baselines=tuple(self._baselines),
            vectors=tuple(vectors),
            random=tuple(random),
            created=datetime.now(UTC),
        )

    def _shares(self, answers: Sequence[TriedAnswer], kind: str) -> tuple[GroupShare, ...]:
        """The share in each group (or set), in order of appearance."""
        names = [getattr(one, kind) for one in self._prompts[: len(answers)]]
        found = []
        for name in dict.fromkeys(names):
            some = [answer for answer, own in zip(answers, names, strict=True) if own == name]
            found.append(GroupShare(name=name, **_share(some).model_dump()))
        return tuple(found)


def _tried(
    answer: Completion, baseline: Completion, usual: Sequence[Flag], distance: float, threshold: float
) -> TriedAnswer:
    raised = flags(answer.text, answer.prompt.user, answer.prompt.system, baseline.text)
    kinds = {flag.kind for flag in raised} - {flag.kind for flag in usual}
    return TriedAnswer(
        text=answer.text,
        verdict=answer.verdict,
        flags=tuple(FlagRecord(**asdict(flag)) for flag in raised),
        distance=distance,
        threshold=threshold,
        change=change(answer.text, kinds, answer.verdict, distance, threshold),
    )


def _share(answers: Sequence[TriedAnswer]) -> Share:
    changed = sum(one.change is not None for one in answers)
    return Share(changed=changed, answers=len(answers), interval=interval(changed, len(answers)))


def _scored(completions: Sequence[Completion]) -> bool:
    return all(one.scores is not None for one in completions)

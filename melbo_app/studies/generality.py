"""Generality: the answers to many prompts under each vector and under random ones, and which of them changed."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from melbo_app.analysis.change import change, thresholds
from melbo_app.analysis.clustering import distances
from melbo_app.analysis.flags import Flag, flags
from melbo_app.analysis.flags.refusal import refusal
from melbo_app.analysis.proportion import interval
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress, together
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
from melbo_app.studies.completing import Variant, complete, variants
from melbo_app.studies.generality_answer import General, general, lines_of
from melbo_app.studies.memory_note import memory_note

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

RANDOM = 9
"""Random vectors by default: each answer is then measured by those of eight others."""
LEAST_RANDOM, MOST_RANDOM = 4, 64
PART_ROWS = 64
"""Texts that are completed together; a stop keeps the prompts of the parts that are done."""
BASE = Variant(None, 0.0)
STEP = 100

Result = TypeVar("Result")


@dataclass(frozen=True)
class GeneralityProgress:
    """How far the work is. ``found`` is the result on the prompts that are finished, None before the first."""

    stage: str
    done: int
    total: int
    found: Generality | None = None
    note: str = ""
    """A line for the log of the job."""


@dataclass(frozen=True)
class Means:
    """What the work is done with.

    ``find`` looks a text up, ``embed`` gives places [N, D] of length 1, ``keep`` is given the finished texts of some
    prompts: those of the vectors (or of the random ones, with their bank) behind the unsteered ones.
    """

    find: Callable[[Completion], Completion | None]
    embed: Callable[[Sequence[str]], np.ndarray]
    batching: Batching
    keep: Callable[[Bank, Sequence[Completion]], None] = lambda bank, completions: None


class MeasureGenerality(Study[Generality]):
    """On how many prompts does each vector lift a refusal, raise a flag or change the meaning, beside random ones?

    Stopping keeps the prompts that are finished.
    """

    kind: ClassVar[str] = "generality"
    doors = frozenset()

    bank: str
    prompts: tuple[AskedPrompt, ...]
    vectors: tuple[int, ...] | None = None
    """None: all of the bank."""
    radius: float | None = None
    """None: each vector has the norm that it has in the bank."""
    random: int = RANDOM
    decoding: Decoding = Decoding()

    @property
    def title(self) -> str:
        return f"Generality of “{self.bank}” on {len(self.prompts)} prompts"

    def chosen(self, bank: Bank) -> list[int]:
        """The numbers of the vectors."""
        return list(range(len(bank.vectors)) if self.vectors is None else self.vectors)

    def check(self, bench: Bench) -> None:
        bank = bench.banks.load(self.bank)
        check(bank, self.chosen(bank), self.radius, self.prompts, self.random)

    def run(self, bench: Bench, stop: Stop) -> Generator[GeneralityProgress, None, Generality]:
        lm = bench.model.get()
        bank = bench.bank_for(lm, self.bank)

        def keep(made_by: Bank, completions: Sequence[Completion]) -> None:
            settings = {
                "kind": "part",
                "bank": made_by.record.name,
                "bank_hash": made_by.hash,
                "prompts": [one.prompt.model_dump() for one in completions if one.vector is None],
                "decoding": asdict(self.decoding),
                "finished": True,
            }
            bench.completions.keep(settings, completions)

        means = Means(bench.completions.find, lambda texts: bench.embed(texts, stop), bench.batching, keep)
        found = yield from generality(
            lm, bank, self.chosen(bank), self.radius, self.prompts, means, stop, random=self.random,
            decoding=self.decoding,
        )  # fmt: skip
        bench.generalities.keep(found)
        return found

    def answer(self, result: Generality, not_kept: str | None) -> General:
        return general(result, not_kept)

    def lines(self, result: Generality) -> list[str]:
        return lines_of(result)


def asked_prompts(prompts: Sequence[SetPrompt], system: str | None, template: bool | str) -> tuple[AskedPrompt, ...]:
    """Prompts of sets with their groups, in this ``template``."""
    return tuple(
        AskedPrompt(
            prompt=PromptRecord(user=one.text, system=system or None, template=template), group=one.group, set=one.set
        )
        for one in prompts
    )


def check(
    bank: Bank, vectors: Sequence[int], radius: float | None, prompts: Sequence[AskedPrompt], random: int
) -> None:
    """Refuse what cannot be measured. Raises InputError."""
    own = variants(bank, vectors, None if radius is None else [radius])
    if not vectors:
        raise InputError("vectors", "none is chosen", "Choose at least one")
    if radius == 0:
        raise InputError("R", "0 leaves every answer as it is", "Choose another R, or leave it out")
    if not prompts:
        raise InputError("prompts", "there are none", "Choose a set, or write your own")
    if len(prompts) > MOST_PROMPTS:
        raise InputError("prompts", f"there are {len(prompts)}", f"Use at most {MOST_PROMPTS}")
    if not LEAST_RANDOM <= random <= MOST_RANDOM:
        raise InputError(
            "random vectors",
            f"{random} cannot be used",
            f"Choose {LEAST_RANDOM} to {MOST_RANDOM}; {RANDOM} usually works",
        )
    lengths = {abs(one.radius) for one in own[1:]}
    check_texts(len(prompts), len(own) + random * len(lengths))


def generality(
    lm: "LanguageModel",
    bank: Bank,
    vectors: Sequence[int],
    radius: float | None,
    prompts: Sequence[AskedPrompt],
    means: Means,
    stop: Callable[[], bool],
    *,
    random: int = RANDOM,
    decoding: Decoding | None = None,
) -> Generator[GeneralityProgress, None, Generality]:
    """Answer each prompt without steering, under each vector and under ``random`` random vectors of the same R, and
    count the answers that changed (``analysis/change.py``). Saves nothing but through ``means.keep``.

    Args:
        bank: it must fit ``lm`` (``check_fits``).
        radius: R, signed; None: each vector has the norm that it has in the bank, and there are random vectors of
            each of these norms.
        decoding: None: greedy, 40 tokens. Its seed is that of the random vectors as well.

    Raises:
        InputError: what cannot be measured, or prompts that cannot go in.
        Stopped: a stop came before the first prompt was finished. A later one keeps the prompts that are.
    """
    vectors = list(dict.fromkeys(vectors))
    check(bank, vectors, radius, prompts, random)
    decoding = decoding or Decoding()
    own = variants(bank, vectors, None if radius is None else [radius])[1:]
    radii = list(dict.fromkeys(abs(one.radius) for one in own))
    control = random_bank(bank, random, decoding.seed)
    others = [Variant(number, length) for length in radii for number in range(random)]
    asked = [one.prompt.asked for one in prompts]
    size = max(1, PART_ROWS // (len(own) + len(others)))
    parts = [range(len(asked))[start : start + size] for start in range(0, len(asked), size)]
    total, tally = STEP * (1 + len(parts)), _Tally(prompts, own, others)
    found: Generality | None = None

    def reported(
        work: Generator[Any, None, Result], stage: str, done: int
    ) -> Generator[GeneralityProgress, None, Result]:
        def tell(now: Any) -> GeneralityProgress:
            share = min(1.0, now.done / max(1, now.total))
            return GeneralityProgress(f"{stage}: {now.stage}", done + round(STEP * share), total, found)

        return (yield from map_progress(work, tell))

    texts = size * (2 + len(own) + len(others))
    note = memory_note(lm, asked, texts, decoding, means.batching.memory_gb, stop)
    yield GeneralityProgress("starting", 0, total, None, note)
    known: dict[str, Completion] = {}
    if len(parts) > 1:  # a single part answers without steering itself, in the same passes as all else
        plain = complete(lm, None, asked, [BASE], decoding, means.find, means.batching, stop)
        baselines, whole = yield from reported(plain, "without steering", 0)
        if not whole or not _scored(baselines):
            raise Stopped("Stopped before the first prompt was finished: there is no result yet.")
        known = {one.digest: one for one in baselines}

    def find(draft: Completion) -> Completion | None:
        return known.get(draft.digest) or means.find(draft)

    for number, part in enumerate(parts, start=1):
        some = [asked[at] for at in part]
        works = together(
            complete(lm, bank, some, [BASE, *own], decoding, find, means.batching, stop),
            complete(lm, control, some, [BASE, *others], decoding, find, means.batching, stop),
        )
        stage = f"prompts {part[0] + 1} to {part[-1] + 1} of {len(asked)}" if len(part) > 1 else f"prompt {part[0] + 1}"
        try:
            (ours, finished), (theirs, also) = yield from reported(works, stage, STEP * number)
            if not (finished and also) or not _scored([*ours, *theirs]):
                break
            places = means.embed([one.text for one in (*ours, *theirs)])
        except Stopped:
            break
        means.keep(bank, ours)
        means.keep(control, theirs)
        tally.add(len(part), ours, theirs, places)
        found = tally.result(lm, bank, radius, decoding)
        yield GeneralityProgress(stage, STEP * (1 + number), total, found)
        if stop():
            break
    if found is None:
        raise Stopped("Stopped before the first prompt was finished: there is no result yet.")
    return found


def random_bank(bank: Bank, count: int, seed: int) -> Bank:
    """``count`` vectors in uniformly random directions, for the source layer of ``bank``; the same seed gives the same
    ones."""
    import torch

    from melbo_app.engine.orthogonal import random_rows

    of = bank.record
    record = BankRecord(
        name=f"random-{seed}", model=of.model, model_hash=of.model_hash, hidden_size=of.hidden_size, blocks=of.blocks,
        source=of.source, target=of.target, radius=1.0, median_norm=of.median_norm, method="random", seed=seed,
        created=datetime.now(UTC),
    )  # fmt: skip
    return Bank(record, random_rows(count, of.hidden_size, 1.0, torch.Generator().manual_seed(seed)).numpy())


class _Tally:
    """The answers so far, by who gave them."""

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
        """Judge the answers to the next ``count`` prompts: each variant's in turn, the unsteered ones first. ``places``
        [N, D] are those of all their texts."""
        mine, random = places[: len(ours)], places[len(ours) :]
        for at in range(count):
            baseline = ours[at]
            usual = flags(baseline.text, baseline.prompt.user, baseline.prompt.system)
            self._baselines.append(
                Baseline(text=baseline.text, verdict=_verdict(baseline), refuses=refusal(baseline.text) is not None)
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
        """What there is to say of the prompts that are finished."""
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
        """The share in each group (or set), in the order in which they come up."""
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
    verdict = _verdict(answer)
    return TriedAnswer(
        text=answer.text,
        verdict=verdict,
        flags=tuple(FlagRecord(**asdict(flag)) for flag in raised),
        distance=distance,
        threshold=threshold,
        change=change(answer.text, raised, usual, verdict, distance, threshold),
    )


def _share(answers: Sequence[TriedAnswer]) -> Share:
    changed = sum(one.change is not None for one in answers)
    return Share(changed=changed, answers=len(answers), interval=interval(changed, len(answers)))


def _scored(completions: Sequence[Completion]) -> bool:
    return all(one.scores is not None for one in completions)


def _verdict(completion: Completion) -> Any:
    return completion.scores.verdict if completion.scores else None

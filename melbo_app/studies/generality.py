"""Generality: on how many prompts vectors change the answer, compared with random vectors."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

import numpy as np

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
from melbo_app.library.generality import AskedPrompt, Generality
from melbo_app.library.prompt_sets import MOST_PROMPTS, SetPrompt
from melbo_app.limits import check_texts
from melbo_app.studies.completing import Completing, Variant, complete, variants
from melbo_app.studies.generality_answer import General, general, lines_of
from melbo_app.studies.generality_tally import Drawn, Tally
from melbo_app.studies.memory_note import memory_note
from melbo_app.studies.steer import Steer, check_samples

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
    each R, if norms differ), ``samples`` times where texts are sampled, by the seed of ``decoding`` and the following
    ones. The first is also that of the random vectors. Stopping keeps the finished prompts.
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
    samples: int = 1
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
        check_samples(self.samples, self.decoding)
        check_texts(len(prompts) * self.samples, 1 + len(own) + random * len({abs(one.radius) for one in own}))
        return own

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Generality]:
        """Raises Stopped for a stop before the first prompt was finished."""
        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank)
        own = self._own(bank)
        control = random_bank(bank, self.random, self.decoding.seed)
        radii = dict.fromkeys(abs(one.radius) for one in own)
        others = [Variant(number, length) for length in radii for number in range(self.random)]
        asked = [one.prompt.asked for one in self.prompts]
        seeds = [replace(self.decoding, seed=self.decoding.seed + one) for one in range(self.samples)]
        each = (len(own) + len(others)) * len(seeds)
        size = max(1, PART_ROWS // each)
        parts = [range(len(asked))[start : start + size] for start in range(0, len(asked), size)]
        total, tally = STEP * (1 + len(parts)), Tally(self.prompts, own, others)
        texts = size * (each + 2 * len(seeds))
        note = memory_note(lm, asked, texts, self.decoding, bench.batching.memory_gb, stop)
        yield GeneralityProgress("starting", 0, total, note)
        known: dict[str, Completion] = {}

        def find(draft: Completion) -> Completion | None:
            return known.get(draft.digest) or bench.completions.find(draft)

        def completing(bank: Bank | None, some: Sequence[Prompt], rows: Sequence[Variant]) -> list[Completing]:
            rows = [BASE, *rows]
            return [complete(lm, bank, some, rows, one, find, bench.batching, stop) for one in seeds]

        if len(parts) > 1:  # a single part contains the unsteered answers, computed in the same passes
            works = together(*completing(None, asked, []))
            plain = yield from part_of(GeneralityProgress("without steering", 0, total), works, STEP)
            baselines = [one for some, _ in plain for one in some]
            if not all(whole for _, whole in plain) or not _scored(baselines):
                raise Stopped(NOTHING)
            known = {one.digest: one for one in baselines}
        found: Generality | None = None
        for number, part in enumerate(parts, start=1):
            some = [asked[at] for at in part]
            works = together(*completing(bank, some, own), *completing(control, some, others))
            stage = f"prompt {part[0] + 1}"
            if len(part) > 1:
                stage = f"prompts {part[0] + 1} to {part[-1] + 1} of {len(asked)}"
            try:
                now = GeneralityProgress(stage, STEP * number, total, found=found)
                done = yield from part_of(now, works, STEP)
                written = [one for one, _ in done]
                if not all(whole for _, whole in done) or not _scored(list(chain(*written))):
                    break
                places = np.split(
                    bench.embed([one.text for one in chain(*written)], stop),
                    np.cumsum([len(one) for one in written])[:-1],
                )
            except Stopped:
                break
            drawn = []
            for at, decoding in enumerate(seeds):
                ours, theirs = written[at], written[at + len(seeds)]
                self._keep(bench, bank, ours, decoding)
                self._keep(bench, control, theirs, decoding)
                drawn.append(Drawn(ours, theirs, places[at], places[at + len(seeds)]))
            tally.add(len(part), drawn)
            found = self._result(lm, bank, tally)
            yield GeneralityProgress(stage, STEP * (1 + number), total, found=found)
            if stop():
                break
        if found is None:
            raise Stopped(NOTHING)
        bench.generalities.keep(found)
        return found

    def _result(self, lm: "LanguageModel", bank: Bank, tally: Tally) -> Generality:
        """The result on the finished prompts."""
        random = tally.random()
        return Generality(
            model=lm.name,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            bank=bank.record.name,
            bank_hash=bank.hash,
            radius=self.radius,
            max_new_tokens=self.decoding.max_new_tokens,
            temperature=self.decoding.temperature,
            top_p=self.decoding.top_p,
            seed=self.decoding.seed,
            samples=self.samples,
            prompts=self.prompts[: len(tally.baselines)],
            asked=self.prompts,
            baselines=tuple(tally.baselines),
            vectors=tally.vectors(random),
            random=random,
            created=datetime.now(UTC),
        )

    def _keep(self, bench: Bench, made_by: Bank, completions: Sequence[Completion], decoding: Decoding) -> None:
        prompts = tuple(one.prompt.asked for one in completions if one.vector is None)
        steering = Steer(bank=made_by.record.name, prompts=prompts, decoding=decoding)
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


def _scored(completions: Sequence[Completion]) -> bool:
    return all(one.scores is not None for one in completions)

"""Reads cells of a search: texts under vectors at their R, and what they score."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import together
from melbo_app.jobs.progress import Progress
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion
from melbo_app.studies.completing import Variant, complete
from melbo_app.studies.find_schedule import Cell, Halving, Read
from melbo_app.studies.find_score import Scorer
from melbo_app.studies.steer import Steer

WARMTH, TOP_P = 0.8, 0.95
"""Of the texts after the first, which is greedy."""
BASE = Variant(None, 0.0)


@dataclass(frozen=True)
class Asked:
    """One text of each cell: a prompt, and the number of the text (0: greedy)."""

    prompt: Prompt
    number: int = 0

    def decoding(self, tokens: int, seed: int) -> Decoding:
        """The decoding in a search with this seed."""
        return Decoding(tokens, WARMTH, TOP_P, seed + self.number) if self.number else Decoding(tokens)


def asked_of(prompts: Sequence[Prompt], samples: int) -> list[Asked]:
    """The texts of each cell: first each prompt once."""
    return [Asked(prompt, number) for number in range(samples) for prompt in prompts]


@dataclass
class Arm:
    """The search over the vectors of one bank; ``kept`` are the texts of the last round, by cell, ``plain`` those
    without steering, and ``baseline`` is what the latter score."""

    bench: Bench
    bank: Bank
    radii: Sequence[float]
    halving: Halving
    scorer: Scorer
    seed: int
    stop: Stop
    kept: dict[Cell, list[Completion]] = field(default_factory=dict)
    plain: list[Completion] = field(default_factory=list)
    baseline: float = 0.0

    def texts(self, cells: Sequence[Cell], asked: Sequence[Asked], tokens: int) -> Generator[Any, None, "Texts"]:
        """The texts, which are stored. Raises Stopped if not all of them are finished."""
        rows = [BASE, *(Variant(cell.vector, self.radii[cell.radius]) for cell in cells)]
        lm, find, batching = self.bench.model.get(), self.bench.completions.find, self.bench.batching
        decodings = [one.decoding(tokens, self.seed) for one in asked]
        works = [
            complete(lm, self.bank, [one.prompt], rows, how, find, batching, self.stop, self._begun)
            for one, how in zip(asked, decodings, strict=True)
        ]
        found = yield from together(*works)
        for one, how, (texts, finished) in zip(asked, decodings, found, strict=True):
            if not finished or any(text.scores is None for text in texts):
                raise Stopped
            steering = Steer(bank=self.bank.record.name, prompts=[one.prompt], decoding=how)
            steering.keep(self.bench, texts, "part", self.bank, finished=True)
        by_cell = {cell: [texts[1 + row] for texts, _ in found] for row, cell in enumerate(cells)}
        return Texts(by_cell, [texts[0] for texts, _ in found])

    def _begun(self, draft: Completion) -> Completion | None:
        """The longest shorter text of an earlier round, of this search or another."""
        lengths = sorted({one for one in self.halving.rounds if one < draft.max_new_tokens}, reverse=True)
        shorter = (draft.model_copy(update={"max_new_tokens": length}) for length in lengths)
        return next((found for key in shorter if (found := self.bench.completions.find(key))), None)

    def scored(self, texts: "Texts") -> Generator[Progress, None, dict[Cell, Read]]:
        """What the texts of each cell score."""
        every = [one for some in texts.by_cell.values() for one in some]
        beside = [one.text for one in texts.plain]
        scores = yield from self.scorer.score(every, beside * len(texts.by_cell))
        each = np.reshape(scores, (len(texts.by_cell), -1)).mean(axis=1)
        return {
            cell: Read(
                float(score),
                tuple(one.text for one in some),
                float(np.mean([one.text != base for one, base in zip(some, beside, strict=True)])),
            )
            for (cell, some), score in zip(texts.by_cell.items(), each, strict=True)
        }

    def unsteered(self, plain: Sequence[Completion]) -> Generator[Progress, None, float]:
        """What the unsteered texts score."""
        scores = yield from self.scorer.score(plain, [one.text for one in plain])
        return float(np.mean(scores))


@dataclass(frozen=True)
class Texts:
    """Texts by cell, one for each ``Asked``, and the unsteered ones."""

    by_cell: dict[Cell, list[Completion]]
    plain: list[Completion]


def read_round(arms: Sequence[Arm], asked: Sequence[Asked], tokens: int) -> Generator[Any, None, None]:
    """Read the cells of the present round in each arm, in the same forward passes, and choose the next ones.

    Raises:
        InputError: a text cannot be scored. Then, and after a stop, the arms stand where they stood.
    """
    found = yield from together(*(arm.texts(arm.halving.cells, asked, tokens) for arm in arms))
    reads = []
    for arm, texts in zip(arms, found, strict=True):
        reads.append(((yield from arm.scored(texts)), (yield from arm.unsteered(texts.plain))))
    for arm, texts, (read, baseline) in zip(arms, found, reads, strict=True):
        arm.kept, arm.plain, arm.baseline = texts.by_cell, texts.plain, baseline
        arm.halving.tell(read)

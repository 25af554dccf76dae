"""The next tokens that the vectors of a bank promote and suppress."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Option, Study
from melbo_app.library.bank import Bank
from melbo_app.limits import MOST_ITEMS, check_range
from melbo_app.studies.completing import variants
from melbo_app.studies.similarity import prompts_of


@dataclass(frozen=True)
class VectorTokens:
    """Tokens, and the change of their log-probability in nats, the largest first."""

    vector: int
    promoted: list[tuple[str, float]]
    suppressed: list[tuple[str, float]]


class TopTokens(Study[list[VectorTokens]]):
    """The next tokens after a prompt that a bank's vectors promote and suppress."""

    kind: ClassVar[str] = "top-tokens"
    how: ClassVar[How] = "look"
    doors = frozenset({"command"})

    bank: str = Field(description="name of the bank")
    vectors: tuple[int, ...] | None = Field(None, description="numbers of the vectors; left out: all")
    radius: float | None = Field(
        None, description="R, negative for the opposite direction; left out: each vector at its own norm"
    )
    count: Annotated[int, Option("count")] = Field(10, description="tokens of each kind")
    prompts: tuple[Prompt, ...] | None = Field(None, description="user texts; left out: the bank's training prompts")

    def check(self, bench: Bench) -> None:
        if self.count < 1:
            raise InputError("count", f"{self.count} is too few", "Choose 1 or more")
        check_range("count", self.count, 1, MOST_ITEMS)
        bank = bench.banks.load(self.bank)
        variants(bank, self._wanted(bank), [] if self.radius is None else [self.radius])

    def _wanted(self, bank: Bank) -> Sequence[int]:
        return range(len(bank.vectors)) if self.vectors is None else self.vectors

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, list[VectorTokens]]:
        from melbo_app.engine.encoding import token_text
        from melbo_app.engine.top_tokens import top_tokens

        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank)
        wanted = self._wanted(bank)
        yield Progress("reading the prompts", 0, 1)
        prompts, last = self.prompts or prompts_of(bank, lm), len(lm.blocks) - 1
        piece = bench.slices.slice(lm, prompts, bank.record.source, last, stop)
        rows = bank.vectors[list(wanted)]
        if self.radius is not None:
            rows = (self.radius * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        work = top_tokens(piece, rows, self.count, stop=bench.compute.giving_way(stop))
        return [
            VectorTokens(
                vector,
                [(token_text(lm, token), by) for token, by in top.promoted],
                [(token_text(lm, token), by) for token, by in top.suppressed],
            )
            for vector, top in zip(wanted, bench.compute.result(work), strict=True)
        ]

    def answer(self, result: list[VectorTokens], not_kept: str | None) -> dict[str, Any]:
        return {"bank": self.bank, "vectors": [_plain(entry) for entry in result]}

    def lines(self, result: list[VectorTokens]) -> list[str]:
        lines = []
        for entry in result:
            lines.append(f"vector {entry.vector}")
            for name, tokens in (("promoted", entry.promoted), ("suppressed", entry.suppressed)):
                lines.append(f"  {name}: " + "  ".join(f"{text!r} {by:+.2f}" for text, by in tokens))
        return lines


def _plain(entry: VectorTokens) -> dict[str, Any]:
    promoted, suppressed = (
        [{"token": text, "nats": by} for text, by in tokens] for tokens in (entry.promoted, entry.suppressed)
    )
    return {"vector": entry.vector, "promoted": promoted, "suppressed": suppressed}

"""Search by meaning: the stored texts nearest to a sentence."""

import re
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypedDict

from pydantic import Field

from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.embedding import EMBEDDED_AT_ONCE
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.library.completion import Completion
from melbo_app.limits import MOST_LISTED, MOST_NAME, check_range, check_text
from melbo_app.studies.as_json import one_line
from melbo_app.studies.steer import who_wrote

if TYPE_CHECKING:
    import numpy as np

SECONDS, MOST_SECONDS = 20.0, 3600
"""How long a search embeds texts, by default and at most."""

_ENDS = re.compile(r"(?<=[.!?。！？])\s+|\n+")


class Near(NamedTuple):
    """A stored text, and the cosine of its embedding with that of the sentence."""

    completion: Completion
    cosine: float


@dataclass(frozen=True)
class Meant:
    """The nearest texts, nearest first; how many distinct texts were compared; and how many were left out, because they
    have no embedding yet."""

    near: tuple[Near, ...]
    compared: int
    left_out: int

    @property
    def sentence(self) -> str:
        """What was compared, for people."""
        compared = "1 text" if self.compared == 1 else f"{self.compared:,} texts"
        if not self.left_out:
            return f"{compared} compared."
        left = "1 more has" if self.left_out == 1 else f"{self.left_out:,} more have"
        return f"{compared} compared; {left} no embedding yet: search again to go on."


@dataclass(frozen=True, kw_only=True)
class Embedding(Progress):
    """Texts are being embedded; ``found`` is the result without the rest."""

    found: Meant


class NearText(TypedDict):
    cosine: float
    id: int | None
    text: str
    vector: int | str | None
    radius: float
    bank: str | None
    prompt: str
    model: str


class MeantTexts(TypedDict):
    completions: list[NearText]
    compared: int
    left_out: int


class SearchMeaning(Study[Meant]):
    """The stored texts nearest in meaning to a sentence, whatever their words, by the cosine of their embeddings.

    Texts without an embedding are embedded first, the newest first, for a limited time. A stop keeps what was found.

    Returns:
        completions (cosine, id, text, vector, radius, bank, prompt and model of each), compared and left_out (texts)
    """

    kind: ClassVar[str] = "search-meaning"
    how: ClassVar[How] = "compute"
    doors = frozenset({"http"})

    text: str = Field(description="the sentence")
    limit: int = Field(20, description="how many texts to list at most")
    seconds: float = Field(SECONDS, description="how long to embed texts that have no embedding yet; 0: none")

    def check(self, bench: Bench) -> None:
        if not self.text.strip():
            raise InputError("text", "it is empty", "Write a sentence to compare with")
        check_text("text", self.text, MOST_NAME)
        check_range("limit", self.limit, 1, MOST_LISTED)
        check_range("seconds", self.seconds, 0, MOST_SECONDS)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Meant]:
        self.check(bench)
        yield Progress("reading the embeddings", 0, 1)
        meanings, asked = bench.meanings, bench.meaning(self.text.strip())
        meanings.refresh(bench.embedder.identity, len(asked))
        end, all_missing = time.monotonic() + self.seconds, meanings.counts[1]
        while (left := meanings.counts[1]) and time.monotonic() < end and not stop():
            found = self._found(bench, asked)
            stage = f"embedding texts, {left:,} left"
            yield Embedding(stage, all_missing - left, all_missing, found=found)
            embed_missing(bench, EMBEDDED_AT_ONCE)
        return self._found(bench, asked)

    def _found(self, bench: Bench, asked: "np.ndarray") -> Meant:
        nearest = bench.meanings.nearest(asked, self.limit)
        texts = {one.id: one for one in bench.completions.those([id for id, _ in nearest])}
        near = tuple(Near(texts[id], cosine) for id, cosine in nearest if id in texts)
        return Meant(near, *bench.meanings.counts)

    def answer(self, result: Meant, not_kept: str | None) -> MeantTexts:
        return {
            "completions": [
                {
                    "cosine": round(cosine, 4), "id": one.id, "text": one.text, "vector": one.vector,
                    "radius": one.radius, "bank": one.bank, "prompt": one.prompt.user, "model": one.model,
                }
                for one, cosine in result.near
            ],
            "compared": result.compared, "left_out": result.left_out,
        }  # fmt: skip

    def lines(self, result: Meant) -> list[str]:
        said = [f"{cosine:.2f}  {one.id}: {who_wrote(one)}: {one_line(one.text, 100)}" for one, cosine in result.near]
        return [*said, result.sentence]


def passage(bench: Bench, text: str, sentence: str) -> str:
    """The sentence of ``text`` that is nearest in meaning to ``sentence``; the whole text if it has only one."""
    parts = [part for part in (one.strip() for one in _ENDS.split(text)) if part]
    if len(parts) < 2:
        return text.strip()
    with bench.compute.hold():
        rows = bench.embedder.encode([sentence, *parts])
    return parts[int((rows[1:] @ rows[0]).argmax())]


def embed_missing(bench: Bench, most: int, *, short: bool = True) -> int:
    """Embed the newest stored texts that have no embedding; returns how many."""
    ids = bench.meanings.missing(most)
    texts = {one.id: one.text for one in bench.completions.those(ids)}
    bench.meanings.forget_missing([id for id in ids if id not in texts])
    some = list(texts.values())
    if some:
        with bench.compute.hold(short=short):
            rows = bench.embedder.encode(some)
        with suppress(StorageError):  # then they are embedded again by the next server
            bench.embeddings.add(bench.embedder.identity, dict(zip(some, rows, strict=True)))
        bench.meanings.add(some, rows)
    return len(ids)

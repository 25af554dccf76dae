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
from melbo_app.library.answers import Column, FoundAnswer
from melbo_app.library.completion import Completion
from melbo_app.limits import MOST_LISTED, MOST_NAME, check_range, check_text
from melbo_app.studies.as_json import one_line
from melbo_app.studies.steer import who_wrote

if TYPE_CHECKING:
    import numpy as np

SECONDS, MOST_SECONDS = 20.0, 3600
"""How long a search embeds texts, by default and at most."""

NO_ONE = "\0"
"""No person has this name."""

_ENDS = re.compile(r"(?<=[.!?。！？])\s+|\n+")


class Near(NamedTuple):
    """A stored text, and the cosine of its embedding with that of the sentence."""

    completion: Completion
    cosine: float


class NearAnswer(NamedTuple):
    """The same of an answer in a conversation."""

    answer: FoundAnswer
    cosine: float


@dataclass(frozen=True)
class Meant:
    """The nearest texts and answers in conversations, each nearest first; how many distinct texts were compared; and
    how many were left out, because they have no embedding yet."""

    near: tuple[Near, ...]
    compared: int
    left_out: int
    answers: tuple[NearAnswer, ...] = ()

    @property
    def every(self) -> list[Near | NearAnswer]:
        """Texts and answers, nearest first."""
        return sorted([*self.near, *self.answers], key=lambda one: -one.cosine)

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


class NearChatText(TypedDict):
    """An answer in a conversation; ``column`` says whether it was written with the vector or beside it, without."""

    cosine: float
    conversation: int
    turn: int
    column: Column
    text: str
    message: str
    vector: int | None
    radius: float
    bank: str | None
    model: str


class MeantTexts(TypedDict):
    completions: list[NearText]
    chat: list[NearChatText]
    compared: int
    left_out: int


class SearchMeaning(Study[Meant]):
    """The stored texts nearest in meaning to a sentence, whatever their words, by the cosine of their embeddings: those
    of comparisons, and the answers of conversations.

    Texts without an embedding are embedded first, the newest first, for a limited time. A stop keeps what was found.

    Returns:
        completions (cosine, id, text, vector, radius, bank, prompt and model of each), chat (the same of answers in
        conversations, with conversation, turn and message), compared and left_out (texts)
    """

    kind: ClassVar[str] = "search-meaning"
    how: ClassVar[How] = "compute"
    doors = frozenset({"http"})
    hidden = frozenset({"whose"})

    text: str = Field(description="the sentence")
    limit: int = Field(20, description="how many texts to list at most")
    seconds: float = Field(SECONDS, description="how long to embed texts that have no embedding yet; 0: none")
    whose: str | None = None
    """Whose conversations; None: everybody's."""

    def check(self, bench: Bench) -> None:
        if not self.text.strip():
            raise InputError("text", "it is empty", "Write a sentence to compare with")
        check_text("text", self.text, MOST_NAME)
        check_range("limit", self.limit, 1, MOST_LISTED)
        check_range("seconds", self.seconds, 0, MOST_SECONDS)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Meant]:
        self.check(bench)
        yield Progress("reading the embeddings", 0, 1)
        asked = bench.meaning(self.text.strip())
        for meanings in (bench.meanings, bench.answer_meanings):
            meanings.refresh(bench.embedder.identity, len(asked))
        own = None if self.whose is None else bench.answers.numbers(self.whose)
        end, all_missing = time.monotonic() + self.seconds, _missing(bench)
        while (left := _missing(bench)) and time.monotonic() < end and not stop():
            found = self._found(bench, asked, own)
            stage = f"embedding texts, {left:,} left"
            yield Embedding(stage, all_missing - left, all_missing, found=found)
            embed_missing(bench, EMBEDDED_AT_ONCE)
        return self._found(bench, asked, own)

    def _found(self, bench: Bench, asked: "np.ndarray", own: set[int] | None) -> Meant:
        nearest = bench.meanings.nearest(asked, self.limit)
        texts = {one.id: one for one in bench.completions.those([id for id, _ in nearest])}
        near = [Near(texts[id], cosine) for id, cosine in nearest if id in texts]
        also = bench.answer_meanings.nearest(asked, self.limit, own)
        said = {one.number: one for one in bench.answers.those([number for number, _ in also])}
        answers = [NearAnswer(said[number], cosine) for number, cosine in also if number in said]
        cosines: list[float] = sorted((cosine for _, cosine in (*near, *answers)), reverse=True)[: self.limit]
        least = cosines[-1] if cosines else 0.0
        compared, left_out = (
            sum(some) for some in zip(bench.meanings.counts, bench.answer_meanings.counts, strict=True)
        )
        return Meant(
            tuple(one for one in near if one.cosine >= least), compared, left_out,
            tuple(one for one in answers if one.cosine >= least),
        )  # fmt: skip

    def answer(self, result: Meant, not_kept: str | None) -> MeantTexts:
        return {
            "completions": [
                {
                    "cosine": round(cosine, 4), "id": one.id, "text": one.text, "vector": one.vector,
                    "radius": one.radius, "bank": one.bank, "prompt": one.prompt.user, "model": one.model,
                }
                for one, cosine in result.near
            ],
            "chat": [
                {
                    "cosine": round(cosine, 4), "conversation": one.conversation, "turn": one.turn,
                    "column": one.column, "text": one.text, "message": one.message, "vector": one.vector,
                    "radius": one.radius, "bank": one.bank, "model": one.model,
                }
                for one, cosine in result.answers
            ],
            "compared": result.compared, "left_out": result.left_out,
        }  # fmt: skip

    def lines(self, result: Meant) -> list[str]:
        return [*(f"{near.cosine:.2f}  {_line(near)}" for near in result.every), result.sentence]


def _line(near: Near | NearAnswer) -> str:
    if isinstance(near, NearAnswer):
        return chat_line(near.answer)
    one = near.completion
    return f"{one.id}: {who_wrote(one)}: {one_line(one.text, 100)}"


def chat_line(one: FoundAnswer) -> str:
    """An answer of a conversation for the terminal."""
    who = "no vector" if one.vector is None else f"vector {one.vector}, R = {one.radius:g}"
    return f"conversation {one.conversation}, turn {one.turn}, {who}: {one_line(one.text, 100)}"


def _missing(bench: Bench) -> int:
    return bench.meanings.counts[1] + bench.answer_meanings.counts[1]


def passage(bench: Bench, text: str, sentence: str) -> str:
    """The sentence of ``text`` that is nearest in meaning to ``sentence``; the whole text if it has only one."""
    parts = [part for part in (one.strip() for one in _ENDS.split(text)) if part]
    if len(parts) < 2:
        return text.strip()
    with bench.compute.hold():
        rows = bench.embedder.encode([sentence, *parts])
    return parts[int((rows[1:] @ rows[0]).argmax())]


def embed_missing(bench: Bench, most: int, *, short: bool = True) -> int:
    """Embed the newest stored texts that have no embedding, then answers of conversations; returns how many."""
    ids = bench.meanings.missing(most)
    numbers = bench.answer_meanings.missing(most - len(ids))
    texts = {one.id: one.text for one in bench.completions.those(ids)}
    said = {one.number: one.text for one in bench.answers.those(numbers)}
    bench.meanings.forget_missing([id for id in ids if id not in texts])
    bench.answer_meanings.forget_missing([number for number in numbers if number not in said])
    some = list(dict.fromkeys([*texts.values(), *said.values()]))
    if some:
        with bench.compute.hold(short=short):
            rows = bench.embedder.encode(some)
        with suppress(StorageError):  # then they are embedded again by the next server
            bench.embeddings.add(bench.embedder.identity, dict(zip(some, rows, strict=True)))
        bench.meanings.add(some, rows)
        bench.answer_meanings.add(some, rows)
    return len(ids) + len(numbers)

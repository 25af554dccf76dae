"""Evidence for labels: what was written under a vector on one and the same prompt, in one and the same decoding."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import select

from melbo_app.errors import StorageError
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion
from melbo_app.library.damage import read_each
from melbo_app.library.database import Database
from melbo_app.library.patient_completions import PatientCompletions
from melbo_app.library.sources import prompt_record
from melbo_app.library.tables import CompletionRow, ModelRow, PromptRow

_DECODING = ("dtype", "max_new_tokens", "temperature", "top_p", "seed")
_FACTS = ("id", "vector", "radius", "prompt_id", "finished", "tokens", *_DECODING)


@dataclass(frozen=True)
class Evidence:
    """What a vector says on one ``prompt``: without steering (None: not stored), and at up to three R, the smallest
    first. ``own``: the bank was trained on that prompt. ``radius`` is the vector's own R, whether or not a text has it.
    ``opposite`` is the text under the reversed vector, ``control`` that under a random one, both at the own R.
    """

    prompt: PromptRecord
    own: bool
    radius: float
    baseline: Completion | None
    texts: tuple[Completion, ...]
    opposite: Completion | None = None
    control: Completion | None = None

    def is_at_own_radius(self, text: Completion) -> bool:
        """Whether a text was written at the vector's own R."""
        return _same(text.radius, self.radius)


class _Text(NamedTuple):
    """A text that may be chosen, the oldest with the smallest ``age``; those that are shown together have the same
    ``prompt`` and the same ``made`` (model and decoding)."""

    age: tuple[bool, int]
    id: int
    vector: int
    radius: float
    prompt: PromptRecord
    made: tuple[Any, ...]
    whole: bool

    @property
    def is_sampled(self) -> bool:
        return bool(self.made[_DECODING.index("temperature") + 1])


class Evidences:
    """The evidence in ``database`` and among the ``completions`` that it refuses at present. Every method raises
    StorageError if the database cannot be used."""

    def __init__(self, database: Database, completions: PatientCompletions) -> None:
        self._database, self._completions = database, completions

    def of(self, bank_hash: str, vector: int, radius: float, prompts: Sequence[PromptRecord]) -> Evidence | None:
        """What is stored for a vector, at ``radius`` and the nearest R on both sides; on the first of its bank's own
        ``prompts`` that has a text, or else on the prompt of the newest. None without a text."""
        every = self._texts(bank_hash, [vector]).get(vector, [])
        chosen = _chosen(every, radius, prompts)
        reversed = _opposite(every, chosen, radius)
        found = {one.id: one for one in self._completions.those([one.id for one in (*chosen, *reversed)])}
        texts = sorted((found[one.id] for one in chosen if one.id in found), key=lambda one: one.radius)
        if not texts:
            return None
        first = texts[0].prompt
        beside = self._completions.controls([one.id or 0 for one in found.values()])
        beside = [one for one in beside if _alike(one.prompt, first)]
        return Evidence(
            first,
            _asked(first) in map(_asked, prompts),
            radius,
            next((one for one in beside if one.vector is None), None),
            tuple(texts),
            next((found[one.id] for one in reversed if one.id in found), None),
            next((one for one in beside if one.vector == "random" and _same(one.radius, radius)), None),
        )

    def sampled(self, bank_hash: str, vector: int, radius: float, prompt: PromptRecord) -> list[Completion]:
        """The sampled texts of a vector at its own ``radius`` on a prompt, of the decoding with the most seeds, one a
        seed, and the unsteered texts beside them."""
        seeds: dict[tuple[Any, ...], dict[Any, _Text]] = {}
        for one in self._texts(bank_hash, [vector]).get(vector, []):
            if one.whole and one.is_sampled and _alike(one.prompt, prompt) and _same(one.radius, radius):
                seeds.setdefault(one.made[:-1], {})[one.made[-1]] = one
        most = max(seeds.values(), key=len, default={})
        ids = [one.id for one in most.values()]
        texts = self._completions.those(ids)
        beside = [one for one in self._completions.controls(ids) if one.vector is None and _alike(one.prompt, prompt)]
        return [one.model_copy(update={"prompt_index": 0}) for one in (*texts, *beside)]

    def nearest(
        self, bank_hash: str, radii: Mapping[int, float | None], prompts: Sequence[PromptRecord]
    ) -> dict[int, Completion]:
        """For each vector, of which ``radii`` are the own R, the text that ``of`` shows with the nearest R; the newest
        where it is unknown."""
        best = []
        for vector, texts in self._texts(bank_hash, radii).items():
            own = radii[vector]
            chosen = _chosen(texts, own, prompts)
            best.append(min(chosen, key=lambda one: abs(one.radius - (own or 0.0))).id)
        return {one.vector: one for one in self._completions.those(best) if isinstance(one.vector, int)}

    def _texts(self, bank_hash: str, vectors: Collection[int]) -> dict[int, list[_Text]]:
        """Every text of these vectors, by vector, without its words: there may be tens of thousands."""
        texts = self._waiting(bank_hash)
        try:
            texts = [*self._stored(bank_hash, vectors), *texts]
        except StorageError:
            if not texts:
                raise
        found: dict[int, list[_Text]] = {}
        for text in texts:
            if text.vector in vectors:
                found.setdefault(text.vector, []).append(text)
        return found

    def _stored(self, bank_hash: str, vectors: Collection[int]) -> list[_Text]:
        wanted = select(ModelRow.hash, *(getattr(CompletionRow, name) for name in _FACTS))
        wanted = wanted.join(ModelRow, ModelRow.id == CompletionRow.model_id).where(
            CompletionRow.bank_hash == bank_hash,
            CompletionRow.vector == next(iter(vectors)) if len(vectors) == 1 else CompletionRow.vector.is_not(None),
        )
        with self._database.read() as session:
            rows = session.execute(wanted).all()
            used = select(PromptRow).where(PromptRow.id.in_({row.prompt_id for row in rows}))
            read = read_each(session.scalars(used), lambda row: (row.id, prompt_record(row)), str)
        prompts = dict(read)

        def text(row: Any) -> _Text:
            made = (row.hash, *(getattr(row, name) for name in _DECODING))
            whole = bool(row.finished) or row.tokens >= row.max_new_tokens
            prompt = prompts[row.prompt_id]
            return _Text((False, row.id), row.id, int(row.vector), float(row.radius), prompt, made, whole)

        return read_each(rows, text, str)

    def _waiting(self, bank_hash: str) -> list[_Text]:
        waiting = [text for many in self._completions.waiting() for text in many.completions]
        found = []
        for place, one in enumerate(waiting):
            if one.bank_hash == bank_hash and isinstance(one.vector, int):
                made = (one.model_hash, *(getattr(one, name) for name in _DECODING))
                whole = one.finished or one.tokens >= one.max_new_tokens
                found.append(_Text((True, place), one.id or 0, one.vector, one.radius, one.prompt, made, whole))
        return found


def _chosen(texts: Sequence[_Text], radius: float | None, prompts: Sequence[PromptRecord]) -> list[_Text]:
    """Of all texts of a vector, those to show: one prompt, one decoding (greedy before sampled), the newest text at
    each of up to three R; the newest of all without a ``radius``."""
    if not texts:
        return []
    ranks = {_asked(prompt): rank for rank, prompt in reversed([*enumerate(prompts)])}
    newest = max(texts, key=lambda one: (-ranks.get(_asked(one.prompt), len(ranks)), one.age))
    same = [one for one in texts if _alike(one.prompt, newest.prompt)]
    first = max(same, key=lambda one: (not one.is_sampled, one.age))
    if radius is None:
        return [first]
    together = _together(texts, first)
    by_radius = {one.radius: one for one in sorted(together, key=lambda one: (one.whole, one.age))}
    return [by_radius[one] for one in _near(by_radius, radius)]


def _opposite(texts: Sequence[_Text], chosen: Sequence[_Text], radius: float) -> list[_Text]:
    """The newest text under the reversed vector that belongs to those that were chosen, unless it is one of them."""
    if not chosen or any(one.radius * radius < 0 for one in chosen):
        return []
    turned = [one for one in _together(texts, chosen[0]) if _same(one.radius, -radius)]
    return sorted(turned, key=lambda one: (one.whole, one.age))[-1:]


def _together(texts: Sequence[_Text], first: _Text) -> list[_Text]:
    """The texts of the same prompt and decoding as the ``first``."""
    return [one for one in texts if one.made == first.made and _alike(one.prompt, first.prompt)]


def _near(radii: Collection[float], own: float) -> list[float]:
    """Of ``radii``, the own one and its neighbours; those of the other sign only where there is nothing else."""
    sided = [one for one in radii if one * own > 0] or [*radii]
    same = [one for one in sided if _same(one, own)]
    below = [one for one in sided if one < own and one not in same]
    above = [one for one in sided if one > own and one not in same]
    return [*([max(below)] if below else []), *same[:1], *([min(above)] if above else [])]


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-3)


def _alike(one: PromptRecord, other: PromptRecord) -> bool:
    """Whether two prompts are the same, as far as older records, which did not keep what a template made, tell."""
    return _asked(one) == _asked(other) and (one.rendered == other.rendered or None in (one.rendered, other.rendered))


def _asked(prompt: PromptRecord) -> tuple[str, str | None, bool | str]:
    """A prompt as it was asked, whatever the template made of it."""
    return prompt.user, prompt.system or None, prompt.template

"""Completions: generated texts, stored by comparison and looked up by their key."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Select, and_, case, func, insert, or_, select
from sqlalchemy.orm import Session, aliased, selectinload

from melbo_app.errors import InputError
from melbo_app.library.comparison_settings import SETTINGS, ComparisonSettings
from melbo_app.library.completion import (
    Comparison,
    ComparisonSummary,
    Completion,
    CompletionKey,
    KeptComparison,
    KeptCompletion,
    Scores,
    TextsAtRadius,
    scores_read,
)
from melbo_app.library.damage import Damage, Listed, read_each, read_one
from melbo_app.library.database import InDatabase
from melbo_app.library.facts import MAX_INTEGER
from melbo_app.library.series import others, sampled, series
from melbo_app.library.sources import model_id, prompt_id, prompt_record
from melbo_app.library.sqlite import sound_json
from melbo_app.library.tables import ComparisonRow, CompletionRow, PromptRow


class Completions(InDatabase):
    """The completions in ``database``. Every method raises StorageError if the database cannot be used."""

    def add_comparison(self, settings: Mapping[str, Any], completions: Sequence[Completion]) -> Comparison:
        """Store one press of Steer, completely or not at all. ``settings`` are ``ComparisonSettings``; their ``kind``
        is ``steer`` by default.

        The result's completions carry their new ids. Raises InputError if there are no completions.
        """
        if not completions:
            remedy = "Choose at least one prompt, and a vector or the baseline"
            raise InputError("comparison", "it has no completions", remedy)
        kept, now = SETTINGS.validate_json(json.dumps(settings)), datetime.now(UTC)
        with self._database.write() as session:
            id, ids = _add(session, now, kept, completions, [one.digest for one in completions])
        numbered = zip(completions, ids, strict=True)
        added = tuple(one.model_copy(update={"id": number, "prompt_hash": None}) for one, number in numbered)
        return Comparison(id=id, created=now, settings=kept, completions=added)

    def kept(
        self, bank_hashes: Collection[str] | None = None, damaged: list[Damage] | None = None
    ) -> Iterator[KeptComparison]:
        """Every comparison, or those with a text of these banks, oldest first. What cannot be read goes into
        ``damaged``."""
        wanted = select(ComparisonRow).order_by(ComparisonRow.id).options(selectinload(ComparisonRow.completions))
        if bank_hashes is not None:
            texts = select(CompletionRow.comparison_id).where(CompletionRow.bank_hash.in_(bank_hashes))
            wanted = wanted.where(ComparisonRow.id.in_(texts))
        with self._database.read() as session:
            for row in session.scalars(wanted.execution_options(yield_per=100)):
                found = read_each([row], _kept_comparison, _subject)
                if damaged is not None:
                    damaged += (
                        found.damaged or read_each(row.completions, _kept_completion, _completion_subject).damaged
                    )
                yield from found

    def damaged(self) -> list[Damage]:
        """Everything that cannot be read. Reads the whole table."""
        found: list[Damage] = []
        for _ in self.kept(damaged=found):
            pass
        scored = select(CompletionRow.id, CompletionRow.scores).where(CompletionRow.scores.is_not(None))
        with self._database.read() as session:
            rows = session.execute(scored)
            return [*found, *read_each(rows, _check_scores, lambda row: f"scores of completion {row.id}").damaged]

    def comparison(self, id: int) -> Comparison:
        """The comparison ``id``. Raises InputError if it does not exist."""
        with self._database.read() as session:
            whole = [selectinload(ComparisonRow.completions)]
            row = session.get(ComparisonRow, id, options=whole) if 0 <= id < MAX_INTEGER else None
            if row is None:
                raise InputError("comparison", f"there is no comparison {id}", "See the history")
            return read_one(row, _comparison, _subject(row))

    def recent(self, limit: int = 20, kind: str | None = None) -> Listed[ComparisonSummary]:
        """The last ``limit`` comparisons, of one ``kind`` or of all, newest first."""
        newest = select(ComparisonRow).order_by(ComparisonRow.id.desc()).limit(max(0, limit))
        if kind is not None:
            newest = newest.where(ComparisonRow.kind == kind)
        with self._database.read() as session:
            rows = session.scalars(newest).all()
            of_these = CompletionRow.comparison_id.in_([row.id for row in rows])
            counted = select(CompletionRow.comparison_id, func.count(), func.max(CompletionRow.bank)).where(of_these)
            grouped = session.execute(counted.group_by(CompletionRow.comparison_id))
            found = {id: (count, bank) for id, count, bank in grouped}
            first = select(CompletionRow.comparison_id, PromptRow.user).join(PromptRow)
            prompts = dict(session.execute(first.where(of_these, CompletionRow.position == 0)).all())

            def summary(row: ComparisonRow) -> ComparisonSummary:
                count, bank = found.get(row.id, (0, None))
                if not count:
                    raise ValueError("it has no completions")
                facts = {"id": row.id, "created": row.created, "settings": row.settings}
                return ComparisonSummary(bank=bank, prompt=prompts.get(row.id, ""), completions=count, **facts)

            return read_each(rows, summary, _subject)

    def search(
        self,
        text: str = "",
        *,
        bank_hash: str | None = None,
        vector: int | None = None,
        verdict: str | None = None,
        limit: int = 50,
    ) -> Listed[Completion]:
        """The newest completions whose text or prompt contains ``text``, ignoring case, and which match the rest."""
        newest = select(CompletionRow).order_by(CompletionRow.id.desc()).limit(max(0, limit))
        if text:
            asked = select(PromptRow.id).where(PromptRow.user.icontains(text, autoescape=True))
            said = CompletionRow.text.icontains(text, autoescape=True)
            newest = newest.where(or_(said, CompletionRow.prompt_id.in_(asked)))
        if bank_hash is not None:
            newest = newest.where(CompletionRow.bank_hash == bank_hash)
        if vector is not None:
            newest = newest.where(CompletionRow.vector == vector)
        if verdict is not None:
            newest = newest.where(sound_json(CompletionRow.scores)["verdict"].as_string() == verdict)
        return self._each(newest, _completion, _completion_subject)

    def get(self, id: int) -> Completion:
        """The completion ``id``. Raises InputError if it does not exist."""
        with self._database.read() as session:
            row = _row(session, id)
            return read_one(row, _completion, _completion_subject(row))

    def comparison_of(self, id: int) -> int:
        """The number of the comparison with the completion ``id``. Raises InputError if it does not exist."""
        with self._database.read() as session:
            return _row(session, id).comparison_id

    def newest(self, bank_hash: str) -> dict[int, Completion]:
        """The newest text under each vector of a bank, as far as it can be read, without those of further seeds."""
        steered = (CompletionRow.bank_hash == bank_hash, CompletionRow.vector.is_not(None))
        parts = select(ComparisonRow.id).where(ComparisonRow.kind == "part")
        own = or_(CompletionRow.temperature == 0, CompletionRow.comparison_id.not_in(parts))
        newest = select(func.max(CompletionRow.id)).where(*steered, own).group_by(CompletionRow.vector)
        found = self._each(select(CompletionRow).where(CompletionRow.id.in_(newest)), _completion, _completion_subject)
        return {one.vector: one for one in found if isinstance(one.vector, int)}

    def newest_comparison(self, bank_hash: str) -> Comparison | None:
        """The newest comparison with texts under a bank's vectors, those of Steer before all others; None without."""
        mine = select(CompletionRow.comparison_id).where(
            CompletionRow.bank_hash == bank_hash, CompletionRow.vector.is_not(None)
        )
        newest = select(ComparisonRow.id).where(ComparisonRow.id.in_(mine))
        newest = newest.order_by((ComparisonRow.kind == "steer").desc(), ComparisonRow.id.desc()).limit(1)
        with self._database.read() as session:
            found = session.scalars(newest).first()
        return None if found is None else self.comparison(found)

    def controls(self, ids: Collection[int]) -> list[Completion]:
        """The unsteered texts, and those under random vectors, of the comparisons with these completions, as far as
        they can be read, newest first."""
        of_these = select(CompletionRow.comparison_id).where(CompletionRow.id.in_(ids))
        beside = (CompletionRow.comparison_id.in_(of_these), CompletionRow.kind.in_(("baseline", "random")))
        newest = select(CompletionRow).where(*beside).order_by(CompletionRow.id.desc())
        return self._each(newest, _completion, _completion_subject)

    def those(self, ids: Collection[int]) -> list[Completion]:
        """The completions with these numbers, as far as they exist and can be read, in the order of their numbers."""
        found: list[Completion] = []
        for start in range(0, len(ids), 500):  # databases limit the numbers in one statement
            some = CompletionRow.id.in_(sorted(ids)[start : start + 500])
            found += self._each(
                select(CompletionRow).where(some).order_by(CompletionRow.id), _completion, _completion_subject
            )
        return found

    def at_other_radii(self, completions: Sequence[Completion]) -> Listed[Completion]:
        """The stored texts that differ from these in R alone, by R: of their vectors and of the random control."""
        return self._beside(completions, series(completions))

    def at_other_seeds(self, completions: Sequence[Completion]) -> Listed[Completion]:
        """The stored texts that differ from these in their seed alone, by seed, with the unsteered ones."""
        return self._beside(completions, sampled(completions))

    def _beside(self, completions: Sequence[Completion], wanted: Select[Any] | None) -> Listed[Completion]:
        found = Listed() if wanted is None else self._each(wanted, _completion, _completion_subject)
        return Listed(others(completions, found), found.damaged)

    def same(self, settings: Mapping[str, Any], completions: Sequence[Completion]) -> Comparison | None:
        """The newest comparison with these settings and with exactly these texts, which were all looked up; or None."""
        kept, last = SETTINGS.validate_json(json.dumps(settings)), len(completions) - 1
        ended = CompletionRow.key == completions[last].digest, CompletionRow.position == last
        held = ComparisonRow.id.in_(select(CompletionRow.comparison_id).where(*ended))
        with self._database.read() as session:
            rows = session.scalars(select(ComparisonRow).where(held).order_by(ComparisonRow.id.desc()))
            row = next((row for row in rows if row.settings == kept and _holds(row, completions)), None)
            return None if row is None else read_one(row, _comparison, _subject(row))

    def of_bank(self, bank_hash: str, users: Collection[str]) -> Listed[Completion]:
        """The completions under a bank's vectors of prompts with these user texts, newest first."""
        mine = [CompletionRow.bank_hash == bank_hash, CompletionRow.vector.is_not(None), PromptRow.user.in_(users)]
        newest = select(CompletionRow).join(PromptRow).where(*mine).order_by(CompletionRow.id.desc())
        return self._each(newest, _completion, _completion_subject)

    def runaways(self, bank_hash: str, target: int | None = None) -> dict[int, float]:
        """The vectors of a bank that ran away, each with the smallest |R| at which it did. With a ``target``, only
        texts scored at that target layer count, and those of older versions, which did not store the layer."""
        smallest = func.min(func.abs(CompletionRow.radius))
        share, seen_at = (sound_json(CompletionRow.scores)[name] for name in ("runaway", "runaway_target"))
        ran_away = (CompletionRow.bank_hash == bank_hash, CompletionRow.vector.is_not(None), share.as_float() > 0)
        seen = select(CompletionRow.vector, smallest).where(*ran_away).group_by(CompletionRow.vector)
        if target is not None:
            seen = seen.where(or_(seen_at.as_integer().is_(None), seen_at.as_integer() == target))
        with self._database.read() as session:
            found = read_each(session.execute(seen), lambda row: (int(row[0]), float(row[1])), str)
            return dict(found)

    def radii(self, bank_hash: str) -> list[TextsAtRadius]:
        """What the texts under the vectors of a bank are like at each R, smallest first."""
        said = sound_json(CompletionRow.scores)["verdict"].as_string()
        plain = aliased(CompletionRow)
        unsteered = and_(
            plain.comparison_id == CompletionRow.comparison_id,
            plain.prompt_index == CompletionRow.prompt_index,
            plain.kind == "baseline",
        )
        counted = (
            select(
                CompletionRow.radius,
                func.count(),
                func.sum(case((said == "readable", 1), else_=0)),
                func.sum(case((CompletionRow.text != plain.text, 1), else_=0)),
                func.count(func.distinct(CompletionRow.text)),
            )
            .outerjoin(plain, unsteered)
            .where(CompletionRow.bank_hash == bank_hash, CompletionRow.vector.is_not(None), said.is_not(None))
            .group_by(CompletionRow.radius)
            .order_by(CompletionRow.radius)
        )
        with self._database.read() as session:
            return read_each(
                session.execute(counted), lambda row: TextsAtRadius(float(row[0]), *map(int, row[1:])), str
            )

    def find(self, key: CompletionKey) -> Completion | None:
        """The newest completion with this ``key`` (a Completion is a key, too), or None. Ignores texts that Stop cut
        off."""
        whole = or_(CompletionRow.finished, CompletionRow.tokens >= CompletionRow.max_new_tokens)
        same = select(CompletionRow).where(CompletionRow.key == key.digest, whole)
        newest = same.order_by(CompletionRow.id.desc()).limit(1)
        return next(iter(self._each(newest, _completion, _completion_subject)), None)


_ADD_COMPARISON = insert(ComparisonRow).returning(ComparisonRow.id)
_ADD_COMPLETIONS = insert(CompletionRow).returning(CompletionRow.id, sort_by_parameter_order=True)
_ELSEWHERE = {"id", "vector", "prompt", "prompt_hash", "scores", "model", "model_hash", "ids"}
_PLAIN = sorted(set(Completion.model_fields) - _ELSEWHERE)


def merge_comparisons(session: Session, comparisons: Iterable[KeptComparison]) -> tuple[int, int]:
    """Add another library's comparisons; returns how many comparisons and completions were new."""
    many = texts = 0
    for one in comparisons:
        keys = [entry.key for entry in one.completions]
        of = CompletionRow.comparison_id
        made = select(ComparisonRow.id).where(ComparisonRow.created == one.created)
        stored = select(of, CompletionRow.key).where(of.in_(made)).order_by(CompletionRow.position)
        known: dict[int, list[str]] = {}
        for id, key in session.execute(stored):
            known.setdefault(id, []).append(key)
        if keys in known.values():
            continue
        _add(session, one.created, one.settings, one.completions, keys)
        many, texts = many + 1, texts + len(keys)
    return many, texts


def _add(
    session: Session,
    created: datetime,
    settings: ComparisonSettings,
    completions: Sequence[Completion],
    keys: list[str],
) -> tuple[int, Sequence[int]]:
    """Insert a comparison; returns its number and those of its completions."""
    models = {model: model_id(session, *model) for model in {(one.model, one.model_hash) for one in completions}}
    prompts = {prompt: prompt_id(session, prompt) for prompt in {one.prompt for one in completions}}
    facts = {"kind": settings.get("kind", "steer"), "created": created, "settings": settings}
    id = session.scalars(_ADD_COMPARISON, [facts]).one()
    rows = [
        {
            **{field: getattr(one, field) for field in _PLAIN},
            "kind": "vector" if isinstance(one.vector, int) else one.vector or "baseline",
            "vector": one.vector if isinstance(one.vector, int) else None,
            "scores": one.scores and one.scores.model_dump(),
            "ids": one.ids and np.array(one.ids, np.int32).tobytes(),
            "key": key,
            "comparison_id": id,
            "position": position,
            "prompt_id": prompts[one.prompt],
            "model_id": models[one.model, one.model_hash],
        }
        for position, (one, key) in enumerate(zip(completions, keys, strict=True))
    ]
    return id, session.scalars(_ADD_COMPLETIONS, rows).all()


def _row(session: Session, id: int) -> CompletionRow:
    row = session.get(CompletionRow, id) if 0 <= id < MAX_INTEGER else None
    if row is None:
        raise InputError("completion", f"there is no completion {id}")
    return row


def _completion(row: CompletionRow) -> Completion:
    if row.kind not in ("baseline", "random", "vector"):
        raise ValueError("its kind should be baseline, random or vector")
    return Completion(
        id=row.id,
        vector="random" if row.kind == "random" else row.vector,
        prompt=prompt_record(row.prompt),
        model=row.model.name,
        model_hash=row.model.hash,
        scores=scores_read(row.scores),
        ids=_ids(row.ids),
        **{field: getattr(row, field) for field in _PLAIN},
    )


def _holds(row: ComparisonRow, completions: Sequence[Completion]) -> bool:
    stored = [(one.key, one.created, one.text, scores_read(one.scores)) for one in row.completions]
    return stored == [(one.digest, one.created, one.text, one.scores) for one in completions]


def _ids(kept: bytes | None) -> tuple[int, ...] | None:
    sound = isinstance(kept, bytes) and len(kept) % 4 == 0  # a text whose tokens are damaged is written anew
    return tuple(np.frombuffer(kept, np.int32).tolist()) if kept and sound else None


def _check_scores(row: Any) -> None:
    """Raises ValidationError if scores of this version are damaged."""
    if not isinstance(row.scores, dict) or row.scores.get("version", 1) == 1:
        Scores.model_validate(row.scores)


def _kept_completion(row: CompletionRow) -> KeptCompletion:
    return KeptCompletion(key=row.key, **_completion(row).model_dump(exclude={"id"}))


def _kept_comparison(row: ComparisonRow) -> KeptComparison:
    texts = read_each(row.completions, _kept_completion, _completion_subject)
    return KeptComparison(created=row.created, settings=row.settings, completions=tuple(texts))


def _comparison(row: ComparisonRow) -> Comparison:
    texts = read_each(row.completions, _completion, _completion_subject)
    return Comparison(
        id=row.id, created=row.created, settings=row.settings, completions=tuple(texts), damaged=texts.damaged
    )


def _subject(row: ComparisonRow) -> str:
    return f"comparison {row.id}"


def _completion_subject(row: CompletionRow) -> str:
    return f"completion {row.id} of comparison {row.comparison_id}"

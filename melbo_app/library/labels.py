"""The labels of all vectors in the database, and their history."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from melbo_app.library.damage import Damage, Listed, read_each, read_one
from melbo_app.library.database import InDatabase
from melbo_app.library.label import EMPTY, Label, LabelChanged, LabelVersion, said
from melbo_app.library.label_queries import COLUMNS, WHOSE, of_vector, select_labels, visible_to, whose_is
from melbo_app.library.label_words import check_vector, clean_words
from melbo_app.library.tables import LabelRow, LabelVersionRow, TagRow

OFFERED_TAGS = 1000
"""Of all labels: as many as a list to choose from can hold."""


class Labels(InDatabase):
    """The labels in ``database``. Every method raises StorageError if the database cannot be used.

    A vector has a label of each annotator who gave one, and perhaps a settled one. Of these the settled one counts,
    else the one that was saved last. ``seen_by``: the labels that this annotator may see, which are their own and the
    settled ones; None: those that count.
    """

    def get(self, bank: str, bank_hash: str, vector: int, seen_by: str | None = None) -> Label:
        """The label of one vector; empty if it has none."""
        return self._one(bank, bank_hash, vector, visible_to(seen_by))

    def own(self, bank: str, bank_hash: str, vector: int, annotator: str) -> Label:
        """What one annotator says of a vector; empty if nothing."""
        return self._one(bank, bank_hash, vector, whose_is(annotator, False))

    def settled(self, bank: str, bank_hash: str, vector: int) -> Label:
        """What was decided about a vector; empty if nothing was."""
        return self._one(bank, bank_hash, vector, whose_is("", True))

    def _one(self, bank: str, bank_hash: str, vector: int, which: ColumnElement[bool]) -> Label:
        with self._database.read() as session:
            row = session.execute(select_labels().where(*of_vector(bank_hash, vector), which)).first()
            return read_one(row, _label, _subject(row)) if row else Label(bank=bank, bank_hash=bank_hash, vector=vector)

    def of_bank(self, bank_hash: str, seen_by: str | None = None) -> dict[int, Label]:
        """The labels of one bank by vector, without the unlabelled vectors."""
        rows = select_labels().where(LabelRow.bank_hash == bank_hash, visible_to(seen_by)).order_by(LabelRow.vector)
        with self._database.read() as session:
            return {label.vector: label for label in read_each(session.execute(rows), _label, _subject)}

    def said(self, bank_hash: str | None = None, vector: int | None = None) -> Listed[LabelVersion]:
        """What every annotator says now, and what is settled: of all vectors, of a bank's, or of one; by bank and
        vector, the settled one first."""
        with self._database.read() as session:
            return current(session, bank_hash, vector)

    def annotators(self) -> list[str]:
        """The names that annotators gave so far."""
        wanted = select(LabelVersionRow.annotator).distinct().order_by(LabelVersionRow.annotator)
        with self._database.read() as session:
            return [name for name in session.scalars(wanted) if isinstance(name, str) and name]

    def history(self, bank_hash: str, vector: int) -> Listed[LabelVersion]:
        """All versions of one vector's labels, newest first."""
        with self._database.read() as session:
            found = versions_of(session, bank_hash, vector)
            return Listed(found[::-1], found.damaged[::-1])

    def versions(self, bank_hashes: Collection[str] | None = None) -> Listed[LabelVersion]:
        """All versions of all labels, or of these banks' labels, oldest first."""
        versions = select(LabelVersionRow).order_by(LabelVersionRow.id)
        if bank_hashes is not None:
            versions = versions.where(LabelVersionRow.bank_hash.in_(bank_hashes))
        return self._each(versions, _version, _version_subject)

    def save(
        self,
        bank: str,
        bank_hash: str,
        vector: int,
        *,
        name: str,
        tags: Iterable[str],
        rating: int | None,
        note: str,
        author: str = "",
        annotator: str = "",
        settled: bool = False,
        seen: Label | None = None,
    ) -> Label:
        """Save an annotator's label, or what they settled, and return it as saved; an empty one is removed. Earlier
        versions stay in the history.

        Tags are trimmed, lower-cased, deduplicated and sorted. Raises InputError for a name, tag, rating or note that
        is too long or out of range, and for too many tags. Raises LabelChanged if the stored label says neither the
        same as ``seen``, which its writer had before them, nor what is to be saved.
        """
        check_vector(vector)
        words = clean_words(name, tags, rating, note, author)
        wanted = LabelVersion(
            bank=bank, bank_hash=bank_hash, vector=vector, updated=datetime.now(UTC), annotator=annotator,
            settled=settled, **words,
        )  # fmt: skip
        own = select_labels().where(*of_vector(bank_hash, vector), whose_is(annotator, settled))
        with self._database.write() as session:
            row = session.execute(own).first()
            before = read_each([row] if row else [], _label, _subject)  # a damaged one is replaced
            now = said(before[0]) if before else EMPTY
            if seen is not None and now not in (said(seen), said(wanted)):
                raise LabelChanged(_stored(session, wanted, before))
            if said(wanted) != now:
                remember(session, wanted)
            return replace(session, wanted)

    def search(
        self,
        text: str = "",
        *,
        bank_hash: str | None = None,
        tag: str | None = None,
        rating: int | None = None,
        limit: int | None = None,
        seen_by: str | None = None,
    ) -> Listed[Label]:
        """The labels with ``text`` in their name, note, tags or bank, ignoring case, that also match the rest, by bank
        and vector. ``rating`` is the lowest rating to include."""
        order = (LabelRow.bank, LabelRow.bank_hash, LabelRow.vector)
        wanted = select_labels().where(visible_to(seen_by)).order_by(*order).limit(limit)
        if text:
            parts = [part.icontains(text, autoescape=True) for part in (LabelRow.name, LabelRow.note, LabelRow.bank)]
            tagged = select(TagRow.label_id).where(TagRow.tag.icontains(text, autoescape=True))
            wanted = wanted.where(or_(*parts, LabelRow.id.in_(tagged)))
        if bank_hash is not None:
            wanted = wanted.where(LabelRow.bank_hash == bank_hash)
        if tag is not None:
            wanted = wanted.where(LabelRow.id.in_(select(TagRow.label_id).where(TagRow.tag == tag)))
        if rating is not None:
            wanted = wanted.where(LabelRow.rating >= rating)
        with self._database.read() as session:
            return read_each(session.execute(wanted), _label, _subject)

    def newest(self, limit: int, seen_by: str | None = None) -> Listed[Label]:
        """The labels with a name that were saved last."""
        named = select_labels().where(LabelRow.name != "", visible_to(seen_by))
        wanted = named.order_by(LabelRow.updated.desc(), LabelRow.id.desc()).limit(limit)
        with self._database.read() as session:
            return read_each(session.execute(wanted), _label, _subject)

    def damaged(self) -> list[Damage]:
        """Everything that cannot be read."""
        return [*self.said().damaged, *self.versions().damaged]

    def tags(self) -> list[str]:
        """The first ``OFFERED_TAGS`` tags in alphabetical order."""
        wanted = select(TagRow.tag).distinct().order_by(TagRow.tag).limit(OFFERED_TAGS)
        with self._database.read() as session:
            return [tag for tag in session.scalars(wanted) if isinstance(tag, str)]


def current(session: Session, bank_hash: str | None = None, vector: int | None = None) -> Listed[LabelVersion]:
    """What every annotator says now, as ``Labels.said``."""
    wanted = select_labels(*WHOSE).order_by(
        LabelRow.bank, LabelRow.bank_hash, LabelRow.vector, LabelRow.settled.desc(), LabelRow.annotator
    )
    if bank_hash is not None:
        wanted = wanted.where(LabelRow.bank_hash == bank_hash)
    if vector is not None:
        wanted = wanted.where(LabelRow.vector == vector)
    return read_each(session.execute(wanted), _said_by, _subject)


def versions_of(session: Session, bank_hash: str, vector: int) -> Listed[LabelVersion]:
    """All versions of one vector's labels, oldest first."""
    same = select(LabelVersionRow).where(LabelVersionRow.bank_hash == bank_hash, LabelVersionRow.vector == vector)
    return read_each(session.scalars(same.order_by(LabelVersionRow.id)), _version, _version_subject)


def remember(session: Session, version: LabelVersion) -> None:
    """Add a version to the history."""
    session.add(LabelVersionRow(**version.model_dump() | {"tags": list(version.tags)}))
    session.flush()  # at once, so that their numbers keep the order


def replace(session: Session, wanted: LabelVersion) -> Label:
    """Make ``wanted`` the label of its annotator, or the settled one, and return it as saved. Does not load the old
    label or its tags, so that the time does not depend on them."""
    same = (*of_vector(wanted.bank_hash, wanted.vector), whose_is(wanted.annotator, wanted.settled))
    id = session.scalar(select(LabelRow.id).where(*same))
    if id is not None:
        session.execute(delete(TagRow).where(TagRow.label_id == id))
    facts = {column: getattr(wanted, column) for column in COLUMNS}
    if not any(said(wanted)):
        session.execute(delete(LabelRow).where(LabelRow.id == id))
    elif id is None:
        whose = dict(zip(WHOSE, wanted.whose[2:], strict=True))
        id = session.scalars(insert(LabelRow).values(facts | whose).returning(LabelRow.id)).one()
    else:
        session.execute(update(LabelRow).where(LabelRow.id == id).values(facts))
    _count_one(session, wanted.bank_hash, wanted.vector)
    if not any(said(wanted)):
        return Label(bank=wanted.bank, bank_hash=wanted.bank_hash, vector=wanted.vector)
    if wanted.tags:
        session.execute(insert(TagRow), [{"label_id": id, "tag": word} for word in wanted.tags])
    return Label(tags=wanted.tags, **facts)


def _count_one(session: Session, bank_hash: str, vector: int) -> None:
    """Of a vector's labels the settled one counts, else the one that was saved last."""
    last = (LabelRow.settled.desc(), LabelRow.updated.desc(), LabelRow.id.desc())
    best = session.scalar(select(LabelRow.id).where(*of_vector(bank_hash, vector)).order_by(*last).limit(1))
    if best is not None:
        session.execute(update(LabelRow).where(*of_vector(bank_hash, vector)).values(counts=LabelRow.id == best))


def _stored(session: Session, wanted: LabelVersion, current: Sequence[Label]) -> LabelVersion:
    """The label as it is stored in place of ``wanted``, or its removal, with who saved it and when, as far as the
    history knows."""
    every = versions_of(session, wanted.bank_hash, wanted.vector)
    if versions := [one for one in every if one.whose == wanted.whose]:
        return versions[-1]
    label = current[0] if current else Label(bank=wanted.bank, bank_hash=wanted.bank_hash, vector=wanted.vector)
    return LabelVersion(**label.model_dump() | {"updated": label.updated or datetime.now(UTC)})


def _label(row: Any) -> Label:
    return Label(tags=_tags(row), **{column: getattr(row, column) for column in COLUMNS})


def _said_by(row: Any) -> LabelVersion:
    return LabelVersion(tags=_tags(row), **{column: getattr(row, column) for column in (*COLUMNS, *WHOSE)})


def _tags(row: Any) -> tuple[str, ...]:
    return tuple(sorted(row.joined.split("\n"))) if row.joined else ()


def _subject(row: Any) -> str:
    return f"label of vector {row.vector} of “{row.bank}”"


def _version_subject(row: LabelVersionRow) -> str:
    return f"version {row.id} of the label of vector {row.vector} of “{row.bank}”"


def _version(row: LabelVersionRow) -> LabelVersion:
    return LabelVersion(tags=row.tags, **{field: getattr(row, field) for field in (*COLUMNS, *WHOSE, "author")})

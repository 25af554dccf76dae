"""Labels: what people say about single vectors; their history, merging and export."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import ColumnElement, Select, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from melbo_app.errors import InputError
from melbo_app.library.damage import Damage, Listed, read_each, read_one
from melbo_app.library.database import InDatabase
from melbo_app.library.facts import Digest, Index, Moment, Name, Text
from melbo_app.library.frozen import Frozen
from melbo_app.library.tables import LabelRow, LabelVersionRow, TagRow

MAX_NAME, MAX_TAG, MAX_NOTE, MAX_AUTHOR = 120, 40, 10_000, 80
MOST_TAGS = 50
"""Of one label: as many as fit on a line of the page."""
OFFERED_TAGS = 1000
"""Of all labels: as many as a list to choose from can hold."""
COLUMNS = ("bank", "bank_hash", "vector", "name", "rating", "note", "updated")
Said = tuple[str, tuple[str, ...], int | None, str]
_EMPTY: Said = ("", (), None, "")


class Label(Frozen):
    """The label of the vector ``vector`` of the bank with the hash ``bank_hash``; ``updated`` is None for no label."""

    bank: Name
    bank_hash: Digest
    vector: Index
    name: Text = ""
    tags: tuple[Text, ...] = ()
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    note: Text = ""
    updated: Moment | None = None


class LabelVersion(Label):
    """A label as ``author`` (empty: unknown) once saved it. An empty one records its removal."""

    updated: Moment
    author: Text = ""


class LabelChanged(InputError):
    """A label was not saved because ``stored`` took the place of the one that its writer had seen."""

    def __init__(self, stored: LabelVersion) -> None:
        self.stored = stored
        now = f"it says “{stored.name}” now" if any(_said(stored)) else "it has been removed"
        super().__init__("label", f"it was changed meanwhile: {now}", "Look at both, then keep one")


class Labels(InDatabase):
    """The labels in ``database``. Every method raises StorageError if the database cannot be used."""

    def get(self, bank: str, bank_hash: str, vector: int) -> Label:
        """The label of one vector; empty if it has none."""
        with self._database.read() as session:
            row = session.execute(_labels().where(*_of(bank_hash, vector))).first()
            return read_one(row, _label, _subject(row)) if row else Label(bank=bank, bank_hash=bank_hash, vector=vector)

    def of_bank(self, bank_hash: str) -> dict[int, Label]:
        """The labels of one bank by vector, without the unlabelled vectors."""
        rows = _labels().where(LabelRow.bank_hash == bank_hash).order_by(LabelRow.vector)
        with self._database.read() as session:
            return {label.vector: label for label in read_each(session.execute(rows), _label, _subject)}

    def history(self, bank_hash: str, vector: int) -> Listed[LabelVersion]:
        """All versions of one vector's label, newest first; the first is the current label."""
        with self._database.read() as session:
            found = _versions_of(session, bank_hash, vector)
            return Listed(found[::-1], found.damaged[::-1])

    def versions(self, bank_hashes: Collection[str] | None = None) -> Listed[LabelVersion]:
        """All versions of all labels, or of these banks' labels, oldest first."""
        versions = select(LabelVersionRow).order_by(LabelVersionRow.id)
        if bank_hashes is not None:
            versions = versions.where(LabelVersionRow.bank_hash.in_(bank_hashes))
        return self._each(versions, _version, _version_subject)

    def replay(self, versions: Sequence[LabelVersion]) -> int:
        """Add again, in order, the ``versions`` that this library has lost; returns their number."""
        added = 0
        with self._database.write() as session:
            for version in map(clean, versions):
                own = _versions_of(session, version.bank_hash, version.vector)
                if (_said(version), version.updated) in {(_said(one), one.updated) for one in own}:
                    continue
                _remember(session, version)
                _replace(session, version)
                added += 1
        return added

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
        seen: Label | None = None,
    ) -> Label:
        """Save a label and return it as saved; an empty one is removed. Earlier versions stay in the history.

        Tags are trimmed, lower-cased, deduplicated and sorted. Raises InputError for a name, tag, rating or note that
        is too long or out of range, and for too many tags. Raises LabelChanged if the stored label says neither the
        same as ``seen``, which its writer had before them, nor what is to be saved.
        """
        _check_vector(vector)
        said = _clean_words(name, tags, rating, note, author)
        wanted = LabelVersion(bank=bank, bank_hash=bank_hash, vector=vector, updated=datetime.now(UTC), **said)
        with self._database.write() as session:
            row = session.execute(_labels().where(*_of(bank_hash, vector))).first()
            before = read_each([row] if row else [], _label, _subject)  # a damaged one is replaced
            now = _said(before[0]) if before else _EMPTY
            if seen is not None and now not in (_said(seen), _said(wanted)):
                raise LabelChanged(_stored(session, bank, bank_hash, vector, before))
            if _said(wanted) != now:
                _remember(session, wanted)
            return _replace(session, wanted)

    def search(
        self,
        text: str = "",
        *,
        bank_hash: str | None = None,
        tag: str | None = None,
        rating: int | None = None,
        limit: int | None = None,
    ) -> Listed[Label]:
        """The labels with ``text`` in their name, note, tags or bank, ignoring case, that also match the rest, by bank
        and vector. ``rating`` is the lowest rating to include."""
        wanted = _labels().order_by(LabelRow.bank, LabelRow.bank_hash, LabelRow.vector).limit(limit)
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

    def newest(self, limit: int) -> Listed[Label]:
        """The labels with a name that were saved last."""
        wanted = _labels().where(LabelRow.name != "").order_by(LabelRow.updated.desc(), LabelRow.id.desc()).limit(limit)
        with self._database.read() as session:
            return read_each(session.execute(wanted), _label, _subject)

    def damaged(self) -> list[Damage]:
        """Everything that cannot be read."""
        return [*self.search().damaged, *self.versions().damaged]

    def tags(self) -> list[str]:
        """The first ``OFFERED_TAGS`` tags in alphabetical order."""
        wanted = select(TagRow.tag).distinct().order_by(TagRow.tag).limit(OFFERED_TAGS)
        with self._database.read() as session:
            return [tag for tag in session.scalars(wanted) if isinstance(tag, str)]


def merge_labels(session: Session, versions: Sequence[LabelVersion]) -> tuple[int, list[tuple[str, int]]]:
    """Merge the labels of another library; returns the number of new versions, and the vectors (bank, number) that the
    two libraries label differently.

    The label saved last counts, but a label wins over a removal; the other one stays in the history. Raises InputError
    for an invalid label.
    """
    groups: dict[tuple[str, int], list[LabelVersion]] = {}
    for version in map(clean, versions):
        groups.setdefault((version.bank_hash, version.vector), []).append(version)
    added, differing = 0, []
    for (bank_hash, vector), brought in groups.items():
        own = _versions_of(session, bank_hash, vector)
        known = {(_said(one), one.updated) for one in own}
        new = [one for one in brought if (_said(one), one.updated) not in known]
        if not new:
            continue
        ends = [own[-1], brought[-1]] if own else [brought[-1]]
        best = max(ends, key=lambda one: (any(_said(one)), one.updated))
        if all(any(_said(one)) for one in ends) and len({_said(one) for one in ends}) == 2:
            differing.append((best.bank, vector))
        if best is not new[-1]:  # the newest version must be the label
            new.append(best)
        for one in new:
            _remember(session, one)
        _replace(session, best)
        added += len([one for one in new if (_said(one), one.updated) not in known])
    return added, differing


def clean(version: LabelVersion) -> LabelVersion:
    """``version`` as it would be saved. Raises InputError for what is too long, too many or out of range."""
    _check_vector(version.vector)
    words = _clean_words(version.name, version.tags, version.rating, version.note, version.author)
    return version.model_copy(update=words)


def _labels() -> Select[Any]:
    """Selects the columns that ``_label`` reads, with joined tags: loading tens of thousands of objects is slow."""
    own = TagRow.label_id == LabelRow.id
    tags = select(func.aggregate_strings(TagRow.tag, "\n")).where(own).correlate(LabelRow).scalar_subquery()
    return select(tags.label("joined"), *(getattr(LabelRow, column) for column in COLUMNS))


def _of(bank_hash: str, vector: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return LabelRow.bank_hash == bank_hash, LabelRow.vector == vector


def _versions_of(session: Session, bank_hash: str, vector: int) -> Listed[LabelVersion]:
    """All versions of one vector's label, oldest first."""
    same = select(LabelVersionRow).where(LabelVersionRow.bank_hash == bank_hash, LabelVersionRow.vector == vector)
    return read_each(session.scalars(same.order_by(LabelVersionRow.id)), _version, _version_subject)


def _stored(session: Session, bank: str, bank_hash: str, vector: int, current: Sequence[Label]) -> LabelVersion:
    """The stored label, or its removal, with who saved it and when, as far as the history knows."""
    if versions := _versions_of(session, bank_hash, vector):
        return versions[-1]
    label = current[0] if current else Label(bank=bank, bank_hash=bank_hash, vector=vector)
    return LabelVersion(**label.model_dump() | {"updated": label.updated or datetime.now(UTC)})


def _said(label: Label) -> Said:
    return label.name, label.tags, label.rating, label.note


def _clean_words(name: str, tags: Iterable[str], rating: Any, note: str, author: str) -> dict[str, Any]:
    """A label's fields as they are saved. Raises InputError for what is too long, too many or out of range."""
    name, note = " ".join(_clean(name).split()), _clean(note).strip()
    words = sorted({word for tag in tags if (word := " ".join(_clean(tag).lower().split()))})
    if rating is not None and (type(rating) is not int or not 1 <= rating <= 5):
        raise InputError("rating", f"{rating!r} cannot be used", "It is a whole number from 1 to 5, or empty")
    if len(name) > MAX_NAME:
        raise InputError("name", f"it is {len(name):,} characters long", f"At most {MAX_NAME} fit")
    if len(note) > MAX_NOTE:
        raise InputError("note", f"it is {len(note):,} characters long", f"At most {MAX_NOTE:,} fit")
    if long := [word for word in words if len(word) > MAX_TAG]:
        problem = f"“{long[0][:MAX_TAG]}…” is {len(long[0]):,} characters long"
        raise InputError("tags", problem, f"At most {MAX_TAG} fit")
    if len(words) > MOST_TAGS:
        raise InputError("tags", f"there are {len(words):,}", f"A label can have at most {MOST_TAGS}")
    author = _clean(author)[:MAX_AUTHOR]
    return {"name": name, "tags": tuple(words), "rating": rating, "note": note, "author": author}


def _check_vector(vector: int) -> None:
    if not 0 <= vector < 2**31:
        raise InputError("vector", f"there is no vector {vector}", "Vectors are counted from 0")


def _remember(session: Session, version: LabelVersion) -> None:
    session.add(LabelVersionRow(**version.model_dump() | {"tags": list(version.tags)}))
    session.flush()  # at once, so that their numbers keep the order


def _replace(session: Session, wanted: LabelVersion) -> Label:
    """Make ``wanted`` the label of its vector and return it as saved. Does not load the old label or its tags, so that
    the time does not depend on them."""
    id = session.scalar(select(LabelRow.id).where(*_of(wanted.bank_hash, wanted.vector)))
    if id is not None:
        session.execute(delete(TagRow).where(TagRow.label_id == id))
    if not any(_said(wanted)):
        session.execute(delete(LabelRow).where(LabelRow.id == id))
        return Label(bank=wanted.bank, bank_hash=wanted.bank_hash, vector=wanted.vector)
    facts = {column: getattr(wanted, column) for column in COLUMNS}
    if id is None:
        id = session.scalars(insert(LabelRow).values(facts).returning(LabelRow.id)).one()
    else:
        session.execute(update(LabelRow).where(LabelRow.id == id).values(facts))
    if wanted.tags:
        session.execute(insert(TagRow), [{"label_id": id, "tag": word} for word in wanted.tags])
    return Label(tags=wanted.tags, **facts)


def _label(row: Any) -> Label:
    tags = tuple(sorted(row.joined.split("\n"))) if row.joined else ()
    return Label(tags=tags, **{column: getattr(row, column) for column in COLUMNS})


def _subject(row: Any) -> str:
    return f"label of vector {row.vector} of “{row.bank}”"


def _version_subject(row: LabelVersionRow) -> str:
    return f"version {row.id} of the label of vector {row.vector} of “{row.bank}”"


def _version(row: LabelVersionRow) -> LabelVersion:
    return LabelVersion(tags=row.tags, **{field: getattr(row, field) for field in (*COLUMNS, "author")})


def _clean(text: str) -> str:
    """``text`` without null characters and lone surrogates, which databases and files cannot hold."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()

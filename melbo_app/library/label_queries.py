"""What is asked of the tables of labels."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import aliased

from melbo_app.library.tables import LabelRow, TagRow

COLUMNS = ("bank", "bank_hash", "vector", "name", "rating", "note", "updated")
WHOSE = ("annotator", "settled")


def select_labels(*more: str) -> Select[Any]:
    """Selects the columns that ``_label`` reads, with joined tags: loading tens of thousands of objects is slow."""
    own = TagRow.label_id == LabelRow.id
    tags = select(func.aggregate_strings(TagRow.tag, "\n")).where(own).correlate(LabelRow).scalar_subquery()
    return select(tags.label("joined"), *(getattr(LabelRow, column) for column in (*COLUMNS, *more)))


def of_vector(bank_hash: str, vector: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return LabelRow.bank_hash == bank_hash, LabelRow.vector == vector


def whose_is(annotator: str, settled: bool) -> ColumnElement[bool]:
    return and_(LabelRow.settled) if settled else and_(LabelRow.annotator == annotator, ~LabelRow.settled)


def visible_to(seen_by: str | None) -> ColumnElement[bool]:
    if seen_by is None:
        return and_(LabelRow.counts)
    other = aliased(LabelRow)
    same = (other.bank_hash == LabelRow.bank_hash, other.vector == LabelRow.vector, other.settled)
    return or_(LabelRow.settled, and_(LabelRow.annotator == seen_by, ~select(other.id).where(*same).exists()))

"""Types and ranges of the fields of records, for writing and for reading files and database rows."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, FiniteFloat

MAX_INTEGER = 2**63  # the smallest integer too large for the database
MOST_CHARACTERS = 1_000_000
"""Of one text: about the longest context of today's models."""
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _on_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it should be a single line without control characters")
    return text


def _on_the_calendar(moment: datetime) -> datetime:
    # beyond these, converting to another time zone may overflow
    if not _FIRST <= moment < _LAST:
        raise ValueError(f"it should be a date from {_FIRST.year} to {_LAST.year}")
    return moment


Count = Annotated[int, Field(ge=0, lt=MAX_INTEGER)]
Number = Annotated[int, Field(gt=-MAX_INTEGER, lt=MAX_INTEGER)]
"""Of stored records; negative while they wait to be stored."""
Index = Annotated[int, Field(ge=0, lt=2**31)]
"""Number of a vector or of a prompt."""
Layer = Annotated[int, Field(ge=0, lt=10_000)]
Norm = Annotated[FiniteFloat, Field(gt=0, le=1e12)]
Radius = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]
"""Signed, absolute; covers the norms of vectors (``bank_vectors.py``)."""
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_on_one_line)]
"""Of a bank, at the time the record was made."""
ModelName = Annotated[str, Field(max_length=4096)]
"""A name or a path."""
Digest = Annotated[str, Field(max_length=64), AfterValidator(_on_one_line)]
"""Of weights or of vectors; empty if unknown."""
Word = Annotated[str, Field(max_length=200), AfterValidator(_on_one_line)]
"""A scope, a dtype, a method."""
Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]
Moment = Annotated[AwareDatetime, AfterValidator(_on_the_calendar)]

"""Guidelines: what the annotators of a library agreed on, in Markdown, with every earlier version."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import select

from melbo_app.errors import InputError
from melbo_app.library.damage import Listed
from melbo_app.library.database import InDatabase
from melbo_app.library.facts import MAX_INTEGER, Moment
from melbo_app.library.frozen import Frozen
from melbo_app.library.label_words import without_nulls
from melbo_app.library.tables import GuidelinesRow

MOST = 50_000
"""Characters: some twenty pages."""


class GuidelinesVersion(Frozen):
    """The guidelines as ``author`` (empty: nobody gave a name) once saved them."""

    id: Annotated[int, Field(ge=0, lt=MAX_INTEGER)] = 0
    text: Annotated[str, Field(max_length=MOST)] = ""
    author: str = ""
    updated: Moment | None = None


class Guidelines(InDatabase):
    """The guidelines in ``database``. Every method raises StorageError if the database cannot be used."""

    def newest(self) -> GuidelinesVersion:
        """The guidelines as they are; empty if nobody wrote any."""
        return next(iter(self.versions(1)), GuidelinesVersion())

    def versions(self, limit: int | None = None) -> Listed[GuidelinesVersion]:
        """All versions, newest first."""
        newest_first = select(GuidelinesRow).order_by(GuidelinesRow.id.desc()).limit(limit)
        return self._each(newest_first, _version, lambda row: f"version {row.id} of the guidelines")

    def save(self, text: str, author: str, seen: int) -> GuidelinesVersion:
        """Save a new version; ``seen`` is the number of the one that its writer had before them. Raises InputError for
        a text that is too long, and if somebody else has saved one since."""
        clean = without_nulls(text).strip()
        if len(clean) > MOST:
            raise InputError("guidelines", f"they are {len(clean):,} characters long", f"At most {MOST:,} fit")
        with self._database.write() as session:
            newest = session.scalars(select(GuidelinesRow).order_by(GuidelinesRow.id.desc()).limit(1)).first()
            if newest is not None and newest.text == clean:
                return _version(newest)
            if newest is not None and newest.id != seen:
                who = f" by {newest.author}" if newest.author else ""
                problem = f"they were changed meanwhile{who}"
                raise InputError("guidelines", problem, "Copy what you wrote, press “Read again” and put it in")
            row = GuidelinesRow(text=clean, author=author, updated=datetime.now(UTC))
            session.add(row)
            session.flush()
            return _version(row)


def _version(row: GuidelinesRow) -> GuidelinesVersion:
    return GuidelinesVersion(id=row.id, text=row.text, author=row.author, updated=row.updated)

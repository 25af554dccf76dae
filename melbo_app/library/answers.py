"""Answers of conversations, to be found by their words or their numbers."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import aliased

from melbo_app.library.completion import scores_read
from melbo_app.library.damage import Listed, read_each
from melbo_app.library.database import InDatabase
from melbo_app.library.frozen import Frozen
from melbo_app.library.tables import ConversationRow, TurnRow

Column = Literal["steered", "baseline"]
COLUMNS: tuple[Column, ...] = ("steered", "baseline")
"""The texts of an answer, in the order of their numbers: those of turn 7 are 14 and 15."""


class FoundAnswer(Frozen):
    """One of the two texts of an answer, with the ``message`` that it answers."""

    number: int
    conversation: int
    title: str
    turn: int
    column: Column
    text: str
    message: str
    bank: str | None
    vector: int | None
    radius: float
    model: str
    verdict: str | None
    created: datetime


class Answers(InDatabase):
    """The answers in ``database``. ``who`` stands for the conversations of one person; None: everybody's. Every method
    raises StorageError if the database cannot be used."""

    def search(self, text: str, limit: int, who: str | None = None) -> Listed[FoundAnswer]:
        """The newest answers that contain ``text``, ignoring case, or whose message does."""
        asked = aliased(TurnRow)
        said = (one.icontains(text, autoescape=True) for one in (TurnRow.text, TurnRow.baseline, asked.text))
        found = _answers(who).join(asked, asked.id == TurnRow.parent_id).where(or_(*said))
        wanted = text.casefold()

        def read(row: Any) -> FoundAnswer:
            turn = row[0]
            column = COLUMNS[wanted not in turn.text.casefold() and wanted in (turn.baseline or "").casefold()]
            return _found(turn, row[1], row[2], column)

        newest = found.add_columns(ConversationRow.title, asked.text).order_by(TurnRow.id.desc()).limit(max(0, limit))
        with self._database.read() as session:
            return read_each(session.execute(newest).all(), read, _subject)

    def those(self, numbers: Collection[int]) -> Listed[FoundAnswer]:
        """The texts with these numbers, as far as they exist and can be read."""
        asked, wanted = aliased(TurnRow), set(numbers)
        turns = {number // 2 for number in wanted}
        found = _answers(None).join(asked, asked.id == TurnRow.parent_id).where(TurnRow.id.in_(turns))
        with self._database.read() as session:
            rows = session.execute(found.add_columns(ConversationRow.title, asked.text)).all()
            each = [(row, side) for row in rows for side in (0, 1) if 2 * row[0].id + side in wanted]

            def read(one: tuple[Any, int]) -> FoundAnswer:
                (turn, title, message), side = one
                return _found(turn, title, message, COLUMNS[side])

            return read_each(each, read, lambda one: _subject(one[0]))

    def numbers(self, who: str) -> set[int]:
        """The numbers of all texts of one person."""
        with self._database.read() as session:
            turns = session.scalars(_answers(who).with_only_columns(TurnRow.id)).all()
            return {number for turn in turns for number in (2 * turn, 2 * turn + 1)}


def _answers(who: str | None) -> Select[Any]:
    every = select(TurnRow).join(ConversationRow, ConversationRow.id == TurnRow.conversation_id)
    every = every.where(TurnRow.role == "assistant")
    return every if who is None else every.where(ConversationRow.who == who)


def _found(turn: TurnRow, title: str, message: str, column: Column) -> FoundAnswer:
    steered = column == "steered"
    scores = scores_read(turn.scores if steered else turn.baseline_scores)
    return FoundAnswer(
        number=2 * turn.id + (not steered), conversation=turn.conversation_id, title=title, turn=turn.id,
        column=column, text=turn.text if steered else turn.baseline or "", message=message,
        bank=turn.bank if steered else None, vector=turn.vector if steered else None,
        radius=turn.radius or 0.0 if steered else 0.0, model=turn.model.name if turn.model else "",
        verdict=scores.verdict if scores else None, created=turn.created,
    )  # fmt: skip


def _subject(row: Any) -> str:
    return f"turn {row[0].id} of conversation {row[0].conversation_id}"

"""Conversations in the database."""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from melbo_app.errors import InputError
from melbo_app.library.completion import scores_read
from melbo_app.library.conversation import Conversation, ConversationSummary, Making, Sample, Turn
from melbo_app.library.damage import Damage, Listed, read_each, read_one
from melbo_app.library.database import InDatabase
from melbo_app.library.facts import MAX_INTEGER
from melbo_app.library.sources import model_id
from melbo_app.library.tables import ConversationRow, TurnRow
from melbo_app.limits import check_text

MOST_TITLE = 200
MOST_TURNS = 2_000
"""Of one conversation, with all its branches."""
_MAKING = [name for name in Making.model_fields if name not in ("model", "model_hash", "radius")]
_HEAD = ("id", "key", "title", "who", "leaf", "created", "updated")


class Conversations(InDatabase):
    """The conversations in ``database``. Every method raises StorageError if the database cannot be used, and
    InputError for a conversation or turn that does not exist."""

    def recent(self, limit: int, who: str | None = None) -> Listed[ConversationSummary]:
        """The last changed conversations, of one person or of all, newest first."""
        newest = select(ConversationRow).order_by(ConversationRow.updated.desc(), ConversationRow.id.desc())
        if who is not None:
            newest = newest.where(ConversationRow.who == who)
        counted = select(TurnRow.conversation_id, func.count()).where(TurnRow.role == "user")
        with self._database.read() as session:
            rows = session.scalars(newest.limit(max(0, limit))).all()
            mine = counted.where(TurnRow.conversation_id.in_([row.id for row in rows]))
            many = dict(session.execute(mine.group_by(TurnRow.conversation_id)).all())

            def summary(row: ConversationRow) -> ConversationSummary:
                facts = {name: getattr(row, name) for name in ("id", "title", "who", "updated")}
                return ConversationSummary(messages=many.get(row.id, 0), **facts)

            return read_each(rows, summary, _subject)

    def get(self, id: int) -> Conversation:
        """A conversation with all its turns; what follows on a damaged turn is left out with it."""
        with self._database.read() as session:
            return _conversation(session, _row(session, id))

    def begin(self, title: str, who: str = "") -> int:
        """Begin a conversation and return its number."""
        now = datetime.now(UTC)
        row = ConversationRow(key=uuid4().hex, title=_title(title), who=who[:200], created=now, updated=now)
        with self._database.write() as session:
            session.add(row)
            session.flush()
            return row.id

    def add_message(self, id: int, parent: int | None, text: str) -> int:
        """Add a message after the answer ``parent`` (None: as the first) and return its number."""
        return self._add(id, parent, "assistant", {"role": "user", "text": text})

    def add_answer(self, id: int, parent: int, steered: Sample, baseline: Sample, making: Making) -> int:
        """Add an answer to the message ``parent`` and return its number."""
        return self._add(id, parent, "user", _answer(steered, baseline, making), making)

    def _add(self, id: int, parent: int | None, after: str, facts: dict[str, Any], making: Making | None = None) -> int:
        now = datetime.now(UTC)
        with self._database.write() as session:
            row = _row(session, id)
            if parent is not None and _turn_row(session, id, parent).role != after:
                raise InputError("turn", "it cannot stand there", "Messages and answers take turns")
            if session.scalar(select(func.count()).where(TurnRow.conversation_id == id)) >= MOST_TURNS:  # type: ignore[operator]
                raise InputError("conversation", f"it has {MOST_TURNS:,} turns", "Begin a new one")
            model = None if making is None else model_id(session, making.model, making.model_hash)
            turn = TurnRow(key=uuid4().hex, conversation_id=id, parent_id=parent, model_id=model, created=now, **facts)
            session.add(turn)
            session.flush()
            row.leaf, row.updated = turn.id, now
            return turn.id

    def show(self, id: int, leaf: int) -> None:
        """Remember which branch is shown."""
        with self._database.write() as session:
            row = _row(session, id)
            row.leaf = _turn_row(session, id, leaf).id

    def rename(self, id: int, title: str) -> None:
        """Give a conversation another title."""
        if not title.strip():
            raise InputError("title", "it is empty", "Write one")
        with self._database.write() as session:
            _row(session, id).title = _title(title)

    def delete(self, id: int) -> None:
        """Delete a conversation with all its turns."""
        with self._database.write() as session:
            session.execute(delete(ConversationRow).where(ConversationRow.id == _row(session, id).id))

    def fork(self, id: int, turn: int, who: str = "") -> int:
        """A new conversation with the turns from the first message to ``turn``; returns its number."""
        found = self.get(id)
        branch = found.branch(turn)
        if not branch:
            raise InputError("turn", f"the conversation has no turn {turn}", "Choose one that is shown")
        now = datetime.now(UTC)
        made = found.model_copy(update={
            "key": uuid4().hex, "title": f"{found.title[: MOST_TITLE - 7]} (fork)", "who": who, "created": now,
            "updated": now, "turns": tuple(one.model_copy(update={"key": uuid4().hex}) for one in branch),
        })  # fmt: skip
        with self._database.write() as session:
            return _enter(session, made)[0]

    def kept(
        self, bank_hashes: Collection[str] | None = None, damaged: list[Damage] | None = None
    ) -> Iterator[Conversation]:
        """Every conversation, or those with an answer under a vector of these banks, oldest first. What cannot be read
        goes into ``damaged``."""
        wanted = select(ConversationRow).order_by(ConversationRow.id)
        if bank_hashes is not None:
            steered = select(TurnRow.conversation_id).where(TurnRow.bank_hash.in_(bank_hashes))
            wanted = wanted.where(ConversationRow.id.in_(steered))
        with self._database.read() as session:
            rows = session.scalars(wanted).all()
            for row in rows:
                found = read_each([row], lambda one: _conversation(session, one), _subject)
                if damaged is not None:
                    damaged += [*found.damaged, *(one for entry in found for one in entry.damaged)]
                yield from found

    def damaged(self) -> list[Damage]:
        """Everything that cannot be read."""
        found: list[Damage] = []
        for _ in self.kept(damaged=found):
            pass
        return found


def merge_conversations(session: Session, conversations: Iterable[Conversation]) -> int:
    """Add the conversations of another library, and the turns that it has added to those that both have; returns how
    many are new or longer."""
    return sum(_enter(session, one)[1] > 0 for one in conversations)


def _enter(session: Session, given: Conversation) -> tuple[int, int]:
    """Enter a conversation, as far as it is new; returns its number, and how many turns were new."""
    row = session.scalars(select(ConversationRow).where(ConversationRow.key == given.key)).first()
    is_new = row is None
    if row is None:
        facts = {name: getattr(given, name) for name in ("key", "title", "who", "created", "updated")}
        row = ConversationRow(**facts)
        session.add(row)
        session.flush()
    here = select(TurnRow.key, TurnRow.id).where(TurnRow.conversation_id == row.id)
    numbers: dict[str, int] = dict(session.execute(here).all())
    keys, added = {turn.id: turn.key for turn in given.turns}, 0
    for turn in given.turns:
        if turn.key in numbers:
            continue
        facts = {"role": turn.role, "text": turn.text, "created": turn.created, "key": turn.key}
        if turn.steered is not None and turn.baseline is not None and turn.making is not None:
            facts |= _answer(turn.steered, turn.baseline, turn.making)
            facts["model_id"] = model_id(session, turn.making.model, turn.making.model_hash)
        parent = None if turn.parent is None else numbers[keys[turn.parent]]
        made = TurnRow(conversation_id=row.id, parent_id=parent, **facts)
        session.add(made)
        session.flush()
        numbers[turn.key], added = made.id, added + 1
    if is_new:
        shown = given.shown
        row.leaf = numbers[shown[-1].key] if shown else None
    return row.id, added + is_new


def _answer(steered: Sample, baseline: Sample, making: Making) -> dict[str, Any]:
    return {
        "role": "assistant", "text": steered.text, "tokens": steered.tokens, "finished": steered.finished,
        "baseline": baseline.text, "baseline_tokens": baseline.tokens, "baseline_finished": baseline.finished,
        "scores": steered.scores and steered.scores.model_dump(),
        "baseline_scores": baseline.scores and baseline.scores.model_dump(),
        "radius": making.radius, **{name: getattr(making, name) for name in _MAKING},
    }  # fmt: skip


def _title(text: str) -> str:
    """A title on one line, without what databases cannot hold."""
    flat = " ".join(check_text("title", text).replace("\0", "").encode("utf-8", "replace").decode().split())
    return flat if len(flat) <= MOST_TITLE else f"{flat[: MOST_TITLE - 1]}…"


def _row(session: Session, id: int) -> ConversationRow:
    row = session.get(ConversationRow, id) if 0 <= id < MAX_INTEGER else None
    if row is None:
        raise InputError("conversation", "it no longer exists", "Choose another one, or begin a new one")
    return row


def _turn_row(session: Session, id: int, turn: int) -> TurnRow:
    row = session.get(TurnRow, turn) if 0 <= turn < MAX_INTEGER else None
    if row is None or row.conversation_id != id:
        raise InputError("turn", f"the conversation has no turn {turn}", "Choose one that is shown")
    return row


def _conversation(session: Session, row: ConversationRow) -> Conversation:
    rows = session.scalars(select(TurnRow).where(TurnRow.conversation_id == row.id).order_by(TurnRow.id)).all()
    found = read_each(rows, _turn, lambda one: f"turn {one.id} of conversation {row.id}")
    return read_one(row, lambda one: _whole(one, found), _subject(row))


def _whole(row: ConversationRow, turns: Listed[Turn]) -> Conversation:
    readable: dict[int, Turn] = {}
    for turn in turns:
        if turn.parent is None or turn.parent in readable:
            readable[turn.id] = turn
    facts = {name: getattr(row, name) for name in _HEAD}
    return Conversation(turns=tuple(readable.values()), damaged=turns.damaged, **facts)


def _turn(row: TurnRow) -> Turn:
    facts: dict[str, Any] = {name: getattr(row, name) for name in ("id", "key", "role", "text", "created")}
    if row.role == "assistant":
        model = row.model
        facts["steered"] = {
            "text": row.text, "tokens": row.tokens, "finished": row.finished, "scores": scores_read(row.scores)
        }  # fmt: skip
        facts["baseline"] = {
            "text": row.baseline, "tokens": row.baseline_tokens, "finished": row.baseline_finished,
            "scores": scores_read(row.baseline_scores),
        }  # fmt: skip
        facts["making"] = {
            "model": model and model.name, "model_hash": model and model.hash, "radius": row.radius,
            **{name: getattr(row, name) for name in _MAKING},
        }  # fmt: skip
    return Turn(parent=row.parent_id, **facts)


def _subject(row: Any) -> str:
    return f"conversation {row.id}"

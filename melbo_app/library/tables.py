"""The tables of the database; ``migrations/`` makes them."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from melbo_app.library.database import Moment, Table


class ModelRow(Table):
    """A model under the name it had when it was used. ``hash`` is empty if unknown."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("hash", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    hash: Mapped[str] = mapped_column(String(64))


class PromptRow(Table):
    """A prompt as a person gave it; ``hash`` identifies it, ``choice`` is the template with its settings."""

    __tablename__ = "prompts"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    user: Mapped[str] = mapped_column(Text)
    system: Mapped[str | None] = mapped_column(Text)
    template: Mapped[bool]
    choice: Mapped[str | None] = mapped_column(Text)
    rendered: Mapped[str | None] = mapped_column(Text)


class BankRow(Table):
    """A bank's file when it was last read; ``size`` and ``changed`` (ns) show whether it was touched since."""

    __tablename__ = "banks"
    __table_args__ = (UniqueConstraint("name", "sample"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    sample: Mapped[bool]
    hash: Mapped[str] = mapped_column(String(64), index=True)
    file_hash: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    changed: Mapped[int] = mapped_column(BigInteger)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    source: Mapped[int]
    target: Mapped[int | None]
    radius: Mapped[float]
    method: Mapped[str] = mapped_column(String(40))
    note: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Moment)


class VectorRow(Table):
    """One vector of a bank; the same vector in another bank has the same ``hash``."""

    __tablename__ = "vectors"

    bank_id: Mapped[int] = mapped_column(ForeignKey("banks.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), index=True)
    norm: Mapped[float]
    objective: Mapped[float | None]
    strength: Mapped[float | None]


class BankPromptRow(Table):
    """A prompt of a bank; ``role`` is trained, against or held out."""

    __tablename__ = "bank_prompts"

    bank_id: Mapped[int] = mapped_column(ForeignKey("banks.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(8), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"), index=True)


class RunRow(Table):
    """One training of a bank. It stays when the bank is deleted: ``command`` reproduces it."""

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("bank_hash", "created"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    bank: Mapped[str] = mapped_column(String(200))
    bank_hash: Mapped[str] = mapped_column(String(64))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    method: Mapped[str] = mapped_column(String(40))
    steps: Mapped[int | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    seconds: Mapped[float | None]
    device: Mapped[str | None] = mapped_column(Text)
    command: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Moment)


class ComparisonRow(Table):
    """One press of Steer; ``kind`` is a ``ComparisonKind``."""

    __tablename__ = "comparisons"
    __table_args__ = (Index("ix_comparisons_kind_id", "kind", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), server_default="steer")
    created: Mapped[datetime] = mapped_column(Moment)
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    completions: Mapped[list["CompletionRow"]] = relationship(
        order_by="CompletionRow.position", cascade="all, delete-orphan", passive_deletes=True
    )


class CompletionRow(Table):
    """One generated text. ``kind`` is baseline, random or vector; ``key`` is the digest of its ``CompletionKey``;
    ``ids`` are the tokens of a text that can be continued, int32 as bytes."""

    __tablename__ = "completions"
    __table_args__ = (Index("ix_completions_bank_hash_vector", "bank_hash", "vector"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparisons.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    key: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    bank: Mapped[str | None] = mapped_column(String(200))
    bank_hash: Mapped[str | None] = mapped_column(String(64))
    vector: Mapped[int | None]
    radius: Mapped[float]
    source: Mapped[int | None]
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))
    prompt_index: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    tokens: Mapped[int]
    finished: Mapped[bool]
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    dtype: Mapped[str | None] = mapped_column(String(20))
    max_new_tokens: Mapped[int]
    temperature: Mapped[float]
    top_p: Mapped[float]
    seed: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime] = mapped_column(Moment)
    scores: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    ids: Mapped[bytes | None] = mapped_column(LargeBinary)
    prompt: Mapped[PromptRow] = relationship(lazy="joined", innerjoin=True)
    model: Mapped[ModelRow] = relationship(lazy="joined", innerjoin=True)


class EmbeddingRow(Table):
    """The embedding of a text, float32 [D] as bytes, by the embedder with the hash ``embedder``."""

    __tablename__ = "embeddings"

    text_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    embedder: Mapped[str] = mapped_column(String(64), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class ProjectionRow(Table):
    """Coordinates on a map, float32 [N, 2] as bytes; ``key`` stands for the texts, the embedder and the layout."""

    __tablename__ = "projections"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    method: Mapped[str] = mapped_column(String(8))
    note: Mapped[str] = mapped_column(Text)
    places: Mapped[bytes] = mapped_column(LargeBinary)


class _Labelled:
    """The columns that labels and their versions have in common."""

    id: Mapped[int] = mapped_column(primary_key=True)
    bank: Mapped[str] = mapped_column(String(200))
    bank_hash: Mapped[str] = mapped_column(String(64))
    vector: Mapped[int]
    name: Mapped[str] = mapped_column(String(120))
    rating: Mapped[int | None]
    note: Mapped[str] = mapped_column(Text)
    updated: Mapped[datetime] = mapped_column(Moment)
    annotator: Mapped[str] = mapped_column(String(80), default="")
    settled: Mapped[bool] = mapped_column(default=False)


class LabelRow(_Labelled, Table):
    """What one annotator says of a vector now, or, ``settled``, what was decided between several. The one that
    ``counts`` is the vector's label."""

    __tablename__ = "labels"
    __table_args__ = (UniqueConstraint("bank_hash", "vector", "annotator", "settled"),)

    counts: Mapped[bool] = mapped_column(default=True)


class TagRow(Table):
    """One tag of one label."""

    __tablename__ = "tags"

    label_id: Mapped[int] = mapped_column(ForeignKey("labels.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class LabelVersionRow(_Labelled, Table):
    """One version of a label; the newest of an annotator is their label, and an empty one records a removal."""

    __tablename__ = "label_history"
    __table_args__ = (Index("ix_label_history_bank_hash_vector", "bank_hash", "vector"),)

    tags: Mapped[list[str]] = mapped_column(JSON)
    author: Mapped[str] = mapped_column(String(80))


class GuidelinesRow(Table):
    """One version of the guidelines for annotators, in Markdown; the newest counts."""

    __tablename__ = "guidelines"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(80))
    updated: Mapped[datetime] = mapped_column(Moment)


class JobRow(Table):
    """One job. ``progress`` and ``log`` are JSON, written about once a second while it runs."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(Text)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), index=True)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    log: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    who: Mapped[str] = mapped_column(String(200))
    created: Mapped[datetime] = mapped_column(Moment)
    started: Mapped[datetime | None] = mapped_column(Moment)
    ended: Mapped[datetime | None] = mapped_column(Moment)
    bank: Mapped[str | None] = mapped_column(String(200))
    comparison: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)


class ConversationRow(Table):
    """One conversation; ``leaf`` is the turn at the end of the branch that was shown last."""

    __tablename__ = "conversations"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(32), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    who: Mapped[str] = mapped_column(String(200))
    leaf: Mapped[int | None]
    created: Mapped[datetime] = mapped_column(Moment)
    updated: Mapped[datetime] = mapped_column(Moment)


class TurnRow(Table):
    """One message, or one answer: ``text`` was written with the vector, ``baseline`` without. Turns of the same parent
    are versions of each other."""

    __tablename__ = "turns"
    __table_args__ = (UniqueConstraint("conversation_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(32))
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(9))
    text: Mapped[str] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Moment)
    baseline: Mapped[str | None] = mapped_column(Text)
    bank: Mapped[str | None] = mapped_column(String(200))
    bank_hash: Mapped[str | None] = mapped_column(String(64))
    vector: Mapped[int | None]
    radius: Mapped[float | None]
    source: Mapped[int | None]
    system: Mapped[str | None] = mapped_column(Text)
    template: Mapped[str | None] = mapped_column(Text)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    dtype: Mapped[str | None] = mapped_column(String(20))
    max_new_tokens: Mapped[int | None]
    temperature: Mapped[float | None]
    top_p: Mapped[float | None]
    seed: Mapped[int | None] = mapped_column(BigInteger)
    tokens: Mapped[int | None]
    finished: Mapped[bool | None]
    baseline_tokens: Mapped[int | None]
    baseline_finished: Mapped[bool | None]
    scores: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    baseline_scores: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    model: Mapped[ModelRow | None] = relationship(lazy="joined")

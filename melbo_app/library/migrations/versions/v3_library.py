"""The catalogue of models, prompts, banks, vectors and runs; embeddings and projections; labels with their history.

Completions name their model and prompt by number, and every comparison says what kind it is.
"""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision, down_revision = "3", "2"

AT_ONCE = 1000

_COMPARISONS = sa.table("comparisons", sa.column("id"), sa.column("kind"), sa.column("settings", sa.JSON))
_MODELS = sa.table("models", sa.column("id"), sa.column("name"), sa.column("hash"))
_PROMPTS = sa.table("prompts", *map(sa.column, ("id", "hash", "user", "system", "template")))
_KEPT = [
    "id", "comparison_id", "position", "key", "kind", "bank", "bank_hash", "vector", "radius", "source",
    "prompt_index", "text", "tokens", "finished", "dtype", "max_new_tokens", "temperature", "top_p", "seed", "created",
]  # fmt: skip
_BEFORE = sa.table(
    "completions", *map(sa.column, _KEPT), sa.column("scores", sa.JSON), sa.column("prompt", sa.JSON),
    sa.column("model"), sa.column("model_hash"),
)  # fmt: skip
_AFTER = sa.table(
    "completions_after", *map(sa.column, _KEPT), sa.column("scores", sa.JSON(none_as_null=True)), sa.column("model_id"),
    sa.column("prompt_id"),
)  # fmt: skip


def upgrade() -> None:
    _make_catalogue()
    _make_memory()
    _say_kinds()
    _name_models_and_prompts()
    _begin_history()


def _make_catalogue() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.UniqueConstraint("hash", "name"),
    )
    op.create_table(
        "prompts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, unique=True),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("system", sa.Text),
        sa.Column("template", sa.Boolean, nullable=False),
    )
    op.create_table(
        "banks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("sample", sa.Boolean, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False, index=True),
        sa.Column("file_hash", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id"), nullable=False, index=True),
        sa.Column("source", sa.Integer, nullable=False),
        sa.Column("target", sa.Integer),
        sa.Column("radius", sa.Double, nullable=False),
        sa.Column("method", sa.String(40), nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.UniqueConstraint("name", "sample"),
    )
    op.create_table(
        "vectors",
        sa.Column("bank_id", sa.Integer, sa.ForeignKey("banks.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("hash", sa.String(64), nullable=False, index=True),
        sa.Column("norm", sa.Double, nullable=False),
        sa.Column("objective", sa.Double),
        sa.Column("strength", sa.Double),
    )
    op.create_table(
        "bank_prompts",
        sa.Column("bank_id", sa.Integer, sa.ForeignKey("banks.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("role", sa.String(8), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("prompt_id", sa.Integer, sa.ForeignKey("prompts.id"), nullable=False, index=True),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("bank", sa.String(200), nullable=False),
        sa.Column("bank_hash", sa.String(64), nullable=False),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id"), nullable=False, index=True),
        sa.Column("method", sa.String(40), nullable=False),
        sa.Column("steps", sa.Integer),
        sa.Column("seed", sa.BigInteger),
        sa.Column("seconds", sa.Double),
        sa.Column("device", sa.Text),
        sa.Column("command", sa.Text),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.UniqueConstraint("bank_hash", "created"),
    )


def _make_memory() -> None:
    op.create_table(
        "embeddings",
        sa.Column("text_hash", sa.String(64), primary_key=True),
        sa.Column("embedder", sa.String(64), primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "projections",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("places", sa.LargeBinary, nullable=False),
    )


def _say_kinds() -> None:
    op.add_column("comparisons", sa.Column("kind", sa.String(20), nullable=False, server_default="steer"))
    op.create_index("ix_comparisons_kind_id", "comparisons", ["kind", "id"])
    settings = op.get_bind().execute(sa.select(_COMPARISONS.c.id, _COMPARISONS.c.settings)).all()
    maps = [row.id for row in settings if row.settings.get("kind") == "map"]
    for start in range(0, len(maps), AT_ONCE):
        chosen = _COMPARISONS.c.id.in_(maps[start : start + AT_ONCE])
        op.execute(_COMPARISONS.update().where(chosen).values(kind="map"))


def _name_models_and_prompts() -> None:
    op.create_table(
        "completions_after",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("comparison_id", sa.Integer, sa.ForeignKey("comparisons.id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("bank", sa.String(200)),
        sa.Column("bank_hash", sa.String(64)),
        sa.Column("vector", sa.Integer),
        sa.Column("radius", sa.Double, nullable=False),
        sa.Column("source", sa.Integer),
        sa.Column("prompt_id", sa.Integer, sa.ForeignKey("prompts.id"), nullable=False),
        sa.Column("prompt_index", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("finished", sa.Boolean, nullable=False),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id"), nullable=False),
        sa.Column("dtype", sa.String(20)),
        sa.Column("max_new_tokens", sa.Integer, nullable=False),
        sa.Column("temperature", sa.Double, nullable=False),
        sa.Column("top_p", sa.Double, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("scores", sa.JSON),
    )
    connection = op.get_bind()
    models: dict[tuple[str, str], int] = {}
    prompts: dict[str, int] = {}
    last = -1
    while rows := connection.execute(
        sa.select(_BEFORE).where(_BEFORE.c.id > last).order_by(_BEFORE.c.id).limit(AT_ONCE)
    ).all():
        last = rows[-1].id
        moved = []
        for row in rows:
            model = (row.model_hash, row.model)
            if model not in models:
                models[model] = len(models) + 1
                facts = {"id": models[model], "hash": row.model_hash, "name": row.model}
                connection.execute(_MODELS.insert().values(facts))
            prompt = {"system": None, "template": True, "user": "", **row.prompt}
            digest = _digest(prompt)
            if digest not in prompts:
                prompts[digest] = len(prompts) + 1
                connection.execute(_PROMPTS.insert().values(id=prompts[digest], hash=digest, **prompt))
            kept = {name: getattr(row, name) for name in (*_KEPT, "scores")}
            moved.append(kept | {"model_id": models[model], "prompt_id": prompts[digest]})
        connection.execute(_AFTER.insert(), moved)
    op.drop_table("completions")
    op.rename_table("completions_after", "completions")
    for columns in (["comparison_id"], ["key"], ["bank_hash", "vector"]):
        op.create_index("_".join(["ix_completions", *columns]), "completions", columns)


def _digest(prompt: dict[str, Any]) -> str:
    facts = [prompt["user"], prompt["system"], prompt["template"]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _begin_history() -> None:
    op.create_table(
        "label_history",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("bank", sa.String(200), nullable=False),
        sa.Column("bank_hash", sa.String(64), nullable=False),
        sa.Column("vector", sa.Integer, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("rating", sa.Integer),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("author", sa.String(80), nullable=False),
        sa.Column("updated", sa.DateTime, nullable=False),
    )
    op.create_index("ix_label_history_bank_hash_vector", "label_history", ["bank_hash", "vector"])
    connection = op.get_bind()
    shared = ("bank", "bank_hash", "vector", "name", "rating", "note", "updated")
    labels = sa.table("labels", sa.column("id"), *map(sa.column, shared))
    tags = sa.table("tags", sa.column("label_id"), sa.column("tag"))
    history = sa.table("label_history", *map(sa.column, shared), sa.column("author"), sa.column("tags", sa.JSON))
    words: dict[int, list[str]] = {}
    for label_id, word in connection.execute(sa.select(tags.c.label_id, tags.c.tag).order_by(tags.c.tag)):
        words.setdefault(label_id, []).append(word)
    # in the order in which they were written: what is read later is newer
    rows = connection.execute(sa.select(labels).order_by(labels.c.updated, labels.c.id)).all()
    versions = [
        {name: getattr(row, name) for name in shared} | {"author": "", "tags": words.get(row.id, [])} for row in rows
    ]
    if versions:
        connection.execute(history.insert(), versions)

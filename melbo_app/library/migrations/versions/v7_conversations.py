"""Conversations: trees of messages, and of answers written with a vector and without."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "7", "6"


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(32), nullable=False, unique=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("leaf", sa.Integer),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("updated", sa.DateTime, nullable=False),
    )
    op.create_table(
        "turns",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("conversation_id", sa.Integer, sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("parent_id", sa.Integer, sa.ForeignKey("turns.id", ondelete="CASCADE")),
        sa.Column("role", sa.String(9), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("baseline", sa.Text),
        sa.Column("bank", sa.String(200)),
        sa.Column("bank_hash", sa.String(64)),
        sa.Column("vector", sa.Integer),
        sa.Column("radius", sa.Double),
        sa.Column("source", sa.Integer),
        sa.Column("system", sa.Text),
        sa.Column("template", sa.Text),
        sa.Column("model_id", sa.Integer, sa.ForeignKey("models.id")),
        sa.Column("dtype", sa.String(20)),
        sa.Column("max_new_tokens", sa.Integer),
        sa.Column("temperature", sa.Double),
        sa.Column("top_p", sa.Double),
        sa.Column("seed", sa.BigInteger),
        sa.Column("tokens", sa.Integer),
        sa.Column("finished", sa.Boolean),
        sa.Column("baseline_tokens", sa.Integer),
        sa.Column("baseline_finished", sa.Boolean),
        sa.UniqueConstraint("conversation_id", "key"),
    )
    op.create_index("ix_turns_parent_id", "turns", ["parent_id"])

"""Labels: one for each annotator of a vector, and the one that was decided between them; guidelines."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "6", "5"

SAID = "id, bank, bank_hash, vector, name, rating, note, updated"
KEY = ["bank_hash", "vector", "annotator", "settled"]


def upgrade() -> None:
    for column in (_annotator(), _settled()):
        op.add_column("label_history", column)
    if op.get_bind().dialect.name == "sqlite":
        _make_again()
    else:
        for column in (_annotator(), _settled(), _counts()):
            op.add_column("labels", column)
        op.drop_constraint("labels_bank_hash_vector_key", "labels")
        op.create_unique_constraint(None, "labels", KEY)
    op.create_table(
        "guidelines",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("author", sa.String(80), nullable=False),
        sa.Column("updated", sa.DateTime, nullable=False),
    )


def _make_again() -> None:
    """SQLite cannot change a table's key; the tags move first, because they go with the labels that are dropped."""
    op.create_table(
        "labels_after",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("bank", sa.String(200), nullable=False),
        sa.Column("bank_hash", sa.String(64), nullable=False),
        sa.Column("vector", sa.Integer, nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("rating", sa.Integer),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("updated", sa.DateTime, nullable=False),
        _annotator(),
        _settled(),
        _counts(),
        sa.UniqueConstraint(*KEY),
    )
    op.create_table(
        "tags_after",
        sa.Column("label_id", sa.Integer, sa.ForeignKey("labels_after.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("tag", sa.String(40), primary_key=True),
    )
    op.execute(f"INSERT INTO labels_after ({SAID}) SELECT {SAID} FROM labels")
    op.execute("INSERT INTO tags_after (label_id, tag) SELECT label_id, tag FROM tags")
    op.drop_table("tags")
    op.drop_table("labels")
    op.rename_table("labels_after", "labels")
    op.rename_table("tags_after", "tags")
    op.create_index("ix_tags_tag", "tags", ["tag"])


def _annotator() -> sa.Column[str]:
    return sa.Column("annotator", sa.String(80), nullable=False, server_default="")


def _settled() -> sa.Column[bool]:
    return sa.Column("settled", sa.Boolean, nullable=False, server_default=sa.false())


def _counts() -> sa.Column[bool]:
    return sa.Column("counts", sa.Boolean, nullable=False, server_default=sa.true())

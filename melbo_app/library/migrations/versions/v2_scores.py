"""Scores beside the completions."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "2", "1"


def upgrade() -> None:
    op.add_column("completions", sa.Column("scores", sa.JSON))

"""Conversations: the scores of the two texts of an answer."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "8", "7"


def upgrade() -> None:
    for name in ("scores", "baseline_scores"):
        op.add_column("turns", sa.Column(name, sa.JSON))

"""Prompts: which chat template was chosen, and what it made of them."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "5", "4"


def upgrade() -> None:
    for name in ("choice", "rendered"):
        op.add_column("prompts", sa.Column(name, sa.Text))

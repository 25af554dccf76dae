"""The tokens of texts that can be continued."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "9", "8"


def upgrade() -> None:
    op.add_column("completions", sa.Column("ids", sa.LargeBinary))

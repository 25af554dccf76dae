"""The tokens of texts that can be continued."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "8", "7"


def upgrade() -> None:
    op.add_column("completions", sa.Column("ids", sa.LargeBinary))

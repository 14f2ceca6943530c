"""Jobs that are sent twice are known again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column, unique where it is set."""
    op.add_column("jobs", sa.Column("idempotency", sa.String(64)))
    op.create_index("ix_jobs_idempotency", "jobs", ["idempotency"], unique=True)


def downgrade() -> None:
    """Without it."""
    op.drop_index("ix_jobs_idempotency", "jobs")
    op.drop_column("jobs", "idempotency")

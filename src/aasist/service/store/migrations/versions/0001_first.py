"""API keys, verdicts, jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables. Written out: a migration must not change when `tables` does."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("scopes", sa.String(100), nullable=False),
        sa.Column("detail", sa.String(10), nullable=False),
        sa.Column("requests_per_minute", sa.Double),
        sa.Column("audio_seconds_per_hour", sa.Double),
        sa.Column("streams", sa.Integer),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("job_id", sa.String(32)),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("label", sa.String(10)),
        sa.Column("llr", sa.Double),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("model_sha256", sa.String(64)),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("audio_kept", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verdicts"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_verdicts_key_id"),
    )
    op.create_index("ix_verdicts_created_at", "verdicts", ["created_at"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("node", sa.String(32), nullable=False),
        sa.Column("key_id", sa.String(16)),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("name", sa.String(255)),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("timeline", sa.Boolean, nullable=False),
        sa.Column("progress_seconds", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.String(64)),
        sa.Column("lease_until", sa.Double),
        sa.Column("verdict_id", sa.String(32)),
        sa.Column("document", sa.Text),
        sa.Column("error_code", sa.String(40)),
        sa.Column("error_message", sa.Text),
        sa.Column("webhook_url", sa.Text),
        sa.Column("webhook_attempts", sa.Integer, nullable=False),
        sa.Column("webhook_due_at", sa.Double),
        sa.Column("webhook_delivered_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_jobs_key_id"),
    )
    op.create_index("ix_jobs_node_status", "jobs", ["node", "status", "created_at"])
    op.create_index("ix_jobs_finished_at", "jobs", ["finished_at"])
    op.create_index("ix_jobs_webhook_due_at", "jobs", ["webhook_due_at"])


def downgrade() -> None:
    """Drop them."""
    for table in ("jobs", "verdicts", "api_keys"):
        op.drop_table(table)

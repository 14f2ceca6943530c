"""The tables. Moments are seconds since 1970, UTC; what grows is indexed by what it is looked for with."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

CODE_CHARACTERS = 40

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(column_0_label)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),  # stands in the key, and is no secret
    Column("name", String(100), nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("scopes", String(100), nullable=False),
    Column("detail", String(10), nullable=False),
    Column("requests_per_minute", Double),  # null: as the settings say
    Column("audio_seconds_per_hour", Double),
    Column("streams", Integer),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("key_id", String(16), ForeignKey("api_keys.id")),
    Column("job_id", String(32)),
    Column("created_at", Double, nullable=False),
    Column("label", String(10)),
    Column("llr", Double),
    Column("model", String(200), nullable=False),
    Column("model_sha256", String(64)),
    Column("document", Text, nullable=False),  # the JSON object, without the file's name
    Column("audio_kept", Boolean, nullable=False),
    Index("ix_verdicts_created_at", "created_at"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("node", String(32), nullable=False),  # whose disk holds the audio
    Column("key_id", String(16), ForeignKey("api_keys.id")),
    Column("status", String(10), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("name", String(255)),
    Column("bytes", BigInteger, nullable=False),
    Column("timeline", Boolean, nullable=False),
    Column("progress_seconds", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_owner", String(64)),
    Column("lease_until", Double),
    Column("verdict_id", String(32)),
    Column("document", Text),
    Column("error_code", String(CODE_CHARACTERS)),
    Column("error_message", Text),
    Column("webhook_url", Text),
    Column("webhook_attempts", Integer, nullable=False),
    Column("webhook_due_at", Double),  # null: nothing to deliver (any more)
    Column("webhook_delivered_at", Double),
    Column("idempotency", String(64)),  # of the key and what it called the job; null: nothing
    Index("ix_jobs_node_status", "node", "status", "created_at"),
    Index("ix_jobs_finished_at", "finished_at"),
    Index("ix_jobs_webhook_due_at", "webhook_due_at"),
    Index("ix_jobs_idempotency", "idempotency", unique=True),
)

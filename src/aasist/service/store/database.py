"""The connection: SQLite in WAL mode, or PostgreSQL; brought to the newest tables on opening."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

from aasist.errors import AasistError, MissingExtra, one_line

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 5_202_117
"""Of PostgreSQL, held by whoever changes the tables."""


def connect(url: str) -> sa.Engine:
    """An engine; `AasistError` ``database`` where it cannot be had, without the password."""
    parsed = make_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    if sqlite and parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        # Of a statement that fails, its parameters are names of files and addresses of webhooks: nothing for the log.
        engine = sa.create_engine(
            parsed, pool_pre_ping=not sqlite, hide_parameters=True, **({} if sqlite else {"pool_size": 10})
        )
    except ModuleNotFoundError:
        raise MissingExtra("a PostgreSQL database", "postgres") from None
    if sqlite:
        sa.event.listen(engine, "connect", _prepare_sqlite)
    try:
        migrate(engine)
    except AasistError:
        engine.dispose()
        raise
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        reason = one_line(getattr(error, "orig", None) or error)
        shown = parsed.render_as_string(hide_password=True)
        raise AasistError("database", f"the database {shown} cannot be used: {reason}") from None
    if sqlite and parsed.database:
        Path(parsed.database).chmod(0o600)
    return engine


def _prepare_sqlite(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    # WAL: readers and one writer at a time do not wait for each other. FULL: what was acknowledged outlives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=15000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def config() -> Config:
    """Alembic's, which needs no file."""
    found = Config()
    found.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return found


def migrate(engine: sa.Engine) -> None:
    """Bring the tables to the newest version; harmless when they are, and when several processes do it at once."""
    settings = config()
    newest = ScriptDirectory.from_config(settings).get_current_head()
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
    with _alone(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if found == newest:
            return
        known = {one.revision for one in ScriptDirectory.from_config(settings).walk_revisions()}
        if found is not None and found not in known:
            raise AasistError("database", "the database is of a newer version of aasist: install that, or name another")
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that no other migrates beside."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()
        return
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection

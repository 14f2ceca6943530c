"""Everything that is kept, as one object."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from aasist.errors import AasistError
from aasist.service.settings import Settings
from aasist.service.store.database import connect
from aasist.service.store.jobstore import JobStore
from aasist.service.store.keystore import KeyStore
from aasist.service.store.verdictstore import VerdictStore


class Store:
    """Keys, jobs and verdicts in the database, and the private folders for audio."""

    def __init__(self, settings: Settings) -> None:
        """`AasistError` ``state_dir`` where the folder cannot be written, ``database``."""
        try:
            for folder in (settings.state_dir, settings.jobs_dir, settings.audio_dir):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            secret = settings.secret or _kept(settings.state_dir / "secret", 32)
            node = _kept(settings.state_dir / "node", 16)
        except OSError as error:
            reason = error.strerror or error
            raise AasistError(
                "state_dir",
                f"the folder {settings.state_dir} cannot be written: {reason}; name another by the setting state_dir "
                "(AASIST_STATE_DIR)",
            ) from None
        self.secret = secret.encode()
        self._engine = connect(settings.database_url)
        self.keys = KeyStore(self._engine)
        self.jobs = JobStore(self._engine, node)
        self.verdicts = VerdictStore(self._engine)

    def ping(self) -> None:
        """Raise ``SQLAlchemyError`` where the database does not answer."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()


def synced(folder: Path) -> None:
    """Have the names in a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _kept(path: Path, size_bytes: int) -> str:
    """Random hexadecimal digits that stay the same; whichever of several processes comes first writes them."""
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    mine = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_hex(size_bytes).encode())
            file.flush()
            os.fsync(file.fileno())
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        mine.unlink(missing_ok=True)
    # Also where another was first: what is signed with it, or stored under it, must not outlive it in a power cut.
    synced(path.parent)
    return path.read_text(encoding="ascii").strip()

"""A PostgreSQL of the tests' own: Debian's programs, a temporary cluster, a free port, gone afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NEEDED = "PostgreSQL is not installed: apt install postgresql"


def programs() -> Path:
    """The folder of ``initdb``, or a visible skip."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    pytest.skip(NEEDED)


@contextmanager
def cluster() -> Iterator[str]:
    """A running server; gives its URL without a database's name."""
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    bin_ = programs()
    # Root may not run a server.
    user = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="aasist-postgres-"))
    try:
        if user:
            shutil.chown(folder, "postgres", "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        password = secrets.token_hex(16)
        secret = folder / "password"
        secret.write_text(password)
        if user:
            shutil.chown(secret, "postgres", "postgres")
        data = str(folder / "data")
        run = {"stdout": subprocess.DEVNULL, "cwd": folder, "timeout": 120, **user}
        initdb = [bin_ / "initdb", "-D", data, "-U", "aasist", "-A", "scram-sha-256", f"--pwfile={secret}", "-N"]
        subprocess.run(initdb, stderr=subprocess.DEVNULL, check=True, **run)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = [bin_ / "pg_ctl", "-D", data, "-w"]
        subprocess.run([*control, "-o", options, "-l", str(folder / "log"), "start"], check=True, **run)
        try:
            yield f"postgresql://aasist:{password}@127.0.0.1:{port}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: str) -> str:
    """The URL of an empty database."""
    import psycopg

    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"

"""``aasist detect --server``: where recordings go, with which key, and what cannot be chosen from here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from aasist.errors import AasistError

if TYPE_CHECKING:
    from aasist.audio.read import ReadLimits
    from aasist.runtime.remote import RemoteDetector

KEY_VARIABLE = "AASIST_API_KEY"

THEIRS = ("model", "runtime", "precision", "threshold", "threads", "channel", "max_seconds")
"""Options that the service has decided."""

OURS = ("explain", "plot")
"""Options that need the model here."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def refuse_theirs(context: click.Context, server: str | None, key_file: Path | None) -> None:
    """``click.UsageError`` for an option that was given and would do nothing."""
    if server is None:
        if key_file is not None:
            raise click.UsageError("--key-file is for --server")
        return
    for options, why in ((THEIRS, "with --server, that is for the service to choose"), (OURS, "not with --server")):
        given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
        if given:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise click.UsageError(f"{names}: {why}")


def elsewhere(url: str, key_file: Path | None, limits: ReadLimits, say: Callable[[str], None]) -> RemoteDetector:
    """The service that is asked; ``say`` is told where it lets one wait.

    Raises ``click.UsageError`` for an address that is none, `AasistError` where there is no service, or it lets nobody in with this key.
    """
    from aasist.runtime.asking import checked
    from aasist.runtime.remote import RemoteDetector

    try:
        checked(url)
    except AasistError as error:
        raise click.UsageError(f"--server: {error.message}") from error

    key = _key(key_file)
    parts = urlsplit(url)
    if key is not None and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        click.echo("aasist: the key and the recordings go over the network unencrypted; use https", err=True)
    return RemoteDetector(url, key=key, limits=limits, say=say)


def _key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(KEY_VARIABLE, "").strip() or None
    try:
        lines = file.read_text("ascii").split()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise AasistError("key", f"the key file {file} cannot be read: {reason}") from None
    if len(lines) != 1:
        raise AasistError("key", f"the key file {file} must hold one key and nothing else")
    return lines[0]

"""``aasist detect --server``: where recordings go, with which key, and what cannot be chosen from here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from aasist.errors import AasistError

if TYPE_CHECKING:
    from aasist.audio.read import ReadLimits
    from aasist.runtime.remote import RemoteDetector

KEY_VARIABLE = "AASIST_API_KEY"

THEIRS = ("model", "runtime", "precision", "threshold", "threads", "channel", "max_seconds", "explain", "plot")
"""Options that the service has decided, or that need the model here."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def refuse_theirs(context: click.Context, server: str | None, key_file: Path | None) -> None:
    """``click.UsageError`` for an option that was given and would do nothing."""
    if server is None:
        if key_file is not None:
            raise click.UsageError("--key-file is for --server")
        return
    given = [name for name in THEIRS if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"{names}: with --server, that is for the service to choose")


def elsewhere(url: str, key_file: Path | None, limits: ReadLimits) -> RemoteDetector:
    """The service that is asked; raises `AasistError` where there is none, or it lets nobody in with this key."""
    from aasist.runtime.remote import RemoteDetector

    key = _key(key_file)
    parts = urlsplit(url)
    if key is not None and parts.scheme == "http" and parts.hostname not in LOOPBACK:
        click.echo("aasist: the key and the recordings go over the network unencrypted; use https", err=True)
    return RemoteDetector(url, key=key, limits=limits)


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

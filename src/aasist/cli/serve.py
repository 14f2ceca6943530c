"""``aasist serve``: the HTTP service, its settings and its keys."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aasist.errors import AasistError, MissingExtra
from aasist.service.moments import moment

if TYPE_CHECKING:
    from aasist.service.settings import Settings
    from aasist.service.store.keystore import StoredKey
    from aasist.service.store.store import Store

DAY = 86_400.0


@click.group(invoke_without_command=True)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="0 takes a free one.  [default: 8000]")
@click.option("--workers", type=click.IntRange(1, 64), help="Server processes.  [default: 1]")
@click.option("--model", metavar="NAME|PATH", help="A shipped model, or a model file.  [default: efficient]")
@click.option("--insecure", is_flag=True, default=None, help="Listen beyond this machine without asking for keys.")
@click.option(
    "--settings",
    "file",
    type=click.Path(path_type=Path),
    help="Settings file (TOML).  [default: that of AASIST_SETTINGS, or none]",
)
@click.option("--show-settings", is_flag=True, help="Print all settings, as a settings file, and end.")
def serve(file: Path | None, show_settings: bool, **given: Any) -> None:
    """Serve verdicts over HTTP: POST a recording to /v1/detect (extra: serve).

    On this machine alone (the default) it needs no keys. To be reached by others, make one first with 'aasist serve keys add'.
    Everything that can be set is listed by --show-settings; options stand above the environment (AASIST_PORT=...), that
    above the settings file. SIGTERM lets it answer what it has accepted. Exit code 2: wrong usage, a wrong setting, or no key.
    """
    context = click.get_current_context()
    context.obj = lambda: _settings(file, given)
    if context.invoked_subcommand is not None:
        if show_settings:
            raise click.UsageError("--show-settings and a command exclude each other")
        return
    settings = _settings(file, given)
    if show_settings:
        click.echo(settings.shown(), nl=False)
        return
    from aasist.service.server import serve as run

    try:
        run(settings, say=lambda line: click.echo(f"aasist serve: {line}", err=True))
    except AasistError as error:
        if error.code in ("no_key", "unknown_model"):
            raise click.UsageError(error.message) from error
        raise


@serve.group()
def keys() -> None:
    """API keys: make, list, revoke; and what webhooks are signed with."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["detect", "jobs", "stream", "metrics"]),
    help="What it is good for; may be repeated.  [default: detect, jobs, stream]",
)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Valid for so long.  [default: for good]")
@click.option(
    "--detail",
    type=click.Choice(["full", "rounded", "label"]),
    default="full",
    show_default=True,
    help="What its holder sees: scores, rounded ones, or labels only.",
)
@click.option("--requests-per-minute", type=click.FloatRange(min=0), help="[default: the setting; 0: no limit]")
@click.option("--audio-seconds-per-hour", type=click.FloatRange(min=0), help="[default: the setting; 0: no limit]")
@click.option("--streams", type=click.IntRange(min=0), help="Live ones at a time.  [default: the setting]")
@click.pass_obj
def add(
    settings: Callable[[], Settings],
    name: str,
    scopes: tuple[str, ...],
    days: float | None,
    detail: Any,
    requests_per_minute: float | None,
    audio_seconds_per_hour: float | None,
    streams: int | None,
) -> None:
    """Make a key called NAME and print it, once: what is stored is its SHA-256.

    The key is the line on standard output; the secret that its webhooks are signed with is told on standard error.
    """
    if days is not None and not math.isfinite(days):
        raise click.UsageError(f"--days must be a finite number, got {days}")
    found = settings()
    from aasist.service.entry.keys import DEFAULT_SCOPES, Limits, new_key, webhook_secret

    key, stored = new_key(
        name,
        scopes=scopes or DEFAULT_SCOPES,
        detail=detail,
        expires_at=None if days is None else time.time() + days * DAY,
        limits=Limits(requests_per_minute, audio_seconds_per_hour, streams),
    )
    store = _store(found)
    store.keys.add(stored)
    click.echo(key)
    click.echo(f"aasist: key {stored.id} ({name}); it is not shown again", err=True)
    click.echo(f"aasist: its webhooks are signed with {webhook_secret(store.secret, stored.id)}", err=True)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_keys(settings: Callable[[], Settings], as_json: bool) -> None:
    """List the keys: never the secret part."""
    now = time.time()
    for key in _store(settings()).keys.all():
        click.echo(json.dumps(_values(key, now)) if as_json else _row(key, now))


@keys.command("webhook-secret")
@click.argument("key_id", metavar="[ID]", required=False)
@click.pass_obj
def tell_webhook_secret(settings: Callable[[], Settings], key_id: str | None) -> None:
    """Print what webhooks of the key ID are signed with; without one, those of jobs that came without a key."""
    from aasist.service.entry.keys import webhook_secret

    store = _store(settings())
    identity = None if key_id is None else _identity(key_id)
    if identity is not None and identity not in {key.id for key in store.keys.all()}:
        raise AasistError("unknown_key", f"no key {identity!r}; aasist serve keys list shows them")
    click.echo(webhook_secret(store.secret, identity))


@keys.command()
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(settings: Callable[[], Settings], key_id: str) -> None:
    """Revoke the key ID (the part between the underscores, or the whole key). It is refused within five seconds."""
    identity = _identity(key_id)
    if not _store(settings()).keys.revoke(identity):
        raise AasistError(
            "unknown_key", f"no key {identity!r} that could be revoked; aasist serve keys list shows them"
        )
    click.echo(f"revoked {identity}")


def _identity(key: str) -> str:
    """The part between the underscores, of a whole key too."""
    return key.split("_")[1] if key.count("_") > 1 else key


def _settings(file: Path | None, given: dict[str, Any]) -> Settings:
    try:
        from aasist.service.settings import read_settings, unknown_variables
    except ModuleNotFoundError:
        raise MissingExtra("aasist serve", "serve") from None
    for line in unknown_variables():
        click.echo(f"aasist serve: {line}", err=True)
    try:
        return read_settings(file, **given)
    except AasistError as error:
        raise click.UsageError(error.message) from error


def _store(settings: Settings) -> Store:
    from aasist.service.store.store import Store

    return Store(settings)


def _values(key: StoredKey, now: float) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "state": key.state(now),
        "scopes": key.scopes.split(),
        "detail": key.detail,
        "created_at": moment(key.created_at, "seconds"),
        "expires_at": moment(key.expires_at, "seconds"),
        "revoked_at": moment(key.revoked_at, "seconds"),
        "requests_per_minute": key.requests_per_minute,
        "audio_seconds_per_hour": key.audio_seconds_per_hour,
        "streams": key.streams,
    }


def _row(key: StoredKey, now: float) -> str:
    until = f", until {moment(key.expires_at, 'seconds')}" if key.expires_at is not None else ""
    own = {
        "requests a minute": key.requests_per_minute,
        "seconds of audio an hour": key.audio_seconds_per_hour,
        "streams": key.streams,
    }
    limits = "".join(f", {value:g} {what}" for what, value in own.items() if value is not None)
    return f"{key.id}  {key.state(now):8} {key.name}: {key.scopes}; {key.detail}{limits}{until}"

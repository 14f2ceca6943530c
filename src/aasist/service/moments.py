"""Moments as they are told: ISO 8601 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(seconds: float | None, timespec: str = "milliseconds") -> str | None:
    """``seconds`` since 1970 -> ``2026-01-31T09:00:00.000+00:00``; ``timespec`` as that of `datetime.isoformat`."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec=timespec)

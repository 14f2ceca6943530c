"""Hosts, origins and networks, as settings name them: checked when they are read, for one that is misspelt never matches."""

from __future__ import annotations

import ipaddress
import re

_NAME = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?![0-9]+$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII
)
"""Of a host, after RFC 1123, and with the underscores of containers; a last part of digits alone is an address that is none."""

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[^/:?#@\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)


def host(text: str) -> str:
    """A name or an address, in lower case; ``ValueError`` for what no request is asked by."""
    small = text.lower()
    if not (_NAME.fullmatch(small) or _is_address(small)):
        raise ValueError(
            f"{text!r} is no host: a name or an address alone, such as example.org, without https:// and port"
        )
    return small


def origin(text: str) -> str:
    """``SCHEME://HOST[:PORT]`` or ``*``, in lower case as browsers send it; ``ValueError`` for anything else."""
    small = text.lower()
    if small == "*":
        return small
    found = _ORIGIN.fullmatch(small)
    if not (
        found and (_NAME.fullmatch(found[2]) or _is_address(found[2].strip("[]"))) and int(found[3] or 0) <= 65_535
    ):
        raise ValueError(f"{text!r} is no origin: https://HOST or https://HOST:PORT, without a path, or *")
    return small


def network_or_host(text: str) -> str:
    """``10.0.0.0/8``, an address, or a host's name; ``ValueError`` for anything else."""
    small = text.lower()
    if not (_NAME.fullmatch(small) or _is_network(small)):
        raise ValueError(
            f"{text!r} is neither a network, such as 10.0.0.0/8, nor a host's name, such as hooks.internal"
        )
    return small


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True

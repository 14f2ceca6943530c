"""What the address of a client counts as."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=4_096)
def counted_as(host: str | None) -> str:
    """A whole /64 of IPv6 is one address: it is given to one."""
    try:
        address = ipaddress.ip_address(host or "unknown")
    except ValueError:
        return host or "unknown"
    if address.version == 4 or address.ipv4_mapped:
        return str(host)
    return str(ipaddress.ip_network((address, 64), strict=False))

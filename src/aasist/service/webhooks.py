"""Tells somebody that a job has ended: signed, retried, and never to an address inside.

``Aasist-Signature: t=SECONDS,v1=HEX``, where HEX is HMAC-SHA256 over ``SECONDS.BODY`` with the key's webhook secret. A receiver
compares it, refuses what is older than a few minutes, and drops an ``id`` that it has had: delivery is at least once.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import SplitResult, urlsplit

from aasist.service.problems import Problem
from aasist.service.settings import Settings

SIGNATURE = "Aasist-Signature"
TIMEOUT_SECONDS, WHOLE_SECONDS = 10.0, 30.0
MAX_URL = 2_000

FIRST_RETRY_SECONDS, GROWTH = 10.0, 4.0
MOST_RETRY_SECONDS = 6 * 3600.0

_INSIDE = "webhook_url must not lead inside; see the setting webhook_allow"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_WORLD = ipaddress.ip_network("2000::/3")
"""All that IANA has given out of version 6."""
_NOBODY = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
            *("2001::/23", "2001:db8::/32", "3fff::/20"),
        ),
    )
)
"""Of IANA's registries of special-purpose addresses (RFC 6890): `ipaddress` calls some of them global, others by its version."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check(url: str, settings: Settings) -> None:
    """`Problem` 400 for a URL that will never be called; where its name leads is looked at when it is."""
    parts = _parts(url)
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host or parts.username is not None or parts.password is not None:
        raise _bad("webhook_url must be https://HOST/..., without a user and password in it")
    literal = _literal(host)
    here = host == "localhost" or (literal is not None and _inner(literal).is_loopback)
    named = _named(literal, host, settings)
    if parts.scheme == "http" and not (here or named):
        raise _bad("webhook_url must be https; http only to this machine and to what the setting webhook_allow names")
    if literal is not None:
        _refuse_inside(literal, host, settings)
    elif here and not (settings.loopback or named):
        raise _bad(_INSIDE)


def signature(secret: str, body: bytes, now: float | None = None) -> str:
    """The header's value."""
    moment = int(time.time() if now is None else now)
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


CUT = "cut"


class Calls:
    """Deliveries that are under way, so that another thread can cut all of them off, once and for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[_Plain] = set()
        self.are_cut = False

    def cut(self) -> None:
        """End them; what is begun afterwards is not made."""
        with self._lock:
            self.are_cut = True
            for connection in self._open:
                connection.cut()

    @contextmanager
    def one(self, connection: _Plain) -> Iterator[None]:
        """While it is open. `ConnectionAbortedError` where all have been cut."""
        with self._lock:
            if self.are_cut:
                raise ConnectionAbortedError
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)


def deliver(url: str, body: bytes, secret: str, settings: Settings, calls: Calls | None = None) -> str:
    """Send once; ``delivered``, ``gone`` (410: never again), or why not: ``status 500``, ``refused``, ``unreachable``, ..., or
    `CUT` where ``calls`` were cut meanwhile."""
    calls = calls or Calls()
    try:
        check(url, settings)
        parts = _parts(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = resolved(parts.hostname or "", port, settings)
    except Problem:
        return "refused"
    except (OSError, UnicodeError):
        return "unresolved"
    connection = (_Secure if parts.scheme == "https" else _Plain)(parts.hostname or "", port, address)
    # Each step has its time, and so has the whole: a receiver that answers a byte at a time holds a thread no longer.
    watch = threading.Timer(WHOLE_SECONDS, connection.cut)
    watch.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "aasist-webhook",
            SIGNATURE: signature(secret, body),
        }
        with calls.one(connection):
            connection.request("POST", path, body, headers)
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError):
        return CUT if calls.are_cut else "unreachable"
    finally:
        watch.cancel()
        connection.close()
    if 200 <= status < 300:
        return "delivered"
    return "gone" if status == 410 else f"status {status}"  # a redirect is not followed: it could lead anywhere


def next_at(attempts: int, settings: Settings, now: float | None = None) -> float | None:
    """When to try again after so many attempts; None: not any more."""
    if attempts >= settings.webhook_attempts:
        return None
    wait = min(MOST_RETRY_SECONDS, FIRST_RETRY_SECONDS * GROWTH ** (attempts - 1))
    return (time.time() if now is None else now) + wait


def resolved(host: str, port: int, settings: Settings) -> str:
    """The address that is connected to, and no other: a name that leads elsewhere a moment later changes nothing.

    `Problem` where any of the name's addresses is inside.
    """
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for text in found:
        _refuse_inside(ipaddress.ip_address(text.partition("%")[0]), host, settings)
    return found[0]


def _refuse_inside(address: Address, host: str, settings: Settings) -> None:
    inner = _inner(address)
    if _named(inner, host, settings) or (inner.is_loopback and settings.loopback):
        return
    special = any(inner in network for network in _NOBODY) or (inner.version == 6 and inner not in _WORLD)
    if special or not inner.is_global or inner.is_multicast:
        raise _bad(_INSIDE)


def _inner(address: Address) -> Address:
    """The address of version 4 that one of version 6 stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        teredo = address.teredo
        return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)
    return address


def _named(address: Address | None, host: str, settings: Settings) -> bool:
    for entry in settings.webhook_allow:
        if entry == host:
            return True
        try:
            if address is not None and address in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:  # a host's name
            continue
    return False


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _parts(url: str) -> SplitResult:
    if len(url) > MAX_URL or not url.isprintable() or not url.isascii() or " " in url:
        raise _bad(f"webhook_url must be at most {MAX_URL:,} printable ASCII characters")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise _bad("webhook_url is not a URL") from None
    return parts


def _bad(message: str) -> Problem:
    return Problem(400, "webhook_url", message)


class _Plain(http.client.HTTPConnection):
    """Connects to one address, in the name of the host."""

    def __init__(self, host: str, port: int, address: str) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._address, self._is_cut = address, False

    def connect(self) -> None:
        # Known before it is connected, so that also this can be cut off.
        self.sock = socket.socket(socket.AF_INET6 if ":" in self._address else socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        if self._is_cut:
            raise ConnectionAbortedError
        self.sock.connect((self._address, self.port))

    def cut(self) -> None:
        """End it from another thread."""
        self._is_cut = True
        with suppress(OSError, TypeError):  # not yet connected; no socket yet
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # that of TLS would forget its state under a reader


class _Secure(_Plain):
    """The certificate must be the host's."""

    default_port = 443

    def connect(self) -> None:
        super().connect()
        # First known, then greeted: of a greeting that comes a byte at a time, too, each byte has its time and the whole has not.
        self.sock = ssl.create_default_context().wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )
        self.sock.do_handshake()

"""Webhooks: to whom, signed how, tried how often; and never to an address inside."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aasist.service import webhooks
from aasist.service.problems import Problem
from aasist.service.settings import Settings

HERE = Settings()
OPEN = Settings(host="192.0.2.1")


@contextmanager
def receiver(status: int = 200, headers: dict[str, str] | None = None):
    """A server of this machine; gives its URL and the requests it had: (path, headers, body)."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, dict(self.headers), body))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/x",
        "https://hooks.example:8443/x?y=1",
        "https://93.184.216.34/",
        "https://[2606:4700::1]/",
    ],
)
def test_https_to_the_world_is_allowed(url):
    webhooks.check(url, OPEN)
    webhooks.check(url, HERE)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/", "ftp://hooks.example/", "file:///etc/passwd", "hooks.example", "", "https://", "https:///x",
        "https://user:word@hooks.example/", "https://127.0.0.1/", "http://127.0.0.1:9/", "https://localhost/",
        "https://10.0.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest", "https://[::1]/", "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://224.0.0.1/",
        "https://[fec0::1]/", "https://[64:ff9b:1::a00:1]/", "https://[::127.0.0.1]/", "https://[::ffff:0:10.0.0.1]/",
        "https://[5f00::1]/", "https://[3fff::1]/", "https://[2001:db8::1]/", "https://[2001:2::1]/", "https://[4000::1]/",
        "https://192.0.0.192/", "https://192.88.99.1/", "https://100.64.0.1/", "https://198.18.0.1/", "https://240.0.0.1/",
        "https://[2001:0:7f00:1::]/", "https://[::ffff:192.0.0.192]/", "https://[64:ff9b::c000:c0]/",
        "https://0.0.0.0/", "https://hooks.example:99999/", "https://hooks.example/\n", "https://é.example/", "https://[::1",
        "https://h.example/" + "x" * 3_000,
    ],
)  # fmt: skip
def test_addresses_inside_and_what_is_no_url_are_refused(url):
    with pytest.raises(Problem) as caught:
        webhooks.check(url, OPEN)
    assert (caught.value.status, caught.value.code) == (400, "webhook_url")


def test_a_service_of_this_machine_alone_may_call_this_machine():
    for url in ("http://127.0.0.1:9/", "http://localhost/x", "http://[::1]/"):
        webhooks.check(url, HERE)
    with pytest.raises(Problem):
        webhooks.check("http://10.0.0.1/", HERE)


def test_what_the_setting_names_is_allowed():
    given = Settings(host="192.0.2.1", webhook_allow="10.1.0.0/16,hooks.internal")
    webhooks.check("http://10.1.2.3/", given)
    webhooks.check("http://hooks.internal/", given)
    for url in ("http://10.2.0.1/", "http://other.internal/"):
        with pytest.raises(Problem):
            webhooks.check(url, given)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "fec0::1", "192.0.0.192"]
)
def test_a_name_that_leads_inside_is_not_called(monkeypatch, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))
    inside = (family, socket.SOCK_STREAM, 6, "", (address, 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **options: [public, inside])
    monkeypatch.setattr(socket, "create_connection", lambda *given: pytest.fail("it was called"))
    assert webhooks.deliver("https://rebind.example/", b"{}", "s", OPEN) == "refused"


def test_the_address_that_was_looked_at_is_the_one_that_is_called(monkeypatch):
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **options: [public])
    called = []

    def connect(sock, address):
        called.append((address, sock.gettimeout()))
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert webhooks.deliver("https://hooks.example/", b"{}", "s", OPEN) == "unreachable"
    assert called == [(("93.184.216.34", 443), webhooks.TIMEOUT_SECONDS)]


def test_what_is_sent_can_be_checked_by_whoever_knows_the_secret():
    with receiver() as (url, seen):
        assert webhooks.deliver(f"{url}/hook?x=1", b'{"id": 1}', "secret", HERE) == "delivered"
    path, headers, body = seen[0]
    assert (path, body) == ("/hook?x=1", b'{"id": 1}')
    moment, digest = (part.partition("=")[2] for part in headers["Aasist-Signature"].split(","))
    assert abs(time.time() - int(moment)) < 60
    assert hmac.new(b"secret", moment.encode() + b"." + body, hashlib.sha256).hexdigest() == digest


@pytest.mark.parametrize(
    ("status", "outcome"), [(204, "delivered"), (500, "status 500"), (404, "status 404"), (410, "gone")]
)
def test_what_the_receiver_answers_decides(status, outcome):
    with receiver(status) as (url, _):
        assert webhooks.deliver(url, b"{}", "s", HERE) == outcome


def test_a_redirect_is_not_followed():
    with receiver() as (inner, seen), receiver(302, {"Location": f"{inner}/secret"}) as (url, _):
        assert webhooks.deliver(url, b"{}", "s", HERE) == "status 302"
    assert seen == []


def test_who_answers_a_byte_at_a_time_is_cut_off(monkeypatch):
    monkeypatch.setattr(webhooks, "WHOLE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def dribble() -> None:
            connection, _ = server.accept()
            with connection:
                while not stop.wait(0.1):
                    try:
                        connection.send(b"H")
                    except OSError:
                        return

        thread = threading.Thread(target=dribble)
        thread.start()
        begun = time.monotonic()
        assert webhooks.deliver(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", "s", HERE) == "unreachable"
        assert time.monotonic() - begun < 5
        stop.set()
        thread.join()


def test_it_is_tried_again_ever_later_and_given_up():
    waits = [webhooks.next_at(attempts, HERE, now=0.0) for attempts in range(1, 9)]
    assert waits == [10.0, 40.0, 160.0, 640.0, 2560.0, 10_240.0, 21_600.0, None]


def test_the_last_attempt_comes_when_the_setting_says():
    moments = [0.0]
    while (again := webhooks.next_at(len(moments), HERE, moments[-1])) is not None:
        moments.append(again)
    assert len(moments) == HERE.webhook_attempts
    hours = f"the last of {len(moments)} comes {moments[-1] / 3600:.1f} hours after the first"
    assert hours in Settings.model_fields["webhook_attempts"].description

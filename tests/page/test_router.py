"""How the files of the page are answered: under a strict policy, cached as they may be, and nothing besides."""

from __future__ import annotations

import gzip
import re

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from aasist.service.entry.guards import Guards
from aasist.service.metrics import Metrics
from aasist.service.page import BUILT, FACTS, page_router
from aasist.service.settings import Settings


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    app.include_router(page_router())
    return TestClient(app)


@pytest.fixture(scope="module")
def script(client) -> str:
    return "/" + re.search(r'src="\./(assets/[^"]+\.js)"', client.get("/").text).group(1)


def test_the_policy_allows_this_server_and_one_style_sheet_by_its_hash(client, script):
    for path in ("/", script, "/licences.txt"):
        policy = dict(part.split(" ", 1) for part in client.get(path).headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["img-src"] == "'self'"
        assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/]{43}='", policy["style-src"])
        assert policy["media-src"] == "blob:"
        assert {policy[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
        assert set(policy) == {
            "default-src", "script-src", "style-src", "connect-src", "img-src", "media-src", "base-uri", "form-action",
            "frame-ancestors",
        }  # fmt: skip


def test_the_other_headers_close_what_the_page_does_not_need():
    app = FastAPI()
    app.include_router(page_router())
    app.add_middleware(Guards, settings=Settings(), metrics=Metrics())
    headers = TestClient(app, base_url="http://127.0.0.1").get("/").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "microphone=(self)" in headers["Permissions-Policy"] and "camera=()" in headers["Permissions-Policy"]


def test_what_has_its_hash_in_its_name_is_kept_and_the_rest_is_asked_for_again(client, script):
    assert client.get(script).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    first = client.get("/")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/", headers={"If-None-Match": f'"other", W/{first.headers["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert "Content-Security-Policy" in again.headers
    assert client.get("/", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
        ("", False),
    ],
)
def test_files_are_packed_for_those_who_unpack(accepted, packed, client, script):
    with client.stream("GET", script, headers={"Accept-Encoding": accepted}) as response:
        raw = b"".join(response.iter_raw())
    assert (response.headers.get("Content-Encoding") == "gzip") is packed
    assert response.headers["Vary"] == "Accept-Encoding"
    assert int(response.headers["Content-Length"]) == len(raw)
    assert (gzip.decompress(raw) if packed else raw) == (BUILT / script[1:]).read_bytes()


def test_head_is_answered_as_get_without_the_body(client):
    head, get = client.head("/"), client.get("/")
    assert head.content == b"" and head.headers == get.headers


def test_types_are_told_and_do_not_hang_on_the_machine(client, script):
    types = {path: client.get(path).headers["Content-Type"] for path in ("/", script, "/favicon.svg", "/licences.txt")}
    assert list(types.values()) == [
        "text/html; charset=utf-8", "text/javascript; charset=utf-8", "image/svg+xml", "text/plain; charset=utf-8",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [f"/{FACTS}", "/index.html/x", "/assets", "/assets/", "/../page.py", "/assets/..%2f..%2fpage.py", "/assets/%00"],
)
def test_nothing_else_is_answered(path, client):
    assert client.get(path).status_code == 404


def test_other_methods_are_refused_and_the_page_is_not_in_the_schema(client):
    assert client.post("/").status_code == 405
    assert client.get("/openapi.json").json()["paths"] == {}


def test_a_checkout_without_the_page_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="run 'make page'"):
        page_router(tmp_path)

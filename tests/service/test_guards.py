"""Around every request: names, origins, headers, keys, and a log that gives nobody away."""

from __future__ import annotations

import json
import logging
import re

import pytest
from starlette.testclient import WebSocketDenialResponse

from aasist.service.entry.guards import SECURITY_HEADERS
from aasist.service.entry.keys import new_key
from aasist.service.logs import JsonLines

from .test_detect import form, problem


@pytest.mark.parametrize("path", ["/healthz", "/v1/models", "/nothing", "/openapi.json"])
def test_every_answer_has_the_headers_that_keep_browsers_safe(client, path):
    response = client.get(path)
    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name] == value
    assert len(response.headers["X-Request-Id"]) == 16
    assert "server" not in response.headers


def test_the_page_has_them_too_but_for_what_it_may_load_and_how_long_it_keeps(client):
    response = client.get("/")
    assert response.status_code == 200
    own = {name for name, value in SECURITY_HEADERS.items() if response.headers[name] != value}
    assert own == {"Content-Security-Policy", "Cache-Control"}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost@evil.example"]
)
def test_on_loopback_no_other_name_is_answered(client, host):
    """A page whose name was made to lead here must not use what needs no key."""
    problem(client.get("/v1/models", headers={"Host": host}), 421, "unknown_host")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
def test_names_of_this_machine_are(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_pages_of_other_origins_may_not_post(client, speech):
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9", "http://localhost"):
        problem(client.post("/v1/detect", headers={"Origin": origin}, **form(speech)), 403, "foreign_origin")
    assert client.post("/v1/detect", headers={"Origin": "http://127.0.0.1"}, **form(speech)).status_code == 200


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b", "//", "http:///"])
def test_an_origin_that_is_none_is_a_foreign_one(client, speech, origin):
    problem(client.post("/v1/detect", headers={"Origin": origin}, **form(speech)), 403, "foreign_origin")
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("ws://127.0.0.1/v1/stream", headers={"Origin": origin}),
    ):
        pass
    problem(refused.value, 403, "foreign_origin")
    assert "cors_origins" in refused.value.json()["detail"]


def counted(client, code: str) -> float:
    """How many answers were problems of this code."""
    found = re.search(rf'aasist_refused_total{{code="{code}"}} (\S+)', client.get("/metrics").text)
    return float(found[1]) if found else 0.0


def test_a_stream_that_is_refused_is_answered_logged_and_counted_as_any_request(client, caplog):
    logging.getLogger("aasist.service").propagate = True
    with (
        caplog.at_level(logging.INFO, "aasist.service"),
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("ws://127.0.0.1/v1/stream", headers={"Host": "evil.example"}),
    ):
        pass
    response = refused.value
    problem(response, 421, "unknown_host")
    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name] == value
    (line,) = [json.loads(JsonLines().format(record)) for record in caplog.records if record.message == "request"]
    assert (line["method"], line["status"], line["code"]) == ("websocket", 421, "unknown_host")
    assert line["request"] == response.headers["X-Request-Id"]
    elsewhere, key = "ws://127.0.0.1/v1/streams", {"Authorization": "Bearer aasist_a_b"}
    for address, headers, code in (
        (elsewhere, {}, "not_found"), ("ws://127.0.0.1/v1/stream", key, "key_invalid")
    ):  # fmt: skip
        before = counted(client, code)
        caplog.clear()
        with (
            caplog.at_level(logging.INFO, "aasist.service"),
            pytest.raises(WebSocketDenialResponse) as refused,
            client.websocket_connect(address, headers=headers),
        ):
            pass
        (line,) = [json.loads(JsonLines().format(record)) for record in caplog.records if record.message == "request"]
        assert (line["method"], line["code"], line["request"]) == (
            "websocket",
            code,
            refused.value.headers["X-Request-Id"],
        )
        assert refused.value.headers["X-Frame-Options"] == "DENY"
        assert counted(client, code) == before + 1
    figures = client.get("/metrics").text
    assert 'aasist_requests_total{method="websocket",route="unmatched",status="421"}' in figures
    assert 'aasist_refused_total{code="unknown_host"}' in figures


def test_origins_are_let_in_by_name_only(serving, speech):
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    closed = serving().options("/v1/detect", headers=preflight)
    assert "access-control-allow-origin" not in closed.headers
    client = serving(cors_origins="https://app.example")
    opened = client.options("/v1/detect", headers=preflight)
    assert opened.headers["access-control-allow-origin"] == "https://app.example"
    response = client.post("/v1/detect", headers={"Origin": "https://app.example"}, **form(speech))
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, "https://app.example")
    problem(client.post("/v1/detect", headers={"Origin": "https://b.example"}, **form(speech)), 403, "foreign_origin")


def test_many_headers_are_refused(client):
    problem(client.get("/healthz", headers={f"X-{n}": "y" for n in range(200)}), 431, "too_many_headers")


def test_so_are_few_that_are_long(client):
    for headers in ({"X-Long": "y" * 33_000}, {f"X-{n}": "y" * 1_300 for n in range(30)}):
        said = problem(client.get("/healthz", headers=headers), 431, "too_many_headers")["detail"]
        assert "32,768 may be" in said
    assert client.get("/healthz", headers={"X-Long": "y" * 31_000}).status_code == 200


@pytest.fixture
def guarded(serving):
    """A service that others could reach, and makes of keys."""
    client = serving(host="192.0.2.1")

    def bearer(**given) -> dict[str, str]:
        key, stored = new_key("test", **given)
        client.app.state.service.store.keys.add(stored)
        return {"Authorization": f"Bearer {key}"}

    return client, bearer


def test_beyond_loopback_everything_but_health_needs_a_key(guarded, speech):
    client, bearer = guarded
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    for path in ("/v1/models", "/metrics", "/v1/jobs/" + "0" * 32, "/v1/verdicts/" + "0" * 32):
        response = client.get(path)
        problem(response, 401, "key_required")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    problem(client.post("/v1/detect", **form(speech)), 401, "key_required")
    assert client.post("/v1/detect", headers=bearer(), **form(speech)).status_code == 200


def test_on_loopback_too_where_a_proxy_of_this_machine_lets_others_in(serving, speech):
    client = serving(require_keys=True)
    problem(client.post("/v1/detect", **form(speech)), 401, "key_required")
    key, stored = new_key("test")
    client.app.state.service.store.keys.add(stored)
    assert client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize(
    ("scope", "allowed"), [("detect", {"detect"}), ("jobs", {"jobs"}), ("metrics", {"metrics"}), ("stream", set())]
)
def test_a_key_is_good_for_its_scopes(guarded, speech, scope, allowed):
    client, bearer = guarded
    headers = bearer(scopes=(scope,))
    found = {
        "detect": client.post("/v1/detect", headers=headers, **form(speech)),
        "jobs": client.post("/v1/jobs", headers=headers, **form(speech)),
        "metrics": client.get("/metrics", headers=headers),
    }
    assert {name for name, response in found.items() if response.status_code < 300} == allowed
    for name in set(found) - allowed:
        problem(found[name], 403, "scope")


def test_what_a_key_has_made_is_not_there_for_another(guarded, speech):
    client, bearer = guarded
    mine, yours = bearer(), bearer()
    job = client.post("/v1/jobs", headers=mine, **form(speech)).headers["Location"]
    verdict = client.post("/v1/detect", headers=mine, **form(speech)).headers["Aasist-Verdict"]
    client.portal.call(client.app.state.service.ledger.flush)
    for path in (job, f"/v1/verdicts/{verdict}"):
        assert client.get(path, headers=mine).status_code == 200
        problem(client.get(path, headers=yours), 404, "not_found")
    problem(client.delete(job, headers=yours), 404, "not_found")


def test_who_tries_keys_is_slowed_down(serving):
    client = serving(host="192.0.2.1", requests_per_minute=5)
    codes = [client.get("/v1/models", headers={"Authorization": "Bearer aasist_a_b"}).json()["code"] for _ in range(8)]
    assert codes == ["key_invalid"] * 5 + ["request_rate"] * 3


def test_too_many_requests_are_told_when_to_come_again(serving):
    client = serving(requests_per_minute=2)
    assert [client.get("/v1/models").status_code for _ in range(3)] == [200, 200, 429]
    assert 1 <= int(client.get("/v1/models").headers["Retry-After"]) <= 31
    assert client.get("/healthz").status_code == 200


def test_the_log_says_what_happened_and_nothing_of_whom(guarded, speech, caplog):
    client, bearer = guarded
    headers = bearer()
    logging.getLogger("aasist.service").propagate = True
    with caplog.at_level(logging.INFO, "aasist.service"):
        client.post("/v1/detect?timeline=1", headers=headers, **form(speech, "my-secret-call.wav"))
        client.get("/v1/jobs/" + "f" * 32, headers=headers)
        client.get("/some/secret/path?token=zyxw")
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    answered = [line for line in lines if line["event"] == "request"]
    assert [(line["route"], line["status"]) for line in answered] == [
        ("/v1/detect", 200), ("/v1/jobs/{job_id}", 404), ("unmatched", 404)
    ]  # fmt: skip
    text = "\n".join(map(json.dumps, lines))
    _, identity, secret = headers["Authorization"].split("_", 2)
    for hidden in (secret, "secret", "zyxw", "f" * 32, "testclient"):
        assert hidden not in text
    assert answered[0]["key_id"] == identity


def test_a_failure_of_ours_is_a_problem_that_tells_no_more_than_its_number(client, monkeypatch, caplog):
    logging.getLogger("aasist.service").propagate = True

    def broken():
        raise RuntimeError("/home/me/secret")

    monkeypatch.setattr("aasist.service.routes.models.shipped", broken)
    response = client.get("/v1/models")
    values = problem(response, 500, "internal")
    assert "secret" not in response.text
    assert response.headers["X-Request-Id"] in values["detail"]
    assert "secret" in caplog.text  # where those who run it find it


def test_a_model_that_fails_tells_its_path_to_the_log_only(client, monkeypatch, speech, caplog):
    from aasist.errors import ModelError

    logging.getLogger("aasist.service").propagate = True

    def broken(*arguments, **options):
        raise ModelError("model", "/srv/models/secret.onnx failed")

    monkeypatch.setattr(client.app.state.service.judge._now, "judge", broken, raising=False)
    response = client.post("/v1/detect", **form(speech))
    problem(response, 500, "model")
    assert "secret" not in response.text
    assert "secret.onnx" in caplog.text or any("secret" in str(vars(record)) for record in caplog.records)


def test_readiness_follows_the_database_and_the_end(client, monkeypatch):
    from sqlalchemy.exc import OperationalError

    service = client.app.state.service

    def silent():
        raise OperationalError("", None, Exception())

    monkeypatch.setattr(service.store, "ping", silent)
    problem(client.get("/readyz"), 503, "database")
    monkeypatch.undo()
    assert client.get("/readyz").json() == {"status": "ready"}
    service.ready = False
    problem(client.get("/readyz"), 503, "stopping")
    assert client.get("/healthz").json() == {"status": "ok"}
    service.ready = True


def test_figures_are_counted(client, speech):
    def figure(line: str) -> float:
        text = client.get("/metrics").text
        return next((float(one.split()[-1]) for one in text.splitlines() if one.startswith(line)), 0.0)

    asked = 'aasist_requests_total{method="POST",route="/v1/detect",status="200"}'
    before = figure(asked), figure("aasist_audio_seconds_total"), figure("aasist_windows_total")
    client.post("/v1/detect", **form(speech))
    assert figure(asked) == before[0] + 1
    assert figure("aasist_audio_seconds_total") == pytest.approx(before[1] + 3.0)
    assert figure("aasist_windows_total") > before[2]
    assert figure("aasist_uploads_in_flight") == 0

"""A service in the detector's place: its verdicts, its refusals, and what is no service at all."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from aasist.audio.decode import ReadLimits
from aasist.errors import AasistError, AudioError
from aasist.runtime.remote import RemoteDetector, verdict_of

SERVING = {"name": "efficient", "serving": True, "sha256": "a" * 64, "precision": "fp32"}
MODELS = {"models": [{"name": "small", "serving": False, "sha256": None, "precision": None}, SERVING]}
VERDICT = {
    "path": None,
    "label": "spoof",
    "score": 0.25,
    "llr": -1.1,
    "threshold": -0.5,
    "duration_seconds": 4.0,
    "speech_seconds": 3.0,
    "sample_rate": 16_000,
    "channels": 1,
    "segments": [{"start": 0.0, "end": 4.0, "score": 0.25, "llr": -1.1}],
    "windows": [{"start": 0.0, "end": 4.0, "score": 0.25, "llr": -1.1}],
    "warnings": [{"code": "noisy", "message": "noise"}],
    "model": {"name": "efficient", "sha256": "a" * 64, "precision": "fp32"},
    "error": None,
}

Reply = tuple[int, dict[str, str], Any]
BREAK: Reply = (0, {}, None)
"""The connection is closed in the place of an answer."""


def problem(status: int, code: str, **headers: str) -> Reply:
    return (
        status,
        headers,
        {"type": f"urn:aasist:{code}", "title": "", "status": status, "detail": f"it is {code}", "code": code},
    )


class Fake:
    """Answers what it is told to, in order, the last again and again; keeps what it was sent."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [(200, {}, VERDICT)]
        self.models: Reply = (200, {}, MODELS)
        self.jobs: list[Reply] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.got.append((self.path, dict(self.headers), b""))
                job = self.path.startswith("/v1/jobs/")
                self._reply(outer.jobs.pop(0) if job else outer.models)

            def do_DELETE(self) -> None:
                outer.got.append((self.path, dict(self.headers), b"DELETE"))
                self._reply((200, {}, {}))

            def do_POST(self) -> None:
                reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                early = (
                    reply[2] is not None and reply[0] == 413 and reply[2]["code"] == "other"
                )  # said before anything of the body was read
                body = b"" if early else self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers), body))
                self._reply(reply)
                self.close_connection = True

            def _reply(self, reply: Reply) -> None:
                status, headers, values = reply
                if status == 0:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(values if isinstance(values, bytes) else json.dumps(values).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def fake() -> Iterator[Fake]:
    found = Fake()
    yield found
    found.close()


@pytest.fixture
def naps() -> list[float]:
    """How long was slept, without sleeping."""
    return []


@pytest.fixture
def remote(fake: Fake, naps: list[float]) -> Callable[..., RemoteDetector]:
    def make(path: str = "", **given: Any) -> RemoteDetector:
        return RemoteDetector(fake.url + path, sleep=naps.append, **given)

    return make


def test_a_verdict_is_taken_as_it_was_told_under_the_name_that_it_has_here(remote, fake, tmp_path):
    path = tmp_path / "call.wav"
    path.write_bytes(b"RIFF" + bytes(200_000))
    detector = remote(key="aasist_1_2")
    assert detector.model.name == "efficient"
    verdict = detector.detect(path)
    assert json.loads(verdict.to_json(timeline=True)) == {**VERDICT, "path": str(path)}
    assert detector.threshold == VERDICT["threshold"]
    where, headers, body = fake.got[-1]
    assert where == "/v1/detect?timeline=1"
    assert headers["Authorization"] == "Bearer aasist_1_2"
    assert body == path.read_bytes()
    assert "call" not in json.dumps(headers)


def test_bytes_and_file_objects_are_sent_from_their_start(remote, fake):
    file = io.BytesIO(b"0123456789")
    file.read(5)
    remote().detect(file)
    assert fake.got[-1][2] == b"0123456789"
    assert not file.closed
    assert remote().detect(b"abc").path == "<bytes>"


def test_a_prefix_of_the_address_is_kept(remote, fake):
    remote("/voice/").detect(b"abc")
    assert [where for where, *_ in fake.got] == ["/voice/v1/models", "/voice/v1/detect?timeline=1"]


def test_what_is_busy_is_asked_again_when_it_says_so(remote, fake, naps):
    fake.replies = [
        problem(503, "busy", Retry_After="7"),
        problem(429, "request_rate", Retry_After="30"),
        (200, {}, VERDICT),
    ]
    assert remote().detect(b"abc").label == "spoof"
    assert naps == [7.0, 30.0]
    assert [body for *_, body in fake.got[1:]] == [b"abc"] * 3


def test_patience_ends(remote, fake, naps):
    fake.replies = [problem(503, "busy", Retry_After="50")]
    with pytest.raises(AasistError, match="it is busy") as refused:
        remote().detect(b"abc")
    assert refused.value.code == "busy"
    assert naps == [50.0, 50.0]


def test_without_a_time_to_come_again_pauses_grow(remote, fake, naps):
    fake.replies = [
        problem(503, "busy"),
        problem(503, "busy", Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"),
        (200, {}, VERDICT),
    ]
    remote().detect(b"abc")
    assert naps == [1.0, 2.0]


def test_a_connection_that_breaks_is_tried_three_times(remote, fake, naps):
    fake.replies = [BREAK, BREAK, (200, {}, VERDICT)]
    assert remote().detect(b"abc").label == "spoof"
    fake.replies = [BREAK]
    with pytest.raises(AasistError, match="cannot be reached") as refused:
        remote().detect(b"abc")
    assert refused.value.code == "unreachable"
    assert len(naps) == 4


def test_an_answer_that_breaks_off_is_asked_for_again(remote, fake, naps):
    fake.replies = [(200, {"Content-Length": "5000"}, VERDICT), (200, {}, VERDICT)]
    assert remote().detect(b"abc").label == "spoof"
    assert naps == [1.0]


def job(status: str, seconds: float = 0.0, **more: Any) -> dict[str, Any]:
    return {"id": "j1", "status": status, "progress_seconds": seconds, "verdict": None, "error": None, **more}


def test_what_is_too_long_for_an_answer_is_judged_as_a_job(remote, fake, naps):
    fake.replies = [problem(413, "too_long"), (202, {}, job("queued"))]
    fake.jobs = [(200, {}, job("running", 3.5)), (200, {}, job("done", verdict=VERDICT))]
    told: list[float] = []
    assert remote().detect(b"abc", progress=told.append).label == "spoof"
    assert told == [0.0, 3.5]
    assert naps == [2.0, 2.0]
    assert [where for where, *_ in fake.got[1:]] == [
        "/v1/detect?timeline=1",
        "/v1/jobs?timeline=1",
        "/v1/jobs/j1",
        "/v1/jobs/j1",
    ]
    assert fake.got[2][2] == b"abc"


def test_a_job_whose_answer_was_lost_is_sent_again_as_the_same(remote, fake):
    """The header tells the service; each recording has its own."""
    detector, told = remote(), []
    for _ in range(2):
        fake.got.clear()
        fake.replies = [problem(413, "too_long"), BREAK, (202, {}, job("done", verdict=VERDICT))]
        assert detector.detect(b"abc").label == "spoof"
        sent = [headers.get("Idempotency-Key") for where, headers, _ in fake.got if where.startswith("/v1/jobs")]
        assert len(sent) == 2
        assert sent[0] == sent[1]
        told.append(sent[0])
    assert all(told)
    assert told[0] != told[1]


def test_while_a_job_is_judged_the_service_may_be_away_for_a_while(remote, fake, naps):
    fake.replies = [problem(413, "too_long"), (202, {}, job("queued"))]
    fake.jobs = [*[BREAK] * 10, (200, {}, job("done", verdict=VERDICT))]
    assert remote().detect(b"abc").label == "spoof"
    assert sum(naps) > 60
    assert fake.got[-1][2] == b""


def test_away_for_good_the_job_is_left_to_go_on_and_said_where(remote, fake, naps):
    fake.replies = [problem(413, "too_long"), (202, {}, job("queued"))]
    fake.jobs = [BREAK] * 100
    with pytest.raises(AasistError, match=r"the job goes on there: http://.*/v1/jobs/j1") as refused:
        remote().detect(b"abc")
    assert refused.value.code == "unreachable"
    assert 100 < sum(naps) <= 122
    assert b"DELETE" not in [body for *_, body in fake.got]


def test_a_job_that_failed_says_why(remote, fake):
    fake.replies = [problem(413, "too_long"), (202, {}, job("queued"))]
    fake.jobs = [(200, {}, job("failed", error={"code": "unreadable", "message": "it is damaged"}))]
    with pytest.raises(AudioError, match="it is damaged") as refused:
        remote().detect(b"abc")
    assert refused.value.code == "unreadable"


def test_a_key_without_jobs_is_told_both_refusals(remote, fake):
    fake.replies = [problem(413, "too_long"), problem(403, "scope")]
    with pytest.raises(AudioError, match="it is too_long; as a job it was refused: it is scope") as refused:
        remote().detect(b"abc")
    assert refused.value.code == "too_long"


def test_who_waits_is_told_once_why(remote, fake):
    fake.replies = [problem(503, "busy", Retry_After="7"), problem(429, "request_rate"), (200, {}, VERDICT)]
    told: list[str] = []
    remote(say=told.append).detect(b"abc")
    assert told == ["it is busy; asking again for up to 120 s"]
    remote(say=told.append).detect(b"abc")
    assert len(told) == 1


def test_a_job_that_is_no_longer_waited_for_is_cancelled(fake):
    def stopped(seconds: float) -> None:
        raise KeyboardInterrupt

    fake.replies = [problem(413, "too_large"), (202, {}, job("queued"))]
    with pytest.raises(KeyboardInterrupt):
        RemoteDetector(fake.url, sleep=stopped).detect(b"abc")
    assert fake.got[-1][0] == "/v1/jobs/j1"
    assert fake.got[-1][2] == b"DELETE"


@pytest.mark.parametrize("values", [{}, {"id": "j1", "status": "done"}, job("done"), []])
def test_a_job_that_is_none_is_said(remote, fake, values):
    fake.replies = [problem(413, "too_long"), (202, {}, values)]
    with pytest.raises(AasistError, match="as 'aasist serve' does"):
        remote().detect(b"abc")


@pytest.mark.parametrize(("status", "code"), [(413, "other"), (422, "too_short")])
def test_what_cannot_be_judged_there_is_an_audio_error_with_its_code(remote, fake, naps, status, code):
    fake.replies = [problem(status, code)]
    with pytest.raises(AudioError, match=f"it is {code}") as refused:
        remote().detect(bytes(3_000_000))
    assert refused.value.code == code
    assert naps == []


def test_a_key_that_is_not_good_is_said_at_once_and_how_to_give_one(remote, fake):
    fake.models = problem(401, "key_invalid")
    with pytest.raises(AasistError, match="AASIST_API_KEY") as refused:
        remote()
    assert refused.value.code == "key_invalid"


@pytest.mark.parametrize(
    "models", [(200, {}, b"<html>"), (200, {}, {}), (404, {}, b"nothing"), (301, {"Location": "https://x"}, b""), (200, {}, {"models": []})]
)  # fmt: skip
def test_another_kind_of_server_is_known_by_its_answer(remote, fake, models):
    fake.models = models
    with pytest.raises(AasistError, match="as 'aasist serve' does") as refused:
        remote()
    assert refused.value.code == "server"
    assert len(fake.got) == 1


@pytest.mark.parametrize("lacking", ["label", "segments", "model", "threshold"])
def test_a_verdict_that_lacks_something_is_none(remote, fake, lacking):
    fake.replies = [(200, {}, {name: value for name, value in VERDICT.items() if name != lacking})]
    with pytest.raises(AasistError, match="as 'aasist serve' does"):
        remote().detect(b"abc")


def test_a_verdict_without_numbers_is_taken_too():
    span = {"start": 0.0, "end": 4.0, "score": None, "llr": None}
    coarse = {**VERDICT, "score": None, "llr": None, "segments": [span], "windows": []}
    assert json.loads(verdict_of(coarse, "a").to_json(timeline=True)) == {**coarse, "path": "a"}


def test_nobody_there_is_said_at_once(naps):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(AasistError, match="cannot be reached: Connection refused"):
        RemoteDetector(f"http://127.0.0.1:{port}", sleep=naps.append)
    assert naps == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://x",
        "http://",
        "http://u:p@x",
        "http://x:99999",
        "http://x/?a",
        "http://x y",
        "http://ü",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(AasistError, match="a server is http://HOST:PORT"):
        RemoteDetector(url)


def test_what_cannot_be_read_here_is_not_sent(remote, fake, tmp_path):
    (tmp_path / "list.m3u").write_text("#EXTM3U\nother.wav\n")
    detector = remote(limits=ReadLimits(max_bytes=100))
    for source, code in [
        (tmp_path / "no.wav", "not_found"),
        (tmp_path, "is_directory"),
        (b"", "empty"),
        (bytes(101), "too_large"),
        (tmp_path / "list.m3u", "playlist"),
    ]:
        with pytest.raises(AudioError) as refused:
            detector.detect(source)
        assert refused.value.code == code
    assert len(fake.got) == 1


@pytest.mark.parametrize("key", ["", "two words", "ключ", "line\nline"])
def test_a_key_is_one_line_of_ascii(fake, key):
    with pytest.raises(AasistError, match="one line of ASCII"):
        RemoteDetector(fake.url, key=key)

"""``POST /v1/detect``: the verdict of the command, or a problem that says what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aasist import Detector
from aasist.service.entry.keys import Principal
from aasist.service.problems import Problem
from aasist.service.routes.detect import VERDICT_HEADER

from ..runtime.contract import CONTRACT_KEYS


def form(content: bytes, name: str = "call.wav"):
    return {"files": {"file": (name, content, "audio/wav")}}


def problem(response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    values = response.json()
    assert list(values) == ["type", "title", "status", "detail", "code"]
    assert (values["status"], values["code"], values["type"]) == (status, code, f"urn:aasist:{code}")
    return values


@pytest.mark.parametrize("timeline", [False, True])
def test_the_answer_is_the_object_of_the_command(client, speech, loudness_onnx, timeline):
    response = client.post("/v1/detect", params={"timeline": "1"} if timeline else {}, **form(speech))
    assert response.status_code == 200
    values = response.json()
    expected = Detector(loudness_onnx).detect(speech).to_dict(timeline=timeline)
    assert list(values) == CONTRACT_KEYS + (["windows"] if timeline else [])
    assert values == json.loads(json.dumps({**expected, "path": "call.wav"}))


@pytest.mark.parametrize("kind", ["application/octet-stream", "audio/wav", "video/mp4", None])
def test_the_recording_may_be_the_body_itself(client, speech, kind):
    response = client.post("/v1/detect", content=speech, headers={"Content-Type": kind} if kind else {})
    assert response.status_code == 200
    assert response.json()["path"] is None
    by_form = client.post("/v1/detect", **form(speech)).json()
    assert {**response.json(), "path": "call.wav"} == by_form


def test_a_body_without_a_length_is_read_to_its_end(client, speech):
    def pieces():
        for first in range(0, len(speech), 7_001):
            yield speech[first : first + 7_001]

    response = client.post("/v1/detect", content=pieces(), headers={"Content-Type": "audio/wav"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("../../etc/passwd.wav", "passwd.wav"),
        ("C:\\Users\\me\\a call.wav", "a call.wav"),
        ("/", None),
        ("..", None),
        ("naïve 你.wav", "naïve 你.wav"),
        ("x" * 400 + ".wav", "x" * 255),
        ("a\x00b\x1b[31m.wav", "ab[31m.wav"),
    ],
)
def test_of_a_name_the_last_part_is_told_and_nothing_else(client, speech, given, told):
    boundary = "here"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="'.encode()
        + given.encode()
        + b'"\r\n\r\n'
        + speech
        + f"\r\n--{boundary}--\r\n".encode()
    )
    response = client.post(
        "/v1/detect", content=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    if "\x00" in given or "\\" in given:  # what is no header at all is refused; a backslash may stand for itself
        assert response.status_code in (200, 400)
        if response.status_code == 400:
            problem(response, 400, "invalid_form")
            return
    assert response.json()["path"] == told


def test_unreadable_recordings_have_the_code_of_the_command(client):
    for content, code in ((b"", "empty"), (b"text", "unreadable"), (b"#EXTM3U\n/etc/passwd\n", "playlist")):
        values = problem(client.post("/v1/detect", **form(content)), 422, code)
        assert "/" not in values["detail"].replace("/etc", "")


def test_a_short_recording_is_refused_and_silence_is_undecided(client):
    import numpy as np

    from .conftest import wav

    problem(client.post("/v1/detect", **form(wav(np.zeros(1000, np.float32), 16_000))), 422, "too_short")
    response = client.post("/v1/detect", **form(wav(np.zeros(32_000, np.float32), 16_000)))
    assert (response.status_code, response.json()["label"], response.json()["score"]) == (200, "undecided", None)


@pytest.mark.parametrize(
    ("headers", "content", "status", "code"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415, "content_type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=b", 415, "content_type"),
        ({"Content-Type": "text/plain"}, b"a", 415, "content_type"),
        ({"Content-Type": "audio/wav", "Content-Encoding": "gzip"}, b"a", 415, "content_encoding"),
        ({"Content-Type": "multipart/form-data"}, b"a", 400, "invalid_form"),
        ({"Content-Type": "multipart/form-data; boundary=" + "b" * 300}, b"a", 400, "invalid_form"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"", 400, "invalid_form"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"nonsense", 400, "invalid_form"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b\r\n\r\nabc", 400, "invalid_form"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"--b--\r\n", 400, "missing_file"),
    ],
)
def test_what_is_no_recording_is_refused(client, headers, content, status, code):
    problem(client.post("/v1/detect", content=content, headers=headers), status, code)


def test_a_form_without_a_file_with_two_or_with_too_much_beside_it_is_refused(client, speech):
    problem(client.post("/v1/detect", files={"audio": ("a.wav", speech)}), 400, "missing_file")
    two = [("file", ("a.wav", speech)), ("file", ("b.wav", speech))]
    problem(client.post("/v1/detect", files=two), 400, "invalid_form")
    many = {f"field{number}": "x" for number in range(20)}
    problem(client.post("/v1/detect", data=many, **form(speech)), 400, "invalid_form")
    problem(client.post("/v1/detect", data={"timeline": "x" * 5_000}, **form(speech)), 400, "invalid_form")


def test_a_parameter_that_means_nothing_is_refused(client, speech):
    said = problem(client.post("/v1/detect?threshold=3", **form(speech)), 400, "invalid_request")["detail"]
    assert said == "query: no parameter 'threshold'; there are: timeline"
    said = problem(client.get("/v1/models?all=1"), 400, "invalid_request")["detail"]
    assert said == "query: no parameter 'all'; there are none here"
    said = problem(client.post("/v1/detect", data={"treshold": "3"}, **form(speech)), 400, "invalid_form")["detail"]
    assert said == "no field 'treshold'; there are: file, timeline"


@pytest.mark.parametrize(
    ("asked", "field", "windows"), [("", "1", True), ("?timeline=1", "false", False), ("", "0", False)]
)
def test_the_timeline_may_be_asked_for_in_the_form(client, speech, asked, field, windows):
    response = client.post(f"/v1/detect{asked}", data={"timeline": field}, **form(speech))
    assert ("windows" in response.json()) is windows
    problem(client.post("/v1/detect", data={"timeline": "perhaps"}, **form(speech)), 400, "invalid_request")


def test_a_broken_question_is_a_problem_too(client, speech):
    problem(client.post("/v1/detect?timeline=perhaps", **form(speech)), 400, "invalid_request")
    said = problem(client.get("/v1/detect"), 405, "method_not_allowed")
    assert said["detail"] == "this address takes POST, not GET"
    problem(client.get("/v2/detect"), 404, "not_found")


@pytest.mark.parametrize("told", [True, False])
def test_too_large_is_413_however_it_is_sent(serving, speech, told):
    client = serving(max_bytes=20_000)
    for given in (
        form(speech),
        {"content": speech if told else iter([speech]), "headers": {"Content-Type": "audio/wav"}},
    ):
        problem(client.post("/v1/detect", **given), 413, "too_large")
    assert client.post("/v1/detect", content=speech[:19_000]).status_code == 200
    assert client.app.state.service.admission.uploads == 0


def test_too_long_is_413(serving, speech):
    said = problem(serving(max_seconds=1.0).post("/v1/detect", **form(speech)), 413, "too_long")["detail"]
    assert said.endswith("the limit of 1 s; cut it, or send it to /v1/jobs")


def test_a_key_sees_what_it_may(serving, speech):
    from aasist.service.entry.keys import new_key

    client = serving()
    answers = {}
    for detail in ("full", "rounded", "label"):
        key, stored = new_key(detail, detail=detail)
        client.app.state.service.store.keys.add(stored)
        answers[detail] = client.post(
            "/v1/detect?timeline=1", headers={"Authorization": f"Bearer {key}"}, **form(speech)
        ).json()
    assert answers["full"]["llr"] != answers["rounded"]["llr"] == round(answers["full"]["llr"])
    assert answers["label"]["llr"] is None
    assert answers["label"]["label"] == answers["full"]["label"]


def test_a_verdict_is_stored_without_the_name_and_found_again(client, speech):
    response = client.post("/v1/detect", **form(speech, "secret-name.wav"))
    identity = response.headers[VERDICT_HEADER]
    client.portal.call(client.app.state.service.ledger.flush)
    found = client.get(f"/v1/verdicts/{identity}")
    assert found.json() == {**response.json(), "path": None}
    state = client.app.state.service.settings.state_dir
    assert not any(b"secret-name" in path.read_bytes() for path in state.rglob("*") if path.is_file())
    problem(client.get("/v1/verdicts/" + "0" * 32), 404, "not_found")
    problem(client.get("/v1/verdicts/x"), 404, "not_found")


def test_audio_is_not_kept_unless_that_is_switched_on(serving, settings, speech):
    client = serving(settings())
    client.post("/v1/detect", **form(speech))
    service = client.app.state.service
    assert list(service.settings.audio_dir.iterdir()) == []
    assert list(service.settings.jobs_dir.iterdir()) == []

    client = serving(settings(keep_audio=True))
    service = client.app.state.service
    identity = client.post("/v1/detect", **form(speech)).headers[VERDICT_HEADER]
    kept = service.settings.audio_dir / identity
    assert kept.read_bytes() == speech
    assert kept.stat().st_mode & 0o777 == 0o600
    client.portal.call(service.ledger.flush)
    assert service.store.verdicts.get(identity).audio_kept
    os.utime(kept, (0, 0))
    service.ledger.forget()
    assert not kept.exists()
    assert not service.store.verdicts.get(identity).audio_kept


def test_beyond_the_places_there_are_it_is_busy(serving, speech):
    client = serving(max_in_flight=1)
    someone = Principal(None, "192.0.2.1", frozenset(), "full")
    with client.app.state.service.admission.upload(someone):
        response = client.post("/v1/detect", **form(speech))
        problem(response, 503, "busy")
        assert int(response.headers["Retry-After"]) >= 1
    assert client.post("/v1/detect", **form(speech)).status_code == 200


def test_who_waited_too_long_is_told_to_come_again(serving, speech):
    client = serving(queue_seconds=1e-9)
    problem(client.post("/v1/detect", **form(speech)), 503, "busy")


def test_a_full_disk_is_no_failure_of_the_upload():
    import errno

    from aasist.service import uploads

    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    sink = uploads._Sink(Full(), 100)
    sink.write(b"x")
    with pytest.raises(Problem) as caught:
        sink.flush()
    assert (caught.value.status, caught.value.code) == (503, "storage")


def test_no_file_is_left_and_none_stays_open(client, speech):
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def in_state() -> set[Path]:
        return set(client.app.state.service.settings.state_dir.rglob("*"))

    client.post("/v1/detect", **form(speech))
    before = open_files(), in_state()
    for content in (speech, b"", b"nonsense") * 4:
        client.post("/v1/detect", **form(content))
    assert (open_files(), in_state()) == before

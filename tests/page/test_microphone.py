"""Recording and listening live, by a microphone that plays a file."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[dev]'")

from playwright.sync_api import expect

from aasist.service.entry.keys import new_key

from .conftest import until


def test_a_recording_is_made_and_judged(page):
    page.get_by_role("button", name="Record one").click()
    expect(page.get_by_role("heading", name="Recording", exact=True)).to_be_visible()
    expect(page.locator("#microphone")).to_contain_text("Your browser asks whether this page may use the microphone")
    expect(page.get_by_role("button", name="Listen live")).to_be_disabled()
    until(page, "parseFloat(document.querySelector('.elapsed')?.textContent) >= 4")
    assert page.locator("#microphone meter").evaluate("(meter) => meter.value") > 0
    with page.expect_response("**/v1/detect*") as answered:
        page.get_by_role("button", name="Stop and check").click()
    verdict = answered.value.json()
    assert re.fullmatch(r"recording [\d-]+ [\d.]+\.wav", verdict["path"])
    assert verdict["duration_seconds"] > 3.9 and verdict["speech_seconds"] > 2  # what the microphone was given to hear
    assert verdict["sample_rate"] == page.evaluate("new AudioContext().sampleRate")
    expect(page.locator(".report")).to_have_count(1)
    expect(page.locator(".report dl")).to_contain_text("1 channel")
    expect(page.locator("#microphone")).to_be_hidden()


def test_a_recording_that_is_discarded_is_sent_nowhere(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Record one").click()
    expect(page.get_by_role("button", name="Stop and check")).to_be_enabled()
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#microphone")).to_be_hidden()
    expect(page.get_by_role("button", name="Record one")).to_be_focused()
    assert not [url for url in asked if "/v1/" in url]


def test_listening_live_shows_a_running_score_and_ends_in_a_verdict(page):
    page.get_by_role("button", name="Listen live").click()
    expect(page.locator("#microphone h2")).to_have_text(re.compile("real|synthetic"))
    expect(page.locator("#microphone .sentence")).to_contain_text("Running score after")
    until(
        page, "document.querySelector('.lane-live .running:not(.early)').getAttribute('points').split(' ').length >= 4"
    )
    page.get_by_role("button", name="Stop", exact=True).last.click()
    expect(page.locator(".report")).to_have_count(1)
    expect(page.get_by_role("article")).to_contain_text("live from the microphone")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()  # what was heard is in this tab still


def test_a_server_with_keys_is_listened_to_with_one(open_page, made_to_measure):
    guarded = made_to_measure(host="0.0.0.0", allowed_hosts=("127.0.0.1",))
    key, stored = new_key("of the page")
    guarded.service.store.keys.add(stored)
    page = open_page(guarded)
    page.get_by_role("button", name="Listen live").click()
    expect(page.locator("#key-why")).to_be_attached()
    expect(page.locator("#microphone")).to_be_hidden()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use this key").click()  # and it goes on where it was asked
    expect(page.locator("#microphone .sentence")).to_contain_text("Running score after")
    page.get_by_role("button", name="Stop", exact=True).last.click()
    expect(page.locator(".report")).to_have_count(1)


def test_changes_errors_and_closing_of_the_stream_are_told(page):
    sockets = []

    def watched(socket):
        sockets.append(socket)
        socket.on_message(lambda message: None)

    page.route_web_socket("**/v1/stream", watched)
    page.get_by_role("button", name="Listen live").click()
    expect(page.locator("#microphone h2")).to_have_text("Listening for speech")
    page.wait_for_timeout(100)
    socket = sockets[-1]
    score = {
        "type": "score",
        "time": 9.5,
        "score": 0.1,
        "llr": -2.2,
        "label": "spoof",
        "speech_seconds": 8.0,
        "warnings": [],
    }
    socket.send(json.dumps(score))
    change = {"type": "change", "time": 9.5, "since": 7.0, "toward": "spoof", "llr_before": 2.0, "llr_after": -3.0}
    socket.send(json.dumps(change))
    expect(page.get_by_role("log")).to_contain_text("From about 7.0 s, the sound turned towards synthetic")
    expect(page.locator(".mark")).to_have_count(1)
    expect(page.locator("#microphone")).to_have_attribute("data-side", "synthetic")
    socket.send(
        json.dumps(
            {"type": "error", "title": "Too many", "status": 429, "detail": "10 streams are open", "code": "streams"}
        )
    )
    expect(page.get_by_role("alert")).to_contain_text("10 streams are open")
    expect(page.locator("#microphone")).to_be_hidden()

    page.get_by_role("button", name="Listen live").click()
    expect(page.locator("#microphone h2")).to_have_text("Listening for speech")
    page.wait_for_timeout(100)
    sockets[-1].close()
    expect(page.get_by_role("alert")).to_contain_text("The live connection ended")


def test_a_microphone_that_is_refused_is_told_with_what_to_do(page):
    for name, told in (("NotAllowedError", "by the sign beside the page's address"), ("NotFoundError", "Connect one")):
        page.evaluate(
            "(name) => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', name); }; }",
            name,
        )
        page.get_by_role("button", name="Record one").click()
        expect(page.get_by_role("alert")).to_contain_text(told)
        expect(page.get_by_role("button", name="Record one")).to_be_enabled()

"""A recording in, a verdict in words out; what cannot be judged is said, with what to do."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[dev]'")

from playwright.sync_api import Error, Page, Route, expect

from aasist.service.entry.keys import new_key

from .conftest import HUMAN, MIXED, SPOOF, until


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("#file", list(files))


def judged(page: Page, *files: Path) -> None:
    """Choose files and wait for the last verdict."""
    choose(page, *files)
    expect(page.locator(".report")).to_have_count(len(files))
    expect(page.locator("#progress")).to_be_hidden()


def drop(page: Page, *files: Path) -> None:
    """Drag files from outside onto the page, and let go."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file.resolve()) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 600, "y": 250, "data": data})


def refuse(page: Page, status: int, code: str, detail: str, **headers: str) -> None:
    """Have the server answer a recording with a problem."""
    body = {"type": f"urn:aasist:{code}", "title": "It cannot be", "status": status, "detail": detail, "code": code}

    def answer(route: Route) -> None:
        route.fulfill(status=status, headers=headers, body=json.dumps(body), content_type="application/problem+json")

    page.route("**/v1/detect*", answer)


def test_a_dropped_recording_of_a_machine_is_told_in_words(page):
    drop(page, SPOOF)
    report = page.get_by_role("article", name=f"Verdict on {SPOOF.name}")
    expect(report.get_by_role("heading")).to_have_text(re.compile(r"^(Leans|Sounds) synthetic$"))
    expect(report).to_contain_text("That does not prove that it is fake")
    expect(report).to_contain_text("times as common in synthetic, converted or cloned speech as in recorded speech")
    expect(report.get_by_role("img", name="Scale of evidence")).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == report.get_by_role("heading").inner_text()


def test_a_chosen_recording_of_a_person_leans_real(page):
    judged(page, HUMAN)
    expect(page.locator(".report h2")).to_have_text(re.compile("real$"))
    expect(page.locator(".report")).to_have_attribute("data-side", "real")
    expect(page.locator(".report")).to_contain_text("many current synthesizers pass")
    # What the threshold stands for, from the notes of the model.
    expect(page.locator(".rates")).to_have_text(
        re.compile(r"^At this threshold, [\d.]+ % of the real recordings .* [\d.]+ % of the synthetic")
    )


def test_what_the_model_is_worth_stands_beside_it(page):
    expect(page.locator("#figures")).to_contain_text("95 % interval")
    expect(page.locator("#model")).to_contain_text("Model: ")
    expect(page.get_by_role("heading", name="What a verdict means")).to_be_visible()
    expect(page.locator("#host")).to_have_text(re.compile(r"127\.0\.0\.1:\d+"))


def test_waveform_and_spectrogram_are_drawn_under_the_policy(page):
    judged(page, MIXED)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    ink = """(selector) => [...document.querySelectorAll(selector)].flatMap((host) => {
        const inside = host.firstElementChild?.shadowRoot ?? host;
        return [...inside.querySelectorAll("canvas")].map((canvas) => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size;
        });
    })"""
    until(page, f"Math.max(...({ink})('.spectrogram')) > 20")
    assert max(page.evaluate(ink, ".wave")) > 1
    # The style sheet of the waveform is inline, allowed by its hash: without it the cursor would not be placed.
    cursor = "getComputedStyle(document.querySelector('.wave > div').shadowRoot.querySelector('.cursor')).position"
    assert page.evaluate(cursor) == "absolute"


def test_a_segment_plays_from_where_it_starts_to_where_it_ends(page):
    judged(page, MIXED)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    segments = page.locator("button.segment")
    assert segments.count() >= 1
    last = segments.last
    start = float(re.search(r"Play ([\d.]+) s to", last.get_attribute("aria-label")).group(1))
    last.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    until(page, f"Number(document.querySelector('.wave').getAttribute('aria-valuenow')) > {start}")
    page.get_by_role("button", name="Pause").click()
    page.locator(".wave").focus()
    page.keyboard.press("Home")
    expect(page.locator(".wave")).to_have_attribute("aria-valuenow", "0.0")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".wave")).to_have_attribute("aria-valuenow", "0.5")


def test_the_download_is_the_answer_of_the_server(page):
    with page.expect_response("**/v1/detect*") as answered:
        judged(page, HUMAN)
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download as JSON").click()
    assert downloading.value.suggested_filename == "human-librivox-en.flac.verdict.json"
    assert json.loads(Path(downloading.value.path()).read_text()) == answered.value.json()


def test_two_recordings_stand_side_by_side(page):
    judged(page, HUMAN, SPOOF)
    first, second = (page.locator(".report").nth(i).bounding_box() for i in (0, 1))
    assert first["y"] == second["y"] and first["x"] + first["width"] < second["x"]
    expect(page.locator("#comparison")).to_contain_text(f"times as strong in {HUMAN.name}")
    choose(page, MIXED)
    expect(page.locator(".report")).to_have_count(1)
    page.get_by_role("button", name="Compare with another").click()
    choose(page, HUMAN)
    expect(page.locator(".report")).to_have_count(2)
    expect(page.locator("#comparison")).to_be_visible()


def test_three_at_once_are_not_judged(page):
    choose(page, HUMAN, SPOOF, MIXED)
    expect(page.get_by_role("alert")).to_contain_text("two are compared; 3 came")
    expect(page.locator(".report")).to_have_count(0)


def test_a_bad_file_is_refused_in_words_and_with_what_to_do(page, tmp_path):
    bad = tmp_path / "notes.wav"
    bad.write_bytes(b"this is no recording at all\n" * 50)
    choose(page, bad)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("notes.wav")
    expect(alert).to_contain_text("Open it in a player")
    expect(page.locator(".report")).to_have_count(0)
    judged(page, HUMAN)  # and the page goes on
    expect(alert).to_be_hidden()


def test_a_recording_without_speech_gets_no_verdict_and_the_reason(page, wav):
    judged(page, wav(np.zeros(48_000, np.float32) + 1e-4, "hum.wav"))
    expect(page.locator(".report h2")).to_have_text("No verdict")
    expect(page.locator(".warnings li").first).to_contain_text("Was the microphone muted?")
    expect(page.locator(".scale")).to_have_count(0)


def test_a_warning_on_quality_is_shown_with_the_verdict(page, wav):
    from aasist.audio.read import read

    judged(page, wav(np.clip(read(HUMAN) * 8, -0.5, 0.5), "loud.wav"))
    expect(page.locator(".warnings li[data-code='clipped']")).to_contain_text("of the speech is clipped")


@pytest.mark.parametrize(
    ("status", "code", "detail", "told"),
    [
        (429, "rate", "more than 600 requests in a minute", "Wait a little, then try again"),
        (403, "scope", "this key may not detect", "Ask whoever runs the server"),
        (500, "internal", "the service failed on this; its log says how", "finds more in its log"),
    ],
)
def test_every_refusal_is_told_with_its_remedy(status, code, detail, told, page):
    refuse(page, status, code, detail)
    choose(page, HUMAN)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(told)
    expect(alert).to_contain_text(detail[1:])
    assert alert.get_attribute("data-code") == code


def test_what_is_still_shown_under_a_problem_is_said_to_be_of_another_recording(page):
    judged(page, HUMAN)
    refuse(page, 422, "unreadable", "that is no recording")
    choose(page, SPOOF)
    expect(page.get_by_role("alert")).to_contain_text(f"{SPOOF.name}: ")
    expect(page.get_by_role("alert")).to_contain_text(f"Below is still the verdict on {HUMAN.name}.")
    expect(page.get_by_role("article", name=f"Verdict on {HUMAN.name}")).to_be_visible()


def test_a_server_that_is_gone_is_told(page):
    page.route("**/v1/detect*", lambda route: route.abort())
    choose(page, HUMAN)
    expect(page.get_by_role("alert")).to_contain_text("Is aasist serve still running")


def test_an_answer_that_is_not_ours_is_told_by_its_status(page):
    page.route("**/v1/detect*", lambda route: route.fulfill(status=502, body="<html>Bad Gateway"))
    choose(page, HUMAN)
    expect(page.get_by_role("alert")).to_contain_text("the server answered 502")


def test_a_busy_server_is_asked_again(page):
    refuse(page, 503, "busy", "the queue is full", **{"Retry-After": "1"})
    choose(page, HUMAN)
    expect(page.locator("#status")).to_contain_text("The server is busy; trying again in 1 s")
    page.unroute("**/v1/detect*")
    expect(page.locator(".report")).to_have_count(1)


def test_judging_can_be_stopped(page):
    held = []

    def hold(route: Route) -> None:
        """Never answer. (Playwright takes no built-in method for a handler.)"""
        held.append(route)

    page.route("**/v1/detect*", hold)
    choose(page, HUMAN)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_have_text("Stopped.")
    expect(page.locator("#progress")).to_be_hidden()
    with contextlib.suppress(Error):
        held[0].abort()  # the page did so itself
    page.unroute("**/v1/detect*")
    judged(page, SPOOF)


def test_a_key_is_asked_for_kept_in_the_tab_and_sent(open_page, made_to_measure):
    guarded = made_to_measure(host="0.0.0.0", allowed_hosts=("127.0.0.1",))
    right, stored = new_key("of the page")
    guarded.service.store.keys.add(stored)
    page = open_page(guarded)
    expect(page.get_by_role("heading", name="This server asks for a key")).to_be_visible()  # even for the models
    choose(page, HUMAN)
    for key in ("aasist_0123456789ab_wrong", right):
        expect(page.locator("#key")).to_be_focused()
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Use this key").click()
        if key != right:
            expect(page.locator("#key-why")).to_contain_text("The key is not known, has expired or was revoked")
    expect(page.locator(".report")).to_have_count(1)
    expect(page.locator("#figures")).to_contain_text("95 % interval")
    assert page.evaluate("sessionStorage.getItem('aasist.key')") == right
    elsewhere = page.evaluate(
        "JSON.stringify(localStorage) + document.cookie + location.href + document.body.innerHTML"
    )
    assert right not in elsewhere


@pytest.mark.parametrize("detail", ["label", "rounded"])
def test_a_key_that_sees_less_is_shown_less(detail, open_page, made_to_measure):
    page = open_page(made_to_measure(detail=detail))
    judged(page, SPOOF)
    if detail == "label":
        expect(page.locator(".report h2")).to_have_text("Taken for synthetic")
        expect(page.locator(".report")).to_contain_text("How strongly, this server does not say")
        expect(page.locator(".scale")).to_have_count(0)
    else:
        expect(page.locator(".report h2")).to_have_text("Sounds synthetic")
        expect(page.locator(".scale figcaption")).to_contain_text(".00;")


def test_a_long_recording_takes_its_turn(open_page, made_to_measure):
    server = made_to_measure(max_seconds=5)
    page = open_page(server)
    with page.expect_request("**/v1/jobs/*") as asked:
        choose(page, MIXED)
    assert asked.value.method == "GET"
    expect(page.locator(".report")).to_have_count(1)
    expect(page.locator(".report dl")).to_contain_text("7.3 s")
    assert page.locator("line.window").count() >= 2


def test_stopping_cancels_the_turn_of_a_long_recording(open_page, made_to_measure):
    page = open_page(made_to_measure(max_seconds=5, job_runners=1))
    waiting = {"id": "0" * 32, "status": "queued", "progress_seconds": 0, "verdict": None, "error": None}
    page.route("**/v1/jobs?*", lambda route: route.fulfill(status=202, json=waiting))
    told = []
    page.route("**/v1/jobs/*", lambda route: (told.append(route.request.method), route.fulfill(json=waiting)))
    choose(page, MIXED)
    expect(page.locator("#status")).to_contain_text("is long and takes its turn")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_have_text("Stopped.")
    for _ in range(100):
        if "DELETE" in told:
            break
        page.wait_for_timeout(50)
    assert told[-1] == "DELETE"


def test_a_file_that_no_limit_allows_is_refused_in_words(open_page, made_to_measure, tmp_path):
    page = open_page(made_to_measure(max_bytes=500_000, job_max_bytes=800_000))
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(30_000_000))
    choose(page, large)
    expect(page.get_by_role("alert")).to_contain_text("which takes any size")
    expect(page.get_by_role("alert")).to_contain_text("800,000 bytes")

"""The page talks to no one, can be used by hand, eye and ear, and fits its screen."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from aasist.audio.read import read

from .conftest import EXAMPLE_FILES as RECORDINGS
from .conftest import ROOT, Page

EXAMPLES = ROOT / "examples"


def test_no_request_leaves_the_origin_and_none_is_made_for_a_recording(page, wav):
    page.open()
    loaded = list(page.served.requests)
    assert {method for method, _ in loaded} == {"GET"}
    page.chromium.call(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    try:
        assert page.judge(wav(read(RECORDINGS[0])))["label"] == "bonafide"
        page.judge(RECORDINGS[0])
    finally:
        page.chromium.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
    assert page.served.requests == loaded
    addresses = [event["request"]["url"] for event in page.chromium.seen("Network.requestWillBeSent")]
    assert len(addresses) >= 15
    elsewhere = [url for url in addresses if not url.startswith((page.served.address, "data:", "blob:"))]
    assert not elsewhere
    # A violation of the policy, a failed request and an exception would all be in the log.
    assert [entry["entry"]["text"] for entry in page.chromium.seen("Log.entryAdded")] == []
    assert page.chromium.seen("Runtime.exceptionThrown") == []


def test_the_policy_of_the_page_forbids_to_send_anything_elsewhere(page):
    other = page.served.address.replace("127.0.0.1", "localhost")
    tries = {
        "fetch": f"fetch('{other}').then(() => 'sent', () => 'refused')",
        "image": f"new Promise(done => {{ const i = new Image(); i.onload = () => done('sent'); i.onerror = () => done('refused'); i.src = '{other}x.png'; }})",
        "beacon": f"new Promise(done => {{ document.addEventListener('securitypolicyviolation', () => done('refused'), {{once: true}}); navigator.sendBeacon('{other}', 'x'); setTimeout(() => done('sent'), 3000); }})",
        "code": "(() => { try { eval('1'); return 'ran'; } catch { return 'refused'; } })()",
    }
    before = list(page.served.requests)
    assert {name: page.chromium.evaluate(code) for name, code in tries.items()} == dict.fromkeys(tries, "refused")
    assert page.served.requests == before


def test_a_dropped_file_is_judged_and_two_at_once_are_not(page, wav):
    recording = wav(read(RECORDINGS[0]), "dropped.wav")
    page.drop(recording)
    assert page.verdict()["path"] == "dropped.wav"
    assert page.chromium.evaluate("document.querySelector('#file').files[0].name") == "dropped.wav"
    page.drop(recording, RECORDINGS[1])
    page.chromium.until("!document.querySelector('#error').hidden")
    assert "one recording at a time, got 2" in page.text("#error")


def test_judging_can_be_stopped_and_another_recording_takes_over(page, wav):
    long = wav(np.tile(read(RECORDINGS[0]), 20), "long.wav")
    page.chromium.choose("#file", long)
    page.chromium.until("document.querySelector('#progress').value > 0")
    page.chromium.evaluate("document.querySelector('#cancel').click()")
    assert page.text("#status") == "Stopped."
    page.chromium.choose("#file", long)
    page.chromium.until("document.querySelector('#progress').value > 0")
    assert page.judge(wav(read(RECORDINGS[0]), "short.wav"))["path"] == "short.wav"
    time.sleep(0.5)
    assert page.text("#status") == "short.wav: judged."
    assert page.chromium.evaluate("document.querySelector('#progress').hidden")


def test_the_verdict_stands_in_words_for_eyes_and_for_screen_readers(page, wav):
    page.judge(wav(read(EXAMPLES / "spoof-espeak-de.wav")))
    assert page.text("#words") == "Spoof: it sounds synthetic, converted or cloned"
    assert "does not prove that it is fake" in page.text("#sentence")
    assert "A score is evidence, not proof." in page.text("main")
    assert "its equal error rate is 34.7 %" in page.text("#figures")
    assert page.chromium.evaluate("document.activeElement.id") == "words"
    label = page.chromium.evaluate("document.querySelector('#timeline').getAttribute('aria-label')")
    assert label.startswith("Along time: ") and "spoof, score 0.0" in label
    names = {
        node["role"]["value"]: node.get("name", {}).get("value", "")
        for node in page.chromium.call("Accessibility.getFullAXTree")["nodes"]
        if not node.get("ignored")
    }
    assert {"status", "image", "heading"} <= set(names)
    page.chromium.evaluate("document.activeElement.blur(); document.querySelector('#file').focus()")
    named = page.chromium.evaluate("document.querySelector('#file').labels[0].innerText")
    assert named == "Choose a recording, or drop one here"


def colours(page: Page) -> set[tuple[int, ...]]:
    """What is drawn on the timeline."""
    pixels = page.chromium.evaluate(
        "(() => { const c = document.querySelector('#timeline');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const seen = new Set();"
        "for (let i = 0; i < d.length; i += 4) seen.add([...d.slice(i, i + 4)].join()); return [...seen]; })()"
    )
    return {tuple(map(int, pixel.split(","))) for pixel in pixels}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk_by_day_and_by_night(width, dark, page, wav, tmp_path):
    page.chromium.screen(width, 844, dark=dark)
    page.judge(
        wav(
            read(EXAMPLES / "spoof-kokoro-en.m4a"),
            "a-name-that-is-as-long-as-those-which-recorders-give_2026-11-30_1.wav",
        )
    )
    page.chromium.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.chromium.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(21, 24, 27)") is dark
    real, fake = ((23, 58, 61, 255), (69, 39, 15, 255)) if dark else ((217, 238, 238, 255), (250, 227, 211, 255))
    assert {real, fake} <= colours(page)  # this recording has both, a window of each
    page.chromium.evaluate("document.querySelectorAll('details').forEach(part => part.open = false)")
    if folder := os.environ.get("AASIST_PICTURES"):
        (Path(folder) / f"page-{width}-{'dark' if dark else 'light'}.png").write_bytes(page.chromium.picture())

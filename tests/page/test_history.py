"""Verdicts are remembered by this browser, without audio, until it is told to forget them."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[dev]'")

from playwright.sync_api import expect

from .conftest import HUMAN, SPOOF
from .test_judging import judged


def test_a_verdict_is_remembered_and_opens_again_without_its_sound(page):
    judged(page, SPOOF)
    page.reload(wait_until="networkidle")
    expect(page.locator(".report")).to_have_count(0)
    page.get_by_role("button", name=SPOOF.name).click()
    expect(page.locator(".report h2")).to_contain_text("synthetic")
    expect(page.locator(".report")).to_contain_text("The sound was not kept")
    expect(page.locator("button.segment")).to_have_count(0)  # nothing to play
    kept = page.evaluate("localStorage.getItem('aasist.history')")
    assert len(kept) < 5_000 and "windows" not in json.loads(kept)[0]["verdict"]


def test_the_history_is_cleared_and_switched_off(page):
    judged(page, SPOOF)
    expect(page.locator(".past")).to_have_count(1)
    page.get_by_role("button", name="Forget them all").click()
    expect(page.locator(".past")).to_have_count(0)
    judged(page, SPOOF)
    page.get_by_label("Remember verdicts").uncheck()
    expect(page.locator(".past")).to_have_count(0)
    judged(page, HUMAN)
    page.reload()
    expect(page.get_by_label("Remember verdicts")).not_to_be_checked()
    expect(page.locator(".past")).to_have_count(0)
    assert page.evaluate("Object.keys(localStorage)") == ["aasist.history.off"]


def test_a_history_that_cannot_be_read_is_none(page):
    for broken in ("{", '{"a": 1}', '[{"at": 1}, null, 3]'):
        page.evaluate("(text) => localStorage.setItem('aasist.history', text)", broken)
        page.reload(wait_until="networkidle")
        expect(page.locator(".past")).to_have_count(0)
    judged(page, HUMAN)
    expect(page.locator(".past")).to_have_count(1)


def test_names_are_shown_as_text_whatever_they_hold(page, wav):
    from aasist.audio.read import read

    judged(page, wav(read(HUMAN), "<img src=x onerror=alert(1)>.wav"))
    expect(page.locator(".report .name")).to_have_text("<img src=x onerror=alert(1)>.wav")
    assert page.locator(".report img, .past img").count() == 0

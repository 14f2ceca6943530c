"""The page fits a phone and a desk by day and by night, and can be used without eyes or a mouse."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[dev]'")

from playwright.sync_api import FileChooser, Page, expect

from .conftest import HUMAN, MIXED, ROOT, SPOOF
from .test_judging import choose, judged, refuse

SCREENS = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """The checker of accessibility, as a script, in the version that web/ names."""
    script = ROOT / "web/node_modules/axe-core/axe.min.js"
    if script.is_file():
        return script.read_text()
    if (npm := shutil.which("npm")) is None:
        pytest.skip("axe-core is not here and npm is not installed: apt-get install npm")
    folder = tmp_path_factory.mktemp("axe")  # a worker's own: two that install into web/ would disturb each other
    version = json.loads((ROOT / "web/package.json").read_text())["devDependencies"]["axe-core"]
    command = [npm, "pack", f"axe-core@{version}", "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"axe-core cannot be fetched: {done.stderr[:200]}")
    packed = (folder / f"axe-core-{version}.tgz").read_bytes()
    locked = json.loads((ROOT / "web/package-lock.json").read_text())["packages"]["node_modules/axe-core"]
    assert locked["integrity"] == f"sha512-{base64.b64encode(hashlib.sha512(packed).digest()).decode()}"
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def violations(page: Page, axe: str) -> list[str]:
    """What axe finds, best practices and the target sizes of WCAG 2.2 among it."""
    page.evaluate(axe)
    found = page.evaluate("axe.run({ rules: { 'target-size': { enabled: true } } })")
    assert len(found["passes"]) > 20
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def overflows(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def picture(page: Page, name: str) -> None:
    """Into the folder that AASIST_PICTURES names, if it does."""
    if folder := os.environ.get("AASIST_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.fixture(params=SCREENS, ids=lambda screen: f"{screen[0]}-{screen[1]}")
def screen(request, open_page):
    width, scheme = request.param
    page = open_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.screen_name = f"{width}-{scheme}"
    return page


def test_no_violations_and_no_overflow_from_the_empty_page_to_a_comparison(screen, axe, wav):
    from aasist.audio.read import read

    def check(name: str) -> None:
        assert violations(screen, axe) == []
        assert not overflows(screen)
        picture(screen, f"{name}-{screen.screen_name}")

    check("empty")
    judged(screen, wav(read(MIXED), "a-name-that-is-as-long-as-those-which-recorders-give_2026-11-30_17-45_1.wav"))
    expect(screen.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    screen.locator("summary").click()
    screen.wait_for_timeout(500)  # the spectrogram is drawn a little after the waveform
    check("verdict")
    judged(screen, HUMAN, SPOOF)
    expect(screen.locator("button.play:enabled")).to_have_count(2)
    check("comparison")


def test_no_violations_in_a_refusal_a_request_for_a_key_and_at_the_microphone(screen, axe):
    refuse(screen, 401, "key", "a key is needed")
    choose(screen, HUMAN)
    expect(screen.locator("#key-form")).to_be_visible()
    assert violations(screen, axe) == [] and not overflows(screen)
    picture(screen, f"key-{screen.screen_name}")
    screen.unroute("**/v1/detect*")
    refuse(screen, 422, "unreadable", "notes.txt is not audio")
    choose(screen, HUMAN)
    expect(screen.get_by_role("alert")).to_be_visible()
    assert violations(screen, axe) == [] and not overflows(screen)
    picture(screen, f"problem-{screen.screen_name}")
    screen.get_by_role("button", name="Record one").click()
    expect(screen.get_by_role("heading", name="Recording", exact=True)).to_be_visible()
    assert violations(screen, axe) == [] and not overflows(screen)
    picture(screen, f"recording-{screen.screen_name}")
    screen.get_by_role("button", name="Discard").click()
    screen.get_by_role("button", name="Listen live").click()
    expect(screen.locator("#microphone h2")).to_have_text(re.compile("real|synthetic"))
    expect(screen.locator("#microphone .sentence")).to_contain_text("Running score after")
    if os.environ.get("AASIST_PICTURES"):
        screen.wait_for_timeout(12_000)
    assert violations(screen, axe) == [] and not overflows(screen)
    picture(screen, f"live-{screen.screen_name}")
    screen.get_by_role("button", name="Stop", exact=True).last.click()


def test_the_whole_way_is_gone_by_keyboard(page):
    choosing = []

    def choose_file(chooser: FileChooser) -> None:
        choosing.append(chooser)

    page.on("filechooser", choose_file)
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    outlined = "getComputedStyle(document.querySelector('label[for=file]')).outlineStyle"
    assert page.evaluate(outlined) == "solid"
    page.keyboard.press("Enter")
    for _ in range(600):
        if choosing:
            break
        page.wait_for_timeout(100)
    choosing[0].set_files(MIXED)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className || document.activeElement.tagName.toLowerCase()"))
    assert {"play", "wave", "summary", "download", "compare", "past"} <= reached
    assert any(name.startswith("segment") for name in reached)


def test_verdicts_are_told_apart_without_colour(page):
    """In grey, words, hatching and the place on the scale are left."""
    judged(page, HUMAN, SPOOF)
    headings = page.locator(".report h2").all_inner_texts()
    assert headings[0] != headings[1]
    hatched = page.locator(".segment[data-side=synthetic]").first
    assert "gradient" in hatched.evaluate("(node) => getComputedStyle(node).backgroundImage")
    plain = page.locator(".segment[data-side=real]").first
    assert plain.evaluate("(node) => getComputedStyle(node).backgroundImage") == "none"


@pytest.mark.skipif(
    "AASIST_README_PICTURE" not in os.environ, reason="made on demand: AASIST_README_PICTURE=docs/page.png"
)
def test_the_picture_for_the_readme(open_page, made_to_measure):
    from PIL import Image

    from aasist.runtime.models import DEFAULT_MODEL

    page = open_page(
        made_to_measure(model=DEFAULT_MODEL), viewport={"width": 1280, "height": 800}, color_scheme="light"
    )
    judged(page, SPOOF)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_enabled()
    page.wait_for_timeout(1000)
    report = page.locator(".report").bounding_box()
    clip = {"x": 0, "y": 0, "width": 1280, "height": report["y"] + report["height"] + 24}
    path = Path(os.environ["AASIST_README_PICTURE"])
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))
    picture.quantize(256).save(path, optimize=True)  # a third of the bytes, and no difference to see
    assert path.stat().st_size < 200_000

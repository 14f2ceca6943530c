"""The page is built from what the package holds and a pinned runtime, or not at all and with a reason."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import pytest

from aasist.errors import ModelError

from .conftest import ROOT, Page, Served, builder


@pytest.fixture
def build(tmp_path, monkeypatch):
    """The builder with an empty place to keep packages in."""
    module = builder()
    monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    return module


def npm(folder: Path, script: str) -> None:
    """Puts a program of that name into a folder."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod((folder / "npm").stat().st_mode | stat.S_IXUSR)


def test_without_npm_the_message_says_what_to_do(build, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.NotFetched, match=r"npm is not installed.*npm pack onnxruntime-web@.*--package"):
        build.build(tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


def test_without_a_network_the_message_says_so_and_what_npm_said(build, tmp_path, monkeypatch):
    npm(tmp_path / "bin", "echo 'npm error ENOTFOUND registry' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(build.NotFetched, match=r"ENOTFOUND registry.*is there a network"):
        build.build(tmp_path / "dist")


def test_another_package_than_the_pinned_one_is_refused_and_not_kept(build, tmp_path, monkeypatch):
    npm(tmp_path / "bin", 'for last; do :; done; echo other > "$last/onnxruntime-web-1.30.0.tgz"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(build.BuildError, match=r"is not onnxruntime-web@1\.30\.0: expected sha256 d2228df7"):
        build.build(tmp_path / "dist")
    assert list((tmp_path / "cache").iterdir()) == []

    (tmp_path / "given.tgz").write_bytes(b"other")
    with pytest.raises(build.BuildError, match=r"given\.tgz is not onnxruntime-web"):
        build.build(tmp_path / "dist", package=tmp_path / "given.tgz")


def test_a_folder_with_other_things_in_it_is_left_alone(build, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(build.BuildError, match="holds something else"):
        build.build(tmp_path / "home")
    assert (tmp_path / "home" / "letter").read_text() == "dear"


def page_before(build, folder: Path) -> Path:
    """A folder as a build leaves it, of one file."""
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    hashes = {"model.json": hashlib.sha256(b"{}").hexdigest()}
    (folder / build.MARKER).write_text(json.dumps({"files": hashes}))
    return folder


def test_a_page_built_before_and_nothing_and_an_empty_folder_may_be_replaced(build, tmp_path):
    build.require_ours(page_before(build, tmp_path / "dist"))
    build.require_ours(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    build.require_ours(tmp_path / "empty")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda dist: (dist / "built.json").unlink(), "holds something else than a page built before"),
        (lambda dist: (dist / "built.json").write_text("[1]"), "holds something else than a page built before"),
        (lambda dist: (dist / "letter").write_text("dear"), "letter is no part of the page built before"),
        (lambda dist: (dist / "photos").mkdir(), "photos is no part of the page built before"),
        (lambda dist: (dist / "model.json").write_text("{1}"), r"model\.json was changed since"),
        (
            lambda dist: ((dist / "model.json").rename(dist.parent / "m"), (dist / "model.json").symlink_to("../m")),
            r"model\.json is no part",
        ),
    ],
    ids=["no marker", "another marker", "a file more", "a folder more", "edited", "a link"],
)
def test_a_folder_that_holds_anything_not_of_a_page_is_left_as_it_is(change, words, build, tmp_path):
    dist = page_before(build, tmp_path / "dist")
    change(dist)
    before = {path.name: path.is_dir() or path.read_bytes() for path in dist.iterdir()}
    with pytest.raises(build.BuildError, match=words):
        build.build(dist)
    assert {path.name: path.is_dir() or path.read_bytes() for path in dist.iterdir()} == before


def test_a_model_that_is_none_of_ours_is_refused(build, tmp_path):
    (tmp_path / "mine.onnx").write_bytes(b"\x08\x0a")
    with pytest.raises(ModelError, match="not a model of ours"):
        build.build(tmp_path / "dist", model=str(tmp_path / "mine.onnx"))


def test_the_command_ends_with_1_and_one_line(build, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["build.py", "--model", "tiny", "--output", str(tmp_path / "dist")])
    assert build.main() == 1
    assert capsys.readouterr().err.startswith("the page was not built: tiny: cannot be read")


def test_no_file_of_others_is_part_of_the_project(build):
    assert {path.suffix for path in build.PAGE.iterdir()} == {".html", ".css", ".js"}
    ignored = (ROOT / ".gitignore").read_text()
    assert "/examples/browser/dist/" in ignored and "/examples/browser/.cache/" in ignored


def test_the_built_page_carries_its_licences_and_replaces_the_one_before(built, tmp_path):
    build = builder()
    text = (built / "licences.txt").read_text()
    assert all(owner in text for owner in ("Silero Team", "Microsoft Corporation", "aasist"))
    build.build(tmp_path / "dist")
    (tmp_path / "dist" / "levels.js").unlink()
    build.build(tmp_path / "dist")
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]
    assert {path.name for path in (tmp_path / "dist").iterdir()} == {path.name for path in built.iterdir()}
    assert json.loads((built / "model.json").read_text())["test"]["systems"] == 37


@pytest.mark.parametrize(
    ("break_it", "code", "words"),
    [
        (
            lambda dist: (dist / "silero_vad.onnx").unlink(),
            "unreachable",
            "silero_vad.onnx is missing (404): build the page",
        ),
        (lambda dist: flip(dist / "model.onnx"), "altered_model", "its digest does not match"),
        (lambda dist: (dist / "model.onnx").write_bytes(b"\x08\x0a"), "foreign_model", "make one with 'aasist export'"),
        (lambda dist: (dist / "model.onnx").write_bytes(b"<html>"), "model", "not an ONNX file"),
    ],
    ids=["missing", "altered", "foreign", "no model"],
)
def test_a_broken_page_says_what_is_broken(break_it, code, words, built, chromium, tmp_path):
    folder = tmp_path / "dist"
    folder.mkdir()
    for file in built.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    break_it(folder)
    served = Served(folder)
    try:
        page = Page(chromium, served)
        page.open()
        assert chromium.evaluate("document.querySelector('#error').dataset.code") == code
        assert words in page.text("#error") and page.text("#error").startswith("The page cannot judge anything: ")
        assert chromium.evaluate("document.querySelector('#file').disabled")
    finally:
        served.close()


def flip(file: Path) -> None:
    """Changes one bit amid a file's weights."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_opened_as_a_file_the_page_says_what_it_needs(built, chromium):
    chromium.open(f"file://{built}/index.html")
    said = chromium.evaluate("document.querySelector('#not-started').innerText")
    assert "it needs a server, such as python -m http.server --directory dist" in said


def test_a_model_of_ones_own_is_judged_with(loudness_onnx, chromium, recording, tmp_path):
    from aasist import Detector

    build = builder()
    try:
        build.build(tmp_path / "dist", model=str(loudness_onnx))
    except build.NotFetched as error:
        pytest.skip(f"the page cannot be built here: {error}")
    served = Served(tmp_path / "dist")
    try:
        page = Page(chromium, served)
        page.open()
        verdict, expected = page.judge(recording), Detector(loudness_onnx).detect(recording)
        assert (verdict["llr"], verdict["model"]["name"]) == (pytest.approx(expected.llr, abs=1e-3), "loudness")
        assert page.text("#figures") == ""  # nothing was measured of it
    finally:
        served.close()

"""What is in the package is what web/ says, whole, licensed and small."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tomllib

from .conftest import ROOT

WEB = ROOT / "web"
BUILT = ROOT / "src/aasist/service/page"
FACTS = "page.json"
MOST_PACKED_BYTES = 70_000
"""All that a browser loads, by gzip."""


def test_the_page_was_built_from_the_sources_as_they_are():
    files = [path for path in WEB.rglob("*") if path.is_file() and "node_modules" not in path.parts]
    lines = sorted((path.relative_to(WEB).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)
    told = hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()
    assert json.loads((BUILT / FACTS).read_text())["sources"] == told, "web/ was changed since: run 'make page'"


def test_every_file_that_the_page_names_is_there_and_none_is_left_from_before():
    named = set(re.findall(r'(?:src|href)="\./([^"]+)"', (BUILT / "index.html").read_text()))
    scripts = {path.name: path.read_text() for path in (BUILT / "assets").glob("*.js")}
    for text in scripts.values():
        named |= {f"assets/{name}" for name in (path.name for path in (BUILT / "assets").iterdir()) if name in text}
    there = {path.relative_to(BUILT).as_posix() for path in BUILT.rglob("*") if path.is_file()}
    assert there - named == {"index.html", "licences.txt", FACTS}
    assert named <= there


def test_the_page_holds_no_inline_script_or_style_and_no_address_elsewhere():
    html = (BUILT / "index.html").read_text()
    assert not re.search(r"<style|style=|\son\w+=|javascript:", html)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))
    assert not re.findall(r"https?://", html)
    loading = re.compile(r"""(?:import|fetch|importScripts|src\s*=)\s*\(?\s*["'`]https?://""")
    for path in (BUILT / "assets").iterdir():
        assert not loading.search(path.read_text()), path.name
        assert "url(http" not in path.read_text()


def test_the_licences_of_all_that_is_bundled_go_with_it():
    told = (BUILT / "licences.txt").read_text()
    locked = json.loads((WEB / "package-lock.json").read_text())["packages"]
    bundled = json.loads((WEB / "package.json").read_text())["dependencies"]
    for name in bundled:
        assert f"{name} {locked[f'node_modules/{name}']['version']}\n" in told
    assert "BSD 3-Clause License" in told and "Copyright (c) 2012-2023, katspaugh" in told
    assert (ROOT / "LICENSE").read_text().strip() in told
    assert "wavesurfer.js" in (ROOT / "NOTICE.md").read_text()


def test_the_page_is_small():
    packed = sum(
        len(gzip.compress(path.read_bytes())) for path in BUILT.rglob("*") if path.suffix in {".html", ".js", ".css"}
    )
    assert packed < MOST_PACKED_BYTES


def test_the_built_page_is_in_the_wheel_whatever_gitignore_says():
    with (ROOT / "pyproject.toml").open("rb") as file:
        artifacts = tomllib.load(file)["tool"]["hatch"]["build"]["artifacts"]
    assert "src/aasist/service/page/**" in artifacts

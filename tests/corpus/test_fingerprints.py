"""Fingerprints: a build is gone on with by what it was begun with, wherever that lies, and by nothing else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from aasist.corpus import fingerprints
from aasist.corpus.build import Silent, build
from aasist.corpus.catalogue import Places, engines
from aasist.corpus.fingerprints import PIECE_BYTES, changed, of_engine, of_file
from aasist.errors import AasistError

from ..corpora import write_audio
from . import spoken


@pytest.fixture
def own(manifest: Path, tmp_path: Path) -> Path:
    """A folder with recordings and an engine's file of its own, ``mine.py``, and a corpus that was built of them."""
    shutil.copytree(manifest.parent, tmp_path / "speech")
    shutil.copy(spoken.ENGINES, tmp_path / "mine.py")
    made(tmp_path)
    return tmp_path


def made(own: Path, speech: str = "speech") -> dict[str, bytes]:
    """The contents of its corpus, after it was built or gone on with."""
    changes = {"data.engines": (str(own / "mine.py"),), "choice.most": 5}
    recipe = spoken.recipe(own / speech / "manifest.tsv", **changes)
    build(recipe, own / "corpus", Silent(), jobs=0)
    return spoken.contents(own / "corpus")


def refusal(own: Path) -> str:
    with pytest.raises(AasistError) as error:
        made(own)
    assert error.value.code == "other_sources"
    return error.value.message


def test_audio_that_is_another_now_is_named(own: Path) -> None:
    taken = sorted(json.loads((own / "corpus" / "sources.json").read_text())["audio"])
    assert len(taken) == 5
    before = spoken.contents(own / "corpus")
    for name in taken[:2]:
        write_audio(own / "speech" / "wav" / f"{name.rpartition('/')[2]}.wav", spoken.voice(99))
    assert f"was begun with other audio of {taken[0]}, {taken[1]} (compare" in refusal(own)
    assert spoken.contents(own / "corpus") == before


def test_an_engine_whose_file_is_another_now_is_named_whatever_the_recording(own: Path) -> None:
    file = own / "mine.py"
    file.write_text(file.read_text().replace("0.02 * generator", "0.03 * generator"))
    said = refusal(own)
    assert "engine bent (mine.py)" in said
    assert "engine rough" not in said, "which has made nothing of these recordings"
    assert "bring that back; or, to make all of it anew, delete the folder or name another (-o)" in said


def test_an_engine_whose_package_is_of_another_version_now_is_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (engine,) = (e for name, e in engines().items() if name == "world")
    monkeypatch.setattr(fingerprints.metadata, "version", lambda name: "1.0")
    was = {"engines": {"world": of_engine(engine)}}
    assert was == {"engines": {"world": {"pyworld": "1.0"}}}
    monkeypatch.setattr(fingerprints.metadata, "version", lambda name: "1.1")
    now = {"engines": {"world": of_engine(engine)}}
    assert changed(was, now) == ["engine world (pyworld 1.0 there, 1.1 now)"]
    assert changed(was, was) == changed({}, now) == changed({"engines": {"world": {}}}, now) == []


def test_a_folder_of_a_vocoder_is_known_by_its_weights_and_its_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "any.onnx").write_bytes(b"weights")
    engine = engines(Places(vocoders=(str(folder),)))["hifigan-mine"]
    first = of_engine(engine)
    assert {*first} == {"any.onnx"}
    (folder / "config.json").write_text("{}")
    assert {*of_engine(engine)} == {"any.onnx", "config.json"}
    (folder / "any.onnx").write_bytes(b"changes")
    assert of_engine(engine)["any.onnx"] != first["any.onnx"]


def test_the_same_things_elsewhere_are_no_difference_and_neither_are_recordings_that_are_gone(own: Path) -> None:
    before = spoken.contents(own / "corpus")
    shutil.copytree(own / "speech", own / "moved", copy_function=shutil.copyfile)
    recipe = before.pop("recipe.toml")
    after = made(own, "moved")
    assert after.pop("recipe.toml") == recipe.replace(b"/speech/", b"/moved/")
    assert after == before
    shutil.rmtree(own / "moved" / "wav")
    assert made(own, "moved")["sources.json"] == before["sources.json"]


def test_a_folder_begun_before_fingerprints_were_kept_is_gone_on_with_and_keeps_them_from_then_on(own: Path) -> None:
    before = spoken.contents(own / "corpus")
    file = own / "corpus" / "sources.json"
    known = json.loads(file.read_text())
    file.write_text(json.dumps({name: known[name] for name in ("recordings", "voices", "texts")}))
    assert made(own) == before


def test_a_file_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "large"
    content = bytearray(np.random.default_rng(0).bytes(100 * PIECE_BYTES))
    file.write_bytes(content)
    first = of_file(file)
    os.utime(file, (0, 0))
    assert of_file(file) == first
    found = set()
    for place in (0, len(content) - 1):
        content[place] ^= 1
        file.write_bytes(content)
        found.add(of_file(file))
    file.write_bytes(np.random.default_rng(1).bytes(len(content)))
    found.add(of_file(file))
    file.write_bytes(content[:-1])
    found.add(of_file(file))
    assert len(found) == 4
    assert first not in found
    assert of_file(tmp_path / "none") == of_file(tmp_path) == ""

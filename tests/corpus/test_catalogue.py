"""The catalogue: engines of ours, of other packages and of files."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from aasist.cli import run
from aasist.corpus.build import Silent, build
from aasist.corpus.catalogue import GROUP, Places, engines, lacking, runnable
from aasist.corpus.engine import Copier, EngineError, Speaker
from aasist.corpus.engines import ENGINES as OURS

from . import spoken
from .spoken import ENGINES

ROOT = Path(__file__).parents[2]


def test_every_engine_of_ours_says_what_it_is_and_what_it_lacks() -> None:
    known = engines()
    assert set(OURS) <= set(known)
    for name in OURS:
        engine = known[name]
        assert engine.name == name
        assert engine.technology
        assert engine.licence
        assert not engine.missing() or re.match(r"(pip|apt-get|npm) install", engine.missing())


def test_a_file_gives_its_engines_and_names_what_is_wrong_with_it(tmp_path: Path) -> None:
    known = engines(Places((str(ENGINES),)))
    assert isinstance(known["beeper"], Speaker)
    assert isinstance(known["rough"], Copier)
    for text, said in (
        ("x = 1\n", "no class in it"),
        ("import nothing_like_it\n", "ModuleNotFoundError"),
        ("from aasist.corpus.engine import Copier\nclass A(Copier):\n    name = 'x'\n", "abstract method .?copy"),
        (
            "from aasist.corpus.engine import Copier\nclass A(Copier):\n    copy = print\n    name = 'Two Words'\n",
            "lower-case",
        ),
        (
            "from aasist.corpus.engine import Copier\nclass A(Copier):\n    copy = print\n    name = 'lpc'\n",
            "two engines are called 'lpc'",
        ),
        (
            "from aasist.corpus.engine import Copier\nclass A(Copier):\n    copy = print\n    name, kind = 'x', 'tts'\n",
            "another class",
        ),
        (
            "from aasist.corpus.engine import Copier\nclass A(Copier):\n    copy = print\n    name, kind = 'x', 'mp3'\n",
            "must be of a kind",
        ),
    ):
        file = tmp_path / "mine.py"
        file.write_text(text)
        with pytest.raises(EngineError, match=said):
            engines(Places((str(file),)))
    with pytest.raises(EngineError, match="expected a file in Python"):
        engines(Places((str(tmp_path / "none.py"),)))


def test_an_entry_point_gives_an_engine_and_a_broken_one_is_listed_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "tests.corpus.mini"
    points = [
        metadata.EntryPoint("absent", f"{module}:Absent", GROUP),
        metadata.EntryPoint("gone", "nothing_like_it:Engine", GROUP),
    ]
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == GROUP else [])
    known = engines()
    assert known["absent"].missing() == "pip install absent"
    assert "ModuleNotFoundError" in known["gone"].missing()
    assert "gone" not in runnable(known, Copier, (), "copies.engines")


CRACKED = """
from aasist.corpus.engine import Copier, Speaker

class Cracked(Copier):
    name = "cracked"
    copy = print

    def missing(self):
        raise OSError("libcracked.so: cannot open")

class Mute(Speaker):
    name = "mute"
    speak = print

    def voices(self):
        return [{}["voices"]]
"""


def test_a_broken_engine_is_named_with_its_reason_and_takes_no_other_with_it(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cracked.py"
    file.write_text(CRACKED)
    known = engines(Places((str(file),)))
    assert lacking(known["cracked"]) == "broken: OSError: libcracked.so: cannot open"
    assert lacking(known["mute"]) == "broken: KeyError: 'voices'"
    assert "lpc" in runnable(known, Copier, (), "copies.engines")
    with pytest.raises(EngineError, match=r"the engine 'cracked' cannot run here: broken: OSError: libcracked\.so"):
        runnable(known, Copier, ("cracked",), "copies.engines")
    with pytest.raises(EngineError, match=r"no engine can run here.*mute: broken: KeyError"):
        runnable({"mute": known["mute"]}, Speaker, (), "speech.engines")
    assert run(["corpus", "engines", "--engine", str(file)]) == 0
    said = capsys.readouterr().out
    assert "\n  missing: broken: OSError: libcracked.so: cannot open\n" in said
    assert "lpc  vocoder" in said
    recipe = spoken.recipe(
        manifest, data__engines=(str(file),), copies__engines=(), copies__per_recording=1, choice__most=1
    )
    heard = Hearing()
    assert build(recipe, tmp_path / "corpus", heard, jobs=0).made.total() > 1
    assert "the engine 'cracked' takes no part: broken: OSError: libcracked.so: cannot open" in heard.said


class Hearing(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_voice_of_piper_whose_description_is_broken_is_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist.corpus.engines import piper

    for name, text in (("good", '{"language": {"code": "de_DE"}}'), ("bad", "{"), ("odd", "[]")):
        (tmp_path / f"{name}.onnx").touch()
        (tmp_path / f"{name}.onnx.json").write_text(text)
    monkeypatch.setenv(piper.FOLDER, str(tmp_path))
    monkeypatch.setattr(piper, "PACKAGES", ())
    monkeypatch.setattr(piper, "has_package", lambda name: True)
    engine = piper.Piper()
    assert [(voice.name, voice.language) for voice in engine.voices()] == [("good", "de")]
    assert lacking(engine) == ""
    assert {*engine.unusable()} == {"bad", "odd"}
    assert "bad.onnx.json cannot be read" in engine.unusable()["bad"]
    (tmp_path / "good.onnx").unlink()
    assert piper.Piper().missing() == piper.Piper.install


def test_where_nothing_runs_every_line_that_would_help_is_said() -> None:
    known = {"absent": engines(Places((str(ENGINES),)))["absent"]}
    with pytest.raises(EngineError, match=r"no engine can run here; install one \(absent: pip install absent\)"):
        runnable(known, Copier, (), "copies.engines")


def own_engine(kind: str) -> str:
    """The engine of a kind (Copier, Speaker) that docs/corpus.md shows."""
    text = (ROOT / "docs" / "corpus.md").read_text(encoding="utf-8")
    found = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if f"({kind})" in block]
    assert len(found) == 1
    return found[0]


def test_the_engine_of_the_documentation_is_whole_in_30_lines(tmp_path: Path, manifest: Path) -> None:
    text = own_engine("Copier")
    assert len(text.splitlines()) <= 30
    file = tmp_path / "mine.py"
    file.write_text(text)
    known = engines(Places((str(file),)))
    (name,) = {*known} - {*engines()}
    summary = spoken.built(manifest, tmp_path / "corpus", data__engines=(str(file),), copies__engines=(name,))
    assert summary.made[name] == 12
    assert not summary.failed
    samples = spoken.voice(0)
    engine = known[name]
    assert isinstance(engine, Copier)
    copies = [engine.copy(samples, np.random.default_rng(0))[0] for _ in range(2)]
    assert np.array_equal(*copies)


def test_the_speaker_of_the_documentation_speaks_beside_every_recording(tmp_path: Path, manifest: Path) -> None:
    file = tmp_path / "beeps.py"
    file.write_text(own_engine("Speaker"))
    summary = spoken.built(
        manifest,
        tmp_path / "corpus",
        "speech",
        data__engines=(str(file),),
        speech__engines=("beeps",),
        copies__per_recording=0,
    )
    assert summary.made["beeps"] == 12
    assert not summary.failed

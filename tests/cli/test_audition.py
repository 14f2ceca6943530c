"""``aasist corpus try``: one engine, one recording or one text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from aasist.cli import run

from ..corpora import write_audio
from ..corpus import spoken

OWN = ("--engine", str(spoken.ENGINES))

FAULTY = """
from aasist.corpus.engine import Copier, Speaker

def inner(samples):
    raise IndexError("too many indices")

class Faulty(Copier):
    name = "faulty"

    def copy(self, samples, generator):
        return inner(samples), 16_000

class Odd(Copier):
    name = "odd"

    def copy(self, samples, generator):
        return samples, 3
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "r.wav"
    write_audio(path, spoken.voice(0))
    return path


@pytest.mark.parametrize(("ending", "subtype"), [("wav", "FLOAT"), ("flac", "PCM_24")])
def test_a_copy_is_written_as_the_engine_returns_it(
    recording: Path, tmp_path: Path, ending: str, subtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"o.{ending}"
    assert run(["corpus", "try", "fast", str(recording), "-o", str(out), *OWN]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: 1.20 s at 32,000 Hz, -")
    assert said.endswith("; 1.20 s were copied\n")
    samples, rate = soundfile.read(out, dtype="float32")
    assert (rate, soundfile.info(out).subtype) == (32_000, subtype)
    source, _ = soundfile.read(recording, dtype="float32")
    assert np.allclose(samples, np.repeat(source, 2), atol=2**-22)


def test_a_speaker_says_a_text_in_a_voice_or_a_sentence_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.wav"
    assert run(["corpus", "try", "beeper", "-o", str(out), *OWN, "--text", "abcd", "--voice", "tief"]) == 0
    assert "; tief (de): abcd\n" in capsys.readouterr().out
    assert soundfile.info(out).frames == 4 * 1_100
    assert run(["corpus", "try", "beeper", "-o", str(out), *OWN]) == 0
    assert "; low (en): " in capsys.readouterr().out
    assert run(["corpus", "try", "beeper", "-o", str(out), *OWN, "--voice", "loud"]) == 1
    assert "beeper has no voice 'loud'; there are low, high, tief" in capsys.readouterr().err


def test_a_fault_in_a_file_of_the_users_shows_its_whole_traceback(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "mine.py", tmp_path / "o.wav"
    file.write_text(FAULTY)
    words = [str(recording), "-o", str(out), "--engine", str(file)]
    assert run(["corpus", "try", "faulty", *words]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last):\n  File ")
    assert "line 11, in copy\n    return inner(samples), 16_000" in said
    assert "line 5, in inner" in said
    assert "aasist/corpus" not in said, "what lies before the user's file helps nobody"
    assert said.endswith("aasist: faulty failed: IndexError: too many indices (mine.py:5)\n")
    assert run(["corpus", "try", "odd", *words]) == 1
    assert capsys.readouterr().err == "aasist: expected a rate of 4,000 to 192,000 Hz, got 3\n"
    file.write_text("import numpy\nnumpy.nothing_like_it\n")
    assert run(["corpus", "try", "faulty", *words]) == 1
    said = capsys.readouterr().err
    assert "line 2, in <module>" in said
    assert said.endswith("has no attribute 'nothing_like_it'\n")
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["rough", "-o", "o.wav"], 2, "rough copies recordings: of which?"),
        (["rough", "r.wav", "-o", "o.mp3"], 2, "-o must end in .wav or .flac"),
        (["rough", "r.wav", "-o", "r.wav"], 2, "r.wav is the recording: it would be replaced"),
        (["rough", "r.wav", "-o", "o.wav", "--text", "a"], 2, "--text and --voice are for text-to-speech"),
        (["beeper", "r.wav", "-o", "o.wav"], 2, "beeper says texts: leave r.wav out"),
        (["rough", "nowhere.wav", "-o", "o.wav"], 1, "nowhere.wav"),
        (["rogh", "r.wav", "-o", "o.wav"], 1, "no engine 'rogh'; did you mean 'rough'?"),
        (["absent", "r.wav", "-o", "o.wav"], 1, "the engine 'absent' cannot run here: pip install absent"),
    ],
)
def test_what_cannot_be_is_one_line(
    recording: Path,
    words: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(recording.parent)
    before = recording.read_bytes()
    assert run(["corpus", "try", *words, *OWN]) == code
    complaint = capsys.readouterr().err
    assert said in complaint
    assert "Traceback" not in complaint
    assert recording.read_bytes() == before
    assert not (recording.parent / "o.wav").exists()

"""``aasist corpus``: what it makes is trained on and evaluated; what it refuses, it refuses in one line."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aasist.cli import run
from aasist.corpus.recipe import Recipe, read_recipe, resolved_text
from aasist.keys import keys_of

from ..corpus import spoken
from ..training import small

MINI = ("--engine", str(spoken.ENGINES), "copies.engines=bent,fast,narrow,rough", "--jobs", "0")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighteen recordings of six sources; treat it as read-only."""
    return spoken.recordings(tmp_path_factory.mktemp("bonafide"), 18, seconds=1.0)


@pytest.fixture(scope="module")
def corpus(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus by the command; treat it as read-only."""
    place = tmp_path_factory.mktemp("corpora") / "copies"
    assert run(["corpus", "build", "copies", "--bonafide", str(manifest), "-o", str(place), *MINI]) == 0
    return place


def test_it_says_on_stdout_what_was_made(manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "copies"
    assert run(["corpus", "build", "copies", "--bonafide", str(manifest), "-o", str(place), *MINI]) == 0
    said = capsys.readouterr()
    first, *engines = said.out.splitlines()
    assert first.startswith(f"{place}: ")
    assert "36 spoofs" in first
    assert [line.split(":")[0].strip() for line in engines] == ["bent", "fast", "narrow", "rough"]
    assert said.err.startswith("18 recordings (train ")
    assert "in eval alone: A04 " in said.err
    # And once more, from what the folder knows.
    assert run(["corpus", "build", "-o", str(place), "--jobs", "0"]) == 0
    assert capsys.readouterr().out == said.out


def test_what_it_makes_is_trained_on_in_both_layouts_and_evaluated(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], loudness_onnx: Path
) -> None:
    changes = [f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in small.CHANGES.items()]
    of_layout = ["--corpus", "asvspoof2019-la", "--root", str(corpus)]
    assert run(["train", "aasist", *of_layout, "-o", str(tmp_path / "one"), *changes, "steps=1"]) == 0
    of_manifest = ["--data", str(corpus / "manifest.tsv")]
    pairs = ["sampling.mode=pairs", "sampling.epoch_trials=8", "batch=4"]
    assert run(["train", "aasist", *of_manifest, "-o", str(tmp_path / "two"), *changes, *pairs, "steps=1"]) == 0
    capsys.readouterr()
    figures = []
    manifest = ["--corpus", "manifest", "--root", str(corpus), "--subset", "eval"]
    for words in ([*of_layout, "--subset", "eval"], manifest):
        assert (
            run(["evaluate", *words, "--model", str(loudness_onnx), "--first-window", "--rounds", "0", "--json"]) == 0
        )
        figures.append(json.loads(capsys.readouterr().out))
    assert figures[0]["eer"] == figures[1]["eer"]
    assert "A04" in figures[0]["by_attack"]


def test_the_engines_are_listed_with_what_they_lack(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["corpus", "engines", "--engine", str(spoken.ENGINES)]) == 0
    said = capsys.readouterr().out
    assert "beeper (mini.py)  tts, tones, 3 voices in de, en; licence CC0-1.0" in said
    assert "absent (mini.py)  vocoder; licence not stated\n  missing: pip install absent" in said
    assert run(["corpus", "engines", "--engine", str(spoken.ENGINES), "--json"]) == 0
    listed = {facts["name"]: facts for facts in map(json.loads, capsys.readouterr().out.splitlines())}
    assert listed["beeper"]["languages"] == ["de", "en"]
    assert listed["lpc"]["missing"] is None
    assert listed["lpc"]["voices"] is None


POLYGLOT = """
from aasist.corpus.engine import Speaker, Voice

class Polyglot(Speaker):
    name = "polyglot"
    speak = print

    def voices(self):
        return [Voice(f"v{number}", f"a{letter}") for number, letter in enumerate("abcdefghij")]

class Single(Speaker):
    name = "single"
    speak = print

    def voices(self):
        return [Voice("one", "en")]
"""


def test_of_many_languages_the_first_and_their_number_are_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(POLYGLOT)
    assert run(["corpus", "engines", "--engine", str(file)]) == 0
    said = capsys.readouterr().out
    many = "10 voices in 10 languages: aa, ab, ac, ad, ae, af, ag, ah, ... (--json lists them)"
    assert f"polyglot (mine.py)  tts, {many}; licence not stated\n" in said
    assert "single (mine.py)  tts, 1 voice in en; licence" in said
    assert "\nlpc  vocoder, " in said, "one of the package has no file"
    assert run(["corpus", "engines", "--engine", str(file), "--json"]) == 0
    listed = {facts["name"]: facts for facts in map(json.loads, capsys.readouterr().out.splitlines())}
    assert len(listed["polyglot"]["languages"]) == 10


def test_one_of_a_kind_is_said_in_the_singular(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["corpus", "build", "copies", "--bonafide", str(manifest), "-o", str(tmp_path / "c"), *MINI[:2]]
    changes = ["copies.engines=rough", "choice.most=1", "copies.per_recording=1"]
    assert run([*words, "--jobs", "0", *changes]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("1 recording (train 1), 2 files by 1 engine, 1 attack\n")
    assert ": 1 bona fide, 1 spoof (train 2)" in said.out


def test_keys_and_the_whole_recipe_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["corpus", "build", "--keys"]) == 0
    said = capsys.readouterr().out
    assert all(f"{known.name}: " in said for known in keys_of(Recipe))
    assert run(["corpus", "build", "speech", "--show", "per_recording=3"]) == 2
    assert "could be copies.per_recording or speech.per_recording" in capsys.readouterr().err
    assert run(["corpus", "build", "speech", "--show", "most_per_source=7"]) == 0
    file = tmp_path / "shown.toml"
    file.write_text(capsys.readouterr().out)
    recipe = read_recipe(str(file))
    assert recipe == read_recipe("speech", {"choice.most_per_source": 7})
    assert resolved_text(recipe) == file.read_text()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["build"], 2, "which recipe? copies, speech, or a TOML file"),
        (["build", "copies", "--bonafide", "."], 2, "into which folder"),
        (["build", "copies", "-o", "x"], 1, "which recordings?"),
        (["build", "copies", "-o", "x", "--bonafide", "nowhere"], 1, "nowhere: no such file or folder"),
        (
            ["build", "copies", "-o", "x", "--bonafide", "no.tsv"],
            1,
            "no.tsv: no such file or folder: expected a folder",
        ),
        (
            ["build", "copies", "-o", "x", "--bonafide", "asvspoof2019-la:no"],
            1,
            "no: no such file or folder: expected ASV",
        ),
        (["build", "copys", "-o", "x"], 1, "no recipe 'copys'"),
        (["build", "copies", "sed=1"], 2, "no key 'sed'; did you mean 'seed'?"),
        (["build", "copies", "dev=0.6", "eval=0.5"], 2, "leave nothing to train on"),
        (["build", "copies", "copies.per_recording=0"], 2, "nothing would be made"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["corpus", *words]) == code
    complaint = capsys.readouterr().err
    assert said in complaint
    assert "Traceback" not in complaint
    assert not (tmp_path / "x").exists()


def test_what_was_left_out_is_named_and_makes_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "r"
    spoken.recordings(folder, 3, seconds=1.0)
    (folder / "manifest.tsv").unlink()
    (folder / "broken.wav").write_bytes(b"RIFF")
    words = [
        "corpus",
        "build",
        "copies",
        "--bonafide",
        str(folder),
        "-o",
        str(tmp_path / "c"),
        *MINI[:2],
        "--jobs",
        "0",
    ]
    assert run([*words, "copies.engines=rough,moody", "copies.per_recording=2"]) == 1
    said = capsys.readouterr().err
    assert "aasist: 1 recording was left out\n  broken: " in said


def test_where_an_engine_of_ones_own_fails_the_ways_to_look_into_it_are_said_once(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["corpus", "build", "copies", "--bonafide", str(manifest), "-o", str(tmp_path / "c"), *MINI[:2]]
    assert (
        run(
            [
                *words,
                "--jobs",
                "0",
                "choice.most=2",
                "copies.engines=rough,deaf,broken",
                "copies.per_recording=3",
                "layout.eval=0",
            ]
        )
        == 1
    )
    said = capsys.readouterr().err
    assert "no such luck (mini.py:" in said
    assert said.count("aasist: to look into it: aasist corpus try broken ...") == 1
    assert said.count("--jobs 0 runs it in this process, with a debugger") == 1


@pytest.mark.parametrize(("sign", "jobs"), [(signal.SIGINT, "1"), (signal.SIGTERM, "1"), (signal.SIGTERM, "0")])
def test_stopped_it_says_how_far_it_is_and_how_to_go_on(
    manifest: Path, tmp_path: Path, sign: signal.Signals, jobs: str
) -> None:
    place = tmp_path / "c"
    words = ["corpus", "build", "copies", "--bonafide", manifest, "-o", place, *MINI[:2], "--jobs", jobs]
    command = [sys.executable, "-m", "aasist", *words, "copies.engines=rough,slow"]
    # In a session of its own: the shell that runs the tests may have Ctrl-C ignored for what runs in the background.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heeds)  # noqa: PLW1509
    while process.poll() is None and not list(place.rglob("*.flac")):
        time.sleep(0.005)
    process.send_signal(sign)
    _, said = process.communicate()
    assert process.returncode == 128 + sign
    found = re.fullmatch(
        rf"{re.escape(str(place))}: stopped after (\d+) of 18 recordings; go on with the same command",
        said.splitlines()[-1],
    )
    assert found, said
    journal = place / "journal.jsonl"
    noted = len(journal.read_text().splitlines()) if journal.exists() else 0
    assert noted - 1 <= int(found[1]) <= noted
    assert "Traceback" not in said


def heeds() -> None:
    """Ctrl-C is heeded, whatever was inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

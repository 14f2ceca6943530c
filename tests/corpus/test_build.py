"""The build: paired by construction, the same whatever happens on the way, and one clear line for what cannot be."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aasist.corpus.build import Silent, build
from aasist.corpus.folder import Folder
from aasist.corpus.match import active_rms, rms
from aasist.corpus.recipe import Recipe
from aasist.errors import AasistError

from ..corpora import SAMPLE_RATE, Signal, write_audio
from . import spoken


def heard(place: Path, row: dict[str, str]) -> Signal:
    samples, rate = soundfile.read(place / row["path"], dtype="float32")
    assert rate == SAMPLE_RATE
    assert samples.ndim == 1
    return samples


def refusal(recipe: Recipe, place: Path) -> AasistError:
    with pytest.raises(AasistError) as error:
        build(recipe, place, Silent(), jobs=0)
    assert "\n" not in error.value.message
    return error.value


@pytest.fixture(scope="module")
def copies(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three copies of each recording, by mini engines; treat it as read-only."""
    place = tmp_path_factory.mktemp("copies") / "corpus"
    spoken.built(manifest, place, copies__per_recording=3)
    return place


@pytest.fixture(scope="module")
def speech(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of speech beside each recording; treat it as read-only."""
    place = tmp_path_factory.mktemp("speech") / "corpus"
    spoken.built(manifest, place, "speech", copies__per_recording=0, speech__per_recording=2, layout__held_out=None)
    return place


def test_both_sides_of_a_pair_are_of_one_length_level_source_and_subset(copies: Path) -> None:
    pairs: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in spoken.rows(copies):
        pairs[row["pair"]].append(row)
    assert len(pairs) > 12
    for members in pairs.values():
        real = [row for row in members if row["label"] == "bonafide"]
        assert len(real) == 1
        assert len(members) > 1 or "@" not in members[0]["pair"]
        clips = [heard(copies, row) for row in members]
        assert len({len(clip) for clip in clips}) == 1
        assert max(map(rms, clips)) < 1.01 * min(map(rms, clips)) + 1e-4
        assert max(float(np.max(np.abs(clip))) for clip in clips) < 0.99
        for column in ("source", "subset", "speaker", "language", "seconds", "licence"):
            assert len({row[column] for row in members}) == 1, column


def test_a_narrow_engine_has_a_bona_fide_partner_as_narrow_as_it_is(copies: Path) -> None:
    rows = spoken.rows(copies)
    narrow = [row for row in rows if row["engine"] == "narrow"]
    assert narrow
    real = {row["pair"]: row for row in rows if row["label"] == "bonafide"}
    for row in narrow:
        assert row["pair"].endswith("@8000")
        for member in (row, real[row["pair"]]):
            spectrum = np.abs(np.fft.rfft(heard(copies, member))) ** 2
            assert spectrum[int(0.53 * len(spectrum)) :].sum() < 1e-3 * spectrum.sum()


def test_speech_has_its_partners_length_level_and_silences(speech: Path) -> None:
    rows = spoken.rows(speech)
    real = {row["pair"]: heard(speech, row) for row in rows if row["label"] == "bonafide"}
    spoofs = [row for row in rows if row["label"] == "spoof"]
    assert len(spoofs) == 24
    for row in spoofs:
        clip, partner = heard(speech, row), real[row["pair"]]
        assert len(clip) == len(partner)
        assert active_rms(clip) == pytest.approx(active_rms(partner), rel=0.25)
        head = slice(0, 1_400)
        assert rms(clip[head]) == pytest.approx(rms(partner[head]), rel=0.5)
        assert row["kind"] == "tts"
        assert row["source_rate"] == "22050"
        assert row["voice"] in ("low", "high")
        assert row["text"] != "-"


def test_the_layout_is_that_of_asvspoof_2019_la_with_whole_sources_and_attacks_held_out(copies: Path) -> None:
    from aasist.protocol.corpora import read_corpus
    from aasist.protocol.manifest import read_manifest

    table = (copies / "attacks.tsv").read_text().splitlines()
    attacks = [dict(zip(table[0].split("\t"), line.split("\t"), strict=True)) for line in table[1:]]
    held = {row["attack"] for row in attacks if row["held_out"] == "yes"}
    assert len(held) == 1  # of the vocoders one; of the other kinds there is no second
    manifest = read_manifest(copies / "manifest.tsv")
    ids, sources = set(), {}
    for subset in ("train", "dev", "eval"):
        trials = read_corpus("asvspoof2019-la", copies, subset)
        assert trials.bonafide is not None
        assert 0 < trials.bonafide.sum() < len(trials)
        assert all((copies / path).is_file() for path in trials.columns["path"].tolist())
        assert bool(held & {*trials.columns["attack"].tolist()}) == (subset == "eval")
        rows = np.flatnonzero(manifest.columns["subset"] == subset)
        assert {*trials.ids.tolist()} == {*manifest.ids[rows].tolist()}
        ids |= {*trials.ids.tolist()}
        sources[subset] = {*manifest.columns["source"][rows].tolist()}
    assert len(ids) == len(manifest)
    assert not sources["train"] & sources["dev"] | sources["train"] & sources["eval"] | sources["dev"] & sources["eval"]
    assert "page-0" in (copies / "LICENCES.md").read_text()
    assert "| rough | quantisation | CC0-1.0 |" in (copies / "LICENCES.md").read_text()


def test_a_take_is_the_same_whatever_the_order_the_jobs_and_the_other_engines(manifest: Path, tmp_path: Path) -> None:
    lines = manifest.read_text(encoding="utf-8").splitlines()
    turned = manifest.with_name("turned.tsv")
    turned.write_text("".join(f"{line}\n" for line in (lines[0], *reversed(lines[1:]))), encoding="utf-8")
    keep = {"layout__held_out": None, "layout__dev": 0.0, "layout__eval": 0.0}
    spoken.built(manifest, tmp_path / "one", copies__per_recording=4, **keep)
    spoken.built(turned, tmp_path / "two", copies__per_recording=4, jobs=2, **keep)
    spoken.built(manifest, tmp_path / "rough", copies__engines=("rough",), **keep)
    one, two, rough = (spoken.contents(tmp_path / name) for name in ("one", "two", "rough"))
    assert {name: one[name] for name in one if name.endswith(".flac")} == {
        name: two[name] for name in two if name.endswith(".flac")
    }
    shared = [name for name in rough if name.endswith(".flac")]
    assert len(shared) == 24
    assert all(rough[name] == one[name] for name in shared)


CODE = """
import sys
from pathlib import Path
from aasist.corpus.build import Silent, build
from aasist.corpus.recipe import read_recipe
if __name__ == "__main__":
    print("ready", flush=True)
    build(read_recipe(sys.argv[1]), Path(sys.argv[2]), Silent(), jobs=int(sys.argv[3]))
"""


def test_killed_at_any_moment_it_comes_to_the_same_bytes_and_makes_nothing_twice(
    manifest: Path, tmp_path: Path
) -> None:
    changes = {"copies__engines": ("rough", "slow", "moody"), "copies__per_recording": 2}
    spoken.built(manifest, tmp_path / "whole", **changes)
    script, place = tmp_path / "build.py", tmp_path / "killed"
    script.write_text(CODE)
    times: dict[str, int] = {}
    for attempt in range(4):
        command = [sys.executable, script, tmp_path / "whole" / "recipe.toml", place, str(attempt % 2)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        assert process.stdout is not None
        process.stdout.readline()
        begun = len(list(place.rglob("*.flac")))
        while attempt < 3 and process.poll() is None and len(list(place.rglob("*.flac"))) < begun + 4:
            time.sleep(0.002)
        if attempt < 3:
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
        for path in place.rglob("*.flac"):
            made = path.stat().st_mtime_ns
            assert times.setdefault(path.name, made) == made, "made twice"
    assert spoken.contents(place) == spoken.contents(tmp_path / "whole")


def test_the_same_command_again_makes_nothing_and_says_the_same(manifest: Path, tmp_path: Path) -> None:
    first = spoken.built(manifest, tmp_path / "corpus")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    again = spoken.built(manifest, tmp_path / "corpus")
    assert (first.made, first.subsets) == (again.made, again.subsets)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}


def test_an_engine_that_fails_is_counted_and_stopped_at_the_same_place_with_any_number_of_jobs(tmp_path: Path) -> None:
    manifest = spoken.recordings(tmp_path / "r", 26, seconds=1.0)
    for jobs in (0, 2):
        place = tmp_path / str(jobs)
        engines = ("broken", "moody", "narrow", "rough")
        summary = spoken.built(
            manifest, place, jobs=jobs, copies__engines=engines, copies__per_recording=4, layout__held_out=None
        )
        assert summary.failed["broken"] == 10
        assert "RuntimeError: no such luck" in summary.stopped["broken"]
        assert 4 < summary.failed["moody"] <= 20
        assert "moody" in summary.stopped
        assert summary.made["rough"] == 26
        rows = spoken.rows(place)
        assert not [row for row in rows if row["engine"] == "broken"]
        assert {path.relative_to(place).as_posix() for path in place.rglob("*.flac")} == {row["path"] for row in rows}
    assert spoken.contents(tmp_path / "0") == spoken.contents(tmp_path / "2")


def test_what_a_killed_build_left_of_an_engine_that_is_stopped_later_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are ahead of the journal: a kill leaves takes of recordings before which their engine will be stopped."""
    from aasist.corpus.build import _Work

    manifest = spoken.recordings(tmp_path / "r", 26, seconds=1.0)
    changes = {"copies__engines": ("moody", "narrow"), "copies__per_recording": 2, "layout__held_out": None}
    assert "moody" in spoken.built(manifest, tmp_path / "whole", **changes).stopped
    with monkeypatch.context() as patch:
        patch.setattr(_Work, "_judge", lambda self, engine: None)
        assert not spoken.built(manifest, tmp_path / "killed", **changes).stopped
    journal = tmp_path / "killed" / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:5]))
    before = {*spoken.contents(tmp_path / "killed")}
    spoken.built(manifest, tmp_path / "killed", **changes)
    assert before - {*spoken.contents(tmp_path / "killed")}
    assert spoken.contents(tmp_path / "killed") == spoken.contents(tmp_path / "whole")


def test_engines_that_crash_or_hang_lose_their_takes_and_nothing_else(manifest: Path, tmp_path: Path) -> None:
    summary = spoken.built(
        manifest,
        tmp_path / "corpus",
        jobs=2,
        copies__engines=("crashing", "deaf", "hanging", "rough"),
        copies__per_recording=4,
        choice__most=2,
        layout__held_out=None,
        run__item_seconds=1.0,
    )
    assert summary.made["rough"] == summary.made["bonafide"] == 2
    assert summary.failed == {"crashing": 2, "deaf": 2, "hanging": 2}
    assert "SIGSEGV" in summary.reasons["crashing"]
    assert "longer than 1 s" in summary.reasons["hanging"]
    assert "NaN" in summary.reasons["deaf"]
    assert not summary.left_out


PLACED = """
from aasist.corpus.engine import Copier, EngineError

def doubled(samples):
    return samples[:, 0]

class Wrong(Copier):
    name = "wrong"

    def copy(self, samples, generator):
        return doubled(samples), 16_000

class Choosy(Copier):
    name = "choosy"

    def copy(self, samples, generator):
        raise EngineError("not this one")

class Mute(Copier):
    name = "mute"

    def copy(self, samples, generator):
        return 0 * samples, 16_000
"""


def test_a_failure_in_a_file_of_the_users_names_its_innermost_place_there(manifest: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLACED)
    for jobs in (0, 1):
        summary = spoken.built(
            manifest,
            tmp_path / f"corpus-{jobs}",
            jobs=jobs,
            data__engines=(str(file),),
            copies__engines=("choosy", "lpc", "mute", "wrong"),
            copies__per_recording=4,
            choice__most=1,
            layout__held_out=None,
        )
        said = {name: reason.partition(": ")[2] for name, reason in summary.reasons.items()}
        assert said["wrong"].startswith("IndexError: too many indices for array")
        assert said["wrong"].endswith(" (mine.py:5)")
        assert said["choosy"] == "not this one (mine.py:17)"
        assert said["mute"] == "it made silence", "found out by us: there is no place"
        assert summary.own == ("choosy", "mute", "wrong")


READER = """
import multiprocessing, os, signal, time
from aasist.corpus import span

if multiprocessing.parent_process() is not None:
    opened = span.open_audio

    def open_audio(path):
        if "deadly" in path:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "endless" in path:
            time.sleep(1_000)
        return opened(path)

    span.open_audio = open_audio
"""
"""What an engine's file does to the reader of a worker that has loaded it."""


def test_a_recording_that_kills_or_hangs_its_reader_is_left_out_and_never_met_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist.corpus import crew

    monkeypatch.setattr(crew, "_READING_SECONDS", 3.0)
    for name in ("a-deadly", "b-good", "c-endless", "d-good"):
        write_audio(tmp_path / "speech" / f"{name}.wav", spoken.voice(len(name)))
    engines = tmp_path / "engines.py"
    engines.write_text(
        READER + spoken.ENGINES.read_text(encoding="utf-8").replace("from __future__", "# from __future__")
    )
    changes = {"data__engines": (str(engines),), "copies__engines": ("rough",), "copies__per_recording": 1}
    for _ in range(2):  # the second time there is nothing left to read
        summary = spoken.built(
            tmp_path / "speech", tmp_path / "corpus", jobs=1, layout__held_out=None, run__item_seconds=3.0, **changes
        )
        assert summary.made["rough"] == summary.made["bonafide"] == 2
        assert not summary.failed
        assert summary.left_out == {
            "a-deadly": "reading it: it ended the process by SIGSEGV",
            "c-endless": "reading it: it took longer than 6 s",
        }


CALLERS = """
import os, signal, sys, time
import numpy as np
from aasist.corpus.engine import Copier
from aasist.corpus.program import run

CHILD = "import pathlib, time; time.sleep(2.0); pathlib.Path('MARK').touch()"
KILLER = "import os, signal, subprocess, sys; os.kill(os.getppid(), signal.SIGKILL); subprocess.run([sys.executable, '-c', sys.argv[1]])"

class Orphaned(Copier):
    name = "orphaned"

    def copy(self, samples, generator):
        run((sys.executable, "-c", KILLER, CHILD))

class Endless(Copier):
    name = "endless"

    def copy(self, samples, generator):
        run((sys.executable, "-c", "import time; time.sleep(600)"))
"""


def test_a_program_ends_with_its_worker_and_within_the_time_of_its_engine(manifest: Path, tmp_path: Path) -> None:
    engines, mark = tmp_path / "callers.py", tmp_path / "mark"
    engines.write_text(CALLERS.replace("MARK", str(mark)))
    summary = spoken.built(
        manifest,
        tmp_path / "corpus",
        jobs=1,
        data__engines=(str(engines),),
        copies__engines=("endless", "orphaned"),
        copies__per_recording=2,
        choice__most=1,
        layout__held_out=None,
        run__item_seconds=4.0,
    )
    assert summary.failed == {"endless": 1, "orphaned": 1}
    assert "SIGKILL" in summary.reasons["orphaned"]
    assert "took longer than 3." in summary.reasons["endless"]
    assert "run.item_seconds" not in summary.reasons["endless"]
    time.sleep(2.5)
    assert not mark.exists()


def test_recordings_that_cannot_be_used_are_left_out_counted_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    for number in range(3):
        write_audio(folder / f"good-{number}.wav", spoken.voice(number))
    write_audio(folder / "short.wav", spoken.voice(9, 0.6))
    write_audio(folder / "silent.wav", np.zeros(32_000, np.float32))
    write_audio(folder / "quiet.wav", 1e-3 * spoken.voice(10))
    write_audio(folder / "clipped.wav", np.clip(20 * spoken.voice(11), -0.5, 0.5))
    (folder / "text.wav").write_bytes(b"this is no sound at all")
    summary = spoken.built(folder, tmp_path / "corpus")
    assert summary.made["bonafide"] >= 3
    said = {name: summary.left_out[name] for name in ("short", "silent", "quiet", "clipped", "text")}
    assert len(summary.left_out) == 5
    assert "0.60 s, 1 s is needed" in said["short"]
    assert "silent" in said["silent"]
    assert "too quiet" in said["quiet"]
    assert "is clipped" in said["clipped"]
    assert "not a recording" in said["text"]


def test_bad_input_is_one_clear_line_and_leaves_nothing_behind(manifest: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    place = tmp_path / "corpus"
    assert "no audio" in refusal(spoken.recipe(empty), place).message
    twice = tmp_path / "twice"
    for name in ("a.wav", "a.flac"):
        write_audio(twice / name, spoken.voice(0))
    assert "two recordings have the id 'a'" in refusal(spoken.recipe(twice), place).message
    said = refusal(spoken.recipe(manifest, copies__engines=("absent",)), place).message
    assert said == "copies.engines: the engine 'absent' cannot run here: pip install absent"
    assert "did you mean 'rough'" in refusal(spoken.recipe(manifest, copies__engines=("rogh",)), place).message
    said = refusal(spoken.recipe(manifest, copies__engines=("beeper",)), place).message
    assert said == "copies.engines: the engine 'beeper' is text-to-speech: name it in speech.engines"
    said = refusal(spoken.recipe(manifest, "speech", speech__engines=("rough",)), place).message
    assert said == "speech.engines: the engine 'rough' copies recordings: name it in copies.engines"
    foreign = tmp_path / "texts.tsv"
    foreign.write_text("sw\thabari za asubuhi\n")
    recipe = spoken.recipe(manifest, "speech", data__texts=str(foreign), speech__engines=("beeper",))
    assert refusal(recipe, place).message == (
        "there are texts in sw, and the engines beeper speak de, en: give texts in those languages, or install voices"
    )
    short = spoken.recipe(manifest, span__shortest_seconds=3.0, span__longest_seconds=4.0)
    assert "none of the 12 recordings" in refusal(short, place).message
    assert not place.exists()


def test_a_folder_of_another_recipe_or_of_other_things_is_refused(manifest: Path, tmp_path: Path) -> None:
    place = tmp_path / "corpus"
    spoken.built(manifest, place, choice__most=2)
    said = refusal(spoken.recipe(manifest, layout__whole="speaker", layout__held_out=None, choice__most=2), place)
    assert "(layout.whole: auto there, speaker now; layout.held_out: empty there, none now)" in said.message
    said = refusal(spoken.recipe(manifest, choice__most=3, seed=5), place)
    assert said.code == "other_recipe"
    assert "seed: 1234 there, 5 now; choice.most: 2 there, 3 now" in said.message
    other = spoken.recordings(tmp_path / "other", 5)
    assert "other recordings" in refusal(spoken.recipe(other, choice__most=2), place).message
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    assert "holds other things (thesis.txt)" in refusal(spoken.recipe(manifest), full).message
    assert (full / "thesis.txt").read_text() == "mine"


def test_a_folder_begun_before_generators_were_held_out_is_gone_on_with_as_it_was(
    manifest: Path, tmp_path: Path
) -> None:
    place = tmp_path / "corpus"
    changes = {"copies__engines": ("griffin-lim", "griffin-lim-mel", "rough"), "copies__per_recording": 2}
    spoken.built(manifest, place, **changes)
    by_generator = (place / "attacks.tsv").read_text()
    spoken.built(manifest, tmp_path / "before", layout__held_out_by="attack", **changes)
    before = spoken.contents(tmp_path / "before")
    assert before["attacks.tsv"].decode() != by_generator
    recipe = tmp_path / "before" / "recipe.toml"
    recipe.write_text("".join(line for line in recipe.read_text().splitlines(True) if "held_out_by" not in line))
    (tmp_path / "before" / "manifest.tsv").unlink()
    spoken.built(manifest, tmp_path / "before", **changes)
    assert spoken.contents(tmp_path / "before") == before


def test_two_builds_in_one_folder_at_once_are_refused(manifest: Path, tmp_path: Path) -> None:
    place = tmp_path / "corpus"
    with Folder(place):
        assert refusal(spoken.recipe(manifest), place).code == "in_use"
    assert not place.exists()


def test_a_line_of_the_journal_that_was_broken_off_is_made_again(manifest: Path, tmp_path: Path) -> None:
    place = tmp_path / "corpus"
    spoken.built(manifest, place)
    before = spoken.contents(place)
    journal = place / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    (place / "manifest.tsv").unlink()
    spoken.built(manifest, place)
    assert spoken.contents(place) == before


def test_a_full_disk_ends_it_with_one_line_and_the_same_command_goes_on(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist import files

    place, write, left = tmp_path / "corpus", files.write, [9]

    def limited(path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, os.strerror(28), str(path))
        write(path, content)

    monkeypatch.setattr(files, "write", limited)
    said = refusal(spoken.recipe(manifest), place).message
    assert said.endswith("No space left on device; make room, and the same command goes on")
    monkeypatch.undo()
    spoken.built(manifest, place)
    spoken.built(manifest, tmp_path / "whole")
    assert spoken.contents(place) == spoken.contents(tmp_path / "whole")


def test_a_full_disk_in_a_worker_is_the_same_line(manifest: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    recipe = tmp_path / "recipe.toml"
    from aasist.corpus.recipe import resolved_text

    recipe.write_text(resolved_text(spoken.recipe(manifest)))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    command = [sys.executable, "-m", "aasist", "corpus", "build", recipe, "-o", tmp_path / "corpus", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert done.returncode == 1
    assert "aasist: cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recipe_that_was_written_down_builds_the_same_elsewhere(manifest: Path, copies: Path, tmp_path: Path) -> None:
    from aasist.corpus.recipe import read_recipe

    build(read_recipe(str(copies / "recipe.toml")), tmp_path / "again", Silent(), jobs=0)
    assert spoken.contents(tmp_path / "again") == spoken.contents(copies)


def test_the_journal_says_what_was_heard(copies: Path) -> None:
    lines = [json.loads(line) for line in (copies / "journal.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    assert {line["heard"]["source_rate"] for line in lines} == {"16000"}

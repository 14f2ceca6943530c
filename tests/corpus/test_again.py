"""An engine that has made nothing in a folder may be mended, and is tried again there; what others made stands."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aasist.corpus.build import Silent, Summary, build
from aasist.corpus.folder import FolderError
from aasist.corpus.recipe import Recipe, resolved_text

from . import spoken
from .mini import Beeper, Narrow

STABLE = spoken.ENGINES.read_text(encoding="utf-8").replace('"narrow"', '""').replace('"beeper"', '""')
HEAD = "import time\nimport numpy as np\nfrom aasist.corpus.engine import Copier, Speaker, Voice\n"
MENDED = re.sub(r"Sequence\[Voice\]|Float32|Sound", "object", HEAD + "".join(map(inspect.getsource, (Narrow, Beeper))))
BROKEN = MENDED.replace("return samples[::2], self.rate_hz", 'raise IndexError("too many indices")')
BROKEN = BROKEN.replace("tones = [", 'raise OSError("no such voice")\n        tones = [')

EVERYTHING = {
    "copies__engines": ("bent", "moody", "narrow", "rough"),
    "copies__per_recording": 3,
    "speech__per_recording": 1,
    "layout__held_out": None,
}


class Hearing(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-six recordings: enough for engines to be stopped."""
    return spoken.recordings(tmp_path_factory.mktemp("many"), 26, seconds=1.0)


def recipe_of(recordings: Path, engines: Path, **changes: object) -> Recipe:
    """By the engines of ``engines``, narrow and beeper, and those of a file beside it that nobody touches."""
    stable = engines.with_name("stable.py")
    if not stable.exists():
        stable.write_text(STABLE)
    return spoken.recipe(
        recordings, "speech", **{"data__engines": (str(stable), str(engines)), **EVERYTHING, **changes}
    )


def built(recordings: Path, place: Path, engines: Path, listener: Silent | None = None, **changes: object) -> Summary:
    return build(recipe_of(recordings, engines, **changes), place, listener or Silent(), jobs=0)


def test_a_mended_engine_comes_to_what_a_folder_of_its_own_would_hold(many: Path, tmp_path: Path) -> None:
    engines, place, hearing = tmp_path / "mine.py", tmp_path / "corpus", Hearing()
    engines.write_text(BROKEN)
    first = built(many, place, engines)
    assert first.failed["narrow"] == first.failed["beeper"] == 10
    assert {"narrow", "beeper", "moody"} == {*first.stopped}
    made = {path: path.stat().st_mtime_ns for path in place.rglob("*.flac")}
    engines.write_text(MENDED)
    second = built(many, place, engines, hearing)
    assert "narrow has changed, and had made nothing here: it is tried again (10 failures forgotten)" in hearing.said
    assert not second.failed["narrow"]
    assert not second.failed["beeper"]
    assert second.made["beeper"] == 26
    assert second.failed["moody"] == first.failed["moody"], "what others failed on is not tried again"
    assert all(path.stat().st_mtime_ns == before for path, before in made.items()), "what others made stands"
    built(many, tmp_path / "fresh", engines)
    assert spoken.contents(place) == spoken.contents(tmp_path / "fresh")


def test_an_engine_that_was_mended_by_half_is_stopped_anew_and_may_be_mended_again(many: Path, tmp_path: Path) -> None:
    engines, place = tmp_path / "mine.py", tmp_path / "corpus"
    engines.write_text(BROKEN)
    built(many, place, engines)
    engines.write_text(BROKEN.replace("too many", "far too many"))
    again = built(many, place, engines)
    assert again.failed["narrow"] == 10
    assert "far too many" in again.stopped["narrow"]
    engines.write_text(MENDED)
    assert built(many, place, engines).made["narrow"] > 10


def test_one_that_has_made_something_is_refused_with_the_ways_out(manifest: Path, tmp_path: Path) -> None:
    engines, place = tmp_path / "mine.py", tmp_path / "corpus"
    engines.write_text(BROKEN)
    built(manifest, place, engines)
    before = spoken.contents(place)
    stable = engines.with_name("stable.py")
    stable.write_text(stable.read_text().replace("0.02 *", "0.003 *"))
    engines.write_text(MENDED)
    with pytest.raises(FolderError, match=r"other engine bent \(stable.py\).*engine rough \(stable.py\)") as refusal:
        built(manifest, place, engines)
    assert refusal.value.message.endswith("to make all of it anew, delete the folder or name another (-o)")
    assert "engine narrow" not in refusal.value.message
    assert spoken.contents(place) == before


SLOW = MENDED.replace("return samples[::2]", "time.sleep(0.05)\n        return samples[::2]")


def test_what_a_kill_left_of_the_engine_as_it_was_is_not_taken_for_its_work(manifest: Path, tmp_path: Path) -> None:
    """A file that lies there though the journal does not know it was made by nobody knows which state of the engine."""
    engines, place = tmp_path / "mine.py", tmp_path / "corpus"
    engines.write_text(BROKEN)
    built(manifest, place, engines)
    engines.write_text(MENDED)
    built(manifest, tmp_path / "fresh", engines)
    whole = spoken.contents(tmp_path / "fresh")
    stale = next(row["path"] for row in spoken.rows(tmp_path / "fresh") if row["engine"] == "narrow")
    (place / stale).write_bytes(b"as it was")
    built(manifest, place, engines)
    assert spoken.contents(place) == whole


def test_killed_while_it_tries_again_it_goes_on(many: Path, tmp_path: Path) -> None:
    from .test_build import CODE

    engines, place, script, recipe = (tmp_path / name for name in ("mine.py", "corpus", "build.py", "recipe.toml"))
    engines.write_text(BROKEN)
    built(many, place, engines)
    made = {path: path.stat().st_mtime_ns for path in place.rglob("*.flac")}
    engines.write_text(SLOW)
    script.write_text(CODE)
    recipe.write_text(resolved_text(recipe_of(many, engines)))
    command = [sys.executable, script, recipe, place, "0"]
    for _ in range(2):
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        begun = len(list(place.rglob("*.flac")))
        while process.poll() is None and len(list(place.rglob("*.flac"))) < begun + 5:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    lines = (place / "journal.jsonl").read_text().splitlines()
    assert len(lines) > 26, "killed before it had begun"
    built(many, place, engines)
    assert all(path.stat().st_mtime_ns == before for path, before in made.items())
    built(many, tmp_path / "fresh", engines)
    assert spoken.contents(place) == spoken.contents(tmp_path / "fresh")


def test_a_change_that_turns_over_what_others_are_to_make_is_refused(manifest: Path, tmp_path: Path) -> None:
    """Of another kind, an engine takes other shares of the recordings: the corpus would be another one."""
    engines, place = tmp_path / "mine.py", tmp_path / "corpus"
    engines.write_text(BROKEN)
    changes = {"speech__per_recording": 0, "copies__per_recording": 1, "copies__engines": ("bent", "narrow", "rough")}
    built(manifest, place, engines, **changes)
    turned = re.sub(r'"narrow", "codec"', '"narrow", "vocoder"', MENDED)
    assert turned != MENDED
    engines.write_text(turned)
    with pytest.raises(FolderError, match="engine narrow"):
        built(manifest, place, engines, **changes)

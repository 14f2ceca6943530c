"""Windows drawn from recordings: seeded, one a recording, and what is in their way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aasist.errors import AasistError
from aasist.export.windows import Drawn, interleaved, windows_of_speech

from ..corpora import write_audio
from ..trials.test_scoring import speech

WINDOW, HOP = 8_000, 4_000


@pytest.fixture(scope="module")
def paths(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    found = [folder / f"{number}.flac" for number in range(8)]
    for number, path in enumerate(found):
        write_audio(path, speech(recording, number, 0.3 + 0.05 * number))
    return found


def drawn(paths: list[Path], wanted: int, seed: int = 0, **options: object) -> Drawn:
    return windows_of_speech(paths, wanted, window_samples=WINDOW, hop_samples=HOP, seed=seed, **options)  # type: ignore[arg-type]


def test_the_draw_is_that_of_the_seed_and_takes_each_recording_once(paths: list[Path]) -> None:
    first, again, other = drawn(paths, 5), drawn(paths, 5), drawn(paths, 5, seed=1)
    assert first.windows.shape == (5, WINDOW)
    assert first.windows.dtype == np.float32
    np.testing.assert_array_equal(first.windows, again.windows)
    assert first.paths == again.paths != other.paths
    assert len(set(first.paths)) == 5
    assert (first.silent, first.unreadable) == (0, 0)


def test_silent_and_unreadable_recordings_are_counted_and_passed_over(paths: list[Path], tmp_path: Path) -> None:
    write_audio(tmp_path / "silent.flac", np.zeros(16_000, np.float32))
    (tmp_path / "broken.flac").write_bytes(b"no audio at all" * 100)
    found = drawn([*paths, tmp_path / "silent.flac", tmp_path / "broken.flac"], 20)
    assert (len(found.paths), found.silent, found.unreadable) == (8, 1, 1)


def test_recordings_without_speech_are_refused_with_what_was_found(paths: list[Path], tmp_path: Path) -> None:
    for number in range(6):
        write_audio(tmp_path / f"{number}.flac", np.zeros(16_000, np.float32))
    silent = [tmp_path / f"{number}.flac" for number in range(6)]
    with pytest.raises(
        AasistError, match=r"8 calls gave 2 windows of speech, and 4 is the least.*6 without speech"
    ) as e:
        drawn([*silent, *paths[:2]], 10, what="calls")
    assert e.value.code == "calibration"
    (tmp_path / "broken.flac").write_bytes(b"no audio at all" * 100)
    with pytest.raises(AasistError, match=r"1 unreadable, the first \S+broken\.flac: .+: give more"):
        drawn([tmp_path / "broken.flac"], 10)
    with pytest.raises(AasistError, match="0 recordings gave 0 windows"):
        drawn([], 10)


def test_windows_of_both_classes_come_in_turn_and_split_in_two() -> None:
    first, second = (
        Drawn(np.full((count, 2), value, np.float32), tuple(f"{value}{n}" for n in range(count)), silent=count)
        for count, value in ((2, 1), (4, 2))
    )
    both = interleaved(first, second)
    assert both.paths == ("10", "20", "11", "21", "22", "23")
    np.testing.assert_array_equal(both.windows[:, 0], [1, 2, 1, 2, 2, 2])
    assert both.silent == 6
    ranges, rest = both.split(4)
    assert (ranges.paths, rest.paths) == (both.paths[:4], both.paths[4:])
    assert (ranges.silent, rest.silent) == (6, 0)

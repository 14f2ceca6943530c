"""The span: where a recording speaks, however long it is, in memory that does not grow with it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aasist.audio.levels import SourceLevels
from aasist.corpus import span as module
from aasist.corpus.recipe import Span
from aasist.corpus.span import CONTEXT, cut
from aasist.errors import AasistError

from ..corpora import SAMPLE_RATE, Signal, write_audio
from . import spoken

SPAN = Span(longest_seconds=1.5)


@dataclass
class Reader:
    """Stands for an open recording of so many blocks of ten seconds, each the same speech."""

    count: int
    block: Signal
    sample_rate: int = SAMPLE_RATE
    container: str = "wav"
    quality: Any = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def blocks(self) -> Iterator[Signal]:
        for _ in range(self.count):
            yield self.block.copy()


def levels() -> SourceLevels:
    from aasist.audio.levels import SourceMeter

    return SourceMeter().levels(truncated=False)


@pytest.mark.parametrize("seed", range(4))
def test_a_span_is_the_same_whether_the_recording_is_held_or_read_again(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty seconds of silence and five of speech: several places are tried, some over the ends of blocks."""
    silence = np.zeros(10 * SAMPLE_RATE, np.float32)
    write_audio(tmp_path / "long.wav", np.concatenate((silence, spoken.voice(seed, 5.0), silence)))
    one = cut(str(tmp_path / "long.wav"), SPAN, np.random.default_rng(seed))
    monkeypatch.setattr(module, "HELD_SAMPLES", SAMPLE_RATE)
    other = cut(str(tmp_path / "long.wav"), SPAN, np.random.default_rng(seed))
    assert np.array_equal(one.samples, other.samples)
    assert (one.first, one.count, one.source_format) == (other.first, other.count, "wav")
    assert len(one.span) == round(1.5 * SAMPLE_RATE)
    assert one.first == min(CONTEXT, one.first)


def test_a_span_has_its_surroundings_up_to_the_ends_of_the_recording(tmp_path: Path) -> None:
    speech = spoken.voice(1, 1.55)
    write_audio(tmp_path / "short.wav", speech)
    found = cut(str(tmp_path / "short.wav"), SPAN, np.random.default_rng(0))
    assert found.samples == pytest.approx(speech, abs=1e-3)
    assert found.span == pytest.approx(speech[found.first : found.first + found.count], abs=1e-3)


def test_hours_of_a_recording_are_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(360, spoken.voice(2, 10.0), quality=levels())
    monkeypatch.setattr(module, "open_audio", lambda path: reader)
    tracemalloc.start()
    try:
        found = cut("an hour", SPAN, np.random.default_rng(0))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.span) == round(1.5 * SAMPLE_RATE)
    assert peak_bytes < 60e6  # ten minutes are 38 MB, an hour is 230


def test_a_recording_that_becomes_shorter_while_it_is_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    readers = iter((Reader(70, spoken.voice(2, 10.0), quality=levels()), Reader(1, spoken.voice(2, 10.0))))
    monkeypatch.setattr(module, "open_audio", lambda path: next(readers))
    with pytest.raises(AasistError, match="shorter while it was read"):
        cut("a file that is written to", SPAN, np.random.default_rng(0))

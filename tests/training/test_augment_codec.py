"""Codec round trips in the workers: drawn by key, kept with what is decoded, and refused where an encoder is missing."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aasist.audio import encode
from aasist.errors import AasistError
from aasist.keys import RecipeError
from aasist.training import reader as reader_module
from aasist.training.augment import codec as codec_module
from aasist.training.augment.codec import Codec, drawn_codec, round_trip
from aasist.training.batches import Loader, Loading
from aasist.training.plan import in_turn
from aasist.training.recordings import DataError, gathered
from aasist.training.waveforms import Crop, as_floats, as_int16
from aasist.trial import Trials, strings

RECIPE = Codec(probability=1.0, formats=("mu-law", "gsm"))
CLIP = as_int16((0.3 * np.sin(np.arange(8_000) / 9) * np.linspace(0, 1, 8_000)).astype(np.float32))


def test_codecs_are_drawn_as_often_as_asked_and_evenly() -> None:
    recipe = Codec(probability=0.4, formats=("mp3", "opus", "mu-law"), mp3_kilobits=(32, 64))
    drawn = Counter(None if (c := drawn_codec(recipe, key)) is None else c.name for key in range(3_000))
    assert abs(drawn[None] - 1_800) < 110
    assert all(abs(drawn[name] - 400) < 80 for name in ("MP3", "Opus", "mu-law"))
    rates = Counter(c.bits_per_second for key in range(3_000) if (c := drawn_codec(recipe, key)) and c.name == "MP3")
    assert set(rates) == {32_000, 64_000} and min(rates.values()) > 140


def test_a_round_trip_gives_as_many_samples_of_16_bits_in_time_with_the_recording() -> None:
    for codec in RECIPE.codecs("mu-law") + RECIPE.codecs("gsm"):
        once = round_trip(CLIP, codec)
        assert once.shape == CLIP.shape and once.dtype == np.int16
        assert (once == round_trip(CLIP, codec)).all()
        assert 0 < np.abs(as_floats(once) - as_floats(CLIP)).max() < 0.2
        assert np.corrcoef(once, CLIP)[0, 1] > 0.95


@pytest.mark.parametrize("name", ["mp3", "aac", "opus", "amr", "gsm", "mu-law"])
def test_every_format_works_or_says_what_is_missing(name: str) -> None:
    recipe = Codec(probability=1.0, formats=(name,))
    codec = recipe.codecs(name)[0]
    if (reason := encode.missing(codec)) is not None:
        with pytest.raises(RecipeError, match="leave it out"):
            recipe.require_usable()
        pytest.skip(reason)
    recipe.require_usable()
    out = round_trip(CLIP, codec)
    assert out.shape == CLIP.shape and out.any()


def coded_loader(audio: Path, count: int = 4, seconds: float = 0.6, **options: object) -> Loader:
    """Recordings that all go through one of two codecs."""
    audio.mkdir(exist_ok=True)
    for row in range(count):
        samples = np.random.default_rng(row).integers(-9_000, 9_000, int(16_000 * seconds)).astype(np.int16)
        if not (audio / f"t{row}.wav").exists():
            soundfile.write(audio / f"t{row}.wav", samples, 16_000)
    ids = [f"t{row}" for row in range(count)]
    labels = np.arange(count) % 2 == 0
    trials = gathered(
        [("made", Trials(strings(ids), labels, {"path": strings(f"{i}.wav" for i in ids)}, "made"), audio)]
    )
    loading = Loading(workers=0, **{"cache_mib": 4, **options})  # type: ignore[arg-type]
    coding = functools.partial(drawn_codec, RECIPE)
    return Loader(trials, Crop(), loading, batch_rows=count, window_samples=8_000, seed=3, coding=coding)


def epochs_of(loader: Loader, epochs: Iterable[int], count: int = 4) -> list[bytes]:
    """The batch of each epoch of the recordings in turn."""
    with loader:
        return [next(loader.epoch(in_turn(count), epoch, epochs=9)).waveforms.numpy().tobytes() for epoch in epochs]


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of what was coded."""
    lengths: list[int] = []
    real = encode.coded

    def counted(samples: np.ndarray, codec: encode.ChannelCodec) -> np.ndarray:
        lengths.append(len(samples))
        return real(samples, codec)

    monkeypatch.setattr(codec_module.encode, "coded", counted)
    return lengths


def test_a_recording_is_coded_once_by_a_codec_whatever_its_crops_and_wherever_it_is_kept(
    coded: list[int], tmp_path: Path
) -> None:
    audio, disk = tmp_path / "audio", str(tmp_path / "disk")
    never = epochs_of(coded_loader(audio, cache_mib=0), range(16))
    assert len(coded) == 64 and len(set(never)) == 16
    coded.clear()
    assert epochs_of(coded_loader(audio), range(16)) == never
    assert len(coded) == 8 and set(coded) == {9_600}  # 4 recordings whole by 2 codecs, 64 crops
    coded.clear()
    assert epochs_of(coded_loader(audio, cache_mib=0, disk=disk), range(16)) == never
    assert len(coded) == 8
    assert epochs_of(coded_loader(audio, disk=disk), range(16)) == never
    assert len(coded) == 8  # all from the disk


def test_what_is_coded_is_kept_within_the_budget_of_what_is_decoded(tmp_path: Path) -> None:
    loader = coded_loader(tmp_path / "audio", seconds=10.0, cache_mib=1)  # 0.3 MiB each, plain or coded
    epochs_of(loader, range(3))
    assert loader.statistics.evictions > 4
    assert loader.statistics.held_bytes <= loader.statistics.budget_bytes == 1 << 20


def test_of_a_long_recording_the_crop_alone_is_coded(
    coded: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "WHOLE_SAMPLES", 9_000)
    loader = coded_loader(tmp_path / "audio")
    first = epochs_of(loader, range(2))
    assert coded == [8_000] * 8 and loader.statistics.held == 4
    assert epochs_of(coded_loader(tmp_path / "audio", cache_mib=0), range(2)) == first


def test_what_is_scored_is_not_coded(coded: list[int], tmp_path: Path) -> None:
    with coded_loader(tmp_path / "audio") as loader:
        list(loader.first_windows())
    assert not coded


def test_a_codec_that_fails_ends_the_run_and_is_no_fault_of_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(samples: np.ndarray, codec: encode.ChannelCodec) -> np.ndarray:
        raise AasistError("codec_failed", f"{codec.name} could not code {len(samples)} samples")

    monkeypatch.setattr(codec_module.encode, "coded", fail)
    with pytest.raises(
        DataError, match=r"t0 \(.*t0.wav\): .* could not code 9600 samples; resume, .* begin .*formats"
    ) as caught:
        epochs_of(coded_loader(tmp_path / "audio"), [0])
    assert caught.value.code == "coding"


def test_a_format_that_cannot_be_coded_here_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module.encode, "missing", lambda codec: "AMR-NB needs FFmpeg's encoder 'x'")
    with pytest.raises(RecipeError, match=r"augment\.codec\.formats has mp3: AMR-NB needs .* leave it out"):
        Codec(probability=0.5, formats=("mp3",)).require_usable()


def test_formats_without_rates_are_refused() -> None:
    with pytest.raises(RecipeError, match="mp3, whose list of bit rates is empty"):
        Codec(probability=0.5, formats=("mp3",), mp3_kilobits=()).require_usable()
    with pytest.raises(RecipeError, match=r"augment\.codec\.formats is empty"):
        Codec(probability=0.5, formats=()).require_usable()

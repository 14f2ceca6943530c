"""A cascade says what its deciding model says, asks the larger one only where it must, and hears each recording once."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import AudioError, ModelError
from aasist.runtime import detector as detector_module
from aasist.runtime import pipeline as pipeline_module
from aasist.runtime.detector import Detector
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.models import OpenModel
from aasist.runtime.pipeline import DOUBT, STAGES, Pipeline, some
from aasist.runtime.threads import Division
from aasist.runtime.verdict import ModelIdentity
from aasist.session import SAMPLE_RATE, Float32

from .fakes import Session

Make = Callable[..., Pipeline]


@pytest.fixture
def cascade(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A pipeline around one session a stage, of windows of half a second; the stages are called 0, 1, ..."""

    def make(*sessions: Session, windows: tuple[int, ...] = (), **options: object) -> Pipeline:
        def opened(model: str, **_: object) -> OpenModel:
            samples = windows[int(model)] if windows else 8_000
            notes = ModelNotes(
                name=model, window_samples=samples, hop_samples=samples * 3 // 4, calibration=Calibration()
            )
            return OpenModel(sessions[int(model)], notes, ModelIdentity(model, None, "fp32"), Division())

        monkeypatch.setattr(detector_module, "open_model", opened)
        return Pipeline([str(number) for number in range(len(sessions))], threads=1, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def speech(recording: Path) -> Float32:
    samples, _ = soundfile.read(recording, dtype="float32")
    return np.asarray(samples)


def always(margin: float) -> Session:
    return Session(lambda window: margin)


BAND = [(-1.0, 1.0)]


@pytest.mark.parametrize(
    ("llr", "decides"), [(-5.0, "0"), (-1.01, "0"), (-1.0, "1"), (0.0, "1"), (1.0, "1"), (1.01, "0")]
)
def test_the_larger_model_decides_within_the_band_and_its_edges(
    llr: float, decides: str, cascade: Make, recording: Path
) -> None:
    small, large = always(llr), always(4.0)
    verdict = cascade(small, large, doubt=BAND).detect(recording)
    assert verdict.model.name == decides
    assert verdict.llr == pytest.approx(llr if decides == "0" else 4.0)
    assert bool(large.windows) == (decides == "1")


def test_the_band_lies_around_the_threshold(cascade: Make, recording: Path) -> None:
    pipeline = cascade(always(3.5), always(-2.0), doubt=BAND, threshold=3.0)
    verdict = pipeline.detect(recording)
    assert (verdict.model.name, verdict.label, verdict.threshold) == ("1", "spoof", 3.0)


def test_the_verdict_of_the_larger_is_that_of_the_larger_alone(cascade: Make, recording: Path, speech: Float32) -> None:
    large = Session(lambda window: 100 * float(window.mean()))
    pipeline = cascade(always(0.0), large, doubt=BAND)
    verdict, alone = pipeline.detect(recording), pipeline.detectors[1].detect(recording)
    assert verdict.windows == alone.windows
    assert (verdict.llr, verdict.score, verdict.label, verdict.path) == (
        alone.llr,
        alone.score,
        alone.label,
        alone.path,
    )
    assert (verdict.speech_seconds, verdict.warnings) == (alone.speech_seconds, alone.warnings)


def test_with_every_window_heard_the_verdict_of_the_small_is_that_of_the_small_alone(
    cascade: Make, recording: Path
) -> None:
    pipeline = cascade(Session(lambda window: 5 + float(window.max())), always(0.0), doubt=BAND)
    assert pipeline.detect(recording).windows == pipeline.detectors[0].detect(recording).windows


def test_the_first_model_may_hear_every_second_window_and_the_last_and_it_is_said(
    cascade: Make, recording: Path
) -> None:
    pipeline = cascade(Session(lambda window: 5 + float(window.max())), always(0.0), doubt=BAND, every=2)
    verdict, alone = pipeline.detect(recording), pipeline.detectors[0].detect(recording)
    assert verdict.windows == tuple(some(alone.windows, 2))
    (note,) = (note for note in verdict.warnings if note.code == "sparse")
    assert f"{len(alone.windows) - len(verdict.windows)} of {len(alone.windows)} windows" in note.message


@given(st.lists(st.integers(), max_size=30), st.integers(1, 7))
def test_some_are_the_first_of_each_few_and_the_last(items: list[int], every: int) -> None:
    numbered = list(enumerate(items))
    expected = [item for item in numbered if item[0] % every == 0 or item[0] == len(items) - 1]
    assert list(some(iter(numbered), every)) == expected


def test_every_second_window_leaves_no_more_than_two_seconds_of_speech_unheard() -> None:
    notes = Detector("small", threads=1).notes
    assert (2 * notes.hop_samples - notes.window_samples) / SAMPLE_RATE < 2.1


def test_a_recording_is_read_once_while_its_windows_fit(
    cascade: Make, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    reads = detector_module.open_audio
    monkeypatch.setattr(
        detector_module, "open_audio", lambda *given, **options: opened.append(given) or reads(*given, **options)
    )
    pipeline = cascade(always(0.0), always(0.5), doubt=BAND)
    once = pipeline.detect(recording)
    assert len(opened) == 1
    monkeypatch.setattr(pipeline_module, "KEPT_BYTES", 100_000)
    assert pipeline.detect(recording) == once
    assert len(opened) == 3


def test_stages_with_other_windows_place_their_own(cascade: Make, recording: Path) -> None:
    pipeline = cascade(always(0.0), Session(lambda window: float(len(window))), windows=(8_000, 16_000), doubt=BAND)
    verdict = pipeline.detect(recording)
    assert verdict.llr == 16_000
    assert verdict.windows == pipeline.detectors[1].detect(recording).windows


def test_three_stages_stop_at_the_first_that_is_sure(cascade: Make, recording: Path) -> None:
    for margins, decides in (((3.0, 0.0, 0.0), "0"), ((0.0, 3.0, 0.0), "1"), ((0.0, 0.0, 0.0), "2")):
        verdict = cascade(*map(always, margins), doubt=BAND * 2).detect(recording)
        assert verdict.model.name == decides


class Pipe(io.RawIOBase):
    """Bytes that can be read once."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)


def test_every_kind_of_source_can_be_heard_twice(
    cascade: Make, recording: Path, speech: Float32, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "KEPT_BYTES", 0)
    pipeline = cascade(always(0.0), always(0.5), doubt=BAND)
    content = recording.read_bytes()
    for source in (str(recording), recording, content, io.BytesIO(content), Pipe(content), (speech, SAMPLE_RATE)):
        verdict = pipeline.detect(source)  # type: ignore[arg-type]
        assert (verdict.llr, verdict.model.name) == (0.5, "1")


def test_what_cannot_be_decided_goes_no_further(cascade: Make, speech: Float32) -> None:
    large = always(3.0)
    pipeline = cascade(always(0.0), large, doubt=BAND)
    clipped = pipeline.detect((np.clip(40 * speech, -1, 1), SAMPLE_RATE))
    silence = pipeline.detect((np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE))
    assert (clipped.label, clipped.llr, silence.label, silence.llr) == ("undecided", 0.0, "undecided", None)
    assert large.windows == 0


def test_segments_change_sides_beyond_the_margin_alone(cascade: Make, recording: Path) -> None:
    signs = iter(np.tile([5.0, 5.0, -5.0, -5.0], 50).tolist() + [5.0] * 100)
    wavering = iter(np.tile([0.3, -0.3], 200).tolist())
    verdict = cascade(
        Session(lambda window: next(wavering)), Session(lambda window: next(wavering)), doubt=BAND
    ).detect(recording)
    touching = [a.end == b.start for a, b in zip(verdict.segments, verdict.segments[1:], strict=False)]
    assert not any(touching)
    clear = cascade(Session(lambda window: next(signs)), always(0.0), doubt=[(-0.1, 0.1)], every=1).detect(recording)
    assert any(a.end == b.start for a, b in zip(clear.segments, clear.segments[1:], strict=False))


def test_progress_is_told_and_never_goes_back(cascade: Make, recording: Path) -> None:
    told: list[float] = []
    cascade(always(0.0), always(0.5), doubt=BAND).detect(recording, progress=told.append)
    assert told == sorted(told)
    assert told[-1] > 4


def test_of_many_a_bad_one_is_an_error_and_the_others_are_judged(cascade: Make, recording: Path) -> None:
    pipeline = cascade(always(0.0), always(0.5), doubt=BAND)
    good, bad, again = pipeline.detect_all([str(recording), b"no recording", str(recording)])
    assert (good.llr, again.llr) == (0.5, 0.5)
    assert bad.error is not None
    with pytest.raises(AudioError):
        pipeline.detect(b"no recording")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stages": ("small", "small")}, "no band of doubt was measured"),
        ({"stages": ("small",), "doubt": ()}, "two stages or more"),
        ({"stages": "small"}, "two models or more, got one: 'small'"),
        ({"doubt": ()}, "a band for each but the last, got 2 and 0"),
        ({"doubt": [(1.0, -1.0)]}, "the lower first"),
        ({"doubt": [(-np.inf, 1.0)]}, "two finite numbers"),
        ({"every": 0}, "every must be a whole number"),
        ({"every": True}, "every must be a whole number"),
        ({"threads": 0}, "threads must be a whole number"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Pipeline(**options)  # type: ignore[arg-type]


def test_a_model_that_is_not_there_is_the_models_error() -> None:
    with pytest.raises(ModelError, match="no such model"):
        Pipeline(("small", "nowhere.onnx"), doubt=BAND)


def test_the_shipped_cascade_has_a_band_and_judges(recording: Path) -> None:
    assert set(DOUBT) == {STAGES}
    pipeline = Pipeline(threads=1)
    verdict = pipeline.detect(recording)
    assert verdict.model.name in STAGES
    alone = Detector(verdict.model.name, threads=1).detect(recording)
    if verdict.model.name == STAGES[-1]:
        assert verdict.llr == alone.llr
    else:
        assert verdict.windows == alone.windows
    named = Pipeline(threads=1, threshold="miss-5")
    assert [one.threshold for one in named.detectors] == [one.notes.threshold_of("miss-5") for one in named.detectors]

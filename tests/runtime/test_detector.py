"""A recording to a verdict, with sessions small enough to know what they must say."""

from __future__ import annotations

import io
import json
import math
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from aasist import Detector
from aasist.errors import AudioError, ModelError
from aasist.runtime import detector as detector_module
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.models import OpenModel
from aasist.runtime.runtimes import installed
from aasist.runtime.threads import BATCH_WINDOWS, Division, divided
from aasist.runtime.verdict import ModelIdentity, Verdict, score_of
from aasist.session import SAMPLE_RATE, Float32

from .contract import CONTRACT_KEYS

IDENTITY = ModelIdentity("fake", "0" * 64, "fp32")


class ConstantSession:
    """Scores every window the same: logit 5 for spoof, ``margin`` more for bona fide."""

    precision = "fp32"

    def __init__(self, margin: float = 0.0) -> None:
        self.margin = margin
        self.batches: list[int] = []

    def run(self, windows: Float32) -> Float32:
        self.batches.append(len(windows))
        return np.tile(np.array([[5.0, 5.0 + self.margin]], np.float32), (len(windows), 1))


class ContentSession:
    """Scores a window by its samples alone: a weighted mean of their magnitudes, around 0."""

    precision = "fp32"

    def run(self, windows: Float32) -> Float32:
        weights = np.sin(np.arange(windows.shape[1]) / 500)
        margins = 100 * (np.abs(windows.astype(np.float64)) * weights).mean(axis=1)
        return np.stack([-margins / 2, margins / 2], axis=1).astype(np.float32)


Make = Callable[..., Detector]


@pytest.fixture
def detector_of(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A detector around a session, with the identity as calibration unless ``notes`` says otherwise."""

    def make(session: object, notes: ModelNotes | None = None, **options: object) -> Detector:
        notes = notes or ModelNotes(name="fake", calibration=Calibration())
        division = Division(batch_windows=options.pop("batch", BATCH_WINDOWS), runs=options.pop("runs", 1))  # type: ignore[arg-type]
        opened = OpenModel(session, notes, IDENTITY, division)  # type: ignore[arg-type]
        monkeypatch.setattr(detector_module, "open_model", lambda model, **options: opened)
        return Detector("fake", threads=1, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def speech(recording: Path) -> Float32:
    """The samples of a recording of five seconds at 16 kHz."""
    samples, rate = soundfile.read(recording, dtype="float32")
    assert rate == SAMPLE_RATE
    return np.asarray(samples, np.float32)


def without_path(verdict: Verdict) -> Verdict:
    return replace(verdict, path="")


def test_llr_0_is_score_one_half_and_at_the_threshold_it_is_bona_fide(detector_of: Make, recording: Path) -> None:
    verdict = detector_of(ConstantSession()).detect(recording)
    assert (verdict.llr, verdict.score, verdict.threshold, verdict.label) == (0.0, 0.5, 0.0, "bonafide")
    assert verdict.windows
    assert all((window.llr, window.score) == (0.0, 0.5) for window in (*verdict.windows, *verdict.segments))


@pytest.mark.parametrize(("threshold", "label"), [(-1.0, "bonafide"), (0.999, "bonafide"), (1.001, "spoof")])
def test_the_threshold_moves_the_label_and_never_the_score(
    threshold: float, label: str, detector_of: Make, recording: Path
) -> None:
    verdict = detector_of(ConstantSession(1.0), threshold=threshold).detect(recording)
    assert (verdict.label, verdict.threshold) == (label, threshold)
    assert (verdict.llr, verdict.score) == (1.0, score_of(1.0))


def test_without_a_threshold_the_one_in_the_model_decides(detector_of: Make, recording: Path) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), threshold=1.5)
    verdict = detector_of(ConstantSession(1.0), notes).detect(recording)
    assert (verdict.label, verdict.threshold) == ("spoof", 1.5)
    assert detector_of(ConstantSession(1.0), notes, threshold=0.0).detect(recording).label == "bonafide"


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_threshold_that_is_no_finite_number_is_refused(threshold: float, detector_of: Make) -> None:
    with pytest.raises(ValueError, match="threshold must be a finite number"):
        detector_of(ConstantSession(), threshold=threshold)


def test_calibration_is_applied_to_the_difference_of_the_logits(detector_of: Make, recording: Path) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(slope=2.0, offset=-0.5))
    verdict = detector_of(ConstantSession(1.0), notes).detect(recording)
    assert verdict.llr == pytest.approx(1.5)
    assert "uncalibrated" not in {note.code for note in verdict.warnings}


def test_a_model_without_calibration_says_so(detector_of: Make, recording: Path) -> None:
    verdict = detector_of(ConstantSession(1.0), ModelNotes(name="fake")).detect(recording)
    assert verdict.llr == 1.0
    assert "uncalibrated" in {note.code for note in verdict.warnings}


def test_score_is_the_sigmoid_of_llr_for_the_whole_and_for_every_span(detector_of: Make, recording: Path) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=8_000, hop_samples=4_000)
    verdict = detector_of(ContentSession(), notes).detect(recording)
    assert verdict.llr == pytest.approx(np.mean([window.llr for window in verdict.windows]))
    assert len({window.llr for window in verdict.windows}) == len(verdict.windows) > 5
    for span in (verdict, *verdict.windows, *verdict.segments):
        assert span.llr is not None
        assert span.score == pytest.approx(1 / (1 + math.exp(-span.llr)))


def test_the_facts_of_the_recording_stand_in_the_verdict(detector_of: Make, recording: Path, speech: Float32) -> None:
    verdict = detector_of(ConstantSession()).detect(recording)
    assert verdict.path == str(recording)
    assert verdict.duration_seconds == pytest.approx(len(speech) / SAMPLE_RATE, abs=1e-3)
    assert verdict.speech_seconds is not None
    assert 1.0 < verdict.speech_seconds <= verdict.duration_seconds
    assert (verdict.sample_rate, verdict.channels, verdict.model, verdict.error) == (SAMPLE_RATE, 1, IDENTITY, None)


def test_path_bytes_file_object_and_samples_give_the_same_verdict(
    detector_of: Make, recording: Path, speech: Float32
) -> None:
    detector = detector_of(ContentSession())
    expected = detector.detect(recording)
    names = []
    with recording.open("rb") as file:
        sources = [
            str(recording),
            recording.read_bytes(),
            io.BytesIO(recording.read_bytes()),
            file,
            (speech, SAMPLE_RATE),
        ]
        for source in sources:
            verdict = detector.detect(source)  # type: ignore[arg-type]
            names.append(verdict.path)
            assert without_path(verdict) == without_path(expected)
    assert names == [str(recording), "<bytes>", "<file>", str(recording), "<samples>"]


def test_clips_of_the_corpus_are_judged_alike_by_path_bytes_and_samples(detector_of: Make, corpus: Path) -> None:
    detector = detector_of(ContentSession())
    judged = 0
    for clip in sorted((corpus / "dev").glob("*.flac"))[::200]:
        samples, rate = soundfile.read(clip, dtype="float32")
        verdict = without_path(detector.detect(clip))
        assert verdict == without_path(detector.detect(clip.read_bytes()))
        assert verdict == without_path(detector.detect((samples, rate)))
        judged += verdict.llr is not None
    assert judged >= 2


def test_windows_scored_alone_and_in_batches_give_the_same_verdict(detector_of: Make, speech: Float32) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=8_000, hop_samples=4_000)
    session = ConstantSession()
    long = (np.tile(speech, 3), SAMPLE_RATE)
    together = detector_of(ContentSession(), notes).detect(long)
    detector_of(session, notes, batch=4).detect(long)
    assert max(session.batches) == 4
    assert sum(session.batches) == len(together.windows) > 8
    assert detector_of(ContentSession(), notes, batch=4).detect(long) == together


def test_a_real_model_gives_the_same_verdict_for_batches_of_one_and_many(small_onnx: Path, speech: Float32) -> None:
    alone, detector = Detector(small_onnx, threads=1).detect((speech, SAMPLE_RATE)), Detector(small_onnx, threads=1)
    detector._division = Division(batch_windows=4)
    together = detector.detect((speech, SAMPLE_RATE))
    assert [window.llr for window in alone.windows] == pytest.approx([w.llr for w in together.windows], abs=1e-5)
    assert together.model.name == "small"
    assert together.threshold == 0.25


def test_less_than_a_second_of_speech_is_undecided_and_carries_score_and_llr(
    detector_of: Make, speech: Float32
) -> None:
    verdict = detector_of(ConstantSession(3.0)).detect((speech[: int(0.9 * SAMPLE_RATE) + 4_000][4_000:], SAMPLE_RATE))
    assert verdict.label == "undecided"
    assert (verdict.llr, verdict.score) == (3.0, score_of(3.0))
    assert verdict.warnings
    assert verdict.error is None


def test_silence_is_undecided_without_a_score_and_without_segments(detector_of: Make) -> None:
    session = ConstantSession(3.0)
    verdict = detector_of(session).detect((np.zeros(3 * SAMPLE_RATE, np.float32), SAMPLE_RATE))
    assert (verdict.label, verdict.score, verdict.llr) == ("undecided", None, None)
    assert (verdict.segments, verdict.windows, session.batches) == ((), (), [])
    assert verdict.warnings
    assert json.loads(verdict.to_json())["score"] is None


def test_json_has_exactly_the_keys_of_the_contract(detector_of: Make, recording: Path) -> None:
    verdict = detector_of(ContentSession()).detect(recording)
    values = json.loads(verdict.to_json(), parse_constant=lambda name: pytest.fail(f"JSON holds {name}"))
    assert list(values) == CONTRACT_KEYS
    assert list(json.loads(verdict.to_json(timeline=True))) == [*CONTRACT_KEYS, "windows"]
    assert all(list(segment) == ["start", "end", "score", "llr"] for segment in values["segments"])


@pytest.mark.parametrize("margin", [math.nan, math.inf, -math.inf])
def test_a_model_that_gives_no_number_is_an_error_and_not_a_verdict(
    margin: float, detector_of: Make, recording: Path
) -> None:
    detector = detector_of(ConstantSession(margin))
    with pytest.raises(ModelError, match="not a finite number"):
        detector.detect(recording)
    (verdict,) = detector.detect_all([recording])
    assert verdict.error is not None
    assert verdict.error.code == "model"


def test_detect_all_goes_on_after_an_error_and_keeps_the_order(
    detector_of: Make, recording: Path, tmp_path: Path, speech: Float32
) -> None:
    missing, broken = tmp_path / "none.wav", tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF no wave")
    sources = [missing, recording, broken, (speech[:100], SAMPLE_RATE), recording.read_bytes()]
    verdicts = list(detector_of(ConstantSession(1.0)).detect_all(sources))
    assert [verdict.path for verdict in verdicts] == [str(missing), str(recording), str(broken), "<samples>", "<bytes>"]
    codes = [verdict.error and verdict.error.code for verdict in verdicts]
    assert codes == ["not_found", None, "unreadable", "too_short", None]
    assert [verdict.label for verdict in verdicts] == [None, "bonafide", None, None, "bonafide"]
    for verdict in verdicts:
        assert list(json.loads(verdict.to_json())) == CONTRACT_KEYS


def test_detect_raises_where_detect_all_reports(detector_of: Make, tmp_path: Path) -> None:
    with pytest.raises(AudioError) as caught:
        detector_of(ConstantSession()).detect(tmp_path / "none.wav")
    assert caught.value.code == "not_found"


def test_detect_all_is_lazy(detector_of: Make, recording: Path) -> None:
    taken = []

    def sources() -> object:
        for number in range(3):
            taken.append(number)
            yield recording

    verdicts = detector_of(ConstantSession()).detect_all(sources())  # type: ignore[arg-type]
    assert taken == []
    next(verdicts)
    assert taken == [0]


def test_progress_reports_seconds_that_rise_to_the_end_of_the_last_window(detector_of: Make, speech: Float32) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=8_000, hop_samples=4_000)
    seconds: list[float] = []
    verdict = detector_of(ConstantSession(), notes).detect((np.tile(speech, 3), SAMPLE_RATE), progress=seconds.append)
    ends = [window.end for window in verdict.windows]
    assert len(ends) > 2 * BATCH_WINDOWS
    assert seconds == [max(ends[first : first + BATCH_WINDOWS]) for first in range(0, len(ends), BATCH_WINDOWS)]


def test_a_channel_can_be_chosen(detector_of: Make, speech: Float32) -> None:
    stereo: NDArray[np.float32] = np.stack([speech, np.zeros_like(speech)], axis=1)
    detector = detector_of(ContentSession(), channel=0)
    alone = detector.detect((speech, SAMPLE_RATE))
    assert detector.detect((stereo, SAMPLE_RATE)).windows == alone.windows
    assert detector_of(ContentSession(), channel=1).detect((stereo, SAMPLE_RATE)).label == "undecided"
    with pytest.raises(AudioError) as caught:
        detector_of(ContentSession(), channel=2).detect((stereo, SAMPLE_RATE))
    assert caught.value.code == "channel"


def assert_same_segments(padded: Verdict, alone: Verdict, lead: int) -> None:
    """Asserts that the padded recording has the segments of the bare one, ``lead`` samples later."""
    moved = lead / SAMPLE_RATE
    assert len(padded.segments) == len(alone.segments) > 0
    for one, other in zip(padded.segments, alone.segments, strict=True):
        # Times are rounded to milliseconds before they are shifted, and weigh the llrs of overlapping windows.
        assert (one.start - moved, one.end - moved) == pytest.approx((other.start, other.end), abs=1.1e-3)
        assert one.llr == pytest.approx(other.llr, abs=1e-3)
    assert [window.llr for window in padded.windows] == pytest.approx([w.llr for w in alone.windows], abs=1e-9)
    assert padded.label == alone.label


WINDOWS = [(64_600, 32_300), (8_000, 4_000)]


@pytest.mark.parametrize(("window", "hop"), WINDOWS, ids=["long windows", "short windows"])
@pytest.mark.parametrize("chunks", [1, 7, 125])
def test_digital_silence_of_whole_chunks_before_a_recording_moves_no_segment_relative_to_the_speech(
    chunks: int, window: int, hop: int, detector_of: Make, speech: Float32
) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=window, hop_samples=hop)
    detector, lead = detector_of(ContentSession(), notes), 512 * chunks
    alone = detector.detect((speech, SAMPLE_RATE))
    assert_same_segments(detector.detect((np.pad(speech, (lead, 0)), SAMPLE_RATE)), alone, lead)


@pytest.mark.parametrize(("window", "hop"), WINDOWS, ids=["long windows", "short windows"])
@pytest.mark.parametrize(
    ("lead", "tail"),
    [
        (SAMPLE_RATE, 0),
        (3 * SAMPLE_RATE, 2 * SAMPLE_RATE),
        (1, 0),
        (511, 7_777),
        (12_345, SAMPLE_RATE),
        (200_001, 16_001),
    ],
)
def test_digital_silence_of_any_length_around_a_recording_moves_no_segment_relative_to_the_speech(
    lead: int, tail: int, window: int, hop: int, detector_of: Make, speech: Float32
) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=window, hop_samples=hop)
    detector = detector_of(ContentSession(), notes)
    for recording in (speech, speech[:33_000]):
        alone = detector.detect((recording, SAMPLE_RATE))
        assert_same_segments(detector.detect((np.pad(recording, (lead, tail)), SAMPLE_RATE)), alone, lead)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
@pytest.mark.parametrize(("lead", "tail"), [(1, 0), (777, 0), (1_102_501, 1_455_300)])
def test_digital_silence_moves_nothing_at_other_rates_either(
    rate: int, lead: int, tail: int, detector_of: Make, speech: Float32
) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=8_000, hop_samples=4_000)
    detector = detector_of(ContentSession(), notes)
    source = soxr.resample(speech, SAMPLE_RATE, rate)
    alone = detector.detect((source, rate))
    padded = detector.detect((np.pad(source, (lead, tail)), rate))
    assert padded.llr == alone.llr
    assert len(padded.windows) == len(alone.windows)
    for moved, still in zip(padded.windows, alone.windows, strict=True):
        assert moved.llr == still.llr
        assert moved.start == pytest.approx(still.start + lead / rate, abs=0.0011)
    assert padded.duration_seconds == pytest.approx(len(source) / rate + (lead + tail) / rate, abs=0.001)


def test_the_number_of_runs_side_by_side_changes_no_verdict(detector_of: Make, speech: Float32) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=8_000, hop_samples=4_000)
    recording = (np.tile(speech, 4), SAMPLE_RATE)
    alone, together = (detector_of(ContentSession(), notes, runs=runs).detect(recording) for runs in (1, 5))
    assert len(alone.windows) > 4 * BATCH_WINDOWS
    assert together == alone


class MeetingSession(ConstantSession):
    """Every run waits until two are there at once."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier = threading.Barrier(2, timeout=20)

    def run(self, windows: Float32) -> Float32:
        self.barrier.wait()
        return super().run(windows)


def test_runs_do_lie_side_by_side(detector_of: Make, speech: Float32) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=8_000, hop_samples=4_000)
    recording = (np.tile(speech, 2)[: 10 * SAMPLE_RATE], SAMPLE_RATE)
    batch = next(
        n for n in (1, 2, 3) if -(-len(detector_of(ConstantSession(), notes).detect(recording).windows) // n) % 2 == 0
    )
    assert detector_of(MeetingSession(), notes, runs=2, batch=batch).detect(recording).label == "bonafide"


def test_a_file_of_two_windows_keeps_two_threads_busy(detector_of: Make, speech: Float32) -> None:
    """A batch of both would leave one of them idle, and take twice as long."""
    notes = ModelNotes(
        name="fake", calibration=Calibration(), window_samples=len(speech) // 2, hop_samples=len(speech) // 2
    )
    batch = divided(2, 1 << 20).batch_windows
    verdict = detector_of(MeetingSession(), notes, runs=2, batch=batch).detect((speech, SAMPLE_RATE))
    assert len(verdict.windows) == 2


def test_a_model_that_fails_ends_the_recording_and_nothing_else(detector_of: Make, speech: Float32) -> None:
    notes = ModelNotes(name="fake", calibration=Calibration(), window_samples=8_000, hop_samples=4_000)
    detector = detector_of(FailingSession(), notes, runs=2)
    with pytest.raises(ModelError, match="broken"):
        detector.detect((np.tile(speech, 8), SAMPLE_RATE))
    before = detector.session.calls
    with pytest.raises(ModelError, match="broken"):
        detector.detect((np.tile(speech, 8), SAMPLE_RATE))
    assert detector.session.calls > before


FORKED = """
import os, signal, sys
import numpy as np
from aasist import Detector

detector = Detector("small", threads=int(sys.argv[2]), runtime=sys.argv[1])
samples = detector.notes.window_samples
windows = np.random.default_rng(0).standard_normal((4, samples)).astype(np.float32)
expected = [detector.llrs_of(windows), detector.llrs_of(windows[:, :-1])]
child = os.fork()
if child == 0:
    signal.alarm(30)
    again = [detector.llrs_of(windows), detector.llrs_of(windows[:, :-1])]
    os._exit(0 if np.abs(np.subtract(again, expected)).max() < 1e-4 else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("runtime", installed())
def test_a_detector_that_has_been_used_works_in_a_forked_process(runtime: str, threads: int) -> None:
    """Where threads that the child does not have would be waited for, it is ended after half a minute."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED, runtime, str(threads)], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "0", done.stderr


def test_a_detector_can_be_pickled_and_opens_its_model_anew(recording: Path) -> None:
    detector = Detector(threshold=0.25, threads=1, channel=0)
    again = pickle.loads(pickle.dumps(detector))
    assert (again.threshold, again.threads, again.channel, again.model) == (0.25, 1, 0, detector.model)
    assert again.detect(recording) == detector.detect(recording)


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_that_is_none_is_refused(threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads must be a whole number, 1 or more, got {threads}"):
        Detector(threads=threads)


@pytest.mark.parametrize("threads", [1.5, "2", 2.0])
def test_threads_that_are_no_whole_number_are_refused(threads: object) -> None:
    with pytest.raises(ValueError, match=f"threads must be a whole number, 1 or more, got {threads!r}"):
        Detector(threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("channel", [-1, 0.0, "0", True])
def test_a_channel_that_is_no_whole_number_from_0_is_refused(channel: object) -> None:
    with pytest.raises(ValueError, match=f"channel must be a whole number from 0, got {channel!r}"):
        Detector(channel=channel)  # type: ignore[arg-type]


def test_samples_given_wrongly_are_told_how_they_are_given(detector_of: Make) -> None:
    detector = detector_of(ConstantSession())
    with pytest.raises(TypeError, match=r"samples are given as \(samples, rate\), got 3 things"):
        detector.detect((np.zeros(16_000, np.float32), SAMPLE_RATE, 1))  # type: ignore[arg-type]
    wrong = {
        "samples must be (N, C), got (2, 16000): transpose them": np.zeros((2, 16_000), np.float32),
        "samples must be (N,) or (N, C) and not empty, got shape (0,)": np.zeros(0, np.float32),
        "samples must be (N,) or (N, C) and not empty, got shape (16000, 0)": np.zeros((16_000, 0), np.float32),
    }
    for message, samples in wrong.items():
        with pytest.raises(AudioError) as caught:
            detector.detect((samples, SAMPLE_RATE))
        assert caught.value.message == message


class FailingSession:
    """Fails on every window."""

    precision = "fp32"

    def __init__(self) -> None:
        self.calls = 0

    def run(self, windows: Float32) -> Float32:
        self.calls += 1
        raise ModelError("model", "broken")

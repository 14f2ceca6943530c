"""A stream says the same however it is cut, and what a walk over the recording says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aasist.errors import AudioError, ModelError
from aasist.runtime.course import HOP_SAMPLES, MOST_SEGMENTS
from aasist.runtime.detector import Detector
from aasist.runtime.events import Change, Event, Final, Provisional, RunningScore, WindowScored
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.stream import StreamDetector, walk
from aasist.session import SAMPLE_RATE, WINDOW_SAMPLES, Float32

from .contract import CONTRACT_KEYS
from .fakes import Session, detector_around, loudness


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Detector:
    return detector_around(monkeypatch, Session(loudness))


@pytest.fixture(scope="module")
def speech(recording: Path) -> Float32:
    """Ten seconds: a recording twice, with a second of noise between."""
    samples, rate = soundfile.read(recording, dtype="float32")
    assert rate == SAMPLE_RATE
    murmur = (1e-3 * np.random.default_rng(0).standard_normal(rate)).astype(np.float32)
    return np.concatenate((samples, murmur, samples[: 4 * rate]))


def watched(stream: StreamDetector, samples: Float32, sizes: list[int]) -> list[Event]:
    """All events, the last of them final."""
    events: list[Event] = []
    first = number = 0
    while first < len(samples):
        size = sizes[number % len(sizes)]
        events += stream.push(samples[first : first + size])
        first, number = first + size, number + 1
    final = stream.finish()
    return [*events, *final.closing, final]


def windows_of(events: list[Event]) -> list[WindowScored]:
    return [event for event in events if isinstance(event, WindowScored)]


@pytest.mark.parametrize("sizes", [[1], [160], [HOP_SAMPLES], [10**9]], ids=str)
def test_a_stream_is_to_the_bit_the_walk_over_its_recording(
    sizes: list[int], detector: Detector, speech: Float32
) -> None:
    walked = list(walk((speech, SAMPLE_RATE), detector))
    events = watched(StreamDetector(detector, name="<samples>"), speech, sizes)
    assert len(windows_of(events)) >= 8
    assert windows_of(events) == windows_of(walked)
    final, other = events[-1], walked[-1]
    assert isinstance(final, Final)
    assert isinstance(other, Final)
    assert final.verdict == other.verdict
    assert [event for event in events if isinstance(event, Provisional)] == [
        event for event in walked if isinstance(event, Provisional)
    ]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.one_of(st.integers(1, 40), st.integers(1, 30_000)), min_size=1, max_size=8))
def test_no_event_depends_on_how_the_stream_is_cut(sizes: list[int], detector: Detector, speech: Float32) -> None:
    assert watched(StreamDetector(detector), speech, sizes) == watched(StreamDetector(detector), speech, [len(speech)])


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000])
def test_a_stream_at_any_rate_ends_where_its_recording_does(rate: int, detector: Detector, speech: Float32) -> None:
    samples = soxr.resample(speech, SAMPLE_RATE, rate)
    *_, walked = walk((samples, rate), detector)
    *_, final = watched(StreamDetector(detector, sample_rate=rate), samples, [333, 1, 9_999])
    assert isinstance(final, Final)
    assert isinstance(walked, Final)
    assert final.verdict.llr == pytest.approx(walked.verdict.llr, abs=0.02)
    assert final.verdict.sample_rate == rate
    assert final.verdict.duration_seconds == walked.verdict.duration_seconds


def test_a_shipped_model_scores_a_stream_as_its_file(recording: Path) -> None:
    """The promise itself: within 0.02 llr."""
    detector = Detector("small", threads=1)
    samples, rate = soundfile.read(recording, dtype="float32")
    *_, walked = walk(str(recording), detector)
    *_, final = watched(StreamDetector(detector, sample_rate=rate), samples, [320])
    assert isinstance(final, Final)
    assert isinstance(walked, Final)
    assert final.verdict.llr == pytest.approx(walked.verdict.llr, abs=0.02)


def test_the_llr_is_the_mean_of_the_windows_and_they_lie_half_a_second_apart(
    detector: Detector, recording: Path
) -> None:
    events = list(walk(str(recording), detector))
    scored, final = windows_of(events), events[-1]
    assert isinstance(final, Final)
    assert final.verdict.llr == pytest.approx(np.mean([window.llr for window in scored]))
    steps = np.diff([window.start for window in scored[:-1]])
    assert np.allclose(steps, 0.5, atol=2e-3)
    assert final.verdict.duration_seconds is not None
    assert final.verdict.duration_seconds - 0.5 < scored[-1].end <= final.verdict.duration_seconds


def test_the_first_verdict_comes_after_a_second_of_speech_and_is_provisional(
    detector: Detector, speech: Float32
) -> None:
    events = watched(StreamDetector(detector), speech, [HOP_SAMPLES])
    first = events[0]
    assert isinstance(first, Provisional)
    assert 1.0 <= first.speech_seconds <= first.time <= 2.0
    number = next(at for at, event in enumerate(events) if isinstance(event, WindowScored))
    assert all(isinstance(event, Provisional) for event in events[:number])
    assert not any(isinstance(event, Provisional) for event in events[number:])
    assert [event.time for event in events[:number]] == [first.time + 0.5 * n for n in range(number)]  # type: ignore[attr-defined]


def test_a_provisional_verdict_is_of_what_there_is_repeated(monkeypatch: pytest.MonkeyPatch, speech: Float32) -> None:
    seen: list[Float32] = []
    detector = detector_around(monkeypatch, Session(lambda window: float(len(seen.append(window.copy()) or seen))))
    stream = StreamDetector(detector)
    stream.push(speech[: 2 * SAMPLE_RATE])
    window = seen[-1]
    period = next(p for p in range(8_000, 32_001) if np.array_equal(window[p : 2 * p], window[:p]))
    assert len(window) == WINDOW_SAMPLES
    assert (
        np.array_equal(window[:period], speech[2 * SAMPLE_RATE - period : 2 * SAMPLE_RATE][:period]) or period > 16_000
    )


def test_a_call_without_speech_is_undecided_and_says_why(detector: Detector) -> None:
    for samples, code in ((np.zeros(48_000, np.float32), "silence"), (np.zeros(0, np.float32), "silence")):
        (final,) = watched(StreamDetector(detector), samples, [1_000])
        assert isinstance(final, Final)
        assert (final.verdict.label, final.verdict.llr, final.verdict.segments) == ("undecided", None, ())
        assert [note.code for note in final.verdict.warnings] == [code]


def test_a_clipped_call_is_undecided_while_it_lasts(detector: Detector, speech: Float32) -> None:
    clipped = np.clip(40 * speech, -1.0, 1.0)
    running = [
        event for event in watched(StreamDetector(detector), clipped, [HOP_SAMPLES]) if isinstance(event, RunningScore)
    ]
    assert running
    assert all(event.label == "undecided" and "clipped" in event.warnings for event in running)


def test_a_call_that_turns_is_told_and_its_running_score_follows(detector: Detector, speech: Float32) -> None:
    """The fake model hears loudness: the second half of the call is quiet."""
    quiet = np.concatenate([np.tile(speech, 2), 0.05 * np.tile(speech, 2)])
    session = Session(lambda window: 6.0 if np.abs(window).max() > 0.1 else -6.0)
    detector.session = session
    events = watched(StreamDetector(detector), quiet.astype(np.float32), [4_000])
    (change,) = (event for event in events if isinstance(event, Change))
    middle = 2 * len(speech) / SAMPLE_RATE
    assert change.toward == "spoof"
    assert middle - 1 < change.since < change.time < middle + 8
    assert change.llr_before > 0 > change.llr_after
    after = [event for event in events if isinstance(event, RunningScore) and event.time >= change.time]
    assert {event.label for event in after} == {"spoof"}
    final = events[-1]
    assert isinstance(final, Final)
    assert final.changes == (change,)
    assert [segment.llr > 0 for segment in final.verdict.segments] == sorted(
        (s.llr > 0 for s in final.verdict.segments), reverse=True
    )


def test_events_are_json_with_their_type_first_and_the_last_is_a_verdict(detector: Detector, speech: Float32) -> None:
    events = watched(StreamDetector(detector), speech, [HOP_SAMPLES])
    objects = [json.loads(event.to_json()) for event in events]
    assert [next(iter(each)) for each in objects] == ["type"] * len(objects)
    assert {each["type"] for each in objects} == {"provisional", "window", "score", "final"}
    assert list(objects[-1]) == ["type", *CONTRACT_KEYS, "changes"]
    assert objects[-1]["path"] == "<stream>"


def test_reset_begins_anew(detector: Detector, speech: Float32) -> None:
    stream = StreamDetector(detector)
    stream.push(0.1 * speech)
    stream.reset()
    once = watched(stream, speech, [5_000])
    stream.reset()
    assert watched(stream, speech, [5_000]) == once


def test_a_finished_stream_takes_nothing_more(detector: Detector) -> None:
    stream = StreamDetector(detector)
    stream.finish()
    for act in (lambda: stream.push(np.zeros(5, np.float32)), lambda: stream.skip(1.0), stream.finish):
        with pytest.raises(RuntimeError, match=r"reset\(\) begins another"):
            act()


def test_a_bad_piece_changes_nothing(detector: Detector, speech: Float32) -> None:
    stream = StreamDetector(detector)
    events = stream.push(speech[:30_000])
    for bad in (np.full(10, np.nan), np.zeros((10, 2)), np.zeros(10, np.int64), "speech", np.zeros((1, 2, 3))):
        with pytest.raises(AudioError):
            stream.push(bad)  # type: ignore[arg-type]
    events += watched(stream, speech[30_000:], [10_000])
    assert events == watched(StreamDetector(detector), speech, [10_000])


def test_lost_audio_leaves_times_right_and_is_told(detector: Detector, speech: Float32) -> None:
    stream = StreamDetector(detector)
    stream.push(speech)
    before = [*stream.skip(20.0), *stream.push(speech)]
    final = stream.finish()
    late = [event.start for event in windows_of([*before, *final.closing])]
    assert max(late) > len(speech) / SAMPLE_RATE + 20
    assert final.verdict.duration_seconds == pytest.approx(2 * len(speech) / SAMPLE_RATE + 20, abs=1e-3)
    assert "20.0 s of the stream were lost" in next(
        note.message for note in final.verdict.warnings if note.code == "gaps"
    )


def test_what_is_asked_of_the_stream_is_checked_before_a_model_is_opened() -> None:
    with pytest.raises(AudioError, match="4,000 to 192,000"):
        StreamDetector("no such model", sample_rate=1)
    with pytest.raises(ModelError, match="no such model"):
        StreamDetector("no such model")


def test_a_channel_of_the_detector_is_that_of_the_stream(monkeypatch: pytest.MonkeyPatch, speech: Float32) -> None:
    detector = detector_around(monkeypatch, Session(loudness), channel=1)
    both = np.stack([np.zeros_like(speech), speech], axis=1)
    assert windows_of(watched(StreamDetector(detector), both, [7_000])) == windows_of(
        watched(StreamDetector(detector, channel=0), speech, [7_000])
    )


def test_a_damaged_recording_is_an_error_behind_what_could_be_read(detector: Detector) -> None:
    with pytest.raises(AudioError):
        list(walk(b"no recording", detector))


def test_memory_does_not_grow_with_the_call(monkeypatch: pytest.MonkeyPatch, speech: Float32) -> None:
    """What is held after 20 minutes is held after 30."""
    notes = ModelNotes(name="fake", window_samples=8_000, hop_samples=8_000, calibration=Calibration())
    sign = iter(np.tile([9.0] * 8 + [-9.0] * 8, 10_000))
    detector = detector_around(monkeypatch, Session(lambda window: float(next(sign))), notes)
    stream = StreamDetector(detector)
    sizes = []
    for number in range(180):
        stream.push(speech)
        if number in (120, 179):
            sizes.append(held(stream._course))
    assert sizes[1] <= 1.01 * sizes[0]
    assert len(stream.finish().verdict.segments) <= MOST_SEGMENTS


def held(thing: object, seen: set[int] | None = None) -> int:
    """Bytes of everything that can be reached within the package's own objects, arrays and containers."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, Detector | type):
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes + (held(thing.base, seen) if thing.base is not None else 0)
    total = sys.getsizeof(thing)
    if isinstance(thing, dict):
        return total + sum(held(part, seen) for part in thing.values())
    if isinstance(thing, list | tuple | set | frozenset) or type(thing).__name__ == "deque":
        return total + sum(held(part, seen) for part in thing)  # type: ignore[attr-defined]
    return total + (held(vars(thing), seen) if hasattr(thing, "__dict__") else 0)

"""Scoring a corpus: the llr of every trial, and what a trial without one costs."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from aasist.errors import AudioError, ModelError, ProtocolError
from aasist.protocol.corpora import read_corpus
from aasist.runtime.detector import Detector
from aasist.trial import Trials, strings
from aasist.trials.scoring import (
    NO_SPEECH,
    by_detection,
    by_first_window,
    first_window_llr,
    llr_of,
    samples_of,
    score_trials,
)

from ..corpora import Recording, Signal, asvspoof2019_la, write_audio

UNREADABLE, SILENT = "LA_E_90", "LA_E_91"


def speech(recording: Path, number: int, gain: float, seconds: float = 1.0) -> Signal:
    """A stretch of the human recording that starts elsewhere for each number."""
    samples, rate = soundfile.read(recording, dtype="float32")
    first = round((0.3 + 0.17 * number) * rate)
    return np.asarray(gain * samples[first : first + round(seconds * rate)], np.float32)


def mini_copy(recording: Path, root: Path, *, damaged: bool = True) -> Path:
    """ASVspoof 2019 LA, eval: 10 bona fide trials and 12 spoofs by A07 and A08, of 4 speakers, all but two of the spoofs less
    loud; where ``damaged``, one spoof more that is no audio and a bona fide trial more that is silent."""
    trials = []
    for number in range(22):
        spoof = number >= 10
        gain = (0.5 if spoof else 1.0) * (1 + 0.1 * (number % 6)) * (4.0 if number in (12, 17) else 1.0)
        attack = f"A0{7 + number % 2}" if spoof else "-"
        trials.append(Recording(f"LA_E_{number:02}", speech(recording, number, gain), attack, f"LA_{number % 4:04}"))
    if damaged:
        trials.append(Recording(UNREADABLE, np.zeros(16_000, np.float32), "A07", "LA_0001"))
        trials.append(Recording(SILENT, np.zeros(16_000, np.float32), "-", "LA_0001"))
    asvspoof2019_la(root, {"eval": trials})
    if damaged:
        (root / "ASVspoof2019_LA_eval" / "flac" / f"{UNREADABLE}.flac").write_bytes(b"no audio at all" * 100)
    return root


@pytest.fixture(scope="module")
def root(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_copy(recording, tmp_path_factory.mktemp("LA"))


@pytest.fixture(scope="module")
def detector(loudness_onnx: Path) -> Detector:
    return Detector(loudness_onnx, threads=1)


def test_every_trial_gets_the_llr_that_detect_gives_it(root: Path, detector: Detector) -> None:
    trials = read_corpus("asvspoof2019-la", root)
    done: list[int] = []
    scored = score_trials(trials, root, by_detection(detector), progress=done.append)
    for path, llr in zip(trials.columns["path"].tolist()[:4], scored.llrs.tolist()[:4], strict=True):
        assert detector.detect(root / path).llr == llr
    assert done == list(range(1, len(trials) + 1))
    assert scored.llrs.dtype == np.float64


def test_a_trial_without_a_score_costs_its_own_and_says_why(root: Path, detector: Detector) -> None:
    trials = read_corpus("asvspoof2019-la", root)
    scored = score_trials(trials, root, by_detection(detector))
    lacking = np.flatnonzero(~np.isfinite(scored.llrs)).tolist()
    assert trials.ids[lacking].tolist() == [UNREADABLE, SILENT]
    assert list(scored.reasons) == lacking
    assert all(scored.reasons.values())
    # Silence was heard; what is no audio was not.
    assert scored.unreadable == {lacking[0]}


@pytest.mark.parametrize("threads", [2, 5])
def test_scores_do_not_depend_on_the_number_of_threads(threads: int, root: Path, detector: Detector) -> None:
    trials = read_corpus("asvspoof2019-la", root)
    for scorer in (by_detection(detector), by_first_window(detector)):
        one, many = (score_trials(trials, root, scorer, threads=count) for count in (1, threads))
        assert one.llrs.tolist() == pytest.approx(many.llrs.tolist(), abs=0, nan_ok=True)
        assert (one.reasons, one.unreadable) == (many.reasons, many.unreadable)
        assert list(one.reasons) == list(many.reasons)


def test_the_first_window_is_scored_speech_or_not_and_a_short_recording_is_repeated(
    tmp_path: Path, detector: Detector
) -> None:
    def expected(samples: Signal) -> float:  # what the loudness model is made of
        return 10 * float(np.abs(samples).mean()) - 0.1

    samples = (0.1 * np.random.default_rng(0).standard_normal(12_000)).astype(np.float32)
    score = by_first_window(detector)
    for name, given in (("long.wav", samples), ("exact.wav", samples[:8_000]), ("silent.wav", 0 * samples)):
        write_audio(tmp_path / name, given)
        assert score(tmp_path / name) == pytest.approx(expected(given[:8_000]), abs=1e-3), name
    short = samples[:3_000]
    assert first_window_llr(detector, short) == pytest.approx(expected(np.tile(short, 3)[:8_000]), abs=1e-5)


def test_a_recording_without_speech_has_no_llr_by_detection(detector: Detector) -> None:
    with pytest.raises(AudioError) as caught:
        llr_of(detector, (np.zeros(16_000, np.float32), 16_000))
    assert caught.value.code == NO_SPEECH
    assert caught.value.message


def test_a_model_that_fails_raises_at_any_number_of_threads(root: Path) -> None:
    trials = read_corpus("asvspoof2019-la", root)

    def broken(path: Path) -> float:
        raise ModelError("model", "broken")

    for threads in (1, 3):
        with pytest.raises(ModelError, match="broken"):
            score_trials(trials, root, broken, threads=threads)


def test_recordings_are_scored_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=20)  # passed by two at once, or broken
    trials = Trials(strings(["a", "b"]), None, {"path": strings(["a.wav", "b.wav"])})

    def scorer(path: Path) -> float:
        meeting.wait()
        return float(path.name == "b.wav")

    assert score_trials(trials, "", scorer, threads=2).llrs.tolist() == [0.0, 1.0]


def test_trials_without_paths_are_an_error_that_names_their_file() -> None:
    with pytest.raises(ProtocolError, match=r"^keys\.txt: no column 'path'"):
        score_trials(Trials(strings(["a"]), None, {}, "keys.txt"), "", lambda path: 0.0)


def test_the_samples_of_a_trial_are_those_of_its_recording(recording: Path, root: Path) -> None:
    trials = read_corpus("asvspoof2019-la", root)
    np.testing.assert_allclose(samples_of(trials, root, 3), speech(recording, 3, 1.3), atol=1e-4)

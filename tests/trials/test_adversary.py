"""White-box attacks on a corpus: what is attacked is what the detector scores, and errors rise by what is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from aasist.errors import ModelError
from aasist.evaluation.det import eer
from aasist.evaluation.figures import Choices
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.whitebox import Attack
from aasist.protocol.corpora import read_corpus
from aasist.runtime.detector import Detector
from aasist.trial import Trials, strings
from aasist.trials.adversary import Target, attack_trials, drawn, heard_in, rows_of, target_of
from aasist.trials.scoring import by_detection, by_first_window, score_trials

from ..conftest import SMALL
from .test_scoring import SILENT, UNREADABLE, mini_copy

SNRS_DB = (50.0, 30.0)
FAST = Attack("fgsm", 1)


@pytest.fixture(autouse=True)
def one_thread(same_threads: None) -> Iterator[None]:
    torch.set_num_threads(1)
    yield


@pytest.fixture(scope="module")
def root(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_copy(recording, tmp_path_factory.mktemp("LA"))


@pytest.fixture(scope="module")
def saved(small_model: Aasist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attacked") / "small.safetensors"
    checkpoint.save(small_model, path)
    return path


@pytest.fixture(scope="module")
def target(saved: Path) -> Target:
    return target_of(str(saved))


@pytest.fixture(scope="module")
def trials(root: Path) -> Trials:
    return read_corpus("asvspoof2019-la", root)


@pytest.mark.parametrize("first_window", [False, True])
def test_scores_without_an_attack_are_those_of_evaluate(
    first_window: bool, saved: Path, target: Target, trials: Trials, root: Path
) -> None:
    detector = Detector(str(saved), threads=1)
    expected = score_trials(trials, root, (by_first_window if first_window else by_detection)(detector))
    found = attack_trials(target, trials, root, SNRS_DB, FAST, first_window=first_window)
    np.testing.assert_allclose(found.clean, expected.llrs, atol=1e-4)
    assert set(found.reasons) == set(expected.reasons)
    assert found.unreadable == len(expected.unreadable)


def test_spoofs_rise_and_bona_fide_falls_and_what_cannot_be_scored_costs_itself_alone(
    target: Target, trials: Trials, root: Path
) -> None:
    done: list[int] = []
    found = attack_trials(target, trials, root, SNRS_DB, FAST, progress=done.append)
    assert done == list(range(1, len(trials) + 1))
    assert trials.ids[~found.scored].tolist() == [UNREADABLE, SILENT]
    assert (found.unreadable, found.without_gradient) == (1, 0)
    assert trials.bonafide is not None
    sign = np.where(trials.bonafide, -1, 1)[found.scored]
    before = sign * found.clean[found.scored]
    for snr_db in SNRS_DB:
        after = sign * found.by_snr[snr_db][found.scored]
        assert (after >= before).all()
        assert after.mean() > before.mean()
        before = after


def test_rows_say_the_error_rates_of_these_scores(target: Target, trials: Trials, root: Path) -> None:
    found = attack_trials(target, trials, root, SNRS_DB, FAST)
    rows = list(rows_of(found, trials, FAST, Choices(rounds=20)))
    assert [row.condition for row in rows] == ["clean", "fgsm-50db", "fgsm-30db"]
    assert trials.bonafide is not None
    for row, scores in zip(rows, (found.clean, *found.by_snr.values()), strict=True):
        labels, values = trials.bonafide[found.scored], scores[found.scored]
        assert row.eer == eer(values[labels], values[~labels])
        assert row.interval is not None
        assert row.interval[0] <= row.eer <= row.interval[1]
        assert (row.bonafide, row.spoof, row.unscored) == (10, 12, 2)
        assert row.change == pytest.approx(row.eer - (rows[0].eer or 0))
    assert (rows[-1].eer or 0) > (rows[0].eer or 0)


def test_windows_of_a_long_recording_share_its_samples(target: Target, recording: Path) -> None:
    heard = heard_in(recording, target)
    assert len(heard.places) > 3
    assert np.diff(heard.places[:, 0]).min() < 8_000, "windows overlap"
    assert heard.places.max() == len(heard.samples) - 1
    assert heard.places.min() == 0


def test_a_recording_shorter_than_a_window_is_repeated(
    seeded: Callable[..., Aasist], recording: Path, tmp_path: Path
) -> None:
    checkpoint.save(seeded(replace(SMALL, window_samples=16_000)), tmp_path / "long.safetensors")
    target = target_of(str(tmp_path / "long.safetensors"))
    samples, rate = soundfile.read(recording, dtype="float32")
    soundfile.write(tmp_path / "short.flac", samples[round(0.5 * rate) : round(1.2 * rate)], rate)
    for first_window in (False, True):
        heard = heard_in(tmp_path / "short.flac", target, first_window=first_window)
        assert 8_000 < len(heard.samples) < 16_000
        assert heard.places.shape == (1, 16_000)
        assert len(np.unique(heard.places)) == len(heard.samples)


def test_trials_are_drawn_by_class_and_stay_drawn_when_others_come() -> None:
    ids = strings(f"t{number}" for number in range(40))
    labels = np.arange(40) % 4 == 0
    every = Trials(ids, labels)
    some = drawn(every, 6, seed=3)
    assert some.bonafide is not None
    assert (int(some.bonafide.sum()), len(some)) == (6, 12)
    assert some.ids.tolist() == [one for one in every.ids.tolist() if one in set(some.ids.tolist())]
    fewer = drawn(every.take(np.arange(30)), 6, seed=3)
    stay = set(some.ids.tolist()) & set(ids[:30].tolist())
    assert stay <= set(fewer.ids.tolist())
    assert set(drawn(every, 6, seed=4).ids.tolist()) != set(some.ids.tolist())
    assert drawn(every, 100, seed=3).ids.tolist() == ids.tolist()
    assert drawn(every, None, seed=3) is every


def test_a_shipped_name_is_the_checkpoint_behind_it_with_the_shipped_hop() -> None:
    shipped = target_of("efficient")
    detector = Detector("efficient", threads=1)
    assert shipped.hop_samples == detector.notes.hop_samples
    assert shipped.box.architecture.window_samples == detector.notes.window_samples


def test_a_file_without_a_gradient_and_one_that_is_missing_are_refused(loudness_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"shows no gradient: give the checkpoint .*\.safetensors") as refused:
        target_of(str(loudness_onnx))
    assert refused.value.code == "no_gradient"
    with pytest.raises(ModelError, match="neither shipped"):
        target_of(str(tmp_path / "none.safetensors"))

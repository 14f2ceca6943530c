"""Banks of recordings: read from folders and manifests, bounded, and drawn from by key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from aasist.errors import AasistError, ProtocolError
from aasist.training.augment.bank import EXCERPT_SECONDS, LEAD_SAMPLES, RESPONSE_SECONDS, NoiseBank
from aasist.training.draws import Draws

RATE = 16_000


def wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def ramp(samples: int) -> np.ndarray:
    return (np.arange(samples) + 1) / samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Laid out as MUSAN is."""
    wav(tmp_path / "noise" / "free-sound" / "a.wav", ramp(RATE))
    wav(tmp_path / "noise" / "b.flac", -ramp(RATE // 4))  # shorter than speech may be
    wav(tmp_path / "music" / "jazz" / "c.wav", np.stack([ramp(44_100)] * 2, 1), 44_100)
    wav(tmp_path / "rir" / "hall.wav", np.r_[np.zeros(40), 1.0, 0.5, np.zeros(1_000)])
    wav(tmp_path / "speech" / "d.wav", ramp(RATE))
    return tmp_path


def test_a_folder_tells_the_kinds_by_its_folders(folder: Path) -> None:
    bank = NoiseBank.read([folder])
    assert [bank.count(kind) for kind in ("noise", "music", "rir", "speech")] == [2, 1, 1, 1]
    assert bank.left_out == 0


def test_a_manifest_names_paths_and_kinds(folder: Path) -> None:
    (folder / "list.tsv").write_text("path\tkind\nnoise/free-sound/a.wav\tnoise\nspeech/d.wav\tmusic\n")
    bank = NoiseBank.read([folder / "list.tsv"])
    assert (bank.count("noise"), bank.count("music"), bank.count("speech")) == (1, 1, 0)
    (folder / "list.tsv").rename(folder / "noise.tsv")
    assert NoiseBank.read([folder]).sha256 == bank.sha256


def test_the_corpus_has_noise_and_rooms(corpus: Path) -> None:
    if not (corpus / "noise.tsv").is_file():
        pytest.skip("the demo-page corpus here holds no noise")
    bank = NoiseBank.read([corpus], limit_bytes=500_000)
    assert bank.count("noise") and bank.count("rir") and bank.left_out
    assert bank.held_bytes <= 500_000


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("path\nx.wav\n", AasistError, "list.tsv: expected columns 'path' and 'kind'"),
        (
            "path\tkind\nx.wav\tnose\n",
            AasistError,
            "x.wav: the kind must be one of noise, music, rir, speech, got 'nose'",
        ),
        ("path\tkind\nmissing.wav\tnoise\n", AasistError, "missing.wav"),
        ("kind\nnoise\n", ProtocolError, "path"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named(tmp_path: Path, text: str, error: type, message: str) -> None:
    (tmp_path / "list.tsv").write_text(text)
    with pytest.raises(error, match=message):
        NoiseBank.read([tmp_path / "list.tsv"])


def test_a_recording_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    silent = wav(tmp_path / "noise" / "silent.wav", np.zeros(RATE))
    with pytest.raises(AasistError, match=r"silent\.wav: every sample of the first 30 s is zero"):
        NoiseBank.read([tmp_path])
    silent.write_bytes(b"RIFF and nothing of use" * 10)
    with pytest.raises(AasistError, match=r"silent\.wav: not a recording"):
        NoiseBank.read([tmp_path])
    silent.unlink()
    wav(tmp_path / "elsewhere" / "x.wav", ramp(RATE))
    with pytest.raises(AasistError, match=r"x\.wav: what kind of recording it is must show in a folder"):
        NoiseBank.read([tmp_path])


def test_arrays_that_cannot_be_used_are_refused() -> None:
    for samples in (np.zeros(5), np.array([np.nan]), np.ones((2, 2)), np.zeros(0)):
        with pytest.raises(AasistError, match="a recording of noise"):
            NoiseBank({"noise": [samples]})
    with pytest.raises(AasistError, match="got 'nose'"):
        NoiseBank({"nose": [np.ones(4)]})


def test_what_does_not_fit_is_left_out_and_counted() -> None:
    bank = NoiseBank({"noise": [ramp(1_000)] * 10}, limit_bytes=4_500)
    assert (bank.count("noise"), bank.left_out, bank.held_bytes) == (2, 8, 4_000)


def test_long_recordings_are_cut() -> None:
    bank = NoiseBank({"music": [ramp(int((EXCERPT_SECONDS + 1) * RATE))], "rir": [1 / ramp(2 * RATE)]})
    assert bank.held_bytes == 2 * (EXCERPT_SECONDS * RATE + LEAD_SAMPLES + RESPONSE_SECONDS * RATE)


def test_excerpts_follow_a_recording_round_its_end_and_depend_on_the_key_alone() -> None:
    bank = NoiseBank({"noise": [ramp(1_000), -ramp(3_000)]})
    draws = Draws(np.arange(40, dtype=np.int64), "noise")
    out = bank.excerpts("noise", draws, 5_000)
    assert out.shape == (40, 5_000) and float(out.abs().max()) <= 1.0
    positive = out[:, 0] > 0
    assert 0.2 < float(positive.float().mean()) < 0.8
    for rows, length in ((out[positive], 1_000), (out[~positive], 3_000)):
        assert torch.equal(rows[:, :2_000], rows[:, length : length + 2_000])
        steps = rows.abs().diff(dim=1)
        assert ((steps > 0).float().mean(1) > 0.99).all()
    assert torch.equal(bank.excerpts("noise", draws.of(np.array([7, 3])), 5_000), out[[7, 3]])
    assert len(torch.unique(out[:, 0])) > 30


def test_responses_are_aligned_to_their_strongest_arrival(folder: Path) -> None:
    early = np.r_[1.0, 0.3]
    late = np.r_[np.zeros(500), -0.2, 0.9, 0.1]
    bank = NoiseBank({"rir": [early, late]})
    responses = bank.responses(Draws(np.arange(20, dtype=np.int64), "room"))
    assert responses.abs().argmax(1).tolist() == [LEAD_SAMPLES] * 20
    assert torch.allclose(responses.square().sum(1), torch.ones(20), atol=1e-4)
    assert bank.response_samples == LEAD_SAMPLES + 2 == responses.shape[1]
    assert len(torch.unique(responses, dim=0)) == 2


def test_the_digest_is_of_what_is_held() -> None:
    one, same = NoiseBank({"noise": [ramp(500)]}), NoiseBank({"noise": [ramp(500)]})
    assert one.sha256 == same.sha256
    assert one.sha256 not in {NoiseBank({"music": [ramp(500)]}).sha256, NoiseBank({"noise": [ramp(501)]}).sha256}


def test_speech_is_added_beside_what_is_there() -> None:
    bank = NoiseBank({"noise": [ramp(500)], "speech": [ramp(10)]}).with_speech([ramp(300), ramp(400)])
    assert (bank.count("noise"), bank.count("speech")) == (1, 3)
    bounded = bank.with_speech([ramp(300)] * 5, limit_bytes=1_300)
    assert (bounded.count("speech"), bounded.left_out) == (5, 3)

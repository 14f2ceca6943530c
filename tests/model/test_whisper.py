"""Whisper's encoder: against transformers' own, in both formats, and over as much audio as there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aasist.errors import ModelError
from aasist.model.speech_encoder import open_encoder
from aasist.model.whisper import LogMel, mel_filters

from .. import encoders


@pytest.mark.parametrize("mels", [80, 128])
def test_mel_filters_and_frames_are_those_of_transformers(mels: int) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra ssl is not installed")
    theirs = transformers.WhisperFeatureExtractor(feature_size=mels, chunk_length=2)
    np.testing.assert_allclose(mel_filters(mels).T, theirs.mel_filters, atol=1e-12)
    waveform = (0.1 * np.random.default_rng(0).standard_normal(20_000)).astype(np.float32)
    padded = np.pad(waveform, (0, 12_000))
    wanted = theirs(waveform, sampling_rate=16_000, return_tensors="np")["input_features"]
    np.testing.assert_allclose(LogMel(mels)(torch.from_numpy(padded)[None]).numpy(), wanted, atol=2e-4)


def test_every_layer_is_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="the extra ssl is not installed")
    ours, shape = encoders.whisper(), encoders.WHISPER
    config = transformers.WhisperConfig(
        d_model=shape.dim, encoder_layers=shape.layers, encoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.inner_dim, max_source_positions=shape.positions,
    )  # fmt: skip
    theirs = transformers.models.whisper.modeling_whisper.WhisperEncoder(config).eval()
    theirs.load_state_dict(ours.state_dict())
    mel = torch.randn(2, shape.mels, 2 * shape.positions, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = ours.encoded(mel, (1, 2, 3))
        wanted = theirs(mel, output_hidden_states=True).hidden_states[1:]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_frames_are_as_many_as_the_audio_has_and_blocks_behind_the_last_asked_for_are_not_run() -> None:
    encoder = encoders.whisper()
    assert encoder(torch.randn(2, 8_000), (1,))[0].shape == (2, 25, 16)
    whole = encoder(torch.ones(1, 3_200), (1, 3))
    encoder.layers[2].register_forward_hook(lambda *_: pytest.fail("the last block was run"))
    assert torch.equal(encoder(torch.ones(1, 3_200), (1, 2))[0], whole[0])


def test_both_formats_give_the_same_encoder_but_for_float16(tmp_path: Path) -> None:
    narrow = encoders.whisper()
    for parameter in narrow.parameters():
        parameter.copy_(parameter.half().float())
    waveform = 0.1 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(1))
    one = open_encoder(encoders.faster_whisper_folder(tmp_path / "faster", narrow))
    assert (one.facts.dim, one.facts.layers, one.facts.longest_samples) == (16, 3, 60 * 320)
    for found, wanted in zip(one(waveform, (1, 3)), narrow(waveform, (1, 3)), strict=True):
        assert torch.equal(found, wanted)
    other = open_encoder(encoders.whisper_folder(tmp_path / "whole"))
    assert torch.equal(other(waveform, (3,))[0], encoders.whisper()(waveform, (3,))[0])
    assert one.facts.sha256 != other.facts.sha256


@pytest.mark.parametrize("kept", [3, 40, 400, -5_000])
def test_a_file_of_ctranslate2_that_is_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    folder = encoders.faster_whisper_folder(tmp_path / "faster", encoders.whisper())
    path = folder / "model.bin"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model\.bin: "):
        open_encoder(folder)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"WhisperSpec", b"WhisperSpoc", "wanted WhisperSpec in version 6 of the format, got WhisperSpoc in 6"),
        (b"layer_2/ffn/linear_1/weight", b"layer_2/ffn/linear_9/weight", "not the variables of a Whisper"),
        (b"encoder/num_heads", b"encoder/num_hands", "not the variables of a Whisper"),
        (b"layer_1/ffn", b"layer_7/ffn", "do not fit the configuration"),
    ],
)
def test_another_model_of_ctranslate2_is_refused(tmp_path: Path, old: bytes, new: bytes, said: str) -> None:
    folder = encoders.faster_whisper_folder(tmp_path / "faster", encoders.whisper())
    path = folder / "model.bin"
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(ModelError, match=said):
        open_encoder(folder)

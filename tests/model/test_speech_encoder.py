"""Speech encoders: opened from local folders, known by their hash, frozen, and never a part of a checkpoint."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from aasist.errors import ModelError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.attention import attention
from aasist.model.speech_encoder import FOLDERS, EncoderFacts, SpeechEncoder, find_encoder, open_encoder, sha256_of
from aasist.recipe import SSL, Architecture

from .. import encoders

TINY = replace(
    SSL,
    window_samples=8_000,
    projection=12,
    channels=(6, 8),
    time_pools=(1, 1),
    graph_dims=(8, 6),
    encoder_dim=16,
    encoder_layers=(1, 3),
)
WAVEFORM = 0.1 * torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0))


def tiny(encoder: SpeechEncoder, **changes: object) -> Aasist:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Aasist(fitted(encoder, **changes), encoder).eval()


def fitted(encoder: SpeechEncoder, **changes: object) -> Architecture:
    return replace(TINY, **{"encoder_frame_samples": encoder.facts.frame_samples, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoders.whisper_folder(tmp_path_factory.mktemp("encoders") / "whisper")


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm", "hubert"])
def test_layers_are_the_hidden_states_of_transformers(tmp_path: Path, kind: str) -> None:
    found = encoders.transformers_folder(tmp_path / kind, kind)
    import transformers

    theirs = transformers.AutoModel.from_pretrained(found, attn_implementation="eager").eval()
    whole, cut = open_encoder(found), open_encoder(found, deepest=1)
    assert whole.facts == cut.facts
    assert whole.facts == EncoderFacts(kind, whole.facts.sha256, 16, 3, 320, 190, 1 << 26)
    normalised = (WAVEFORM - WAVEFORM.mean(1, keepdim=True)) / WAVEFORM.std(1, correction=0, keepdim=True)
    with torch.no_grad():
        wanted = theirs(normalised, output_hidden_states=True).hidden_states
        for layer, states in zip((1, 2, 3), whole(WAVEFORM, (1, 2, 3)), strict=True):
            torch.testing.assert_close(states, wanted[layer], rtol=0, atol=2e-5)
        torch.testing.assert_close(cut(WAVEFORM, (1,))[0], wanted[1], rtol=0, atol=2e-5)
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in whole.parameters())


def test_a_model_of_normed_layers_that_is_cut_gives_what_it_gave_whole(tmp_path: Path) -> None:
    """XLS-R's and WavLM large's form, in which what the last block gives is normed and no other."""
    found = encoders.transformers_folder(
        tmp_path / "xlsr", "wav2vec2", do_stable_layer_norm=True, feat_extract_norm="layer", num_hidden_layers=4
    )
    whole, cut = open_encoder(found), open_encoder(found, deepest=2)
    for one, other in zip(whole(WAVEFORM, (1, 2)), cut(WAVEFORM, (1, 2)), strict=True):
        assert torch.equal(one, other)
    assert len(cut.inner.model.encoder.layers) == 3


def test_whether_waveforms_are_normalised_is_as_the_folder_says(tmp_path: Path) -> None:
    found = encoders.transformers_folder(tmp_path / "wavlm", "wavlm")
    before = open_encoder(found)
    (found / "preprocessor_config.json").write_text('{"do_normalize": false}')
    after = open_encoder(found)
    assert not torch.allclose(before(WAVEFORM, (1,))[0], after(WAVEFORM, (1,))[0], atol=1e-3)
    assert before.facts.sha256 != after.facts.sha256


def test_the_hash_is_of_the_weights_and_of_what_decides_in_the_configuration(tmp_path: Path) -> None:
    found = encoders.whisper_folder(tmp_path / "whisper")
    first = open_encoder(found).facts.sha256
    config = json.loads((found / "config.json").read_text())
    (found / "config.json").write_text(json.dumps(config | {"transformers_version": "9", "_name_or_path": "x"}))
    assert open_encoder(found).facts.sha256 == first
    (found / "config.json").write_text(json.dumps(config | {"encoder_attention_heads": 4}))
    assert open_encoder(found).facts.sha256 != first
    assert open_encoder(encoders.whisper_folder(tmp_path / "other", seed=1)).facts.sha256 != first


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no config.json in it: not the folder of a speech encoder"),
        ({"config.json": "[1]"}, "wanted a JSON object, got list"),
        ({"config.json": "{"}, "cannot be read"),
        ({"config.json": '{"model_type": "bert"}'}, "is of 'bert'; usable are wav2vec2, wavlm, hubert, whisper"),
        ({"config.json": '{"model_type": "wavlm"}', "pytorch_model.bin": "x"}, "weights in a pickle .* are not read"),
        ({"config.json": '{"model_type": "whisper"}', "model.safetensors": "x"}, "not a safetensors file"),
        ({"config.json": '{"model_type": "hubert"}', "model.safetensors": "x"}, "transformers cannot read it"),
    ],
)
def test_a_folder_without_an_encoder_is_refused(tmp_path: Path, files: dict[str, str], said: str) -> None:
    if "hubert" in str(files):
        pytest.importorskip("transformers", reason="the extra ssl is not installed")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=said):
        open_encoder(tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        open_encoder(tmp_path / "none")


def test_an_encoder_that_lacks_weights_is_refused_where_transformers_would_draw_them(tmp_path: Path) -> None:
    found = encoders.transformers_folder(tmp_path / "wavlm", "wavlm")
    state = safetensors.torch.load_file(found / "model.safetensors")
    removed = next(name for name in state if name.endswith("layers.1.final_layer_norm.weight"))
    del state[removed]
    safetensors.torch.save_file(state, found / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights are missing .*layers\.1\.final_layer_norm\.weight"):
        open_encoder(found)


def test_the_encoder_is_frozen_and_no_part_of_the_model(folder: Path) -> None:
    encoder = open_encoder(folder)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    model = tiny(encoder).train()
    assert not encoder.training
    assert not any(module.training for module in encoder.modules())
    assert not any("encoder.inner" in name or name == "conv1.weight" for name in model.state_dict())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model(WAVEFORM).square().sum().backward()
    assert model.front is not None
    assert model.front.mix is not None
    assert model.front.mix.grad is not None
    assert model.front.mix.grad.abs().sum() > 0
    assert model.front.projection.weight.grad is not None
    optimiser.step()
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert model.double().front is not None
    assert next(encoder.parameters()).dtype == torch.float64  # it comes along


def test_level_does_not_move_the_logits(folder: Path) -> None:
    model = tiny(open_encoder(folder))
    with torch.no_grad():
        torch.testing.assert_close(model(WAVEFORM), model(20 * WAVEFORM), rtol=0, atol=1e-5)
        assert not torch.allclose(model(WAVEFORM), model(WAVEFORM.flip(1)), atol=1e-5)


def test_a_checkpoint_names_its_encoder_and_finds_it_by_its_hash(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder(folder)
    model, path = tiny(encoder), tmp_path / "model.safetensors"
    checkpoint.save(model, path)
    with safe_open(path, framework="pt") as file:
        assert EncoderFacts.from_json(file.metadata()[checkpoint.ENCODER_KEY]) == encoder.facts
        assert str(folder) not in str(file.metadata())
    assert path.stat().st_size < encoder.weight_bytes
    monkeypatch.delenv(FOLDERS, raising=False)
    with pytest.raises(ModelError, match=rf"model\.safetensors: the speech encoder whisper of 3 .*set {FOLDERS} to"):
        checkpoint.load(path)
    other = encoders.whisper_folder(tmp_path / "others" / "other", seed=1)
    monkeypatch.setenv(FOLDERS, str(other.parent))
    with pytest.raises(ModelError, match=r"of that kind, with another hash: .*other"):
        checkpoint.load(path)
    with pytest.raises(ModelError, match=r"it was trained with the speech encoder .* was given"):
        checkpoint.load(path, open_encoder(other))
    monkeypatch.setenv(FOLDERS, os.pathsep.join([str(other.parent), str(tmp_path / "none"), str(folder)]))
    for again in (checkpoint.load(path), checkpoint.load(path, encoder)):
        assert torch.equal(again(WAVEFORM), model(WAVEFORM))
    assert torch.equal(find_encoder(encoder.facts)(WAVEFORM, (2,))[0], encoder(WAVEFORM, (2,))[0])


def test_what_is_wrong_with_the_encoder_that_was_wanted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = encoders.whisper_folder(tmp_path / "whisper")
    facts = open_encoder(folder).facts
    weights = next(folder.glob("model*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-4])
    broken = replace(facts, sha256=sha256_of(folder))
    monkeypatch.setenv(FOLDERS, str(folder))
    with pytest.raises(ModelError, match="not a safetensors file"):
        find_encoder(broken)
    with pytest.raises(ModelError, match="of that kind, with another hash"):
        find_encoder(facts)


def test_an_architecture_and_its_encoder_have_to_fit(folder: Path) -> None:
    encoder = open_encoder(folder)
    with pytest.raises(ModelError, match="wants a speech encoder, and none came"):
        Aasist(TINY)
    with pytest.raises(ModelError, match="has no use for a speech encoder"):
        Aasist(Architecture(), encoder)
    for changes, said in (
        ({"encoder_dim": 24}, "encoder_dim 24, got 16"),
        ({"encoder_layers": (2, 4)}, "layer 4 .* got 3 layers"),
        ({"window_samples": 64_600}, "windows of 64,600 samples, got 19,200 at the most"),
    ):
        with pytest.raises(ModelError, match=said):
            tiny(encoder, **changes)


def test_the_shortest_waveform_gives_a_logit_and_attention_tells_spans_alone(folder: Path) -> None:
    model = tiny(open_encoder(folder), time_pools=(2, 3))
    shortest = model.architecture.shortest_samples
    assert shortest == 17 * 320 + 160
    assert model(WAVEFORM[:, :shortest]).isfinite().all()
    with pytest.raises(RuntimeError):
        model(WAVEFORM[:, : shortest - 161])
    found = attention(model, WAVEFORM[0])
    assert not found.bands
    assert sum(span.weight for span in found.spans) == pytest.approx(1.0, abs=1e-5)
    assert found.reach_seconds == 0.5

"""What a model takes from prosodic frames, and that it takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from aasist.errors import ModelError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.attention import attention
from aasist.model.cost import cost
from aasist.model.prosodic_nodes import Prosody
from aasist.model.prosody import ProsodicFrames
from aasist.recipe import EFFICIENT, Architecture

KINDS = ("nodes", "fusion", "both")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def voices(*hertz: float, samples: int = 8_000) -> Tensor:
    """A row of four harmonics for each pitch, over noise: (B, T)."""
    seconds = torch.arange(samples) / 16_000
    rows = [sum(torch.cos(6.2832 * n * pitch * seconds + n) / n for n in range(1, 5)) for pitch in hertz]
    return 0.1 * torch.stack(rows) + noise(len(hertz), samples) / 20


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, seeded: Callable[..., Aasist], small_model: Aasist) -> Aasist:
    return seeded(replace(small_model.architecture, prosody=request.param), seed=2)


@pytest.mark.parametrize(("frames", "nodes"), [(3, 1), (20, 1), (21, 2), (100, 5), (403, 21)])
def test_there_is_a_node_for_every_fifth_of_a_second_begun(frames: int, nodes: int) -> None:
    found, fused = Prosody(6, nodes=True, fusion=True)(torch.rand(2, frames, 8))
    assert found[0].shape == (2, nodes, 6)
    assert fused[0].shape == (2, 40)


def test_the_model_takes_what_its_architecture_says(model: Aasist) -> None:
    kind, prosody = model.architecture.prosody, model.prosody
    assert prosody is not None
    nodes, fused = prosody(model.prosodic(noise(2, 8_000)))
    assert (len(nodes), len(fused)) == (int(kind != "fusion"), int(kind != "nodes"))
    assert model.out.in_features == 5 * model.architecture.graph_dims[1] + 40 * len(fused)


def test_logits_depend_on_the_frames_of_the_row_alone(model: Aasist) -> None:
    waveforms = voices(110.0, 180.0, 95.0)
    with torch.no_grad():
        features, frames = model.features(waveforms), model.prosodic(waveforms)
        assert frames is not None
        logits = model(waveforms)
        torch.testing.assert_close(model.logits(features, frames), logits, rtol=0, atol=1e-6)
        changed = frames.clone()
        changed[0] = frames[2].flip(0)
        moved = (model.logits(features, changed) - logits).abs()
        alone = torch.cat([model(row[None]) for row in waveforms])
    assert moved[0].max() > 1e-3
    assert moved[1:].max() < 1e-5
    torch.testing.assert_close(alone, logits, rtol=0, atol=1e-4)


def test_without_prosody_nothing_is_there_and_everything_else_begins_alike(small_model: Aasist) -> None:
    made = []
    for kind in ("none", *KINDS):
        torch.manual_seed(0)
        made.append(Aasist(replace(small_model.architecture, prosody=kind)).state_dict())
    plain, *others = made
    assert not [name for name in plain if "prosody" in name]
    for other in others:
        assert [name for name in other if "prosody" in name]
        assert all(torch.equal(other[name], weight) for name, weight in plain.items() if not name.startswith("out."))


def test_frames_have_no_weights_and_are_not_in_the_checkpoint(model: Aasist, tmp_path: Path) -> None:
    assert not list(ProsodicFrames().parameters()) and not ProsodicFrames().state_dict()
    assert not [name for name in model.state_dict() if "prosody.frames" in name]
    path = tmp_path / "prosodic.safetensors"
    checkpoint.save(model, path)
    loaded = checkpoint.load(path)
    assert loaded.architecture == model.architecture
    with torch.no_grad():
        assert torch.equal(loaded(voices(120.0)), model(voices(120.0)))


def test_every_prosodic_weight_is_trained(model: Aasist) -> None:
    model.train()
    torch.manual_seed(0)
    model(voices(110.0, 180.0, 95.0, 240.0)).square().sum().backward()
    still = [
        name
        for name, weight in model.named_parameters()
        if name.startswith(("prosody", "out")) and (weight.grad is None or not weight.grad.any())
    ]
    assert not still


def test_the_shortest_waveform_runs_and_silence_is_finite(model: Aasist) -> None:
    assert model.architecture.shortest_samples == 480
    with torch.no_grad():
        for waveform in (noise(1, 480), torch.zeros(2, 8_000)):
            assert torch.isfinite(model(waveform)).all()


def test_the_readout_of_a_cosine_model_is_of_unit_length_with_the_statistics_in_it(
    seeded: Callable[..., Aasist], small_model: Aasist
) -> None:
    cosine = seeded(replace(small_model.architecture, prosody="both", readout="cosine"))
    waveforms = voices(110.0, 180.0)
    with torch.no_grad():
        embedding = cosine.embed(cosine.features(waveforms), cosine.prosodic(waveforms))
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))
    assert embedding.shape[1] == cosine.out.in_features


def test_attention_tells_what_prosodic_nodes_were_given(model: Aasist) -> None:
    found = attention(model, voices(120.0)[0])
    assert sum(span.weight for span in found.spans) == pytest.approx(1.0, abs=1e-5)
    assert sum(band.weight for band in found.bands) == pytest.approx(1.0, abs=1e-5)
    if model.architecture.prosody == "fusion":
        assert found.prosodic_share == 0
    else:
        assert 0 < found.prosodic_share < 1
        assert found.temporal_share + found.prosodic_share < 1


def test_it_costs_a_tenth_of_the_efficient_model_or_less() -> None:
    plain, more = cost(EFFICIENT), cost(replace(EFFICIENT, prosody="both"))
    assert 0.05 < more.gflop - plain.gflop < 0.13
    narrow, wide = 24, 48
    convolutions = 8 * narrow * 5 + narrow + narrow * narrow * 5 + narrow + narrow * wide * 5 + wide
    assert more.parameters - plain.parameters == convolutions + 2 * wide + 2 * 8 + 2 * 40


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(ModelError, match=r"prosody must be one of none, nodes, fusion, both, got 'pitch'"):
        Architecture(prosody="pitch")

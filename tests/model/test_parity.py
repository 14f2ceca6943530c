"""Published weights give the published code's outputs, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from aasist.model import checkpoint
from aasist.model.aasist import Aasist

MODELS = {"AASIST": "AASIST.pth", "AASIST_L": "AASIST-L.pth"}
STAGES = ("encoder", "gat_S", "gat_T", "pool_S", "pool_T", "last_hidden", "logits")

Stages = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def stored(reference: Path) -> Mapping[str, NDArray[np.float32]]:
    """Inputs (6, 64600) and what the published code made of them."""
    with np.load(reference / "parity.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module", params=MODELS)
def published(request: pytest.FixtureRequest, reference: Path) -> tuple[str, Aasist]:
    """Prefix of the stored arrays, and the model with the published weights."""
    return request.param, checkpoint.load(reference / MODELS[request.param])


def stages(model: Aasist, waveforms: NDArray[np.float32]) -> Stages:
    """What every stage gives, by the names of the stored arrays."""
    with torch.inference_mode():
        encoded = model.features(torch.from_numpy(waveforms))
        spectral, temporal = model.graphs(encoded)
        pooled_spectral, pooled_temporal = model.spectral_pool(spectral), model.temporal_pool(temporal)
        hidden = model.readout(pooled_spectral, pooled_temporal)
        parts = (encoded, spectral, temporal, pooled_spectral, pooled_temporal, hidden, model.out(hidden))
    return {name: part.numpy() for name, part in zip(STAGES, parts, strict=True)}


@pytest.fixture(scope="module")
def together(published: tuple[str, Aasist], stored: Mapping[str, NDArray[np.float32]]) -> Stages:
    """All stages of the six inputs as one batch."""
    return stages(published[1], stored["inputs"])


@pytest.mark.parametrize("stage", STAGES)
def test_every_stored_stage_is_met_within_1e_4(
    stage: str, published: tuple[str, Aasist], together: Stages, stored: Mapping[str, NDArray[np.float32]]
) -> None:
    expected = stored[f"{published[0]}_{stage}"]
    assert together[stage].shape == expected.shape
    np.testing.assert_allclose(together[stage], expected, rtol=0, atol=1e-4)


def test_forward_gives_the_logits_of_the_stages(
    published: tuple[str, Aasist], together: Stages, stored: Mapping[str, NDArray[np.float32]]
) -> None:
    with torch.inference_mode():
        logits = published[1](torch.from_numpy(stored["inputs"][:1]))
    np.testing.assert_allclose(logits.numpy(), together["logits"][:1], rtol=0, atol=1e-5)


def test_a_batch_of_one_gives_what_the_batch_of_six_gives(
    published: tuple[str, Aasist], together: Stages, stored: Mapping[str, NDArray[np.float32]]
) -> None:
    for index in range(6):
        alone = stages(published[1], stored["inputs"][index : index + 1])
        np.testing.assert_allclose(alone["logits"][0], together["logits"][index], rtol=0, atol=1e-5)


def test_published_files_hold_229_keys_that_the_key_map_covers_one_to_one(
    published: tuple[str, Aasist], reference: Path
) -> None:
    prefix, model = published
    file = torch.load(reference / MODELS[prefix], map_location="cpu", weights_only=True)
    translated = checkpoint.translate(file)
    assert len(file) == len(translated) == 229
    assert translated.keys() == model.state_dict().keys()
    assert sum(weight.numel() for weight in model.parameters()) == {"AASIST": 297_866, "AASIST_L": 85_306}[prefix]
    for (theirs, tensor), (ours, same) in zip(file.items(), translated.items(), strict=True):
        assert tensor is same, f"{theirs} became {ours}"

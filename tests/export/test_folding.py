"""Norms folded into the layers before them: the same function, to the last digit that its numbers have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from aasist.export.folding import folded
from aasist.model.aasist import Aasist
from aasist.recipe import AASIST_L, Architecture

VARIANTS = {
    "plain": {},
    "published blocks": {"unused_norms": True, "compression": "none", "level": "none"},
    "all parts": {"squeeze": 2, "context_blocks": 1, "context_heads": 2, "statistics": True, "prosody": "both"},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_folded_model_gives_the_same_logits(
    changes: dict[str, object], seeded: Callable[..., Aasist], small_model: Aasist
) -> None:
    model = seeded(replace(small_model.architecture, **changes)).double()  # type: ignore[arg-type]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lighter = folded(model)
    waveform = 0.1 * torch.randn(3, 9_001, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(lighter(waveform), model(waveform), rtol=0, atol=1e-11)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), f"{name} of the model itself was changed"
    assert not [name for name, weight in lighter.named_parameters() if weight.requires_grad]


def test_no_norm_is_left_but_the_first_of_the_encoder_and_that_of_prosodic_frames(
    seeded: Callable[..., Aasist], small_model: Aasist
) -> None:
    model = seeded(replace(small_model.architecture, unused_norms=True, prosody="both"))
    norms = [name for name, part in folded(model).named_modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert sorted(norms) == ["encoder.norm", "prosody.norm"]


def test_rounding_happens_once(seeded: Callable[..., Aasist], small_model: Aasist) -> None:
    """Folding in float32 would round products, and roots, and their products again."""
    in_float32, in_float64 = folded(small_model), folded(_as_float64(small_model))
    for (name, weight), (_, exact) in zip(in_float32.named_parameters(), in_float64.named_parameters(), strict=True):
        assert torch.equal(weight, exact.float()), name


def _as_float64(model: Aasist) -> Aasist:
    """The same model in float64, without touching the one that other tests share."""
    copy = Aasist(model.architecture)
    copy.load_state_dict(model.state_dict())
    return copy.eval().double()


def test_the_exact_light_architecture_folds_too(seeded: Callable[[Architecture], Aasist]) -> None:
    model = seeded(AASIST_L)
    waveform = 0.1 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(folded(model)(waveform), model(waveform), rtol=0, atol=1e-4)

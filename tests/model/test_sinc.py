"""The fixed filters against the integral they come from, and against tones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from aasist.model.aasist import Aasist
from aasist.model.sinc import (
    MOST_FOLDED,
    FoldedBands,
    PooledBands,
    SincBands,
    mel_edges_hz,
    pooled_bands,
    sinc_filters,
)
from aasist.recipe import AASIST, EFFICIENT
from aasist.session import SAMPLE_RATE

from . import slow_twin


@pytest.mark.parametrize(("bands", "taps"), [(70, 129), (12, 33)])
def test_filters_are_the_hamming_windowed_integral_over_each_mel_band(bands: int, taps: int) -> None:
    expected = slow_twin.sinc_filters(bands, taps, SAMPLE_RATE)
    filters = sinc_filters(bands, taps)
    assert filters.dtype == torch.float32
    # The package takes the sines in float32, as the published weights were trained.
    np.testing.assert_allclose(filters.numpy(), expected, rtol=0, atol=2e-5)
    assert np.abs(expected).max(axis=1).min() > 5e-4, "a filter this small would pass whatever it held"


def test_edges_of_the_bands_are_evenly_spaced_in_mel_from_0_to_8_khz() -> None:
    edges = mel_edges_hz(70)
    assert edges[0] == 0.0
    assert edges[-1] == pytest.approx(8_000.0)
    mels = 2595 * np.log10(1 + edges / 700)
    np.testing.assert_allclose(np.diff(mels), mels[-1] / 70, rtol=1e-9)


def test_a_tone_comes_out_of_the_band_that_holds_it() -> None:
    edges = mel_edges_hz(12)
    times = torch.arange(4_000) / SAMPLE_RATE
    bands = SincBands(12, 129)
    loudest = []
    for low, high in pairwise(edges):
        tone = torch.sin(2 * torch.pi * float(low + high) / 2 * times)
        loudest.append(int(bands(tone[None]).square().mean(dim=2).argmax()))
    assert loudest == list(range(12))


def test_bands_agree_with_the_slow_twin_for_strides_that_do_and_do_not_divide_the_length() -> None:
    waveform = torch.randn(2, 200, generator=torch.Generator().manual_seed(1))
    for stride in (1, 3, 4):
        layer = SincBands(5, 33, stride)
        got = layer(waveform)
        assert got.shape == (2, 5, (200 - 33) // stride + 1)
        for row in range(2):
            expected = slow_twin.sinc_bands(
                layer.filters[:, 0].double().numpy(), waveform[row].double().numpy(), stride
            )
            np.testing.assert_allclose(got[row].numpy(), expected, atol=1e-6)


def test_a_band_mask_silences_its_bands_and_leaves_the_others() -> None:
    layer = SincBands(5, 33)
    waveform = torch.randn(2, 100, generator=torch.Generator().manual_seed(2))
    mask = torch.tensor([[1.0, 0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0, 0.0]])
    masked, whole = layer(waveform, mask), layer(waveform)
    assert torch.equal(masked, whole * mask[:, :, None])
    assert masked[0, 1].abs().max() == 0
    assert masked[1, 1].abs().max() > 0


def test_filters_are_neither_in_the_state_dict_nor_trained(small_model: Aasist) -> None:
    assert not [name for name in small_model.state_dict() if "sinc" in name or "filter" in name]
    assert list(small_model.sinc.parameters()) == []
    assert not small_model.sinc.filters.requires_grad
    waveform = torch.randn(1, 2_000, requires_grad=True)
    assert not small_model.sinc(waveform.detach()).requires_grad


@pytest.mark.parametrize(
    ("bands", "kernel", "stride", "pool"),
    [(70, 129, 3, (3, 8)), (7, 33, 2, (2, 7)), (6, 32, 1, (3, 6)), (5, 19, 1, (1, 2)), (5, 19, 3, (2, 1))],
)
def test_folding_gives_what_convolution_and_pooling_give(
    bands: int, kernel: int, stride: int, pool: tuple[int, int]
) -> None:
    direct = PooledBands(bands, kernel, stride, pool).double()
    folded = FoldedBands(bands, kernel, stride, pool).double()
    random = torch.Generator().manual_seed(4)
    mask = (torch.rand(2, bands, generator=random) > 0.3).double()
    for extra in range(stride * pool[1] + 1):
        waveform = torch.randn(2, folded.frame + 100 + extra, generator=random, dtype=torch.float64)
        for one in (None, mask):
            expected = direct(waveform, one)
            assert expected.abs().max() > 0.01
            torch.testing.assert_close(folded(waveform, one), expected, rtol=0, atol=1e-6)


def test_the_shipped_variant_folds_and_the_published_one_does_not() -> None:
    efficient, published = (
        pooled_bands(a.bands, a.kernel_samples, a.sinc_stride, a.front_pool) for a in (EFFICIENT, AASIST)
    )
    assert isinstance(efficient, FoldedBands)
    assert isinstance(published, PooledBands)


def numbers_in(layer: FoldedBands) -> int:
    """How many numbers its two matrices hold."""
    return layer.even.numel() + layer.odd.numel()


def test_folded_filters_hold_no_more_numbers_than_allowed_and_what_would_need_more_is_not_folded() -> None:
    folded = pooled_bands(EFFICIENT.bands, EFFICIENT.kernel_samples, EFFICIENT.sinc_stride, EFFICIENT.front_pool)
    assert isinstance(folded, FoldedBands)
    assert numbers_in(folded) < MOST_FOLDED / 40
    outputs, bands = 64, 16
    fits = MOST_FOLDED // (outputs * bands) - (outputs - 1)
    largest = pooled_bands(bands, fits, 1, (2, outputs))
    assert isinstance(largest, FoldedBands)
    assert numbers_in(largest) <= MOST_FOLDED
    assert isinstance(pooled_bands(bands, fits + 1, 1, (2, outputs)), PooledBands)


def test_a_pool_and_a_kernel_that_metadata_may_claim_are_never_multiplied_out() -> None:
    """Folded, these would be 9 thousand million numbers."""
    layer = pooled_bands(70, 20_001, 1, (3, 20_000))
    assert isinstance(layer, PooledBands)
    assert layer.filters.numel() == 70 * 20_001

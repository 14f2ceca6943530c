"""Costs: against what is counted by hand, and within what is promised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aasist.model.aasist import Aasist
from aasist.model.cost import cost
from aasist.recipe import AASIST, AASIST_L, ARCHITECTURES, EFFICIENT, SINC, SMALL, Architecture

TINY = Architecture(
    bands=6, kernel_samples=65, sinc_stride=3, front_pool=(3, 8), channels=(4, 4), time_pools=(3, 27), graph_dims=(4, 2)
)


def encoder_by_hand(a: Architecture) -> int:
    """Multiplications of the sinc layer and of the residual blocks, layer by layer, in a window of 64,600 samples."""
    outputs = (64_600 - a.kernel_samples) // a.sinc_stride + 1
    total = outputs * a.bands * a.kernel_samples
    steps, bands, before = outputs // a.front_pool[1], a.bands // a.front_pool[0], 1
    for channels, pool in zip(a.channels, a.time_pools, strict=True):
        total += (bands + 1) * steps * channels * before * 6  # (2, 3) with a band more on one side
        total += bands * steps * channels * channels * 6
        total += bands * steps * channels * before * 3 if channels != before else 0
        steps, before = steps // pool, channels
    return total


@pytest.mark.parametrize("a", [TINY, *(a for a in ARCHITECTURES.values() if a.front == SINC)], ids=lambda a: a.name)
def test_the_encoder_is_counted_as_by_hand_and_the_graphs_are_next_to_nothing(a: Architecture) -> None:
    by_hand = 2 * encoder_by_hand(a) / 1e9
    assert by_hand < cost(a).gflop < by_hand + 0.03


def test_what_a_conformer_block_adds_is_counted_as_by_hand() -> None:
    nodes, width, hidden, kernel = 33, 4, 8, 5
    linears = 2 * 2 * width * hidden + 4 * width * width + 2 * width * width + width * width
    multiplications = nodes * linears + nodes * width * kernel + 2 * nodes * nodes * width
    changed = replace(TINY, context_blocks=1, context_kernel=kernel)
    assert cost(changed).gflop - cost(TINY).gflop == pytest.approx(2 * multiplications / 1e9, rel=1e-6)
    weights = 2 * (2 * width * hidden + hidden + width) + 4 * width * width + 3 * width + 17 * 4
    weights += 3 * width * width + 3 * width + (kernel + 1) * width + 2 * width + 4 * 3 * width
    assert cost(changed).parameters - cost(TINY).parameters == weights


def test_what_statistics_and_squeeze_excitation_add_is_counted_as_by_hand() -> None:
    assert cost(replace(TINY, statistics=True)).parameters - cost(TINY).parameters == 2 * 3 * 4 * 2
    squeezed = cost(replace(TINY, squeeze=2))
    assert squeezed.parameters - cost(TINY).parameters == 2 * (2 * 4 * 2 + 2 + 4)
    assert squeezed.gflop - cost(TINY).gflop == pytest.approx(2 * 2 * 2 * 4 * 2 / 1e9, rel=1e-4)


def test_published_and_shipped_shapes_cost_what_is_said_of_them() -> None:
    assert cost(AASIST).gflop == pytest.approx(19.1, abs=0.05)
    assert cost(AASIST_L).gflop == pytest.approx(13.2, abs=0.05)
    assert cost(AASIST).parameters == 297_866
    assert cost(EFFICIENT).gflop <= 2.0
    small = cost(SMALL)
    assert small.gflop <= 0.5
    # A file has the folded sinc filters too, of 8 shifts and half a frame each, and its graph.
    assert 4 * small.parameters + 4 * 8 * SMALL.bands * 43 < 0.5e6 - 50_000


def test_the_window_of_an_architecture_is_no_part_of_its_cost() -> None:
    assert cost(replace(SMALL, window_samples=32_000)) == cost(SMALL)
    longest = replace(TINY, time_pools=(3, 3_000), window_samples=300_000)
    assert longest.shortest_samples > 64_600
    assert cost(longest).gflop == pytest.approx(cost(TINY).gflop, rel=0.05)


def test_counting_computes_nothing_and_leaves_models_as_they_are() -> None:
    assert cost(replace(AASIST, channels=(512,) * 6)).gflop > 1_000
    assert sum(weight.numel() for weight in Aasist(SMALL).parameters()) == cost(SMALL).parameters

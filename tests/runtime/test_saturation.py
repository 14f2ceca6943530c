"""Saturation of int8 products, asked of the processor."""

from __future__ import annotations

import numpy as np
import pytest

from aasist.export import processor


def test_weights_of_seven_bits_saturate_nowhere() -> None:
    np.testing.assert_array_equal(processor._largest_sum(processor.REDUCED_BITS), processor.EXPECTED)
    assert not processor.saturates(processor.REDUCED_BITS)


def test_weights_of_eight_bits_come_out_whole_or_too_small_never_in_between_unnoticed() -> None:
    found = processor._largest_sum(processor.FULL_BITS)
    assert processor.saturates() == bool((found != processor.EXPECTED).any())


@pytest.mark.parametrize(("saturates", "bits"), [(True, 7), (False, 8)])
def test_the_bits_of_a_weight_are_those_the_processor_bears(
    saturates: bool, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "saturates", lambda: saturates)
    assert processor.weight_bits() == bits

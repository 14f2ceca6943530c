"""Draws are functions of key, stream and number, and as random as they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aasist.training import draws
from aasist.training.draws import Draws, Purpose, bits23, fraction, generator, normal, row_keys, seed_dropout, uniform

KEYS = row_keys(7, Purpose.AUGMENT, 3, np.arange(24))


def test_keys_differ_by_seed_purpose_epoch_and_draw() -> None:
    drawn = np.arange(1000)
    every = [
        row_keys(seed, purpose, epoch, drawn)
        for seed in (0, 1, 2**63)
        for purpose in (Purpose.AUGMENT, Purpose.CODEC)
        for epoch in (-1, 0, 1)
    ]
    assert len(np.unique(np.concatenate(every))) == 18_000


def test_equal_draws_have_equal_keys_wherever_they_stand() -> None:
    assert row_keys(1, Purpose.CROP, 2, np.array([5, 9, 5]))[[0, 2]].tolist() == [row_keys(1, Purpose.CROP, 2, np.array([5]))[0]] * 2  # fmt: skip


def test_a_generator_is_that_of_its_seed_purpose_and_key() -> None:
    assert generator(1, Purpose.ORDER, 4).random() == generator(1, Purpose.ORDER, 4).random()
    assert generator(1, Purpose.ORDER, 4).random() != generator(1, Purpose.ORDER, 5).random()
    assert generator(1, Purpose.ORDER, 4).random() != generator(1, Purpose.LENGTH, 4).random()


def test_dropout_depends_on_epoch_batch_and_rank() -> None:
    state = torch.get_rng_state()
    try:
        first = {}
        for key in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (0, 0, 0)):
            seed_dropout(3, *key)
            first.setdefault(key, []).append(float(torch.rand(())))
    finally:
        torch.set_rng_state(state)
    assert len({values[0] for values in first.values()}) == 4
    assert first[0, 0, 0][0] == first[0, 0, 0][1]


@given(count=st.integers(1, 3000), shorter=st.integers(1, 3000), row=st.integers(0, 23))
def test_a_number_is_a_function_of_key_stream_and_place(count: int, shorter: int, row: int) -> None:
    for make in (uniform, normal):
        whole = make(KEYS, count, 5)
        part = make(KEYS[row : row + 1], min(count, shorter), 5)
        assert torch.equal(part[0], whole[row, : part.shape[1]])


def test_streams_and_keys_give_other_numbers() -> None:
    one = uniform(KEYS, 1000)
    assert not torch.isclose(one, uniform(KEYS, 1000, 1), atol=1e-5).float().mean() > 1e-3
    assert len(torch.unique(one[:, 0])) == 24


def test_the_integers_of_other_devices_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way through torch, taken on the CPU, where NumPy is the usual way."""
    wanted = bits23(KEYS, 5001, 9, "cpu")

    class Elsewhere:
        type = "elsewhere"

    monkeypatch.setattr(draws.torch, "device", lambda device: Elsewhere)
    assert torch.equal(bits23(KEYS, 5001, 9, "cpu"), wanted)


def test_uniform_numbers_are_uniform_and_independent() -> None:
    numbers = uniform(KEYS, 40_000).double()
    count = numbers.numel()
    assert numbers.min() > 0 and numbers.max() < 1
    assert abs(float(numbers.mean()) - 0.5) < 4 / np.sqrt(12 * count)
    counts = np.bincount((numbers.numpy().ravel() * 1000).astype(int), minlength=1000)
    chi = float(((counts - count / 1000) ** 2).sum() / (count / 1000))
    assert abs(chi - 999) < 5 * np.sqrt(2 * 999)
    centred = numbers - 0.5
    for other in (centred.roll(1, 1), centred.roll(1, 0), uniform(KEYS, 40_000, 1).double() - 0.5):
        assert abs(float((centred * other).mean())) * 12 < 4.5 / np.sqrt(count)
    low_bits = (bits23(KEYS, 40_000, 0, "cpu") & 1).double().mean()
    assert abs(float(low_bits) - 0.5) < 4 * 0.5 / np.sqrt(count)


def test_normal_numbers_are_normal_and_white() -> None:
    numbers = normal(KEYS, 40_000).double()
    count = numbers.numel()
    assert torch.isfinite(numbers).all()
    for power, wanted, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((numbers**power).mean()) - wanted) < 4.5 * np.sqrt(spread / count)
    periodogram = torch.fft.rfft(numbers).abs().square() / 40_000
    thirds = periodogram[:, 1:19_999].reshape(24, 3, -1).mean(dim=(0, 2))
    assert torch.allclose(thirds, torch.ones(3, dtype=torch.float64), atol=0.02)


def test_fractions_of_neighbouring_keys_and_names_have_nothing_to_do_with_each_other() -> None:
    keys = np.arange(20_000, dtype=np.int64)
    numbers = fraction(keys)
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.03
    one, other = Draws(keys, "noise"), Draws(keys, "room")
    assert abs(np.corrcoef(one.fraction("a"), one.fraction("b"))[0, 1]) < 0.03
    assert abs(np.corrcoef(one.fraction("a"), other.fraction("a"))[0, 1]) < 0.03


def test_draws_by_name_keep_to_their_bounds() -> None:
    drawn = Draws(np.arange(5_000, dtype=np.int64), "step")
    between = drawn.between("x", (-3.0, 5.0))
    assert -3 <= between.min() < -2.9 and 4.9 < between.max() <= 5
    integers = drawn.integer("n", 2, 4)
    assert np.bincount(integers, minlength=5)[2:].min() > 1_500 and set(integers.tolist()) == {2, 3, 4}
    ratio = drawn.ratio("r", (-20.0, 20.0))
    assert ratio.shape == (5_000, 1) and ratio.min() >= 0.1 and ratio.max() <= 10
    assert drawn.between("point", (4.0, 4.0)).tolist() == [4.0] * 5_000
    some = np.array([3, 17])
    assert np.array_equal(drawn.of(some).between("x", (-3.0, 5.0)), between[some])
    assert torch.equal(drawn.of(some).normal("z", 9), Draws(some, "step").normal("z", 9))

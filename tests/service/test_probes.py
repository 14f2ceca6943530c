"""What is remembered of those who ask is bounded, and forgotten in time whoever asks next."""

from __future__ import annotations

import numpy as np

from aasist.service.entry import probes
from aasist.service.entry.likeness import Likeness, packed, unpacked
from aasist.service.entry.probes import KEPT_EACH, Asked, Probes


def likeness(seed: int, flipped: int = 0, windows: int = 1) -> Likeness:
    bits = np.random.default_rng(seed).random((windows, 248)) < 0.5
    bits[:, :flipped] ^= True
    return Likeness(tuple(bits), bits.tobytes())


def test_bits_are_packed_and_unpacked():
    several = likeness(0, windows=3)
    assert len(packed(several.bits)) == 3 * 31
    assert (unpacked(packed(several.bits)) == np.stack(several.bits)).all()


def test_any_window_may_be_like_any_other():
    found, asked = Probes(limit=1, seconds=10), Asked()
    first = likeness(1, windows=3)
    assert not found.note(asked, first, 0.0)
    assert found.note(asked, Likeness((likeness(2).bits[0], first.bits[2]), b"other"), 1.0)
    assert not found.note(Asked(), Likeness(first.bits, b"of another client"), 1.0)


def test_what_is_like_it_to_the_bit_is_counted_and_the_very_same_is_not():
    found, asked = Probes(limit=1, seconds=10), Asked()
    one = likeness(1)
    assert not found.note(asked, one, 0.0)
    assert not found.note(asked, one, 1.0)
    assert found.note(asked, Likeness(one.bits, b"other"), 2.0)
    assert found.wait(asked, 2.0) == 0.0
    assert found.note(asked, Likeness(one.bits, b"yet another"), 3.0)
    assert found.wait(asked, 3.0) == 9.0
    assert found.wait(asked, 12.1) == 0.0


def test_what_is_old_is_forgotten_also_of_those_who_never_ask_again():
    found, gone, asking = Probes(limit=1, seconds=10), Asked(), Asked()
    for number in range(5):
        found.note(gone, likeness(number), float(number))
    found.forget(12.5)
    assert len(found) == len(gone.sounds) == 2
    found.note(asking, likeness(9), 100.0)
    assert len(found) == 1
    assert not gone.sounds


def test_of_one_client_and_of_all_no_more_than_so_many_are_kept(monkeypatch):
    monkeypatch.setattr(probes, "KEPT", KEPT_EACH + 100)
    found, busy, other = Probes(limit=1, seconds=1e9), Asked(), Asked()
    for number in range(KEPT_EACH + 50):
        found.note(busy, likeness(number), float(number))
    assert len(busy.sounds) == KEPT_EACH
    for number in range(150):
        found.note(other, likeness(number), 1_000.0 + number)
    assert len(found) == KEPT_EACH + 100
    assert len(other.sounds) == 150
    assert len(busy.sounds) == KEPT_EACH - 50

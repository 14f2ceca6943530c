"""The same recording, a little altered, is known again; others are not."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from aasist.service.entry.likeness import bits_of, near

from ..conftest import ROOT


@pytest.fixture(scope="module")
def windows():
    found = []
    for path in sorted((ROOT / "examples").glob("*.flac")) + sorted((ROOT / "examples").glob("*.m4a")):
        if path.suffix == ".flac":
            samples, rate = soundfile.read(path, dtype="float32")
            if rate == 16_000:
                found.append(samples[:64_600])
    assert len(found) >= 3
    return found


def alike(one, other) -> bool:
    return bool(near(bits_of(one), bits_of(other)[None])[0])


@pytest.mark.parametrize("gain", [0.05, 0.5, 3.0])
def test_louder_or_softer_is_the_same(windows, gain):
    assert all(alike(window, (gain * window).astype(np.float32)) for window in windows)


def test_faint_noise_makes_no_other_recording(windows):
    rng = np.random.default_rng(0)
    for window in windows:
        noise = rng.standard_normal(len(window)).astype(np.float32)
        assert alike(window, window + 0.003 * float(np.sqrt((window**2).mean())) * noise)


def test_an_adversarial_step_makes_no_other_recording(windows):
    """Signs of a gradient look like noise of one size."""
    rng = np.random.default_rng(1)
    for window in windows:
        step = rng.choice([-1.0, 1.0], len(window)).astype(np.float32)
        assert alike(window, window + 0.0005 * step)


def test_other_recordings_are_others(windows):
    for number, one in enumerate(windows):
        for other in windows[:number]:
            assert not alike(one, other)


def test_what_it_does_not_see_is_known(windows):
    """Half a second later is another recording to it: docs/security.md says so."""
    assert not alike(windows[0][:56_000], windows[0][8_000:64_000])


@pytest.mark.parametrize("samples", [8_000, 64_600, 32_000])
def test_windows_of_any_length_give_as_many_bits(samples):
    assert bits_of(np.zeros(samples, np.float32)).shape == (8 * 31,)

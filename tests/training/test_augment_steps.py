"""Each thing that may happen to a row does what its name says, in numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from aasist.audio.encode import converted
from aasist.keys import with_values
from aasist.training.augment import bands, coding, levels, masks, noise, rawboost, room, spectra, speed
from aasist.training.augment.bank import LEAD_SAMPLES, NoiseBank
from aasist.training.augment.mix import Mix, mixed
from aasist.training.augment.recipe import AugmentRecipe, band_masks
from aasist.training.draws import Draws

RATE = 16_000
T = 16_000
"""Samples of a row in most tests: one second."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Rows are short here: more threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(rows: int, step: str = "test") -> Draws:
    return Draws(np.arange(rows, dtype=np.int64) * 7919 + 1, step)


def white(rows: int, samples: int = T, level: float = 0.1) -> Tensor:
    return level * torch.from_numpy(np.random.default_rng(0).standard_normal((rows, samples)).astype(np.float32))


def tone(hertz: float, samples: int = T, level: float = 0.5) -> Tensor:
    return level * torch.sin(2 * torch.pi * hertz / RATE * torch.arange(samples, dtype=torch.float64)).float()[None]


def db(ratio: Tensor | float) -> Tensor:
    return 20 * torch.log10(torch.as_tensor(ratio))


def power_db(waveforms: Tensor) -> Tensor:
    return db(spectra.rms(waveforms)[:, 0])


# Sizes and levels


@pytest.mark.parametrize("samples", [1, 16, 17, 64_600, 65_536, 65_537, 80_000])
def test_sizes_of_transforms_hold_what_they_are_for_and_little_more(samples: int) -> None:
    size = spectra.fft_size(samples)
    assert samples <= size <= max(16, 1.34 * samples)


def test_the_size_for_a_published_window_is_a_power_of_two() -> None:
    assert spectra.filter_size(64_600) == 65_536


# Noise


def test_noise_lies_at_the_ratio_that_was_drawn() -> None:
    rows, draws = white(40), drawn(40)
    for recorded in (0.0, 1.0):
        recipe = noise.Noise(snr_db=(-5.0, 30.0), recorded=recorded)
        bank = NoiseBank({"noise": [np.random.default_rng(1).standard_normal(9_000)]})
        added = noise.noisy(rows, draws, recipe, bank) - rows
        ratio = power_db(rows) - power_db(added)
        wanted = torch.from_numpy(draws.between("snr", (-5.0, 30.0))).float()
        assert torch.allclose(ratio, wanted, atol=0.1)


def test_made_noise_falls_by_its_slope() -> None:
    for slope in (-3.0, 0.0, 3.0, 6.0):
        made = noise.coloured(drawn(20), 65_536, torch.full((20, 1), slope))
        density = torch.fft.rfft(made).abs().square().mean(0)
        octaves = torch.stack([density[(k := 65_536 * f // RATE) : 2 * k].mean() for f in (250, 500, 1_000, 2_000)])
        falls = 10 * torch.log10(octaves[:-1] / octaves[1:])
        assert torch.allclose(falls, torch.full((3,), slope), atol=0.3)


def test_music_and_a_second_speaker_come_from_the_bank() -> None:
    bank = NoiseBank({"music": [tone(440.0)[0].numpy()], "speech": [tone(200.0)[0].numpy()]})
    rows = white(3)
    for changed, hertz, step in (
        (noise.with_music(rows, drawn(3), noise.Music(snr_db=(10.0, 10.0)), bank), 440, "music"),
        (mixed(rows, drawn(3), Mix(level_db=(10.0, 10.0)), bank), 200, "mix"),
    ):
        added = changed - rows
        assert torch.allclose(power_db(rows) - power_db(added), torch.tensor(10.0), atol=0.1), step
        assert torch.fft.rfft(added).abs().argmax(1).tolist() == [hertz] * 3, step


# Rooms


def test_synthetic_rooms_have_the_reverberation_time_that_was_drawn() -> None:
    """By Schroeder's backward integration, between 5 and 25 dB of decay."""
    t60 = np.repeat([0.2, 0.5, 0.8], 12)
    responses = room.synthetic_responses(drawn(36), t60, torch.ones(36, 1), LEAD_SAMPLES + 12_800)
    tails = responses[:, LEAD_SAMPLES + 1 :].double().square()
    decay = 10 * torch.log10((tails.flip(1).cumsum(1).flip(1) / tails.sum(1, keepdim=True)).clamp_min(1e-12))
    measured = []
    for curve in decay:
        start, end = int((curve > -5).sum()), int((curve > -25).sum())
        measured.append(3 * (end - start) / RATE)
    for wanted, group in zip((0.2, 0.5, 0.8), np.split(np.array(measured), 3), strict=True):
        assert abs(np.mean(group) / wanted - 1) < 0.06


def test_direct_sound_stands_above_the_reverberation_as_drawn() -> None:
    responses = room.synthetic_responses(drawn(5), np.full(5, 0.3), torch.full((5, 1), 2.0), 5_000)
    assert torch.equal(responses[:, LEAD_SAMPLES], torch.ones(5))
    assert torch.allclose(responses[:, LEAD_SAMPLES + 1 :].square().sum(1), torch.full((5,), 0.25), rtol=1e-4)
    assert not responses[:, LEAD_SAMPLES + 1 : LEAD_SAMPLES + room.GAP_SAMPLES].any()


def test_a_room_keeps_level_and_time() -> None:
    rows = torch.zeros(4, T)
    rows[:, 5_000] = 0.8
    response = np.zeros(300, np.float32)
    response[[90, 150]] = 1.0, -0.5
    bank = NoiseBank({"rir": [response]})
    for recorded in (0.0, 1.0):
        recipe = room.Room(recorded=recorded, direct_db=(6.0, 6.0), wet=(1.0, 1.0))
        heard = room.reverberated(rows, drawn(4), recipe, bank)
        assert heard.abs().argmax(1).tolist() == [5_000] * 4
        assert torch.allclose(power_db(heard), power_db(rows), atol=1e-3)
    echo = heard[0] / heard[0, 5_000]
    assert echo[5_060] == pytest.approx(-0.5, abs=1e-3)
    assert float(echo.abs().sum()) == pytest.approx(1.5, abs=0.01)


def test_a_row_that_is_half_dry_is_a_mean_of_both() -> None:
    rows, bank = white(3), NoiseBank({"rir": [np.array([1.0] + [0.0] * 79 + [1.0], np.float32)]})
    wet = room.reverberated(rows, drawn(3), room.Room(wet=(1.0, 1.0)), bank)
    half = room.reverberated(rows, drawn(3), room.Room(wet=(0.5, 0.5)), bank)
    assert torch.allclose(half, spectra.as_loud_as(0.5 * (rows + wet), rows), atol=1e-6)


# Bands


def test_a_band_limit_halves_the_amplitude_at_its_edges() -> None:
    recipe = bands.Band(top_hz=(4_000.0, 4_000.0), edge_hz=(50.0, 50.0), bottom=1.0, bottom_hz=(300.0, 300.0))
    for hertz, wanted in ((4_000, 0.5), (300, 0.5), (1_000, 1.0), (3_600, 1.0), (4_500, 0.0), (150, 0.0)):
        limited = bands.band_limited(tone(hertz, 64_600), drawn(1), recipe)
        assert float(spectra.rms(limited) / spectra.rms(tone(hertz, 64_600))) == pytest.approx(wanted, abs=6e-3), hertz


def test_an_equaliser_has_the_deviation_that_was_asked_for_and_keeps_the_level() -> None:
    rows = torch.zeros(400, 4_000)
    rows[:, 2_000] = 0.5
    recipe = bands.Equaliser(deviation_db=4.0, knots=9)
    equal = bands.equalised(rows, drawn(400), recipe)
    assert torch.allclose(power_db(equal), power_db(rows), atol=1e-3)
    response = db(torch.fft.rfft(equal, 16_000).abs())
    knots = (bands.knot_places(9) * 8_000).astype(int)
    between = response[:, knots[2:8]] - response[:, knots[3:9]]
    # A difference of two knots; a response that is cut to a quarter of a second rounds their corners off.
    assert float(between.std()) == pytest.approx(4 * math.sqrt(2), rel=0.08)
    middle = response[:, (knots[6] + knots[7]) // 2]
    assert float((middle - response[:, knots[6:8]].mean(1)).abs().mean()) < 0.2


def test_a_way_through_8_khz_is_two_filters_and_every_second_sample() -> None:
    """The slow twin works in time: convolve, drop every second sample, convolve again; aliases included."""
    rows = white(2, 4_000)
    for crossings in (6.0, 32.0):
        ours = bands.through_rates(rows, np.full(2, 8_000.0), np.full(2, crossings))
        reach = int(np.ceil(crossings * 2 / 0.97))
        steps = np.arange(-reach, reach + 1)
        cutoff = 0.97 / 2
        window = np.cos(0.5 * np.pi * steps * cutoff / crossings) ** 2 * (np.abs(steps) * cutoff < crossings)
        kernel = cutoff * np.sinc(cutoff * steps) * window
        for row, out in zip(rows.double().numpy(), ours.numpy(), strict=True):
            low = np.convolve(row, kernel, "same")
            low[1::2] = 0.0
            wanted = 2 * np.convolve(low, kernel, "same")
            assert np.abs(out - wanted)[100:-100].max() < 1e-5


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 44_100])
def test_a_way_through_another_rate_agrees_with_a_resampler_below_its_edge(rate: int) -> None:
    low = bands.band_limited(white(1, 32_300), drawn(1), bands.Band(top_hz=(3_000.0, 3_000.0), bottom=0.0))
    ours = bands.through_rates(low, np.array([float(rate)]), np.array([64.0]))[0].numpy()
    theirs = converted(converted(low[0].numpy(), RATE, rate), rate, RATE, fit=ours)
    assert np.abs(ours - theirs)[500:-500].max() < 3e-3 * np.abs(theirs).max()


def test_cheap_filters_let_aliases_through_and_good_ones_do_not() -> None:
    levels_db = []
    for crossings in (6.0, 64.0):
        out = bands.through_rates(tone(4_150.0, 16_000), np.array([8_000.0]), np.array([crossings]))
        levels_db.append(float(db(torch.fft.rfft(out)[0, 3_850].abs() / 4_000)))
    assert levels_db[0] > -18 and levels_db[1] < -40


def test_rates_above_16_khz_take_the_very_top_alone() -> None:
    rows = bands.through_rates(tone(7_000.0), np.array([44_100.0]), np.array([64.0]))
    assert float(spectra.rms(rows) / spectra.rms(tone(7_000.0))) == pytest.approx(1.0, abs=0.01)


def test_resampling_draws_its_rates_evenly() -> None:
    recipe = bands.Resample(rates_hz=(8_000, 44_100))
    cut = spectra.rms(bands.resampled(tone(6_000.0, 1_000).repeat(400, 1), drawn(400), recipe)) < 0.1
    assert 0.4 < float(cut.float().mean()) < 0.6


# Levels


def test_gain_is_exact_and_clips_at_full_scale() -> None:
    rows = 0.2 * torch.ones(50, 100)
    out = levels.amplified(rows, drawn(50), levels.Gain(gain_db=(-20.0, 20.0)))
    wanted = 0.2 * 10 ** (drawn(50).between("gain", (-20.0, 20.0)) / 20)
    assert np.allclose(out[:, 0], np.minimum(wanted, 1.0), rtol=1e-5)
    assert (wanted > 1).any()
    loud = levels.amplified(torch.tensor([[1.5, -2.0]]), drawn(1), levels.Gain(gain_db=(10.0, 10.0)))
    assert loud.tolist() == [[2.0, -2.0]]


def test_clipping_cuts_the_share_of_samples_that_was_drawn() -> None:
    rows = white(60, 32_000)
    out = levels.clipped(rows, drawn(60), levels.Clip(share=(0.005, 0.05)))
    share = (out.abs() >= spectra.peak(out)).float().mean(1)
    wanted = torch.from_numpy(drawn(60).between("share", (0.005, 0.05))).float()
    assert torch.allclose(share, wanted, rtol=0.4) and abs(float((share / wanted).mean()) - 1) < 0.03
    kept = rows.abs() < spectra.peak(out)
    assert torch.equal(out[kept], rows[kept])


def test_a_row_that_is_mostly_zeros_is_not_silenced_by_clipping() -> None:
    rows = torch.zeros(2, 32_000)
    rows[0, 8_000:8_040] = white(1, 40)[0]
    rows[1] = white(1, 32_000)[0]
    out = levels.clipped(rows, drawn(2), levels.Clip(share=(0.02, 0.03)))
    assert torch.equal(out[0], rows[0]) and spectra.peak(out)[1] < spectra.peak(rows)[1]


def test_polarity_turns_a_row_over() -> None:
    assert torch.equal(levels.inverted(white(2), drawn(2), levels.Polarity()), -white(2))


# Coding


def test_mu_law_follows_its_formula() -> None:
    x = np.linspace(-1.2, 1.2, 99_999)
    clear = np.clip(x, -1, 1)
    code = np.round(127 * np.sign(clear) * np.log(1 + 255 * np.abs(clear)) / np.log(256))
    wanted = np.sign(code) * (256 ** (np.abs(code) / 127) - 1) / 255
    assert np.allclose(coding.mu_law(torch.from_numpy(x).float()), wanted, atol=2e-6)
    assert len(np.unique(wanted)) == 255


def test_a_telephone_keeps_the_level_and_what_lies_below_4_khz() -> None:
    recipe = coding.MuLaw(peak=(0.5, 0.5))
    low, high = (coding.companded(tone(hertz), drawn(1), recipe) for hertz in (1_000.0, 6_000.0))
    noise_db = power_db(low - tone(1_000.0)) - power_db(tone(1_000.0))
    assert -45 < float(noise_db) < -30  # 8 bits of mu-law: 38 dB whatever the level
    assert float(spectra.rms(high)) < 0.01
    wide = coding.companded(tone(6_000.0), drawn(1), coding.MuLaw(narrow=0.0))
    assert float(spectra.rms(wide) / spectra.rms(tone(6_000.0))) == pytest.approx(1.0, abs=0.01)


def test_fewer_bits_leave_so_many_steps_and_six_decibels_of_noise_for_each() -> None:
    for bits in (4.0, 8.0):
        rows = torch.rand(3, T) * 2 - 1
        out = coding.quantised(rows, drawn(3), coding.Quantise(bits=(bits, bits)))
        assert len(torch.unique(out[0])) <= 2**bits + 1
        assert torch.allclose(power_db(rows) - power_db(out - rows), torch.tensor(6.02 * bits), atol=0.4)


def test_lost_packets_are_as_many_and_as_long_as_drawn() -> None:
    recipe = coding.Gaps(spans=(2, 4), seconds=(0.01, 0.02))
    out = coding.gapped(torch.ones(300, T), drawn(300), recipe)
    assert set(torch.unique(out).tolist()) == {0.0, 1.0}
    begins = (torch.nn.functional.pad(out, (1, 0), value=1.0).diff(dim=1) < 0).sum(1)
    assert int(begins.min()) >= 1 and int(begins.max()) <= 4
    assert 2.6 < float(begins.float().mean()) < 3.1  # of three on average, a few overlap
    lost = (out == 0).float().mean(1) * T
    assert float(lost.max()) <= 4 * 320 and float(lost.mean()) == pytest.approx(3 * 240, rel=0.05)


# Time


def test_a_mask_in_time_is_one_span_of_the_length_drawn_with_soft_ends() -> None:
    recipe = masks.TimeMask(seconds=(0.1, 0.3))
    out = masks.time_masked(torch.ones(200, 64_000), drawn(200), recipe)
    inside = drawn(200).between("centre", (0.0, 64_000.0))
    length = (out == 0).sum(1).numpy()
    whole = (inside > 2_600) & (inside < 61_400)
    assert np.allclose(length[whole], drawn(200).between("seconds", (0.1, 0.3))[whole] * RATE, atol=2)
    assert float(out.diff(dim=1).abs().max()) == pytest.approx(1 / 80, rel=1e-3)


def test_speed_moves_a_tone_by_the_factor_and_keeps_its_level() -> None:
    rows = tone(1_000.0, 64_600).repeat(60, 1)
    out = speed.sped(rows, drawn(60), speed.Speed(factor=(0.8, 1.25)))
    assert out.shape == rows.shape
    heard = torch.fft.rfft(out[:, :50_000] * torch.hann_window(50_000)).abs().argmax(1).numpy() * RATE / 50_000 / 1_000
    wanted = drawn(60).between("factor", (0.8, 1.25))
    assert np.abs(heard / wanted - 1).max() < 0.02
    assert heard.min() < 0.85 and heard.max() > 1.2
    assert torch.allclose(power_db(out[:, 1_000:50_000]), power_db(rows[:, 1_000:50_000]), atol=0.05)


def test_played_faster_a_row_begins_again_and_played_slower_it_is_cut() -> None:
    rows = torch.zeros(1, 16_000)
    rows[0, 4_000] = 1.0
    fast = speed.sped(rows, drawn(1), speed.Speed(factor=(1.25, 1.25)))[0]
    ratio = 4_000 / int(fast.argmax())
    assert ratio == pytest.approx(1.25, rel=0.02)
    again = int(fast[13_500:].argmax()) + 13_500
    assert again - int(fast.argmax()) == pytest.approx(16_000 / ratio, abs=2)
    slow = speed.sped(rows, drawn(1), speed.Speed(factor=(0.8, 0.8)))[0]
    assert int(slow.argmax()) == pytest.approx(5_000, rel=0.02)


def test_sizes_of_speeds_are_products_of_small_primes_at_close_steps() -> None:
    sizes = speed.smooth_sizes(59_000, 73_000)
    assert np.all(np.diff(sizes) / sizes[:-1] <= 0.031)
    for size in sizes.tolist():
        for prime in (2, 3, 5):
            while size % prime == 0:
                size //= prime  # noqa: PLW2901
        assert size == 1


# Bands of the model


def test_band_masks_silence_up_to_19_neighbours_evenly() -> None:
    keys = np.arange(20_000, dtype=np.int64)
    recipe = with_values(AugmentRecipe(), {"bands.probability": 0.5})
    masked = band_masks(recipe, keys, 70)
    assert masked is not None and masked.shape == (20_000, 70) and set(torch.unique(masked).tolist()) == {0.0, 1.0}
    width = (masked == 0).sum(1).numpy()
    counts = np.bincount(width, minlength=20)
    assert len(counts) == 20  # none wider
    assert np.all(np.abs(counts[1:] - 500) < 5 * np.sqrt(500)) and abs(counts[0] - 10_500) < 350
    runs = (torch.nn.functional.pad(masked, (1, 0), value=1.0).diff(dim=1) < 0).sum(1)
    assert runs.max() == 1
    assert np.array_equal(band_masks(recipe, keys[5:9], 70), masked[5:9])
    assert (masked == 0).any(0).all()


def test_no_band_masks_without_a_probability_and_none_wider_than_the_bands() -> None:
    assert band_masks(AugmentRecipe(), np.arange(9, dtype=np.int64), 70) is None
    all_of_them = band_masks(
        with_values(AugmentRecipe(), {"bands.probability": 1.0, "bands.fewest": 19}), np.arange(9, dtype=np.int64), 12
    )
    assert all_of_them is not None and not all_of_them.any()


# RawBoost


def slow_notches(draws: Draws, name: str, recipe: rawboost.RawBoost, row: int) -> np.ndarray:
    """The coefficients of one row's filter, band-stop by band-stop, from the same draws."""
    taps = np.ones(1)
    for notch in range(recipe.notches):
        centre = draws.between(f"{name} centre {notch}", recipe.centre_hz)[row]
        width = draws.between(f"{name} width {notch}", recipe.width_hz)[row]
        half = int(draws.integer(f"{name} coefficients {notch}", *recipe.coefficients)[row]) // 2
        low, high = max(centre - width / 2, 0.0) * 2 / RATE, min(centre + width / 2, 8_000.0) * 2 / RATE
        steps = np.arange(-half, half + 1)
        stop = (steps == 0) - (high * np.sinc(high * steps) - low * np.sinc(low * steps))
        taps = np.convolve(taps, stop * np.hamming(2 * half + 1))
    return taps / np.abs(np.fft.rfft(taps, 8_192)).max()


def test_the_linear_part_of_convolutive_noise_is_a_row_of_band_stops() -> None:
    rows, recipe = white(3, 9_000), rawboost.RawBoost(orders=1)
    ours = rawboost.convolutive(rows, drawn(3), recipe)
    for row in range(3):
        taps = slow_notches(drawn(3), "order 1", recipe, row)
        wanted = np.convolve(rows[row].double().numpy(), taps)[len(taps) // 2 :][:9_000]
        wanted -= wanted.mean()
        assert np.abs(ours[row].numpy() - wanted).max() < 5e-3 * np.abs(wanted).max()  # maxima lie on different grids
        assert len(taps) <= 501


def test_higher_powers_are_added_below_the_first() -> None:
    """A tone gets overtones of every order, 5 dB or more below what its power would have."""
    rows = tone(300.0, 32_000, level=0.9).repeat(20, 1)
    recipe = rawboost.RawBoost(notches=1, centre_hz=(6_000.0, 6_000.0), order_gain_db=(-10.0, -10.0))
    out = rawboost.convolutive(rows, drawn(20), recipe)
    lines = db(torch.fft.rfft(out * torch.hann_window(32_000)).abs()[:, 600:3_600:600].mean(0))
    # sin ** 2 has half its amplitude in the second harmonic, sin ** 3 a quarter, and so on; lower orders add to them.
    assert lines[0] - lines[1] == pytest.approx(20 * math.log10(1 / 0.9 / 0.5) + 10, abs=4.5)
    assert lines[1] > lines[2] > lines[3] > lines[4] > lines[0] - 60


def test_impulses_meet_the_share_drawn_and_are_bounded_and_even() -> None:
    rows = 0.1 * torch.ones(200, 8_000)
    recipe = rawboost.RawBoost(impulse_share=0.1, impulse_gain=2.0)
    factor = rawboost.impulsive(rows, drawn(200), recipe) / rows - 1
    met = factor != 0
    share = drawn(200).between("impulse share", (0.0, 0.1))
    assert np.allclose(met.float().mean(1), share, atol=4 * np.sqrt(0.1 / 8_000))
    changes = factor[met].double()
    assert float(changes.abs().max()) <= 2.0
    assert abs(float(changes.mean())) < 0.02 and float(changes.square().mean()) == pytest.approx(4 / 9, rel=0.03)
    # The product of two uniform numbers has kurtosis (9 / 5) ** 2: the factors are independent.
    assert float((changes**4).mean() / changes.square().mean() ** 2) == pytest.approx((9 / 5) ** 2, rel=0.04)


def test_stationary_noise_lies_at_its_ratio_and_has_notches() -> None:
    rows, recipe = white(30), rawboost.RawBoost(snr_db=(10.0, 40.0))
    added = rawboost.stationary(rows, drawn(30), recipe) - rows
    wanted = torch.from_numpy(drawn(30).between("snr", (10.0, 40.0))).float()
    assert torch.allclose(power_db(rows) - power_db(added), wanted, atol=0.1)
    taps = slow_notches(drawn(30), "stationary", recipe, 4)
    response = np.abs(np.fft.rfft(taps, 16_000)) ** 2
    periodogram = torch.fft.rfft(added[4]).abs().square().numpy()
    deep, open_ = response < 0.02 * response.max(), response > 0.5 * response.max()
    assert periodogram[deep].mean() < 0.1 * periodogram[open_].mean()


def test_forms_are_series_of_the_algorithms_and_the_parallel_sum() -> None:
    rows, draws = white(4, 4_000), drawn(4)
    one, two, three = rawboost.convolutive, rawboost.impulsive, rawboost.stationary
    series = {1: [one], 2: [two], 3: [three], 4: [one, two, three], 5: [one, two], 6: [one, three], 7: [two, three]}
    for form, algorithms in series.items():
        recipe = rawboost.RawBoost(form=form)
        wanted = rows
        for algorithm in algorithms:
            wanted = algorithm(wanted, draws, recipe)
        assert torch.equal(rawboost.boosted(rows, draws, recipe), wanted), form
    recipe = rawboost.RawBoost(form=8)
    total = one(rows, draws, recipe) + two(rows, draws, recipe)
    assert torch.allclose(rawboost.boosted(rows, draws, recipe), total / spectra.peak(total).clamp_min(1.0))


def test_rawboost_stays_within_full_scale() -> None:
    loud = 3.0 * white(10, 4_000)
    for form in (1, 2, 5, 8):
        assert float(rawboost.boosted(loud, drawn(10), rawboost.RawBoost(form=form)).abs().max()) <= 1.0 + 1e-6

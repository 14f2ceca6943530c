"""The chain: what happens to a row depends on its key and its samples alone, and leaves every row usable."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aasist.keys import RecipeError, keys_of, with_values
from aasist.training.augment.bank import NoiseBank
from aasist.training.augment.chain import ROWS_AT_ONCE, Augmenter
from aasist.training.augment.recipe import AugmentRecipe
from aasist.training.draws import Draws, Purpose, row_keys

STEPS = (
    "mix", "speed", "room", "noise", "music", "equaliser", "gain", "clip", "band", "resample", "mu_law", "quantise",
    "gaps", "rawboost", "mask", "polarity",
)  # fmt: skip


def recipe_of(**values: object) -> AugmentRecipe:
    """Sections by name with their probability, other keys with a double underscore for the dot."""
    changes = {f"{name}.probability" if name in STEPS else name.replace("__", "."): v for name, v in values.items()}
    return with_values(AugmentRecipe(), changes)


def everything(probability: float = 0.5, **more: object) -> AugmentRecipe:
    return recipe_of(
        **dict.fromkeys(STEPS, probability), room__recorded=0.5, mix__spoofs=True, mu_law__narrow=0.5, **more
    )


@functools.cache
def bank() -> NoiseBank:
    rng = np.random.default_rng(5)
    return NoiseBank({
        "noise": [rng.standard_normal(5_000), rng.standard_normal(40_000)],
        "music": [np.sin(np.arange(9_000) / 20)],
        "rir": [rng.standard_normal(2_000) * 0.998 ** np.arange(2_000), np.array([0.5, 1.0, 0.2])],
        "speech": [rng.standard_normal(12_000)],
    })  # fmt: skip


def batch(rows: int, samples: int = 8_000) -> tuple[Tensor, np.ndarray, Tensor]:
    waveforms = 0.1 * np.random.default_rng(1).standard_normal((rows, samples)).astype(np.float32)
    labels = torch.arange(rows) % 2
    return torch.from_numpy(waveforms), row_keys(3, Purpose.AUGMENT, 0, np.arange(rows)), labels


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Rows are short here: more threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_everything_is_off_by_default() -> None:
    probabilities = [k for k in keys_of(AugmentRecipe) if k.name.endswith("probability")]
    assert len(probabilities) == len(STEPS) + 2  # codec and bands beside them
    assert all(k.default == 0.0 for k in probabilities)
    waveforms, keys, labels = batch(4)
    assert Augmenter(AugmentRecipe())(waveforms, keys, labels)[0] is waveforms


def test_every_key_says_what_it_means() -> None:
    assert all(key.meaning for key in keys_of(AugmentRecipe))
    assert {key.name.partition(".")[0] for key in keys_of(AugmentRecipe)} == {*STEPS, "clean", "codec", "bands"}


@pytest.mark.parametrize(("threads", "samples"), [(1, 20_001), (2, 8_000)])
def test_a_row_comes_out_the_same_to_the_last_bit_in_every_batch(threads: int, samples: int) -> None:
    waveforms, keys, labels = batch(2 * ROWS_AT_ONCE + 3, samples)
    augmenter = Augmenter(everything(), bank())
    torch.set_num_threads(threads)
    whole, _ = augmenter(waveforms, keys, labels)
    for rows in ([0], [18], [3, 4], [7, 1, 12], list(range(5, 16))):
        part, _ = augmenter(waveforms[rows], keys[rows], labels[rows])
        assert torch.equal(part, whole[rows]), rows


def test_threads_change_neither_a_row_nor_how_many_there_are_for_others() -> None:
    waveforms, keys, labels = batch(11)
    augmenter = Augmenter(everything(0.5), bank())
    alone, _ = augmenter(waveforms, keys, labels)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert torch.equal(augmenter(waveforms, keys, labels)[0], alone)
        assert torch.get_num_threads() == threads
        found: list[int] = []
        thread = threading.Thread(target=lambda found=found: found.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert found == [threads]


@pytest.mark.parametrize("step", STEPS)
def test_each_step_alone_is_independent_of_the_batch(step: str) -> None:
    waveforms, keys, labels = batch(ROWS_AT_ONCE + 4, 12_001)
    augmenter = Augmenter(recipe_of(**{step: 1.0}, mix__spoofs=True, room__recorded=0.5, rawboost__form=4), bank())
    whole, _ = augmenter(waveforms, keys, labels)
    assert (whole != waveforms).any(1).float().mean() > 0.7
    for rows in ([2], [9, 3], [0, 4, 5, 6, 11]):
        assert torch.equal(augmenter(waveforms[rows], keys[rows], labels[rows])[0], whole[rows]), rows


def test_the_members_of_a_pair_that_share_a_key_go_through_the_same() -> None:
    """What is linear and the same for both leaves a difference of nothing between equal recordings."""
    waveforms, keys, labels = batch(6)
    keys[1::2] = keys[::2]
    waveforms[1::2] = waveforms[::2]
    out, _ = Augmenter(everything(0.7), bank())(waveforms, keys, labels)
    assert torch.equal(out[1::2], out[::2])
    assert not torch.equal(out[0], out[2])


def test_labels_stay_and_the_batch_that_was_given_too() -> None:
    waveforms, keys, labels = batch(10)
    kept, kept_labels = waveforms.clone(), labels.clone()
    out, same = Augmenter(everything(1.0), bank())(waveforms, keys, labels)
    assert torch.equal(waveforms, kept) and torch.equal(same, kept_labels)
    assert out.shape == waveforms.shape and out.dtype == torch.float32


def test_no_gradient_flows_back() -> None:
    waveforms, keys, labels = batch(3)
    out, _ = Augmenter(everything(), bank())(waveforms.requires_grad_(), keys, labels)
    assert not out.requires_grad


def test_each_step_happens_as_often_as_its_probability_says_and_apart_from_the_others() -> None:
    rows = 20_000
    waveforms, keys, labels = torch.ones(rows, 2), row_keys(0, Purpose.AUGMENT, 1, np.arange(rows)), torch.ones(rows)
    recipe = recipe_of(gain=0.3, polarity=0.2, gain__gain_db=(-6.0, -6.0))
    out = Augmenter(recipe)(waveforms, keys, labels)[0][:, 0]
    quieter, inverted = out.abs() < 0.9, out < 0
    for happened, wanted in ((quieter, 0.3), (inverted, 0.2), (quieter & inverted, 0.06)):
        assert abs(float(happened.float().mean()) - wanted) < 4 * np.sqrt(wanted / rows)
    clean = Augmenter(dataclasses.replace(recipe, clean=0.5))(waveforms, keys, labels)[0][:, 0]
    assert abs(float((clean != 1).float().mean()) - 0.5 * 0.44) < 0.012
    assert torch.equal(clean[clean != 1], out[clean != 1])


def test_one_more_step_changes_no_draw_of_the_others() -> None:
    waveforms, keys, labels = batch(12)
    plain, _ = Augmenter(recipe_of(gain=0.5))(waveforms, keys, labels)
    more, _ = Augmenter(recipe_of(gain=0.5, polarity=0.5))(waveforms, keys, labels)
    assert torch.equal(plain.abs(), more.abs())


def test_a_second_speaker_joins_bona_fide_rows_alone_unless_told_otherwise() -> None:
    waveforms, keys, labels = batch(10)
    out, _ = Augmenter(recipe_of(mix=1.0), bank())(waveforms, keys, labels)
    assert (out != waveforms).any(1).tolist() == (labels == 1).tolist()
    both, _ = Augmenter(recipe_of(mix=1.0, mix__spoofs=True), bank())(waveforms, keys, labels)
    assert (both != waveforms).any(1).all()


@pytest.mark.parametrize("step", ["mix", "music"])
def test_what_needs_recordings_is_refused_without_them(step: str) -> None:
    for without in (None, NoiseBank({"noise": [np.ones(9)]})):
        with pytest.raises(RecipeError, match=rf"augment\.{step}\.probability is 0\.5, but there is no"):
            Augmenter(recipe_of(**{step: 0.5}), without)
    Augmenter(recipe_of(room=0.5, noise=0.5))  # these are made where there are none


def test_other_rates_are_refused() -> None:
    with pytest.raises(RecipeError, match="16,000 Hz, got 8,000 Hz"):
        Augmenter(AugmentRecipe(), None, 8_000)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("noise.snr_db", (40.0, 8.0), r"augment\.noise\.snr_db must go from low to high, got 40 to 8"),
        ("gaps.spans", (5, 1), r"augment\.gaps\.spans must go from low to high"),
        ("resample.rates_hz", (), r"augment\.resample\.rates_hz must name a rate"),
        ("resample.rates_hz", (44_100, 4_000), "at least 8000"),
        ("bands.fewest", 30, r"augment\.bands\.fewest must be at most augment\.bands\.most, 19, got 30"),
        ("room.probability", 1.5, "at most 1"),
        ("rawboost.form", 9, "at most 8"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(name: str, value: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        with_values(AugmentRecipe(), {name: value})


def test_rates_from_high_to_low_are_a_list_and_no_range() -> None:
    assert with_values(AugmentRecipe(), {"resample.rates_hz": (44_100, 8_000)}).resample.rates_hz == (44_100, 8_000)


def shaped(kind: str, samples: int, rows: int) -> Tensor:
    """Rows that break what is written carelessly."""
    rows_of = torch.zeros(rows, samples)
    if kind == "full scale":
        rows_of[:] = 1.0
    elif kind == "square":
        rows_of[:, ::2], rows_of[:, 1::2] = 1.0, -1.0
    elif kind == "impulse":
        rows_of[:, samples // 2] = 1.0
    elif kind == "tiny":
        rows_of[:, ::3] = 1e-30
    elif kind == "beyond":
        rows_of[:, ::3] = 4.0e9
    return rows_of


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["silence", "full scale", "square", "impulse", "tiny", "beyond"]),
    samples=st.integers(1, 6_000),
    rows=st.integers(1, 3),
    draw=st.integers(0, 10**9),
    form=st.integers(1, 8),
)
def test_every_chain_leaves_finite_rows_of_the_same_shape(
    kind: str, samples: int, rows: int, draw: int, form: int
) -> None:
    waveforms = shaped(kind, samples, rows)
    keys = row_keys(0, Purpose.AUGMENT, 0, draw + np.arange(rows))
    out, _ = Augmenter(everything(0.6, rawboost__form=form), bank())(waveforms, keys, torch.ones(rows))
    assert out.shape == waveforms.shape
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["silence", "full scale", "square", "impulse", "tiny"])
def test_every_step_leaves_finite_rows_and_silence_silent(step: str, kind: str) -> None:
    rows = shaped(kind, 4_000, 2)
    for form in (1, 4, 8) if step == "rawboost" else (5,):
        augmenter = Augmenter(recipe_of(**{step: 1.0}, mix__spoofs=True, rawboost__form=form), bank())
        out, _ = augmenter(rows, np.array([11, 12]), torch.ones(2))
        assert torch.isfinite(out).all()
        if kind == "silence":
            assert not out.any()


def test_an_empty_batch_passes() -> None:
    out, labels = Augmenter(everything(1.0), bank())(torch.zeros(0, 100), np.zeros(0, np.int64), torch.zeros(0))
    assert out.shape == (0, 100) and len(labels) == 0


def test_the_draws_of_a_step_are_those_of_its_name() -> None:
    """Renaming a step would change every run that is resumed."""
    waveforms, keys, labels = batch(5, 10)
    out, _ = Augmenter(recipe_of(gain=1.0, gain__gain_db=(-20.0, -1.0)))(waveforms, keys, labels)
    wanted = 10 ** (Draws(keys, "gain").between("gain", (-20.0, -1.0)) / 20)
    assert np.allclose((out / waveforms)[:, 0], wanted, rtol=1e-5)

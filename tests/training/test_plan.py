"""The order of an epoch follows from seed and epoch, and is as balanced or as paired as the recipe says."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from aasist.keys import RecipeError
from aasist.training.plan import Sampling, in_turn, plan
from aasist.training.recordings import DataError
from aasist.trial import NO_ATTACK, Trials, strings


def table(labels: list[bool], **columns: list[str]) -> Trials:
    return Trials(
        strings(f"t{number}" for number in range(len(labels))),
        np.array(labels),
        {name: strings(values) for name, values in columns.items()},
        "made.txt",
    )


UNEVEN = table(
    [True] * 30 + [False] * 270,
    attack=[NO_ATTACK] * 30 + ["A01"] * 200 + ["A02"] * 60 + ["A03"] * 10,
    corpus=["la"] * 10 + ["vctk"] * 20 + ["la"] * 260 + ["vctk"] * 10,
)


def test_shuffle_takes_each_trial_once_and_another_order_each_epoch() -> None:
    first, again, later = (plan(UNEVEN, Sampling(), 5, epoch) for epoch in (0, 0, 1))
    assert sorted(first.rows) == list(range(300))
    assert first.rows.tobytes() == again.rows.tobytes() != later.rows.tobytes()
    assert plan(UNEVEN, Sampling(), 6, 0).rows.tobytes() != first.rows.tobytes()
    assert first.draws.tolist() == first.places.tolist() == list(range(300))
    assert first.rows.dtype == first.draws.dtype == np.int64


def test_a_last_batch_that_is_not_full_is_left_out_as_published() -> None:
    epoch = plan(UNEVEN, Sampling(), 0, 0)
    assert epoch.batches(24) == 12 and epoch.batches(24, whole=False) == 13 and epoch.batches(301) == 0


def test_balanced_gives_classes_corpora_and_attacks_equal_shares() -> None:
    rows = plan(UNEVEN, Sampling(mode="balanced", epoch_trials=480), 0, 0).rows
    assert UNEVEN.bonafide is not None
    groups = Counter(
        zip(UNEVEN.bonafide[rows].tolist(), UNEVEN.columns["corpus"][rows], UNEVEN.columns["attack"][rows], strict=True)
    )
    assert groups == {
        (True, "la", "-"): 120, (True, "vctk", "-"): 120,
        (False, "la", "A01"): 60, (False, "la", "A02"): 60, (False, "vctk", "A03"): 120,
    }  # fmt: skip
    uses = Counter(rows.tolist())
    assert {uses[row] for row in range(10)} == {12} and {uses[row] for row in range(10, 30)} == {6}
    assert {uses[row] for row in range(30, 230)} == {0, 1}  # none a second time before all have come


@given(some.integers(1, 700), some.integers(0, 3), some.permutations(["class", "corpus", "attack"]))
def test_balanced_shares_differ_by_one_at_the_most(count: int, kept: int, order: list[str]) -> None:
    rows = plan(UNEVEN, Sampling(mode="balanced", epoch_trials=count, balance=tuple(order[:kept])), 1, 2).rows
    assert len(rows) == count
    if kept:
        label = np.where(np.asarray(UNEVEN.bonafide), "b", "s")
        outermost = label if order[0] == "class" else UNEVEN.columns[order[0]]
        shares = Counter(outermost[rows].tolist())
        there = len(np.unique(outermost))
        assert max(shares.values()) - min(shares.values() if len(shares) == there else [0]) <= 1


def test_balanced_needs_no_column_that_the_trials_lack() -> None:
    rows = plan(table([True] * 3 + [False] * 9), Sampling(mode="balanced"), 0, 0).rows
    assert Counter((rows < 3).tolist()) == {True: 6, False: 6}


PAIRED = table(
    [True] * 8 + [False] * 16,
    # 4 recordings with two copies each; a page with both classes, one with bona fide and one with spoofs alone.
    pair=[f"p{number}" for number in range(4)] + [""] * 4 + [f"p{number // 2}" for number in range(8)] + [""] * 8,
    source=["lib"] * 4 + ["page", "page", "home", "home"] + ["lib"] * 8 + ["page"] * 4 + ["lab"] * 4,
    speaker=["a"] * 4 + ["b", "c", "d", "d"] + ["a"] * 8 + ["-"] * 8,
    attack=[NO_ATTACK] * 8 + ["gl"] * 8 + ["x", "x", "x", "y", "z", "z", "z", "z"],
)
HOUSE = PAIRED.columns["source"]


def pairs_of(sampling: Sampling, trials: Trials = PAIRED, epoch: int = 0):  # type: ignore[no-untyped-def]
    epoch_plan = plan(trials, sampling, 3, epoch)
    assert epoch_plan.unit == 2
    return (column.reshape(-1, 2) for column in (epoch_plan.rows, epoch_plan.draws, epoch_plan.places))


def test_pairs_are_copies_of_one_source_or_mixed_in_the_shares_asked_for() -> None:
    rows, draws, places = pairs_of(Sampling(mode="pairs", epoch_trials=20_000, copies=0.4, mixed=0.2, same_chain=0.6))
    assert rows.shape == (10_000, 2)
    assert np.asarray(PAIRED.bonafide)[rows].tolist() == [[True, False]] * 10_000
    pair = PAIRED.columns["pair"][rows]
    copied = np.asarray(pair[:, 0] != "") | np.asarray(pair[:, 1] != "")
    assert (pair[copied, 0] == pair[copied, 1]).all()
    assert abs(copied.mean() - 0.4) < 0.02
    # Of the others, 2 in 3 are of the one page that has both classes, and 1 in 4 of those that are mixed happens to be.
    within = np.asarray(HOUSE[rows[~copied, 0]] == HOUSE[rows[~copied, 1]])
    assert abs(within.mean() - 0.75) < 0.03
    together = draws[:, 0] == draws[:, 1]
    assert together[copied].all() and abs(together[~copied].mean() - 0.6) < 0.03
    assert ((places[:, 0] == places[:, 1]) == copied).all()
    assert (draws[:, 0] == 2 * np.arange(10_000)).all()
    attacks = Counter(PAIRED.columns["attack"][rows[~copied, 1]][within].tolist())
    assert abs(attacks["x"] / attacks.total() - 0.5) < 0.04  # attacks evenly, though three clips of four are of x


def test_a_kind_that_the_trials_do_not_allow_leaves_its_share_to_the_others() -> None:
    no_copies = table([True, True, False], source=["a", "b", "a"])
    rows, draws, _ = pairs_of(Sampling(mode="pairs", epoch_trials=200, mixed=0.0, same_chain=0.0), no_copies)
    assert rows.tolist() == [[0, 2]] * 100  # row 1 has no spoof of its source
    assert (draws[:, 0] != draws[:, 1]).all()
    apart = table([True, True, False], source=["a", "b", "c"])
    rows, *_ = pairs_of(Sampling(mode="pairs", epoch_trials=200, copies=1.0, mixed=0.0), apart)
    assert {*rows[:, 0].tolist()} == {0, 1}
    copies = table([True, False], pair=["p", "p"])
    rows, *_ = pairs_of(Sampling(mode="pairs", epoch_trials=8, copies=0.0, mixed=1.0), copies)
    assert rows.tolist() == [[0, 1]] * 4


def test_a_recording_whose_copy_is_not_here_is_drawn_like_any_other() -> None:
    trials = table([True, True, False, False], pair=["p", "q", "p", ""], source=["s"] * 4)
    rows, *_ = pairs_of(Sampling(mode="pairs", epoch_trials=400), trials)
    assert {(0, 2), (1, 3)} == {tuple(pair) for pair in rows.tolist()}


def test_speakers_stand_in_for_sources_that_are_not_known() -> None:
    trials = table([True, True, False, False], speaker=["u", "v", "u", "v"], source=["", "", "", ""])
    rows, *_ = pairs_of(Sampling(mode="pairs", epoch_trials=400, mixed=0.0), trials)
    assert {(0, 2), (1, 3)} == {tuple(pair) for pair in rows.tolist()}


def test_a_speaker_is_one_within_his_corpus_and_a_source_in_all() -> None:
    labels, corpora = [True, False, True, False], ["one", "one", "two", "two"]
    counted = table(labels, speaker=["1"] * 4, corpus=corpora)
    for within in ("source", "speaker"):
        rows, *_ = pairs_of(Sampling(mode="pairs", epoch_trials=400, mixed=0.0, within=within), counted)
        assert {(0, 1), (2, 3)} == {tuple(pair) for pair in rows.tolist()}
    campaign = table(labels, speaker=["1"] * 4, corpus=corpora, source=["page"] * 4)
    rows, *_ = pairs_of(Sampling(mode="pairs", epoch_trials=400, mixed=0.0), campaign)
    assert {(0, 1), (0, 3), (2, 1), (2, 3)} == {tuple(pair) for pair in rows.tolist()}
    unknown = table(labels, speaker=["-", "", "", "-"], corpus=corpora)
    rows, *_ = pairs_of(Sampling(mode="pairs", epoch_trials=400, mixed=0.0), unknown)
    assert {(0, 1), (2, 3)} == {tuple(pair) for pair in rows.tolist()}


def test_a_column_that_no_corpus_has_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(
        DataError, match=r"made.txt: no column 'sauce' .*sampling.within.* attack, pair, source, speaker"
    ):
        plan(PAIRED, Sampling(mode="pairs", within="sauce"), 0, 0)


def test_shares_of_pairs_that_exceed_all_of_them_are_refused() -> None:
    Sampling(copies=0.9, mixed=0.1)
    with pytest.raises(RecipeError, match=r"at most 1 together, got 0\.7 and 0\.4"):
        Sampling(copies=0.7, mixed=0.4)


def test_pairs_of_an_epoch_are_the_same_each_time_and_others_in_the_next() -> None:
    sampling = Sampling(mode="pairs", epoch_trials=64)
    one, again, later = (list(pairs_of(sampling, epoch=epoch)) for epoch in (4, 4, 5))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, again, strict=True))
    assert one[0].tobytes() != later[0].tobytes()


@pytest.mark.parametrize("mode", ["shuffle", "balanced", "pairs"])
def test_a_class_without_trials_is_an_error_in_every_mode(mode: str) -> None:
    with pytest.raises(DataError, match="both classes, got 2 bona fide and 0 spoofs"):
        plan(table([True, True]), Sampling(mode=mode), 0, 0)


def test_the_plan_of_a_part_is_one_of_the_whole_by_rows() -> None:
    rows = np.flatnonzero(np.arange(300) % 2 == 0)
    part = plan(UNEVEN.take(rows), Sampling(), 0, 0)
    whole = part.at(rows)
    assert sorted(whole.rows) == rows.tolist()
    assert (UNEVEN.take(rows).ids[part.rows] == UNEVEN.ids[whole.rows]).all()
    assert in_turn(3).at(np.array([7, 5, 9])).rows.tolist() == [7, 5, 9]

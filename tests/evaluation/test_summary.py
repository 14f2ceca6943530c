"""The summary: what is broken down by what, what is left out, and what JSON gets."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest

from aasist.evaluation.dcf import AsvRates, min_tdcf
from aasist.evaluation.det import eer
from aasist.evaluation.figures import Asv, Choices, Figures
from aasist.evaluation.summary import groups, summarise
from aasist.evaluation.tables import resampled
from aasist.trial import strings

QUICK = Choices(rounds=20)


def trials() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """40 bona fide trials, 20 spoofs by A01 that are easy, 20 by A02 that are hard."""
    random = np.random.default_rng(0)
    labels = np.repeat([True, False], 40)
    scores = np.concatenate([random.normal(1, 1, 40), random.normal(-3, 1, 20), random.normal(0.5, 1, 20)])
    columns = {
        "attack": strings(["-"] * 40 + ["A01"] * 20 + ["A02"] * 20),
        "source": strings(["x", "y"] * 40),
        "speaker": strings([f"s{n % 8}" for n in range(80)]),
    }
    return scores, labels, columns


def test_an_attack_is_compared_with_all_bona_fide_trials() -> None:
    scores, labels, columns = trials()
    summary = summarise(scores, labels, columns, choices=QUICK)
    by_attack = summary.by["attack"]
    assert list(by_attack) == ["A01", "A02"]
    assert by_attack["A02"].eer == eer(scores[labels], scores[60:])
    assert (by_attack["A01"].bonafide, by_attack["A01"].spoof) == (40, 20)
    assert summary.macro_eer("attack") == pytest.approx(np.mean([f.eer for f in by_attack.values()]))
    assert (summary.speakers, summary.by_speaker) == (8, (True, True))


def test_a_value_that_both_classes_carry_is_compared_within_itself() -> None:
    scores, labels, columns = trials()
    summary = summarise(scores, labels, columns, choices=Choices(rounds=0, by=("source",)))
    even = np.arange(80) % 2 == 0
    assert summary.by["source"]["x"].eer == eer(scores[labels & even], scores[~labels & even])
    assert (summary.by["source"]["x"].bonafide, summary.by["source"]["x"].spoof) == (20, 20)


def test_a_group_with_one_class_has_its_rate_and_no_eer() -> None:
    labels = np.array([True, True, False, False])
    figures = summarise(
        np.array([1.0, -1.0, -1.0, 1.0]),
        labels,
        {"source": strings(["x", "x", "x", "y"])},
        choices=Choices(rounds=0, by=("source",)),
    ).by["source"]
    assert figures["y"] == Figures(bonafide=0, spoof=1, false_acceptance=1.0)
    assert figures["x"].miss == 0.5


def test_trials_without_a_value_are_in_no_group() -> None:
    labels = np.array([True, False, False])
    assert list(groups(strings(["a", "-", ""]), labels)) == []
    assert {value: rows.tolist() for value, rows in groups(strings(["-", "a", "b"]), labels).items()} == {
        "a": [0, 1],
        "b": [0, 2],
    }


def test_the_operating_point_of_an_attack_is_its_own_where_it_is_known() -> None:
    scores, labels, columns = trials()
    own = AsvRates(0.02, 0.02, 0.1)
    asv = Asv(AsvRates(0.02, 0.02, 0.9), {"A01": own})
    summary = summarise(scores, labels, columns, asv=asv, choices=QUICK)
    assert summary.by["attack"]["A01"].min_tdcf == min_tdcf(scores[labels], scores[40:60], own)
    assert summary.by["attack"]["A02"].min_tdcf == min_tdcf(scores[labels], scores[60:], asv.pooled)
    assert summary.pooled.min_tdcf == min_tdcf(scores[labels], scores[~labels], asv.pooled)


def test_without_a_verification_system_there_is_no_t_dcf() -> None:
    scores, labels, columns = trials()
    summary = summarise(scores, labels, columns, choices=QUICK)
    assert summary.pooled.min_tdcf is None is summary.pooled.min_tdcf_legacy
    assert "min_tdcf" not in summary.pooled.intervals


def test_the_object_holds_the_promised_keys_and_no_infinity() -> None:
    # A system so bad that its EER lies where nothing is accepted.
    labels = np.array([True, False])
    values = summarise(np.array([0.0, 0.0]), labels, choices=Choices(rounds=0)).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert {"eer", "min_tdcf_legacy", "min_tdcf", "min_dcf", "act_dcf", "cllr", "by_attack"} <= set(values)
    assert {field.name for field in fields(Figures)} <= set(values)
    scores, labels, columns = trials()
    values = summarise(scores, labels, columns, choices=QUICK).to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert set(values["by_attack"]["A01"]["intervals"]) == {"eer", "false_acceptance"}


def test_every_figure_says_what_it_is() -> None:
    import inspect

    source = inspect.getsource(Figures)
    assert source.count('"""') == 2 * (len(fields(Figures)) + 1)


def test_a_column_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    scores, labels, columns = trials()
    with pytest.raises(ValueError, match=r"no column 'codec' .*; there are: attack, source, speaker"):
        summarise(scores, labels, columns, choices=Choices(by=("codec",)))


def test_labels_of_0_and_1_give_the_figures_of_truth_values() -> None:
    scores, labels, columns = trials()
    expected = summarise(scores, labels, columns, choices=QUICK).to_dict()
    assert summarise(scores, labels.astype(int), columns, choices=QUICK).to_dict() == expected


def test_a_mean_over_groups_has_an_interval_that_holds_it() -> None:
    scores, labels, columns = trials()
    summary = summarise(scores, labels, columns, choices=Choices(rounds=200, by=("source",)))
    assert set(summary.macro_intervals) == {"attack", "source"}
    for column, (low, high) in summary.macro_intervals.items():
        assert low <= summary.macro_eer(column) <= high
        assert high - low > 0.01
    assert summary.to_dict()["macro_eer_intervals"]["source"] == [*summary.macro_intervals["source"]]
    assert summarise(scores, labels, columns, choices=Choices(rounds=0)).macro_intervals == {}


def test_the_mean_of_one_group_has_the_interval_of_that_group() -> None:
    scores, labels, columns = trials()
    columns["attack"] = strings(["-"] * 40 + ["A01"] * 35 + ["A02"] * 5)
    summary = summarise(scores, labels, columns, choices=QUICK)
    assert summary.counted("attack") == ["A01"]
    assert summary.macro_intervals["attack"] == summary.by["attack"]["A01"].intervals["eer"]


def test_every_pooled_figure_that_is_measured_at_a_threshold_or_over_all_has_an_interval() -> None:
    scores, labels, columns = trials()
    pooled = summarise(scores, labels, columns, choices=QUICK).pooled
    assert set(pooled.intervals) == {
        "eer", "auc", "min_dcf", "act_dcf", "cllr", "min_cllr", "miss", "false_acceptance", "accuracy",
        "balanced_accuracy", "f1",
    }  # fmt: skip
    assert all(low <= high for low, high in pooled.intervals.values())


def test_what_was_resampled_is_said_of_each_class() -> None:
    scores, labels, columns = trials()
    columns["speaker"] = strings([f"s{n % 8}" for n in range(40)] + ["tts"] * 40)
    summary = summarise(scores, labels, columns, choices=QUICK)
    assert (summary.speakers, summary.by_speaker) == (8, (True, False))
    assert summary.to_dict()["by_speaker"] == {"bonafide": True, "spoof": False}
    assert resampled(summary) == "8 speakers of bona fide trials, and spoofs one by one"
    columns["speaker"] = strings(["-"] * 78 + ["a", "b"])
    summary = summarise(scores, labels, columns, choices=QUICK)
    assert (summary.speakers, resampled(replace(summary, choices=Choices(rounds=0)))) == (2, "nothing")
    columns["speaker"] = strings(["a", "b"] * 40)
    summary = summarise(scores, labels, columns, choices=QUICK)
    assert (summary.speakers, summary.by_speaker, resampled(summary)) == (None, (False, False), "trials")


def test_an_attack_that_the_verification_system_rejects_by_itself_has_no_t_dcf_and_all_else() -> None:
    scores, labels, columns = trials()
    asv = Asv(AsvRates(0.02, 0.02, 0.9), {"A01": AsvRates(0.02, 0.02, 0.0)})
    summary = summarise(scores, labels, columns, asv=asv, choices=QUICK)
    assert summary.by["attack"]["A01"].min_tdcf is None
    assert summary.by["attack"]["A01"].eer is not None
    assert summary.by["attack"]["A02"].min_tdcf is not None

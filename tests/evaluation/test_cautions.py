"""Cautions: they come when figures mislead, and only then."""

from __future__ import annotations

import numpy as np
import pytest

from aasist.evaluation.cautions import comparison_cautions, few_trials, summary_cautions
from aasist.evaluation.comparison import Comparison
from aasist.evaluation.dcf import AsvRates
from aasist.evaluation.figures import Asv, Choices
from aasist.evaluation.summary import summarise
from aasist.trial import strings

LABELS = np.arange(40) < 20
GOOD = np.where(LABELS, 1.0, -1.0) + np.linspace(-0.1, 0.1, 40)
COLUMNS = {"attack": strings(["-"] * 20 + ["A01"] * 20)}
RATES = AsvRates(0.02, 0.02, 0.7)
QUICK = Choices(rounds=0)


def test_scores_that_rank_spoofs_first_are_called_negated_perhaps() -> None:
    assert summary_cautions(summarise(GOOD, LABELS, choices=QUICK)) == []
    (said,) = summary_cautions(summarise(-GOOD, LABELS, choices=QUICK))
    assert said.startswith("AUC 0.000: the scores rank spoofs above bona fide trials")
    assert summary_cautions(summarise(np.zeros(40), LABELS, choices=QUICK)) == [], "equal scores rank nothing"


def test_of_two_systems_the_negated_one_is_named() -> None:
    files = ("good.txt", "bad.txt")
    found = Comparison.of(files, (GOOD, -GOOD), LABELS, {}, asv=None, choices=Choices(rounds=2))
    (said,) = comparison_cautions(found)
    assert "those of bad.txt rank spoofs" in said


@pytest.mark.parametrize(("counts", "said"), [((10, 10), 0), ((9, 10), 1), ((10, 9), 1), ((1, 1), 1)])
def test_a_class_of_fewer_than_ten_trials_is_said_to_be_small(counts: tuple[int, int], said: int) -> None:
    assert len(few_trials(*counts)) == said


@pytest.mark.parametrize(
    ("known", "said"), [({"A01": RATES, "A02": RATES}, 0), ({"A07": RATES}, 1), ({}, 0)], ids=["one", "none", "unknown"]
)
def test_verification_scores_of_other_attacks_are_called_those_of_another_corpus(
    known: dict[str, AsvRates], said: int
) -> None:
    cautions = summary_cautions(summarise(GOOD, LABELS, COLUMNS, asv=Asv(RATES, known), choices=QUICK))
    assert [caution for caution in cautions if "no attack in common" in caution] == cautions
    assert len(cautions) == said

"""The comparison of two systems: what they are called, what its files hold, and what hostile names may not do to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aasist.evaluation.bootstrap import Difference, compare
from aasist.evaluation.comparison import (
    COMPARISON_FILES,
    Comparison,
    comparison_html,
    comparison_markdown,
    lead,
    write_comparison,
)
from aasist.evaluation.dcf import AsvRates
from aasist.evaluation.det import eer
from aasist.evaluation.figures import Choices
from aasist.evaluation.tables import comparison_table
from aasist.trial import strings

HOSTILE = "<script>alert(1)|[x](javascript:1)`*_.txt"
FOOT = {"version": "1.2.3", "date": "2026-01-31"}


@pytest.fixture(scope="module")
def found() -> Comparison:
    """A good system against one that is worse, on 60 bona fide trials of 10 speakers and 60 spoofs of two."""
    random = np.random.default_rng(0)
    labels = np.repeat([True, False], 60)
    good, bad = (random.normal(0, 1, 120) + distance * (2 * labels - 1) for distance in (2.0, 0.3))
    speakers = strings([f"h{n % 10}" for n in range(60)] + [f"m{n % 2}" for n in range(60)])
    return Comparison.of(
        (f"runs/{HOSTILE}", "runs/bad.txt"),
        (good, bad),
        labels,
        {"speaker": speakers},
        asv=AsvRates(0.02, 0.02, 0.7),
        choices=Choices(rounds=30, seed=3, by=("speaker",)),
    )


def test_the_better_system_is_named_whichever_way_a_figure_is_good(found: Comparison) -> None:
    """The first is: its EER is smaller and its AUC larger; turned round, the second is."""
    turned = Comparison.of(
        ("bad.txt", "good.txt"),
        (found.scores_b, found.scores_a),
        found.labels,
        {},
        asv=None,
        choices=Choices(rounds=30),
    )
    for one, better in ((found, HOSTILE), (turned, "good.txt")):
        said = lead(one)
        assert said.startswith(f"With 0 outside the interval, {better} is better by EER, AUC, ")
        assert said.count("is better by") == 1
        assert "bits" not in said


def test_a_p_value_that_the_rounds_cannot_tell_from_a_smaller_one_is_an_upper_bound(found: Comparison) -> None:
    p_values = {row[0]: row[-1] for row in found.table().rows}
    assert p_values["EER, %"] == "<0.065"
    alike = {"eer": Difference(0.1, 0.1, 0.0, (-0.1, 0.1), 4 / 31)}
    assert comparison_table("A", "B", alike, 30).rows[0][-1] == "0.13"


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (("x/a.txt", "y/b.txt"), ("a.txt", "b.txt")),
        (("runs/x/scores.tsv", "runs/y/scores.tsv"), ("x", "y")),
        (("/runs/1/x/out/scores.tsv", "/runs/2/y/out/scores.tsv"), ("1/x", "2/y")),
        (("/x/scores.tsv", "y/scores.tsv"), ("/x", "y")),
        (("scores.tsv", "new/scores.tsv"), ("scores.tsv (A)", "scores.tsv (B)")),
        (("x/scores.tsv", "x/scores.tsv"), ("scores.tsv (A)", "scores.tsv (B)")),
        (("/scores.tsv", "scores.tsv"), ("scores.tsv (A)", "scores.tsv (B)")),
    ],
)
def test_two_files_are_called_by_what_tells_them_apart(files: tuple[str, str], names: tuple[str, str]) -> None:
    nothing = np.zeros(0)
    assert Comparison(*files, nothing, nothing, nothing.astype(bool), {}, Choices()).names == names


def test_the_figures_are_those_of_the_paired_bootstrap(found: Comparison) -> None:
    said = found.to_dict()
    json.dumps(said, allow_nan=False)
    assert (said["bonafide"], said["spoof"], said["choices"]["rounds"], said["choices"]["seed"]) == (60, 60, 30, 3)
    assert said["asv"]["spoof_false_acceptance"] == 0.7
    (rates,) = compare(
        {"eer": eer.of},
        found.scores_a,
        found.scores_b,
        found.labels,
        speakers=strings([f"h{n % 10}" for n in range(60)] + [f"m{n % 2}" for n in range(60)]),
        rounds=30,
        seed=3,
    ).values()
    assert said["figures"]["eer"] == {**vars(rates), "interval": rates.interval}


def test_speakers_are_counted_where_they_were_drawn(found: Comparison) -> None:
    assert (found.speakers, found.by_speaker) == (10, (True, False))
    assert "10 speakers of bona fide trials, and spoofs one by one" in comparison_markdown(found, **FOOT)


def test_names_from_outside_are_text_in_both_pages(found: Comparison) -> None:
    page, text = comparison_html(found, **FOOT), comparison_markdown(found, **FOOT)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\\<script\\>" in text
    assert "x\\](javascript" in text
    assert len({line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("| ")}) == 2
    assert page.count("<svg") == 1
    for link in ("http:", "https:", "src=", "@import"):
        assert link not in page.replace("http://www.w3.org/", "")


def test_the_same_comparison_gives_the_same_bytes(found: Comparison, tmp_path: Path) -> None:
    for name in ("one", "two"):
        paths = write_comparison(tmp_path / name, found, **FOOT)
        assert [path.name for path in paths] == [*COMPARISON_FILES]
    for name in COMPARISON_FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    written = json.loads((tmp_path / "one" / "comparison.json").read_text())
    assert written["report"] == {"title": found.title, **FOOT}
    assert "aasist 1.2.3, 2026-01-31" in (tmp_path / "one" / "comparison.html").read_text()


def test_where_every_interval_holds_zero_the_pages_say_so(found: Comparison) -> None:
    same = Comparison.of(
        ("a.txt", "b.txt"), (found.scores_a, found.scores_a), found.labels, {}, asv=None, choices=Choices(rounds=2)
    )
    for text in (comparison_markdown(same, **FOOT), comparison_html(same, **FOOT)):
        assert "Every interval holds 0: that a.txt and b.txt differ may be chance." in text

"""Charts: what they keep of a curve, what they say of it, and that names from outside stay text."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import AasistError, MissingExtra
from aasist.evaluation import charts
from aasist.evaluation.dcf import ASVSPOOF2019_COSTS, AsvRates, min_tdcf
from aasist.evaluation.figures import Figures
from aasist.evaluation.tally import Tally

HOSTILE = "</text></svg><script>alert('$x_1$')</script> style=\"'DejaVu Sans'\n\u202e\ud800"
ASV = AsvRates(0.02, 0.02, 0.7)


def tally(bonafide: int = 300, spoof: int = 500, seed: int = 0) -> Tally:
    random = np.random.default_rng(seed)
    return Tally.of(random.normal(2, 1.5, bonafide), random.normal(-2, 1.5, spoof))


def texts(chart: charts.Chart) -> list[str]:
    """The text of a chart, an entry for each element; fails where the chart is no well-formed XML."""
    return ["".join(e.itertext()) for e in ElementTree.fromstring(chart.svg).iter() if e.tag == "text"]


def bars_of(rates: dict[str, float | None], *, trials: int = 100) -> charts.Chart:
    return charts.bars("attack", {name: Figures(trials, trials, eer=rate) for name, rate in rates.items()}, 0.1)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=400),
    st.integers(10, 60),
)
def test_a_thinned_curve_has_its_ends_few_points_and_none_that_was_not_there(points, most: int) -> None:
    x, y = np.array(points).T
    thin_x, thin_y = charts.thinned(x, y, most)
    assert len(thin_x) == len(thin_y) <= max(most, 4)
    assert (thin_x[0], thin_y[0], thin_x[-1], thin_y[-1]) == (x[0], y[0], x[-1], y[-1])
    assert set(zip(thin_x, thin_y, strict=True)) <= set(zip(x, y, strict=True))


def test_a_thinned_curve_looks_like_the_whole_one() -> None:
    """No point of a falling curve of 200,000 points lies farther than a piece from the line through those kept."""
    random = np.random.default_rng(0)
    x = np.cumsum(random.exponential(1.0, 200_000) ** 4)
    y = -np.cumsum(random.exponential(1.0, 200_000) ** 4)
    thin_x, thin_y = charts.thinned(x, y)
    assert len(thin_x) <= charts.MOST_POINTS
    assert np.abs(np.interp(x, thin_x, thin_y) - y).max() <= 2 / (charts.MOST_POINTS // 2 - 1) * np.ptp(y)


def test_a_jump_of_a_thinned_curve_stays_upright() -> None:
    x = np.append(np.linspace(0, 1, 5000), np.linspace(1, 2, 5000))
    y = np.append(np.zeros(5000), np.ones(5000))
    thin_x, thin_y = charts.thinned(x, y)
    jump = int(np.flatnonzero(np.diff(thin_y))[0])
    assert thin_x[jump] == thin_x[jump + 1] == 1.0


def test_the_det_chart_names_each_curve_with_its_eer_and_marks_the_threshold() -> None:
    chart = charts.det({"all trials": tally(), "A18": tally(seed=1)}, 0.5)
    said = texts(chart)
    assert any(text.startswith("all trials: EER ") for text in said)
    assert any(text.startswith("A18: EER ") for text in said)
    assert "threshold 0.5" in said
    assert {"spoofs accepted, %", "bona fide rejected, %"} <= set(said)


@pytest.mark.parametrize("pair", [([1.0, 2.0], [-1.0, -2.0]), ([-1.0], [1.0]), ([0.0], [0.0])], ids=str)
def test_a_perfect_a_wrong_and_a_constant_system_can_be_drawn(pair: tuple[list[float], list[float]]) -> None:
    counted = Tally.of(*pair)
    for chart in (
        charts.det({"all": counted}, 0.0),
        charts.histograms(np.array(pair[0]), np.array(pair[1]), {"threshold": 0.0, "at the EER": float("inf")}),
        charts.tandem_cost(counted, ASV, ASVSPOOF2019_COSTS, 0.0),
        charts.reliability_diagram(counted),
        charts.calibration_map(counted),
    ):
        assert texts(chart)
        assert "nan" not in chart.svg


def test_the_t_dcf_chart_says_its_least_value_and_its_bounds() -> None:
    counted = tally()
    said = texts(charts.tandem_cost(counted, ASV, ASVSPOOF2019_COSTS, 0.25))
    assert f"least: {min_tdcf.of(counted, ASV):.4f}" in said
    assert "without listening: 1" in said


def test_the_histogram_leaves_out_a_threshold_that_lies_far_from_every_score() -> None:
    random = np.random.default_rng(0)
    bonafide, spoof = random.uniform(0.5, 1, 50), random.uniform(0, 0.5, 50)
    said = texts(charts.histograms(bonafide, spoof, {"near": 0.5, "far": -100.0}))
    assert "near 0.5" in said
    assert not any(text.startswith("far") for text in said)


def test_bars_stand_worst_first_and_those_without_an_eer_are_counted() -> None:
    chart = bars_of({"A01": 0.01, "A02": 0.3, "A03": None, "A04": 0.2})
    said = texts(chart)
    assert [text for text in said if text.startswith("A0")] == ["A02", "A04", "A01"]
    assert "Left out: 1 without trials of both classes." in chart.caption
    assert "interval" not in chart.caption


def test_forty_bars_are_drawn_and_the_others_counted() -> None:
    chart = bars_of({f"system-{n:03}": n / 200 for n in range(100)})
    said = texts(chart)
    assert sum(text.startswith("system-") for text in said) == charts.MOST_BARS
    assert "EER, %; and 60 more with a lower one" in said
    assert "system-099" in said
    assert "system-059" not in said


def test_bars_of_few_trials_look_otherwise_and_the_legend_says_so() -> None:
    few = f"fewer than {charts.FEWEST_TRIALS} trials of a class"
    assert few in texts(bars_of({"A01": 0.1}, trials=5))
    assert few not in texts(bars_of({"A01": 0.1}))


def test_a_column_without_any_eer_can_be_drawn() -> None:
    assert "2 without trials of both classes" in bars_of({"x": None, "y": None}).caption


def test_a_hostile_name_stays_text() -> None:
    for chart in (bars_of({HOSTILE: 0.1}), charts.det({HOSTILE: tally()}, 0.0)):
        assert any("alert('$x…" in text or "</text></svg><s" in text for text in texts(chart))
        assert "<script" not in chart.svg
        chart.svg.encode("utf-8")


def test_long_names_keep_both_their_ends() -> None:
    said = texts(bars_of({f"a system with a very long name, number {n}": 0.1 for n in range(3)}))
    assert sum(text.startswith("a system with") and "…" in text for text in said) == 3
    assert len({text for text in said if "…" in text}) == 3


def test_the_same_input_gives_the_same_bytes_whatever_the_user_has_set() -> None:
    import matplotlib

    first = charts.det({"all": tally()}, 0.0)
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert charts.det({"all": tally()}, 0.0) == first
        assert matplotlib.rcParams["font.size"] == 30
    assert not re.search(r"<metadata|http|<style|matplotlib|20\d\d-\d\d", first.svg)


def test_what_is_no_data_takes_the_colour_of_the_page() -> None:
    svg = charts.det({"all": tally()}, 0.0).svg
    assert charts.INK not in svg
    assert "currentColor" in svg
    assert "fill: #ffffff" not in svg


def test_half_a_million_trials_are_a_small_file() -> None:
    random = np.random.default_rng(0)
    counted = Tally.of(random.normal(2, 2, 100_000), random.normal(-2, 2, 400_000))
    for chart in (
        charts.det({"all": counted}, 0.0),
        charts.tandem_cost(counted, ASV, ASVSPOOF2019_COSTS, 0.0),
        charts.calibration_map(counted),
    ):
        assert len(chart.svg) < 60_000


def test_a_calibration_is_drawn_as_a_png_that_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "before-and-after.png"
    charts.calibration_chart(tally(), tally(seed=1), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(AasistError, match=r"cannot write .*: No such file or directory"):
        charts.calibration_chart(tally(), tally(), tmp_path / "nowhere" / "x.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(AasistError, match="it is a folder, a file was wanted"):
        charts.calibration_chart(tally(), tally(), tmp_path / "folder.png")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["before-and-after.png", "folder.png"]


def test_without_matplotlib_the_error_is_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[plots\]'"):
        charts.det({"all": tally()}, 0.0)

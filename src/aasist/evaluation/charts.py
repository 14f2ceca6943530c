"""Charts of an evaluation: DET curves, score histograms, t-DCF, bars by group, calibration; each an inline SVG.

The same input gives the same bytes. Text stays text, what is not data takes the colour of the page's text, and colours
are those of Okabe and Ito, never without a line style, a hatch or a label beside them. matplotlib (the extra ``plots``)
is imported when a chart is drawn.
"""

from __future__ import annotations

import html
import io
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from aasist import files
from aasist.errors import AasistError, MissingExtra
from aasist.evaluation.calibration import cllr, min_cllr, pav_llr, reliability
from aasist.evaluation.dcf import AsvRates, TandemCosts, min_tdcf, revised_weights, tdcf_curve
from aasist.evaluation.det import eer, eer_and_threshold
from aasist.evaluation.figures import Figures
from aasist.evaluation.summary import FEWEST_TRIALS
from aasist.evaluation.tally import Float64, Tally

BONAFIDE_COLOUR, SPOOF_COLOUR = "#0072B2", "#D55E00"
INK = "#010203"
"""Stands for the colour of the page's text; no data is drawn in it."""
LINES = (
    (INK, "-"),
    (SPOOF_COLOUR, "--"),
    (BONAFIDE_COLOUR, "-."),
    ("#009E73", ":"),
    ("#CC79A7", (0, (5, 1, 1, 1, 1, 1))),
)
WIDTH_INCHES = 5.2
"""Narrow, so that the text can still be read where a phone shows the whole width."""
MOST_POINTS = 1000
MOST_BARS = 40
NAME_CHARACTERS = 28

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "aasist", "text.parse_math": False,
    "font.size": 9, "axes.labelsize": 9, "legend.fontsize": 8.5, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": INK, "grid.alpha": 0.15, "grid.linewidth": 0.6, "lines.linewidth": 1.6,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "hatch.linewidth": 0.6,
}  # fmt: skip

DET_RATES = (0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99)
"""Ticks of the normal-deviate axes."""


@dataclass(frozen=True)
class Chart:
    """A drawing: an ``<svg>`` element to stand in a page as it is, its title, and a sentence that says how to read it."""

    title: str
    caption: str
    svg: str


def require_matplotlib() -> None:
    """Raise ``MissingExtra`` where matplotlib is not installed; of its cache of fonts nothing is said from now on."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("report.html", "plots") from error
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def printable(text: object) -> str:
    """Text with a replacement character for what is none: controls, line breaks, changes of direction, lone halves of
    characters (which a file name that is not UTF-8 brings)."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text))


def thinned(x: Float64, y: Float64, most: int = MOST_POINTS) -> tuple[Float64, Float64]:
    """At most ``most`` points of a curve (N,), (N,) that look like all of them.

    Its length, with both axes brought to 1, is cut into equal pieces; the first and the last point of each remain, so
    that steps stay steps and nothing moves by more than a piece.
    """
    if len(x) <= most:
        return x, y
    walked = np.abs(np.diff(x)) / (np.ptp(x) or 1.0) + np.abs(np.diff(y)) / (np.ptp(y) or 1.0)
    length = np.append(0.0, np.cumsum(walked))
    pieces = max(most // 2 - 1, 1)
    piece = (length / (length[-1] or 1.0) * pieces).astype(np.intp)
    turns = piece[1:] != piece[:-1]
    keep = np.append(True, turns) | np.append(turns, True)
    return x[keep], y[keep]


def det(curves: Mapping[str, Tally], threshold: float) -> Chart:
    """DET curves on normal-deviate axes (Martin et al., Eurospeech 1997); the threshold is marked on the first one."""
    rates = {name: eer.of(tally) for name, tally in curves.items()}
    fewest_error = 0.5 / max(max(tally.bonafide.sum(), tally.spoof.sum()) for tally in curves.values())
    low = max((rate for rate in DET_RATES if rate <= min(fewest_error, 0.01)), default=DET_RATES[0])
    high = min((rate for rate in DET_RATES if rate >= max(0.4, 1.5 * max(rates.values()))), default=DET_RATES[-1])
    normal = NormalDist()
    deviates = np.linspace(normal.inv_cdf(low), normal.inv_cdf(high), 2000)
    table = np.array([normal.cdf(deviate) for deviate in deviates])

    def deviate(rate: Any) -> Any:
        return np.interp(rate, table, deviates)

    def draw(axes: Any) -> None:
        for (name, tally), (colour, line) in zip(curves.items(), LINES, strict=False):
            shown = (tally.false_acceptance <= high) & (tally.miss <= high)
            x, y = thinned(deviate(tally.false_acceptance[shown]), deviate(tally.miss[shown]))
            label = f"{_short(name)}: EER {100 * rates[name]:.2f} %"
            axes.plot(x, y, color=colour, linestyle=line, label=label, clip_on=False)
            axes.plot(*[deviate(rates[name])] * 2, marker="o", markersize=5, color=colour, clip_on=False)
        miss, false_acceptance = next(iter(curves.values())).rates_at(threshold)
        point = {"marker": "s", "markersize": 7, "markerfacecolor": "none", "color": INK, "linestyle": "none"}
        if max(miss, false_acceptance) <= high:
            axes.plot(
                deviate(false_acceptance), deviate(miss), label=f"threshold {threshold:.3g}", clip_on=False, **point
            )
        axes.plot(deviates[[0, -1]], deviates[[0, -1]], color=INK, linewidth=0.7, linestyle=(0, (1, 3)))
        ticks = [rate for rate in DET_RATES if low <= rate <= high]
        for axis, name in ((axes.xaxis, "spoofs accepted, %"), (axes.yaxis, "bona fide rejected, %")):
            axis.set_ticks(deviate(ticks), [f"{100 * rate:g}" for rate in ticks])
            axis.set_label_text(name)
        axes.set_xlim(deviates[0], deviates[-1])
        axes.set_ylim(deviates[0], deviates[-1])
        axes.figure.legend(loc="outside lower center", ncols=2)

    caption = (
        "Each curve trades one error for the other as the threshold moves: nearer to the lower left is better, the dot is "
        "the equal error rate, and on an edge no error was seen."
    )
    return _drawn("Detection error trade-off", caption, 5.6, draw)


def histograms(bonafide: Float64, spoof: Float64, thresholds: Mapping[str, float]) -> Chart:
    """Scores (N,) and (M,) of both classes, each summing to 100 %, with named thresholds."""
    low, high = _score_range(bonafide, spoof, thresholds.values())

    def draw(axes: Any) -> None:
        edges = np.linspace(low, high, 61)
        for scores, name, colour, line, hatch in (
            (spoof, "spoof", SPOOF_COLOUR, "--", "////"),
            (bonafide, "bona fide", BONAFIDE_COLOUR, "-", None),
        ):
            shares = 100 * np.histogram(np.clip(scores, low, high), edges)[0] / len(scores)
            axes.stairs(shares, edges, fill=True, facecolor=colour, alpha=0.22, edgecolor="none")
            axes.stairs(shares, edges, color=colour, linestyle=line, hatch=hatch, label=name, linewidth=1.4)
        for (name, value), line in zip(thresholds.items(), ("-", ":", "-."), strict=False):
            if low <= value <= high:
                axes.axvline(value, color=INK, linestyle=line, linewidth=1.1, label=f"{name} {value:.3g}")
        axes.set_xlabel("score, higher = more bona fide")
        axes.set_ylabel("trials of the class, %")
        axes.set_xlim(low, high)
        axes.figure.legend(loc="outside lower center", ncols=2)

    caption = (
        "What lies left of a threshold is rejected: the less the two shapes overlap, the fewer errors any threshold makes; "
        "what lies beyond the axis is counted in the outermost bars."
    )
    return _drawn("Scores of both classes", caption, 3.7, draw)


def tandem_cost(tally: Tally, asv: AsvRates, costs: TandemCosts, threshold: float) -> Chart:
    """Revised t-DCF over the threshold, with its least value, the threshold in use, and what bounds it."""
    curve, thresholds = tdcf_curve.of(tally, asv, costs)
    least, floor = min_tdcf.of(tally, asv, costs), revised_weights(asv, costs)[0]
    level = int(np.searchsorted(tally.scale.scores, threshold))

    def draw(axes: Any) -> None:
        low, high = _score_range(tally.scale.scores, tally.scale.scores, [threshold])
        x, y = thinned(thresholds[:-1], curve[:-1])
        axes.plot(x, y, color=BONAFIDE_COLOUR, label="t-DCF")
        place = thresholds[int(np.argmin(curve))]
        axes.plot(place, least, marker="o", color=SPOOF_COLOUR, linestyle="none", label=f"least: {least:.4f}")
        axes.plot(threshold, curve[level], marker="s", markerfacecolor="none", markersize=7, color=INK, linestyle="none",
                  label=f"threshold {threshold:.3g}: {curve[level]:.4f}")  # fmt: skip
        axes.axhline(1, color=INK, linewidth=1, linestyle="--", label="without listening: 1")
        axes.axhline(floor, color=INK, linewidth=1, linestyle=":", label=f"without an error: {floor:.4f}")
        axes.set_xlim(low, high)
        axes.set_ylim(0, max(1.1, min(2.5, 1.05 * float(curve.max()))))
        axes.set_xlabel("threshold on the score")
        axes.set_ylabel("t-DCF, normalised (2021)")
        axes.figure.legend(loc="outside lower center", ncols=2)

    caption = (
        "What countermeasure and speaker verification cost together at each threshold: 1 is the cost of a countermeasure "
        "that decides without listening, the dotted line that of one without an error."
    )
    return _drawn("Tandem detection cost", caption, 3.9, draw)


def bars(column: str, figures: Mapping[str, Figures], pooled_eer: float) -> Chart:
    """EER of each value of a column with its interval, worst first, `MOST_BARS` at most."""
    known = sorted(((f.eer, name, f) for name, f in figures.items() if f.eer is not None), key=lambda k: (-k[0], k[1]))
    shown, rest = known[:MOST_BARS], known[MOST_BARS:]

    def draw(axes: Any) -> None:
        rates = 100 * np.array([rate for rate, _, _ in shown])
        limits = 100 * np.array([f.intervals.get("eer", (rate, rate)) for rate, _, f in shown]).reshape(-1, 2)
        rows = np.arange(len(shown))
        few = np.array([min(f.bonafide, f.spoof) < FEWEST_TRIALS for _, _, f in shown], np.bool_)
        axes.barh(rows[~few], rates[~few], height=0.68, color=SPOOF_COLOUR, alpha=0.75)
        if few.any():
            label = f"fewer than {FEWEST_TRIALS} trials of a class"
            axes.barh(
                rows[few], rates[few], height=0.68, facecolor="none", edgecolor=SPOOF_COLOUR, hatch="//", label=label
            )
        reaches = np.maximum(limits[:, 1], rates)
        axes.hlines(rows, np.minimum(limits[:, 0], rates), reaches, color=INK, linewidth=1.1)
        widest = max(1.0, float(reaches.max(initial=0.0)), 100 * pooled_eer)
        for row, rate, reach in zip(rows, rates, reaches, strict=True):
            axes.text(
                reach + 0.015 * widest, row, f"{rate:.2f}" if rate < 10 else f"{rate:.1f}", va="center", fontsize=8
            )
        axes.axvline(
            100 * pooled_eer, color=INK, linewidth=0.9, linestyle="--", label=f"all trials: {100 * pooled_eer:.2f} %"
        )
        axes.set_yticks(rows, [_short(name) for _, name, _ in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(0, 1.12 * widest)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("EER, %" + (f"; and {len(rest)} more with a lower one" if rest else ""))
        axes.figure.legend(loc="outside lower center", ncols=2)

    title = f"EER by {printable(column)}"
    caption = "The longer the bar, the worse."
    if any(f.intervals for _, _, f in shown):
        caption = (
            "The longer the bar, the worse; the line across its end is the bootstrap interval, and where two of them "
            "overlap widely the order is chance."
        )
    unknown = len(figures) - len(known)
    if unknown:
        caption += f" Left out: {unknown} without trials of both classes."
    return _drawn(title, caption, 0.9 + 0.21 * max(len(shown), 3), draw)


def reliability_diagram(tally: Tally) -> Chart:
    """Predicted against observed probability of bona fide, scores read as llr, at a prior of 0.5."""
    caption = (
        "Below the dashed line the scores claim too much for bona fide, above it too little; the larger a dot, the more "
        "trials, and both classes weigh the same."
    )
    return _drawn("Reliability", caption, 4.2, lambda axes: _draw_reliability(axes, tally))


def calibration_chart(before: Tally, after: Tally, path: Path) -> None:
    """Write the reliability diagrams before and after a calibration as a PNG, whole or not at all.

    Raises ``AasistError`` where ``path`` cannot be written and ``MissingExtra`` without the extra ``plots``.
    """
    drawn = io.BytesIO()
    with _style({"figure.facecolor": "white", "savefig.facecolor": "white"}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2 * WIDTH_INCHES, 4.4), layout="constrained")
        for axes, tally, name in zip(figure.subplots(1, 2), (before, after), ("before", "after"), strict=True):
            _draw_reliability(axes, tally)
            axes.set_title(f"{name}: Cllr {cllr.of(tally):.3f} bits")
        figure.savefig(drawn, format="png", dpi=110, metadata={"Software": None})
    try:
        files.write(path, drawn.getbuffer())
    except OSError as error:
        raise AasistError("output", f"cannot write {path}: {error.strerror}") from error


def _draw_reliability(axes: Any, tally: Tally) -> None:
    found = reliability.of(tally)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle="--", label="as claimed")
    axes.plot(found.predicted, found.observed, color=BONAFIDE_COLOUR, label="observed")
    sizes = 8 + 92 * np.log1p(found.trials) / np.log1p(found.trials.max())
    axes.scatter(found.predicted, found.observed, s=sizes, color=BONAFIDE_COLOUR, zorder=3, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("probability of bona fide that the score claims")
    axes.set_ylabel("share that is bona fide")
    axes.legend(loc="upper left")


def calibration_map(tally: Tally) -> Chart:
    """The best increasing map from scores to llr (PAV), beside the one that reads scores as they are."""
    llr = pav_llr.of(tally)
    before, after = cllr.of(tally), min_cllr.of(tally)
    finite = np.isfinite(llr)

    def draw(axes: Any) -> None:
        low, high = _score_range(tally.scale.scores, tally.scale.scores, ())
        x, y = thinned(tally.scale.scores[finite], llr[finite])
        axes.plot([low, high], [low, high], color=INK, linewidth=0.9, linestyle="--", label="score = llr")
        axes.plot(x, y, color=BONAFIDE_COLOUR, label="best increasing map (PAV)")
        reach = 1.1 * max(1.0, float(np.abs(y).max(initial=0.0)))
        axes.set_xlim(low, high)
        axes.set_ylim(-reach, reach)
        axes.set_xlabel("score")
        axes.set_ylabel("llr that the trials bear out")
        axes.legend(loc="upper left")

    caption = (
        f"Where the steps leave the dashed line, scores are not the llr they claim to be: this costs Cllr {before:.3f} "
        f"bits, of which {after:.3f} remain after the map."
    )
    return _drawn("Calibration map", caption, 4.2, draw)


def operating_thresholds(tally: Tally, threshold: float, bayes_threshold: float) -> dict[str, float]:
    """Thresholds by the names that a chart gives them."""
    return {
        "threshold": threshold,
        "at the EER": eer_and_threshold.of(tally)[1],
        "Bayes, of minDCF's costs": bayes_threshold,
    }


def _score_range(bonafide: Float64, spoof: Float64, marks: Any) -> tuple[float, float]:
    """What an axis of scores shows: all but one in 2,000 at each end of each class, and the marks that lie near."""
    ends = np.array([np.quantile(scores, (0.0005, 0.9995)) for scores in (bonafide, spoof)])
    low, high = float(ends.min()), float(ends.max())
    margin = 0.03 * (high - low) or 1.0
    near = [m for m in marks if math.isfinite(m) and low - 10 * margin <= m <= high + 10 * margin]
    return min([low, *near]) - margin, max([high, *near]) + margin


def _short(name: str) -> str:
    name = printable(name)
    # Names often differ at their ends.
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 13] + "…" + name[-12:]


@contextmanager
def _style(changes: Mapping[Any, Any]) -> Iterator[None]:
    require_matplotlib()
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        matplotlib.rcdefaults()  # a user's matplotlibrc changes no report
        matplotlib.rcParams.update({**STYLE, **changes})
        yield


def _drawn(title: str, caption: str, height_inches: float, draw: Callable[[Any], None]) -> Chart:
    drawn = io.StringIO()
    with _style({}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        draw(figure.subplots())
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return Chart(title, caption, _inline(drawn.getvalue(), title))


def _inline(document: str, title: str) -> str:
    """A file's SVG -> an element for an HTML page, which scales, and says nothing of where or when it was drawn."""
    size = re.search(r'viewBox="[^"]*"', document)
    assert size is not None
    body = document[document.index(">", document.index("<svg")) + 1 :].strip()
    body = re.sub(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</style>\s*</defs>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[a-zA-Z][\w.]*_\d+"', "<g", body)  # names that repeat from chart to chart
    body = body.replace("<use xlink:href", "<use href").replace(f": {INK}", ": currentColor")
    body = body.replace(f": {BONAFIDE_COLOUR.lower()}", f": var(--blue, {BONAFIDE_COLOUR.lower()})")
    # Inside a tag: in the text of a chart "<" is escaped, and a name may be anything else.
    body = re.sub(r"(<text [^>]*?)'DejaVu Sans'[^;\">]*", r"\1system-ui, sans-serif", body)
    return f'<svg {size[0]} role="img" aria-label="{html.escape(title)}">{body}'

"""An explanation as a picture: spans along the waveform's time, bands along the spectrogram's hertz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aasist.cli.plot import FAKE_COLOUR, REAL_COLOUR
from aasist.session import SAMPLE_RATE

if TYPE_CHECKING:
    from aasist.audio.read import Source
    from aasist.model.attention import Attention
    from aasist.runtime.detector import Detector
    from aasist.trials.explanation import Explanation

SHADE = {"color": "0.5", "alpha": 0.3, "linewidth": 0}
LEAST_REACH = 0.2
"""The llr that the axis of changes shows at the least: with less, nothing would look like something."""
DRAWN_SPANS = 300
"""Spans drawn at most along time, so that each is some pixels wide; of those that share a place the largest change."""


@dataclass(frozen=True, eq=False)
class WindowAttention:
    """Where the graphs looked in one window that starts ``start_seconds`` into the recording."""

    start_seconds: float
    attention: Attention


def attention_of(detector: Detector, source: Source) -> tuple[WindowAttention, ...]:
    """The attention in every window that an explanation explains; none where the model is no checkpoint of torch's."""
    model = getattr(detector.session, "model", None)
    if model is None:
        return ()
    from aasist.model.attention import attention
    from aasist.trials.explanation import decisive_windows

    return tuple(
        WindowAttention(window.start / SAMPLE_RATE, attention(model, window.samples))
        for window in decisive_windows(detector, source).windows
    )


def panels(figure: Any) -> dict[str, Any]:
    """``wave``, ``spans``, ``spectrum``, ``bands`` and ``score``; those one above the other share time, the spectrum
    and the bands frequency."""
    axes: dict[str, Any] = figure.subplot_mosaic(
        [["wave", "."], ["spans", "."], ["spectrum", "bands"], ["score", "."]],
        width_ratios=[7, 1],
        height_ratios=[2, 1.6, 3, 2],
    )
    for name in ("spans", "spectrum", "score"):
        axes[name].sharex(axes["wave"])
    for name in ("wave", "spans", "spectrum"):
        axes[name].tick_params(labelbottom=False)
    axes["bands"].sharey(axes["spectrum"])
    axes["bands"].tick_params(labelleft=False)
    return axes


def draw_spans(axes: Any, explanation: Explanation, seconds: float, attentions: Sequence[WindowAttention] = ()) -> None:
    """Bars along ``seconds`` of recording: up and blue what speaks for real, down and vermilion what for fake."""
    starts, ends, changes = pooled_spans(explanation, seconds)
    axes.bar(starts, changes, ends - starts, align="edge", color=_colours(changes), linewidth=0)
    _mark_zero(axes.axhline)
    reach = _reach(changes)
    axes.set_ylim(-reach, reach)
    axes.set_yticks(*_ticks(reach, " "))
    axes.set_ylabel("spans")
    for one in attentions:
        spans = one.attention.spans
        edges = one.start_seconds + np.array([spans[0].start_seconds, *(span.end_seconds for span in spans)])
        heights = -reach + _heights([span.weight for span in spans]) * reach
        axes.stairs(heights, edges, baseline=-reach, fill=True, zorder=0, **SHADE)


def draw_bands(axes: Any, explanation: Explanation, attentions: Sequence[WindowAttention] = ()) -> None:
    """Bars along kHz: to the right and blue what speaks for real, to the left and vermilion what for fake."""
    lows = np.array([band.low_hz for band in explanation.bands]) / 1000
    highs = np.array([band.high_hz for band in explanation.bands]) / 1000
    changes = np.array([band.llr_change for band in explanation.bands])
    axes.barh(lows, changes, highs - lows, align="edge", color=_colours(changes), linewidth=0)
    _mark_zero(axes.axvline)
    reach = _reach(changes)
    axes.set_xlim(-reach, reach)
    axes.set_xticks(*_ticks(reach, "\n"))
    axes.set_title("bands", fontsize=10)
    bands = attentions[0].attention.bands if attentions else ()
    if bands:  # behind a speech encoder there are none
        edges = np.array([bands[0].low_hz, *(band.high_hz for band in bands)]) / 1000
        weights = np.mean([[band.weight for band in one.attention.bands] for one in attentions], axis=0)
        places = -reach + _heights(weights) * reach
        axes.stairs(places, edges, baseline=-reach, orientation="horizontal", fill=True, zorder=0, **SHADE)


def caption(explanation: Explanation, attentions: Sequence[WindowAttention]) -> str:
    """What the bars mean, and of how much of the recording they tell, in one line."""
    said = "Bars: what the llr loses without the part"
    if explanation.coverage < 1:
        said += f", in the {explanation.explained_windows} windows of {explanation.windows} that moved the score most"
    return said + ("; grey: where the model's attention lay" if attentions else "")


def pooled_spans(explanation: Explanation, seconds: float) -> tuple[Any, Any, Any]:
    """Starts, ends and changes (K,) of the spans, of which at most `DRAWN_SPANS` would fill ``seconds``.

    Of spans in one of as many equal places the change farthest from 0 stands for all of the place.
    """
    shortest = seconds / DRAWN_SPANS
    places: dict[int, tuple[float, float, float]] = {}
    for number, (start, end, change) in enumerate(explanation.spans):
        crowded = end - start < shortest
        key = int(start / shortest) if crowded else -1 - number
        place = (key * shortest, (key + 1) * shortest, change) if crowded else (start, end, change)
        if key not in places or abs(change) > abs(places[key][2]):
            places[key] = place
    found = np.array(list(places.values())).reshape(-1, 3)
    return found[:, 0], found[:, 1], found[:, 2]


def _colours(changes: Any) -> list[str]:
    return [REAL_COLOUR if change >= 0 else FAKE_COLOUR for change in changes]


def _mark_zero(line: Any) -> None:
    line(0, color="0.4", linewidth=0.8)


def _reach(changes: Any) -> float:
    return 1.15 * max(LEAST_REACH, float(np.abs(changes).max(initial=0.0)))


def _ticks(reach: float, between: str) -> tuple[list[float], list[str]]:
    """Places of a round llr on either side, and what is written there."""
    level = float(f"{reach / 1.8:.1g}")
    return [-level, 0, level], [f"−{level:g}{between}fake", "0", f"+{level:g}{between}real"]


def _heights(weights: Any) -> Any:
    """Weights as shares of their largest."""
    values = np.asarray(weights, np.float64)
    return values / max(float(values.max(initial=0.0)), 1e-12)

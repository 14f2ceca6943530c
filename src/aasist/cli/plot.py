"""A recording as a picture: waveform, spectrogram, and the score along time."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import numpy as np

from aasist import files
from aasist.errors import MissingExtra
from aasist.session import SAMPLE_RATE, Float32

if TYPE_CHECKING:
    from aasist.audio.read import ReadLimits
    from aasist.cli.plot_explanation import WindowAttention
    from aasist.runtime.verdict import Verdict
    from aasist.trials.explanation import Explanation

REAL_COLOUR, FAKE_COLOUR = "#0072B2", "#D55E00"
"""Blue and vermilion of Okabe and Ito: told apart by colour-blind readers."""
FRAME_SAMPLES = 512
COLUMNS = 2400
"""Columns kept at most; a longer recording is pooled, so that memory does not grow with it."""
RANGE_DB = 80.0


def require_matplotlib() -> None:
    """Raise ``MissingExtra`` where matplotlib is not installed; of its cache of fonts nothing is said from now on."""
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        raise MissingExtra("--plot", "plots") from error
    matplotlib.use("Agg")
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def prepare_folder(folder: Path) -> None:
    """Make the folder for the pictures; ``MissingExtra`` without matplotlib."""
    require_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"cannot write into {folder}: {error.strerror}") from error


class Strip:
    """Waveform extremes and spectrum along time, in at most ``2 * COLUMNS`` columns of equal length.

    When there are more, neighbours are joined two by two and every later column is twice as long.
    """

    def __init__(self) -> None:
        self.frames_each = 1
        self.columns: list[tuple[float, float, Float32]] = []
        self._pending: list[tuple[float, float, Float32]] = []
        self._rest = np.zeros(0, np.float32)
        self._taper = np.hanning(FRAME_SAMPLES).astype(np.float32)

    def push(self, samples: Float32) -> None:
        """Add mono samples (n,) at 16 kHz."""
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // FRAME_SAMPLES
        frames = samples[: whole * FRAME_SAMPLES].reshape(whole, FRAME_SAMPLES)
        self._rest = samples[whole * FRAME_SAMPLES :]
        powers = np.abs(np.fft.rfft(frames * self._taper, axis=1)).astype(np.float32) ** 2
        for frame, power in zip(frames, powers, strict=True):
            self._pending.append((float(frame.min()), float(frame.max()), power))
            if len(self._pending) == self.frames_each:
                self.columns.append(_joined(self._pending))
                self._pending = []
                if len(self.columns) == 2 * COLUMNS:
                    pairs = zip(self.columns[::2], self.columns[1::2], strict=True)
                    self.columns = [_joined(list(pair)) for pair in pairs]
                    self.frames_each *= 2

    @property
    def column_seconds(self) -> float:
        """Length of a column."""
        return self.frames_each * FRAME_SAMPLES / SAMPLE_RATE


def _joined(columns: list[tuple[float, float, Float32]]) -> tuple[float, float, Float32]:
    lows, highs, powers = zip(*columns, strict=True)
    return min(lows), max(highs), np.mean(powers, axis=0, dtype=np.float32)


def draw(
    verdict: Verdict,
    source: str | BinaryIO,
    folder: Path,
    number: int,
    *,
    channel: int | None,
    limits: ReadLimits,
    explanation: Explanation | None = None,
    attentions: Sequence[WindowAttention] = (),
) -> Path:
    """Draw a judged recording into ``folder`` -> the PNG's path. The recording is read once more, in blocks.

    An ``explanation`` adds what decided: spans under the waveform, bands beside the spectrogram.
    """
    from aasist.audio.read import open_audio

    if not isinstance(source, str):
        source.seek(0)
    strip = Strip()
    with open_audio(source, channel=channel, limits=limits) as reader:
        for block in reader.blocks():
            strip.push(block)
    folder.mkdir(parents=True, exist_ok=True)
    # The number keeps a/call.wav and b/call.wav apart.
    stem = re.sub(r"[^\w.-]+", "_", Path(verdict.path).name).strip("._-")[:100] or "recording"
    path = folder / f"{number + 1:03}-{stem}.png"
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in a script that the font lacks
        picture(verdict, strip, explanation, attentions).savefig(drawn, format="png", dpi=110)
    files.write(path, drawn.getbuffer())
    return path


def picture(
    verdict: Verdict, strip: Strip, explanation: Explanation | None = None, attentions: Sequence[WindowAttention] = ()
) -> Any:
    """The figure of a verdict (a ``matplotlib.figure.Figure``), with what decided where there is an ``explanation``."""
    from matplotlib.figure import Figure

    duration = verdict.duration_seconds or 0.0
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    if explanation is None:
        wave, spectrum, score = figure.subplots(3, 1, sharex=True, height_ratios=[2, 3, 2])
    else:
        from aasist.cli import plot_explanation

        figure.set_size_inches(11, 8)
        panels = plot_explanation.panels(figure)
        wave, spectrum, score = panels["wave"], panels["spectrum"], panels["score"]
        plot_explanation.draw_spans(panels["spans"], explanation, duration, attentions)
        plot_explanation.draw_bands(panels["bands"], explanation, attentions)
        figure.supxlabel(plot_explanation.caption(explanation, attentions), fontsize=8, color="0.3")
    times = (np.arange(len(strip.columns)) + 0.5) * strip.column_seconds
    lows, highs = np.array([c[0] for c in strip.columns]), np.array([c[1] for c in strip.columns])

    wave.fill_between(times, lows, highs, color="0.35", linewidth=0.3)
    for segment in verdict.segments:
        fake = segment.llr < verdict.threshold
        wave.axvspan(segment.start, segment.end, color=FAKE_COLOUR if fake else REAL_COLOUR, alpha=0.18, linewidth=0)
    wave.set_ylabel("waveform")
    reach = max(1e-3, float(np.abs([lows, highs]).max(initial=0.0))) * 1.05
    wave.set_ylim(-reach, reach)

    decibels = 10 * np.log10(np.array([c[2] for c in strip.columns]).T + 1e-12)
    # 40 dB under the loudest tone there can be, at the least: silence must look like silence.
    top = max(0.0, float(decibels.max(initial=-120.0)))
    extent = (0.0, len(strip.columns) * strip.column_seconds, 0.0, SAMPLE_RATE / 2000)
    spectrum.imshow(decibels, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=top - RANGE_DB, vmax=top)
    spectrum.set_ylabel("kHz")

    for segment in verdict.segments:
        fake = segment.llr < verdict.threshold
        score.fill_between(
            [segment.start, segment.end], 0, segment.score, color=FAKE_COLOUR if fake else REAL_COLOUR, alpha=0.25
        )
    for window in verdict.windows:
        fake = window.llr < verdict.threshold
        score.plot([window.start, window.end], [window.score] * 2, color=FAKE_COLOUR if fake else REAL_COLOUR)
    from aasist.runtime.verdict import score_of

    score.axhline(score_of(verdict.threshold), color="0.4", linewidth=0.8, linestyle="--")
    score.set_ylim(-0.02, 1.02)
    score.set_yticks([0, 0.5, 1], ["0 fake", "0.5", "1 real"])
    score.set_ylabel("score")
    score.set_xlim(0, duration)
    score.set_xlabel("seconds")

    said = verdict.label if verdict.score is None else f"{verdict.label}, score {verdict.score:.2f}"
    reasons = "; ".join(note.message for note in verdict.warnings)
    title = f"{Path(verdict.path).name}: {said}" + (f"\n{reasons}" if reasons else "")
    figure.suptitle(title, fontsize=11, wrap=True, parse_math=False)
    return figure

"""Samples as they arrive, at any rate and in pieces of any size, to mono at 16 kHz."""

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from aasist.audio.decode import check_channels
from aasist.audio.levels import SourceLevels, SourceMeter
from aasist.audio.read import MAX_MAGNITUDE, MAX_RATE, MIN_RATE, mixed
from aasist.audio.source import at_full_scale, require_samples
from aasist.errors import AudioError
from aasist.session import SAMPLE_RATE, Float32

BLOCKS_A_SECOND = 10
"""Samples are metered and resampled in blocks of 0.1 s: whatever the pieces that they came in, the result is the same."""

MAX_GAP_SECONDS = 3_600.0
"""A longer gap is another call."""


class Intake:
    """Takes one stream of samples; what `aasist.audio.read.AudioReader` is to a file, and as it, in constant memory."""

    def __init__(self, sample_rate: int, *, channel: int | None = None) -> None:
        """``sample_rate`` in Hz, 4,000 to 192,000; ``channel`` picks one, from 0, instead of the mean of all.

        Raises `AudioError` ``sample_rate``.
        """
        if isinstance(sample_rate, bool) or not isinstance(sample_rate, int | np.integer):
            raise AudioError("sample_rate", f"the sample rate must be a whole number of Hz, got {sample_rate!r}")
        if not MIN_RATE <= sample_rate <= MAX_RATE:
            raise AudioError(
                "sample_rate", f"the sample rate must be {MIN_RATE:,} to {MAX_RATE:,} Hz, got {sample_rate:,} Hz"
            )
        self.sample_rate = int(sample_rate)
        self.channels = 0
        """0 until the first samples came."""
        self.gap_seconds = 0.0
        """Of audio that was lost, and taken as silence."""
        self._channel = channel
        self._block_frames = self.sample_rate // BLOCKS_A_SECOND
        self._waiting: list[Float32] = []
        self._waiting_frames = 0
        self._frames = 0
        self._meter = SourceMeter()
        self._resampler = (
            None
            if self.sample_rate == SAMPLE_RATE
            else soxr.ResampleStream(self.sample_rate, SAMPLE_RATE, 1, quality="HQ")
        )

    @property
    def duration_seconds(self) -> float:
        """Of all that came, gaps counted."""
        return self._frames / self.sample_rate

    @property
    def quality(self) -> SourceLevels:
        """Peak and clipping of the source so far, whole blocks of it."""
        return self._meter.levels()

    def push(self, samples: NDArray[Any]) -> Float32:
        """Samples (n,) or (n, C), of the types that ``(samples, rate)`` of a recording may have -> what is complete by now,
        mono (m,) at 16 kHz.

        Raises `AudioError` ``unreadable`` (shape or type), ``channels`` (too many, or another number than before),
        ``channel`` or ``not_finite``; nothing of the piece is taken then, and the next may be pushed.
        """
        require_samples(samples)
        frames = at_full_scale(samples.reshape(len(samples), -1) if samples.size else samples.reshape(0, 1))
        if not len(frames):
            return np.zeros(0, np.float32)
        self._require(frames)
        self.channels = frames.shape[1]
        return self._take(frames)

    def skip(self, seconds: float) -> Float32:
        """Take ``seconds`` of silence in the place of audio that was lost, so that times stay right; as `push`.

        Raises `AudioError` ``gap`` for what is no time between 0 and `MAX_GAP_SECONDS`.
        """
        if not 0.0 <= seconds <= MAX_GAP_SECONDS:
            raise AudioError(
                "gap", f"a gap must be 0 to {MAX_GAP_SECONDS:,.0f} s, got {seconds}: reset() begins another stream"
            )
        self.gap_seconds += seconds
        return self._take(np.zeros((round(seconds * self.sample_rate), max(1, self.channels)), np.float32))

    def finish(self) -> Float32:
        """What was not complete yet."""
        rest = [self._mono(np.concatenate(self._waiting))] if self._waiting_frames else []
        self._waiting, self._waiting_frames = [], 0
        if self._resampler is not None:
            rest.append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        return np.concatenate([np.zeros(0, np.float32), *rest])

    def _require(self, frames: Float32) -> None:
        channels = frames.shape[1]
        check_channels(channels)
        if self.channels and channels != self.channels:
            raise AudioError("channels", f"the stream has {self.channels} channels, got a piece with {channels}")
        if self._channel is not None and not 0 <= self._channel < channels:
            raise AudioError("channel", f"channel {self._channel} was asked for, the stream has 0 to {channels - 1}")
        if not np.all(np.abs(frames) <= MAX_MAGNITUDE):  # false for NaN as well
            raise AudioError("not_finite", "the piece holds samples that are NaN, infinite or beyond any scale")

    def _take(self, frames: Float32) -> Float32:
        self._frames += len(frames)
        self._waiting.append(frames)
        self._waiting_frames += len(frames)
        if self._waiting_frames < self._block_frames:
            return np.zeros(0, np.float32)
        joined = np.concatenate(self._waiting)
        whole = len(joined) - len(joined) % self._block_frames
        self._waiting, self._waiting_frames = [joined[whole:]], len(joined) - whole
        blocks = (joined[first : first + self._block_frames] for first in range(0, whole, self._block_frames))
        return np.concatenate([self._mono(block) for block in blocks])

    def _mono(self, block: Float32) -> Float32:
        self._meter.push(block if self._channel is None else block[:, [self._channel]])
        mono = mixed(block, self._channel)
        return mono if self._resampler is None else np.asarray(self._resampler.resample_chunk(mono))

"""Any recording to mono blocks at 16 kHz, streamed, with every limit and every refusal in one place."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import numpy as np
import soxr

from aasist.audio.decode import (
    MIN_SECONDS,
    DecodeClock,
    Decoder,
    GuardedFile,
    Piece,
    ReadLimits,
    Refused,
    check_channels,
)
from aasist.audio.levels import SourceLevels, SourceMeter
from aasist.audio.libsndfile import LibsndfileDecoder
from aasist.audio.playlist import SNIFF_BYTES, refuse_playlist
from aasist.audio.source import ArrayDecoder, Source, open_source
from aasist.errors import AudioError
from aasist.session import SAMPLE_RATE, Float32

__all__ = ["AudioReader", "ReadLimits", "Source", "open_audio", "read"]

MIN_RATE, MAX_RATE = 4_000, 192_000
"""Hz. Below, no speech is left; above, the file is no recording of speech."""

BLOCK_SAMPLES = 10 * SAMPLE_RATE
"""Samples in a block at 16 kHz (10 s); only the last block is shorter."""

MAX_MAGNITUDE = 2.0**32
"""Floats may exceed full scale (int32 written as float reaches 2^31); beyond this they are not samples."""

_TRUNCATED_SECONDS, _TRUNCATED_FRACTION = 0.5, 0.01
"""A recording is truncated when more than both is missing of what the header promised; encoders pad and trim less."""


def open_audio(source: Source, *, channel: int | None = None, limits: ReadLimits | None = None) -> "AudioReader":
    """Open a recording; use the reader as a context manager.

    ``channel`` picks one channel, counted from 0; without it all are mixed by their mean. libsndfile is tried first,
    FFmpeg takes what it refuses. Whatever the bytes, only `AudioError` is raised, with code ``not_found``,
    ``permission``, ``is_directory``, ``not_a_file``, ``empty``, ``too_large``, ``playlist``, ``unreadable``,
    ``no_audio``, ``sample_rate``, ``channels``, ``channel``, ``too_long`` or ``timeout`` here, and ``too_short``,
    ``too_long``, ``timeout``, ``not_finite``, ``unreadable``, ``sample_rate``, ``channels`` or ``channel`` (a source
    may change on the way) while blocks are read. A source of another type is a `TypeError`.
    """
    limits = limits or ReadLimits()
    with ExitStack() as stack:
        if isinstance(source, tuple):
            clock = DecodeClock(limits, 0)
            decoder: Decoder = ArrayDecoder(*source)
            pieces = decoder.pieces()
            first = next(pieces, None)
        else:
            file, size_bytes, ours = open_source(source, limits)
            if ours:
                stack.callback(file.close)
            clock = DecodeClock(limits, size_bytes)
            guard = GuardedFile(file, size_bytes, clock)
            path = os.fspath(source) if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
            refuse_playlist(guard.read(SNIFF_BYTES), path if isinstance(path, str) else None)
            decoder, pieces, first = _first_that_decodes(guard, clock, stack)
        if first is None:
            raise AudioError("no_audio", "the file was opened, but no audio sample could be decoded from it")
        _check_shape(first, channel)
        with clock:
            if decoder.reaches(limits.max_seconds):
                raise _too_long(limits)
        return AudioReader(decoder, first, pieces, clock=clock, limits=limits, channel=channel, stack=stack.pop_all())


def _first_that_decodes(
    guard: GuardedFile, clock: DecodeClock, stack: ExitStack
) -> tuple[Decoder, Iterator[Piece], Piece | None]:
    """The first decoder that opens the file and gets samples out of it, with its first piece (None: no samples)."""
    reasons: list[str] = []
    opened: tuple[Decoder, Iterator[Piece], None] | None = None
    for name, decoder_of in (("libsndfile", lambda: LibsndfileDecoder), ("FFmpeg", _ffmpeg)):
        start = decoder_of()
        with clock, ExitStack() as attempt:
            try:
                decoder: Decoder = start(guard)
                attempt.callback(decoder.close)
                pieces = decoder.pieces()
                first = next(pieces, None)
            except Refused as refusal:
                guard.raise_if_failed()
                reasons.append(f"{name}: {refusal}")
                continue
            if first is not None:
                stack.push(attempt.pop_all())
                return decoder, pieces, first
            opened = decoder, pieces, None
    if opened is not None:
        return opened
    raise AudioError("unreadable", f"not a recording that can be decoded ({'; '.join(reasons)})")


def _ffmpeg() -> Callable[[GuardedFile], Decoder]:
    """Imported for what libsndfile refuses alone: it takes as long to load as half of the other packages together."""
    from aasist.audio.container import ContainerDecoder

    return ContainerDecoder


def _check_shape(piece: Piece, channel: int | None) -> None:
    """Refuse rates, channel counts and channel choices out of range."""
    channels = piece.samples.shape[1]
    if not MIN_RATE <= piece.rate <= MAX_RATE:
        raise AudioError(
            "sample_rate", f"the sample rate must be {MIN_RATE:,} to {MAX_RATE:,} Hz, got {piece.rate:,} Hz"
        )
    check_channels(channels)
    if channel is not None and not 0 <= channel < channels:
        raise AudioError("channel", f"channel {channel} was asked for, the recording has 0 to {channels - 1}")


def _too_long(limits: ReadLimits) -> AudioError:
    limit = f"{limits.max_seconds:,.10g} s"
    return AudioError("too_long", f"the recording is longer than the limit of {limit}; cut it or raise the limit")


class AudioReader:
    """One open recording, read once from its start to its end.

    ``sample_rate`` (Hz) and ``channels`` are those of the source as its first samples came, ``container`` and
    ``codec`` short lower-case names. ``duration_seconds`` and ``quality`` are complete once `blocks` is exhausted;
    ``lead_seconds`` is what `blocks` has left out at the start.
    """

    def __init__(
        self,
        decoder: Decoder,
        first: Piece,
        rest: Iterator[Piece],
        *,
        clock: DecodeClock,
        limits: ReadLimits,
        channel: int | None,
        stack: ExitStack,
    ) -> None:
        self.sample_rate = first.rate
        self.channels = first.samples.shape[1]
        self.container = decoder.container
        self.codec = decoder.codec
        self._decoder = decoder
        self._first: Piece | None = first
        self._rest = rest
        self._clock = clock
        self._limits = limits
        self._channel = channel
        self._stack = stack
        self._meter = SourceMeter()
        self._truncated = False
        self._frames_by_rate: dict[int, int] = {}
        self.lead_seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the decoder, and the file where it was opened here. Harmless when repeated."""
        self._stack.close()

    @property
    def duration_seconds(self) -> float:
        """Decoded so far: frames by the rate they came at."""
        return sum(frames / rate for rate, frames in self._frames_by_rate.items())

    @property
    def quality(self) -> SourceLevels:
        """Peak, clipping and truncation of the source as read so far, before mixing and resampling."""
        return self._meter.levels(truncated=self._truncated)

    def blocks(self, *, without_outer_silence: bool = False) -> Iterator[Float32]:
        """Mono float32 blocks (n,) at 16 kHz, all of `BLOCK_SAMPLES` but the last. Can be called once.

        Nothing is normalised or clipped: float sources above full scale stay above it. When the data breaks off or
        turns out damaged after `MIN_SECONDS`, what was decoded is given and ``quality.truncated`` is set.

        ``without_outer_silence`` leaves out the digital silence (samples that are exactly 0) at either end of the
        source, before it is resampled: what is left comes out the same however much of it there was. The first sample
        then lies ``lead_seconds`` into the recording; a recording of nothing else gives no block.
        """
        waiting: list[Float32] = []
        count = 0
        for mono in self._resampled(self._sounding() if without_outer_silence else self._mono_pieces()):
            waiting.append(mono)
            count += len(mono)
            if count >= BLOCK_SAMPLES:
                joined = np.concatenate(waiting)
                whole = count - count % BLOCK_SAMPLES
                for start in range(0, whole, BLOCK_SAMPLES):
                    yield joined[start : start + BLOCK_SAMPLES]
                waiting, count = [joined[whole:]], count - whole
        if count:
            yield np.concatenate(waiting)

    def _resampled(self, pieces: Iterator[tuple[Float32, int]]) -> Iterator[Float32]:
        """Mono pieces and their rates -> at 16 kHz. A source that changes its rate on the way (HE-AAC, chained ogg) is
        followed."""
        rate, resampler = 0, None
        for mono, rate_now in pieces:
            if rate_now != rate:
                if resampler is not None:
                    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
                rate = rate_now
                resampler = None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1, quality="HQ")
            yield mono if resampler is None else resampler.resample_chunk(mono)
        if resampler is not None:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def _mono_pieces(self) -> Iterator[tuple[Float32, int]]:
        for piece in self._checked():
            yield mixed(piece.samples, self._channel), piece.rate

    def _sounding(self) -> Iterator[tuple[Float32, int]]:
        """The mono pieces from the first to the last sample that is not 0."""
        silent: list[tuple[int, int]] = []  # zeros that wait for what follows, and their rates
        started = False
        for mono, rate in self._mono_pieces():
            sounding = np.flatnonzero(mono)
            if not len(sounding):
                silent.append((len(mono), rate))
                continue
            first, last = int(sounding[0]), int(sounding[-1]) + 1
            silent.append((first, rate))
            if started:
                for zeros, their_rate in silent:  # as short as the pieces were: a muted hour is never held at once
                    yield np.zeros(zeros, np.float32), their_rate
            else:
                started, self.lead_seconds = True, sum(zeros / their_rate for zeros, their_rate in silent)
            yield mono[first:last], rate
            silent = [(len(mono) - last, rate)]

    def _checked(self) -> Iterator[Piece]:
        """Decoded pieces that passed every check; counts the duration from them and never from the header."""
        for piece in self._decoded():
            _check_shape(piece, self._channel)
            if not np.all(np.abs(piece.samples) <= MAX_MAGNITUDE):  # false for NaN as well
                raise AudioError("not_finite", "the recording holds samples that are NaN, infinite or beyond any scale")
            self._frames_by_rate[piece.rate] = self._frames_by_rate.get(piece.rate, 0) + len(piece.samples)
            self._clock.decoded_seconds = self.duration_seconds
            if self.duration_seconds > self._limits.max_seconds:
                raise _too_long(self._limits)
            self._meter.push(piece.samples if self._channel is None else piece.samples[:, [self._channel]])
            yield piece
        if self._decoder.damaged and self.duration_seconds < MIN_SECONDS:
            raise AudioError(
                "unreadable", f"the file is damaged: only {self.duration_seconds:.2f} s of audio could be decoded"
            )
        if self.duration_seconds < (needed := self._limits.min_seconds):
            raise AudioError(
                "too_short", f"{self.duration_seconds:.2f} s of audio is too short to judge; {needed:g} s is needed"
            )
        missing = (self._decoder.promised_seconds or 0.0) - self.duration_seconds
        self._truncated = self._decoder.damaged or missing > max(
            _TRUNCATED_SECONDS, _TRUNCATED_FRACTION * self.duration_seconds
        )

    def _decoded(self) -> Iterator[Piece]:
        """The pieces as they come, with the clock running only while the decoder works."""
        piece, self._first = self._first, None
        if piece is None:
            raise RuntimeError("a recording can be read once; open it again to read it again")
        while piece is not None:
            yield piece
            with self._clock:
                self._clock.check()
                try:
                    piece = next(self._rest, None)
                except Refused as refusal:
                    raise AudioError("unreadable", f"the file is damaged: {refusal}") from None


def mixed(samples: Float32, channel: int | None) -> Float32:
    """(n, C) -> mono (n,): the chosen channel, or the mean of all."""
    if channel is not None:
        return np.ascontiguousarray(samples[:, channel])
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)


def read(source: Source, *, channel: int | None = None, limits: ReadLimits | None = None) -> Float32:
    """Everything at once: mono float32 (N,) at 16 kHz. For short material; raises as `open_audio` does."""
    with open_audio(source, channel=channel, limits=limits) as reader:
        return np.concatenate(list(reader.blocks()))

"""Speech activity: which 32 ms chunks hold speech, by the packaged Silero model run over parallel stripes."""

from collections.abc import Iterator
from typing import cast

import numpy as np
from numpy.typing import NDArray

from aasist.audio.silero import CHUNK_SAMPLES, CONTEXT_SAMPLES, network
from aasist.parallel import in_order
from aasist.session import Float32

Mask = NDArray[np.bool_]
"""One truth value for each chunk of `CHUNK_SAMPLES`."""

STRIPE_CHUNKS = 320
"""Chunks a stripe decides on (10.24 s)."""

WARM_UP_CHUNKS = 32
"""Chunks (1.02 s) run before a stripe to bring the recurrent state there; measured, it disagrees with one long
sequential run in under 1 % of chunks."""

BATCH_STRIPES = 4
"""Stripes run at once: measured per chunk on one thread 23 us alone, 18 us in four, no less in more."""

SPAN_STRIPES = 32
"""Stripes gathered before any is run (5.5 minutes, 21 MB): eight batches, for as many threads."""

GATE_POWER = 1e-8
"""Mean square (-80 dBFS) under which a chunk is too quiet for speech; stripes of nothing else are not run."""

LOUD_RMS, LOUD_PERCENTILE = 0.1, 95.0
"""Level that the loud chunks of a span are brought to before the model hears it. Without it, measured, a recording at
x0.1 loses 6 % of its chunks and at x0.01 31 %."""

MAX_GAIN = 100.0
"""+40 dB; more would raise the murmur behind an empty room."""

SPEECH_ON, SPEECH_OFF = 0.5, 0.35
"""Probability at which speech starts and, lower, at which it ends: the model's authors' values."""

MAX_GAP_CHUNKS = 6
"""Pauses up to this (0.19 s) within speech count as speech: stops and breaths."""

MIN_BURST_CHUNKS = 3
"""Speech shorter than this (0.1 s) is a click, not a syllable."""

_LEAD_SAMPLES = WARM_UP_CHUNKS * CHUNK_SAMPLES + CONTEXT_SAMPLES
_STRIPE_SAMPLES = STRIPE_CHUNKS * CHUNK_SAMPLES
_SPAN_SAMPLES = SPAN_STRIPES * _STRIPE_SAMPLES


def speech_mask(samples: Float32, *, threads: int = 1) -> Mask:
    """Mono samples (N,) at 16 kHz -> mask (ceil(N / 512),): which chunks hold speech."""
    stream = SpeechStream(threads=threads)
    masks = [mask for part in (stream.push(samples), stream.finish()) for _, mask in part]
    return np.concatenate([np.zeros(0, np.bool_), *masks])


class SpeechStream:
    """Speech activity over audio that is pushed in blocks of any size.

    The mask depends on the audio alone, never on the blocks or on ``threads``: stripes lie on a grid that starts at
    the first chunk above the gate, so that silence put before a recording (whole chunks of it) moves no decision.
    """

    def __init__(self, *, threads: int = 1) -> None:
        """``threads`` run batches side by side; they help from about three minutes of audio on."""
        self._threads = max(1, threads)
        self._waiting: list[Float32] = []
        self._waiting_samples = 0
        self._started = False
        self._lead: Float32 | None = None
        self._undecided = np.zeros(0, np.float32)
        self._smoother = Smoother()

    def push(self, samples: Float32) -> Iterator[tuple[Float32, Mask]]:
        """Take mono samples (n,) at 16 kHz; give what is decided by now, in order: samples and a mask of their chunks.

        Samples given are whole chunks; concatenated over all calls and `finish` they are the samples pushed.
        """
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        if self._waiting_samples >= _SPAN_SAMPLES:
            yield from self._advance(final=False)

    def finish(self) -> Iterator[tuple[Float32, Mask]]:
        """Decide on the rest; only the very last chunk may be shorter than `CHUNK_SAMPLES`."""
        yield from self._advance(final=True)

    def _advance(self, *, final: bool) -> Iterator[tuple[Float32, Mask]]:
        waiting = np.concatenate([np.zeros(0, np.float32), *self._waiting])
        self._waiting = []
        if not self._started:
            quiet = _leading_quiet_chunks(waiting)
            self._started = quiet * CHUNK_SAMPLES < len(waiting) // CHUNK_SAMPLES * CHUNK_SAMPLES
            silence, waiting = (waiting[: quiet * CHUNK_SAMPLES], waiting[quiet * CHUNK_SAMPLES :])
            if len(silence):
                yield silence, np.zeros(quiet, np.bool_)
        while len(waiting) >= _SPAN_SAMPLES or (final and len(waiting)):
            span, waiting = waiting[:_SPAN_SAMPLES], waiting[_SPAN_SAMPLES:]
            yield from self._decide(span)
        self._waiting, self._waiting_samples = [waiting], len(waiting)
        if final and len(self._undecided):
            yield self._undecided, self._smoother.finish()
            self._undecided = np.zeros(0, np.float32)

    def _decide(self, span: Float32) -> Iterator[tuple[Float32, Mask]]:
        probabilities = speech_probabilities(span, self._lead, threads=self._threads)
        self._lead = span[-_LEAD_SAMPLES:]
        self._undecided = np.concatenate((self._undecided, span))
        mask = self._smoother.push(probabilities)
        decided = len(mask) * CHUNK_SAMPLES
        if len(mask):
            yield self._undecided[:decided], mask
            self._undecided = self._undecided[decided:]


def _leading_quiet_chunks(samples: Float32) -> int:
    """Whole chunks under the gate before the first that is not."""
    loud = np.flatnonzero(chunk_powers(samples[: len(samples) // CHUNK_SAMPLES * CHUNK_SAMPLES]) >= GATE_POWER)
    return int(loud[0]) if len(loud) else len(samples) // CHUNK_SAMPLES


def chunk_powers(samples: Float32) -> Float32:
    """Samples (N,) -> mean square of each chunk (ceil(N / 512),); what misses in the last chunk counts as silence."""
    missing = -len(samples) % CHUNK_SAMPLES
    chunks = (np.pad(samples, (0, missing)) if missing else samples).reshape(-1, CHUNK_SAMPLES)
    return cast(Float32, np.einsum("ij,ij->i", chunks, chunks) / np.float32(CHUNK_SAMPLES))


def speech_probabilities(span: Float32, lead: Float32 | None = None, *, threads: int = 1) -> Float32:
    """Samples (N,) -> probability of speech for each chunk (ceil(N / 512),), run as stripes side by side.

    ``lead`` is the audio just before, `WARM_UP_CHUNKS` chunks and the model's context of 64 samples, or None where the
    recording starts: there the model starts from its zero state, elsewhere each stripe is warmed up on its lead.
    """
    chunks = -(-len(span) // CHUNK_SAMPLES)
    stripes = -(-chunks // STRIPE_CHUNKS)
    tail = stripes * _STRIPE_SAMPLES - len(span)
    starts_here = lead is None
    lead = np.zeros(_LEAD_SAMPLES, np.float32) if lead is None else lead
    padded = np.concatenate((lead, span, np.zeros(tail, np.float32)))
    views = np.lib.stride_tricks.sliding_window_view(padded, _LEAD_SAMPLES + _STRIPE_SAMPLES)[::_STRIPE_SAMPLES]

    powers = chunk_powers(padded[_LEAD_SAMPLES:]).reshape(stripes, STRIPE_CHUNKS)
    audible = np.flatnonzero((powers >= GATE_POWER).any(axis=1))
    batches = [audible[first : first + BATCH_STRIPES] for first in range(0, len(audible), BATCH_STRIPES)]

    padded *= gain_of(powers)
    probabilities = np.zeros((stripes, STRIPE_CHUNKS), np.float32)

    def run(batch: NDArray[np.intp]) -> None:
        fresh = np.flatnonzero(batch == 0) if starts_here else np.zeros(0, np.intp)
        needed = min(STRIPE_CHUNKS, chunks - int(batch[0]) * STRIPE_CHUNKS)
        probabilities[batch, :needed] = _run_batch(views[batch], fresh, needed)

    for _ in in_order(run, batches, threads=threads):
        pass
    # The model answers digital silence with whatever it heard last; nothing this quiet is speech.
    probabilities[powers < GATE_POWER] = 0.0
    return probabilities.reshape(-1)[:chunks]


def gain_of(powers: Float32) -> np.float32:
    """Chunk powers (n,) -> the factor that brings the loud ones among them to `LOUD_RMS`; silence does not count."""
    audible = powers[powers >= GATE_POWER]
    if not len(audible):
        return np.float32(1.0)
    loud_rms = float(np.sqrt(np.percentile(audible, LOUD_PERCENTILE)))
    return np.float32(min(LOUD_RMS / loud_rms, MAX_GAIN))


def _run_batch(stripes: Float32, fresh: NDArray[np.intp], needed: int) -> Float32:
    """Stripes (B, 64 + (32 + 320) * 512) -> probabilities (B, needed); ``fresh`` rows start from the zero state."""
    model = network()
    heard = np.lib.stride_tricks.sliding_window_view(stripes, CONTEXT_SAMPLES + CHUNK_SAMPLES, axis=1)
    chunks = heard[:, ::CHUNK_SAMPLES].transpose(1, 0, 2)
    state = np.zeros((2, len(stripes), 128), np.float32)
    if len(fresh) < len(stripes):
        _, state = model.run(chunks[:WARM_UP_CHUNKS], state)
        state[:, fresh] = 0.0
    probabilities, _ = model.run(chunks[WARM_UP_CHUNKS : WARM_UP_CHUNKS + needed], state)
    return probabilities.T


class Smoother:
    """Probabilities to decisions: two thresholds, short gaps filled, then short bursts dropped. Causal: a chunk is
    given as soon as nothing to come can change it, at most `MIN_BURST_CHUNKS` + `MAX_GAP_CHUNKS` chunks late."""

    def __init__(self) -> None:
        self._active = False
        self._confirmed = False
        self._burst = 0
        self._gap = 0

    def push(self, probabilities: Float32) -> Mask:
        """Take the next probabilities (n,); give the decisions that are settled by now, in order."""
        settled = bytearray()
        for probability in probabilities.tolist():
            self._active = probability >= (SPEECH_OFF if self._active else SPEECH_ON)
            if self._active:
                self._burst += self._gap + 1
                self._gap = 0
                if self._confirmed or self._burst >= MIN_BURST_CHUNKS:
                    settled += b"\1" * self._burst
                    self._burst, self._confirmed = 0, True
            elif self._confirmed or self._burst:
                self._gap += 1
                if self._gap > MAX_GAP_CHUNKS:
                    settled += self._drain()
            else:
                settled.append(0)
        return np.frombuffer(bytes(settled), np.bool_)

    def finish(self) -> Mask:
        """The decisions still open when the audio ends: no speech."""
        return np.frombuffer(self._drain(), np.bool_)

    def _drain(self) -> bytes:
        silence = b"\0" * (self._burst + self._gap)
        self._burst = self._gap = 0
        self._confirmed = False
        return silence

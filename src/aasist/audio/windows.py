"""Where the model looks: windows placed over the speech, greedily and causally, with bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aasist.audio.silero import CHUNK_SAMPLES
from aasist.audio.speech import Mask
from aasist.session import SAMPLE_RATE, Float32

LEAD_SAMPLES = SAMPLE_RATE // 10
"""A window starts this much (0.1 s) before speech does: the detector of speech is late on soft onsets."""

MIN_NEW_SPEECH_SAMPLES = SAMPLE_RATE // 4
"""A window must bring this much speech (0.25 s) that no earlier one held, or it scores the old again or a breath."""


@dataclass(frozen=True, eq=False)
class Window:
    """``samples`` (window_samples,) float32 taken at sample ``start`` of the 16 kHz recording.

    ``length``: how many of them are real; fewer than all only where the whole recording is shorter than a window, and
    then they are repeated to fill it, as the published code does. ``speech_samples``: how many real ones are speech.
    """

    start: int
    samples: Float32
    length: int
    speech_samples: int


class WindowPlacer:
    """Places windows over audio that is pushed together with its speech mask.

    The first window starts at the first speech, each next one at the first speech that lies a hop or more after the
    start of the one before; both a little early where speech begins there. One that brings too little new speech is
    passed over, unless none else is left. A window that would run past the end is moved back to end there. No decision
    looks further ahead than one window, and no more than a window and one push are held.
    """

    def __init__(self, window_samples: int, hop_samples: int) -> None:
        """Both in samples at 16 kHz, 1 or more; a hop longer than the window leaves speech out on purpose."""
        if window_samples < 1 or hop_samples < 1:
            raise ValueError(f"window and hop must be 1 sample or more, got {window_samples} and {hop_samples}")
        self._window = window_samples
        self._hop = hop_samples
        self._samples = np.zeros(0, np.float32)
        self._samples_start = 0
        self._mask = np.zeros(0, np.bool_)
        self._mask_start = 0
        self._end = 0
        self._earliest = 0
        self._covered = 0
        self._placed = False
        self._spare: Window | None = None

    def push(self, samples: Float32, speech: Mask) -> Iterator[Window]:
        """Take samples (n,) and the mask (ceil(n / 512),) of their chunks; give the windows that are complete.

        Only the last push of a recording may end within a chunk.
        """
        assert self._end % CHUNK_SAMPLES == 0 and len(speech) == -(-len(samples) // CHUNK_SAMPLES)
        self._samples = np.concatenate((self._samples, samples))
        self._mask = np.concatenate((self._mask, speech))
        self._end += len(samples)
        yield from self._place(final=False)
        self._forget()

    def finish(self) -> Iterator[Window]:
        """The windows that the end of the recording completes."""
        yield from self._place(final=True)
        if self._spare is not None and not self._placed:
            yield self._spare

    def unfinished(self) -> Window | None:
        """The window that is begun, as if the recording ended now: what there is of it, repeated; None where none is."""
        start = self._next_start()
        return None if start is None else self._cut(start)

    def _place(self, *, final: bool) -> Iterator[Window]:
        while (start := self._next_start()) is not None:
            if start + self._window > self._end and not final:
                return
            self._earliest = start + self._hop
            start = max(0, min(start, self._end - self._window))
            new_speech = self._speech_between(max(start, self._covered), start + self._window)
            if new_speech >= MIN_NEW_SPEECH_SAMPLES:
                self._placed, self._spare = True, None
                self._covered = start + self._window
                yield self._cut(start)
            elif not self._placed and (self._spare is None or new_speech > self._spare.speech_samples):
                self._spare = self._cut(start)

    def _next_start(self) -> int | None:
        """Where the next window starts, or None while no speech is known at or after the earliest sample it may."""
        first_chunk = max(self._earliest // CHUNK_SAMPLES, self._mask_start)
        speech = self._mask[first_chunk - self._mask_start :]
        offset = int(speech.argmax()) if len(speech) else 0
        if not len(speech) or not speech[offset]:
            return None
        start = max(self._earliest, (first_chunk + offset) * CHUNK_SAMPLES - LEAD_SAMPLES)
        return start if start < self._end else None  # a recording may end within its last chunk

    def _speech_between(self, first: int, last: int) -> int:
        """Samples in speech chunks within [first, last) and within the recording."""
        last = min(last, self._end)
        if first >= last:
            return 0
        first_chunk, last_chunk = first // CHUNK_SAMPLES, -(-last // CHUNK_SAMPLES)
        edges = np.arange(first_chunk, last_chunk + 1) * CHUNK_SAMPLES
        inside = np.diff(np.clip(edges, first, last))
        return int(inside[self._mask[first_chunk - self._mask_start : last_chunk - self._mask_start]].sum())

    def _cut(self, start: int) -> Window:
        offset = start - self._samples_start
        real = self._samples[offset : offset + self._window]
        repeats = -(-self._window // len(real))
        samples = np.tile(real, repeats)[: self._window] if repeats > 1 else real.copy()
        return Window(start, samples, len(real), self._speech_between(start, start + self._window))

    def _forget(self) -> None:
        """Drop what no window can reach any more: the end may still move one back by a whole window, no further."""
        keep = max(self._samples_start, self._end - self._window)
        self._samples = self._samples[keep - self._samples_start :].copy()
        self._samples_start = keep
        keep_chunk = keep // CHUNK_SAMPLES
        self._mask = self._mask[keep_chunk - self._mask_start :].copy()
        self._mask_start = keep_chunk

"""One recording to one crop: decoded to 16 bits, cut or repeated to the length a batch has."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aasist.audio.read import ReadLimits, open_audio
from aasist.errors import AudioError
from aasist.keys import key
from aasist.session import SAMPLE_RATE, Float32
from aasist.training.draws import Purpose, generator, row_keys
from aasist.training.recordings import DataError, Integers

Int16 = NDArray[np.int16]
Float64 = NDArray[np.float64]

FULL_SCALE = 2**15
"""Of 16-bit samples: they are 1.0 as floats."""

DECODER = "1"
"""Version of what `decoded` gives: one that differs makes stored waveforms old."""

LIMITS = ReadLimits(floor_seconds=600.0, min_seconds=0.0)
"""No sound recording takes so long, however busy the machine is: time is not to decide what is trained on. And none is
too short, as in the published code, which repeats it."""

RETRY_SECONDS = 1.0
"""Between two tries at a recording that the machine failed to read."""

_FRAME_SAMPLES = SAMPLE_RATE // 50


@dataclass(frozen=True)
class Crop:
    """How a recording is cut to the length of a batch (a section of a recipe)."""

    lengths: tuple[int, ...] = key(
        (), "lengths of a training crop, one drawn for each batch; empty: the model's window", unit="samples", low=400
    )
    full_from: float = key(
        1.0, "from this share of the training on, crops are as long as the model's window", low=0.0, high=1.0
    )
    turn: bool = key(
        False, "a recording shorter than the crop is repeated from a random sample on; false: from its first"
    )
    trim_db: float = key(
        0.0, "cut off at either end what is this much quieter than the loudest 20 ms; 0: nothing", unit="dB",
        low=0.0, high=120.0,
    )  # fmt: skip
    longest_seconds: float = key(
        120.0, "so much of a recording is heard, from its start", unit="s", low=1.0, high=3600.0
    )


def lengths_of(crop: Crop, window_samples: int, batches: int, *, seed: int, epoch: int, epochs: int) -> Integers:
    """Samples of each of the ``batches`` (N,) of ``epoch`` (from 0) of ``epochs``."""
    lengths = np.full(batches, window_samples, np.int64)
    if crop.lengths:
        short = (epoch + np.arange(batches) / max(batches, 1)) / epochs < crop.full_from
        drawn = generator(seed, Purpose.LENGTH, epoch).choice(np.array(crop.lengths, np.int64), batches)
        lengths[short] = drawn[short]
    return lengths


def positions_of(seed: int, epoch: int, places: Integers) -> Float64:
    """Where in its recording each crop (B,) is taken, in [0, 1), from the plan's ``places`` (B,)."""
    keys = row_keys(seed, Purpose.CROP, epoch, places).view(np.uint64)
    return np.asarray((keys >> np.uint64(11)).astype(np.float64) / 2.0**53)


def decoded(path: str | os.PathLike[str], crop: Crop) -> Int16:
    """A recording of any format -> its samples (N,) at 16 kHz, mono, as 16 bits: from these every crop is cut.

    Files of 16 bits at 16 kHz come out to the bit; floats beyond full scale are clipped. Raises `AudioError` as
    `aasist.audio.read` does for what is wrong with the recording, and ``silent`` for one that is zero throughout: it
    tells nothing of either class, and what it would teach, that digital silence is one of them, is wrong.

    What the machine failed at (a disk, a network, too many open files, the time) is tried once more, and then a
    `DataError` ``reading``: to leave a recording out for it would make the weights depend on it.
    """
    try:
        return _decoded(path, crop)
    except (AudioError, OSError) as error:
        if not _is_of_the_machine(error):
            raise
    time.sleep(RETRY_SECONDS)
    try:
        return _decoded(path, crop)
    except (AudioError, OSError) as error:
        if not _is_of_the_machine(error):
            raise
        raise DataError(
            "reading",
            f"{os.fspath(path)}: {error}; that was the second try, and the recording may be sound: see to its disk and to "
            "the machine, and resume; or begin a run without it",
        ) from error


def _is_of_the_machine(error: AudioError | OSError) -> bool:
    """Whether another try might go well: nothing of it lies in the recording."""
    return isinstance(error, OSError) or error.code == "timeout" or isinstance(error.__cause__, OSError)


def _decoded(path: str | os.PathLike[str], crop: Crop) -> Int16:
    wanted, blocks = round(crop.longest_seconds * SAMPLE_RATE), []
    with open_audio(os.fspath(path), limits=LIMITS) as reader:
        count = 0
        for block in reader.blocks():
            blocks.append(as_int16(block))
            count += len(block)
            if count >= wanted:
                break
    if not count:
        raise AudioError("too_short", "no sample of it is left at 16 kHz; leave the recording out of the trials")
    samples = (np.concatenate(blocks) if len(blocks) > 1 else blocks[0])[:wanted]
    if not samples.any():
        raise AudioError("silent", "every sample is zero; leave the recording out of the trials, or replace the file")
    return trimmed(samples, crop.trim_db) if crop.trim_db else samples


def trimmed(samples: Int16, below_db: float) -> Int16:
    """Without the frames of 20 ms at either end that are ``below_db`` or more under the loudest one: how long silence
    lasts there tells corpora apart, and synthesis from recording."""
    frames = samples[: len(samples) // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES)
    if not len(frames):
        return samples
    level = np.sqrt((frames.astype(np.float32) ** 2).mean(1))
    loud = np.flatnonzero(level > level.max() * 10 ** (-below_db / 20))
    return samples[loud[0] * _FRAME_SAMPLES : (loud[-1] + 1) * _FRAME_SAMPLES] if len(loud) else samples


def cut(samples: Int16, length: int, position: float = 0.0, *, turn: bool = False) -> Float32:
    """``length`` samples in [-1, 1) from a relative ``position`` in [0, 1); position 0 is the first window.

    As the published code: a longer recording begins at one of its first N - length samples (never at the last place
    that would fit), one of exactly ``length`` comes as it is, a shorter one is repeated from its first sample; with
    ``turn`` from sample ``position`` N.
    """
    count = len(samples)
    if count >= length:
        start = int(position * (count - length))
        taken = samples[start : start + length]
    else:
        start = int(position * count) if turn else 0
        taken = np.resize(np.roll(samples, -start) if start else samples, length)
    return as_floats(taken)


def as_floats(samples: Int16) -> Float32:
    """Samples of 16 bits in [-1, 1): exact."""
    return samples.astype(np.float32) * np.float32(1 / FULL_SCALE)


def as_int16(samples: Float32) -> Int16:
    """Samples of full scale 1, rounded to 16 bits; what is louder is clipped."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)

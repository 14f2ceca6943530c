"""Takes: the files of one recording, made where they are not there yet. What a worker does."""

from __future__ import annotations

import dataclasses
import errno
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from aasist import files
from aasist.corpus.catalogue import Places, engines
from aasist.corpus.draws import generator
from aasist.corpus.engine import Copier, EngineError, Sound, Speaker
from aasist.corpus.faults import in_words
from aasist.corpus.match import band_limited, fitted, matched_copy, matched_speech, require_sound, silences
from aasist.corpus.plan import BONAFIDE, Take, Unit
from aasist.corpus.program import within
from aasist.corpus.recipe import Recipe
from aasist.corpus.span import Cut, cut
from aasist.corpus.spectra import resampled
from aasist.corpus.texts import enough
from aasist.errors import AasistError
from aasist.session import SAMPLE_RATE, Float32

PROGRAMS_SHARE = 0.9
"""Of ``run.item_seconds``: an engine's programs are ended before its process would have to be."""

RATES_HZ = range(4_000, 192_001)
"""What an engine may return."""


@dataclass(frozen=True)
class Heard:
    """The recording could be read; what it came as."""

    source_rate: str
    source_format: str


@dataclass(frozen=True)
class LeftOut:
    """The recording takes no part."""

    reason: str


@dataclass(frozen=True)
class Began:
    """A take is being made."""

    take: str


@dataclass(frozen=True)
class Made:
    """A take is there, whole; ``rate_hz`` is what its engine spoke at (0: that of the recording)."""

    take: str
    seconds: float
    text: str = ""
    rate_hz: int = 0


@dataclass(frozen=True)
class Failed:
    """An engine could not make a take."""

    take: str
    reason: str


Event = Heard | LeftOut | Began | Made | Failed


class Stop(AasistError):
    """Nothing further can be made: the disk is full, the folder refuses, a worker cannot begin."""

    def __init__(self, message: str) -> None:
        super().__init__("write", message)


def unwritable(path: Path, error: OSError) -> Stop:
    """What is said of a file that cannot be written."""
    hint = "; make room, and the same command goes on" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return Stop(f"cannot write {path}: {error.strerror or error}{hint}")


def path_of(take: Take, subset: str) -> str:
    """Below the corpus's folder, as ASVspoof 2019 LA lays it out."""
    return f"ASVspoof2019_LA_{subset}/flac/{take.id}.flac"


class Maker:
    """Makes the takes of units, with engines of its own."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self._recipe, self._folder = recipe, folder
        self._engines = engines(Places(recipe.data.engines, recipe.data.vocoders))

    def make(self, unit: Unit, wanted: Collection[str]) -> Iterator[Event]:
        """Each take of ``wanted`` (ids), begun and made or failed, after what was heard of the recording.

        An engine's failure of any kind is its own; `Stop` is raised where a file cannot be written.
        """
        recording = unit.recording
        try:
            random = generator(self._recipe.seed, "take", recording.id, BONAFIDE)
            found = cut(recording.path, self._recipe.span, random)
        except AasistError as error:
            yield LeftOut(error.message)
            return
        yield Heard(recording.source_rate or found.source_rate, recording.source_format or found.source_format)
        gain = np.float32(min(1.0, self._recipe.span.peak / float(np.max(np.abs(found.span)))))
        found = dataclasses.replace(found, samples=found.samples * gain)
        span = found.span
        partners = {
            rate: span if rate >= SAMPLE_RATE else band_limited(span, rate)
            for rate in {take.rate_hz for take in unit.takes if take.id in wanted}
        }
        for take in unit.takes:
            if take.id not in wanted:
                continue
            path = self._folder / path_of(take, unit.subset)
            seconds = len(span) / SAMPLE_RATE
            if path.exists() and take.voice is None:
                yield Made(take.id, seconds)
                continue
            yield Began(take.id)
            try:
                with within(PROGRAMS_SHARE * self._recipe.run.item_seconds):
                    made, text, rate = self._made(unit, take, found, partners[take.rate_hz])
            except Exception as error:  # of an engine, which may be anybody's
                yield Failed(take.id, in_words(error))
            else:
                _write(path, made)
                yield Made(take.id, seconds, text, rate)

    def _made(self, unit: Unit, take: Take, found: Cut, partner: Float32) -> tuple[Float32, str, int]:
        """Samples of a take, what is said in it, and the rate it was spoken at."""
        if take.attack is None:
            return partner, "", 0
        engine = self._engines[take.engine]
        random = generator(self._recipe.seed, "take", unit.recording.id, take.attack.key)
        if isinstance(engine, Speaker):
            assert take.voice is not None
            lead, trail = silences(partner)
            body_seconds = (len(partner) - lead - trail) / SAMPLE_RATE
            text = enough(take.sentences, take.voice.language, body_seconds)
            spoken, rate = _at_16_khz(engine.speak(text, take.voice, random), take)
            return matched_speech(spoken, partner, random), text, rate
        assert isinstance(engine, Copier)
        copy, _ = _at_16_khz(engine.copy(found.samples.copy(), random), take)
        return matched_copy(fitted(copy[found.first :], len(partner)), partner), "", 0


def sound_of(sound: Sound, least_rate_hz: int) -> tuple[Float32, int]:
    """What an engine returned, checked: samples (N,) and their rate; `EngineError` for what is no sound."""
    try:
        samples, rate = sound
        rate = int(rate)
    except (TypeError, ValueError):
        raise EngineError(f"expected samples and their rate, got {type(sound).__name__}") from None
    if rate not in RATES_HZ:
        raise EngineError(f"expected a rate of {RATES_HZ[0]:,} to {RATES_HZ[-1]:,} Hz, got {rate}")
    if rate < least_rate_hz:
        raise EngineError(f"it says that it returns {least_rate_hz} Hz or more (rate_hz), and returned {rate} Hz")
    return require_sound(samples), rate


def _at_16_khz(sound: Sound, take: Take) -> tuple[Float32, int]:
    """What an engine returned at 16 kHz, and the rate it came at; `EngineError` for what is no sound."""
    samples, rate = sound_of(sound, take.rate_hz)
    if take.rate_hz < min(rate, SAMPLE_RATE):
        # Narrower than it need be: its partner is.
        samples, rate = resampled(samples, rate, take.rate_hz), take.rate_hz
    return resampled(samples, rate, SAMPLE_RATE), rate


def _write(path: Path, samples: Float32) -> None:
    """FLAC of 16 bits, whole or not at all."""
    packed = io.BytesIO()
    soundfile.write(packed, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, packed.getbuffer())
    except OSError as error:
        raise unwritable(path, error) from error

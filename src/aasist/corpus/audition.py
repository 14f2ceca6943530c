"""An audition: one engine on one recording, or on a text, outside of any corpus."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from aasist import files
from aasist.audio.read import BLOCK_SAMPLES, open_audio
from aasist.corpus.draws import generator
from aasist.corpus.engine import Copier, EngineError, Sound, Speaker, Voice
from aasist.corpus.takes import sound_of, unwritable
from aasist.corpus.texts import built_in, sentence
from aasist.errors import AudioError
from aasist.session import SAMPLE_RATE, Float32

FORMATS = {".wav": ("WAV", "FLOAT"), ".flac": ("FLAC", "PCM_24")}
"""Ending of a file -> format and subtype: nothing of what an engine returns is rounded off in WAV."""

MOST_SECONDS = BLOCK_SAMPLES / SAMPLE_RATE
"""Of a longer recording the first so many are copied; a build takes less."""

SEED = 1234


@dataclass(frozen=True)
class Heard:
    """What an engine made: ``samples`` (N,) at ``rate_hz``, of ``text`` by ``voice``, or of ``seconds`` of a recording."""

    samples: Float32
    rate_hz: int
    voice: Voice | None = None
    text: str = ""
    seconds: float = 0.0

    @property
    def level_dbfs(self) -> float:
        """Root mean square, in dB against full scale."""
        return 20 * float(np.log10(max(float(np.sqrt(np.mean(np.square(self.samples, dtype=np.float64)))), 1e-9)))

    @property
    def peak(self) -> float:
        """The largest magnitude; above 1 it is beyond full scale."""
        return float(np.max(np.abs(self.samples)))


def copied(engine: Copier, recording: str | Path) -> Heard:
    """What ``engine`` makes of a recording, or of its first `MOST_SECONDS`, at its own rate and as it comes.

    Raises `AudioError` for a recording that cannot be read, `EngineError` for what is no sound, and what the engine raises.
    """
    try:
        with open_audio(recording) as reader:
            samples = next(reader.blocks())
    except AudioError as error:
        raise AudioError(error.code, f"{recording}: {error.message}") from error
    made = engine.copy(samples.copy(), generator(SEED, "audition", engine.name))
    return Heard(*_checked(made, engine.rate_hz), seconds=len(samples) / SAMPLE_RATE)


def said(engine: Speaker, text: str | None, voice: str | None) -> Heard:
    """What ``engine`` says: ``text``, or a sentence of our own in the language of ``voice``, or of its first voice.

    Raises `EngineError` for a voice that there is not, a language without sentences of our own, and what is no sound.
    """
    voices = {one.name: one for one in engine.voices()}
    if not voices:
        raise EngineError(f"{engine.name} has no voice")
    if voice is not None and voice not in voices:
        raise EngineError(f"{engine.name} has no voice {voice!r}; there are {', '.join(voices)}")
    chosen = next(iter(voices.values())) if voice is None else voices[voice]
    draws = generator(SEED, "audition", engine.name)
    if text is None:
        if chosen.language not in built_in():
            raise EngineError(f"there are no sentences of our own in {chosen.language}: give a text (--text)")
        text = sentence(chosen.language, draws)
    return Heard(*_checked(engine.speak(text, chosen, draws), 0), chosen, text)


def write(path: Path, heard: Heard) -> None:
    """WAV or FLAC by the name of ``path``, whole or not at all; `Stop` where it cannot be written."""
    form, subtype = FORMATS[path.suffix.lower()]
    packed = io.BytesIO()
    samples = heard.samples if subtype == "FLOAT" else np.clip(heard.samples, -1.0, 1.0)
    soundfile.write(packed, samples, heard.rate_hz, subtype=subtype, format=form)
    try:
        files.write(path, packed.getbuffer())
    except OSError as error:
        raise unwritable(path, error) from error


def _checked(sound: Sound, least_rate_hz: int) -> tuple[Float32, int]:
    return sound_of(sound, min(least_rate_hz, SAMPLE_RATE))

"""An engine: what makes a spoof, of a recording (`Copier`) or of a text (`Speaker`)."""

from __future__ import annotations

import importlib.util
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aasist.errors import AasistError
from aasist.session import SAMPLE_RATE, Float32

KINDS = ("vocoder", "vc", "codec", "tts")
"""What engines do: copy-synthesis, voice conversion, parametric or neural coding, text-to-speech."""

Sound = tuple[Float32, int]
"""Samples (N,) in [-1, 1] and their rate in Hz."""


class EngineError(AasistError):
    """An engine that there is not, that cannot run here, or that could not make what it was asked for."""

    def __init__(self, message: str) -> None:
        super().__init__("engine", message)


class Engine:
    """What is known of an engine before it is run. It is made without arguments, once in each process."""

    name: str = ""
    """Lower-case letters, digits and hyphens; unique among engines."""
    kind: str = ""
    """One of `KINDS`."""
    generator: str = ""
    """What makes the sound in the end, its name by itself where empty: engines of one generator are held out together."""
    technology: str = ""
    """A few words: formants, diphones, HMM, VITS, ..."""
    licence: str = ""
    """Of the engine; voices may have their own."""
    install: str = ""
    """The line that installs what it needs beside the package."""
    packages: tuple[str, ...] = ()
    """Of these, as pip names them, another version may make other speech: a corpus is not gone on with by it."""

    def missing(self) -> str:
        """Empty where the engine can run; otherwise the line that installs what it lacks (mostly ``install``)."""
        return ""

    def files(self) -> Sequence[Path]:
        """Files besides its code, such as weights: with others in their place, a corpus is not gone on with."""
        return ()


class Copier(Engine, ABC):
    """Takes a recording apart and puts it together again, in the same voice or in another one."""

    kind = "vocoder"
    rate_hz: int = SAMPLE_RATE
    """Of what `copy` returns, at the least. Below 16,000, the bona fide side of its pairs is band-limited likewise."""

    @abstractmethod
    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """Speech (T,) at 16 kHz, mono -> the same second by second, at the engine's own rate.

        What is random is drawn from ``generator`` alone, so that the same recording gives the same copy.
        """


@dataclass(frozen=True)
class Voice:
    """A voice of a `Speaker`. ``family`` tells voices of different technologies apart: each family is an attack."""

    name: str
    language: str
    family: str = ""
    licence: str = ""
    rate_hz: int = SAMPLE_RATE


class Speaker(Engine, ABC):
    """Says a text."""

    kind = "tts"

    @abstractmethod
    def voices(self) -> Sequence[Voice]:
        """The voices that are installed; asked only where nothing is `missing`."""

    def unusable(self) -> Mapping[str, str]:
        """Voices that are installed and cannot be used, each with why; `voices` has none of them."""
        return {}

    @abstractmethod
    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """A sentence or a few -> speech at the voice's own rate; tempo and the like are drawn from ``generator``."""


def has_package(name: str) -> bool:
    """Whether the module ``name`` is there; imports nothing."""
    return importlib.util.find_spec(name) is not None


def has_program(name: str) -> bool:
    """Whether the program ``name`` is on the path."""
    return shutil.which(name) is not None

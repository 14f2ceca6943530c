"""Texts to say: from a file of the user's, or sentences of our own grammar, a language a file in ``sentences/``."""

from __future__ import annotations

import functools
import hashlib
import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aasist.corpus.language import language_of
from aasist.errors import ProtocolError
from aasist.protocol.lines import read_blocks

SENTENCES = Path(__file__).parent / "sentences"
"""``LL.toml`` each: ``patterns``, and what stands for each ``{slot}`` in them."""

_SLOT = re.compile(r"\{(\w+)\}")

DENSE = ("zh", "ja", "ko")
"""Languages whose writing needs a third of the characters."""

MOST_CHARACTERS_A_SECOND = 24.0
"""No voice here says more; so much text fills the time, and what is too much is cut."""


@dataclass(frozen=True)
class Texts:
    """Sentences by language: lists, or grammars where ``listed`` is None. ``sha256`` tells them apart."""

    listed: Mapping[str, tuple[str, ...]] | None
    sha256: str

    @property
    def languages(self) -> frozenset[str]:
        """Those that there is something to say in."""
        return frozenset(self.listed if self.listed is not None else built_in())

    def sentences(self, language: str, count: int, random: np.random.Generator) -> tuple[str, ...]:
        """``count`` sentences of a language, which is one of `languages`."""
        if self.listed is None:
            return tuple(sentence(language, random) for _ in range(count))
        texts = self.listed[language]
        return tuple(texts[int(row)] for row in random.integers(len(texts), size=count))


def read_texts(path: str | None) -> Texts:
    """The file's, or without one our own. Raises `ProtocolError` with the line for what is not language, tab, text."""
    if path is None:
        whole = b"".join(file.read_bytes() for file in sorted(SENTENCES.glob("*.toml")))
        return Texts(None, hashlib.sha256(whole).hexdigest())
    by_language: dict[str, list[str]] = defaultdict(list)
    digest = hashlib.sha256()
    for first, lines in read_blocks(path):
        for number, line in enumerate(lines, first):
            if not line.strip():
                continue
            written, tab, text = line.partition("\t")
            if number == 1 and (written.strip().lower(), text.strip().lower()) == ("language", "text"):
                continue
            language, text = language_of(written), " ".join(text.split())
            if not tab or not language or not text:
                raise ProtocolError("expected a language, a tab and a text", path=path, line=number)
            by_language[language].append(text)
            digest.update(f"{language}\t{text}\n".encode())
    if not by_language:
        raise ProtocolError("no line has a language and a text", path=path)
    return Texts({name: tuple(texts) for name, texts in by_language.items()}, digest.hexdigest())


def enough(sentences: tuple[str, ...], language: str, seconds: float) -> str:
    """So many of the sentences, from the first, as fill ``seconds`` in the fastest voice."""
    needed = seconds * MOST_CHARACTERS_A_SECOND / (3 if language in DENSE else 1)
    chosen, length = [], 0
    for text in sentences:
        chosen.append(text)
        length += len(text)
        if length >= needed:
            break
    return ("" if language in ("zh", "ja") else " ").join(chosen)


@functools.cache
def built_in() -> frozenset[str]:
    """Languages of our own sentences."""
    return frozenset(file.stem for file in SENTENCES.glob("*.toml"))


@functools.cache
def grammar(language: str) -> Mapping[str, tuple[str, ...]]:
    """Patterns and slots of a language."""
    table = tomllib.loads((SENTENCES / f"{language}.toml").read_text(encoding="utf-8"))
    return {name: tuple(values) for name, values in table.items()}


def sentence(language: str, random: np.random.Generator) -> str:
    """A sentence of the grammar of ``language``: a pattern, each slot in it filled."""
    slots = grammar(language)

    def filled(match: re.Match[str]) -> str:
        values = slots[match[1]]
        return values[int(random.integers(len(values)))]

    patterns = slots["patterns"]
    text = _SLOT.sub(filled, patterns[int(random.integers(len(patterns)))])
    return text[:1].upper() + text[1:]


def variety(language: str) -> int:
    """How many distinct sentences the grammar of a language comes to, at the most."""
    slots = grammar(language)
    return sum(int(np.prod([len(slots[name]) for name in _SLOT.findall(text)])) for text in slots["patterns"])

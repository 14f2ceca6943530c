"""Recordings for tests: something like speech, made in no time, and corpora of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aasist.corpus.build import Silent, Summary, build
from aasist.corpus.recipe import Recipe, read_recipe

from ..corpora import SAMPLE_RATE, Signal, write_audio

ENGINES = Path(__file__).with_name("mini.py")

COPIERS = ("bent", "fast", "narrow", "rough")

CHANGES = {
    "data.engines": (str(ENGINES),),
    "copies.engines": COPIERS,
    "speech.engines": ("beeper",),
    "span.longest_seconds": 1.5,
}


def voice(seed: int, seconds: float = 1.2, *, noise: float = 1e-3, lead: float = 0.1, trail: float = 0.15) -> Signal:
    """Syllables of a buzz through formants, noise beneath, silence before and behind -> (N,) at 16 kHz."""
    random = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    times = np.arange(count) / SAMPLE_RATE
    pitch = random.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.5, 2) * times))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    buzz = sum(np.sin(k * phase + k * k) / k**0.9 for k in range(1, 30))
    breath = 0.3 * random.standard_normal(count)
    rhythm = np.clip(np.sin(2 * np.pi * random.uniform(2.5, 4.0) * times + random.uniform(0, 6)) + 0.6, 0.0, 1.0)
    inside = (times >= lead) & (times < seconds - trail)
    speech = (buzz + breath) * rhythm * inside
    return (0.05 * speech + noise * random.standard_normal(count)).astype(np.float32)


def recordings(
    folder: Path,
    count: int = 12,
    *,
    sources: int = 6,
    speakers: int = 2,
    languages: Sequence[str] = ("en",),
    seconds: float = 1.2,
    text: bool = False,
) -> Path:
    """A manifest of recordings below ``folder``, a path to it."""
    header = "path\tlabel\tsource\tspeaker\tlanguage\tlicence\tseconds" + ("\ttext" if text else "")
    lines = [header]
    for number in range(count):
        path = f"wav/r{number:03}.wav"
        write_audio(folder / path, voice(number, seconds))
        source, speaker = f"page-{number % sources}", f"p{number % sources}s{number // sources % speakers}"
        said = f"\tthis is sentence number {number}" if text else ""
        language = languages[number % len(languages)]
        lines.append(f"{path}\tbonafide\t{source}\t{speaker}\t{language}\tCC0-1.0\t{seconds:.3f}{said}")
    manifest = folder / "manifest.tsv"
    manifest.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return manifest


def recipe(bonafide: Path, name: str = "copies", **changes: object) -> Recipe:
    """A shipped recipe on the recordings at ``bonafide`` by mini engines, changed (``copies__engines`` for copies.engines)."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return read_recipe(name, {**CHANGES, "data.bonafide": (str(bonafide),), **named})


def built(bonafide: Path, place: Path, name: str = "copies", *, jobs: int = 0, **changes: object) -> Summary:
    """The corpus of `recipe` in ``place``."""
    return build(recipe(bonafide, name, **changes), place, Silent(), jobs=jobs)


def rows(place: Path) -> list[dict[str, str]]:
    """The manifest of a corpus, line by line."""
    header, *lines = (place / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]


def contents(place: Path) -> dict[str, bytes]:
    """Every file of a corpus but its lock, by path."""
    files = (path for path in place.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in files}

"""Recipes of a corpus: which recordings, which engines and how many of what they make, in what parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aasist.keys import RecipeError, key, section, values_of
from aasist.recipefile import Shelf, in_toml, with_changes

SHIPPED = Path(__file__).parent / "recipes"
"""Folder of the recipes that come with the package, ``NAME.toml`` each."""


@dataclass(frozen=True)
class Data:
    """What the corpus is made of."""

    bonafide: tuple[str, ...] = key((), "recordings: [CORPUS:]PATH each, without CORPUS a manifest or a folder of them")
    subset: str | None = key(
        None, "subset of the recordings; none: the one to train on, or all where there are no subsets"
    )
    language: str = key("", "language of the recordings that do not say theirs, such as en")
    texts: str | None = key(
        None, "what is said besides the recordings' own texts: TSV, language and text; none: built in"
    )
    engines: tuple[str, ...] = key((), "files in Python with engines of your own")
    vocoders: tuple[str, ...] = key((), "folders with a generator of HiFi-GAN in ONNX, each an engine of its own")


@dataclass(frozen=True)
class Choice:
    """Which of the recordings; sources, and within them speakers, take turns."""

    most: int | None = key(None, "recordings in all", unit="recordings", low=1)
    most_per_source: int | None = key(None, "recordings of one source", unit="recordings", low=1)
    most_per_speaker: int | None = key(None, "recordings of one speaker", unit="recordings", low=1)


@dataclass(frozen=True)
class Span:
    """What is taken of a recording, and which recordings are left out."""

    shortest_seconds: float = key(1.0, "shorter recordings are left out", unit="s", low=0.5)
    longest_seconds: float = key(4.04, "of a longer recording so much is taken, where it speaks", unit="s", low=0.5)
    quietest_dbfs: float = key(-55.0, "level of the speech below which a recording is left out", unit="dBFS", high=0.0)
    most_clipped: float = key(0.01, "share of clipped samples above which a recording is left out", low=0.0, high=1.0)
    peak: float = key(
        0.35,
        "louder spans are turned down to this peak: room for copies, which are as loud and may have higher peaks",
        low=0.01,
        high=0.99,
    )


@dataclass(frozen=True)
class Copies:
    """Copies of each recording: by copy-synthesis, conversion and parametric coding."""

    per_recording: float = key(2.0, "copies of each recording, on average", unit="copies", low=0.0)
    engines: tuple[str, ...] = key((), "engines by name; empty: every one that can run here")
    vocoder: float = key(3.0, "share of copy-synthesis; engines of one kind share evenly", low=0.0)
    vc: float = key(1.5, "share of voice conversion", low=0.0)
    codec: float = key(0.5, "share of parametric and neural coding", low=0.0)


@dataclass(frozen=True)
class Speech:
    """Text-to-speech beside each recording: in its language, at its level, over its noise, as long as it is."""

    per_recording: float = key(0.0, "clips beside each recording, on average", unit="clips", low=0.0)
    engines: tuple[str, ...] = key((), "engines by name; empty: every one that can run here")
    own_text: bool = key(True, "say what the recording says, where its text is known")
    other_languages: float = key(
        0.0, "share of clips in another language than the recording's, so that more voices take part", low=0.0, high=1.0
    )


@dataclass(frozen=True)
class Layout:
    """Parts of the corpus: whole sources or speakers are held out for dev and eval, and attacks for eval."""

    dev: float = key(0.15, "share of the recordings", low=0.0, high=0.9)
    eval: float = key(0.15, "share of the recordings", low=0.0, high=0.9)
    whole: str = key(
        "auto",
        "what is never in two parts; auto: sources from five on, else speakers from five on, else recordings",
        choices=("auto", "source", "speaker", "recording"),
    )
    held_out: tuple[str, ...] | None = key(
        (), "attacks that only eval has, by engine or engine:family; empty: one of each kind; none: no attack"
    )
    held_out_by: str = key(
        "attack",
        "one what of each kind, where held_out is empty; generator: all attacks of one, such as hifigan-tokens with hifigan",
        choices=("attack", "generator"),
    )


@dataclass(frozen=True)
class Running:
    """How to run: no part of what the corpus is."""

    item_seconds: float = key(
        300.0,
        "an engine that takes longer for one recording has failed on it, and its programs are ended",
        unit="s",
        low=1.0,
    )


@dataclass(frozen=True)
class Recipe:
    """A corpus from the first recording to the last spoof."""

    seed: int = key(1234, "of everything random", low=0)
    data: Data = section(Data)
    choice: Choice = section(Choice)
    span: Span = section(Span)
    copies: Copies = section(Copies)
    speech: Speech = section(Speech)
    layout: Layout = section(Layout)
    run: Running = section(Running)

    def __post_init__(self) -> None:
        if self.span.longest_seconds < self.span.shortest_seconds:
            raise RecipeError(
                f"span.longest_seconds must be at least span.shortest_seconds {self.span.shortest_seconds:g}, got "
                f"{self.span.longest_seconds:g}"
            )
        if not self.copies.per_recording and not self.speech.per_recording:
            raise RecipeError("copies.per_recording and speech.per_recording are both 0: nothing would be made")
        if self.layout.dev + self.layout.eval >= 1:
            raise RecipeError("layout.dev and layout.eval leave nothing to train on: their sum must be below 1")
        if not self.copies.vocoder + self.copies.vc + self.copies.codec > 0:
            raise RecipeError("copies.vocoder, copies.vc and copies.codec are all 0: set copies.per_recording to 0")


OPERATIONAL = ("data.bonafide", "data.texts", "data.engines", "data.vocoders")
"""Keys that say where things lie, which may change: a corpus can be built on elsewhere. What lies there may not: of audio,
texts, engines' files and versions of packages a fingerprint is kept (`aasist.corpus.fingerprints`)."""

SHELF = Shelf(Recipe, SHIPPED)


def read_recipe(given: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a file, or the shipped one of that name, with ``changes`` on top; `RecipeError` as `Shelf.read`."""
    return with_changes(SHELF.read(given), changes or {})


def resolved_text(recipe: Recipe) -> str:
    """The recipe with every key, as TOML that `read_recipe` reads back."""
    return in_toml(values_of(recipe))


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """The keys that make another corpus and in which two recipes differ, with the value in each."""
    first, second = values_of(one), values_of(other)
    return {
        name: (first[name], second[name])
        for name in first
        if first[name] != second[name] and name not in OPERATIONAL and not name.startswith("run.")
    }

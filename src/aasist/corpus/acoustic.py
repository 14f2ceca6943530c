"""Mel spectra as acoustic models give them to a vocoder: smoothed, of low rank, in tokens, noisy, of another voice.

A vocoder that is fed the recording's own mel spectrum has an easy task; text-to-speech and conversion feed it guesses. All
spectra here are logarithms (bands, frames), natural or of base 10, and what comes back is of the same shape.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np

from aasist.corpus.spectra import Float64

ENVELOPE = 16
"""So many cosines along the bands make the envelope; what is left of a frame is its harmonics."""


def smoothed(mel: Float64, random: np.random.Generator) -> Float64:
    """What regression on a mean gives: blurred along time or bands, or of few components; a little flatter in time."""
    frames, bands, rank = random.uniform(0.5, 1.2), random.uniform(0.2, 0.8), int(random.integers(14, 33))
    mean = mel.mean(axis=1, keepdims=True)
    flatter = random.uniform(0.9, 1.0)
    if random.random() < 0.6:
        around = blurred(blurred(mel, frames).T, bands).T - mean
    else:
        left, weights, right = np.linalg.svd(mel - mean, full_matrices=False)
        around = (left[:, :rank] * weights[:rank]) @ right[:rank]
    return np.asarray(mean + flatter * around)


def tokens(mel: Float64, random: np.random.Generator) -> Float64:
    """What a decoder gets of a codec language model: spectra from codebooks, or components in a few steps each.

    Codebooks are found in the recording itself (k-means, residuals in stages, as vector-quantised codecs have them); one
    token stands for one or two frames. Steps are those of finite scalar quantisation (Mentzer et al., 2023).
    """
    together = int(random.integers(1, 3))
    mean = mel.mean(axis=1, keepdims=True)
    centred = mel - mean
    bands, count = mel.shape
    padded = np.pad(centred, ((0, 0), (0, -count % together)), mode="edge")
    rows = padded.reshape(bands, -1, together).transpose(1, 0, 2).reshape(-1, bands * together)
    if random.random() < 0.5:
        groups, entries, stages = (
            int(random.integers(2, 6)),
            int(random.choice((16, 32, 64))),
            int(random.integers(1, 4)),
        )
        edges = np.linspace(0, bands, groups + 1).astype(int) * together
        for first, end in itertools.pairwise(edges):
            rest = rows[:, first:end].copy()
            for _ in range(stages):
                rest -= quantised(rest, entries, random)
            rows[:, first:end] -= rest
    else:
        rank, steps = int(random.integers(16, 41)), int(random.integers(5, 13))
        left, weights, right = np.linalg.svd(rows, full_matrices=False)
        parts = left[:, :rank] * weights[:rank]
        largest = np.abs(parts).max(axis=0)
        # Each has as many steps as its spread wants of the first one's; no component is all zero.
        size = np.maximum(largest, 1e-9) * 2 / (steps - 1)
        size = np.minimum(size, size[0] * random.uniform(0.3, 0.8))
        rows = (np.round(parts / size) * size) @ right[:rank]
    spectrum = rows.reshape(-1, bands, together).transpose(1, 0, 2).reshape(bands, -1)[:, :count]
    return np.asarray(mean + spectrum)


def noisy(mel: Float64, random: np.random.Generator) -> Float64:
    """What diffusion or flow matching leaves when it is stopped early: noise of 5 to 16 % of the spectrum's spread."""
    noise = random.standard_normal(mel.shape)
    if random.random() < 0.5:
        noise = blurred(noise, random.uniform(0.5, 1.5))
    noise *= random.uniform(0.05, 0.16) * float(mel.std()) / max(float(noise.std()), 1e-9)
    return np.asarray(mel + noise)


def moved(mel: Float64, centres_hz: Float64, ratio: float, top_hz: float) -> Float64:
    """The envelope moved along frequency by ``ratio`` (a shorter vocal tract above 1), the harmonics left where they are.

    ``centres_hz`` (bands,) are the bands'; above ``top_hz`` of what there was, the last band goes on, so that formants
    moved down leave no empty one.
    """
    mel = mel[np.minimum(np.arange(len(mel)), max(0, int(np.searchsorted(centres_hz, top_hz)) - 1))]
    basis = _cosines(len(mel))
    envelope = basis.T @ (basis @ mel)
    places = np.interp(centres_hz / ratio, centres_hz, np.arange(len(mel)))
    low = np.minimum(places.astype(int), len(mel) - 2)
    share = (places - low)[:, None]
    return np.asarray(envelope[low] * (1 - share) + envelope[low + 1] * share + (mel - envelope))


def stretched(mel: Float64, count: int) -> Float64:
    """(bands, frames) -> (bands, count), by lines between neighbours."""
    return _at(mel, np.linspace(0.0, mel.shape[1] - 1.0, count))


def paced(mel: Float64, frame_seconds: float, random: np.random.Generator) -> Float64:
    """Spoken faster here and slower there, by up to 8 %, never further than 40 ms from where it was."""
    count = mel.shape[1]
    period = random.uniform(0.8, 2.0) / frame_seconds
    most = min(0.08 * period / (2 * np.pi), 0.04 / frame_seconds)
    frames = np.arange(count)
    shift = random.uniform(0.4, 1.0) * most * np.sin(2 * np.pi * (frames / period + random.random()))
    return _at(mel, np.clip(frames + shift, 0, count - 1))


def blurred(rows: Float64, spread: float) -> Float64:
    """Each row (R, N) under a Gaussian of standard deviation ``spread``, its ends repeated."""
    reach = max(1, int(np.ceil(3 * spread)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / spread) ** 2)
    padded = np.pad(rows, ((0, 0), (reach, reach)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    return np.asarray(windows @ (weights / weights.sum()))


def quantised(rows: Float64, entries: int, random: np.random.Generator, rounds: int = 8) -> Float64:
    """Rows (R, D) -> each the nearest of ``entries`` means that k-means finds among them, begun at rows drawn."""
    book = rows[random.choice(len(rows), min(entries, len(rows)), replace=False)]
    for _ in range(rounds):
        nearest = np.argmin((book**2).sum(axis=1) - 2 * rows @ book.T, axis=1)
        for entry in np.unique(nearest):
            book[entry] = rows[nearest == entry].mean(axis=0)
    return np.asarray(book[np.argmin((book**2).sum(axis=1) - 2 * rows @ book.T, axis=1)])


def _at(mel: Float64, places: Float64) -> Float64:
    low = np.clip(places.astype(int), 0, max(0, mel.shape[1] - 2))
    share = places - low
    return np.asarray(mel[:, low] * (1 - share) + mel[:, np.minimum(low + 1, mel.shape[1] - 1)] * share)


@functools.cache
def _cosines(bands: int) -> Float64:
    """The first cosines along the bands, orthonormal (ENVELOPE, bands)."""
    basis = np.cos(np.pi * np.outer(np.arange(ENVELOPE), np.arange(bands) + 0.5) / bands)
    return np.asarray(basis / np.linalg.norm(basis, axis=1, keepdims=True))

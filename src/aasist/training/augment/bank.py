"""Recordings that augmentation adds or convolves with: noise, music, responses of rooms, other speakers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aasist.audio.files import find_audio
from aasist.audio.read import open_audio
from aasist.errors import AasistError, AudioError
from aasist.protocol.manifest import read_manifest
from aasist.session import SAMPLE_RATE, Float32
from aasist.training.draws import Draws, Purpose, generator
from aasist.training.waveforms import LIMITS

KINDS = ("noise", "music", "rir", "speech")
"""``rir`` are responses of rooms, ``speech`` bona fide recordings of single speakers."""

RESPONSE_SECONDS = 0.5
"""Kept of a room's response, from its strongest arrival on."""

LEAD_SAMPLES = 16
"""Kept of it before that arrival: a millisecond, in which the arrival rises."""

EXCERPT_SECONDS = 30.0
"""Kept of a recording, from its start on."""

Int16 = NDArray[np.int16]


class NoiseBank:
    """Recordings by kind, 16 kHz mono as 16 bits, each scaled to its own peak.

    A long recording is cut after ``EXCERPT_SECONDS``, and once ``limit_bytes`` are held the rest is left out (the order
    is drawn from ``seed``). ``sha256`` is of everything held, ``left_out`` counts what did not fit.
    """

    def __init__(
        self, recordings: Mapping[str, Iterable[Float32]], *, limit_bytes: int = 1 << 30, seed: int = 0
    ) -> None:
        """``recordings``: mono samples (N,) at 16 kHz by kind. Raises `AasistError` ``noise_bank`` for one that is empty,
        not finite or silent, and for a kind that there is not."""
        self._held: dict[str, list[Int16]] = {kind: [] for kind in KINDS}
        self.left_out = 0
        room = limit_bytes
        for kind, samples in _mingled(recordings, seed):
            kept = _kept(samples, kind, f"a recording of {kind}")
            if kept.nbytes > room:
                self.left_out += 1
                continue
            room -= kept.nbytes
            self._held[kind].append(kept)
        self._responses: dict[torch.device, Tensor] = {}

    @classmethod
    def read(cls, places: Sequence[str | os.PathLike[str]], *, limit_bytes: int = 1 << 30, seed: int = 0) -> NoiseBank:
        """From folders and manifests.

        A manifest has columns ``path`` and ``kind``. A folder may hold one, named ``noise.tsv``; else each recording is
        of the kind that the nearest folder above it is named for (``noise``, ``music``, ``rir``, ``speech``), as in
        MUSAN. Decoding ends when ``limit_bytes`` are held. Raises `AasistError` ``noise_bank``, naming the recording,
        `ProtocolError`, naming the manifest, and `AudioError` for a folder that cannot be read.
        """
        found = [row for place in places for row in _found(Path(place))]
        order = generator(seed, Purpose.BANK).permutation(len(found))
        bank, room = cls({}), limit_bytes
        for number, index in enumerate(order):
            path, kind = found[index]
            kept = _kept(_beginning(path), kind, str(path))
            if kept.nbytes > room:
                bank.left_out = len(order) - number
                break
            room -= kept.nbytes
            bank._held[kind].append(kept)
        return bank

    def with_speech(self, recordings: Iterable[Float32], *, limit_bytes: int = 1 << 28) -> NoiseBank:
        """This bank and bona fide speech (mono, 16 kHz) beside what it has: other speakers to mix."""
        both = NoiseBank({"speech": recordings}, limit_bytes=limit_bytes)
        both.left_out += self.left_out
        both._held = {kind: self._held[kind] + both._held[kind] for kind in KINDS}
        return both

    def count(self, kind: str) -> int:
        """Recordings of a kind."""
        return len(self._held[kind])

    @property
    def response_samples(self) -> int:
        """Length of the longest response of a room, 0 without any."""
        return max(map(len, self._held["rir"]), default=0)

    @property
    def held_bytes(self) -> int:
        """What the recordings take."""
        return sum(recording.nbytes for held in self._held.values() for recording in held)

    @property
    def sha256(self) -> str:
        """Of every recording with its kind, in order."""
        digest = hashlib.sha256()
        for kind, held in self._held.items():
            for recording in held:
                digest.update(f"{kind} {len(recording)} ".encode())
                digest.update(recording.tobytes())
        return digest.hexdigest()

    def excerpts(self, kind: str, draws: Draws, samples: int) -> Tensor:
        """(n, samples) float32: for each row a recording of the kind from a drawn sample on, followed round its end."""
        held = self._held[kind]
        which = draws.integer(f"{kind} recording", 0, len(held) - 1)
        where = draws.fraction(f"{kind} start")
        out = np.empty((len(draws), samples), np.int16)
        for row, (index, fraction) in enumerate(zip(which.tolist(), where.tolist(), strict=True)):
            recording = held[index]
            start, filled = int(fraction * len(recording)), 0
            while filled < samples:
                part = recording[start : start + samples - filled]
                out[row, filled : filled + len(part)] = part
                start, filled = 0, filled + len(part)
        return torch.from_numpy(out).to(draws.device).float().mul_(1 / 2**15)

    def responses(self, draws: Draws) -> Tensor:
        """(n, L) float32: for each row the response of a room, its strongest arrival at `LEAD_SAMPLES`."""
        every = self._responses.get(draws.device)
        if every is None:
            every = _side_by_side(self._held["rir"]).to(draws.device)
            self._responses[draws.device] = every
        which = draws.integer("response", 0, len(every) - 1)
        return every[torch.from_numpy(which).to(draws.device)]


def _mingled(recordings: Mapping[str, Iterable[Float32]], seed: int) -> list[tuple[str, Float32]]:
    unknown = recordings.keys() - set(KINDS)
    if unknown:
        raise AasistError("noise_bank", f"the kind must be one of {', '.join(KINDS)}, got {min(unknown)!r}")
    every = [(kind, samples) for kind in KINDS for samples in recordings.get(kind, ())]
    return [every[index] for index in generator(seed, Purpose.BANK).permutation(len(every))]


def _kept(samples: Float32, kind: str, name: str) -> Int16:
    """What is held of one recording."""
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise AasistError("noise_bank", f"{name}: expected mono samples (N,), all of them finite")
    if kind == "rir" and len(samples):
        top = int(np.abs(samples).argmax())
        samples = np.pad(samples, (LEAD_SAMPLES, 0))[top:][: LEAD_SAMPLES + round(RESPONSE_SECONDS * SAMPLE_RATE)]
    samples = samples[: round(EXCERPT_SECONDS * SAMPLE_RATE)]
    if not samples.any():
        raise AasistError(
            "noise_bank", f"{name}: every sample of the first {EXCERPT_SECONDS:g} s is zero; leave it out"
        )
    return np.asarray(np.rint(samples * (32767.0 / float(np.abs(samples).max()))), np.int16)


def _side_by_side(responses: Sequence[Int16]) -> Tensor:
    """(R, L) float32 of unit energy, shorter ones with zeros behind."""
    out = np.zeros((len(responses), max(map(len, responses))), np.float32)
    for row, response in enumerate(responses):
        out[row, : len(response)] = response / np.sqrt(np.sum(np.square(response, dtype=np.float64)))
    return torch.from_numpy(out)


def _found(place: Path) -> list[tuple[Path, str]]:
    """(recording, kind) of a folder or a manifest, sorted by path."""
    manifest = place / "noise.tsv" if place.is_dir() else place
    if not place.is_dir() or manifest.is_file():
        trials = read_manifest(manifest)
        if "kind" not in trials.columns or "path" not in trials.columns:
            raise AasistError("noise_bank", f"{manifest}: expected columns 'path' and 'kind'")
        rows = zip(trials.columns["path"].tolist(), trials.columns["kind"].tolist(), strict=True)
        found = sorted((manifest.parent / path, kind) for path, kind in rows)
        for path, kind in found:
            if kind not in KINDS:
                raise AasistError("noise_bank", f"{manifest}: {path.name}: the kind must be one of {', '.join(KINDS)}, "
                                  f"got {kind!r}")  # fmt: skip
        return found
    found = []
    for path in find_audio(place):
        kind = next((part for part in reversed(path.parts[:-1]) if part in KINDS), None)
        if kind is None:
            raise AasistError(
                "noise_bank",
                f"{path}: what kind of recording it is must show in a folder above it, one of {', '.join(KINDS)}, "
                "or in a manifest noise.tsv with columns 'path' and 'kind'",
            )
        found.append((path, kind))
    return found


def _beginning(path: Path) -> Float32:
    """The first seconds of a recording; the rest is not decoded."""
    blocks, count = [np.zeros(0, np.float32)], 0
    try:
        with open_audio(path, limits=LIMITS) as reader:
            for block in reader.blocks():
                blocks.append(block)
                count += len(block)
                if count >= EXCERPT_SECONDS * SAMPLE_RATE:
                    break
    except AudioError as error:
        raise AasistError("noise_bank", f"{path}: {error.message}") from error
    return np.concatenate(blocks)

"""The conditions of a stress test: telephones, codecs, noise, rooms, levels, speeds, lengths, each by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aasist.audio import encode
from aasist.audio.encode import ChannelCodec
from aasist.audio.read import MAX_MAGNITUDE
from aasist.errors import AudioError
from aasist.session import Float32
from aasist.trials import channel
from aasist.trials.channel import Float64

Effect = Callable[[Float32, np.random.Generator], Float32]
"""Samples (N,) at 16 kHz and a generator -> samples (M,) at 16 kHz."""

REVERBERATION_T60_SECONDS, REVERBERATION_DIRECT_DB = 0.6, 0.0
"""A living room heard from a distance at which the reverberation is as strong as the direct sound."""

REPLAY_T60_SECONDS, REPLAY_DIRECT_DB = 0.4, 6.0
"""A furnished room, and a microphone closer to the loudspeaker."""

_REVISION = "1"
"""Goes up whenever a condition gives other samples than before: results and caches must not be mixed."""


@dataclass(frozen=True)
class Condition:
    """One way in which every recording of an evaluation is changed.

    ``name`` is unique and stable, ``group`` what the conditions beside it in a table share, ``description`` one line
    for people. ``version`` changes when the samples do: it holds the version of the coding library and the digest of
    recorded material. ``costly`` ones are worth a cache.
    """

    name: str
    group: str
    description: str
    effect: Effect
    codec: ChannelCodec | None = None
    version: str = _REVISION
    costly: bool = False

    @property
    def unavailable(self) -> str | None:
        """Why this installation cannot apply the condition (an encoder is missing), or None: it can."""
        return None if self.codec is None else encode.missing(self.codec)

    def apply(self, samples: Float32, rng: np.random.Generator) -> Float32:
        """Samples (N,) at 16 kHz -> (M,) at 16 kHz, finite, one at the least; what is random comes from ``rng``.

        Values beyond `MAX_MAGNITUDE`, which no reader gives, are limited to it. Raises `AudioError` ``empty`` or
        ``not_finite`` for samples that are, and `EncoderMissing`.
        """
        if samples.ndim != 1 or not len(samples):
            raise AudioError("empty", f"{self.name}: expected mono samples (N,), got shape {samples.shape}")
        if not np.isfinite(samples).all():
            raise AudioError("not_finite", f"{self.name}: expected finite samples, got NaN or infinity among them")
        limited = np.clip(np.asarray(samples, np.float32), -MAX_MAGNITUDE, MAX_MAGNITUDE)
        return np.ascontiguousarray(self.effect(limited, rng), np.float32)


def conditions(*, noises: Sequence[Float32] = (), responses: Sequence[Float32] = ()) -> dict[str, Condition]:
    """Every condition by name, in the order of a report.

    Noise and rooms are synthesised, so that the package alone gives the same figures everywhere. ``noises`` and
    ``responses`` (each mono (N,) at 16 kHz) take their place where given: each trial draws one of them.
    """
    noise_of, noise_text, noise_version = _noise_source(noises)
    found = [
        Condition("clean", "clean", "as recorded", lambda samples, rng: samples),
        Condition(
            "no-silence",
            "silence",
            f"leading and trailing frames of 20 ms removed that lie {channel.SILENCE_DB:.0f} dB below the loudest",
            lambda samples, rng: channel.without_outer_silence(samples),
        ),
        *(_gain(gain_db) for gain_db in (-20, -12, -6, 6)),
        _telephone("phone-mulaw", "mu-law (G.711)", encode.MU_LAW),
        _telephone("phone-gsm", "GSM 06.10", encode.GSM_FULL_RATE),
        _telephone("phone-amr-12.2", "AMR-NB at 12.2 kbit/s", encode.amr_narrow_band(12_200)),
        _telephone("phone-amr-4.75", "AMR-NB at 4.75 kbit/s", encode.amr_narrow_band(4_750)),
        *(_media("mp3", kilobits, encode.mp3(1_000 * kilobits)) for kilobits in (128, 64, 32)),
        *(_media("aac", kilobits, encode.aac(1_000 * kilobits)) for kilobits in (128, 64, 32)),
        *(_media("opus", kilobits, encode.opus(1_000 * kilobits)) for kilobits in (64, 24, 12)),
        Condition(
            "resample-22050",
            "resampling",
            "16 to 22.05 kHz and back",
            lambda samples, rng: channel.resampled_through(samples, 22_050),
        ),
        *(_noise(snr_db, noise_of, noise_text, noise_version) for snr_db in (20, 10, 0)),
        _reverberation(responses),
        _replay(responses),
        *(_speed(factor) for factor in (0.9, 1.1)),
        *(_first(seconds) for seconds in (1, 2, 3)),
    ]
    return {condition.name: condition for condition in found}


def _gain(gain_db: int) -> Condition:
    return Condition(
        f"gain{gain_db:+d}db",
        "gain",
        f"gain {gain_db:+d} dB, clipped at full scale",
        lambda samples, rng: channel.amplified(samples, gain_db),
    )


def _telephone(name: str, codec_text: str, codec: ChannelCodec) -> Condition:
    low_hz, high_hz = channel.TELEPHONE_HZ
    return Condition(
        name,
        "telephone",
        f"8 kHz, {low_hz:.0f} to {high_hz:.0f} Hz, {codec_text}",
        lambda samples, rng: channel.telephoned(samples, codec),
        codec=codec,
        version=f"{_REVISION} {codec.library_version}",
        costly=True,
    )


def _media(group: str, kilobits: int, codec: ChannelCodec) -> Condition:
    return Condition(
        f"{group}-{kilobits}",
        group,
        f"{codec.name} at {kilobits} kbit/s, coded at {codec.rate_hz / 1_000:g} kHz",
        lambda samples, rng: encode.coded(samples, codec),
        codec=codec,
        version=f"{_REVISION} {codec.library_version}",
        costly=True,
    )


def _noise(
    snr_db: int, noise_of: Callable[[int, np.random.Generator], Float64], source_text: str, version: str
) -> Condition:
    return Condition(
        f"noise-{snr_db}db",
        "noise",
        f"{source_text} at {snr_db} dB SNR, the speech's level taken where it sounds",
        lambda samples, rng: channel.with_noise(samples, noise_of(len(samples), rng), snr_db),
        version=version,
    )


def _reverberation(responses: Sequence[Float32]) -> Condition:
    room_of, text, version = _room_source(responses, REVERBERATION_T60_SECONDS, REVERBERATION_DIRECT_DB)
    return Condition(
        "reverberation",
        "room",
        text,
        lambda samples, rng: channel.in_room(samples, room_of(rng)),
        version=version,
        costly=True,
    )


def _replay(responses: Sequence[Float32]) -> Condition:
    room_of, text, version = _room_source(responses, REPLAY_T60_SECONDS, REPLAY_DIRECT_DB)
    return Condition(
        "replay",
        "replay",
        f"loudspeaker (band and distortion), {text}, microphone noise at 30 dB SNR, level 0 to 12 dB down",
        lambda samples, rng: channel.replayed(samples, room_of(rng), rng),
        version=version,
        costly=True,
    )


def _speed(factor: float) -> Condition:
    return Condition(
        f"speed-{factor}",
        "speed",
        f"played at {factor} times the speed, the pitch moving along",
        lambda samples, rng: channel.at_speed(samples, factor),
    )


def _first(seconds: int) -> Condition:
    return Condition(
        f"first-{seconds}s",
        "duration",
        f"the first {seconds} s only",
        lambda samples, rng: channel.beginning(samples, seconds),
    )


def _noise_source(noises: Sequence[Float32]) -> tuple[Callable[[int, np.random.Generator], Float64], str, str]:
    """(function of length and generator to noise (length,), its description, the version)."""
    if not noises:
        return channel.pink_noise, f"pink noise from {channel.PINK_FROM_HZ:.0f} Hz", _REVISION
    recorded = _checked(noises, "noise")
    return (
        lambda length, rng: channel.excerpt(recorded[rng.integers(len(recorded))], length, rng),
        f"recorded noise (1 of {len(recorded)})",
        _digest(recorded),
    )


def _room_source(
    responses: Sequence[Float32], t60_seconds: float, direct_db: float
) -> tuple[Callable[[np.random.Generator], Float64], str, str]:
    """(function of the generator to a room's response, its description, the version)."""
    if not responses:
        return (
            lambda rng: channel.room_response(rng, t60_seconds, direct_db),
            f"room with T60 {t60_seconds} s and {direct_db:g} dB direct to reverberant sound",
            _REVISION,
        )
    recorded = _checked(responses, "room response")
    return (
        lambda rng: recorded[rng.integers(len(recorded))].astype(np.float64),
        f"recorded room response (1 of {len(recorded)})",
        _digest(recorded),
    )


def _checked(recordings: Sequence[Float32], what: str) -> list[Float32]:
    """Copies of the recordings; raises `AudioError` where one is not mono, not finite or silent."""
    kept = []
    for number, recording in enumerate(recordings, 1):
        samples = np.array(recording, np.float32)
        if samples.ndim != 1 or not np.all(np.abs(samples) <= MAX_MAGNITUDE) or not samples.any():
            raise AudioError(
                "unusable", f"{what} {number} of {len(recordings)}: expected mono samples (N,), finite and not all zero"
            )
        kept.append(samples)
    return kept


def _digest(recordings: Sequence[Float32]) -> str:
    digest = hashlib.sha256()
    for recording in recordings:
        digest.update(len(recording).to_bytes(8, "little"))
        digest.update(recording.tobytes())
    return f"{_REVISION} {digest.hexdigest()[:16]}"


CONDITIONS: dict[str, Condition] = conditions()
"""The conditions of ``evaluate --stress``, with synthesised noise and rooms."""

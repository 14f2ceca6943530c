"""Random draws that depend on what they are for, and never on who makes them: seed, epoch, position, purpose.

A worker, a rank, a cache or an interruption changes no draw. ``generator`` serves parameters on the CPU; ``uniform`` and
``normal`` make whole tensors from one key a row, and `Draws` names them (Salmon et al., Parallel random numbers: as easy
as 1, 2, 3, SC 2011: a hash of key and counter in place of a state). The integers are the same on every device; what
logarithms and cosines make of them may differ between devices in the last bit.
"""

from __future__ import annotations

import enum
import functools
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]
Float64 = NDArray[np.float64]


class Purpose(enum.IntEnum):
    """What a draw is for: draws of different purposes have nothing to do with each other. Never renumber."""

    ORDER = 1
    """Order of the trials in an epoch."""
    CROP = 2
    LENGTH = 3
    """Length of the crops of a batch."""
    AUGMENT = 4
    CODEC = 5
    BAND_MASK = 6
    DROPOUT = 7
    START = 8
    """Weights at the start."""
    BANK = 9
    """Which recordings of noise, rooms and speech are kept."""
    ATTACK = 10
    """Which rows are perturbed, how far, and from where."""
    WINDOWS = 11
    """Which trials are heard, and where, to weigh the parts of a model."""


def generator(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """Numbers for one purpose; ``key`` says which draw: epoch, position, ..."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, int(purpose), *key])))


def row_keys(seed: int, purpose: Purpose, epoch: int, draws: NDArray[np.int64]) -> NDArray[np.int64]:
    """One key (B,) for each row of a batch from its draw (B,); equal draws have equal keys."""
    mixed = _mixed(np.asarray(seed & _WORD, np.uint64) * _ODD + np.uint64(int(purpose)))
    mixed = _mixed(mixed ^ np.asarray(epoch & _WORD, np.uint64))
    return _mixed(mixed ^ draws.astype(np.uint64)).view(np.int64)


def seed_dropout(seed: int, epoch: int, batch: int, rank: int) -> None:
    """Seed torch's own generators for one step: dropout is drawn where it happens."""
    torch.manual_seed(int(generator(seed, Purpose.DROPOUT, epoch, batch, rank).integers(1 << 62)))


_WORD = (1 << 64) - 1
_ODD = np.uint64(0x9E3779B97F4A7C15)


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser (Steele, Lea and Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        v = np.asarray(value, np.uint64) + _ODD
        v = (v ^ (v >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        v = (v ^ (v >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(v ^ (v >> np.uint64(31)))


def _of_stream(keys: Integers, stream: int) -> NDArray[np.uint64]:
    """Keys (B,) -> keys (B,) of one of their streams."""
    return _mixed(keys.view(np.uint64) ^ _mixed(np.asarray(stream, np.uint64)))


def fraction(keys: Integers, stream: int = 0) -> Float64:
    """Keys (B,) -> one number each (B,), uniform in (0, 1), made on the CPU: a parameter."""
    return ((_of_stream(keys, stream) >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52


def uniform(keys: Integers, count: int, stream: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Keys (B,) -> (B, count) float32 in (0, 1): number n of row b is a function of key, stream and n alone."""
    # 23 bits, at the middle of their steps: never 0, whose logarithm is infinite, and never 1.
    return bits23(keys, count, stream, device).to(torch.float32).add_(0.5).mul_(1 / (1 << 23))


def normal(keys: Integers, count: int, stream: int = 0, device: torch.device | str = "cpu") -> Tensor:
    """Keys (B,) -> (B, count) float32, standard normal (Box and Muller, 1958): as `uniform`, number by number."""
    half = -(-count // 2)
    radius = uniform(keys, half, 2 * stream, device).log_().mul_(-2).sqrt_()
    angle = uniform(keys, half, 2 * stream + 1, device).mul_(2 * torch.pi)
    both = torch.empty(len(keys), half, 2, device=radius.device)
    torch.mul(radius, angle.cos(), out=both[..., 0])
    torch.mul(radius, angle.sin_(), out=both[..., 1])
    return both.flatten(1)[:, :count]


def bits23(keys: Integers, count: int, stream: int, device: torch.device | str) -> Tensor:
    """Keys (B,) -> (B, count) int32 in [0, 2^23), uniform, the same on every device.

    A counter that is hashed once for all rows; half of a row's key goes in before what mixes it on, half within it.
    """
    halves = _of_stream(keys, stream).view(np.uint32).reshape(-1, 2)
    if torch.device(device).type == "cpu":  # NumPy shifts ten times as fast as torch does there
        return torch.from_numpy(_bits23_on_cpu(halves, count))
    low, high = torch.from_numpy(halves.view(np.int32)).to(device).unsqueeze(2).unbind(1)
    value = torch.from_numpy(_counters(count).view(np.int32)).to(device) ^ low
    value.mul_(_as_int32(_MIX_1))
    value.bitwise_xor_(torch.bitwise_right_shift(value, 15).bitwise_and_(0x1FFFF)).add_(high).mul_(_as_int32(_MIX_2))
    value.bitwise_xor_(torch.bitwise_right_shift(value, 16).bitwise_and_(0xFFFF))
    return value.bitwise_right_shift_(9).bitwise_and_(0x7FFFFF)


def _bits23_on_cpu(halves: NDArray[np.uint32], count: int) -> NDArray[np.int32]:
    out = np.empty((len(halves), count), np.uint32)
    shifted = np.empty(count, np.uint32)
    for row, (low, high) in enumerate(halves):  # row by row, in the cache
        value = np.bitwise_xor(_counters(count), low, out=out[row])
        value *= _MIX_1
        value ^= np.right_shift(value, np.uint32(15), out=shifted)
        value += high
        value *= _MIX_2
        value ^= np.right_shift(value, np.uint32(16), out=shifted)
        value >>= np.uint32(9)
    return out.view(np.int32)


_MIX_1, _MIX_2 = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
"""Of a 32-bit finaliser with low bias (Wellons, Prospecting for hash functions, 2018)."""


@functools.lru_cache(16)
def _counters(count: int) -> NDArray[np.uint32]:
    """0, 1, 2, ... (count,), each through that finaliser; not to be written to."""
    value = np.arange(count, dtype=np.uint32)
    value ^= value >> np.uint32(16)
    value *= _MIX_1
    value ^= value >> np.uint32(15)
    value *= _MIX_2
    return np.asarray(value ^ (value >> np.uint32(16)))


def _as_int32(value: np.uint32) -> int:
    return int(value.astype(np.int32))


class Draws:
    """The draws of some rows for one step of what is done to them, each by its name.

    ``keys`` (n,) of the rows; draws of other steps and of other names have nothing to do with each other, so a step that
    draws more or less than before changes no other. What shapes the work is drawn on the CPU (NumPy), what fills
    tensors on ``device``.
    """

    def __init__(self, keys: Integers, step: str, device: torch.device | str = "cpu") -> None:
        self.keys, self.step, self.device = np.ascontiguousarray(keys, np.int64), step, torch.device(device)

    def __len__(self) -> int:
        return len(self.keys)

    def _stream(self, name: str) -> int:
        return zlib.crc32(f"{self.step}.{name}".encode())

    def fraction(self, name: str) -> Float64:
        """(n,), uniform in (0, 1)."""
        return fraction(self.keys, self._stream(name))

    def between(self, name: str, bounds: tuple[float, float]) -> Float64:
        """(n,), uniform between two bounds."""
        low, high = bounds
        return low + (high - low) * self.fraction(name)

    def integer(self, name: str, low: int, high: int) -> Integers:
        """(n,), uniform among the whole numbers from ``low`` to ``high``, both included."""
        return low + np.minimum((self.fraction(name) * (high - low + 1)).astype(np.int64), high - low)

    def column(self, name: str, bounds: tuple[float, float]) -> Tensor:
        """`between` as a column (n, 1) float32 on the device."""
        return self.on_device(self.between(name, bounds))

    def ratio(self, name: str, bounds_db: tuple[float, float]) -> Tensor:
        """Uniform in dB between two bounds, as a ratio of amplitudes: a column (n, 1) float32 on the device."""
        return self.on_device(10 ** (self.between(name, bounds_db) / 20))

    def on_device(self, values: Float64) -> Tensor:
        """Values (n,) as a column (n, 1) float32 on the device."""
        return torch.from_numpy(values.astype(np.float32)).unsqueeze(1).to(self.device)

    def uniform(self, name: str, count: int) -> Tensor:
        """(n, count) float32 in (0, 1), on the device."""
        return uniform(self.keys, count, self._stream(name), self.device)

    def normal(self, name: str, count: int) -> Tensor:
        """(n, count) float32, standard normal, on the device."""
        return normal(self.keys, count, self._stream(name), self.device)

    def of(self, rows: Integers) -> Draws:
        """The draws of some of the rows."""
        return Draws(self.keys[rows], self.step, self.device)

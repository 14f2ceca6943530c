"""Draws: everything random is a function of the seed and of what it is drawn for, never of order, jobs or time."""

from __future__ import annotations

import hashlib

import numpy as np


def digest(seed: int, *parts: str) -> str:
    """64 hexadecimal digits for these parts under this seed."""
    return hashlib.sha256("\0".join((str(seed), *parts)).encode(errors="surrogateescape")).hexdigest()


def number(seed: int, *parts: str) -> int:
    """A whole number from 0 to 2^64 - 1 for these parts."""
    return int(digest(seed, *parts)[:16], 16)


def share(seed: int, *parts: str) -> float:
    """A number in [0, 1) for these parts."""
    return number(seed, *parts) / 2.0**64


def generator(seed: int, *parts: str) -> np.random.Generator:
    """A stream of draws for these parts."""
    return np.random.default_rng(int(digest(seed, *parts)[:32], 16))

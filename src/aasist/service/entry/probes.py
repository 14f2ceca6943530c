"""What each client asked about lately: who asks about one recording again and again, a little altered each time, is noticed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from aasist.service.entry.likeness import Likeness, near, packed, unpacked

KEPT_EACH = 256
"""Recordings of one client that a new one is compared with."""

KEPT = 50_000
"""And of all clients together: about 20 MB."""


@dataclass(slots=True, eq=False)
class Sound:
    """One recording, as it is remembered; ``owner`` None: by nobody any more."""

    at: float
    owner: Asked | None
    bits: bytes
    content: bytes


@dataclass(slots=True, eq=False)
class Asked:
    """Of one client."""

    sounds: deque[Sound] = field(default_factory=deque)
    """The oldest first."""
    alike: deque[float] = field(default_factory=deque)
    """When recordings came that were near an earlier one, and not the same."""


class Probes:
    """Of all clients of one process. Moments and ``seconds`` by a clock of the caller's; not for several threads at once."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self._limit, self._seconds = limit, seconds
        self._all: deque[Sound] = deque()

    def __len__(self) -> int:
        return len(self._all)

    def note(self, asked: Asked, likeness: Likeness, now: float) -> bool:
        """Remember a recording; whether it was near an earlier one of this client. The very same again teaches nobody anything: it
        is not counted."""
        self.forget(now)
        if any(sound.content == likeness.content for sound in asked.sounds):
            return False
        alike = False
        if asked.sounds:
            known = unpacked(b"".join(sound.bits for sound in asked.sounds))
            alike = any(bool(near(bits, known).any()) for bits in likeness.bits)
        sound = Sound(now, asked, packed(likeness.bits), likeness.content)
        self._all.append(sound)
        asked.sounds.append(sound)
        if len(asked.sounds) > KEPT_EACH:
            asked.sounds.popleft().owner = None
        if alike:
            asked.alike.append(now)
        return alike

    def wait(self, asked: Asked, now: float) -> float:
        """Seconds until the client may ask again: 0 where no more than ``limit`` near copies came within ``seconds``."""
        while asked.alike and asked.alike[0] <= now - self._seconds:
            asked.alike.popleft()
        if not self._limit or len(asked.alike) <= self._limit:
            return 0.0
        return max(0.0, asked.alike[-self._limit - 1] + self._seconds - now)

    def forget(self, now: float) -> None:
        """Let go of what is too old to be compared, whoever asked, and of the oldest where there is too much."""
        while self._all and (self._all[0].at <= now - self._seconds or len(self._all) >= KEPT):
            sound = self._all.popleft()
            if sound.owner is not None:
                assert sound.owner.sounds[0] is sound
                sound.owner.sounds.popleft()

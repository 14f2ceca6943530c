"""What a decoder says, checked piece by piece before it is believed: it has read a stranger's bytes with native code."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aasist.audio.listen import Heard
from aasist.audio.quality import Finding, Quality
from aasist.audio.windows import Window
from aasist.errors import AudioError, one_line

MOST_CODE, MOST_MESSAGE = 40, 2_000


def window_of(header: dict[str, Any], payload: bytes, samples: int) -> Window:
    """A window of ``samples``. Raises ``ValueError``, ``TypeError`` or ``KeyError`` for what is none."""
    start, length, speech = (int(header[name]) for name in ("start", "length", "speech_samples"))
    window = np.frombuffer(payload, np.float32)
    if len(window) != samples or start < 0 or not 0 < length <= samples or not np.isfinite(window).all():
        raise ValueError("not a window")
    return Window(start, window, length, speech)


def heard_of(header: dict[str, Any]) -> Heard:
    """The summary. Raises ``ValueError``, ``TypeError`` or ``KeyError`` for what is none."""
    quality = Quality(**{name: _measured(value) for name, value in header["quality"].items()})
    duration, speech = (float(header[name]) for name in ("duration_seconds", "speech_seconds"))
    if not (math.isfinite(duration) and math.isfinite(speech)):
        raise ValueError("not a duration")
    return Heard(
        duration_seconds=duration,
        speech_seconds=speech,
        sample_rate=int(header["sample_rate"]),
        channels=int(header["channels"]),
        quality=quality,
        warnings=tuple(map(_finding, header["warnings"])),
        undecided_reasons=tuple(map(_finding, header["undecided_reasons"])),
    )


def error_of(header: dict[str, Any]) -> AudioError:
    """The error that a recording ended in. Raises ``KeyError`` for what is none."""
    return AudioError(cleaned(header["code"], MOST_CODE), cleaned(header["message"], MOST_MESSAGE))


def cleaned(said: object, most: int) -> str:
    """One printable line: half a surrogate cannot be sent or stored, and PostgreSQL takes no NUL."""
    text = str(said)[: 2 * most].encode("utf-8", "replace").decode("utf-8")
    return one_line("".join(one if one.isprintable() else " " for one in text), most)


def _finding(said: dict[str, Any]) -> Finding:
    return Finding(cleaned(said["code"], MOST_CODE), cleaned(said["message"], MOST_MESSAGE))


def _measured(value: object) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise ValueError("not a measurement")

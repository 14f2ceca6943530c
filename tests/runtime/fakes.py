"""Detectors around sessions small enough to know what they must say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from aasist.runtime import detector as detector_module
from aasist.runtime.detector import Detector
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.models import OpenModel
from aasist.runtime.threads import Division
from aasist.runtime.verdict import ModelIdentity
from aasist.session import Float32


class Session:
    """The margin of a window is ``margin`` of its samples (T,); counts the windows it is given."""

    precision = "fp32"

    def __init__(self, margin: Callable[[Float32], float]) -> None:
        self.margin, self.windows = margin, 0

    def run(self, windows: Float32) -> Float32:
        self.windows += len(windows)
        margins = np.array([self.margin(window) for window in windows], np.float32)
        return np.stack([-margins / 2, margins / 2], axis=1)


def loudness(window: Float32) -> float:
    """Above 0 for loud windows, below for quiet ones."""
    return 20 * float(np.abs(window.astype(np.float64)).mean()) - 1.0


def detector_around(
    monkeypatch: pytest.MonkeyPatch, session: Session, notes: ModelNotes | None = None, **options: object
) -> Detector:
    """A detector of that session, with windows as shipped unless ``notes`` says otherwise."""
    notes = notes or ModelNotes(name="fake", hop_samples=48_450, calibration=Calibration())
    opened = OpenModel(session, notes, ModelIdentity(notes.name, "0" * 64, "fp32"), Division())
    monkeypatch.setattr(detector_module, "open_model", lambda model, **options: opened)
    return Detector("fake", threads=1, **options)  # type: ignore[arg-type]

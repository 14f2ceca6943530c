"""Sessions of contenders, and the windows that they are timed on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aasist.bench.contender import Contender
from aasist.runtime import irfile, modelfile
from aasist.runtime.runtimes import open_session
from aasist.session import WINDOW_SAMPLES, Float32, Session


def opened(contender: Contender) -> Session:
    """A session of it, ready to run; `AasistError` where it cannot be had."""
    path = Path(contender.path)
    if contender.runtime == "torch":
        from aasist.model.session import TorchSession

        session = TorchSession(path)
        session.use_threads(contender.threads)
        return session
    weights = b""
    if path.suffix == irfile.SUFFIX:
        content, weights, notes = irfile.read(path)
    else:
        content, notes = modelfile.read(path)
    return open_session(
        content,
        notes=notes,
        runtime=contender.runtime,
        precision=contender.precision,
        threads=contender.threads,
        weights=weights,
    )


def noise(batch: int, window_samples: int = WINDOW_SAMPLES) -> Float32:
    """Seeded noise of ordinary level (batch, window_samples): what a model computes does not depend on what it hears."""
    random = np.random.default_rng(0)
    return (0.1 * random.standard_normal((batch, window_samples))).astype(np.float32)

"""Exports a checkpoint, calibrates it on dev (clean, MP3 and telephone copies) and writes src/aasist/models/.

python recipes/first_model/ship.py CHECKPOINT.safetensors --corpus DIR
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from augment import coded, fitted, mu_law
from rich.progress import track

from aasist.errors import AudioError
from aasist.evaluation.calibration import fit_affine
from aasist.runtime.detector import Detector
from aasist.runtime.modelfile import Calibration, ModelNotes

MODELS = Path(__file__).parents[2] / "src" / "aasist" / "models"
Condition = Callable[[np.ndarray], np.ndarray]


def telephone(samples: np.ndarray) -> np.ndarray:
    """8 kHz, 300 to 3,400 Hz, G.711 mu-law."""
    spectrum, hertz = np.fft.rfft(samples), np.fft.rfftfreq(len(samples), 1 / 16000)
    band = np.fft.irfft(spectrum * ((hertz > 300) & (hertz < 3400)), len(samples)).astype(np.float32)
    return mu_law(band, np.random.default_rng(0))


CONDITIONS: dict[str, Condition] = {
    "clean": lambda samples: samples,
    "mp3 64 kbit/s": lambda samples: fitted(coded(samples, "libmp3lame", "mp3", 16000, 64), len(samples)),
    "telephone": telephone,
}


def rows_of(corpus: Path, split: str) -> list[dict[str, str]]:
    """Rows of the manifest of one split."""
    with open(corpus / "manifest.tsv", newline="") as file:
        return [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]


def llrs(detector: Detector, corpus: Path, rows: list[dict[str, str]], condition: Condition, name: str) -> np.ndarray:
    """llr (N,) of each trial, NaN where nothing could be scored (no speech found)."""
    out = []
    for row in track(rows, description=name):
        samples, rate = soundfile.read(corpus / row["path"], dtype="float32")
        try:
            verdict = detector.detect((condition(samples), rate))
        except AudioError:
            verdict = None
        out.append(np.nan if verdict is None or verdict.llr is None else verdict.llr)
    return np.array(out)


def split_classes(scores: np.ndarray, rows: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """Scored bona fide and spoofed trials; those without a score take no part (they are counted elsewhere)."""
    bonafide = np.array([row["label"] == "bonafide" for row in rows])
    scored = np.isfinite(scores)
    return scores[bonafide & scored], scores[~bonafide & scored]


def ship(checkpoint: Path, corpus: Path, version: str, summary: str) -> None:
    """Export, calibrate on dev, write the package's model folder."""
    from aasist.export.onnx import export
    from aasist.model import checkpoint as checkpoints
    from aasist.runtime import modelfile

    model = checkpoints.load(checkpoint)
    notes = ModelNotes(
        name="efficient",
        version=version,
        variant=model.architecture.to_json(),
        window_samples=model.architecture.window_samples,
        hop_samples=3 * model.architecture.window_samples // 4,
        training=summary,
        licence="MIT",
    )
    rows = rows_of(corpus, "dev")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raw.onnx"
        export(model, path, notes)  # compared with torch before it is written
        content, raw = path.read_bytes(), Detector(path)
        parts = [split_classes(llrs(raw, corpus, rows, f, f"dev, {name}"), rows) for name, f in CONDITIONS.items()]
    slope, offset = fit_affine(np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    notes = ModelNotes(**{**vars(notes), "calibration": Calibration(slope, offset)})
    MODELS.mkdir(exist_ok=True)
    modelfile.write(MODELS / "efficient.onnx", content, notes)
    file = MODELS / "efficient.onnx"
    facts = {
        "file": file.name,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "bytes": file.stat().st_size,
        "version": version,
        "precision": notes.precision,
        "licence": notes.licence,
        "summary": summary,
        "figures": {},
    }
    (MODELS / "models.json").write_text(json.dumps({"efficient": facts}, indent=2) + "\n")
    print(f"slope {slope:.4f} offset {offset:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--version", default="1")
    parser.add_argument("--summary", default="Trained from scratch on the demo-page corpus and copy-synthesis.")
    arguments = parser.parse_args()
    ship(arguments.checkpoint, arguments.corpus, arguments.version, arguments.summary)


if __name__ == "__main__":
    main()

"""From a checkpoint to a model of the package: export, calibration on dev with degraded copies, facts in models.json.

    python recipes/campaign/ship.py CHECKPOINT.safetensors --corpus DIR [--name efficient] [--model-version 2] --summary TEXT

Writes src/aasist/models/NAME.onnx, beside it the checkpoint, and their entry in models.json, by ``aasist export`` and ``aasist calibrate``; the figures
of the entry come from card.py. Nothing is replaced unless all of it went well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from aasist import files
from aasist.cli import run
from aasist.runtime import modelfile
from aasist.session import SAMPLE_RATE, WINDOW_SAMPLES

MODELS = Path(__file__).parents[2] / "src" / "aasist" / "models"
CONDITIONS = ("mp3-64", "phone-mulaw")
"""What the calibration is fitted to beside the recordings as they are."""
HOP_SECONDS = 0.75 * WINDOW_SAMPLES / SAMPLE_RATE
MOST_BYTES = 2_000_000


def called(*words: str) -> None:
    """``aasist WORDS``; the program ends where it does not go well."""
    if code := run(list(words)):
        raise SystemExit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--corpus", type=Path, required=True, help="the demo-page corpus")
    parser.add_argument("--name", default="efficient")
    parser.add_argument("--model-version", default="2")
    parser.add_argument("--summary", required=True, help="what it is and what it was trained on, in a sentence")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw, calibrated, shipped = (Path(folder, name) for name in ("raw.onnx", "calibrated.onnx", "shipped.onnx"))
        about = ["--name", given.name, "--model-version", given.model_version, "--licence", "MIT"]
        hop = ["--hop-seconds", str(HOP_SECONDS)]
        called("export", str(given.checkpoint), "-o", str(raw), *about, *hop, "--training", given.summary)
        corpus = ["--corpus", "manifest", "--root", str(given.corpus), "--subset", "dev"]
        degraded = [word for name in CONDITIONS for word in ("--condition", name)]
        called("calibrate", "--model", str(raw), *corpus, *degraded, "--carry-over", "source", "-o", str(calibrated))
        content, notes = modelfile.read(calibrated)
        notes = replace(notes, name=given.name)
        sha256 = modelfile.write(shipped, content, notes)
        if shipped.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{given.name} has {shipped.stat().st_size:,} bytes; {MOST_BYTES:,} may be shipped")
        assert sha256 == hashlib.sha256(shipped.read_bytes()).hexdigest()
        facts = {
            "file": f"{given.name}.onnx",
            "sha256": sha256,
            "bytes": shipped.stat().st_size,
            "version": given.model_version,
            "checkpoint": f"{given.name}.safetensors",
            "checkpoint_sha256": hashlib.sha256(given.checkpoint.read_bytes()).hexdigest(),
            "precision": notes.precision,
            "licence": notes.licence,
            "summary": given.summary,
            "points": [asdict(point) for point in notes.points],
            "figures": {},
        }
        models = json.loads((MODELS / "models.json").read_text())
        models[given.name] = facts
        files.write_folder(
            MODELS,
            {
                facts["file"]: shipped.read_bytes(),
                facts["checkpoint"]: given.checkpoint.read_bytes(),
                "models.json": (json.dumps(models, indent=2) + "\n").encode(),
            },
        )


if __name__ == "__main__":
    main()

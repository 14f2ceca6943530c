"""Calibrates a trained checkpoint on dev, exports it into the package, and reports it.

python recipes/first_model/evaluate.py ship runs/first/best.safetensors --corpus DIR
    exports, calibrates on dev (clean, MP3 and telephone copies) and writes src/aasist/models/
python recipes/first_model/evaluate.py report --corpus DIR -o docs/model-card-figures.json
    scores dev and test with the shipped model, as `aasist detect` does, and writes every figure of the model card
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from augment import coded, fitted, mu_law
from rich.progress import track

from aasist.errors import AudioError
from aasist.evaluation.bootstrap import interval
from aasist.evaluation.calibration import cllr, fit_affine
from aasist.evaluation.det import eer
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


def within_source(scores: np.ndarray, rows: list[dict[str, str]], fewest: int = 10) -> dict[str, float]:
    """EER within each source page that has ``fewest`` or more scored clips of each class: channel cannot win it."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        groups[row["source"]].append(index)
    rates = {}
    for source, members in sorted(groups.items()):
        bonafide, spoof = split_classes(scores[members], [rows[i] for i in members])
        if min(len(bonafide), len(spoof)) >= fewest:
            rates[source] = eer(bonafide, spoof)
    return rates


def figures(scores: np.ndarray, rows: list[dict[str, str]]) -> dict[str, object]:
    """Every figure of one split under one condition."""
    bonafide, spoof = split_classes(scores, rows)
    rates = within_source(scores, rows)
    by: dict[str, dict[str, dict[str, float]]] = {"kind": {}, "system": {}}
    for column, table in by.items():
        for value in sorted({row[column] for row in rows if row["label"] == "spoof"}):
            members = scores[[i for i, row in enumerate(rows) if row[column] == value and row["label"] == "spoof"]]
            members = members[np.isfinite(members)]
            if len(members):
                table[value] = {"eer": eer(bonafide, members), "trials": len(members),
                                "accepted": float((members >= 0).mean())}  # fmt: skip
    return {
        "eer": eer(bonafide, spoof),
        "eer_95": interval(eer, bonafide, spoof),
        "bonafide": len(bonafide),
        "spoof": len(spoof),
        "systems": len({row["system"] for row in rows if row["label"] == "spoof"}),
        "unscored": int(np.isnan(scores).sum()),
        "within_source": float(np.mean(list(rates.values()))) if rates else None,
        "by_source": rates,
        "miss_at_0": float((bonafide < 0).mean()),
        "false_acceptance_at_0": float((spoof >= 0).mean()),
        "cllr": cllr(bonafide, spoof),
        "by_kind": by["kind"],
        "by_system": by["system"],
    }


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


def report(corpus: Path, out: Path, splits: list[str]) -> None:
    """Score the shipped model and write its figures to ``out`` and into models.json."""
    detector = Detector("efficient")
    result: dict[str, object] = {"model": {"name": detector.model.name, "sha256": detector.model.sha256}}
    models = json.loads((MODELS / "models.json").read_text())
    for split in splits:
        rows = rows_of(corpus, split)
        result[split] = {
            name: figures(llrs(detector, corpus, rows, f, f"{split}, {name}"), rows) for name, f in CONDITIONS.items()
        }
        clean = result[split]["clean"]  # type: ignore[index]
        keys = ("eer", "eer_95", "within_source", "bonafide", "spoof", "systems")
        models["efficient"]["figures"][split] = {
            key: [round(v, 4) for v in clean[key]] if isinstance(clean[key], tuple) else round(clean[key], 4)
            for key in keys
            if clean[key] is not None
        }
        print(split, json.dumps(models["efficient"]["figures"][split]))
    out.write_text(json.dumps(result, indent=1) + "\n")
    (MODELS / "models.json").write_text(json.dumps(models, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    shipping = verbs.add_parser("ship")
    shipping.add_argument("checkpoint", type=Path)
    shipping.add_argument("--version", default="1")
    shipping.add_argument("--summary", default="Trained from scratch on the demo-page corpus and copy-synthesis.")
    reporting = verbs.add_parser("report")
    reporting.add_argument("-o", "--out", type=Path, required=True)
    reporting.add_argument("--splits", nargs="+", default=["dev", "test"])
    for verb in (shipping, reporting):
        verb.add_argument("--corpus", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.verb == "ship":
        ship(arguments.checkpoint, arguments.corpus, arguments.version, arguments.summary)
    else:
        report(arguments.corpus, arguments.out, arguments.splits)


if __name__ == "__main__":
    main()

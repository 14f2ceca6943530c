"""The figures of the model card, by ``aasist evaluate``: dev and test with stress, by kind, source page and novelty.

    python recipes/campaign/card.py --corpus DIR [--model NAME] [--pool POOL.tsv] [--splits dev] [--condition NAME ...]

Writes docs/model-card/MODEL-SPLIT.json, the figures in src/aasist/models/models.json and, of the default model,
examples/scores.tsv (of dev). ``novelty`` tells spoofs of systems whose name stands in train from those of systems that do not, ``voice`` trials of speakers
whose name does from those of others. Every --splits test is a look at test: the card says how many there were.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
from pathlib import Path

from aasist import files
from aasist.cli import run
from aasist.evaluation.metricsfile import read_metrics
from aasist.runtime.models import DEFAULT_MODEL

ROOT = Path(__file__).parents[2]
CARD = ROOT / "docs" / "model-card"
MODELS = ROOT / "src" / "aasist" / "models" / "models.json"


def rows_of(table: Path) -> list[dict[str, str]]:
    """Rows of a TSV file with a header."""
    with open(table, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def with_novelty(corpus: Path, pool: Path | None, folder: Path) -> None:
    """A folder with links to the corpus's recordings, and its manifest with columns ``novelty`` and ``voice``."""
    rows = rows_of(corpus / "manifest.tsv")
    train = [row for row in rows if row["split"] == "train"] + ([] if pool is None else rows_of(pool))
    systems = {row["system"] for row in train if row["label"] == "spoof"}
    voices = {row["speaker"] for row in train} - {"", "-"}
    for row in rows:
        novelty = "named in train" if row["system"] in systems else "not named in train"
        row["novelty"] = novelty if row["label"] == "spoof" else "-"
        known = row["speaker"] not in {"", "-"}
        row["voice"] = ("in train" if row["speaker"] in voices else "not in train") if known else "unnamed"
    with open(folder / "manifest.tsv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for name in ("dev", "test"):
        (folder / name).symlink_to((corpus / name).resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped one, by name")
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--splits", nargs="+", default=["dev"])
    parser.add_argument("--condition", nargs="+", default=[], help="of the stress test; without, all")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for split in arguments.splits:
        with tempfile.TemporaryDirectory() as folder:
            with_novelty(arguments.corpus, arguments.pool, Path(folder))
            words = [
                "evaluate",
                "--model",
                arguments.model,
                "--corpus",
                "manifest",
                "--root",
                folder,
                "--subset",
                split,
                "--stress",
            ]
            words += [
                word for column in ("kind", "source", "novelty", "voice", "language") for word in ("--by", column)
            ]
            words += [word for name in arguments.condition for word in ("--condition", name)]
            code = run([*words, "--threads", str(arguments.threads), "--out", f"{folder}/report"])
            if code:
                raise SystemExit(code)
            CARD.mkdir(exist_ok=True)
            figures_of_split = CARD / f"{arguments.model}-{split}.json"
            shutil.copy(Path(folder, "report", "metrics.json"), figures_of_split)
            if split == "dev" and arguments.model == DEFAULT_MODEL:
                shutil.copy(Path(folder, "report", "scores.tsv"), ROOT / "examples" / "scores.tsv")
        summary, _ = read_metrics(figures_of_split)
        pooled = summary.pooled
        figures = {
            "eer": round(pooled.eer or 0.0, 4),
            "eer_95": [round(limit, 4) for limit in pooled.intervals["eer"]],
            "within_source": round(summary.macro_eer("source") or 0.0, 4),
            "bonafide": pooled.bonafide,
            "spoof": pooled.spoof,
            "systems": len(summary.by["attack"]),
        }
        models = json.loads(MODELS.read_text())
        models[arguments.model]["figures"][split] = figures
        files.write(MODELS, (json.dumps(models, indent=2) + "\n").encode())
        print(split, json.dumps(figures))


if __name__ == "__main__":
    main()

"""Trains as README says on the corpus that the tests make of the examples, and writes what was said to docs/training-output.txt.

    python benchmarks/rehearsal.py

Needs the development environment; some five minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "training-output.txt"
COMMAND = ("aasist", "train", "aasist", "--corpus", "asvspoof2019-la", "--root", "LA", "-o", "runs/aasist")
SHORTER = "epochs=3"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "tests.rehearsal", f"{folder}/LA", "0.1"], cwd=ROOT, check=True)
        words = [sys.executable, "-m", *COMMAND, SHORTER]
        done = subprocess.run(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
    OUTPUT.write_text(f"$ {' '.join(COMMAND)} {SHORTER}\n{done.stdout}")
    print(OUTPUT.read_text(), end="")


if __name__ == "__main__":
    main()

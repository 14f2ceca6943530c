"""A corpus in the exact layout of ASVspoof 2019 LA from the project's own example recordings and two vocoders.

python -m tests.rehearsal DIR [HOP]   makes it below DIR, a clip every HOP seconds
"""

from __future__ import annotations

import sys
from pathlib import Path

from aasist.audio.read import read

from .corpora import BONAFIDE, SAMPLE_RATE, Recording, Signal, asvspoof2019_la
from .vocoders import griffin_lim, linear_prediction

EXAMPLES = Path(__file__).parents[1] / "examples"
HUMANS = ("human-librivox-en.flac", "human-ivr-ru.flac", "human-ivr-it.opus")
SECONDS, HOP_SECONDS = 1.2, 0.6
SHARES = {"train": (0.0, 0.5), "dev": (0.5, 0.75), "eval": (0.75, 1.0)}
"""Part of each recording, so that no second of speech stands in two subsets."""


def spoofs(subset: str, clip: Signal, seed: int) -> dict[str, Signal]:
    """What is made of a clip, by the name of the attack: those of the evaluation are not those of training."""
    if subset == "eval":
        return {
            "A07": griffin_lim(clip, bins=40, rounds=8, seed=seed),
            "A08": linear_prediction(clip, pitch_hz=180.0, seed=seed),
        }
    return {"A01": griffin_lim(clip, seed=seed), "A02": linear_prediction(clip, seed=seed)}


def corpus(root: Path, *, hop_seconds: float = HOP_SECONDS) -> Path:
    """The corpus below ``root``: clips of `SECONDS`, every ``hop_seconds``, each once as it is and twice as a spoof."""
    size, hop = round(SECONDS * SAMPLE_RATE), round(hop_seconds * SAMPLE_RATE)
    sets: dict[str, list[Recording]] = {subset: [] for subset in SHARES}
    for speaker, name in enumerate(HUMANS, 1):
        samples = read(EXAMPLES / name)
        for subset, (start, end) in SHARES.items():
            trials = sets[subset]
            part = samples[int(start * len(samples)) : int(end * len(samples))]
            for first in range(0, max(len(part) - size, 0) + 1, hop):
                clip = part[first : first + size]
                made = {BONAFIDE: clip, **spoofs(subset, clip, first)}
                for attack, signal in made.items():
                    trial = f"LA_{subset[0].upper()}_{1_000_000 + len(trials)}"
                    trials.append(Recording(trial, signal, attack, f"LA_{speaker:04}"))
    return asvspoof2019_la(root, sets)


if __name__ == "__main__":
    corpus(Path(sys.argv[1]), hop_seconds=float(sys.argv[2]) if len(sys.argv) > 2 else HOP_SECONDS)

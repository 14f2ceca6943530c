"""Mini copies of corpora in the exact layout their authors publish, from recordings that are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
BONAFIDE = "-"
"""The attack of a bona fide recording."""

Signal = NDArray[np.float32]


class Recording(NamedTuple):
    """A trial and its samples (N,) at 16 kHz."""

    name: str
    samples: Signal
    attack: str = BONAFIDE
    speaker: str = "LA_0001"

    @property
    def key(self) -> str:
        return "bonafide" if self.attack == BONAFIDE else "spoof"


AsvRow = tuple[str, str, float]
"""Attack or ``bonafide``; ``target``, ``nontarget`` or ``spoof``; score."""


def noise(seed: int = 0, seconds: float = 0.05) -> Signal:
    """Faint noise (N,), for tests that never listen."""
    rng = np.random.default_rng(seed)
    return (0.01 * rng.standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


def write_audio(path: Path, samples: Signal) -> None:
    """Write samples in the format of the path's extension, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a text file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def asvspoof2019_la(
    root: Path,
    recordings: Mapping[str, Sequence[Recording]],
    asv_scores: Mapping[str, Sequence[AsvRow]] | None = None,
    *,
    track: str = "LA",
) -> Path:
    """ASVspoof 2019 LA (or PA) as ``LA.zip`` unpacks: recordings by subset (train, dev, eval) -> ``root``.

    Without ``asv_scores``, dev and eval get those of a good ASV system that half of the spoofs fool.
    """
    endings = {"train": "train.trn", "dev": "dev.trl", "eval": "eval.trl"}
    for subset, trials in recordings.items():
        for trial in trials:
            write_audio(root / f"ASVspoof2019_{track}_{subset}" / "flac" / f"{trial.name}.flac", trial.samples)
        protocol = root / f"ASVspoof2019_{track}_cm_protocols" / f"ASVspoof2019.{track}.cm.{endings[subset]}.txt"
        environment = "-" if track == "LA" else "aaa"
        write_lines(
            protocol,
            (f"{trial.speaker} {trial.name} {environment} {trial.attack} {trial.key}" for trial in trials),
        )
        if subset != "train":
            rows = asv_rows({trial.attack for trial in trials}) if asv_scores is None else asv_scores[subset]
            name = f"ASVspoof2019.{track}.asv.{subset}.gi.trl.scores.txt"
            lines = (f"{attack} {key} {score:.6f}" for attack, key, score in rows)
            write_lines(root / f"ASVspoof2019_{track}_asv_scores" / name, lines)
    return root


def asv_rows(attacks: Iterable[str], trials: int = 40) -> list[AsvRow]:
    """Scores of a good ASV system: targets around 4, non-targets around -4, spoofs around 0."""
    rng = np.random.default_rng(0)
    kinds = [("bonafide", "target", 4.0), ("bonafide", "nontarget", -4.0)]
    kinds += [(attack, "spoof", 0.0) for attack in sorted({*attacks} - {BONAFIDE})]
    return [
        (attack, key, float(centre + rng.standard_normal())) for attack, key, centre in kinds for _ in range(trials)
    ]


def asvspoof2021(root: Path, track: str, lines: Sequence[str], asv: Sequence[tuple[str, float]] = ()) -> Path:
    """ASVspoof 2021: lines of ``trial_metadata.txt``, and lines of the ASV's with their scores -> ``root``."""
    keys = root / "keys" / track
    write_lines(keys / "CM" / "trial_metadata.txt", lines)
    for line in lines:
        write_audio(root / f"ASVspoof2021_{track}_eval" / "flac" / f"{line.split()[1]}.flac", noise())
    if asv:
        write_lines(keys / "ASV" / "trial_metadata.txt", (line for line, _ in asv))
        scores = (f"{' '.join(line.split()[:2])} {score}" for line, score in asv)
        write_lines(keys / "ASV" / "ASVTorch_Kaldi" / "score.txt", scores)
    return root


def asvspoof5(root: Path, subset: str, lines: Sequence[str]) -> Path:
    """ASVspoof 5, one subset: lines of its protocol -> ``root``."""
    names = {"train": "ASVspoof5.train", "dev": "ASVspoof5.dev.track_1", "eval": "ASVspoof5.eval.track_1"}
    folders = {"train": "flac_T", "dev": "flac_D", "eval": "flac_E_eval"}
    write_lines(root / f"{names[subset]}.tsv", lines)
    for line in lines:
        write_audio(root / folders[subset] / f"{line.split()[1]}.flac", noise())
    return root


def listed(root: Path, protocol: str, lines: Sequence[str], audio: Iterable[str]) -> Path:
    """Any corpus that is one protocol and recordings at ``audio`` -> ``root``."""
    write_lines(root / protocol, lines)
    for path in audio:
        write_audio(root / path, noise())
    return root


def folders(root: Path, audio: Iterable[str]) -> Path:
    """Any corpus whose labels are its folders -> ``root``."""
    for path in audio:
        write_audio(root / path, noise())
    return root

"""Bona fide speech out of Debian's packages: 16 kHz FLAC and a manifest, and apart from it the Italian prompts.

    python recipes/campaign/debian.py DEBS OUT

DEBS holds the packages of PACKAGES (``apt-get download`` them; Debian 12 was used). OUT/train is for training, OUT/italian
has the prompts of the one language that never is. Recordings of at least a second; of longer ones a stable random 8 s. Wants ``dpkg``
and the light install.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile
from av.audio.resampler import AudioResampler

RATE = 16_000
SHORTEST, LONGEST = RATE, 8 * RATE
QUIETEST_PEAK = 1e-3
HEADLESS = {".g722": ("g722", 16_000), ".gsm": ("gsm", 8_000), ".raw": ("s16le", 16_000)}
"""Ending -> FFmpeg's format and the rate, of files that do not tell theirs."""
LETTERS = 5
"""Of klettres, which spells alphabets, one file in so many is taken."""
NO_SPEECH = re.compile(r"silence|/beep|music|tone")
PACKAGES = {  # with the licence that each one's copyright file states; of fillets-ng and pocketsphinx, see there for more
    "asterisk-core-sounds-en-g722": "CC-BY-SA-3.0",
    "asterisk-core-sounds-es-g722": "CC-BY-SA-3.0",
    "asterisk-core-sounds-fr-g722": "CC-BY-SA-3.0",
    "asterisk-core-sounds-it-g722": "CC-BY-SA-3.0",
    "asterisk-core-sounds-ru-g722": "CC-BY-SA-3.0",
    "asterisk-prompt-es-co": "GPL-2",
    "asterisk-prompt-fr-armelle": "BSD-like (Michel Gutierrez)",
    "fillets-ng-data-cs": "GPL-2",
    "fillets-ng-data-nl": "GPL-2",
    "klettres-data": "GPL-2+",
    "ktuberling-data": "GPL-2+",
    "pocketsphinx-testdata": "BSD-2-Clause",
}


class Voice(NamedTuple):
    name: str
    language: str


def voice_of(package: str, inside: Path) -> Voice | None:
    """Who speaks in a file of a package, by its path; None for what is not taken: sounds, and characters in disguise."""
    text = str(inside)
    if NO_SPEECH.search(text):
        return None
    if package.startswith("asterisk-core"):
        name = inside.parts[inside.parts.index("sounds") + 1]  # such as it_IT_m_Carlo
        return Voice(name, name[:2])
    if package.startswith("asterisk-prompt"):
        return Voice(package.rpartition("-")[2], package.split("-")[2])
    if package.startswith("fillets"):  # level-m-word: the small fish; v: the big one
        character = re.match(r"[a-z0-9]+-([mv])\b", inside.name)
        return Voice(character[1], package[-2:]) if character and "sound" in inside.parts else None
    for folder in ("klettres", "sounds"):
        if folder in inside.parts and not package.startswith("pocketsphinx"):
            language = inside.parts[inside.parts.index(folder) + 1]
            return Voice(language, re.split("[@_]", language)[0])
    return Voice(inside.parent.name, "en")


def decoded(path: Path) -> np.ndarray:
    """Samples (N,) at 16 kHz, one channel; empty where FFmpeg cannot read it."""
    form, rate = HEADLESS.get(path.suffix, (None, 0))
    options = {"sample_rate": str(rate)} if form == "s16le" else {}
    out = AudioResampler("flt", "mono", RATE)
    try:
        with av.open(str(path), format=form, options=options, metadata_errors="replace") as file:
            frames = [part for frame in file.decode(audio=0) for part in out.resample(frame)]
    except (av.FFmpegError, IndexError):
        return np.zeros(0, np.float32)
    return np.concatenate(
        [frame.to_ndarray()[0] for frame in (*frames, *out.resample(None))] or [np.zeros(0, np.float32)]
    )


def rows_of(package: str, root: Path, out: Path) -> Iterator[dict[str, str]]:
    """Write the recordings of an unpacked package below ``out``, a row of its manifest each."""
    found = sorted(path for path in root.rglob("*") if path.suffix in {".g722", ".gsm", ".raw", ".ogg", ".wav"})
    voices = [(path, voice_of(package, path.relative_to(root))) for path in found if not path.is_symlink()]
    taken = 0
    for path, voice in voices:
        samples = np.zeros(0, np.float32) if voice is None else decoded(path)
        if voice is None or len(samples) < SHORTEST or not np.max(np.abs(samples)) >= QUIETEST_PEAK:
            continue
        taken += 1
        if package == "klettres-data" and taken % LETTERS:
            continue
        name = str(path.relative_to(root))
        digest = hashlib.sha256(name.encode()).hexdigest()
        if len(samples) > LONGEST:
            first = int(digest, 16) % (len(samples) - LONGEST)
            samples = samples[first : first + LONGEST]
        folder = "italian" if voice.language == "it" else "train"
        file = Path("flac", package, f"{digest[:16]}.flac")
        (out / folder / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(out / folder / file, samples / max(1.0, float(np.max(np.abs(samples)))), RATE, subtype="PCM_16")
        yield {
            "path": str(file),
            "split": "train",
            "label": "bonafide",
            "system": "-",
            "kind": "human",
            "corpus": package,
            "speaker": f"{package}:{voice.name}",
            "language": voice.language,
            "seconds": f"{len(samples) / RATE:.3f}",
            "source_rate": str(HEADLESS.get(path.suffix, ("", 44_100))[1]),
            "source_format": path.suffix[1:],
            "source": f"debian/{package}",
            "source_path": name,
            "licence": PACKAGES[package],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("debs", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    debs = {package: next(iter(sorted(given.debs.glob(f"{package}_*.deb"))), None) for package in PACKAGES}
    if missing := [package for package, deb in debs.items() if deb is None]:
        raise SystemExit(f"not in {given.debs}: apt-get download {' '.join(missing)}")
    rows: list[dict[str, str]] = []
    for package, deb in debs.items():
        with tempfile.TemporaryDirectory() as root:
            subprocess.run(["dpkg", "-x", str(deb), root], check=True)
            new = list(rows_of(package, Path(root), given.out))
        print(f"{package}: {len(new):,} recordings", flush=True)
        rows += new
    for folder in ("train", "italian"):
        of_it = [row for row in rows if (row["language"] == "it") == (folder == "italian")]
        with open(given.out / folder / "manifest.tsv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
            writer.writeheader()
            writer.writerows(of_it)


if __name__ == "__main__":
    main()

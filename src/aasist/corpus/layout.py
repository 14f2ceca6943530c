"""What a corpus is read by: its manifest, ASVspoof 2019 LA's protocols, the table of attacks, the licences."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from aasist.corpus.engine import Engine
from aasist.corpus.folder import Done, Folder
from aasist.corpus.plan import SUBSETS, Attack, Plan, Take, Unit
from aasist.corpus.takes import Made, Stop, path_of
from aasist.errors import ProtocolError
from aasist.protocol.manifest import write_manifest
from aasist.trial import NO_ATTACK, Trials, strings

MANIFEST, ATTACKS, LICENCES = "manifest.tsv", "attacks.tsv", "LICENCES.md"
COLUMNS = (
    "path", "attack", "kind", "engine", "voice", "source", "speaker", "language", "pair", "subset", "seconds",
    "source_rate", "source_format", "licence", "text",
)  # fmt: skip
"""Of the manifest, besides ``id`` and ``label``."""

HUMAN = "human"
"""The kind of a bona fide trial."""

PROTOCOLS = {"train": "train.trn", "dev": "dev.trl", "eval": "eval.trl"}

Row = dict[str, str]


def rows_of(plan: Plan, done: Mapping[str, Done]) -> list[Row]:
    """A row for each take that was made, in the order of the plan; ``-`` for what is not known."""
    rows = []
    for unit in plan.units:
        of_it = done.get(unit.recording.id)
        if of_it is not None:
            rows += [_row(unit, take, of_it, of_it.made[take.id]) for take in unit.takes if take.id in of_it.made]
    return rows


def write_layout(folder: Folder, plan: Plan, rows: Sequence[Row], engines: Mapping[str, Engine]) -> None:
    """Write all that a corpus is read by; `Stop` where it cannot be written."""
    columns = {name: strings(row[name] for row in rows) for name in COLUMNS}
    labels = np.array([row["label"] == "bonafide" for row in rows], bool)
    try:
        write_manifest(folder.place / MANIFEST, Trials(strings(row["id"] for row in rows), labels, columns))
    except ProtocolError as error:
        raise Stop(error.message) from error
    for subset in SUBSETS:
        lines = [
            f"{row['speaker']} {row['id']} - {row['attack']} {row['label']}\n"
            for row in rows
            if row["subset"] == subset
        ]
        name = f"ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm.{PROTOCOLS[subset]}.txt"
        if lines:
            folder.write(name, "".join(lines).encode())
        else:
            folder.remove(name)
    folder.write(ATTACKS, _attacks(plan.attacks, rows).encode())
    folder.write(LICENCES, _licences(plan.attacks, rows, engines).encode())


def _row(unit: Unit, take: Take, done: Done, made: Made) -> Row:
    recording, attack, voice = unit.recording, take.attack, take.voice
    speaks = attack is not None and voice is not None
    licence = recording.licence
    if attack is not None and voice is not None:
        licence = voice.licence or attack.licence
    row = {
        "id": take.id,
        "label": "bonafide" if attack is None else "spoof",
        "path": path_of(take, unit.subset),
        "attack": NO_ATTACK if attack is None else attack.name,
        "kind": HUMAN if attack is None else attack.kind,
        "engine": "" if attack is None else attack.engine,
        "voice": "" if voice is None else voice.name,
        "source": recording.source,
        "speaker": recording.speaker if voice is None else f"{take.engine}/{voice.name}",
        "language": recording.language if voice is None else voice.language,
        "pair": take.pair,
        "subset": unit.subset,
        "seconds": f"{made.seconds:.3f}",
        "source_rate": str(made.rate_hz) if speaks else done.heard.source_rate,
        "source_format": "wav" if speaks else done.heard.source_format,
        "licence": licence,
        "text": made.text if speaks else recording.text,
    }
    plain = {name: " ".join(value.split()) or "-" for name, value in row.items()}
    # A protocol's columns are told apart by spaces.
    plain["speaker"] = re.sub(r"\s", "_", plain["speaker"])
    return plain


def _attacks(attacks: Iterable[Attack], rows: Sequence[Row]) -> str:
    counted = Counter((row["attack"], row["subset"]) for row in rows)
    header = ("attack", "engine", "family", "kind", "technology", "held_out", "voices", *SUBSETS, "licence")
    lines: list[tuple[str, ...]] = [header]
    for attack in attacks:
        held = "yes" if attack.held_out else "no"
        made = [str(counted[attack.name, subset]) for subset in SUBSETS]
        facts = (attack.name, attack.engine, attack.key.partition(":")[2] or "-", attack.kind, attack.technology, held)
        lines.append((*facts, str(attack.voices or "-"), *made, attack.licence or "-"))
    return "".join("\t".join(line) + "\n" for line in lines)


def _licences(attacks: Iterable[Attack], rows: Sequence[Row], engines: Mapping[str, Engine]) -> str:
    """Sources of the recordings, and engines of the spoofs, each with its licence and how many it gave."""
    sources: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        if row["label"] == "bonafide":
            sources[row["source"], row["licence"]] += 1
    made = Counter(row["engine"] for row in rows)
    parts = [
        "# Licences\n\nWhat this corpus holds is under the licences of what it was made of. A copy is a work made of its\n"
        "recording: the recording's licence holds for it, beside what the engine asks. Read both before you pass it on.\n",
        _table(
            ("source of recordings", "licence", "bona fide files"),
            [
                (name, "not stated" if licence == "-" else licence, str(n))
                for (name, licence), n in sorted(sources.items())
            ],
        ),
        _table(
            ("engine", "technology", "licence", "spoofs"),
            [
                (name, engines[name].technology, engines[name].licence or "not stated", str(made[name]))
                for name in sorted({attack.engine for attack in attacks})
            ],
        ),
    ]
    voices = sorted({(row["engine"], row["voice"], row["licence"]) for row in rows if row["voice"] != "-"})
    if voices:
        parts.append(_table(("engine", "voice", "licence"), voices))
    return "\n".join(parts)


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)

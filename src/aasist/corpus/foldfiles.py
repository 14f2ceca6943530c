"""The folder of folds: a manifest to train on and one held out for each, and tables of what they came to."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aasist import files
from aasist.corpus.collection import Collection, Integers, systems_of
from aasist.corpus.families import UNKNOWN, Families, FamiliesError
from aasist.corpus.folds import Count, Fold, counted, unknown_of
from aasist.protocol.manifest import write_manifest
from aasist.trial import Trials, strings

TRAIN, HELD_OUT = "train.tsv", "held-out.tsv"
COUNTS, SOURCES = "folds.tsv", "sources.tsv"

_FOLDER = re.compile(r"fold-\d+")


@dataclass(frozen=True)
class Report:
    """A fold in numbers. ``unknown``: spoofs in its training of no known family."""

    fold: str
    families: tuple[str, ...]
    train: Count
    held_out: Count
    unknown: int
    left_out: dict[str, int]


def reported(collection: Collection, families: Families, folds: Sequence[Fold]) -> list[Report]:
    """Each fold in numbers."""
    unknown = unknown_of(collection, families)
    return [
        Report(
            f"fold-{place}",
            fold.families,
            counted(collection, fold.train),
            counted(collection, fold.held_out),
            int(unknown[fold.train].sum()),
            fold.left_out,
        )
        for place, fold in enumerate(folds, 1)
    ]


def write_folds(
    folder: Path, collection: Collection, families: Families, folds: Sequence[Fold], where: Integers
) -> list[Report]:
    """Write ``fold-1`` and so on into ``folder``, and what they come to.

    A manifest's paths begin in its own folder, its subset is ``train`` or ``dev``, and the column ``family`` is that of
    the spoof. Raises `ProtocolError` for what a manifest cannot hold, and `FamiliesError` where more folds stand there
    than are written.
    """
    reports = reported(collection, families, folds)
    names = {report.fold for report in reports}
    try:
        there = (
            sorted(path.name for path in folder.iterdir() if _FOLDER.fullmatch(path.name)) if folder.exists() else []
        )
        if others := [name for name in there if name not in names]:
            raise FamiliesError(
                f"{folder} holds {', '.join(others)} of more folds: remove it, or name another folder (-o)"
            )
        for report, fold in zip(reports, folds, strict=True):
            place = folder / report.fold
            place.mkdir(parents=True, exist_ok=True)
            for name, rows, subset in ((TRAIN, fold.train, "train"), (HELD_OUT, fold.held_out, "dev")):
                write_manifest(place / name, _manifest(collection, families, rows, place, subset))
        files.write(folder / COUNTS, _counts(reports).encode())
        files.write(folder / SOURCES, _sources(collection, families, where).encode())
    except OSError as error:
        raise FamiliesError(f"cannot write into {folder}: {error.strerror or error}") from error
    return reports


def _manifest(collection: Collection, families: Families, rows: Integers, place: Path, subset: str) -> Trials:
    trials = collection.trials.take(rows)
    start = os.path.realpath(place)
    of = [(families.of.get(system) or ("",))[0] for system in collection.systems[rows].tolist()]
    columns = {
        **trials.columns,
        "path": strings(os.path.relpath(path, start) for path in trials.columns["path"].tolist()),
        "subset": strings([subset] * len(rows)),
        "family": strings(of),
    }
    return Trials(trials.ids, trials.bonafide, columns, trials.source)


def _counts(reports: Sequence[Report]) -> str:
    header = ["fold", "family"]
    header += [
        f"{part}_{what}" for part in ("train", "held_out") for what in ("bonafide", "spoofs", "systems", "sources")
    ]
    header += [
        "compared_bonafide",
        "compared_spoofs",
        "train_unknown",
        *(f"left_out_{why}" for why in reports[0].left_out),
    ]
    lines = [header]
    for report in reports:
        numbers: list[int] = []
        for count in (report.train, report.held_out):
            numbers += [count.bonafide, count.spoofs, len(count.systems), count.sources]
        numbers += [*report.held_out.compared, report.unknown, *report.left_out.values()]
        lines.append([report.fold, ",".join(report.families), *map(str, numbers)])
    return _tsv(lines)


def _sources(collection: Collection, families: Families, where: Integers) -> str:
    """Each source, the fold that holds it out, and its spoofs by family."""
    columns = (*families.names, UNKNOWN)
    of = {
        system: columns.index((families.of.get(system) or (UNKNOWN,))[0]) for system in systems_of(collection.systems)
    }
    counts = np.zeros((len(collection.sources), len(columns)), np.int64)
    spoof = ~collection.bonafide
    place = [of.get(system, len(columns) - 1) for system in collection.systems[spoof].tolist()]
    np.add.at(counts, (collection.groups[spoof], np.array(place, np.int64)), 1)
    real = np.bincount(collection.groups[collection.bonafide], minlength=len(collection.sources))
    lines = [["source", "fold", "bonafide", *columns]]
    for group, name in enumerate(collection.sources):
        fold = "-" if where[group] < 0 else f"fold-{where[group] + 1}"
        lines.append([name, fold, str(real[group]), *map(str, counts[group])])
    return _tsv(lines)


def _tsv(lines: Sequence[Sequence[str]]) -> str:
    return "".join("\t".join(line) + "\n" for line in lines)

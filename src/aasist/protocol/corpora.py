"""Corpora by name: which subsets each has, and where trials, recordings and ASV scores lie below its root."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aasist.errors import ProtocolError
from aasist.protocol.asv import AsvScores, read_asv_scores
from aasist.protocol.challenge import read_protocol
from aasist.protocol.folders import read_fake_or_real, read_labelled_folders, read_mlaad, read_wavefake
from aasist.protocol.manifest import read_manifest
from aasist.trial import Strings, Trials

ALL = "all"
"""The subset that is everything the corpus holds a key for."""


@dataclass(frozen=True)
class Corpus:
    """A corpus as its authors publish it.

    ``subsets`` in the order of use, ``default`` the one to evaluate on; empty for a manifest, which names its own.
    ``protocols``: subset -> files that may hold its trials, relative to the root, the first that is there is read; a
    ``.gz`` of each will do too. ``audio``: subset -> path of a recording, with ``{id}`` and names of columns.
    ``asv_scores``: subset -> files that may hold the organisers' ASV scores. ``homes``: folders that archives unpack
    into, tried below the root. ``where``: subset -> columns and values that pick it from a protocol of several. ``tests``:
    subsets to evaluate on whose names do not say so.
    """

    title: str
    subsets: tuple[str, ...]
    default: str
    layout: str = ""
    protocols: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    audio: Mapping[str, str] = field(default_factory=dict)
    asv_scores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    homes: tuple[str, ...] = ("",)
    where: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tests: tuple[str, ...] = ()
    read: Callable[[Path, str], Trials] | None = None
    """Reads a corpus whose labels are its folders."""


def read_corpus(name: str, root: str | os.PathLike[str], subset: str | None = None) -> Trials:
    """Trials of one subset (the corpus's default without one) of the corpus ``name`` of `CORPORA` below ``root``.

    The column ``path`` is that of each recording relative to ``root``; whether it is there is not looked at. Raises
    `ProtocolError` for an unknown name or subset, a missing root, and a protocol that is missing (naming the files that
    were looked for) or cannot be read.
    """
    corpus, subset, folder = _asked(name, root, subset)
    if name == "manifest":
        return _read_manifest(folder, subset)
    if corpus.read is not None:
        return corpus.read(folder, subset)
    file, home = _found(corpus.protocols[subset], corpus, folder)
    if file is None:
        raise _missing(corpus, subset, folder)
    trials = _picked(read_protocol(file, corpus.layout), corpus.where.get(subset, {}), file)
    columns = {"path": _filled(home + corpus.audio[subset], trials), **trials.columns}
    if "subset" not in columns:
        columns["subset"] = np.full(len(trials), subset, dtype=np.dtypes.StringDType())
    return Trials(trials.ids, trials.bonafide, columns, trials.source)


def asv_scores_path(name: str, root: str | os.PathLike[str], subset: str | None = None) -> Path | None:
    """The organisers' ASV scores for a subset; None where the corpus has none or the file is not there."""
    corpus, subset, folder = _asked(name, root, subset)
    return _found(corpus.asv_scores.get(subset, ()), corpus, folder)[0]


def read_corpus_asv_scores(name: str, root: str | os.PathLike[str], subset: str | None = None) -> AsvScores | None:
    """The organisers' ASV scores of a subset; None where `asv_scores_path` is None."""
    corpus, subset, folder = _asked(name, root, subset)
    file, _ = _found(corpus.asv_scores.get(subset, ()), corpus, folder)
    return None if file is None else read_asv_scores(file, where=corpus.where.get(subset, {}))


def _asked(name: str, root: str | os.PathLike[str], subset: str | None) -> tuple[Corpus, str, Path]:
    if name not in CORPORA:
        raise ProtocolError(f"no corpus {name!r}; there are {', '.join(CORPORA)}", path=root, code="usage")
    corpus = CORPORA[name]
    subset = corpus.default if subset is None else subset
    if corpus.subsets and subset not in corpus.subsets:
        raise ProtocolError(
            f"{corpus.title} has no subset {subset!r}; it has {', '.join(corpus.subsets)}", path=root, code="usage"
        )
    folder = Path(root)
    if not folder.exists() and name == "manifest":
        raise ProtocolError(
            "no such file or folder: expected a manifest, or the folder that holds one", path=root, code="not_found"
        )
    if not folder.exists():
        raise ProtocolError(f"no such folder: expected the root of {corpus.title}", path=root, code="not_found")
    if not folder.is_dir() and name != "manifest":
        raise ProtocolError(f"expected the folder that {corpus.title} was unpacked to, got a file", path=root)
    return corpus, subset, folder


def _found(candidates: tuple[str, ...], corpus: Corpus, folder: Path) -> tuple[Path | None, str]:
    """The first candidate that is there, and the home it was found in (with a slash behind it, if any)."""
    for home in corpus.homes:
        prefix = f"{home}/" if home else ""
        for candidate in candidates:
            for ending in ("", ".gz"):
                file = folder / f"{prefix}{candidate}{ending}"
                if file.is_file():
                    return file, prefix
    return None, ""


def _missing(corpus: Corpus, subset: str, folder: Path) -> ProtocolError:
    looked_for = " or ".join(corpus.protocols[subset])
    homes = [home for home in corpus.homes if home]
    also = f", here or in {', '.join(homes)}" if homes else ""
    return ProtocolError(
        f"{corpus.title}, subset {subset}: expected {looked_for}{also}; none is there", path=folder, code="not_found"
    )


def _picked(trials: Trials, where: Mapping[str, str], file: Path) -> Trials:
    rows = np.ones(len(trials), bool)
    for column, value in where.items():
        rows &= np.asarray(trials.columns[column] == value)
    if not rows.any():
        wanted = " and ".join(f"{column} {value!r}" for column, value in where.items())
        raise ProtocolError(f"no trial has {wanted}", path=file)
    return trials if rows.all() else trials.take(rows)


def _filled(pattern: str, trials: Trials) -> Strings:
    """``wav/{speaker}/{id}.wav`` -> a path for each trial (N,)."""
    names = [name for name in ("speaker", "id") if f"{{{name}}}" in pattern]
    columns = [(trials.ids if name == "id" else trials.columns[name]).tolist() for name in names]
    pieces = pattern.replace("%", "%%")
    for name in names:
        pieces = pieces.replace(f"{{{name}}}", "%s")
    return np.array([pieces % row for row in zip(*columns, strict=True)], dtype=np.dtypes.StringDType())


def _read_manifest(folder: Path, subset: str) -> Trials:
    """A manifest file, or the one a folder holds; paths are relative to its folder."""
    file = folder
    if folder.is_dir():
        names = ("manifest.tsv", "manifest.tsv.gz", "manifest.parquet")
        there = [folder / name for name in names if (folder / name).is_file()]
        if not there:
            raise ProtocolError(f"expected {' or '.join(names)}; none is there", path=folder, code="not_found")
        file = there[0]
    trials = read_manifest(file)
    if subset == ALL:
        return trials
    known = sorted({*trials.columns["subset"].tolist()}) if "subset" in trials.columns else []
    if subset not in known:
        raise ProtocolError(
            f"no trial is of the subset {subset!r}; there are {', '.join([ALL, *filter(None, known)])}", path=file
        )
    return trials.where("subset", subset)


def _by_subset(pattern: str, *subsets: str) -> dict[str, str]:
    return {subset: pattern.replace("<subset>", subset) for subset in subsets}


def _asvspoof2019(track: str) -> Corpus:
    """datashare.ed.ac.uk/handle/10283/3336, unpacked from LA.zip or PA.zip."""
    of = f"ASVspoof2019.{track}"
    protocols = f"ASVspoof2019_{track}_cm_protocols/{of}.cm"
    return Corpus(
        title=f"ASVspoof 2019 {track}",
        subsets=("train", "dev", "eval"),
        default="eval",
        layout=f"asvspoof2019-{track.lower()}",
        protocols={
            "train": (f"{protocols}.train.trn.txt",),
            "dev": (f"{protocols}.dev.trl.txt",),
            "eval": (f"{protocols}.eval.trl.txt",),
        },
        audio=_by_subset(f"ASVspoof2019_{track}_<subset>/flac/{{id}}.flac", "train", "dev", "eval"),
        asv_scores={
            subset: (f"ASVspoof2019_{track}_asv_scores/{of}.asv.{subset}.gi.trl.scores.txt",)
            for subset in ("dev", "eval")
        },
        homes=("", track),
    )


def _asvspoof2021(track: str) -> Corpus:
    """Recordings from zenodo.org (4837263 LA, 4834716 PA, 4835108 DF), keys from asvspoof.org/index2021.html."""
    hidden: dict[str, dict[str, str]] = {"hidden": {"subset": "hidden"}}
    if track == "PA":
        hidden = {
            "hidden1": {"subset": "hidden", "trim": "notrim"},
            "hidden2": {"subset": "hidden", "trim": "trim"},
        }
    where: dict[str, dict[str, str]] = {
        "progress": {"subset": "progress"},
        "eval": {"subset": "eval"},
        **hidden,
        ALL: {},
    }
    keys = [f"{folder}keys/{track}" for folder in ("", f"{track}-keys-full/")]
    asv = tuple(f"{key}/ASV/{system}/score.txt" for key in keys for system in ("ASVTorch_Kaldi", "ASVtorch_kaldi"))
    return Corpus(
        title=f"ASVspoof 2021 {track}",
        subsets=tuple(where),
        default="eval",
        layout=f"asvspoof2021-{track.lower()}",
        protocols=dict.fromkeys(where, tuple(f"{key}/CM/trial_metadata.txt" for key in keys)),
        audio=dict.fromkeys(where, f"ASVspoof2021_{track}_eval/flac/{{id}}.flac"),
        asv_scores={} if track == "DF" else dict.fromkeys(where, asv),
        where=where,
    )


def _asvspoof5() -> Corpus:
    """zenodo.org/records/14498691."""
    files = {"train": "ASVspoof5.train", "dev": "ASVspoof5.dev.track_1", "eval": "ASVspoof5.eval.track_1"}
    return Corpus(
        title="ASVspoof 5",
        subsets=("train", "dev", "eval"),
        default="eval",
        layout="asvspoof5",
        protocols={
            subset: tuple(f"{home}{name}.{kind}" for home in ("", "ASVspoof5_protocols/") for kind in ("tsv", "txt"))
            for subset, name in files.items()
        },
        audio={"train": "flac_T/{id}.flac", "dev": "flac_D/{id}.flac", "eval": "flac_E_eval/{id}.flac"},
    )


_CODECFAKE_TESTS = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "A1", "A2", "A3")
_DECRO = tuple(f"{language}_{subset}" for language in ("en", "ch") for subset in ("train", "dev", "eval"))
_PARTIALSPOOF = "protocols/PartialSpoof_LA_cm_protocols/PartialSpoof.LA.cm"

CORPORA: dict[str, Corpus] = {
    "asvspoof2015": Corpus(
        title="ASVspoof 2015",
        subsets=("train", "dev", "eval"),
        default="eval",
        layout="asvspoof2015",
        protocols={
            "train": ("CM_protocol/cm_train.trn.txt", "CM_protocol/cm_train.trn"),
            "dev": ("CM_protocol/cm_develop.ndx.txt", "CM_protocol/cm_develop.ndx"),
            "eval": ("CM_protocol/cm_evaluation.ndx.txt", "CM_protocol/cm_evaluation.ndx"),
        },
        audio=dict.fromkeys(("train", "dev", "eval"), "wav/{speaker}/{id}.wav"),
    ),
    "asvspoof2017": Corpus(
        title="ASVspoof 2017 V2",
        subsets=("train", "dev", "eval"),
        default="eval",
        layout="asvspoof2017",
        protocols={
            "train": ("protocol_V2/ASVspoof2017_V2_train.trn.txt",),
            "dev": ("protocol_V2/ASVspoof2017_V2_dev.trl.txt",),
            "eval": ("protocol_V2/ASVspoof2017_V2_eval.trl.txt",),
        },
        audio=_by_subset("ASVspoof2017_V2_<subset>/{id}.wav", "train", "dev", "eval"),
    ),
    "asvspoof2019-la": _asvspoof2019("LA"),
    "asvspoof2019-pa": _asvspoof2019("PA"),
    "asvspoof2021-la": _asvspoof2021("LA"),
    "asvspoof2021-df": _asvspoof2021("DF"),
    "asvspoof2021-pa": _asvspoof2021("PA"),
    "asvspoof5": _asvspoof5(),
    "in-the-wild": Corpus(
        title="In-the-Wild",
        subsets=(ALL,),
        default=ALL,
        layout="in-the-wild",
        protocols={ALL: ("meta.csv",)},
        audio={ALL: "{id}.wav"},
        homes=("", "release_in_the_wild"),
    ),
    "wavefake": Corpus(title="WaveFake", subsets=("ljspeech", "jsut", ALL), default=ALL, read=read_wavefake),
    "fake-or-real": Corpus(
        title="Fake-or-Real",
        subsets=("training", "validation", "testing"),
        default="testing",
        read=read_fake_or_real,
    ),
    "mlaad": Corpus(title="MLAAD", subsets=(ALL,), default=ALL, read=read_mlaad),
    "codecfake": Corpus(
        title="Codecfake",
        subsets=("train", "dev", *_CODECFAKE_TESTS),
        default="C1",
        layout="codecfake",
        protocols={
            name: (f"label/{name}.txt", f"label/label/{name}.txt") for name in ("train", "dev", *_CODECFAKE_TESTS)
        },
        audio={
            **_by_subset("<subset>/{id}.wav", "train", "dev"),
            **_by_subset("test/<subset>/{id}.wav", *_CODECFAKE_TESTS),
        },
        homes=("", "Codecfake"),
        tests=_CODECFAKE_TESTS,
    ),
    "decro": Corpus(
        title="DECRO",
        subsets=_DECRO,
        default="en_eval",
        layout="decro",
        protocols={name: (f"{name}.txt",) for name in _DECRO},
        audio=_by_subset("<subset>/{id}.wav", *_DECRO),
    ),
    "partialspoof": Corpus(
        title="PartialSpoof",
        subsets=("train", "dev", "eval"),
        default="eval",
        layout="partialspoof",
        protocols={name: (f"{_PARTIALSPOOF}.{name}.trl.txt",) for name in ("train", "dev", "eval")},
        audio=_by_subset("<subset>/con_wav/{id}.wav", "train", "dev", "eval"),
        homes=("", "database"),
    ),
    "folders": Corpus(
        title="folders bonafide and spoof of your own", subsets=(ALL,), default=ALL, read=read_labelled_folders
    ),
    "manifest": Corpus(title="a manifest of your own", subsets=(), default=ALL),
}
"""Corpora that ``read_corpus`` knows, by name; ``manifest`` is a folder with a ``manifest.tsv`` or ``.parquet``."""

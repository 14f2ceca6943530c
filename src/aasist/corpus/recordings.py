"""Bona fide recordings to build on: from corpora, manifests and plain folders, and which of them take part."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aasist.audio.files import AUDIO_EXTENSIONS, find_audio
from aasist.corpus.draws import number
from aasist.corpus.language import language_of
from aasist.corpus.recipe import Choice, Data
from aasist.errors import AasistError
from aasist.protocol.corpora import ALL, CORPORA, read_corpus
from aasist.protocol.lines import first_line
from aasist.protocol.manifest import is_parquet, without_extension
from aasist.protocol.subsets import EVALUATION
from aasist.trial import Trials

MANIFESTS = ("manifest.tsv", "manifest.tsv.gz", "manifest.parquet")
TRAIN = ("train", "training")
"""What corpora call the subset to train on."""


class RecordingsError(AasistError):
    """Recordings that nothing can be built on; codes ``no_recordings``, ``twice``, ``usage``."""


@dataclass(frozen=True)
class Recording:
    """A bona fide recording; a text that is empty is an unknown value. ``path`` is where it lies."""

    id: str
    path: str
    source: str
    speaker: str = ""
    language: str = ""
    licence: str = ""
    text: str = ""
    seconds: float | None = None
    source_rate: str = ""
    source_format: str = ""


def read_recordings(data: Data) -> list[Recording]:
    """The bona fide recordings that ``data`` names, in order.

    Raises `RecordingsError`, where there is none or two have one id, and what reading a corpus or a folder raises.
    """
    if not data.bonafide:
        raise RecordingsError("usage", "which recordings? Name a folder or a manifest of bona fide speech (--bonafide)")
    found: dict[str, Recording] = {}
    for given in data.bonafide:
        before = len(found)
        for recording in _read(given, data):
            if recording.id in found:
                other = found[recording.id].path
                raise RecordingsError(
                    "twice", f"two recordings have the id {recording.id!r}: {other}, {recording.path}"
                )
            found[recording.id] = recording
        if len(found) == before:
            raise RecordingsError("no_recordings", f"{given}: no bona fide recording is there")
    return list(found.values())


def chosen(recordings: Sequence[Recording], choice: Choice, shortest_seconds: float, seed: int) -> list[Recording]:
    """The recordings that take part: sources take turns, and within each its speakers; by ``seed``, not by order.

    Those known to be shorter than ``shortest_seconds`` take none; one whose speaker is unknown is a speaker of its own.
    """
    by_source: dict[str, list[Recording]] = defaultdict(list)
    for one in sorted(recordings, key=lambda one: number(seed, "turn", one.id)):
        if one.seconds is None or one.seconds >= shortest_seconds:
            by_source[one.source].append(one)
    turns: list[tuple[int, int, Recording]] = []
    for source in by_source.values():
        spoken: Counter[str] = Counter()
        rounds = []
        for one in source:
            speaker = one.speaker or one.id
            if choice.most_per_speaker is None or spoken[speaker] < choice.most_per_speaker:
                rounds.append((spoken[speaker], one))
                spoken[speaker] += 1
        rounds.sort(key=lambda turn: turn[0])
        turns += [
            (place, number(seed, "source", one.source), one)
            for place, (_, one) in enumerate(rounds[: choice.most_per_source])
        ]
    turns.sort(key=lambda turn: turn[:2])
    return [one for _, _, one in turns[: choice.most]]


def fingerprint(recordings: Iterable[Recording]) -> str:
    """What the recordings are, as 64 hexadecimal digits, wherever they lie and in whatever order."""
    lines = sorted(
        f"{one.id}\t{one.source}\t{one.speaker}\t{one.language}\t{one.text}\t{one.seconds}\n" for one in recordings
    )
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _read(given: str, data: Data) -> Iterator[Recording]:
    name, colon, place = given.partition(":")
    corpus, root = (name, Path(place)) if colon and name in CORPORA else ("manifest", Path(given))
    if not root.exists():
        wanted = "a folder of recordings, a manifest or a recording" if corpus == "manifest" else CORPORA[corpus].title
        raise RecordingsError("no_recordings", f"{root}: no such file or folder: expected {wanted}")
    plain = corpus == "manifest" and root.is_dir() and not any((root / file).is_file() for file in MANIFESTS)
    if plain:
        if data.subset is not None:
            raise RecordingsError("usage", f"{given}: a folder of recordings has no subset {data.subset!r}")
        for path in find_audio(root):
            below = path.relative_to(root).as_posix()
            yield Recording(
                without_extension(below), str(path), root.absolute().name, language=language_of(data.language)
            )
        return
    folder = root.parent if root.is_file() else root
    if corpus == "manifest" and root.is_file() and root.suffix.lower() in AUDIO_EXTENSIONS:
        yield Recording(root.stem, str(root), folder.absolute().name, language=language_of(data.language))
        return
    yield from _of_trials(_trials(given, corpus, root, data.subset), folder, corpus, data)


def _trials(given: str, corpus: str, root: Path, subset: str | None) -> Trials:
    """The trials of the subset asked for; without one of that to train on, or all where there are no subsets.

    Raises `RecordingsError` where there are subsets and none to train on, and for one that figures are published on: that
    takes part only where it is asked for by its own name.
    """
    subsets = CORPORA[corpus].subsets
    if subset is None and corpus == "manifest":
        subsets = _subsets_of(read_corpus(corpus, root, ALL))
    own = subset or next((name for name in TRAIN if name in subsets), None)
    is_whole = {*subsets} <= {ALL} if corpus == "manifest" else ALL in subsets
    if own is None and not is_whole:
        raise RecordingsError(
            "usage", f"{given}: which subset? It has {', '.join(subsets)}, and none to train on: name one (data.subset)"
        )
    trials = read_corpus(corpus, root, own or ALL)
    published = [name for name in _subsets_of(trials) if name in CORPORA[corpus].tests or EVALUATION.search(name)]
    if published and subset not in published:
        raise RecordingsError(
            "usage", f"{given}: which subset? {', '.join(published)} of it {'is' if len(published) == 1 else 'are'} for "
            "evaluation, and would be trained on: such a one takes part only where data.subset names it",
        )  # fmt: skip
    return trials


def _subsets_of(trials: Trials) -> tuple[str, ...]:
    """The names in the column ``subset``, in order; a trial without one has none."""
    column = trials.columns.get("subset")
    return () if column is None else tuple(filter(None, dict.fromkeys(column.tolist())))


def _of_trials(trials: Trials, folder: Path, corpus: str, data: Data) -> Iterator[Recording]:
    if "path" not in trials.columns:
        of_file = corpus == "manifest" and not is_parquet(trials.source)
        has = first_line(trials.source)[1].split("\t") if of_file else ["id", *trials.columns]
        raise RecordingsError(
            "usage",
            f"{trials.source}: no column 'path': where the recordings lie is not known; it has {', '.join(has)}",
        )
    columns: dict[str, list[str]] = {name: column.tolist() for name, column in trials.columns.items()}
    unknown = [""] * len(trials)

    def column(name: str) -> list[str]:
        return columns.get(name, unknown)

    fallback = corpus if corpus != "manifest" else folder.absolute().name
    kept = [True] * len(trials) if trials.bonafide is None else trials.bonafide.tolist()
    names = ("path", "source", "speaker", "language", "licence", "text", "seconds", "source_rate", "source_format")
    for row, values in enumerate(zip(trials.ids.tolist(), *map(column, names), strict=True)):
        if kept[row]:
            trial, path, source, speaker, language, licence, text, seconds, rate, form = values
            yield Recording(
                id=trial,
                path=str(folder / path),
                source=source or column("corpus")[row] or fallback,
                speaker=speaker,
                language=language_of(language or data.language),
                licence=licence,
                text=" ".join(text.split()),
                seconds=_seconds(seconds),
                source_rate=rate,
                source_format=form,
            )


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

"""Protocols of the challenges: which columns each has, read to trials and written back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from aasist.errors import ProtocolError
from aasist.protocol.draft import replacing_text
from aasist.protocol.lines import StrPath, first_line, shown
from aasist.protocol.manifest import is_parquet, read_manifest
from aasist.protocol.table import Table, read_columns, read_header_columns, require_columns
from aasist.trial import NO_ATTACK, Booleans, Strings, Trials

SUBSETS_2021 = ("progress", "eval", "hidden")


@dataclass(frozen=True)
class Layout:
    """How a challenge writes its trials, one a line.

    ``columns`` in order: ``id`` and ``key`` and ``attack`` become those of `Trials`, an empty name is a column that is
    not used, every other keeps its name. ``separator`` None: spaces or tabs, no header; otherwise a header with
    ``header`` as names.
    """

    title: str
    columns: tuple[str, ...]
    bonafide: str = "bonafide"
    spoof: str = "spoof"
    no_attack: str = NO_ATTACK
    """What stands in the column ``attack`` of a bona fide trial."""
    bonafide_source: str = ""
    """The column that ``attack`` of a bona fide trial goes to, where it names something else."""
    suffix: str = ""
    """Extension of the file names that stand for ids."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    separator: str | None = None
    header: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    """Columns of the same challenge's lists that were published without a key."""


# Sources: the README of each database, and for 2021 and 5 the organisers' evaluation packages.
LAYOUTS: dict[str, Layout] = {
    # Wu et al., 2015, datashare.ed.ac.uk/handle/10283/853: CM_protocol/cm_*.trn and .ndx.
    "asvspoof2015": Layout("ASVspoof 2015", ("speaker", "id", "attack", "key"), bonafide="human", no_attack="human"),
    # Delgado et al., 2018, datashare.ed.ac.uk/handle/10283/3055: protocol_V2.
    "asvspoof2017": Layout(
        "ASVspoof 2017",
        ("id", "key", "speaker", "phrase", "environment", "playback", "recorder"),
        bonafide="genuine",
        suffix=".wav",
        unlabelled=("id", "phrase"),
    ),
    # Yamagishi et al., 2019, datashare.ed.ac.uk/handle/10283/3336: README.LA.txt, README.PA.txt.
    "asvspoof2019-la": Layout("ASVspoof 2019 LA", ("speaker", "id", "", "attack", "key")),
    "asvspoof2019-pa": Layout("ASVspoof 2019 PA", ("speaker", "id", "environment", "attack", "key")),
    # github.com/asvspoof-challenge/2021, eval-package/config.py (ConfigLA, ConfigDF, ConfigPA).
    "asvspoof2021-la": Layout(
        "ASVspoof 2021 LA",
        ("speaker", "id", "codec", "transmission", "attack", "key", "trim", "subset"),
        no_attack="bonafide",
        choices={"subset": SUBSETS_2021},
        unlabelled=("id",),
    ),
    "asvspoof2021-df": Layout(
        "ASVspoof 2021 DF",
        (
            *("speaker", "id", "codec", "source", "attack", "key", "trim", "subset"),
            *("vocoder", "task", "team", "gender_pair", "language"),
        ),
        choices={"subset": SUBSETS_2021},
        unlabelled=("id",),
    ),
    "asvspoof2021-pa": Layout(
        "ASVspoof 2021 PA",
        (
            *("speaker", "id", "asv_room", "asv_microphone", "distance_to_asv", "attacker_room"),
            *("attacker_microphone", "attacker_device", "attacker_distance", "key", "trim", "subset"),
        ),
        choices={"subset": SUBSETS_2021},
        unlabelled=("id",),
    ),
    # Wang et al., 2024, doi:10.5281/zenodo.14498691: README.txt, section 3. Separated by spaces, whatever their names.
    "asvspoof5": Layout(
        "ASVspoof 5",
        ("speaker", "id", "gender", "codec", "codec_q", "codec_seed", "attack_tag", "attack", "key", ""),
        no_attack="bonafide",
    ),
    # Müller et al., Interspeech 2022: release_in_the_wild/meta.csv.
    "in-the-wild": Layout(
        "In-the-Wild",
        ("id", "speaker", "key"),
        bonafide="bona-fide",
        suffix=".wav",
        separator=",",
        header=("file", "speaker", "label"),
    ),
    # github.com/xieyuankun/Codecfake, README.md and dataset.py: label/*.txt.
    "codecfake": Layout(
        "Codecfake",
        ("id", "key", "attack"),
        bonafide="real",
        spoof="fake",
        bonafide_source="source",
        suffix=".wav",
    ),
    # github.com/petrichorwq/DECRO-dataset, README.md: bona fide trials name the corpus they are from.
    "decro": Layout("DECRO", ("speaker", "id", "", "attack", "key"), bonafide_source="corpus"),
    # Zhang et al., 2023, doi:10.1109/TASLP.2022.3233236: PartialSpoof.LA.cm.*.trl.txt.
    "partialspoof": Layout("PartialSpoof", ("speaker", "id", "", "attack", "key")),
}

NO_SPEAKER = (NO_ATTACK, "unknown")
"""Spellings of a speaker who is not known; as a name they would make one speaker of many."""


def read_protocol(path: StrPath, layout: str | None = None) -> Trials:
    """Trials of a protocol or manifest.

    ``layout`` is a key of `LAYOUTS` or ``manifest``; without one it is taken from what the first line looks like
    (`recognise`). Columns other than speaker and attack keep their spelling, ``-`` included. Raises `ProtocolError`
    with the line of what cannot be used.
    """
    name = layout if layout is not None else recognise(path)
    if name == "manifest":
        return read_manifest(path)
    if name not in LAYOUTS:
        raise ProtocolError(
            f"no protocol layout {name!r}; there are {', '.join(LAYOUTS)} and manifest", path=path, code="usage"
        )
    form = LAYOUTS[name]
    if form.separator is not None:
        named = read_header_columns(path, form.separator, quoted=True)
        require_columns(named, form.header)
        table = Table(
            {name: named.columns[header] for name, header in zip(form.columns, form.header, strict=True)},
            named.lines,
            path,
        )
    else:
        layouts = {len(columns): columns for columns in (form.columns, form.unlabelled) if columns}
        table = read_columns(path, layouts, what=f"{_article(form.title)} {form.title} protocol")
    return _trials(form, table)


def write_protocol(path: StrPath, trials: Trials, layout: str) -> None:
    """Write trials as the challenge ``layout`` (a key of `LAYOUTS`) does; `read_protocol` gives them back.

    A column that the trials lack is written as ``-``, and so is an empty text; columns that the layout lacks are left
    out. Raises `ProtocolError` for trials without a key, for a text with a space in it where columns are separated by
    spaces, and for a value that the challenge does not know.
    """
    form = LAYOUTS[layout]
    if trials.bonafide is None:
        raise ProtocolError(f"{_article(form.title)} {form.title} protocol needs the key of each trial", path=path)
    columns = [_written(form, name, trials, trials.bonafide, path) for name in form.columns]
    with replacing_text(path) as file:
        if form.separator is not None:
            file.write(form.separator.join(form.header) + "\n")
        separator = form.separator or " "
        file.writelines(separator.join(row) + "\n" for row in zip(*columns, strict=True))


def recognise(path: StrPath) -> str:
    """The key of `LAYOUTS`, or ``manifest``, that the first line of a file looks like.

    ASVspoof 2019 LA, DECRO and PartialSpoof look alike and are read alike as 2019 LA. Raises `ProtocolError` for a line
    that looks like none.
    """
    if is_parquet(path):
        return "manifest"
    number, line = first_line(path)
    words = line.split()
    if {"path", "id", "filename"} & {*map(str.strip, line.split("\t"))}:
        return "manifest"
    if {"file", "speaker", "label"} <= {word.strip(' "') for word in line.split(",")}:
        return "in-the-wild"
    for name, form in LAYOUTS.items():
        if len(words) == len(form.columns) and form.separator is None:
            key = words[form.columns.index("key")]
            unused = [word for word, column in zip(words, form.columns, strict=True) if not column]
            if key in (form.bonafide, form.spoof) and {*unused} <= {NO_ATTACK}:
                return name
    raise ProtocolError(
        f"the first line looks like no protocol or manifest that is known: {shown(line)}; name its layout",
        path=path,
        line=number,
    )


def _trials(form: Layout, table: Table) -> Trials:
    ids = table.columns["id"]
    if form.suffix:
        ids = _without_suffix(ids, form.suffix)
    table.require_unique(ids)
    bonafide = table.labels("key", form.bonafide, form.spoof) if "key" in table.columns else None
    columns = {name: column for name, column in table.columns.items() if name not in ("id", "key", "attack")}
    for name, allowed in form.choices.items():
        if name in columns:
            _require_choice(table, name, allowed)
    if "speaker" in columns:
        columns["speaker"] = without(columns["speaker"], NO_SPEAKER)
    if "attack" in table.columns:
        if form.bonafide_source and bonafide is not None:
            source, attack = table.columns["attack"].copy(), table.columns["attack"].copy()
            source[~bonafide] = ""
            attack[bonafide] = NO_ATTACK
            columns[form.bonafide_source] = without(source, (NO_ATTACK,))
            table = Table({"attack": attack}, table.lines, table.path)
        columns["attack"] = table.attacks("attack", bonafide, {form.no_attack, NO_ATTACK})
    return Trials(ids, bonafide, columns, str(table.path))


def without(column: Strings, spellings: tuple[str, ...]) -> Strings:
    """``column`` (N,) with an empty text, the unknown value, in place of each of ``spellings``."""
    known = column.copy()
    for spelling in spellings:
        known[np.asarray(column == spelling)] = ""
    return known


def _without_suffix(ids: Strings, suffix: str) -> Strings:
    return np.array([name.removesuffix(suffix) for name in ids.tolist()], dtype=ids.dtype)


def _require_choice(table: Table, name: str, allowed: tuple[str, ...]) -> None:
    known = np.zeros(len(table), bool)
    for value in allowed:
        known |= np.asarray(table.columns[name] == value)
    if not known.all():
        row = int(np.argmin(known))
        value = str(table.columns[name][row])
        raise table.error(f"the {name} must be {' or '.join(map(repr, allowed))}, got {shown(value)}", row)


def _written(form: Layout, name: str, trials: Trials, bonafide: Booleans, path: StrPath) -> list[str]:
    """The column ``name`` as texts for a file."""
    if name == "id":
        texts = [f"{trial}{form.suffix}" for trial in trials.ids.tolist()]
    elif name == "key":
        return [form.bonafide if label else form.spoof for label in bonafide.tolist()]
    elif name not in trials.columns:
        texts = [NO_ATTACK] * len(trials)
    else:
        texts = [text or NO_ATTACK for text in trials.columns[name].tolist()]
    if name == "attack":
        source = trials.columns.get(form.bonafide_source, None)
        instead = [form.no_attack] * len(trials) if source is None else [text or NO_ATTACK for text in source.tolist()]
        texts = [other if label else text for text, other, label in zip(texts, instead, bonafide.tolist(), strict=True)]
    if name in form.choices and not {*texts} <= {*form.choices[name]}:
        wrong = min({*texts} - {*form.choices[name]})
        raise ProtocolError(
            f"the {name} must be {' or '.join(map(repr, form.choices[name]))}, got {shown(wrong)}", path=path
        )
    for row, text in enumerate(texts):
        if not _fits(text, form.separator):
            raise ProtocolError(
                f"the {name} {shown(text)} of the trial {shown(str(trials.ids[row]))} cannot be written in "
                f"{_article(form.title)} {form.title} protocol, whose columns are separated by "
                f"{'spaces' if form.separator is None else repr(form.separator)}: write a manifest",
                path=path,
            )
    return texts


def _fits(text: str, separator: str | None) -> bool:
    """Whether ``text`` is read back as it is."""
    if separator is None:
        return text.split() == [text]
    return bool(text) and not {separator, '"', "\n", "\r", "\0"} & {*text}


def _article(title: str) -> str:
    return "an" if title[0] in "AEIO" else "a"
